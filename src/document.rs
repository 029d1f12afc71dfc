//! JSON of somebody else, read so that it has one meaning: a member that is given twice has two, and a list is no object.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a document, or says why it is none.
pub fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Document>(bytes).map(|document| document.0)
}

struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: Error>(self) -> Result<Document, E> {
                Ok(Document(Value::Null))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Document, E> {
                Ok(Document(Value::Bool(value)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Document, E> {
                Ok(Document(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Document, E> {
                Ok(Document(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Document, E> {
                Ok(Document(Number::from_f64(value).map_or(Value::Null, Value::Number)))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Document, E> {
                Ok(Document(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
                let mut list = Vec::new();
                while let Some(Document(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(Document(Value::Array(list)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Document, A::Error> {
                let mut map = Map::new();
                while let Some((name, Document(value))) = members.next_entry::<String, Document>()? {
                    if map.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` is given twice")));
                    }
                    map.insert(name, value);
                }
                Ok(Document(Value::Object(map)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A text, from where it stands if it is there as it is.
#[derive(serde::Deserialize)]
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
    use crate::plan::{Color, Split};

    #[test]
    fn g22_a_member_that_is_given_twice_has_no_value() {
        assert_eq!(read(br#"{"v":[1,-2,0.5,null,true,"x"]}"#).unwrap()["v"][2], 0.5);
        for text in [r#"{"v":50,"v":5}"#, r#"{"a":[{"v":1,"v":1}]}"#] {
            assert!(read(text.as_bytes()).unwrap_err().to_string().contains("`v` is given twice"), "{text}");
        }
        assert!(read(b"1e999").is_err() && read(b"7 8").is_err());
    }

    #[test]
    fn a_list_is_no_object_and_an_object_no_word() {
        assert!(word::<_, Color>(json!("blue")).is_ok());
        assert!(word::<_, Color>(json!({ "blue": null })).is_err());
        assert!(object::<_, Split>(json!({ "blue": 1, "green": 0 })).is_ok());
        assert!(object::<_, Split>(json!([1, 0])).is_err());
    }
}
