//! The runbook that people copy, played to its end by the real program under load; and what a run that is killed leaves behind.

use std::sync::atomic::Ordering;

use bgctl::plan::{Color, Split};
use rustix::process::Signal;

use crate::common::haproxy::Load;
use crate::common::peer;
use crate::rig::{self, Desk};
use crate::{Stage, Wire};

const RUNBOOK: &str = include_str!("../../runbooks/site-envoy.yaml");

/// The runbook with the places of this machine, and without its long waits and what it asks people.
fn desk(stage: &Stage, admin: &str) -> Desk {
    let mut text = RUNBOOK.to_string();
    for (written, here) in [
        ("environment: production", "environment: staging"),
        ("you@example.com", rig::OWNER),
        ("v1.4.1", "blue"),
        ("v1.4.2", "green"),
        ("    approval: { role: release-managers, within: 30m, at_expiry: roll-back }\n", ""),
        ("for: 5m, windows: 5, fail: 2", "for: 2s, windows: 1"),
        ("for: 15m", "for: 2s"),
        ("longest_job: 30s", "longest_job: 1s"),
    ] {
        assert!(text.contains(written), "the runbook has no `{written}`");
        text = text.replace(written, here);
    }
    let mut desk = Desk::new();
    desk.write("runbook.yaml", &text);
    let [blue, green] = stage.origins.each_ref().map(|origin| format!("http://{}", origin.address));
    for (name, value) in [
        ("file", stage.envoy.routes().display().to_string()),
        ("admin", admin.to_string()),
        ("blue_url", blue),
        ("green_url", green),
        ("public_url", format!("http://127.0.0.1:{}", stage.envoy.port)),
    ] {
        desk.env.insert(format!("BGCTL_VAR_{name}"), value);
    }
    desk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runbook_is_played_to_its_end_and_back_and_nobody_notices() {
    let Some(stage) = Stage::start() else { return };
    let desk = desk(&stage, &stage.envoy.at());
    let load = Load::start(stage.envoy.port, 4);
    load.until(500);
    load.only(None);
    desk.cutover().end(120).ends(0).says(&["COMPLETED"]);
    load.only(Some(Color::Green));
    assert_eq!(stage.envoy.green(20), 20);
    desk.complete();
    let log = String::from_utf8(desk.log()).expect("a log is text");
    assert!(log.contains("move ") && log.contains("Envoy 1.40.0"), "{log}");
    desk.run(&["status"]).ends(0).says(&["GREEN 100"]);
    load.only(None);
    desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
    load.only(Some(Color::Blue));
    load.until(load.answered() + 500);
    let counts = tokio::task::block_in_place(|| load.end());
    let words = counts.words.lock().expect("no panic").clone();
    let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::SeqCst);
    assert_eq!((count(&counts.failed), count(&counts.wrong)), (0, 0), "{counts:?}\n{words}");
    assert_eq!(stage.envoy.green(20), 0);
    desk.complete();

    // Without bgctl: what it prints is pasted into a shell.
    let printed = desk.run(&["rollback", "--print", "runbook.yaml"]).ends(0).out;
    stage.set(1000).await.expect("all on green");
    let pasted = desk.shell(&printed).end(30);
    assert_eq!(pasted.code, 0, "{printed}\n{}", pasted.err);
    assert_eq!((stage.envoy.green(20), stage.read().await.split), (0, Split::ALL_BLUE));
    stage.is_tidy();
}

/// Killed between the move and Envoy's word, forward and back: the world is read, and users end where they should.
#[tokio::test]
async fn whoever_is_killed_goes_on_from_the_world() {
    let Some(stage) = Stage::start() else { return };
    // Nobody hears of what Envoy runs while the mark lies there and the file says so.
    let (mark, file) = (stage.envoy.path("hold"), stage.envoy.routes());
    let held = mark.clone();
    let wire = Wire::to(&stage.envoy, move || {
        let wanted = std::fs::read_to_string(&held).unwrap_or_default();
        !wanted.is_empty() && std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&wanted))
    });
    let desk = desk(&stage, &wire.at);

    std::fs::write(&mark, "weight: 5000").expect("a mark");
    let mut run = desk.cutover();
    for _ in 0..6000 {
        if stage.envoy.runs().2 == 5_000 || !run.alive() {
            break;
        }
        rig::pause(10);
    }
    assert!(run.alive(), "{:?}", run.end(1));
    wire.holds();
    run.signal(Signal::KILL);
    run.end(10);
    std::fs::remove_file(&mark).expect("the mark");
    assert_eq!(stage.read().await.split, Split::of_green(500), "what was moved is moved");
    desk.run(&["resume", "--no-input"]).ends(0).says(&["COMPLETED"]);
    assert_eq!(stage.envoy.green(20), 20);

    // The same on the way back.
    std::fs::write(&mark, "{name: green, weight: 0}").expect("a mark");
    let mut back = desk.start(&["rollback", "--yes"]);
    for _ in 0..6000 {
        if stage.envoy.runs().2 == 0 || !back.alive() {
            break;
        }
        rig::pause(10);
    }
    assert!(back.alive(), "{:?}", back.end(1));
    back.signal(Signal::KILL);
    back.end(10);
    std::fs::remove_file(&mark).expect("the mark");
    desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
    assert_eq!((stage.envoy.green(20), stage.read().await.split), (0, Split::ALL_BLUE));
    stage.is_tidy();
}

/// What starts the real thing for people, played as they play it.
#[test]
fn the_rig_to_try_it_with_works() {
    let (Some(_), Some(_), Some(_)) = (peer("envoy"), peer("curl"), peer("python3")) else { return };
    let mut desk = Desk::new();
    // Four free ports in a row, below those that other tests take.
    let free = |port: &u32| (0..4).all(|n| std::net::TcpListener::bind(("127.0.0.1", (port + n) as u16)).is_ok());
    let first = (0..2500).map(|n| 9_000 + (std::process::id() + n) % 2500 * 4).find(free).expect("four ports");
    desk.env.insert("PORT".into(), first.to_string());
    let folder = desk.path("site").display().to_string();
    let started = desk.shell(&format!("{} {folder}", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/envoy/try"))).end(30);
    assert_eq!(started.code, 0, "{}", started.err);
    let text = std::fs::read_to_string(format!("{folder}/runbook.yaml")).expect("a runbook");
    std::fs::write(format!("{folder}/runbook.yaml"), text.replace("you@example.com", rig::OWNER)).expect("a file");
    let commands: Vec<Vec<&str>> = started.out.lines().map(|line| line.split(' ').collect()).collect();
    let cutover = desk.run(&commands[0][1..]);
    let ended = [cutover.code, desk.run(&["rollback", "--yes"]).code];
    let stopped = desk.shell(commands[2][0]).end(30);
    assert_eq!((ended, stopped.code), ([0, 0], 0), "{}\n{}", started.out, cutover.err);
}
