//! What was seen of the world, and what that means for the state: where users are, what the schema says. Pure.

use std::collections::BTreeMap;

use super::event::{Event, Sighting};
use super::evidence::Verdict;
use super::follows::failed;
use super::outcome::{Cause, Reaction};
use super::state::{Doing, State};
use crate::plan::{Lane, Plan, Purpose, StepRef};

/// What was read before is no reading any more.
pub(super) fn unseen(s: &State) -> State {
    State { seen: None, settled: false, ..s.clone() }
}

/// Where users are decides whether anybody has moved, whatever the log says of it.
pub(super) fn users_seen(plan: &Plan, s: &State, routes: &BTreeMap<String, Sighting>, settled: bool) -> State {
    let elsewhere = |(name, seen): (&String, &Sighting)| {
        plan.routes.get(name).zip(seen.split).is_some_and(|(planned, split)| split != planned.before)
    };
    let moved = s.moved || plan.purpose == Purpose::Cutover && routes.iter().any(elsewhere);
    let mut doubts = s.doubts.clone();
    if plan.purpose != Purpose::Cutover && !s.looks && !settled {
        // A write of the process whose place this run has taken may still land on any of its routes.
        let moves = plan.rollback.iter().enumerate().filter(|(_, step)| step.moves.is_some());
        doubts.extend(moves.map(|(index, _)| (StepRef { lane: Lane::Rollback, index }, 0)));
    }
    State { moved, seen: Some(routes.clone()), settled, looks: true, doubts, ..s.clone() }
}

/// What the live schema says. That it stands against going back is never forgotten: what was gone once may be there again,
/// without what was in it.
pub(super) fn schema_seen(s: &State, e: &Event) -> State {
    let Event::SchemaSeen { step, forward, back, line } = e else { return s.clone() };
    let failing = matches!(s.doing, Doing::Failed { .. } | Doing::Paused { .. });
    let against = *back == Verdict::Fail || *back == Verdict::Unknown && failing;
    let schema_against = s.schema_against.clone().or_else(|| against.then(|| line.clone()));
    let s = State { schema_against, ..s.clone() };
    match (&s.doing, forward) {
        (Doing::Ready { .. }, Verdict::Fail) if *step == s.at() => {
            failed(&s, Cause::Schema, Reaction::RollBack, line.clone())
        }
        // Nothing is known: users stay as they are.
        (Doing::Ready { .. }, Verdict::Unknown) if *step == s.at() => {
            failed(&s, Cause::Schema, Reaction::Hold, line.clone())
        }
        _ => s,
    }
}
