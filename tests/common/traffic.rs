//! Traffic of two stacks by chance, scraped as a Prometheus would, and the shipping bake that watches it through its gates: how
//! users fare, and not what a judge alone would say.

use std::rc::Rc;
use std::time::Duration;

use bgctl::clock::Clock;
use bgctl::gates::judge::Counts;
use bgctl::lab::promql::{self, Value as Answer};
use bgctl::lab::series::Scraped;
use bgctl::plan::Plan;
use bgctl::run::{Outcome, Reaction};
use serde_json::{Value, json};

use super::canary::{Dice, LOOK, Tick, plus};
use super::scripted::{Stage, built, query, response};

/// Seconds of a bake.
pub const BAKE: u64 = 900;
/// Seconds of traffic before the shift, and after it: a bake may take twice its time.
const BEFORE: u64 = 600;
const AFTER: u64 = 2 * BAKE + 120;
/// Seconds between scrapes.
const SCRAPE: u64 = 15;
/// How long a burst goes on at most, in seconds.
const BURST: f64 = 15.0;

/// Whether green deserves its users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Truth {
    Well,
    Ill,
    /// One of its instances is ill.
    OneInstance,
}

/// What happens in a bake that begins at second 0.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub truth: Truth,
    /// Requests a second of both stacks together, a tenth of them on green.
    pub rps: f64,
    /// The share of bad requests of green at a second, of an instance that many instances have.
    pub green: fn(f64, usize) -> f64,
    pub blue: fn(f64) -> f64,
    pub pods: usize,
    pub bursts: u32,
    /// A burst is of one instance, or of one tenant on all of them.
    pub tenant: bool,
    /// The share of requests that take longer than 800 ms, where the gate is on the 99th percentile and not on errors.
    pub slow: Option<f64>,
    /// The source answers nothing from this second on.
    pub silent_from: f64,
    pub min_requests: u64,
}

/// The usual share of bad requests.
pub const USUAL: f64 = 0.002;

pub const HEALTHY: Case = Case {
    name: "healthy, 20/s",
    truth: Truth::Well,
    rps: 20.0,
    green: |_, _| USUAL,
    blue: |_| USUAL,
    pods: 3,
    bursts: 0,
    tenant: false,
    slow: None,
    silent_from: f64::INFINITY,
    min_requests: 600,
};

/// Every case of the table.
pub const CASES: &[Case] = &[
    HEALTHY,
    Case { name: "healthy, 500/s", rps: 500.0, ..HEALTHY },
    Case { name: "healthy, 2/s", rps: 2.0, min_requests: 100, ..HEALTHY },
    Case { name: "one burst", bursts: 1, ..HEALTHY },
    Case { name: "two bursts", bursts: 2, ..HEALTHY },
    Case { name: "burst of a tenant", bursts: 1, tenant: true, ..HEALTHY },
    Case { name: "cold cache, 5 % for 20 s", green: |t, _| if t < 20.0 { 0.05 } else { USUAL }, ..HEALTHY },
    Case {
        name: "both 30 % for 60 s",
        green: |t, _| if (300.0..360.0).contains(&t) { 0.3 } else { USUAL },
        blue: |t| if (300.0..360.0).contains(&t) { 0.3 } else { USUAL },
        ..HEALTHY
    },
    Case { name: "both 2 %", green: |_, _| 0.02, blue: |_| 0.02, ..HEALTHY },
    Case {
        name: "one bad pod of ten",
        truth: Truth::OneInstance,
        pods: 10,
        green: |_, pod| if pod == 0 { 0.5 } else { USUAL },
        ..HEALTHY
    },
    Case { name: "three bursts", bursts: 3, ..HEALTHY },
    Case { name: "2 %, 20/s", truth: Truth::Ill, green: |_, _| 0.02, ..HEALTHY },
    Case { name: "2 %, 500/s", truth: Truth::Ill, rps: 500.0, green: |_, _| 0.02, ..HEALTHY },
    Case { name: "10 %, 20/s", truth: Truth::Ill, green: |_, _| 0.1, ..HEALTHY },
    Case { name: "all bad, 20/s", truth: Truth::Ill, green: |_, _| 1.0, ..HEALTHY },
    Case {
        name: "a tenth fails 10 %, 200/s",
        truth: Truth::Ill,
        rps: 200.0,
        green: |_, _| 0.9 * USUAL + 0.1 * 0.1,
        ..HEALTHY
    },
    Case {
        name: "leak, 0.2 to 4 % in 10 min",
        truth: Truth::Ill,
        green: |t, _| USUAL + 0.038 * (t / 600.0).clamp(0.0, 1.0),
        ..HEALTHY
    },
    Case {
        name: "2 % from 2 min before the end, 200/s",
        truth: Truth::Ill,
        rps: 200.0,
        green: |t, _| if t >= 780.0 { 0.02 } else { USUAL },
        ..HEALTHY
    },
    Case {
        name: "20 % from 10 s before the end",
        truth: Truth::Ill,
        green: |t, _| if t >= 890.0 { 0.2 } else { USUAL },
        ..HEALTHY
    },
    Case { name: "P99 0.7 s, 500/s", rps: 500.0, slow: Some(0.005), ..HEALTHY },
    Case { name: "P99 from 0.7 to 1.2 s, 500/s", truth: Truth::Ill, rps: 500.0, slow: Some(0.02), ..HEALTHY },
    Case {
        name: "10 %, and the source falls silent",
        truth: Truth::Ill,
        green: |_, _| 0.1,
        silent_from: 20.0,
        ..HEALTHY
    },
];

