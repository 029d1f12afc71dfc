//! The Slack side of a bot: signature first, then events with exactly-once work, commands, buttons and modals.
//!
//! It behaves as Bolt apps with `process_before_response` were recorded to: an event is acked when its work is done, so that
//! a bot that dies leaves it to Slack's retry; `ssl_check` needs no signature, an unknown command is a 404, and the bytes of
//! the body are what is signed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json};

use super::bot::{Bot, json_answer};
use super::dedup::Claim;
use super::dice;
use super::fault::Fault;
use super::query::Node;
use super::{server, signature, time};
use crate::plan::Color;

/// The schema of the modals each version opens; a version reads its own and older ones.
fn schema(version: &str) -> u64 {
    if version == super::bot::BLUE_VERSION { 1 } else { 2 }
}

/// Answers one request of Slack.
pub async fn answer(bot: &Arc<Bot>, parts: &Parts, body: &[u8]) -> Response {
    let form = server::header(parts, "content-type") == Some("application/x-www-form-urlencoded");
    let fields = if form { Node::parse(body) } else { Node::default() };
    if fields.get("ssl_check") == Some("1") && fields.get("payload").is_none() && fields.get("command").is_none() {
        return ack();
    }
    let timestamp = server::header(parts, "x-slack-request-timestamp");
    let signed = server::header(parts, "x-slack-signature");
    if !signature::verify(&bot.secret, time::wall_ms() / 1000, timestamp, signed, body) {
        return json_answer(401, &json!({ "error": "invalid request" }));
    }
    if bot.color == Color::Green && bot.faults.bites(Fault::GreenSlowAck) {
        time::sleep(time::ms(2_500)).await;
    }
    let through_balancer = parts.headers.contains_key("x-forwarded-for");
    if form {
        return interaction(bot, &fields, through_balancer).await;
    }
    match serde_json::from_slice::<Value>(body) {
        Err(_) => json_answer(400, &json!({ "error": "malformed JSON" })),
        Ok(payload) if payload["type"] == "url_verification" => match payload["challenge"].as_str() {
            Some(challenge) => server::answer(200, "text/plain", challenge.to_string()),
            None => json_answer(400, &json!({ "error": "no challenge" })),
        },
        Ok(payload) if payload["type"] == "event_callback" => {
            let retry = server::header(parts, "x-slack-retry-num").and_then(|number| number.parse().ok()).unwrap_or(0);
            event(bot, &payload, retry, through_balancer).await
        }
        Ok(_) => unhandled(),
    }
}

async fn event(bot: &Arc<Bot>, payload: &Value, retry: u32, through_balancer: bool) -> Response {
    if through_balancer
        && let Some(id) = payload["event_id"].as_str()
        && let Some(failure) = trouble(bot, id, retry).await
    {
        return failure;
    }
    match handle(bot, payload).await {
        Handled::Yes => ack(),
        // Not an ack: were the other bot to die now, Slack's retry would be the only delivery left.
        Handled::Busy => json_answer(503, &json!({ "error": "somebody is at it" })),
        Handled::No => json_answer(400, &json!({ "error": "no team_id or event_id" })),
        Handled::Killed => server::cut(),
    }
}

/// What became of an event in a bot's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Here, or by somebody before.
    Yes,
    /// Somebody else is at it now.
    Busy,
    /// It is no event.
    No,
    /// The bot died over it.
    Killed,
}

/// Takes an event if nobody has, and does its work to the end.
pub async fn handle(bot: &Arc<Bot>, payload: &Value) -> Handled {
    let (Some(team), Some(id)) = (payload["team_id"].as_str(), payload["event_id"].as_str()) else {
        return Handled::No;
    };
    let key = format!("evt:{team}:{id}");
    match bot.store.claim(&key) {
        Claim::Done => return Handled::Yes,
        Claim::Busy => return Handled::Busy,
        Claim::Taken => {}
    }
    let _work = bot.work();
    bot.book.taken(id);
    if bot.doomed.load(Ordering::Relaxed) {
        bot.kill();
    }
    // The reserved event of smoke tests says how long its work takes.
    let takes = payload["event"]["hold_ms"].as_u64().map_or_else(|| bot.dice.between(20, 80), |hold| hold.min(2_000));
    let mut killed = bot.killed.subscribe();
    tokio::select! {
        () = working(bot, &key, takes) => {}
        _ = killed.wait_for(|killed| *killed) => {
            bot.book.dropped(id);
            return Handled::Killed;
        }
    }
    bot.book.effect(id, bot.color);
    bot.store.done(&key);
    bot.handled.fetch_add(1, Ordering::Relaxed);
    Handled::Yes
}

