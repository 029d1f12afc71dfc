//! Evidence: what was measured or said along the way, for people and auditors. It never changes what happens next.
//!
//! A file format from the first release, as the facts are: names and members are only ever added.

use serde::{Deserialize, Serialize};

use super::actor::Actor;
use crate::plan::Split;

/// `pass`, `fail` or `unknown`. Only pass advances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Fail,
    Unknown,
}

/// A question to a source of numbers, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub question: String,
    pub answer: String,
}

fn zero(n: &u32) -> bool {
    *n == 0
}

/// What was measured or said along the way. Numbers are strings: a log that is hashed and signed holds no floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Evidence {
    #[serde(rename = "gate.evaluated")]
    GateEvaluated {
        step: String,
        gate: String,
        verdict: Verdict,
        /// Green's value with its unit, `0.14%`.
        green: Option<String>,
        blue: Option<String>,
        limit: String,
        requests: Option<String>,
        /// The reason in words, with the numbers.
        line: String,
        window: u32,
        windows: u32,
        /// What was asked for it, and what came back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        asked: Vec<Asked>,
        /// Looks in a row, this one included, to which the source gave no answer.
        #[serde(default, skip_serializing_if = "zero")]
        silent: u32,
    },
    /// One smoke or warm-up check.
    #[serde(rename = "check.done")]
    CheckDone { step: String, check: String, verdict: Verdict, ms: u64, line: String },
    /// One call to a provider that may change something, each attempt for itself.
    #[serde(rename = "provider.called")]
    ProviderCalled { route: String, action: String, attempt: u32, request_id: Option<String>, code: String, ms: u64 },
    /// First witness: what the provider says.
    #[serde(rename = "traffic.read")]
    TrafficRead { route: String, split: Split, ms: u64 },
    /// Second witness: the receiving side is well.
    #[serde(rename = "traffic.health")]
    TrafficHealth { route: String, stack: String, healthy: u32, total: u32 },
    /// Third witness: what real responses say. `green` and `blue` count responses; `other` are neither.
    #[serde(rename = "traffic.seen")]
    TrafficSeen { route: String, samples: u32, blue: u32, green: u32, other: u32, agrees: bool },
    #[serde(rename = "drain.measured")]
    DrainMeasured {
        step: String,
        stack: String,
        in_flight: Option<String>,
        after_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connections: Option<Connections>,
    },
    #[serde(rename = "prompt.answered")]
    PromptAnswered { text: String, choices: Vec<String>, answer: String, seconds: u64, by: Actor },
    #[serde(rename = "command.output")]
    CommandOutput { step: String, stream: String, text: String },
    /// Time jumped, or the machine slept.
    #[serde(rename = "clock.anomaly")]
    ClockAnomaly { line: String },
    /// A place outside of the log took its head.
    #[serde(rename = "anchor.receipt")]
    AnchorReceipt { kind: String, place: String, head: String, receipt: String, line: String },
    /// A place that should be told of the run could not be.
    #[serde(rename = "sink.degraded")]
    SinkDegraded { sink: String, line: String },
    /// Somebody who was paged, or read of it, has the incident.
    #[serde(rename = "page.acknowledged")]
    PageAcknowledged { by: Actor, seconds: u64, line: String },
    /// Nobody acknowledged in time: the next channel was called, or there was none.
    #[serde(rename = "page.escalated")]
    PageEscalated { delivered: bool, line: String },
    /// A freeze was set because of this run.
    #[serde(rename = "freeze.changed")]
    FreezeChanged {
        /// `set`.
        change: String,
        /// Where it holds: `production/bot`, `production` or `all`.
        scope: String,
        line: String,
    },
    #[serde(rename = "note")]
    Note { line: String },
}

/// What became of the connections that a route held to a side that was drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// The most that were counted at one moment.
    pub most: u64,
    /// How many clients were asked to connect anew, as all processes of the side say; none, where nobody was, or one does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    /// How many the route cut, counted just before.
    pub cut: u64,
    /// How many were there when they were counted last.
    pub left: u64,
}

impl Connections {
    /// How many ended without being cut, at least.
    pub fn ended(self) -> u64 {
        self.most.saturating_sub(self.cut).saturating_sub(self.left)
    }
}
