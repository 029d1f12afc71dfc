//! The route `haproxy` against a real HAProxy: errors in its own words, lost and late answers, halves of a change, reloads by
//! somebody, several at once; and the program itself, killed where it hurts, with users who send requests all the while.

#[path = "common/mod.rs"]
mod common;
#[path = "process/rig.rs"]
#[allow(dead_code, reason = "each test binary uses its part of this")]
mod rig;

use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bgctl::plan::{Color, Move, Split};
use bgctl::routers::{Access, RouterError, TrafficRouter, Trouble, haproxy};
use common::haproxy::{BACKEND, Fate, Haproxy, Load, Origin, Wire};
use common::{at, peer};
use rig::{Desk, Done, pause};
use rustix::process::Signal;
use serde_json::{Value, json};

const TENTH: Split = Split { blue: 90, green: 10 };
const HALF: Split = Split { blue: 50, green: 50 };

struct Stage {
    origins: [Origin; 2],
    haproxy: Arc<Haproxy>,
}

impl Stage {
    fn new(backend: &str) -> Option<Stage> {
        let origins = Color::BOTH.map(Origin::start);
        let haproxy = Arc::new(Haproxy::start(&origins, backend)?);
        Some(Stage { origins, haproxy })
    }

    fn settings(&self, socket: &Path) -> Value {
        json!({ "socket": socket, "backend": "app", "blue": "blue", "green": "green" })
    }

    fn router(&self) -> Rc<dyn TrafficRouter> {
        open(&self.settings(&self.haproxy.socket()))
    }

    fn over(&self, wire: &Wire) -> Rc<dyn TrafficRouter> {
        open(&self.settings(&wire.socket))
    }
}

fn open(settings: &Value) -> Rc<dyn TrafficRouter> {
    (haproxy::KIND.open)(settings, &Access::default()).expect("good settings")
}

fn change(before: Split, after: Split) -> Move {
    Move { route: "web".into(), before, after }
}

fn said(error: &RouterError) -> String {
    format!("{} | {}", error.what, error.cure.as_deref().unwrap_or_default())
}

/// The text errors of HAProxy, each with what cures it, and nobody moved.
#[tokio::test]
async fn errors_are_haproxys_own_words_with_a_cure() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let settings = |change: &[(&str, Value)]| {
        let mut settings = stage.settings(&stage.haproxy.socket());
        change.iter().for_each(|(key, value)| settings[key] = value.clone());
        open(&settings)
    };
    let operator = settings(&[("socket", json!(stage.haproxy.path("operator.sock")))]);
    for error in
        [operator.identity().await.expect_err("operator"), operator.preflight(&[TENTH]).await.expect_err("operator")]
    {
        assert_eq!(error.kind, Trouble::Denied);
        assert!(said(&error).contains("level admin`"), "{error:?}");
    }
    let error = operator.set(&at(Split::ALL_BLUE), TENTH).await.expect_err("operator");
    assert_eq!((error.kind, error.moved), (Trouble::Denied, false), "{error:?}");
    assert!(said(&error).contains("says: Permission denied"), "{error:?}");
    assert_eq!(error.calls[0].code, "Permission denied");

    let table = [
        (settings(&[("backend", json!("ap"))]), Trouble::NotFound, "Can't find backend. | did you mean `app`?"),
        (settings(&[("backend", json!("zzz"))]), Trouble::NotFound, "| there are: app, other"),
        (
            settings(&[("green", json!("gren"))]),
            Trouble::NotFound,
            "has no server `gren` for GREEN | did you mean `green`?",
        ),
        (settings(&[("green", json!("grey-*"))]), Trouble::NotFound, "has no server `grey-*` for GREEN"),
        (
            settings(&[("blue", json!("b*")), ("green", json!(["green", "blu*"]))]),
            Trouble::Invalid,
            "both of BLUE and of GREEN",
        ),
        (
            settings(&[("socket", json!(stage.haproxy.path("none.sock")))]),
            Trouble::Unreachable,
            "is HAProxy running here",
        ),
    ];
    for (router, kind, words) in &table {
        let error = router.read().await.expect_err(words);
        assert_eq!(error.kind, *kind, "{error:?}");
        assert!(said(&error).contains(words), "{words}: {error:?}");
    }
    assert_eq!(stage.haproxy.weights(), (100, 0));

    let router = stage.router();
    let error = router.set(&at(Split::ALL_BLUE), Split { blue: 0, green: 0 }).await.expect_err("nowhere");
    assert!(error.what.contains("HAProxy would answer everybody 503"), "{error:?}");
    let error = router.preflight(&[Split::of_green(3)]).await.expect_err("0.3 %");
    assert!(
        said(&error).contains("cannot give BLUE 99.7 GREEN 0.3 | the nearest share that green can have is 0.4%"),
        "{error:?}"
    );
    let health = router.health(Color::Green).await.expect("health");
    assert_eq!((health.healthy, health.total), (1, 1));
}

