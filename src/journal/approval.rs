//! What makes one approval count, judged from the log alone: who gave it, how well it is proven, and what its request bound.
//!
//! The run has judged the same before it acted, with code of its own: what one of the two overlooks the other may see.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::line::Line;
use super::rules::{Approved, Rules};
use crate::plan::{self, ApprovalRule, EvidenceLevel, Lane, Plan, PlannedStep, StepRef};
use crate::run::{Event, Grant};
use crate::sign::{Signed, Touch, namespace};

/// Seconds between the reading that a deadline was judged by and the one in the record.
const SLACK: i64 = 5;

/// The people whose run it is.
#[derive(Default)]
pub struct Theirs {
    /// Owners and resumers.
    pub runners: BTreeSet<String>,
    /// The fingerprints of the keys they signed it with.
    pub keys: BTreeSet<String>,
    /// The CI names of those who started its jobs.
    pub starters: BTreeSet<String>,
}

/// A request with what answered it.
pub struct Request {
    step: StepRef,
    text: String,
    expires: i64,
    grants: Vec<Counted>,
    /// People who took theirs back.
    void: Vec<String>,
    used: Option<Use>,
}

/// An approval that counts so far.
struct Counted {
    principal: String,
    key: Option<String>,
    sig: Option<String>,
    signed: Option<Signed>,
}

/// The attempt that used an approval up, and whether its end is still open: then the same attempt may be begun again.
struct Use {
    at: StepRef,
    attempt: u32,
    open: bool,
}

