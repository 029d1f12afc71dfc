//! One side of the cutover, and where it says which version it runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One side of the cutover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    pub version: String,
    pub url: String,
    /// What the runbook calls it, where that is not the name of its colour: `a` or `b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What metrics call it, where that is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What is sent along to it, where a load balancer chooses it by a header. Secrets are references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl Stack {
    /// It in one word for people: `v1.4.2`, or `v1.4.2 at b`.
    pub fn named(&self) -> String {
        match &self.name {
            Some(name) => format!("{} at {name}", self.version),
            None => self.version.clone(),
        }
    }
}

/// Where a stack says which version it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionAt {
    /// What is asked at the stack's own address: `/version`.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// The response header that carries the version.
    #[schemars(length(min = 1, max = 100))]
    pub header: String,
}
