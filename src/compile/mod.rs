//! From a runbook and what is live to a plan, or to every mistake at once.
//!
//! Nothing is asked of any system here: what is live comes in as [`Facts`], and only the migrations are read beside the
//! runbook. The plan that comes out leaves no choice open
//! that would change what happens, and says in `warnings` what it takes on the operator's word.

mod continuity;
mod draft;
mod lane;
mod lines;
mod migrations;
mod paging;
mod people;
mod rehearsed;
mod routes;
mod slack;
pub mod unattended;
mod way_back;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::diag::{Code, Diagnostic, Mistake, Review, Severity};
use crate::gates::gate;
use crate::gates::server::Server;
use crate::plan::{Color, Lane, Plan, PlannedStep, Policy, Purpose, Split, Stack};
use crate::policy::PolicyFile;
use crate::routers::{Access, MetricsPlace};
use crate::runbook::{Node, Runbook, Source, sorted};
pub use draft::Draft;
use lane::Walker;
use lines::Lines;
pub use migrations::migrations;
pub use rehearsed::rehearsed;
use routes::{routes, too_short, uncountable, uncut, untaken};

/// What was read from the live world.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub routes: BTreeMap<String, Seen>,
    /// The versions of blue and green, where the runbook leaves them to the stacks.
    pub versions: Option<[String; 2]>,
    /// Why blue cannot live with the schema, as databases say.
    pub schema: Vec<String>,
}

/// What was read of a route.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The line a person recognises it by.
    pub line: String,
    pub split: Split,
    /// What a move of it changes.
    pub resources: Vec<String>,
}

/// A plan, with the warnings as they are shown beside the file.
struct Compiled {
    plan: Plan,
    warnings: Vec<Diagnostic>,
}

/// The longest a single wait may be, and the longest a whole lane may take when all goes well.
pub const MOST_SECONDS: u64 = 12 * 3600;

