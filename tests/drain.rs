//! What a drain makes of the connections that a route still holds to the side that is left.

mod common;

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::plan::{Color, Split};
use bgctl::routers::{Call, Health, Identity, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble};
use bgctl::run::Outcome;
use common::scripted::{Stage, response};
use serde_json::json;

/// A route that says this of connections of before, and whose users follow a move so late.
struct Lingers(Result<u64, &'static str>, Duration);

#[async_trait(?Send)]
impl RouteView for Lingers {
    fn line(&self) -> String {
        "a route".into()
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        Vec::new()
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        Ok(common::at(Split::ALL_GREEN))
    }

    async fn health(&self, _: Color) -> Result<Health, RouterError> {
        Ok(Health::default())
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        Ok(Identity { line: "somebody".into(), left: None, renews: true })
    }

    fn native_way_back(&self, _: &str, _: &Reading) -> NativeWayBack {
        NativeWayBack::default()
    }

    fn followed_within(&self) -> Duration {
        self.1
    }

    async fn lingering(&self, _: Color) -> Result<u64, RouterError> {
        self.0.map_err(|why| RouterError::new(Trouble::Unreachable, why))
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Lingers {
    async fn set(&self, _: &Reading, _: Split) -> Result<Vec<Call>, RouterError> {
        Ok(Vec::new())
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_drain_counts_what_a_route_still_holds_and_what_nobody_can_count_is_not_drained() {
    let drained = |held: Result<u64, &'static str>| {
        let mut stage = Stage::new(|_, _| response(200, json!({ "inflight": 0 }).to_string()));
        stage.world.routes.insert("web".into(), Rc::new(Lingers(held, Duration::ZERO)));
        stage.run("drain", json!({ "stack": "blue", "within": "5s", "at_timeout": "hold" }))
    };
    assert!(matches!(drained(Ok(0)), Outcome::Done { .. }));
    for (held, words) in [(Ok(3), "3"), (Err("web-2 does not answer"), "web-2 does not answer")] {
        let outcome = drained(held);
        assert!(!matches!(outcome, Outcome::Done { .. }) && outcome.line().contains(words), "{outcome:?}");
    }
}

/// Whatever the gauge says: as long as resolvers may send users to a side it is not drained.
#[test]
fn no_side_is_drained_before_users_who_follow_late_have_left_it() {
    let drained = |follow: u64| {
        let mut stage = Stage::new(|_, _| response(200, json!({ "inflight": 0 }).to_string()));
        stage.world.routes.insert("web".into(), Rc::new(Lingers(Ok(0), Duration::from_secs(follow))));
        stage.run("drain", json!({ "stack": "blue", "within": "30s", "at_timeout": "hold" }))
    };
    let took = |outcome: &Outcome| match outcome {
        Outcome::Done { facts, .. } => facts["took_ms"].as_str().and_then(|ms| ms.parse::<u64>().ok()),
        _ => None,
    };
    assert!(took(&drained(0)).expect("drained") < 5_000);
    assert!((20_000..25_000).contains(&took(&drained(20)).expect("drained")));
    let late = drained(60);
    assert!(took(&late).is_none() && late.line().contains("users may follow late"), "{late:?}");
}
