//! One record, one sentence: the one place where a fact is put into words. Live terminal, plain log, `show` and the audit
//! timeline all say it the same way, so a line can be searched for from one to the other.

use crate::journal::Entry;
use crate::run::{Event, Evidence, Found, Outcome, RunOutcome, Verdict};

use super::Mark;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub mark: Mark,
    /// The step's id, or the part of a run it is about: `preflight`, `rollback`, `end`.
    pub subject: String,
    pub text: String,
    /// A detail: kept in the log and in `show --events`, left out of the lines of a terminal.
    pub detail: bool,
}

/// `03:04:13` of an RFC 3339 time; the text itself where it is something else.
pub fn time_of_day(ts: &str) -> &str {
    ts.get(11..19).unwrap_or(ts)
}

/// The sentence of a record; `None` for kinds that are not for people.
pub fn sentence(entry: &Entry) -> Option<Sentence> {
    if let Some(event) = entry.event() {
        return Some(event_sentence(&event));
    }
    entry.evidence().map(|evidence| evidence_sentence(&evidence))
}

fn say(mark: Mark, subject: impl Into<String>, text: impl Into<String>) -> Sentence {
    Sentence { mark, subject: subject.into(), text: text.into(), detail: false }
}

fn detail(mark: Mark, subject: impl Into<String>, text: impl Into<String>) -> Sentence {
    Sentence { detail: true, ..say(mark, subject, text) }
}

