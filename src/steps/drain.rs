//! `drain`: let the work on one stack end. Drained means work done, not connections gone.
#![doc = include_str!("drain.md")]

use std::time::Duration as Time;

use async_trait::async_trait;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Facts, GRACE, Kind, Mistake, Review, Step, settings};
use crate::plan::{Color, Plan, Resume};
use crate::rehearsal::{InLab, at};
use crate::run::{Cause, Evidence, Outcome, Reaction};
use crate::scalar::{Duration, spoken};
use crate::world::{Progress, Request, Scribe, World, address};

pub const KIND: Kind = Kind {
    name: "drain",
    about: "let work in flight end",
    page: include_str!("drain.md"),
    schema: |generator| generator.subschema_for::<Drain>(),
    facts: plan,
    lab: InLab::To(|settings| at(settings, &["/instances/*"])),
    build: |step, plan| {
        let drain = Drain::deserialize(&step.config)?;
        let urls = match drain.instances.is_empty() {
            true => vec![plan.stack(drain.stack).url.clone()],
            false => drain.instances.clone(),
        };
        Ok(Box::new(Draining { id: step.id.clone(), urls, drain }))
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
    /// The address of each process of that stack, where a request to the stack's own reaches only one of several. Their
    /// work is added up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
    /// For a bot without a gauge: how long its longest piece of work can take. That long is waited, and nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_job: Option<Duration>,
    /// The longest to wait for a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// What happens when the time is up and work remains.
    #[serde(default)]
    pub at_timeout: AtTimeout,
}

/// What an unfinished drain means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtTimeout {
    /// A person decides; where nobody answers users stay where they are.
    #[default]
    Ask,
    /// Users stay where they are, and the run waits to be resumed.
    Hold,
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
    for (n, url) in drain.instances.iter().enumerate() {
        if !url.starts_with("http") && !url.contains("${") {
            let help = "write it as `http://10.0.0.7:8080`";
            review.wrong(&format!("/instances/{n}"), format!("`{url}` is not the address of a process"), Some(help));
        }
    }
    let longest = match (&drain.within, &drain.longest_job) {
        (Some(within), None) => within,
        (None, Some(longest)) => longest,
        (None, None) => {
            let help = "add `within: 2m` for a bot with a gauge, or `longest_job: 90s` for one without";
            review.wrong("", "a drain needs `within` or `longest_job`", Some(help));
            return Err(review.0);
        }
        (Some(_), Some(_)) => {
            let help = "`within` waits for the gauge; `longest_job` is for a bot without one";
            review.wrong("/longest_job", "a drain has either `within` or `longest_job`", Some(help));
            return Err(review.0);
        }
    };
    review.longer_than_zero(if drain.within.is_some() { "/within" } else { "/longest_job" }, longest.time);
    let then = match drain.at_timeout {
        AtTimeout::Ask => "ask",
        AtTimeout::Hold => "hold",
        AtTimeout::Continue => "go on",
        AtTimeout::RollBack => "roll back",
    };
    review.passed(|| Facts {
        line: match &drain.longest_job {
            None => format!("drain {} until no work is in flight, at most {longest}, then {then}", drain.stack),
            Some(_) => format!("drain {}: wait {longest}, as long as its longest work takes", drain.stack),
        },
        resume: match drain.at_timeout {
            AtTimeout::Ask if drain.longest_job.is_none() => Resume::AskHuman,
            _ => Resume::Repeat,
        },
        attempts: 1,
        timeout_s: longest.whole_seconds() + GRACE,
        expected_s: if drain.longest_job.is_some() { longest.whole_seconds() } else { longest.whole_seconds().min(10) },
        moves: None,
    })
}

/// The longest that a drain with these settings waits.
pub fn longest(config: &Value) -> Option<Time> {
    let drain = Drain::deserialize(config).ok()?;
    drain.within.or(drain.longest_job).map(|longest| longest.time)
}

/// Whether a drain with these settings asks a person when its time is up.
pub fn asks(config: &Value) -> bool {
    Drain::deserialize(config).is_ok_and(|drain| drain.at_timeout == AtTimeout::Ask && drain.longest_job.is_none())
}

/// How often the gauge is read, and the longest one reading may take.
const EVERY: Time = Time::from_secs(1);
const TIMEOUT: Time = Time::from_secs(5);
/// Work that is handed from one place to the next can be in neither for a moment, so zero has to be seen twice.
const ZEROS: u32 = 2;

struct Draining {
    id: String,
    urls: Vec<String>,
    drain: Drain,
}

