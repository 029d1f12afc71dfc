//! One lane: its steps in order, the split before and after each, and what makes no sense in that order.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lines::Lines;
use super::people::Roles;
use super::{MOST_SECONDS, key, placed, written};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Color, Lane, Move, OnFailure, Plan, PlannedStep, Split};
use crate::runbook::{Node, Runbook, Source, Step};
use crate::steps::{self, Facts};

/// Walks lanes and collects what is wrong.
pub struct Walker<'a> {
    pub source: &'a Source,
    pub lines: &'a Lines,
    pub runbook: &'a Runbook,
    pub roles: &'a Roles,
    pub found: &'a mut Vec<Diagnostic>,
}

impl Walker<'_> {
    /// The steps of a lane, and the splits at its end. Steps whose settings are wrong are left out.
    pub fn lane(
        &mut self,
        lane: Lane,
        plan: &Plan,
        from: Option<BTreeMap<String, Split>>,
    ) -> (Vec<PlannedStep>, BTreeMap<String, Split>) {
        let document = &self.runbook.document;
        let (steps, nodes) = match lane {
            Lane::Forward => (&document.steps, self.runbook.tree.nearest("/steps")),
            Lane::Rollback => (&document.rollback.steps, self.runbook.tree.nearest("/rollback/steps")),
        };
        let before = plan.routes.iter().map(|(name, route)| (name.clone(), route.before)).collect();
        let mut splits = from.unwrap_or(before);
        let mut planned = Vec::with_capacity(steps.len());
        let mut total = 0;
        for (n, (step, node)) in steps.iter().zip(nodes.items()).enumerate() {
            if self.facts(step, &step.config, node, plan).is_none() {
                continue;
            }
            let mut approval = match (&step.approval, lane, n) {
                (Some(approval), _, _) => self.roles.rule(approval, node, self.found),
                (None, Lane::Rollback, 0) => self.roles.rollback_rule(document, &self.runbook.tree, self.found),
                (None, _, _) => None,
            };
            let stages = crate::steps::stages(&step.kind, &step.config);
            if lane == Lane::Forward && stages.len() > 1 {
                let at = node.nearest(&format!("/{}/ramp", step.kind)).span.clone();
                let wrong =
                    Diagnostic::error(Code::RampForward, format!("step `{}` has a ramp on the way forward", step.id));
                self.found.push(wrong.at(at, "forward, write one `shift` a share, each with its `bake`"));
            }
            for (suffix, config) in stages {
                let Some(facts) = self.facts(step, &config, node, plan) else { continue };
                let timeout_s = self.timeout(step, node, &facts);
                total += facts.expected_s + approval.as_ref().map_or(0, |rule| rule.within_s);
                let moves = facts.moves.as_ref().and_then(|(route, per_mille)| {
                    let split = splits.get_mut(route)?;
                    let to = home(plan, route, lane, *per_mille).unwrap_or_else(|| Split::of_green(*per_mille));
                    let before = std::mem::replace(split, to);
                    Some(Move { route: route.clone(), before, after: *split })
                });
                if let Some(moves) = moves.as_ref().filter(|_| lane == Lane::Forward) {
                    self.direction(moves, node, step);
                }
                planned.push(PlannedStep {
                    id: format!("{}{suffix}", step.id),
                    kind: step.kind.clone(),
                    line: facts.line,
                    config,
                    resume: facts.resume,
                    attempts: step.retry.as_ref().map_or(facts.attempts, |retry| retry.attempts),
                    timeout_s,
                    expected_s: facts.expected_s,
                    moves,
                    // Whoever agreed to the first stop agreed to all of them.
                    approval: approval.take(),
                    // A blue that was not made ready keeps nobody on green: the shift behind it asks for its health itself.
                    on_failure: match lane {
                        Lane::Rollback if step.kind == steps::READY && node.get("on_failure").is_none() => {
                            OnFailure::Continue
                        }
                        _ => step.on_failure,
                    },
                    place: format!("{}:{}", self.source.path, self.lines.line(node.span.start)),
                });
            }
        }
        if total > MOST_SECONDS {
            let span = match lane {
                Lane::Forward => key(&self.runbook.tree, "steps"),
                Lane::Rollback => key(&self.runbook.tree, "rollback"),
            };
            let headline = format!("the steps take up to {}h {}m in all", total / 3600, total / 60 % 60);
            self.found.push(
                Diagnostic::error(Code::TimeOrCount, headline)
                    .at(span, "at most 12h, waiting for approvals included")
                    .note("make two runbooks of it, or shorten bakes and approvals"),
            );
        }
        if lane == Lane::Forward {
            self.watched(&planned, nodes);
        }
        (planned, splits)
    }

    /// What the kind says about its settings, or its mistakes at their places.
    fn facts(&mut self, step: &Step, config: &Value, node: &Node, plan: &Plan) -> Option<Facts> {
        let kind = self.runbook.kinds.steps.iter().find(|kind| kind.name == step.kind);
        let kind = kind.unwrap_or_else(|| panic!("BUG: `{}` is no row of the table of kinds", step.kind));
        let entry = node.entry(kind.name);
        match (kind.facts)(config, plan) {
            Ok(facts) => Some(facts),
            Err(mistakes) => {
                let whole = entry.map_or(node.span.clone(), |entry| entry.key_span.clone());
                self.found.extend(placed(
                    mistakes,
                    entry.map_or(node, |entry| &entry.node),
                    &whole,
                    Code::StepSettings,
                ));
                None
            }
        }
    }

    fn timeout(&mut self, step: &Step, node: &Node, facts: &Facts) -> u64 {
        let seconds = step.timeout.as_ref().map_or(facts.timeout_s, |timeout| timeout.whole_seconds());
        let at = match node.entry("timeout") {
            Some(entry) => entry.node.span.clone(),
            None => node.entry(&step.kind).map_or(node.span.clone(), |entry| entry.key_span.clone()),
        };
        if seconds == 0 {
            self.found.push(
                Diagnostic::error(Code::TimeOrCount, format!("step `{}` would have no time at all", step.id))
                    .at(at, "write how long one attempt may take"),
            );
        } else if seconds > MOST_SECONDS && facts.expected_s <= MOST_SECONDS {
            self.found.push(
                Diagnostic::error(Code::TimeOrCount, format!("step `{}` may wait longer than 12h", step.id))
                    .at(at, "give it a shorter time"),
            );
        } else if seconds < facts.expected_s {
            self.found.push(
                Diagnostic::warning(Code::TimeOrCount, format!("step `{}` has less time than it needs", step.id))
                    .at(at, format!("it takes about {}s when nothing is wrong", facts.expected_s)),
            );
        }
        seconds
    }

    /// Forward is toward green.
    fn direction(&mut self, moves: &Move, node: &Node, step: &Step) {
        let at = node.nearest(&format!("/{}/green", step.kind)).span.clone();
        let (before, after) = (moves.before.share(Color::Green), moves.after.share(Color::Green));
        let mut warn = |headline: String, label: String| {
            self.found.push(Diagnostic::warning(Code::NoMove, headline).at(at.clone(), label));
        };
        if moves.before == moves.after {
            warn(
                format!("step `{}` moves no users", step.id),
                format!("`{}` is at {} already", moves.route, moves.before),
            );
        } else if after < before {
            let label = format!("green had {} % before; moves back stand under `rollback`", before * 100.0);
            warn(format!("step `{}` takes users back from green", step.id), label);
        }
    }

    /// Users go to a side that was looked at, and are watched afterwards.
    fn watched(&mut self, planned: &[PlannedStep], nodes: &Node) {
        let place = |step: &PlannedStep| {
            written(self.runbook, "/steps", step)
                .and_then(|node| node.get("id"))
                .map_or(nodes.span.clone(), |id| id.span.clone())
        };
        let toward = |step: &&PlannedStep| step.moves.as_ref().is_some_and(|m| m.after.green > 0);
        let Some(first) = planned.iter().position(|step| toward(&step)) else {
            // A runbook without a route moves nobody, and says so.
            if self.runbook.document.routes.is_empty() {
                return;
            }
            self.found.push(
                Diagnostic::error(Code::NoMove, "no step moves users to green")
                    .at(key(&self.runbook.tree, "steps"), "add a `shift`"),
            );
            return;
        };
        if !planned[..first].iter().any(|step| matches!(step.kind.as_str(), "smoke" | "warm")) {
            self.found.push(
                Diagnostic::warning(Code::Unlooked, "users reach green before anything has looked at it")
                    .at(place(&planned[first]), "put a `smoke` or a `warm` before this step"),
            );
        }
        let mut last = None;
        for step in planned {
            match last {
                Some(moved) if toward(&step) => self.unwatched(moved, &place),
                _ => {}
            }
            if toward(&step) {
                last = Some(step);
            } else if step.kind == "bake" {
                last = None;
            }
        }
        if let Some(moved) = last {
            self.unwatched(moved, &place);
        }
        let ends: BTreeMap<&str, &PlannedStep> =
            planned.iter().filter_map(|step| Some((step.moves.as_ref()?.route.as_str(), step))).collect();
        for (route, step) in ends {
            let after = step.moves.as_ref().map(|moves| moves.after);
            if after.is_some_and(|after| after.only() != Some(Color::Green)) {
                self.found.push(
                    Diagnostic::warning(
                        Code::EndsSplit,
                        format!("the run ends with users of `{route}` on both stacks"),
                    )
                    .at(place(step), "the last shift is not to green 100%"),
                );
            }
        }
    }

    fn unwatched(&mut self, step: &PlannedStep, place: &dyn Fn(&PlannedStep) -> std::ops::Range<usize>) {
        self.found.push(
            Diagnostic::warning(Code::Unwatched, format!("nobody watches users after `{}`", step.id))
                .at(place(step), "put a `bake` after it"),
        );
    }
}

/// All users back on blue are back on the very weights that were found there, where those had all of them on blue: 1:0 stays
/// 1:0.
fn home(plan: &Plan, route: &str, lane: Lane, green_per_mille: u32) -> Option<Split> {
    let found = plan.routes.get(route)?.before;
    (lane == Lane::Rollback && green_per_mille == 0 && found.only() == Some(Color::Blue)).then_some(found)
}
