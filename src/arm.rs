//! Preflight: nothing may move before the way back is computed, its credentials have answered and blue's health is known.
//!
//! It only reads. What it finds out is in the record of arming; what it refuses has a headline, a cause and a next command.

use std::time::Duration;

use serde_json::{Value, json};

use crate::diag::{Code, Kind, Refusal};
use crate::gates::burn;
use crate::gates::ready::ready;
use crate::gates::traffic;
use crate::guards::way_back_s;
use crate::migrations::live::{Seen, When, look};
use crate::plan::{Color, Counted, Plan, PlannedRoute, Purpose, Split};
use crate::routers::{NativeWayBack, Reading, RouteView, RouterError, Trouble};
use crate::run::{Cause, Verdict};
use crate::scalar::spoken;
use crate::slack::handlers::Handlers;
use crate::world::{Blocked, Gap, Request, World};

/// The longest a stack may take to list its listeners.
const LISTENERS_WITHIN: Duration = Duration::from_secs(5);

/// Stores the way back of a route where a person finds it without us.
pub type Keep<'a> = dyn Fn(&str, &NativeWayBack) -> std::io::Result<()> + 'a;

/// Checks everything that can be checked without moving anybody. The answer goes into the record `rollback.armed`.
pub async fn arm(plan: &Plan, world: &World, keep: &Keep<'_>) -> Result<Vec<Value>, Refusal> {
    let mut checks = world.guards.armed();
    if plan.purpose == Purpose::Cutover
        && let Some(blocked) = world.guards.forbids().await
    {
        return Err(forbidden(&blocked));
    }
    if plan.purpose == Purpose::Cutover {
        checks.extend(versions(plan, world).await?);
        checks.extend(listeners(plan, world).await?);
        checks.extend(crate::compare::preflight(plan, world).await?);
        checks.extend(burn::preconditions(plan, world).await?);
        checks.extend(schema(plan, world).await?);
        checks.extend(agreement(plan));
    }
    // Whoever goes back has just read every route, and one that does not answer holds up no other.
    if plan.purpose != Purpose::Cutover {
        return Ok(checks);
    }
    for (name, planned) in &plan.routes {
        let route = world.route(name);
        let reading = route.read().await.map_err(|e| refused(&e, planned))?;
        let users = format!("{}, read just now at {}", reading.split, planned.line);
        if reading.split != planned.before {
            return Err(drift(plan, planned, &users));
        }
        let capacity = match traffic::now(&planned.capacity, route.metrics(), world).await {
            Err(gap) => return Err(uncounted(name, planned, &gap, &users)),
            Ok(None) => planned.capacity.clone(),
            Ok(Some(now)) => {
                checks.push(json!({ "route": name, "line": format!("{name}: {}", traffic::told(now)) }));
                planned.capacity.under(now)
            }
        };
        let under = PlannedRoute { capacity, ..planned.clone() };
        checks.extend(fit(plan, name, &under, route, &reading).await?);
        let identity = route.identity().await.map_err(|e| refused_at(&e, planned, &users))?;
        let longest: u64 = plan.forward.iter().chain(&plan.rollback).map(|s| s.expected_s).sum();
        let longest = longest.max(way_back_s(plan, 0));
        if !identity.renews && identity.left.is_some_and(|left| left < Duration::from_secs(longest)) {
            return Err(Refusal::new(
                Kind::Denied,
                Code::CredentialsEnd,
                "the credentials end before a rollback would be done, and cannot renew themselves",
            )
            .place(identity.line)
            .cause(format!(
                "the plan and its longest rollback take {longest}s; \
                    the credentials must still be valid for a rollback at its end"
            ))
            .users(format!("{users}. Nothing was changed."))
            .next("renew the session, then the same command again"));
        }
        keep(name, &route.native_way_back(name, &reading)).map_err(|e| {
            Refusal::new(Kind::Environment, Code::NoRecord, "the rollback commands cannot be stored")
                .cause(e.to_string())
                .users(format!("{users}. Nothing was changed."))
                .next("free space or fix permissions of the run's folder, then the same command again")
        })?;
        checks.push(json!({
            "route": name, "users": reading.split, "identity": identity.line, "prior": reading.exact,
            "line": format!("{name}: {}, rollback command stored, {}", reading.split, identity.line),
        }));
    }
    // A gate without data may only show that a place is wrong, and that has been said by now.
    checks.extend(ready(plan, world).await?);
    Ok(checks)
}

