//! Whether a run may have ended as its log says: only as [`super::decide()`] would have written it. Pure.

use super::decide::decide;
use super::event::{Event, RunOutcome, Sighting};
use super::next::Next;
use super::state::{Doing, State};
use crate::plan::{Plan, Split};

/// An end is legal only where `decide` would have written it.
pub(super) fn may_end(plan: &Plan, s: &State, outcome: RunOutcome) -> bool {
    matches!(
        s.doing,
        Doing::Planned
            | Doing::Ready { .. }
            | Doing::Uncertain { .. }
            | Doing::Failed { .. }
            | Doing::Stuck { paged: true, .. }
    ) && legal(plan, s, outcome)
}

/// Logs of before never say where users were found: their end is
/// taken as if that had been read.
fn legal(plan: &Plan, s: &State, outcome: RunOutcome) -> bool {
    let mut s = s.clone();
    if !s.looks {
        s.seen = Some(plan.routes.keys().map(|route| (route.clone(), believed(plan, &s, route, outcome))).collect());
        s.settled = true;
    }
    matches!(decide(plan, &s), Next::Note(Event::Ended { outcome: o, .. }) if o == outcome)
}

fn believed(plan: &Plan, s: &State, route: &str, outcome: RunOutcome) -> Sighting {
    let split = match outcome {
        RunOutcome::RolledBack => Some(Split::ALL_BLUE),
        RunOutcome::Completed => s.written(plan, route).last().copied(),
        _ => plan.routes.get(route).map(|planned| planned.before),
    };
    Sighting { split, line: String::new() }
}
