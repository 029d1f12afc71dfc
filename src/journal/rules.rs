//! Were the rules of the run kept? The facts of a log are replayed through the run machine, and every approval is checked
//! against the exact text that was to be signed.
//!
//! What is found here is an honest record of something forbidden, which is another thing than a forged record.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::line::Line;
use super::scan::Head;
use crate::plan::{self, ApprovalRule, Plan, StepRef};
use crate::run::{Event, Grant, RunOutcome, State, evolve};
use crate::sign::{AllowedSigners, Signed, namespace};

/// Seconds between the reading that a deadline was judged by and the one in the record.
const SLACK: i64 = 5;

/// A rule that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub record: u64,
    pub what: String,
}

/// An approval that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub step: String,
    pub principal: String,
    /// Key and kind, for a signature; nothing for what was typed at the terminal.
    pub signed: Option<Signed>,
}

struct Request {
    step: StepRef,
    text: String,
    expires: i64,
    /// Keys that granted already.
    keys: BTreeSet<String>,
    used_by: Option<StepRef>,
}

/// The judgement so far.
pub struct Rules<'t> {
    trust: &'t AllowedSigners,
    plan: Option<Plan>,
    plan_sha256: String,
    run: String,
    state: Option<State>,
    requests: BTreeMap<String, Request>,
    /// Owners and resumers: they may not approve their own run unless the plan says so.
    pub runners: BTreeSet<String>,
    pub breaches: Vec<Breach>,
    pub approved: Vec<Approved>,
    pub steps_run: BTreeSet<(crate::plan::Lane, usize)>,
    pub outcome: Option<RunOutcome>,
    pub events: u64,
}

impl<'t> Rules<'t> {
    pub fn new(trust: &'t AllowedSigners) -> Self {
        Rules {
            trust,
            plan: None,
            plan_sha256: String::new(),
            run: String::new(),
            state: Some(State::default()),
            requests: BTreeMap::new(),
            runners: BTreeSet::new(),
            breaches: Vec::new(),
            approved: Vec::new(),
            steps_run: BTreeSet::new(),
            outcome: None,
            events: 0,
        }
    }

    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The state of the machine after everything read so far, unless a fact did not follow.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    fn breach(&mut self, line: &Line, what: impl Into<String>) {
        self.breaches.push(Breach { record: line.seq, what: what.into() });
    }

    /// Takes in a sealed record.
    pub fn take(&mut self, line: &Line, head: &Head) {
        match line.kind.as_str() {
            "plan.loaded" => self.load(line, head),
            kind if is_event(kind) => {
                let fact = serde_json::json!({ "type": line.kind, "data": line.data });
                match serde_json::from_value::<Event>(fact) {
                    Ok(event) => self.event(line, &event),
                    Err(error) => {
                        self.breach(line, format!("a `{}` this version cannot read: {error}", line.kind));
                        self.state = None;
                    }
                }
            }
            _ => {}
        }
    }

    fn load(&mut self, line: &Line, head: &Head) {
        let (text, said) = (line.data["text"].as_str().unwrap_or_default(), line.data["sha256"].as_str());
        let sha256 = plan::sha256(text.as_bytes());
        if said != Some(&sha256) || sha256 != head.plan_sha256 {
            self.breach(line, "the plan is not the one the owner signed");
            return;
        }
        (self.plan_sha256, self.run) = (sha256, head.run.clone());
        match serde_json::from_str::<Plan>(text) {
            Ok(plan) => {
                for owner in self.runners.clone() {
                    if !plan.owners.contains(&owner) && plan.rollback_owner != owner {
                        self.breach(line, format!("`{owner}` opened the run and is none of the plan's owners"));
                    }
                }
                self.plan = Some(plan);
            }
            Err(error) => self.breach(line, format!("the plan cannot be read by this version: {error}")),
        }
    }

    fn event(&mut self, line: &Line, event: &Event) {
        let Some(plan) = self.plan.take() else { return };
        self.approvals(&plan, line, event);
        if let Some(state) = self.state.take() {
            match evolve(&plan, &state, event) {
                Ok(next) => {
                    self.state = Some(next);
                    self.events += 1;
                }
                Err(illegal) => self.breach(line, illegal.to_string()),
            }
        }
        if let Event::Ended { outcome, .. } = event {
            self.outcome = Some(*outcome);
        }
        self.plan = Some(plan);
    }

    fn approvals(&mut self, plan: &Plan, line: &Line, event: &Event) {
        match event {
            Event::ApprovalRequested { step, request, request_sha256, expires, .. } => {
                if plan::sha256(request.as_bytes()) != *request_sha256 {
                    self.breach(line, "the digest of the approval request is not that of its text");
                }
                for why in unbound(plan, &self.run, &self.plan_sha256, *step, request, *expires) {
                    self.breach(line, why);
                }
                let asked = Request {
                    step: *step,
                    text: request.clone(),
                    expires: *expires,
                    keys: BTreeSet::new(),
                    used_by: None,
                };
                if self.requests.insert(request_sha256.clone(), asked).is_some() {
                    self.breach(line, "the same approval request was written twice");
                }
            }
            Event::ApprovalGranted { step, request_sha256, grant, .. } => {
                self.grant(plan, line, *step, request_sha256, grant, namespace::APPROVE);
            }
            Event::ApprovalDenied { step, request_sha256, grant, .. } => {
                self.grant(plan, line, *step, request_sha256, grant, namespace::DENY);
            }
            Event::StepIntent { step, id, attempt, step_sha256, approvals, .. } => {
                self.intent(plan, line, *step, id, *attempt, step_sha256, approvals);
            }
            _ => {}
        }
    }

