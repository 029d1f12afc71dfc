//! `bgctl runs`: what ran here, newest first, and behind it what was rehearsed.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::diag::Refusal;
use crate::report::{Mark, spoken_seconds, words};
use crate::session::places;
use crate::session::run_record::RunRecord;
use crate::shell::{Context, Exit};

/// List the runs that are kept here, newest first.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let [real, rehearsals] = places::both(cx)?;
    let all: Vec<(String, PathBuf)> = [&rehearsals, &real]
        .iter()
        .flat_map(|archive| archive.runs().into_iter().map(|id| (id.clone(), archive.run(&id))))
        .collect();
    let mut rows: Vec<Value> = Vec::new();
    for (id, folder) in all.iter().rev().take(args.last) {
        let read = RunRecord::read(id.clone(), folder.clone());
        if cx.machine() {
            rows.push(match &read {
                Ok(past) => json!({
                    "run": id, "service": past.plan.service, "environment": past.plan.environment,
                    "outcome": past.word(), "watched": past.alive,
                    "from": past.plan.blue.version, "to": past.plan.green.version,
                    "users": past.story.users_line(),
                    "began": past.story.began.map(|t| t.to_string()), "last": past.story.last.map(|t| t.to_string()),
                }),
                Err(refusal) => json!({ "run": id, "unreadable": refusal.headline }),
            });
            continue;
        }
        let ink = cx.style.out;
        match read {
            Ok(past) => {
                let took = match (past.story.began, past.story.last) {
                    (Some(began), Some(last)) => {
                        spoken_seconds((last.as_second() - began.as_second()).max(0).unsigned_abs())
                    }
                    _ => "unknown".into(),
                };
                let p = &past.plan;
                let line = format!(
                    "{id}  {:<11} {:<20} {} → {}  {}  {took}",
                    past.word(),
                    format!("{}/{}", p.service, p.environment),
                    p.blue.version,
                    p.green.version,
                    past.story.users_line(),
                );
                let mark = past.outcome().map_or(Mark::Working, words::outcome_mark);
                cx.raw_out(&format!("{} {}", ink.mark(mark), ink.text(&line)));
            }
            // One broken record does not hide the others.
            Err(refusal) => {
                cx.raw_out(&format!("{} {}", ink.mark(Mark::Failed), ink.text(&format!("{id}  {}", refusal.headline))));
            }
        }
    }
    if cx.machine() {
        cx.json(&json!({ "runs": rows }));
    } else if all.is_empty() {
        cx.out(&format!("no run is kept in {}", real.root().display()));
        cx.out("next: bgctl cutover runbooks/quickstart.yaml --lab");
    }
    Ok(Exit::Success)
}