/// Compiles both lanes. Without facts all users are taken to be on blue. With a policy the people and roles are the policy's.
fn compile(
    source: &Source,
    runbook: &Runbook,
    policy: Option<&PolicyFile>,
    facts: Option<&Facts>,
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut found = runbook.found.clone();
    let lines = Lines::new(&source.text);
    let document = &runbook.document;
    let team = people::team(policy);
    let roles = people::check(document, &runbook.tree, policy, &mut found);
    let (mut policy, schema, words) =
        migrations::policy(document, &runbook.tree, &roles, facts.map_or(&[], |facts| &facts.schema));
    policy.notify = document.policy.notify.iter().map(|entry| entry.0.clone()).collect();
    if let Some(most) = &document.policy.pause_at_most {
        policy.pause_at_most_s = most.whole_seconds();
    }
    policy.rollback_in_order = document.rollback.in_order;
    if let Some(within) = &document.policy.rollback_within {
        policy.rollback_within_s = within.whole_seconds();
    }
    found.extend(words);
    let versions = facts.and_then(|facts| facts.versions.as_ref());
    let stack = |color: Color| {
        let section = match color {
            Color::Blue => &document.stacks.blue,
            Color::Green => &document.stacks.green,
        };
        let version = versions.map_or(&section.version, |versions| &versions[color as usize]);
        let name = runbook.sides.found.then(|| runbook.sides.names()[color as usize].to_string());
        let (label, headers) = (section.label.clone(), section.headers.clone());
        Stack { version: version.clone(), url: section.url.clone(), name, label, headers }
    };
    let mut plan = Plan {
        bgctl_plan: 1,
        purpose: Purpose::Cutover,
        service: document.service.clone(),
        environment: document.environment.clone(),
        owners: document.owners.clone(),
        rollback_owner: document.rollback.owner.clone(),
        runbook: source.path.clone(),
        runbook_sha256: Sha256::digest(source.text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect(),
        blue: stack(Color::Blue),
        green: stack(Color::Green),
        version_at: document.stacks.version.clone(),
        routes: routes(runbook, facts, &mut found),
        gates: gates(runbook, &mut found),
        slack: slack::settings(runbook, &mut found),
        compare: comparison(runbook, &mut found),
        policy,
        schema,
        forward: Vec::new(),
        rollback: Vec::new(),
        team,
        warnings: Vec::new(),
    };
    let apart = plan.blue.url != plan.green.url || plan.blue.url.contains("${");
    // Without a header of its own, a stack at the address of a load balancer is whichever serves there.
    let told = Color::BOTH.iter().all(|color| !plan.stack(*color).headers.is_empty());
    if !apart && (!told || plan.blue.headers == plan.green.headers) {
        let span = place(&runbook.tree, "/stacks/green/url");
        let label = "this is blue's too, and no `headers` of both tell them apart";
        found.push(Diagnostic::error(Code::Stacks, "both stacks have the same address").at(span, label));
    }
    for (at, stack) in [("/stacks/blue", &plan.blue), ("/stacks/green", &plan.green)] {
        let mut review = Review::default();
        review.headers("/headers", &stack.headers);
        let node = runbook.tree.nearest(at);
        found.extend(placed(review.0, node, &node.span.clone(), Code::Stacks));
    }
    if let Some(at) = &document.stacks.version {
        let mut review = Review::default();
        review.path("/path", &at.path);
        review.header("/header", &at.header);
        let node = runbook.tree.nearest("/stacks/version");
        found.extend(placed(review.0, node, &node.span.clone(), Code::Stacks));
    }
    if runbook.sides.found && document.routes.is_empty() {
        let span = place(&runbook.tree, "/stacks");
        let headline = "which of `a` and `b` is blue is read from a route, and there is none";
        found.push(Diagnostic::error(Code::Stacks, headline).at(span, "write `blue` and `green`"));
    }
    if document.stacks.release.as_ref().is_some_and(|release| release.contains("${env:") || release.contains("${file:"))
    {
        let span = place(&runbook.tree, "/stacks/release");
        let headline = "`release` has to be known when the plan is made";
        found.push(Diagnostic::error(Code::Stacks, headline).at(span, "write it as a variable: `${var.release}`"));
    }
    if let Some(release) = document.stacks.release.as_ref().filter(|_| !runbook.sides.found) {
        let span = place(&runbook.tree, "/stacks/release");
        let headline = format!("`release: {release}` is for stacks `a` and `b`");
        found.push(Diagnostic::error(Code::Stacks, headline).at(span, "the version of green says it"));
    }
    if plan.blue.version == plan.green.version && !plan.blue.version.contains("${") {
        let span = place(&runbook.tree, "/stacks/green/version");
        found.push(
            Diagnostic::warning(Code::Stacks, "both stacks have the same version")
                .at(span, "responses of the two cannot be told apart by it"),
        );
    }
    let told = |stack: &Stack| stack.label.is_some() || stack.name.is_some();
    if runbook.sides.swap && !(told(&plan.blue) && told(&plan.green)) && !document.gates.is_empty() {
        // A silent wrong verdict is worse than none: the labels in Prometheus do not change places with the stacks.
        let span = key(&runbook.tree, "gates");
        found.push(
            Diagnostic::error(Code::GatesSwapped, "with `--swap` these gates would judge the wrong stack")
                .at(span, "they know stacks by the labels `blue` and `green`, which stay with the running processes")
                .note("say what metrics call each stack, which goes with it: `blue: { label: blue, … }`, `green: { label: green, … }`"),
        );
    }
    let mut walker = Walker { source, lines: &lines, runbook, roles: &roles, found: &mut found };
    let (forward, ends) = walker.lane(Lane::Forward, &plan, None);
    let (mut rollback, _) = walker.lane(Lane::Rollback, &plan, Some(ends));
    found.extend(migrations::migrate(runbook, &forward, &rollback, plan.schema.as_mut()));
    found.extend(migrations::ratchet(runbook, &plan.policy, &roles, &mut rollback));
    found.extend(way_back::check(runbook, &forward, &rollback));
    for (pointer, lane) in [("/steps", &forward), ("/rollback/steps", &rollback)] {
        found.extend(untaken(runbook, &plan, lane, pointer));
        found.extend(too_short(runbook, &plan, lane, pointer));
        found.extend(uncut(runbook, &plan, lane, pointer));
        found.extend(uncountable(runbook, &plan, lane, pointer));
    }
    found.extend(continuity::check(runbook, &forward));
    plan.forward = forward;
    plan.rollback = rollback;
    found.extend(unattended::check(runbook, &plan));
    found.extend(people::unread(runbook, &plan));
    let found = sorted(found);
    if found.iter().any(|d| d.severity == Severity::Error) {
        return Err(found);
    }
    plan.warnings = found.iter().map(|d| warning(source, &lines, d)).collect();
    Ok(Compiled { plan, warnings: found })
}

/// The first route whose users are not all on blue, with its split. Only such a plan may not be run: with all users on
/// green the file wants to be read with `--swap`, anything between wants a person.
pub fn not_on_blue(plan: &Plan) -> Option<(&str, Split)> {
    let mut routes = plan.routes.iter();
    routes.find(|(_, r)| r.before.only() != Some(Color::Blue)).map(|(name, r)| (name.as_str(), r.before))
}

fn warning(source: &Source, lines: &Lines, diagnostic: &Diagnostic) -> String {
    match &diagnostic.span {
        Some(span) => format!("{}:{}: {}", source.path, lines.line(span.start), diagnostic.headline),
        None => diagnostic.headline.clone(),
    }
}

/// The bytes of a value, or of the nearest thing above it.
fn place(tree: &Node, pointer: &str) -> Range<usize> {
    tree.nearest(pointer).span.clone()
}

/// A step as it is written, in the lane at this pointer.
fn written<'r>(runbook: &'r Runbook, pointer: &str, step: &PlannedStep) -> Option<&'r Node> {
    let of = |node: &&Node| node.get("id").and_then(Node::text) == Some(&step.id);
    runbook.tree.nearest(pointer).items().iter().find(of)
}

