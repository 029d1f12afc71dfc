//! The contract of a `program` route: what it is asked, and what an answer has. One request and one answer a call, each a JSON
//! object. Whether what came is an answer is not judged here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::document::object;
use crate::plan::Split;

/// The version this bgctl speaks: `bgctl_route` of every request and of `describe`'s answer.
pub const VERSION: u32 = 1;

/// What a program reads on its standard input: one line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Request<'a> {
    /// The version of this contract.
    pub bgctl_route: u32,
    #[serde(flatten)]
    pub call: Call<'a>,
    /// What the program knows the sides by, as the runbook has it.
    pub blue: &'a str,
    pub green: &'a str,
    /// `settings` of the runbook.
    pub settings: &'a Map<String, Value>,
    /// The program is ended after so many seconds.
    pub within_s: u64,
}

/// What is asked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum Call<'a> {
    /// What place this is. Asked once by each process, before anything else.
    Describe,
    /// The split as it is now. May come at the same time as `health`.
    Read,
    /// How many targets of a side would take users.
    Health { stack: &'a str },
    /// Make the split `to`, if it is still `from`. Everything else at the place stays as it is.
    Set {
        from: Weights,
        to: Weights,
        /// No other attempt of any run has this name, so a program can recognise one that it has seen.
        attempt: &'a str,
    },
    /// Whether that write is in force for users by now. Asked after `set` until it says so.
    Settle { attempt: &'a str },
    /// The command that makes the split `to` without bgctl and without this program, whatever the split is.
    ManualRollback { to: Weights },
    /// Of no version: only a trial asks it, to see that it is refused.
    NoSuchCall,
}

/// The weights of both sides: only their ratio matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Weights {
    #[schemars(range(max = 1_000_000))]
    pub blue: u32,
    #[schemars(range(max = 1_000_000))]
    pub green: u32,
}

/// Weights as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    blue: u32,
    green: u32,
}

/// From an object only: a list of two numbers would leave it to the reader which is which.
impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let Written { blue, green } = object(reader)?;
        Ok(Weights { blue, green })
    }
}

impl From<Split> for Weights {
    fn from(split: Split) -> Self {
        Weights { blue: split.blue, green: split.green }
    }
}

impl From<Weights> for Split {
    fn from(weights: Weights) -> Self {
        Split { blue: weights.blue, green: weights.green }
    }
}

/// The answer to `describe`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Described {
    pub bgctl_route: u32,
    /// One line a person recognises the place by.
    pub line: String,
    /// What a move changes, each thing under one name, the same whoever asks: two runs never change one thing at a time.
    #[schemars(length(min = 1, max = 100))]
    pub resources: Vec<String>,
    /// Whether users can be split, or are all on one side or the other.
    #[serde(default)]
    pub weights: Kinds,
    /// How long a reading may lag behind a write that was answered, in seconds.
    #[serde(default)]
    #[schemars(range(max = 3600))]
    pub settle_s: u64,
    /// How long a write whose answer was lost may still land, in seconds.
    #[schemars(range(max = 3600))]
    pub lands_within_s: u64,
    /// As whom the program acts there.
    #[serde(default)]
    pub identity: Option<String>,
}

/// Which splits a place can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kinds {
    #[default]
    Any,
    OneSide,
}

/// The answer to `read`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    pub weights: Weights,
    /// What is needed to put the place back exactly as it was, in the program's own form; up to 64 kB.
    #[serde(default)]
    pub state: Value,
    /// What a person should know before moving.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub remarks: Vec<String>,
}

/// The answer to `health`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Healthy {
    pub healthy: u32,
    pub total: u32,
    /// One line for each target that is not well, or why there is none.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub ailing: Vec<String>,
}

/// The answer to `set`: the write was sent, and taken.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The provider's name of the request, for the log.
    #[serde(default)]
    pub request: Option<String>,
}

/// The answer to `settle`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    pub settled: bool,
    /// What is still awaited.
    #[serde(default)]
    pub line: Option<String>,
}

/// The answer to `manual-rollback`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manual {
    /// Lines for a POSIX shell.
    pub command: String,
}

/// An answer to what nobody has to know.
#[derive(Clone, Debug, Deserialize)]
pub struct Nothing {}

/// In place of any answer: it was not done, and nothing was changed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    pub kind: Why,
    /// Lowercase fragment in the provider's own words.
    pub why: String,
    /// A command or an edit that cures it.
    #[serde(default)]
    pub cure: Option<String>,
    /// How long to wait before the next try, in seconds.
    #[serde(default)]
    #[schemars(range(max = 3600))]
    pub after_s: Option<u64>,
    /// With `drift`: the split that is there in place of `from`.
    #[serde(default)]
    pub found: Option<Weights>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The split is not `from`.
    Drift,
    NotFound,
    /// The provider does not take what was asked.
    Invalid,
    NoCredentials,
    Denied,
    /// Asked too often.
    Throttled,
    /// Possible, but not at this moment.
    NotNow,
    /// The provider gives no answer.
    Unreachable,
}

/// JSON Schema of the request and of every answer.
pub fn schema() -> Value {
    let mut generator = schemars::SchemaGenerator::default();
    let of = |name: &str, schema: schemars::Schema| (name.to_string(), schema.to_value());
    let refused = generator.subschema_for::<Refused>();
    let answers: BTreeMap<String, Value> = [
        of("describe", generator.subschema_for::<Described>()),
        of("read", generator.subschema_for::<Read>()),
        of("health", generator.subschema_for::<Healthy>()),
        of("set", generator.subschema_for::<Sent>()),
        of("settle", generator.subschema_for::<Settled>()),
        of("manual-rollback", generator.subschema_for::<Manual>()),
    ]
    .into();
    let request = generator.subschema_for::<Request>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("the contract of a `program` route, version {VERSION}"),
        "properties": {
            "request": request,
            "answer": { "properties": answers },
            "refused": { "properties": { "refused": refused }, "required": ["refused"], "additionalProperties": false },
        },
        "$defs": generator.take_definitions(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_and_every_answer_has_a_schema() {
        let text = schema().to_string();
        for name in ["describe", "read", "health", "set", "settle", "manual-rollback", "refused", "attempt", "found"] {
            assert!(text.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
