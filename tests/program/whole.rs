//! The runbook that ships with the `program` route, as real processes: a real Redis holds the flag, and its own client is the
//! witness. It is killed wherever it is, and gone on with.

use std::path::Path;
use std::process::Command;

use bgctl::clock::{Clock, SystemClock};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common;
use crate::common::bots::Redis;
use crate::rig::{Desk, pause};

struct Stage {
    desk: Desk,
    redis: Redis,
}

impl Stage {
    fn new() -> Option<Stage> {
        common::peer("python3")?;
        common::peer("redis-cli")?;
        let redis = Redis::start(&[])?;
        let bots = ["v1", "v2"].map(|_| format!("http://{}", common::answering("text/plain", "ok")));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("runbooks/program-flag.yaml")).expect("the runbook");
        let program = root.join("examples/program-route/redis_flag.py").display().to_string();
        let text = text.replace("/opt/bot/redis_flag.py", &program).replace("you@example.com", "owner@example.com");
        let text =
            text.replace("http://bot-v1.internal:8080", &bots[0]).replace("http://bot-v2.internal:8080", &bots[1]);
        let mut desk = Desk::new();
        desk.write("runbook.yaml", &text);
        desk.env.insert("FLAG_REDIS".into(), format!("127.0.0.1:{}", redis.port));
        let stage = Stage { desk, redis };
        stage.hold(100, 0);
        Some(stage)
    }

    fn cli(&self, words: &[&str]) -> String {
        let cli = common::peer("redis-cli").expect("a client");
        let output = Command::new(cli).args(["-p", &self.redis.port.to_string()]).args(words).output();
        String::from_utf8(output.expect("redis-cli").stdout).expect("a text")
    }

    fn hold(&self, off: u32, on: u32) {
        self.cli(&["SET", "flag:new-bot", &json!({ "off": off, "on": on }).to_string()]);
    }

    /// Green's weight of 100, as Redis holds it.
    fn green(&self) -> u64 {
        let held: Value = serde_json::from_str(&self.cli(&["GET", "flag:new-bot"])).expect("JSON");
        let weight = |name: &str| held[name].as_u64().expect("a weight");
        weight("on") * 100 / (weight("on") + weight("off"))
    }
}

#[test]
fn the_runbook_that_ships_moves_users_and_brings_them_back() {
    let Some(stage) = Stage::new() else { return };
    stage.desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["flag flag:new-bot in Redis"]);
    stage.desk.cutover().end(60).ends(0);
    assert_eq!(stage.green(), 100);
    stage.desk.complete();
    stage.desk.run(&["rollback", "--yes", "--reason", "a test"]).ends(0);
    assert_eq!(stage.green(), 0);
    // The provider's own command lies in the folder of the run, and needs no bgctl.
    stage.hold(0, 100);
    let undo = stage.desk.runs()[0].join("undo/flag.sh");
    let script = std::fs::read_to_string(&undo).expect("the command");
    assert!(script.contains("redis-cli -u \"redis://$FLAG_REDIS\" set"), "{script}");
    let status = stage.desk.command("sh").arg(&undo).status().expect("a shell");
    assert!(status.success() && stage.green() == 0, "{status}: {}", stage.green());
}

#[test]
fn what_is_killed_is_gone_on_with_from_what_the_program_reads() {
    let Some(stage) = Stage::new() else { return };
    let clock = SystemClock;
    let begun = clock.elapsed();
    stage.desk.cutover().end(60).ends(0);
    let whole = u64::try_from((clock.elapsed() - begun).as_millis()).expect("a short time");
    for n in 1..=3 {
        stage.hold(100, 0);
        let killed = stage.desk.cutover();
        pause(whole * n / 4);
        killed.signal(Signal::KILL);
        killed.end(10);
        // A person goes back from wherever it was, and again, and stays there.
        stage.desk.run(&["rollback", "runbook.yaml", "--yes", "--reason", "it was killed"]).ends(0);
        assert_eq!(stage.green(), 0, "killed after {n} of 4 parts");
    }
    // A rollback that is killed is begun again.
    for n in 1..=2 {
        stage.hold(0, 100);
        let killed = stage.desk.start(&["rollback", "runbook.yaml", "--yes", "--reason", "one"]);
        pause(120 * n);
        killed.signal(Signal::KILL);
        killed.end(10);
        stage.desk.run(&["rollback", "runbook.yaml", "--yes", "--reason", "two"]).ends(0);
        assert_eq!(stage.green(), 0, "a rollback killed after {} ms", 120 * n);
    }
}

