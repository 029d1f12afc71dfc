//! What of a runbook a rehearsal would reach that is not the lab's: every address, program and reference, held against what its
//! row says. Nothing is asked here; whoever opens the doors of a rehearsal keeps them shut for everything else all the same.

use serde_json::{Value, json};

use crate::diag::{Code, Diagnostic, Mistake};
use crate::gates::source;
use crate::people::pager;
use crate::rehearsal::{InLab, Own, at};
use crate::runbook::{Runbook, Step};

/// A part of a runbook that reaches something.
struct Part {
    /// A JSON pointer.
    at: String,
    /// As a mistake names it.
    what: String,
    row: InLab,
    settings: Value,
}

/// An address that stands alone, or a server with it.
const ADDRESS: InLab = InLab::To(|settings| at(settings, &["", "/url"]));

/// Every mistake there is in rehearsing this runbook here.
pub fn rehearsed(runbook: &Runbook, own: &Own) -> Vec<Diagnostic> {
    let placed = |part: Part| {
        let mistakes = part.row.review(&part.what, &part.settings, own).into_iter();
        mistakes.map(move |mistake| diagnostic(runbook, &part.at, mistake)).collect::<Vec<_>>()
    };
    let mut found: Vec<Diagnostic> = parts(runbook).into_iter().flat_map(placed).collect();
    found.extend(references(runbook, own));
    found
}

fn diagnostic(runbook: &Runbook, above: &str, mistake: Mistake) -> Diagnostic {
    let span = runbook.tree.nearest(&format!("{above}{}", mistake.at)).span.clone();
    Diagnostic::error(Code::NotTheLabs, mistake.message).at(span, mistake.help.unwrap_or_default())
}

/// References that a rehearsal has no value for. Files hold the real ones.
fn references(runbook: &Runbook, own: &Own) -> Vec<Diagnostic> {
    let made_up =
        |name: &str| format!("export BGCTL_LAB_{name}=… with a value made up for rehearsals, or leave --lab out");
    let mut seen: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for reference in &runbook.references {
        let text = reference.text.as_str();
        let name = text.strip_prefix("${env:").and_then(|rest| rest.strip_suffix('}'));
        let (headline, label) = match name {
            Some(name) if own.env.contains_key(name) => continue,
            Some(name) => {
                (format!("the lab has no `{name}`, and a rehearsal is given none of the real values"), made_up(name))
            }
            None => (
                format!("`{text}` is a real secret, and a rehearsal reads none"),
                "write `${env:…}`, which the lab can fill in".into(),
            ),
        };
        if !seen.contains(&text) {
            seen.push(text);
            found.push(Diagnostic::error(Code::NotTheLabs, headline).at(reference.span.clone(), label));
        }
    }
    found
}

/// All parts. What is new in the language and reaches something gets a line here.
fn parts(runbook: &Runbook) -> Vec<Part> {
    let document = &runbook.document;
    let part = |at: String, what: &str, row: InLab, settings: Value| Part { at, what: what.into(), row, settings };
    let mut parts = vec![
        part("/stacks/blue/url".into(), "stack", ADDRESS, json!(document.stacks.blue.url)),
        part("/stacks/green/url".into(), "stack", ADDRESS, json!(document.stacks.green.url)),
    ];
    parts.extend(document.prometheus.iter().flat_map(|server| of_server("/prometheus", json!(server))));
    for (name, route) in &document.routes {
        let name = escaped(name);
        if let Some(kind) = runbook.kinds.routers.iter().find(|kind| kind.name == route.router) {
            parts.push(part(format!("/routes/{name}/{}", kind.name), kind.name, kind.lab, route.config.clone()));
        }
        let traffic = route.capacity.as_ref().and_then(|capacity| capacity.traffic);
        parts.extend(traffic.map(|counter| {
            let at = format!("/routes/{name}/capacity/traffic");
            part(at, "counter", InLab::Missing("CloudWatch"), json!(counter))
        }));
        let seen_at = route.seen_at.iter();
        parts.extend(
            seen_at.map(|seen| part(format!("/routes/{name}/seen_at/url"), "address", ADDRESS, json!(seen.url))),
        );
    }
    if let Some(dedup) = document.slack.as_ref().and_then(|slack| slack.dedup.as_ref()) {
        parts.push(part("/slack/dedup/redis".into(), "store", InLab::Missing("Redis"), json!(dedup.redis)));
    }
    if let Some(schema) = &document.schema {
        let database = schema.postgres.iter();
        parts.extend(
            database.map(|url| part("/schema/postgres".into(), "database", InLab::Missing("PostgreSQL"), json!(url))),
        );
        let shadow = schema.shadow.iter();
        parts.extend(shadow.map(|url| part("/schema/shadow".into(), "database", InLab::LeftOut, json!(url))));
    }
    for (name, gate) in &document.gates {
        parts.extend(of_number(&format!("/gates/{}", escaped(name)), json!(gate)));
    }
    if let Some(compare) = &document.compare {
        if compare.inventory.command.is_some() {
            parts.push(part("/compare/inventory".into(), "program", InLab::Programs(&[""]), json!(compare.inventory)));
        }
        for (name, check) in &compare.checks {
            parts.extend(of_number(&format!("/compare/checks/{}/number", escaped(name)), json!(check.number)));
        }
    }
    for (list, pages) in [("page", &document.policy.page), ("notify", &document.policy.notify)] {
        for (n, page) in pages.iter().enumerate() {
            let kinds = pager::KINDS.iter().filter(|kind| page.0.get(kind.name).is_some());
            parts.extend(kinds.map(|kind| part(format!("/policy/{list}/{n}"), kind.name, kind.lab, page.0.clone())));
        }
    }
    if let Some(day) = &document.gameday {
        for (name, hook) in [("bad", &day.bad), ("good", &day.good)] {
            parts.push(part(format!("/gameday/{name}"), "program", InLab::Programs(&[""]), json!(hook)));
        }
    }
    parts.extend(of_steps(runbook, "/steps", &document.steps));
    parts.extend(of_steps(runbook, "/rollback/steps", &document.rollback.steps));
    parts
}

fn of_steps(runbook: &Runbook, lane: &str, steps: &[Step]) -> Vec<Part> {
    let part = |(n, step): (usize, &Step)| {
        let kind = runbook.kinds.steps.iter().find(|kind| kind.name == step.kind)?;
        let what = format!("`{}` of step `{}`", kind.name, step.id);
        Some(Part { at: format!("{lane}/{n}/{}", kind.name), what, row: kind.lab, settings: step.config.clone() })
    };
    steps.iter().enumerate().filter_map(part).collect()
}

/// A gate, or a number of a check: its source, and the server that it names.
fn of_number(above: &str, settings: Value) -> Vec<Part> {
    let mut parts = of_server(&format!("{above}/url"), settings["url"].clone());
    // What names no source, or two, is a mistake of the file.
    if let Ok((kind, own)) = source::chosen(&settings) {
        let what = format!("source `{}`", kind.name);
        parts.push(Part { at: format!("{above}/{}", kind.name), what, row: kind.lab, settings: own.clone() });
    }
    parts
}

fn of_server(pointer: &str, server: Value) -> Vec<Part> {
    let part = |at: String, row, settings| Part { at, what: "server".into(), row, settings };
    let mut parts = Vec::new();
    if let Some(file) = server.get("bearer_file") {
        let row = InLab::Missing("use for a real token");
        parts.push(part(format!("{pointer}/bearer_file"), row, file.clone()));
    }
    parts.push(part(pointer.into(), ADDRESS, server));
    parts
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
