//! The routes of a plan: their settings as the router's kind takes them, and what they were read at. Nothing is asked of a
//! provider here.

use std::collections::BTreeMap;

use super::{Facts, place, placed, written};
use crate::diag::{Code, Diagnostic, Review};
use crate::plan::{Capacity, Color, Plan, PlannedRoute, PlannedStep, SeenAt, Split};
use crate::routers::Access;
use crate::runbook::{Node, Route, Runbook};
use crate::scalar::spoken;
use crate::steps::{DRAIN, cuts, drains_within};

/// Every route as it is planned, with what was read of it.
pub(super) fn routes(
    runbook: &Runbook,
    facts: Option<&Facts>,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, PlannedRoute> {
    let mut planned = BTreeMap::new();
    for (name, route) in &runbook.document.routes {
        let node = runbook.tree.nearest(&format!("/routes/{name}"));
        let config = route.config.clone();
        let kind = runbook.kinds.routers.iter().find(|kind| kind.name == route.router);
        let kind = kind.unwrap_or_else(|| panic!("BUG: `{}` is no row of the table of routers", route.router));
        let mut line = format!("{} route {name}", route.router);
        let (mut min_healthy, mut resources, mut uncounted) = (1, Vec::new(), false);
        // Settings that still hold a variable cannot be judged: they are when `plan` has its value.
        if !config.to_string().contains("${var.") {
            match (kind.view)(&config, &Access::default()) {
                Ok(view) => {
                    (line, min_healthy, resources) = (view.line(), view.min_healthy(), view.resources(None));
                    uncounted = !view.by_names() && view.metrics().is_none();
                }
                Err(mistakes) => {
                    let entry = node.entry(kind.name);
                    let whole = entry.map_or(node.span.clone(), |entry| entry.key_span.clone());
                    found.extend(placed(
                        mistakes,
                        entry.map_or(node, |entry| &entry.node),
                        &whole,
                        Code::RouteSettings,
                    ));
                }
            }
        }
        let mut before = Split::ALL_BLUE;
        if let Some(seen) = facts.and_then(|facts| facts.routes.get(name)).cloned() {
            (line, before, resources) = (seen.line, seen.split, seen.resources);
        }
        let seen_at = route.seen_at.as_ref().map(|seen| SeenAt {
            url: seen.url.clone(),
            header: seen.header.clone(),
            samples: seen.samples,
            tolerance: seen.tolerance.per_mille(),
            headers: seen.headers.clone(),
        });
        if let Some(seen) = &route.seen_at {
            let mut review = Review::default();
            review.header("/header", &seen.header);
            review.headers("/headers", &seen.headers);
            let (node, whole) = (node.nearest("/seen_at"), node.span.clone());
            found.extend(placed(review.0, node, &whole, Code::RouteSettings));
        }
        // Responses of sockets go to Slack alone: there the hellos are what is seen from outside.
        if seen_at.is_none() && route.router != "socket_mode" {
            let span = node.entries().first().map_or(node.span.clone(), |entry| entry.key_span.clone());
            found.push(
                Diagnostic::warning(Code::TwoWitnesses, format!("route `{name}` has no `seen_at`"))
                    .at(span, "a shift is then proven by two witnesses, not by real responses"),
            );
        }
        if let (Some(_), true) = (route.capacity.as_ref().and_then(|said| said.traffic), uncounted) {
            found.push(
                Diagnostic::error(Code::RouteSettings, format!("nobody counts the requests of route `{name}`"))
                    .at(place(&runbook.tree, &format!("/routes/{name}/capacity/traffic")), "only an `alb` route of an Application Load Balancer has metrics in CloudWatch: write `peak` in its place"),
            );
        }
        let capacity = capacity(name, route, &runbook.tree, found);
        let router = route.router.clone();
        let planned_route = PlannedRoute { router, config, line, seen_at, before, min_healthy, capacity, resources };
        planned.insert(name.clone(), planned_route);
    }
    planned
}

/// What a side has to be able to carry, as the runbook says it.
fn capacity(name: &str, route: &Route, tree: &Node, found: &mut Vec<Diagnostic>) -> Capacity {
    let Some(said) = &route.capacity else { return Capacity::default() };
    if (said.peak.is_some() || said.traffic.is_some()) != said.per_target.is_some() {
        let span = place(tree, &format!("/routes/{name}/capacity"));
        let headline = "`per_target` is said together with `peak` or `traffic`, or none of them is";
        found.push(
            Diagnostic::error(Code::TimeOrCount, headline)
                .at(span, "write `{ peak: 300, per_target: 60 }`, both in requests a second"),
        );
    }
    let healthy = said.healthy.as_ref().map(|share| share.per_mille());
    Capacity { peak: said.peak, per_target: said.per_target, healthy, zones: said.zones, traffic: said.traffic }
}

/// Drains that end before users who follow a move late have left the side that is drained.
pub(super) fn too_short(runbook: &Runbook, plan: &Plan, lane: &[PlannedStep], pointer: &str) -> Vec<Diagnostic> {
    let follows = plan.routes.iter().filter(|(_, route)| !route.config.to_string().contains("${var.")).filter_map(
        |(name, route)| {
            let kind = runbook.kinds.routers.iter().find(|kind| kind.name == route.router)?;
            // Settings that are wrong have been named already.
            Some(((kind.view)(&route.config, &Access::default()).ok()?.followed_within(), name))
        },
    );
    let Some((follow, name)) = follows.max() else { return Vec::new() };
    let short =
        lane.iter().filter(|step| drains_within(&step.kind, &step.config).is_some_and(|longest| longest < follow));
    let found = short.map(|step| {
        let node = written(runbook, pointer, step);
        let span = node
            .and_then(|node| node.get(&step.kind))
            .map_or_else(|| place(&runbook.tree, pointer), |n| n.span.clone());
        let headline = format!("`{}` ends before users have followed the move", step.id);
        let why = format!(
            "users of `{name}` may come to the side that they left for {} more: give it as long",
            spoken(follow)
        );
        Diagnostic::error(Code::StepSettings, headline).at(span, why)
    });
    found.collect()
}

/// Drains that are to cut what no route of the runbook can.
pub(super) fn uncut(runbook: &Runbook, plan: &Plan, lane: &[PlannedStep], pointer: &str) -> Vec<Diagnostic> {
    let mut lacking = Vec::new();
    for (name, route) in &plan.routes {
        let kind = runbook.kinds.routers.iter().find(|kind| kind.name == route.router);
        match kind.map(|kind| (kind.view)(&route.config, &Access::default())) {
            Some(Ok(view)) => match view.cuts() {
                Ok(()) => return Vec::new(),
                Err(why) => lacking.push(format!("`{name}` ({}): {why}", route.router)),
            },
            // Settings that are wrong have been named already.
            _ => return Vec::new(),
        }
    }
    let cuts = lane.iter().filter(|step| cuts(&step.kind, &step.config));
    let found = cuts.map(|step| {
        let node = written(runbook, pointer, step);
        let at = format!("/{}/at_timeout", step.kind);
        let span = node.map_or_else(|| place(&runbook.tree, pointer), |node| node.nearest(&at).span.clone());
        let headline = format!("no route can cut what `{}` leaves", step.id);
        Diagnostic::error(Code::StepSettings, headline)
            .at(span, "write `hold`, `ask`, `continue` or `roll-back`")
            .note(lacking.join("; "))
    });
    found.collect()
}

/// Drains that would ask whichever side a load balancer chooses: they ask without the headers of their stack.
pub(super) fn uncountable(runbook: &Runbook, plan: &Plan, lane: &[PlannedStep], pointer: &str) -> Vec<Diagnostic> {
    let wrong = lane.iter().filter(|step| {
        let color = Color::BOTH.into_iter().find(|color| step.config["stack"] == color.name());
        let has = |key: &str| !step.config[key].is_null();
        let asked = !has("instances") && (!has("longest_job") || has("reconnect"));
        step.kind == DRAIN && asked && color.is_some_and(|color| !plan.stack(color).headers.is_empty())
    });
    let found = wrong.map(|step| {
        let node = written(runbook, pointer, step);
        let span = node.map_or_else(|| place(&runbook.tree, pointer), |node| node.span.clone());
        let headline = format!("`{}` would ask whichever stack answers there", step.id);
        let label = "its stack is told apart by `headers`, and a drain asks without: name its `instances`";
        Diagnostic::error(Code::StepSettings, headline).at(span, label)
    });
    found.collect()
}

/// Splits that a route cannot have, whatever stands there: found before anything is asked.
pub(super) fn untaken(runbook: &Runbook, plan: &Plan, lane: &[PlannedStep], pointer: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for step in lane {
        let Some(change) = &step.moves else { continue };
        let Some(route) = plan.routes.get(&change.route) else { continue };
        let kind = runbook.kinds.routers.iter().find(|kind| kind.name == route.router);
        if route.config.to_string().contains("${var.") {
            continue;
        }
        // Settings that are wrong have been named already.
        let Some(Ok(view)) = kind.map(|kind| (kind.view)(&route.config, &Access::default())) else { continue };
        let Err(why) = view.takes(change.after) else { continue };
        let node = written(runbook, pointer, step);
        let settings = node.and_then(|node| node.get(&step.kind));
        let value = settings.and_then(|s| s.get("green").or(s.get("blue")));
        let span = value.map_or_else(|| place(&runbook.tree, pointer), |value| value.span.clone());
        let headline = format!("route `{}` cannot be at {}", change.route, change.after);
        found.push(Diagnostic::error(Code::Split, headline).at(span, why));
    }
    found
}
