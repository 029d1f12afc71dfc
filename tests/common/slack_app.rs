//! Slack's app-configuration API on loopback, with the rules it is known to keep: form bodies and a bearer token, failures as
//! 200 with `ok: false`, tokens that run out, refresh tokens good for one use, one update a window (429 with `Retry-After`),
//! an update that replaces the whole manifest, members in an order of its own. Beside it two stacks that answer a health check.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json};

pub const APP: &str = "A0123456789";

/// What the server knows and does.
pub struct State {
    pub manifest: Value,
    pub token: String,
    pub refresh: String,
    pub expires: i64,
    pub expired: bool,
    /// Every method that was called, with its result.
    pub log: Vec<(String, String)>,
    /// The shortest time between two updates.
    pub window: Duration,
    updated: Option<Instant>,
    /// Applies the next update and gives no answer.
    pub lose_reply: bool,
    /// Answers the next update with `internal_error` and does not apply it.
    pub breaks: bool,
    /// Changes something else with each update.
    pub meddles: bool,
    pub unwell: Vec<String>,
    /// How long the answer to an exchange of tokens is under way, after it has been done.
    pub slow_exchange: Duration,
}

/// A running server.
pub struct SlackApp {
    pub url: String,
    pub state: Arc<Mutex<State>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

pub fn now() -> i64 {
    jiff_now()
}

#[expect(clippy::disallowed_methods, reason = "a token of the test runs out by the real clock")]
fn jiff_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[expect(clippy::disallowed_methods, reason = "the server keeps real time")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "an answer that is under way for a while")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

impl SlackApp {
    /// Starts it, on a thread of its own.
    pub fn start() -> SlackApp {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            manifest: manifest(&format!("{url}/blue")),
            token: "xoxe.xoxp-1-first".into(),
            refresh: "xoxe-1-first".into(),
            expires: now() + 12 * 3600,
            expired: false,
            log: Vec::new(),
            window: Duration::ZERO,
            updated: None,
            lose_reply: false,
            breaks: false,
            meddles: false,
            unwell: Vec::new(),
            slow_exchange: Duration::ZERO,
        };
        let state = Arc::new(Mutex::new(state));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let app = Router::new().fallback(move |request: axum::extract::Request| {
                    let state = Arc::clone(&shared);
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
                        state.lock().unwrap().answer(&parts, &body)
                    }
                });
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = stopped => {}
                }
            });
        });
        SlackApp { url, state, stop: Some(stop) }
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// The settings of a route to it, with this file of tokens.
    pub fn settings(&self, tokens: &std::path::Path) -> Value {
        json!({
            "app": APP, "blue": format!("{}/blue", self.url), "green": format!("{}/green", self.url),
            "tokens": tokens, "api": format!("{}/api/", self.url),
        })
    }

    /// The pair as whoever made it would write it down.
    pub fn tokens(&self) -> Value {
        self.with(|s| json!({ "token": s.token, "refresh_token": s.refresh, "exp": s.expires, "note": "kept" }))
    }

    /// How often a method was called.
    pub fn calls(&self, method: &str) -> usize {
        self.with(|s| s.log.iter().filter(|(name, _)| name == method).count())
    }
}

impl Drop for SlackApp {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// A manifest whose request URLs begin like this.
pub fn manifest(base: &str) -> Value {
    json!({
        "display_information": { "name": "Deploy Bot", "background_color": "#2c2d30" },
        "features": {
            "bot_user": { "display_name": "deploy-bot", "always_online": true },
            "slash_commands": [
                { "command": "/deploy", "url": format!("{base}/slack/events"), "description": "Deploy", "should_escape": false },
                { "command": "/wiki", "url": "https://wiki.example.com/slack", "description": "Look up", "should_escape": true },
            ],
        },
        "oauth_config": { "redirect_urls": ["https://blue.example.com/oauth"], "scopes": { "bot": ["chat:write", "commands"] } },
        "settings": {
            "event_subscriptions": { "request_url": format!("{base}/slack/events"), "bot_events": ["app_mention"] },
            "interactivity": {
                "is_enabled": true, "request_url": format!("{base}/slack/events"),
                "message_menu_options_url": format!("{base}/slack/options?kind=menu"),
            },
            "org_deploy_enabled": false, "socket_mode_enabled": false, "token_rotation_enabled": false,
        },
    })
}

/// The same value with the members of its mappings the other way round.
fn turned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().rev().map(|(k, v)| (k.clone(), turned(v))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(turned).collect(),
        other => other.clone(),
    }
}

