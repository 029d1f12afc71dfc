//! One delivery is handled once, whatever the bot is made of and whatever becomes of its store: lazy legs on AWS Lambda, an
//! Assistant, `AsyncApp`, organisations, work longer than its lease, a store that is away.

use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::live::http::LiveWeb;
use bgctl::live::redis::LiveStore;
use bgctl::plan::Color;
use bgctl::secret::Secret;
use bgctl::slack::paths::Door;
use bgctl::slack::request::{Body, From, retried, signed};
use bgctl::world::{Response, Store, Web};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::MACHINE;
use super::common::bots::{Bolt, Bot, Redis, SECRET, get, pause};
use super::suite::{plan_of, smoke};

pub const BOTH: [Bolt; 2] = [Bolt::Python, Bolt::JavaScript];
/// What a user waits for the store at most, with the bot's own work on a busy machine.
const SOON: Duration = Duration::from_millis(600);

pub fn from() -> From {
    From { team: "T0LAB".into(), channel: "C0LAB".into(), app: "A0LAB".into(), enterprise: None, org_wide: false }
}

/// An event of the bot's own.
fn event(id: &str, event: Value) -> Body {
    let body = json!({
        "token": "x", "type": "event_callback", "team_id": "T0LAB", "api_app_id": "A0LAB", "event_id": id,
        "event_time": SystemClock.now().as_second(), "event": event,
        "authorizations": [{ "team_id": "T0LAB", "user_id": "U0BOT", "is_bot": true, "is_enterprise_install": false }],
    });
    Body { door: Door::Events, kind: "application/json", bytes: body.to_string().into_bytes() }
}

pub fn mention(id: &str) -> Body {
    event(id, json!({ "type": "app_mention", "user": "U0USER", "channel": "C0LAB", "text": "hello", "ts": id }))
}

fn reaction(id: &str) -> Body {
    event(id, json!({ "type": "reaction_added", "user": "U0USER", "reaction": "eyes", "item": {}, "event_ts": id }))
}

/// What a user writes to an Assistant.
fn question(id: &str) -> Body {
    event(
        id,
        json!({ "type": "message", "user": "U0USER", "channel": "D0LAB", "channel_type": "im", "text": "why", "ts": "1.2",
                "thread_ts": "1.1", "event_ts": "1.2" }),
    )
}

pub fn command(name: &str, trigger: &str) -> Body {
    let body = from().slash_command("", trigger, None);
    let text = String::from_utf8(body.bytes.clone()).unwrap().replace("%2Fbgctl-smoke", &name.replace('/', "%2F"));
    Body { bytes: text.into_bytes(), ..body }
}

pub async fn sent_to(bot: &Bot, path: &str, body: &Body, retry: u32) -> Response {
    let (url, now) = (format!("{}{path}", bot.url), SystemClock.now().as_second());
    let request = signed(&url, body, &Secret::new(SECRET), now, Duration::from_secs(9));
    let request = if retry > 0 { retried(&request, retry, "http_timeout") } else { request };
    LiveWeb::new(std::rc::Rc::new(SystemClock)).exchange(request).await.expect("the bot answers")
}

pub async fn sent(bot: &Bot, body: &Body, retry: u32) -> Response {
    sent_to(bot, "/slack/events", body, retry).await
}

/// Who noted that they handled it.
async fn handled(store: &str, id: &str) -> Vec<String> {
    let lists = LiveStore::new(std::rc::Rc::new(SystemClock)).lists(store, &[format!("bgctl:handled:{id}")]).await;
    lists.expect("the store answers").remove(0)
}

/// Waits until the work of a delivery has been noted so often.
async fn noted(store: &str, id: &str, times: usize, bot: &Bot) -> Vec<String> {
    for _ in 0..200 {
        let by = handled(store, id).await;
        if by.len() >= times {
            return by;
        }
        pause(25);
    }
    panic!("{id} is not noted {times} times\n{}", bot.process.log());
}

