//! `bgctl cutover`: a runbook or a saved plan, confirmed, and then the run.

use super::plan as page;
use crate::compile::unattended;
use crate::diag::{Code, Kind, Refusal};
use crate::people::{Answer, Board, confirm};
use crate::plan::Plan;
use crate::run::{Actor, Evidence, NOBODY};
use crate::session::drive::Begins;
use crate::session::launch::{self, Launch};
use crate::session::prepare::{self, Prepared, prepare};
use crate::session::surroundings;
use crate::session::surroundings::Surroundings;
use crate::session::{display, lease_guard};
use crate::shell::{Context, Exit};

/// Move users from blue to green, step by step.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub from: prepare::FromArgs,
    #[command(flatten)]
    pub launch: launch::SigningArgs,
    /// The environment's name: what a person would type to move live users.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub confirm: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(cutover(args, cx))?
}

async fn cutover(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let folder = match args.from.lab.lab {
        true => Some(surroundings::new_memory(cx)?),
        false => None,
    };
    let outside = Surroundings::new(cx, &args.from.lab, folder, args.from.lab_mode())?;
    let Prepared { plan, remarks, .. } = match prepare(cx, &args.from, &outside).await? {
        Ok(prepared) => prepared,
        Err(exit) => return Ok(exit),
    };
    if !cx.quiet && !cx.machine() && cx.style.interactive {
        page::lines(&plan, &remarks, cx.columns()).iter().for_each(|line| cx.err(line));
    }
    lease_guard::unfrozen(cx, &plan)?;
    attended(cx, &plan)?;
    let Some(answered) = confirmed(args, cx, &plan.environment).await? else {
        cx.err("Nothing was changed.");
        return Ok(Exit::Stopped);
    };
    let launch = Launch {
        cx,
        outside: &outside,
        args: &args.launch,
        policy: Some(&args.from.policy),
        plan,
        command: "cutover",
        native: Vec::new(),
    };
    let ready = launch.ready()?;
    let mut open = launch.create()?;
    launch.answered(&mut open, &answered)?;
    Ok(launch.drive(ready, open, Begins::default()).await?.exit)
}

/// Nobody is moved by a plan that asks a person where nobody can be asked.
fn attended(cx: &Context, plan: &Plan) -> Result<(), Refusal> {
    let Some(step) = unattended::asking(plan).filter(|_| !cx.style.interactive) else { return Ok(()) };
    let headline = format!("`{}` would ask a person, and nobody can be asked here", step.id);
    Err(Refusal::new(Kind::Invalid, unattended::ASKS, headline)
        .place(step.place.clone())
        .cause("there is no terminal to answer at, or --no-input or CI is set")
        .users("where they were. Nothing was changed.")
        .next(format!("write {}, then the same command again", unattended::INSTEAD)))
}

/// Moving users forward is typed: here, or on the command line. What was asked and answered stands in the log.
async fn confirmed(args: &Args, cx: &Context, environment: &str) -> Result<Option<Evidence>, Refusal> {
    let nothing = "not read again. Nothing was changed.";
    if let Some(given) = &args.confirm {
        if given == environment {
            return Ok(Some(confirm::environment_by_flag(environment, NOBODY)));
        }
        return Err(Refusal::new(
            Kind::Usage,
            Code::Unsaid,
            format!("`--confirm {given}` is not the environment of this runbook"),
        )
        .cause(format!("the runbook moves users of `{environment}`"))
        .users(nothing)
        .next(format!("--confirm {environment}        if that is what you mean")));
    }
    let keyboard = if cx.style.interactive { display::keyboard() } else { None };
    let Some(keyboard) = keyboard else {
        return Err(Refusal::new(
            Kind::Usage,
            Code::NobodyHere,
            "moving live users has to be confirmed, and nobody can be asked here",
        )
        .cause("there is no terminal to type the environment's name at, or --no-input or CI is set")
        .users(nothing)
        .next(format!("the same command with --confirm {environment}")));
    };
    let board = Board::on(cx.screen());
    let by = Actor::nobody("prompt");
    match confirm::environment(&keyboard, &board, cx.clock.as_ref(), environment, &by).await {
        Answer::Given(answered) => Ok(answered.yes.then_some(answered.evidence)),
        Answer::NobodyThere => Ok(None),
    }
}
