//! A Slack of the test's own: signed events and modals at a steady rate, delivered and repeated as Slack does.
//!
//! Three retries: at once, after a minute, after five minutes, on a fast clock. The three seconds an app has to answer are
//! real. It sends to the public address and knows nothing of the stacks behind it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::secret::Secret;
use bgctl::slack::request::signature;
use reqwest::Client;
use serde_json::{Value, json};

use super::common::bots::SECRET;

const PATIENCE: Duration = Duration::from_secs(3);
const RETRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_secs(3), Duration::from_secs(12)];
/// One tick in so many also submits a modal.
const MODAL_EVERY: u32 = 4;

#[derive(Default)]
pub struct Count {
    /// Ids of all events sent.
    pub events: Mutex<Vec<String>>,
    pub retries: AtomicU32,
    /// Events no delivery of which was taken.
    pub given_up: AtomicU32,
    pub modals: AtomicU32,
    /// Modals that were not answered as a user expects, with what came instead.
    pub unanswered: Mutex<Vec<String>>,
    open: AtomicU32,
}

pub struct Sender {
    pub count: Arc<Count>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Sends `per_second` events until finished. `slack` is the whole URL.
    pub fn start(slack: String, per_second: u32) -> Sender {
        let (count, stop) = (Arc::new(Count::default()), Arc::new(AtomicBool::new(false)));
        let (of_thread, stopped) = (Arc::clone(&count), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(send_all(slack, per_second, &of_thread, &stopped));
        });
        Sender { count, stop, thread: Some(thread) }
    }

    /// Sends nothing new, and returns when the last retry has been answered.
    pub fn finish(mut self) -> Arc<Count> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("it sends to the end");
        Arc::clone(&self.count)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "pace of a real sender")]
async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn send_all(slack: String, per_second: u32, count: &Arc<Count>, stop: &AtomicBool) {
    let client = bgctl::https::client().no_proxy().timeout(PATIENCE).build().expect("a client");
    let begun = SystemClock.elapsed();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let due = Duration::from_secs(1) * n / per_second;
        sleep(due.saturating_sub(SystemClock.elapsed().saturating_sub(begun))).await;
        let (client, slack, count) = (client.clone(), slack.clone(), Arc::clone(count));
        count.open.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            event(&client, &slack, &count, n).await;
            if n % MODAL_EVERY == 0 {
                modal(&client, &slack, &count, n).await;
            }
            count.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    while count.open.load(Ordering::Relaxed) > 0 {
        sleep(Duration::from_millis(50)).await;
    }
}

async fn event(client: &Client, slack: &str, count: &Count, n: u32) {
    let id = format!("Ev0CUT{n:06}");
    count.events.lock().unwrap().push(id.clone());
    let body = json!({
        "token": "x", "type": "event_callback", "team_id": "T0LAB", "api_app_id": "A0LAB", "event_id": id,
        "event_time": SystemClock.now().as_second(),
        "authorizations": [{ "team_id": "T0LAB", "user_id": "U0BOT", "is_bot": true, "is_enterprise_install": false }],
        "event": { "type": "app_mention", "user": "U0USER", "channel": "C0LAB", "text": "<@U0BOT> hello", "ts": id },
    });
    let body = body.to_string();
    let mut taken = post(client, slack, "application/json", &body, None).await.is_ok();
    for (number, wait) in RETRIES.iter().enumerate() {
        if taken {
            return;
        }
        sleep(*wait).await;
        count.retries.fetch_add(1, Ordering::Relaxed);
        taken = post(client, slack, "application/json", &body, Some(number + 1)).await.is_ok();
    }
    count.given_up.fetch_add(u32::from(!taken), Ordering::Relaxed);
}

/// A modal that was opened on blue. Slack sends it once; the user sees whatever comes back.
async fn modal(client: &Client, slack: &str, count: &Count, n: u32) {
    let too_short = n.is_multiple_of(8);
    let reason = if too_short { "x" } else { "a good reason" };
    let payload = json!({
        "type": "view_submission", "token": "x", "trigger_id": format!("modal.{n}"), "api_app_id": "A0LAB",
        "team": { "id": "T0LAB", "domain": "lab" }, "user": { "id": "U0USER", "username": "u", "name": "u" },
        "is_enterprise_install": false, "response_urls": [],
        "view": {
            "id": format!("V{n}"), "team_id": "T0LAB", "type": "modal", "callback_id": "deploy_modal", "hash": "1",
            "private_metadata": json!({ "schema": 1, "opened_by": "v1" }).to_string(),
            "title": { "type": "plain_text", "text": "Deploy" }, "blocks": [],
            "state": { "values": { "reason": { "txt": { "type": "plain_text_input", "value": reason } } } },
        },
    });
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
    count.modals.fetch_add(1, Ordering::Relaxed);
    let answer = post(client, slack, "application/x-www-form-urlencoded", &form, None).await;
    let wanted = |text: &str| {
        let body: Value = serde_json::from_str(text).unwrap_or_default();
        if too_short { body["response_action"] == "errors" } else { text.is_empty() }
    };
    match answer {
        Ok(text) if wanted(&text) => {}
        Ok(text) | Err(text) => count.unanswered.lock().unwrap().push(format!("modal {n}: {text}")),
    }
}

/// The body of an answer Slack is content with, or what came instead.
async fn post(client: &Client, slack: &str, kind: &str, body: &str, retry: Option<usize>) -> Result<String, String> {
    let timestamp = SystemClock.now().as_second();
    let mut request = client
        .post(slack)
        .header("content-type", kind)
        .header("x-slack-request-timestamp", timestamp.to_string())
        .header("x-slack-signature", signature(&Secret::new(SECRET), timestamp, body.as_bytes()))
        .body(body.to_string());
    if let Some(number) = retry {
        request = request.header("x-slack-retry-num", number.to_string()).header("x-slack-retry-reason", "http_error");
    }
    let answer = request.send().await.map_err(|e| format!("{:#}", anyhow::Error::from(e)))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|e| e.to_string())?;
    if status.is_success() { Ok(text) } else { Err(format!("{status} {text}")) }
}
