//! `${env:…}` and `${file:…}`: looked up once, before anything moves.

use std::collections::BTreeMap;

use super::nearest::nearest;
use super::{Runbook, Source};
use crate::diag::{Code, Diagnostic, Kind, Refusal};
use crate::file;
use crate::secret::{Secret, Secrets};

/// The shortest secret that can be kept out of texts: a shorter one would be found in ordinary words.
const LEAST_BYTES: usize = 6;

impl Runbook {
    /// Names in `${env:…}` that this environment does not have, each with its first place. A warning in `check`.
    pub fn unset(&self, env: &BTreeMap<String, String>) -> Vec<Diagnostic> {
        let mut seen = Vec::new();
        let mut found = Vec::new();
        for reference in &self.references {
            let Some(name) = env_name(&reference.text) else { continue };
            if seen.contains(&name) || env.contains_key(name) || env.contains_key(&format!("{name}_FILE")) {
                continue;
            }
            seen.push(name);
            let label = match nearest(name, env.keys().map(String::as_str)) {
                Some(near) => format!("{near} is set: is that a typing mistake?"),
                None => "has to be set before `plan` and `cutover`".into(),
            };
            found.push(
                Diagnostic::warning(Code::Environment, format!("{name} is not set here"))
                    .at(reference.span.clone(), label),
            );
        }
        found
    }

    /// Variables without a value, as the refusal of everything that needs them.
    pub fn refuse_missing(&self, source: &Source) -> Option<Refusal> {
        let (name, _) = self.missing.first_key_value()?;
        let mut refusal = Refusal::new(Kind::Environment, Code::NoValue, format!("variable `{name}` has no value"));
        for (name, span) in &self.missing {
            refusal = refusal.place(format!("{}    ${{var.{name}}}", at(source, span.start)));
        }
        Some(
            refusal
                .next(format!("add --var {name}=VALUE, or set BGCTL_VAR_{name}, or give it a value under `variables`")),
        )
    }
}

fn env_name(reference: &str) -> Option<&str> {
    reference.strip_prefix("${env:")?.strip_suffix('}')
}

fn at(source: &Source, byte: usize) -> String {
    let (line, column) =
        Diagnostic::error(Code::Environment, "").at(byte..byte, "").line_column(&source.text).unwrap_or((1, 1));
    format!("{}:{line}:{column}", source.path)
}

/// The values of all references of a runbook.
pub fn resolve(runbook: &Runbook, source: &Source, env: &BTreeMap<String, String>) -> Result<Secrets, Refusal> {
    look_up(runbook.references.iter().map(|r| (r.text.as_str(), at(source, r.span.start))), env)
}

/// The values of the references that stand in a plan: all a resumed run has.
pub fn resolve_plan(text: &str, env: &BTreeMap<String, String>) -> Result<Secrets, Refusal> {
    let found = text.match_indices("${").filter_map(|(start, _)| {
        let reference = &text[start..=start + text[start..].find('}')?];
        let known = ["${env:", "${file:"].iter().any(|prefix| reference.starts_with(prefix));
        known.then(|| (reference, "the plan".to_string()))
    });
    look_up(found, env)
}

/// The same for whoever goes back: what is not there is left out, since most of a plan is not needed for that.
pub fn resolve_known(text: &str, env: &BTreeMap<String, String>) -> Secrets {
    let starts = text.match_indices("${").map(|(start, _)| start);
    let references = starts.filter_map(|start| Some(&text[start..=start + text[start..].find('}')?]));
    references.fold(Secrets::default(), |known, reference| match resolve_plan(reference, env) {
        Ok(found) => known.with(&found),
        Err(_) => known,
    })
}

/// `NAME_FILE` stands in for `NAME`: the value is then the file's content.
fn look_up<'a>(
    references: impl Iterator<Item = (&'a str, String)>,
    env: &BTreeMap<String, String>,
) -> Result<Secrets, Refusal> {
    let mut values = BTreeMap::new();
    for (reference, at) in references {
        if values.contains_key(reference) {
            continue;
        }
        let place = format!("{at}    {reference}");
        let refuse = |code, headline: String| Refusal::new(Kind::Environment, code, headline).place(place.clone());
        let value = match (env_name(reference), reference.strip_prefix("${file:")) {
            (Some(name), _) => match (env.get(name), env.get(&format!("{name}_FILE"))) {
                (Some(value), _) => value.clone(),
                (None, Some(path)) => {
                    content(path).map_err(|e| refuse(Code::Environment, format!("{name}_FILE: {e}")))?
                }
                (None, None) => {
                    let mut refusal = refuse(Code::Environment, format!("{name} is not set"))
                        .next(format!("export {name}_FILE=PATH    (or {name}=…), then the same command again"));
                    if let Some(near) = nearest(name, env.keys().map(String::as_str)) {
                        refusal = refusal.next(format!("{near} is set: is that a typing mistake?"));
                    }
                    return Err(refusal);
                }
            },
            (None, Some(path)) => content(path.trim_end_matches('}'))
                .map_err(|e| refuse(Code::Environment, format!("{reference}: {e}")))?,
            (None, None) => panic!("BUG: `{reference}` was taken for a reference"),
        };
        if value.len() < LEAST_BYTES {
            let headline = format!("the value of `{reference}` is shorter than {LEAST_BYTES} bytes");
            return Err(refuse(Code::ShortSecret, headline)
                .cause("so short a text cannot be kept out of logs and records")
                .next("take a longer value"));
        }
        values.insert(reference.to_string(), Secret::new(value));
    }
    Ok(Secrets::new(values))
}

/// A secret's file without the line end that editors add.
fn content(path: &str) -> Result<String, String> {
    let text =
        file::text(std::path::Path::new(path), file::LONG).map_err(|e| format!("`{path}` cannot be read: {e}"))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}
