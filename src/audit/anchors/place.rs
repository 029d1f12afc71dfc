//! Anchors as somebody names them: in a policy by a key with settings, on a command line as `file:DIR`, `git:REF`,
//! `slack:CHANNEL`, `rfc3161:URL`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::{KINDS, Kind};

/// One place outside of the log: exactly one kind with its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub kind: &'static Kind,
    /// With every default filled in; secrets are references.
    pub settings: Value,
}

impl Named {
    fn new(kind: &'static Kind, settings: &Value) -> Result<Self, String> {
        Ok(Named { kind, settings: (kind.whole)(settings)? })
    }

    /// As it is named on a command line.
    pub fn place(&self) -> String {
        (self.kind.place)(&self.settings)
    }

    /// Nobody is asked there without a secret.
    pub fn has_secret(&self) -> bool {
        self.settings.to_string().contains("${")
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        let mut kinds = KINDS.iter().filter_map(|kind| Some((kind, fields.get(kind.name)?)));
        match (kinds.next(), fields.len()) {
            (Some((kind, settings)), 1) => Named::new(kind, settings).map_err(D::Error::custom),
            _ => Err(D::Error::custom(format!("an anchor is exactly one of: {}", known(", ")))),
        }
    }
}

impl JsonSchema for Named {
    fn schema_name() -> Cow<'static, str> {
        "Anchor".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys: Map<String, Value> =
            KINDS.iter().map(|kind| (kind.name.to_string(), (kind.schema)(generator).to_value())).collect();
        let one_of: Vec<Value> = KINDS.iter().map(|kind| json!({ "required": [kind.name] })).collect();
        schemars::json_schema!({
            "description": "A place outside of the log: exactly one kind.",
            "type": "object", "properties": keys, "additionalProperties": false, "oneOf": one_of
        })
    }
}

fn known(between: &str) -> String {
    KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(between)
}

/// Reads the name of a place; a path alone is a folder. `ca` is the file of an authority's certificates.
pub fn parse(text: &str, ca: Option<&str>) -> Result<Named, String> {
    let (name, rest) = match text.split_once(':') {
        Some(parts) => parts,
        None if KINDS.iter().any(|kind| kind.alone && kind.name == text) => (text, ""),
        None => ("file", text),
    };
    match KINDS.iter().find(|kind| kind.name == name) {
        Some(kind) => {
            let settings = (kind.named)(rest, ca).map_err(|what| format!("`{text}` needs {what}"))?;
            Named::new(kind, &settings)
        }
        None if text.contains('/') => parse(&format!("file:{text}"), ca),
        None => Err(format!("`{name}` is not a kind of anchor; known are {}", known(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_or_its_mistake_is_named() {
        let place = |text: &str, ca| parse(text, ca).map(|named| (named.kind.name, named.settings));
        let file = |path: &str| Ok(("file", json!(path)));
        assert_eq!(place("file:/mnt/audit", None), file("/mnt/audit"));
        assert_eq!(place("/mnt/audit", None), file("/mnt/audit"));
        assert_eq!(place("audit", None), file("audit"));
        assert_eq!(place("git", None), file("git"));
        assert_eq!(place("/mnt/a:b", None), file("/mnt/a:b"));
        let git = json!({ "repository": ".", "ref": "refs/notes/bgctl" });
        assert_eq!(place("git:refs/notes/bgctl", None), Ok(("git", git)));
        let slack = parse("slack:C0123", None).unwrap();
        assert_eq!(slack.settings["token"], "${env:SLACK_BOT_TOKEN}");
        assert_eq!(slack.settings["api"], "https://slack.com/api");
        assert!(slack.has_secret() && slack.place() == "slack:C0123");
        let authority = json!({ "url": "https://tsa.test/", "ca": "ca.pem" });
        assert_eq!(place("rfc3161:https://tsa.test/", Some("ca.pem")), Ok(("rfc3161", authority)));
        assert!(place("rfc3161", Some("ca.pem")).is_ok());
        for text in ["rfc3161:https://tsa.test/", "rfc3161"] {
            assert!(parse(text, None).unwrap_err().contains("--ca"));
        }
        assert!(parse("s3:bucket", None).unwrap_err().contains("known are file"));
        assert!(parse("file:", None).unwrap_err().contains("needs a folder"));
    }
}
