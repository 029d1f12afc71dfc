//! What an earlier run has to do with a cutover that finds users elsewhere than on blue.

use serde_json::json;

use super::places;
use super::run_record::RunRecord;
use crate::diag::{Code, Kind, Refusal};
use crate::plan::{Color, Plan, Split};
use crate::report::spoken_seconds;
use crate::run::{Doing, RunOutcome};
use crate::shell::{Context, Exit};

/// The newest run of the plan's service that is kept here, if it can be read.
fn newest(cx: &Context, plan: &Plan) -> Option<RunRecord> {
    let archive = places::of(cx, plan).ok()?;
    let newest = archive.newest();
    let found = newest.into_iter().find(|o| (&o.service, &o.environment) == (&plan.service, &plan.environment))?;
    let folder = archive.run(&found.run);
    RunRecord::read(found.run, folder).ok()
}

/// Users are where an open run left them that nobody drives: it is named, with what goes on with it.
pub fn open(cx: &Context, plan: &Plan) -> Option<Refusal> {
    let past = newest(cx, plan).filter(|past| !matches!(past.state.doing, Doing::Ended(_)))?;
    let run = past.story.about.short();
    let silent = spoken_seconds(past.silent(cx.clock.now()));
    let now = |(name, route): (&String, &crate::plan::PlannedRoute)| format!("{} at {name}", route.before);
    let users = plan.routes.iter().map(now).collect::<Vec<_>>().join("; ");
    Some(
        Refusal::new(Kind::Drift, Code::RunOpen, format!("run {} of this service is still open", past.id))
            .place(past.folder.display().to_string())
            .cause(format!("it is {}", past.rests()))
            .cause(format!("{} began it, and its last record is {silent} old", past.story.about.by))
            .users(format!("{users}, read just now. Nothing was changed."))
            .next(format!("bgctl resume {run}      go on with it"))
            .next(format!("bgctl rollback {run}    everyone to BLUE")),
    )
}

/// Says that a cutover is done: the newest run kept here completed this very one, and its users are where it left them. A file
/// that names other versions is another cutover.
pub fn done(cx: &Context, plan: &Plan) -> Option<Exit> {
    let on_green = |split: Split| split.only() == Some(Color::Green);
    if !plan.routes.values().all(|route| on_green(route.before)) {
        return None;
    }
    let past = newest(cx, plan).filter(|past| past.outcome() == Some(RunOutcome::Completed))?;
    let (then, id, version) = (&past.plan, &past.id, &plan.green.version);
    let same = then.purpose == plan.purpose
        && (&then.blue, &then.green) == (&plan.blue, &plan.green)
        && then.routes.len() == plan.routes.len()
        && then.routes.iter().all(|(name, route)| plan.routes.get(name).is_some_and(|now| now.config == route.config));
    if !same {
        return None;
    }
    cx.err(&format!(
        "NO CHANGES. All users are on GREEN {version}, read just now. Run {id} completed this cutover: nothing to do."
    ));
    cx.err(&format!(
        "  next       bgctl cutover {} --swap    when BLUE {} is the new candidate",
        plan.runbook, plan.blue.version
    ));
    if cx.machine() {
        let outcome = RunOutcome::NoChanges.name();
        cx.json(&json!({ "run": id, "outcome": outcome, "users": format!("all on GREEN {version}") }));
    }
    Some(Exit::Success)
}
