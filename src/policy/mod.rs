//! The team's policy: who is which person, who holds which role, how well approvals and runs must be signed, and where heads
//! of logs are anchored. From the bytes of `.bgctl/policy.yaml` to typed values, or to every mistake in it at once.
//!
//! Standing in the allowed signers gives nobody a role: only this file does. Nothing here decides whether an approval
//! counts, asks a system, or reads a secret.

mod change;
mod compare;
mod lint;
mod types;

pub use change::{Changed, SIGNATURES, judge};
pub use compare::compare;
pub use types::{Anchors, Change, Person, PersonKind, Policy, Role, SecurityKey, SharedKey, Signing};

use serde_json::Value;

use crate::diag::{Diagnostic, Severity};
use crate::plan;
use crate::runbook::{self, Node, Source};
use crate::sign::AllowedSigners;

/// A policy file that was read: what it says, where everything in it stands, and what it is known by.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    pub source: Source,
    /// SHA-256 of the file's text, in hex: what the opening statement of a run binds.
    pub sha256: String,
    pub policy: Policy,
    pub tree: Node,
    /// What may be meant and is worth a second look.
    pub warnings: Vec<Diagnostic>,
}

impl PolicyFile {
    /// Reads a policy, or says everything that is wrong with it.
    pub fn parse(source: Source) -> Result<Self, Vec<Diagnostic>> {
        let (policy, tree) = runbook::read_as::<Policy>(&source.text, &schema(), "the policy")?;
        let found = runbook::sorted(lint::check(&policy, &tree));
        if found.iter().any(|d| d.severity == Severity::Error) {
            return Err(found);
        }
        let sha256 = plan::sha256(source.text.as_bytes());
        Ok(PolicyFile { source, sha256, policy, tree, warnings: found })
    }

    /// What only shows beside the allowed signers: people without a key, and one key under two people.
    pub fn beside(&self, signers: &AllowedSigners) -> Vec<Diagnostic> {
        runbook::sorted(lint::beside(&self.policy, &self.tree, signers))
    }
}

/// Whether a YAML text is a policy, as far as its first lines say.
pub fn is_policy(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("bgctl_policy:"))
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Policy>().to_value();
    schema["title"] = "bgctl policy".into();
    schema
}
