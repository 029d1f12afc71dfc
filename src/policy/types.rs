//! What a policy says, as types: the one source of parsing, of the JSON Schema and of its texts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::audit::anchors::Named;
use crate::plan::EvidenceLevel;
pub use crate::plan::{Person, PersonKind};
use crate::scalar::Duration;

/// Who a team's people are, who of them may approve what, how runs are signed, and where the heads of their logs are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The version of this language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub bgctl_policy: u32,
    /// The people, each with every name they sign or start jobs under. Nobody else holds a role.
    pub persons: BTreeMap<String, Person>,
    /// Who may approve, and how many of them have to.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// How runs and approvals have to be signed.
    #[serde(default)]
    pub signing: Signing,
    /// Where the heads of logs are kept outside of the log.
    #[serde(default)]
    pub anchors: Option<Anchors>,
    /// Who has to sign another policy before it takes the place of this one.
    #[serde(default)]
    pub change: Option<Change>,
}

/// A group of people who approve.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The people, by their names under `persons`.
    #[schemars(length(min = 1))]
    pub members: Vec<String>,
    /// How many of them have to agree; 1 when left out.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub quorum: u32,
    /// The longest an approval may be waited for. A runbook may ask for less.
    #[serde(default)]
    pub within: Option<Duration>,
    /// The weakest proof that counts: `signed-hw`, `signed`, `slack` or `prompt`; `signed` when left out.
    #[serde(default = "signed")]
    pub evidence: EvidenceLevel,
    /// Whether a member who runs the cutover may approve it.
    #[serde(default)]
    pub own_run: bool,
}

fn one() -> u32 {
    1
}

fn signed() -> EvidenceLevel {
    EvidenceLevel::Signed
}

/// How runs and approvals have to be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Whether a run may be sealed with a key that its verifiers hold too.
    #[serde(default)]
    pub shared_key: SharedKey,
    /// Whether runs have to be signed with a key that lives in hardware.
    #[serde(default)]
    pub security_key: SecurityKey,
    /// Whether a security key has to have verified its owner (PIN or finger), not only their presence.
    #[serde(default)]
    pub verify_required: bool,
}

/// Whether a run may be sealed with a shared key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SharedKey {
    /// It may, and every reader is told that whoever can check it could have written it.
    #[default]
    Allowed,
    /// It may not.
    Refused,
}

/// Whether a key in hardware is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecurityKey {
    #[default]
    Optional,
    /// Only `sk-…` keys may sign a run.
    Required,
}

/// Where the heads of logs are kept outside of the log.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anchors {
    /// How many of them must have taken the head of a run before its first user moves; 0 when left out.
    #[serde(default)]
    #[schemars(range(max = 20))]
    pub required: u32,
    /// The places, all of which are tried.
    #[schemars(length(min = 1))]
    pub to: Vec<Named>,
}

/// Who has to sign another policy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The role whose quorum signs it.
    pub role: String,
}
