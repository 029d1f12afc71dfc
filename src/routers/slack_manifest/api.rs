//! Slack's Web API, as far as this route needs it: one call at a time, and what its answers mean.
//!
//! A failure of Slack is usually a 200 with `ok: false`. Nothing that could move users is sent a second time, except after
//! an answer that certainly refused it before it was looked at.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::{Clock, SystemClock};
use crate::routers::{Call, RouterError, Trouble};
use crate::secret::Secret;

const TIMEOUT: Duration = Duration::from_secs(15);
/// What Slack is taken to mean by a 429 that does not say.
const PAUSE: Duration = Duration::from_secs(60);

/// One call that was answered, or not.
pub struct Answer {
    pub call: Call,
    pub result: Result<Map<String, Value>, Failure>,
}

/// Why a call came to nothing.
#[derive(Clone, Debug)]
pub enum Failure {
    /// No connection was had: nothing was sent.
    NotSent(String),
    /// It was sent, and what became of it is not known.
    NoAnswer(String),
    Throttled(Duration),
    /// Slack's own word for it, and its details.
    Refused(String, Vec<String>),
}

/// The Web API at one address.
pub struct Api {
    pub base: String,
    client: reqwest::Client,
}

impl Api {
    pub fn new(base: &str) -> Result<Self, RouterError> {
        let near = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| base.starts_with(start));
        let builder = crate::https::client()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("bgctl/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT);
        let builder = if near { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|e| RouterError::new(Trouble::Unreachable, format!("no HTTPS: {e}")))?;
        Ok(Api { base: base.into(), client })
    }

    /// Asks for `path` of a stack and says the status.
    pub async fn status(&self, url: &str) -> Result<u16, String> {
        match self.client.get(url).timeout(Duration::from_secs(5)).send().await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(e) => Err(words(&e)),
        }
    }

    /// Calls one method, once.
    pub async fn call(&self, method: &str, token: Option<&Secret>, form: &[(&str, &str)]) -> Answer {
        let begun = SystemClock.elapsed();
        let mut request = self.client.post(format!("{}{method}", self.base)).form(form);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        let mut call = Call { action: method.into(), request_id: None, code: "-".into(), time: Duration::ZERO };
        let result = match request.send().await {
            Err(e) if e.is_connect() || e.is_builder() => Err(Failure::NotSent(words(&e))),
            Err(e) => Err(Failure::NoAnswer(words(&e))),
            Ok(answer) => {
                let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(String::from);
                call.request_id = header("x-slack-req-id");
                let after = header("retry-after").and_then(|s| s.parse().ok()).map(Duration::from_secs);
                let status = answer.status().as_u16();
                let body = answer.bytes().await;
                read(status, after, body.map_err(|e| words(&e)).as_deref())
            }
        };
        call.time = SystemClock.elapsed().saturating_sub(begun);
        call.code = match &result {
            Ok(_) => "ok".into(),
            Err(Failure::Refused(code, _)) => code.clone(),
            Err(Failure::Throttled(_)) => "ratelimited".into(),
            Err(Failure::NotSent(_) | Failure::NoAnswer(_)) => "-".into(),
        };
        Answer { call, result }
    }
}

fn read(status: u16, after: Option<Duration>, body: Result<&[u8], &String>) -> Result<Map<String, Value>, Failure> {
    if status == 429 {
        return Err(Failure::Throttled(after.unwrap_or(PAUSE)));
    }
    let body = body.map_err(|e| Failure::NoAnswer(e.clone()))?;
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return Err(Failure::NoAnswer(format!("status {status} without JSON")));
    };
    if fields.get("ok") == Some(&Value::Bool(true)) {
        fields.shift_remove("ok");
        return Ok(fields);
    }
    let code = fields.get("error").and_then(Value::as_str).unwrap_or("no reason given").to_string();
    match code.as_str() {
        "ratelimited" | "rate_limited" => Err(Failure::Throttled(after.unwrap_or(PAUSE))),
        // Slack's own words for "something broke in here", so it may have been done.
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
            Err(Failure::NoAnswer(format!("Slack answers `{code}`")))
        }
        _ => {
            let detail = |e: &Value| {
                let (at, what) = (e["pointer"].as_str().unwrap_or_default(), e["message"].as_str().unwrap_or_default());
                format!("{at}: {what}")
            };
            let details = fields.get("errors").and_then(Value::as_array).map(|all| all.iter().map(detail).collect());
            Err(Failure::Refused(code, details.unwrap_or_default()))
        }
    }
}

/// What a transport error says, without the address, in which nothing secret stands but which says nothing new either.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl Failure {
    /// The error of a call. `wrote`: it was one that moves users.
    pub fn error(self, action: &str, app: &str, wrote: bool) -> RouterError {
        match self {
            Failure::NotSent(why) => {
                RouterError::new(Trouble::Unreachable, format!("Slack cannot be reached for `{action}`: {why}"))
            }
            Failure::NoAnswer(why) => RouterError {
                moved: wrote,
                ..RouterError::new(Trouble::Unreachable, format!("`{action}` of {app} has no usable answer: {why}"))
            },
            Failure::Throttled(pause) => {
                let what = format!("Slack's rate limit refuses `{action}` of {app} for {} s", pause.as_secs());
                let error = RouterError::new(Trouble::Throttled, what).cure(format!("wait {} s", pause.as_secs()));
                RouterError { after: Some(pause), ..error }
            }
            Failure::Refused(code, details) => {
                let kind = match code.as_str() {
                    "invalid_auth"
                    | "not_authed"
                    | "token_expired"
                    | "token_revoked"
                    | "account_inactive"
                    | "invalid_refresh_token" => Trouble::NoCredentials,
                    "invalid_app_id" | "app_not_found" | "invalid_app" if details.is_empty() => Trouble::NotFound,
                    "invalid_manifest" | "invalid_app" | "invalid_arguments" => Trouble::Invalid,
                    _ => Trouble::Denied,
                };
                let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join("; ")) };
                let error = RouterError::new(kind, format!("Slack refuses `{action}` of {app}: {code}{details}"));
                match kind {
                    Trouble::NoCredentials => {
                        error.cure("make a new pair of configuration tokens at https://api.slack.com/apps")
                    }
                    Trouble::Denied => {
                        error.cure("the configuration token has to belong to a person who may change this app")
                    }
                    _ => error,
                }
            }
        }
    }
}