/// Works for so long, and holds the claim meanwhile: only a bot that has died lets it go.
async fn working(bot: &Bot, key: &str, mut left_ms: u64) {
    while left_ms > 0 {
        let slice = left_ms.min(100);
        time::sleep(time::ms(slice)).await;
        bot.store.renew(key);
        left_ms -= slice;
    }
}

/// What the faults do to a request of a user. A failing delivery fails before anything is claimed, and not beyond the
/// first retry: the fault is to show what errors cost, not how far Slack's patience goes.
async fn trouble(bot: &Bot, name: &str, retry: u32) -> Option<Response> {
    fails(bot, name, retry).await.then(|| json_answer(500, &json!({ "error": "internal error" })))
}

/// Takes its time if the faults say so, and says whether to fail.
pub async fn fails(bot: &Bot, name: &str, retry: u32) -> bool {
    if bot.color != Color::Green {
        return false;
    }
    if bot.faults.bites(Fault::GreenSlow) {
        time::sleep(time::ms(bot.dice.between(900, 1_500))).await;
    }
    bot.faults.bites(Fault::GreenErrors) && retry < 2 && dice::falls(&format!("{name}/{retry}"), 30)
}

async fn interaction(bot: &Arc<Bot>, fields: &Node, through_balancer: bool) -> Response {
    if let Some(command) = fields.get("command") {
        return command_answer(bot, command, fields, through_balancer).await;
    }
    let Some(Ok(payload)) = fields.get("payload").map(serde_json::from_str::<Value>) else { return unhandled() };
    match payload["type"].as_str() {
        Some("block_actions") => match payload["actions"][0]["action_id"].as_str() {
            Some("bgctl_smoke" | "approve") => ack(),
            _ => unhandled(),
        },
        Some("view_submission") => match payload["view"]["callback_id"].as_str() {
            Some(callback @ ("bgctl_smoke" | "deploy_modal")) if !bot.lacks(callback) => {
                submission(bot, &payload["view"])
            }
            _ => unhandled(),
        },
        Some("view_closed") => ack(),
        _ => unhandled(),
    }
}

async fn command_answer(bot: &Arc<Bot>, command: &str, fields: &Node, through_balancer: bool) -> Response {
    let (text, trigger) = (fields.get("text").unwrap_or_default(), fields.get("trigger_id").unwrap_or_default());
    match command {
        "/bgctl-smoke" => {
            let key = format!("cmd:{trigger}");
            if bot.store.claim(&key) != Claim::Taken {
                return ack();
            }
            bot.store.done(&key);
            let pong = json!({ "pong": text, "color": bot.color.name(), "version": bot.version });
            json_answer(200, &json!({ "response_type": "ephemeral", "text": pong.to_string() }))
        }
        "/standup" => {
            if through_balancer && let Some(failure) = trouble(bot, trigger, 0).await {
                return failure;
            }
            let text = format!("noted by {}", bot.version);
            json_answer(200, &json!({ "response_type": "ephemeral", "text": text }))
        }
        _ => unhandled(),
    }
}

/// A modal sent in: refused by field when the value will not do, or when a newer version opened it.
fn submission(bot: &Bot, view: &Value) -> Response {
    let errors = |block: &str, message: &str| {
        let mut errors = serde_json::Map::new();
        errors.insert(block.to_string(), Value::from(message));
        json_answer(200, &json!({ "response_action": "errors", "errors": errors }))
    };
    let metadata: Value =
        serde_json::from_str(view["private_metadata"].as_str().unwrap_or_default()).unwrap_or_default();
    let input = view["state"]["values"].as_object().and_then(|blocks| {
        let (block, actions) = blocks.iter().next()?;
        Some((block.as_str(), actions.as_object()?.values().next()?["value"].as_str().unwrap_or_default()))
    });
    let (block, value) = input.unwrap_or(("value", ""));
    if metadata["schema"].as_u64().unwrap_or(1) > schema(bot.version) {
        return errors(block, "this form was opened by a newer version, please open it again");
    }
    if value.trim().len() < 3 || value.starts_with("invalid") {
        return errors(block, "please give a value of at least three characters");
    }
    ack()
}

fn ack() -> Response {
    server::answer(200, "text/plain", "")
}

fn unhandled() -> Response {
    json_answer(404, &json!({ "error": "unhandled request" }))
}
