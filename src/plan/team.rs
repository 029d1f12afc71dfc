//! The people of a plan, and how well they have to prove what they say. Whether somebody may do something is for others.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Principal;

/// How well an approval is proven, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceLevel {
    /// Typed at the terminal of whoever runs the cutover: only their word.
    #[default]
    Prompt,
    /// A button in Slack: Slack's word, and that of whoever operates the app.
    Slack,
    /// A signature with a key.
    Signed,
    /// A signature with a security key that was touched for it.
    SignedHw,
}

impl EvidenceLevel {
    /// `signed-hw`, as in YAML and records.
    pub fn name(self) -> &'static str {
        match self {
            EvidenceLevel::Prompt => "prompt",
            EvidenceLevel::Slack => "slack",
            EvidenceLevel::Signed => "signed",
            EvidenceLevel::SignedHw => "signed-hw",
        }
    }

    pub(super) fn is_least(&self) -> bool {
        *self == EvidenceLevel::Prompt
    }

    /// The level a record names.
    pub fn named(name: &str) -> Option<Self> {
        use EvidenceLevel::{Prompt, Signed, SignedHw, Slack};
        [Prompt, Slack, Signed, SignedHw].into_iter().find(|level| level.name() == name)
    }
}

/// One person with every name they sign or start jobs under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The names their keys stand under in the allowed signers.
    #[schemars(length(min = 1))]
    pub principals: Vec<Principal>,
    /// Their names at the CI system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ci: Vec<String>,
    /// Whether it is a human or a bot; a human when left out.
    #[serde(default, skip_serializing_if = "PersonKind::is_human")]
    pub kind: PersonKind,
}

impl Person {
    /// Whether this is one of the names they sign under.
    pub fn is(&self, principal: &str) -> bool {
        self.principals.iter().any(|name| *name == *principal)
    }

    /// The names they sign under.
    pub fn names(&self) -> String {
        self.principals.iter().map(Principal::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// The people of a plan, and how its run has to be signed: what the policy says, as it was when the plan was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// SHA-256 of the policy file, in hex.
    pub policy_sha256: String,
    pub persons: BTreeMap<String, Person>,
    /// A key that verifiers hold too may not seal the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_key_refused: bool,
    /// Only a security key may sign the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security_key_required: bool,
    /// A security key has to have verified its owner.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verify_required: bool,
}

impl Team {
    /// Without a policy every principal is a person of their own.
    pub fn is_empty(&self) -> bool {
        *self == Team::default()
    }

    /// Who signs under this name; nobody, where there is a policy that does not know it.
    pub fn person<'a>(&'a self, principal: &'a str) -> Option<&'a str> {
        if self.is_empty() {
            return Some(principal);
        }
        let of = self.persons.iter().find(|(_, person)| person.is(principal));
        of.map(|(name, _)| name.as_str())
    }

    /// The names under which these members of a role sign.
    pub fn principals<'a>(&'a self, members: &'a [String]) -> Vec<&'a str> {
        let of = |member: &'a String| match self.persons.get(member) {
            Some(person) => person.principals.iter().map(Principal::as_str).collect(),
            None if self.is_empty() => vec![member.as_str()],
            None => Vec::new(),
        };
        members.iter().flat_map(of).collect()
    }

    /// Who starts jobs under this name at the CI system; nobody, where there is a policy that does not know it.
    pub fn starter<'a>(&'a self, login: &'a str) -> Option<&'a str> {
        if self.is_empty() {
            return Some(login);
        }
        let of = self.persons.iter().find(|(_, person)| person.ci.iter().any(|name| name == login));
        of.map(|(name, _)| name.as_str())
    }

    /// Whether a person counts as one.
    pub fn is_human(&self, person: &str) -> bool {
        self.is_empty() || self.persons.get(person).is_some_and(|about| about.kind == PersonKind::Human)
    }
}

/// Whether a person is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PersonKind {
    #[default]
    Human,
    /// A job or service. It may run a cutover, and never counts as somebody who agrees.
    Bot,
}

impl PersonKind {
    fn is_human(&self) -> bool {
        *self == PersonKind::Human
    }
}