impl Rules<'_> {
    pub(super) fn approvals(&mut self, plan: &Plan, line: &Line, event: &Event) {
        match event {
            Event::ApprovalRequested { step, request, request_sha256, expires, .. } => {
                if plan::sha256(request.as_bytes()) != *request_sha256 {
                    self.breach(line, "the digest of the approval request is not that of its text");
                }
                for why in unbound(plan, &self.run, &self.plan_sha256, *step, request, *expires) {
                    self.breach(line, why);
                }
                let (text, grants, void) = (request.clone(), Vec::new(), Vec::new());
                let asked = Request { step: *step, text, expires: *expires, grants, void, used: None };
                if self.requests.insert(request_sha256.clone(), asked).is_some() {
                    self.breach(line, "the same approval request was written twice");
                }
            }
            Event::ApprovalGranted { step, request_sha256, grant, .. } => {
                self.grant(plan, line, *step, request_sha256, grant);
            }
            Event::ApprovalDenied { step, request_sha256, grant, .. } => {
                self.refusal(plan, line, *step, request_sha256, grant);
            }
            Event::ApprovalWithdrawn { step, request_sha256, principal, grant, .. } => {
                if let Some(grant) = grant {
                    self.refusal(plan, line, *step, request_sha256, grant);
                    if plan.team.person(&grant.principal) != plan.team.person(principal) {
                        self.breach(line, format!("`{}` took back what `{principal}` gave", grant.principal));
                    }
                }
                if let Some(request) = self.requests.get_mut(request_sha256)
                    && request.grants.iter().any(|given| given.principal == *principal)
                {
                    request.grants.retain(|given| given.principal != *principal);
                    request.void.push(principal.clone());
                }
            }
            Event::StepIntent { step, id, attempt, step_sha256, approvals, .. } => {
                self.intent(plan, line, *step, id, *attempt, step_sha256, approvals);
            }
            Event::StepOutcome { step, .. } => {
                let uses = self.requests.values_mut().filter_map(|request| request.used.as_mut());
                uses.filter(|used| used.at == *step).for_each(|used| used.open = false);
            }
            _ => {}
        }
    }

    /// The rule a record answers to, and the request it answers; a breach where either is not there.
    fn answered<'p>(
        &mut self,
        plan: &'p Plan,
        line: &Line,
        step: StepRef,
        sha256: &str,
        who: &str,
    ) -> Option<(&'p ApprovalRule, String, i64)> {
        let Some(rule) = plan.lane(step.lane).get(step.index).and_then(|s| s.approval.as_ref()) else {
            self.breach(line, "it answers for a step that asks for no approval");
            return None;
        };
        match self.requests.get(sha256).filter(|request| request.step == step) {
            Some(request) => Some((rule, request.text.clone(), request.expires)),
            None => {
                self.breach(line, format!("`{who}` answers a request that is not in this log"));
                None
            }
        }
    }

    /// Whose signature it is; a breach where it does not hold or is another key's.
    fn signed(&mut self, line: &Line, grant: &Grant, sig: &str, space: &str, text: &str) -> Option<Signed> {
        let who = &grant.principal;
        match self.trust.check(Some(who), space, text.as_bytes(), sig, line.time) {
            Ok(signed) if grant.key.as_ref().is_none_or(|key| *key == signed.fingerprint) => Some(signed),
            Ok(signed) => {
                self.breach(line, format!("the key of `{who}` is {}, not the one named", signed.fingerprint));
                None
            }
            Err(error) => {
                self.breach(line, format!("the signature of `{who}` does not count: {error}"));
                None
            }
        }
    }

    fn grant(&mut self, plan: &Plan, line: &Line, step: StepRef, sha256: &str, grant: &Grant) {
        let who = &grant.principal;
        let Some((rule, text, expires)) = self.answered(plan, line, step, sha256, who) else { return };
        let signed = match &grant.sig {
            Some(sig) => match self.signed(line, grant, sig, namespace::APPROVE, &text) {
                Some(signed) => Some(signed),
                None if holds(plan, rule, who) => return,
                None => return self.breach(line, format!("`{who}` does not hold the role `{}`", rule.role)),
            },
            None => None,
        };
        let key = signed.as_ref().map(|signed| signed.fingerprint.clone()).or_else(|| grant.key.clone());
        let mut found = barred(plan, rule, who, key.as_deref(), &self.theirs);
        found.extend(too_weak(plan, rule, grant, signed.as_ref(), &self.theirs.runners));
        if self.now > expires + SLACK {
            found.push(format!("`{who}` approved after the request had expired"));
        }
        if let Some(request) = self.requests.get_mut(sha256) {
            let same = |principal: &String| principal == who || plan.team.person(principal) == plan.team.person(who);
            if key.is_some() && request.grants.iter().any(|given| given.key == key) {
                found.push(format!("the key of `{who}` was counted before"));
            }
            if request.grants.iter().any(|given| same(&given.principal)) {
                found.push(format!("`{who}` was counted before"));
            }
            if request.void.iter().any(same) {
                found.push(format!("`{who}` had taken the approval back"));
            }
            // What does not count is not kept: a log may hold any number of it.
            if found.is_empty() {
                request.grants.push(Counted { principal: who.clone(), key, sig: grant.sig.clone(), signed });
            }
        }
        found.into_iter().for_each(|what| self.breach(line, what));
    }

    /// A refusal, or an approval taken back: signed by somebody whose word it is.
    fn refusal(&mut self, plan: &Plan, line: &Line, step: StepRef, sha256: &str, grant: &Grant) {
        let who = &grant.principal;
        let Some((rule, text, _)) = self.answered(plan, line, step, sha256, who) else { return };
        if !holds(plan, rule, who) {
            self.breach(line, format!("`{who}` does not hold the role `{}`", rule.role));
        }
        match &grant.sig {
            Some(sig) => drop(self.signed(line, grant, sig, namespace::DENY, &text)),
            None if grant.evidence == EvidenceLevel::Prompt.name() => {}
            None => self.breach(line, format!("`{who}` refused by `{}` without a signature", grant.evidence)),
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
        let (now, trust) = (self.now, self.trust);
        let mut found = Vec::new();
        if self.other_policy && at.lane == Lane::Forward {
            found.push(format!("`{id}` was begun under another policy than the plan's"));
        }
        let always = step.approval.as_ref().is_some_and(|rule| rule.even_by_hand);
        let by_hand = self.state.as_ref().is_some_and(|state| state.by_hand) && at.lane == Lane::Rollback && !always;
        if step.approval.is_some() && uses.is_empty() && !by_hand {
            found.push(format!("`{id}` names no approval"));
        }
        for used in uses {
            let covers = |of: StepRef| {
                let rule = plan.lane(of.lane).get(of.index).and_then(|step| step.approval.as_ref());
                !always
                    && at.lane == Lane::Rollback
                    && of.lane == Lane::Forward
                    && rule.is_some_and(|rule| rule.covers_rollback)
            };
            let Some(request) = self.requests.get_mut(used).filter(|r| r.step == at || covers(r.step)) else {
                found.push(format!("`{id}` uses an approval of something else"));
                continue;
            };
            if request.step != at {
                // The way back was agreed to inside a shift that had to be begun first.
                if request.used.is_none() {
                    found.push(format!("`{id}` uses the approval of a step that was never begun"));
                }
                continue;
            }
            match &request.used {
                None => {
                    if now > request.expires + SLACK {
                        found.push(format!("the approval of `{id}` had expired when it was used"));
                    }
                    for Counted { principal: who, sig, signed, .. } in &request.grants {
                        let check = |sig: &String| {
                            let message = request.text.as_bytes();
                            trust.check(Some(who), namespace::APPROVE, message, sig, line.time).err()
                        };
                        if let Some(error) = sig.as_ref().and_then(check) {
                            found.push(format!(
                                "the approval of `{who}` did not count any more when it was used: {error}"
                            ));
                        }
                        let (step, principal, signed) = (id.to_string(), who.clone(), signed.clone());
                        self.approved.push(Approved { step, principal, signed });
                    }
                }
                Some(before) if !before.open && attempt <= before.attempt => {
                    found.push(format!("the approval of `{id}` was used before"));
                }
                Some(_) => {}
            }
            request.used = Some(Use { at, attempt, open: true });
        }
        found.into_iter().for_each(|what| self.breach(line, what));
    }
}

