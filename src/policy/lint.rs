//! What is wrong with a policy although its shape is right: quorums nobody can reach, names of nobody, one name for two.

use std::ops::Range;

use super::types::{PersonKind, Policy, SecurityKey};
use crate::diag::{Code, Diagnostic};
use crate::plan::EvidenceLevel;
use crate::runbook::{Node, meant};
use crate::sign::AllowedSigners;

/// The longest an approval may be waited for: the life of a session key.
const MOST_SECONDS: u64 = 12 * 3600;

struct Lint<'p> {
    policy: &'p Policy,
    tree: &'p Node,
    found: Vec<Diagnostic>,
}

/// Everything that shows in the file alone.
pub fn check(policy: &Policy, tree: &Node) -> Vec<Diagnostic> {
    let mut lint = Lint { policy, tree, found: Vec::new() };
    lint.persons();
    lint.roles();
    lint.rest();
    lint.found
}

impl Lint<'_> {
    fn value(&self, pointer: &str) -> Range<usize> {
        self.tree.nearest(pointer).span.clone()
    }

    fn key(&self, section: &str, name: &str) -> Range<usize> {
        let entry = self.tree.get(section).and_then(|node| node.entry(name));
        entry.map_or_else(|| self.value(&format!("/{section}")), |entry| entry.key_span.clone())
    }

    fn error(&mut self, code: Code, at: Range<usize>, headline: String, label: impl Into<String>) {
        self.found.push(Diagnostic::error(code, headline).at(at, label));
    }

    fn warning(&mut self, code: Code, at: Range<usize>, headline: String, label: impl Into<String>) {
        self.found.push(Diagnostic::warning(code, headline).at(at, label));
    }

    /// Every name belongs to one person, and is a name and no pattern.
    fn persons(&mut self) {
        let mut seen: Vec<(&str, &str, &str, Range<usize>)> = Vec::new();
        for (name, person) in &self.policy.persons {
            let principals = person.principals.iter().map(|name| name.as_str());
            let names = principals.map(|name| ("principals", name)).enumerate();
            for (n, (list, word)) in names.chain(person.ci.iter().map(|name| ("ci", name.as_str())).enumerate()) {
                let at = self.value(&format!("/persons/{name}/{list}/{n}"));
                if list == "ci" && (word.is_empty() || word.chars().any(|c| c.is_whitespace() || "*?!,\"".contains(c)))
                {
                    let headline = format!("`{word}` in `ci` of `{name}` is not one name");
                    self.error(
                        Code::PolicyName,
                        at,
                        headline,
                        "write a name as the CI system has it; a pattern would be several people",
                    );
                    continue;
                }
                let before = seen.iter().find(|(l, w, ..)| *l == list && *w == word);
                match before.cloned() {
                    Some((_, _, other, first)) if other == name => {
                        let headline = format!("`{word}` stands twice under `{name}`");
                        let wrong = Diagnostic::error(Code::PolicyName, headline).at(at, "once is enough");
                        self.found.push(wrong.context(first, "the first one"));
                    }
                    Some((_, _, other, first)) => {
                        let headline = format!("`{word}` is both `{other}` and `{name}`");
                        let wrong = Diagnostic::error(Code::PolicyName, headline);
                        let wrong = wrong.at(at, "a name belongs to one person, or a quorum counts one twice");
                        self.found.push(wrong.context(first, format!("here it is `{other}`")));
                    }
                    None => seen.push((list, word, name, at)),
                }
            }
        }
    }

    fn roles(&mut self) {
        let names: Vec<String> = self.policy.persons.keys().cloned().collect();
        for (name, role) in &self.policy.roles {
            let (mut people, mut unknown) = (0, false);
            for (n, member) in role.members.iter().enumerate() {
                let at = self.value(&format!("/roles/{name}/members/{n}"));
                if role.members[..n].contains(member) {
                    let headline = format!("`{member}` is in role `{name}` twice");
                    self.error(Code::PolicyImpossible, at, headline, "people count once");
                    continue;
                }
                let Some(person) = self.policy.persons.get(member) else {
                    let of = self.policy.persons.iter().find(|(_, p)| p.is(member) || p.ci.contains(member));
                    let label = match of {
                        Some((person, _)) => format!("that is `{person}`: members are named as under `persons`"),
                        None => meant(member, names.iter().map(String::as_str)),
                    };
                    let headline = format!("there is no person `{member}`");
                    self.error(Code::UnknownName, at, headline, label);
                    unknown = true;
                    continue;
                };
                if person.kind == PersonKind::Bot {
                    let headline = format!("`{member}` in role `{name}` is a bot");
                    self.warning(
                        Code::PolicyDoubtful,
                        at,
                        headline,
                        "it may hold the role, but its approval never counts",
                    );
                } else {
                    people += 1;
                }
            }
            let quorum = role.quorum as usize;
            let quorum_at = match self.tree.nearest(&format!("/roles/{name}")).get("quorum") {
                Some(node) => node.span.clone(),
                None => self.key("roles", name),
            };
            if unknown {
                // How many they are is not known before that is mended.
            } else if quorum > people {
                let headline = format!("role `{name}` wants {quorum} people to agree and has {people}");
                self.error(Code::PolicyImpossible, quorum_at, headline, "no approval could ever be complete");
            } else if !role.own_run && quorum == people {
                let headline = format!("a run of any member of `{name}` could never be approved");
                let label = "all of them have to approve, and the person who runs the cutover may not: add a person";
                self.warning(Code::PolicyDoubtful, quorum_at, headline, label);
            }
            if let Some(within) = &role.within {
                let at = self.value(&format!("/roles/{name}/within"));
                match within.whole_seconds() {
                    0 => {
                        let headline = "an approval within no time cannot be given".to_string();
                        self.error(Code::TimeOrCount, at, headline, "write `30m`");
                    }
                    seconds if seconds > MOST_SECONDS => {
                        let headline = "an approval may be waited for at most 12h".to_string();
                        self.error(Code::TimeOrCount, at, headline, "shorten it");
                    }
                    _ => {}
                }
            }
            if role.evidence == EvidenceLevel::Prompt && !role.own_run {
                let headline =
                    format!("role `{name}` takes a typed word, but forbids the runner, who alone can type it");
                let label = "what is typed at the runner's terminal is the runner's word: take `signed`";
                self.warning(Code::PolicyDoubtful, self.value(&format!("/roles/{name}/evidence")), headline, label);
            }
        }
    }

    fn rest(&mut self) {
        match &self.policy.change {
            Some(change) if !self.policy.roles.contains_key(&change.role) => {
                let names: Vec<&str> = self.policy.roles.keys().map(String::as_str).collect();
                let (at, label) = (self.value("/change/role"), meant(&change.role, names));
                self.error(Code::UnknownName, at, format!("there is no role `{}`", change.role), label);
            }
            Some(_) => {}
            None => {
                let at = self.tree.entry("bgctl_policy").map_or(0..0, |entry| entry.key_span.clone());
                let headline = "every writer of this file can change who may approve".to_string();
                self.warning(
                    Code::PolicyUnguarded,
                    at,
                    headline,
                    "add `change: { role: … }`: then a new policy needs their signatures",
                );
            }
        }
        if let Some(anchors) = &self.policy.anchors
            && anchors.required as usize > anchors.to.len()
        {
            let at = self.value("/anchors/required");
            let headline = format!("{} anchors are required and {} are named", anchors.required, anchors.to.len());
            self.error(Code::PolicyImpossible, at, headline, "no run could ever begin");
        }
        let signing = &self.policy.signing;
        if signing.verify_required && signing.security_key != SecurityKey::Required {
            let at = self.value("/signing/verify_required");
            let headline = "`verify_required` says nothing about keys in files".to_string();
            self.warning(Code::PolicyDoubtful, at, headline, "add `security_key: required`");
        }
    }
}