/// Weights that cannot be changed, users that belong to no side, and a green that nobody checks.
#[tokio::test]
async fn what_weights_cannot_do_is_refused_before_anybody_moves() {
    let backends = [
        ("balance source", "balances by `source`", "hash_type: consistent"),
        ("balance static-rr", "balances by `static-rr`", "`balance roundrobin`"),
        ("balance first", "balances by `first`", "`balance roundrobin`"),
    ];
    for (balance, words, cure) in backends {
        let Some(stage) = Stage::new(&BACKEND.replace("balance roundrobin", balance)) else { return };
        let router = stage.router();
        let error = router.preflight(&[TENTH]).await.expect_err(balance);
        assert_eq!(error.kind, Trouble::Invalid);
        assert!(error.what.contains(words) && said(&error).contains(cure), "{error:?}");
        // Whoever writes all the same is told by HAProxy, and nobody has lost anything.
        if balance != "balance first" {
            let error = router.set(&at(Split::ALL_BLUE), TENTH).await.expect_err(balance);
            assert!(error.what.contains("only accepts weights '0%' and '100%'") && !error.moved, "{error:?}");
            assert_eq!(stage.haproxy.weights(), (100, 0));
        }
    }
    let consistent = BACKEND.replace("balance roundrobin", "balance source\n  hash-type consistent");
    let Some(stage) = Stage::new(&consistent) else { return };
    let mut settings = stage.settings(&stage.haproxy.socket());
    settings["hash_type"] = json!("consistent");
    let router = open(&settings);
    router.preflight(&[TENTH]).await.expect("it may");
    router.set(&at(Split::ALL_BLUE), TENTH).await.expect("it can");
    assert_eq!(stage.haproxy.weights(), (90, 10));

    let third = format!("{BACKEND}\n  server third {{blue}} check weight 5\n  server spare {{blue}} backup");
    let Some(stage) = Stage::new(&third) else { return };
    let error = stage.router().preflight(&[TENTH]).await.expect_err("a third server");
    assert!(error.what.contains("sends users to `third` too"), "{error:?}");

    let unchecked = BACKEND.replace("{green} check inter 100ms", "{green}");
    let Some(stage) = Stage::new(&unchecked) else { return };
    let health = stage.router().health(Color::Green).await.expect("health");
    assert_eq!(health.healthy, 0);
    assert_eq!(health.ailing, ["green: HAProxy does not check it: add `check` to its line"]);
}

/// Persistence, connections that stay, maintenance, and what a reload would do: said before anybody moves.
#[tokio::test]
async fn what_a_person_should_know_is_said() {
    let sticky = BACKEND
        .replace(
            "roundrobin",
            "roundrobin\n  cookie SRV insert indirect nocache\n  stick-table type ip size 1k\n  stick on src",
        )
        .replace("weight 100", "weight 100 cookie b")
        .replace("weight 0", "weight 0 cookie g");
    let Some(stage) = Stage::new(&sticky) else { return };
    let router = stage.router();
    let remarks = router.read().await.expect("it reads").remarks.join("\n");
    assert!(remarks.contains("cookie `SRV`") && !remarks.contains("a reload puts"), "{remarks}");
    let lines = router.preflight(&[TENTH]).await.expect("it may").join("\n");
    assert!(
        lines.contains("stick table of `app`") && lines.contains("a reload puts users at BLUE 100 GREEN 0"),
        "{lines}"
    );
    assert!(lines.contains("its configuration loads no server-state-file") && !lines.contains("pending"), "{lines}");

    // A request that lasts, on a side that has lost its share.
    let port = stage.haproxy.port;
    let slow = std::thread::spawn(move || common::bots::get(([127, 0, 0, 1], port).into(), "/load?ms=1500"));
    stage.haproxy.until("a request is under way", |said| said.contains("app,blue,0,0,1,"));
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.expect("it sets");
    let remarks = router.read().await.expect("it reads").remarks.join("\n");
    assert!(remarks.contains("BLUE has 1 open connections (`scur`)"), "{remarks}");
    assert!(remarks.contains("a reload puts users at BLUE 100 GREEN 0"), "{remarks}");
    let notes = router.watch().await.notes.join("\n");
    assert!(notes.contains("BLUE gets no new users and still has open connections"), "{notes}");
    assert!(slow.join().expect("an answer").contains("x-version: blue"), "what was begun ends where it was");

    // A server in maintenance has no share, whatever its weight.
    router.set(&at(Split::ALL_GREEN), TENTH).await.expect("it sets");
    stage.haproxy.tell("set server app/green state maint");
    let reading = router.read().await.expect("it reads");
    assert_eq!(reading.split, Split::ALL_BLUE);
    assert!(reading.remarks.join("\n").contains("`green` has weight 10 and gets nobody"), "{reading:?}");
    assert_eq!(router.health(Color::Green).await.expect("health").ailing, ["green: it is in maintenance"]);
    let error = router.set(&at(Split::ALL_BLUE), TENTH).await.expect_err("nobody can be sent there");
    assert!(error.kind == Trouble::NotNow && said(&error).contains("state ready"), "{error:?}");
    stage.haproxy.tell("set server app/blue weight 0");
    let trouble = router.watch().await.trouble.expect("nobody is served");
    assert!(trouble.contains("HAProxy answers 503"), "{trouble}");
}

