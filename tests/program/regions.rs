//! Several routes in one runbook, moved one after the other: the runbook that ships, with each region's weights in a file. The files
//! are the witness, and the log says in which order they changed.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common;
use crate::rig::{Desk, pause, until};

const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-south"];

struct Stage {
    desk: Desk,
    /// What each region says of its errors, in per cent.
    errors: [Arc<Mutex<u32>>; 3],
}

impl Stage {
    fn new() -> Option<Stage> {
        let python = common::peer("python3")?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut desk = Desk::new();
        let errors: [Arc<Mutex<u32>>; 3] = std::array::from_fn(|_| Arc::default());
        let mut text = std::fs::read_to_string(root.join("runbooks/regions.yaml")).expect("the runbook");
        let script = root.join("tests/program/route.py").display().to_string();
        for (region, errors) in REGIONS.iter().zip(&errors) {
            let place = desk.path(&format!("{region}.json"));
            let edge = edge(place.clone(), errors.clone());
            let line = text
                .lines()
                .find(|line| line.contains(&format!("edge-{region},")))
                .or_else(|| text.lines().find(|line| line.contains(&format!("edge-{region}]"))));
            let nginx = line.unwrap_or_else(|| panic!("no place of {region}")).to_string();
            let run = json!([python, script, "good", place]);
            let program = format!("    program: {{ run: {run}, blue: old, green: new, within: 10s }}");
            text = text
                .replace(&nginx, &program)
                .replace(&format!("https://{region}.example.com"), &format!("http://{edge}"));
        }
        let stacks = ["blue", "green"].map(|_| common::answering("text/plain", "ok"));
        for (name, address) in ["blue", "green"].iter().zip(stacks) {
            text = text.replace(&format!("https://{name}.example.com"), &format!("http://{address}"));
        }
        for (written, here) in [
            ("environment: production", "environment: staging"),
            ("you@example.com", "owner@example.com"),
            ("for: 10m", "for: 1s"),
            ("for: 30m", "for: 1s"),
            ("    approval: { role: release-managers, within: 2h, at_expiry: hold }\n", ""),
            ("roles:\n  release-managers: { members: [rm-one@example.com, rm-two@example.com], quorum: 1 }\n", ""),
            ("  page: [pagerduty]", "  automatic_rollback: { at_most: 9, within: 1h }"),
        ] {
            assert!(text.contains(written), "the runbook has no `{written}`");
            text = text.replace(written, here);
        }
        desk.write("runbook.yaml", &text);
        desk.env.insert("NO_PROXY".into(), "127.0.0.1".into());
        let stage = Stage { desk, errors };
        REGIONS.iter().for_each(|region| stage.hold(region, 0));
        Some(stage)
    }

    fn hold(&self, region: &str, green: u32) {
        self.desk.write(&format!("{region}.json"), &json!({ "old": 100 - green, "new": green }).to_string());
    }

    /// Green's share in each region, of 100.
    fn green(&self) -> Vec<u64> {
        let of = |region: &&str| {
            let text = std::fs::read(self.desk.path(&format!("{region}.json"))).expect("a file");
            let held: Value = serde_json::from_slice(&text).expect("JSON");
            let weight = |name: &str| held[name].as_u64().expect("a weight");
            weight("new") * 100 / (weight("new") + weight("old"))
        };
        REGIONS.iter().map(of).collect()
    }

    /// The moves that were made, in the order in which the log has their ends.
    fn moved(&self) -> Vec<String> {
        let records = self.desk.records();
        let ends = records
            .iter()
            .filter(|record| record["type"] == "step.outcome" && record["data"]["outcome"]["is"] == "done");
        let ids = ends.filter_map(|record| record["data"]["id"].as_str());
        ids.filter(|id| id.ends_with("0") && !id.contains("bake") || id.ends_with("-back")).map(String::from).collect()
    }
}

