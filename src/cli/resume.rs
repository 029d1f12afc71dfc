//! `bgctl resume`: go on with a run whose process has gone, or that waits for an approval.

use std::rc::Rc;

use super::launch::{self, Begins, Launch};
use super::policy::PolicyArgs;
use super::prepare::{LAB_MEMORY, LabArgs, Surroundings};
use super::{Context, Exit, which};
use crate::diag::{Kind, Refusal};
use crate::journal::{Archive, Entry, SealState, Sound, Unread, read_on};
use crate::plan::Plan;
use crate::run::{Event, RunOutcome};

/// Go on with a run: after a crash, a hold, or when an approval has come. The world is looked at first.
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
    let archive = Archive::new(cx.state_dir()?);
    let (id, folder) = which::run(cx, args.run.as_deref(), "resume").await?;
    let sound = sound(&folder, None)?;
    if let Some((outcome, line)) = over(&sound) {
        cx.err(&format!("NO CHANGES. Run {id} is over, {}: {line}", outcome.name()));
        cx.err(&format!("  next       bgctl show {id}"));
        return Ok(outcome.into());
    }
    let outside = outside(cx, &args.lab, &sound.plan, &archive)?;
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

/// What a run's log says, up to its last seal: its facts, and the newest of its evidence. Where it was read before, only what
/// was added since is read.
pub fn sound(folder: &std::path::Path, known: Option<&Sound>) -> Result<Sound, Refusal> {
    let place = folder.join(crate::journal::LOG).display().to_string();
    let refuse = |headline: &str, cause: String| {
        Refusal::new(Kind::Audit, "BG0603", headline)
            .place(place.clone())
            .cause(cause)
            .users("not asked. Nothing was changed by this command.")
            .next("bgctl audit verify        which line, and what is still intact")
            .next(format!("bgctl rollback {}        everyone back to BLUE all the same", name(folder)))
            .next(format!("sh {}/undo/*.sh        everyone back without bgctl", folder.display()))
    };
    read_on(folder, known).map_err(|unread| match unread {
        Unread::Io(error) => refuse("the log of this run cannot be read", error.to_string()),
        Unread::Fault(fault) => refuse("the log of this run does not hold together", fault.to_string()),
    })
}

/// The run a folder is of.
fn name(folder: &std::path::Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A run of the lab goes on in its lab, or in a new one with the same ports and weights.
pub fn outside(cx: &Context, lab: &LabArgs, plan: &Plan, archive: &Archive) -> Result<Surroundings, Refusal> {
    let memory = archive.root().join(LAB_MEMORY);
    let was_lab = plan.environment == "lab" && memory.is_file();
    let lab = LabArgs { lab: lab.lab || was_lab, faults: lab.faults.clone() };
    Surroundings::of_run(cx, &lab, memory, plan)
}