/// What became of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Passed,
    /// They were sent back after so many seconds.
    Back(u64),
    /// They stay, and a person is called or asked.
    Held(u64),
}

/// What the stacks did, second by second, as counters.
pub struct Traffic {
    scraped: Scraped,
    /// The same between two looks, for rules that are given no Prometheus.
    pub ticks: Vec<Tick>,
    silent_from: f64,
}

impl Case {
    pub fn traffic(&self, dice: &mut Dice) -> Traffic {
        let mut traffic = Traffic { scraped: Scraped::default(), ticks: Vec::new(), silent_from: self.silent_from };
        let bursts: Vec<(f64, f64, u64)> = (0..self.bursts)
            .map(|_| (dice.roll() * BAKE as f64, 1.0 + dice.roll() * BURST, 10 + dice.below(41)))
            .collect();
        let mut green = vec![[0_u64; 3]; self.pods];
        let mut blue = [0_u64; 3];
        let steps = (BEFORE + AFTER) / SCRAPE;
        for step in 0..=steps {
            let (from, to) =
                (step as f64 * SCRAPE as f64 - BEFORE as f64, (step + 1) as f64 * SCRAPE as f64 - BEFORE as f64);
            traffic.scrape((from * 1000.0) as i64, &green, blue);
            let serves = from >= 0.0;
            let mut tick = Tick::default();
            for (pod, counts) in green.iter_mut().enumerate() {
                let mut new = Counts::default();
                if serves {
                    let seconds = SCRAPE as f64;
                    let rate = (0..SCRAPE).map(|s| (self.green)(from + s as f64, pod)).sum::<f64>() / seconds;
                    new = requests(dice, self.rps * 0.1 * seconds / self.pods as f64, rate);
                    let hit = |at: f64, length: f64| ((to.min(at + length) - from.max(at)) / length).max(0.0);
                    for (at, length, size) in &bursts {
                        let mine = if self.tenant { 1.0 / self.pods as f64 } else { f64::from(u8::from(pod == 0)) };
                        let bad = (*size as f64 * hit(*at, *length) * mine).round() as u64;
                        new = plus(new, Counts { requests: bad, bad });
                    }
                }
                let slow = dice.poisson(new.requests as f64 * self.slow.unwrap_or_default()).min(new.requests);
                *counts = [counts[0] + new.requests, counts[1] + new.bad, counts[2] + slow];
                tick.green.push(new);
            }
            let share = if serves { 0.9 } else { 1.0 };
            let rate = (0..SCRAPE).map(|s| (self.blue)(from + s as f64)).sum::<f64>() / SCRAPE as f64;
            tick.blue = requests(dice, self.rps * share * SCRAPE as f64, rate);
            let slow = dice.poisson(tick.blue.requests as f64 * 0.005).min(tick.blue.requests);
            blue = [blue[0] + tick.blue.requests, blue[1] + tick.blue.bad, blue[2] + slow];
            if serves && traffic.ticks.len() < (BAKE / LOOK) as usize {
                traffic.ticks.push(tick);
            }
        }
        traffic
    }

