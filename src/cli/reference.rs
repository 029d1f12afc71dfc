//! Every key of a runbook with its meaning, as part of a page: printed from the JSON Schema, so that none can be missing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The keys as a list in Markdown, with a heading above it.
pub fn keys(schema: &Value) -> String {
    let text = String::from("\n## Every key\n\nA key that has to be there is marked (required).\n\n");
    let mut reference = Reference { definitions: &schema["$defs"], shown: BTreeMap::new(), text };
    for (name, below) in properties(schema) {
        reference.item(name, below, required(schema, name), 0);
    }
    reference.text
}

struct Reference<'a> {
    definitions: &'a Value,
    /// Definitions whose keys were listed, and below which key: a second time they are not.
    shown: BTreeMap<&'a str, &'a str>,
    text: String,
}

impl<'a> Reference<'a> {
    fn item(&mut self, name: &'a str, key: &'a Value, required: bool, depth: usize) {
        let target = self.target(key);
        let meaning = key["description"].as_str().or_else(|| target.and_then(|(_, to)| to["description"].as_str()));
        let required = if required { " (required)" } else { "" };
        let indent = "  ".repeat(depth);
        let meaning = meaning.unwrap_or_default().replace('\n', " ");
        let stop = if meaning.is_empty() || meaning.ends_with('.') { "" } else { "." };
        self.text += &format!("{indent}- `{name}`{required}: {meaning}{stop}");
        let words = words(target.map_or(key, |(_, to)| to));
        if !words.is_empty() {
            self.text += &format!(" One of {}.", words.join(", "));
        }
        if let Some(default) = default(key).filter(|_| !meaning.contains("left out")) {
            self.text += &format!(" Default `{default}`.");
        }
        self.text.push('\n');
        let listed = self.text.len();
        if let Some(same) = self.below(name, key, depth + 1) {
            self.text.truncate(listed - 1);
            self.text += &if same == name { " Keys as above.\n".into() } else { format!(" Keys as for `{same}`.\n") };
        }
    }

    /// Lists the keys of a value: its own, those of what it refers to, and those of the values in it. Or says below which
    /// key the same ones stand already.
    fn below(&mut self, name: &'a str, value: &'a Value, depth: usize) -> Option<&'a str> {
        for (name, key) in properties(value) {
            self.item(name, key, required(value, name), depth);
        }
        let mut as_for = None;
        if let Some((definition, to)) = self.target(value) {
            as_for = match self.shown.get(definition) {
                Some(before) => Some(*before),
                None => {
                    if has_keys(to) {
                        self.shown.insert(definition, name);
                    }
                    self.below(name, to, depth)
                }
            };
        }
        let inside =
            ["items", "additionalProperties"].into_iter().map(|inside| &value[inside]).filter(|v| v.is_object());
        let choices = ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|c| value[c].as_array().into_iter().flatten());
        for one in inside.chain(choices) {
            as_for = self.below(name, one, depth).or(as_for);
        }
        as_for
    }

    fn target(&self, value: &'a Value) -> Option<(&'a str, &'a Value)> {
        let name = value["$ref"].as_str()?.rsplit('/').next()?;
        Some((name, &self.definitions[name]))
    }
}

fn has_keys(value: &Value) -> bool {
    value["properties"].is_object()
}

/// The words a value may be, where it is one of a few.
fn words(value: &Value) -> Vec<String> {
    let choices = value["oneOf"].as_array().into_iter().flatten().chain([value]);
    let told = choices.flat_map(|one| one["enum"].as_array().into_iter().flatten().chain([&one["const"]]));
    told.filter_map(|word| Some(format!("`{}`", word.as_str()?))).collect()
}

/// What a value is when it is left out, where that is one word or number.
fn default(key: &Value) -> Option<String> {
    match &key["default"] {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn properties(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value["properties"].as_object().into_iter().flat_map(Map::iter)
}

fn required(value: &Value, name: &str) -> bool {
    value["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
}
