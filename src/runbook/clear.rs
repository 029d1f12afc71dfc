//! Secrets in clear: every text of a file, whichever key it stands under, passes the scanner that masks what a run writes. What is
//! found is refused with the reference to write in its place, and shown to nobody.

use std::ops::Range;

use serde_json::Value;

use super::tree::{Entry, Node, Tree};
use super::variables::{Inputs, place};
use crate::diag::{Code, Diagnostic};
use crate::secret::{Found, Reading, Secret, Secrets, beside, find, variable};

/// What was found, and what may be shown nowhere.
#[derive(Clone, Debug, Default)]
pub struct Clear {
    pub mistakes: Vec<Diagnostic>,
    values: Vec<String>,
}

impl Clear {
    /// Of a file. `inputs` are the values its variables were given, which stand in no line of it.
    pub fn of(source: &str, tree: &Node, inputs: &Inputs) -> Self {
        let mut clear = Clear::default();
        let declared = tree.entry("variables");
        for (name, value) in inputs.ambient.iter().chain(&inputs.given) {
            let entry = declared.and_then(|declared| declared.node.entry(name));
            let Some(entry) = entry else { continue };
            for found in texts(&[name], value) {
                let instead = format!("give it as `--var '{name}=${{env:{}}}'`", found.variable);
                clear.mistake(&found, entry.key_span.clone(), instead);
                clear.values.push(value[found.span].into());
            }
        }
        visit(tree, &mut Vec::new(), &mut |path, node, text, found| {
            let at = match node.span.is_empty() {
                true => node.span.clone(),
                false => place(source, &node.span, &text[found.span.clone()]),
            };
            clear.values.push(text[found.span.clone()].into());
            // Said once already, where the variable is declared.
            let given = source.get(node.span.clone()).is_some_and(|written| written.contains("${var."));
            if !(given && clear.mistakes.iter().any(|d| d.label.starts_with("give it"))) {
                clear.mistake(&found, at, instead(path, &found.variable));
            }
        });
        clear
    }

    fn mistake(&mut self, found: &Found, span: Range<usize>, instead: String) {
        let mistake = Diagnostic::error(Code::SecretInFile, format!("{}, in clear", found.what)).at(span, instead);
        self.mistakes.push(mistake.note("whoever reads this has it: replace it where it was issued"));
    }

    /// Sentences about the same file, which may quote it.
    pub fn masked(&self, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        if self.values.is_empty() {
            return found;
        }
        let values = self.values.iter().enumerate().map(|(n, value)| (n.to_string(), Secret::new(value.as_str())));
        let secrets = Secrets::new(values.collect());
        // A value too short for the mask is known by its quotes.
        let quoted = |text: String, value: &String| text.replace(&format!("`{value}`"), "`[secret]`");
        let mask = |text: String| self.values.iter().fold(secrets.mask(&text), quoted);
        found
            .into_iter()
            .map(|d| Diagnostic {
                headline: mask(d.headline),
                label: mask(d.label),
                notes: d.notes.into_iter().map(mask).collect(),
                ..d
            })
            .collect()
    }
}

/// What stands in clear in a plan: pointer, what it is, and the reference to write instead.
pub fn in_plan(plan: &Value) -> Vec<(String, &'static str, String)> {
    let mut all = Vec::new();
    visit(&node(plan), &mut Vec::new(), &mut |path, _, _, found| {
        all.push((format!("/{}", path.join("/")), found.what, reference(path, &found.variable)));
    });
    all
}

fn node(value: &Value) -> Node {
    let value = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Tree::Null,
        Value::String(text) => Tree::Scalar { text: text.clone(), plain: false },
        Value::Array(items) => Tree::List(items.iter().map(node).collect()),
        Value::Object(members) => {
            let entry = |(key, value): (&String, &Value)| Entry { key: key.clone(), key_span: 0..0, node: node(value) };
            Tree::Map(members.iter().map(entry).collect())
        }
    };
    Node { span: 0..0, value }
}

type Each<'e> = dyn FnMut(&[&str], &Node, &str, Found) + 'e;

/// Goes through all texts, keys too.
fn visit<'n>(node: &'n Node, path: &mut Vec<&'n str>, each: &mut Each<'_>) {
    match &node.value {
        Tree::Null => {}
        Tree::Scalar { text, .. } => {
            texts(path, text).into_iter().for_each(|found| each(path, node, text, found));
        }
        Tree::List(items) => {
            let mut before = "";
            for item in items {
                visit(item, path, each);
                // `[curl, -u, user:password]`: the option and its value are two words.
                let text = item.text().unwrap_or_default();
                if before.starts_with('-') {
                    let both = format!("{before} {text}");
                    let from = before.len() + 1;
                    let of_both = find(&both, Reading::Prose).into_iter().filter(|found| found.span.start >= from);
                    let alone = texts(path, text);
                    for found in of_both {
                        let span = found.span.start - from..found.span.end - from;
                        if !alone.iter().any(|one| one.span.start < span.end && span.start < one.span.end) {
                            each(path, item, text, Found { span, ..found });
                        }
                    }
                }
                before = text;
            }
        }
        Tree::Map(entries) => {
            for entry in entries {
                let key = Node { span: entry.key_span.clone(), value: Tree::Null };
                find(&entry.key, Reading::Prose).into_iter().for_each(|found| each(path, &key, &entry.key, found));
                path.push(&entry.key);
                visit(&entry.node, path, each);
                path.pop();
            }
        }
    }
}

/// The secrets of one text, which stands at this place.
fn texts(path: &[&str], text: &str) -> Vec<Found> {
    let found = find(text, Reading::Prose);
    match path.last() {
        Some(name) if found.is_empty() && beside(name, text) => {
            vec![Found { span: 0..text.len(), what: "a secret", variable: variable(name) }]
        }
        _ => found,
    }
}

