//! A rehearsal reaches nothing but the lab: not the addresses a runbook names, not the secrets of the shell it is started from, not
//! the files that real runs rest on.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::rig::*;

/// Where nobody may come.
struct Sink(TcpListener);

impl Sink {
    fn new() -> Sink {
        let sink = TcpListener::bind("127.0.0.1:0").unwrap();
        sink.set_nonblocking(true).unwrap();
        Sink(sink)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    #[track_caller]
    fn is_untouched(&self, by: &str) {
        if let Ok((mut stream, _)) = self.0.accept() {
            let mut said = [0; 300];
            stream.set_nonblocking(false).unwrap();
            let read = std::io::Read::read(&mut stream, &mut said).unwrap_or(0);
            panic!("{by}: somebody came: {}", String::from_utf8_lossy(&said[..read]));
        }
    }
}

/// Credentials of the real world in a shell, by names that runbooks and tools know.
const REAL: [&str; 9] = [
    "SLACK_SIGNING_SECRET",
    "SLACK_APP_TOKEN",
    "SLACK_BOT_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PAGERDUTY_ROUTING_KEY",
    "GITHUB_TOKEN",
    "METRICS_LOGIN",
];

/// Addresses of the real world likewise.
const ADDRESSES: [&str; 10] = [
    "SLACK_WEBHOOK_URL",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2",
    "AWS_ENDPOINT_URL_STS",
    "PROMETHEUS_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "BGCTL_VAR_blue_url",
];

/// A shell that is full of the real world, all of which leads into the sink.
fn in_the_world(sink: &Sink) -> Desk {
    let mut desk = Desk::new();
    let at = sink.address();
    desk.env.extend(REAL.map(|name| (name.to_string(), canary(name))));
    desk.env.extend(ADDRESSES.map(|name| (name.to_string(), format!("http://{at}/{name}"))));
    desk.env.insert("DATABASE_URL".into(), format!("postgres://app:{}@{at}/app", canary("DATABASE_URL")));
    desk.env.insert("REDIS_URL".into(), format!("redis://:{}@{at}/0", canary("REDIS_URL")));
    desk
}

fn canary(name: &str) -> String {
    format!("real-{}-canary-4711", name.to_lowercase())
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            if entry.path().is_dir() {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// What lies in a desk's state folder beside its rehearsals.
fn outside_the_lab(desk: &Desk) -> Vec<PathBuf> {
    let lab = desk.path("state/lab");
    below(&desk.path("state")).into_iter().filter(|path| !path.starts_with(&lab)).collect()
}

fn lab(desk: &Desk, file: &str) -> Done {
    desk.run(&["cutover", file, "--lab", "--confirm", "lab"])
}

#[test]
fn t15_a_rehearsal_of_a_runbook_with_real_addresses_is_refused_and_asks_nobody() {
    let sink = Sink::new();
    let desk = in_the_world(&sink);
    let touched = desk.path("touched");
    let at = sink.address();
    let text = format!(
        r#"bgctl: 1
service: bot
environment: production
owners: [owner@example.com]
stacks:
  blue:  {{ version: v1, url: "http://{at}/b" }}
  green: {{ version: v2, url: "http://{at}/g" }}
routes:
  sockets:
    socket_mode: {{ blue: ["http://{at}/1"], green: ["http://{at}/2"], app_token: "${{env:SLACK_APP_TOKEN}}", api: "http://{at}/api/", floor: 1 }}
steps:
  - id: before
    command: {{ shell: "touch '{}'" }}
  - id: look
    smoke: {{ stack: green, expect: [{{ path: /, contains: ok }}] }}
  - id: all
    shift: {{ route: sockets, green: 100% }}
rollback:
  owner: owner@example.com
  steps:
    - id: back
      shift: {{ route: sockets, blue: 100% }}
"#,
        touched.display()
    );
    desk.write("real.yaml", &text);
    for environment in ["lab", "production"] {
        let done = desk.run(&["cutover", "real.yaml", "--lab", "--confirm", environment]);
        let words = ["BG0210", "is not the lab's", "real.yaml:10:27", "real.yaml:13:14", "`command` of step `before`"];
        done.ends(65).says(&words).says(&["explain lab", "lab: safe", "nothing was asked of any system"]);
    }
    for command in ["plan", "smoke"] {
        desk.run(&[command, "real.yaml", "--lab"]).ends(65).says(&["BG0210"]);
    }
    desk.run(&["rollback", "real.yaml", "--lab", "--yes"]).ends(65).says(&["BG0210"]);
    sink.is_untouched("real.yaml");
    assert!(!touched.exists() && outside_the_lab(&desk).is_empty(), "{:?}", outside_the_lab(&desk));
}

/// Every key under which a runbook can name something that is not the lab's, all in one file: each is told at its own line.
#[test]
fn t15_every_key_that_leads_out_of_the_lab_is_named() {
    let sink = Sink::new();
    let desk = in_the_world(&sink);
    let at = sink.address();
    desk.write("token", "a-real-token-in-a-file");
    let text = RUNBOOK
        .replace("url: \"${var.public_url}/version\"", &format!("url: \"http://{at}/version\""))
        .replace("url: \"${var.green_url}\"", &format!("url: \"http://{at}/green\""))
        .replace("prometheus: ${var.prometheus_url}\n", &format!("prometheus: {{ url: \"http://{at}\", bearer_file: token }}\n"))
        .replace("  paths: { events: /slack/events }\n", "  paths: { events: /slack/events }\n  dedup: { redis: \"${env:REDIS_URL}\", key: \"e:{event_id}\" }\n")
        .replace("  change: none\n", "  change: none\n  postgres: ${env:DATABASE_URL}\n")
        .replace("    min_requests: 5\n", &format!(
            r#"    min_requests: 5
  elsewhere: {{ prometheus: "max by (color) (up)", min: 1, url: "http://{at}/gate" }}
  depth: {{ http: {{ url: "http://{at}/depth", headers: {{ authorization: "${{file:token}}" }} }}, max: 3 }}
  orders: {{ sql: {{ postgres: "${{env:DATABASE_URL}}", query: "select 1" }}, min: 1 }}
  queue: {{ command: {{ run: [count, "{{stack}}"] }}, max: 3 }}
  clouds: {{ cloudwatch: {{ metric: Depth, stat: Sum, namespace: N, region: eu-west-1 }}, max: 3 }}
compare: {{ inventory: {{ command: [inventory] }}, checks: {{ lag: {{ number: {{ http: {{ url: "http://{at}/lag" }} }}, max: 1 }} }} }}
policy:
  page: [pagerduty, {{ webhook: "${{env:HOOK}}" }}, {{ command: [page-me] }}]
gameday: {{ bad: {{ shell: "true" }}, good: {{ shell: "true" }} }}
"#))
        .replace("steps:\n  - id: warm-green\n", &format!(
            r#"steps:
  - id: migrate
    migrate: {{ shell: ./migrate }}
  - id: hello
    announce: {{ slack: {{ token: "${{env:SLACK_BOT_TOKEN}}", channel: C1 }}, text: hello }}
  - id: public
    smoke: {{ stack: green, checks: [public, response-url], public: {{ url: "http://{at}" }}, response_url: {{ listen: "0.0.0.0:8787" }} }}
  - id: warm-green
"#))
        .replace("drain: { stack: blue, within: 5s,", &format!("drain: {{ stack: blue, instances: [\"http://{at}/1\"], within: 5s,"))
        .replacen("gates: [errors] }", &format!("gates: [errors, elsewhere, depth, orders, queue], ledger: {{ url: \"http://{at}\" }} }}"), 1);
    desk.write("all.yaml", &text);
    let done = desk.run(&["-o", "json", "cutover", "all.yaml", "--lab", "--confirm", "lab"]).ends(65);
    let told: Value = serde_json::from_str(&done.out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let found: Vec<(String, String)> = told["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            assert_eq!(found["code"], "BG0210", "{found}");
            assert!(found["column"].as_u64().is_some() && !found["label"].as_str().unwrap().is_empty(), "{found}");
            let line = lines[found["line"].as_u64().unwrap() as usize - 1].trim().to_string();
            (line, found["headline"].as_str().unwrap().to_string())
        })
        .collect();
    let named = |begins: &str, says: &str| {
        assert!(
            found.iter().any(|(line, headline)| line.starts_with(begins) && headline.contains(says)),
            "{begins}: {says}: {found:#?}"
        );
    };
    let astray = "is not the lab's";
    for (begins, says) in [
        ("green: {", astray),
        ("seen_at:", astray),
        ("prometheus: {", astray),
        ("prometheus: {", "real token"),
        ("dedup:", "no Redis"),
        ("dedup:", "no `REDIS_URL`"),
        ("postgres:", "no PostgreSQL"),
        ("elsewhere:", astray),
        ("depth:", astray),
        ("depth:", "is a real secret"),
        ("orders:", "no PostgreSQL"),
        ("queue:", "not marked as safe"),
        ("clouds:", "no CloudWatch"),
        ("compare:", "not marked as safe"),
        ("compare:", astray),
        ("page:", "no PagerDuty"),
        ("page:", "no `PAGERDUTY_ROUTING_KEY`"),
        ("page:", "no `HOOK`"),
        ("page:", "command is not marked as safe"),
        ("gameday:", "not marked as safe"),
        ("migrate:", "`migrate` of step `migrate` is not marked"),
        ("announce:", "https://slack.com/api"),
        ("announce:", "no `SLACK_BOT_TOKEN`"),
        ("smoke:", "`http://"),
        ("smoke:", "`0.0.0.0:8787`"),
        ("drain:", astray),
        ("bake:", astray),
    ] {
        named(begins, says);
    }
    sink.is_untouched("all.yaml");
    assert!(outside_the_lab(&desk).is_empty(), "{:?}", outside_the_lab(&desk));
}

#[test]
fn a8_a_program_of_a_rehearsal_finds_the_lab_s_values_and_none_of_the_real_ones() {
    let sink = Sink::new();
    let mut desk = in_the_world(&sink);
    desk.env.insert("BGCTL_LAB_DEPLOY_TOKEN".into(), "made-up-for-rehearsals".into());
    let step = "steps:\n  - id: before\n    command: { shell: \"env | sort; echo token=$GIVEN\", env: { GIVEN: \"${env:DEPLOY_TOKEN}\" }, lab: safe }\n";
    desk.write("lab.yaml", &RUNBOOK.replacen("steps:\n", step, 1));
    desk.run(&["plan", "lab.yaml", "--lab"]).ends(0).says(&["(lab: safe)"]);
    let done = lab(&desk, "lab.yaml").ends(0).says(&["lost 0", "twice 0"]);
    let log = String::from_utf8(std::fs::read(newest(&desk)).unwrap()).unwrap();
    for text in [&log, &done.out, &done.err] {
        for name in REAL.iter().chain(&["DATABASE_URL", "REDIS_URL"]) {
            assert!(!text.contains(&canary(name)), "the real {name} stands in clear");
        }
        assert!(!text.contains(&sink.address()) && !text.contains("made-up-for-rehearsals"));
    }
    let printed: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let printed = printed.iter().find(|record| record["type"] == "command.output").unwrap();
    let printed = printed["data"]["text"].as_str().unwrap();
    let names: Vec<&str> = printed.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for name in &names {
        let lab_s = ["AWS_", "SLACK_", "LC_"].iter().any(|begin| name.starts_with(begin));
        let few = ["PATH", "HOME", "USER", "PWD", "SHLVL", "_", "OLDPWD", "DEPLOY_TOKEN", "GIVEN", "token"];
        assert!(lab_s || few.contains(name), "`{name}` is in the environment of a rehearsal's program");
    }
    assert!(
        names.contains(&"PATH") && names.contains(&"SLACK_SIGNING_SECRET") && !names.contains(&"AWS_SESSION_TOKEN")
    );
    assert!(printed.contains("token=[secret"), "{printed}");
    sink.is_untouched("lab.yaml");
}

/// The log of the newest rehearsal.
fn newest(desk: &Desk) -> PathBuf {
    let archive = bgctl::journal::Archive::new(desk.path("state/lab"));
    archive.run(archive.runs().last().expect("a rehearsal")).join("log.jsonl")
}

#[test]
fn a1_what_a_rehearsal_leaves_behind_counts_for_rehearsals_alone() {
    let sink = Sink::new();
    let desk = in_the_world(&sink);
    // An unmarked environment: every runbook is of the environment of rehearsals there.
    let run = desk.shell(&format!("umask 0; exec {BGCTL} cutover runbook.yaml --lab --confirm lab"));
    run.end(100).ends(0).says(&["lab", "lost 0", "twice 0"]);
    assert!(outside_the_lab(&desk).is_empty(), "{:?}", outside_the_lab(&desk));
    // Folders are for their owner alone, whatever the umask is.
    for path in below(&desk.path("state")).into_iter().chain([desk.path("state")]).filter(|path| path.is_dir()) {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
    let log = newest(&desk);
    let id = log.parent().unwrap().file_name().unwrap().to_str().unwrap().to_string();
    for kept in ["ran", "lab_ed25519", "ledger.jsonl", "locks", "runs", "keys/redaction"] {
        assert!(desk.path("state/lab").join(kept).exists(), "{kept}: {:?}", below(&desk.path("state")));
    }

    // The commands that look back find it, and believe it there.
    desk.run(&["audit", "verify"]).ends(0).says(&["COMPLETE", "a key the lab made for itself"]);
    desk.run(&["audit", "verify", &id]).ends(0).says(&["COMPLETE"]);
    desk.run(&["audit", "ledger", "--lab"]).ends(0).says(&["COMPLETE"]);
    for command in [&["status"][..], &["show", &id], &["audit", "show"], &["runs"]] {
        desk.run(command).ends(0).says(&[&id]);
    }
    // It is no run of the real world: not its newest, and its key is nobody there.
    desk.run(&["audit", "ledger"]).ends(0).says(&["No run was opened here"]);
    std::fs::create_dir_all(desk.path("state/runs").join(&id)).unwrap();
    std::fs::copy(&log, desk.path("state/runs").join(&id).join("log.jsonl")).unwrap();
    let copy = desk.path("state/runs").join(&id).join("log.jsonl").display().to_string();
    desk.run(&["audit", "verify", &copy]).ends(40).says(&["BG0607"]);
    sink.is_untouched("runbook.yaml");
}

#[test]
fn a19_a_linked_folder_of_locks_is_not_followed() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("state/lab")).unwrap();
    std::fs::create_dir(desk.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(desk.path("elsewhere"), desk.path("state/lab/locks")).unwrap();
    lab(&desk, "runbook.yaml").ends(78).says(&["BG0403", "is a link, and bgctl makes none there"]);
    assert!(below(&desk.path("elsewhere")).is_empty());
}

#[test]
fn a_rehearsal_and_a_real_run_are_never_taken_for_each_other() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    // The environment of rehearsals is nobody else's.
    desk.write("lab.yaml", &RUNBOOK.replace("environment: staging", "environment: lab"));
    for command in [&["plan", "lab.yaml"][..], &["cutover", "lab.yaml", "--confirm", "lab"], &["status", "lab.yaml"]] {
        desk.run(command).ends(65).says(&["BG0210", "is that of rehearsals"]);
    }
    desk.run(&["check", "lab.yaml"]).ends(0);
    // A saved plan holds the world it was made in.
    desk.run(&["plan", "runbook.yaml", "--out", "plan.json"]).ends(0);
    lab(&desk, "plan.json").ends(65).says(&["BG0210", "a saved plan cannot be rehearsed"]);
    // And names what it moves: a run is not put under another thing's policy and lease by a plan that was changed.
    let plan = std::fs::read_to_string(desk.path("plan.json")).expect("it was saved");
    assert!(plan.contains(r#""resources":["alb arn:"#), "{plan}");
    desk.write("changed.json", &plan.replace(r#""resources":["alb arn:"#, r#""resources":["alb arm:"#));
    let changed = desk.run(&["cutover", "changed.json", "--confirm", "staging"]);
    changed.ends(65).says(&["BG0128", "does not name the place"]);
    // A real run is not gone on with in the lab.
    desk.write("runbook.yaml", &with_long_bake());
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    run.signal(rustix::process::Signal::KILL);
    run.end(5).ends(-1);
    for command in [&["resume", "--lab"][..], &["rollback", "--lab", "--yes"]] {
        desk.run(command).ends(65).says(&["BG0210", "this run is a real one"]);
    }
    assert_eq!(world.green(), 50);
    // And a rehearsal that happens meanwhile is neither in its way nor counted with it.
    desk.write("quick.yaml", RUNBOOK);
    lab(&desk, "quick.yaml").ends(0);
    assert_eq!(world.green(), 50);
    desk.run(&["audit", "verify"]).says(&["INTERRUPTED"]);
    // Nor one that is about to begin, whose log says nothing yet: which run is meant is not asked of a person who goes back.
    let about_to = desk.path("state/lab/runs/20261130-0000-new");
    std::fs::create_dir(&about_to).unwrap();
    std::fs::write(about_to.join("log.jsonl"), "").unwrap();
    desk.run(&["status"]).ends(0).says(&["staging"]);
    std::fs::remove_dir_all(&about_to).unwrap();
    // Also one that is still under way: a person who goes back need not name the real run.
    let rehearsed = desk.start(&["cutover", "runbook.yaml", "--lab", "--confirm", "lab"]);
    until("a second rehearsal is under way", 60, || {
        let begun = bgctl::journal::Archive::new(desk.path("state/lab")).runs().len() == 2;
        begun && std::fs::read_to_string(newest(&desk)).is_ok_and(|log| log.contains("step.intent"))
    });
    desk.run(&["rollback", "--yes"]).ends(0).says(&["all on BLUE v1.4.1"]);
    assert_eq!(world.green(), 0);
    rehearsed.signal(rustix::process::Signal::TERM);
    rehearsed.end(60);
}

/// Every runbook that ships, and every one that stands in a test as a file or as a text.
fn every_runbook() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in ["runbooks", "examples", "src/cli/decide", "tests"] {
        for path in below(&root.join(folder)) {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            match path.extension().and_then(|end| end.to_str()) {
                Some("yaml") => all.push((name, text)),
                Some("rs") => {
                    let texts = text.match_indices("\"bgctl: 1\n").map(|(at, _)| &text[at + 1..]);
                    let whole = |text: &str| text.split("\"#").next().unwrap_or_default().to_string();
                    all.extend(texts.enumerate().map(|(n, text)| (format!("{name} {n}"), whole(text))));
                }
                _ => {}
            }
        }
    }
    all
}

/// The same with every literal address led into the sink.
fn led_into(sink: &Sink, text: &str) -> String {
    let mut led = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        led += before;
        let host = after.find(|c: char| !c.is_ascii_alphanumeric() && !"-._:@".contains(c)).unwrap_or(after.len());
        led += if host > 0 { sink.address() } else { String::new() }.as_str();
        rest = &after[host..];
    }
    led + rest
}

#[test]
fn nothing_arrives_anywhere_from_any_runbook_under_the_lab() {
    let sink = Sink::new();
    let all = every_runbook();
    let at = |name: &str| all.iter().filter(|(other, _)| other.starts_with(name)).count();
    assert!(
        at("runbooks/") >= 5 && at("examples/") == 1 && at("tests/fixtures/") > 10 && at("tests/process/") > 1,
        "{all:?}"
    );
    let next = std::sync::atomic::AtomicUsize::new(0);
    let rehearsed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((name, text)) = all.get(n) else { return };
                    let desk = in_the_world(&sink);
                    desk.write("any.yaml", &led_into(&sink, text));
                    let before = below(&desk.path(""));
                    let done = lab(&desk, "any.yaml");
                    let made = below(&desk.path("")).into_iter().filter(|path| !before.contains(path));
                    let made: Vec<PathBuf> = made.filter(|path| !path.starts_with(desk.path("state/lab"))).collect();
                    assert!(made.iter().all(|path| path.ends_with("state")), "{name}: {made:?}");
                    sink.is_untouched(name);
                    if done.code == 0 {
                        rehearsed.lock().unwrap().push(name.clone());
                    }
                }
            });
        }
    });
    let rehearsed = rehearsed.into_inner().unwrap();
    for name in ["runbooks/quickstart.yaml", "runbooks/slackbot-sockets.yaml"] {
        assert!(rehearsed.iter().any(|other| other == name), "{name} is rehearsed to its end: {rehearsed:?}");
    }
}
