//! Gates: what is asked of Prometheus, and the limit its answer is held against.
//!
//! Here stand a gate's settings and the mistakes that can be seen in them without a server. How the answers are fetched is
//! `prometheus`; what they mean is `run::judge`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Limit, Margin, Unit};

/// A rule over measurements of both stacks. Exactly one of `max` and `min` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// PromQL that gives one sample per stack, told apart by the colour label:
    /// `sum by (color) (rate(errors_total[1m])) / sum by (color) (rate(requests_total[1m]))`.
    pub prometheus: String,
    /// The highest value green may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit>,
    /// The lowest value green may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Limit>,
    /// How much worse than blue, over the same time, green may be: `+0.3%`, `+50ms` or `x1.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus_blue: Option<Margin>,
    /// PromQL for the number of requests per stack, as a rate over a range; taken from the query itself when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// The fewest requests of green without which the gate cannot pass. It can always fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u64>,
    /// The label that holds `blue` or `green`.
    #[serde(default = "color")]
    pub label: String,
    /// What the query's numbers are; taken from the limit when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// What follows when nothing can be judged until the deadline and users are split.
    #[serde(default)]
    pub unknown: OnUnknown,
    /// Base URL of Prometheus, `http://prometheus:9090`, also as `${env:NAME}`. Left out: `${env:PROMETHEUS_URL}`.
    #[serde(default = "prometheus_url")]
    pub url: String,
}

fn prometheus_url() -> String {
    "${env:PROMETHEUS_URL}".into()
}

fn color() -> String {
    "color".into()
}

/// What a gate without a verdict means while users are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnknown {
    /// Users stay where they are and a person is called.
    Hold,
    #[default]
    RollBack,
}
