//! `bgctl retro`: a run in numbers, for the meeting after it. From its records alone; asks no system.

use serde_json::json;

use crate::diag::Refusal;
use crate::report::{Retro, retro, spoken_seconds, words};
use crate::session::run_record::RunRecord;
use crate::shell::{Context, Exit};

/// What a run did to its users, in numbers, from its records alone.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run or the end of its name; without it, the newest.
    run: Option<String>,
    /// `markdown` for a document.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Markdown,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let past = RunRecord::whole(cx, args.run.as_deref())?;
    let retro = retro(&past.plan, &past.entries);
    if cx.machine() {
        cx.json(&json!({ "run": past.id, "plan": past.plan.id(), "retro": retro }));
        return Ok(Exit::Success);
    }
    let head = format!("{}, run {}", past.story.about.headline(), past.id);
    let rows = rows(&past, &retro);
    match args.format {
        Format::Text => {
            cx.out(&head);
            for (name, lines) in &rows {
                for (n, line) in lines.iter().enumerate() {
                    cx.out(&format!("  {:<10} {line}", if n == 0 { name } else { "" }));
                }
            }
            cx.out(&format!(
                "  {:<10} bgctl show {}        what happened, step by step",
                "next",
                past.story.about.short()
            ));
        }
        Format::Markdown => {
            cx.raw_out(&format!("# {}\n", markdown(&head)));
            for (name, lines) in &rows {
                cx.raw_out(&format!("**{name}**\n"));
                lines.iter().for_each(|line| cx.raw_out(&format!("- {}", markdown(line))));
                cx.raw_out("");
            }
            cx.raw_out(&format!("Computed by `bgctl retro {}` from the signed log of the run.", past.id));
        }
    }
    Ok(Exit::Success)
}

/// What others said must not become a mark of the document.
fn markdown(text: &str) -> String {
    let plain = crate::secret::visible(text);
    plain.chars().fold(String::new(), |mut out, c| {
        if "\\`*_[]<>|#".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

fn spoken(ms: u64) -> String {
    if ms < 10_000 { format!("{}.{}s", ms / 1000, ms % 1000 / 100) } else { spoken_seconds(ms / 1000) }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The numbers as sentences, by subject.
fn rows(past: &RunRecord, retro: &Retro) -> Vec<(&'static str, Vec<String>)> {
    let mut rows: Vec<(&'static str, Vec<String>)> = Vec::new();
    let outcome = retro.outcome.map_or("not ended".into(), words::shout);
    let users = match past.plan.moves_nobody() {
        true => "no users were moved: the runbook has no route".to_string(),
        false => format!("users {}", past.story.users_line()),
    };
    rows.push(("outcome", vec![format!("{outcome} after {}, {users}", spoken(retro.took_ms))]));
    if past.plan.moves_nobody() {
        rows.push(("why", retro.trouble.iter().map(|trouble| trouble.line.clone()).collect()));
    } else {
        rows.push(("impact", impact(retro)));
    }
    let stay = |route: &String, one: &crate::report::Stay| format!("{route}: {} for {}", one.split, spoken(one.ms));
    let users = retro.splits.iter().flat_map(|(route, stays)| stays.iter().map(move |one| stay(route, one)));
    rows.push(("users", users.collect()));
    let drain = |drain: &crate::report::Drain| {
        let left = match drain.left {
            Some(0) => "nothing left in flight".to_string(),
            Some(n) => format!("{n} still in flight: long connections or jobs that were cut or went on"),
            None => "work left in flight was not counted".into(),
        };
        let became = drain.connections.map_or_else(String::new, |found| format!("; {}", crate::report::became(found)));
        // With work left it was not drained, whatever the runbook said then.
        let had = if drain.left == Some(0) { "drained after" } else { "had" };
        format!("{}: {} {had} {}, {left}{became}", drain.step, drain.stack, spoken(drain.ms))
    };
    rows.push(("drain", retro.drains.iter().map(drain).collect()));
    let waiting = |one: &crate::report::Waiting| {
        let split = if one.split { ", with users split" } else { "" };
        format!("{}: {} after {}{split}", one.step, one.answer, spoken(one.ms))
    };
    rows.push(("approvals", retro.approvals.iter().map(waiting).collect()));
    let page = |page: &crate::report::Paged| {
        let had = match (&page.by, page.acknowledged_ms) {
            (Some(by), Some(ms)) => format!("{by} had it after {}", spoken(ms)),
            _ if !page.delivered => "NOBODY WAS REACHED".into(),
            _ => "nobody acknowledged".into(),
        };
        let again = if page.escalated > 0 { format!(", {} further calls", page.escalated) } else { String::new() };
        format!("{}; {had}{again}", page.line)
    };
    rows.push(("pages", retro.pages.iter().map(page).collect()));
    let took = |step: &crate::report::Took| {
        let again = if step.attempts > 1 { format!(", {} attempts", step.attempts) } else { String::new() };
        format!("{}: {}, planned {}{again}", step.step, spoken(step.ms), spoken_seconds(step.planned_s))
    };
    rows.push(("steps", retro.steps.iter().map(took).collect()));
    let calls = &retro.provider;
    if calls.calls > 0 {
        let refused = if calls.refused > 0 { format!(", {} refused", calls.refused) } else { String::new() };
        let line =
            format!("{}{refused}, the slowest {}ms", count(calls.calls.into(), "call", "calls"), calls.slowest_ms);
        rows.push(("provider", vec![line]));
    }
    rows.retain(|(_, lines)| !lines.is_empty());
    rows
}

fn impact(retro: &Retro) -> Vec<String> {
    let mut lines = Vec::new();
    match &retro.failed {
        Some(failed) => {
            let more = failed.until_safe.filter(|n| *n > 0);
            let more =
                more.map_or(String::new(), |n| format!("; about {n} more until everybody was back, at the same rate"));
            lines.push(format!(
                "about {} of {} on GREEN, {} beyond BLUE's share (gate `{}`){more}",
                count(failed.failed, "failed request", "failed requests"),
                failed.requests,
                failed.beyond_blue,
                failed.gate,
            ));
        }
        None => lines.push("failed requests: not known, no gate counted requests".into()),
    }
    if let Some(trouble) = &retro.trouble {
        lines.push(trouble.line.clone());
        let part = |what: &str, ms: Option<u64>| ms.map(|ms| format!("{} {what}", spoken(ms)));
        let parts = [
            part("from the first sign to the verdict", trouble.sign_to_verdict_ms),
            part("from the verdict to the first call", trouble.verdict_to_call_ms),
            part("from the verdict until everybody was back", trouble.verdict_to_safe_ms),
        ];
        lines.extend(parts.into_iter().flatten());
        lines.push(match trouble.bad_ms {
            Some(ms) => format!("{} in the bad state, from its first sign until everybody was back", spoken(ms)),
            None => "the bad state did not end within this run".into(),
        });
    }
    lines
}
