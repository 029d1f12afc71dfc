//! A person's name as keys stand under it: an address, and nothing that could be more than one.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

/// A name of the form `local@domain`: no blanks, controls, quotes or wildcards, so that it is one name wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(String);

/// The longest name: what a mail address may be.
const LONGEST: usize = 254;

impl Principal {
    /// Reads a name, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '/' | ':' | '=' | '%');
        let part = |part: &str| !part.is_empty() && part.chars().all(good);
        match text.split_once('@') {
            Some((local, domain)) if text.len() <= LONGEST && part(local) && part(domain) => Ok(Principal(text.into())),
            _ => Err(format!("`{}` is not a person's name", text.escape_debug())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Principal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Principal::parse(text)
    }
}

impl Deref for Principal {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Principal {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Principal {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Principal {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Principal::parse(&Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Principal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Principal {
    fn schema_name() -> Cow<'static, str> {
        "Principal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "principal", "maxLength": LONGEST,
            "pattern": r"^[A-Za-z0-9._+/:=%-]+@[A-Za-z0-9._+/:=%-]+$",
            "description": "a person's name as the allowed signers have it: `you@example.com`"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_name() {
        for good in ["you@example.com", "a.b+c@x", "repo:org/bot@ci", "a-b_c@host"] {
            assert_eq!(Principal::parse(good).unwrap().as_str(), good);
        }
        let long = format!("{}@x", "a".repeat(253));
        for bad in [
            "",
            " ",
            "@",
            "a@",
            "@b",
            "carol",
            "*",
            "*@x",
            "a@*",
            "a?@x",
            "!a@x",
            "a,b@x",
            "a@x b",
            "a@x\n",
            "a\u{7}@x",
            "\"a\"@x",
            "'a'@x",
            "a@b@c",
            "a@x ssh-ed25519 AAAA",
            "\u{202e}a@x",
            "ä@x",
            "${env:A}@x",
            long.as_str(),
        ] {
            assert!(Principal::parse(bad).is_err(), "{bad:?}");
            assert!(serde_json::from_value::<Principal>(bad.into()).is_err(), "{bad:?}");
        }
    }
}
