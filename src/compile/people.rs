//! Owners, roles and approvals: whether those who have to agree can.
//!
//! With a policy its roles are the ones that count. A runbook may name a role again only to ask for more: what it asks for
//! less of is a mistake, not a choice.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{MOST_SECONDS, key, place};
use crate::diag::{Code, Diagnostic};
use crate::plan::{
    ApprovalRule, AtExpiry, EvidenceLevel, Lane, PersonKind, Plan, PlannedStep, Principal, StepRef, Team,
};
use crate::policy::{PolicyFile, SecurityKey, SharedKey};
use crate::runbook::{Approval, Covers, Document, Node, Role, Runbook, meant};

/// How long an automatic rollback waits for the role the runbook wants to ask.
const ROLLBACK_WITHIN_S: u64 = 600;
/// How long somebody has to agree to a rollback that the schema stands against.
const OVERRIDE_WITHIN_S: u64 = 1800;

/// Bytes of settings and gates that people can be asked to agree to: a request has to fit into one record, and into a head.
const MOST_READ: usize = 20 * 1024;

/// Steps whose approvers would have to read more than a request can hold.
pub fn unread(runbook: &Runbook, plan: &Plan) -> Option<Diagnostic> {
    let bytes = |lane: Lane, index: usize| {
        let rows = plan.details(StepRef { lane, index });
        rows.iter().map(|row| row.len() + 4 + row.matches(['"', '\\', '\n']).count() * 3).sum::<usize>()
    };
    let back = || (0..plan.rollback.len()).map(|index| bytes(Lane::Rollback, index)).sum::<usize>();
    let read = |(index, step): (usize, &PlannedStep)| {
        let covers = step.approval.as_ref().is_some_and(|rule| rule.covers_rollback);
        let bytes = bytes(Lane::Forward, index) + if covers { back() } else { 0 };
        (step.approval.is_some() && bytes > MOST_READ).then_some((index, bytes))
    };
    let (index, bytes) = plan.forward.iter().enumerate().find_map(read)?;
    let headline = format!("whoever approves `{}` would have to read {bytes} bytes", plan.forward[index].id);
    Some(
        Diagnostic::error(Code::StepSettings, headline)
            .at(place(&runbook.tree, &format!("/steps/{index}")), "its settings, and the gates of the runbook")
            .note(format!("at most {MOST_READ} can be asked for: put long texts into files, and name the files")),
    )
}

/// The people of a plan.
pub fn team(policy: Option<&PolicyFile>) -> Team {
    policy.map_or_else(Team::default, |file| Team {
        policy_sha256: file.sha256.clone(),
        persons: file.policy.persons.clone(),
        shared_key_refused: file.policy.signing.shared_key == SharedKey::Refused,
        security_key_required: file.policy.signing.security_key == SecurityKey::Required,
        verify_required: file.policy.signing.verify_required,
    })
}

/// A role as it holds for this runbook.
#[derive(Clone, Debug)]
pub struct Resolved {
    members: Vec<String>,
    quorum: u32,
    own_run: bool,
    evidence: EvidenceLevel,
    /// The longest the policy lets an approval wait.
    within_s: Option<u64>,
}

/// The roles of a runbook, each as it holds.
#[derive(Debug, Default)]
pub struct Roles {
    roles: BTreeMap<String, Resolved>,
    /// All names there are, good or not, for the sentence about one there is not.
    names: Vec<String>,
}

