//! The place of the router `dns`: a record on a real BIND with a secondary, and an unbound in front. The other hand is `dig` and
//! `nsupdate`.

use std::process::Command;

use async_trait::async_trait;
use bgctl::plan::Split;
use bgctl::routers::{Access, Kind, NativeWayBack};
use serde_json::Value;

use crate::common::named::{BLUE, GREEN, NAME, SECRET, Zone, access};
use crate::router::{Place, suite, walked};

#[async_trait(?Send)]
impl Place for Zone {
    fn settings(&self) -> Value {
        Zone::settings(self)
    }

    fn access(&self) -> Access {
        access()
    }

    /// All or nothing: there are no weights.
    fn shares(&self) -> &'static [u32] {
        &[1000, 0, 1000]
    }

    fn other(&self) -> u32 {
        0
    }

    /// Both addresses in one record.
    fn elsewhere(&self) -> Split {
        Split { blue: 1, green: 1 }
    }

    async fn witness(&self) -> (u32, u32) {
        let record = self.record();
        let has = |address: &str| u32::from(record.iter().any(|line| line == address));
        (has(BLUE), has(GREEN))
    }

    fn everything_else(&self) -> Value {
        Zone::everything_else(self)
    }

    fn meddle(&self, blue: u32, green: u32) {
        let mut lines = vec![format!("update delete {NAME} A")];
        for (weight, address) in [(blue, BLUE), (green, GREEN)] {
            lines.extend((weight > 0).then(|| format!("update add {NAME} 60 A {address}")));
        }
        self.by_hand(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn empty_green(&self) {
        *self.bots[1].well.lock().expect("a word") = false;
    }

    fn walk_back(&self, way: &NativeWayBack) {
        walked(way, self.folder(), Command::new("sh").env("DNS_KEY", SECRET));
        self.settled();
    }
}

pub async fn record_on_bind(kind: &Kind) {
    let Some(zone) = Zone::start(60) else { return };
    suite(kind, &zone).await;
}
