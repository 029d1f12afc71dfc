//! What a run is driven with: world, steps, and what earlier runs have used up. Whatever can be missing is missed here,
//! before a journal is opened.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::Value;

use super::absent::Absent;
use super::doors::Doors;
use super::surroundings::Surroundings;
use super::{places, routes};
use crate::diag::{Code, Kind, Refusal};
use crate::drive::Steps;
use crate::gates::source::CLOUDWATCH;
use crate::guards::NoGuards;
use crate::journal::{Entry, mentions, read_on};
use crate::plan::Plan;
use crate::routers::TrafficRouter;
use crate::run::{Event, replay};
use crate::runbook;
use crate::secret::Secrets;
use crate::shell::Context;
use crate::world::World;

/// Everything a run needs beside its journal.
pub struct Resources {
    pub world: World,
    pub steps: Steps,
    pub automatic_used: u32,
}

impl Resources {
    pub fn new(cx: &Context, outside: &Surroundings, plan: &Plan) -> Result<Self, Refusal> {
        judged(plan, cfg!(feature = "cloudwatch"))?;
        let steps = steps(plan)?;
        Ok(Resources { world: world(cx, outside, plan)?, steps, automatic_used: automatic_used(cx, plan)? })
    }
}

/// A number that this build can never ask for would be missed only once users have moved.
fn judged(plan: &Plan, cloudwatch: bool) -> Result<(), Refusal> {
    fn asks(value: &Value) -> bool {
        match value {
            Value::Object(members) => members.iter().any(|(name, value)| name == CLOUDWATCH.name || asks(value)),
            Value::Array(values) => values.iter().any(asks),
            _ => false,
        }
    }
    let steps = plan.forward.iter().chain(&plan.rollback).map(|step| &step.config);
    if cloudwatch || !plan.gates.values().chain(steps).chain(&plan.compare).any(asks) {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::Environment,
        Code::NotBuiltIn,
        "this bgctl cannot query CloudWatch, which the runbook needs",
    )
    .place(plan.runbook.clone())
    .cause("it was built without `cloudwatch`, so nothing that depends on those numbers could ever be judged")
    .users("not moved by this command")
    .next("cargo install --locked --path CHECKOUT --features full        then the same command again")
    .next("bgctl rollback        where users are under way: everyone back to BLUE; it needs no gate"))
}

/// The world of a rollback by hand: whatever is missing of it is missed where it is needed, and holds up nothing else. A route
/// that cannot even be opened is one that gives no answer.
pub fn world_of_rollback(cx: &Context, outside: &Surroundings, plan: &Plan) -> Result<World, Refusal> {
    let text = plan.canonical();
    let mut world = bare(cx, outside, &text, runbook::resolve_known(&text, &outside.env));
    for (name, planned) in &plan.routes {
        let absent = |refusal| Absent::new(planned, &refusal, routes::unreached(planned, outside));
        let route = routes::router(planned, outside).unwrap_or_else(|refusal| Rc::new(absent(refusal)));
        world.routes.insert(name.clone(), route);
    }
    Ok(world)
}

/// The same world for whoever drives: the connections and credentials of the reading go on being used.
pub fn again(world: &World) -> World {
    World {
        clock: world.clock.clone(),
        routes: world.routes.clone(),
        web: world.web.clone(),
        processes: world.processes.clone(),
        store: world.store.clone(),
        database: world.database.clone(),
        metrics: world.metrics.clone(),
        guards: world.guards.clone(),
        overrides: world.overrides.clone(),
        beforehand: world.beforehand.clone(),
        secrets: world.secrets.clone(),
    }
}

/// The steps of a plan, for a rollback. No log is read for it: a rollback by hand is under no cap.
pub fn of_rollback(world: World, plan: &Plan) -> Result<Resources, Refusal> {
    Ok(Resources { world, steps: steps(plan)?, automatic_used: 0 })
}

fn steps(plan: &Plan) -> Result<Steps, Refusal> {
    Steps::of(plan).map_err(|e| {
        Refusal::new(Kind::Invalid, Code::OtherBgctl, "this plan was made by another bgctl").cause(format!("{e:#}"))
    })
}

/// The world of a run.
fn world(cx: &Context, outside: &Surroundings, plan: &Plan) -> Result<World, Refusal> {
    let mut routes: BTreeMap<String, Rc<dyn TrafficRouter>> = BTreeMap::new();
    for (name, planned) in &plan.routes {
        routes.insert(name.clone(), routes::router(planned, outside)?);
    }
    Ok(World { routes, ..world_without_routes(cx, outside, plan)? })
}

