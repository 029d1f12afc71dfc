//! Owners, roles and approvals: whether those who have to agree can.

use super::{MOST_SECONDS, key, place};
use crate::diag::Diagnostic;
use crate::plan::ApprovalRule;
use crate::plan::AtExpiry;
use crate::runbook::{Approval, Document, Node, Role};

/// How long an automatic rollback waits for the role the runbook wants to ask.
const ROLLBACK_WITHIN_S: u64 = 600;

/// Owners and roles by themselves.
pub fn check(document: &Document, tree: &Node) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if document.owners.is_empty() {
        found.push(
            Diagnostic::error("BG0115", "nobody owns this cutover")
                .at(key(tree, "owners"), "name who answers for it: one of their keys signs the run"),
        );
    }
    for (n, _) in document.owners.iter().enumerate().filter(|(_, owner)| owner.trim().is_empty()) {
        found.push(
            Diagnostic::error("BG0115", "an owner without a name")
                .at(place(tree, &format!("/owners/{n}")), "write an address, as the allowed signers file has it"),
        );
    }
    for (name, role) in &document.roles {
        let Some(entry) = tree.get("roles").and_then(|roles| roles.entry(name)) else { continue };
        let mut wrong = |pointer: &str, headline: String, label: &str| {
            let at = entry.node.nearest(pointer);
            let span = if std::ptr::eq(at, &entry.node) { entry.key_span.clone() } else { at.span.clone() };
            found.push(Diagnostic::error("BG0115", headline).at(span, label));
        };
        let members = role.members.len();
        if members == 0 {
            wrong("/members", format!("role `{name}` has no members"), "name at least one person");
            continue;
        }
        for (n, member) in role.members.iter().enumerate() {
            if role.members[..n].contains(member) {
                wrong(&format!("/members/{n}"), format!("`{member}` is in role `{name}` twice"), "people count once");
            }
        }
        if role.quorum as usize > members {
            let headline = format!("role `{name}` wants {} people to agree and has {members}", role.quorum);
            wrong("/quorum", headline, "no approval could ever be complete");
        } else if !can_answer(role, &document.owners) {
            let headline = format!("nobody of role `{name}` could approve a run of its own owner");
            wrong("/members", headline, "add somebody who is not an owner, or say `own_run: true`");
        }
    }
    found
}

/// With `own_run: false` whoever runs the cutover cannot approve it, and that is one of the owners.
fn can_answer(role: &Role, owners: &[String]) -> bool {
    let all_owners = role.members.iter().all(|member| owners.contains(member));
    role.own_run || !all_owners || role.members.len() > role.quorum as usize
}

/// The rule of a step's approval; none when its role does not exist, which `names` has said.
pub fn rule(
    approval: &Approval,
    document: &Document,
    node: &Node,
    found: &mut Vec<Diagnostic>,
) -> Option<ApprovalRule> {
    let within_s = approval.within.whole_seconds();
    let place = || node.nearest("/approval/within").span.clone();
    if within_s == 0 {
        found
            .push(Diagnostic::error("BG0113", "an approval within no time cannot be given").at(place(), "write `30m`"));
    } else if within_s > MOST_SECONDS {
        found.push(Diagnostic::error("BG0113", "an approval may be waited for at most 12h").at(place(), "shorten it"));
    }
    of_role(&approval.role, within_s, approval.at_expiry, document)
}

/// The rule an automatic rollback asks by.
pub fn rollback_rule(document: &Document) -> Option<ApprovalRule> {
    of_role(&document.rollback.approval, ROLLBACK_WITHIN_S, AtExpiry::Halt, document)
}

fn of_role(name: &str, within_s: u64, at_expiry: AtExpiry, document: &Document) -> Option<ApprovalRule> {
    let role = document.roles.get(name)?;
    Some(ApprovalRule {
        role: name.into(),
        members: role.members.clone(),
        quorum: role.quorum,
        own_run: role.own_run,
        within_s,
        at_expiry,
    })
}
