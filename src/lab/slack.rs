//! The lab's Slack: sends signed events to the bot's public address the whole time, and retries as Slack does.
//!
//! Three retries: at once, after a minute, after five minutes. The minutes run on a fast clock (0.6 s each); the three
//! seconds an app has to answer are real.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use serde_json::json;

use super::dice::Dice;
use super::ledger::Book;
use super::{signature, time};

/// How long an app has to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The wait before each retry: near-immediate, one minute, five minutes.
const RETRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(600), Duration::from_millis(3_000)];
/// One in so many ticks is a user typing a slash command; Slack does not repeat those.
const COMMAND_EVERY: u64 = 20;

pub struct Slack {
    pub client: Client,
    pub public_url: String,
    pub secret: String,
    pub book: Arc<Book>,
    pub dice: Arc<Dice>,
    /// Set to end the sending of new events.
    pub quiet: AtomicBool,
    pub sequence: AtomicU64,
}

impl Slack {
    /// Sends about this many events a second until told to be quiet. Retries go on after that.
    pub async fn send_all(self: Arc<Self>, events_per_second: u32) {
        let mean = 1_000_000 / u64::from(events_per_second);
        let mut due = time::now();
        while !self.quiet.load(Ordering::Relaxed) {
            let number = self.sequence.fetch_add(1, Ordering::Relaxed);
            if number % COMMAND_EVERY == COMMAND_EVERY - 1 {
                let slack = Arc::clone(&self);
                tokio::spawn(async move { slack.command(number).await });
            } else {
                let id = format!("Ev0LAB{number:08}");
                self.book.sent(&id);
                let slack = Arc::clone(&self);
                tokio::spawn(async move { slack.event(&id).await });
            }
            // The pace is kept against the clock, so that a busy machine does not lower the rate.
            due += Duration::from_micros(self.dice.between(mean / 2, mean + mean / 2));
            time::sleep(due.saturating_duration_since(time::now())).await;
        }
    }

    /// Delivers one event, with retries.
    pub async fn event(&self, id: &str) {
        let body = json!({
            "token": "lab", "team_id": "T0LAB", "api_app_id": "A0LAB", "type": "event_callback",
            "event_id": id, "event_time": time::wall_ms() / 1000,
            "event": { "type": "app_mention", "user": "U0LAB", "channel": "C0LAB", "text": "<@U0BOT> hello", "ts": id },
        });
        let body = body.to_string().into_bytes();
        let mut last = self.post("application/json", &body, None).await;
        for (number, wait) in RETRIES.iter().enumerate() {
            let reason = match last {
                Delivery::Taken => break,
                Delivery::NoRetry => return self.book.settled(id, false),
                Delivery::Failed(reason) => reason,
            };
            time::sleep(*wait).await;
            self.book.retried();
            last = self.post("application/json", &body, Some((number + 1, reason))).await;
        }
        self.book.settled(id, matches!(last, Delivery::Taken));
    }

    async fn command(&self, number: u64) {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("token", "lab"),
                ("team_id", "T0LAB"),
                ("team_domain", "lab"),
                ("channel_id", "C0LAB"),
                ("user_id", "U0LAB"),
                ("command", "/standup"),
                ("text", "all well"),
                ("api_app_id", "A0LAB"),
                ("trigger_id", &format!("{number}.lab")),
            ])
            .finish();
        let answer = self.post("application/x-www-form-urlencoded", body.as_bytes(), None).await;
        self.book.command(matches!(answer, Delivery::Taken));
    }

    async fn post(&self, content_type: &str, body: &[u8], retry: Option<(usize, &'static str)>) -> Delivery {
        let timestamp = (time::wall_ms() / 1000).to_string();
        let mut request = self
            .client
            .post(format!("{}/slack/events", self.public_url))
            .timeout(PATIENCE)
            .header("content-type", content_type)
            .header("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
            .header("x-slack-signature", signature::sign(&self.secret, &timestamp, body))
            .header("x-slack-request-timestamp", timestamp);
        if let Some((number, reason)) = retry {
            request = request.header("x-slack-retry-num", number).header("x-slack-retry-reason", reason);
        }
        match request.body(body.to_vec()).send().await {
            Ok(response) if response.status().is_success() => Delivery::Taken,
            Ok(response) if response.headers().get("x-slack-no-retry").is_some_and(|value| value == "1") => {
                Delivery::NoRetry
            }
            Ok(_) => Delivery::Failed("http_error"),
            Err(error) if error.is_timeout() => Delivery::Failed("http_timeout"),
            Err(_) => Delivery::Failed("connection_failed"),
        }
    }
}

/// How one attempt ended.
enum Delivery {
    Taken,
    NoRetry,
    Failed(&'static str),
}
