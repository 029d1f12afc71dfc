//! The Prometheus-compatible query API: scrapes the proxy's meter each second and answers `/api/v1/query`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value as Json, json};

use super::bot::json_answer;
use super::fault::{Fault, Faults};
use super::meter::Meter;
use super::promql::{self, Failure, Value};
use super::query::Node;
use super::series::Scraped;
use super::{locked, server, time};

const SCRAPE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Prometheus(Mutex<Scraped>);

impl Prometheus {
    /// Scrapes for as long as the lab lives.
    pub async fn watch(self: Arc<Self>, meter: Arc<Meter>, faults: Arc<Faults>) {
        loop {
            if !faults.bites(Fault::PrometheusSilent) {
                self.scrape(&meter);
            }
            time::sleep(SCRAPE).await;
        }
    }

    fn scrape(&self, meter: &Meter) {
        locked(&self.0).add(time::wall_ms(), meter.readings());
    }

    /// Answers one request, in form body or query string, as Prometheus takes both.
    pub async fn answer(self: Arc<Self>, parts: Parts, body: Bytes) -> Response {
        match parts.uri.path() {
            "/api/v1/query" => {}
            "/-/healthy" | "/-/ready" => return server::answer(200, "text/plain", "Prometheus Server is Ready.\n"),
            "/api/v1/status/buildinfo" => {
                return json_answer(200, &json!({ "status": "success", "data": { "version": "3.0.0-bgctl-lab" } }));
            }
            _ => return server::answer(404, "text/plain", "404 page not found\n"),
        }
        let in_url = Node::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let in_body = Node::parse(&body);
        let parameter = |name: &str| in_body.get(name).or_else(|| in_url.get(name));
        let at_ms = match parameter("time").map(moment) {
            None => time::wall_ms(),
            Some(Some(at_ms)) => at_ms,
            Some(None) => return refusal(&Failure::BadData("invalid parameter \"time\"".into())),
        };
        let value = promql::evaluate(locked(&self.0).all(), parameter("query").unwrap_or_default(), at_ms);
        match value {
            Ok(value) => json_answer(200, &json!({ "status": "success", "data": data(&value, at_ms) })),
            Err(failure) => refusal(&failure),
        }
    }
}

/// A moment in milliseconds: seconds since 1970, or RFC 3339.
fn moment(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Some((seconds * 1000.0).round() as i64),
        Ok(_) => None,
        Err(_) => Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()),
    }
}

fn refusal(failure: &Failure) -> Response {
    let (status, kind, message) = match failure {
        Failure::BadData(message) => (400, "bad_data", message),
        Failure::Execution(message) => (422, "execution", message),
    };
    json_answer(status, &json!({ "status": "error", "errorType": kind, "error": message }))
}

fn data(value: &Value, at_ms: i64) -> Json {
    let point = |number: f64| json!([at_ms as f64 / 1000.0, digits(number)]);
    match value {
        Value::Scalar(number) => json!({ "resultType": "scalar", "result": point(*number) }),
        Value::Vector(samples) => {
            let result: Vec<Json> =
                samples.iter().map(|s| json!({ "metric": s.labels, "value": point(s.value) })).collect();
            json!({ "resultType": "vector", "result": result })
        }
    }
}

/// A number as Prometheus writes it.
fn digits(number: f64) -> String {
    match number {
        n if n.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        n => n.to_string(),
    }
}
