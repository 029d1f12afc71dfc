//! What goes wrong, by name: what is said of it, and where users and the file are afterwards.

use std::io::{Read, Write};
use std::time::Duration;

use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, Trouble, envoy};
use serde_json::json;

use crate::common::at;
use crate::common::bots::pause;
use crate::common::envoy::{Envoy, ROUTES};
use crate::{Stage, Wire, echo, routes, said, websocket};

#[tokio::test]
async fn a_file_that_envoy_refuses_is_named_in_its_own_words_and_taken_back() {
    let Some(stage) = Stage::start() else { return };
    // Somebody has broken another part of the file, and Envoy has not noticed yet.
    let broken = routes("domains: [\"*\"]", "domains: [\"*\", \"*\"]");
    stage.envoy.write_over(&broken);
    let error = stage.set(1000).await.expect_err("Envoy refuses it");
    assert_eq!((error.kind, error.moved), (Trouble::Invalid, false), "{error:?}");
    assert!(error.what.contains("it refuses the file: Only a single wildcard domain"), "{error}");
    assert!(error.what.ends_with("the file is as it was"), "{error}");
    assert_eq!((error.calls.len(), error.calls[0].code.as_str()), (1, "refused"));
    assert_eq!((stage.envoy.text(), stage.envoy.green(20)), (broken, 0));
    stage.is_tidy();
    stage.envoy.put(ROUTES);
    stage.set(1000).await.expect("the next change works");
    assert_eq!(stage.envoy.green(20), 20);
}

#[tokio::test]
async fn a_file_that_envoy_does_not_watch_is_not_acknowledged_and_taken_back() {
    let Some(stage) = Stage::start() else { return };
    std::fs::create_dir(stage.envoy.path("copy")).expect("a folder");
    let copy = stage.envoy.path("copy/bot.yaml");
    std::fs::write(&copy, ROUTES).expect("a copy");
    let router = stage.router_with(&[("file", json!(copy))]);
    let from = router.read().await.expect("it reads");
    // Whoever gives up before the end leaves a file of ours, which the next one knows and goes on from.
    let cut = tokio::time::timeout(Duration::from_secs(1), router.set(&from, Split::ALL_GREEN)).await;
    assert!(cut.is_err(), "it waits for Envoy");
    let half = router.read().await.expect("it reads");
    assert!(router.cut_off(&half, None) && half.split == Split::ALL_BLUE, "{half:?}");
    assert!(half.remarks[0].contains("the file, bgctl's, is version `bgctl-"), "{half:?}");
    assert!(router.watch().await.notes[0].contains("a restart or the next move takes it"));
    std::fs::write(&copy, ROUTES).expect("a copy");

    let error = router.set(&from, Split::ALL_GREEN).await.expect_err("nobody takes it");
    assert_eq!((error.kind, error.moved), (Trouble::NotNow, true), "{error:?}");
    assert!(error.what.contains("it has not taken the file within 5 s; the file is as it was"), "{error}");
    assert!(said(&error).contains("`path_config_source` is this very file"), "{error:?}");
    assert_eq!(
        (error.calls[0].code.as_str(), std::fs::read_to_string(&copy).expect("it")),
        ("unnoticed", ROUTES.into())
    );
    assert_eq!(stage.read().await.split, Split::ALL_BLUE);
}

#[tokio::test]
async fn a_change_of_somebody_else_is_seen_and_not_written_over() {
    let Some(stage) = Stage::start() else { return };
    let router = stage.router();
    let from = stage.read().await;
    // Another part of the file: nobody has moved, and nothing is lost.
    let other = routes("timeout: 15s", "timeout: 16s");
    stage.envoy.put(&other);
    let error = router.set(&from, Split::ALL_GREEN).await.expect_err("it is not as it was read");
    assert!(
        error.kind == Trouble::NotNow && error.what.contains("changed since it was read: nothing was written"),
        "{error:?}"
    );
    assert!(!error.moved && error.calls.is_empty() && stage.envoy.text() == other, "{error:?}");
    // The weights: that is drift.
    stage.envoy.put(&routes("weight: 100", "weight: 50").replace("weight: 0}", "weight: 50}"));
    stage.envoy.until("it runs them", |envoy| envoy.runs().2 == 50);
    let error = router.set(&from, Split::ALL_GREEN).await.expect_err("somebody moved users");
    assert_eq!(error.kind, Trouble::Drift { found: Split::of_green(500) });
    let writer = router.writer().await.expect("a sentence");
    assert!(writer.contains("was written") && writer.contains("ago and belongs to user"), "{writer}");
}

