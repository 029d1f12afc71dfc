//! How a fact changes the state. What the table does not know is [`Illegal`], never a guess.

use std::collections::BTreeSet;

use super::event::{Event, Wish, guard};
use super::follows::{again, done, failed, gave_up, in_doubt, may_set_right, stranded, wanted};
use super::legal::may_end;
use super::outcome::{Cause, Found, Outcome, Reaction};
use super::seen::{schema_seen, unseen, users_seen};
use super::state::{Approval, Doing, Pause, Righting, State};
use super::{patience, together};
use crate::plan::{AtExpiry, Lane, Plan, Purpose, Resume, StepRef};

/// A fact that cannot follow on this state: a journal that was not written by this machine, or a bug.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{event}` cannot follow while the run is {state}")]
pub struct Illegal {
    pub state: String,
    pub event: String,
}

impl Illegal {
    pub(super) fn of(s: &State, e: &Event) -> Self {
        Illegal { state: format!("{:?} in the {:?} lane", s.doing, s.lane), event: name(e) }
    }
}

/// Reads a whole journal.
pub fn replay<'a>(plan: &Plan, events: impl IntoIterator<Item = &'a Event>) -> Result<State, Illegal> {
    events.into_iter().try_fold(State::default(), |s, e| evolve(plan, &s, e))
}

/// Takes in one fact.
pub fn evolve(plan: &Plan, s: &State, e: &Event) -> Result<State, Illegal> {
    match (s.legs(plan, e), e) {
        (Some(legs), e) if let Some(step) = e.step() => together::evolve(&legs, plan, s, step, e),
        (Some(_), Event::Paged { .. }) => alone(plan, &together::gave_up_before(plan, s, e)?, e),
        _ => alone(plan, s, e),
    }
}

