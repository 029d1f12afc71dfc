//! Who did something, as records name them.
//!
//! A file format from the first release: names and members are only ever added.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Stands for whoever did something without a key that can say who it was.
pub const NOBODY: &str = "somebody (nobody signed)";

/// Who did something: a person by name, or bgctl by rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub name: String,
    /// `prompt`, `signature`, `signal`, `key`, `rule`, `command`, `ci`.
    pub via: String,
}

impl Actor {
    /// Somebody whose key did not sign, and whom no CI system names.
    pub fn nobody(via: &str) -> Self {
        Actor { name: NOBODY.into(), via: via.into() }
    }

    pub fn rule() -> Self {
        Actor { name: "bgctl".into(), via: "rule".into() }
    }
}

/// One person's signed or typed agreement (or refusal).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub principal: String,
    /// `signed-hw`, `signed` or `prompt`.
    pub evidence: String,
    /// `SHA256:…` of the key, for a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The armored SSHSIG over the request, for a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// The text shown and what was typed, for a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Value>,
}
