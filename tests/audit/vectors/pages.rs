//! The pages of the format against the vectors and the code: every rule has a vector, every table is that of the code.

use std::collections::BTreeSet;

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
