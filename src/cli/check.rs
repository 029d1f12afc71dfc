//! `bgctl check`: every mistake of every file at once. No system is asked; `--live` does that afterwards, in `live`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::schema_page;
use crate::compile::{self, Draft, unattended};
use crate::diag::{Code, Diagnostic, Places, Refusal, Severity};
use crate::gates::watched;
use crate::plan::{LAB, Lane, Plan};
use crate::policy::{Policy, PolicyFile, is_policy};
use crate::runbook::{Inputs, Runbook, Source, sorted};
use crate::scalar::counted;
use crate::scalar::spoken;
use crate::secret::Known;
use crate::session::mistakes;
use crate::session::policy;
use crate::shell::{Exit, ci};
use crate::steps::Bake;

/// Check runbooks: every mistake at once, with its place. Asks no system (but see --live) and changes nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Runbook files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Treat warnings as mistakes.
    #[arg(long)]
    pub strict: bool,
    /// Then ask every source of the gates, and name the metrics and labels that do exist.
    #[arg(long)]
    pub live: bool,
    /// Give a variable its value.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = mistakes::variable)]
    pub vars: Vec<(String, String)>,
    /// Read the files with blue and green exchanged.
    #[arg(long)]
    pub swap: bool,
    /// Check for a CI job, which cannot ask a person. On by itself in CI.
    #[arg(long)]
    pub ci: bool,
    /// The team's policy; `.bgctl/policy.yaml` otherwise, where there is one.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// What became of one file.
struct Checked {
    source: Source,
    found: Vec<Diagnostic>,
    good: Option<Good>,
}

/// A file without errors.
enum Good {
    Runbook(Box<Runbook>, Box<Plan>),
    Policy(Box<Policy>),
}

pub fn run(
    args: &Args,
    out: &mut dyn Write,
    err: &mut dyn Write,
    env: &BTreeMap<String, String>,
    known: &Known,
    color: bool,
    json: bool,
) -> std::io::Result<Exit> {
    let inputs = Inputs { swap: args.swap, ..mistakes::inputs(&args.vars, env) };
    let mut exit = Exit::Success;
    let mut report = Vec::new();
    let place = args.policy.clone().unwrap_or_else(|| policy::TEAM.into());
    let held = match policy::source(&place, place.display().to_string(), args.policy.is_some()) {
        Ok(held) => held,
        Err(refusal) => {
            match json {
                true => writeln!(
                    out,
                    "{}",
                    json!({ "ok": false, "files": [unread(&place.display().to_string(), &refusal)] })
                )?,
                false => write!(err, "{refusal}")?,
            }
            return Ok(Exit::Invalid);
        }
    };
    let held = held.map(|source| PolicyFile::parse(source.clone()).map_err(|found| (source, found))).transpose();
    // A policy that is wrong is shown once, and runbooks are judged as if there were none.
    let (held, wrong) = match held {
        Ok(held) => (held, None),
        Err(wrong) => (None, Some(wrong)),
    };
    if let Some((source, found)) = wrong.filter(|(source, _)| !args.files.contains(&source.path)) {
        exit = Exit::Invalid;
        let checked = Checked { source, found, good: None };
        match json {
            true => report.push(machine(&checked, true)),
            false => text(args, &checked, true, out, err, color)?,
        }
    }
    for path in &args.files {
        let source = match Source::read(path) {
            Ok(source) => source,
            Err(refusal) => {
                exit = Exit::Invalid;
                match json {
                    true => report.push(unread(path, &refusal)),
                    false => write!(err, "{refusal}")?,
                }
                continue;
            }
        };
        known.of_references(&source.text, env);
        let checked = match is_policy(&source.text) {
            true => check_policy(source),
            false => check(args, source, &inputs, held.as_ref(), env),
        };
        let bad = checked.found.iter().any(|d| d.severity == Severity::Error || args.strict);
        if bad {
            exit = Exit::Invalid;
        }
        match json {
            true => report.push(machine(&checked, bad)),
            false => text(args, &checked, bad, out, err, color)?,
        }
    }
    if json {
        writeln!(out, "{}", json!({ "ok": exit == Exit::Success, "files": report }))?;
    }
    Ok(exit)
}

