//! Requests as Slack signs and shapes them, sent straight to one stack.
//!
//! A body is built once, as the exact bytes that are signed and sent: a client that encodes it anew would break the
//! signature. The identifiers are reserved (`/bgctl-smoke`, `bgctl_smoke`), so no user can trigger them and no handler of
//! theirs is reached. The signing secret goes into the signature and nowhere else.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::paths::Door;
use crate::secret::Secret;
use crate::world::{Request, form};

/// Exactly this: one of the two Bolt frameworks compares the content type by equality.
pub const FORM: &str = "application/x-www-form-urlencoded";
pub const JSON: &str = "application/json";

/// The signature of a request: HMAC-SHA256 of version, timestamp and body under the app's secret, as hexadecimal.
pub fn signature(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("BUG: HMAC takes a key of any length");
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold("v0=".to_string(), |text, byte| text + &format!("{byte:02x}"))
}

/// A body with its content type, and the URL it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub door: Door,
    pub kind: &'static str,
    pub bytes: Vec<u8>,
}

/// Who a synthetic request claims to come from. The workspace has to be one the app is installed in.
#[derive(Clone, Debug)]
pub struct From {
    pub team: String,
    pub channel: String,
    pub app: String,
    /// The organisation, where there is one.
    pub enterprise: Option<String>,
    /// The app is installed for all of it.
    pub org_wide: bool,
}

impl From {
    fn user() -> Value {
        json!({ "id": "UBGCTL", "username": "bgctl", "name": "bgctl" })
    }

    /// Slack's question whether this URL is the app's. It never reaches a handler.
    pub fn url_verification(&self, challenge: &str) -> Body {
        let body = json!({ "token": "x", "challenge": challenge, "type": "url_verification" });
        Body { door: Door::Events, kind: JSON, bytes: body.to_string().into_bytes() }
    }

    /// Slack's occasional look at the certificate of a command's URL. It is not signed and reaches no handler.
    pub fn ssl_check() -> Body {
        Body { door: Door::Commands, kind: FORM, bytes: form(&[("ssl_check", "1"), ("token", "x")]).into_bytes() }
    }

    /// An event of the reserved type `bgctl_smoke`, whose work takes `hold_ms`.
    pub fn event(&self, id: &str, seconds: i64, hold_ms: u64) -> Body {
        let mut body = json!({
            "token": "x",
            "type": "event_callback",
            "team_id": self.team,
            "api_app_id": self.app,
            "event_id": id,
            "event_time": seconds,
            "authorizations": [{
                "enterprise_id": self.enterprise, "team_id": self.team, "user_id": "UBGCTL", "is_bot": true,
                "is_enterprise_install": self.org_wide,
            }],
            "event": { "type": "bgctl_smoke", "user": "UBGCTL", "channel": self.channel, "ts": id, "hold_ms": hold_ms },
        });
        if let Some(enterprise) = &self.enterprise {
            body["enterprise_id"] = enterprise.as_str().into();
        }
        Body { door: Door::Events, kind: JSON, bytes: body.to_string().into_bytes() }
    }

    /// `/bgctl-smoke`, with a text the answer has to repeat and a trigger that may be handled once. A `response_url` is
    /// an address of ours: the bot posts to whatever stands there.
    pub fn slash_command(&self, text: &str, trigger: &str, response_url: Option<&str>) -> Body {
        let mut fields = vec![
            ("token", "x"),
            ("team_id", &self.team),
            ("team_domain", "bgctl"),
            ("channel_id", &self.channel),
            ("channel_name", "bgctl"),
            ("user_id", "UBGCTL"),
            ("user_name", "bgctl"),
            ("command", "/bgctl-smoke"),
            ("text", text),
            ("api_app_id", &self.app),
            ("is_enterprise_install", if self.org_wide { "true" } else { "false" }),
            ("trigger_id", trigger),
        ];
        fields.extend(self.enterprise.as_deref().map(|id| ("enterprise_id", id)));
        fields.extend(response_url.map(|url| ("response_url", url)));
        Body { door: Door::Commands, kind: FORM, bytes: form(&fields).into_bytes() }
    }

    /// A press of the button `bgctl_smoke`.
    pub fn button(&self, trigger: &str) -> Body {
        self.payload(json!({
            "type": "block_actions",
            "trigger_id": trigger,
            "container": { "type": "message", "channel_id": self.channel, "message_ts": "0" },
            "channel": { "id": self.channel, "name": "bgctl" },
            "actions": [{
                "type": "button", "action_id": "bgctl_smoke", "block_id": "bgctl_smoke", "value": trigger, "action_ts": "0",
            }],
        }))
    }

