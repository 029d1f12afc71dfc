//! A bot instance: what any HTTP service of a colour offers (version, readiness, in-flight gauge, metrics) and the way to
//! its Slack side. Two instances a colour share one gauge, blue and green share one dedup store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json;
use tokio::sync::watch;

use super::dedup::Store;
use super::dice::Dice;
use super::fault::{Fault, Faults};
use super::ledger::Book;
use super::{bot_slack, server};
use crate::plan::Color;

/// The versions of the two colours.
pub const BLUE_VERSION: &str = "v1.4.1";
pub const GREEN_VERSION: &str = "v1.4.2";

/// One instance. Those behind one load balancer share their gauges, as behind one address they could not be told apart.
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
    pub in_flight: Arc<AtomicU64>,
    pub handled: Arc<AtomicU64>,
    /// Refuses everything, as a process that is gone does.
    pub down: AtomicBool,
    /// It is to be killed over the next event it takes.
    pub doomed: AtomicBool,
    /// Turns true when the process is killed: work in hand is never ended.
    pub killed: watch::Sender<bool>,
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
            in_flight: Arc::default(),
            handled: Arc::default(),
            down: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            killed: watch::Sender::new(false),
        })
    }

    /// A further instance with the same gauges.
    pub fn twin(&self) -> Arc<Bot> {
        Arc::new(Bot {
            color: self.color,
            version: self.version,
            secret: self.secret.clone(),
            store: Arc::clone(&self.store),
            book: Arc::clone(&self.book),
            faults: Arc::clone(&self.faults),
            dice: Arc::clone(&self.dice),
            in_flight: Arc::clone(&self.in_flight),
            handled: Arc::clone(&self.handled),
            down: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            killed: watch::Sender::new(false),
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
            ("GET", "/bgctl/handlers") => {
                let views: &[&str] = if self.lacks("deploy_modal") { &[] } else { &["deploy_modal"] };
                let views: Vec<&str> = views.iter().chain(&["bgctl_smoke"]).copied().collect();
                json_answer(
                    200,
                    &json!({ "commands": ["/standup", "/bgctl-smoke"], "actions": ["approve", "bgctl_smoke"],
                             "views": views, "events": ["app_mention", "bgctl_smoke"] }),
                )
            }
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

    /// Whether this build has lost the listener of that name.
    pub fn lacks(&self, listener: &str) -> bool {
        listener == "deploy_modal" && self.color == Color::Green && self.faults.wanted(Fault::GreenLacksHandler)
    }

    /// Ends as a killed process does: nothing in hand is finished, nothing more is answered.
    pub fn kill(&self) {
        self.down.store(true, Ordering::Relaxed);
        self.killed.send_replace(true);
    }

    /// Waits for the next event and is killed over it.
    pub async fn die_at_work(&self) {
        self.doomed.store(true, Ordering::Relaxed);
        // An error means that the bot itself is gone.
        let _ = self.killed.subscribe().wait_for(|killed| *killed).await;
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
