//! The pages of the codes name no command and no flag that bgctl does not have.

use std::process::Command;

use crate::rig::BGCTL;

const PAGES: &str = include_str!("../../src/cli/codes.md");

/// What stands between two backticks of the pages.
fn quoted() -> Vec<&'static str> {
    PAGES.split('`').skip(1).step_by(2).collect()
}

fn help(words: &[&str]) -> Option<String> {
    let answer = Command::new(BGCTL).args(words).arg("--help").output().expect("bgctl starts");
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

#[test]
fn every_command_of_a_page_is_one_that_bgctl_has() {
    let mut tried = 0;
    for line in quoted().into_iter().filter_map(|text| text.strip_prefix("bgctl ")) {
        // A flag's own value may be of several words, and stands in quotes.
        let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('"')).collect();
        assert!(help(&words).is_some(), "bgctl {line}");
        tried += 1;
    }
    assert!(tried > 20, "only {tried} commands were found");
}

#[test]
fn every_flag_of_a_page_is_one_that_some_command_has() {
    let mut all = help(&[]).expect("help");
    let commands = all.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let names: Vec<String> =
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).map(String::from).collect();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let Some(text) = help(&[name]) else { continue };
        for inner in text.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
            if inner.starts_with(|c: char| c.is_ascii_lowercase()) {
                all += &help(&[name, inner]).unwrap_or_default();
            }
        }
        all += &text;
    }
    let flags = quoted().into_iter().flat_map(|text| text.split([' ', '[', ']'])).filter(|word| word.starts_with("--"));
    for flag in flags.filter(|flag| *flag != "--features") {
        let known = |end: &str| all.contains(&format!("{flag}{end}"));
        assert!([" ", "\n", "=", ","].into_iter().any(known), "no command has {flag}");
    }
}
