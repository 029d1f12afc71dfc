//! Plain scalars as values: numbers and truth values as JSON knows them, and nothing else of what YAML guesses.

use serde_json::Value;

use super::tree::{Node, Tree};

/// A number as JSON writes it, plus a leading `+` and nothing else of YAML's.
pub fn number(text: &str) -> Option<Value> {
    if let Ok(n) = text.parse::<i64>() {
        return Some(n.into());
    }
    if let Ok(n) = text.parse::<u64>() {
        return Some(n.into());
    }
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None;
    }
    serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number)
}

/// A value no schema speaks about, read as YAML 1.2 reads it.
pub fn untyped(node: &Node) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Scalar { text, plain: true } => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => number(text).unwrap_or_else(|| Value::String(text.clone())),
        },
        Tree::Scalar { text, .. } => Value::String(text.clone()),
        Tree::List(items) => Value::Array(items.iter().map(untyped).collect()),
        Tree::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), untyped(&entry.node))).collect())
        }
    }
}

/// What a place takes, in words.
pub fn takes(types: &[&str]) -> String {
    let words: Vec<&str> = types
        .iter()
        .filter(|kind| **kind != "null")
        .map(|kind| match *kind {
            "object" => "fields (`name: value`)",
            "array" => "a list",
            "string" => "text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "`true` or `false`",
            other => other,
        })
        .collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_json_calls_a_number_is_one() {
        for (text, value) in [("0", 0.0), ("-3", -3.0), ("1.20", 1.2), ("18446744073709551615", u64::MAX as f64)] {
            assert_eq!(number(text).unwrap().as_f64(), Some(value), "{text}");
        }
        for text in ["", "1_000", "0x10", ".inf", "NaN", "inf", "5m", "1e999", "infinity"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
