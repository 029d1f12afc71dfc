//! `bgctl status`: where users are, read from the live systems where they answer, and what runs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{lost, status_file};
use crate::diag::Refusal;
use crate::file;
use crate::guards::freeze::Found;
use crate::journal::{Holder, Lock, PLAN};
use crate::plan::{Color, Lane, Plan, StepRef};
use crate::report::{Mark, spoken_seconds};
use crate::run::{Doing, Event, Outcome, RunOutcome};
use crate::session::mistakes;
use crate::session::run_record::RunRecord;
use crate::session::{lease_guard, native, places, sight, which};
use crate::shell::{Context, Exit};
use crate::users::{Seen, Unread, Users};

/// Where users are, what runs, and what can be done. Reads the live systems; changes nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run or the end of its name, or a runbook; without it, the run whose users are under way.
    #[arg(value_name = "RUN|RUNBOOK")]
    run: Option<String>,
    /// Give a variable of the runbook its value.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = mistakes::variable)]
    vars: Vec<(String, String)>,
    /// Read the runbook with blue and green exchanged.
    #[arg(long)]
    swap: bool,
    /// End with the exit code of the run's outcome.
    #[arg(long)]
    exit_status: bool,
    /// Do not read the live systems: use the records only.
    #[arg(long)]
    offline: bool,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(status(args, cx))?
}

