//! What follows when an attempt of a step has ended: the next step, another attempt, a failure, or routes that are passed by.
//! Pure; which fact said so is the table's, in [`super::evolve()`].

use super::outcome::{Cause, Outcome, Reaction};
use super::patience;
use super::state::{Doing, Righting, State};
use crate::plan::{Lane, OnFailure, Plan, Split, StepRef};

/// The write of the step at hand, if it is one, may be on its way.
pub(super) fn in_doubt(plan: &Plan, s: &State) -> State {
    let mut next = s.clone();
    if let Doing::Together(legs) = &s.doing {
        legs.each(s).for_each(|leg| next.doubts.extend(in_doubt(plan, &leg).doubts));
    }
    let moves = plan.lane(s.lane).get(s.index).is_some_and(|step| step.moves.is_some());
    if let Doing::Uncertain { attempt, .. } = s.doing
        && moves
    {
        next.doubts.insert((s.at(), attempt));
    }
    next
}

/// A move back whose time is over.
pub(super) fn gave_up(plan: &Plan, s: &State, line: &str) -> State {
    let s = State { waits_for: None, ..in_doubt(plan, s) };
    again(plan, &s, u32::MAX, false, false, Cause::Provider, line)
}

pub(super) fn done(plan: &Plan, s: &State) -> State {
    let moves = plan.step(s.at()).moves.is_some();
    let s = State { moved: s.moved || moves, waits_for: None, paused: None, ..s.clone() };
    let went_back = s.automatic_for.clone().filter(|_| s.lane == Lane::Rollback && moves);
    onward(plan, State { went_back: s.went_back.clone().or(went_back), ..s })
}

/// The next step; behind a route whose users could not be taken back, only the moves of other routes.
pub(super) fn onward(plan: &Plan, s: State) -> State {
    if let Some(Righting { to, .. }) = s.righting {
        return State { index: to, doing: Doing::Ready { attempt: 1 }, righting: None, ..s };
    }
    if s.stranded.is_empty() {
        return State { index: s.index + 1, doing: Doing::Ready { attempt: 1 }, ..s };
    }
    let steps = plan.lane(s.lane);
    let open = |index: &usize| steps[*index].moves.as_ref().is_some_and(|m| !s.stranded.contains_key(&m.route));
    match (s.index + 1..steps.len()).find(open) {
        Some(index) => State { index, doing: Doing::Ready { attempt: 1 }, ..s },
        None => State { doing: Doing::Stuck { paged: false, line: stranded(plan, &s) }, ..s },
    }
}

/// Why users are not back, by route where there are several.
pub(super) fn stranded(plan: &Plan, s: &State) -> String {
    let mut routes = plan.rollback.iter().filter_map(|step| Some(&step.moves.as_ref()?.route));
    let first = routes.next();
    match routes.all(|route| Some(route) == first) {
        true => s.stranded.values().cloned().collect::<Vec<_>>().join("; "),
        false => s.stranded.iter().map(|(route, why)| format!("{route}: {why}")).collect::<Vec<_>>().join("; "),
    }
}

/// After an attempt that did not succeed: another one, the next step, or failure.
pub(super) fn again(plan: &Plan, s: &State, attempt: u32, retry: bool, moved: bool, cause: Cause, line: &str) -> State {
    let step = plan.step(s.at());
    let s = State { moved: s.moved || moved, waits_for: Some(line.into()), ..s.clone() };
    if retry && (attempt < step.attempts || patience::patient(plan, &s)) {
        return State { doing: Doing::Ready { attempt: attempt + 1 }, ..s };
    }
    let s = State { waits_for: None, ..s };
    // What the provider does not take again and again says nothing against the release.
    let away = retry && cause == Cause::Provider && s.moved && s.lane == Lane::Forward && step.moves.is_some();
    let cause = if away { Cause::Away } else { cause };
    match step.on_failure {
        _ if cause.pauses() => failed(&s, cause, Reaction::RollBack, line.into()),
        OnFailure::Continue if s.righting.is_some() => onward(plan, s),
        OnFailure::Continue => State { index: s.index + 1, doing: Doing::Ready { attempt: 1 }, ..s },
        OnFailure::Halt => failed(&s, cause, Reaction::Halt, line.into()),
        OnFailure::RollBack if s.lane == Lane::Rollback && apart(cause) && step.moves.is_some() => {
            let mut s = s;
            let route = step.moves.as_ref().map(|moves| moves.route.clone()).unwrap_or_default();
            s.stranded.insert(route, line.into());
            onward(plan, s)
        }
        _ => failed(&s, cause, Reaction::RollBack, line.into()),
    }
}

/// Causes that lie with one route and its side, and say nothing against the other routes.
fn apart(cause: Cause) -> bool {
    matches!(cause, Cause::Destination | Cause::Provider | Cause::Timeout)
}

/// What the step that failed wants by its own declaration, where that is another thing than what the runbook says of failures.
pub(super) fn wanted(outcome: &Outcome) -> Option<Reaction> {
    match outcome {
        Outcome::Failed { then, .. } => then.filter(|then| *then != Reaction::RollBack),
        _ => None,
    }
}

/// A failure on the way back is never answered with another move of those users.
pub(super) fn failed(s: &State, cause: Cause, then: Reaction, line: String) -> State {
    let doing = match s.lane {
        Lane::Forward => Doing::Failed { cause, then, line },
        Lane::Rollback => Doing::Stuck { paged: false, line },
    };
    State { doing, ..s.clone() }
}

/// A write of this run that landed late is set right where the run has the time for it.
pub(super) fn may_set_right(plan: &Plan, s: &State, step: StepRef, found: Split) -> bool {
    let waits = plan.lane(s.lane).get(s.index).is_none_or(|at| at.moves.is_none());
    let waits = waits || matches!(s.doing, Doing::Ready { .. });
    let route = plan.lane(step.lane).get(step.index).and_then(|step| Some(&step.moves.as_ref()?.route));
    waits && route.is_some_and(|route| s.landed_late(plan, route, found) == Some(step))
}