    fn grant(&mut self, plan: &Plan, line: &Line, step: StepRef, sha256: &str, grant: &Grant, space: &str) {
        let Some(rule) = plan.lane(step.lane).get(step.index).and_then(|s| s.approval.as_ref()) else {
            return self.breach(line, "it answers for a step that asks for no approval");
        };
        let who = &grant.principal;
        let Some(request) = self.requests.get_mut(sha256).filter(|r| r.step == step) else {
            return self.breach(line, format!("`{who}` answers a request that is not in this log"));
        };
        let (text, expires) = (request.text.clone(), request.expires);
        let again = grant.key.as_ref().is_some_and(|key| !request.keys.insert(key.clone()));
        if space == namespace::APPROVE {
            if again {
                self.breach(line, format!("the key of `{who}` was counted before"));
            }
            if line.time.as_second() > expires + SLACK {
                self.breach(line, format!("`{who}` approved after the request had expired"));
            }
            if let Some(why) = barred(rule, who, &self.runners) {
                self.breach(line, why);
            }
        }
        let signed = match (&grant.sig, grant.evidence.as_str()) {
            (Some(sig), _) => match self.trust.check(Some(who), space, text.as_bytes(), sig, line.time) {
                Ok(signed) if grant.key.as_ref().is_none_or(|key| *key == signed.fingerprint) => Some(signed),
                Ok(signed) => {
                    return self
                        .breach(line, format!("the key of `{who}` is {}, not the one named", signed.fingerprint));
                }
                Err(error) => return self.breach(line, format!("the signature of `{who}` does not count: {error}")),
            },
            (None, "prompt") => None,
            (None, other) => return self.breach(line, format!("`{who}` approved by `{other}` without a signature")),
        };
        if space == namespace::APPROVE {
            let step = plan.step(step).id.clone();
            self.approved.push(Approved { step, principal: who.clone(), signed });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the members of the record")]
    fn intent(&mut self, plan: &Plan, line: &Line, at: StepRef, id: &str, attempt: u32, sha256: &str, uses: &[String]) {
        let Some(step) = plan.lane(at.lane).get(at.index) else {
            return self.breach(line, format!("`{id}` is no step of the plan"));
        };
        self.steps_run.insert((at.lane, at.index));
        if step.id != id || step.sha256() != sha256 {
            self.breach(line, format!("`{id}` is not the step the plan has there"));
        }
        let mut found = Vec::new();
        for used in uses {
            match self.requests.get_mut(used) {
                Some(request) if request.step == at => {
                    if attempt == 1 && request.used_by.is_none() && line.time.as_second() > request.expires + SLACK {
                        found.push(format!("the approval of `{id}` had expired when it was used"));
                    }
                    if request.used_by.is_some_and(|before| before != at) {
                        found.push(format!("the approval of `{id}` was used before"));
                    }
                    request.used_by = Some(at);
                }
                _ => found.push(format!("`{id}` uses an approval of something else")),
            }
        }
        found.into_iter().for_each(|what| self.breach(line, what));
    }
}

/// Why somebody may not approve, if so.
fn barred(rule: &ApprovalRule, who: &str, runners: &BTreeSet<String>) -> Option<String> {
    if !rule.members.iter().any(|member| member == who) {
        return Some(format!("`{who}` does not hold the role `{}`", rule.role));
    }
    (!rule.own_run && runners.contains(who)).then(|| format!("`{who}` approved their own run"))
}

/// What of a request is bound to something else than it was used for.
fn unbound(plan: &Plan, run: &str, plan_sha256: &str, at: StepRef, request: &str, expires: i64) -> Vec<String> {
    let Some(step) = plan.lane(at.lane).get(at.index) else { return vec!["it asks for no step of the plan".into()] };
    let Ok(said) = serde_json::from_str::<Value>(request) else { return vec!["the request is no JSON text".into()] };
    let wanted: [(&str, Value); 4] = [
        ("run", run.into()),
        ("plan_sha256", plan_sha256.into()),
        ("step_sha256", step.sha256().into()),
        ("expires", expires.into()),
    ];
    wanted
        .iter()
        .filter(|(name, value)| said[*name] != *value)
        .map(|(name, _)| format!("the request's `{name}` is another"))
        .collect()
}

/// Whether a type of record is one the run machine reads.
fn is_event(kind: &str) -> bool {
    kind.starts_with("step.")
        || kind.starts_with("approval.") && kind != "approval.withdrawn"
        || kind.starts_with("rollback.")
        || matches!(
            kind,
            "run.refused"
                | "run.interrupted"
                | "run.continued"
                | "run.held"
                | "run.paged"
                | "run.continues"
                | "run.ended"
                | "wait.breached"
        )
}
