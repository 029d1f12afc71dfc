//! Two inventories held against each other. Pure: what it says follows from what both stacks said and what was declared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::inventory::{Inventory, Queue};
use super::settings::{Compare, Level, Part};
use crate::plan::{Color, Plan};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub part: Part,
    /// What differs, within its part.
    pub of: String,
    /// What each side has, where that may be said; of configuration and secrets only whether it has any.
    pub blue: String,
    pub green: String,
    pub level: Level,
    /// The whole of it in a sentence.
    pub line: String,
}

impl Difference {
    /// `configuration POOL_SIZE`: what `compare.expected` calls it.
    pub fn name(&self) -> String {
        format!("{} {}", self.part.name(), self.of)
    }
}

/// All differences, declared ones with the level `ignore`.
pub fn differences(plan: &Plan, compare: &Compare, blue: &Inventory, green: &Inventory) -> Vec<Difference> {
    let mut found = Vec::new();
    found.extend(versions(plan, blue, green));
    found.extend(maps(&blue.images, &green.images, Part::Image));
    found.extend(maps(&blue.configuration, &green.configuration, Part::Configuration));
    found.extend(maps(&blue.secrets, &green.secrets, Part::Secret));
    found.extend(handlers(blue, green));
    found.extend(queues(blue, green));
    found.extend(caches(blue, green));
    found.extend(health(blue, green));
    for difference in &mut found {
        // A note of less weight than its part stays one.
        difference.level = difference.level.min(compare.level(difference.part));
        if compare.expected.contains(&difference.name()) {
            difference.level = Level::Ignore;
        }
    }
    found
}

fn difference(part: Part, of: &str, blue: impl Into<String>, green: impl Into<String>, line: String) -> Difference {
    Difference { part, of: of.into(), blue: blue.into(), green: green.into(), level: Level::Block, line }
}

/// A stack runs what the runbook says it runs.
fn versions(plan: &Plan, blue: &Inventory, green: &Inventory) -> Vec<Difference> {
    let sides = [(Color::Blue, blue), (Color::Green, green)];
    let wrong = sides.into_iter().filter_map(|(stack, inventory)| {
        let (has, wanted) = (inventory.version.as_ref()?, &plan.stack(stack).version);
        let line = format!("{stack} runs {has}, the runbook says {wanted}");
        let [blue, green] = if stack == Color::Blue { [has.as_str(), ""] } else { ["", has.as_str()] };
        (has != wanted).then(|| difference(Part::Version, stack.name(), blue, green, line))
    });
    wrong.collect()
}

/// Names that one side lacks, and values that are not the same.
fn maps(blue: &BTreeMap<String, String>, green: &BTreeMap<String, String>, part: Part) -> Vec<Difference> {
    // What may be said of a value: an image's name is no secret, the rest is digests of which nothing is kept.
    let shown = |value: Option<&String>| match (value, part) {
        (None, _) => "-".to_string(),
        (Some(value), Part::Image) => value.clone(),
        (Some(_), _) => "set".to_string(),
    };
    let names: BTreeSet<&String> = blue.keys().chain(green.keys()).collect();
    let differ = names.into_iter().filter(|name| blue.get(*name) != green.get(*name));
    differ
        .map(|name| {
            let (on_blue, on_green) = (blue.get(name), green.get(name));
            let what = part.name();
            let line = match (on_blue, on_green, part) {
                (Some(_), None, _) => format!("GREEN lacks the {what} `{name}`"),
                (None, _, _) => format!("only GREEN has the {what} `{name}`"),
                (Some(from), Some(to), Part::Image) => format!("image `{name}` is {from} on BLUE and {to} on GREEN"),
                _ => format!("{what} `{name}` has another value on GREEN"),
            };
            difference(part, name, shown(on_blue), shown(on_green), line)
        })
        .collect()
}

/// What blue handles and green does not. What green handles beyond that is why there is a release.
fn handlers(blue: &Inventory, green: &Inventory) -> Vec<Difference> {
    let all = blue.handlers.iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)));
    let lacks = all.filter(|(kind, name)| !green.handlers.get(*kind).is_some_and(|names| names.contains(*name)));
    lacks
        .map(|(kind, name)| {
            let of = format!("{kind} {name}");
            difference(Part::Handler, &of, "handled", "-", format!("GREEN does not handle {of}, BLUE does"))
        })
        .collect()
}

/// While both run, and after a rollback, each side meets what the other has written.
fn queues(blue: &Inventory, green: &Inventory) -> Vec<Difference> {
    let names: BTreeSet<&String> = blue.queues.keys().chain(green.queues.keys()).collect();
    let mut found = Vec::new();
    let said = |queue: &Queue| {
        let reads = queue.reads.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("reads [{reads}] writes {}", queue.writes.as_deref().unwrap_or("nothing"))
    };
    let nothing = Queue::default();
    for name in names {
        let (on_blue, on_green) =
            (blue.queues.get(name).unwrap_or(&nothing), green.queues.get(name).unwrap_or(&nothing));
        for (writer, writes, reader, reads) in
            [("GREEN", on_green, "BLUE", on_blue), ("BLUE", on_blue, "GREEN", on_green)]
        {
            let Some(version) = writes.writes.as_ref().filter(|version| !reads.reads.contains(*version)) else {
                continue;
            };
            let why = if reader == "BLUE" {
                "going back would strand them"
            } else {
                "what waits in the queue would be stranded"
            };
            let line =
                format!("{writer} writes version {version} to queue `{name}`, which {reader} cannot read: {why}");
            found.push(difference(Part::Queue, name, said(on_blue), said(on_green), line));
        }
    }
    found
}

/// Under the same key both sides have to mean the same. Under another key green begins with an empty cache.
fn caches(blue: &Inventory, green: &Inventory) -> Vec<Difference> {
    let both = blue.caches.iter().filter_map(|(name, on_blue)| Some((name, on_blue, green.caches.get(name)?)));
    both.filter(|(_, on_blue, on_green)| on_blue != on_green)
        .map(|(name, on_blue, on_green)| {
            let said = |cache: &super::inventory::Cache| format!("{} version {}", cache.key, cache.version);
            let same_key = on_blue.key == on_green.key;
            let line = match same_key {
                true => format!(
                    "under `{}` of cache `{name}` BLUE keeps version {} and GREEN version {}: each reads what the other wrote",
                    on_blue.key, on_blue.version, on_green.version
                ),
                false => format!("GREEN keeps cache `{name}` under another key, and begins with it empty"),
            };
            let found = difference(Part::Cache, name, said(on_blue), said(on_green), line);
            Difference { level: if same_key { Level::Block } else { Level::Warn }, ..found }
        })
        .collect()
}

fn health(blue: &Inventory, green: &Inventory) -> Vec<Difference> {
    let names: BTreeSet<&String> = blue.health.keys().chain(green.health.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let sides = [("BLUE", blue.health.get(name)), ("GREEN", green.health.get(name))];
        let ill = sides.iter().filter_map(|(stack, said)| Some((stack, said.filter(|said| *said != "ok")?)));
        let ill: Vec<String> = ill.map(|(stack, said)| format!("{stack}'s `{name}` says {said}")).collect();
        if !ill.is_empty() {
            let said = |side: usize| sides[side].1.map_or("-".to_string(), Clone::clone);
            found.push(difference(Part::Health, name, said(0), said(1), ill.join(", ")));
        }
    }
    found
}
