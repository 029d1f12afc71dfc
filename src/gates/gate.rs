//! Gates: their settings as a runbook has them; what is wrong with them is found in `review`.
//!
//! How one is measured is `probe`; what the numbers mean is `gates::judge`.
#![doc = include_str!("gates.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::review::{Checked, check};
use super::server::Server;
use super::source::Given;
use crate::scalar;
use crate::scalar::{Limit, Margin, Unit};

/// A rule over measurements of both stacks, from exactly one source, with exactly one of `max`, `min` and `objective`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Gate {
    /// Where the numbers come from, under the key of its kind. The schema has a key for each row of [`super::source::KINDS`].
    #[serde(flatten)]
    #[schemars(skip)]
    pub source: Given,
    /// The highest value green may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit>,
    /// The lowest value green may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Limit>,
    /// The share of good requests that was promised, `99.9%`: users are not moved while the error budget of that promise burns.
    /// Judged once, before the first step; no bake names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Limit>,
    /// How much worse than blue, over the same time, green may be: `+0.3%`, `+50ms` or `x1.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus_blue: Option<Margin>,
    /// The growth since users were shifted is judged, not the value: for counters that must not move.
    #[serde(default, skip_serializing_if = "no")]
    pub delta: bool,
    /// How far back the source's own numbers reach, where that is not seen in a PromQL query. Nothing is judged before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_back: Option<scalar::Duration>,
    /// PromQL for the number of requests per stack, as a rate over a range; taken from the query itself when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// The fewest requests of green without which the gate cannot pass. It can always fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u64>,
    /// Out of 100, what its failure weighs. Gates that fail at the same time fail the bake when together they weigh 100; 100
    /// when left out, so that it does so alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<u32>,
    /// Says that this gate fails a bake alone, which is so unless it has a `weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// The label that tells the stacks apart.
    #[serde(default = "color")]
    pub label: String,
    /// What that label says of a stack, with `{stack}` and `{version}` in it; `{stack}` when left out.
    #[serde(default = "stack", skip_serializing_if = "is_stack")]
    pub label_value: String,
    /// `true`: what the query counts above the line is a part of what it counts below, so that it is judged by counts. `false`:
    /// it is a number. Needed only where the query itself does not show which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<bool>,
    /// `0`: what has no series at all has not happened. Otherwise that is not known, unless the query itself shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 0))]
    pub absent: Option<u64>,
    /// The label that tells the instances of a stack apart, so that a single bad one is not taken for the release.
    #[serde(default = "instance")]
    pub instance: String,
    /// What follows when one instance of green is bad and the others are well.
    #[serde(default, skip_serializing_if = "is_page")]
    pub bad_instance: OnInstance,
    /// What the query's numbers are; taken from the limit when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// What follows when nothing can be judged until the deadline and users are split.
    #[serde(default)]
    pub unknown: OnUnknown,
    /// The Prometheus that is asked, where it is another one than the runbook's; `${env:PROMETHEUS_URL}` where neither is named.
    #[serde(default)]
    pub url: Server,
}

fn no(flag: &bool) -> bool {
    !flag
}

fn color() -> String {
    "color".into()
}

fn is_page(on: &OnInstance) -> bool {
    *on == OnInstance::Page
}

pub(super) fn stack() -> String {
    "{stack}".into()
}

pub(super) fn is_stack(value: &String) -> bool {
    *value == stack()
}

fn instance() -> String {
    "instance".into()
}

/// What fails a bake.
pub const WHOLE: u32 = 100;

/// What a gate without a verdict means while users are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnknown {
    /// Users stay where they are and a person is called.
    Hold,
    #[default]
    RollBack,
}

/// What one bad instance among good ones means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnInstance {
    /// Users stay where they are, and a person is called: the instance is to be replaced, not the release.
    #[default]
    Page,
    RollBack,
}

impl Gate {
    /// The limit, whichever side it is on.
    pub fn limit(&self) -> Option<&Limit> {
        self.max.as_ref().or(self.min.as_ref())
    }

    /// Out of [`WHOLE`], what its failure weighs.
    pub fn weighs(&self) -> u32 {
        self.weight.unwrap_or(WHOLE)
    }

    /// Judged once before anything moves, and never in a bake.
    pub fn is_precondition(&self) -> bool {
        self.objective.is_some()
    }
}
