//! `drain`: let the work on one stack end. Drained means work done, not connections gone.
#![doc = include_str!("drain.md")]

use std::time::Duration as Time;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Facts, GRACE, Kind, Mistake, Review, Step, settings};
use crate::plan::{Color, Plan, Resume};
use crate::probes::Request;
use crate::run::{Cause, Evidence, Outcome};
use crate::scalar::{Duration, spoken};
use crate::world::{Progress, Scribe, World};

pub const KIND: Kind = Kind {
    name: "drain",
    schema: |generator| generator.subschema_for::<Drain>(),
    facts: plan,
    build: |step, plan| {
        let drain = Drain::deserialize(&step.config)?;
        Ok(Box::new(Draining { id: step.id.clone(), url: plan.stack(drain.stack).url.clone(), drain }))
    },
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

fn plan(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
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

/// How often the gauge is read, and the longest one reading may take.
const EVERY: Time = Time::from_secs(1);
const TIMEOUT: Time = Time::from_secs(5);
/// Work that is handed from one place to the next can be in neither for a moment, so zero has to be seen twice.
const ZEROS: u32 = 2;

struct Draining {
    id: String,
    url: String,
    drain: Drain,
}

#[async_trait(?Send)]
impl Step for Draining {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let begun = world.clock.elapsed();
        let passed = || world.clock.elapsed().saturating_sub(begun);
        let stack = self.drain.stack;
        let (mut zeros, mut last) = (0, Err("not read yet".to_string()));
        loop {
            last = self.in_flight(world).await.or_else(|e| match last {
                // One lost reading is no news; the number before it stands.
                Ok(known) if zeros == 0 && known > 0 => Ok(known),
                _ => Err(e),
            });
            zeros = if last == Ok(0) { zeros + 1 } else { 0 };
            if zeros == ZEROS {
                let took = passed();
                self.measured(scribe, Some(0), took);
                return Outcome::done(format!("{stack} has no work in flight, after {}", spoken(took)))
                    .with(facts(took, "0"));
            }
            let left = self.drain.within.time.saturating_sub(passed());
            if left.is_zero() {
                return self.time_is_up(scribe, &last, passed());
            }
            scribe.progress(Progress {
                done: passed().as_secs(),
                of: self.drain.within.whole_seconds(),
                line: last.as_ref().map_or_else(Clone::clone, |n| format!("{n} in flight on {stack}")),
            });
            world.clock.sleep(EVERY.min(left)).await;
        }
    }
}

impl Draining {
    /// The work in flight, or why it is not known.
    async fn in_flight(&self, world: &World) -> Result<u64, String> {
        let url = super::address(&world.secrets.resolve(&self.url), &self.drain.gauge);
        let answer = world.web.exchange(Request::get(url, TIMEOUT)).await.map_err(|e| world.secrets.mask(&e.what))?;
        let gauge = &self.drain.gauge;
        if answer.status != 200 {
            return Err(format!("`{gauge}` answers {}", answer.status));
        }
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| format!("`{gauge}` gives no JSON"))?;
        value["inflight"].as_u64().ok_or_else(|| format!("`{gauge}` has no whole number `inflight`"))
    }

    fn measured(&self, scribe: &dyn Scribe, in_flight: Option<u64>, took: Time) {
        scribe.observed(Evidence::DrainMeasured {
            step: self.id.clone(),
            stack: self.drain.stack.name().into(),
            in_flight: in_flight.map(|n| n.to_string()),
            after_ms: took.as_millis() as u64,
        });
    }

    fn time_is_up(&self, scribe: &dyn Scribe, last: &Result<u64, String>, took: Time) -> Outcome {
        self.measured(scribe, last.as_ref().ok().copied(), took);
        let (stack, within) = (self.drain.stack, &self.drain.within);
        let residue = match last {
            Ok(0) => "0 seen only once".into(),
            Ok(n) => format!("{n} still in flight"),
            Err(e) => format!("work in flight unknown: {e}"),
        };
        let facts = facts(took, &residue);
        let line = format!("{stack} is not drained after {within}: {residue}");
        match self.drain.at_timeout {
            AtTimeout::Ask => Outcome::unknown(line),
            AtTimeout::Continue => Outcome::done(format!("{line}; the runbook says go on")),
            AtTimeout::RollBack => Outcome::failed(Cause::Timeout, line),
        }
        .with(facts)
    }
}

fn facts(took: Time, residue: &str) -> Value {
    json!({ "took_ms": took.as_millis().to_string(), "residue": residue })
}
