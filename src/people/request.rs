//! The exact text of an approval request: what is signed is what is kept, so there is no second form of it to differ.
//!
//! One line of JSON in the canonical form of RFC 8785 as far as it is used: keys in ASCII and sorted, whole numbers, no
//! blanks. It binds run, plan, step, split and expiry, and carries what an approver has to see: every setting of the step,
//! every gate with its limit, what was measured and what follows. Nothing that is agreed to stands outside of what is signed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::plan::{Lane, Plan, PlannedStep, Split, StepRef};

/// How long a request holds, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// An answer that comes later counts no more.
    pub expires: i64,
    /// What was agreed to in time may be begun until then, where other steps come before it; until `expires` otherwise.
    pub use_by: Option<i64>,
}

/// What a request binds beside plan and step.
#[derive(Clone, Debug)]
pub struct Binding<'a> {
    pub run: &'a str,
    /// Who runs the cutover.
    pub requested_by: &'a str,
    /// What started it, where that is somebody else: the CI job's actor.
    pub trigger: Option<&'a str>,
    /// 64 hex digits that no other request has: [`nonce`].
    pub nonce: &'a str,
    pub until: Until,
    /// What was measured by then, in words.
    pub measured: &'a [String],
}

/// The bytes to sign for a step of a plan.
pub fn build(plan: &Plan, at: StepRef, binding: &Binding<'_>) -> String {
    let step = plan.step(at);
    let mut request: BTreeMap<&str, Value> = BTreeMap::from([
        ("_type", json!("bgctl.dev/approval-request/v1")),
        ("details", json!(plan.details(at))),
        ("environment", json!(plan.environment)),
        ("expires", json!(binding.until.expires)),
        ("lane", json!(at.lane)),
        ("nonce", json!(binding.nonce)),
        ("plan_sha256", json!(plan.id())),
        ("requested_by", json!(binding.requested_by)),
        ("run", json!(binding.run)),
        ("service", json!(plan.service)),
        ("step", json!(step.id)),
        ("step_sha256", json!(step.sha256())),
        ("summary", json!(step.line)),
    ]);
    if let Some(rule) = &step.approval {
        request.insert("at_expiry", json!(rule.at_expiry));
        request.insert("evidence", json!(rule.evidence));
        request.insert("quorum", json!(rule.quorum));
        request.insert("role", json!(rule.role));
        if rule.covers_rollback {
            request.insert("covers", json!({ "rollback": way_back(plan) }));
        }
    }
    if let Some(use_by) = binding.until.use_by {
        request.insert("use_by", json!(use_by));
    }
    if !binding.measured.is_empty() {
        request.insert("measured", json!(binding.measured));
    }
    if let Some(trigger) = binding.trigger {
        request.insert("trigger", json!(trigger));
    }
    if let Some(change) = &step.moves {
        let split = |s: Split| BTreeMap::from([("blue", json!(s.blue)), ("green", json!(s.green))]);
        let params = BTreeMap::from([
            ("after", json!(split(change.after))),
            ("before", json!(split(change.before))),
            ("route", json!(change.route)),
        ]);
        request.insert("params", json!(params));
    }
    serde_json::to_string(&request).expect("BUG: a request is plain data")
}

/// The steps of the way back as an approval that covers it names them: each by name and digest, with its settings.
pub fn way_back(plan: &Plan) -> Value {
    let step = |(index, step): (usize, &PlannedStep)| {
        let details = plan.details(StepRef { lane: Lane::Rollback, index });
        json!({ "details": details, "step": step.id, "step_sha256": step.sha256(), "summary": step.line })
    };
    plan.rollback.iter().enumerate().map(step).collect()
}

/// 32 random bytes in hex.
pub fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
