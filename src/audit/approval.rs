//! What makes one approval count, judged from the log alone: who gave it, how well it is proven, and what its request bound.
//!
//! The run has judged the same before it acted, with code of its own: what one of the two overlooks the other may see.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::request::{SLACK, Until, unbound};
use crate::plan;
use crate::plan::{ApprovalRule, EvidenceLevel, Lane, Plan, StepRef};
use crate::run::{Event, Grant};
use crate::sign::{AllowedSigners, Signed, Touch, namespace};

/// An approval that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub step: String,
    pub principal: String,
    /// Key and kind, for a signature; nothing for what was typed at the terminal.
    pub signed: Option<Signed>,
}

/// A run, as its requests have to name it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'r> {
    pub plan: &'r Plan,
    pub run: &'r str,
    pub plan_sha256: &'r str,
}

/// What a log had come to when a record of it was written.
pub struct Moment<'r> {
    pub of: Named<'r>,
    /// When the record was written, as it says.
    pub time: Timestamp,
    /// The same in seconds since 1970, by the time that cannot be set back.
    pub now: i64,
    /// A person rolls back by hand.
    pub by_hand: bool,
}

/// Every request of a log so far, and what answered it.
pub struct Approvals<'t> {
    trust: &'t AllowedSigners,
    pub theirs: Theirs,
    pub approved: Vec<Approved>,
    requests: BTreeMap<String, Request>,
    /// What was found of the record at hand.
    found: Vec<String>,
}

/// The people whose run it is.
#[derive(Default)]
pub struct Theirs {
    /// Owners and resumers.
    pub runners: BTreeSet<String>,
    /// The fingerprints of the keys they signed it with.
    pub keys: BTreeSet<String>,
    /// The CI names of those who started its jobs.
    pub starters: BTreeSet<String>,
    /// Whose run it is by the newest statement, and who started its job.
    pub newest: (Option<String>, Option<String>),
}

/// A request with what answered it.
struct Request {
    step: StepRef,
    text: String,
    until: Until,
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

impl<'t> Approvals<'t> {
    pub fn new(trust: &'t AllowedSigners) -> Self {
        let (theirs, requests) = (Theirs::default(), BTreeMap::new());
        Approvals { trust, theirs, approved: Vec::new(), requests, found: Vec::new() }
    }

    /// Takes in a fact, and says which rules about approvals it breaks.
    pub fn take(&mut self, at: &Moment<'_>, event: &Event) -> Vec<String> {
        match event {
            Event::ApprovalRequested { step, request, request_sha256, expires, use_by, .. } => {
                if plan::sha256(request.as_bytes()) != *request_sha256 {
                    self.breach("the digest of the approval request is not that of its text");
                }
                let until = Until { expires: *expires, use_by: *use_by };
                for why in unbound(at, *step, request, until, &self.theirs) {
                    self.breach(why);
                }
                let (text, grants, void) = (request.clone(), Vec::new(), Vec::new());
                let asked = Request { step: *step, text, until, grants, void, used: None };
                if self.requests.insert(request_sha256.clone(), asked).is_some() {
                    self.breach("the same approval request was written twice");
                }
            }
            Event::ApprovalGranted { step, request_sha256, grant, .. } => {
                self.grant(at, *step, request_sha256, grant);
            }
            Event::ApprovalDenied { step, request_sha256, grant, .. } => {
                self.refusal(at, *step, request_sha256, grant);
            }
            Event::ApprovalWithdrawn { step, request_sha256, principal, grant, .. } => {
                if let Some(grant) = grant {
                    self.refusal(at, *step, request_sha256, grant);
                    if at.of.plan.team.person(&grant.principal) != at.of.plan.team.person(principal) {
                        self.breach(format!("`{}` took back what `{principal}` gave", grant.principal));
                    }
                }
                if let Some(request) = self.requests.get_mut(request_sha256)
                    && request.grants.iter().any(|given| given.principal == *principal)
                {
                    request.grants.retain(|given| given.principal != *principal);
                    request.void.push(principal.clone());
                }
            }
            Event::StepIntent { step, id, attempt, approvals, .. } => {
                self.intent(at, *step, id, *attempt, approvals);
            }
            Event::StepOutcome { step, .. } => {
                let uses = self.requests.values_mut().filter_map(|request| request.used.as_mut());
                uses.filter(|used| used.at == *step).for_each(|used| used.open = false);
            }
            _ => {}
        }
        std::mem::take(&mut self.found)
    }

    fn breach(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }

