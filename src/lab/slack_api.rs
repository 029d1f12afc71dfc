//! Slack's receiving side: the few Web API methods a cutover uses, and incoming webhooks. What arrives is kept.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json};

use super::bot::json_answer;
use super::{locked, server, time};

/// Where messages arrive.
#[derive(Debug, Default)]
pub struct SlackApi(Mutex<Vec<Value>>);

impl SlackApi {
    /// The messages so far, as they came.
    pub fn messages(&self) -> Vec<Value> {
        locked(&self.0).clone()
    }

    /// Answers one request. Web API failures are a 200 with `ok: false`, webhook failures are statuses, as at Slack.
    pub async fn answer(self: Arc<Self>, parts: Parts, body: Bytes) -> Response {
        let path = parts.uri.path();
        let message = serde_json::from_slice::<Value>(&body).ok();
        if path.starts_with("/services/") {
            return match message {
                Some(message) if message["text"].is_string() || message["blocks"].is_array() => {
                    locked(&self.0).push(message);
                    server::answer(200, "text/html", "ok")
                }
                Some(_) => server::answer(400, "text/html", "no_text"),
                None => server::answer(400, "text/html", "invalid_payload"),
            };
        }
        let Some(method) = path.strip_prefix("/api/") else {
            return server::answer(404, "text/plain", "not found");
        };
        let token = server::header(&parts, "authorization").unwrap_or_default();
        if !token.starts_with("Bearer xox") {
            return json_answer(200, &json!({ "ok": false, "error": "not_authed" }));
        }
        match (method, message) {
            ("auth.test", _) => {
                json_answer(200, &json!({ "ok": true, "team_id": "T0LAB", "user_id": "U0BOT", "bot_id": "B0BOT" }))
            }
            ("chat.postMessage", Some(message)) if message["channel"].is_string() => {
                let now = time::wall_ms();
                let ts = format!("{}.{:06}", now / 1000, now % 1000 * 1000);
                let answer = json!({ "ok": true, "channel": message["channel"], "ts": ts });
                locked(&self.0).push(message);
                json_answer(200, &answer)
            }
            ("chat.postMessage", Some(_)) => json_answer(200, &json!({ "ok": false, "error": "channel_not_found" })),
            ("chat.postMessage", None) => json_answer(200, &json!({ "ok": false, "error": "invalid_json" })),
            _ => json_answer(200, &json!({ "ok": false, "error": "unknown_method" })),
        }
    }
}