/// The reference that belongs where a secret stands: by the name of the place where that is a variable's, by the look otherwise.
fn reference(path: &[&str], look: &str) -> String {
    let last = path.last().copied().unwrap_or_default();
    let environment = last.len() > 1 && last.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let name = match (environment, look) {
        (false, look) if !look.is_empty() => look.to_string(),
        (true, _) => last.into(),
        _ if GENERAL.contains(&last) => variable(&path[path.len().saturating_sub(2)..].join("_")),
        _ => variable(last),
    };
    let name = match name.as_str() {
        "PROMETHEUS" => "PROMETHEUS_URL".into(),
        _ => name,
    };
    format!("${{env:{name}}}")
}

/// Keys that do not say what a value is for.
const GENERAL: [&str; 6] = ["url", "run", "shell", "text", "sql", "env"];

fn instead(path: &[&str], look: &str) -> String {
    let reference = reference(path, look);
    match path.last() {
        Some(&"shell") => {
            let name = reference.trim_start_matches("${env:").trim_end_matches('}');
            format!("write `env: {{ {name}: \"{reference}\" }}`, and `\"${name}\"` in the line")
        }
        _ => format!("write `{reference}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::yaml;

    fn clear(text: &str, given: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut tree = yaml::read(text).unwrap();
        let given = given.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let inputs = Inputs { given, ..Inputs::default() };
        crate::runbook::variables::substitute(text, &mut tree, &inputs);
        let clear = Clear::of(text, &tree, &inputs);
        let of = |d: Diagnostic| (text[d.span.unwrap()].to_string(), d.label);
        clear.mistakes.into_iter().map(of).collect()
    }

    #[test]
    fn every_text_is_looked_at_and_the_reference_named() {
        for (text, secret, reference) in [
            ("x: xoxb-123456789-abc\n", "xoxb-123456789-abc", "${env:SLACK_TOKEN}"),
            ("x: { shell: 'GH=ghp_0123456789abcdef0123 run' }\n", "ghp_0123456789abcdef0123", "\"$GITHUB_TOKEN\""),
            ("x: { shell: curl -u u:p http://x }\n", "p", "${env:"),
            ("env: { DATABASE_PASSWORD: \"hunter2hunter2\" }\n", "hunter2hunter2", "${env:DATABASE_PASSWORD}"),
            ("env: { DATABASE_URL: postgres://app:pw@db/x }\n", "pw", "${env:DATABASE_URL}"),
            (
                "headers: { Authorization: Bearer ghp_0123456789abcdef0123 }\n",
                "ghp_0123456789abcdef0123",
                "${env:AUTHORIZATION}",
            ),
            ("headers: { x-api-key: 0123abcd }\n", "0123abcd", "${env:X_API_KEY}"),
            ("prometheus: http://user:pw@prometheus:9090\n", "pw", "${env:PROMETHEUS_URL}"),
            ("http: { url: \"https://x/y?token=abc\" }\n", "abc", "${env:TOKEN}"),
            ("run: [curl, -u, \"u:p\", http://x]\n", "p", "${env:"),
            ("run: [tool, --password, hunter2]\n", "hunter2", "${env:PASSWORD}"),
            ("steps:\n  - id: AKIAIOSFODNN7EXAMPLE\n", "AKIAIOSFODNN7EXAMPLE", "${env:AWS_ACCESS_KEY_ID}"),
            ("xoxb-123456789-abc: x\n", "xoxb-123456789-abc", "${env:SLACK_TOKEN}"),
            ("variables: { db_password: swordfish }\n", "swordfish", "${env:DB_PASSWORD}"),
        ] {
            let found = clear(text, &[]);
            assert!(
                matches!(&found[..], [(at, label)] if at == secret && label.contains(reference)),
                "{text}{found:?}"
            );
        }
    }

    #[test]
    fn a_value_given_to_a_variable_is_looked_at_like_a_text_of_the_file() {
        let text = "variables: { db_password: , url: }\nx: ${var.db_password}\ny: ${var.url}\n";
        let found = clear(text, &[("db_password", "swordfish"), ("url", "https://x")]);
        assert!(
            matches!(&found[..], [(at, label)] if at == "db_password" && label.contains("--var 'db_password=${env:DB_PASSWORD}'")),
            "{found:?}"
        );
        assert!(clear(text, &[("db_password", "${env:X}"), ("url", "https://x")]).is_empty());
        assert_eq!(clear(text, &[("url", "https://a:b@x")]).len(), 1);
    }

    #[test]
    fn references_and_ordinary_texts_pass() {
        let text = "signing_secret: ${env:S}\nshell: \"PGPASSWORD=$PG psql\"\nsecrets: block\nkey: 'slack:event:{event_id}'\n\
                    rule: arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188\n\
                    image: bot@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nbearer_file: /run/token\n\
                    run: [curl, -u, \"$USER_AND_PASSWORD\", --token, \"${env:T}\", -u, \"1000:1000\"]\n";
        assert!(clear(text, &[]).is_empty(), "{:?}", clear(text, &[]));
    }

    #[test]
    fn a_sentence_about_the_file_does_not_quote_it() {
        let text = "env: { DATABASE_PASSWORD: swordfish }\n";
        let clear = Clear::of(text, &yaml::read(text).unwrap(), &Inputs::default());
        let said = clear.masked(vec![Diagnostic::error(Code::Value, "it cannot be `swordfish`")]);
        assert_eq!(said[0].headline, "it cannot be `[secret]`");
    }
}