/// Whether both sides can carry all users is asked for and not known.
fn uncounted(name: &str, planned: &PlannedRoute, gap: &Gap, users: &str) -> Refusal {
    Refusal::new(Kind::Unreachable, Code::CannotTakeUsers, "cannot tell whether the sides can carry the users of now")
        .place(planned.line.clone())
        .cause(traffic::unknown(name, gap))
        .users(format!("{users}. Nothing was changed."))
        .next("the same command again, once CloudWatch has numbers")
        .next(format!("or write `peak` in place of `traffic` under the capacity of `{name}`: a number of your own"))
}

/// Whether users can be moved at a place as it is now, by all that can be read of it: whose it is, what it lacks, whether both sides
/// can take users, what it takes, and what its kind asks for.
pub async fn fit(
    plan: &Plan,
    name: &str,
    planned: &PlannedRoute,
    route: &dyn RouteView,
    reading: &Reading,
) -> Result<Vec<Value>, Refusal> {
    let mut checks = Vec::new();
    let users = format!("{}, read just now at {}", reading.split, planned.line);
    if let Some(owner) = route.controller().await.map_err(|e| refused_at(&e, planned, &users))? {
        return Err(Refusal::new(Kind::Denied, Code::SomebodyElses, format!("{} belongs to {owner}", planned.line))
            .cause("a controller that writes this place by itself would undo every shift")
            .users(format!("{users}. Nothing was changed."))
            .next("let that controller do the cutover, or take the route away from it first"));
    }
    if let Some(lack) = route.lacks(reading) {
        return Err(Refusal::new(Kind::Stopped, Code::RouteLacks, lack.line)
            .place(planned.line.clone())
            .cause(lack.cause)
            .users(format!("{users}. Nothing was changed."))
            .next(format!("bgctl prepare {}        mends it, which moves no users", plan.runbook)));
    }
    for stack in Color::BOTH {
        // Green's share is that of its first shift: steps between may make it larger. Blue has to carry everybody, any time.
        let first = plan.forward.iter().filter_map(|s| s.moves.as_ref()).find(|change| change.route == name);
        let share = match stack {
            Color::Blue => Split::ALL_BLUE,
            Color::Green => first.map_or(planned.before, |change| change.after),
        };
        checks.push(healthy(name, planned, route, stack, share, &users).await?);
    }
    let moves = plan.forward.iter().chain(&plan.rollback).filter_map(|s| s.moves.as_ref());
    let moves: Vec<Split> = moves.filter(|m| m.route == name).map(|m| m.after).collect();
    if let Some((to, why)) = moves.iter().find_map(|to| Some((to, route.takes(*to).err()?))) {
        return Err(Refusal::new(Kind::Invalid, Code::Split, format!("route `{name}` cannot be at {to}"))
            .place(planned.line.clone())
            .cause(why)
            .users(format!("{users}. Nothing was changed."))
            .next(format!("write another share in {}, then the same command again", plan.runbook)));
    }
    for line in route.preflight(&moves).await.map_err(|e| refused_at(&e, planned, &users))? {
        checks.push(json!({ "route": name, "line": format!("{name}: {line}") }));
    }
    Ok(checks)
}

/// Who has to agree to an automatic rollback, and for how long users would wait for that.
fn agreement(plan: &Plan) -> Option<Value> {
    let rule = plan.agreed_rollback().filter(|_| plan.policy.schema_safe)?;
    let within = spoken(Duration::from_secs(rule.within_s));
    let who = format!("{} of {} ({})", rule.quorum, rule.role, rule.members.join(", "));
    let line = format!("an automatic rollback waits up to {within} for {who}; a rollback by a person does not wait");
    Some(json!({ "role": rule.role, "line": line }))
}

/// A guard's word before anything was begun.
pub fn forbidden(blocked: &Blocked) -> Refusal {
    let users = "where they were. Nothing was changed.";
    match blocked.cause {
        Cause::Frozen => Refusal::new(Kind::Later, Code::Frozen, "forward moves are frozen")
            .cause(blocked.line.clone())
            .users(format!("{users} A rollback is never frozen."))
            .next("bgctl freeze --list                          what is frozen, by whom and until when")
            .next("bgctl unfreeze SCOPE --reason \"…\"          for a person who may lift it; then the same command again"),
        _ => Refusal::new(Kind::Denied, Code::Forbidden, "a guard forbids moving users")
            .cause(blocked.line.clone())
            .users(users)
            .next("bgctl status"),
    }
}

