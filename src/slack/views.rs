//! Modals sent in and buttons pressed, as a version of the app would have made them: callback, metadata, hash and message are
//! the caller's. Bodies only; what an answer means is judged elsewhere.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::request::{Body, From};

/// What stands in a modal: the value of each action, by block. A text is what was typed, anything else the whole state.
pub type Values = BTreeMap<String, BTreeMap<String, Value>>;

/// A modal that is sent in.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    pub callback_id: &'a str,
    /// As the version that opened it wrote it; empty for none.
    pub private_metadata: &'a str,
    pub values: &'a Values,
    pub view: &'a str,
    pub hash: &'a str,
}

/// A button that is pressed in a message.
#[derive(Clone, Debug)]
pub struct Press<'a> {
    pub action_id: &'a str,
    pub block_id: &'a str,
    pub value: &'a str,
    /// The version that posted the message.
    pub posted_by: &'a str,
}

impl From {
    /// A modal, sent in once under this trigger.
    pub fn submission(&self, trigger: &str, of: &Submission) -> Body {
        let mut state = Map::new();
        let mut blocks = Vec::new();
        for (block, actions) in of.values {
            let mut filled = Map::new();
            for (action, value) in actions {
                let whole = match value {
                    Value::String(text) => json!({ "type": "plain_text_input", "value": text }),
                    other => other.clone(),
                };
                blocks.push(json!({
                    "type": "input", "block_id": block, "label": { "type": "plain_text", "text": block },
                    "element": { "type": whole["type"], "action_id": action },
                }));
                filled.insert(action.clone(), whole);
            }
            state.insert(block.clone(), filled.into());
        }
        self.payload(json!({
            "type": "view_submission",
            "trigger_id": trigger,
            "view": {
                "id": of.view, "team_id": self.team, "type": "modal", "callback_id": of.callback_id, "hash": of.hash,
                "private_metadata": of.private_metadata, "root_view_id": of.view, "previous_view_id": null,
                "app_id": self.app, "external_id": "", "clear_on_close": false, "notify_on_close": false,
                "title": { "type": "plain_text", "text": "bgctl" }, "submit": { "type": "plain_text", "text": "Send" },
                "close": null, "blocks": blocks, "state": { "values": state },
            },
            "response_urls": [],
        }))
    }

    /// A press of a button that still stands in a message.
    pub fn press(&self, trigger: &str, of: &Press) -> Body {
        let block = json!({
            "type": "actions", "block_id": of.block_id,
            "elements": [{
                "type": "button", "action_id": of.action_id, "value": of.value, "text": { "type": "plain_text", "text": "bgctl" },
            }],
        });
        self.payload(json!({
            "type": "block_actions",
            "trigger_id": trigger,
            "container": { "type": "message", "message_ts": "1.000000", "channel_id": self.channel, "is_ephemeral": false },
            "channel": { "id": self.channel, "name": "bgctl" },
            "message": {
                "type": "message", "ts": "1.000000", "bot_id": "BBGCTL", "app_id": self.app,
                "text": format!("posted by {}", of.posted_by), "blocks": [block],
            },
            "state": { "values": {} },
            "actions": [{
                "type": "button", "action_id": of.action_id, "block_id": of.block_id, "value": of.value,
                "text": { "type": "plain_text", "text": "bgctl" }, "action_ts": "1.000000",
            }],
        }))
    }
}
