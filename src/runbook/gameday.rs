//! `gameday`: how a team makes its own green bad, and good again.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::scalar::Duration;
use crate::steps::Command;

/// How green is made bad on purpose, for `bgctl gameday`. Nothing else reads it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GameDay {
    /// Makes green bad, as the gates see it. It runs once users are on green.
    pub bad: Command,
    /// Makes green good again. It also runs when something goes wrong, and when green was never made bad.
    pub good: Command,
    /// How long the gates may take to send users back; 10m when left out.
    #[serde(default = "ten_minutes")]
    pub within: Duration,
}

fn ten_minutes() -> Duration {
    Duration::seconds(600)
}
