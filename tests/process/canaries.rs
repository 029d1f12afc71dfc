//! Forty canaries in twenty-five places: values that each must stand nowhere in clear after a run that leaked all of them.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::rig::*;

/// Referred to by the runbook.
const REFERENCED: [(&str, &str); 8] = [
    ("C_PLAIN", "canary-01-plain-horse"),
    ("C_QUOTES", "ca\"na'ry-02 &<x>"),
    ("C_SLASHES", "canary/03\\nine\\tabs+and=/"),
    ("C_UMLAUT", "canär-04-ÿ"),
    ("C_SHORT", "cn05!x"),
    ("C_PERCENT", "canary-06%20%2F&?x"),
    ("C_WORDS", "the canary number seven"),
    ("C_LONG", "canary-08-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789"),
];
/// In files.
const FILED: [(&str, &str); 2] =
    [("canary-09.txt", "canary-09-in-a-file"), ("canary-10.txt", "canary-10-line-one\nand-its-line-two")];
/// In the environment alone; programs inherit them.
const INHERITED: [(&str, &str); 8] = [
    ("STRIPE_KEY", "canary-11-of-a-key"),
    ("AZURE_CREDENTIALS_JSON", "canary-12-of-credentials"),
    ("db_password", "cnry13"),
    ("Some_Api_Token", "canary-14-mixed-case"),
    ("MYSQL_PWD", "canary15"),
    ("LETTERS_SECRET", "canarysixteenisonlyletters"),
    ("CACHE_URL", "redis://bot:canary-17-in-a-url@cache:6379/0"),
    ("DEPLOY_PAT", "canary-18-of-a-pat"),
];
/// Known to nobody: a program fetched them by itself. In two parts, so that no scanner of repositories takes them for real ones.
const LOOKS: [(&str, &str); 22] = [
    ("xox", "b-0000000019-canary"),
    ("AKIA", "CANARYCANARY0020"),
    ("ghp_", "canary21canary21canary21canary21canary"),
    ("glpat-", "canary22canary22canary22"),
    ("sk_live_", "canary23canary23canary23"),
    ("sk-ant-", "api03-canary24canary24canary24"),
    ("sk-proj-", "canary25canary25canary25canary25"),
    ("AIza", "Sycanary26canary26canary26canary26c"),
    ("hf_", "canary27canary27canary27canary27"),
    ("SG.", "canary28canary28canary.canary28canary28canary28"),
    ("SK", "0029ca0a0029ca0a0029ca0a0029ca0a"),
    ("AGE-SECRET-KEY-1", "CANARY30CANARY30CANARY30CANARY30CANARY30CANARY30CANARY30"),
    ("npm_", "canary31canary31canary31canary31canary"),
    ("pypi-", "AgEIcHlwaS5vcmccanary32canary32canary32canary32"),
    ("eyJhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiJjYW5hcnkifQ.canary33canary33"),
    ("https://hooks.slack.com/services/", "T00/B00/canary34canary34"),
    ("postgres://bot:", "canary35@db/x"),
    ("Authorization: Bearer ", "canary36canary36"),
    ("curl -u bot:", "canary37 http://127.0.0.1"),
    ("GET /v1?access_token=", "canary38canary38"),
    ("PGPASSWORD=", "canary39"),
    ("{\"client_secret\": \"", "canary40canary40\"}"),
];

/// What may not be found of a look: the part that is the secret.
fn secret_of((_, rest): (&str, &str)) -> String {
    rest.split(['@', ' ', '"']).next().unwrap_or(rest).into()
}

