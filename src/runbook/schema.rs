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

/// The schema for editors: what says something for `blue` and `green` may say it for `a` and `b`. The walk reads a tree in which
/// these have become blue and green.
pub fn for_editors(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let definitions = &mut schema["$defs"];
    definitions["StackSection"]["required"] = json!(["url"]);
    // Whatever says something for each stack is told by what it is about; steps go on speaking of blue and green.
    let mut places: Vec<String> = ["Stacks", "Sides"].map(String::from).to_vec();
    for holder in ["Route", "Gate", "Number"] {
        let kinds = definitions[holder]["properties"].as_object().into_iter().flat_map(|kinds| kinds.keys());
        places.extend(kinds.map(|kind| format!("{holder}/properties/{}", kind.replace('~', "~0").replace('/', "~1"))));
    }
    for place in places {
        let found = definitions.pointer(&format!("/{place}"));
        let defined = found.and_then(|found| found["$ref"].as_str()).map(|name| name.replace("#/$defs/", "/"));
        let place = definitions.pointer_mut(&defined.unwrap_or_else(|| format!("/{place}")));
        place.and_then(Value::as_object_mut).into_iter().for_each(with_letters);
    }
    schema
}

/// A map that is given `blue` and `green` may be given `a` and `b` instead.
fn with_letters(map: &mut Map<String, Value>) {
    let Some(sides) = map.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let (Some(blue), Some(green)) = (sides.get("blue").cloned(), sides.get("green").cloned()) else { return };
    sides.extend([("a".to_string(), blue), ("b".to_string(), green)]);
    let Some(required) = map.get_mut("required").and_then(Value::as_array_mut) else { return };
    let before = required.len();
    required.retain(|name| name != "blue" && name != "green");
    if required.len() < before {
        map.insert("anyOf".into(), json!([{ "required": ["blue", "green"] }, { "required": ["a", "b"] }]));
    }
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
