//! What steers a terminal, from every source, through every command: none of it reaches a stream as it is.

use std::io::{Read, Write};

use crate::files::VARIABLES;
use crate::rig::{Desk, Done, RUNBOOK};

/// An escape, one in a single character, two that turn the direction, one that hides, and a title.
const ACTS: &str = "\u{1b}[2J\u{9b}1A\u{202e}x\u{2066}\u{ad}\u{1b}]0;t\u{7}\r";
const YAML: &str = "\\e[2J\\u009b1A\\u202Ex\\u2066\\u00ad\\e]0;t\\a\\r";

/// The characters of it that stand in an output.
fn raw(done: &Done) -> String {
    let acts = |c: &char| !matches!(c, '\n' | '\t') && (c.is_control() || "\u{202e}\u{2066}\u{ad}".contains(*c));
    done.out.chars().chain(done.err.chars()).filter(acts).map(|c| c.escape_default().to_string()).collect()
}

fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.env.extend(VARIABLES.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    desk
}

/// A server that answers every request with what steers a terminal, in a header and in the body.
fn answering() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut asked) = (stream.unwrap(), [0; 8192]);
            let _ = stream.read(&mut asked);
            let body = format!("{{\"status\":\"error\",\"errorType\":\"{YAML}\",\"error\":\"bad\u{202e}\u{2066}\"}}")
                .replace("\\e", "\\u001b")
                .replace("\\a", "\\u0007");
            let head = "HTTP/1.1 400 Bad\r\ncontent-type: application/json\r\nx-bot-version: \u{202e}\u{2066}v1\r\nserver: \u{9b}2J";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

const COMMANDS: &[&[&str]] = &[
    &["check", "hostile.yaml"],
    &["check", "-o", "json", "hostile.yaml"],
    &["check", "--live", "hostile.yaml"],
    &["plan", "hostile.yaml"],
    &["plan", "-o", "json", "hostile.yaml"],
    &["diff", "hostile.yaml"],
    &["smoke", "hostile.yaml", "--stack", "green"],
    &["cutover", "hostile.yaml", "--confirm", "staging"],
    &["cutover", "-o", "jsonl", "hostile.yaml", "--confirm", "staging"],
    &["rollback", "hostile.yaml"],
    &["status", "hostile.yaml"],
];

#[test]
fn a17_nothing_of_a_runbook_an_environment_or_a_server_steers_the_terminal() {
    let mut desk = desk();
    desk.env.insert("BGCTL_VAR_prometheus_url".into(), format!("http://{}", answering()));
    let mut wrong = Vec::new();
    for (what, with) in [
        ("service: bot", format!("service: \"bot{YAML}\"")),
        ("environment: staging", format!("environment: \"{YAML}\"")),
        ("owners: [owner@example.com]", format!("owners: [\"{YAML}owner@example.com\"]")),
        ("version: v1.4.1", format!("version: \"v1{YAML}\"")),
        ("members: [rm@example.com]", format!("members: [\"{YAML}\"]")),
        ("x-bot-version", format!("\"x{YAML}\"")),
        ("  errors:\n", format!("  \"errors{YAML}\":\n")),
        ("- id: warm-green", format!("- id: \"warm{YAML}\"")),
        ("path: /version", format!("path: \"/v{YAML}\"")),
        ("change: none", format!("change: \"{YAML}\"")),
        ("bgctl: 1", format!("bgctl: 1\n\"{YAML}\": 1")),
        ("bgctl: 1", "bgctl: 1 # \u{202e}\u{2066}\u{ad}\nsurprise: 1 # \u{202e}".into()),
        ("until", "until".into()),
    ] {
        desk.write("hostile.yaml", &RUNBOOK.replacen(what, &with, 1));
        for command in COMMANDS {
            let done = desk.run(command);
            let raw = raw(&done);
            if !raw.is_empty() {
                wrong.push(format!(
                    "{what} through {command:?}: {raw}\n{}{}",
                    done.out.escape_debug(),
                    done.err.escape_debug()
                ));
            }
            if command.contains(&"json") && serde_json::from_str::<serde_json::Value>(&done.out).is_err() {
                wrong.push(format!("{what} through {command:?} is no JSON: {}", done.out));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them: {}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a17_nor_does_anything_of_a_file_a_variable_or_a_command_line() {
    let mut desk = desk();
    desk.write("log.jsonl", &format!("{{\"v\":1,\"seq\":0,\"run\":\"{ACTS}\",\"ts\":\"{ACTS}\"}}\n{ACTS}\n"));
    desk.write("request.json", &format!("{{\"step\":\"{ACTS}\"}}"));
    desk.write("signers", &format!("a@example.com{ACTS} ssh-ed25519 AAAA{ACTS}\n{ACTS}\n"));
    for name in ["USER", "BGCTL_FREEZE", "GIT_AUTHOR_NAME", "BGCTL_VAR_public_url", "GITHUB_ACTOR", "BGCTL_SIGNING_KEY"]
    {
        desk.env.insert(name.into(), format!("{ACTS}name"));
    }
    let mut wrong = Vec::new();
    for command in [
        &["audit", "verify", "log.jsonl"][..],
        &["audit", "show", "log.jsonl"],
        &["audit", "export", "--format", "ocsf", "log.jsonl"],
        &["audit", "adopt", "log.jsonl"],
        &["approve", "request.json"],
        &["keys", "lint", "signers"],
        &["keys", "whoami"],
        &["keys"],
        &["freeze", "--reason", ACTS, "production"],
        &["status"],
        &["runs"],
        &["retro"],
        &["check", "runbook.yaml"],
        &["plan", "runbook.yaml"],
        &["explain", ACTS],
        &[ACTS],
        &["check", ACTS],
        &["check", "runbook.yaml", "--var", ACTS],
        &["show", ACTS],
        &["-o", "json", ACTS],
        &["--state-dir", ACTS, "runs"],
        &["-C", ACTS, "runs"],
    ] {
        let done = desk.run(command);
        let raw = raw(&done);
        if !raw.is_empty() {
            wrong.push(format!("{command:?}: {raw}\n{}{}", done.out.escape_debug(), done.err.escape_debug()));
        }
    }
    assert!(wrong.is_empty(), "{} of them: {}", wrong.len(), wrong.join("\n"));
}
