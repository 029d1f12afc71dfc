//! `policy.page`: a word for a channel whose secret is in the usual variable, or the channel with its secret.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::people::pager::KINDS;

/// A way to call a person, as the pager takes it: a kind with its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Page(pub Value);

impl Page {
    /// The reference a word stands for.
    pub fn reference(word: &str) -> Option<&'static str> {
        KINDS.iter().find(|kind| kind.name == word)?.usual
    }
}

impl<'de> Deserialize<'de> for Page {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Page(match Value::deserialize(deserializer)? {
            Value::String(word) => {
                let reference = Page::reference(&word).ok_or_else(|| serde::de::Error::custom("an unknown word"))?;
                json!({ word: reference })
            }
            other => other,
        }))
    }
}

impl JsonSchema for Page {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Page".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<&str> = KINDS.iter().filter(|kind| kind.usual.is_some()).map(|kind| kind.name).collect();
        let keys: Map<String, Value> =
            KINDS.iter().flat_map(|kind| (kind.keys)()).map(|(key, schema)| (key.to_string(), schema)).collect();
        let one_of: Vec<Value> = KINDS.iter().map(|kind| json!({ "required": [kind.name] })).collect();
        schemars::json_schema!({
            "description": "A way to call a person.",
            "anyOf": [
                { "type": "string", "enum": words },
                { "type": "object", "properties": keys, "additionalProperties": false, "oneOf": one_of }
            ]
        })
    }
}