/// S2: the first leg acks, Lambda starts the second with the same bytes. They are one delivery.
#[tokio::test]
async fn a_lazy_leg_on_lambda_does_the_work_of_the_delivery_once() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let knobs = [("BOT", "bot_lambda"), ("LAZY_WORK_S", "1.5"), ("LEASE_MS", "900")];
    let Some(bot) = Bot::start(Bolt::Python, Color::Blue, "v1", &store, &knobs) else { return };
    let Some(other) = Bot::start(Bolt::JavaScript, Color::Green, "v2", &store, &[]) else { return };
    for (id, body, one_leg) in [("t.lazy", command("/lazy", "t.lazy"), true), ("EvLazy", reaction("EvLazy"), false)] {
        assert_eq!(sent(&bot, &body, 0).await.status, 200, "{id}\n{}", bot.process.log());
        // Longer than a lease: it is the lazy leg that holds the claim now.
        pause(1_100);
        assert_eq!(sent(&bot, &body, 1).await.status, 503, "{id}: its work goes on");
        assert!(sent(&other, &body, 1).await.status >= 500, "{id}: for the other stack too");
        assert_eq!(noted(&store, id, 1, &bot).await, ["blue"], "{id}");
        for bot in [&bot, &other] {
            assert_eq!(sent(bot, &body, 2).await.status, 200, "{id}: done\n{}", bot.process.log());
        }
        pause(300);
        assert_eq!(handled(&store, id).await, ["blue"], "{id}");
        assert!(get(bot.address, "/version").contains("\"contract\": 2"), "the paths are answered there too");
        // Of the event two, after the one of the command.
        let legs = if one_leg { "{\"legs\": 1}" } else { "{\"legs\": 3}" };
        assert!(get(bot.address, "/legs").contains(legs), "{id}: {}", get(bot.address, "/legs"));
    }
}

/// S3: an Assistant is a middleware with listeners of its own.
#[tokio::test]
async fn what_an_assistant_is_asked_is_listed_claimed_and_done() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let async_app = [("BOT", "bot_async:asgi"), ("EVENT_WORK_S", "1.2"), ("LEASE_MS", "600")];
    let knobs = [("ASSISTANT", "1"), ("EVENT_WORK_S", "1.2"), ("LEASE_MS", "600")];
    for (n, (bolt, knobs)) in
        [(Bolt::Python, &knobs), (Bolt::JavaScript, &knobs), (Bolt::Python, &async_app)].into_iter().enumerate()
    {
        let store = redis.url(n as u32);
        let Some(bot) = Bot::start(bolt, Color::Blue, "v1", &store, knobs) else { return };
        let listed = get(bot.address, "/bgctl/handlers").replace(' ', "");
        let wanted = r#""assistants":["thread_context_changed","thread_started","user_message"]"#;
        assert!(listed.contains(wanted), "{bolt:?}: {listed}");
        let body = question("EvAsk");
        let (first, again) = tokio::join!(sent(&bot, &body, 0), async {
            tokio::task::yield_now().await;
            let later = tokio::task::spawn_blocking(|| pause(800));
            later.await.unwrap();
            sent(&bot, &body, 1).await
        });
        assert_eq!(first.status, 200, "{bolt:?}\n{}", bot.process.log());
        assert!(again.status >= 500, "{bolt:?}: {} while it is at work", again.status);
        // Longer than a lease after the end: what lasts is `done`.
        pause(800);
        assert_eq!(sent(&bot, &body, 2).await.status, 200, "{bolt:?}");
        assert_eq!(noted(&store, "EvAsk", 1, &bot).await, ["blue"], "{bolt:?}\n{}", bot.process.log());
    }
}