/// Owners and roles by themselves.
pub fn check(document: &Document, tree: &Node, policy: Option<&PolicyFile>, found: &mut Vec<Diagnostic>) -> Roles {
    let team = team(policy);
    if document.owners.is_empty() {
        found.push(
            Diagnostic::error(Code::Nobody, "nobody owns this cutover")
                .at(key(tree, "owners"), "name the person responsible: one of their keys signs the run"),
        );
    }
    for (n, owner) in document.owners.iter().enumerate() {
        let at = place(tree, &format!("/owners/{n}"));
        if team.person(owner).is_none() {
            // Whoever approves could be the very person that runs it, under another name.
            let wrong = Diagnostic::error(Code::BelowPolicy, format!("owner `{owner}` is no person of the policy"));
            found.push(wrong.at(at, "add this name to that person's `principals`"));
        }
    }
    let mut roles = Roles::default();
    roles.names.extend(document.roles.keys().cloned());
    if let Some(file) = policy {
        roles.names.extend(file.policy.roles.keys().filter(|name| !document.roles.contains_key(*name)).cloned());
        for (name, role) in &file.policy.roles {
            let resolved = Resolved {
                members: role.members.clone(),
                quorum: role.quorum,
                own_run: role.own_run,
                evidence: role.evidence,
                within_s: role.within.as_ref().map(crate::scalar::Duration::whole_seconds),
            };
            roles.roles.insert(name.clone(), resolved);
        }
    }
    for (name, role) in &document.roles {
        let Some(entry) = tree.get("roles").and_then(|roles| roles.entry(name)) else { continue };
        let wrong = |pointer: &str, code: Code, headline: String, label: &str| {
            let at = entry.node.nearest(pointer);
            let span = if std::ptr::eq(at, &entry.node) { entry.key_span.clone() } else { at.span.clone() };
            Diagnostic::error(code, headline).at(span, label)
        };
        let resolved = match (policy, roles.roles.get(name)) {
            (None, _) => own(name, role, &document.owners, &wrong, found),
            (Some(_), Some(of_policy)) => stricter(name, role, of_policy, &team, &wrong, found),
            (Some(_), None) => {
                let headline = format!("the policy has no role `{name}`");
                found.push(wrong("", Code::BelowPolicy, headline, "with a policy a runbook makes no roles of its own"));
                None
            }
        };
        match resolved {
            Some(resolved) => drop(roles.roles.insert(name.clone(), resolved)),
            None => drop(roles.roles.remove(name)),
        }
    }
    roles
}

type Wrong<'a> = dyn Fn(&str, Code, String, &str) -> Diagnostic + 'a;

