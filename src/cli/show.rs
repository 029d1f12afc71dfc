//! `bgctl show`: one run, step by step, from its records alone.

use serde_json::json;

use crate::diag::{Code, Kind, Refusal};
use crate::journal::Entry;
use crate::report::{self, Jsonl, Reporter, Rest, words};
use crate::run::{Event, Evidence};
use crate::session::run_record::RunRecord;
use crate::shell::{Context, Exit, Output};

/// What happened in a run, from its records. Asks no system.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run or the end of its name; without it, the newest.
    run: Option<String>,
    /// Only this step.
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// Every record: each call, check and window.
    #[arg(long)]
    events: bool,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let past = RunRecord::whole(cx, args.run.as_deref())?;
    if let Some(step) = &args.step {
        let known: Vec<&str> = past.plan.forward.iter().chain(&past.plan.rollback).map(|s| s.id.as_str()).collect();
        if !known.contains(&step.as_str()) {
            return Err(Refusal::new(Kind::Usage, Code::NoStep, format!("run {} has no step `{step}`", past.id))
                .cause(format!("its steps: {}", known.join(", "))));
        }
    }
    let of_step = |entry: &&Entry| args.step.as_ref().is_none_or(|step| about(entry).as_ref() == Some(step));
    let entries: Vec<&Entry> = past.entries.iter().filter(of_step).collect();
    match cx.output {
        Output::Json => cx.json(&json!({
            "run": past.id, "plan": past.plan.id(), "outcome": past.word(), "records": entries,
        })),
        Output::Jsonl => {
            let mut lines = Jsonl::new(cx.stdout(), past.id.clone());
            entries.iter().for_each(|entry| lines.record(entry));
        }
        Output::Human | Output::Plain => text(&past, &entries, args, cx),
    }
    Ok(Exit::Success)
}

fn text(past: &RunRecord, entries: &[&Entry], args: &Args, cx: &Context) {
    let ink = cx.style.out;
    cx.out(&past.story.about.headline());
    cx.out(&format!("run {} by {} · times UTC", past.id, past.story.about.by));
    cx.raw_out("");
    for entry in entries {
        let Some(sentence) = words::sentence(entry) else { continue };
        if sentence.detail && !args.events && args.step.is_none() {
            continue;
        }
        let subject = ink.text(&format!("{:<14}", sentence.subject));
        let time = words::time_of_day(&entry.ts);
        cx.raw_out(&format!("{time} {} {subject} {}", ink.mark(sentence.mark), ink.text(&sentence.text)));
    }
    let Some(outcome) = past.outcome().filter(|_| args.step.is_none()) else { return };
    if past.interrupted() {
        let doing = past.working().map_or(String::new(), |step| format!(" in the middle of `{step}`"));
        cx.out(&format!(
            "INTERRUPTED: the process of this run is gone{doing}. `bgctl status` reads where users are now."
        ));
    }
    let rest = Rest {
        outcome,
        exit: Exit::from(outcome).code(),
        found: None,
        now: cx.clock.now(),
        native: Vec::new(),
        folder: Some(past.folder.display().to_string()),
        tail: Vec::new(),
    };
    report::close(&past.story, &rest).lines.iter().for_each(|line| cx.out(line));
}

/// The step a record is about.
fn about(entry: &Entry) -> Option<String> {
    let evidence = entry.evidence().and_then(|evidence| match evidence {
        Evidence::GateEvaluated { step, .. }
        | Evidence::CheckDone { step, .. }
        | Evidence::DrainMeasured { step, .. }
        | Evidence::CommandOutput { step, .. } => Some(step),
        _ => None,
    });
    evidence.or_else(|| {
        entry.event().and_then(|event| match event {
            Event::ApprovalRequested { id, .. }
            | Event::ApprovalGranted { id, .. }
            | Event::ApprovalDenied { id, .. }
            | Event::ApprovalExpired { id, .. }
            | Event::StepIntent { id, .. }
            | Event::StepOutcome { id, .. }
            | Event::StepReconciled { id, .. } => Some(id),
            _ => None,
        })
    })
}
