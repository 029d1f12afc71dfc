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

/// A route that says this of connections of before.
struct Lingers(Result<u64, &'static str>);

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
        stage.world.routes.insert("web".into(), Rc::new(Lingers(held)));
        stage.run("drain", json!({ "stack": "blue", "within": "5s", "at_timeout": "hold" }))
    };
    assert!(matches!(drained(Ok(0)), Outcome::Done { .. }));
    for (held, words) in [(Ok(3), "3"), (Err("web-2 does not answer"), "web-2 does not answer")] {
        let outcome = drained(held);
        assert!(!matches!(outcome, Outcome::Done { .. }) && outcome.line().contains(words), "{outcome:?}");
    }
}