/// A role without a policy: what the runbook says.
fn own(
    name: &str,
    role: &Role,
    owners: &[Principal],
    wrong: &Wrong<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Resolved> {
    let members = role.members.len();
    if members == 0 {
        let headline = format!("role `{name}` has no members");
        found.push(wrong("/members", Code::Nobody, headline, "name at least one person"));
        return None;
    }
    for (n, member) in role.members.iter().enumerate() {
        if role.members[..n].contains(member) {
            let headline = format!("`{member}` is in role `{name}` twice");
            found.push(wrong(&format!("/members/{n}"), Code::Nobody, headline, "people count once"));
        }
    }
    if role.quorum as usize > members {
        let headline = format!("role `{name}` wants {} people to agree and has {members}", role.quorum);
        found.push(wrong("/quorum", Code::Nobody, headline, "no approval could ever be complete"));
    } else if !can_answer(role, owners) {
        let headline = format!("nobody of role `{name}` could approve a run of its own owner");
        found.push(wrong(
            "/members",
            Code::Nobody,
            headline,
            "add somebody who is not an owner, or say `own_run: true`",
        ));
    }
    Some(Resolved {
        members: role.members.iter().map(Principal::to_string).collect(),
        quorum: role.quorum,
        own_run: role.own_run,
        evidence: EvidenceLevel::Prompt,
        within_s: None,
    })
}

/// A role of the policy that the runbook names again: the stricter of both, and a mistake wherever the runbook is laxer.
fn stricter(
    name: &str,
    role: &Role,
    policy: &Resolved,
    team: &Team,
    wrong: &Wrong<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Resolved> {
    let mut members = Vec::new();
    for (n, member) in role.members.iter().enumerate() {
        let person = team.person(member).unwrap_or(member);
        if !policy.members.iter().any(|known| known == person) {
            let headline = format!("`{member}` does not hold the role `{name}` in the policy");
            let label = "a runbook may leave people out, and add none";
            found.push(wrong(&format!("/members/{n}"), Code::BelowPolicy, headline, label));
        } else if !members.iter().any(|known| known == person) {
            members.push(person.to_string());
        }
    }
    if role.quorum < policy.quorum {
        let headline = format!("role `{name}` asks for {} people, the policy for {}", role.quorum, policy.quorum);
        found.push(wrong("/quorum", Code::BelowPolicy, headline, "leave the role out here, or ask for more people"));
    }
    if role.own_run && !policy.own_run {
        let headline = format!("role `{name}` lets the runner approve, the policy does not");
        found.push(wrong("/own_run", Code::BelowPolicy, headline, "a runbook may only be stricter"));
    }
    let people = members.iter().filter(|m| team.persons.get(*m).is_some_and(|p| p.kind == PersonKind::Human)).count();
    if (role.quorum as usize) > people {
        let headline = format!("role `{name}` wants {} people to agree and has {people}", role.quorum);
        found.push(wrong("/members", Code::Nobody, headline, "no approval could ever be complete"));
    }
    Some(Resolved {
        members,
        quorum: role.quorum.max(policy.quorum),
        own_run: role.own_run && policy.own_run,
        ..policy.clone()
    })
}

/// With `own_run: false` whoever runs the cutover cannot approve it, and that is one of the owners.
fn can_answer(role: &Role, owners: &[Principal]) -> bool {
    let all_owners = role.members.iter().all(|member| owners.contains(member));
    role.own_run || !all_owners || role.members.len() > role.quorum as usize
}

impl Roles {
    /// The rule of a step's approval; none when its role does not exist or is wrong itself.
    pub fn rule(&self, approval: &Approval, node: &Node, found: &mut Vec<Diagnostic>) -> Option<ApprovalRule> {
        let within_s = approval.within.whole_seconds();
        let at = || node.nearest("/approval/within").span.clone();
        if within_s == 0 {
            let wrong = Diagnostic::error(Code::TimeOrCount, "an approval within no time cannot be given");
            found.push(wrong.at(at(), "write `30m`"));
        } else if within_s > MOST_SECONDS {
            let wrong = Diagnostic::error(Code::TimeOrCount, "an approval may be waited for at most 12h");
            found.push(wrong.at(at(), "shorten it"));
        }
        let role = self.known(&approval.role, node.nearest("/approval/role").span.clone(), found)?;
        if let Some(most) = role.within_s.filter(|most| within_s > *most) {
            let most = crate::scalar::Duration::seconds(most);
            let headline = format!("the policy lets an approval of `{}` wait for at most {most}", approval.role);
            found.push(Diagnostic::error(Code::BelowPolicy, headline).at(at(), "shorten it"));
        }
        let covers_rollback = approval.covers == Some(Covers::Rollback);
        Some(ApprovalRule { covers_rollback, ..rule(&approval.role, role, within_s, approval.at_expiry) })
    }

    /// The rule an automatic rollback asks by.
    pub fn rollback_rule(&self, document: &Document, tree: &Node, found: &mut Vec<Diagnostic>) -> Option<ApprovalRule> {
        let name = &document.rollback.approval;
        if name == "none" {
            return None;
        }
        let role = self.known(name, place(tree, "/rollback/approval"), found)?;
        let within_s = role.within_s.map_or(ROLLBACK_WITHIN_S, |most| most.min(ROLLBACK_WITHIN_S));
        Some(rule(name, role, within_s, AtExpiry::Halt))
    }

    /// Who has to agree before users go back although the schema stands against it: the role made for that, or any owner. Never
    /// whoever runs it, and never by a word at their terminal.
    pub fn overriding(&self, document: &Document) -> ApprovalRule {
        const ROLE: &str = "schema.override";
        let own = Resolved {
            members: document.owners.iter().map(Principal::to_string).collect(),
            quorum: 1,
            own_run: false,
            evidence: EvidenceLevel::Signed,
            within_s: None,
        };
        let (name, role) = match self.roles.get(ROLE) {
            Some(role) => (ROLE, role),
            None => ("owners", &own),
        };
        let within_s = role.within_s.map_or(OVERRIDE_WITHIN_S, |most| most.min(OVERRIDE_WITHIN_S));
        let evidence = role.evidence.max(EvidenceLevel::Signed);
        let rule = rule(name, role, within_s, AtExpiry::Halt);
        ApprovalRule { own_run: false, evidence, even_by_hand: true, ..rule }
    }

    fn known(&self, name: &str, at: Range<usize>, found: &mut Vec<Diagnostic>) -> Option<&Resolved> {
        let role = self.roles.get(name);
        // A role that is wrong itself was named at its own place.
        if role.is_none() && !self.names.iter().any(|known| known == name) {
            let label = match self.names.as_slice() {
                [] => "the runbook has no `roles`".into(),
                names => meant(name, names.iter().map(String::as_str)),
            };
            found.push(Diagnostic::error(Code::UnknownName, format!("there is no role `{name}`")).at(at, label));
        }
        role
    }
}

fn rule(name: &str, role: &Resolved, within_s: u64, at_expiry: AtExpiry) -> ApprovalRule {
    ApprovalRule {
        role: name.into(),
        members: role.members.clone(),
        quorum: role.quorum,
        own_run: role.own_run,
        within_s,
        at_expiry,
        evidence: role.evidence,
        covers_rollback: false,
        even_by_hand: false,
    }
}
