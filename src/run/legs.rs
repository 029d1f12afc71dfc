//! Several routes on their way back at the same time: each is a leg with steps, attempts and an end of its own, and none waits for
//! another. Pure.
//!
//! A leg goes on by the same rules as a step that is alone: it is taken for a run that is at this step, and what became of that
//! is read off. Forward there are no legs: users move there one reviewed step at a time.

use std::collections::BTreeMap;

use super::decide::{Next, decide};
use super::event::Event;
use super::evolve::{Illegal, alone};
use super::follows::onward;
use super::patience;
use super::state::{Doing, State};
use crate::plan::{Lane, Plan, StepRef};

/// Routes that go back together.
#[derive(Clone, Debug, PartialEq)]
pub struct Legs {
    /// Those that have not ended, by their routes' names.
    open: BTreeMap<String, Leg>,
    /// The last step that belongs to them.
    last: usize,
}

/// Where one route is.
#[derive(Clone, Debug, PartialEq)]
struct Leg {
    index: usize,
    /// `Ready` or `Uncertain`.
    doing: Doing,
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

    /// What is next on each leg.
    pub(super) fn next(&self, plan: &Plan, s: &State) -> Vec<Next> {
        let next = |leg: &Leg| match leg.doing {
            Doing::Ready { attempt } => Next::Attempt(StepRef { lane: Lane::Rollback, index: leg.index }, attempt),
            _ => decide(plan, &leg.alone(s)),
        };
        self.open.values().map(next).collect()
    }

    /// The legs with their steps.
    pub fn at(&self) -> impl Iterator<Item = (StepRef, &Doing)> {
        self.open.values().map(|leg| (StepRef { lane: Lane::Rollback, index: leg.index }, &leg.doing))
    }

    /// Takes in a fact about one of the steps.
    pub(super) fn evolve(&self, plan: &Plan, s: &State, step: StepRef, e: &Event) -> Result<State, Illegal> {
        let leg = self.open.iter().find(|(_, leg)| leg.index == step.index && step.lane == Lane::Rollback);
        let (route, leg) = leg.ok_or_else(|| Illegal::of(s, e))?;
        let after = alone(plan, &leg.alone(s), e)?;
        let mut legs = self.clone();
        legs.open.remove(route);
        let mut stranded = s.stranded.clone();
        match &after.doing {
            doing @ (Doing::Ready { .. } | Doing::Uncertain { .. }) if after.index == leg.index => {
                legs.open.insert(route.clone(), Leg { index: leg.index, doing: doing.clone() });
            }
            _ if !after.stranded.is_empty() => stranded.extend(after.stranded.clone()),
            Doing::Stuck { line, .. } => {
                stranded.insert(route.clone(), line.clone());
            }
            // There: a ramp has more stops of this route.
            _ => {
                let more = (leg.index + 1..=self.last).find(|n| route_of(plan, *n) == Some(route));
                if let Some(index) = more {
                    legs.open.insert(route.clone(), Leg { index, doing: Doing::Ready { attempt: 1 } });
                }
            }
        }
        let next = State { index: s.index, doing: Doing::Together(legs.clone()), stranded, ..after };
        Ok(match legs.open.is_empty() {
            true => onward(plan, State { index: self.last, doing: Doing::Ready { attempt: 1 }, ..next }),
            false => next,
        })
    }

    /// A log of before gives a route up without a word that its time was over: it goes on as if that had been said.
    pub(super) fn gave_up_before(plan: &Plan, s: &State, e: &Event) -> Result<State, Illegal> {
        let mut s = s.clone();
        while let Doing::Together(legs) = &s.doing {
            let given_up = |leg: &&Leg| patience::gave_up_before(plan, &leg.alone(&s), e);
            let Some(leg) = legs.open.values().find(given_up) else { break };
            let step = StepRef { lane: Lane::Rollback, index: leg.index };
            let line = s.waits_for.clone().unwrap_or_else(|| "it could not be seen".into());
            let overdue = Event::RollbackOverdue { step, id: plan.step(step).id.clone(), line };
            s = legs.clone().evolve(plan, &s, step, &overdue)?;
        }
        Ok(s)
    }

    /// The run as each route sees it.
    pub(super) fn each<'a>(&'a self, s: &'a State) -> impl Iterator<Item = State> + 'a {
        self.open.values().map(|leg| leg.alone(s))
    }
}

impl Leg {
    /// The run as this route sees it.
    fn alone(&self, s: &State) -> State {
        State { index: self.index, doing: self.doing.clone(), stranded: BTreeMap::new(), ..s.clone() }
    }
}

fn route_of(plan: &Plan, index: usize) -> Option<&String> {
    plan.rollback.get(index)?.moves.as_ref().map(|moves| &moves.route)
}
