//! YAML text into our tree: the only place that knows which YAML crate is used.
//!
//! `serde_yaml` is the name under which the maintained `serde-saphyr` is imported. It has no value type of its own, so
//! the tree is built here; and its words are for developers, so each of its errors gets ours. A runbook is reviewed line
//! by line, so whatever makes a line mean something else than it says is refused: merge keys, tags, several documents.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_yaml::{Location, Options, Spanned};

use super::misread::{explain, indenting_tab, mistake};
use super::tree::{Entry, Node, Tree};
use crate::diag::{Code, Diagnostic};

/// The longest file that is read, in bytes.
pub const MOST_BYTES: u64 = 1 << 20;

/// Reads one document.
pub fn read(text: &str) -> Result<Node, Vec<Diagnostic>> {
    if let Some(tab) = indenting_tab(text) {
        let label = "a tab stands here; indent with blanks";
        return Err(vec![mistake(Code::Yaml, "a tab in the indentation", Some(tab..tab + 1), label)]);
    }
    match serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options(DuplicateKeyPolicy::Error)) {
        Ok(Spanned { value: Raw::Null, .. }) => Err(vec![mistake(Code::File, "the file is empty", None, "")]),
        Ok(raw) => Ok(build(text, &raw)),
        Err(error) => Err(explain(text, &error)),
    }
}

pub(super) fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_yaml::options! {
        duplicate_keys: duplicate_keys,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: 20_000, max_replay_stack_depth: 8 },
        budget: serde_yaml::budget! {
            max_documents: 4,
            max_depth: 32,
            max_nodes: 200_000,
            max_events: 500_000,
            max_aliases: 1_000,
            max_anchors: 200
        },
    }
}

/// What the crate hands over, before source texts are looked up.
pub(super) enum Raw {
    Null,
    /// A boolean or a number: only its source text is used.
    Plain,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
                Raw::deserialize(deserializer)
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Raw, E> {
                Ok(Raw::Plain)
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Plain)
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Plain)
            }

            fn visit_i128<E: de::Error>(self, _: i128) -> Result<Raw, E> {
                Ok(Raw::Plain)
            }

            fn visit_u128<E: de::Error>(self, _: u128) -> Result<Raw, E> {
                Ok(Raw::Plain)
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Plain)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Raw::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
                let mut map = Vec::new();
                while let Some(key) = entries.next_key()? {
                    map.push((key, entries.next_value()?));
                }
                Ok(Raw::Map(map))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn build(text: &str, raw: &Spanned<Raw>) -> Node {
    let span = bytes(text, raw.referenced);
    let value = match &raw.value {
        Raw::Null => Tree::Null,
        // An alias stands for its anchor's text but is pointed at where it is used.
        Raw::Plain => Tree::Scalar { text: source(text, bytes(text, raw.defined)).into(), plain: true },
        Raw::Text(decoded) => {
            let written = source(text, bytes(text, raw.defined));
            let plain = !written.starts_with(['"', '\'', '|', '>']);
            Tree::Scalar { text: decoded.clone(), plain }
        }
        Raw::List(items) => Tree::List(items.iter().map(|item| build(text, item)).collect()),
        Raw::Map(entries) => {
            let entry = |(key, value): &(Spanned<String>, Spanned<Raw>)| Entry {
                key: key.value.clone(),
                key_span: bytes(text, key.referenced),
                node: build(text, value),
            };
            Tree::Map(entries.iter().map(entry).collect())
        }
    };
    let span = match &value {
        Tree::Scalar { .. } | Tree::Null => span,
        // The crate gives a list or map only its first token; its first line is enough to point at.
        _ => span.start..text[span.start..].find('\n').map_or(text.len(), |n| span.start + n),
    };
    Node { span, value }
}

/// The bytes of a place, without the blanks and line ends that may follow a scalar.
pub(super) fn bytes(text: &str, location: Location) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().map_or_else(|| offset(text, location), |n| n as usize).min(text.len());
    let end = (start + span.byte_len().unwrap_or(0) as usize).min(text.len());
    let start = (0..=start).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
    let end = (end..=text.len()).find(|n| text.is_char_boundary(*n)).unwrap_or(text.len());
    start..start + text[start..end].trim_end().len()
}

/// The byte of a line and column, both counted from 1: what the crate knows of a place where the syntax breaks off.
fn offset(text: &str, location: Location) -> usize {
    let line = (location.line() as usize).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text[start..].lines().next().unwrap_or_default();
    let column = (location.column() as usize).saturating_sub(1);
    start + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte)
}

fn source(text: &str, span: Range<usize>) -> &str {
    &text[span]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of<'a>(text: &'a str, pointer: &str) -> (String, &'a str) {
        let node = read(text).unwrap();
        let node = node.nearest(pointer);
        (node.text().unwrap_or("-").to_string(), &text[node.span.clone()])
    }

    #[test]
    fn scalars_keep_their_source_text_and_place() {
        let text = "a: no\nb: 1.20\nc: \"no\"\nd: 0755\ne: 1_000\nf: 'x y'\ng: über  # c\nh: [1, b]\ni: two\n  lines\n";
        for (pointer, value, written) in [
            ("/a", "no", "no"),
            ("/b", "1.20", "1.20"),
            ("/c", "no", "\"no\""),
            ("/d", "0755", "0755"),
            ("/e", "1_000", "1_000"),
            ("/f", "x y", "'x y'"),
            ("/g", "über", "über"),
            ("/h/1", "b", "b"),
            ("/i", "two lines", "two\n  lines"),
        ] {
            assert_eq!(text_of(text, pointer), (value.into(), written), "{pointer}");
        }
    }

    /// Where the syntax breaks off, the place is there and not at the end of the file.
    #[test]
    fn broken_syntax_has_its_place() {
        let rest = "x: 1\n".repeat(20);
        for (text, line) in [
            ("a: 1\nb 2\n", 3),
            ("a: 1\n  b: 2\n", 2),
            ("a: [1\nb: 2\n", 2),
            ("a: {b\nc: 2\n", 2),
            ("a: b: c\n", 1),
            ("a: @b\n", 1),
            ("a: %b\n", 1),
        ] {
            let text = format!("{text}{rest}");
            let found = read(&text).unwrap_err();
            let (at, _) = found[0].line_column(&text).unwrap();
            assert!(at.abs_diff(line) <= 1, "{text}: {at} instead of {line}");
        }
    }

    #[test]
    fn an_alias_is_pointed_at_where_it_is_used() {
        let text = "a: &x 5m\nb: *x\n";
        assert_eq!(text_of(text, "/b"), ("5m".into(), "*x"));
        assert_eq!(text_of(text, "/a").0, "5m");
    }
}
