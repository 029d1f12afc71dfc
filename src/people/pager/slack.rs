//! A page to a Slack channel, through an incoming webhook.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Channel, Kind, Message, Outside, Untaken, post, secret, text};
use crate::rehearsal::{InLab, at};

pub const KIND: Kind = Kind {
    name: "slack",
    page: super::PAGE,
    usual: Some("${env:SLACK_WEBHOOK_URL}"),
    keys: || vec![("slack", secret("The webhook, as a reference: `${env:SLACK_WEBHOOK_URL}`."))],
    lab: InLab::To(|entry| at(entry, &["/slack"])),
    open: |entry| Ok(Box::new(Slack { url: text(entry, "slack")? })),
};

struct Slack {
    url: String,
}

#[async_trait(?Send)]
impl Channel for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    async fn call(&self, message: &Message<'_>, outside: &Outside) -> Result<Value, Untaken> {
        // Slack reads `&`, `<` and `>` as marks; what a gate or a provider said may hold any of them.
        let plain = message.text().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (headline, facts) = plain.split_once('\n').unwrap_or((&plain, ""));
        post(outside, &self.url, &json!({ "text": format!("*{headline}*\n```{}```", facts.replace("```", "'''")) }))
            .await
    }
}
