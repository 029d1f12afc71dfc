//! `bgctl status`: where users are, read from the live systems where they answer, and what runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::past::Past;
use super::prepare::Surroundings;
use super::{Context, Exit, fence};
use crate::diag::Refusal;
use crate::guards::freeze::Found;
use crate::journal::{Archive, Holder, Lock};
use crate::plan::{Color, Lane, PlannedRoute, Split, StepRef};
use crate::report::{Mark, spoken_seconds};
use crate::routers::{Access, KINDS};
use crate::run::{Doing, Event, Outcome, RunOutcome};

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where users are, what runs, and what can be done. Reads the live systems; changes nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run or the end of its name; without it, the newest.
    run: Option<String>,
    /// End with the exit code of the run's outcome.
    #[arg(long)]
    exit_status: bool,
    /// Do not ask the live systems: say what the records say.
    #[arg(long)]
    offline: bool,
}

/// What was found about a route.
enum Live {
    Read(Split),
    Unknown(String),
    NotAsked(&'static str),
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let past = Past::find(cx, args.run.as_deref())?;
    let live = cx.block_on(look(&past, cx, args.offline))?;
    if cx.machine() {
        cx.json(&machine(&past, &live, cx));
    } else {
        text(&past, &live, cx);
    }
    Ok(match past.outcome() {
        Some(outcome) if args.exit_status => outcome.into(),
        _ => Exit::Success,
    })
}

async fn look(past: &Past, cx: &Context, offline: bool) -> BTreeMap<String, Live> {
    let mut found = BTreeMap::new();
    let lab = if offline { Ok(None) } else { Surroundings::joined(cx, &past.plan) };
    for (name, route) in &past.plan.routes {
        let live = if offline {
            Live::NotAsked("--offline")
        } else if let Err(refusal) = &lab {
            Live::Unknown(format!("{}: {}", refusal.headline, refusal.cause.join("; ")))
        } else if past.plan.environment == "lab" && !matches!(lab, Ok(Some(_))) {
            // The real provider knows nothing of a lab's routes.
            Live::NotAsked("the lab it was played in has ended")
        } else {
            let (env, access) = match &lab {
                Ok(Some(lab)) => (&lab.env, lab.access.clone()),
                _ => (&cx.env, Access::default()),
            };
            tokio::select! { biased;
                live = read(route, env, access) => live,
                () = cx.clock.sleep(PATIENCE) => Live::Unknown(format!("no answer in {}s", PATIENCE.as_secs())),
            }
        };
        found.insert(name.clone(), live);
    }
    found
}

async fn read(route: &PlannedRoute, env: &BTreeMap<String, String>, access: Access) -> Live {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == route.router) else {
        return Live::Unknown(format!("this build has no router `{}`", route.router));
    };
    let secrets = match crate::runbook::resolve_plan(&route.config.to_string(), env) {
        Ok(secrets) => secrets,
        Err(refusal) => return Live::Unknown(refusal.headline),
    };
    match (kind.view)(&route.config, &Access { secrets, ..access }) {
        Ok(view) => match view.read().await {
            Ok(reading) => Live::Read(reading.split),
            Err(error) => Live::Unknown(match &error.cure {
                Some(cure) => format!("{error} (cure: {cure})"),
                None => error.to_string(),
            }),
        },
        Err(mistakes) => Live::Unknown(mistakes.iter().map(|m| m.message.clone()).collect::<Vec<_>>().join("; ")),
    }
}

/// What the records say about a route, with its age.
fn recorded(past: &Past, name: &str, cx: &Context) -> (String, String) {
    match past.story.users.get(name) {
        Some(seen) => match seen.at {
            Some(at) => {
                let age = (cx.clock.now().as_second() - at.as_second()).max(0).unsigned_abs();
                (seen.split.to_string(), format!("recorded {} ago", spoken_seconds(age)))
            }
            None => (seen.split.to_string(), "as the plan saw it".into()),
        },
        None => ("unknown".into(), "not recorded".into()),
    }
}