impl State {
    fn answer(&mut self, parts: &Parts, body: &Bytes) -> Response {
        let path = parts.uri.path();
        for stack in ["blue", "green"] {
            if path == format!("/{stack}/healthz/ready") {
                let well = !self.unwell.iter().any(|name| name == stack);
                return reply(if well { 200 } else { 503 }, &json!({ "ok": well }), None);
            }
            if path == format!("/{stack}/version") {
                return reply(200, &json!({ "version": stack, "color": stack }), None);
            }
        }
        let Some(method) = path.strip_prefix("/api/") else { return reply(404, &json!({}), None) };
        let (status, answer, after) = match self.call(method, parts, body) {
            Ok(mut answer) => {
                answer["ok"] = true.into();
                (200, answer, None)
            }
            Err(Refused::Word(word, errors)) => (200, json!({ "ok": false, "error": word, "errors": errors }), None),
            Err(Refused::Throttled(seconds)) => (429, json!({ "ok": false, "error": "ratelimited" }), Some(seconds)),
            Err(Refused::Silence) => {
                self.log.push((method.into(), "silence".into()));
                return Response::new(axum::body::Body::new(Torn));
            }
        };
        let code = answer["error"].as_str().unwrap_or("ok").to_string();
        self.log.push((method.into(), code));
        reply(status, &answer, after)
    }

    fn call(&mut self, method: &str, parts: &Parts, body: &Bytes) -> Result<Value, Refused> {
        let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if parts.method != "POST" || header("content-type") != "application/x-www-form-urlencoded" {
            return Err(word("invalid_form_data"));
        }
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if method == "tooling.tokens.rotate" {
            if field("refresh_token") != self.refresh {
                return Err(word("invalid_refresh_token"));
            }
            let n = self.log.iter().filter(|(name, _)| name == method).count() + 2;
            (self.token, self.refresh) = (format!("xoxe.xoxp-1-pair-{n}"), format!("xoxe-1-pair-{n}"));
            (self.expires, self.expired) = (now() + 12 * 3600, false);
            wait(self.slow_exchange);
            return Ok(json!({
                "token": self.token, "refresh_token": self.refresh, "team_id": "T1", "user_id": "U1",
                "iat": now(), "exp": self.expires,
            }));
        }
        match header("authorization").strip_prefix("Bearer ") {
            None => return Err(word("not_authed")),
            Some(token) if token != self.token => return Err(word("invalid_auth")),
            Some(_) if self.expired => return Err(word("token_expired")),
            Some(_) => {}
        }
        if field("app_id") != APP {
            return Err(word("invalid_app_id"));
        }
        let given = || -> Result<Value, Refused> {
            let manifest: Value = serde_json::from_str(field("manifest")).map_err(|_| word("invalid_manifest"))?;
            let mut errors = Vec::new();
            if manifest["display_information"]["name"].as_str().is_none_or(str::is_empty) {
                errors.push(json!({ "message": "Missing required field", "pointer": "/display_information/name" }));
            }
            for at in ["/settings/event_subscriptions/request_url", "/settings/interactivity/request_url"] {
                let url = manifest.pointer(at).and_then(Value::as_str).unwrap_or_default();
                if url.contains("reject") {
                    errors.push(json!({ "message": "Invalid URL", "pointer": at }));
                }
            }
            if errors.is_empty() { Ok(manifest) } else { Err(Refused::Word("invalid_manifest".into(), errors)) }
        };
        match method {
            "apps.manifest.export" => Ok(json!({ "manifest": turned(&self.manifest) })),
            "apps.manifest.validate" => given().map(|_| json!({})),
            "apps.manifest.update" => {
                if let Some(left) = self.updated.and_then(|at| self.window.checked_sub(instant() - at)) {
                    return Err(Refused::Throttled(left.as_secs() + 1));
                }
                let manifest = given()?;
                if std::mem::take(&mut self.breaks) {
                    return Err(word("internal_error"));
                }
                self.manifest = manifest;
                self.updated = Some(instant());
                if self.meddles {
                    self.manifest["display_information"]["name"] = "Somebody else's".into();
                }
                if std::mem::take(&mut self.lose_reply) {
                    return Err(Refused::Silence);
                }
                Ok(json!({ "app_id": APP, "permissions_updated": false }))
            }
            _ => Err(word("unknown_method")),
        }
    }
}

enum Refused {
    Word(String, Vec<Value>),
    Throttled(u64),
    Silence,
}

fn word(text: &str) -> Refused {
    Refused::Word(text.into(), Vec::new())
}

fn reply(status: u16, value: &Value, after: Option<u64>) -> Response {
    let mut builder = Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .header("x-slack-req-id", "0123456789abcdef");
    if let Some(seconds) = after {
        builder = builder.header("retry-after", seconds);
    }
    builder.body(value.to_string().into()).unwrap()
}

/// A body that fails before its first byte: the connection is cut without an answer.
struct Torn;

impl http_body::Body for Torn {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::Error::other("cut"))))
    }
}