/// At no moment of many changes are all weights 0, seen by somebody else.
#[tokio::test]
async fn at_no_moment_has_nobody_a_weight() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let (router, stop) = (stage.router(), Arc::new(AtomicBool::new(false)));
    let (haproxy, end) = (Arc::clone(&stage.haproxy), Arc::clone(&stop));
    let witness = std::thread::spawn(move || {
        let (mut looks, mut least) = (0, u32::MAX);
        while !end.load(Ordering::Relaxed) {
            // Both in one line, so that nothing comes between.
            let said = haproxy.say("get weight app/blue; get weight app/green");
            let weights = said.lines().filter_map(|line| line.split(' ').next()?.parse::<u32>().ok());
            (looks, least) = (looks + 1, least.min(weights.sum()));
        }
        (looks, least)
    });
    let mut from = Split::ALL_BLUE;
    for n in 0..300 {
        let to = [Split::ALL_GREEN, TENTH, Split::ALL_BLUE, HALF][n % 4];
        let calls = router.set(&at(from), to).await.expect("it sets");
        assert_eq!(calls.len(), 2, "first one gains, then one loses: {calls:?}");
        from = to;
    }
    stop.store(true, Ordering::Relaxed);
    let (looks, least) = witness.join().expect("a witness");
    assert!(looks > 100 && least >= 100, "{looks} looks, least {least}");
}

/// Answers that are lost and lines that are: what came of them is found by reading, and the change is gone on with.
#[tokio::test]
async fn a_lost_or_late_answer_ends_right() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let wire = Wire::to(&stage.haproxy);
    let router = stage.over(&wire);
    let table = [
        ("green weight 10", Fate::Lost, (100, 0)),
        ("green weight 10", Fate::Unanswered, (100, 10)),
        ("blue weight 90", Fate::Lost, (100, 10)),
        ("blue weight 90", Fate::Unanswered, (90, 10)),
        ("green weight 10", Fate::Late(300), (100, 0)),
    ];
    for (words, fate, left) in table {
        let (from, to) = (Split::ALL_BLUE, TENTH);
        wire.next(words, fate);
        let error = router.set(&at(from), to).await.expect_err("no answer");
        assert!(error.moved && error.kind == Trouble::Unreachable && error.passing(), "{fate:?}: {error:?}");
        assert_eq!(error.calls.last().map(|call| call.code.as_str()), Some("no answer"));
        assert_eq!(stage.haproxy.weights(), left, "{fate:?}: sent once");
        if let Fate::Late(ms) = fate {
            pause(ms + 200);
            assert_eq!(stage.haproxy.weights(), (100, 10), "it lands after all");
        }
        let found = router.read().await.expect("it reads");
        let known = [from, to].contains(&found.split) || router.cut_off(&found, Some(&change(from, to)));
        assert!(known, "{fate:?}: {:?} is our own", found.split);
        router.set(&found, to).await.expect("the rest");
        assert_eq!(stage.haproxy.weights(), (90, 10));
        // And the way back from wherever it is, to the weights that were there.
        router.set(&at(to), Split::ALL_BLUE).await.expect("back");
        assert_eq!(stage.haproxy.weights(), (100, 0));
    }
    // What nobody of ours leaves is no half of ours.
    for (blue, green) in [(90, 0), (95, 10), (100, 20)] {
        stage.haproxy.tell(&format!("set server app/blue weight {blue}; set server app/green weight {green}"));
        let found = router.read().await.expect("it reads");
        let half = router.cut_off(&found, Some(&change(Split::ALL_BLUE, TENTH)));
        assert!(!half || found.split == Split::ALL_BLUE, "{blue}/{green}");
    }
}

/// A command that is answered with nothing and was not followed: only what is read back counts.
#[tokio::test]
async fn an_answer_of_success_is_not_believed() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let wire = Wire::to(&stage.haproxy);
    let router = stage.over(&wire);
    wire.next("green weight 10", Fate::Ignored);
    let error = router.set(&at(Split::ALL_BLUE), TENTH).await.expect_err("nothing was done");
    assert!(error.moved && error.what.contains("took the weight 10 of `green` and reads back 0"), "{error:?}");
    assert_eq!(stage.haproxy.weights(), (100, 0), "and blue has lost nothing");
}

/// Weights lost by somebody's reload: at rest, and between the comparison and the write.
#[tokio::test]
async fn a_reload_by_somebody_is_named() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let wire = Wire::to(&stage.haproxy);
    let router = stage.over(&wire);
    router.set(&at(Split::ALL_BLUE), TENTH).await.expect("it sets");
    let writer = router.writer().await.expect("a sentence");
    assert!(writer.contains("does not say who"), "{writer}");
    let before = router.read().await.expect("it reads").exact;

    // Somebody writes the configuration and has not reloaded yet: that is said beforehand.
    pause(1100);
    let config = stage.haproxy.path("haproxy.cfg");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, text + "\n").expect("a change");
    let lines = router.preflight(&[TENTH]).await.expect("it may").join("\n");
    assert!(lines.contains("a reload is pending"), "{lines}");

    stage.haproxy.reload();
    let reading = router.read().await.expect("it reads");
    assert_eq!(reading.split, Split::ALL_BLUE, "the weights of the configuration");
    assert_ne!(reading.exact["instances"][0]["pid"], before["instances"][0]["pid"]);
    let writer = router.writer().await.expect("a sentence");
    assert!(
        writer.contains("somebody has reloaded HAProxy") && writer.contains("those of its configuration"),
        "{writer}"
    );
    assert!(router.watch().await.notes.join("\n").contains("somebody has reloaded HAProxy"));
    // A process that never saw it otherwise tells it by its age.
    let writer = stage.router();
    let writer = writer.writer().await.expect("a sentence");
    assert!(writer.contains("was started") && writer.contains("a reload loses what was set"), "{writer}");

    // The new process may take longer to come than an answer is waited for, on a busy machine.
    for left in (0..4).rev() {
        wire.next("green weight 10", Fate::Reloaded);
        let error = router.set(&at(Split::ALL_BLUE), TENTH).await.expect_err("another process");
        if error.moved && error.what.contains("was reloaded while weights were set") {
            break;
        }
        assert!(left > 0 && error.what.contains("no answer within"), "{error:?}");
        stage.haproxy.tell("set server app/green weight 0");
    }
    assert_eq!(stage.haproxy.weights(), (100, 10), "and blue has lost nothing");
}