type Encoder = (&'static str, fn(&str) -> String);

/// As other tools encode; written with other means than bgctl's.
const ENCODERS: [Encoder; 8] = [
    ("plain", |s| s.into()),
    ("base64", |s| STANDARD.encode(s)),
    ("base64 behind two bytes", |s| STANDARD.encode(format!("u:{s}"))),
    ("base64url", |s| URL_SAFE_NO_PAD.encode(format!("x{s}"))),
    ("hex", |s| s.bytes().map(|b| format!("{b:02x}")).collect()),
    ("url", |s| form_urlencoded::byte_serialize(s.as_bytes()).collect::<String>().replace('+', "%20")),
    ("json", |s| serde_json::to_string(s).expect("JSON")),
    ("html", |s| {
        let text = s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;").replace('\'', "&#39;")
    }),
];

/// All that a program could print of a value: every encoding, and every encoding of every encoding, in one line and in several.
fn said(value: &str) -> Vec<String> {
    let mut said = Vec::new();
    for (outer, twice) in ENCODERS {
        for (inner, once) in ENCODERS {
            let text = twice(&once(value));
            said.push(format!("{outer} of {inner}: {text} ."));
            if outer.starts_with("base64") {
                for columns in [64, 76] {
                    let letters: Vec<char> = text.chars().collect();
                    let lines: Vec<String> = letters.chunks(columns).map(|line| line.iter().collect()).collect();
                    said.push(lines.join("\n"));
                }
            }
        }
    }
    said
}

/// The forms that are searched for, without the characters that depend on neighbours.
fn searched(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for (outer, twice) in ENCODERS {
        for (inner, once) in ENCODERS {
            let text = twice(&once(value));
            let trim = if format!("{outer}{inner}").contains("base64") { 6 } else { 0 };
            let letters: Vec<char> = text.trim_matches('"').chars().collect();
            if letters.len() > 2 * trim + 6 {
                forms.push(letters[trim..letters.len() - trim].iter().collect());
            }
        }
    }
    forms.extend(value.lines().filter(|line| line.len() >= 6).map(String::from));
    forms.sort();
    forms.dedup();
    forms
}

fn files(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, found);
        } else {
            found.insert(
                entry.display().to_string(),
                String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).into_owned(),
            );
        }
    }
}

/// Prints what lies beside it, in pieces; and which arguments every process has that belongs to this run.
const LEAK: &str = r#"
env
echo "argv: $1"
dd if=said.txt bs=11 2>/dev/null
tr '\0' ' ' < /proc/$PPID/cmdline > argv-of-bgctl.txt
printf 'the last line without an end: %s' "$2"
exit 3
"#;

fn runbook() -> String {
    let env: Vec<String> = REFERENCED.iter().map(|(name, _)| format!("{name}: \"${{env:{name}}}\"")).collect();
    let filed: Vec<String> =
        FILED.iter().enumerate().map(|(n, (file, _))| format!("F{n}: \"${{file:{file}}}\"")).collect();
    let leak = format!(
        r#"policy:
  page: [{{ webhook: "${{env:C_WEBHOOK}}" }}]
steps:
  - id: leak
    command: {{ run: ["/bin/sh", "leak.sh", "${{env:C_PLAIN}}", "${{env:C_QUOTES}}"], env: {{ {}, {} }}, within: 60s }}
    on_failure: continue
  - id: leak-again
    command: {{ shell: "dd if=said.txt bs=4093 2>/dev/null >&2", within: 60s }}
  - id: leak-program
    command: {{ run: ["${{env:C_SLASHES}}/no-such-program"], within: 5s }}
    on_failure: continue
  - id: leak-webhook
    announce: {{ slack: "${{env:C_WEBHOOK}}", text: "hello" }}
"#,
        env.join(", "),
        filed.join(", ")
    );
    RUNBOOK.replacen("steps:\n", &leak, 1)
}

