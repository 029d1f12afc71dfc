//! What a smoke test is told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use crate::plan::Color;
use crate::scalar::Duration;

/// Checks one stack before users reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// Which stack: `blue` or `green`.
    pub stack: Color,
    /// Named checks, run in this order.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Pages and what they must show.
    #[serde(default)]
    pub expect: Vec<Expect>,
    /// Where the stack tells its version and colour, for the `version` check.
    #[serde(default = "version_path")]
    pub version_path: String,
    /// The longest one check may take; Slack itself waits 3 s.
    #[serde(default = "within")]
    pub within: Duration,
    /// The public address, for the `public` check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Public>,
    /// An address of bgctl's own that bots can post to, for the `response-url` check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_url: Option<ResponseUrl>,
    /// The most requests this test may send.
    #[serde(default = "budget")]
    pub budget: u32,
}

/// The public address, and what makes the load balancer choose the stack under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// Where Slack itself would post: `https://bot.example.com`.
    #[schemars(extend("format" = "http-url"))]
    pub url: String,
    /// Headers that a rule of the load balancer sends to this stack.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Where bgctl listens, and how bots reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseUrl {
    /// Address and port to listen at: `0.0.0.0:8787`. Port 0 takes a free one.
    #[serde(default = "listen")]
    pub listen: String,
    /// The same place as bots see it: `http://runner.internal:8787`. Left out, the address itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "http-url"))]
    pub url: Option<String>,
}

impl Smoke {
    /// No check at all, only what it takes to send through the public address as often as it takes.
    pub fn through(public: Public) -> Self {
        Smoke {
            stack: Color::Green,
            checks: Vec::new(),
            expect: Vec::new(),
            version_path: version_path(),
            within: within(),
            public: Some(public),
            response_url: None,
            budget: u32::MAX,
        }
    }
}

/// A page and what it must show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The path, with a leading slash.
    pub path: String,
    /// The status; 200 when left out.
    #[serde(default = "ok")]
    pub status: u16,
    /// A response header and its exact value, `x-bot-version: v1.4.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Text the body must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

fn ok() -> u16 {
    200
}

fn version_path() -> String {
    "/version".into()
}

fn budget() -> u32 {
    160
}

fn listen() -> String {
    "127.0.0.1:0".into()
}

fn within() -> Duration {
    Duration::seconds(5)
}
