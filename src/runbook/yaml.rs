//! YAML text into our tree: the only place that knows which YAML crate is used.
//!
//! `serde_yaml` is the name under which the maintained `serde-saphyr` is imported. It has no value type of its own, so
//! the tree is built here; and its words are for developers, so each of its errors gets ours. A runbook is reviewed line
//! by line, so whatever makes a line mean something else than it says is refused: merge keys, tags, several documents.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_yaml::{Error, Location, Options, Spanned};

use super::tree::{Entry, Node, Tree};
use crate::diag::{Code, Diagnostic, Severity};

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

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
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
enum Raw {
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
fn bytes(text: &str, location: Location) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().map_or(text.len(), |n| n as usize).min(text.len());
    let end = (start + span.byte_len().unwrap_or(0) as usize).min(text.len());
    let start = (0..=start).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
    let end = (end..=text.len()).find(|n| text.is_char_boundary(*n)).unwrap_or(text.len());
    start..start + text[start..end].trim_end().len()
}

fn source(text: &str, span: Range<usize>) -> &str {
    &text[span]
}

fn mistake(code: Code, headline: impl Into<String>, span: Option<Range<usize>>, label: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        headline: headline.into(),
        span,
        label: label.into(),
        context: None,
        notes: Vec::new(),
    }
}

fn explain(text: &str, error: &Error) -> Vec<Diagnostic> {
    let span = error.location().map(|location| {
        let span = bytes(text, location);
        // An empty place gets a caret of one character.
        let end = text[span.start..].chars().next().map_or(span.start, |c| span.start + c.len_utf8());
        span.start..span.end.max(end)
    });
    let one = |code, headline: &str, label: &str| vec![mistake(code, headline, span.clone(), label)];
    match error {
        Error::DuplicateMappingKey { .. } => {
            let all = duplicates(text);
            if all.is_empty() { one(Code::DuplicateKey, "a key is given twice", "given a second time") } else { all }
        }
        Error::MultipleDocuments { .. } => {
            one(Code::File, "more than one document in the file", "a runbook is one document; remove this")
        }
        Error::MergeKeyNotAllowed { .. } => one(
            Code::File,
            "merge keys (`<<`) are not taken",
            "write the fields out, so that every line says what it does",
        ),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::Budget { .. } => one(
            Code::File,
            "the file unfolds into far more than it says",
            "too many aliases, levels or values from here on",
        ),
        Error::UnknownAnchor { .. } => one(Code::Yaml, "an alias without its anchor", "nothing above has this name"),
        Error::Eof { .. } => vec![mistake(Code::File, "the file is empty", None, "")],
        Error::AliasError { error, .. } => explain(text, error),
        other => {
            let words = plain_words(other);
            if let Some(quote) = words.contains("quoted scalar").then(|| open_quote(text, &span)).flatten() {
                let label = "this quote is not closed";
                return vec![mistake(Code::Yaml, "a quote without its end", Some(quote..quote + 1), label)];
            }
            let headline = if words.contains("tag") { "tags (`!…`) are not taken" } else { "this is not valid YAML" };
            one(Code::Yaml, headline, &words)
        }
    }
}

/// The last quote before a place that has no partner on its line: the crate only notices lines later.
fn open_quote(text: &str, noticed: &Option<Range<usize>>) -> Option<usize> {
    let mut end = noticed.as_ref().map_or(text.len(), |span| span.start);
    for line in text[..end].rsplit('\n') {
        let start = end - line.len();
        for quote in ['"', '\''] {
            if line.matches(quote).count() % 2 == 1 {
                return line.rfind(quote).map(|at| start + at);
            }
        }
        end = start.saturating_sub(1);
    }
    None
}

/// The crate's own sentence without its position, which the caret shows.
fn plain_words(error: &Error) -> String {
    let words = error.without_snippet().to_string();
    let words = words.lines().next().unwrap_or_default();
    let end = words.find(" at line ").unwrap_or(words.len());
    let words = &words[..end];
    match words.strip_prefix("error: ").unwrap_or(words).split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest.into(),
        _ => words.into(),
    }
}

