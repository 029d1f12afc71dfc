//! Whether a record is written as its type says: an object where one is named, a word where one is. The usual reader also takes
//! a list for an object and an object for a word, and then a log would say one thing to it and another to everybody else.
//!
//! Which members a type has is not known here.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
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
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A text, from where it stands if it is there as it is.
#[derive(Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

/// Reads what is one of a few words, from a text only.
pub fn word<'de, D: Deserializer<'de>, T: DeserializeOwned>(reader: D) -> Result<T, D::Error> {
    let Text(text) = Text::deserialize(reader)?;
    let word: StrDeserializer<'_, D::Error> = text.as_ref().into_deserializer();
    T::deserialize(word)
}

/// Reads what has members, from an object only.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<T, D::Error> {
    reader.deserialize_map(Members(PhantomData))
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
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
    fn a_list_is_no_object_and_an_object_no_word() {
        let read = json!({ "step": { "lane": "forward", "index": 0 }, "then": null });
        for (there, fits) in [
            (json!({ "step": { "lane": "forward", "index": 0, "more": 1 } }), true),
            (json!({ "step": ["forward", 0] }), false),
            (json!({ "step": { "lane": { "forward": null }, "index": 0 } }), false),
        ] {
            assert_eq!(is_in(&read, &there), fits, "{there}");
        }
        assert!(word::<_, crate::plan::Color>(json!("blue")).is_ok());
        assert!(word::<_, crate::plan::Color>(json!({ "blue": null })).is_err());
        assert!(object::<_, crate::plan::Split>(json!({ "blue": 1, "green": 0 })).is_ok());
        assert!(object::<_, crate::plan::Split>(json!([1, 0])).is_err());
    }
}
