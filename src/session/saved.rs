//! A plan that was saved: read from its file, and held against the world that it saw.

use super::routes::view;
use super::surroundings::{Surroundings, of_the_other_world};
use super::{earlier, places, policy};
use crate::arm;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::Lock;
use crate::plan::{Plan, PlannedRoute};
use crate::policy::PolicyFile;
use crate::runbook::{self, Source};
use crate::shell::Context;

/// Whether this file is one, and no runbook.
pub fn is_plan(source: &Source) -> bool {
    source.text.trim_start().starts_with("{\"bgctl_plan\"")
}

/// The plan, and what was remarked at its routes. A saved plan holds only while the world is what it saw.
pub async fn saved(
    cx: &Context,
    source: &Source,
    policy: Option<&PolicyFile>,
    outside: &Surroundings,
) -> Result<(Plan, Vec<String>), Refusal> {
    let plan = read(source)?;
    policy::same(&plan, policy)?;
    if outside.lab.is_some() || plan.is_rehearsal() {
        let why = "a saved plan holds the addresses of the world it was made in, and each rehearsal has its own";
        return Err(of_the_other_world("a saved plan cannot be rehearsed")
            .place(source.path.clone())
            .cause(why)
            .next(format!("bgctl cutover {} --lab        rehearses the runbook", plan.runbook)));
    }
    let mut remarks = Vec::new();
    for (name, planned) in &plan.routes {
        let view = view(planned, outside)?;
        let reading = view.read().await.map_err(|e| arm::refused(&e, planned))?;
        if planned.resources != view.resources(Some(&reading)) {
            return Err(another_place(source, planned));
        }
        if reading.split != planned.before {
            let users = format!("{}, read just now at {}", reading.split, planned.line);
            return Err(moved_by_a_run(cx, &plan).unwrap_or_else(|| arm::drift(&plan, planned, &users)));
        }
        remarks.extend(reading.remarks.iter().map(|remark| format!("{name}: {remark}")));
    }
    Ok((plan, remarks))
}

/// The plan names another place than its settings lead to: its leases, and the policy it is held to, would be another's.
fn another_place(source: &Source, planned: &PlannedRoute) -> Refusal {
    let headline = format!("`{}` does not name the place that {} leads to", source.path, planned.line);
    Refusal::new(Kind::Invalid, Code::OtherBgctl, headline)
        .cause("it was made by another bgctl, or changed since")
        .users("read just now, as the plan has them. Nothing was changed.")
        .next("bgctl plan RUNBOOK --out FILE")
}

pub fn read(source: &Source) -> Result<Plan, Refusal> {
    let unread = |e: serde_json::Error| {
        Refusal::new(Kind::Invalid, Code::OtherBgctl, format!("`{}` is not a plan this bgctl can read", source.path))
            .cause(e.to_string())
            .next("bgctl plan RUNBOOK --out FILE")
    };
    let value = serde_json::from_str(&source.text).map_err(unread)?;
    if let Some((pointer, what, reference)) = runbook::in_plan(&value).into_iter().next() {
        return Err(Refusal::new(Kind::Invalid, Code::SecretInFile, format!("{what} stands in the plan in clear"))
            .place(format!("{}: {pointer}", source.path))
            .cause("the plan is written into the signed log, and nothing can be removed from that log")
            .users("not checked. Nothing was changed.")
            .next(format!("write `{reference}` in the runbook, then `bgctl plan RUNBOOK --out FILE` again")));
    }
    serde_json::from_value(value).map_err(unread)
}

/// Users are where a run has sent them that is being driven now, or that nobody drives any more: that run is the reason, and
/// not drift.
pub fn moved_by_a_run(cx: &Context, plan: &Plan) -> Option<Refusal> {
    let held = Lock::held(&places::of(cx, plan).ok()?, &plan.environment, &plan.service);
    held.or_else(|| earlier::open(cx, plan))
}
