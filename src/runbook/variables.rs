//! `${…}` in texts: variables are put in before anything is checked, references to secrets stay until the run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::nearest::meant;
use super::tree::{Node, Tree};
use crate::diag::{Code, Diagnostic};
use crate::secret::variable;

/// Values given from outside.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `--var name=value`: a name the runbook does not declare is a mistake.
    pub given: BTreeMap<String, String>,
    /// `BGCTL_VAR_name` and the lab: names the runbook does not declare are left alone.
    pub ambient: BTreeMap<String, String>,
    /// The environment, where it is known: a reference to what is not in it is worth a warning.
    pub env: Option<BTreeMap<String, String>>,
    /// Stands for the runbook's own environment: that of rehearsals.
    pub environment: Option<String>,
    /// What the file calls green is blue: `--swap`, or `b` serves.
    pub swap: bool,
}

/// A `${env:…}` or `${file:…}` and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// As written: `${env:NAME}`.
    pub text: String,
    pub span: Range<usize>,
}

/// What substitution found beside mistakes.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub references: Vec<Reference>,
    /// Declared variables that are used and have no value yet, with the first place.
    pub missing: BTreeMap<String, Range<usize>>,
    pub mistakes: Vec<Diagnostic>,
}

/// Puts the values of variables into the tree.
pub fn substitute(source: &str, tree: &mut Node, inputs: &Inputs) -> Found {
    let mut found = Found::default();
    let declared: BTreeMap<String, Option<String>> = tree
        .get("variables")
        .map(|node| node.entries().iter().map(|e| (e.key.clone(), e.node.text().map(String::from))).collect())
        .unwrap_or_default();
    for name in inputs.given.keys().filter(|name| !declared.contains_key(*name)) {
        let mut wrong = Diagnostic::error(Code::Variable, format!("the runbook declares no variable `{name}`"));
        if let Some(entry) = tree.entry("variables") {
            wrong = wrong.at(entry.key_span.clone(), meant(name, declared.keys().map(String::as_str)));
        }
        found.mistakes.push(wrong.note("it was given with `--var`"));
    }
    let mut values = declared.clone();
    for (name, value) in inputs.ambient.iter().chain(&inputs.given) {
        if let Some(known) = values.get_mut(name) {
            *known = Some(value.clone());
        }
    }
    let mut used = BTreeSet::new();
    let Tree::Map(entries) = &mut tree.value else { return found };
    for entry in entries.iter_mut().filter(|entry| entry.key != "variables") {
        replace(source, &entry.key, &mut entry.node, &values, &mut used, &mut found);
    }
    if let Some(section) = tree.get("variables") {
        for entry in section.entries().iter().filter(|entry| !used.contains(&entry.key)) {
            found.mistakes.push(
                Diagnostic::warning(Code::Variable, format!("variable `{}` is never used", entry.key))
                    .at(entry.key_span.clone(), format!("nothing says `${{var.{}}}`", entry.key)),
            );
        }
    }
    found
}

fn replace(
    source: &str,
    key: &str,
    node: &mut Node,
    values: &BTreeMap<String, Option<String>>,
    used: &mut BTreeSet<String>,
    found: &mut Found,
) {
    match &mut node.value {
        Tree::Null => {}
        Tree::List(items) => items.iter_mut().for_each(|item| replace(source, key, item, values, used, found)),
        Tree::Map(entries) => {
            entries.iter_mut().for_each(|entry| replace(source, &entry.key, &mut entry.node, values, used, found));
        }
        Tree::Scalar { text, .. } if !text.contains("${") => {}
        Tree::Scalar { text, .. } => {
            let written = std::mem::take(text);
            let before = found.references.len();
            *text = one(source, &written, &node.span, values, used, found);
            if key == SHELL {
                // A reference inside a variable's value is that value's mistake.
                let written_here = found.references[before..].iter().filter(|r| written.contains(r.text.as_str()));
                let references = written_here.map(|r| (r.text.clone(), r.span.clone()));
                let wrong = references.map(|(text, span)| pasted(&text, span, "its value"));
                found.mistakes.extend(wrong.chain(spliced(source, &written, &node.span, values)));
            }
        }
    }
}

/// The key of a line that a shell reads.
const SHELL: &str = "shell";

/// Variables of a shell's line whose value is more than a plain word: the shell would read it as its own language, whatever quotes
/// stand around it.
fn spliced(
    source: &str,
    written: &str,
    span: &Range<usize>,
    values: &BTreeMap<String, Option<String>>,
) -> Vec<Diagnostic> {
    let plain = |value: &str| {
        let part = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
        !value.is_empty() && value.chars().all(part)
    };
    let bad = values.iter().filter_map(|(name, value)| {
        let (text, value) = (format!("${{var.{name}}}"), value.as_deref()?);
        (written.contains(&text) && !plain(value)).then(|| pasted(&text, place(source, span, &text), "this value"))
    });
    bad.collect()
}

fn pasted(reference: &str, span: Range<usize>, what: &str) -> Diagnostic {
    let name: String = reference.trim_start_matches("${").trim_end_matches('}').into();
    let name = variable(name.rsplit([':', '.', '/']).next().unwrap_or_default());
    Diagnostic::error(
        Code::Variable,
        format!("`{reference}` may not be put into a shell's line: {what} could be read as commands"),
    )
    .at(span, format!("write `env: {{ {name}: \"{reference}\" }}` beside it, and `\"${name}\"` here"))
    .note("a value of letters, digits and `_-./:@%+,` alone is one word everywhere, and may be put in")
}