/// What shows only beside the allowed signers.
pub fn beside(policy: &Policy, tree: &Node, signers: &AllowedSigners) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut keys: Vec<(String, &str, Range<usize>)> = Vec::new();
    for (name, person) in &policy.persons {
        let mut any = false;
        for (n, principal) in person.principals.iter().enumerate() {
            let at = tree.nearest(&format!("/persons/{name}/principals/{n}")).span.clone();
            for key in signers.keys(principal) {
                any = true;
                let fingerprint = key.fingerprint();
                match keys.iter().find(|(known, ..)| *known == fingerprint) {
                    Some((_, other, first)) if *other != name => {
                        let headline = format!("`{other}` and `{name}` have one key");
                        let label = format!("{fingerprint}: one key is one person");
                        let wrong = Diagnostic::error(Code::PolicyName, headline).at(at.clone(), label);
                        found.push(wrong.context(first.clone(), format!("here it is `{other}`")));
                    }
                    Some(_) => {}
                    None => keys.push((fingerprint, name, at.clone())),
                }
            }
        }
        let holds = policy.roles.iter().find(|(_, role)| role.members.contains(name));
        if let (false, Some((role, _))) = (any, holds) {
            let at = tree.get("persons").and_then(|node| node.entry(name)).map_or(0..0, |e| e.key_span.clone());
            let headline = format!("`{name}` holds the role `{role}` and has no key in the allowed signers");
            let label = "add a line for one of their principals; until then they cannot agree to anything";
            found.push(Diagnostic::warning(Code::PolicyDoubtful, headline).at(at, label));
        }
    }
    found
}
