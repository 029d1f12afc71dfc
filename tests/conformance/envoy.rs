//! Places of the router `envoy`: one real Envoy, and two that watch the same file.

use std::sync::Mutex;

use async_trait::async_trait;
use bgctl::plan::Color;
use bgctl::routers::Kind;
use serde_json::{Value, json};

use crate::common::envoy::Envoy;
use crate::common::haproxy::Origin;
use crate::router::{Place, suite};

struct Proxies {
    envoys: Vec<Envoy>,
    origins: Mutex<[Origin; 2]>,
    settings: Value,
}

/// The text without its weights and its version.
fn rest(text: &str) -> String {
    let of = |line: &str| match line.split_once("weight: ") {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => line.to_string(),
    };
    text.lines().filter(|line| !line.starts_with("version_info")).map(of).collect::<Vec<_>>().join("\n")
}

impl Proxies {
    fn start(count: usize) -> Option<Proxies> {
        let origins = Color::BOTH.map(Origin::start);
        let [blue, green] = origins.each_ref().map(|origin| origin.address);
        let mut envoys = vec![Envoy::start(blue, green)?];
        for n in 1..count {
            envoys.push(envoys[0].beside(blue, green, &format!("n{}", n + 1))?);
        }
        let mut settings = envoys[0].settings();
        if count > 1 {
            settings["admin"] = envoys.iter().map(Envoy::at).collect();
            settings["node"] = json!(["n1", "n2"]);
            settings["route"] = json!("users");
        }
        Some(Proxies { envoys, origins: Mutex::new(origins), settings })
    }
}

#[async_trait(?Send)]
impl Place for Proxies {
    fn settings(&self) -> Value {
        self.settings.clone()
    }

    /// What Envoy runs, and for everybody on one side also who answers; nothing, where these do not agree.
    async fn witness(&self) -> (u32, u32) {
        let all: Vec<(String, u32, u32)> = self.envoys.iter().map(Envoy::runs).collect();
        let met = |envoy: &Envoy| match (all[0].1, all[0].2) {
            (_, 0) => envoy.green(20) == 0,
            (0, _) => envoy.green(20) == 20,
            _ => true,
        };
        let agree = all.windows(2).all(|pair| pair[0] == pair[1]) && self.envoys.iter().all(met);
        if agree { (all[0].1, all[0].2) } else { (0, 0) }
    }

    fn everything_else(&self) -> Value {
        json!(rest(&self.envoys[0].text()))
    }

    /// By hand and by a move; whoever does that leaves the version as it is.
    fn meddle(&self, blue: u32, green: u32) {
        let text = self.envoys[0].text();
        let text = text.replace("weight: 0\n", &format!("weight: {blue}\n"));
        self.envoys[0].put(&text.replace("weight: 10000}", &format!("weight: {green}}}")));
    }

    fn empty_green(&self) {
        self.origins.lock().expect("no panic")[1].end();
        for envoy in &self.envoys {
            envoy.until("green is down", |envoy| {
                envoy.ask("/clusters?format=json").to_string().contains("failed_active_health_check")
            });
        }
    }
}

pub async fn one(kind: &Kind) {
    let Some(place) = Proxies::start(1) else { return };
    suite(kind, &place).await;
}

pub async fn two(kind: &Kind) {
    let Some(place) = Proxies::start(2) else { return };
    suite(kind, &place).await;
}