/// The bytes of a key at the top, or the first byte.
fn key(tree: &Node, name: &str) -> Range<usize> {
    tree.entry(name).map_or(0..0, |entry| entry.key_span.clone())
}

/// What a kind says against its settings, each at its place below `node`. `whole` is pointed at for the rest.
fn placed(mistakes: Vec<Mistake>, node: &Node, whole: &Range<usize>, code: Code) -> Vec<Diagnostic> {
    mistakes
        .into_iter()
        .map(|mistake| {
            let at = node.nearest(&mistake.at);
            let span = if std::ptr::eq(at, node) { whole.clone() } else { at.span.clone() };
            Diagnostic::error(code, mistake.message).at(span, mistake.help.unwrap_or_default())
        })
        .collect()
}

/// Gates as their own check fills them in, with the address of the runbook's Prometheus where they name none.
fn gates(runbook: &Runbook, found: &mut Vec<Diagnostic>) -> BTreeMap<String, Value> {
    let document = &runbook.document;
    let mut gates = BTreeMap::new();
    if let Some(server) = &document.prometheus {
        let (node, key) = (runbook.tree.nearest("/prometheus"), key(&runbook.tree, "prometheus"));
        found.extend(placed(server.check(), node, &key, Code::Gate));
    }
    for entry in runbook.tree.get("gates").map(Node::entries).unwrap_or_default() {
        let Some(gate) = document.gates.get(&entry.key) else { continue };
        let mut gate = gate.clone();
        match &document.prometheus {
            // An address that nobody asks would be a variable that has to be set for nothing.
            _ if gate.source.promql().is_none() => gate.url = Server::none(),
            Some(url) if entry.node.get("url").is_none() => gate.url = url.clone(),
            _ => {
                let inside = |m: Mistake| Mistake { at: format!("/url{}", m.at), ..m };
                let own: Vec<Mistake> = gate.url.check().into_iter().map(inside).collect();
                found.extend(placed(own, &entry.node, &entry.key_span, Code::Gate));
            }
        }
        let mut unrouted = Vec::new();
        if let Some(mut metrics) = gate.source.cloudwatch()
            && let Some(name) = metrics.route.clone()
        {
            match metrics_place(runbook, &name) {
                Ok(Some(place)) => {
                    metrics.take_route(place);
                    gate.source.set_cloudwatch(&metrics);
                }
                // It is filled in once the place is known.
                Ok(None) => {}
                Err(message) => unrouted.push(Mistake {
                    at: "/cloudwatch/route".into(),
                    message,
                    help: Some("name an `alb` route, or give `region`, `dimensions`, `blue` and `green`".into()),
                }),
            }
        }
        let settings = serde_json::to_value(gate).expect("BUG: a gate is plain data");
        let checked = gate::check(&settings);
        found.extend(placed(unrouted, &entry.node, &entry.key_span, Code::Gate));
        found.extend(placed(checked.mistakes, &entry.node, &entry.key_span, Code::Gate));
        let doubts = placed(checked.warnings, &entry.node, &entry.key_span, Code::Gate);
        found.extend(doubts.into_iter().map(|doubt| Diagnostic { severity: Severity::Warning, ..doubt }));
        // A gate with mistakes still has its name: bakes that use it are not wrong for that.
        gates.insert(entry.key.clone(), checked.config.unwrap_or(settings));
    }
    gates
}

