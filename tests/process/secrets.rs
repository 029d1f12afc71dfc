//! Each secret of a run is put wherever a step can leak one, and then searched for in everything bgctl wrote.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use crate::rig::*;

/// Set for the child that is to crash: the text of its panic.
const CRASH: &str = "BGCTL_TEST_CRASH";

const PLAIN: &str = "hunter2-correct-horse";
const ODD: &str = "p/ss w\u{f6}rd+\"x\"&y=7%z";
const LINES: &str = "first line of a key\nsecond line of a key\nend";
const TOKEN: &str = "xoxb-0123456789-9876543210-abcdefgh";
/// In no reference: a program fetched it by itself.
const UNKNOWN: [&str; 6] = [
    "xapp-1-A0123456789-0123456789-fedcba",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    "dGhlIGJlYXJlciBvZiB0aGlz",
    "passw0rd-in-a-url",
    "MIIEpAIBAAKCAQEA0123456789",
];

/// Whether a request is there to its end.
fn whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A server that refuses everything, and says it all back.
struct Echo {
    url: String,
    heard: Arc<Mutex<String>>,
}

impl Echo {
    fn new() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(String::new()));
        let book = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut bytes = vec![0; 64 * 1024];
                let mut len = 0;
                // Headers and body come in one or two pieces; the length says when it is all there.
                while let Ok(read) = stream.read(&mut bytes[len..]) {
                    len += read;
                    if read == 0 || whole(&String::from_utf8_lossy(&bytes[..len])) {
                        break;
                    }
                }
                let said = String::from_utf8_lossy(&bytes[..len]).into_owned();
                book.lock().unwrap().push_str(&said);
                let error = serde_json::json!({ "ok": false, "error": format!("refused: {said}") }).to_string();
                let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close";
                let _ = write!(stream, "{head}\r\ncontent-length: {}\r\nx-echo: {PLAIN}\r\n\r\n{error}", error.len());
            }
        });
        Echo { url, heard }
    }
}

/// A program that prints what it was given in every way a program does, and what it found by itself.
const LEAK: &str = r#"
echo "argv $1"; echo "env $PLAIN $TOKEN" >&2
printf 'split %s' "$(printf %s "$PLAIN" | cut -c1-9)"; sleep 0.05; printf '%s\n' "$(printf %s "$PLAIN" | cut -c10-)"
printf %s "$ODD" | base64; printf %s "x$ODD" | base64; printf %s "$PLAIN" | od -An -tx1 | tr -d ' \n'; echo
printf '%s\n' "$LINES"; printf '"%s"\n' "$PLAIN"; env
echo 'curl: > Authorization: Bearer dGhlIGJlYXJlciBvZiB0aGlz'; echo 'postgres://bot:passw0rd-in-a-url@db/x'
echo 'xapp-1-A0123456789-0123456789-fedcba AKIAIOSFODNN7EXAMPLE'
echo 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N'
printf -- '-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0123456789\n-----END RSA PRIVATE KEY-----\n'
i=0; while [ $i -lt 700 ]; do printf 'x%d %s ' $i "$PLAIN"; i=$((i+1)); done; echo
"#;

/// The runbook of the rig, with steps that leak.
fn runbook(echo: &str) -> String {
    let argv = r#"["/bin/sh", "leak.sh", "${env:PLAIN}"]"#;
    let env = r#"{ PLAIN: "${env:PLAIN}", ODD: "${env:ODD}", LINES: "${file:lines.txt}", TOKEN: "${env:TOKEN}" }"#;
    let leaks = format!(
        r#"steps:
  - id: leak-output
    command: {{ run: {argv}, env: {env}, within: 20s }}
  - id: leak-status
    command: {{ run: ["${{env:PLAIN}}/no-such-program"], within: 5s }}
    on_failure: continue
  - id: leak-webhook
    announce: {{ slack: "${{env:WEBHOOK}}", text: "hello" }}
  - id: leak-token
    announce: {{ slack: {{ token: "${{env:TOKEN}}", channel: C0123456789, api: "{echo}/api" }}, text: "hello" }}
"#
    );
    RUNBOOK.replacen("steps:\n", &leaks, 1).replacen(
        "steps:\n  - id: leak",
        "policy:\n  page: [{ webhook: \"${env:WEBHOOK}\" }]\nsteps:\n  - id: leak",
        1,
    )
}

