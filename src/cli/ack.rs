//! `bgctl ack`: "I have it". Whoever was paged says so, and nobody else is called. Moves nobody.

use serde_json::json;

use crate::diag::{Code, Kind, Refusal};
use crate::people::{Acknowledgement, acknowledge};
use crate::report::spoken_seconds;
use crate::session::acting;
use crate::session::run_record::RunRecord;
use crate::shell::{Context, Exit};

/// Acknowledge a page of a run: no one else is called. Users stay where they are.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The run, or the end of its name; the newest otherwise.
    run: Option<String>,
    /// What you are going to do; the log keeps it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let past = RunRecord::find(cx, args.run.as_deref())?;
    let now = cx.clock.now();
    let age = match past.story.read_at() {
        Some(at) => {
            format!("last read {} ago", spoken_seconds((now.as_second() - at.as_second()).max(0).unsigned_abs()))
        }
        None => "as the plan saw it, not read since".into(),
    };
    let users = format!("{}, {age}", past.story.users_line());
    let Some((delivered, how)) = &past.story.paged else {
        return Err(Refusal::new(Kind::Usage, Code::NoPaging, format!("run {} has paged nobody", past.id))
            .cause(format!("it is {}", past.rests()))
            .users(users)
            .next("bgctl status        what runs, and where users are now"));
    };
    let by = acting::here(cx, None, Some(&past.plan));
    cx.known.of_references(&past.plan.canonical(), &cx.env);
    let word = args.reason.as_deref().map(|reason| cx.known.mask(reason));
    let given = Acknowledgement { by, at: now, word };
    acknowledge(&past.folder, &given).map_err(|e| {
        Refusal::new(Kind::Environment, Code::NoRecord, "the acknowledgement cannot be written")
            .place(past.folder.display().to_string())
            .cause(e.to_string())
            .users(users.clone())
            .next("acknowledge at the channel that called you")
    })?;
    if cx.machine() {
        cx.json(&json!({ "run": past.id, "acknowledged_by": given.by.name, "users": users }));
        return Ok(Exit::Success);
    }
    cx.out(&format!("{} has run {} ({})", given.by.name, past.id, past.story.about.headline()));
    if !delivered {
        cx.out(&format!("  paged      NOBODY WAS REACHED: {how}"));
    }
    let written = match past.alive {
        true => "its process writes it into the log and calls nobody else",
        false => "its process is gone and its log is closed, so this stands beside it",
    };
    cx.out(&format!("  noted      {written}"));
    cx.out(&format!("  users      {users}"));
    if let Some(why) = &past.story.why {
        cx.out(&format!("  why        {why}"));
    }
    cx.out("  next       bgctl status           where users are, read from the live systems");
    cx.out(&format!(
        "             bgctl rollback {}   everyone back to BLUE, if BLUE is well",
        past.story.about.short()
    ));
    Ok(Exit::Success)
}
