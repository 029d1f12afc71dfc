//! How a fact changes the state. What the table does not know is [`Illegal`], never a guess.

use std::collections::BTreeMap;

use super::decide::LOOKS;
use super::event::{Cause, Event, Found, Outcome, Reaction, Sighting, Wish};
use super::evidence::Verdict;
use super::state::{Approval, Doing, State};
use crate::plan::{AtExpiry, Lane, OnFailure, Plan, Purpose, Resume, StepRef};

/// A fact that cannot follow on this state: a journal that was not written by this machine, or a bug.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{event}` cannot follow while the run is {state}")]
pub struct Illegal {
    pub state: String,
    pub event: String,
}

/// Reads a whole journal.
pub fn replay<'a>(plan: &Plan, events: impl IntoIterator<Item = &'a Event>) -> Result<State, Illegal> {
    events.into_iter().try_fold(State::default(), |s, e| evolve(plan, &s, e))
}

/// Takes in one fact.
pub fn evolve(plan: &Plan, s: &State, e: &Event) -> Result<State, Illegal> {
    let at = s.at();
    let here = |step: &StepRef| *step == at;
    let with = |doing: Doing| State { doing, ..s.clone() };
    Ok(match (&s.doing, e) {
        (Doing::Planned, Event::Armed { approvals_ahead, automatic_used, .. }) => State {
            lane: if plan.purpose == Purpose::Cutover { Lane::Forward } else { Lane::Rollback },
            by_hand: plan.purpose != Purpose::Cutover,
            approvals_ahead: *approvals_ahead,
            automatic_used: *automatic_used,
            ..with(Doing::Ready { attempt: 1 })
        },
        (Doing::Planned, Event::Refused { .. }) => with(Doing::Ended(super::RunOutcome::Refused)),

        (Doing::Ready { .. }, Event::ApprovalRequested { step, request, request_sha256, expires, .. })
            if wants_approval(plan, *step) && !s.approved(plan, *step) =>
        {
            let approval = Approval {
                request: request.clone(),
                request_sha256: request_sha256.clone(),
                expires: *expires,
                grants: Vec::new(),
                void: Vec::new(),
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
        (Doing::Ready { .. }, Event::ApprovalWithdrawn { step, request_sha256, principal, .. })
            if s.approvals.get(step).is_some_and(|a| {
                a.request_sha256 == *request_sha256 && !a.used && a.grants.iter().any(|g| g.principal == *principal)
            }) =>
        {
            let mut next = s.clone();
            if let Some(approval) = next.approvals.get_mut(step) {
                approval.grants.retain(|grant| grant.principal != *principal);
                approval.void.push(principal.clone());
            }
            next
        }
        (Doing::Ready { .. }, Event::ApprovalDenied { step, id, grant, .. }) if s.approvals.contains_key(step) => {
            failed(s, Cause::Action, Reaction::RollBack, format!("`{id}` was refused by {}", grant.principal))
        }
        (Doing::Ready { .. }, Event::ApprovalExpired { step, id, why }) if wants_approval(plan, *step) => {
            let then = match plan.step(*step).approval.as_ref().map(|r| r.at_expiry) {
                Some(AtExpiry::Hold) => Reaction::Hold,
                Some(AtExpiry::Halt) => Reaction::Halt,
                Some(AtExpiry::RollBack) | None => Reaction::RollBack,
            };
            failed(s, Cause::Timeout, then, format!("the approval of `{id}` expired: {why}"))
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
            if here(step) && s.index < plan.lane(s.lane).len() && may_begin(plan, s, at) =>
        {
            let mut next = with(Doing::Uncertain { attempt: *attempt, looks: 0, lost: false });
            next.begun = Some(at);
            next.seen = None;
            if let Some(approval) = next.approvals.get_mut(step) {
                approval.used = true;
            }
            next
        }
        (Doing::Uncertain { attempt, .. }, Event::StepOutcome { step, outcome, .. }) if here(step) => match outcome {
            Outcome::Done { .. } => done(plan, s),
            Outcome::Unknown { line, .. } => match plan.step(at).resume {
                Resume::Repeat => again(plan, s, *attempt, true, false, Cause::Action, line),
                _ => with(Doing::Uncertain { attempt: *attempt, looks: 0, lost: true }),
            },
            Outcome::Failed { line, cause, moved, retry, .. } => match wanted(outcome) {
                Some(then) => failed(&State { moved: s.moved || *moved, ..s.clone() }, *cause, then, line.clone()),
                None => again(plan, s, *attempt, *retry && !cause.pauses(), *moved, *cause, line),
            },
        },
        (Doing::Uncertain { attempt, looks, lost }, Event::StepReconciled { step, found, line, .. }) if here(step) => {
            let moves = plan.step(at).moves.is_some();
            match found {
                Found::InPlace => done(plan, s),
                // A crash is no attempt's fault, so the same attempt is made again.
                Found::NotInPlace if !lost => with(Doing::Ready { attempt: *attempt }),
                Found::NotInPlace => again(plan, s, *attempt, true, false, Cause::Provider, line),
                Found::Other => again(plan, s, *attempt, false, moves, Cause::Drift, line),
                Found::CannotSee if looks + 1 < LOOKS => {
                    with(Doing::Uncertain { attempt: *attempt, looks: looks + 1, lost: *lost })
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
            Event::Interrupted { wish, .. },
        ) if s.lane == Lane::Forward => State { interrupted: Some(*wish), ..going_on(s) },
        // A person wants users back: that is heard whatever the run was doing, any number of times.
        (Doing::Stuck { line, .. }, Event::Interrupted { wish: Wish::RollBack, .. }) if s.lane == Lane::Forward => {
            State {
                interrupted: Some(Wish::RollBack),
                ..with(Doing::Failed { cause: Cause::Action, then: Reaction::RollBack, line: line.clone() })
            }
        }
        (Doing::Ready { .. } | Doing::Uncertain { .. }, Event::Interrupted { wish: Wish::RollBack, .. }) => {
            State { by_hand: true, ..s.clone() }
        }
        (Doing::Stuck { .. }, Event::Interrupted { wish: Wish::RollBack, .. }) => {
            State { by_hand: true, index: 0, stranded: Default::default(), ..with(Doing::Ready { attempt: 1 }) }
        }
        (doing, Event::UsersSeen { routes, .. }) if !matches!(doing, Doing::Ended(_)) => users_seen(plan, s, routes),
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
            Doing::Ready { .. } | Doing::Uncertain { .. } | Doing::Failed { .. } | Doing::Paused { .. },
            Event::RollbackBegun { automatic, .. },
        ) if s.lane == Lane::Forward && s.moved && s.closed(plan).is_none() => State {
            lane: Lane::Rollback,
            index: 0,
            doing: Doing::Ready { attempt: 1 },
            interrupted: None,
            by_hand: !automatic,
            ..s.clone()
        },
        (Doing::Failed { cause, .. }, Event::Paused { step, cause: pause, line, until })
            if here(step) && s.moved && cause == pause && pause.pauses() =>
        {
            with(Doing::Paused { cause: *pause, line: line.clone(), paged: false, until: *until })
        }
        // The pause goes on for another reason. That somebody else moves users is news to a person; the rest is not.
        (Doing::Paused { cause: was, paged, until, .. }, Event::Paused { step, cause, line, .. })
            if here(step) && cause.pauses() && cause != was =>
        {
            let paged = *paged && *cause != Cause::Drift;
            with(Doing::Paused { cause: *cause, line: line.clone(), paged, until: *until })
        }
        (Doing::Paused { cause, line, paged: false, until }, Event::Paged { .. }) => {
            with(Doing::Paused { cause: *cause, line: line.clone(), paged: true, until: *until })
        }
        (Doing::Paused { .. }, Event::Unpaused { step, .. }) if here(step) => anew(s),
        (Doing::Failed { .. } | Doing::Paused { .. }, Event::RollbackDeclined { why, .. }) => {
            with(Doing::Stuck { paged: false, line: why.clone() })
        }
        (Doing::Ready { .. } | Doing::Uncertain { .. }, Event::RollbackDeclined { why, .. })
            if s.interrupted.is_some() && s.moved && s.closed(plan).is_some() =>
        {
            with(Doing::Stuck { paged: false, line: why.clone() })
        }
        (
            Doing::Ready { .. } | Doing::Failed { .. } | Doing::Paused { .. } | Doing::Uncertain { .. },
            Event::SchemaSeen { .. },
        ) if s.lane == Lane::Forward => schema_seen(s, e),
        (doing, Event::OverrideUsed { reason, .. }) if !matches!(doing, Doing::Ended(_)) => {
            // Who passes over it wants to go back; a run made for that is on its way already.
            let goes_back = s.lane == Lane::Forward && *doing != Doing::Planned;
            let interrupted = if goes_back { Some(Wish::RollBack) } else { s.interrupted };
            State { overridden: Some(reason.clone()), interrupted, ..going_on(s) }
        }
        // As the machine did before each route went back for itself: logs of then are still read.
        (Doing::Ready { .. }, Event::Paged { .. }) if !s.stranded.is_empty() => {
            with(Doing::Stuck { paged: true, line: stranded(plan, s) })
        }
        (Doing::Stuck { paged: false, line }, Event::Paged { .. }) => {
            with(Doing::Stuck { paged: true, line: line.clone() })
        }
        (doing, Event::Resumed { .. }) if !matches!(doing, Doing::Ended(_)) => {
            State { interrupted: s.interrupted.filter(|w| *w == Wish::RollBack), ..going_on(s) }
        }
        (doing, Event::Ended { outcome, .. }) if may_end(plan, s, doing, *outcome) => with(Doing::Ended(*outcome)),
        _ => return Err(Illegal { state: format!("{:?} in the {:?} lane", s.doing, s.lane), event: name(e) }),
    })
}

/// Where users are decides whether anybody has moved, whatever the log says of it.
fn users_seen(plan: &Plan, s: &State, routes: &BTreeMap<String, Sighting>) -> State {
    let elsewhere = |(name, seen): (&String, &Sighting)| {
        plan.routes.get(name).zip(seen.split).is_some_and(|(planned, split)| split != planned.before)
    };
    let moved = s.moved || plan.purpose == Purpose::Cutover && routes.iter().any(elsewhere);
    State { moved, seen: Some(routes.clone()), ..s.clone() }
}

/// What the live schema says. That it stands against going back is never forgotten: what was gone once may be there again,
/// without what was in it.
fn schema_seen(s: &State, e: &Event) -> State {
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
    let mut next = State { doing: Doing::Ready { attempt: 1 }, ..s.clone() };
    next.approvals.retain(|at, approval| *at != s.at() || !approval.used);
    next
}

fn name(e: &Event) -> String {
    serde_json::to_value(e).ok().and_then(|v| v["type"].as_str().map(String::from)).unwrap_or_default()
}

/// Whether everybody who has to has agreed to a step.
fn may_begin(plan: &Plan, s: &State, at: StepRef) -> bool {
    match s.asks_by_hand(plan, at) {
        true => s.approved(plan, at) && s.overridden.is_some(),
        false => s.lane == Lane::Rollback && s.by_hand || s.approved(plan, at),
    }
}

fn wants_approval(plan: &Plan, at: StepRef) -> bool {
    plan.lane(at.lane).get(at.index).is_some_and(|s| s.approval.is_some())
}

fn done(plan: &Plan, s: &State) -> State {
    let moved = s.moved || plan.step(s.at()).moves.is_some();
    onward(plan, State { moved, ..s.clone() })
}

/// The next step; behind a route whose users could not be taken back, only the moves of other routes.
fn onward(plan: &Plan, s: State) -> State {
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
fn stranded(plan: &Plan, s: &State) -> String {
    let mut routes = plan.rollback.iter().filter_map(|step| Some(&step.moves.as_ref()?.route));
    let first = routes.next();
    match routes.all(|route| Some(route) == first) {
        true => s.stranded.values().cloned().collect::<Vec<_>>().join("; "),
        false => s.stranded.iter().map(|(route, why)| format!("{route}: {why}")).collect::<Vec<_>>().join("; "),
    }
}

/// After an attempt that did not succeed: another one, the next step, or failure.
fn again(plan: &Plan, s: &State, attempt: u32, retry: bool, moved: bool, cause: Cause, line: &str) -> State {
    let step = plan.step(s.at());
    let s = State { moved: s.moved || moved, ..s.clone() };
    if retry && attempt < step.attempts {
        return State { doing: Doing::Ready { attempt: attempt + 1 }, ..s };
    }
    match step.on_failure {
        _ if cause.pauses() => failed(&s, cause, Reaction::RollBack, line.into()),
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

/// What the step that failed wants by its own declaration, where that is another thing than what the runbook says of
/// failures. Before `then` was a member of its own, the wish of gates that could not be judged stood among the facts: logs
/// of then are still read.
fn wanted(outcome: &Outcome) -> Option<Reaction> {
    match outcome {
        Outcome::Failed { then: Some(then), .. } => Some(*then).filter(|then| *then != Reaction::RollBack),
        Outcome::Failed { cause: Cause::NoVerdict, facts, .. } if facts["unknown"] == "hold" => Some(Reaction::Hold),
        _ => None,
    }
}

/// A failure on the way back is never answered with another move of those users.
fn failed(s: &State, cause: Cause, then: Reaction, line: String) -> State {
    let doing = match s.lane {
        Lane::Forward => Doing::Failed { cause, then, line },
        Lane::Rollback => Doing::Stuck { paged: false, line },
    };
    State { doing, ..s.clone() }
}

/// An end is legal only where `decide` would have written it.
fn may_end(plan: &Plan, s: &State, doing: &Doing, outcome: super::RunOutcome) -> bool {
    matches!(
        doing,
        Doing::Planned
            | Doing::Ready { .. }
            | Doing::Uncertain { .. }
            | Doing::Failed { .. }
            | Doing::Stuck { paged: true, .. }
    ) && matches!(super::decide(plan, s), super::Next::Note(Event::Ended { outcome: o, .. }) if o == outcome)
}