/// The same where the run is at one step only.
pub(super) fn alone(plan: &Plan, s: &State, e: &Event) -> Result<State, Illegal> {
    let at = s.at();
    let here = |step: &StepRef| *step == at;
    let with = |doing: Doing| State { doing, ..s.clone() };
    if patience::gave_up_before(plan, s, e) {
        return evolve(plan, &gave_up(plan, s, s.waits_for.as_deref().unwrap_or("it could not be seen")), e);
    }
    Ok(match (&s.doing, e) {
        (Doing::Planned, Event::Armed { approvals_ahead, automatic_used, .. }) => State {
            lane: if plan.purpose == Purpose::Cutover { Lane::Forward } else { Lane::Rollback },
            by_hand: plan.purpose != Purpose::Cutover,
            approvals_ahead: *approvals_ahead,
            automatic_used: *automatic_used,
            ..with(Doing::Ready { attempt: 1 })
        },
        (Doing::Planned, Event::Refused { .. }) => with(Doing::Ended(super::RunOutcome::Refused)),

        (Doing::Ready { .. }, Event::ApprovalRequested { step, request, request_sha256, expires, use_by, .. })
            if wants_approval(plan, *step) && !s.approved(plan, *step) =>
        {
            let approval = Approval {
                request: request.clone(),
                request_sha256: request_sha256.clone(),
                expires: *expires,
                use_by: use_by.unwrap_or(*expires),
                grants: Vec::new(),
                void: Vec::new(),
                lost: None,
                used: false,
            };
            let mut next = s.clone();
            next.approvals.insert(*step, approval);
            next
        }
        (Doing::Ready { .. }, Event::ApprovalGranted { step, request_sha256, grant, .. })
            if s.approvals
                .get(step)
                .is_some_and(|a| a.request_sha256 == *request_sha256 && !a.used && a.adds(&plan.team, grant)) =>
        {
            let mut next = s.clone();
            if let Some(approval) = next.approvals.get_mut(step) {
                approval.grants.push(grant.clone());
            }
            next
        }
        (Doing::Ready { .. }, Event::ApprovalWithdrawn { step, request_sha256, principal, why, .. })
            if s.approvals.get(step).is_some_and(|a| {
                a.request_sha256 == *request_sha256 && !a.used && a.grants.iter().any(|g| g.principal == *principal)
            }) =>
        {
            let mut next = s.clone();
            if let Some(approval) = next.approvals.get_mut(step) {
                approval.grants.retain(|grant| grant.principal != *principal);
                approval.void.push(principal.clone());
                approval.lost = Some(format!("the approval by {principal} counts no more: {why}"));
            }
            next
        }
        (Doing::Ready { .. }, Event::ApprovalDenied { step, id, grant, .. }) if s.approvals.contains_key(step) => {
            failed(s, Cause::Action, Reaction::RollBack, format!("`{id}` was refused by {}", grant.principal))
        }
        (Doing::Ready { .. }, Event::ApprovalExpired { step, why, .. }) if wants_approval(plan, *step) => {
            let then = match plan.step(*step).approval.as_ref().map(|r| r.at_expiry) {
                Some(AtExpiry::Hold) => Reaction::Hold,
                Some(AtExpiry::Halt) => Reaction::Halt,
                Some(AtExpiry::RollBack) | None => Reaction::RollBack,
            };
            failed(s, Cause::Timeout, then, why.clone())
        }
        // Where somebody else writes the split nothing moves by itself, not even back.
        (Doing::Paused { cause: Cause::Drift, line: drift, .. }, Event::WaitBreached { step, line, .. })
            if here(step) =>
        {
            failed(s, Cause::Drift, Reaction::Halt, format!("{line}; {drift}"))
        }
        // While a person is asked whether a step without a trace happened, or what follows on an interruption. It must not be
        // begun anew after a pause, so what would pause the run is for a person at once.
        (Doing::Uncertain { .. }, Event::WaitBreached { step, cause, line, then })
            if here(step)
                && s.moved
                && s.lane == Lane::Forward
                && (plan.step(at).resume == Resume::AskHuman || s.interrupted == Some(Wish::Ask)) =>
        {
            let halts = cause.pauses() || *cause == Cause::Rules;
            let then = then.unwrap_or(if halts { Reaction::Halt } else { Reaction::RollBack });
            failed(s, *cause, then, line.clone())
        }
        (Doing::Ready { .. } | Doing::Paused { .. }, Event::WaitBreached { step, cause, line, then }) if here(step) => {
            // Under other rules than the run was opened with nothing is done by itself, not even going back.
            let by_rule = if *cause == Cause::Rules { Reaction::Halt } else { Reaction::RollBack };
            failed(s, *cause, then.unwrap_or(by_rule), line.clone())
        }
        (Doing::Ready { .. } | Doing::Uncertain { .. }, Event::StepIntent { step, attempt, .. })
            if here(step) && s.index < plan.lane(s.lane).len() && s.may_begin(plan, at) =>
        {
            let mut next = with(Doing::Uncertain { attempt: *attempt, looks: 0, lost: false });
            next.begun = Some(at);
            next.seen = None;
            if plan.step(at).moves.is_some() {
                next.tried.insert(at, *attempt);
                // The same attempt is made again after a crash: the write of before may be out as well.
                if next.doubts.remove(&(at, *attempt)) {
                    next.doubts.insert((at, 0));
                }
            }
            if let Some(approval) = next.approvals.get_mut(step) {
                approval.used = true;
            }
            next
        }
        (Doing::Uncertain { attempt, .. }, Event::StepOutcome { step, outcome, .. }) if here(step) => {
            let s = &unseen(s);
            match outcome {
                Outcome::Done { .. } => done(plan, s),
                Outcome::Unknown { line, .. } => match plan.step(at).resume {
                    Resume::Repeat => again(plan, s, *attempt, true, false, Cause::Action, line),
                    _ => State {
                        doing: Doing::Uncertain { attempt: *attempt, looks: 0, lost: true },
                        waits_for: Some(line.clone()),
                        ..in_doubt(plan, s)
                    },
                },
                Outcome::Failed { line, cause, moved, retry, .. } => match wanted(outcome) {
                    Some(then) => failed(&State { moved: s.moved || *moved, ..s.clone() }, *cause, then, line.clone()),
                    None => again(plan, s, *attempt, *retry && !cause.pauses(), *moved, *cause, line),
                },
            }
        }
        (Doing::Uncertain { attempt, looks, lost }, Event::StepReconciled { step, found, line, .. }) if here(step) => {
            let moves = plan.step(at).moves.is_some();
            let s = &unseen(s);
            match found {
                // What was out has landed.
                Found::InPlace => {
                    let mut next = done(plan, s);
                    next.doubts.remove(&(at, *attempt));
                    next
                }
                // A crash is no attempt's fault, so the same attempt is made again.
                Found::NotInPlace if !lost => with(Doing::Ready { attempt: *attempt }),
                Found::NotInPlace => again(plan, s, *attempt, true, false, Cause::Provider, line),
                Found::Other => again(plan, s, *attempt, false, moves, Cause::Drift, line),
                Found::CannotSee if looks + 1 < patience::LOOKS || patience::patient(plan, s) => {
                    let doing = Doing::Uncertain { attempt: *attempt, looks: looks + 1, lost: *lost };
                    State { doing, waits_for: Some(line.clone()), ..s.clone() }
                }
                // A provider that does not answer says nothing against the release.
                Found::CannotSee if moves && s.lane == Lane::Forward => {
                    again(plan, s, *attempt, false, true, Cause::Away, line)
                }
                Found::CannotSee => again(plan, s, *attempt, false, moves, Cause::Provider, line),
            }
        }

        (
            Doing::Planned
            | Doing::Ready { .. }
            | Doing::Uncertain { .. }
            | Doing::Failed { .. }
            | Doing::Paused { .. }
            | Doing::Held,
            Event::Interrupted { wish, by, .. },
        ) if s.lane == Lane::Forward => match (&s.doing, &plan.purpose) {
            // Going back is what this run is for.
            (Doing::Planned, Purpose::RollbackOf(_)) if *wish == Wish::RollBack => s.clone(),
            _ => State { interrupted: Some(*wish), wisher: Some(by.clone()), ..going_on(s) },
        },
        // A person wants users back: that is heard whatever the run was doing, any number of times.
        (Doing::Stuck { line, .. }, Event::Interrupted { wish: Wish::RollBack, by, .. }) if s.lane == Lane::Forward => {
            State {
                interrupted: Some(Wish::RollBack),
                wisher: Some(by.clone()),
                ..with(Doing::Failed { cause: Cause::Action, then: Reaction::RollBack, line: line.clone() })
            }
        }
        (
            Doing::Ready { .. } | Doing::Uncertain { .. } | Doing::Together(_),
            Event::Interrupted { wish: Wish::RollBack, .. },
        ) => State { by_hand: true, ..s.clone() },
        (Doing::Stuck { .. }, Event::Interrupted { wish: Wish::RollBack, .. }) => {
            let begun = State { by_hand: true, index: 0, stranded: Default::default(), waits_for: None, ..unseen(s) };
            State { doing: Doing::Ready { attempt: 1 }, righting: None, ..begun }
        }
        (doing, Event::UsersSeen { routes, settled }) if !matches!(doing, Doing::Ended(_)) => {
            users_seen(plan, s, routes, *settled)
        }
        (Doing::Ready { .. } | Doing::Uncertain { .. }, Event::WriteLanded { step, found, .. })
            if may_set_right(plan, s, *step, *found) =>
        {
            let to = s.righting.map_or(s.index, |righting| righting.to);
            State {
                index: step.index,
                doing: Doing::Ready { attempt: s.tried.attempt(*step).unwrap_or_default() + 1 },
                righting: Some(Righting { to, found: *found }),
                righted: s.righted + 1,
                // Whatever could still land had landed by then.
                doubts: if s.settled { BTreeSet::new() } else { s.doubts.clone() },
                ..unseen(s)
            }
        }
        (Doing::Ready { .. }, Event::Unconfirmed { why }) if s.seen.is_some() && ends_here(plan, s) => {
            with(Doing::Stuck { paged: false, line: why.clone() })
        }
        (
            Doing::Planned
            | Doing::Ready { .. }
            | Doing::Failed { .. }
            | Doing::Uncertain { .. }
            | Doing::Paused { .. },
            Event::Unconfirmed { why },
        ) if s.seen.is_some() && s.lane == Lane::Forward && !s.moved => {
            with(Doing::Stuck { paged: false, line: why.clone() })
        }
        (_, Event::RollbackOverdue { step, line, .. }) if patience::may_be_overdue(plan, s, *step) => {
            gave_up(plan, s, line)
        }
        (Doing::Ready { .. } | Doing::Uncertain { .. } | Doing::Paused { .. }, Event::Continued { .. })
            if s.interrupted == Some(Wish::Ask) =>
        {
            State { interrupted: None, ..s.clone() }
        }
        (
            Doing::Ready { .. } | Doing::Uncertain { .. } | Doing::Failed { .. } | Doing::Paused { .. },
            Event::Held { .. },
        ) if s.lane == Lane::Forward && s.moved => {
            let in_doubt = match &s.doing {
                Doing::Uncertain { attempt, .. } if plan.step(at).resume == Resume::AskHuman => Some(*attempt),
                _ => None,
            };
            State { interrupted: None, in_doubt, ..with(Doing::Held) }
        }
        (
            Doing::Planned
            | Doing::Ready { .. }
            | Doing::Uncertain { .. }
            | Doing::Failed { .. }
            | Doing::Paused { .. },
            Event::RollbackBegun { automatic, cause, .. },
        ) if s.lane == Lane::Forward && may_go_back(plan, s) && s.closed(plan).is_none() => State {
            lane: Lane::Rollback,
            index: 0,
            doing: Doing::Ready { attempt: 1 },
            interrupted: None,
            by_hand: !automatic,
            moved: true,
            automatic_for: automatic.then(|| cause.clone()),
            waits_for: None,
            righting: None,
            ..in_doubt(plan, &unseen(s))
        },
        (Doing::Failed { cause, .. }, Event::Paused { step, cause: pause, line, until })
            if here(step) && s.moved && cause == pause && pause.pauses() =>
        {
            // While it is tried again and again whether the way is free, one call is enough.
            let again = |was: &Pause| was.step == *step && was.cause == *pause && was.until == *until;
            let paged = *pause == Cause::Away && s.paused.as_ref().is_some_and(|was| again(was) && was.paged);
            paused(s, at, *pause, line, (*until, paged))
        }
        // The pause goes on for another reason. That somebody else moves users is news to a person; the rest is not.
        (Doing::Paused { cause: was, paged, until, .. }, Event::Paused { step, cause, line, .. })
            if here(step) && cause.pauses() && cause != was =>
        {
            paused(s, at, *cause, line, (*until, *paged && *cause != Cause::Drift))
        }
        (Doing::Paused { cause, line, paged: false, until }, Event::Paged { .. }) => {
            paused(s, at, *cause, line, (*until, true))
        }
        (Doing::Paused { .. }, Event::Unpaused { step, .. }) if here(step) => anew(s),
        (Doing::Failed { .. } | Doing::Paused { .. }, Event::RollbackDeclined { why, .. }) => {
            with(Doing::Stuck { paged: false, line: why.clone() })
        }
        (Doing::Planned | Doing::Ready { .. } | Doing::Uncertain { .. }, Event::RollbackDeclined { why, .. })
            if s.interrupted.is_some() && s.moved && s.closed(plan).is_some() =>
        {
            with(Doing::Stuck { paged: false, line: why.clone() })
        }
        (
            Doing::Ready { .. } | Doing::Failed { .. } | Doing::Paused { .. } | Doing::Uncertain { .. },
            Event::SchemaSeen { .. },
        ) if s.lane == Lane::Forward => schema_seen(s, e),
        (doing, Event::OverrideUsed { guard: name, reason, by }) if !matches!(doing, Doing::Ended(_)) => {
            // Who passes over it wants to go back; a run made for that is on its way already.
            let goes_back = s.lane == Lane::Forward && *doing != Doing::Planned;
            let interrupted = if goes_back { Some(Wish::RollBack) } else { s.interrupted };
            let wisher = if goes_back { Some(by.clone()) } else { s.wisher.clone() };
            // One word passes over one guard: who takes an ill blue on themselves has said nothing about the schema.
            let overridden = if name == guard::SCHEMA { Some(reason.clone()) } else { s.overridden.clone() };
            State { overridden, interrupted, wisher, ..going_on(s) }
        }
        // As the machine did before each route went back for itself: logs of then are still read.
        (Doing::Ready { .. } | Doing::Together(_), Event::Paged { .. }) if !s.stranded.is_empty() => {
            with(Doing::Stuck { paged: true, line: stranded(plan, s) })
        }
        (Doing::Stuck { paged: false, line }, Event::Paged { .. }) => {
            with(Doing::Stuck { paged: true, line: line.clone() })
        }
        (doing, Event::Resumed { .. }) if !matches!(doing, Doing::Ended(_)) => {
            // The process before may have died with a write on its way.
            let s = &in_doubt(plan, s);
            State { interrupted: s.interrupted.filter(|w| *w == Wish::RollBack), ..going_on(&unseen(s)) }
        }
        (_, Event::Ended { outcome, .. }) if may_end(plan, s, *outcome) => {
            let back = s.automatic_for.clone().filter(|_| *outcome == super::RunOutcome::RolledBack);
            State { went_back: s.went_back.clone().or(back), ..with(Doing::Ended(*outcome)) }
        }
        _ => return Err(Illegal::of(s, e)),
    })
}