fn event_sentence(event: &Event) -> Sentence {
    match event {
        Event::Armed { checks, approvals_ahead, .. } => {
            let ahead = if *approvals_ahead { ", approvals are collected before the first move" } else { "" };
            let s = if checks.len() == 1 { "" } else { "s" };
            // A runbook without a route, and a run that goes back already, have no rollback to arm.
            let armed = if checks.iter().any(|check| check["route"].is_string()) { ", rollback armed" } else { "" };
            let doubtful = checks.iter().filter(|check| check["doubt"] == true);
            let doubts: Vec<&str> = doubtful.filter_map(|check| check["line"].as_str()).collect();
            let (mark, doubts) = match doubts[..] {
                [] => (Mark::Done, String::new()),
                _ => (Mark::Warning, format!("; but {}", doubts.join("; "))),
            };
            say(mark, "preflight", format!("{} check{s} passed{armed}{ahead}{doubts}", checks.len()))
        }
        Event::Refused { why } => say(Mark::Failed, "preflight", why.clone()),
        Event::ApprovalRequested { id, request, expires, .. } => say(Mark::Working, id, wanted(request, *expires)),
        Event::ApprovalGranted { id, grant, .. } => say(Mark::Done, id, format!("approved by {}", granted(grant))),
        Event::ApprovalWithdrawn { id, principal, why, .. } => {
            say(Mark::Warning, id, format!("{principal}'s approval no longer counts: {why}"))
        }
        Event::ApprovalDenied { id, grant, .. } => say(Mark::Failed, id, format!("refused by {}", granted(grant))),
        Event::ApprovalExpired { id, why, .. } => say(Mark::Failed, id, why.clone()),
        Event::StepIntent { id, attempt: 1, line, .. } => detail(Mark::Working, id, line.clone()),
        Event::StepIntent { id, attempt, line, .. } => say(Mark::Working, id, format!("attempt {attempt}: {line}")),
        Event::StepOutcome { id, outcome, .. } => match outcome {
            Outcome::Done { line, .. } => say(Mark::Done, id, line.clone()),
            // What makes a run pause is no failure of its step.
            Outcome::Failed { line, cause, .. } if cause.pauses() => say(Mark::Warning, id, line.clone()),
            Outcome::Failed { line, .. } => say(Mark::Failed, id, line.clone()),
            Outcome::Unknown { line, .. } => say(Mark::Warning, id, format!("not known yet: {line}")),
        },
        Event::StepReconciled { id, found, line, .. } => match found {
            Found::InPlace => say(Mark::Done, id, format!("looked: in place, {line}")),
            Found::NotInPlace => say(Mark::Warning, id, format!("looked: not in place, {line}")),
            Found::Other => say(Mark::Failed, id, format!("looked: something else is in place, {line}")),
            Found::CannotSee => say(Mark::Warning, id, format!("looked, and could not see: {line}")),
        },
        Event::WaitBreached { line, .. } => say(Mark::Failed, "watch", line.clone()),
        Event::UsersSeen { routes, .. } => {
            let seen = routes.iter().map(|(route, seen)| format!("{route}: {}", seen.line)).collect::<Vec<_>>();
            detail(Mark::Done, "users", seen.join("; "))
        }
        Event::WriteLanded { id, line, .. } => say(Mark::Warning, id, format!("set right: {line}")),
        Event::Unconfirmed { why } => say(Mark::Failed, "users", why.clone()),
        Event::RollbackOverdue { id, line, .. } => say(Mark::Failed, id, line.clone()),
        Event::Interrupted { by, line, .. } => say(Mark::Warning, "interrupt", format!("{line}, by {}", by.name)),
        Event::Continued { by } => say(Mark::Back, "continue", format!("{} said go on", by.name)),
        Event::Paused { line, .. } => say(Mark::Warning, "pause", format!("paused, nothing moves: {line}")),
        Event::Unpaused { line, .. } => say(Mark::Back, "pause", format!("goes on: {line}")),
        Event::Held { by, line } => say(Mark::Warning, "hold", format!("{line}, by {}", by.name)),
        Event::RollbackBegun { automatic: true, cause, .. } => {
            say(Mark::Back, "rollback", format!("automatic: {cause}"))
        }
        Event::RollbackBegun { by, cause, .. } => say(Mark::Back, "rollback", format!("by {}: {cause}", by.name)),
        Event::RollbackDeclined { why, .. } => say(Mark::Failed, "rollback", format!("not done: {why}")),
        Event::SchemaSeen { forward: Verdict::Pass, line, .. } => detail(Mark::Done, "schema", line.clone()),
        Event::SchemaSeen { line, .. } => say(Mark::Failed, "schema", line.clone()),
        Event::OverrideUsed { guard, by, reason } => say(
            Mark::Warning,
            "override",
            format!("{} rolls back although the {guard} guard stands against it: {reason}", by.name),
        ),
        Event::Paged { delivered: true, line } => say(Mark::Done, "page", line.clone()),
        Event::Paged { line, .. } => say(Mark::Failed, "page", format!("no one was reached: {line}")),
        Event::Resumed { by } => say(Mark::Back, "resume", format!("taken up again by {}", by.name)),
        Event::Ended { outcome, line } => say(outcome_mark(*outcome), "end", format!("{}: {line}", shout(*outcome))),
    }
}