    /// Slack's question for the choices of a menu that the app fills.
    pub fn choices(&self, typed: &str) -> Body {
        let body = self.payload(json!({
            "type": "block_suggestion", "action_id": "bgctl_smoke", "block_id": "bgctl_smoke", "value": typed,
            "container": { "type": "message", "channel_id": self.channel, "message_ts": "0" },
        }));
        Body { door: Door::Options, ..body }
    }

    /// The modal `bgctl_smoke` sent in with this value: `invalid` will not do, `valid` will. `opened_on` is the stack that
    /// is said to have opened it.
    pub fn modal(&self, trigger: &str, opened_on: &str, value: &str) -> Body {
        let metadata = json!({ "bgctl": trigger, "color": opened_on, "schema": 1 });
        self.payload(json!({
            "type": "view_submission",
            "trigger_id": trigger,
            "view": {
                "id": "VBGCTL", "team_id": self.team, "type": "modal", "callback_id": "bgctl_smoke", "hash": "0",
                "private_metadata": metadata.to_string(),
                "title": { "type": "plain_text", "text": "bgctl" },
                "blocks": [{
                    "type": "input", "block_id": "value", "label": { "type": "plain_text", "text": "value" },
                    "element": { "type": "plain_text_input", "action_id": "value" },
                }],
                "state": { "values": { "value": { "value": { "type": "plain_text_input", "value": value } } } },
            },
            "response_urls": [],
        }))
    }

    pub(super) fn payload(&self, mut payload: Value) -> Body {
        payload["token"] = "x".into();
        payload["api_app_id"] = self.app.as_str().into();
        payload["team"] = json!({ "id": self.team, "domain": "bgctl" });
        payload["user"] = From::user();
        payload["is_enterprise_install"] = self.org_wide.into();
        if let Some(enterprise) = &self.enterprise {
            payload["enterprise"] = json!({ "id": enterprise, "name": "bgctl" });
        }
        Body { door: Door::Interactivity, kind: FORM, bytes: form(&[("payload", &payload.to_string())]).into_bytes() }
    }
}

/// A request with these bytes, with a signature over exactly them.
pub fn signed(url: &str, body: &Body, secret: &Secret, timestamp: i64, timeout: Duration) -> Request {
    let mut request = unsigned(url, body, timeout);
    request.headers.push(("x-slack-request-timestamp".into(), timestamp.to_string()));
    request.headers.push(("x-slack-signature".into(), signature(secret, timestamp, &body.bytes)));
    request
}

/// The same bytes again, as Slack repeats them.
pub fn retried(request: &Request, number: u32, reason: &str) -> Request {
    let mut request = request.clone();
    request.headers.push(("x-slack-retry-num".into(), number.to_string()));
    request.headers.push(("x-slack-retry-reason".into(), reason.into()));
    request
}

/// The same without a signature.
pub fn unsigned(url: &str, body: &Body, timeout: Duration) -> Request {
    Request {
        method: "POST",
        url: url.into(),
        headers: vec![
            ("content-type".into(), body.kind.into()),
            ("user-agent".into(), concat!("bgctl/", env!("CARGO_PKG_VERSION"), " (smoke)").into()),
        ],
        body: body.bytes.clone(),
        timeout,
        ..Request::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's own documentation.
    #[test]
    fn the_published_signature_comes_out() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
                    &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
                    &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let secret = Secret::new("8f742231b10e8888abcd99yyyzzz85a5");
        assert_eq!(
            signature(&secret, 1_531_420_618, body.as_bytes()),
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        );
    }

    #[test]
    fn bodies_carry_their_mark_inside() {
        let from =
            From { team: "T1".into(), channel: "C1".into(), app: "A1".into(), enterprise: None, org_wide: false };
        let command = String::from_utf8(from.slash_command("n 1", "bgctl.1", None).bytes).unwrap();
        assert!(command.contains("command=%2Fbgctl-smoke&text=n+1&"), "{command}");
        let modal = String::from_utf8(from.modal("bgctl.1", "blue", "invalid").bytes).unwrap();
        assert!(modal.starts_with("payload=%7B%22type%22%3A%22view_submission%22"), "{modal}");
    }
}