/// A secret in the forms in which it could be written; made here with other means than bgctl's.
fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    let percent: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::to_string(secret).unwrap();
    let mut forms = vec![secret.to_string(), hex.to_uppercase(), hex, percent.replace('+', "%20"), percent];
    forms.push(json.trim_matches('"').to_string());
    forms.push(format!("{secret:?}").trim_matches('"').to_string());
    for before in 0..3 {
        let bytes = [&b"abc"[..before], secret.as_bytes()].concat();
        // The first and the last quantum hold bits of the neighbours.
        let inner = |text: String| text[4..text.len() - 4].to_string();
        forms.push(inner(STANDARD.encode(&bytes)));
        forms.push(inner(URL_SAFE.encode(&bytes)));
    }
    forms.extend(secret.lines().filter(|line| line.len() >= 6).map(String::from));
    forms
}

fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, found);
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).into_owned();
            found.push((entry.display().to_string(), text));
        }
    }
}

#[track_caller]
fn nowhere(secrets: &[&str], surfaces: &[(String, String)]) {
    for secret in secrets {
        for form in forms(secret) {
            for (name, text) in surfaces {
                if let Some(at) = text.find(&form) {
                    let from = (0..=at.saturating_sub(120)).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
                    panic!("`{form}` stands in {name}: …{}", &text[from..at + form.len()]);
                }
            }
        }
    }
}

fn desk(world: &World, echo: &Echo) -> Desk {
    let mut desk = Desk::beside(world);
    desk.env.insert("PLAIN".into(), PLAIN.into());
    desk.env.insert("ODD".into(), ODD.into());
    desk.env.insert("TOKEN".into(), TOKEN.into());
    desk.env.insert("WEBHOOK".into(), format!("{}/services/T0/B0/{PLAIN}", echo.url));
    // Nothing refers to it: programs inherit it.
    desk.env.insert("GITHUB_TOKEN".into(), "v1-inherited-0123456789".into());
    desk.write("lines.txt", LINES);
    desk.write("leak.sh", LEAK);
    desk.write("runbook.yaml", &runbook(&echo.url));
    desk
}

#[test]
fn case_39_no_secret_of_a_run_stands_anywhere_afterwards() {
    let world = World::new(&[]);
    let echo = Echo::new();
    let desk = desk(&world, &echo);
    let mut surfaces = Vec::new();
    let keep = |surfaces: &mut Vec<(String, String)>, name: &str, done: Done| {
        surfaces.push((format!("stdout of {name}"), done.out));
        surfaces.push((format!("stderr of {name}"), done.err));
        done.code
    };
    keep(&mut surfaces, "check", desk.run(&["check", "runbook.yaml"]));
    keep(&mut surfaces, "plan", desk.run(&["plan", "runbook.yaml"]));
    let jsonl = desk.start(&["cutover", "runbook.yaml", "--confirm", "staging", "-o", "jsonl", "-vv"]).end(90);
    let kinds = jsonl.out.clone();
    let code = keep(&mut surfaces, "cutover", jsonl);
    assert!(!desk.runs().is_empty(), "exit {code}: {surfaces:?}");
    keep(&mut surfaces, "rollback", desk.run(&["rollback", "--yes", "--reason", &format!("because of {PLAIN}")]));
    for words in [
        &["show", "--events"][..],
        &["show", "-o", "json"],
        &["audit", "show", "--all"],
        &["audit", "show", "-o", "json"],
        &["audit", "verify"],
        &["status"],
        &["runs"],
    ] {
        keep(&mut surfaces, &words.join(" "), desk.run(words));
    }
    files(&desk.path("state"), &mut surfaces);
    // The test tests: the secrets were used, and what masks them is there.
    let heard = echo.heard.lock().unwrap().clone();
    assert!(heard.contains(PLAIN) && heard.contains(&format!("Bearer {TOKEN}")), "{heard}");
    let log = surfaces.iter().find(|(name, text)| name.ends_with("log.jsonl") && text.contains("command.output"));
    let log = &log.expect("the run's log").1;
    for words in ["argv [secret:", "split [secret:", "env [secret:", "postgres://bot:[secret:", "command.output"] {
        assert!(log.contains(words), "`{words}` is not in the log");
    }
    assert!(kinds.contains("leak-webhook") && log.contains("refused: "), "the echo is in the log");
    // Equal secrets have equal tags, in every form.
    let tag = |before: &str| log.split(before).nth(1).map(|rest| rest[..24].to_string()).expect("a tag");
    assert_eq!(tag("argv "), tag("split "));
    let inherited = "v1-inherited-0123456789";
    nowhere(&[PLAIN, ODD, LINES, TOKEN, inherited], &surfaces);
    nowhere(&[&desk.env["SLACK_SIGNING_SECRET"], &desk.env["AWS_SECRET_ACCESS_KEY"]], &surfaces);
    nowhere(&UNKNOWN, &surfaces);
}

