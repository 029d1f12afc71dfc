//! The way back: one call for each moved route, before anything else, straight to all users on blue; or, for a blue that
//! has gone cold, a ramp that only ever rises. The routes go back together; where the runbook wants one after the other, in the
//! reverse order of how they came.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{key, place, written};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Color, OnFailure, PlannedStep};
use crate::runbook::{Node, Runbook};
use crate::steps;

/// What is wrong with the rollback lane.
pub fn check(runbook: &Runbook, forward: &[PlannedStep], rollback: &[PlannedStep]) -> Vec<Diagnostic> {
    let lane = Lane::new(runbook, rollback);
    if runbook.document.routes.is_empty() {
        let first = lane.nodes.items().first();
        // Steps that never run would be read as a promise.
        let never = |step: &Node| {
            Diagnostic::error(Code::NoWayBack, "a runbook without a route is never rolled back")
                .at(step.span.clone(), "nobody is moved, so leave `rollback.steps` out")
        };
        return first.map(never).into_iter().collect();
    }
    let mut found = lane.ends_on_blue();
    found.extend(lane.every_route(forward));
    found.extend(lane.moves_first());
    found.extend(lane.taken_away(forward));
    if runbook.document.rollback.in_order {
        found.extend(lane.order(forward));
    }
    found
}

/// Where the steps of the rollback stand.
const STEPS: &str = "/rollback/steps";

/// The rollback lane beside the file it was written in.
struct Lane<'a> {
    runbook: &'a Runbook,
    tree: &'a Node,
    nodes: &'a Node,
    /// As written: the stops of a ramp belong to the shift that they lead to.
    steps: Vec<&'a PlannedStep>,
    /// No step is missing because of mistakes of its own.
    whole: bool,
}

impl<'a> Lane<'a> {
    fn new(runbook: &'a Runbook, rollback: &'a [PlannedStep]) -> Self {
        let steps: Vec<_> = rollback.iter().filter(|step| !steps::is_stop(step)).collect();
        let whole = steps.len() == runbook.document.rollback.steps.len();
        Lane { runbook, tree: &runbook.tree, nodes: runbook.tree.nearest(STEPS), steps, whole }
    }