fn evidence_sentence(evidence: &Evidence) -> Sentence {
    match evidence {
        Evidence::GateEvaluated { step, gate, verdict, line, window, windows, .. } => {
            detail(verdict_mark(*verdict), step, format!("gate {gate}, window {window} of {windows}: {line}"))
        }
        Evidence::CheckDone { step, check, verdict, ms, line } => {
            detail(verdict_mark(*verdict), step, format!("{check}: {line} ({ms}ms)"))
        }
        Evidence::ProviderCalled { route, action, attempt, request_id, code, ms } => {
            let mark = if code == "ok" { Mark::Done } else { Mark::Warning };
            let id = request_id.as_deref().map_or(String::new(), |id| format!(", request {id}"));
            let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
            detail(mark, route, format!("{action}{again}: {code} in {ms}ms{id}"))
        }
        Evidence::TrafficRead { route, split, ms } => {
            detail(Mark::Done, route, format!("read back {split} after {ms}ms"))
        }
        Evidence::TrafficHealth { route, stack, healthy, total } => {
            let mark = if *healthy == 0 { Mark::Failed } else { Mark::Done };
            detail(mark, route, format!("{stack} {healthy}/{total} healthy"))
        }
        Evidence::TrafficSeen { route, samples, blue, green, other, agrees } => {
            let mark = if *agrees { Mark::Done } else { Mark::Warning };
            detail(mark, route, format!("seen in {samples} responses: blue {blue}, green {green}, neither {other}"))
        }
        Evidence::DrainMeasured { step, stack, in_flight, after_ms, connections } => {
            let left = in_flight.as_deref().unwrap_or("an unknown number");
            let found = connections.map_or_else(String::new, |found| format!("; {}", super::retro::became(found)));
            detail(Mark::Done, step, format!("{left} in flight on {stack} after {after_ms}ms{found}"))
        }
        Evidence::PromptAnswered { text, answer, seconds, by, .. } => {
            let asked = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let how = match by.via.as_str() {
                // A flag answers before anybody is asked.
                "command" => "on the command line".to_string(),
                _ => format!("after {seconds}s"),
            };
            detail(Mark::Plain, "prompt", format!("{asked} {} answered `{answer}` {how}", by.name))
        }
        Evidence::CommandOutput { step, stream, text } => detail(Mark::Plain, step, format!("{stream}: {text}")),
        Evidence::AnchorReceipt { kind, line, .. } => say(Mark::Done, "anchor", format!("{kind}: {line}")),
        Evidence::SinkDegraded { sink, line } => say(Mark::Warning, "anchor", format!("{sink}: {line}")),
        Evidence::ClockAnomaly { line } => say(Mark::Warning, "clock", line.clone()),
        Evidence::PageAcknowledged { line, .. } => say(Mark::Done, "page", line.clone()),
        Evidence::PageEscalated { delivered: true, line } => say(Mark::Warning, "page", line.clone()),
        Evidence::PageEscalated { line, .. } => say(Mark::Failed, "page", line.clone()),
        Evidence::FreezeChanged { line, .. } => say(Mark::Warning, "freeze", line.clone()),
        Evidence::Note { line } => say(Mark::Plain, "note", line.clone()),
    }
}

pub fn verdict_mark(verdict: Verdict) -> Mark {
    match verdict {
        Verdict::Pass => Mark::Done,
        Verdict::Fail => Mark::Failed,
        Verdict::Unknown => Mark::Warning,
    }
}

pub fn outcome_mark(outcome: RunOutcome) -> Mark {
    match outcome {
        RunOutcome::Completed | RunOutcome::NoChanges => Mark::Done,
        RunOutcome::RolledBack => Mark::Back,
        RunOutcome::Holding | RunOutcome::Waiting => Mark::Warning,
        RunOutcome::Stopped | RunOutcome::Halted | RunOutcome::Refused => Mark::Failed,
    }
}

/// `ROLLED BACK`.
pub fn shout(outcome: RunOutcome) -> String {
    outcome.name().replace('-', " ").to_uppercase()
}

fn granted(grant: &crate::run::Grant) -> String {
    match &grant.key {
        Some(key) => format!("{}, signed with {key}", grant.principal),
        None => format!("{}, typed at the terminal", grant.principal),
    }
}

/// `1 of release-managers by 03:39:12`, as far as the request can be read.
fn wanted(request: &str, expires: i64) -> String {
    let request: serde_json::Value = serde_json::from_str(request).unwrap_or_default();
    let until = jiff::Timestamp::from_second(expires).map_or_else(|_| expires.to_string(), |t| t.to_string());
    let by = time_of_day(&until);
    match (request["quorum"].as_u64(), request["role"].as_str()) {
        (Some(quorum), Some(role)) => format!("waits for {quorum} of {role}, until {by}"),
        _ => format!("waits for an approval, until {by}"),
    }
}
