//! Continuity of what people have open: the modals and buttons of one version that the other has to answer, as a runbook
//! declares them.
//!
//! A modal has no end of its own, so no drain covers it: only code does that can live with what the other version wrote. The
//! samples of `slack.continuity` reach real handlers, so a modal is one that both versions refuse for what stands in it, and a
//! button is one the runbook's author has called harmless, in words. How they are sent stands in `modals`.
#![doc = include_str!("continuity.md")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::check::Check;
use super::views::Values;
use crate::diag::Mistake;
use crate::plan::{Color, Plan};

/// Slack's own limits.
const METADATA: usize = 3000;
const NAME: usize = 255;

/// What both versions must accept of each other, as long as users may be on either.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Continuity {
    /// Modals that somebody may have open while users move.
    #[serde(default)]
    pub modals: Vec<Modal>,
    /// Buttons that stand in messages.
    #[serde(default)]
    pub buttons: Vec<Button>,
}

/// A modal of the app, as each version opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Modal {
    /// Its `callback_id`.
    #[schemars(length(min = 1, max = 255))]
    pub callback_id: String,
    /// Its `private_metadata` as each version writes it; empty where it writes none.
    pub private_metadata: Sides,
    /// What is sent in: block, action, value. Both versions have to refuse it, so that nothing is done.
    #[schemars(schema_with = "values")]
    pub values: Values,
    /// The block that the refusal has to be at.
    pub refused_at: String,
    /// Words in the refusal that mean that the version cannot read what the other wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A text, or the whole state of an input as Slack sends it.
fn values(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let value = json!({ "anyOf": [{ "type": "string" }, { "type": "object" }] });
    schemars::json_schema!({
        "type": "object", "additionalProperties": { "type": "object", "additionalProperties": value },
    })
}

/// A button of the app, as each version posts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// Its `action_id`.
    #[schemars(length(min = 1, max = 255))]
    pub action_id: String,
    /// Its `block_id`; the `action_id` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_id: Option<String>,
    /// Its `value` as each version writes it.
    pub value: Sides,
    /// Why pressing it with this value does nothing to anybody. It is really pressed.
    #[schemars(length(min = 1, max = 300))]
    pub harmless_because: String,
}

/// The same thing of both versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sides {
    /// As blue's version writes it.
    pub blue: String,
    /// As green's version writes it.
    pub green: String,
}

impl Sides {
    pub(super) fn of(&self, color: Color) -> &str {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }
}

impl Continuity {
    /// What the plan keeps of the runbook's.
    pub fn of(plan: &Plan) -> Continuity {
        let slack = plan.slack.as_ref().map(|slack| slack["continuity"].clone());
        slack.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }

    /// How many things a check sends, beside the reserved one.
    pub fn samples(&self, check: Check) -> u32 {
        let count = match check {
            Check::ModalFromBlue | Check::ModalFromGreen | Check::PrivateMetadata | Check::HashConflict => {
                self.modals.len()
            }
            Check::StaleButton => self.buttons.len(),
            _ => 0,
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What cannot be tried as it is declared, each below `slack.continuity`.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut wrong = |at: String, message: String, help: &str| {
            found.push(Mistake { at, message, help: Some(help.into()) });
        };
        if self.modals.is_empty() && self.buttons.is_empty() {
            let message = "this declares nothing that both versions must accept";
            wrong(String::new(), message.into(), "add `modals` or `buttons`, or leave `continuity` out");
        }
        for (n, modal) in self.modals.iter().enumerate() {
            let at = |field: &str| format!("/modals/{n}/{field}");
            if !modal.values.contains_key(&modal.refused_at) {
                let known = modal.values.keys().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
                let message = format!("no block `{}` is sent in: {known}", modal.refused_at);
                wrong(at("refused_at"), message, "name the block whose value both versions refuse");
            }
            for color in Color::BOTH {
                if modal.private_metadata.of(color).chars().count() > METADATA {
                    let message = format!("Slack keeps at most {METADATA} characters");
                    wrong(
                        at(&format!("private_metadata/{}", color.name())),
                        message,
                        "take what the app really writes",
                    );
                }
            }
        }
        for (n, button) in self.buttons.iter().enumerate() {
            if button.block_id.as_ref().is_some_and(|id| id.is_empty() || id.chars().count() > NAME) {
                let message = format!("a `block_id` has 1 to {NAME} characters");
                wrong(format!("/buttons/{n}/block_id"), message, "take the one the app gives it");
            }
        }
        found
    }

    /// The declared modals, behind the reserved one.
    pub(super) fn modals(&self) -> Vec<Modal> {
        let values = BTreeMap::from([("value".to_string(), BTreeMap::from([("value".to_string(), json!("invalid"))]))]);
        let metadata = |color: Color| json!({ "bgctl": "modal", "color": color.name(), "schema": 1 }).to_string();
        let reserved = Modal {
            callback_id: "bgctl_smoke".into(),
            private_metadata: Sides { blue: metadata(Color::Blue), green: metadata(Color::Green) },
            values,
            refused_at: "value".into(),
            unreadable: None,
        };
        std::iter::once(reserved).chain(self.modals.iter().cloned()).collect()
    }
}