/// Somebody's file that Envoy has not noticed would be taken by whoever moves anything there.
#[tokio::test]
async fn a_file_that_lies_there_and_does_not_run_stops_the_way_forward_only() {
    let Some(stage) = Stage::start() else { return };
    let router = stage.router();
    stage.set(100).await.expect("a tenth");
    let pending = routes("weight: 100", "weight: 0").replace("weight: 0}", "weight: 100}");
    stage.envoy.write_over(&pending);
    let reading = stage.read().await;
    assert_eq!(reading.split, Split::of_green(100), "users are where Envoy has them");
    assert!(reading.remarks[0].contains("somebody else's, is version `1` (BLUE 0 GREEN 100)"), "{reading:?}");
    assert!(!router.cut_off(&reading, None));
    let error = router.preflight(&[Split::ALL_GREEN]).await.expect_err("it does not follow the file");
    assert!(error.kind == Trouble::NotNow && error.what.contains("somebody else's"), "{error:?}");
    let error = router.set(&reading, Split::of_green(500)).await.expect_err("not forward");
    assert!(
        error.what.contains("holds a change of somebody else that Envoy does not run") && !error.moved,
        "{error:?}"
    );
    assert_eq!(stage.envoy.text(), pending);
    router.set(&reading, Split::ALL_BLUE).await.expect("back");
    assert_eq!((stage.envoy.green(20), stage.read().await.split), (0, Split::ALL_BLUE));
    // The same where users are on blue already: the file is set right, and Envoy takes what it runs under another version.
    stage.envoy.write_over(&pending);
    let reading = stage.read().await;
    assert!(reading.split == Split::ALL_BLUE && !reading.remarks.is_empty(), "{reading:?}");
    assert_eq!(router.set(&reading, Split::ALL_BLUE).await.expect("the file").len(), 1);
    let reading = stage.read().await;
    assert!(reading.remarks.is_empty() && stage.envoy.text().contains("weight: 10000"), "{reading:?}");
}

/// A move makes Envoy take a file: what it did not run before is not given to it by taking back what it refuses.
#[tokio::test]
async fn a_file_that_did_not_run_before_is_not_put_back() {
    let Some(stage) = Stage::start() else { return };
    stage.set(100).await.expect("a tenth");
    let broken = routes("domains: [\"*\"]", "domains: [\"*\", \"*\"]").replace("weight: 100", "weight: 50");
    stage.envoy.write_over(&broken);
    let reading = stage.read().await;
    let error = stage.router().set(&reading, Split::ALL_BLUE).await.expect_err("Envoy refuses it");
    assert!(error.what.contains("Only a single wildcard domain") && error.kind == Trouble::Invalid, "{error:?}");
    assert!(error.what.ends_with("the file stays, since Envoy did not run the one before it either"), "{error}");
    assert!(stage.envoy.text().contains("bgctl-") && stage.envoy.text().contains("weight: 10000"));
    assert_eq!(stage.read().await.split, Split::of_green(100), "users are where they were");
}

