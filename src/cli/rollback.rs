//! `bgctl rollback`: everyone back to blue. Needs no runbook, no Prometheus, no Slack.
//!
//! It goes on with the run that moved users, or asks the process that drives it, or, when that run has ended, opens a run
//! of its own from the stored plan.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::launch::{self, Launch};
use super::prepare::{LabArgs, Surroundings};
use super::{Context, Exit, eyes, prepare, ratchet, resume, undo, which};
use crate::arm;
use crate::diag::{Kind, Refusal};
use crate::journal::{Archive, Sound};
use crate::people::{Acknowledgement, Answer, Board, acknowledge, confirm, wish_is_open, wish_rollback};
use crate::plan::{Color, Plan, Purpose, Split};
use crate::run::{Actor, Doing, Event, Evidence, RunOutcome, replay};

/// The reason of whoever gave none.
pub const NO_REASON: &str = "by hand";

/// Send everybody back to blue: one call for each route.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The run, or the end of its name; otherwise the one whose users are under way.
    pub run: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Why; it stands in the log.
    #[arg(long, value_name = "TEXT", default_value = NO_REASON)]
    pub reason: String,
    /// Go back although the schema stands against it: takes a reason, and somebody else's signed approval.
    #[arg(long = "override", value_name = "GUARD", value_parser = ["schema"])]
    pub overrides: Option<String>,
    /// Only print the commands that do it without bgctl.
    #[arg(long)]
    pub print: bool,
    #[command(flatten)]
    pub launch: launch::SigningArgs,
    #[command(flatten)]
    pub lab: LabArgs,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(rollback(args, cx))?
}

async fn rollback(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let archive = Archive::new(cx.state_dir()?);
    let (id, folder) = which::run(cx, args.run.as_deref(), "rollback").await?;
    if args.print {
        undo::native(&folder).iter().for_each(|line| cx.out(line));
        return Ok(Exit::Success);
    }
    let sound = resume::sound(&folder, None)?;
    // Whoever cannot go back with us is told how to without.
    let native = |refusal: Refusal| undo::native(&folder).into_iter().fold(refusal, Refusal::next);
    let outside = resume::outside(cx, &args.lab, &sound, &archive).map_err(native)?;
    let events: Vec<Event> = sound.entries.iter().filter_map(|e| e.event()).collect();
    let state = replay(&sound.plan, &events).map_err(|illegal| {
        Refusal::new(Kind::Bug, "BG0702", "the log does not fit the run machine").cause(illegal.to_string())
    })?;
    let plan = sound.plan.clone();
    let back = matches!(show(cx, &plan, &outside).await.map_err(native)?, Some(Color::Blue));
    let ended = matches!(state.doing, Doing::Ended(_));
    if ended && back {
        cx.err("NO CHANGES. All users are on BLUE already.");
        return Ok(Exit::Success);
    }
    let against = ratchet::against(cx, &outside, &plan, &state).await?;
    if let Some(why) = &against {
        ratchet::overridden(&plan, why, args.overrides.as_deref(), &args.reason)?;
        cx.err(&format!("! schema   {why}: to be passed over, once a second person agrees"));
    } else if args.overrides.is_some() {
        cx.err("  schema   nothing stands against going back, so nothing is passed over");
    }
    let answered = match args.yes {
        true => Some(confirm::rollback_by_flag(cx.operator())),
        false => agreed(cx).await?,
    };
    let Some(answered) = answered else {
        cx.err("Nothing was changed.");
        return Ok(Exit::Stopped);
    };
    let by = Actor { name: cx.operator().into(), via: "command".into() };
    // What is handed to other processes lies in files of the run's folder, where no secret may stand.
    cx.known.of_references(&plan.canonical(), &outside.env);
    let reason = cx.known.mask(&args.reason);
    // Whoever goes back has it. That nobody else is called is a courtesy, and no reason to go back later.
    let given = Acknowledgement { by: by.clone(), at: cx.clock.now(), word: Some(reason.clone()) };
    let _ = acknowledge(&folder, &given);
    let launch = |plan: Plan| Launch {
        cx,
        outside: &outside,
        args: &args.launch,
        policy: None,
        plan: Rc::new(plan),
        command: "rollback",
    };
    if ended {
        let plan = Plan { purpose: Purpose::RollbackOf(id), ..plan };
        let plan = against.iter().fold(plan, |plan, why| ratchet::waiting(plan, why));
        let launch = launch(plan);
        let ready = launch.ready().map_err(native)?;
        let mut open = launch.create()?;
        launch.answered(&mut open, &answered)?;
        if against.is_some() {
            launch.overridden(&mut open, &by, &args.reason)?;
        }
        return Ok(back_home(launch.drive(ready, open, None).await?));
    }
    // What only the database says now stands in no plan of an open run: it halts, and the next run waits for a second person.
    let opens = against.is_some() && plan.waits_by_hand();
    let launch = launch(plan);
    let ready = launch.ready().map_err(native)?;
    match launch.resume(&id, &folder, Some(&sound)) {
        Ok(mut open) => {
            launch.answered(&mut open, &answered)?;
            if opens {
                launch.overridden(&mut open, &by, &args.reason)?;
                return Ok(back_home(launch.drive(ready, open, None).await?));
            }
            if against.is_some() {
                cx.err("  schema   this run halts; the same command again opens one that waits for a second person");
            }
            Ok(back_home(launch.drive(ready, open, Some((by, args.reason.clone()))).await?))
        }
        // Somebody drives this run: that process goes back, and we look on.
        Err(refusal) if refusal.kind == Kind::Later => ask_the_holder(cx, &folder, &by, &reason, opens).await,
        Err(refusal) => Err(refusal),
    }
}

