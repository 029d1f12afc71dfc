//! `policy.page`: a word for a channel whose secret is in the usual variable, or the channel with its secret.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A way to call a person, as the pager takes it: a kind with its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Page(pub Value);

/// The words that stand for a channel whose secret is in the usual variable.
const PAGES: [(&str, &str); 2] = [("pagerduty", "${env:PAGERDUTY_ROUTING_KEY}"), ("slack", "${env:SLACK_WEBHOOK_URL}")];

impl Page {
    /// The reference a word stands for.
    pub fn reference(word: &str) -> Option<&'static str> {
        PAGES.iter().find(|(name, _)| *name == word).map(|(_, reference)| *reference)
    }
}

impl<'de> Deserialize<'de> for Page {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Page(match Value::deserialize(deserializer)? {
            Value::String(word) => {
                let reference = Page::reference(&word).ok_or_else(|| serde::de::Error::custom("an unknown word"))?;
                serde_json::json!({ word: reference })
            }
            other => other,
        }))
    }
}

impl JsonSchema for Page {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Page".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let secret = |text: &str| serde_json::json!({ "type": "string", "format": "secret", "description": text });
        schemars::json_schema!({
            "description": "A way to call a person.",
            "anyOf": [
                { "type": "string", "enum": PAGES.map(|(word, _)| word) },
                {
                    "type": "object",
                    "properties": {
                        "pagerduty": secret("The routing key, as a reference: `${env:PAGERDUTY_ROUTING_KEY}`."),
                        "slack": secret("The webhook, as a reference: `${env:SLACK_WEBHOOK_URL}`."),
                        "webhook": secret("Any URL that takes JSON, as a reference."),
                        "url": { "type": "string", "format": "http-url", "description": "PagerDuty's address for events in another region." },
                        "token": secret("A read-only token of PagerDuty's REST API, as a reference: with it an acknowledgement there counts."),
                        "api": { "type": "string", "format": "http-url", "description": "PagerDuty's REST API in another region." },
                        "command": {
                            "type": "array", "items": { "type": "string" }, "minItems": 1,
                            "description": "A program of your own and its arguments; it finds the page in `BGCTL_PAGE` and ends with 0 when somebody is called."
                        }
                    },
                    "additionalProperties": false,
                    "oneOf": [
                        { "required": ["pagerduty"] }, { "required": ["slack"] }, { "required": ["webhook"] },
                        { "required": ["command"] }
                    ]
                }
            ]
        })
    }
}