/// Each stack runs what the plan says of it.
async fn versions(plan: &Plan, world: &World) -> Result<Option<Value>, Refusal> {
    let Some(at) = &plan.version_at else { return Ok(None) };
    let answers = crate::versions::answered(plan, at, world).await;
    for (stack, answer) in Color::BOTH.into_iter().zip(answers) {
        let wanted = &plan.stack(stack).version;
        let (kind, headline, cause) = match answer {
            Ok(version) if version == *wanted => continue,
            Ok(version) => (Kind::Stopped, format!("{stack} runs {version}"), format!("the plan says {wanted}")),
            Err(why) => (Kind::Unreachable, format!("cannot tell which version {stack} runs"), why),
        };
        return Err(Refusal::new(kind, Code::OtherVersion, headline)
            .cause(cause)
            .users("where they were. Nothing was changed.")
            .next(match &plan.stack(stack).name {
                None => format!("put {wanted} at {}, or name in the runbook what runs there", plan.stack(stack).url),
                Some(_) => format!("put {wanted} at {}, or make a new plan of what runs there", plan.stack(stack).url),
            })
            .next("then the same command again"));
    }
    let line = format!("BLUE answers {}, GREEN {}", plan.blue.version, plan.green.version);
    Ok(Some(json!({ "versions": [plan.blue.version, plan.green.version], "line": line })))
}

/// Nobody is moved to a green that lacks a listener of blue's: users would be the first to know.
async fn listeners(plan: &Plan, world: &World) -> Result<Option<Value>, Refusal> {
    let settings = plan.slack.as_ref().map_or(&Value::Null, |slack| &slack["handlers"]);
    let Some(path) = settings["path"].as_str() else { return Ok(None) };
    let retired: Vec<String> = serde_json::from_value(settings["retired"].clone()).unwrap_or_default();
    let users = "where they were, on blue. Nothing was changed.";
    let mut lists = Vec::new();
    for stack in Color::BOTH {
        let asked = Request::to_stack(plan.stack(stack), path, LISTENERS_WITHIN, &world.secrets);
        lists.push(Handlers::read(&*world.web, asked).await.map_err(|what| {
            Refusal::new(Kind::Stopped, Code::Handlers, format!("what {stack} handles cannot be read"))
                .cause(world.secrets.mask(&what))
                .users(users)
                .next("bgctl explain bot-contract        the list a bot has to give")
        })?);
    }
    let lacking = lists[0].lacking(&lists[1], &retired);
    if lacking.is_empty() {
        let count = lists[0].count();
        return Ok(Some(
            json!({ "listeners": count, "line": format!("all {count} listeners of BLUE are on GREEN too") }),
        ));
    }
    let refusal =
        Refusal::new(Kind::Stopped, Code::GreenLacks, format!("GREEN lacks what BLUE handles: {}", lacking.join(", ")))
            .cause(format!("users who need {} would get no answer from {}", lacking[0], plan.green.version))
            .users(users)
            .next("add the listener to green, then the same command again");
    Err(refusal.next(format!("or, if that is meant: `slack.handlers.retired: [\"{}\"]`", lacking.join("\", \""))))
}

/// Users are sent to a green that finds what it needs, from a blue that could take them back. Where a step of this run has
/// still to migrate, green's part is looked at after it.
async fn schema(plan: &Plan, world: &World) -> Result<Option<Value>, Refusal> {
    let Some((schema, reference)) = plan.schema.as_ref().and_then(|s| Some((s, s.postgres.as_ref()?))) else {
        return Ok(None);
    };
    let when = if schema.migrate.is_some() { When::Early } else { When::Forward };
    let url = world.secrets.resolve(reference);
    let seen = look(schema, &url, world.database.as_ref(), when, !plan.policy.schema_safe).await;
    let Some(Seen { forward, line, .. }) = seen else { return Ok(None) };
    let (kind, headline) = match forward {
        Verdict::Pass => return Ok(Some(json!({ "schema": "live", "line": format!("schema: {line}") }))),
        Verdict::Fail => (Kind::Stopped, "the live schema is not what the release needs"),
        Verdict::Unknown => (Kind::Unreachable, "cannot tell whether the schema fits"),
    };
    Err(Refusal::new(kind, Code::LiveSchema, headline)
        .cause(world.secrets.mask(&line))
        .users("where they were, on blue. Nothing was changed.")
        .next("bgctl explain schema        what is checked")
        .next("fix it, then the same command again"))
}

