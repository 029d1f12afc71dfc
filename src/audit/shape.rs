//! Whether a record is written as its type says: an object where one is named, a word where one is. The usual reader also takes
//! a list for an object and an object for a word, and then a log would say one thing to it and another to everybody else.
//!
//! Which members a type has is not known here.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

/// Whether what was read, written again, is in what was there. What has no text there, or nothing, was filled in.
pub fn is_in(read: &Value, there: &Value) -> bool {
    match (read, there) {
        (_, Value::Null) => true,
        (Value::Object(read), Value::Object(there)) => {
            read.iter().all(|(name, value)| there.get(name).is_none_or(|there| is_in(value, there)))
        }
        (Value::Array(read), Value::Array(there)) => {
            read.len() == there.len() && read.iter().zip(there).all(|(read, there)| is_in(read, there))
        }
        (read, there) => read == there,
    }
}

/// Whether what was read, written again, is this very text: then it is in it, and no value has to be made of the two.
pub fn is(read: &impl Serialize, text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    serde_json::to_writer(&mut rest, read).is_ok() && rest.0.is_empty()
}

/// What is still to come of a text that is written a second time; anything else fails.
struct Rest<'t>(&'t [u8]);

impl Write for Rest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let rest = match (bytes, self.0) {
            // Most of what is written is a bracket, a quote or a comma.
            ([own], [first, rest @ ..]) => (own == first).then_some(rest),
            (bytes, text) => text.strip_prefix(bytes),
        };
        self.0 = rest.ok_or(io::ErrorKind::InvalidData)?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_what_was_read_to_its_last_byte() {
        let read = json!({ "lane": "forward", "index": 0 });
        assert!(is(&read, r#"{"lane":"forward","index":0}"#));
        for other in
            [r#"{"lane":"forward","index":0}}"#, r#"{"lane":"forward","index":0"#, r#"{"index":0,"lane":"forward"}"#]
        {
            assert!(!is(&read, other), "{other}");
        }
    }

    #[test]
    fn a_list_stands_for_no_object() {
        let read = json!({ "step": { "lane": "forward", "index": 0 }, "then": null });
        for (there, fits) in [
            (json!({ "step": { "lane": "forward", "index": 0, "more": 1 } }), true),
            (json!({ "step": ["forward", 0] }), false),
            (json!({ "step": { "lane": { "forward": null }, "index": 0 } }), false),
        ] {
            assert_eq!(is_in(&read, &there), fits, "{there}");
        }
    }
}
