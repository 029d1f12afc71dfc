//! A place of the router `socket_mode`: two fleets of instances that do as they are told.

use async_trait::async_trait;
use bgctl::plan::Split;
use bgctl::routers::Kind;
use serde_json::{Value, json};

use crate::common::peer;
use crate::router::{Place, split, suite};
use crate::stub;

/// Three instances a side that do as they are told.
struct Fleets {
    slack: bgctl::lab::Gateway,
    sides: [Vec<stub::Stub>; 2],
}

impl Fleets {
    fn holding(&self) -> [usize; 2] {
        [0, 1].map(|side: usize| self.sides[side].iter().filter(|stub| stub.holds()).count())
    }
}

#[async_trait(?Send)]
impl Place for Fleets {
    fn settings(&self) -> Value {
        let urls = |side: usize| self.sides[side].iter().map(|stub| stub.url.clone()).collect::<Vec<_>>();
        json!({ "blue": urls(0), "green": urls(1), "app_token": "xapp-1-lab", "api": self.slack.api(), "floor": 2 })
    }

    fn shares(&self) -> &'static [u32] {
        &[500, 250, 600, 1000]
    }

    fn elsewhere(&self) -> Split {
        split(750)
    }

    fn one_call(&self) -> bool {
        false
    }

    async fn witness(&self) -> (u32, u32) {
        let [blue, green] = self.holding();
        // Rounded as a runbook's share is.
        let split = Split::of_green(((green * 1000 + (blue + green) / 2) / (blue + green).max(1)) as u32);
        (split.blue, split.green)
    }

    /// Sockets are all there is.
    fn everything_else(&self) -> Value {
        Value::Null
    }

    fn meddle(&self, blue: u32, green: u32) {
        let share = |b: usize, g: usize| (g * 1000 / (b + g)) as u32 == green * 1000 / (blue + green);
        let all = (0..=3).flat_map(|b| (0..=3).map(move |g| (b, g))).filter(|(b, g)| b + g > 0);
        let (b, g) = all.filter(|(b, g)| share(*b, *g)).max().expect("a split of three and three");
        for (stubs, count) in self.sides.iter().zip([b, g]) {
            for (n, stub) in stubs.iter().enumerate() {
                stub.set("open", json!(n < count));
                stub.set("connected", json!(u32::from(n < count)));
            }
        }
    }

    fn empty_green(&self) {
        self.sides[1].iter().for_each(stub::Stub::end);
    }
}

pub async fn two_fleets(kind: &Kind) {
    let Some(_) = peer("curl") else { return };
    let book = stub::Book::default();
    let mut sides = [Vec::new(), Vec::new()];
    for (side, name) in ["blue", "green"].into_iter().enumerate() {
        for n in 1..=3 {
            sides[side].push(stub::Stub::start(&format!("{name}-{n}"), side == 0, &book).await);
        }
    }
    let slack = bgctl::lab::Gateway::start(3).expect("Slack's API");
    suite(kind, &Fleets { slack, sides }).await;
}
