//! The one thing to do next.

use super::actor::Actor;
use super::ends;
use super::event::{Event, RunOutcome, Wish};
use super::legs::Legs;
use super::next::Next;
use super::outcome::Reaction;
use super::state::{Doing, State};
use crate::plan::{AtExpiry, Lane, OnFailure, Plan, Purpose, Resume, StepRef};

/// Says what is next. A function of its arguments only.
pub fn decide(plan: &Plan, s: &State) -> Next {
    match &s.doing {
        // Users were split before this run did anything: that is none of its business.
        Doing::Planned if s.interrupted == Some(Wish::Ask) && s.moved => {
            Next::Note(Event::Refused { why: "users are not where the plan found them".into() })
        }
        Doing::Planned if s.interrupted.is_some() => interrupted(plan, s),
        Doing::Planned => match (&plan.purpose, s.closed(plan)) {
            (Purpose::RollbackOf(_) | Purpose::RollbackWithoutRun, Some(why)) => {
                ends::stopped(plan, s, &format!("not rolled back: {why}"))
            }
            _ => Next::Arm,
        },
        Doing::Ready { attempt } => ready(plan, s, *attempt),
        // Whoever wants users back is not let wait for what became of the last write: the way back reads where they are, and
        // the end of the run waits for what may still land.
        Doing::Uncertain { .. } if goes_back_at_once(plan, s) => interrupted(plan, s),
        Doing::Uncertain { attempt, .. } => match plan.step(s.at()).resume {
            Resume::Observe => Next::Observe(s.at()),
            // An interrupted step is not begun again just to be interrupted once more.
            _ if s.interrupted.is_some() && s.lane == Lane::Forward => interrupted(plan, s),
            Resume::Repeat => Next::Attempt(s.at(), *attempt),
            Resume::AskHuman => Next::AskInPlace(s.at()),
        },
        Doing::Together(legs) => together(plan, s, legs),
        Doing::Failed { cause, then, line } => failed(plan, s, *cause, *then, line),
        Doing::Paused { .. } if s.interrupted.is_some() => interrupted(plan, s),
        Doing::Paused { cause, line, .. } if let Some(next) = taken_back(plan, s, *cause, line) => next,
        Doing::Paused { paged: false, line, .. } => Next::Page { line: line.clone() },
        Doing::Paused { paged: true, cause, until, .. } => Next::AwaitFree { cause: *cause, until: *until },
        Doing::Held => Next::Stop(RunOutcome::Holding),
        Doing::Stuck { paged: false, line } => Next::Page { line: line.clone() },
        Doing::Stuck { paged: true, line } => end(RunOutcome::Halted, line),
        Doing::Ended(outcome) => Next::Stop(*outcome),
    }
}

fn end(outcome: RunOutcome, line: &str) -> Next {
    Next::Note(Event::Ended { outcome, line: line.into() })
}

fn ready(plan: &Plan, s: &State, attempt: u32) -> Next {
    if s.interrupted.is_some() && s.lane == Lane::Forward {
        return interrupted(plan, s);
    }
    let steps = plan.lane(s.lane);
    if s.index >= steps.len() {
        return match (s.lane, &plan.purpose) {
            (Lane::Forward, Purpose::Cutover) => ends::completed(plan, s),
            _ => ends::rolled_back(plan, s),
        };
    }
    // Ahead: everything still unapproved in this lane is asked for before the first effect.
    let last = if s.approvals_ahead && s.lane == Lane::Forward { steps.len() } else { s.index + 1 };
    // Whoever goes back by hand has decided it already, unless the schema stands against it.
    let asks = |at: StepRef| s.lane == Lane::Forward || !s.by_hand || s.asks_by_hand(plan, at);
    let waiting: Vec<StepRef> = (s.index..last)
        .map(|index| StepRef { lane: s.lane, index })
        .filter(|at| asks(*at) && !s.approved(plan, *at))
        .collect();
    if let Some(at) = waiting.iter().find(|at| !s.approvals.contains_key(at)) {
        return Next::Request(*at);
    }
    match waiting.first() {
        Some(at) => Next::Await(*at),
        None => match Legs::of(plan, s) {
            Some(legs) => together(plan, s, &legs),
            None => Next::Attempt(s.at(), attempt),
        },
    }
}

