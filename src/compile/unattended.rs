//! Who has to be there for a run, and what it means when nobody is: drains that ask, and a rollback that waits for a role.
//!
//! What is said here are warnings. Where it is known that nobody can be asked, [`in_ci`] makes mistakes of those that have
//! another way to be written.

use std::ops::Range;

use super::written;
use crate::diag::{Code, Diagnostic, Severity};
use crate::plan::{Color, Lane, Plan, PlannedStep};
use crate::runbook::Runbook;
use crate::scalar::Duration;
use crate::steps::asks;

/// A step asks a person.
pub const ASKS: Code = Code::AsksAPerson;
/// An automatic rollback waits for a person.
const WAITS: Code = Code::WaitsForSomebody;

/// What to write instead of a question.
pub const INSTEAD: &str =
    "`at_timeout: hold` (users stay, exit 12) or `at_timeout: continue` (what is left is recorded)";

/// What the plan leaves to somebody who has to be there.
pub fn check(runbook: &Runbook, plan: &Plan) -> Vec<Diagnostic> {
    let mut found = drains(runbook, Lane::Forward, &plan.forward);
    found.extend(drains(runbook, Lane::Rollback, &plan.rollback));
    found.extend(waits(runbook, plan));
    found
}

/// The same where it is known that nobody can be asked.
pub fn in_ci(found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let harder = |diagnostic: Diagnostic| match diagnostic.code {
        ASKS => Diagnostic {
            severity: Severity::Error,
            headline: format!("nobody can be asked in CI: {}", diagnostic.headline),
            ..diagnostic
        },
        WAITS => Diagnostic { headline: format!("in CI no person can answer: {}", diagnostic.headline), ..diagnostic },
        _ => diagnostic,
    };
    found.into_iter().map(harder).collect()
}

/// The first step of a plan that asks a person when its time is up.
pub fn asking(plan: &Plan) -> Option<&PlannedStep> {
    plan.forward.iter().chain(&plan.rollback).find(|step| asks(&step.kind, &step.config))
}

fn drains(runbook: &Runbook, lane: Lane, steps: &[PlannedStep]) -> Vec<Diagnostic> {
    let pointer = if lane == Lane::Forward { "/steps" } else { "/rollback/steps" };
    let asking = steps.iter().filter(|step| asks(&step.kind, &step.config));
    let warn = |step: &PlannedStep| {
        let headline = format!("`{}` asks a person when its time is up; unanswered, users stay as they are", step.id);
        let label = match lane {
            Lane::Forward => format!("say it here: {INSTEAD}"),
            Lane::Rollback => "users are back by then: write `at_timeout: continue`".into(),
        };
        Diagnostic::warning(ASKS, headline).at(place(runbook, pointer, step), label)
    };
    asking.map(warn).collect()
}

/// The word `at_timeout` of a drain, or its kind where that is left out.
fn place(runbook: &Runbook, pointer: &str, step: &PlannedStep) -> Range<usize> {
    let entry = written(runbook, pointer, step).and_then(|node| node.entry(&step.kind));
    let said = entry.and_then(|entry| entry.node.get("at_timeout")).map(|value| value.span.clone());
    said.or_else(|| entry.map(|entry| entry.key_span.clone())).unwrap_or_else(|| super::place(&runbook.tree, pointer))
}

/// Users stay on a green that failed for as long as nobody agrees: that is said before it is so.
fn waits(runbook: &Runbook, plan: &Plan) -> Option<Diagnostic> {
    let rule = plan.agreed_rollback().filter(|_| plan.policy.schema_safe)?;
    let toward = |step: &&PlannedStep| step.moves.as_ref().is_some_and(|moves| moves.after.weight(Color::Green) > 0);
    let first = plan.forward.iter().position(|step| toward(&step))?;
    let covers = |step: &PlannedStep| step.approval.as_ref().is_some_and(|rule| rule.covers_rollback);
    if plan.forward[..=first].iter().any(covers) {
        return None;
    }
    let (within, who) = (Duration::seconds(rule.within_s), rule.members.join(", "));
    let headline = format!(
        "an automatic rollback waits up to {within} for {} of `{}` ({who}), with users on a GREEN that failed",
        rule.quorum, rule.role
    );
    let id = &plan.forward[first].id;
    let label = match plan.forward[first].approval {
        Some(_) => format!("write `none`, or `covers: rollback` in the approval of `{id}`"),
        None => format!("write `none`, or give `{id}` an approval with `covers: rollback`"),
    };
    let at = super::place(&runbook.tree, "/rollback/approval");
    Some(Diagnostic::warning(WAITS, headline).at(at, label).note(
        "they are called when it is asked for, and approve with `bgctl approve` or a signed file; \
            `bgctl rollback` by a person does not wait",
    ))
}