    fn node(&self, step: &PlannedStep) -> &'a Node {
        written(self.runbook, STEPS, step).unwrap_or(self.nodes)
    }

    fn place(&self, step: &PlannedStep) -> Range<usize> {
        self.node(step).get("id").map_or(self.nodes.span.clone(), |id| id.span.clone())
    }

    fn ends_on_blue(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for step in self.steps.iter().filter(|step| step.moves.is_some()) {
            if step.moves.as_ref().is_some_and(|moves| moves.after.only() != Some(Color::Blue)) {
                let settings = self.node(step).get(&step.kind);
                let written = settings.and_then(|settings| settings.get("blue").or(settings.get("green")));
                let span = written.map_or_else(|| self.place(step), |value| value.span.clone());
                found.push(
                    Diagnostic::error(
                        Code::NoWayBack,
                        format!("step `{}` leaves users on green in the rollback", step.id),
                    )
                    .at(span, "a rollback is one call: write `blue: 100%`"),
                );
            }
            if step.on_failure == OnFailure::Continue {
                // The run would end as rolled back, with users of this route left on green.
                let at = self.node(step).nearest("/on_failure").span.clone();
                found.push(
                    Diagnostic::error(
                        Code::Unnoticed,
                        format!("step `{}` may fail unnoticed in the rollback", step.id),
                    )
                    .at(at, "leave it out: if users are not back, a person has to look"),
                );
            }
        }
        found
    }

    fn every_route(&self, forward: &[PlannedStep]) -> Vec<Diagnostic> {
        let mut back: BTreeMap<&str, Vec<&PlannedStep>> = BTreeMap::new();
        for step in &self.steps {
            let Some(moves) = &step.moves else { continue };
            back.entry(&moves.route).or_default().push(step);
        }
        let moved: BTreeSet<&str> = routes(forward.iter()).into_iter().collect();
        let mut found = Vec::new();
        for route in moved {
            match back.get(route).map(Vec::as_slice) {
                // A step with mistakes of its own is not in the lane, so nothing can be said about what is missing.
                None | Some([]) if self.whole => {
                    let steps = self.tree.nearest("/rollback").entry("steps");
                    let at = steps.map_or_else(|| key(self.tree, "rollback"), |e| e.key_span.clone());
                    found.push(
                        Diagnostic::error(Code::NoWayBack, format!("no rollback for users of route `{route}`"))
                            .at(at, format!("add `shift: {{ route: {route}, blue: 100% }}`")),
                    );
                }
                Some([first, second, ..]) => found.push(
                    Diagnostic::error(Code::NoWayBack, format!("two steps take users of route `{route}` back"))
                        .at(self.place(second), "the second one; for a cold blue give one shift a `ramp`")
                        .context(self.place(first), "the first one"),
                ),
                _ => {}
            }
        }
        found
    }

    fn moves_first(&self) -> Option<Diagnostic> {
        // What blue cannot do without is no wait that anybody could leave out.
        let waits =
            |step: &&PlannedStep| step.moves.is_none() && steps::makes_ready(&step.kind, &step.config).is_none();
        let wait = self.steps.iter().position(waits)?;
        let last = self.steps.iter().rposition(|step| step.moves.is_some())?;
        (wait < last).then(|| {
            let headline = format!("users wait for `{}` before they are back on blue", self.steps[wait].id);
            Diagnostic::warning(Code::NoWayBack, headline).at(self.place(self.steps[wait]), "put the shifts first")
        })
    }

    /// A blue that the way forward takes from its load balancer is made ready before anybody goes back to it.
    fn taken_away(&self, forward: &[PlannedStep]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let makes =
            |step: &&PlannedStep| steps::makes_ready(&step.kind, &step.config).is_some_and(|(of, _)| of == Color::Blue);
        let first = self.steps.iter().position(|step| step.moves.is_some()).unwrap_or(self.steps.len());
        let ready = self.steps[..first].iter().any(makes);
        let lanes = [("/steps", forward.iter().collect()), (STEPS, self.steps.clone())];
        let mut on_green: BTreeSet<&str> = BTreeSet::new();
        let runbook = self.runbook;
        let every_route = runbook.document.routes.len();
        for (pointer, lane) in lanes {
            for step in lane {
                if let Some(moves) = &step.moves {
                    match moves.after.only() == Some(Color::Green) {
                        true => _ = on_green.insert(&moves.route),
                        false => _ = on_green.remove(moves.route.as_str()),
                    }
                }
                let Some(side) = steps::takes_away(&step.kind, &step.config) else { continue };
                let (headline, help) = match (pointer, side) {
                    ("/steps", Color::Blue) if on_green.len() < every_route => (
                        format!("step `{}` makes BLUE unready while it still has users", step.id),
                        "put it behind the shifts that send everybody of every route to green",
                    ),
                    ("/steps", Color::Blue) if ready || !self.whole => continue,
                    ("/steps", Color::Blue) => (
                        format!("step `{}` makes BLUE unready, and the rollback does not make it ready again", step.id),
                        "begin `rollback.steps` with `ready: { stack: blue, by: { run: […] }, within: 1m }`",
                    ),
                    _ => (
                        format!("step `{}` makes {side} unready, and nothing would make it ready again", step.id),
                        "only a drain of BLUE in `steps` has a way back that undoes it: leave `unready` out",
                    ),
                };
                let node = written(runbook, pointer, step);
                let at = node.map_or_else(
                    || place(&runbook.tree, pointer),
                    |node| node.nearest(&format!("/{}/unready", step.kind)).span.clone(),
                );
                found.push(Diagnostic::error(Code::NoWayBack, headline).at(at, help));
            }
        }
        found
    }

    /// What came last goes back first: until then the routes before it still fit what stands behind them.
    fn order(&self, forward: &[PlannedStep]) -> Option<Diagnostic> {
        let mut wanted = routes(forward.iter());
        wanted.reverse();
        let back = routes(self.steps.iter().copied());
        let wanted: Vec<&str> = wanted.into_iter().filter(|route| back.contains(route)).collect();
        let back: Vec<&str> = back.into_iter().filter(|route| wanted.contains(route)).collect();
        let n = back.iter().zip(&wanted).position(|(is, wanted)| is != wanted)?;
        let step = self.steps.iter().find(|step| step.moves.as_ref().is_some_and(|m| m.route == back[n]))?;
        Some(
            Diagnostic::warning(
                Code::Order,
                format!("route `{}` goes back before `{}`, which was moved after it", back[n], wanted[n]),
            )
            .at(self.place(step), format!("the reverse of the way forward: {}", wanted.join(", "))),
        )
    }
}

/// The routes that are moved, in the order in which each is moved first.
fn routes<'a>(steps: impl Iterator<Item = &'a PlannedStep>) -> Vec<&'a str> {
    let mut routes: Vec<&str> = Vec::new();
    for step in steps {
        let route = step.moves.as_ref().map(|moves| moves.route.as_str());
        routes.extend(route.filter(|route| !routes.contains(route)));
    }
    routes
}