#[tokio::test]
async fn a_change_that_is_cut_off_before_its_answer_has_landed() {
    let Some(stage) = Stage::start() else { return };
    let file = stage.envoy.routes();
    let wire = Wire::to(&stage.envoy, move || std::fs::read_to_string(&file).is_ok_and(|text| text != ROUTES));
    let router = stage.router_with(&[("admin", json!(wire.at))]);
    let from = router.read().await.expect("it reads");
    let cut = tokio::time::timeout(Duration::from_secs(1), router.set(&from, Split::ALL_GREEN)).await;
    assert!(cut.is_err(), "its answer is held");
    stage.envoy.until("it has landed", |envoy| envoy.runs().2 == 10_000);
    let found = stage.read().await;
    assert!(found.split == Split::ALL_GREEN && !stage.router().cut_off(&found, None), "{found:?}");
    assert_eq!(stage.router().set(&found, Split::ALL_GREEN).await.expect("nothing to do"), []);

    // Its answer is lost: nothing is taken back, and how it ended is found by reading.
    stage.envoy.put(ROUTES);
    stage.envoy.until("it is back", |envoy| envoy.runs().0 == "1");
    let error = router.set(&from, Split::ALL_GREEN).await.expect_err("nobody answers");
    assert!(error.moved && error.kind == Trouble::Unreachable && error.passing(), "{error:?}");
    assert!(error.what.contains("says BLUE 0 GREEN 100 now, but nobody says what Envoy runs"), "{error}");
    assert_eq!((error.calls[0].code.as_str(), stage.envoy.green(20)), ("no-answer", 20));
}

/// An admin interface that keeps silent stops the way forward; the way back writes what it can, and says what is not known.
#[tokio::test]
async fn an_envoy_that_does_not_answer_stops_the_way_forward_and_not_the_way_back() {
    let Some(stage) = Stage::start() else { return };
    let [blue, green] = stage.origins.each_ref().map(|origin| origin.address);
    let Some(second) = stage.envoy.beside(blue, green, "n2") else { return };
    let router = stage.router_with(&[("admin", json!([stage.envoy.at(), second.at()]))]);
    let from = router.read().await.expect("it reads");
    router.set(&from, Split::ALL_GREEN).await.expect("both take it");
    assert_eq!((stage.envoy.green(20), second.green(20)), (20, 20));

    second.freeze(true);
    let error = router.read().await.expect_err("one is silent");
    assert!(error.kind == Trouble::Unreachable && error.what.contains(&second.at()), "{error:?}");
    assert!(error.what.contains("no answer within 3 s"), "{error}");
    assert_eq!(error.read.as_deref(), Some(format!("{} BLUE 0 GREEN 100", stage.envoy.at()).as_str()));
    let forward = router.set(&at(Split::ALL_GREEN), Split::of_green(500)).await.expect_err("nobody told it");
    assert!(!forward.moved && forward.calls.is_empty(), "{forward:?}");
    let health = router.health(Color::Blue).await.expect("of the one that answers");
    assert!(health.healthy == 1 && health.ailing[0].contains("no answer within 3 s"), "{health:?}");
    let partly = error.partly.expect("a way back starts from it");
    let error = router.set(&partly, Split::ALL_BLUE).await.expect_err("it says who is missing");
    assert!(error.moved && error.what.contains("the other Envoys are at BLUE 100 GREEN 0, but envoy at"), "{error}");
    assert_eq!(stage.envoy.green(20), 0);
    second.freeze(false);
    second.until("it takes the file as it goes on", |second| second.runs().2 == 0);
    assert_eq!((router.read().await.expect("it reads").split, second.green(20)), (Split::ALL_BLUE, 0));

    // One that is gone altogether: the file alone tells.
    drop(second);
    let error = router.read().await.expect_err("one is gone");
    assert!(said(&error).contains("is Envoy running here"), "{error:?}");
    // A single one that is silent.
    stage.envoy.freeze(true);
    let router = stage.router();
    let error = router.read().await.expect_err("it is silent");
    assert_eq!(error.read.as_deref(), Some("the file says BLUE 100 GREEN 0"));
    stage.envoy.freeze(false);
}

