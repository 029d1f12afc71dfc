//! `bgctl decide`: HTTP request URLs or Socket Mode for one context, definitely, with a design and a first runbook.
//!
//! It asks no system. Answers come from flags, then from a file, then from a person at a terminal; without one it never asks.
#![doc = include_str!("decide.md")]

mod answers;
mod design;
mod matrix;
mod questions;
mod recommendation;
mod reliability;
mod report;

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::diag::{Code, Diagnostic, Kind, Refusal};
use crate::runbook::{Source, read_as};
use crate::scalar::counted;
use crate::session::mistakes;
use crate::shell::{Context, Exit};
use answers::{Answers, Deployment, schema};
use design::Design;
use matrix::Row;
use recommendation::Recommendation;

/// Decide between HTTP request URLs and Socket Mode for a Slack app: a recommendation, a design, a first runbook. Asks no
/// system.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Read the answers from a file; flags win over it.
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// Also write the first runbook to a file, which must not exist.
    #[arg(long, value_name = "FILE")]
    runbook: Option<PathBuf>,
    #[command(flatten)]
    answers: Answers,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    context: Deployment,
    recommendation: Recommendation,
    matrix: Vec<Row>,
    design: Design,
}

impl Decision {
    fn of(context: Deployment) -> Self {
        let matrix = matrix::rows(&context);
        let recommendation = recommendation::recommend(&context, &matrix);
        let design = design::design(&context, recommendation.mode);
        Decision { context, recommendation, matrix, design }
    }
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let mut answers = args.answers.clone();
    if let Some(path) = &args.context {
        match read(cx, path)? {
            Ok(written) => answers = answers.or(written),
            Err(exit) => return Ok(exit),
        }
    }
    let context = match answers.clone().whole() {
        Ok(context) => context,
        Err(missing) if !cx.style.interactive => return Err(unanswered(&missing)),
        Err(_) => {
            answers.follow();
            questions::ask(&mut answers).map_err(|e| {
                Refusal::new(Kind::Usage, Code::Unsaid, "the questions were left unanswered")
                    .cause(e.to_string())
                    .next("bgctl decide")
            })?;
            answers.whole().map_err(|missing| unanswered(&missing))?
        }
    };
    let decision = Decision::of(context);
    if let Some(path) = &args.runbook {
        keep(cx, path, &decision)?;
    }
    if cx.machine() {
        cx.json(&serde_json::to_value(&decision).expect("BUG: a decision is plain data"));
    } else {
        report::markdown(&decision).lines().for_each(|line| cx.out(line));
    }
    if let Some(path) = &args.runbook {
        cx.err(&format!("next: bgctl check {}", path.display()));
    }
    Ok(Exit::Success)
}

/// The answers of a file; or its mistakes, shown, and the exit code.
fn read(cx: &Context, path: &std::path::Path) -> Result<Result<Answers, Exit>, Refusal> {
    let source = Source::read(&path.to_string_lossy())?;
    match read_as::<Answers>(&source.text, &schema(), "the context") {
        Ok((answers, _)) => Ok(Ok(answers)),
        Err(found) => {
            if cx.machine() {
                cx.raw_out(&mistakes::file_json(&source, &found, true).to_string());
            }
            let all: Vec<&Diagnostic> = found.iter().collect();
            // A reader who closed the pipe has what they wanted.
            let _ = mistakes::draw(&source, &all, &mut cx.stderr(), cx.style.err.color);
            cx.err(&format!("{} in {}", counted(all.len(), "error"), source.path));
            cx.err("next: fix, then the same command again        more: bgctl explain decide");
            Ok(Err(Exit::Invalid))
        }
    }
}

fn unanswered(missing: &[&str]) -> Refusal {
    let flags: Vec<String> = missing.iter().map(|name| format!("--{name}")).collect();
    Refusal::new(Kind::Usage, Code::NobodyHere, "the context is not known, and nobody can be asked here")
        .cause(format!("not answered: {}", flags.join(", ")))
        .next("bgctl decide --context FILE.yaml    with these keys, `-` written as `_`; see bgctl explain decide")
        .next("bgctl decide                        at a terminal: it asks")
}

/// Writes the runbook, over nothing.
fn keep(cx: &Context, path: &std::path::Path, decision: &Decision) -> Result<(), Refusal> {
    let Some(text) = &decision.design.runbook else {
        let why = decision.design.no_runbook.clone().unwrap_or_default();
        return Err(
            Refusal::new(Kind::Other, Code::NotBuiltIn, "there is no first runbook for this context").cause(why)
        );
    };
    let path = cx.cwd.join(path);
    let written = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| {
        let headline = format!("the runbook cannot be written to `{}`", path.display());
        let refusal = Refusal::new(Kind::Other, Code::Unwritable, headline).cause(e.to_string());
        match e.kind() {
            std::io::ErrorKind::AlreadyExists => refusal.next("give a name that is free: nothing is overwritten"),
            _ => refusal.next("give another place"),
        }
    })
}
