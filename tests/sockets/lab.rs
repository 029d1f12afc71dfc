//! The lab of a Socket Mode app, from outside: its fleets are handed over by the router, and its faults do what they say.

use std::collections::BTreeMap;
use std::rc::Rc;

use bgctl::lab::{Fault, Lab, Ledger, Mode, Options};
use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, TrafficRouter, socket_mode};
use serde_json::json;

use crate::common::at;

fn lab(faults: &[Fault]) -> Lab {
    let options =
        Options { faults: faults.to_vec(), events_per_second: 100, mode: Mode::Sockets, ..Options::default() };
    Lab::start(options).expect("the lab starts")
}

fn router(lab: &Lab) -> Rc<dyn TrafficRouter> {
    let (at, env): (_, BTreeMap<_, _>) = (lab.variables(), lab.environment().into_iter().collect());
    let fleet = |color: &str| (1..=3).map(|n| at[&format!("{color}_{n}_url")].clone()).collect::<Vec<_>>();
    let settings = json!({
        "blue": fleet("blue"), "green": fleet("green"), "floor": 2,
        "app_token": env["SLACK_APP_TOKEN"], "api": at["slack_api_url"],
    });
    (socket_mode::KIND.open)(&settings, &Access::default()).expect("good settings")
}

async fn pause(ms: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}

/// Blue to green by way of half and half, some time there, and what became of everything.
async fn handed_over(faults: &[Fault], between_ms: u64) -> Ledger {
    let lab = lab(faults);
    let router = router(&lab);
    assert_eq!(router.read().await.unwrap().split, Split::ALL_BLUE);
    assert_eq!(router.identity().await.unwrap().line, "app token of A0LAB, connections:write alone");
    router.set(&at(Split::ALL_BLUE), Split::of_green(500)).await.unwrap();
    pause(between_ms).await;
    let now = router.read().await.unwrap().split;
    router.set(&at(now), Split::ALL_GREEN).await.unwrap();
    pause(500).await;
    assert_eq!(router.read().await.unwrap().split, Split::ALL_GREEN);
    tokio::task::spawn_blocking(move || lab.finish()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleets_are_handed_over_and_nothing_is_lost() {
    let ledger = handed_over(&[], 500).await;
    assert!((ledger.lost, ledger.twice) == (0, 0) && ledger.blue > 20 && ledger.green > 20, "{ledger}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_of_every_socket_is_survived() {
    let ledger = handed_over(&[Fault::SocketRefresh], 3_000).await;
    assert!((ledger.lost, ledger.twice) == (0, 0), "{ledger}");
}

/// The same death at work, with the right and with the wrong way to remember.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_killed_at_work_loses_what_was_claimed_for_good() {
    let (right, wrong) = tokio::join!(
        handed_over(&[Fault::BlueKilled], 3_500),
        handed_over(&[Fault::BlueKilled, Fault::ClaimOnlyDedup], 3_500)
    );
    assert!((right.lost, right.twice) == (0, 0) && right.retries > 0, "{right}");
    assert!(wrong.lost >= 1 && wrong.twice == 0, "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lab_goes_on_where_its_process_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        memory: Some(folder.path().join("world.json")),
        mode: Mode::Sockets,
        events_per_second: 20,
        ..Options::default()
    };
    let first = Lab::start(options()).unwrap();
    let before = first.variables();
    router(&first).set(&at(Split::ALL_BLUE), Split::of_green(250)).await.unwrap();
    pause(200).await;
    tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
    let second = Lab::start(options()).unwrap();
    assert_eq!(second.variables(), before);
    assert_eq!(router(&second).read().await.unwrap().split, Split::of_green(250));
    assert_eq!(router(&second).health(Color::Green).await.unwrap().healthy, 3);
}