fn paused(s: &State, step: StepRef, cause: Cause, line: &str, (until, paged): (i64, bool)) -> State {
    let doing = Doing::Paused { cause, line: line.into(), paged, until };
    State { doing, paused: Some(Pause { step, cause, until, paged }), ..s.clone() }
}

/// Somebody has moved, or may have: a write may be on its way, or a route this run has touched cannot be read.
fn may_go_back(plan: &Plan, s: &State) -> bool {
    s.may_have_moved(plan) || s.seen.as_ref().is_some_and(|seen| s.dark(plan, seen).is_some())
}

/// Every step of the lane is done.
fn ends_here(plan: &Plan, s: &State) -> bool {
    s.index >= plan.lane(s.lane).len()
}

fn going_on(s: &State) -> State {
    match (&s.doing, s.in_doubt) {
        (Doing::Held, Some(attempt)) => {
            State { doing: Doing::Uncertain { attempt, looks: 0, lost: false }, in_doubt: None, ..s.clone() }
        }
        (Doing::Held, None) => anew(s),
        _ => s.clone(),
    }
}

/// A held or paused run that goes on begins its step anew, and an approval that was used for it is used up.
fn anew(s: &State) -> State {
    let mut next = State { doing: Doing::Ready { attempt: 1 }, ..unseen(s) };
    next.approvals.retain(|at, approval| *at != s.at() || !approval.used);
    next
}

fn name(e: &Event) -> String {
    serde_json::to_value(e).ok().and_then(|v| v["type"].as_str().map(String::from)).unwrap_or_default()
}

fn wants_approval(plan: &Plan, at: StepRef) -> bool {
    plan.lane(at.lane).get(at.index).is_some_and(|s| s.approval.is_some())
}