/// S4: a claim lasts as long as its work, and no longer than its process.
#[tokio::test]
async fn a_claim_is_renewed_while_its_work_runs_and_ends_with_its_process() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let knobs = [("LEASE_MS", "600"), ("EVENT_WORK_S", "1.8")];
    for (n, bolt) in BOTH.into_iter().enumerate() {
        let store = redis.url(n as u32);
        let Some(mut blue) = Bot::start(bolt, Color::Blue, "v1", &store, &knobs) else { return };
        let Some(green) = Bot::start(bolt, Color::Green, "v2", &store, &knobs[..1]) else { return };
        let body = mention("EvLong");
        let (first, meanwhile) = tokio::join!(sent(&blue, &body, 0), async {
            tokio::task::spawn_blocking(|| pause(1_300)).await.unwrap();
            sent(&green, &body, 1).await.status
        });
        assert_eq!(first.status, 200, "{bolt:?}\n{}", blue.process.log());
        assert!(meanwhile >= 500, "{bolt:?}: {meanwhile} after two leases");
        assert_eq!(handled(&store, "EvLong").await, ["blue"], "{bolt:?}");

        // Killed at work: the claim ends by itself, and Slack's retry is handled.
        let body = mention("EvKilled");
        let now = SystemClock.now().as_second();
        let url = format!("{}/slack/events", blue.url);
        let request = signed(&url, &body, &Secret::new(SECRET), now, Duration::from_secs(9));
        let web = LiveWeb::new(std::rc::Rc::new(SystemClock));
        let (lost, _) = tokio::join!(web.exchange(request), async {
            tokio::task::spawn_blocking(|| pause(900)).await.unwrap();
            blue.process.kill();
        });
        assert!(lost.is_err(), "{bolt:?}: {lost:?}");
        pause(900);
        assert_eq!(sent(&green, &body, 1).await.status, 200, "{bolt:?}\n{}", green.process.log());
        assert_eq!(handled(&store, "EvKilled").await, ["green"], "{bolt:?}");
    }
}

/// Work that failed is nobody's any more once its lease is over.
#[tokio::test]
async fn a_claim_ends_with_work_that_fails() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    for (n, bolt) in BOTH.into_iter().enumerate() {
        let store = redis.url(n as u32);
        let knobs = [("LEASE_MS", "600"), ("EVENT_FAILS", "1")];
        let Some(blue) = Bot::start(bolt, Color::Blue, "v1", &store, &knobs) else { return };
        let Some(green) = Bot::start(bolt, Color::Green, "v2", &store, &knobs[..1]) else { return };
        let body = mention("EvFails");
        assert_eq!(sent(&blue, &body, 0).await.status, 500, "{bolt:?}");
        pause(1_000);
        assert_eq!(sent(&green, &body, 1).await.status, 200, "{bolt:?}");
        assert_eq!(handled(&store, "EvFails").await, ["green"], "{bolt:?}");
    }
}

/// A store that hangs may have heard a claim whose event was refused: nobody is at work on that.
#[tokio::test]
async fn a_claim_nobody_works_on_is_let_go() {
    let _shared = MACHINE.read().await;
    for bolt in BOTH {
        let Some(redis) = Redis::start(&[]) else { return };
        let store = redis.url(0);
        let Some(bot) = Bot::start(bolt, Color::Blue, "v1", &store, &[("LEASE_MS", "20000")]) else { return };
        // So that there is a connection the question can go over.
        assert_eq!(sent(&bot, &command("/standup", "t1"), 0).await.status, 200, "{bolt:?}");
        let body = mention("EvHeard");
        redis.process.signal(Signal::STOP);
        assert!(sent(&bot, &body, 0).await.status >= 500, "{bolt:?}");
        redis.process.signal(Signal::CONT);
        let there = (0..200).any(|_| {
            pause(25);
            get(bot.address, "/healthz/ready").starts_with("HTTP/1.1 200")
        });
        assert!(there, "{bolt:?}\n{}", bot.process.log());
        // As long as nobody asks the store, and what is owed to it besides.
        pause(4_500);
        assert_eq!(sent(&bot, &body, 1).await.status, 200, "{bolt:?}\n{}", bot.process.log());
        assert_eq!(handled(&store, "EvHeard").await, ["blue"], "{bolt:?}");
    }
}

