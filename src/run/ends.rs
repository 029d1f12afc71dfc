//! How a run may end: only as its users were just found. Pure; the reading itself is the driver's.

use super::actor::Actor;

use super::event::{Event, RunOutcome, Sighting, Wish};
use super::next::Next;
use super::state::State;
use crate::plan::{Plan, Purpose, Split};

/// Every step forward is done.
pub(super) fn completed(plan: &Plan, s: &State) -> Next {
    let line = match plan.moves_nobody() {
        true => "every step is done",
        false => "every step is done, and users are where the last of them left them",
    };
    confirmed(plan, s, RunOutcome::Completed, line)
}

/// Every step back is done.
pub(super) fn rolled_back(plan: &Plan, s: &State) -> Next {
    confirmed(plan, s, RunOutcome::RolledBack, "users were read back on BLUE on every route")
}

fn confirmed(plan: &Plan, s: &State, outcome: RunOutcome, line: &str) -> Next {
    let Some(seen) = &s.seen else { return look(s, true) };
    for route in plan.routes.keys() {
        match seen.get(route) {
            Some(Sighting { split: Some(split), .. }) if s.left_so(plan, route, *split) => {}
            Some(Sighting { split: Some(split), line }) => return astray(plan, s, route, *split, line),
            Some(Sighting { split: None, line }) => return unconfirmed(format!("{route}: {line}")),
            None => return unconfirmed(format!("{route}: not read")),
        }
    }
    settled(s).unwrap_or_else(|| end(outcome, line))
}

/// The run goes no further, and has moved nobody. Whoever wished to go back is heard all the same where that is not sure.
pub(super) fn stopped(plan: &Plan, s: &State, line: &str) -> Next {
    let Some(seen) = &s.seen else { return look(s, !s.tried.is_empty()) };
    let dark = s.dark(plan, seen).filter(|_| plan.purpose == Purpose::Cutover);
    match dark {
        None => settled(s).unwrap_or_else(|| end(RunOutcome::Stopped, line)),
        Some(_) if s.interrupted == Some(Wish::RollBack) && s.closed(plan).is_none() => begun(s, line),
        Some(route) => {
            let why = seen.get(route).map_or("not read", |seen| &seen.line);
            unconfirmed(format!("{line}; {route}: {why}"))
        }
    }
}

/// Back to blue, because whoever wished it did.
pub(super) fn begun(s: &State, cause: &str) -> Next {
    let by = s.wisher.clone().unwrap_or_else(Actor::rule);
    Next::Note(Event::RollbackBegun { automatic: false, by, cause: cause.into() })
}

/// Users are elsewhere than they were left: by an own write that landed late, which is set right, or by somebody else.
fn astray(plan: &Plan, s: &State, route: &str, found: Split, line: &str) -> Next {
    let Some(step) = s.landed_late(plan, route, found) else {
        return unconfirmed(format!("{route}: {line}, and this run left it otherwise"));
    };
    let line = format!("{route}: {line}: a write of this run whose answer was lost has landed");
    Next::Note(Event::WriteLanded { step, id: plan.step(step).id.clone(), found, line })
}

fn unconfirmed(why: String) -> Next {
    Next::Note(Event::Unconfirmed { why: format!("where users are is not confirmed: {why}") })
}

/// `patient`: a route that does not answer is asked again for a while.
fn look(s: &State, patient: bool) -> Next {
    Next::Look { settle: !s.doubts.is_empty(), patient }
}

/// Nothing is said to be over while a write may still land.
fn settled(s: &State) -> Option<Next> {
    (!s.settled && !s.doubts.is_empty()).then(|| look(s, true))
}

fn end(outcome: RunOutcome, line: &str) -> Next {
    Next::Note(Event::Ended { outcome, line: line.into() })
}