fn text(past: &Past, live: &BTreeMap<String, Live>, cx: &Context) {
    let ink = cx.style.out;
    cx.out(&past.story.about.headline());
    cx.raw_out("");
    for (name, found) in live {
        let line = &past.plan.routes[name].line;
        let (split, age) = match found {
            Live::Read(split) => (split.to_string(), "read just now".to_string()),
            Live::Unknown(why) => {
                let (split, age) = recorded(past, name, cx);
                cx.raw_out(&format!("{} {}", ink.mark(Mark::Warning), ink.text(&format!("{name}: {why}"))));
                (split, age)
            }
            Live::NotAsked(why) => {
                let (split, age) = recorded(past, name, cx);
                (split, format!("{age}, {why}"))
            }
        };
        let share = match found {
            Live::Read(split) => Some(*split),
            _ => past.story.users.get(name).map(|seen| seen.split),
        };
        let bar = share.map_or(String::new(), |split| ink.users_bar(split.share(Color::Green), 24) + "  ");
        cx.raw_out(&format!("  users    {bar}{}", ink.text(&format!("{split}   {age}"))));
        cx.out(&format!("           {name}: {line}"));
        if let (Live::Read(now), Some(seen)) = (found, past.story.users.get(name))
            && *now != seen.split
        {
            let drift = format!("the run last read {}: somebody else has moved this route since", seen.split);
            cx.raw_out(&format!("{} {}", ink.mark(Mark::Warning), ink.text(&drift)));
        }
    }
    let silent = spoken_seconds(past.silent(cx.clock.now()));
    let run = format!("  run      {} by {}, {}", past.id, past.story.about.by, past.word());
    if past.abandoned() && past.state.may_have_moved(&past.plan) {
        let line = format!("{run}; NOBODY IS WATCHING, last record {silent} ago");
        cx.raw_out(&ink.yellow(&ink.text(&line)));
    } else {
        cx.out(&format!("{run}, last record {silent} ago"));
    }
    if let Some(why) = &past.story.why {
        cx.out(&format!("  why      {why}"));
    }
    let Guarded { lease, frozen, rollback } = guarded(past, cx);
    cx.out(&format!("  lease    {}", lease.as_ref().map_or("free".into(), held)));
    match frozen.as_slice() {
        [] => cx.out("  freeze   none"),
        frozen => frozen.iter().for_each(|found| {
            let line = format!("  freeze   {}", found.line());
            cx.raw_out(&ink.yellow(&ink.text(&line)));
        }),
    }
    cx.out(&format!("  rollback {rollback}"));
    cx.raw_out("");
    steps(past, cx);
    cx.raw_out("");
    for (n, next) in next(past).iter().enumerate() {
        cx.out(&format!("{} {next}", if n == 0 { "next:" } else { "     " }));
    }
}

/// What may keep users from being moved.
struct Guarded {
    lease: Option<Holder>,
    frozen: Vec<Found>,
    rollback: String,
}

fn guarded(past: &Past, cx: &Context) -> Guarded {
    let (environment, service) = (&past.plan.environment, &past.plan.service);
    let state = cx.state_dir().ok();
    let lease = state.as_ref().and_then(|state| Lock::holder(&Archive::new(state), environment, service));
    let now = cx.clock.now();
    let frozen = fence::freezes(cx).map(|freezes| freezes.holding(environment, service, now)).unwrap_or_default();
    let armed = past.entries.iter().rev().find_map(|entry| match entry.event() {
        Some(Event::Armed { automatic_used, .. }) => Some(automatic_used),
        _ => None,
    });
    let policy = &past.plan.policy;
    let ended = matches!(past.state.doing, Doing::Ended(_));
    let cap = format!("{} by rule in {}", policy.automatic_at_most, spoken_seconds(policy.within_s));
    let rollback = match armed {
        Some(used) if !ended => format!("armed, {used} used of {cap}"),
        Some(_) => "the run is over; the way back is kept".into(),
        None => "not armed: nobody has moved".into(),
    };
    Guarded { lease, frozen, rollback }
}

fn held(holder: &Holder) -> String {
    let Holder { run, who, host, pid, epoch, .. } = holder;
    format!("held by run {run}, {who}@{host}, process {pid}, epoch {epoch}")
}

/// The lanes, with a mark for each step.
fn steps(past: &Past, cx: &Context) {
    for (mark, step) in marks(past) {
        let planned = past.plan.step(step);
        let way = if step.lane == Lane::Rollback { "back: " } else { "" };
        let ink = cx.style.out;
        cx.raw_out(&format!("  {} {}", ink.mark(mark), ink.text(&format!("{:<14} {way}{}", planned.id, planned.line))));
    }
}

