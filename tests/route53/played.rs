//! The runbook that people copy, played by the real program; and what becomes of users when it is killed where it hurts.

use bgctl::clock::{Clock, SystemClock};
use rustix::process::Signal;
use serde_json::json;

use crate::CHANGE;
use crate::common::route53::Zone;
use crate::rig::{Desk, until};

const RUNBOOK: &str = include_str!("../../runbooks/bot-route53.yaml");

/// The runbook with the zone and the addresses of this machine.
fn desk(zone: &Zone) -> Desk {
    let mut desk = Desk::new();
    let bots = ["v1", "v2"].map(|_| format!("http://{}", crate::common::answering("text/plain", "ok")));
    let mut text = RUNBOOK.to_string();
    for (written, here) in [
        ("you@example.com", "owner@example.com".to_string()),
        ("http://bot-v1.internal:8080", bots[0].clone()),
        ("http://bot-v2.internal:8080", bots[1].clone()),
        ("Z0123456789ABCDEFGHIJ", zone.id.clone()),
        ("bot.example.com:8080", format!("bot.example.test:{}", zone.bots[0].port)),
        ("bot.example.com", "bot.example.test".into()),
    ] {
        assert!(text.contains(written), "the runbook has no `{written}`");
        text = text.replace(written, &here);
    }
    desk.write("runbook.yaml", &text);
    for (name, value) in zone.api.env() {
        desk.env.insert(name.into(), value);
    }
    desk
}

/// What the program waits for is told by a runtime of its own.
fn played(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test);
}

#[test]
fn the_runbook_is_played_to_its_end_and_back() {
    played(async {
        let Some(zone) = Zone::start(300).await else { return };
        let desk = desk(&zone);
        // The plan says how long going back takes, and what is lacking.
        desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["up to 300 s after Route 53 has it", "as long and 60 s"]);
        desk.cutover().end(60).ends(11).says(&["the TTL of bot.example.test A is 300 s", "bgctl prepare"]);
        desk.run(&["prepare", "runbook.yaml", "--confirm", "staging"]).ends(0);
        assert_eq!(zone.weights().await, (100, 0));
        desk.cutover().end(60).says(&["resolvers may hold the answer of before"]);
        assert_eq!(zone.weights().await, (100, 0), "nobody moves before it is waited out");
        // Five minutes ago by the TXT.
        let text = zone.beside().await.expect("a TXT");
        let since: u64 = text.split("since=").nth(1).expect("since when").parse().expect("a number");
        let earlier = text.replace(&since.to_string(), &(since - 301).to_string());
        zone.put(&[json!({
            "Name": "_bgctl.bot.example.test.", "Type": "TXT", "TTL": 60, "ResourceRecords": [format!("\"{earlier}\"")],
        })])
        .await;
        desk.cutover().end(60).ends(0).says(&["COMPLETED"]);
        assert_eq!(zone.weights().await, (0, 100));
        desk.complete();
        desk.run(&["status"]).ends(0).says(&["GREEN 100"]);
        desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
        assert_eq!(zone.weights().await, (100, 0));
        desk.complete();
        // Without bgctl: the files and the command of the run's folder.
        zone.put(&[crate::record("bot-blue", 0, 60, crate::BLUE), crate::record("bot-green", 9, 60, crate::GREEN)])
            .await;
        let undo = desk.runs().into_iter().map(|run| run.join("undo/web.sh")).find(|undo| undo.exists());
        let undo = undo.expect("a way back without bgctl");
        let script = std::fs::read_to_string(&undo).expect("the command");
        assert!(script.contains("aws route53 change-resource-record-sets"), "{script}");
        let path = zone.api.aws.parent().expect("a folder").display().to_string();
        let line = format!("PATH={path}:$PATH; cd {}; sh ./web.sh", undo.parent().expect("a folder").display());
        let pasted = desk.shell(&line).end(60);
        assert_eq!(pasted.code, 0, "{script}\n{}", pasted.err);
        assert_eq!(zone.weights().await, (100, 0));
    });
}

/// Killed with the batch written and its answer not come, and with the batch not sent: forward, and on the way back.
#[test]
fn what_is_killed_is_gone_on_with_from_the_weights() {
    played(async {
        let Some(zone) = Zone::start(60).await else { return };
        let desk = desk(&zone);
        let killed = async |args: &[&str], left: (u64, u64)| {
            // It hangs in the wait for INSYNC, after the write.
            zone.set(json!({ "pending": 100_000 })).await;
            let asked = zone.calls("GetChange").await.len();
            let bgctl = desk.start(args);
            for _ in 0..400 {
                if zone.calls("GetChange").await.len() > asked {
                    break;
                }
                SystemClock.sleep(std::time::Duration::from_millis(50)).await;
            }
            assert_eq!(zone.weights().await, left, "{args:?}");
            bgctl.signal(Signal::KILL);
            bgctl.end(10);
            zone.set(json!({ "pending": 0 })).await;
        };
        let cutover = ["cutover", "runbook.yaml", "--confirm", "staging"];
        killed(&cutover, (90, 10)).await;
        desk.run(&["resume", "--no-input"]).ends(0).says(&["COMPLETED"]);
        assert_eq!(zone.weights().await, (0, 100));
        // Inside a rollback, twice.
        killed(&["rollback", "--yes"], (100, 0)).await;
        desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
        assert_eq!(zone.weights().await, (100, 0));

        killed(&cutover, (90, 10)).await;
        desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
        assert_eq!(zone.weights().await, (100, 0));
        desk.complete();
    });
}

/// Answers that never come, before and after the write: the program reads, goes on, and sends nothing twice.
#[test]
fn a_run_goes_on_over_lost_answers() {
    played(async {
        let Some(zone) = Zone::start(60).await else { return };
        let desk = desk(&zone);
        // The proof of who we are is the first batch of a run.
        zone.faults(json!([{ "on": CHANGE, "do": "pass" }, { "on": CHANGE, "do": "lose-after" }])).await;
        desk.cutover().end(200).ends(0).says(&["COMPLETED"]);
        assert_eq!(zone.weights().await, (0, 100));
        desk.complete();
        zone.faults(json!([{ "on": CHANGE, "do": "lose-after" }])).await;
        desk.run(&["rollback", "--yes"]).ends(0);
        assert_eq!(zone.weights().await, (100, 0));
        desk.complete();
    });
}

/// Somebody sets other weights between two steps: found, named and left alone; a person goes back.
#[test]
fn weights_that_somebody_else_sets_are_not_written_over() {
    played(async {
        let Some(zone) = Zone::start(60).await else { return };
        let desk = desk(&zone);
        zone.set(json!({ "pending": 100_000 })).await;
        let bgctl = desk.cutover();
        until("the tenth is written", 30, || desk.records().iter().any(|record| record["type"] == "step.intent"));
        for _ in 0..400 {
            if zone.weights().await == (90, 10) {
                break;
            }
            SystemClock.sleep(std::time::Duration::from_millis(50)).await;
        }
        zone.put(&[crate::record("bot-blue", 50, 60, crate::BLUE), crate::record("bot-green", 50, 60, crate::GREEN)])
            .await;
        zone.set(json!({ "pending": 0, "changes": {} })).await;
        until("it is said", 60, || desk.records().iter().any(|record| record.to_string().contains("BLUE 50 GREEN 50")));
        assert_eq!(zone.weights().await, (50, 50));
        bgctl.signal(Signal::KILL);
        bgctl.end(10);
        desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
        assert_eq!(zone.weights().await, (100, 0));
    });
}
