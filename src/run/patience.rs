//! The way back does not give up early: a move back that failed for a passing reason, or whose end cannot be seen, is tried
//! again until its time is over. What that time is the driver knows; here is what follows.

use super::event::Event;
use super::state::{Doing, State};
use crate::plan::{Lane, Plan, StepRef};

/// How often the world is looked at in vain before a lost reply counts as a failure.
pub const LOOKS: u32 = 5;

/// A move back: it is tried again as often as its time allows.
pub(super) fn patient(plan: &Plan, s: &State) -> bool {
    s.lane == Lane::Rollback && plan.lane(s.lane).get(s.index).is_some_and(|step| step.moves.is_some())
}

/// Whether the time of this step can be over: something of it has failed, or could not be seen.
pub(super) fn may_be_overdue(plan: &Plan, s: &State, at: StepRef) -> bool {
    let failing = match s.doing {
        Doing::Ready { attempt } => attempt > 1,
        Doing::Uncertain { looks, lost, .. } => lost || looks > 0,
        _ => false,
    };
    at == s.at() && patient(plan, s) && failing
}

/// The machine of before gave up after so many attempts or looks. A log of then goes on as if it had been said that the time
/// was over.
pub(super) fn gave_up_before(plan: &Plan, s: &State, e: &Event) -> bool {
    if !patient(plan, s) || e.step() == Some(s.at()) {
        return false;
    }
    let used_up = match s.doing {
        Doing::Ready { attempt } => attempt > plan.step(s.at()).attempts,
        Doing::Uncertain { looks, .. } => looks >= LOOKS,
        _ => false,
    };
    used_up && matches!(e, Event::StepIntent { .. } | Event::Paged { .. } | Event::ApprovalRequested { .. })
}