fn marks(past: &Past) -> Vec<(Mark, StepRef)> {
    let lane = |lane: Lane| (0..past.plan.lane(lane).len()).map(move |index| StepRef { lane, index });
    let mut all: Vec<StepRef> = lane(Lane::Forward).collect();
    if past.state.lane == Lane::Rollback {
        all.extend(lane(Lane::Rollback));
    }
    let ended = matches!(past.state.doing, Doing::Ended(_));
    let last = last_failed(past);
    all.into_iter()
        .map(|step| {
            let mark = if past.story.done.contains(&step) {
                Mark::Done
            } else if step == past.state.at() && matches!(past.state.doing, Doing::Paused { .. }) {
                Mark::Warning
            } else if Some(step) == last {
                Mark::Failed
            } else if step == past.state.at() && !ended {
                Mark::Working
            } else {
                Mark::Later
            };
            (mark, step)
        })
        .collect()
}

/// The step whose failure is the last there was.
fn last_failed(past: &Past) -> Option<StepRef> {
    past.entries.iter().rev().find_map(|entry| match entry.event() {
        Some(Event::StepOutcome { step, outcome: Outcome::Failed { cause, .. }, .. }) if !cause.pauses() => Some(step),
        _ => None,
    })
}

/// What can be done now, best first.
fn next(past: &Past) -> Vec<String> {
    let run = past.story.about.short();
    let back = format!("bgctl rollback {run}    everyone to BLUE");
    match past.outcome() {
        None => vec![back, format!("bgctl show {run}        what happened so far")],
        Some(RunOutcome::Holding) => {
            vec![back, format!("bgctl resume {run}      go on; reads everything again first")]
        }
        Some(RunOutcome::Halted) => vec![back, format!("bgctl show {run}        what happened")],
        Some(RunOutcome::Waiting) => vec![format!("bgctl resume {run}      once the approval is signed"), back],
        Some(RunOutcome::Completed) => vec![format!("bgctl audit verify {run}"), back],
        Some(_) if past.abandoned() => vec![format!("bgctl resume {run}      end it in order; no user has moved")],
        Some(_) => vec![format!("bgctl show {run}        what happened")],
    }
}

fn machine(past: &Past, live: &BTreeMap<String, Live>, cx: &Context) -> Value {
    let users: BTreeMap<&str, Value> = live
        .iter()
        .map(|(name, found)| {
            let seen = past.story.users.get(name);
            let recorded = seen.map(|seen| json!({ "split": seen.split, "at": seen.at.map(|t| t.to_string()) }));
            let (split, error) = match found {
                Live::Read(split) => (Some(split), None),
                Live::Unknown(why) => (None, Some(why.as_str())),
                Live::NotAsked(why) => (None, Some(*why)),
            };
            (name.as_str(), json!({ "read_now": split, "not_read": error, "recorded": recorded }))
        })
        .collect();
    let steps: Vec<Value> = marks(past)
        .into_iter()
        .map(|(mark, step)| {
            let planned = past.plan.step(step);
            json!({ "id": planned.id, "lane": step.lane, "state": match mark {
                Mark::Done => "done",
                Mark::Failed => "failed",
                Mark::Working => "working",
                Mark::Warning => "paused",
                _ => "later",
            }})
        })
        .collect();
    let Guarded { lease, frozen, rollback } = guarded(past, cx);
    json!({
        "lease": lease,
        "freezes": frozen.iter().map(super::freeze::machine).collect::<Vec<_>>(),
        "rollback": rollback,
        "service": past.plan.service,
        "environment": past.plan.environment,
        "blue": past.plan.blue.version,
        "green": past.plan.green.version,
        "run": past.id,
        "outcome": past.word(),
        "watched": past.alive,
        "abandoned": past.abandoned(),
        "silent_s": past.silent(cx.clock.now()),
        "why": past.story.why,
        "users": users,
        "steps": steps,
        "next": next(past).iter().map(|line| line.split("  ").next().unwrap_or(line).to_string()).collect::<Vec<_>>(),
    })
}
