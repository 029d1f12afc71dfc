//! The one thing to do next.

use super::ends;
use super::event::{Actor, Event, Reaction, RunOutcome, Wish};
use super::legs::Legs;
use super::state::{Doing, State};
use crate::plan::{AtExpiry, Lane, OnFailure, Plan, Purpose, Resume, StepRef};

/// How often the world is looked at in vain before a lost reply counts as a failure.
pub const LOOKS: u32 = 5;

/// What the driver has to do; every answer comes back as an [`Event`].
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and it is handed on at once")]
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Write this down; nothing else is needed for it.
    Note(Event),
    /// Preflight, and compute the way back.
    Arm,
    /// Write an approval request for this step.
    Request(StepRef),
    /// Wait for the approvals of this step.
    Await(StepRef),
    Attempt(StepRef, u32),
    /// Read where every route is, all at the same moment. `settle`: first wait until no write of this run can land any more.
    /// `patient`: a route that does not answer is asked again for a while.
    Look {
        settle: bool,
        patient: bool,
    },
    /// Look whether the step's effect is in place.
    Observe(StepRef),
    /// Each of these at the same time: none waits for another.
    Together(Vec<Next>),
    /// Nothing can be looked at: ask a person whether it happened.
    AskInPlace(StepRef),
    /// Automatic rollback is not allowed here: ask a person.
    AskRollback {
        why: String,
    },
    /// After an interruption while users are split: roll back, hold or go on?
    AskInterrupted,
    /// Something forbids going forward: say so, with how long that is waited for.
    Pause {
        cause: super::Cause,
        line: String,
    },
    /// Wait until the way is free, the gates fail, a person wishes otherwise or the time is over.
    AwaitFree {
        cause: super::Cause,
        until: i64,
    },
    /// Call a person.
    Page {
        line: String,
    },
    Stop(RunOutcome),
}

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
                ends::stopped(plan, s, &format!("not gone back: {why}"))
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
        Doing::Together(legs) => Next::Together(legs.next(plan, s)),
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
            Some(legs) => Next::Together(legs.next(plan, s)),
            None => Next::Attempt(s.at(), attempt),
        },
    }
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
