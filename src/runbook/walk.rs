//! The walk: holds the tree against the schema, names every mistake with its place, and gives typed values.
//!
//! It knows the parts of JSON Schema that our types produce and nothing of runbooks. Scalars are read as the schema wants
//! them, never as YAML guesses: `no` and `1.20` are text in a text field.

use std::ops::Range;

use serde_json::{Map, Value};

use super::format;
use super::nearest::nearest;
use super::scalars::{number, takes, untyped};
use super::schema::one_of_keys;
use super::tree::{Entry, Node, Tree};
use crate::diag::{Code, Diagnostic};
use crate::secret::variable;

/// Reads a whole tree, which is called `what` in sentences. The value is only of use when nothing was found.
pub fn walk(tree: &Node, schema: &Value, what: &str) -> (Value, Vec<Diagnostic>) {
    let mut walk = Walk { root: schema, found: Vec::new() };
    let place = Place { what: what.into(), key: None };
    let value = walk.value(tree, schema, &place);
    (value, walk.found)
}

struct Walk<'s> {
    root: &'s Value,
    found: Vec<Diagnostic>,
}

/// What is being read, for sentences about it.
struct Place {
    what: String,
    key: Option<Range<usize>>,
}

impl<'s> Walk<'s> {
    fn value(&mut self, node: &Node, schema: &'s Value, place: &Place) -> Value {
        let schema = self.resolve(schema);
        let Some(object) = schema.as_object() else { return untyped(node) };
        if let Some(names) = self.choices(object) {
            return self.choice(node, &names, place);
        }
        if let Some(shapes) = object.get("anyOf").and_then(Value::as_array) {
            return self.any_of(node, shapes, place);
        }
        let types: Vec<&str> = match object.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ if object.contains_key("properties") => vec!["object"],
            _ => return untyped(node),
        };
        match &node.value {
            Tree::Null => self.wrong(node, place, "has no value", &format!("takes {}", takes(&types))),
            Tree::Map(entries) if types.contains(&"object") => self.map(node, entries, object, place),
            Tree::List(items) if types.contains(&"array") => self.list(node, items, object, place),
            Tree::Scalar { text, plain } => self.scalar(node, text, *plain, &types, object, place),
            Tree::Map(_) | Tree::List(_) => {
                let found = if matches!(node.value, Tree::Map(_)) { "these are fields" } else { "this is a list" };
                self.wrong(node, place, &format!("takes {}", takes(&types)), found)
            }
        }
    }

    /// Follows references to definitions.
    fn resolve(&self, mut schema: &'s Value) -> &'s Value {
        while let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            schema = self.root.pointer(pointer.trim_start_matches('#')).expect("BUG: a schema refers to nothing");
        }
        schema
    }

    /// The words of which one has to be given, where a schema is a list of words.
    fn choices(&self, schema: &'s Map<String, Value>) -> Option<Vec<&'s str>> {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return words.iter().map(Value::as_str).collect();
        }
        if let Some(word) = schema.get("const") {
            return Some(vec![word.as_str()?]);
        }
        let mut words = Vec::new();
        for choice in schema.get("oneOf")?.as_array()? {
            words.extend(self.choices(self.resolve(choice).as_object()?)?);
        }
        Some(words)
    }

    fn choice(&mut self, node: &Node, names: &[&str], place: &Place) -> Value {
        match node.text() {
            Some(text) if names.contains(&text) => Value::String(text.into()),
            Some(text) if text.contains("${") => self.reference(node, text, place),
            Some(text) => {
                let all = format!("takes one of: {}", names.join(", "));
                let wrong = Diagnostic::error(Code::Value, format!("{} cannot be `{text}`", place.what));
                self.found.push(match nearest(text, names.iter().copied()) {
                    Some(name) => wrong.at(node.span.clone(), format!("did you mean `{name}`?")).note(all),
                    None => wrong.at(node.span.clone(), all),
                });
                Value::Null
            }
            None => self.wrong(node, place, "takes one word", &format!("takes one of: {}", names.join(", "))),
        }
    }

    /// Takes the shape that fits what is written.
    fn any_of(&mut self, node: &Node, shapes: &'s [Value], place: &Place) -> Value {
        let open: Vec<&'s Value> = shapes.iter().map(|s| self.resolve(s)).filter(|s| s["type"] != "null").collect();
        let number = matches!(&node.value, Tree::Scalar { text, plain: true } if number(text).is_some());
        let fits = |schema: &&&Value| {
            let kind =
                schema["type"].as_str().unwrap_or(if schema.get("properties").is_some() { "object" } else { "" });
            match &node.value {
                Tree::Map(_) => kind == "object",
                Tree::List(_) => kind == "array",
                Tree::Scalar { .. } if matches!(kind, "number" | "integer") => number,
                Tree::Scalar { .. } => !matches!(kind, "object" | "array"),
                Tree::Null => false,
            }
        };
        match open.iter().find(fits).or(open.first()) {
            Some(schema) => self.value(node, schema, place),
            None => Value::Null,
        }
    }

    fn scalar(
        &mut self,
        node: &Node,
        text: &str,
        plain: bool,
        types: &[&str],
        schema: &Map<String, Value>,
        place: &Place,
    ) -> Value {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        if types.contains(&"string") {
            return self.text(node, text, format, schema, place);
        }
        if text.contains("${") {
            return self.reference(node, text, place);
        }
        let wanted = takes(types);
        if types.contains(&"boolean") {
            return match text {
                "true" | "false" if plain => Value::Bool(text == "true"),
                _ => self.wrong(node, place, &format!("cannot be `{text}`"), "write `true` or `false`"),
            };
        }
        if !types.contains(&"integer") && !types.contains(&"number") {
            return self.wrong(node, place, &format!("takes {wanted}"), "this is text");
        }
        let read = if plain { number(text) } else { None };
        let whole = types.contains(&"integer");
        let Some(read) = read.filter(|n| !whole || n.is_i64() || n.is_u64()) else {
            return self.wrong(node, place, &format!("cannot be `{text}`"), &format!("takes {wanted}"));
        };
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        let n = read.as_f64().unwrap_or(f64::NAN);
        if least.is_some_and(|least| n < least) || most.is_some_and(|most| n > most) {
            let range = match (least, most) {
                (Some(a), Some(b)) if a == b => format!("takes {a}"),
                (Some(a), Some(b)) => format!("takes {a} to {b}"),
                (Some(a), None) => format!("takes {a} or more"),
                (None, _) => format!("takes at most {}", most.unwrap_or_default()),
            };
            return self.wrong(node, place, &format!("cannot be `{text}`"), &range);
        }
        read
    }

    fn text(&mut self, node: &Node, text: &str, format: &str, schema: &Map<String, Value>, place: &Place) -> Value {
        let value = Value::String(text.into());
        if format == "secret" {
            let whole = text.starts_with("${") && text.ends_with('}') && text.matches("${").count() == 1;
            if !whole {
                self.found.push(
                    Diagnostic::error(
                        Code::SecretInFile,
                        format!("{} is a secret and may not stand in a file", place.what),
                    )
                    .at(node.span.clone(), format!("write `${{env:{}}}` or `${{file:PATH}}`", variable(&place.what))),
                );
            }
            return value;
        }
        if text.contains("${") {
            let checked = matches!(format, "duration" | "percent" | "limit" | "margin" | "name" | "principal");
            return if checked { self.reference(node, text, place) } else { value };
        }
        if let Some(complaint) = format::complaint(format, text) {
            let label = format::cure(format, text).unwrap_or_else(|| complaint.clone());
            let headline = match format {
                "duration" if text.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("{} needs a duration with a unit", place.what)
                }
                "duration" => format!("{} is not a duration", place.what),
                "percent" => format!("{} is not a percentage from 0% to 100%", place.what),
                "principal" => format!("{} is not a person's name", place.what),
                _ => format!("{} cannot be `{text}`", place.what),
            };
            self.found.push(Diagnostic::error(Code::Format, headline).at(node.span.clone(), label));
            return value;
        }
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        if bound("minLength").is_some_and(|least| length < least) {
            return self.wrong(node, place, "is empty", "write something");
        }
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            return self.wrong(node, place, "is too long", &format!("takes at most {most} characters"));
        }
        value
    }

    /// A reference where a value has to be known before the run.
    fn reference(&mut self, node: &Node, text: &str, place: &Place) -> Value {
        let variable = text.contains("${var.");
        let label = if variable {
            "give it with `--var NAME=VALUE`, or a value under `variables`"
        } else {
            "write the value itself"
        };
        let headline = match variable {
            true => format!("{} has to be known here, and `{text}` has no value yet", place.what),
            false => format!("{} cannot be a reference", place.what),
        };
        self.found.push(Diagnostic::error(Code::Variable, headline).at(node.span.clone(), label));
        Value::Null
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &'s Map<String, Value>, place: &Place) -> Value {
        if schema.get("minItems").and_then(Value::as_u64).is_some_and(|least| (items.len() as u64) < least) {
            return self.wrong(node, place, "is empty", "takes at least one entry");
        }
        let mut list = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let what = match item.get("id").and_then(Node::text) {
                Some(id) => format!("step `{id}`"),
                None => format!("entry {} of {}", n + 1, place.what),
            };
            let key = item.entries().first().map(|entry| entry.key_span.clone());
            let inner = Place { what, key: key.or(Some(item.span.clone())) };
            list.push(match schema.get("items") {
                Some(schema) => self.value(item, schema, &inner),
                None => untyped(item),
            });
        }
        Value::Array(list)
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &'s Map<String, Value>, place: &Place) -> Value {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&NONE);
        let others = schema.get("additionalProperties").filter(|s| s.is_object());
        let kinds = one_of_keys(schema).unwrap_or_default();
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut value = Map::new();
        let mut guessed = false;
        for entry in entries {
            let inner = Place { what: format!("`{}`", entry.key), key: Some(entry.key_span.clone()) };
            match (properties.get(&entry.key), others) {
                (Some(schema), _) => {
                    value.insert(entry.key.clone(), self.value(&entry.node, schema, &inner));
                }
                (None, Some(_)) if matches!(entry.node.value, Tree::Null) && self.nullable(others) => {
                    value.insert(entry.key.clone(), Value::Null);
                }
                (None, Some(schema)) => {
                    value.insert(entry.key.clone(), self.value(&entry.node, schema, &inner));
                }
                (None, None) if schema.get("additionalProperties").is_none_or(|others| *others == true) => {
                    value.insert(entry.key.clone(), untyped(&entry.node));
                }
                (None, None) => {
                    guessed |= nearest(&entry.key, kinds.iter().copied()).is_some() || kinds.len() < 2;
                    self.unknown(entry, &known, &kinds, place);
                }
            }
        }
        for missing in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            // A misspelled field was named already, with the right one beside it.
            let misspelled = |key: &str| !known.contains(&key) && nearest(key, known.iter().copied()) == Some(missing);
            if entries.iter().any(|entry| entry.key == missing || misspelled(&entry.key)) {
                continue;
            }
            let at = place.key.clone().unwrap_or(node.span.clone());
            let text = self.described(properties.get(missing));
            self.found.push(
                Diagnostic::error(Code::MissingField, format!("{} lacks `{missing}`", place.what))
                    .at(at, format!("add `{missing}`{text}")),
            );
        }
        if !kinds.is_empty() {
            self.exactly_one(entries, &kinds, guessed, node, place);
        }
        Value::Object(value)
    }

    fn nullable(&self, schema: Option<&'s Value>) -> bool {
        schema.is_some_and(|s| s["type"].as_array().is_some_and(|types| types.iter().any(|t| t == "null")))
    }

    /// The first sentence of a field's description.
    fn described(&self, schema: Option<&'s Value>) -> String {
        let text = schema.and_then(|s| s.get("description").or(self.resolve(s).get("description")));
        match text.and_then(Value::as_str) {
            Some(text) => {
                let line: String = text.lines().next().unwrap_or_default().into();
                let sentence = line.split_once(". ").map_or(line.as_str(), |(first, _)| first);
                format!(": {}", sentence.trim_end_matches('.'))
            }
            None => String::new(),
        }
    }

    fn unknown(&mut self, entry: &Entry, known: &[&str], kinds: &[&str], place: &Place) {
        let label = match nearest(&entry.key, known.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("{} has no such field", place.what),
        };
        let mut wrong =
            Diagnostic::error(Code::UnknownField, format!("unknown field `{}` in {}", entry.key, place.what))
                .at(entry.key_span.clone(), label);
        if let Some(key) = place.key.clone().filter(|key| *key != entry.key_span) {
            wrong = wrong.context(key, "in this");
        }
        let plain: Vec<&str> = known.iter().filter(|name| !kinds.contains(name)).copied().collect();
        wrong = wrong.note(format!("{} takes: {}", place.what, plain.join(", ")));
        if !kinds.is_empty() {
            wrong = wrong.note(format!("and exactly one of: {}", kinds.join(", ")));
        }
        self.found.push(wrong);
    }

    fn exactly_one(&mut self, entries: &[Entry], kinds: &[&str], guessed: bool, node: &Node, place: &Place) {
        let given: Vec<&Entry> = entries.iter().filter(|entry| kinds.contains(&entry.key.as_str())).collect();
        match given.as_slice() {
            [_] => {}
            // The unknown field says it already.
            [] if guessed => {}
            [] => {
                let at = place.key.clone().unwrap_or(node.span.clone());
                self.found.push(
                    Diagnostic::error(Code::NotOneThing, format!("{} does not say what it is", place.what))
                        .at(at, format!("add exactly one of: {}", kinds.join(", "))),
                );
            }
            [first, second, ..] => self.found.push(
                Diagnostic::error(
                    Code::NotOneThing,
                    format!("{} is two things: `{}` and `{}`", place.what, first.key, second.key),
                )
                .at(second.key_span.clone(), "keep one of them; make the other an entry of its own")
                .context(first.key_span.clone(), "the first one"),
            ),
        }
    }

    fn wrong(&mut self, node: &Node, place: &Place, what: &str, label: &str) -> Value {
        // A value that is left out has no bytes of its own: its key is pointed at.
        let span =
            if node.value == Tree::Null { place.key.clone().unwrap_or(node.span.clone()) } else { node.span.clone() };
        self.found.push(Diagnostic::error(Code::Value, format!("{} {what}", place.what)).at(span, label));
        Value::Null
    }
}
