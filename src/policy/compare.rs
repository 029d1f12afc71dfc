//! The rules a run was judged by against a policy of one's own: whatever was laxer then than here, in words.

use super::types::{Policy, Role, SecurityKey, SharedKey};
use crate::plan::{ApprovalRule, LAB, Person, Plan, PlannedStep, Purpose};

/// Where the plan's rules are laxer than this policy's, or speak of other people.
pub fn compare(plan: &Plan, policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    for (name, person) in &plan.team.persons {
        match policy.persons.get(name) {
            None => found.push(format!("the plan knows a person `{name}`, and this policy does not")),
            Some(here) => found.extend(other_names(name, person, here)),
        }
    }
    for step in plan.forward.iter().chain(&plan.rollback) {
        if let Some(rule) = &step.approval {
            found.extend(laxer(plan, step, rule, policy));
        }
    }
    found.extend(unasked(plan, policy));
    let (team, signing) = (&plan.team, &policy.signing);
    if signing.shared_key == SharedKey::Refused && !team.shared_key_refused {
        found.push("the plan lets a shared key seal the run, and this policy refuses those".into());
    }
    if signing.security_key == SecurityKey::Required && !team.security_key_required {
        found.push("the plan lets any key sign the run, and this policy wants a security key".into());
    }
    if signing.verify_required && !team.verify_required {
        found.push("the plan takes security keys that were only touched, and this policy wants them verified".into());
    }
    found
}

/// A policy that says who approves runs, and a run that asked nobody before it moved users. A rehearsal has no users, and going
/// back waits for nobody.
fn unasked(plan: &Plan, policy: &Policy) -> Vec<String> {
    let changes = policy.change.as_ref().map(|change| change.role.as_str());
    let roles: Vec<&str> = policy.roles.keys().map(String::as_str).filter(|role| Some(*role) != changes).collect();
    let asked = plan.forward.iter().any(|step| step.approval.is_some());
    if asked || roles.is_empty() || plan.purpose != Purpose::Cutover || plan.environment == LAB {
        return Vec::new();
    }
    let moves = plan.forward.iter().filter_map(|step| Some((&step.id, &step.moves.as_ref()?.route)));
    let needed = roles.join("` or `");
    moves
        .map(|(id, route)| {
            format!("`{id}` moves users of `{route}`, and no step of the plan asks `{needed}` of this policy")
        })
        .collect()
}

/// A name that is one person's there and not here could make two people of one, or one of two.
fn other_names(name: &str, there: &Person, here: &Person) -> Option<String> {
    let same = there.principals == here.principals && there.ci == here.ci && there.kind == here.kind;
    (!same).then(|| {
        let names = |person: &Person| [person.names(), person.ci.join(", ")].join(" / ");
        format!("`{name}` is {} in the plan and {} in this policy", names(there), names(here))
    })
}

fn laxer(plan: &Plan, step: &PlannedStep, rule: &ApprovalRule, policy: &Policy) -> Vec<String> {
    let (id, role) = (&step.id, &rule.role);
    let Some(here) = policy.roles.get(role) else {
        return vec![format!("`{id}` was approved by the role `{role}`, which this policy does not have")];
    };
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("`{id}`: {what}"));
    let Role { quorum, evidence, own_run, .. } = here;
    if rule.quorum < *quorum {
        say(format!("{} of `{role}` were enough, and this policy asks for {quorum}", rule.quorum));
    }
    if rule.evidence < *evidence {
        say(format!("`{}` was enough, and this policy asks for `{}`", rule.evidence.name(), evidence.name()));
    }
    if rule.own_run && !own_run {
        say("the runner could approve it, and in this policy may not".into());
    }
    if here.within.as_ref().is_some_and(|most| rule.within_s > most.whole_seconds()) {
        say(format!("it could wait for {}s, longer than this policy lets it", rule.within_s));
    }
    for member in &rule.members {
        let holds = match plan.team.is_empty() {
            // Without a policy members are named as they sign.
            true => here.members.iter().any(|name| policy.persons.get(name).is_some_and(|person| person.is(member))),
            false => here.members.contains(member),
        };
        if !holds {
            say(format!("`{member}` could approve it, and holds no role `{role}` in this policy"));
        }
    }
    found
}