#[test]
fn case_39b_a_secret_in_the_file_or_too_short_is_refused_before_anything_is_written() {
    let world = World::new(&[]);
    let echo = Echo::new();
    let mut desk = desk(&world, &echo);
    // In clear beside its reference, where every record of the plan would carry it.
    desk.write("runbook.yaml", &runbook(&echo.url).replace("text: \"hello\"", &format!("text: \"hello {PLAIN}\"")));
    let done = desk.cutover().end(60).ends(65);
    assert!(done.err.contains("BG0208") && done.err.contains("${env:PLAIN}"), "{}", done.err);
    assert!(!done.err.contains(PLAIN), "{}", done.err);
    // A mistake in the same line shows the line, and not the token in it.
    let broken = runbook(&echo.url).replace("{ slack: \"${env:WEBHOOK}\"", &format!("{{ slcak: \"{TOKEN}\""));
    desk.write("runbook.yaml", &broken);
    for words in [&["check", "runbook.yaml"][..], &["plan", "runbook.yaml"], &["check", "runbook.yaml", "-o", "json"]] {
        let done = desk.run(words).ends(65);
        nowhere(&[TOKEN, PLAIN], &[("stdout".into(), done.out), ("stderr".into(), done.err)]);
    }
    desk.write("runbook.yaml", &runbook(&echo.url));
    desk.env.insert("PLAIN".into(), "short".into());
    desk.cutover().end(60).ends(78).says(&["BG0207"]);
    assert!(desk.runs().is_empty(), "no run was opened");
    assert_eq!(world.seen(), [0]);
}

/// Not a test of its own: the process that crashes for the one below.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test that starts itself tells itself how")]
fn the_part_that_crashes() {
    let Ok(text) = std::env::var(CRASH) else { return };
    let known = bgctl::secret::Known::default();
    known.add(&bgctl::secret::Secrets::new([("${env:X}".to_string(), bgctl::secret::Secret::new(PLAIN))].into()));
    bgctl::cli::say_panics(&known);
    panic!("{text}");
}

#[test]
fn case_39c_a_crash_message_is_masked_and_cannot_steer_a_terminal() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "secrets::the_part_that_crashes", "--nocapture"]);
    let text = format!("no answer for {PLAIN} \u{1b}[2J\nerror[BG0001]: all is well");
    let output = command.env(CRASH, text).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("BG0701") && said.contains("no answer for [secret]"), "{said}");
    assert!(!said.contains(PLAIN) && !said.contains('\u{1b}') && !said.contains("\nerror[BG0001]"), "{said}");
}
