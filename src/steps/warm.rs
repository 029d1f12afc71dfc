//! `warm`: load one stack before users reach it, and see that it answers well.

use super::{Facts, GRACE, Kind, Mistake, Review, settings};
use crate::plan::{Plan, Resume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::Color;
use crate::scalar::{Duration, Percent};

pub const KIND: Kind = Kind {
    name: "warm",
    schema: |generator| generator.subschema_for::<Warm>(),
    facts,
    build: |_, _| anyhow::bail!("`warm` cannot be run yet"),
};

/// Sends requests to one stack until its caches, pools and compilers are warm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// Which stack: `blue` or `green`.
    pub stack: Color,
    /// The path that is asked, with a leading slash.
    pub path: String,
    /// How many requests in all, 1 to 100000.
    pub requests: u32,
    /// How many at the same time, 1 to 256.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// The largest share of requests that may fail (no answer, or a status of 500 and above).
    #[serde(default = "max_errors")]
    pub max_errors: Percent,
    /// The longest it may take in all.
    #[serde(default = "within")]
    pub within: Duration,
}

fn concurrency() -> u32 {
    8
}

fn max_errors() -> Percent {
    Percent::ZERO
}

fn within() -> Duration {
    Duration::seconds(60)
}

fn facts(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
    let warm: Warm = settings(config)?;
    let mut review = Review::default();
    review.path("/path", &warm.path);
    review.between("/requests", warm.requests, 1, 100_000);
    review.between("/concurrency", warm.concurrency, 1, 256);
    review.longer_than_zero("/within", &warm.within);
    review.facts(|| Facts {
        line: format!("warm {} with {} requests to `{}`", warm.stack, warm.requests, warm.path),
        resume: Resume::Repeat,
        attempts: 1,
        timeout_s: warm.within.whole_seconds() + GRACE,
        expected_s: u64::from(warm.requests / warm.concurrency / 20).clamp(1, warm.within.whole_seconds()),
        moves: None,
    })
}
