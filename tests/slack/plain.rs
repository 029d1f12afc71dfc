//! Bots without Bolt: Flask, a bare ASGI app as FastAPI is one, and Express keep the same contract.

use bgctl::clock::SystemClock;
use bgctl::live::redis::LiveStore;
use bgctl::plan::Color;
use bgctl::run::Outcome;
use bgctl::world::Store;
use serde_json::json;

use super::MACHINE;
use super::common::bots::{Bolt, Bot, Redis, get, pause};
use super::deliveries::{command, mention, sent};
use super::suite::{plan_of, smoke};

const FLASK: (Bolt, &str) = (Bolt::Python, "bot_plain");
const ASGI: (Bolt, &str) = (Bolt::Python, "bot_plain:asgi");
const EXPRESS: (Bolt, &str) = (Bolt::JavaScript, "bot_plain");

/// Every check passes, whichever side a bot is on; then the bot's own work outlives its lease and is done once.
#[tokio::test]
async fn bots_without_bolt_keep_the_contract() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    for (n, (one, other)) in [(FLASK, EXPRESS), (EXPRESS, ASGI), (ASGI, FLASK)].into_iter().enumerate() {
        let store = redis.url(n as u32);
        let knobs = |bot| [("BOT", bot), ("LEASE_MS", "2200"), ("EVENT_WORK_S", "3.5")];
        let Some(blue) = Bot::start(one.0, Color::Blue, "v1", &store, &knobs(one.1)) else { return };
        let Some(green) = Bot::start(other.0, Color::Green, "v2", &store, &knobs(other.1)) else { return };
        let case = format!("{one:?} and {other:?}");
        let mut plan = plan_of(&blue, &green);
        plan.slack.as_mut().unwrap()["acks"] = "after-work".into();
        let checks = [
            "version",
            "signature",
            "replay",
            "url-verification",
            "slash-command",
            "button",
            "modal",
            "response-url",
            "exactly-once",
            "dedup",
            "handlers",
        ];
        let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": checks, "response_url": {} })).await;
        let logs = || format!("{case}\n{}\n{}", blue.process.log(), green.process.log());
        assert!(matches!(smoked.outcome, Outcome::Done { .. }), "{:#?}\n{}", smoked.checks, logs());

        let body = mention("EvWork");
        let (first, meanwhile) = tokio::join!(sent(&blue, &body, 0), async {
            tokio::task::spawn_blocking(|| pause(2_900)).await.unwrap();
            sent(&green, &body, 1).await.status
        });
        assert_eq!((first.status, meanwhile), (200, 503), "{}", logs());
        pause(200);
        assert_eq!(sent(&green, &body, 2).await.status, 200, "{}", logs());
        let worked = LiveStore::new(std::rc::Rc::new(SystemClock)).lists(&store, &["worked".into()]).await;
        assert_eq!(worked.unwrap(), [["EvWork"]], "{case}");
        for bot in [&blue, &green] {
            assert!(get(bot.address, "/hooks/build").starts_with("HTTP/1.1 202"), "{case}");
            let answer = sent(bot, &command("/standup", &bot.version), 0).await;
            assert!(String::from_utf8_lossy(&answer.body).contains("noted by v"), "{case}: {answer:?}");
        }
    }
}
