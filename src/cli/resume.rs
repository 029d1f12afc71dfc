//! `bgctl resume`: go on with a run whose process has gone, or that waits for an approval.

use std::rc::Rc;

use crate::diag::Refusal;
use crate::journal::{Entry, SealState, Sound, read_on};
use crate::run::{Event, RunOutcome};
use crate::session::drive::Begins;
use crate::session::launch::{self, Launch};
use crate::session::policy::PolicyArgs;
use crate::session::run_record::unreadable;
use crate::session::surroundings::{LabArgs, Surroundings};
use crate::session::{native, which};
use crate::shell::{Context, Exit};

/// Go on with a run after a crash, a hold or an approval. Reads the live systems first.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The run, or the end of its name; otherwise the one whose users are under way.
    pub run: Option<String>,
    #[command(flatten)]
    pub launch: launch::SigningArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub lab: LabArgs,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(resume(args, cx))?
}

async fn resume(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let (id, folder) = which::run(cx, args.run.as_deref(), "resume").await?;
    // Up to its last seal: its facts, and the newest of its evidence.
    let sound = read_on(&folder, None).map_err(|unread| {
        let refusal = unreadable(&id, &folder, unread);
        native::native(&folder).into_iter().fold(refusal, Refusal::next)
    })?;
    if let Some((outcome, line)) = over(&sound) {
        cx.err(&format!("NO CHANGES. Run {id} is over, {}: {line}", outcome.name()));
        cx.err(&format!("  next       bgctl show {id}"));
        return Ok(outcome.into());
    }
    let outside = Surroundings::of_run(cx, &args.lab, &sound.plan)?;
    let plan = Rc::new(sound.plan.clone());
    let launch = Launch {
        cx,
        outside: &outside,
        args: &args.launch,
        policy: Some(&args.policy),
        plan,
        command: "resume",
        native: Vec::new(),
    };
    let ready = launch.ready()?;
    let open = launch.resume(&id, &folder, Some(&sound))?;
    Ok(launch.drive(ready, open, Begins::default()).await?.exit)
}

/// How a run ended that its owner has closed: there is nothing left to go on with.
fn over(sound: &Sound) -> Option<(RunOutcome, String)> {
    let end = |entry: &Entry| match entry.event() {
        Some(Event::Ended { outcome, line }) => Some((outcome, line)),
        Some(Event::Refused { why }) => Some((RunOutcome::Refused, why)),
        _ => None,
    };
    (sound.state == SealState::Closed).then(|| sound.entries.iter().rev().find_map(end)).flatten()
}