/// Whether somebody holds a role, as the person they are.
fn holds(plan: &Plan, rule: &ApprovalRule, who: &str) -> bool {
    plan.team.person(who).is_some_and(|person| rule.members.iter().any(|member| member == person))
}

/// Why somebody may not approve.
fn barred(plan: &Plan, rule: &ApprovalRule, who: &str, key: Option<&str>, theirs: &Theirs) -> Vec<String> {
    let team = &plan.team;
    let Some(person) = team.person(who).filter(|_| holds(plan, rule, who)) else {
        return vec![format!("`{who}` does not hold the role `{}`", rule.role)];
    };
    let mut found = Vec::new();
    if !team.is_human(person) {
        found.push(format!("`{who}` is a bot, and bots do not agree to anything"));
    }
    if rule.own_run {
        return found;
    }
    let runs = |runner: &String| runner == who || team.person(runner) == Some(person);
    if theirs.runners.iter().any(runs) || key.is_some_and(|key| theirs.keys.contains(key)) {
        found.push(format!("`{who}` approved their own run"));
    }
    if theirs.starters.iter().any(|login| login == who || team.starter(login) == Some(person)) {
        found.push(format!("`{who}` approved a run whose job they had started"));
    }
    found
}

/// Why the proof is less than the role asks for, or than the record says.
fn too_weak(
    plan: &Plan,
    rule: &ApprovalRule,
    grant: &Grant,
    signed: Option<&Signed>,
    runners: &BTreeSet<String>,
) -> Option<String> {
    let who = &grant.principal;
    let Some(claimed) = EvidenceLevel::named(&grant.evidence) else {
        return Some(format!("`{who}` approved by `{}`, which nobody knows", grant.evidence));
    };
    let proven = match signed {
        Some(signed) => EvidenceLevel::named(signed.evidence()).unwrap_or(EvidenceLevel::Signed),
        None => EvidenceLevel::Prompt,
    };
    if claimed > proven {
        return Some(match proven {
            EvidenceLevel::Prompt => format!("`{who}` approved by `{}` without a signature", grant.evidence),
            _ => format!("`{who}` approved by `{}`, and the signature proves `{}`", claimed.name(), proven.name()),
        });
    }
    if proven < rule.evidence {
        let (is, least) = (proven.name(), rule.evidence.name());
        return Some(format!("`{who}` approved by `{is}`, and the role `{}` takes `{least}` or better", rule.role));
    }
    if plan.team.verify_required && signed.is_some_and(|signed| signed.touch == Some(Touch::Present)) {
        return Some(format!("the security key of `{who}` had not verified its owner"));
    }
    // A typed word is the word of whoever sits at the run's terminal.
    let theirs = runners.iter().any(|runner| runner == who || plan.team.person(runner) == plan.team.person(who));
    (proven == EvidenceLevel::Prompt && !theirs)
        .then(|| format!("`{who}` approved by a word typed at somebody else's terminal"))
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
    // What the digests bind already stands there for people to read: it may not tell them something else.
    let rule = step.approval.as_ref();
    let change = step.moves.as_ref().map(|change| {
        let split = |split: plan::Split| json!({ "blue": split.blue, "green": split.green });
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
