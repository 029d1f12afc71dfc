//! The rollback rule of what people have open: blue must read what green wrote, and that is tried before anybody moves.

use super::{key, place, placed};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Color, OnFailure, PlannedStep};
use crate::runbook::{Runbook, SlackMode};

/// Both directions, of which the second is the way back's.
const WANTED: [&str; 2] = ["modal-from-blue", "modal-from-green"];

/// What is wrong with `slack.continuity`, and whether it is checked in time.
pub fn check(runbook: &Runbook, forward: &[PlannedStep]) -> Vec<Diagnostic> {
    let Some(continuity) = runbook.document.slack.as_ref().and_then(|slack| slack.continuity.as_ref()) else {
        return Vec::new();
    };
    let tree = &runbook.tree;
    let slack = tree.nearest("/slack");
    let whole = slack.entry("continuity").map_or_else(|| key(tree, "slack"), |entry| entry.key_span.clone());
    let mut found = placed(continuity.mistakes(), tree.nearest("/slack/continuity"), &whole, Code::StepSettings);
    for (n, button) in continuity.buttons.iter().enumerate() {
        let headline = format!("`{}` is really pressed, on your word that it does no harm", button.action_id);
        let at = place(tree, &format!("/slack/continuity/buttons/{n}/harmless_because"));
        found.push(Diagnostic::warning(Code::Unproven, headline).at(at, "the reason stands in the plan"));
    }
    if runbook.document.slack.as_ref().is_some_and(|slack| slack.mode == SlackMode::Socket) {
        let headline = "what people have open is taken on your word: Socket Mode cannot be asked from outside";
        found.push(
            Diagnostic::warning(Code::Unproven, headline).at(whole, "try it on a copy of the app that takes HTTP"),
        );
        return found;
    }
    let moves = |step: &PlannedStep| step.moves.as_ref().is_some_and(|m| m.after.weight(Color::Green) > 0);
    // A step with mistakes of its own is not in the lane: nothing can be said about what is missing then.
    if forward.len() != runbook.document.steps.len() {
        return found;
    }
    let Some(first) = forward.iter().position(moves) else { return found };
    let checked = |wanted: &str| {
        forward[..first].iter().any(|step| {
            let checks = step.config["checks"].as_array().into_iter().flatten();
            step.kind == "smoke"
                && step.on_failure != OnFailure::Continue
                && checks.filter_map(|check| check.as_str()).any(|check| check == wanted)
        })
    };
    let missing: Vec<String> = WANTED.iter().filter(|w| !checked(w)).map(|w| format!("`{w}`")).collect();
    if !missing.is_empty() {
        let headline = format!("users would move at `{}` before the rollback rule is checked", forward[first].id);
        let label =
            format!("add {} to a `smoke` step before it, without `on_failure: continue`", missing.join(" and "));
        let mistake = Diagnostic::error(Code::Continuity, headline).at(whole, label);
        found
            .push(mistake.note(
                "blue must read what green wrote, or users who are brought back cannot send what they have open",
            ));
    }
    found
}