/// A region as its users see it, and what it says of their errors.
fn edge(place: std::path::PathBuf, errors: Arc<Mutex<u32>>) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    listener.set_nonblocking(true).expect("a socket");
    let turn = Arc::new(Mutex::new(0u64));
    std::thread::spawn(move || {
        let signals = move || {
            let errors = *errors.lock().expect("a number");
            async move { axum::Json(json!({ "errors_percent": errors })) }
        };
        let version = move || {
            let held: Value =
                std::fs::read(&place).ok().and_then(|t| serde_json::from_slice(&t).ok()).unwrap_or_default();
            let (old, new) = (held["old"].as_u64().unwrap_or(1), held["new"].as_u64().unwrap_or(0));
            let mut turn = turn.lock().expect("a turn");
            *turn += 1;
            let green = *turn * 37 % (old + new) >= old;
            async move { ([("x-version", if green { "v1.4.2" } else { "v1.4.1" })], "ok") }
        };
        let app = axum::Router::new()
            .route("/signals", axum::routing::get(signals))
            .route("/version", axum::routing::get(version));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await.expect("it serves");
        });
    });
    address
}

#[test]
fn a_region_waits_for_the_one_before_and_all_go_back_latest_first() {
    let Some(stage) = Stage::new() else { return };
    stage.desk.cutover().end(120).ends(0).says(&["COMPLETED"]);
    assert_eq!(stage.green(), [100, 100, 100]);
    assert_eq!(stage.moved(), ["eu-west-10", "eu-west-100", "us-east-100", "ap-south-100"]);
    stage.desk.complete();
    stage.desk.run(&["rollback", "--yes", "--reason", "a test"]).ends(0);
    assert_eq!(stage.green(), [0, 0, 0]);
    assert_eq!(stage.moved(), ["ap-south-back", "us-east-back", "eu-west-back"]);
    stage.desk.complete();
    // The first region falls ill while the second is watched: both go back, and the third is never touched.
    let run = stage.desk.cutover();
    until("the second region has green", 60, || stage.green()[1] == 100);
    *stage.errors[0].lock().expect("a number") = 50;
    run.end(120).ends(10).says(&["errors-eu-west"]);
    assert_eq!(stage.green(), [0, 0, 0]);
    assert_eq!(stage.moved()[3..], ["ap-south-back", "us-east-back", "eu-west-back"]);
    stage.desk.complete();
}

#[test]
fn what_is_killed_between_two_regions_goes_on_or_goes_back() {
    let Some(stage) = Stage::new() else { return };
    for (step, kind) in
        [("eu-west-bake-100", "step.intent"), ("us-east-100", "step.intent"), ("us-east-100", "step.outcome")]
    {
        REGIONS.iter().for_each(|region| stage.hold(region, 0));
        for next in ["resume", "rollback"] {
            let killed = stage.desk.cutover();
            stage.desk.wait_for(kind, step);
            killed.signal(Signal::KILL);
            killed.end(10);
            assert_eq!(stage.green()[0], 100, "{step}");
            match next {
                "resume" => {
                    stage.desk.run(&["resume"]).ends(0).says(&["COMPLETED"]);
                    assert_eq!(stage.green(), [100, 100, 100], "{step}");
                    let moved = stage.moved();
                    let once =
                        REGIONS.iter().all(|r| moved.iter().filter(|id| **id == format!("{r}-100")).count() == 1);
                    assert!(once, "{step}: {moved:?}");
                    // Killed between the first region that is back and the second.
                    let killed = stage.desk.start(&["rollback", "--yes", "--reason", "a test"]);
                    until("the latest is back", 60, || stage.green()[2] == 0);
                    killed.signal(Signal::KILL);
                    killed.end(10);
                    pause(50);
                }
                _ => assert!(stage.green()[2] == 0, "{step}"),
            }
            stage.desk.run(&["rollback", "--yes", "--reason", "a test"]).ends(0);
            assert_eq!(stage.green(), [0, 0, 0], "{step}, {next}");
            stage.desk.complete();
        }
    }
}