/// For this command, users back on blue is what was asked for.
fn back_home(exit: Exit) -> Exit {
    if matches!(exit, Exit::RolledBack | Exit::Stopped) { Exit::Success } else { exit }
}

/// Shows what is, and what will be. Gives the side all users are on, if that is one.
async fn show(cx: &Context, plan: &Plan, outside: &Surroundings) -> Result<Option<Color>, Refusal> {
    let mut only = Some(Color::Blue);
    cx.err(&format!("{} · {} · back to BLUE {}", plan.service, plan.environment, plan.blue.version));
    for planned in plan.routes.values() {
        let view = prepare::view(planned, outside)?;
        let reading = view.read().await.map_err(|e| arm::refused(&e, planned))?;
        let health = match view.health(Color::Blue).await {
            Ok(health) => format!("BLUE {}/{} healthy", health.healthy, health.total),
            Err(error) => format!("BLUE's health is unknown: {error}"),
        };
        cx.err(&format!("  now      {}   read just now at {}", reading.split, planned.line));
        cx.err(&format!("  after    {}   {health}", Split::ALL_BLUE));
        if reading.split.only() != only {
            only = reading.split.only();
        }
    }
    Ok(only)
}

/// The answer, where it was yes.
async fn agreed(cx: &Context) -> Result<Option<Evidence>, Refusal> {
    let keyboard = if cx.style.interactive { eyes::keyboard() } else { None };
    let Some(keyboard) = keyboard else {
        return Err(Refusal::new(Kind::Usage, "BG0403", "nobody can be asked here whether to roll back")
            .users("as shown above. Nothing was changed.")
            .next("the same command with --yes"));
    };
    let board = Board::on(cx.stderr());
    let by = Actor { name: cx.operator().into(), via: "prompt".into() };
    Ok(match confirm::rollback(&keyboard, &board, cx.clock.as_ref(), &by).await {
        Answer::Given(answered) => answered.yes.then_some(answered.evidence),
        Answer::NobodyThere => None,
    })
}

/// Leaves the wish where the driving process looks, and waits until that run has ended.
async fn ask_the_holder(
    cx: &Context,
    folder: &Path,
    by: &Actor,
    reason: &str,
    overrides: bool,
) -> Result<Exit, Refusal> {
    wish_rollback(folder, by, reason, overrides).map_err(|e| {
        Refusal::new(Kind::Environment, "BG0405", "the run's process cannot be asked to go back").cause(e.to_string())
    })?;
    cx.err("asked the process that drives this run to go back");
    let mut taken = false;
    let mut sound: Option<Sound> = None;
    for _ in 0..3000 {
        cx.clock.sleep(Duration::from_millis(200)).await;
        if !taken && !wish_is_open(folder) {
            taken = true;
            cx.err(if overrides { "it waits for a second person now: bgctl approve" } else { "it goes back now" });
        }
        let read = sound.insert(resume::sound(folder, sound.as_ref())?);
        let ended = read.entries.iter().filter_map(|e| e.event()).find_map(|e| match e {
            Event::Ended { outcome, line } => Some((outcome, line)),
            _ => None,
        });
        if let Some((outcome, line)) = ended {
            cx.err(&format!("{}: {line}", outcome.name()));
            return Ok(match outcome {
                RunOutcome::RolledBack | RunOutcome::Stopped => Exit::Success,
                other => Exit::from(other),
            });
        }
    }
    Err(Refusal::new(Kind::Later, "BG0405", "the process that drives this run has not gone back in ten minutes")
        .next("bgctl status")
        .next(format!("sh {}/undo/*.sh        everyone back without bgctl", folder.display())))
}