/// Two that serve the same users: all compared before the first is written, halves known, and one that hangs.
#[tokio::test]
async fn several_are_one_place() {
    let origins = Color::BOTH.map(Origin::start);
    let (Some(one), Some(two)) = (Haproxy::start(&origins, BACKEND), Haproxy::start(&origins, BACKEND)) else { return };
    let sockets = json!([one.socket(), two.socket()]);
    let router = open(&json!({ "socket": sockets, "backend": "app", "blue": "blue", "green": "green" }));
    let weights = || [one.weights(), two.weights()];
    router.set(&at(Split::ALL_BLUE), TENTH).await.expect("it sets");
    assert_eq!(weights(), [(90, 10); 2]);

    // Somebody writes one of them: a split that nobody asked for, not written over.
    two.tell("set server app/green weight 40");
    let reading = router.read().await.expect("it reads");
    assert!(reading.remarks.join("\n").contains("the HAProxies differ"), "{reading:?}");
    let error = router.set(&at(TENTH), HALF).await.expect_err("drift");
    assert_eq!(error.kind, Trouble::Drift { found: reading.split });
    assert_eq!(weights(), [(90, 10), (90, 40)]);
    assert!(!router.cut_off(&reading, Some(&change(TENTH, HALF))));

    // The half of a change of our own: one has gained, the other has nothing yet.
    two.tell("set server app/green weight 10");
    one.tell("set server app/green weight 50");
    let reading = router.read().await.expect("it reads");
    assert!(router.cut_off(&reading, Some(&change(TENTH, HALF))));
    router.set(&reading, HALF).await.expect("the rest");
    assert_eq!(weights(), [(50, 50); 2]);

    // One hangs. Nothing goes forward; on the way back the other is set first, and what is not known is said.
    two.freeze(true);
    let error = router.read().await.expect_err("one is silent");
    let partly = error.partly.clone().expect("what the other says");
    assert!(error.what.contains("no answer within 5s") && partly.split == HALF, "{error:?}");
    let error = router.set(&at(HALF), Split::ALL_GREEN).await.expect_err("nothing forward");
    assert!(!error.moved && one.weights() == (50, 50), "{error:?}");
    let error = router.set(&partly, Split::ALL_BLUE).await.expect_err("one is not known");
    assert!(error.moved && error.what.contains("the other HAProxies are at BLUE 100 GREEN 0, but"), "{error:?}");
    assert_eq!(one.weights(), (100, 0));
    two.freeze(false);
    let reading = router.read().await.expect("it reads");
    router.set(&reading, Split::ALL_BLUE).await.expect("the rest");
    assert_eq!(weights(), [(100, 0); 2]);
}

/// The script that is kept before the first move: with socat or with Python, to the very weights, out of drain, and with
/// HAProxy's words where it cannot.
#[tokio::test]
async fn the_way_back_without_bgctl() {
    let Some(stage) = Stage::new(&BACKEND.replace("weight 100", "weight 3")) else { return };
    let (Some(_), Some(python)) = (peer("socat"), peer("python3")) else { return };
    let router = stage.router();
    let way = router.native_way_back("web", &router.read().await.expect("it reads"));
    assert_eq!((way.command.as_str(), way.files.len()), ("sh web-haproxy.sh", 1));
    let folder = tempfile::tempdir().expect("a folder");
    let walk = |script: &str, path: Option<&Path>| {
        std::fs::write(folder.path().join("web-haproxy.sh"), script).expect("a file");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &way.command]).current_dir(folder.path());
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let output = command.output().expect("a shell");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // A folder with no socat in it.
    let few = folder.path().join("bin");
    std::fs::create_dir(&few).expect("a folder");
    for (name, program) in [("python3", python), ("tr", peer("tr").expect("tr")), ("sh", "/bin/sh".into())] {
        let program = std::fs::canonicalize(program).expect("a program");
        let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display());
        std::fs::write(few.join(name), script).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(few.join(name), mode).expect("a program");
    }
    for path in [None, Some(few.as_path())] {
        let found = router.read().await.expect("it reads");
        router.set(&found, Split::ALL_GREEN).await.expect("it sets");
        stage.haproxy.tell("set server app/blue state drain");
        assert_eq!(walk(&way.files[0].1, path), (Some(0), String::new()), "{path:?}");
        assert_eq!(stage.haproxy.weights(), (3, 0));
        assert_eq!(router.read().await.expect("it reads").split, Split::ALL_BLUE, "blue is out of drain");
    }
    let (code, words) = walk(&way.files[0].1.replace("app/blue", "app/blew"), None);
    assert!(code == Some(1) && words.contains("No such server."), "{code:?} {words}");
    assert_eq!(stage.haproxy.weights(), (3, 0), "green keeps what it has when blue gets nothing");
    // Without a reading the names are enough, unless one stands for several.
    assert!(router.all_on(Color::Blue, None).is_some());
    let settings = json!({ "socket": "/a", "backend": "app", "blue": "b*", "green": "green" });
    assert!(open(&settings).all_on(Color::Blue, None).is_none());
}

