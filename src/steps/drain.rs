//! `drain`: let the work on one stack end. Drained means work done, not connections gone.

use super::{Facts, GRACE, Kind, Mistake, Review, settings};
use crate::plan::{Plan, Resume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::Color;
use crate::scalar::Duration;

pub const KIND: Kind = Kind {
    name: "drain",
    schema: |generator| generator.subschema_for::<Drain>(),
    facts,
    build: |_, _| anyhow::bail!("`drain` cannot be run yet"),
};

/// Waits until the stack that users left has no work in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Which stack: `blue` or `green`.
    pub stack: Color,
    /// When it is drained. There is one condition: `in_flight == 0`.
    #[serde(default = "until")]
    pub until: String,
    /// The path on that stack that tells its work in flight, as `{"inflight": 0}`.
    #[serde(default = "gauge")]
    pub gauge: String,
    /// The longest to wait.
    pub within: Duration,
    /// What happens when the time is up and work remains.
    #[serde(default)]
    pub at_timeout: AtTimeout,
}

/// What an unfinished drain means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtTimeout {
    /// A person decides.
    #[default]
    Ask,
    /// The run goes on; the residue is recorded.
    Continue,
    /// The step fails, so users go back.
    RollBack,
}

fn until() -> String {
    "in_flight == 0".into()
}

fn gauge() -> String {
    "/bgctl/inflight".into()
}

fn facts(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
    let drain: Drain = settings(config)?;
    let mut review = Review::default();
    if drain.until.split_whitespace().collect::<String>() != "in_flight==0" {
        let help = "write `until: \"in_flight == 0\"`";
        review.wrong("/until", format!("`{}` is not a condition of a drain", drain.until), Some(help));
    }
    review.path("/gauge", &drain.gauge);
    review.longer_than_zero("/within", &drain.within);
    let then = match drain.at_timeout {
        AtTimeout::Ask => "ask",
        AtTimeout::Continue => "go on",
        AtTimeout::RollBack => "roll back",
    };
    review.facts(|| Facts {
        line: format!("drain {} until no work is in flight, at most {}, then {then}", drain.stack, drain.within),
        resume: if drain.at_timeout == AtTimeout::Ask { Resume::AskHuman } else { Resume::Repeat },
        attempts: 1,
        timeout_s: drain.within.whole_seconds() + GRACE,
        expected_s: drain.within.whole_seconds().min(10),
        moves: None,
    })
}
