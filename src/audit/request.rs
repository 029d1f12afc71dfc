//! What the text of an approval request has to be: its one form, what it binds, and what it tells the people who are asked.
//!
//! The run writes requests with code of its own. From the plan follows all of a text but a few members, and those are held
//! against the log, so that there is one way to write a request and nothing can be put beside it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::approval::{Moment, Theirs};
use crate::plan::{Lane, PlannedStep, Split, StepRef};

/// Seconds between the reading that a deadline was judged by and the one in the record.
pub const SLACK: i64 = 5;
/// Seconds that an agreement to go back may come after the run has given up waiting for it.
const LATER: i64 = 12 * 3600;

/// The deadlines in the record of a request.
#[derive(Clone, Copy)]
pub struct Until {
    pub expires: i64,
    pub use_by: Option<i64>,
}

/// What of a request is another than it has to be.
pub fn unbound(at: &Moment<'_>, step: StepRef, request: &str, until: Until, theirs: &Theirs) -> Vec<String> {
    let plan = at.of.plan;
    let Some(planned) = plan.lane(step.lane).get(step.index) else {
        return vec!["it asks for no step of the plan".into()];
    };
    let Ok(Value::Object(said)) = serde_json::from_str::<Value>(request) else {
        return vec!["the request is no JSON text".into()];
    };
    let mut found = Vec::new();
    if !ordered(&said) || serde_json::to_string(&said).ok().as_deref() != Some(request) {
        found.push("the request is not written in the one way requests are written".into());
    }
    let wanted = bound(at, step, planned, until);
    let another = |name: &str| format!("the request's `{name}` is another");
    for (name, value) in &wanted {
        match said.get(name) {
            Some(there) if there == value => {}
            Some(_) => found.push(another(name)),
            None => found.push(format!("the request has no `{name}`")),
        }
    }
    let word = |name: &str| said.get(name).and_then(Value::as_str);
    if !word("nonce").is_some_and(|nonce| nonce.len() == 64 && nonce.bytes().all(|b| b"0123456789abcdef".contains(&b)))
    {
        found.push("the request's `nonce` is not 64 hex digits".into());
    }
    // Whoever is asked has to know who asks: a record of who that was stands before every request.
    let (owner, started) = &theirs.newest;
    if word("requested_by") != owner.as_deref() {
        found.push("the request's `requested_by` is not whose run it is".into());
    }
    if word("trigger") != started.as_deref() || said.get("trigger").is_some_and(|by| !by.is_string()) {
        found.push("the request's `trigger` is not who started the run".into());
    }
    let lines =
        |value: &Value| value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string));
    if said.get("measured").is_some_and(|measured| !lines(measured)) {
        found.push("the request's `measured` are no lines".into());
    }
    let free = ["measured", "nonce", "requested_by", "trigger"];
    let strange = said.keys().filter(|name| !wanted.contains_key(*name) && !free.contains(&name.as_str()));
    found.extend(strange.map(|name| format!("the request has a `{name}`, which requests have not")));
    found.extend(too_long(at, step, planned, until));
    found
}

/// All that follows from plan, record and log.
fn bound(at: &Moment<'_>, step: StepRef, planned: &PlannedStep, until: Until) -> Map<String, Value> {
    let plan = at.of.plan;
    let mut details = settings(planned);
    if step.lane == Lane::Forward {
        let gates = plan.gates.iter();
        details
            .extend(gates.flat_map(|(name, gate)| rows(gate).into_iter().map(move |row| format!("gate {name}.{row}"))));
    }
    let mut wanted = json!({
        "_type": "bgctl.dev/approval-request/v1", "details": details, "environment": plan.environment,
        "expires": until.expires, "lane": if step.lane == Lane::Forward { "forward" } else { "rollback" },
        "plan_sha256": at.of.plan_sha256, "run": at.of.run, "service": plan.service, "step": planned.id,
        "step_sha256": planned.sha256(), "summary": planned.line,
    });
    if let Some(rule) = &planned.approval {
        wanted["at_expiry"] = json!(rule.at_expiry);
        wanted["evidence"] = json!(rule.evidence);
        wanted["quorum"] = json!(rule.quorum);
        wanted["role"] = json!(rule.role);
        if rule.covers_rollback {
            let step = |step: &PlannedStep| {
                let (sha256, details) = (step.sha256(), settings(step));
                json!({ "details": details, "step": step.id, "step_sha256": sha256, "summary": step.line })
            };
            wanted["covers"] = json!({ "rollback": plan.rollback.iter().map(step).collect::<Vec<_>>() });
        }
    }
    if let Some(change) = &planned.moves {
        let split = |split: Split| json!({ "blue": split.blue, "green": split.green });
        wanted["params"] = json!({
            "after": split(change.after), "before": split(change.before), "route": change.route,
        });
    }
    if let Some(use_by) = until.use_by {
        wanted["use_by"] = use_by.into();
    }
    match wanted {
        Value::Object(members) => members,
        _ => unreachable!("BUG: it was made as an object"),
    }
}

/// Why a request holds longer than the rule of its step lets it.
fn too_long(at: &Moment<'_>, step: StepRef, planned: &PlannedStep, until: Until) -> Option<String> {
    let seconds = |span: u64| i64::try_from(span).unwrap_or(i64::MAX / 4);
    let within = seconds(planned.approval.as_ref()?.within_s);
    let later = if step.lane == Lane::Rollback { LATER } else { 0 };
    if until.expires > at.now.saturating_add(within).saturating_add(later).saturating_add(SLACK) {
        return Some("the request holds longer than its rule says".into());
    }
    let before: u64 = at.of.plan.forward.iter().take(step.index).map(|step| step.timeout_s).sum();
    let longest = until.expires.saturating_add(seconds(before));
    let ahead = until.use_by.is_some_and(|use_by| step.lane == Lane::Rollback || use_by > longest);
    ahead.then(|| "the request may be used later than the steps before it can take".into())
}

/// The settings of a step, a row each.
fn settings(step: &PlannedStep) -> Vec<String> {
    rows(&step.config)
}

/// The leaves of a value, in its own order: the way to each, and what stands there.
fn rows(value: &Value) -> Vec<String> {
    let Some(members) = value.as_object() else { return Vec::new() };
    let of = |(name, value): (&String, &Value)| match value {
        Value::Null => Vec::new(),
        Value::Object(_) => rows(value).into_iter().map(|row| format!("{name}.{row}")).collect(),
        Value::String(text) => vec![format!("{name}: {text}")],
        other => vec![format!("{name}: {other}")],
    };
    members.iter().flat_map(of).collect()
}

/// Whether all members stand in the order of their names, at any depth.
fn ordered(members: &Map<String, Value>) -> bool {
    let names: BTreeSet<&String> = members.keys().collect();
    names.into_iter().eq(members.keys()) && members.values().all(in_order)
}

fn in_order(value: &Value) -> bool {
    match value {
        Value::Object(members) => ordered(members),
        Value::Array(list) => list.iter().all(in_order),
        _ => true,
    }
}
