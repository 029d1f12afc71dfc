//! The writer's encoder: values to the one text the format has for them.

use std::fmt::Write as _;

use serde_json::Value;

use super::json::{MOST, hidden};
use crate::sign::hmac;

/// Nesting below what readers accept, with room for the line around it.
const DEPTH: usize = 60;
/// Texts longer than this are shortened first when a record would not fit its line.
const LONG: usize = 1024;

/// Makes a value one a journal can hold: numbers that are not whole, or too large, become text.
pub fn tidy(value: Value) -> Value {
    level(value, 0)
}

fn level(value: Value, depth: usize) -> Value {
    match value {
        Value::Number(n) if n.as_i64().is_none_or(|n| n.unsigned_abs() > MOST.unsigned_abs()) => {
            Value::String(n.to_string())
        }
        Value::Array(_) | Value::Object(_) if depth >= DEPTH => Value::String(value.to_string()),
        Value::Array(items) => Value::Array(items.into_iter().map(|v| level(v, depth + 1)).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, level(v, depth + 1))).collect()),
        other => other,
    }
}

/// Cuts long texts inside a value and says how much is gone. Texts that are signed, or signatures, stay whole.
pub fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONG => {
            let end = (0..=LONG).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let cut = text.len() - end;
            text.truncate(end);
            let _ = write!(text, "… ({cut} bytes left out)");
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                if !["request", "statement", "sig"].contains(&name.as_str()) || !value.is_string() {
                    shorten(value);
                }
            }
        }
        _ => {}
    }
}

/// Appends the text of a value.
pub fn put(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
        Value::String(text) => put_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                put(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (n, (name, value)) in map.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                put_text(out, name);
                out.push(':');
                put(out, value);
            }
            out.push('}');
        }
    }
}

/// Appends a text in quotes, with everything escaped that could not be seen or would be taken for something else.
pub fn put_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if hidden(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The text of one line: its number, run, time and `mono`, its type, the digest of the line before it, and its data.
pub fn put_line(out: &mut String, (seq, run, ts, mono): (u64, &str, &str, u64), kind: &str, prev: &str, data: &Value) {
    let _ = write!(out, "{{\"v\":1,\"seq\":{seq},\"run\":");
    put_text(out, run);
    let _ = write!(out, ",\"ts\":\"{ts}\",\"mono\":{mono},\"type\":");
    put_text(out, kind);
    let _ = write!(out, ",\"prev\":\"{prev}\",\"data\":");
    put(out, data);
    out.push_str("}\n");
}

/// Where a signature stands in a record: `mac` for one of a shared key.
pub fn signature_member(signature: &str) -> &'static str {
    if signature.starts_with(hmac::PREFIX) { "mac" } else { "sig" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::json;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let value = tidy(value);
            let mut text = String::new();
            put(&mut text, &value);
            prop_assert_eq!(json::parse(&text), Ok(value));
        }
    }

    #[test]
    fn numbers_that_others_would_round_become_text() {
        assert_eq!(tidy(json!([0.5, 9007199254740992u64, -3])), json!(["0.5", "9007199254740992", -3]));
        assert_eq!(tidy(json!([i64::MIN])), json!([i64::MIN.to_string()]));
    }

    #[test]
    fn long_texts_are_cut_but_never_a_signed_one() {
        let long = "ä".repeat(40_000);
        let mut value = json!({ "text": &long, "request": &long, "line": &long, "facts": [{ "out": &long }] });
        shorten(&mut value);
        assert_eq!(value["request"], long);
        assert!(value["line"].as_str().unwrap().ends_with("… (78976 bytes left out)"));
        assert!(value["facts"][0]["out"].as_str().unwrap().len() < 1100);
    }
}
