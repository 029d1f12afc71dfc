//! The `slack:` section: the app both stacks serve, and what it must keep while users move.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::OneOrMore;
use crate::slack::continuity::Continuity;
use crate::slack::paths::Paths;

/// The Slack app that both stacks serve.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// How the app gets its events.
    #[serde(default)]
    pub mode: SlackMode,
    /// The app's signing secret, as a reference: `${env:SLACK_SIGNING_SECRET}`.
    #[schemars(extend("format" = "secret"))]
    pub signing_secret: String,
    /// The paths both stacks take Slack's requests on.
    #[serde(default)]
    pub paths: Paths,
    /// The workspace that smoke tests name; several, where commands are tried from each.
    #[serde(default)]
    pub team_id: Option<OneOrMore>,
    /// The organisation of an Enterprise Grid, where the app is installed in one.
    #[serde(default)]
    pub enterprise_id: Option<String>,
    /// The app is installed for the whole organisation: then its requests name no workspace's own token.
    #[serde(default)]
    pub org_wide: bool,
    /// The channel that smoke tests name.
    #[serde(default)]
    pub channel_id: Option<String>,
    /// The app that smoke tests name.
    #[serde(default)]
    pub app_id: Option<String>,
    /// Where both stacks remember which events they have handled.
    #[serde(default)]
    pub dedup: Option<Dedup>,
    /// Where each stack lists its listeners. With it nobody is moved to a green that lacks one of blue's.
    #[serde(default)]
    pub handlers: Option<Handlers>,
    /// Modals and buttons of either version that the other one must accept. With it the rollback rule is checked before
    /// anybody moves: blue must read what green wrote.
    #[serde(default)]
    pub continuity: Option<Continuity>,
    /// When the bots ack an event. Only an ack after the work lets Slack repeat what a dying stack had in hand.
    #[serde(default)]
    pub acks: Option<Acks>,
}

/// Where each stack lists its listeners.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handlers {
    /// The path; `/bgctl/handlers` when left out.
    #[serde(default = "handlers_path")]
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// Listeners that green drops on purpose, as `command /old`.
    #[serde(default)]
    pub retired: Vec<String>,
}

fn handlers_path() -> String {
    "/bgctl/handlers".into()
}

/// When the bots ack an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Acks {
    /// When its work is done (`processBeforeResponse`).
    AfterWork,
    /// At once. A stack that is killed with work in hand loses it.
    BeforeWork,
}

/// How a Slack app gets its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SlackMode {
    /// Slack posts them to a URL.
    #[default]
    Http,
    /// The app fetches them over WebSockets.
    Socket,
}

/// The store of handled events that both stacks share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedup {
    /// The store, as a reference: `${env:REDIS_URL}`.
    #[schemars(extend("format" = "secret"))]
    pub redis: String,
    /// How the key of an event is made: `dedup:evt:{team_id}:{event_id}`.
    pub key: String,
    /// Whether the app's Delayed Events are on: Slack then repeats for a day.
    #[serde(default)]
    pub delayed_events: bool,
}
