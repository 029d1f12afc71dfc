//! The contract files as they are copied into bots: what they count is what happened.

use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::live::http::LiveWeb;
use bgctl::plan::Color;
use bgctl::run::{Evidence, Outcome};
use bgctl::secret::Secret;
use bgctl::slack::request::{From, retried, signed};
use bgctl::world::{Request, Response, Web};
use serde_json::json;

use super::MACHINE;
use super::common::answering;
use super::common::bots::{Bolt, Bot, Redis, SECRET, get, pause};
use super::common::scripted::{Notebook, built};
use super::suite::{plan_of, world};

const BOTH: [Bolt; 2] = [Bolt::Python, Bolt::JavaScript];

fn from() -> From {
    From { team: "T0LAB".into(), channel: "C0LAB".into(), app: "A0LAB".into(), enterprise: None, org_wide: false }
}

fn web() -> LiveWeb {
    LiveWeb::new(std::rc::Rc::new(SystemClock))
}

fn event(bot: &Bot, id: &str, hold_ms: u64) -> Request {
    let now = SystemClock.now().as_second();
    let url = format!("{}/slack/events", bot.url);
    signed(&url, &from().event(id, now, hold_ms), &Secret::new(SECRET), now, Duration::from_secs(5))
}

async fn sent(request: Request) -> Response {
    web().exchange(request).await.expect("the bot answers")
}

/// The value of a metric without its labels.
fn metric(bot: &Bot, name: &str) -> f64 {
    let page = get(bot.address, "/metrics");
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until a metric has that value: a bot counts what it did after its ack too.
fn becomes(bot: &Bot, name: &str, value: f64) {
    let there = (0..400).any(|_| {
        metric(bot, name) == value || {
            pause(25);
            false
        }
    });
    assert!(there, "{name} is {}, not {value}\n{}", metric(bot, name), bot.process.log());
}

/// An ack is no end of work: the gauge counts on after it, and a drain waits for that.
#[tokio::test]
async fn a_drain_waits_for_work_that_was_acked_long_before() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    for bolt in BOTH {
        let Some(blue) = Bot::start(bolt, Color::Blue, "v1", &store, &[("PBR", "0")]) else { return };
        let acked = sent(event(&blue, &format!("Ev{bolt:?}"), 1_500)).await;
        assert!(acked.status == 200 && acked.time < Duration::from_millis(1_000), "{bolt:?}: {acked:?}");
        assert!(get(blue.address, "/bgctl/inflight").contains("1}"), "{bolt:?}: acked, and at work");
        let (world, notes) = (world(&store), Notebook::default());
        let drain = built("drain", json!({ "stack": "blue", "within": "20s" }), &plan_of(&blue, &blue));
        let outcome = drain.execute(&world, &notes).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{bolt:?}: {outcome:?}");
        match &notes.evidence.borrow()[..] {
            [Evidence::DrainMeasured { in_flight: Some(left), after_ms, .. }] => {
                assert!(left == "0" && *after_ms > 500, "{bolt:?}: {left} after {after_ms} ms");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn retries_acks_and_exchanged_triggers_are_counted() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    // Slack's Web API as far as it says that somebody else has used the trigger.
    let says = r#"{"ok":false,"error":"exchanged_trigger_id"}"#;
    let api = format!("http://{}/api/", answering("application/json", says));
    for bolt in BOTH {
        let store = redis.url(if bolt == Bolt::Python { 1 } else { 2 });
        let Some(bot) = Bot::start(bolt, Color::Blue, "v1", &store, &[("SLACK_API", &api)]) else { return };
        let first = event(&bot, "EvOnce", 0);
        let (one, two) = (sent(first.clone()).await, sent(retried(&first, 1, "http_timeout")).await);
        assert_eq!((one.status, two.status), (200, 200), "{bolt:?}\n{}", bot.process.log());
        becomes(&bot, "slack_retries_total", 1.0);
        becomes(&bot, "slack_ack_seconds_count", 2.0);
        assert!(metric(&bot, "slack_ack_seconds_bucket{color=\"blue\",le=\"3\"}") >= 2.0, "{bolt:?}");
        let now = SystemClock.now().as_second();
        let command = from().slash_command("", "t1", None);
        let text = String::from_utf8(command.bytes).unwrap().replace("%2Fbgctl-smoke", "%2Fdeploy");
        let body = bgctl::slack::request::Body { door: command.door, kind: command.kind, bytes: text.into_bytes() };
        let url = format!("{}/slack/events", bot.url);
        let _ = web().exchange(signed(&url, &body, &Secret::new(SECRET), now, Duration::from_secs(5))).await;
        becomes(&bot, "slack_exchanged_trigger_id_total", 1.0);
    }
}
