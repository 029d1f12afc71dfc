//! Whether a record is written as its type says: an object where one is named, a word where one is. The usual reader also takes
//! a list for an object and an object for a word, and then a log would say one thing to it and another to everybody else.
//!
//! Which members a type has is not known here.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

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

/// Reads what is one of a few words, from a text only.
pub fn word<'de, D: Deserializer<'de>, T: DeserializeOwned>(reader: D) -> Result<T, D::Error> {
    let text = String::deserialize(reader)?;
    let word: StrDeserializer<'_, D::Error> = text.as_str().into_deserializer();
    T::deserialize(word)
}

/// Reads what has members, from an object only.
pub fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(reader: D) -> Result<T, D::Error> {
    let members = Map::<String, Value>::deserialize(reader)?;
    T::deserialize(Value::Object(members)).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