/// What is next on each leg.
fn together(plan: &Plan, s: &State, legs: &Legs) -> Next {
    let next = |at: StepRef, alone: State| match alone.doing {
        Doing::Ready { attempt } => Next::Attempt(at, attempt),
        _ => decide(plan, &alone),
    };
    Next::Together(legs.at().zip(legs.each(s)).map(|((at, _), alone)| next(at, alone)).collect())
}

/// "Forward or page": nobody is sent back, and a person decides.
fn declined(line: &str, why: &str) -> Next {
    let why = format!("{line}; users cannot simply come back, so forward or page: {why}");
    Next::Note(Event::RollbackDeclined { by: Actor::rule(), why })
}

fn interrupted(plan: &Plan, s: &State) -> Next {
    match s.interrupted {
        _ if !s.moved && !goes_back_at_once(plan, s) => ends::stopped(plan, s, "interrupted before any user moved"),
        Some(Wish::Ask) => Next::AskInterrupted,
        _ if let Some(why) = s.closed(plan) => declined("asked to go back", &why),
        _ => ends::begun(s, "asked to go back"),
    }
}

fn goes_back_at_once(plan: &Plan, s: &State) -> bool {
    let wished = s.lane == Lane::Forward && s.interrupted == Some(Wish::RollBack);
    let moves = plan.lane(s.lane).get(s.index).is_some_and(|step| step.moves.is_some());
    wished && moves && matches!(s.doing, Doing::Uncertain { .. }) && s.closed(plan).is_none()
}

/// Somebody else has sent everybody back to blue: nothing is left to decide, and the run ends as what it is.
fn taken_back(plan: &Plan, s: &State, cause: super::Cause, line: &str) -> Option<Next> {
    let taken = cause == super::Cause::Drift && s.home(plan) && s.closed(plan).is_none();
    let by = Actor { name: "somebody else".into(), via: "provider".into() };
    taken.then(|| Next::Note(Event::RollbackBegun { automatic: false, by, cause: line.into() }))
}

fn failed(plan: &Plan, s: &State, cause: super::Cause, then: Reaction, line: &str) -> Next {
    if !s.moved {
        return ends::stopped(plan, s, line);
    }
    if s.interrupted == Some(Wish::RollBack) {
        return interrupted(plan, s);
    }
    let decline = |why: String| Next::Note(Event::RollbackDeclined { by: Actor::rule(), why });
    if s.looks && s.tried.is_empty() {
        return decline(format!("{line}; users are not where the plan found them, and this run has moved nobody"));
    }
    if let Some(next) = taken_back(plan, s, cause, line) {
        return next;
    }
    match then {
        Reaction::Halt if cause == super::Cause::Drift => {
            decline(format!("{line}: somebody else moves this route, so bgctl leaves it alone"))
        }
        Reaction::Halt if cause.pauses() => decline(format!("{line}: a person has to look")),
        _ if cause.pauses() => Next::Pause { cause, line: line.into() },
        Reaction::Halt if cause == super::Cause::Rules => decline(format!("{line}: a person has to decide")),
        Reaction::Halt if says_halt(plan, s) => decline(format!("{line}: the runbook says halt")),
        Reaction::Halt => decline(format!("{line}: a person has to decide")),
        Reaction::Hold => Next::Note(Event::Held { by: Actor::rule(), line: line.into() }),
        Reaction::RollBack => {
            let policy = &plan.policy;
            if let Some(why) = s.closed(plan) {
                declined(line, &why)
            } else if !policy.schema_safe {
                let why = policy.schema_reason.as_deref().unwrap_or("the schema is not declared safe");
                Next::AskRollback { why: format!("{line}; no automatic rollback: {why}") }
            } else if s.automatic_used >= policy.automatic_at_most {
                Next::AskRollback {
                    why: format!(
                        "{line}; automatic rollbacks are used up ({} of {})",
                        s.automatic_used, policy.automatic_at_most
                    ),
                }
            } else {
                Next::Note(Event::RollbackBegun { automatic: true, by: Actor::rule(), cause: line.into() })
            }
        }
    }
}

/// The runbook wants a person for any failure of this step, or for its approval that nobody answers.
fn says_halt(plan: &Plan, s: &State) -> bool {
    plan.lane(s.lane).get(s.index).is_some_and(|step| {
        step.on_failure == OnFailure::Halt
            || step.approval.as_ref().is_some_and(|rule| rule.at_expiry == AtExpiry::Halt)
    })
}