    /// The rule a record answers to, and the request it answers; a breach where either is not there.
    fn answered<'p>(
        &mut self,
        plan: &'p Plan,
        step: StepRef,
        sha256: &str,
        who: &str,
    ) -> Option<(&'p ApprovalRule, String, i64)> {
        let Some(rule) = plan.lane(step.lane).get(step.index).and_then(|s| s.approval.as_ref()) else {
            self.breach("it answers for a step that asks for no approval");
            return None;
        };
        match self.requests.get(sha256).filter(|request| request.step == step) {
            Some(request) => Some((rule, request.text.clone(), request.until.expires)),
            None => {
                self.breach(format!("`{who}` answers a request that is not in this log"));
                None
            }
        }
    }

    /// Whose signature it is; a breach where it does not hold or is another key's.
    fn signed(&mut self, time: Timestamp, grant: &Grant, sig: &str, space: &str, text: &str) -> Option<Signed> {
        let who = &grant.principal;
        match self.trust.check(Some(who), space, text.as_bytes(), sig, time) {
            Ok(signed) if grant.key.as_ref().is_none_or(|key| *key == signed.fingerprint) => Some(signed),
            Ok(signed) => {
                self.breach(format!("the key of `{who}` is {}, not the one named", signed.fingerprint));
                None
            }
            Err(error) => {
                self.breach(format!("the signature of `{who}` does not count: {error}"));
                None
            }
        }
    }

    fn grant(&mut self, at: &Moment<'_>, step: StepRef, sha256: &str, grant: &Grant) {
        let (who, plan) = (&grant.principal, at.of.plan);
        let Some((rule, text, expires)) = self.answered(plan, step, sha256, who) else { return };
        let signed = match &grant.sig {
            Some(sig) => match self.signed(at.time, grant, sig, namespace::APPROVE, &text) {
                Some(signed) => Some(signed),
                None if holds(plan, rule, who) => return,
                None => return self.breach(format!("`{who}` does not hold the role `{}`", rule.role)),
            },
            None => None,
        };
        let key = signed.as_ref().map(|signed| signed.fingerprint.clone()).or_else(|| grant.key.clone());
        let mut found = barred(plan, rule, who, key.as_deref(), &self.theirs);
        found.extend(too_weak(plan, rule, grant, signed.as_ref(), &self.theirs.runners));
        if at.now > expires + SLACK {
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
        self.found.append(&mut found);
    }

    /// A refusal, or an approval taken back: signed by somebody whose word it is.
    fn refusal(&mut self, at: &Moment<'_>, step: StepRef, sha256: &str, grant: &Grant) {
        let (who, plan) = (&grant.principal, at.of.plan);
        let Some((rule, text, _)) = self.answered(plan, step, sha256, who) else { return };
        if !holds(plan, rule, who) {
            self.breach(format!("`{who}` does not hold the role `{}`", rule.role));
        } else if !plan.team.person(who).is_some_and(|person| plan.team.is_human(person)) {
            self.breach(format!("`{who}` is a bot, and bots refuse nothing"));
        }
        match &grant.sig {
            Some(sig) => drop(self.signed(at.time, grant, sig, namespace::DENY, &text)),
            None if grant.evidence == EvidenceLevel::Prompt.name() => {}
            None => self.breach(format!("`{who}` refused by `{}` without a signature", grant.evidence)),
        }
    }

    fn intent(&mut self, moment: &Moment<'_>, at: StepRef, id: &str, attempt: u32, uses: &[String]) {
        let (plan, now, trust, theirs) = (moment.of.plan, moment.now, self.trust, &self.theirs);
        let Some(step) = plan.lane(at.lane).get(at.index) else { return };
        let mut found = Vec::new();
        let always = step.approval.as_ref().is_some_and(|rule| rule.even_by_hand);
        let by_hand = moment.by_hand && at.lane == Lane::Rollback && !always;
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
                    if now > request.until.use_by.unwrap_or(request.until.expires) + SLACK {
                        found.push(format!("the approval of `{id}` had expired when it was used"));
                    }
                    for Counted { principal: who, key, sig, signed } in &request.grants {
                        // Whoever went on with the run since then runs it now.
                        let rule = step.approval.as_ref();
                        let now_barred = rule.map(|rule| barred(plan, rule, who, key.as_deref(), theirs));
                        found.extend(now_barred.into_iter().flatten().map(|why| format!("when `{id}` began: {why}")));
                        let check = |sig: &String| {
                            let message = request.text.as_bytes();
                            trust.check(Some(who), namespace::APPROVE, message, sig, moment.time).err()
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
        self.found.append(&mut found);
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
        found.push(format!("`{who}` is a bot, and bots cannot approve"));
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
        return Some(format!("`{who}` approved by `{}`, which is not known", grant.evidence));
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