/// Where metrics of a route are kept, as its router says; none, where its names have to be looked up first.
fn metrics_place(runbook: &Runbook, name: &str) -> Result<Option<MetricsPlace>, String> {
    let route = runbook.document.routes.get(name).ok_or_else(|| format!("there is no route `{name}`"))?;
    let kind = runbook.kinds.routers.iter().find(|kind| kind.name == route.router);
    // Settings that are wrong have been named already.
    let view = kind.and_then(|kind| (kind.view)(&route.config, &Access::default()).ok());
    let view = view.ok_or_else(|| format!("the settings of route `{name}` are not known here"))?;
    if view.by_names() {
        return Ok(None);
    }
    view.metrics().map(Some).ok_or_else(|| format!("a `{}` route has no metrics in CloudWatch", route.router))
}

/// What is compared, with the address of the runbook's Prometheus where a number names none.
fn comparison(runbook: &Runbook, found: &mut Vec<Diagnostic>) -> Option<Value> {
    let mut compare = runbook.document.compare.clone()?;
    let node = runbook.tree.nearest("/compare");
    for (name, check) in &mut compare.checks {
        let own = node.nearest(&format!("/checks/{name}/number")).get("url").is_some();
        match &runbook.document.prometheus {
            // An address that nobody asks would be a variable that has to be set for nothing.
            _ if check.number.source.promql().is_none() => check.number.url = Server::none(),
            Some(url) if !own => check.number.url = url.clone(),
            _ => {}
        }
    }
    found.extend(placed(compare.check(), node, &key(&runbook.tree, "compare"), Code::CompareSection));
    Some(serde_json::to_value(compare).expect("BUG: a comparison is plain data"))
}

/// Whether a route of this kind is there.
fn has_route(runbook: &Runbook, router: &str) -> bool {
    runbook.document.routes.values().any(|route| route.router == router)
}

/// What is common to rules of the run as a whole.
fn automatic(
    at_most: u32,
    within_s: u64,
    unsafe_because: Option<String>,
    page: Vec<Value>,
    acknowledge_s: Option<u64>,
) -> Policy {
    Policy {
        automatic_at_most: at_most,
        within_s,
        schema_safe: unsafe_because.is_none(),
        schema_reason: unsafe_because,
        page,
        acknowledge_s,
        ..Policy::default()
    }
}
