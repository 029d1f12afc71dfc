//! `announce`: tell people in Slack where the cutover stands.

use super::{Facts, Kind, Mistake, Review, settings};
use crate::plan::{Plan, Resume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const KIND: Kind = Kind {
    name: "announce",
    schema: |generator| generator.subschema_for::<Announce>(),
    facts,
    build: |_, _| anyhow::bail!("`announce` cannot be run yet"),
};

/// Posts a message. A message that cannot be delivered is recorded and, unless `required`, moves nobody back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Announce {
    /// An incoming webhook, `${env:SLACK_WEBHOOK}`, or a bot token with a channel.
    pub slack: Channel,
    /// What is said. `{service}`, `{environment}`, `{blue}` and `{green}` are filled in.
    pub text: String,
    /// Whether the step fails when the message cannot be delivered.
    #[serde(default)]
    pub required: bool,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Channel {
    /// The URL of an incoming webhook, as a reference to a secret.
    Webhook(String),
    /// A bot token, as a reference to a secret, and the channel's id.
    Token(Token),
}

/// A bot and a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// `${env:SLACK_BOT_TOKEN}`.
    pub token: String,
    /// `C0123456789`.
    pub channel: String,
    /// The Slack Web API, for workspaces behind a gateway.
    #[serde(default = "api")]
    pub api: String,
}

fn api() -> String {
    "https://slack.com/api".into()
}

fn facts(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
    let announce: Announce = settings(config)?;
    let mut review = Review::default();
    let secret = match &announce.slack {
        Channel::Webhook(url) => ("/slack", url),
        Channel::Token(token) => ("/slack/token", &token.token),
    };
    if !secret.1.starts_with("${") {
        let help = "write a reference, such as `${env:SLACK_WEBHOOK}`";
        review.wrong(secret.0, "this is a secret and may not stand in a runbook", Some(help));
    }
    if announce.text.trim().is_empty() {
        review.wrong("/text", "there is nothing to say", None);
    }
    review.facts(|| Facts {
        line: format!("announce in Slack: {}", announce.text.lines().next().unwrap_or_default()),
        resume: Resume::AskHuman,
        attempts: 1,
        timeout_s: 30,
        expected_s: 1,
        moves: None,
    })
}
