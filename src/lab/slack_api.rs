//! Slack's receiving side: the few Web API methods a cutover uses, and incoming webhooks. What arrives is kept.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json};

use super::bot::json_answer;
use super::dice::Dice;
use super::sockets::Sockets;
use super::{locked, server, time};

/// Where messages arrive, and where an app with Socket Mode asks for sockets.
#[derive(Debug, Default)]
pub struct SlackApi {
    messages: Mutex<Vec<Value>>,
    sockets: Option<(Arc<Sockets>, Arc<Dice>)>,
}

impl SlackApi {
    /// The API of an app that has Socket Mode switched on.
    pub fn with_sockets(sockets: Arc<Sockets>, dice: Arc<Dice>) -> SlackApi {
        SlackApi { sockets: Some((sockets, dice)), ..SlackApi::default() }
    }

    /// The messages so far, as they came.
    pub fn messages(&self) -> Vec<Value> {
        locked(&self.messages).clone()
    }

    /// Answers one request. Web API failures are a 200 with `ok: false`, webhook failures are statuses, as at Slack.
    pub async fn answer(self: Arc<Self>, parts: Parts, body: Bytes) -> Response {
        let path = parts.uri.path();
        let message = serde_json::from_slice::<Value>(&body).ok();
        if path.starts_with("/services/") {
            return match message {
                Some(message) if message["text"].is_string() || message["blocks"].is_array() => {
                    locked(&self.messages).push(message);
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
        if let Some(token) = token.strip_prefix("Bearer xapp-") {
            return self.app_level(method, token);
        }
        if !token.starts_with("Bearer xox") {
            return json_answer(200, &json!({ "ok": false, "error": "not_authed" }));
        }
        match (method, message) {
            ("auth.test", _) => json_answer(
                200,
                &json!({ "ok": true, "url": "https://lab.slack.com/", "team": "lab", "team_id": "T0LAB", "user": "bot",
                         "user_id": "U0BOT", "bot_id": "B0BOT", "is_enterprise_install": false }),
            ),
            ("chat.postMessage", Some(message)) if message["channel"].is_string() => {
                let now = time::wall_ms();
                let ts = format!("{}.{:06}", now / 1000, now % 1000 * 1000);
                let answer = json!({ "ok": true, "channel": message["channel"], "ts": ts });
                locked(&self.messages).push(message);
                json_answer(200, &answer)
            }
            ("chat.postMessage", Some(_)) => json_answer(200, &json!({ "ok": false, "error": "channel_not_found" })),
            ("chat.postMessage", None) => json_answer(200, &json!({ "ok": false, "error": "invalid_json" })),
            _ => json_answer(200, &json!({ "ok": false, "error": "unknown_method" })),
        }
    }

    /// The methods of an app-level token. Its scopes stand in a header, as at Slack; a token of the lab names them behind
    /// its number: `xapp-1-lab` has `connections:write` alone, `xapp-1-lab-wide` one more,
    /// `xapp-1-lab-narrow` another.
    fn app_level(&self, method: &str, token: &str) -> Response {
        let answer = match (method, &self.sockets) {
            _ if token.ends_with("revoked") => json!({ "ok": false, "error": "token_revoked" }),
            ("apps.connections.open", Some((sockets, dice))) => {
                json!({ "ok": true, "url": sockets.url(dice.uuid()) })
            }
            ("apps.connections.open", None) => json!({ "ok": false, "error": "socket_mode_not_enabled" }),
            ("auth.test", _) => json!({ "ok": true, "app_name": "lab", "app_id": "A0LAB" }),
            _ => json!({ "ok": false, "error": "not_allowed_token_type" }),
        };
        let mut response = json_answer(200, &answer);
        let scopes = match token.rsplit('-').next() {
            Some("wide") => "connections:write,authorizations:read",
            Some("narrow") => "authorizations:read",
            _ => "connections:write",
        };
        response.headers_mut().insert("x-oauth-scopes", http_header(scopes));
        response
    }
}

fn http_header(value: &'static str) -> axum::http::HeaderValue {
    axum::http::HeaderValue::from_static(value)
}
