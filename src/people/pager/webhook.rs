//! A page to any address that takes JSON.

use async_trait::async_trait;
use serde_json::Value;

use super::{Channel, Kind, Message, Outside, Untaken, post, secret, text};
use crate::rehearsal::{InLab, at};

pub const KIND: Kind = Kind {
    name: "webhook",
    page: super::PAGE,
    usual: None,
    keys: || vec![("webhook", secret("Any URL that takes JSON, as a reference."))],
    lab: InLab::To(|entry| at(entry, &["/webhook"])),
    open: |entry| Ok(Box::new(Webhook { url: text(entry, "webhook")? })),
};

struct Webhook {
    url: String,
}

#[async_trait(?Send)]
impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn call(&self, message: &Message<'_>, outside: &Outside) -> Result<Value, Untaken> {
        let mut body = message.json();
        body["message"] = message.text().into();
        post(outside, &self.url, &body).await
    }
}
