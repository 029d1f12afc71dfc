//! The mistakes of a file as people and machines see them, and the values its variables are given.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::diag::{Code, Diagnostic, Places, Severity};
use crate::runbook::{Inputs, Source, sorted};
use crate::scalar::counted;
use crate::secret::starred;
use crate::shell::{Context, Exit};

/// At most this many mistakes of one file are drawn.
pub const SHOWN: usize = 20;

/// `name=value`, as `--var` takes it.
pub fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// Values for `${var.name}`: `--var` first, then `BGCTL_VAR_name`.
pub fn inputs(vars: &[(String, String)], env: &BTreeMap<String, String>) -> Inputs {
    let ambient =
        env.iter().filter_map(|(name, value)| Some((name.strip_prefix("BGCTL_VAR_")?.into(), value.clone()))).collect();
    Inputs { given: vars.iter().cloned().collect(), ambient, env: Some(env.clone()), ..Inputs::default() }
}

/// Shows mistakes of a file and gives back the exit code.
pub fn mistaken(cx: &Context, source: &Source, found: Vec<Diagnostic>, exit: Exit) -> Exit {
    let found = sorted(found);
    if cx.machine() {
        cx.raw_out(&file_json(source, &found, true).to_string());
    }
    let all: Vec<&Diagnostic> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    // A reader who closed the pipe has what they wanted.
    let _ = draw(source, &all, &mut cx.stderr(), cx.style.err.color);
    let count = counted(all.len(), "error");
    cx.err(&format!("{count} in {} · nothing was asked of any system, nothing changed", source.path));
    cx.err(&format!("next: fix, then bgctl check {}", source.path));
    exit
}

/// Every mistake with its source line and caret.
pub fn draw(source: &Source, found: &[&Diagnostic], err: &mut dyn Write, color: bool) -> std::io::Result<()> {
    // A mistake beside a token, or the token itself, must not carry it into a log; the carets stay where they are.
    let mut text = starred(&source.text);
    for span in found.iter().filter(|d| d.code == Code::SecretInFile).filter_map(|d| d.span.clone()) {
        let stars = "*".repeat(span.len());
        text.replace_range(span, &stars);
    }
    for diagnostic in found.iter().take(SHOWN) {
        writeln!(err, "{}", diagnostic.render(&source.path, &text, color))?;
    }
    match found.len() {
        n if n > SHOWN => writeln!(err, "and {} more", n - SHOWN),
        _ => Ok(()),
    }
}

/// What is wrong in a file, for machines.
pub fn file_json(source: &Source, found: &[Diagnostic], bad: bool) -> Value {
    let Source { path, text } = source;
    let (mut places, mut in_order) = (Places::new(text), found.iter().collect::<Vec<_>>());
    in_order.sort_by_key(|d| d.span.as_ref().map_or(0, |span| span.start));
    let found: Vec<Value> = in_order
        .into_iter()
        .map(|d| {
            let (line, column) = d.span.as_ref().map(|span| places.of(span.start)).unzip();
            json!({
                "severity": if d.severity == Severity::Error { "error" } else { "warning" },
                "code": d.code, "headline": d.headline, "line": line, "column": column,
                "label": d.label, "notes": d.notes,
            })
        })
        .collect();
    json!({ "file": path, "ok": !bad, "found": found })
}
