//! A pager to copy: a gateway that sends a text message to a telephone.
//!
//! This file and one row of `KINDS` in `src/people/pager/mod.rs` are all that a channel is. Everything else is inherited: its keys
//! in the runbook, the order of channels, the acknowledgement, the record of who was called, and the suite of `tests/conformance`.

use async_trait::async_trait;
use bgctl::people::pager::{Channel, Kind, Message, Outside, Untaken, post, secret, text};
use bgctl::rehearsal::{InLab, at};
use serde_json::{Value, json};

/// The row. `- sms` alone stands for the usual reference; `- { sms: "${env:GATEWAY}", to: "+49 151 …" }` says more.
pub const KIND: Kind = Kind {
    name: "sms",
    // A real channel has its part of `paging.md`, which is the page of all of them.
    page: "# sms\n\nA text message of the gateway at `${env:SMS_GATEWAY}`.",
    usual: Some("${env:SMS_GATEWAY}"),
    // Every key of an entry, with its JSON Schema. A secret may stand there only as a reference.
    keys: || {
        let to = "The number that is called; the gateway knows who is on duty when left out.";
        vec![
            ("sms", secret("The gateway's address, as a reference: `${env:SMS_GATEWAY}`.")),
            ("to", json!({ "type": "string", "description": to })),
        ]
    },
    // In a rehearsal every address has to be the lab's, and a row says which there are.
    lab: InLab::To(|entry| at(entry, &["/sms"])),
    open,
};

/// The most letters of one text message.
const LONGEST: usize = 1600;

struct Sms {
    /// Still a reference: its value is filled in when the page is sent, and is never kept or said.
    gateway: String,
    to: Option<String>,
}

/// Makes a channel of an entry, or says what is wrong with it. Asks nobody.
fn open(entry: &Value) -> Result<Box<dyn Channel>, String> {
    Ok(Box::new(Sms { gateway: text(entry, "sms")?, to: entry["to"].as_str().map(String::from) }))
}

#[async_trait(?Send)]
impl Channel for Sms {
    /// The name of the row: it stands in the log as who took the page.
    fn name(&self) -> &'static str {
        KIND.name
    }

    /// Hands the page over once, within `PATIENCE`: users are waiting. What the channel answered, or why it did not take it; then
    /// the next channel is called. A page says where users are, what happened, and what can be done, best first: a person who
    /// was just woken reads the beginning.
    async fn call(&self, message: &Message<'_>, outside: &Outside) -> Result<Value, Untaken> {
        let text: String = message.text().chars().take(LONGEST).collect();
        // `key` is the same for every page of a run: a gateway that can will not ring twice.
        let body = json!({ "to": self.to, "text": text, "key": message.key() });
        post(outside, &self.gateway, &body).await
    }

    // `acknowledged` and `hand_over` are left as they are: a telephone cannot tell who has read a message. Whoever has it says
    // `bgctl ack`, and where nobody does the next channel is called.
}