/// A runbook of two shifts, with a watch of so long after the first.
fn runbook(stage: &Stage, socket: &Path, bake: &str) -> String {
    let [blue, green] = stage.origins.each_ref().map(|origin| origin.address);
    format!(
        r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
stacks:
  blue:  {{ version: blue, url: "http://{blue}" }}
  green: {{ version: green, url: "http://{green}" }}
routes:
  web:
    haproxy:
      socket: {socket}
      backend: app
      blue: blue
      green: green
    seen_at: {{ url: "http://127.0.0.1:{port}/version", header: x-version, samples: 60, tolerance: 30% }}
schema:
  change: none
gates:
  queue: {{ http: {{ url: "{{url}}/signals", value: /queue }}, max: 5 }}
steps:
  - id: shift-10
    shift: {{ route: web, green: 10% }}
  - id: bake-10
    bake: {{ for: {bake}, windows: 1, gates: [queue] }}
  - id: shift-100
    shift: {{ route: web, green: 100% }}
rollback:
  owner: owner@example.com
  steps:
    - id: back-to-blue
      shift: {{ route: web, blue: 100% }}
"#,
        socket = socket.display(),
        port = stage.haproxy.port,
    )
}

fn desk(stage: &Stage, socket: &Path, bake: &str) -> Desk {
    let desk = Desk::new();
    desk.write("runbook.yaml", &runbook(stage, socket, bake));
    desk
}

/// The process dies between its two writes, forward and on the way back. The next one knows the half as its own.
#[test]
fn killed_between_two_calls_it_goes_on_from_the_half() {
    let Some(stage) = Stage::new(&BACKEND.replace("weight 100", "weight 7")) else { return };
    let wire = Wire::to(&stage.haproxy);
    let killed = |desk: &Desk, args: &[&str], words: &str, left: (u32, u32)| {
        wire.next(words, Fate::Held);
        let bgctl = desk.start(args);
        wire.held();
        bgctl.signal(Signal::KILL);
        let _: Done = bgctl.end(5);
        assert_eq!(stage.haproxy.weights(), left);
    };
    let cutover = ["cutover", "runbook.yaml", "--confirm", "staging"];
    for (words, left) in [("blue weight 90", (90, 10)), ("blue weight 0", (90, 100))] {
        for next in [&["resume"][..], &["rollback", "--yes"]] {
            let desk = desk(&stage, &wire.socket, "2s");
            // From 7:0 blue gains as well for the tenth, so there is nothing that it could lose.
            if words == "blue weight 90" {
                stage.haproxy.tell("set server app/blue weight 100");
                killed(&desk, &cutover, words, (100, 10));
            } else {
                killed(&desk, &cutover, words, left);
            }
            let found = if words == "blue weight 90" { 100 } else { 7 };
            let done = desk.run(next).ends(0);
            let wanted = if next[0] == "resume" { (0, 100) } else { (found, 0) };
            assert_eq!(stage.haproxy.weights(), wanted, "{next:?}\n{}", done.err);
            assert!(
                desk.records().iter().all(|record| record["type"] != "run.paused"),
                "nobody is asked: {}",
                done.err
            );
            desk.complete();
            desk.run(&["rollback", "--yes"]).ends(0);
            assert_eq!(stage.haproxy.weights(), (found, 0), "the very weights that were found");
            stage.haproxy.tell("set server app/blue weight 7");
        }
    }
    // Inside a rollback: blue has gained, green has not lost.
    let desk = desk(&stage, &wire.socket, "2s");
    desk.run(&cutover).ends(0);
    killed(&desk, &["rollback", "--yes"], "green weight 0", (7, 100));
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!(stage.haproxy.weights(), (7, 0));
    desk.complete();
}

/// The program with answers that are lost on its way: it reads, goes on, and sends nothing twice.
#[test]
fn a_run_goes_on_over_lost_answers() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let wire = Wire::to(&stage.haproxy);
    let desk = desk(&stage, &wire.socket, "2s");
    wire.next("green weight 10", Fate::Unanswered);
    wire.next("blue weight 0", Fate::Unanswered);
    let done = desk.run(&["cutover", "runbook.yaml", "--confirm", "staging"]).ends(0);
    assert_eq!(stage.haproxy.weights(), (0, 100), "{}", done.err);
    desk.complete();
    wire.next("blue weight 100", Fate::Lost);
    wire.next("green weight 0", Fate::Unanswered);
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!(stage.haproxy.weights(), (100, 0));
    desk.complete();
}