fn check_policy(source: Source) -> Checked {
    match PolicyFile::parse(source.clone()) {
        Err(found) => Checked { source, found, good: None },
        Ok(file) => Checked { source, found: file.warnings, good: Some(Good::Policy(Box::new(file.policy))) },
    }
}

fn check(
    args: &Args,
    source: Source,
    inputs: &Inputs,
    policy: Option<&PolicyFile>,
    env: &BTreeMap<String, String>,
) -> Checked {
    let (found, good) = match Draft::new(&source, inputs, policy) {
        Err(found) => (found, None),
        Ok(Draft { runbook, plan, mut warnings, .. }) => {
            if args.ci || ci(env).is_some() {
                warnings = unattended::in_ci(warnings);
            }
            let wrong = warnings.iter().any(|d| d.severity == Severity::Error);
            (warnings, (!wrong).then(|| Good::Runbook(Box::new(runbook), Box::new(plan))))
        }
    };
    Checked { source, found: sorted(found), good }
}

fn text(
    args: &Args,
    checked: &Checked,
    bad: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
    color: bool,
) -> std::io::Result<()> {
    let Source { path, text } = &checked.source;
    let (errors, warnings): (Vec<_>, Vec<_>) = checked.found.iter().partition(|d| d.severity == Severity::Error);
    // A file with errors shows those first: warnings can wait until it is right.
    let shown: Vec<&Diagnostic> = errors.iter().chain(&warnings).copied().collect();
    if bad {
        mistakes::draw(&checked.source, &shown, err, color)?;
        let counts = match (errors.len(), warnings.len()) {
            (0, w) => format!("{} (--strict)", counted(w, "warning")),
            (e, 0) => counted(e, "error"),
            (e, w) => format!("{}, {}", counted(e, "error"), counted(w, "warning")),
        };
        writeln!(err, "{counts} in {path} · nothing was asked of any system, nothing changed")?;
        let code = shown.first().map_or(Code::Yaml, |d| d.code);
        return writeln!(err, "next: fix, then bgctl check {path}        more: bgctl explain {code}");
    }
    let Some(good) = &checked.good else { return Ok(()) };
    let next = match good {
        Good::Runbook(runbook, plan) => {
            let steps = counted(plan.forward.len(), "step");
            writeln!(out, "{path} · {} · {} · {steps}\n", plan.service, plan.environment)?;
            for (name, line) in summary(runbook, plan) {
                writeln!(out, "  ✓ {name:<12} {line}")?;
            }
            for (gate, line) in judged(plan) {
                writeln!(out, "  ✓ {:<12} {gate}: {line}", "gate")?;
            }
            if let Some(Ok(folder)) = compile::migrations(&runbook.document) {
                let (count, safe) = (folder.new_ones().count(), plan.policy.schema_safe);
                let back = if safe { "rollback may be automatic" } else { "forward or page" };
                let mark = if safe { "✓" } else { "!" };
                writeln!(out, "  {mark} {:<12} {} since blue: {back}", "schema", counted(count, "migration"))?;
                for line in schema_page::statements(&folder, color) {
                    writeln!(out, "{line}")?;
                }
            }
            if !args.live {
                writeln!(out, "  – {:<12} not asked: `bgctl plan` reads what is live", "live")?;
            }
            plan.command(if plan.environment == LAB { "cutover" } else { "plan" })
        }
        Good::Policy(policy) => {
            let (persons, roles) = (counted(policy.persons.len(), "person"), counted(policy.roles.len(), "role"));
            writeln!(out, "{path} · policy · {persons} · {roles}\n")?;
            for (name, role) in &policy.roles {
                let (quorum, of) = (role.quorum, role.members.join(", "));
                writeln!(out, "  ✓ {name:<12} {quorum} of {of}, {} or better", role.evidence.name())?;
            }
            "bgctl check RUNBOOK        its roles, under this policy".into()
        }
    };
    if !warnings.is_empty() {
        writeln!(out)?;
        let mut places = Places::new(text);
        for warning in &warnings {
            let line = warning.span.as_ref().map(|span| places.of(span.start).0);
            let line = line.map_or_else(|| path.clone(), |line| format!("{path}:{line}"));
            writeln!(out, "  ! {line}: {} [{}]", warning.headline, warning.code)?;
            if !warning.label.is_empty() {
                writeln!(out, "    {}", warning.label)?;
            }
        }
    }
    writeln!(out)?;
    match warnings.len() {
        0 => write!(out, "ready")?,
        n => write!(out, "ready with {}", counted(n, "warning"))?,
    }
    // What is asked next says so itself, and what to do after it.
    if args.live {
        return writeln!(out);
    }
    writeln!(out, " · nothing was asked of any system, nothing changed\nnext: {next}")
}