async fn healthy(
    name: &str,
    planned: &PlannedRoute,
    route: &dyn RouteView,
    stack: Color,
    share: Split,
    users: &str,
) -> Result<Value, Refusal> {
    let health = route.health(stack).await.map_err(|e| refused_at(&e, planned, users))?;
    let counted = Counted { healthy: health.healthy, total: health.total, zones: health.zones };
    let few = (health.healthy < planned.min_healthy)
        .then(|| format!("{} of {} targets healthy, {} needed", health.healthy, health.total, planned.min_healthy));
    if let Some(lacks) = few.or_else(|| planned.capacity.lacks(share, stack, counted)) {
        let mut refusal =
            Refusal::new(Kind::Stopped, Code::CannotTakeUsers, format!("{stack} cannot take users: {lacks}"))
                .place(planned.line.clone());
        for line in &health.ailing {
            refusal = refusal.place(format!("  {line}"));
        }
        return Err(refusal
            .cause(match stack {
                Color::Green => "users may only be sent to a healthy side",
                Color::Blue => "without a healthy blue there is no rollback",
            })
            .users(format!("{users}. Nothing was changed."))
            .next("fix the targets, then the same command again"));
    }
    let line = format!("{name}: {stack} {}/{} healthy", health.healthy, health.total);
    Ok(json!({ "route": name, "stack": stack.name(), "healthy": health.healthy, "total": health.total, "line": line }))
}

/// The world is not what the plan saw.
pub fn drift(plan: &Plan, planned: &PlannedRoute, users: &str) -> Refusal {
    Refusal::new(Kind::Drift, Code::Drift, "live weights are not what the plan saw")
        .place(format!("{}: the plan saw {}", planned.line, planned.before))
        .cause("someone or something else moved users since the plan was made, or a run is still open")
        .users(format!("{users}. Nothing was changed by this command."))
        .next("bgctl status                       who moves this route")
        .next(format!("bgctl plan {}    a new plan from what is live now", plan.runbook))
}

/// The same of a place that was read a moment ago: where users are is known.
pub fn refused_at(error: &RouterError, planned: &PlannedRoute, users: &str) -> Refusal {
    refused(error, planned).users(format!("{users}. Nothing was changed."))
}

/// A router's trouble before anything moved.
pub fn refused(error: &RouterError, planned: &PlannedRoute) -> Refusal {
    let (kind, code) = match error.kind {
        Trouble::Drift { .. } => (Kind::Drift, Code::Drift),
        Trouble::NotFound => (Kind::Invalid, Code::NotThere),
        Trouble::Invalid => (Kind::Invalid, Code::NotTaken),
        Trouble::NoCredentials => (Kind::Denied, Code::NoCredentials),
        Trouble::Denied => (Kind::Denied, Code::NotAllowed),
        Trouble::NotNow => (Kind::Later, Code::NotNow),
        Trouble::Throttled | Trouble::Unreachable => (Kind::Unreachable, Code::NoAnswer),
    };
    // What a provider says can fill a screen; the headline is what a person acts on.
    let (headline, cause) = match (error.what.chars().count() > 100, error.kind) {
        (false, _) => (error.what.clone(), None),
        (true, Trouble::NoCredentials) => ("no credentials that the provider takes".into(), Some(&error.what)),
        (true, Trouble::Denied) => ("the provider does not allow it".into(), Some(&error.what)),
        (true, Trouble::NotFound) => ("the provider does not know this place".into(), Some(&error.what)),
        (true, Trouble::Invalid) => ("the provider or its router cannot do this here".into(), Some(&error.what)),
        (true, _) => ("the provider gives no usable answer".into(), Some(&error.what)),
    };
    let refusal = Refusal::new(kind, code, headline).place(planned.line.clone()).users(match &error.read {
        Some(read) => format!("{read}. Nothing was changed."),
        None => "unknown, the provider gave no answer about them. Nothing was changed.".into(),
    });
    let refusal = cause.into_iter().fold(refusal, |refusal, cause| refusal.cause(cause.clone()));
    match &error.cure {
        Some(cure) => refusal.next(cure.clone()).next("then the same command again"),
        None => refusal.next("the same command again"),
    }
}
