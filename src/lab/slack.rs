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
pub const PATIENCE: Duration = Duration::from_secs(3);
/// The wait before each retry: near-immediate, one minute, five minutes.
pub const RETRIES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(600), Duration::from_millis(3_000)];
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::{locked, server};
    use super::*;

    /// Delivers one event to an app that answers with these statuses (0: no answer), and says what arrived: retry
    /// number, reason, and the milliseconds since the first attempt.
    async fn deliver(answers: &'static [u16], no_retry: bool) -> (Vec<(String, u128)>, super::super::Ledger) {
        let door = server::Door::open(&super::super::memory::Memory::default()).await.unwrap();
        let (seen, started) = (Arc::new(Mutex::new(Vec::new())), time::now());
        let slack = Slack {
            client: crate::https::client().no_proxy().build().unwrap(),
            public_url: door.url(),
            secret: "key".into(),
            book: Arc::default(),
            dice: Arc::new(Dice::new(1)),
            quiet: AtomicBool::new(false),
            sequence: AtomicU64::new(0),
        };
        let record = Arc::clone(&seen);
        let serving = door.serve(move |parts, body| {
            let record = Arc::clone(&record);
            async move {
                let header = |name| server::header(&parts, name).unwrap_or("-");
                let now_s = time::wall_ms() / 1000;
                let (stamp, signed) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
                assert!(signature::verify("key", now_s, Some(stamp), Some(signed), &body));
                let line = format!("{} {}", header("x-slack-retry-num"), header("x-slack-retry-reason"));
                let status = {
                    let mut seen = locked(&record);
                    seen.push((line, time::now().duration_since(started).as_millis()));
                    answers[seen.len() - 1]
                };
                if status == 0 {
                    return server::cut();
                }
                if status == 1 {
                    time::sleep(time::ms(3_500)).await;
                }
                let mut response = server::answer(if status == 1 { 200 } else { status }, "text/plain", "");
                if no_retry {
                    response.headers_mut().insert("x-slack-no-retry", "1".parse().unwrap());
                }
                response
            }
        });
        slack.book.sent("Ev1");
        slack.event("Ev1").await;
        serving.abort();
        let seen = locked(&seen).clone();
        (seen, slack.book.read())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_failing_app_is_tried_four_times_on_slacks_schedule() {
        let (seen, ledger) = deliver(&[500, 0, 503, 500], false).await;
        let lines: Vec<_> = seen.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(lines, ["- -", "1 http_error", "2 connection_failed", "3 http_error"]);
        let gaps: Vec<_> = seen.windows(2).map(|two| two[1].1 - two[0].1).collect();
        for (gap, wait) in gaps.iter().zip(RETRIES) {
            assert!((wait.as_millis()..wait.as_millis() + 2_000).contains(gap), "{gaps:?}");
        }
        assert_eq!((ledger.lost, ledger.delivered, ledger.retries), (1, 0, 3));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_timeout_is_told_and_no_retry_is_honoured() {
        let (seen, ledger) = deliver(&[1, 200], false).await;
        assert_eq!(seen[1].0, "1 http_timeout");
        assert!((3_000..5_000).contains(&seen[1].1), "{seen:?}");
        assert_eq!((ledger.delivered, ledger.retries), (1, 1));

        let (seen, ledger) = deliver(&[500], true).await;
        assert_eq!((seen.len(), ledger.delivered, ledger.lost), (1, 0, 1));
    }
}
