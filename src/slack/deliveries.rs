//! Where the stacks remember which deliveries they have handled, as the runbook names it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Slack's last retry comes about six minutes after the first delivery.
const HORIZON: Duration = Duration::from_secs(10 * 60);
/// With Delayed Events on, Slack goes on each hour for a day.
const DELAYED_HORIZON: Duration = Duration::from_secs(26 * 3600);

/// Where deliveries are remembered, as the runbook names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DedupPlace {
    /// A reference to the store's URL.
    pub redis: String,
    /// `dedup:evt:{team_id}:{event_id}`.
    pub key: String,
    #[serde(default)]
    pub delayed_events: bool,
}

impl DedupPlace {
    /// The key of one event.
    pub fn key_of(&self, team: &str, event: &str) -> String {
        self.key.replace("{team_id}", team).replace("{event_id}", event)
    }

    /// Until when a delivery may come again.
    pub(super) fn horizon(&self) -> Duration {
        if self.delayed_events { DELAYED_HORIZON } else { HORIZON }
    }
}

/// Where a stack that keeps the contract notes who has handled an event.
pub fn handled_key(event: &str) -> String {
    format!("bgctl:handled:{event}")
}

/// The fields a key may name.
pub fn key_mistake(key: &str) -> Option<String> {
    if !key.contains("{event_id}") {
        return Some("the key names no `{event_id}`: retries keep that, and nothing else tells them apart".into());
    }
    let rest = key.replace("{event_id}", "").replace("{team_id}", "");
    rest.contains(['{', '}']).then(|| "a key may name `{event_id}` and `{team_id}`".into())
}