#[test]
fn forty_canaries_in_twenty_five_places_and_none_of_them_in_clear() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    for (name, value) in REFERENCED.iter().chain(&INHERITED) {
        desk.env.insert((*name).into(), (*value).into());
    }
    desk.env.insert("C_WEBHOOK".into(), "http://127.0.0.1:9/services/T0/B0/canary-01-plain-horse".into());
    std::fs::create_dir(desk.path("tmp")).unwrap();
    desk.env.insert("TMPDIR".into(), desk.path("tmp").display().to_string());
    FILED.iter().for_each(|(file, value)| desk.write(file, value));
    let known = REFERENCED.iter().chain(&FILED).chain(&INHERITED).map(|(_, value)| *value);
    let known: Vec<&str> =
        known.map(|value| value.strip_prefix("redis://bot:").map_or(value, |rest| &rest[..18])).collect();
    let looks = LOOKS.iter().map(|(begin, rest)| format!("{begin}{rest}"));
    let all: Vec<String> = looks.chain(known.iter().flat_map(|value| said(value))).collect();
    desk.write("said.txt", &(all.join("\n") + "\n"));
    desk.write("leak.sh", LEAK);
    desk.write("runbook.yaml", &runbook());

    let mut places = BTreeMap::new();
    let mut keep = |name: &str, done: Done| {
        places.insert(format!("stdout of {name}"), done.out);
        places.insert(format!("stderr of {name}"), done.err);
    };
    keep("check", desk.run(&["check", "runbook.yaml"]));
    keep("check as JSON", desk.run(&["check", "runbook.yaml", "-o", "json"]));
    keep("plan", desk.run(&["plan", "runbook.yaml", "--out", "plan.json"]));
    let cutover = ["cutover", "runbook.yaml", "--confirm", "staging", "-vv"];
    let run = desk.start(&cutover).end(150);
    assert_eq!(desk.runs().len(), 1, "{}{}", run.out, run.err);
    keep("cutover", run);
    keep("rollback", desk.run(&["rollback", "--yes", "--reason", "because of canary-01-plain-horse and cnry13"]));
    keep("cutover as events", desk.start(&[&cutover[..], &["-o", "jsonl"]].concat()).end(150));
    keep("freeze", desk.run(&["freeze", "--service", "bot", "--reason", "canary-11-of-a-key"]));
    for words in [
        &["show", "--events"][..],
        &["show", "-o", "json"],
        &["audit", "show", "--all"],
        &["audit", "show", "-o", "json"],
        &["audit", "verify"],
        &["audit", "export", "--format", "cloudevents"],
        &["audit", "export", "--format", "ocsf"],
        &["audit", "export", "--format", "in-toto", "--unsigned"],
        &["retro"],
        &["retro", "-o", "json"],
        &["status"],
        &["status", "-o", "json"],
        &["runs"],
    ] {
        keep(&words.join(" "), desk.run(words));
    }
    files(&desk.path("state"), &mut places);
    files(&desk.path("tmp"), &mut places);
    for file in ["plan.json", "argv-of-bgctl.txt"] {
        places.insert(file.into(), std::fs::read_to_string(desk.path(file)).unwrap());
    }
    places.retain(|_, text| !text.is_empty());
    assert!(places.len() >= 25, "{:?}", places.keys());

    // The test tests: everything was printed, and stands there masked.
    let log = places.iter().find(|(name, text)| name.ends_with("log.jsonl") && text.contains("command.output"));
    let log = log.expect("a log with output").1;
    for words in [
        "argv: [secret:",
        "base64 of json: ",
        "curl -u bot:[secret:",
        "PGPASSWORD=[secret:",
        "the last line without an end: [secret:",
    ] {
        assert!(log.contains(words), "`{words}` is not in the log");
    }
    let canaries: Vec<(String, Vec<String>)> = known
        .iter()
        .map(|value| ((*value).to_string(), searched(value)))
        .chain(LOOKS.iter().map(|look| (secret_of(*look), vec![secret_of(*look)])))
        .collect();
    assert_eq!(canaries.len(), 40);
    let mut clear = Vec::new();
    for (name, text) in &places {
        // As it stands, and without the line ends that break it, written out or not.
        let joined = text.replace("\\n", "").replace(['\n', '\r'], "");
        for (canary, forms) in &canaries {
            if let Some(form) = forms.iter().find(|form| text.contains(form.as_str()) || joined.contains(form.as_str()))
            {
                let at = joined.find(form.as_str()).unwrap_or(0);
                let from = (0..=at.saturating_sub(60)).rev().find(|n| joined.is_char_boundary(*n)).unwrap_or(0);
                let until = (at + form.len()).min(joined.len());
                clear.push(format!("{canary} as `{form}` in {name}: …{}", joined.get(from..until).unwrap_or_default()));
            }
        }
    }
    assert!(clear.is_empty(), "{} in clear:\n{}", clear.len(), clear.join("\n"));
}

/// Both bgctl and a program that it has handed a secret wait, and are killed as a crash would.
#[test]
fn a_crash_leaves_no_core_with_secrets_in_it() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let gate = r#"  slow: { command: { run: [sh, -c, "ulimit -c > limit; echo $$ > pid; exec sleep 60"], within: 1m }, max: 5 }"#;
    let text = RUNBOOK.replace("gates:\n", &format!("gates:\n{gate}\n"));
    desk.write("runbook.yaml", &text.replace("gates: [errors]", "gates: [errors, slow]"));
    let line =
        format!("ulimit -Sc $(ulimit -Hc); ulimit -Sc > before; exec {BGCTL} check --live runbook.yaml > said 2>&1");
    let mut running = desk.shell(&line);
    let read = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap_or_default().trim().to_string();
    until("the program runs", 30, || !read("pid").is_empty());
    let program = rustix::process::Pid::from_raw(read("pid").parse().unwrap()).unwrap();
    if cfg!(target_os = "linux") {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid().as_raw_nonzero())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    }
    assert_eq!(read("limit"), "0", "it was {} for bgctl", read("before"));
    running.signal(rustix::process::Signal::ABORT);
    until("bgctl is dead", 20, || !running.alive());
    // It may have gone with bgctl.
    let _ = rustix::process::kill_process(program, rustix::process::Signal::ABORT);
    let mut found = BTreeMap::new();
    files(&desk.path(""), &mut found);
    let cores: Vec<_> = found.keys().filter(|name| name.rsplit('/').next().unwrap().starts_with("core")).collect();
    assert!(cores.is_empty(), "{cores:?}");
}