    /// The shipping bake over this traffic.
    pub fn bake(&self, traffic: Traffic) -> Fate {
        let start = Rc::new(std::cell::Cell::new(None));
        let begun = start.clone();
        let stage = Stage::new(move |request, now| {
            let shift: Duration = begun.get().expect("the bake has begun");
            if now.saturating_sub(shift).as_secs_f64() >= traffic.silent_from {
                return response(503, "");
            }
            let at_ms = now.as_millis() as i64 - shift.as_millis() as i64;
            match promql::evaluate(traffic.scraped.all(), &query(request), at_ms) {
                Ok(Answer::Vector(samples)) => {
                    let at = at_ms as f64 / 1000.0;
                    let result: Vec<Value> = samples
                        .iter()
                        .map(|s| json!({ "metric": s.labels, "value": [at, s.value.to_string()] }))
                        .collect();
                    let data = json!({ "resultType": "vector", "result": result });
                    response(200, json!({ "status": "success", "data": data }).to_string())
                }
                other => panic!("{}: {other:?}", query(request)),
            }
        });
        start.set(Some(stage.clock.elapsed()));
        let plan = self.plan();
        let settings = json!({ "for": format!("{BAKE}s"), "gates": plan.gates.keys().collect::<Vec<_>>() });
        let step = built("bake", settings, &plan);
        let outcome = stage.clock.run(step.execute(&stage.world, &stage.notes)).expect("nothing crashes here");
        let seconds = stage.clock.elapsed().as_secs();
        match &outcome {
            Outcome::Done { .. } => Fate::Passed,
            Outcome::Failed { then: Some(Reaction::Halt | Reaction::Hold), .. } => Fate::Held(seconds),
            _ => Fate::Back(seconds),
        }
    }

    fn plan(&self) -> Plan {
        let all = "http_requests_total";
        let errors = format!("sum by (color) (rate({all}{{status=~\"5..\"}}[1m])) / sum by (color) (rate({all}[1m]))");
        let mut plan = super::scripted::plan();
        let p99 = "histogram_quantile(0.99, sum by (le, color) (rate(http_seconds_bucket[1m])))";
        let gate = match self.slow {
            Some(_) => json!({ "prometheus": p99, "max": "800ms" }),
            None => json!({
                "prometheus": errors, "max": "0.5%", "versus_blue": "+0.3%", "min_requests": self.min_requests, "instance": "pod",
            }),
        };
        plan.gates = [("gate".to_string(), gate)].into();
        plan
    }
}

fn requests(dice: &mut Dice, mean: f64, rate: f64) -> Counts {
    let bad = dice.poisson(mean * rate);
    Counts { requests: bad + dice.poisson(mean * (1.0 - rate)), bad }
}

impl Traffic {
    /// Counters of requests, of bad ones and of slow ones.
    fn scrape(&mut self, at_ms: i64, green: &[[u64; 3]], blue: [u64; 3]) {
        let mut readings = Vec::new();
        let pods = green.iter().enumerate().map(|(n, counts)| ("green", format!("green-{n}"), *counts));
        for (color, pod, [all, bad, slow]) in pods.chain([("blue", "blue-0".to_string(), blue)]) {
            let labels = |more: &[(&'static str, &str)]| {
                let mut labels = vec![("color", color.to_string()), ("pod", pod.clone())];
                labels.extend(more.iter().map(|(name, value)| (*name, value.to_string())));
                labels
            };
            readings.push(("http_requests_total", labels(&[("status", "500")]), bad as f64));
            readings.push(("http_requests_total", labels(&[("status", "200")]), (all - bad) as f64));
            // Two in a hundred take 400 ms or more.
            let quick = (0.98 * all as f64).min((all - slow) as f64);
            for (le, below) in [("0.4", quick), ("0.8", (all - slow) as f64), ("1.6", all as f64), ("+Inf", all as f64)]
            {
                readings.push(("http_seconds_bucket", labels(&[("le", le)]), below.floor()));
            }
        }
        self.scraped.add(at_ms, readings);
    }
}