#[test]
fn a_trial_is_confirmed_and_leaves_the_place_as_it_was() {
    let Some(stage) = Stage::new() else { return };
    stage
        .desk
        .run(&["route", "test", "runbook.yaml", "flag"])
        .ends(64)
        .says(&["--confirm staging", "nothing was changed"]);
    stage.desk.run(&["route", "test", "runbook.yaml", "other"]).ends(64).says(&["it has flag"]);
    let tried = stage.desk.run(&["route", "test", "runbook.yaml", "flag", "--confirm", "staging"]).ends(0);
    tried.says(&["keeps the contract: 14 promises tried"]);
    assert_eq!(stage.green(), 0);
    stage.desk.run(&["route", "schema"]).ends(0).says(&["\"manual-rollback\"", "\"attempt\""]);
}

#[test]
fn a_trial_moves_nobody_whom_a_run_may_not_move_now() {
    let Some(mut stage) = Stage::new() else { return };
    let test = ["route", "test", "runbook.yaml", "flag", "--confirm", "staging"];
    // While one moves these users no other does.
    let first = stage.desk.start(&test);
    crate::rig::until("users are moved", 20, || stage.green() > 0);
    stage.desk.run(&test).ends(75).says(&["BG0401", "is locked by `bgctl route test`", "wait until it has ended"]);
    stage.desk.cutover().end(30).says(&["BG0401"]);
    // Ctrl-C ends it, and says where users are.
    first.signal(Signal::INT);
    let ended = first.end(30).says(&["the trial was ended after", "Ctrl-C", "read just now"]);
    let home = ended.err.contains("users    BLUE 100 GREEN 0, read just now");
    assert_eq!(ended.code, if home { 11 } else { 20 }, "{}", ended.err);
    assert_eq!(ended.err.contains("bgctl rollback runbook.yaml"), !home, "{}", ended.err);
    stage.desk.run(&["rollback", "runbook.yaml", "--yes", "--reason", "after a trial"]).ends(0);
    assert_eq!(stage.green(), 0);
    // Whoever brings users back takes the lease, and from there on the trial moves nobody. One that goes on for longer than a
    // holder is waited for:
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/program-route/redis_flag.py");
    let program = std::fs::read_to_string(&root).expect("the program");
    assert!(program.contains("\"lands_within_s\": 5"));
    stage.desk.write("slow.py", &program.replace("\"lands_within_s\": 5", "\"lands_within_s\": 20"));
    let text = std::fs::read_to_string(stage.desk.path("runbook.yaml")).expect("the runbook");
    let run =
        format!("{}, {}", common::peer("python3").expect("python").display(), stage.desk.path("slow.py").display());
    stage.desk.write("runbook.yaml", &text.replace(&root.display().to_string(), &run));
    let second = stage.desk.start(&test);
    crate::rig::until("users are moved", 20, || stage.green() > 0);
    stage
        .desk
        .run(&["rollback", "runbook.yaml", "--yes", "--reason", "during a trial"])
        .ends(0)
        .says(&["a trial of a route"]);
    second.end(10).says(&["the trial was ended", "lease"]);
    assert_eq!(stage.green(), 0);
    // Not under a freeze, and not under a policy.
    stage.desk.env.insert("BGCTL_FREEZE".into(), "1".into());
    stage.desk.run(&test).says(&["BG0402"]);
    stage.desk.env.remove("BGCTL_FREEZE");
    std::fs::create_dir_all(stage.desk.path(".bgctl")).expect("a folder");
    let key = std::fs::read_to_string(stage.desk.path("key.pub")).expect("a key");
    stage.desk.write(".bgctl/allowed_signers", &format!("owner@example.com namespaces=\"bgctl-*\" {key}"));
    stage
        .desk
        .write(".bgctl/policy.yaml", "bgctl_policy: 1\npersons: { owner: { principals: [owner@example.com] } }\n");
    stage.desk.run(&test).says(&["a policy holds for this service", "keeps no log"]);
    assert_eq!(stage.green(), 0);
}

#[test]
fn a_share_that_a_program_cannot_give_is_refused_before_anybody_moves() {
    let Some(stage) = Stage::new() else { return };
    // The same program, of a place that has no weights.
    let python = common::peer("python3").expect("python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/route.py");
    let file = stage.desk.path("weights.json");
    std::fs::write(&file, r#"{"off":100,"on":0}"#).expect("a file");
    let text = std::fs::read_to_string(stage.desk.path("runbook.yaml")).expect("the runbook");
    let at = text.find("run: [").expect("the program");
    let end = at + text[at..].find(']').expect("its end");
    let run = format!("run: [{}, {}, one-side, {}", python.display(), script.display(), file.display());
    stage.desk.write("runbook.yaml", &format!("{}{run}{}", &text[..at], &text[end..]));
    stage.desk.cutover().end(30).ends(65).says(&["BG0126", "cannot be at BLUE 90 GREEN 10", "Nothing was changed"]);
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), r#"{"off":100,"on":0}"#);
}
