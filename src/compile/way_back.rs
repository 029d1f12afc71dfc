//! The way back: one call for each moved route, before anything else, straight to all users on blue.

use std::collections::{BTreeMap, BTreeSet};

use super::key;
use crate::diag::Diagnostic;
use crate::plan::{Color, PlannedStep};
use crate::runbook::{Node, Runbook};

/// What is wrong with the rollback lane.
pub fn check(runbook: &Runbook, forward: &[PlannedStep], rollback: &[PlannedStep]) -> Vec<Diagnostic> {
    let tree = &runbook.tree;
    let nodes = tree.nearest("/rollback/steps");
    // A step with mistakes of its own is not in the lane, so nothing can be said about what is missing.
    let whole = rollback.len() == runbook.document.rollback.steps.len();
    let node = |step: &PlannedStep| {
        nodes.items().iter().find(|node| node.get("id").and_then(Node::text) == Some(&step.id)).unwrap_or(nodes)
    };
    let place = |step: &PlannedStep| node(step).get("id").map_or(nodes.span.clone(), |id| id.span.clone());
    let mut found = Vec::new();
    let mut back: BTreeMap<&str, Vec<&PlannedStep>> = BTreeMap::new();
    for step in rollback {
        let Some(moves) = &step.moves else { continue };
        back.entry(&moves.route).or_default().push(step);
        if moves.after.only() != Some(Color::Blue) {
            let written =
                node(step).get(&step.kind).and_then(|settings| settings.get("blue").or(settings.get("green")));
            let span = written.map_or_else(|| place(step), |value| value.span.clone());
            found.push(
                Diagnostic::error("BG0110", format!("step `{}` leaves users on green on the way back", step.id))
                    .at(span, "the way back is one call: write `blue: 100%`"),
            );
        }
    }
    let moved: BTreeSet<&str> = forward.iter().filter_map(|step| Some(step.moves.as_ref()?.route.as_str())).collect();
    for route in moved {
        match back.get(route).map(Vec::as_slice) {
            None | Some([]) if whole => {
                let at = tree
                    .nearest("/rollback")
                    .entry("steps")
                    .map_or_else(|| key(tree, "rollback"), |e| e.key_span.clone());
                found.push(
                    Diagnostic::error("BG0110", format!("no way back for users of route `{route}`"))
                        .at(at, format!("add `shift: {{ route: {route}, blue: 100% }}`")),
                );
            }
            Some([first, second, ..]) => found.push(
                Diagnostic::error("BG0110", format!("two steps take users of route `{route}` back"))
                    .at(place(second), "the second one")
                    .context(place(first), "the first one"),
            ),
            _ => {}
        }
    }
    let first_wait = rollback.iter().position(|step| step.moves.is_none());
    let last_move = rollback.iter().rposition(|step| step.moves.is_some());
    if let (Some(wait), Some(last)) = (first_wait, last_move)
        && wait < last
    {
        found.push(
            Diagnostic::warning(
                "BG0110",
                format!("users wait for `{}` before they are back on blue", rollback[wait].id),
            )
            .at(place(&rollback[wait]), "put the shifts first"),
        );
    }
    found
}