#[async_trait(?Send)]
impl Step for Draining {
    fn only_waits(&self) -> bool {
        true
    }

    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        if let Some(longest) = &self.drain.longest_job {
            return self.wait(world, scribe, longest).await;
        }
        // Users who follow a move late still come to the side that they left: for so long no zero says anything.
        let follow = world.routes.values().map(|route| route.followed_within()).max().unwrap_or_default();
        let begun = world.clock.elapsed();
        let within = self.drain.within.as_ref().map_or(Time::ZERO, |within| within.time);
        let passed = || world.clock.elapsed().saturating_sub(begun);
        let stack = self.drain.stack;
        let (mut zeros, mut last) = (0, Err("not read yet".to_string()));
        loop {
            // A gauge that hangs may not take longer than the drain, or the step would be cut off as a failure.
            let patience = within.saturating_sub(passed()).max(TIMEOUT);
            let read = tokio::select! { biased;
                read = self.in_flight(world) => read,
                () = world.clock.sleep(patience) => Err(format!("`{}` has not answered", self.drain.gauge)),
            };
            last = read.or_else(|e| match last {
                // One lost reading is no news; the number before it stands.
                Ok(known) if zeros == 0 && known > 0 => Ok(known),
                _ => Err(e),
            });
            zeros = if last == Ok(0) { zeros + 1 } else { 0 };
            if zeros >= ZEROS && passed() >= follow {
                let took = passed();
                self.measured(scribe, Some(0), took);
                return Outcome::done(format!("{stack} has no work in flight, after {}", spoken(took)))
                    .with(facts(took, "0"));
            }
            let left = within.saturating_sub(passed());
            if left.is_zero() {
                return self.time_is_up(scribe, &last, passed());
            }
            scribe.progress(Progress {
                done: passed().as_secs(),
                of: within.as_secs(),
                line: match (&last, follow.saturating_sub(passed())) {
                    (Ok(0), late) if !late.is_zero() => format!("users may come to {stack} for {} more", spoken(late)),
                    (Ok(n), _) => format!("{n} in flight on {stack}"),
                    (Err(why), _) => why.clone(),
                },
            });
            world.clock.sleep(EVERY.min(left)).await;
        }
    }
}

impl Draining {
    /// A bot without a gauge: its longest work has had the time it takes.
    async fn wait(&self, world: &World, scribe: &dyn Scribe, longest: &Duration) -> Outcome {
        let (begun, stack) = (world.clock.elapsed(), self.drain.stack);
        loop {
            let passed = world.clock.elapsed().saturating_sub(begun);
            let left = longest.time.saturating_sub(passed);
            if left.is_zero() {
                self.measured(scribe, None, passed);
                let line =
                    format!("{stack} had {} for work in flight, as long as its longest work takes", spoken(passed));
                return Outcome::done(line).with(facts(passed, "not asked"));
            }
            let line = format!("{} left for work on {stack}", spoken(left));
            scribe.progress(Progress { done: passed.as_secs(), of: longest.whole_seconds(), line });
            world.clock.sleep(EVERY.min(left)).await;
        }
    }

    /// The work in flight on all of them, or why it is not known. Connections that a route still holds to that side count too:
    /// of an open WebSocket the stack itself may know no work.
    async fn in_flight(&self, world: &World) -> Result<u64, String> {
        let mut sum = 0;
        for url in &self.urls {
            sum += self.of_one(world, url).await?;
        }
        let held = world.routes.values().map(|route| route.lingering(self.drain.stack));
        // A connection whose request the gauge counts is one piece of work, and not two.
        let held = join_all(held).await.into_iter().sum::<Result<u64, _>>();
        let held =
            held.map_err(|e| format!("what the route still holds of {} cannot be counted: {e}", self.drain.stack))?;
        Ok(sum.max(held))
    }

    async fn of_one(&self, world: &World, url: &str) -> Result<u64, String> {
        let url = address(&world.secrets.resolve(url), &self.drain.gauge);
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
        let (stack, within) = (self.drain.stack, spoken(took));
        let residue = match last {
            Ok(0) => "0 seen only once".into(),
            Ok(n) => format!("{n} still in flight"),
            Err(e) => format!("work in flight unknown: {e}"),
        };
        let facts = facts(took, &residue);
        let line = match last {
            Ok(0) => format!(
                "{stack} had no work in flight, not twice or not for as long as users may follow late, within {within}"
            ),
            Ok(1) => format!("1 request was still in flight on {stack} after {within}"),
            Ok(n) => format!("{n} requests were still in flight on {stack} after {within}"),
            Err(e) => format!("what is in flight on {stack} is unknown after {within}: {e}"),
        };
        match self.drain.at_timeout {
            AtTimeout::Ask => Outcome::unknown(line),
            AtTimeout::Hold => {
                Outcome::failed(Cause::Timeout, format!("{line}; the runbook says hold")).wanting(Reaction::Hold)
            }
            AtTimeout::Continue => Outcome::done(format!("{line}; the runbook says go on")),
            AtTimeout::RollBack => Outcome::failed(Cause::Timeout, format!("{line}; the runbook says roll back")),
        }
        .with(facts)
    }
}

fn facts(took: Time, residue: &str) -> Value {
    json!({ "took_ms": took.as_millis().to_string(), "residue": residue })
}
