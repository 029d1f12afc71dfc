//! Who may import whom. Reads `crate::…` paths out of `src` and holds them against the table; a new module needs a row.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Module, and the modules of ours it may use.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("diag", &[]),
    ("clock", &[]),
    ("secret", &[]),
    ("scalar", &[]),
    ("plan", &[]),
    ("run", &["plan", "scalar"]),
    ("schema", &["plan", "probes", "run"]),
    ("routers", &["clock", "diag", "plan", "scalar", "secret"]),
    ("processes", &["clock", "world"]),
    // How AWS is reached is one thing, whether for weights or for metrics.
    ("probes", &["clock", "diag", "plan", "routers", "run", "scalar", "secret", "world"]),
    ("people", &["clock", "diag", "plan", "probes", "run", "scalar", "secret", "sign", "world"]),
    ("world", &["clock", "plan", "probes", "routers", "run", "secret"]),
    ("users", &["clock", "plan", "probes", "routers", "run", "secret", "world"]),
    ("steps", &["clock", "diag", "plan", "probes", "routers", "run", "scalar", "schema", "secret", "users", "world"]),
    ("sign", &["diag", "secret"]),
    ("journal", &["clock", "diag", "plan", "run", "sign"]),
    ("compare", &["diag", "plan", "probes", "scalar", "world"]),
    ("runbook", &["compare", "diag", "people", "plan", "probes", "routers", "scalar", "secret", "steps"]),
    ("policy", &["anchors", "diag", "plan", "runbook", "scalar", "sign"]),
    ("compile", &["compare", "diag", "plan", "policy", "probes", "routers", "runbook", "scalar", "schema", "steps"]),
    ("anchors", &["clock", "journal", "plan", "probes", "secret", "world"]),
    ("arm", &["compare", "diag", "guards", "plan", "probes", "routers", "run", "scalar", "schema", "world"]),
    (
        "drive",
        &[
            "arm", "clock", "diag", "journal", "people", "plan", "report", "run", "scalar", "schema", "secret",
            "steps", "users", "world",
        ],
    ),
    ("guards", &["clock", "plan", "routers", "run", "scalar", "world"]),
    ("sim", &["clock", "drive", "journal", "people", "plan", "probes", "routers", "run", "secret", "world"]),
    ("export", &["journal", "report", "run"]),
    ("lab", &["plan"]),
    ("report", &["clock", "diag", "journal", "plan", "run", "secret", "users", "world"]),
    (
        "cli",
        &[
            "anchors",
            "arm",
            "clock",
            "compare",
            "compile",
            "diag",
            "drive",
            "export",
            "guards",
            "journal",
            "lab",
            "people",
            "plan",
            "policy",
            "probes",
            "processes",
            "report",
            "routers",
            "run",
            "runbook",
            "scalar",
            "schema",
            "secret",
            "sign",
            "sim",
            "steps",
            "users",
            "world",
        ],
    ),
];

/// The paths below `crate::` that a line names: `crate::{a::B, c}` gives `a` and `c`.
fn named(line: &str) -> Vec<String> {
    let first =
        |path: &str| path.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_string();
    line.match_indices("crate::")
        .flat_map(|(at, _)| {
            let rest = &line[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => group.split(',').map(first).collect(),
                None => vec![first(rest)],
            }
        })
        .filter(|name| name.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

#[test]
fn every_import_is_in_the_table() {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut stack = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let root = stack[0].clone();
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let inside = path.strip_prefix(&root).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let Some(allowed) = table.get(module) else {
            wrong.push(format!("{} is in no row of the table", inside.display()));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        // Tests below a file may reach for anything: they stand outside the layers.
        let text = text.split("#[cfg(test)]").next().unwrap();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for name in named(line) {
                if name != module && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{}:{} imports {name}", inside.display(), n + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_planted_import_is_found() {
    assert_eq!(named("use crate::{cli::Exit, plan};"), ["cli", "plan"]);
    assert_eq!(named("    let x = crate::cli::main();"), ["cli"]);
}
