//! A bot instance: what any HTTP service of a colour offers (version, readiness, in-flight gauge, metrics) and the way to
//! its Slack side. Two instances a colour share one gauge, blue and green share one dedup store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json;

use super::dedup::Store;
use super::dice::Dice;
use super::fault::{Fault, Faults};
use super::ledger::Book;
use super::{bot_slack, server};
use crate::plan::Color;

/// The versions of the two colours.
pub const BLUE_VERSION: &str = "v1.4.1";
pub const GREEN_VERSION: &str = "v1.4.2";

/// All instances of one colour.
pub struct Bot {
    pub color: Color,
    pub version: &'static str,
    /// The Slack signing secret it was deployed with.
    pub secret: String,
    pub store: Arc<Store>,
    pub book: Arc<Book>,
    pub faults: Arc<Faults>,
    pub dice: Arc<Dice>,
    /// Requests and event work that have not ended.
    pub in_flight: AtomicU64,
    pub handled: AtomicU64,
    /// Refuses everything, as a process that is gone does.
    pub down: AtomicBool,
}

impl Bot {
    pub fn new(
        color: Color,
        secret: &str,
        store: &Arc<Store>,
        book: &Arc<Book>,
        faults: &Arc<Faults>,
        dice: &Arc<Dice>,
    ) -> Arc<Bot> {
        let green = color == Color::Green;
        let version = if green && !faults.wanted(Fault::GreenOldBuild) { GREEN_VERSION } else { BLUE_VERSION };
        let wrong = green && faults.wanted(Fault::GreenWrongSecret);
        Arc::new(Bot {
            color,
            version,
            secret: if wrong { format!("not-{secret}") } else { secret.to_string() },
            store: Arc::clone(store),
            book: Arc::clone(book),
            faults: Arc::clone(faults),
            dice: Arc::clone(dice),
            in_flight: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            down: AtomicBool::new(false),
        })
    }

    /// Answers one request; every answer carries the version.
    pub async fn answer(self: Arc<Self>, parts: Parts, body: Bytes) -> Response {
        if self.down.load(Ordering::Relaxed) {
            return server::cut();
        }
        let mut response = match (parts.method.as_str(), parts.uri.path()) {
            ("GET", "/version") => json_answer(200, &json!({ "version": self.version, "color": self.color.name() })),
            ("GET", "/healthz/ready" | "/healthz/live") => json_answer(200, &json!({ "ok": true })),
            ("GET", "/bgctl/inflight") => {
                json_answer(200, &json!({ "inflight": self.in_flight.load(Ordering::Relaxed) }))
            }
            ("GET", "/bgctl/handlers") => json_answer(
                200,
                &json!({ "commands": ["/standup", "/bgctl-smoke"], "actions": ["approve", "bgctl_smoke"],
                         "views": ["deploy_modal", "bgctl_smoke"], "events": ["app_mention", "bgctl_smoke"] }),
            ),
            ("GET", "/metrics") => server::answer(200, "text/plain; version=0.0.4", self.metrics()),
            ("POST", "/slack/events") => {
                let work = self.work();
                let response = bot_slack::answer(&self, &parts, &body).await;
                drop(work);
                response
            }
            _ => server::answer(404, "text/plain", "not found"),
        };
        let headers = response.headers_mut();
        headers.insert("x-bot-version", HeaderValue::from_static(self.version));
        headers.insert("x-bot-color", HeaderValue::from_static(self.color.name()));
        response
    }

    /// Counts as in flight until dropped.
    pub fn work(self: &Arc<Self>) -> Work {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Work(Arc::clone(self))
    }

    fn metrics(&self) -> String {
        let (color, handled) = (self.color.name(), self.handled.load(Ordering::Relaxed));
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        format!(
            "# TYPE bot_events_handled_total counter\nbot_events_handled_total{{color=\"{color}\"}} {handled}\n\
             # TYPE bot_in_flight gauge\nbot_in_flight{{color=\"{color}\"}} {in_flight}\n"
        )
    }
}

/// A piece of work under way.
pub struct Work(Arc<Bot>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

pub fn json_answer(status: u16, value: &serde_json::Value) -> Response {
    server::answer(status, "application/json", value.to_string())
}
