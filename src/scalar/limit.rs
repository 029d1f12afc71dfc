//! The limit of a gate. Unlike the other scalars it may be a bare number, so it reads and describes itself.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::{Duration, Unit};

/// A limit of a gate: `0.5%` (the query gives 0.005), `800ms` (the query gives seconds) or a plain number.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    text: String,
    pub value: f64,
    pub unit: Unit,
}

impl Limit {
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "`{text}` is not a limit; write a percentage, a duration or a number, such as `0.5%`, `800ms` or `0`"
            )
        };
        let finite = |number: &str| number.trim().parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(wrong);
        let (value, unit) = if let Some(number) = text.strip_suffix('%') {
            (finite(number)? / 100.0, Unit::Percent)
        } else if text.ends_with(|c: char| c.is_ascii_alphabetic()) {
            (Duration::parse(text).map_err(|_| wrong())?.time.as_secs_f64(), Unit::Seconds)
        } else {
            (finite(text)?, Unit::Number)
        };
        Ok(Limit { text: text.into(), value, unit })
    }
}

impl Limit {
    /// The same limit for a value of one in place of hundredths: a bare number becomes a percentage.
    pub fn hundredths(&self) -> Limit {
        match self.unit {
            Unit::Number => Limit { text: format!("{}%", self.text), value: self.value / 100.0, unit: Unit::Percent },
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A limit may also be a bare number, so its schema has two shapes.
impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a percentage, a duration or a number, such as `0.5%`, `800ms` or `0`",
            "anyOf": [
                { "type": "number" },
                { "type": "string", "format": "limit", "pattern": r"^-?[0-9.]+\s*(%|ms|s|m|h)?$" }
            ]
        })
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        Limit::parse(&text).map_err(de::Error::custom)
    }
}