/// S4: a process that stood still lost its claim. Both did the work, and both say so.
#[tokio::test]
async fn work_done_twice_is_noted_twice() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    for (n, bolt) in BOTH.into_iter().enumerate() {
        let store = redis.url(n as u32);
        let knobs = [("LEASE_MS", "600"), ("EVENT_WORK_S", "0.8")];
        let Some(blue) = Bot::start(bolt, Color::Blue, "v1", &store, &knobs) else { return };
        let Some(green) = Bot::start(bolt, Color::Green, "v2", &store, &knobs[..1]) else { return };
        let body = mention("EvStill");
        let (first, second) = tokio::join!(sent(&blue, &body, 0), async {
            tokio::task::spawn_blocking(|| pause(300)).await.unwrap();
            blue.process.signal(Signal::STOP);
            tokio::task::spawn_blocking(|| pause(1_000)).await.unwrap();
            let second = sent(&green, &body, 1).await;
            blue.process.signal(Signal::CONT);
            second
        });
        assert_eq!((first.status, second.status), (200, 200), "{bolt:?}");
        assert_eq!(noted(&store, "EvStill", 2, &blue).await, ["green", "blue"], "{bolt:?}");
    }
}

/// S14: what a user does is not sent again, so it is done without a claim; an event is, so Slack is asked to.
#[tokio::test]
async fn without_the_store_users_are_answered_and_events_come_again() {
    let _shared = MACHINE.read().await;
    for bolt in BOTH {
        for gone in ["hangs", "refuses"] {
            let case = format!("{bolt:?}, the store {gone}");
            let Some(mut redis) = Redis::start(&[]) else { return };
            let Some(bot) = Bot::start(bolt, Color::Blue, "v1", &redis.url(0), &[]) else { return };
            assert_eq!(sent(&bot, &command("/standup", "t0"), 0).await.status, 200, "{case}");
            match gone {
                "hangs" => redis.process.signal(Signal::STOP),
                _ => redis.process.kill(),
            }
            let first = sent(&bot, &command("/standup", "t1"), 0).await;
            assert!(first.status == 200 && first.time < SOON, "{case}: {first:?}\n{}", bot.process.log());
            // The first one found out, the others are told.
            let mut took = Duration::ZERO;
            for n in 0..4 {
                for body in [from().button(&format!("b{n}")), from().modal(&format!("m{n}"), "blue", "valid")] {
                    let answer = sent(&bot, &body, 0).await;
                    assert_eq!(answer.status, 200, "{case}: {n}\n{}", bot.process.log());
                    took += answer.time;
                }
            }
            assert!(took < SOON, "{case}: eight took {took:?}");
            let body = mention("EvAway");
            let refused = sent(&bot, &body, 0).await;
            assert!(refused.status >= 500 && refused.time < Duration::from_secs(2), "{case}: {refused:?}");
            assert!(get(bot.address, "/metrics").contains("slack_unclaimed_total{color=\"blue\"} 9"), "{case}");
            if gone == "hangs" {
                redis.process.signal(Signal::CONT);
                pause(2_500);
                assert_eq!(sent(&bot, &body, 1).await.status, 200, "{case}: it is back\n{}", bot.process.log());
                assert_eq!(handled(&redis.url(0), "EvAway").await, ["blue"], "{case}");
            }
        }
    }
}

