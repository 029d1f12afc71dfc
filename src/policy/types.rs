//! What a policy says, as types: the one source of parsing, of the JSON Schema and of its texts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

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
    pub to: Vec<Anchor>,
}

/// One place outside of the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "AnchorFields")]
#[schemars(with = "AnchorFields")]
pub enum Anchor {
    File(String),
    Git(GitAnchor),
    Slack(SlackAnchor),
    Rfc3161(Rfc3161Anchor),
}

/// A place outside of the log: exactly one kind.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Anchor")]
#[schemars(extend("oneOf" = [
    { "required": ["file"] }, { "required": ["git"] }, { "required": ["slack"] }, { "required": ["rfc3161"] }
]))]
struct AnchorFields {
    /// A folder on another disk or mount: `/mnt/audit`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    file: Option<String>,
    /// A note in a git repository.
    #[serde(default)]
    git: Option<GitAnchor>,
    /// A message in a Slack channel.
    #[serde(default)]
    slack: Option<SlackAnchor>,
    /// A time stamp of an RFC 3161 authority.
    #[serde(default)]
    rfc3161: Option<Rfc3161Anchor>,
}

/// A note in a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitAnchor {
    /// The repository, as `git -C` takes it: `.`.
    #[schemars(length(min = 1))]
    pub repository: String,
    /// Where the notes are kept: `refs/notes/bgctl`.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1))]
    pub reference: String,
}

/// A message in a Slack channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackAnchor {
    /// The channel's id: `C0123`.
    #[schemars(length(min = 1))]
    pub channel: String,
    /// The bot's token, as a reference: `${env:SLACK_BOT_TOKEN}`.
    #[schemars(extend("format" = "secret"))]
    pub token: String,
    /// The Slack Web API, for workspaces behind a gateway.
    #[serde(default = "SlackAnchor::api")]
    pub api: String,
}

impl SlackAnchor {
    /// Slack's own.
    pub fn api() -> String {
        "https://slack.com/api".into()
    }
}

/// A time stamp of an RFC 3161 authority.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rfc3161Anchor {
    /// The authority's address.
    #[schemars(extend("format" = "http-url"))]
    pub url: String,
    /// The authority's certificates, a file beside the policy: `tsa-ca.pem`.
    #[schemars(length(min = 1))]
    pub ca: String,
}

impl TryFrom<AnchorFields> for Anchor {
    type Error = &'static str;

    fn try_from(fields: AnchorFields) -> Result<Self, Self::Error> {
        match fields {
            AnchorFields { file: Some(path), git: None, slack: None, rfc3161: None } => Ok(Anchor::File(path)),
            AnchorFields { file: None, git: Some(git), slack: None, rfc3161: None } => Ok(Anchor::Git(git)),
            AnchorFields { file: None, git: None, slack: Some(slack), rfc3161: None } => Ok(Anchor::Slack(slack)),
            AnchorFields { file: None, git: None, slack: None, rfc3161: Some(tsa) } => Ok(Anchor::Rfc3161(tsa)),
            _ => Err("an anchor is exactly one of: file, git, slack, rfc3161"),
        }
    }
}

/// Who has to sign another policy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The role whose quorum signs it.
    pub role: String,
}
