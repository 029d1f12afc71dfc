//! `bgctl status RUNBOOK.yaml`: where the users of a runbook are, on a machine that may never have seen a run of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::diag::Refusal;
use crate::journal::{Holder, Lock};
use crate::plan::{Color, Plan};
use crate::report::Mark;
use crate::runbook::Sides;
use crate::session::prepare;
use crate::session::surroundings::{LabArgs, Surroundings};
use crate::session::{places, serving, sight};
use crate::shell::{Context, Exit};
use crate::users::{Seen, Unread, Users};

/// Whether a word names a file rather than a run.
pub fn names_a_file(cx: &Context, word: &str) -> bool {
    let path = Path::new(word);
    path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known))
        || cx.cwd.join(path).is_file()
}

pub async fn run(
    cx: &Context,
    word: &str,
    vars: &[(String, String)],
    swap: bool,
    offline: bool,
) -> Result<Exit, Refusal> {
    let lab = LabArgs::default();
    let outside = Surroundings::new(cx, &lab, None, crate::rehearsal::Mode::Http)?;
    let (mut plan, sides) = match prepare::to_look_at(cx, word, vars, swap, &outside)? {
        Ok(found) => found,
        Err(exit) => return Ok(exit),
    };
    if sides.found && swap {
        return Err(serving::not_exchanged(word));
    }
    let mut users = sight::look(&plan, cx, &sight::reach(cx, &plan, offline)).await;
    if sides.found
        && users.all_on(Color::Green)
        && let Ok((turned, _)) = prepare::to_look_at(cx, word, vars, true, &outside)?
    {
        plan = turned;
        users = sight::look(&plan, cx, &sight::reach(cx, &plan, offline)).await;
    }
    // A saved plan is for `cutover`: everything else goes by the runbook it was made of.
    let next = next(&plan.runbook, &plan, &users, sides);
    let run = newest_of(cx, &plan);
    let lease = places::of(cx, &plan).ok().and_then(|a| Lock::holder(&a, &plan.environment, &plan.service));
    if cx.machine() {
        cx.json(&machine(&plan, &users, run.as_deref(), lease.as_ref(), &next));
        return Ok(Exit::Success);
    }
    cx.out(&format!(
        "{} · {} · {} (BLUE) → {} (GREEN)",
        plan.service,
        plan.environment,
        plan.blue.named(),
        plan.green.named()
    ));
    cx.raw_out("");
    if sides.found && !users.all_on(Color::Blue) {
        let why = if users.all_read() { "neither has all users, so none is blue" } else { "which serves is not known" };
        cx.out(&format!("  stacks   {why}: BLUE stands for a here, and GREEN for b"));
    }
    users.seen.iter().for_each(|route| text(route, cx));
    match &run {
        Some(run) => cx.out(&format!("  run      the newest of this service kept here is {run}: bgctl status {run}")),
        None => cx.out("  run      none of this service is kept on this machine"),
    }
    if let Some(Holder { run, who, host, pid, .. }) = &lease {
        let by = if run.is_empty() { "a trial of a route".into() } else { format!("run {run}") };
        cx.out(&format!("  lease    held by {by}, {who}@{host}, process {pid}"));
    }
    cx.raw_out("");
    for (n, line) in next.iter().enumerate() {
        cx.out(&format!("{} {line}", if n == 0 { "next:" } else { "     " }));
    }
    Ok(Exit::Success)
}

fn text(route: &Seen, cx: &Context) {
    let ink = cx.style.out;
    match &route.reading {
        Ok(reading) => {
            let split = reading.split;
            let bar = ink.users_bar(split.share(Color::Green), 24);
            cx.raw_out(&format!("  users    {bar}  {}", ink.text(&format!("{split}   read just now"))));
        }
        Err(Unread { why, asked: true }) => {
            cx.raw_out(&format!("{} {}", ink.mark(Mark::Warning), ink.text(&format!("users unknown: {why}"))))
        }
        Err(Unread { why, asked: false }) => cx.out(&format!("  users    unknown   {why}")),
    }
    cx.out(&format!("           {}: {}", route.name, route.line));
    sight::sides(route).iter().for_each(|sides| cx.out(&format!("           {sides}")));
    route.ailing().iter().for_each(|line| cx.raw_out(&format!("{} {}", ink.mark(Mark::Warning), ink.text(line))));
}

/// The newest run kept here of the plan's service.
fn newest_of(cx: &Context, plan: &Plan) -> Option<String> {
    let newest = places::of(cx, plan).ok()?.newest();
    let found = newest.into_iter().find(|o| (&o.service, &o.environment) == (&plan.service, &plan.environment))?;
    Some(found.run)
}

fn next(file: &str, plan: &Plan, users: &Users, sides: Sides) -> Vec<String> {
    if plan.moves_nobody() {
        return vec![format!("bgctl cutover {file}    it has no route and moves nobody")];
    }
    if users.all_on(Color::Blue) {
        return vec![format!("bgctl cutover {file}    all users are on BLUE {}", plan.blue.version)];
    }
    if sides.found {
        return ["a", "b"].map(|name| format!("bgctl rollback {file} --blue {name}    everyone to {name}")).to_vec();
    }
    vec![
        format!("bgctl rollback {file}            everyone to BLUE {}", plan.blue.version),
        format!("bgctl rollback --print {file}    the provider's own commands for it"),
    ]
}

fn machine(plan: &Plan, users: &Users, run: Option<&str>, lease: Option<&Holder>, next: &[String]) -> Value {
    let users: serde_json::Map<String, Value> = users
        .seen
        .iter()
        .map(|route| {
            let error = route.reading.as_ref().err().map(|unread| &unread.why);
            let ailing = route.ailing();
            (
                route.name.clone(),
                json!({ "read_now": route.split(), "not_read": error, "health": sight::sides(route), "ailing": ailing }),
            )
        })
        .collect();
    json!({
        "service": plan.service, "environment": plan.environment, "blue": plan.blue.version, "green": plan.green.version,
        "run": run, "lease": lease, "users": users,
        "next": next.iter().map(|line| line.split("  ").next().unwrap_or(line)).collect::<Vec<_>>(),
    })
}
