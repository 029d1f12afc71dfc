//! `compare:` of a runbook: where the inventories are, and what a difference of each part means.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diag::Mistake;
use crate::gates::number::Number;
use crate::rehearsal::Mark;
use crate::scalar::{Duration, Limit};

/// What blue and green are compared by before anybody moves, and by `bgctl diff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// Where each stack says what it runs with.
    pub inventory: From,
    /// How long one inventory may take; 5s when left out.
    #[serde(default = "within")]
    pub within: Duration,
    /// A stack that does not run the version the runbook says.
    #[serde(default)]
    pub version: Level,
    /// Other images; a release has them, so they are only listed when left out.
    #[serde(default = "ignore")]
    pub images: Level,
    /// Keys that one side lacks, or whose values differ; a warning when left out.
    #[serde(default = "warn")]
    pub configuration: Level,
    /// Secrets that one side lacks, or whose values differ.
    #[serde(default)]
    pub secrets: Level,
    /// Listeners that green lacks.
    #[serde(default)]
    pub handlers: Level,
    /// Messages that one side writes and the other cannot read.
    #[serde(default)]
    pub queues: Level,
    /// Keys of a shared cache under which the two sides keep different things.
    #[serde(default)]
    pub caches: Level,
    /// A part of a stack that does not say `ok` of itself.
    #[serde(default)]
    pub health: Level,
    /// Differences that are meant, as `bgctl diff` names them: `configuration POOL_SIZE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<String>,
    /// Numbers that have to be within limits, by name: how far a queue lags, how much lies in its dead letters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, Check>,
}

/// Exactly one of `path` and `command`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["path"] }, { "required": ["command"] }]))]
pub struct From {
    /// A path that each stack serves, below its `url`: `/bgctl/inventory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A program and its arguments that prints the inventory of the stack in `BGCTL_STACK`, under the nonce in `BGCTL_NONCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// Sent as `Authorization: Bearer …`, as a reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "secret"))]
    pub token: Option<String>,
    /// `safe`: the program touches nothing but the lab, so a rehearsal may run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<Mark>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Version,
    Image,
    Configuration,
    Secret,
    Handler,
    Queue,
    Cache,
    Health,
    Check,
}

impl Part {
    pub const ALL: [Part; 9] = [
        Part::Version,
        Part::Image,
        Part::Configuration,
        Part::Secret,
        Part::Handler,
        Part::Queue,
        Part::Cache,
        Part::Health,
        Part::Check,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Part::Version => "version",
            Part::Image => "image",
            Part::Configuration => "configuration",
            Part::Secret => "secret",
            Part::Handler => "handler",
            Part::Queue => "queue",
            Part::Cache => "cache",
            Part::Health => "health",
            Part::Check => "check",
        }
    }

    pub fn named(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// What a difference means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Listed by `bgctl diff`, and nothing more.
    Ignore,
    /// The run begins, and the record of arming says it.
    Warn,
    /// The run does not begin.
    #[default]
    Block,
}

/// A number that has to be within a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["max"] }, { "required": ["min"] }]))]
pub struct Check {
    /// Where it comes from. A question with `{stack}`, `{version}` or `{url}` is asked of each side.
    pub number: Number,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Limit>,
    /// What a number outside of it means, or none at all.
    #[serde(default)]
    pub level: Level,
}

fn within() -> Duration {
    Duration::seconds(5)
}

fn ignore() -> Level {
    Level::Ignore
}

fn warn() -> Level {
    Level::Warn
}

impl Compare {
    /// Everything that is wrong with it and can be seen without asking anybody.
    pub fn check(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut wrong = |at: String, message: String, help: &str| {
            found.push(Mistake { at, message, help: Some(help.into()) });
        };
        if let Some(path) = self.inventory.path.as_ref().filter(|path| !path.starts_with('/')) {
            wrong(
                "/inventory/path".into(),
                format!("`{path}` is not a path"),
                "begin it with a slash: `/bgctl/inventory`",
            );
        }
        if self.within.whole_seconds() == 0 || self.within.whole_seconds() > 60 {
            wrong("/within".into(), "an inventory takes between a second and a minute".into(), "write `5s`");
        }
        for (n, name) in self.expected.iter().enumerate() {
            let known =
                name.split_once(' ').is_some_and(|(part, rest)| Part::named(part).is_some() && !rest.is_empty());
            if !known {
                let all = Part::ALL.map(Part::name).join(", ");
                let message = format!(
                    "`{name}` does not name a difference: write a part and a name, such as `configuration POOL_SIZE`"
                );
                wrong(format!("/expected/{n}"), message, &format!("parts: {all}"));
            }
        }
        for (name, check) in &self.checks {
            found.extend(
                check
                    .number
                    .check()
                    .into_iter()
                    .map(|mistake| Mistake { at: format!("/checks/{name}/number{}", mistake.at), ..mistake }),
            );
        }
        found
    }

    /// What a difference of this part means, where it is not declared as meant.
    pub fn level(&self, part: Part) -> Level {
        match part {
            Part::Version => self.version,
            Part::Image => self.images,
            Part::Configuration => self.configuration,
            Part::Secret => self.secrets,
            Part::Handler => self.handlers,
            Part::Queue => self.queues,
            Part::Cache => self.caches,
            Part::Health => self.health,
            // Each check has a level of its own.
            Part::Check => Level::Block,
        }
    }
}