async fn status(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    if let Some(word) = args.run.as_deref().filter(|word| status_file::names_a_file(cx, word)) {
        return status_file::run(cx, word, &args.vars, args.swap, args.offline).await;
    }
    let (id, folder) = which::run(cx, args.run.as_deref(), "status").await?;
    let past = match RunRecord::read(id.clone(), folder.clone()) {
        Ok(past) => past,
        Err(refusal) => return Err(unread(refusal, &folder, args.offline, cx).await),
    };
    let live = sight::look(&past.plan, cx, &sight::reach(cx, &past.plan, args.offline)).await;
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

/// The records of a run cannot be read: where its users are can be all the same, by the plan beside them.
async fn unread(refusal: Refusal, folder: &Path, offline: bool, cx: &Context) -> Refusal {
    let plan =
        file::read(&folder.join(PLAN), file::LOG).ok().and_then(|text| serde_json::from_slice::<Plan>(&text).ok());
    let Some(plan) = plan else { return refusal };
    let found = sight::look(&plan, cx, &sight::reach(cx, &plan, offline)).await;
    let users = found.seen.iter().map(sight::line).collect::<Vec<_>>().join("; ");
    let refusal = refusal.users(users);
    native::native(folder).into_iter().fold(refusal, Refusal::next)
}

/// What the records say about a route, with its age.
fn recorded(past: &RunRecord, name: &str, cx: &Context) -> (String, String) {
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

fn text(past: &RunRecord, live: &Users, cx: &Context) {
    let ink = cx.style.out;
    let warn = |line: &str| cx.raw_out(&format!("{} {}", ink.mark(Mark::Warning), ink.text(line)));
    cx.out(&past.story.about.headline());
    cx.raw_out("");
    for route in &live.seen {
        let name = &route.name;
        let (split, age) = match &route.reading {
            Ok(reading) => (reading.split.to_string(), "read just now".to_string()),
            Err(Unread { why, asked: true }) => {
                warn(&format!("{name}: {why}"));
                recorded(past, name, cx)
            }
            Err(Unread { why, asked: false }) => {
                let (split, age) = recorded(past, name, cx);
                (split, format!("{age}, {why}"))
            }
        };
        let share = route.split().or_else(|| past.story.users.get(name).map(|seen| seen.split));
        let bar = share.map_or(String::new(), |split| ink.users_bar(split.share(Color::Green), 24) + "  ");
        cx.raw_out(&format!("  users    {bar}{}", ink.text(&format!("{split}   {age}"))));
        cx.out(&format!("           {name}: {}", route.line));
        sight::sides(route).iter().for_each(|sides| cx.out(&format!("           {sides}")));
        route.ailing().iter().for_each(|line| warn(line));
        strayed(past, route).iter().for_each(|line| warn(line));
    }
    let silent = spoken_seconds(past.silent(cx.clock.now()));
    let run = format!("  run      {} by {}, {}", past.id, past.story.about.by, past.rests());
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
    for (n, next) in next(past, live).iter().enumerate() {
        cx.out(&format!("{} {next}", if n == 0 { "next:" } else { "     " }));
    }
}

/// How a route came to be elsewhere than the run left it. A run that is driven is about to say so itself.
fn strayed(past: &RunRecord, route: &Seen) -> Vec<String> {
    let left = past.story.users.get(&route.name).map(|seen| seen.split);
    match (left, route.split()) {
        (Some(left), Some(now)) if !past.alive => lost::strayed(&past.plan, &past.entries, &route.name, left, now),
        _ => Vec::new(),
    }
}

/// What may keep users from being moved.
struct Guarded {
    lease: Option<Holder>,
    frozen: Vec<Found>,
    rollback: String,
}

fn guarded(past: &RunRecord, cx: &Context) -> Guarded {
    let (environment, service) = (&past.plan.environment, &past.plan.service);
    let lease = places::of(cx, &past.plan).ok().and_then(|archive| Lock::holder(&archive, environment, service));
    let now = cx.clock.now();
    let frozen = lease_guard::freezes(cx).map(|freezes| freezes.holding(environment, service, now)).unwrap_or_default();
    let armed = past.entries.iter().rev().find_map(|entry| match entry.event() {
        Some(Event::Armed { automatic_used, .. }) => Some(automatic_used),
        _ => None,
    });
    let policy = &past.plan.policy;
    let ended = matches!(past.state.doing, Doing::Ended(_));
    let cap = format!("{} automatic rollbacks in {}", policy.automatic_at_most, spoken_seconds(policy.within_s));
    let rollback = match armed {
        Some(used) if !ended => format!("armed, {used} used of {cap}"),
        Some(_) => "not armed: the run is over".into(),
        None => "not armed: no users have moved".into(),
    };
    Guarded { lease, frozen, rollback }
}

fn held(holder: &Holder) -> String {
    let Holder { run, who, host, pid, epoch, command, .. } = holder;
    let by = if run.is_empty() { format!("`{command}`") } else { format!("run {run}") };
    format!("held by {by}, {who}@{host}, process {pid}, epoch {epoch}")
}

/// The lanes, with a mark for each step.
fn steps(past: &RunRecord, cx: &Context) {
    for (mark, step) in marks(past) {
        let planned = past.plan.step(step);
        let way = if step.lane == Lane::Rollback { "back: " } else { "" };
        let ink = cx.style.out;
        cx.raw_out(&format!("  {} {}", ink.mark(mark), ink.text(&format!("{:<14} {way}{}", planned.id, planned.line))));
    }
}

fn marks(past: &RunRecord) -> Vec<(Mark, StepRef)> {
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
fn last_failed(past: &RunRecord) -> Option<StepRef> {
    past.entries.iter().rev().find_map(|entry| match entry.event() {
        Some(Event::StepOutcome { step, outcome: Outcome::Failed { cause, .. }, .. }) if !cause.pauses() => Some(step),
        _ => None,
    })
}

/// What can be done now, best first: by where users are, and only then by how the run ended.
fn next(past: &RunRecord, live: &Users) -> Vec<String> {
    let run = past.story.about.short();
    let home = live.all_on(Color::Blue);
    let away = live.seen.iter().filter_map(Seen::split).any(|split| split.only() != Some(Color::Blue));
    let moved = live.seen.iter().any(|route| !strayed(past, route).is_empty());
    let back = match home {
        true => format!("bgctl rollback {run}    ends the run: everyone is on BLUE"),
        false => format!("bgctl rollback {run}    everyone to BLUE"),
    };
    let show = format!("bgctl show {run}        what happened");
    if past.story.about.plan.moves_nobody() {
        return match past.outcome() {
            None | Some(RunOutcome::Holding | RunOutcome::Waiting) => {
                vec![format!("bgctl resume {run}      go on with it"), show]
            }
            Some(_) => vec![show],
        };
    }
    match past.outcome() {
        None => vec![back, format!("bgctl show {run}        what happened so far")],
        Some(RunOutcome::Holding) => {
            vec![back, format!("bgctl resume {run}      go on; reads everything again first")]
        }
        Some(RunOutcome::Halted) if home => vec![show],
        Some(RunOutcome::Halted) => vec![back, show],
        Some(RunOutcome::Waiting) => vec![format!("bgctl resume {run}      once the approval is signed"), back],
        Some(RunOutcome::Completed) if away && moved => vec![back, format!("bgctl audit verify {run}")],
        Some(RunOutcome::Completed) if home => vec![show, format!("bgctl audit verify {run}")],
        Some(RunOutcome::Completed) => vec![format!("bgctl audit verify {run}"), back],
        // The run is over, and its users are not where that says.
        Some(_) if away => vec![back, show],
        Some(_) if past.abandoned() => vec![format!("bgctl resume {run}      end it in order; no user has moved")],
        Some(_) => vec![show],
    }
}

fn machine(past: &RunRecord, live: &Users, cx: &Context) -> Value {
    let users: BTreeMap<&str, Value> = live
        .seen
        .iter()
        .map(|route| {
            let seen = past.story.users.get(&route.name);
            let recorded = seen.map(|seen| json!({ "split": seen.split, "at": seen.at.map(|t| t.to_string()) }));
            let error = route.reading.as_ref().err().map(|unread| &unread.why);
            let found = json!({
                "read_now": route.split(), "not_read": error, "recorded": recorded, "health": sight::sides(route),
                "ailing": route.ailing(), "strayed": strayed(past, route),
            });
            (route.name.as_str(), found)
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
        "next": next(past, live).iter().map(|line| line.split("  ").next().unwrap_or(line).to_string()).collect::<Vec<_>>(),
    })
}
