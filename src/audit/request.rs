//! What the text of an approval request has to bind, and what it may tell the people who are asked.
//!
//! The run writes requests with code of its own: this one only says what of a text is another than the plan has it.

use serde_json::{Value, json};

use crate::plan::{Plan, PlannedStep, Split, StepRef};

/// A run, as its requests have to name it.
#[derive(Clone, Copy)]
pub struct Named<'r> {
    pub plan: &'r Plan,
    pub run: &'r str,
    pub plan_sha256: &'r str,
}

/// What of a request is bound to something else than it was used for.
pub fn unbound(of: Named<'_>, at: StepRef, request: &str, expires: i64) -> Vec<String> {
    let Named { plan, run, plan_sha256 } = of;
    let Some(step) = plan.lane(at.lane).get(at.index) else { return vec!["it asks for no step of the plan".into()] };
    let Ok(said) = serde_json::from_str::<Value>(request) else { return vec!["the request is no JSON text".into()] };
    let wanted: [(&str, Value); 4] = [
        ("run", run.into()),
        ("plan_sha256", plan_sha256.into()),
        ("step_sha256", step.sha256().into()),
        ("expires", expires.into()),
    ];
    // What the digests bind already stands there for people to read: it may not tell them something else.
    let rule = step.approval.as_ref();
    let change = step.moves.as_ref().map(|change| {
        let split = |split: Split| json!({ "blue": split.blue, "green": split.green });
        json!({ "after": split(change.after), "before": split(change.before), "route": change.route })
    });
    let shown: [(&str, Value); 8] = [
        ("step", step.id.clone().into()),
        ("summary", step.line.clone().into()),
        ("service", plan.service.clone().into()),
        ("environment", plan.environment.clone().into()),
        ("params", json!(change)),
        ("role", json!(rule.map(|rule| &rule.role))),
        ("quorum", json!(rule.map(|rule| rule.quorum))),
        ("evidence", json!(rule.map(|rule| rule.evidence))),
    ];
    let covers = match rule {
        Some(rule) if rule.covers_rollback => {
            let step =
                |step: &PlannedStep| json!({ "step": step.id, "step_sha256": step.sha256(), "summary": step.line });
            json!({ "rollback": plan.rollback.iter().map(step).collect::<Vec<_>>() })
        }
        _ => Value::Null,
    };
    let bound = wanted.iter().filter(|(name, value)| said[*name] != *value).map(|(name, _)| *name);
    let told = shown.iter().filter(|(name, value)| said.get(name).is_some_and(|said| said != value));
    let extent = (said["covers"] != covers).then_some("covers");
    let names = bound.chain(told.map(|(name, _)| *name)).chain(extent);
    names.map(|name| format!("the request's `{name}` is another")).collect()
}