/// Every key that is given twice, with its first place.
fn duplicates(text: &str) -> Vec<Diagnostic> {
    let Ok(raw) = serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options(DuplicateKeyPolicy::LastWins)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut open = vec![&raw];
    while let Some(node) = open.pop() {
        match &node.value {
            Raw::List(items) => open.extend(items),
            Raw::Map(entries) => {
                let mut first = std::collections::BTreeMap::new();
                for (key, value) in entries {
                    let span = bytes(text, key.referenced);
                    if let Some(earlier) = first.get(&key.value) {
                        let headline = format!("`{}` is given twice", key.value);
                        found.push(Diagnostic {
                            context: Some((Range::clone(earlier), "first given here".into())),
                            ..mistake(
                                Code::DuplicateKey,
                                headline,
                                Some(span),
                                "and a second time here; remove one of them",
                            )
                        });
                    } else {
                        first.insert(key.value.clone(), span);
                    }
                    open.push(value);
                }
            }
            _ => {}
        }
    }
    found
}

/// A tab before the first other character of a line, outside of block scalars, where it is text.
fn indenting_tab(text: &str) -> Option<usize> {
    let mut start = 0;
    let mut block: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let body = line.trim();
        if block
            .is_some_and(|outer| !body.is_empty() && indent <= outer && !line.trim_start_matches(' ').starts_with('\t'))
        {
            block = None;
        }
        if block.is_none() {
            let rest = &line[indent..];
            if rest.starts_with('\t') && !body.is_empty() {
                return Some(start + indent);
            }
            if body.ends_with(['|', '>']) || body.ends_with("|-") || body.ends_with(">-") {
                block = Some(indent);
            }
        }
        start += line.len();
    }
    None
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

    #[test]
    fn an_alias_is_pointed_at_where_it_is_used() {
        let text = "a: &x 5m\nb: *x\n";
        assert_eq!(text_of(text, "/b"), ("5m".into(), "*x"));
        assert_eq!(text_of(text, "/a").0, "5m");
    }

    #[test]
    fn what_makes_a_line_mean_something_else_is_refused() {
        for (text, code, at) in [
            ("a: 1\nb: 2\na: 3\n", Code::DuplicateKey, Some("a")),
            ("a:\n\tb: 1\n", Code::Yaml, Some("\t")),
            ("a: 1\n---\nb: 2\n", Code::File, None),
            ("x: &x {a: 1}\ny:\n  <<: *x\n", Code::File, None),
            ("a: !!python/object:os.system x\n", Code::Yaml, None),
            ("", Code::File, None),
            ("# only a comment\n", Code::File, None),
            ("a: [1, 2\n", Code::Yaml, None),
            ("a: *nobody\n", Code::Yaml, None),
        ] {
            let wrong = read(text).map(|n| format!("{n:?}")).expect_err(text);
            assert_eq!(wrong[0].code, code, "{text}: {wrong:?}");
            if let Some(at) = at {
                assert_eq!(&text[wrong[0].span.clone().unwrap()], at, "{text}");
            }
        }
    }

    #[test]
    fn both_places_of_a_duplicate_are_named_and_all_duplicates() {
        let text = "a: {x: 1, x: 2}\nb: 1\nb: 2\n";
        let wrong = read(text).unwrap_err();
        assert_eq!(wrong.len(), 2);
        assert!(wrong.iter().all(|w| w.context.is_some()));
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let uses = vec![format!("*a{}", n - 1); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
        }
        assert_eq!(read(&text).unwrap_err()[0].code, Code::File);
        assert!(read(&"[".repeat(20_000)).is_err());
    }

    #[test]
    fn a_tab_in_a_block_text_is_text() {
        assert!(read("a: |\n  one\n  \ttwo\nb: 1\n").is_ok());
    }
}