/// Two that watch one file and differ, since one of them has not noticed: set right by whoever goes on.
#[tokio::test]
async fn envoys_that_differ_know_themselves() {
    let Some(stage) = Stage::start() else { return };
    let [blue, green] = stage.origins.each_ref().map(|origin| origin.address);
    // It has a folder of its own.
    let Some(second) = Envoy::with(blue, green, "n2", ROUTES, |config| config) else { return };
    let router = stage.router_with(&[("admin", json!([stage.envoy.at(), second.at()]))]);
    let from = router.read().await.expect("it reads");
    let error = router.set(&from, Split::ALL_GREEN).await.expect_err("the second watches another file");
    assert!(error.what.contains(&second.at()) && error.what.contains("the file is as it was"), "{error:?}");
    assert!(error.moved, "the first was there for a moment: {error:?}");
    assert_eq!((stage.envoy.green(20), stage.envoy.text().as_str()), (0, ROUTES));
    // Between the two they are no split that anybody asked for.
    stage.set(1000).await.expect("the first alone");
    let mixed = router.read().await.expect("it reads");
    assert!(mixed.split.only().is_none() && router.cut_off(&mixed, None), "{mixed:?}");
    assert!(mixed.remarks[0].starts_with("the Envoys differ: "), "{mixed:?}");
    assert!(router.watch().await.trouble.is_some_and(|line| line.starts_with("the Envoys differ")));
}

#[tokio::test]
async fn websockets_stay_where_they_are_and_are_counted() {
    let (blue, green) = (echo(), echo());
    let Some(envoy) = Envoy::start(blue, green) else { return };
    let router = (envoy::KIND.open)(&envoy.settings(), &Access::default()).expect("good settings");
    let mut socket = websocket(envoy.port);
    let counted = async |stack| router.lingering(stack).await.expect("they are counted");
    assert_eq!((counted(Color::Blue).await, counted(Color::Green).await), (1, 0));
    let from = router.read().await.expect("it reads");
    router.set(&from, Split::ALL_GREEN).await.expect("a shift waits for no WebSocket");
    assert_eq!((counted(Color::Blue).await, counted(Color::Green).await), (1, 0));
    for _ in 0..3 {
        socket.write_all(b"hello").expect("it lives");
        let mut echo = [0; 5];
        socket.read_exact(&mut echo).expect("an echo");
        assert_eq!(&echo, b"hello");
    }
    let _new = websocket(envoy.port);
    assert_eq!((counted(Color::Blue).await, counted(Color::Green).await), (1, 1), "a new one is on green");
    drop(socket);
    for _ in 0..200 {
        if counted(Color::Blue).await == 0 {
            return;
        }
        pause(20);
    }
    panic!("it is still counted");
}

/// What a retry does: the request stays with the side that was drawn for it, so a dead green is seen as one.
#[tokio::test]
async fn a_retry_does_not_hide_a_dead_green() {
    let retries = "timeout: 15s\n        retry_policy: {retry_on: \"5xx,connect-failure\", num_retries: 3}";
    let Some(mut stage) = Stage::with(&routes("timeout: 15s", retries), |config| config) else { return };
    let lines = stage.router().preflight(&[Split::ALL_GREEN]).await.expect("it may").join("\n");
    assert!(lines.contains("route `users` repeats requests (`retry_policy`)"), "{lines}");
    stage.set(500).await.expect("half");
    stage.origins[1].end();
    stage.envoy.until("green is down", |envoy| {
        envoy.ask("/clusters?format=json").to_string().contains("failed_active_health_check")
    });
    let answers = (0..60).map(|_| crate::common::bots::get(([127, 0, 0, 1], stage.envoy.port).into(), "/version"));
    let (well, dead): (Vec<String>, Vec<String>) = answers.partition(|answer| answer.contains(" 200 "));
    assert!(dead.len() > 10 && dead.iter().all(|answer| answer.contains(" 503 ")), "{} dead", dead.len());
    assert!(well.iter().all(|answer| answer.contains("x-version: blue")));
    let health = stage.router().health(Color::Green).await.expect("its health");
    assert_eq!((health.healthy, health.total), (0, 1), "{health:?}");
}