/// A world in which nobody can be moved.
pub fn world_without_routes(cx: &Context, outside: &Surroundings, plan: &Plan) -> Result<World, Refusal> {
    let text = plan.canonical();
    let world = bare(cx, outside, &text, runbook::resolve_plan(&text, &outside.env)?);
    if let [name, ..] = world.secrets.clear_in(&text)[..] {
        let refusal = Refusal::new(
            Kind::Invalid,
            Code::SecretInClear,
            format!("the value of `{name}` stands in the runbook in clear"),
        )
        .place(plan.runbook.clone())
        .cause("the plan is written into the signed log, and nothing can be removed from that log")
        .users("not checked. Nothing was changed.")
        .next(format!("write `{name}` wherever the value stands"))
        .next("or, where the value is no secret, give it as a variable: `${var.name}` with --var or BGCTL_VAR_name");
        let inherited = name.strip_prefix("${env:").map(|name| name.trim_end_matches('}'));
        return Err(match inherited {
            Some(variable) => refusal.next(format!(
                "env -u {variable} bgctl …        where it is none and nothing in the runbook refers to it"
            )),
            None => refusal,
        });
    }
    Ok(world)
}

/// What every world has, and no route.
fn bare(cx: &Context, outside: &Surroundings, plan: &str, secrets: Secrets) -> World {
    let clock = cx.clock.clone();
    // A name has two values under a rehearsal: the lab's, and the one outside it. Neither may be written.
    cx.known.add(&runbook::resolve_known(plan, &cx.env));
    cx.known.of_environment(&outside.env);
    cx.known.add(&secrets);
    // Everything this process knows is masked, also what programs inherit without the runbook naming it; what a reference stands
    // for is the world's own.
    let secrets = cx.known.secrets().with(&secrets);
    let Doors { web, processes, store, database, metrics } = Doors::of(outside, &clock);
    World {
        clock,
        routes: BTreeMap::new(),
        web,
        processes,
        store,
        database,
        metrics,
        guards: Rc::new(NoGuards),
        overrides: Default::default(),
        beforehand: Default::default(),
        secrets,
    }
}

/// Automatic rollbacks of this service and environment inside the policy's window, over all runs kept here.
fn automatic_used(cx: &Context, plan: &Plan) -> Result<u32, Refusal> {
    let archive = places::of(cx, plan)?;
    let window = SignedDuration::from_secs(i64::try_from(plan.policy.within_s).unwrap_or(i64::MAX / 4));
    let since = cx.clock.now().checked_sub(window).unwrap_or(jiff::Timestamp::MIN);
    let oldest = since.strftime("%Y%m%d-%H%M").to_string();
    let mut used = 0;
    // Names begin with the minute of the opening; a run is open for half a day at most.
    for id in archive.runs().into_iter().filter(|id| id.as_str() > oldest.as_str()) {
        // Most logs have no rollback in them, and that shows at a glance.
        if matches!(mentions(&archive.run(&id), "rollback.begun"), Ok(false)) {
            continue;
        }
        let Ok(sound) = read_on(&archive.run(&id), None) else { continue };
        if (&sound.service, &sound.environment) != (&plan.service, &plan.environment) {
            continue;
        }
        // One that was begun and never took anybody back is none.
        let facts: Vec<Event> = sound.entries.iter().filter_map(Entry::event).collect();
        let begun = |fact: &Event| matches!(fact, Event::RollbackBegun { automatic: true, .. });
        let went_back = match replay(&sound.plan, &facts) {
            Ok(state) => state.went_back.is_some(),
            Err(_) => facts.iter().any(begun),
        };
        used += u32::from(went_back);
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_build_without_cloudwatch_begins_no_run_that_asks_it() {
        let mut plan: Plan = serde_json::from_str(include_str!("../../tests/fixtures/quickstart/plan.json")).unwrap();
        assert!(judged(&plan, false).is_ok(), "it asks Prometheus alone");
        plan.gates.insert("cloudwatch".into(), json!({ "prometheus": "up", "min": 1 }));
        assert!(judged(&plan, false).is_ok(), "a gate's name is not its source");
        let asks = json!({ "cloudwatch": { "metric": "Depth" }, "max": 1 });
        let mut drained = plan.clone();
        drained.forward[0].config = json!({ "until": [asks.clone()] });
        plan.gates.insert("depth".into(), asks);
        for plan in [plan, drained] {
            assert!(judged(&plan, true).is_ok());
            let refusal = judged(&plan, false).expect_err("nobody could judge it");
            assert_eq!((refusal.code, refusal.kind), (Code::NotBuiltIn, Kind::Environment));
        }
    }
}
