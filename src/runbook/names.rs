//! Names that have to exist: routes, gates, and step ids that have to be one of a kind.
//!
//! Looks at the tree, not at types, so it also works while other parts of the file are still wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use super::format;
use super::nearest::meant;
use super::tree::{Entry, Node};
use crate::diag::{Code, Diagnostic};

/// Every name that does not fit.
pub fn check(tree: &Node) -> Vec<Diagnostic> {
    let mut names = Names { tree, found: Vec::new() };
    for section in ["routes", "gates", "roles", "variables"] {
        for entry in tree.get(section).map(Node::entries).unwrap_or_default() {
            if let Some(complaint) = format::complaint("name", &entry.key) {
                names
                    .found
                    .push(Diagnostic::error(Code::Value, complaint).at(entry.key_span.clone(), "take another name"));
            }
        }
    }
    let mut ids: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    let back = tree.get("rollback");
    let lanes = [tree.get("steps"), back.and_then(|back| back.get("steps"))];
    for step in lanes.into_iter().flatten().flat_map(|lane| lane.items()) {
        if let Some((node, id)) = step.get("id").and_then(|node| Some((node, node.text()?))) {
            match ids.get(id) {
                Some(first) => names.found.push(
                    Diagnostic::error(Code::SameName, format!("two steps are called `{id}`"))
                        .at(node.span.clone(), "the second one")
                        .context(first.clone(), "the first one"),
                ),
                None => drop(ids.insert(id, node.span.clone())),
            }
        }
        for entry in step.entries().iter().filter(|entry| !entry.node.entries().is_empty()) {
            names.of_kind(entry);
        }
    }
    names.found
}

struct Names<'t> {
    tree: &'t Node,
    found: Vec<Diagnostic>,
}

impl Names<'_> {
    /// In the settings of every kind, `route` names a route and `gates` lists gates.
    fn of_kind(&mut self, kind: &Entry) {
        if let Some(route) = kind.node.get("route") {
            self.known("route", "routes", route);
        }
        for gate in kind.node.get("gates").map(Node::items).unwrap_or_default() {
            self.known("gate", "gates", gate);
        }
    }

    fn known(&mut self, what: &str, section: &str, node: &Node) {
        let Some(name) = node.text().filter(|name| !name.contains("${")) else { return };
        let known = self.tree.get(section).map(Node::entries).unwrap_or_default();
        if known.iter().all(|entry| entry.key != name) {
            let label = match known {
                [] => format!("the runbook has no `{section}`"),
                _ => meant(name, known.iter().map(|entry| entry.key.as_str())),
            };
            self.found.push(
                Diagnostic::error(Code::UnknownName, format!("there is no {what} `{name}`"))
                    .at(node.span.clone(), label),
            );
        }
    }
}
