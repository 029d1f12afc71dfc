//! `slack`: a message in a channel, the later ones of a run in the thread of the first. Slack's own time stamp of the
//! message says when the head was there.

use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Anchor, AnchorError, Kept, Kind, PATIENCE, Reach, Receipt, is_of, typed};
use crate::journal::heads::Head;
use crate::rehearsal::InLab;
use crate::world::Request;

/// Pages of a channel's history that are searched for a run whose receipts are gone; 200 messages each.
const PAGES: usize = 5;

pub const KIND: Kind = Kind {
    name: "slack",
    page: super::PAGE,
    schema: |generator| generator.subschema_for::<Settings>(),
    whole: super::whole::<Settings>,
    named: |channel, _| match channel {
        "" => Err("a channel's id".into()),
        _ => Ok(json!({ "channel": channel, "token": "${env:SLACK_BOT_TOKEN}" })),
    },
    alone: false,
    place: |settings| format!("slack:{}", settings["channel"].as_str().unwrap_or_default()),
    lab: InLab::LeftOut,
    open: |settings, reach| {
        let Settings { channel, token, api } = typed(settings);
        Box::new(SlackAnchor { channel, token, api, reach })
    },
};

/// A message in a Slack channel.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SlackAnchor")]
struct Settings {
    /// The channel's id: `C0123`.
    #[schemars(length(min = 1))]
    channel: String,
    /// The bot's token, as a reference: `${env:SLACK_BOT_TOKEN}`.
    #[schemars(extend("format" = "secret"))]
    token: String,
    /// The Slack Web API, for workspaces behind a gateway.
    #[serde(default = "api")]
    api: String,
}

/// Slack's own.
fn api() -> String {
    "https://slack.com/api".into()
}

struct SlackAnchor {
    channel: String,
    token: String,
    api: String,
    reach: Rc<Reach>,
}

impl SlackAnchor {
    async fn call(&self, method: &'static str, name: &str, body: Option<Value>) -> Result<Value, AnchorError> {
        let secrets = &self.reach.secrets;
        let request = Request {
            method,
            url: format!("{}/{name}", secrets.resolve(&self.api).trim_end_matches('/')),
            headers: vec![
                ("authorization".into(), format!("Bearer {}", secrets.resolve(&self.token))),
                ("content-type".into(), "application/json; charset=utf-8".into()),
            ],
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            timeout: PATIENCE,
            ..Request::default()
        };
        let answer = self.reach.web.exchange(request).await.map_err(|e| AnchorError(secrets.mask(&e.what)))?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        // The Web API answers 200 to nearly everything, and says in the body what became of it.
        match answer.status == 200 && said["ok"] == true {
            true => Ok(said),
            false => {
                let error = said["error"].as_str().unwrap_or("no reason given");
                Err(AnchorError(secrets.mask(&format!("Slack answers {}: {error}", answer.status))))
            }
        }
    }

    /// The messages of this run that we know of.
    fn known(&self, receipts: &Path) -> Vec<String> {
        let place = self.place();
        let all = Receipt::of_kind(receipts, "slack").into_iter();
        all.filter(|receipt| receipt.place == place).map(|receipt| receipt.receipt).collect()
    }

    /// Messages in the channel that hold a head of this log.
    async fn searched(&self, origin: &str) -> Result<Vec<String>, AnchorError> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let name = format!("conversations.history?channel={}&limit=200&cursor={cursor}", self.channel);
            let page = self.call("GET", &name, None).await?;
            for message in page["messages"].as_array().into_iter().flatten() {
                let heads = Head::all(message["text"].as_str().unwrap_or_default());
                if heads.iter().any(|head| is_of(head, origin)) {
                    found.extend(message["ts"].as_str().map(String::from));
                }
            }
            match page["response_metadata"]["next_cursor"].as_str() {
                Some(next) if !next.is_empty() => cursor = next.replace('=', "%3D"),
                _ => break,
            }
        }
        Ok(found)
    }
}

#[async_trait(?Send)]
impl Anchor for SlackAnchor {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn place(&self) -> String {
        format!("slack:{}", self.channel)
    }

    async fn keep(&self, head: &Head, receipts: &Path) -> Result<Kept, AnchorError> {
        let run = head.log.origin.rsplit('/').next().unwrap_or_default();
        let text = format!("The log of run {run}, {}:\n```\n{}```", head.log.state.name(), head.text());
        let mut body = json!({ "channel": self.channel, "text": text });
        if let Some(first) = self.known(receipts).into_iter().next() {
            body["thread_ts"] = first.into();
        }
        let said = self.call("POST", "chat.postMessage", Some(body)).await?;
        let Some(ts) = said["ts"].as_str() else {
            return Err(AnchorError("Slack took the message and gave no time stamp for it".into()));
        };
        Ok(Kept { receipt: ts.into(), line: format!("in {} as message {ts}", self.channel), warning: None })
    }

    async fn heads(&self, origin: &str, receipts: Option<&Path>) -> Result<Vec<Head>, AnchorError> {
        let known = receipts.map(|folder| self.known(folder)).unwrap_or_default();
        let first = known.into_iter().next();
        let roots = if let Some(first) = first { vec![first] } else { self.searched(origin).await? };
        let mut heads = Vec::new();
        for ts in roots {
            let name = format!("conversations.replies?channel={}&ts={ts}&limit=200", self.channel);
            let thread = self.call("GET", &name, None).await?;
            let messages = thread["messages"].as_array().into_iter().flatten();
            messages.for_each(|message| heads.extend(Head::all(message["text"].as_str().unwrap_or_default())));
        }
        Ok(heads)
    }
}
