//! What is wrong with a text that cannot be read, in our words and with its place: the YAML crate's own are for developers.
//!
//! It reads nothing that counts: what it finds is only ever shown.

use std::ops::Range;

use serde_yaml::options::DuplicateKeyPolicy;
use serde_yaml::{Error, Spanned};

use super::yaml::{Raw, bytes, options};
use crate::diag::{Code, Diagnostic, Severity};

pub(super) fn mistake(code: Code, headline: impl Into<String>, span: Option<Range<usize>>, label: &str) -> Diagnostic {
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

pub(super) fn explain(text: &str, error: &Error) -> Vec<Diagnostic> {
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
            "the file expands into far more than it contains",
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
pub(super) fn indenting_tab(text: &str) -> Option<usize> {
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
    use crate::diag::Code;
    use crate::runbook::yaml::read;

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
