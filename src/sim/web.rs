//! Simulated answers to the probes' own requests: versions by the split in force, and a Prometheus that knows two
//! questions, errors and latency.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::Sim;
use crate::clock::Clock;
use crate::plan::Color;
use crate::world::{Request, Response, Web, WebError};

pub(super) struct SimWeb {
    pub(super) sim: Rc<Sim>,
}

#[async_trait(?Send)]
impl Web for SimWeb {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        let time = Duration::from_millis(5);
        self.sim.clock.sleep(time).await;
        let stack = self.stack(&request.url);
        let public = self.sim.seen_at(&request.url).is_some();
        if let Some((from, status)) = self.sim.scenario.green_unseen.filter(|_| public && stack == Color::Green)
            && self.sim.is(Some(from))
        {
            return Ok(Response { status, time, ..Response::default() });
        }
        let version = &self.sim.versions[usize::from(stack == Color::Green)];
        let headers = vec![("x-version".to_string(), version.clone())];
        let body = if request.url.contains("/api/v1/query") {
            self.sim.clock.boundary().await;
            self.prometheus(&request)
        } else {
            let busy = self.sim.scenario.busy.is_some_and(|until| self.sim.clock.time() < until);
            let inflight = if busy { 3 } else { 0 };
            json!({ "in_flight": inflight, "inflight": inflight })
        };
        Ok(Response { status: 200, headers, body: body.to_string().into_bytes(), time })
    }
}

impl SimWeb {
    /// Which stack answers next: the shares are met exactly over time, by a golden-ratio walk instead of chance.
    fn stack(&self, url: &str) -> Color {
        let route = self.sim.seen_at(url).unwrap_or_default();
        let split = self.sim.split_ago(&route, self.sim.scenario.propagation);
        let n = self.sim.clock.answers();
        let place = (n as f64 * 0.618_033_988_749_895).fract();
        if place < split.share(Color::Green) { Color::Green } else { Color::Blue }
    }

    fn prometheus(&self, request: &Request) -> serde_json::Value {
        let query = String::from_utf8_lossy(&request.body);
        let ill = self.sim.is(self.sim.scenario.green_errors);
        let counts = query.contains("increase");
        // Of the two counts behind a share, the one whose selector speaks of errors is that of the bad requests.
        let bad = counts && ["5", "rror", "fail"].iter().any(|word| selector(&query).contains(word));
        let seconds = range(query.split("increase%28").nth(1).unwrap_or(&query)).as_secs_f64();
        // Of the range, so many seconds in which green was ill.
        let since_ill = self
            .sim
            .scenario
            .green_errors
            .map_or(0.0, |at| self.sim.clock.time().saturating_sub(at).as_secs_f64().min(seconds));
        let value = |color: Color| match () {
            () if query.contains("timestamp") => 1.0,
            () if query.contains("count_over_time") => 4.0,
            () if bad && color == Color::Green => (seconds * 0.001 + since_ill * 0.2) * PER_SECOND,
            () if bad => seconds * 0.001 * PER_SECOND,
            () if counts => seconds * PER_SECOND,
            () if ill && color == Color::Green => 0.2,
            () => 0.001,
        };
        let value = |color: Color| value(color).to_string();
        let now = self.sim.clock.now().as_second();
        let result: Vec<_> = Color::BOTH
            .into_iter()
            .map(|color| json!({ "metric": { "color": color.name() }, "value": [now, value(color)] }))
            .collect();
        json!({ "status": "success", "data": { "resultType": "vector", "result": result } })
    }
}

/// Requests of either stack in a second.
const PER_SECOND: f64 = 50.0;

/// The range of a query that is sent as a form: `[1m30s]`.
fn range(query: &str) -> Duration {
    let mut rest = query.split("%5B").nth(1).and_then(|rest| rest.split("%5D").next()).unwrap_or_default();
    let mut seconds = 0.0;
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0) {
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let each = match &after[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => 0.0,
        };
        seconds += number.parse::<f64>().unwrap_or_default() * each;
        rest = &after[unit..];
    }
    Duration::from_secs_f64(seconds)
}

/// What is counted in a query that is sent as a form: the text between `increase(` and its range.
fn selector(query: &str) -> &str {
    let from = query.split("increase%28").nth(1).unwrap_or_default();
    from.split("%5B").next().unwrap_or_default()
}