#[test]
fn a_name_that_the_lab_has_a_value_for_is_masked_in_both() {
    let mut desk = Desk::new();
    let real = [("SLACK_SIGNING_SECRET", "canary-real-signing"), ("AWS_SECRET_ACCESS_KEY", "canary/real/aws+key0123")];
    desk.env.extend(real.map(|(name, value)| (name.to_string(), value.to_string())));
    // Whatever a program of a rehearsal gets at: here it finds both in a file.
    desk.write("real.txt", &real.map(|(name, value)| format!("{name} was {value} here")).join("\n"));
    let step = "steps:\n  - id: leak\n    command: { shell: \"cat real.txt; env\", lab: safe }\n";
    let text = RUNBOOK.replacen("steps:\n", step, 1).replace("environment: staging", "environment: lab");
    desk.write("runbook.yaml", &text);
    let done = desk.start(&["cutover", "runbook.yaml", "--lab", "--confirm", "lab", "-vv"]).end(120);
    let log = String::from_utf8_lossy(&desk.log()).into_owned();
    assert!(log.contains("SLACK_SIGNING_SECRET was [secret:"), "{}{}", done.out, done.err);
    for (_, value) in real {
        assert!(!log.contains(value) && !done.out.contains(value) && !done.err.contains(value), "{value}");
    }
}

#[test]
fn a_secret_written_out_is_refused_by_everything_that_reads_the_file() {
    let desk = Desk::new();
    let with = |step: &str| RUNBOOK.replacen("steps:\n", &format!("steps:\n  - id: bad\n    command: {step}\n"), 1);
    let real = "ghp_".to_string() + "canary21canary21canary21canary21canary";
    for (step, secret, instead) in [
        (format!("{{ shell: \"GH={real} ./run\" }}"), real.as_str(), "$GITHUB_TOKEN"),
        (
            "{ run: [x], env: { DATABASE_URL: \"postgres://app:canary-pw@db/x\" } }".into(),
            "canary-pw",
            "${env:DATABASE_URL}",
        ),
        ("{ run: [x], env: { DATABASE_PASSWORD: canarycanary } }".into(), "canarycanary", "${env:DATABASE_PASSWORD}"),
        ("{ run: [curl, -u, \"bot:canary-pw\"] }".into(), "canary-pw", "${env:"),
    ] {
        desk.write("runbook.yaml", &with(&step));
        for words in [
            &["check", "runbook.yaml"][..],
            &["check", "runbook.yaml", "-o", "json"],
            &["plan", "runbook.yaml"],
            &["cutover", "runbook.yaml", "--confirm", "staging"],
        ] {
            let done = desk.run(words).ends(65).says(&["BG0117", instead]);
            assert!(!done.out.contains(secret) && !done.err.contains(secret), "{words:?}: {}{}", done.out, done.err);
        }
    }
    assert!(desk.runs().is_empty());
}

#[test]
fn what_a_variable_brings_into_a_shell_s_line_is_no_command() {
    let desk = Desk::new();
    let step = "steps:\n  - id: tag\n    command: { shell: \"echo deploying ${var.tag}\" }\n";
    let text = RUNBOOK.replacen("steps:\n", step, 1).replacen("variables:\n", "variables:\n  tag:\n", 1);
    desk.write("runbook.yaml", &text.replace("environment: staging", "environment: lab"));
    let tag = |tag: &str| {
        let tag = format!("tag={tag}");
        desk.run(&["cutover", "runbook.yaml", "--lab", "--confirm", "lab", "--var", &tag])
    };
    tag("v1; touch INJ").ends(65).says(&["BG0116", "may not be put into a shell's line", "TAG: \"${var.tag}\""]);
    assert!(!desk.path("INJ").exists() && desk.runs().is_empty());
    let words = ["check", "runbook.yaml", "--var", "tag=v1$(touch INJ)"];
    desk.run(&words).ends(65);
    assert!(!desk.path("INJ").exists());
    desk.run(&["check", "runbook.yaml", "--var", "tag=v1.4.2"]).ends(0);
}
