//! The JSON Schema of a runbook: made from the types, with one key for each row of the tables of kinds.
//!
//! Editors read it (`bgctl schema`), and the walk that reports every mistake at once reads it too, so the two cannot
//! disagree.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::types::Document;
use crate::gates::source;
use crate::{routers, steps};

/// The tables a runbook's keys come from.
#[derive(Clone, Copy)]
pub struct Kinds {
    pub steps: &'static [steps::Kind],
    pub routers: &'static [routers::Kind],
}

impl Default for Kinds {
    fn default() -> Self {
        Kinds { steps: steps::KINDS, routers: routers::KINDS }
    }
}

/// The schema, draft 2020-12.
pub fn schema(kinds: &Kinds) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let of_step = kinds.steps.iter().map(|k| (k.name, (k.schema)(&mut generator).to_value())).collect();
    let of_route = kinds.routers.iter().map(|k| (k.name, (k.schema)(&mut generator).to_value())).collect();
    let of_source: Vec<_> = source::KINDS.iter().map(|k| (k.name, (k.schema)(&mut generator).to_value())).collect();
    let mut schema = generator.into_root_schema_for::<Document>().to_value();
    schema["title"] = json!("bgctl runbook");
    kinds_into(&mut schema["$defs"]["Step"], of_step);
    kinds_into(&mut schema["$defs"]["Route"], of_route);
    for asks in ["Gate", "Number"] {
        kinds_into(&mut schema["$defs"][asks], of_source.clone());
    }
    schema
}

/// Adds the keys of a table, exactly one of which has to be given.
fn kinds_into(schema: &mut Value, kinds: Vec<(&'static str, Value)>) {
    let one_of: Vec<Value> = kinds.iter().map(|(name, _)| json!({ "required": [name] })).collect();
    let properties = schema["properties"].as_object_mut().expect("BUG: a struct has properties");
    properties.extend(kinds.into_iter().map(|(name, kind)| (name.to_string(), kind)));
    schema["oneOf"] = Value::Array(one_of);
}

/// The keys of which exactly one has to be given, where a schema asks for that.
pub(super) fn one_of_keys(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    let keys: Option<Vec<&str>> = schema
        .get("oneOf")?
        .as_array()?
        .iter()
        .map(|choice| match choice["required"].as_array()?.as_slice() {
            [one] => one.as_str(),
            _ => None,
        })
        .collect();
    keys
}
