//! `announce`: tell people in Slack where the cutover stands.
#![doc = include_str!("announce.md")]

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Facts, Kind, Mistake, Review, Step, settings};
use crate::plan::{Plan, Resume};
use crate::rehearsal::{InLab, Place, at};
use crate::run::{Cause, Evidence, Outcome};
use crate::world::{Request, Response, Scribe, World};

pub const KIND: Kind = Kind {
    name: "announce",
    about: "post a message to Slack",
    page: include_str!("announce.md"),
    schema: |generator| generator.subschema_for::<Announce>(),
    facts,
    lab: InLab::To(places),
    build: |step, plan| {
        let announce = Announce::deserialize(&step.config)?;
        let text = filled(&announce.text, plan);
        Ok(Box::new(Announcing { announce, text }))
    },
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

/// A webhook, or the Web API of a token.
fn places(config: &Value) -> Vec<Place> {
    let mut places = at(config, &["/slack", "/slack/api"]);
    if config.pointer("/slack/token").is_some() && places.is_empty() {
        places.push(Place { at: "/slack".into(), address: api() });
    }
    places
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
    review.passed(|| Facts {
        line: format!("announce in Slack: {}", announce.text.lines().next().unwrap_or_default()),
        resume: Resume::AskHuman,
        attempts: 1,
        timeout_s: 30,
        expected_s: 1,
        moves: None,
    })
}

/// The message with the names of this run in it.
fn filled(text: &str, plan: &Plan) -> String {
    let names = [
        ("{service}", &plan.service),
        ("{environment}", &plan.environment),
        ("{blue}", &plan.blue.version),
        ("{green}", &plan.green.version),
    ];
    names.iter().fold(text.to_string(), |text, (name, value)| text.replace(name, value))
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// So often a message is sent again that Slack did not take because of too many.
const AGAIN: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

struct Announcing {
    announce: Announce,
    text: String,
}

/// What became of the message.
enum Fate {
    Delivered,
    Refused(String),
    /// Sent, and no answer: it may have arrived.
    NotKnown(String),
}

#[async_trait(?Send)]
impl Step for Announcing {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let request = match &self.announce.slack {
            Channel::Webhook(url) => post(world.secrets.resolve(url), json!({ "text": self.text }), Vec::new()),
            Channel::Token(bot) => post(
                format!("{}/chat.postMessage", world.secrets.resolve(&bot.api).trim_end_matches('/')),
                json!({ "channel": bot.channel, "text": self.text }),
                vec![("authorization".into(), format!("Bearer {}", world.secrets.resolve(&bot.token)))],
            ),
        };
        let mut again = AGAIN;
        let fate = loop {
            match world.web.exchange(request.clone()).await {
                Err(e) if e.timed_out => break Fate::NotKnown(world.secrets.mask(&e.what)),
                Err(e) => break Fate::Refused(world.secrets.mask(&e.what)),
                // Not taken, and for now only.
                Ok(answer) if again > 0 && answer.status == 429 => {
                    again -= 1;
                    world.clock.sleep(answer.retry_after().unwrap_or(PAUSE).clamp(PAUSE, TIMEOUT / 2)).await;
                }
                Ok(answer) => break self.read(&answer),
            }
        };
        match fate {
            Fate::Delivered => Outcome::done("the message is in Slack"),
            Fate::Refused(why) if self.announce.required => {
                Outcome::failed(Cause::Action, format!("the message was not delivered: {why}"))
            }
            Fate::NotKnown(why) if self.announce.required => {
                Outcome::unknown(format!("not known whether the message was delivered: {why}"))
            }
            Fate::Refused(why) | Fate::NotKnown(why) => {
                let line = format!("the message was not confirmed by Slack ({why}); the run goes on without it");
                scribe.observed(Evidence::Note { line: line.clone() });
                Outcome::done(line)
            }
        }
    }
}

impl Announcing {
    /// Webhooks answer with a status; the Web API answers 200 to everything and says `ok` or an error in the body.
    fn read(&self, answer: &Response) -> Fate {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match &self.announce.slack {
            Channel::Webhook(_) if answer.status == 200 && !answer.says_no() => Fate::Delivered,
            Channel::Token(_) if answer.status == 200 && body["ok"] == true => Fate::Delivered,
            _ => {
                let error = body["error"].as_str().unwrap_or("no reason given");
                Fate::Refused(format!("Slack answers {}: {error}", answer.status))
            }
        }
    }
}

fn post(url: String, body: Value, mut headers: Vec<(String, String)>) -> Request {
    headers.push(("content-type".into(), "application/json; charset=utf-8".into()));
    Request {
        method: "POST",
        url,
        headers,
        body: body.to_string().into_bytes(),
        timeout: TIMEOUT,
        ..Request::default()
    }
}