/// HAProxy gives no answer from the middle of a change on, until the run pauses for it, and then does again.
#[test]
fn a_half_is_gone_on_with_when_haproxy_answers_again() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let wire = Wire::to(&stage.haproxy);
    let desk = desk(&stage, &wire.socket, "2s");
    wire.next("blue weight 90", Fate::Held);
    let bgctl = desk.start(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    wire.held();
    wire.away(true);
    desk.wait_for("run.paused", "");
    assert_eq!(stage.haproxy.weights(), (100, 10));
    wire.away(false);
    let done = bgctl.end(100).ends(0);
    assert_eq!(stage.haproxy.weights(), (0, 100), "{}", done.err);
    desk.complete();
}

/// Weights lost by somebody's reload in a bake: found, named, and not written over.
#[test]
fn weights_lost_by_somebodys_reload_stop_the_run() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let desk = desk(&stage, &stage.haproxy.socket(), "90s");
    let bgctl = desk.start(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    desk.wait_for("step.intent", "bake-10");
    stage.haproxy.reload();
    let done = bgctl.end(80);
    assert_ne!(done.code, 0);
    let words = done.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("somebody has reloaded HAProxy") && words.contains("BLUE 100 GREEN 0"),
        "{}: {}",
        done.code,
        done.err
    );
    assert_eq!(stage.haproxy.weights(), (100, 0));
    desk.run(&["rollback", "--yes"]).ends(0);
}

/// Somebody writes a weight in a bake: found and left alone.
#[test]
fn a_weight_that_somebody_else_sets_is_not_written_over() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let desk = desk(&stage, &stage.haproxy.socket(), "90s");
    let bgctl = desk.start(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    desk.wait_for("step.intent", "bake-10");
    // It looks like the half of the change that is still to come: green has gained, blue has not lost.
    stage.haproxy.tell("set server app/green weight 100");
    desk.wait_for("run.paused", "");
    let paused =
        desk.records().into_iter().find(|record| record["type"] == "run.paused").expect("it paused").to_string();
    assert!(paused.contains("BLUE 47.4 GREEN 52.6") && paused.contains("left it at BLUE 90 GREEN 10"), "{paused}");
    assert_eq!(stage.haproxy.weights(), (90, 100));
    bgctl.signal(Signal::KILL);
    let _: Done = bgctl.end(5);
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!(stage.haproxy.weights(), (100, 0));
}

/// The runbook people copy, played under load: through a whole cutover and the way back no request fails, and none is answered
/// by a side that was left. `BGCTL_LOAD` says how many requests are sent: 1000000 takes some minutes.
#[test]
#[expect(clippy::disallowed_methods, reason = "`BGCTL_LOAD` is a wish of whoever runs the test")]
fn users_who_send_all_the_while_notice_nothing() {
    let wanted: u64 = std::env::var("BGCTL_LOAD").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let Some(stage) = Stage::new(BACKEND) else { return };
    let Some(prometheus) = common::prometheus::Prometheus::scraping(&[([127, 0, 0, 1], stage.haproxy.port).into()])
    else {
        return;
    };
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/slackbot-haproxy.yaml")).expect("it");
    let [blue, green] = stage.origins.each_ref().map(|origin| format!("http://{}", origin.address));
    let mut played = text
        .replace("backend: bot", "backend: app")
        .replace("proxy=\"bot\"", "proxy=\"app\"")
        .replace("environment: production", "environment: staging")
        .replace("v1.4.1", "blue")
        .replace("v1.4.2", "green")
        .replace("[1m]", "[5s]")
        .replace("    approval: { role: release-managers, within: 30m, at_expiry: roll-back }\n", "")
        .replace("you@example.com", rig::OWNER);
    for long in ["for: 5m, windows: 5", "for: 15m"] {
        assert!(played.contains(long));
        played = played.replace(long, "for: 6s, windows: 2");
    }
    let mut desk = Desk::new();
    desk.write("runbook.yaml", &played);
    let socket = stage.haproxy.socket().display().to_string();
    let public = format!("http://127.0.0.1:{}", stage.haproxy.port);
    for (name, value) in [
        ("socket", socket),
        ("blue_url", blue),
        ("green_url", green),
        ("public_url", public),
        ("prometheus_url", prometheus.url.clone()),
    ] {
        desk.env.insert(format!("BGCTL_VAR_{name}"), value);
    }

    let load = Load::start(stage.haproxy.port, 16);
    load.until(wanted / 5);
    load.only(None);
    desk.run(&["cutover", "runbook.yaml", "--confirm", "staging"]).ends(0);
    assert_eq!(stage.haproxy.weights(), (0, 100));
    load.only(Some(Color::Green));
    let on_green = load.answered();
    load.until(on_green + wanted / 5);
    load.only(None);
    desk.run(&["rollback", "--yes"]).ends(0);
    load.only(Some(Color::Blue));
    let on_blue = load.answered();
    load.until(wanted.max(on_blue + wanted / 5));
    let counts = load.end();
    desk.complete();

    let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::SeqCst);
    let words = counts.words.lock().expect("no panic").clone();
    assert_eq!((count(&counts.failed), count(&counts.wrong)), (0, 0), "{counts:?}\n{words}");
    // HAProxy and both servers have counted the same; its probes of `/version` come on top.
    let by_origins = stage.origins.each_ref().map(|origin| (count(&origin.served), count(&origin.twice)));
    assert_eq!(by_origins, [(count(&counts.blue), 0), (count(&counts.green), 0)]);
    let of = |column: &str| ["blue", "green"].map(|server| stage.haproxy.stat(server, column));
    let (answered, errors) = (of("hrsp_2xx"), [of("hrsp_5xx"), of("econ"), of("eresp"), of("wretr"), of("wredis")]);
    assert_eq!(errors, [[0, 0]; 5], "HAProxy has seen no error");
    assert!(answered[0] >= count(&counts.blue) && answered[1] >= count(&counts.green), "{answered:?}");
    println!(
        "{} requests, {} of them POST: {} by blue, {} by green, 0 failed, 0 from the side that was left, 0 twice; HAProxy counted {answered:?}",
        count(&counts.sent),
        count(&counts.posts),
        count(&counts.blue),
        count(&counts.green)
    );
}

