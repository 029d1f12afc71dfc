//! Where a run stands: everything that decides what comes next, and nothing that can be read off elsewhere.

use std::collections::BTreeMap;

use super::event::{Cause, RunOutcome, Wish};
use crate::plan::{Lane, Plan, StepRef};

/// The state of a run, rebuilt from its journal at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub lane: Lane,
    pub index: usize,
    pub doing: Doing,
    /// A move of users is known, or has to be assumed, to have happened in this run.
    pub moved: bool,
    pub interrupted: Option<Wish>,
    pub approvals: BTreeMap<StepRef, Approval>,
    /// All approvals of the forward lane are asked for before its first step.
    pub approvals_ahead: bool,
    /// Automatic rollbacks of this service inside the policy's window before this run.
    pub automatic_used: u32,
    /// A person began this rollback, so the rollback lane asks for no approval.
    pub by_hand: bool,
}

/// What is going on with the step at `index`.
#[derive(Clone, Debug, PartialEq)]
pub enum Doing {
    /// Preflight has not been passed yet.
    Planned,
    Ready {
        attempt: u32,
    },
    /// An intent is durable and its end is not known: in flight, or the process died, or the reply was lost.
    Uncertain {
        attempt: u32,
        /// How often the world could not be seen since.
        looks: u32,
        /// The attempt itself said it does not know (a lost reply), so the next try is a further attempt.
        lost: bool,
    },
    /// The forward lane failed. What follows depends on whether users moved and on the rules.
    Failed {
        cause: Cause,
        then: Reaction,
        line: String,
    },
    Held,
    /// No more automatic moves; a person has to act.
    Stuck {
        paged: bool,
        line: String,
    },
    Ended(RunOutcome),
}

/// What the runbook wants once users have moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    RollBack,
    Hold,
    Halt,
}

/// An approval on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub request: String,
    pub request_sha256: String,
    /// Unix seconds.
    pub expires: i64,
    /// Who granted so far.
    pub by: Vec<String>,
}

impl Default for State {
    fn default() -> Self {
        State {
            lane: Lane::Forward,
            index: 0,
            doing: Doing::Planned,
            moved: false,
            interrupted: None,
            approvals: BTreeMap::new(),
            approvals_ahead: false,
            automatic_used: 0,
            by_hand: false,
        }
    }
}

impl State {
    /// The step the run is at.
    pub fn at(&self) -> StepRef {
        StepRef { lane: self.lane, index: self.index }
    }

    /// Users may be elsewhere than before the run: a move is known, or one is in flight.
    pub fn may_have_moved(&self, plan: &Plan) -> bool {
        self.moved
            || matches!(self.doing, Doing::Uncertain { .. })
                && plan.lane(self.lane).get(self.index).is_some_and(|s| s.moves.is_some())
    }

    /// The approvals of a step are complete.
    pub fn approved(&self, plan: &Plan, at: StepRef) -> bool {
        let Some(rule) = &plan.step(at).approval else { return true };
        self.approvals.get(&at).is_some_and(|a| a.by.len() as u32 >= rule.quorum)
    }
}