fn one(
    source: &str,
    written: &str,
    span: &Range<usize>,
    values: &BTreeMap<String, Option<String>>,
    used: &mut BTreeSet<String>,
    found: &mut Found,
) -> String {
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            // `$${` is a literal `${`, for shells.
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find('}') else {
            let at = place(source, span, rest);
            found
                .mistakes
                .push(Diagnostic::error(Code::Variable, "`${` without its `}`").at(at, "close it, or write `$${`"));
            break;
        };
        let reference = &rest[..=end];
        let at = place(source, span, reference);
        let inner = &reference[2..end];
        let mut wrong = |headline: String, label: String| {
            found.mistakes.push(Diagnostic::error(Code::Variable, headline).at(at.clone(), label));
        };
        let mut kept = reference.to_string();
        if let Some(name) = inner.strip_prefix("var.") {
            match values.get(name) {
                Some(Some(value)) => {
                    used.insert(name.into());
                    references(value, &at, found);
                    kept = value.clone();
                }
                Some(None) => {
                    used.insert(name.into());
                    found.missing.entry(name.into()).or_insert(at);
                }
                None => wrong(
                    format!("no variable `{name}` is declared"),
                    match meant(name, values.keys().map(String::as_str)) {
                        none if values.is_empty() => format!("add `{name}:` under `variables` ({none})"),
                        meant => meant,
                    },
                ),
            }
        } else if inner.strip_prefix("env:").or(inner.strip_prefix("file:")).is_some_and(|name| !name.is_empty()) {
            found.references.push(Reference { text: reference.into(), span: at });
        } else {
            wrong(
                format!("`{reference}` is not a reference"),
                "takes `${var.name}`, `${env:NAME}` or `${file:PATH}`; a literal `${` is written `$${`".into(),
            );
        }
        out.push_str(&kept);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

/// References inside the value of a variable.
fn references(value: &str, at: &Range<usize>, found: &mut Found) {
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let Some(end) = rest[start..].find('}') else { return };
        let text = &rest[start..=start + end];
        if text.starts_with("${env:") || text.starts_with("${file:") {
            found.references.push(Reference { text: text.into(), span: at.clone() });
        }
        rest = &rest[start + end + 1..];
    }
}

/// Where a part of a scalar stands; the whole scalar where escapes make that unknown.
pub fn place(source: &str, span: &Range<usize>, part: &str) -> Range<usize> {
    match source[span.clone()].find(part) {
        Some(offset) => span.start + offset..span.start + offset + part.len(),
        None => span.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::yaml;

    fn run(text: &str, given: &[(&str, &str)]) -> (Node, Found) {
        let mut tree = yaml::read(text).unwrap();
        let given = given.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let found = substitute(text, &mut tree, &Inputs { given, ..Inputs::default() });
        (tree, found)
    }

    #[test]
    fn values_defaults_and_gaps() {
        let text = "variables: {a: 1, b: , c: x}\nx: \"${var.a}-${var.b}-${var.c}-$${HOME}-${env:E}\"\n";
        let (tree, found) = run(text, &[("c", "y")]);
        assert_eq!(tree.get("x").unwrap().text(), Some("1-${var.b}-y-${HOME}-${env:E}"));
        assert_eq!(found.missing.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(&text[found.references[0].span.clone()], "${env:E}");
        assert!(found.mistakes.is_empty(), "{:?}", found.mistakes);
    }

    #[test]
    fn what_is_not_declared_or_not_a_reference_is_named() {
        let (_, found) = run("variables: {region: x}\nx: ${var.regoin} ${region}\ny: ${var.region\n", &[("zone", "1")]);
        let lines: Vec<&str> = found.mistakes.iter().map(|m| m.headline.as_str()).collect();
        assert!(lines.contains(&"no variable `regoin` is declared"), "{lines:?}");
        assert!(lines.contains(&"`${region}` is not a reference"), "{lines:?}");
        assert!(lines.contains(&"`${` without its `}`"), "{lines:?}");
        assert!(lines.contains(&"the runbook declares no variable `zone`"), "{lines:?}");
        assert!(found.mistakes.iter().any(|m| m.label.contains("did you mean `region`?")));
    }

    #[test]
    fn a_shell_s_line_takes_plain_words_only() {
        let text = "variables: { tag: , where: }\nrun: ['${var.tag}', '${env:X}']\nshell: \"deploy '${var.tag}' ${var.where}\"\n";
        let wrong = |tag: &str, place: &str| {
            let (_, found) = run(text, &[("tag", tag), ("where", place)]);
            found.mistakes.iter().map(|m| text[m.span.clone().unwrap()].to_string()).collect::<Vec<_>>()
        };
        assert!(wrong("v1.4.2", "registry.example.com/bot:v1").is_empty());
        for bad in
            ["v1; touch INJ", "$(id)", "`id`", "a b", "a'b", "a\nb", "*", "~root", "", "a&b", "a=b", "#", "${env:X}"]
        {
            assert_eq!(wrong(bad, "x"), ["${var.tag}"], "{bad}");
        }
        let (_, found) = run("x: { shell: 'psql ${env:DATABASE_URL}' }\n", &[]);
        assert!(found.mistakes[0].label.contains("`\"$DATABASE_URL\"` here"), "{:?}", found.mistakes);
    }
}
