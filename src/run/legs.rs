//! Several routes on their way back at the same time: each is a leg with steps, attempts and an end of its own, and none waits for
//! another. Pure.
//!
//! A leg goes on by the same rules as a step that is alone: it is taken for a run that is at this step, and what became of that
//! is read off. Forward there are no legs: users move there one reviewed step at a time.

use std::collections::BTreeMap;

use super::state::{Doing, State};
use crate::plan::{Lane, Plan, StepRef};

/// Routes that go back together.
#[derive(Clone, Debug, PartialEq)]
pub struct Legs {
    /// Those that have not ended, by their routes' names.
    pub(super) open: BTreeMap<String, Leg>,
    /// The last step that belongs to them.
    pub(super) last: usize,
}

/// Where one route is.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    pub(super) index: usize,
    /// `Ready` or `Uncertain`.
    pub(super) doing: Doing,
}

impl Legs {
    /// The moves from here on that nothing stands between and nobody has to agree to any more; none where they are of a single
    /// route, or where the runbook wants one after the other.
    pub(super) fn of(plan: &Plan, s: &State) -> Option<Legs> {
        if s.lane != Lane::Rollback || plan.policy.rollback_in_order || s.doing != (Doing::Ready { attempt: 1 }) {
            return None;
        }
        let mut legs = Legs { open: BTreeMap::new(), last: s.index };
        for (index, step) in plan.rollback.iter().enumerate().skip(s.index) {
            let free = s.may_begin(plan, StepRef { lane: Lane::Rollback, index });
            let Some(moves) = step.moves.as_ref().filter(|_| free) else { break };
            legs.last = index;
            if !s.stranded.contains_key(&moves.route) {
                let leg = Leg { index, doing: Doing::Ready { attempt: 1 } };
                legs.open.entry(moves.route.clone()).or_insert(leg);
            }
        }
        (legs.open.len() > 1).then_some(legs)
    }

    /// The legs with their steps.
    pub fn at(&self) -> impl Iterator<Item = (StepRef, &Doing)> {
        self.open.values().map(|leg| (StepRef { lane: Lane::Rollback, index: leg.index }, &leg.doing))
    }

    /// The run as each route sees it.
    pub(super) fn each<'a>(&'a self, s: &'a State) -> impl Iterator<Item = State> + 'a {
        self.open.values().map(|leg| leg.alone(s))
    }
}

impl Leg {
    /// The run as this route sees it.
    pub(super) fn alone(&self, s: &State) -> State {
        State { index: self.index, doing: self.doing.clone(), stranded: BTreeMap::new(), ..s.clone() }
    }
}
