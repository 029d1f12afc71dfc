//! The pages of the format against the vectors and the code: every rule has a vector, every table is that of the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bgctl::audit::SCRIPT;
use bgctl::journal::SealState;
use bgctl::shell::Exit;

use super::all;

const FORMAT: &str = include_str!("../../../src/audit/format.md");
const RULES: &str = include_str!("../../../src/audit/format-rules.md");
const MACHINE: &str = include_str!("../../../src/audit/format-machine.md");

/// Rules without a vector of their own, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("group-long", "16 MiB"),
    ("fact-many", "10,001 records"),
    ("certificate-user", "as the other members of a certificate"),
];

/// The rules in the first column of the tables of a page.
fn rules(page: &'static str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in page.lines() {
        inside = line.starts_with("| rule | what has to hold") || inside && line.starts_with('|');
        if inside && let Some(name) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) {
            found.insert(name);
        }
    }
    found
}

#[test]
fn vectors_stand_for_every_rule_of_the_pages() {
    let mut wanted: BTreeSet<&str> = [FORMAT, RULES, MACHINE].into_iter().flat_map(rules).collect();
    assert!(wanted.len() > 100, "{}", wanted.len());
    // Named in the text of the page.
    wanted.extend(["anchor-forked", "anchor-truncated", "ended-read", "signers-unreadable", "sound"]);
    let had: BTreeSet<&str> = all().iter().map(|vector| vector.rule).collect();
    let without: BTreeSet<&str> = WITHOUT.iter().map(|(rule, _)| *rule).collect();
    let missing: Vec<_> = wanted.difference(&had).filter(|rule| !without.contains(*rule)).collect();
    assert!(missing.is_empty(), "no vector for {missing:?}");
    let strange: Vec<_> = had.difference(&wanted).collect();
    assert!(strange.is_empty(), "no page has the rules {strange:?}");
}

/// Every forged log stands for somebody who wants something, and what a row of the threats names is there.
#[test]
fn the_threats_are_shown_by_what_they_name() {
    let rows = include_str!("../../../src/audit/audit.md").split("| who | has | wants |").nth(1).unwrap();
    let rows: Vec<&str> = rows.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let named: Vec<&str> =
        rows.iter().flat_map(|row| row.trim_end_matches(" |").rsplit(" | ").next().unwrap().split(", ")).collect();
    let (rules, tests): (Vec<&str>, Vec<&str>) = named.into_iter().partition(|name| name.starts_with('`'));
    let means = |name: &str, rule: &str| match name.trim_matches('`').strip_suffix('*') {
        Some(start) => rule.starts_with(start),
        None => name.trim_matches('`') == rule,
    };
    let forged: Vec<&str> = all().iter().map(|vector| vector.rule).filter(|rule| *rule != "sound").collect();
    assert!(forged.len() >= 200, "{}", forged.len());
    let idle: Vec<_> = rules.iter().filter(|name| !forged.iter().any(|rule| means(name, rule))).collect();
    assert!(idle.is_empty(), "no vectors for {idle:?}");
    let unnamed: BTreeSet<_> = forged.iter().filter(|rule| !rules.iter().any(|name| means(name, rule))).collect();
    assert!(unnamed.is_empty(), "no threat names {unnamed:?}");
    let sources = sources(Path::new("tests")) + &sources(Path::new("src"));
    let missing: Vec<_> = tests.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(tests.len() > 15 && missing.is_empty(), "no tests {missing:?}");
}

/// All source files below a folder of the checkout.
fn sources(folder: &Path) -> String {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match (path.is_dir(), path.extension().is_some_and(|end| end == "rs")) {
        (true, _) => sources(&path),
        (_, true) => std::fs::read_to_string(path).unwrap(),
        _ => String::new(),
    };
    entries.map(read).collect()
}

#[test]
fn the_pages_have_the_tables_of_the_code() {
    let transitions = include_str!("../../fixtures/transitions.txt");
    assert!(MACHINE.contains(&format!("```text\n{transitions}```\n")), "the transitions in format-machine.md");
    let kinds = SCRIPT.split("def kinds: [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let kinds: BTreeSet<&str> = kinds.split(',').map(|kind| kind.trim().trim_matches('"')).collect();
    let table = RULES.split("| type | is | members").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let listed: BTreeSet<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `").and_then(|rest| rest.split('`').next())).collect();
    assert_eq!(listed, kinds, "the types of records in format-rules.md");
    let codes = [
        ("BROKEN", Exit::AuditBroken),
        ("FORKED", Exit::AuditTruncated),
        ("TRUNCATED", Exit::AuditTruncated),
        ("POLICY", Exit::AuditPolicy),
        ("COMPLETE", Exit::Success),
        ("ENDED", Exit::AuditInterrupted),
        ("INTERRUPTED", Exit::AuditInterrupted),
        ("UNREADABLE", Exit::Invalid),
    ];
    for (verdict, exit) in codes {
        assert!(FORMAT.contains(&format!("| `{verdict}` | {} |", exit.code())), "{verdict}");
    }
    for state in SealState::ALL {
        let by = if state.by_owner() { "the owner's key" } else { "the session key" };
        assert!(FORMAT.contains(&format!("| `{}` | {by} |", state.name())), "{}", state.name());
    }
}
