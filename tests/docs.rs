//! README says what the code says: its tables are produced here, its pages exist, its commands parse.

use std::fs;
use std::path::Path;
use std::process::Command;

use bgctl::cli::Exit;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The text between `<!-- name -->` and `<!-- /name -->`.
fn section<'a>(readme: &'a str, name: &str) -> &'a str {
    let start = readme.find(&format!("<!-- {name} -->\n")).unwrap_or_else(|| panic!("no section `{name}`"));
    let rest = &readme[start..];
    let body = rest.find('\n').unwrap() + 1;
    &rest[body..rest.find(&format!("<!-- /{name} -->")).unwrap()]
}

fn fenced(text: &str) -> String {
    format!("```text\n{}\n```\n", text.trim_end())
}

fn help() -> String {
    let answer = Command::new(env!("CARGO_BIN_EXE_bgctl")).arg("--help").env("COLUMNS", "100").output().unwrap();
    assert!(answer.status.success());
    String::from_utf8(answer.stdout).unwrap()
}

fn commands() -> String {
    let help = help();
    let start = help.find("Commands:\n").unwrap() + "Commands:\n".len();
    let end = start + help[start..].find("\n\n").unwrap();
    fenced(&help[start..end])
}

fn exit_codes() -> String {
    let mut table = String::from("| code | means | CI should |\n|---|---|---|\n");
    for (_, code, means, ci) in Exit::TABLE {
        table += &format!("| {code} | {means} | {ci} |\n");
    }
    table
}

fn transitions() -> String {
    fenced(include_str!("fixtures/transitions.txt"))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`BLESS` is a wish of whoever runs the test")]
fn the_tables_are_those_of_the_code() {
    let mut readme = fs::read_to_string(README).unwrap();
    let bless = std::env::var_os("BLESS").is_some();
    for (name, wanted) in [("commands", commands()), ("exit codes", exit_codes()), ("transitions", transitions())] {
        let found = section(&readme, name).to_string();
        if bless {
            readme = readme.replacen(&format!("<!-- {name} -->\n{found}"), &format!("<!-- {name} -->\n{wanted}"), 1);
            continue;
        }
        assert_eq!(found, wanted, "section `{name}` of README; BLESS=1 writes it anew");
    }
    if bless {
        fs::write(README, readme).unwrap();
    }
}

#[test]
fn every_link_leads_somewhere() {
    let readme = fs::read_to_string(README).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links: Vec<&str> = readme
        .match_indices("](")
        .map(|(at, _)| readme[at + 2..].split(')').next().unwrap())
        .filter(|link| !link.starts_with("http"))
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert!(root.join(link).exists(), "README links to `{link}`");
    }
}

#[test]
fn every_page_is_linked() {
    let readme = fs::read_to_string(README).unwrap();
    let answer = Command::new(env!("CARGO_BIN_EXE_bgctl")).arg("explain").output().unwrap();
    let listed = String::from_utf8(answer.stdout).unwrap();
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    // Exit codes are a section of README itself, and the error codes are one page under another name.
    for name in names.filter(|name| *name != "exit-codes" && !name.starts_with("BG")) {
        assert!(readme.contains(&format!("[{name}](src/")), "README does not link the page `{name}`");
    }
}

/// Every `bgctl …` of README is a command line that bgctl understands: it may fail, but not as a usage error of its words.
#[test]
fn every_command_line_parses() {
    let readme = fs::read_to_string(README).unwrap();
    let mut tried = 0;
    for line in readme.lines() {
        let Some(words) = line.trim().strip_prefix("$ bgctl ").or(line.trim().strip_prefix("$ cargo run -- ")) else {
            continue;
        };
        let words: Vec<&str> = words.split('#').next().unwrap().split_whitespace().collect();
        let answer = Command::new(env!("CARGO_BIN_EXE_bgctl")).args(&words).arg("--help").output().unwrap();
        assert!(answer.status.success(), "{line}\n{}", String::from_utf8_lossy(&answer.stderr));
        tried += 1;
    }
    assert!(tried >= 6, "only {tried} command lines were found");
}