/// Work that ended while the store was away is not done again: it is marked and noted once the store is back.
#[tokio::test]
async fn what_ended_without_the_store_is_done_when_it_is_back() {
    let _shared = MACHINE.read().await;
    for bolt in BOTH {
        let Some(redis) = Redis::start(&[]) else { return };
        let store = redis.url(0);
        let knobs = [("EVENT_WORK_S", "0.6")];
        let Some(bot) = Bot::start(bolt, Color::Blue, "v1", &store, &knobs) else { return };
        let body = mention("EvOwed");
        let (answer, _) = tokio::join!(sent(&bot, &body, 0), async {
            tokio::task::spawn_blocking(|| pause(300)).await.unwrap();
            redis.process.signal(Signal::STOP);
        });
        assert_eq!(answer.status, 200, "{bolt:?}: the work is done\n{}", bot.process.log());
        redis.process.signal(Signal::CONT);
        assert_eq!(noted(&store, "EvOwed", 1, &bot).await, ["blue"], "{bolt:?}");
        // It is told a second time, since nobody knows whether the first one was heard.
        pause(3_500);
        assert_eq!(sent(&bot, &body, 1).await.status, 200, "{bolt:?}");
        assert_eq!(handled(&store, "EvOwed").await, ["blue"], "{bolt:?}");
    }
}

/// S15: an app of an organisation is told of no team; `AsyncApp` is the same bot in other clothes.
#[tokio::test]
async fn an_organisation_without_a_team_and_an_async_app_are_handled_once() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let knobs = [("BOT", "bot_async:asgi"), ("LAZY_WORK_S", "1.5"), ("LEASE_MS", "900")];
    let Some(blue) = Bot::start(Bolt::Python, Color::Blue, "v1", &store, &knobs) else { return };
    let Some(green) = Bot::start(Bolt::JavaScript, Color::Green, "v2", &store, &[]) else { return };
    let Some(plain) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &[]) else { return };
    for (id, team) in [("EvTeam", json!("T0LAB")), ("EvGrid", Value::Null)] {
        let mut body: Value = serde_json::from_slice(&mention(id).bytes).unwrap();
        body["team_id"] = team;
        body["enterprise_id"] = "E0GRID".into();
        body["authorizations"] = json!([{ "enterprise_id": "E0GRID", "team_id": null, "user_id": "U0BOT", "is_bot": true,
                                           "is_enterprise_install": true }]);
        let body = Body { bytes: body.to_string().into_bytes(), ..mention(id) };
        for (n, bot) in [&blue, &green, &plain].into_iter().enumerate() {
            let answer = sent(bot, &body, n as u32).await;
            assert_eq!(answer.status, 200, "{id}: {}\n{}", bot.url, bot.process.log());
        }
        assert_eq!(handled(&store, id).await, ["blue"], "{id}");
    }
    let answer = sent(&blue, &command("/standup", "t1"), 0).await;
    assert!(answer.status == 200 && String::from_utf8_lossy(&answer.body).contains("noted by v1"), "{answer:?}");
    let checks = ["version", "slash-command", "button", "modal", "response-url", "exactly-once", "dedup"];
    let settings = json!({ "stack": "blue", "checks": checks, "response_url": {} });
    let smoked = smoke(&plan_of(&blue, &green), &store, settings).await;
    assert!(smoked.bad().is_empty(), "{:#?}\n{}", smoked.checks, blue.process.log());
    // Its lazy listeners, too.
    let body = reaction("EvLater");
    assert_eq!(sent(&blue, &body, 0).await.status, 200, "{}", blue.process.log());
    pause(1_100);
    assert_eq!(sent(&blue, &body, 1).await.status, 503, "its work goes on");
    assert_eq!(noted(&store, "EvLater", 1, &blue).await, ["blue"]);
    assert_eq!(sent(&blue, &body, 2).await.status, 200, "done");
    assert!(get(blue.address, "/bgctl/inflight").contains("{\"inflight\": 0}"));
    // Two of ours, and those of D5, D8 and D11.
    assert!(get(blue.address, "/metrics").contains("slack_retries_total{color=\"blue\"} 5"));
}
