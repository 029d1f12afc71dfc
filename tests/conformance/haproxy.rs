//! Places of the router `haproxy`: one backend of a real HAProxy, and two HAProxies with several servers a side.

use std::sync::Mutex;

use async_trait::async_trait;
use bgctl::plan::Color;
use bgctl::routers::Kind;
use serde_json::{Value, json};

use crate::common::haproxy::{BACKEND, Haproxy, Origin};
use crate::common::peer;
use crate::router::{Place, suite};

/// Two to one on blue, two equals on green, and one that gets users only when no other can.
const SEVERAL: &str = "balance leastconn
  cookie SRV insert indirect nocache
  server blue {blue} check inter 100ms weight 100 cookie b1
  server blue-2 {blue} check inter 100ms weight 50 cookie b2
  server green {green} check inter 100ms weight 0 cookie g1
  server green-2 {green} check inter 100ms weight 0 cookie g2
  server spare {blue} check inter 100ms backup";

struct Proxies {
    proxies: Vec<Haproxy>,
    origins: Mutex<[Origin; 2]>,
    settings: Value,
    shares: &'static [u32],
}

impl Proxies {
    fn start(count: usize, backend: &str, sides: &Value) -> Option<Proxies> {
        let (_, _) = (peer("haproxy")?, peer("socat")?);
        let origins = Color::BOTH.map(Origin::start);
        let proxies: Vec<Haproxy> = (0..count).filter_map(|_| Haproxy::start(&origins, backend)).collect();
        let sockets: Vec<String> = proxies.iter().map(|proxy| proxy.socket().display().to_string()).collect();
        let mut settings = json!({ "socket": sockets, "backend": "app" });
        (settings["blue"], settings["green"]) = (sides[0].clone(), sides[1].clone());
        // With two to one on a side, 1 in 200 is beyond whole weights.
        let shares: &[u32] = if count == 1 { &[100, 5, 500, 1000] } else { &[100, 500, 1000] };
        Some(Proxies { proxies, origins: Mutex::new(origins), settings, shares })
    }

    /// Name, weight, and what else a server is, of each of a backend.
    fn servers(proxy: &Haproxy) -> Vec<(String, u32, Value)> {
        let said = proxy.say("show servers state");
        let rows = said.lines().skip(2).filter(|line| !line.is_empty()).map(|line| line.split(' ').collect::<Vec<_>>());
        rows.map(|row| {
            (
                format!("{}/{}", row[1], row[3]),
                row[7].parse().expect("a weight"),
                json!([row[4], row[6], row[8], row[18]]),
            )
        })
        .collect()
    }

    fn sum(proxy: &Haproxy, side: &str) -> u32 {
        let servers = Proxies::servers(proxy).into_iter();
        servers.filter(|(name, ..)| name.starts_with(&format!("app/{side}"))).map(|(_, weight, _)| weight).sum()
    }
}

#[async_trait(?Send)]
impl Place for Proxies {
    fn settings(&self) -> Value {
        self.settings.clone()
    }

    fn shares(&self) -> &'static [u32] {
        self.shares
    }

    /// The side that gains and the side that loses are two.
    fn one_call(&self) -> bool {
        false
    }

    async fn witness(&self) -> (u32, u32) {
        let of = |proxy: &Haproxy| (Proxies::sum(proxy, "blue"), Proxies::sum(proxy, "green"));
        let first = of(&self.proxies[0]);
        assert!(self.proxies.iter().all(|proxy| of(proxy) == first), "they differ");
        first
    }

    fn everything_else(&self) -> Value {
        let rest = |proxy: &Haproxy| {
            let servers = Proxies::servers(proxy).into_iter();
            let ours = |name: &str| name.starts_with("app/blue") || name.starts_with("app/green");
            servers
                .map(|(name, weight, rest)| json!([name, if ours(&name) { 0 } else { weight }, rest]))
                .collect::<Vec<_>>()
        };
        self.proxies.iter().map(rest).collect()
    }

    fn meddle(&self, blue: u32, green: u32) {
        for proxy in &self.proxies {
            for (name, ..) in Proxies::servers(proxy) {
                // Equal weights on every server of a side make the same share only where both have as many.
                match name.as_str() {
                    name if name.starts_with("app/blue") => proxy.tell(&format!("set server {name} weight {blue}")),
                    name if name.starts_with("app/green") => proxy.tell(&format!("set server {name} weight {green}")),
                    _ => {}
                }
            }
        }
    }

    fn empty_green(&self) {
        self.origins.lock().expect("no panic")[1].end();
        for proxy in &self.proxies {
            proxy.until("green is down", |said| {
                said.lines().filter(|line| line.starts_with("app,green")).all(|line| line.contains(",DOWN,"))
            });
        }
    }
}

pub async fn a_backend(kind: &Kind) {
    let Some(place) = Proxies::start(1, BACKEND, &json!(["blue", "green"])) else { return };
    suite(kind, &place).await;
}

pub async fn two(kind: &Kind) {
    let Some(place) = Proxies::start(2, SEVERAL, &json!([["blue", "blue-2"], "green*"])) else { return };
    suite(kind, &place).await;
}
