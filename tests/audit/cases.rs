//! The fifty cases of the list of attacks and faults: each has a test that is called after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The number and letter in `fn case_07_a_tail_cut`, `fn case_14b_…`; every test of a case carries exactly one.
fn number(line: &str) -> Option<(usize, String)> {
    let name = line.trim_start().strip_prefix("fn ")?.split('(').next()?;
    let digits = name.strip_prefix("case_")?.get(..2)?;
    Some((digits.parse().ok()?, name.to_string()))
}

/// The tests of the cases, by number. A function counts only with `#[test]` above it.
fn cases() -> BTreeMap<usize, Vec<String>> {
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for folder in ["tests/audit", "tests/process"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let mut test = false;
            for line in text.lines() {
                match number(line) {
                    Some((n, name)) if test => found.entry(n).or_default().push(name),
                    _ => {}
                }
                test = line.trim() == "#[test]" || test && line.trim_start().starts_with("#[");
            }
        }
    }
    found
}

#[test]
fn each_of_the_fifty_cases_has_its_test() {
    let found = cases();
    let missing: Vec<usize> = (1..=50).filter(|n| !found.contains_key(n)).collect();
    assert!(missing.is_empty(), "no test is called after the cases {missing:?}");
    assert!(found.keys().all(|n| (1..=50).contains(n)), "{found:?}");
}

#[test]
fn a_name_gives_its_number() {
    assert_eq!(number("    fn case_14b_more() {").map(|n| n.0), Some(14));
    assert_eq!(number("fn case_1_more() {"), None);
    assert_eq!(number("// fn case_14_more() {"), None);
}
