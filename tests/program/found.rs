//! Stacks that are found: which of `a` and `b` is blue is what serves, and both versions are what the stacks say. The route is a
//! program over a file, so the witness is the file.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::common;
use crate::rig::{BGCTL, Desk};

const RUNBOOK: &str = r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
variables: { release: }
stacks:
  a: { url: "http://A" }
  b: { url: "http://B" }
  version: { path: /version, header: x-bot-version }
  release: ${var.release}
routes:
  web:
    program: { run: [PYTHON, SCRIPT, good, PLACE], a: old, b: new, within: 5s }
    seen_at: { url: "http://P/version", header: x-bot-version, samples: 20, tolerance: 30% }
steps:
  - id: look
    smoke: { stack: green, expect: [{ path: /version, contains: ok }] }
  - id: shift-100
    shift: { route: web, green: 100% }
rollback:
  owner: owner@example.com
  steps:
    - id: back
      shift: { route: web, blue: 100% }
"#;

/// What a stack says it runs; nothing where it is down.
type Said = Arc<Mutex<Option<String>>>;

/// A server that says a version, which may change.
fn server(said: impl Fn() -> Option<String> + Send + Sync + 'static) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    listener.set_nonblocking(true).expect("a socket");
    let said = Arc::new(said);
    std::thread::spawn(move || {
        let app = axum::Router::new().fallback(move || {
            let version = said();
            async move {
                let status = if version.is_some() { 200 } else { 503 };
                let status = axum::http::StatusCode::from_u16(status).expect("a status");
                (status, [("x-bot-version", version.unwrap_or_default())], "ok")
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await.expect("it serves");
        });
    });
    address
}

struct Stage {
    desk: Desk,
    stacks: [Said; 2],
    place: std::path::PathBuf,
}

impl Stage {
    fn new() -> Option<Stage> {
        let python = common::peer("python3")?;
        let stacks: [Said; 2] = ["v1", "v2"].map(|version| Arc::new(Mutex::new(Some(version.to_string()))));
        let addresses = stacks.clone().map(|said| server(move || said.lock().expect("a word").clone()));
        let desk = Desk::new();
        let place = desk.path("weights.json");
        // What users see: the stack that the weights choose.
        let (file, said, turn) = (place.clone(), stacks.clone(), Mutex::new(0u64));
        let public = server(move || {
            let held: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
            let (old, new) = (held["old"].as_u64()?, held["new"].as_u64()?);
            let mut turn = turn.lock().expect("a turn");
            *turn += 1;
            said[usize::from(*turn * 37 % (old + new) >= old)].lock().expect("a word").clone()
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/route.py").display().to_string();
        let text = RUNBOOK.replace("PYTHON", &python.display().to_string()).replace("SCRIPT", &script);
        let text = text.replace("PLACE", &place.display().to_string()).replace("//A", &format!("//{}", addresses[0]));
        let text = text.replace("//B", &format!("//{}", addresses[1])).replace("//P", &format!("//{public}"));
        desk.write("runbook.yaml", &text);
        let stage = Stage { desk, stacks, place };
        stage.hold(100, 0);
        Some(stage)
    }

    fn hold(&self, a: u32, b: u32) {
        std::fs::write(&self.place, json!({ "old": a, "new": b }).to_string()).expect("a file");
    }

    /// The share of `b`, of 100.
    fn on_b(&self) -> u64 {
        let held: Value = serde_json::from_slice(&std::fs::read(&self.place).expect("a file")).expect("JSON");
        let weight = |name: &str| held[name].as_u64().expect("a weight");
        weight("new") * 100 / (weight("new") + weight("old"))
    }

    fn runs(&self, stack: usize, version: Option<&str>) {
        *self.stacks[stack].lock().expect("a word") = version.map(String::from);
    }

    fn cutover(&self, release: &str) -> crate::rig::Done {
        let release = format!("release={release}");
        self.desk.run(&["cutover", "runbook.yaml", "--var", &release, "--confirm", "staging"])
    }
}

#[test]
fn one_file_serves_release_after_release() {
    let Some(stage) = Stage::new() else { return };
    // Nobody is asked: `a` is taken for blue, and nothing is said of what runs there.
    let checked = stage.desk.run(&["check", "runbook.yaml", "--var", "release=v2"]).ends(0);
    assert!(!checked.out.contains("v1"), "{}", checked.out);
    let plan = ["plan", "runbook.yaml", "--var", "release=v2"];
    let next = "next:  bgctl cutover runbook.yaml --var release=v2";
    stage.desk.run(&plan).ends(0).says(&["v1 at a (BLUE)", "v2 at b (GREEN)", next]);
    // What a cutover would be refused for is said when it is planned.
    let text = std::fs::read_to_string(stage.desk.path("runbook.yaml")).expect("the runbook");
    stage.desk.write("runbook.yaml", &text.replace(", good, ", ", ill, "));
    let planned = stage.desk.run(&plan).ends(0).says(&["a cutover is refused now: ", "cannot take users", "mend that"]);
    assert!(!planned.err.contains(next), "{}", planned.err);
    stage.desk.write("runbook.yaml", &text);
    stage.cutover("v2").ends(0).says(&["v1 at a (BLUE) → v2 at b (GREEN)", "COMPLETED"]);
    assert_eq!(stage.on_b(), 100);
    stage.desk.complete();
    // The script that a stranger verifies with reads the same plan.
    let key = std::fs::read_to_string(stage.desk.path("key.pub")).expect("the public key");
    stage.desk.write("signers", &format!("owner@example.com namespaces=\"bgctl-*\" {key}"));
    let log = stage.desk.runs()[0].join("log.jsonl").display().to_string();
    stage.desk.shell(&format!("{BGCTL} audit verify-script > verify.sh")).end(20).ends(0);
    stage.desk.shell(&format!("sh verify.sh {log} signers")).end(60).ends(0).says(&["COMPLETE"]);
    // The same job again moves nobody back to the old version.
    stage.cutover("v2").ends(0).says(&["NO CHANGES", "v2 at b", "nothing to do"]);
    assert_eq!(stage.on_b(), 100);
    // The next release is at the other stack, and nothing in the file has changed.
    stage.cutover("v3").ends(11).says(&["BG0307", "v1 at a", "the release is v3", "all on BLUE v2 at b"]);
    stage.runs(0, Some("v3"));
    stage.cutover("v3").ends(0).says(&["v2 at b (BLUE) → v3 at a (GREEN)"]);
    assert_eq!(stage.on_b(), 0);
    // Back, from the runbook: the run that is known here says what was blue.
    let back = ["rollback", "runbook.yaml", "--var", "release=v3", "--yes", "--reason", "a test"];
    stage.desk.run(&back).ends(0).says(&["is about this runbook"]);
    assert_eq!(stage.on_b(), 100);
}

#[test]
fn what_is_not_said_is_not_guessed() {
    let Some(stage) = Stage::new() else { return };
    let status = ["status", "runbook.yaml"];
    let plan = ["plan", "runbook.yaml", "--var", "release=v2"];
    let back = |blue: &[&str]| {
        let line = [&["rollback", "runbook.yaml", "--var", "release=v2", "--yes", "--reason", "a test"], blue].concat();
        stage.desk.run(&line)
    };
    // Split, and no run is known: a person says who everybody goes to.
    stage.hold(70, 30);
    stage.desk.run(&plan).ends(31).says(&["BG0301", "neither `a` nor `b`", "a 70 b 30", "--blue a"]);
    stage.desk.run(&status).ends(0).says(&["neither has all users", "--blue a", "--blue b"]);
    back(&[]).ends(64).says(&["BG0006", "a 70 b 30", "--blue a", "--blue b"]);
    assert_eq!(stage.on_b(), 30);
    back(&["--blue", "b"]).ends(0).says(&["back to BLUE v2 at b"]);
    assert_eq!(stage.on_b(), 100);
    stage.desk.run(&status).ends(0).says(&["b (version not read) at b (BLUE)"]);
    // Without a version, going back is proven by what is read back alone, and that is said.
    stage.hold(70, 30);
    stage.runs(1, None);
    back(&["--blue", "a"]).ends(0).says(&["answers 503", "not seen in real responses"]);
    assert_eq!(stage.on_b(), 0);
    // A stack that does not say what it runs, or says something else between plan and cutover, gets nobody.
    stage.desk.run(&plan).ends(69).says(&["BG0307", "cannot tell which version runs at b", "answers 503"]);
    stage.runs(1, Some(""));
    stage.desk.run(&plan).ends(69).says(&["no version"]);
    stage.runs(1, Some("v2"));
    stage.desk.run(&[&plan[..], &["--out", "saved.plan"]].concat()).ends(0);
    stage.runs(1, Some("v2-dirty"));
    stage.desk.run(&["cutover", "saved.plan", "--confirm", "staging"]).ends(11).says(&["GREEN runs v2-dirty"]);
    stage.runs(1, Some("v2"));
    stage.hold(0, 100);
    stage.desk.run(&["cutover", "saved.plan", "--confirm", "staging"]).ends(31).says(&["BG0304"]);
    assert_eq!(stage.on_b(), 100);
    // Each way of naming stacks has its own flag.
    stage.desk.run(&[&plan[..], &["--swap"]].concat()).ends(64).says(&["`--swap` is for"]);
    stage.desk.run(&[&status[..], &["--swap"]].concat()).ends(64).says(&["`--swap` is for"]);
    back(&["--swap"]).ends(64).says(&["`--swap` is for"]);
    back(&["--blue", "green"]).ends(64);
    let fixed = std::fs::read_to_string(stage.desk.path("runbook.yaml")).expect("the runbook");
    let fixed = fixed.replace("  a: { ", "  blue: { version: v1, ").replace("  b: { ", "  green: { version: v2, ");
    let fixed = fixed.replace("a: old, b: new", "blue: old, green: new").replace("  release: ${var.release}\n", "");
    stage.desk.write("fixed.yaml", &fixed.replace("variables: { release: }\n", ""));
    stage
        .desk
        .run(&["rollback", "fixed.yaml", "--blue", "a", "--yes", "--reason", "x"])
        .ends(64)
        .says(&["`--blue` is for"]);
    // Fixed stacks may say where their version is read too.
    stage.hold(100, 0);
    stage.runs(0, Some("v0"));
    stage
        .desk
        .run(&["cutover", "fixed.yaml", "--confirm", "staging"])
        .ends(11)
        .says(&["BLUE runs v0", "the plan says v1"]);
    assert_eq!(stage.on_b(), 0);
}

/// Between a plan and its end the stacks may get other versions, and what is said at one time is not said for another.
#[test]
fn versions_that_change_are_seen_before_users_are_moved() {
    let Some(stage) = Stage::new() else { return };
    // Where the release serves already, what stands by does not matter.
    stage.hold(0, 100);
    stage.runs(0, None);
    stage.cutover("v2").ends(0).says(&["NO CHANGES", "v2 at b"]);
    // Routes and addresses that are exchanged somewhere: users get another version than the routes say.
    stage.runs(0, Some("v1"));
    let text = std::fs::read_to_string(stage.desk.path("runbook.yaml")).expect("the runbook");
    stage.desk.write("runbook.yaml", &text.replace("a: old, b: new", "a: new, b: old"));
    stage.cutover("v2").ends(31).says(&["BG0307", "users of `web` get v2 at b"]);
    assert_eq!(stage.on_b(), 100);
    // Green is put anew in the middle of the run: nobody more is sent there, and those who are there come back.
    let wait = "steps:\n  - id: part\n    shift: { route: web, green: 40% }\n  - id: wait\n    command: { run: [sleep, \"2\"] }\n";
    stage.desk.write("runbook.yaml", &text.replace("steps:\n  - id: look", &format!("{wait}  - id: look")));
    stage.hold(100, 0);
    let run = stage.desk.start(&["cutover", "runbook.yaml", "--var", "release=v2", "--confirm", "staging"]);
    stage.desk.wait_for("step.intent", "wait");
    assert_eq!(stage.on_b(), 40);
    stage.runs(1, Some("v2-other"));
    run.end(60).ends(10).says(&["GREEN runs v2-other now, and the plan says v2"]);
    assert_eq!(stage.on_b(), 0);
}

/// A run's blue that has got another version since is not what users came from.
#[test]
fn a_blue_that_was_put_anew_is_not_gone_back_to_unasked() {
    let Some(stage) = Stage::new() else { return };
    stage.desk.run(&["cutover", "runbook.yaml", "--var", "release=v2", "--confirm", "staging"]).ends(0);
    stage.runs(0, Some("v3"));
    stage
        .desk
        .run(&["rollback", "--yes", "--reason", "x"])
        .ends(31)
        .says(&["BG0307", "a was BLUE v1 in that run, and runs v3 now"]);
    stage
        .desk
        .run(&["rollback", "--blue", "a", "--yes", "--reason", "x"])
        .ends(64)
        .says(&["a run knows which stack was blue"]);
    assert_eq!(stage.on_b(), 100);
    let back = ["rollback", "runbook.yaml", "--var", "release=v2", "--blue", "a", "--yes", "--reason", "x"];
    stage.desk.run(&back).ends(0).says(&["back to BLUE v3 at a"]);
    assert_eq!(stage.on_b(), 0);
}

/// Two routes of one program on a machine that knows no run: what they share is taken once, and nobody waits for himself.
#[test]
fn two_routes_of_one_program_go_back_from_the_runbook_alone() {
    let Some(stage) = Stage::new() else { return };
    let text = std::fs::read_to_string(stage.desk.path("runbook.yaml")).expect("the runbook");
    let route = text.lines().find(|line| line.contains("program:")).expect("a route").to_string();
    let seen = text.lines().find(|line| line.contains("seen_at")).expect("a witness").to_string();
    let text = text.replace(&seen, &format!("{seen}\n  api:\n{route}"));
    let text =
        text.replace("  - id: shift-100", "  - id: api-100\n    shift: { route: api, green: 100% }\n  - id: shift-100");
    let back = "    - id: api-back\n      shift: { route: api, blue: 100% }\n    - id: back\n";
    stage.desk.write("two.yaml", &text.replace("    - id: back\n", back));
    stage.hold(0, 100);
    let line = ["rollback", "two.yaml", "--var", "release=v2", "--blue", "a", "--yes", "--reason", "x"];
    stage.desk.start(&line).end(30).ends(0);
    assert_eq!(stage.on_b(), 0);
}

#[test]
fn a_run_that_was_killed_knows_what_was_blue() {
    let Some(stage) = Stage::new() else { return };
    stage.hold(0, 100);
    stage.runs(0, Some("v3"));
    let text = std::fs::read_to_string(stage.desk.path("runbook.yaml")).expect("the runbook");
    let slow = "steps:\n  - id: part\n    shift: { route: web, green: 40% }\n  - id: wait\n    command: { run: [sleep, \"60\"] }\n";
    stage.desk.write("runbook.yaml", &text.replace("steps:\n  - id: look", &format!("{slow}  - id: look")));
    let line = ["cutover", "runbook.yaml", "--var", "release=v3", "--confirm", "staging"];
    let killed = stage.desk.start(&line);
    crate::rig::until("users are split", 20, || stage.on_b() == 60);
    crate::rig::pause(300);
    killed.signal(rustix::process::Signal::KILL);
    killed.end(10);
    // Users are split because of a run: that is said, and not that somebody moved them by hand.
    let said = stage.desk.run(&line).says(&["is still open"]);
    assert!(!said.err.contains("BLUE 100 GREEN 0"), "{}", said.err);
    let back = ["rollback", "runbook.yaml", "--var", "release=v3", "--yes", "--reason", "killed"];
    stage.desk.run(&back).ends(0).says(&["v2"]);
    assert_eq!(stage.on_b(), 100);
}