/// Somebody who waits for an answer of blue that takes half a minute: whether it came.
fn long_answer(port: u16) -> std::thread::JoinHandle<bool> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.write_all(b"GET /load?ms=30000 HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n").expect("a request");
    std::thread::spawn(move || {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.starts_with("HTTP/1.1 200")
    })
}

/// What takes blue out of HAProxy and gives it back, told by one word.
const READINESS: &str = r#"#!/bin/sh
echo "$1" >>readiness.log
[ -e fails ] && exit 3
[ -e hangs ] && exec sleep 60
exec python3 - "$1" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("SOCKET")
s.sendall(f"set server app/blue state {sys.argv[1]}\n".encode())
print(s.recv(999).decode())
END
"#;

/// A drain with all its acts on a real HAProxy: a program takes blue out, its clients are asked to reconnect, what is left is cut and
/// counted. Whoever goes back afterwards makes blue ready first: the same run, another machine, the script, a second try behind
/// one that was killed.
#[test]
fn a_drain_does_what_it_declares_and_the_way_back_undoes_it() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let socket = stage.haproxy.socket();
    let drain = r#"  - id: drain-blue
    drain:
      stack: blue
      within: 4s
      unready: { run: [./readiness, drain] }
      reconnect: { over: 1s }
      at_timeout: cut