/// One line for each thing that was found in order.
fn summary(runbook: &Runbook, plan: &Plan) -> Vec<(&'static str, String)> {
    let approvals = plan.forward.iter().chain(&plan.rollback).filter(|step| step.approval.is_some()).count();
    let seconds: u64 = plan.lane(Lane::Forward).iter().map(|step| step.expected_s).sum();
    let moves = plan.forward.iter().filter(|step| step.moves.is_some()).count();
    let back: Vec<&str> = plan.rollback.iter().filter(|s| s.moves.is_some()).map(|s| s.id.as_str()).collect();
    let mut lines = vec![
        (
            "syntax",
            format!(
                "{}, {}, {}",
                counted(plan.forward.len() + plan.rollback.len(), "step"),
                counted(plan.gates.len(), "gate"),
                counted(approvals, "approval"),
            ),
        ),
        (
            "moves",
            format!(
                "{}, about {} in all when nothing is wrong",
                counted(moves, "shift"),
                spoken(Duration::from_secs(seconds))
            ),
        ),
        (
            "rollback",
            match plan.moves_nobody() {
                true => "none: the runbook has no route and moves nobody".into(),
                false => format!("one call for each route: {}", back.join(", ")),
            },
        ),
    ];
    if !runbook.document.variables.is_empty() {
        let all = runbook.document.variables.len();
        let missing: Vec<&str> = runbook.missing.keys().map(String::as_str).collect();
        lines.push(match missing.as_slice() {
            [] => ("variables", format!("{all} declared, all have values")),
            names => ("variables", format!("{all} declared, to be given when it runs: {}", names.join(", "))),
        });
    }
    if !runbook.references.is_empty() {
        let mut names: Vec<&str> = runbook.references.iter().map(|r| r.text.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        lines.push(("references", format!("{}, their values are never printed: {}", names.len(), names.join(", "))));
    }
    lines
}

/// What each gate is judged as, in the words of its record.
fn judged(plan: &Plan) -> Vec<(String, String)> {
    let bakes: Vec<Bake> = plan.forward.iter().filter_map(|step| Bake::deserialize(&step.config).ok()).collect();
    let windows = |name: &String| {
        let of = |bake: &Bake| format!("{}, fails at {}", counted(bake.windows() as usize, "window"), bake.fail());
        let mut all: Vec<String> = bakes.iter().filter(|bake| bake.gates.contains(name)).map(of).collect();
        all.dedup();
        match &all[..] {
            [] => ", in no bake".into(),
            all => format!(", {}", all.join(" or ")),
        }
    };
    let gates = watched::named(plan, plan.gates.keys()).unwrap_or_default();
    gates.iter().filter_map(|gate| Some((gate.name.clone(), gate.judged_as(&windows(&gate.name)).ok()?))).collect()
}

fn machine(checked: &Checked, bad: bool) -> Value {
    let mut json = mistakes::file_json(&checked.source, &checked.found, bad);
    if let Some(Good::Runbook(runbook, plan)) = &checked.good {
        json["gates"] = judged(plan).into_iter().map(|(gate, line)| json!({ "gate": gate, "line": line })).collect();
        if let Some(Ok(folder)) = compile::migrations(&runbook.document) {
            json["statements"] = schema_page::statements_json(&folder);
        }
    }
    json
}

fn unread(path: &str, refusal: &Refusal) -> Value {
    let found = json!({
        "severity": "error", "code": refusal.code, "headline": refusal.headline, "line": null, "column": null,
        "label": refusal.cause.join("; "), "notes": refusal.next,
    });
    json!({ "file": path, "ok": false, "found": [found] })
}