rollback:
"#;
    let ready = "    - id: ready-blue
      ready: { stack: blue, by: { run: [./readiness, ready], directory: HERE }, within: 3s }
    - id: back-to-blue\n";
    let text = runbook(&stage, &socket, "2s").replace("rollback:\n", drain).replace("    - id: back-to-blue\n", ready);
    let prepared = || {
        let desk = Desk::new();
        desk.write("runbook.yaml", &text.replace("HERE", &desk.path(".").display().to_string()));
        desk.write("readiness", &READINESS.replace("SOCKET", &socket.display().to_string()));
        assert!(Command::new("chmod").arg("+x").arg(desk.path("readiness")).status().expect("chmod").success());
        desk
    };
    let made_ready = |desk: &Desk| {
        let log = std::fs::read_to_string(desk.path("readiness.log")).unwrap_or_default();
        log.lines().filter(|line| *line == "ready").count()
    };
    let in_drain = || stage.haproxy.status("blue").starts_with("DRAIN");
    let desk = prepared();
    desk.run(&["plan", "runbook.yaml"])
        .says(&["drain BLUE by `./readiness drain`, asking its", "make BLUE ready by `./readiness ready`"]);
    let answers = [long_answer(stage.haproxy.port), long_answer(stage.haproxy.port)];
    desk.run(&["cutover", "runbook.yaml", "--confirm", "staging"]).ends(0);
    assert!(answers.into_iter().all(|answer| !answer.join().expect("no panic")), "both were cut");
    assert!(in_drain() && stage.haproxy.weights() == (0, 100));
    let records = desk.records();
    let measured = records.iter().find(|record| record["type"] == "drain.measured").expect("it was measured");
    assert_eq!(measured["data"]["connections"], json!({ "most": 2, "asked": 1, "cut": 2, "left": 0 }));
    let sent = |record: &Value| {
        record["data"]["action"].as_str().is_some_and(|a| a.contains("shutdown sessions server app/blue"))
    };
    assert!(records.iter().any(sent));
    desk.run(&["retro"]).says(&["2 connections held by the route, 1 asked to reconnect: 0 ended, 2 cut, 0 left"]);
    desk.complete();

    // A person goes back, and is killed while blue is made ready. The next one does it again.
    desk.write("hangs", "");
    let running = desk.start(&["rollback", "--yes"]);
    rig::until("the program runs", 10, || made_ready(&desk) == 1);
    running.signal(Signal::KILL);
    let _: Done = running.end(5);
    assert_eq!(stage.haproxy.weights(), (0, 100), "nobody is sent to a blue that is out");
    std::fs::remove_file(desk.path("hangs")).expect("it is there");
    desk.run(&["rollback", "--yes"]).ends(0);
    assert!(stage.haproxy.weights() == (100, 0) && !in_drain());
    desk.complete();

    // Another machine, which knows of no drain.
    let away = || {
        let away = "set server app/blue state drain; set server app/green weight 100; set server app/blue weight 0";
        stage.haproxy.tell(away);
        assert!(in_drain() && stage.haproxy.weights() == (0, 100));
    };
    away();
    let other = prepared();
    let printed = other.run(&["rollback", "runbook.yaml", "--print"]).ends(0);
    let first: Vec<&str> = printed.out.lines().take(2).collect();
    assert!(first[0].starts_with("# first, and on only when BLUE is healthy again"), "{}", printed.out);
    assert!(first[1].starts_with("(cd ") && first[1].ends_with("&& ./readiness ready)"), "{}", printed.out);
    other.run(&["rollback", "runbook.yaml", "--yes"]).ends(0);
    assert!(stage.haproxy.weights() == (100, 0) && !in_drain() && made_ready(&other) == 1);
    other.complete();

    // The script that lies beside the log.
    away();
    let script = desk.runs()[0].join("undo/web.sh");
    assert!(Command::new("sh").arg(&script).output().expect("sh").status.success());
    assert!(stage.haproxy.weights() == (100, 0) && !in_drain() && made_ready(&desk) == 3);
    // It goes no further behind a program that fails, and a part of it is offered to nobody.
    away();
    desk.write("fails", "");
    assert!(!Command::new("sh").arg(&script).output().expect("sh").status.success());
    assert_eq!(stage.haproxy.weights(), (0, 100));
    let halted = desk.run(&["rollback", "--yes"]);
    assert!(!halted.err.contains("web-haproxy.sh") && halted.err.contains("web.sh"), "{}", halted.err);
    std::fs::remove_file(desk.path("fails")).expect("it is there");
    desk.run(&["rollback", "--yes"]).ends(0);
    // Everybody on a blue that is out is no "nothing to do".
    stage.haproxy.tell("disable health app/blue; set server app/blue health down");
    let out = desk.run(&["rollback", "--yes"]);
    assert!(
        out.code != 0 && out.err.contains("BLUE cannot take them") && out.err.contains("./readiness ready"),
        "{}",
        out.err
    );
    stage.haproxy.tell("enable health app/blue");
    stage.haproxy.until("blue is well", |_| stage.haproxy.status("blue") == "UP");

    // A green that dies while blue is out is a reason to go back, and not to stay.
    let other = prepared();
    let bake = "  - id: watch\n    bake: { for: 60s, windows: 1, gates: [queue] }\nrollback:\n";
    let watched = std::fs::read_to_string(other.path("runbook.yaml")).expect("it").replace("rollback:\n", bake);
    other.write("runbook.yaml", &watched);
    let running = other.start(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    other.wait_for("step.intent", "watch");
    stage.haproxy.tell("set server app/green state maint");
    let done = running.end(60);
    assert_eq!(done.code, 10, "{}", done.err);
    assert!(stage.haproxy.weights().0 == 100 && !in_drain() && made_ready(&other) == 1, "{}", done.err);
    stage.haproxy.tell("set server app/green state ready");

    // A program that fails: with blue out nobody is sent there, with blue well they go home.
    away();
    let other = prepared();
    other.write("fails", "");
    let halted = other.run(&["rollback", "runbook.yaml", "--yes"]);
    let said = halted.err.contains("BLUE is not made ready: `./readiness` ended with status 3");
    assert!(halted.code != 0 && said, "{}", halted.err);
    assert_eq!(stage.haproxy.weights(), (0, 100));
    stage.haproxy.tell("set server app/blue state ready");
    other.run(&["rollback", "runbook.yaml", "--yes"]).ends(0);
    assert_eq!(stage.haproxy.weights(), (100, 0));
}

/// Nobody who still gets users is cut, and what HAProxy says to a cut stands in the answer.
#[tokio::test]
async fn only_a_side_without_a_share_is_cut() {
    let Some(stage) = Stage::new(BACKEND) else { return };
    let router = stage.router();
    let waiting = long_answer(stage.haproxy.port);
    stage.haproxy.until("it waits", |_| stage.haproxy.stat("blue", "scur") == 1);
    assert_eq!(router.lingering(Color::Blue).await.expect("counted"), 1);
    let error = router.cut(Color::Blue).await.expect_err("blue serves");
    assert!(error.what.contains("still sends users to BLUE") && error.calls.is_empty(), "{error:?}");
    assert_eq!(stage.haproxy.stat("blue", "scur"), 1);
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.expect("moved");
    let operator = open(&stage.settings(&stage.haproxy.path("operator.sock")));
    let error = operator.cut(Color::Blue).await.expect_err("it may not");
    assert!(error.kind == Trouble::Denied && error.calls.len() == 1, "{error:?}");
    let cut = router.cut(Color::Blue).await.expect("cut");
    assert_eq!((cut.connections, cut.calls.len(), cut.calls[0].code.as_str()), (1, 1, "ok"));
    assert!(!waiting.join().expect("no panic"));
    stage.haproxy.until("it is gone", |_| stage.haproxy.stat("blue", "scur") == 0);
    assert!(router.cut(Color::Blue).await.expect("nothing to cut").calls.is_empty());
}
