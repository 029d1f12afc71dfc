//! `warm`: load one stack before users reach it, and see that it answers well.
#![doc = include_str!("warm.md")]

use std::cell::RefCell;
use std::time::Duration as Time;

use async_trait::async_trait;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Facts, GRACE, Kind, Mistake, Review, Step, settings};
use crate::plan::{Color, Plan, Resume, Stack};
use crate::rehearsal::InLab;
use crate::run::{Cause, Evidence, Outcome, Verdict};
use crate::scalar::{Duration, Percent, spoken};
use crate::world::{Progress, Request, Scribe, World};

pub const KIND: Kind = Kind {
    name: "warm",
    about: "load a stack before users reach it",
    page: include_str!("warm.md"),
    schema: |generator| generator.subschema_for::<Warm>(),
    facts,
    lab: InLab::Nowhere,
    build: |step, plan| {
        let warm = Warm::deserialize(&step.config)?;
        Ok(Box::new(Warming { id: step.id.clone(), stack: plan.stack(warm.stack).clone(), warm }))
    },
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
    /// The largest share of requests that may fail (no answer, or a status of 300 and above).
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
    review.longer_than_zero("/within", warm.within.time);
    review.passed(|| Facts {
        line: format!("warm {} with {} requests to `{}`", warm.stack, warm.requests, warm.path),
        resume: Resume::Repeat,
        attempts: 1,
        timeout_s: warm.within.whole_seconds() + GRACE,
        expected_s: u64::from(warm.requests / warm.concurrency / 20).clamp(1, warm.within.whole_seconds()),
        moves: None,
    })
}

/// The longest one request may take. Slack gives up after 3 s, and so do most people.
const TIMEOUT: Time = Time::from_secs(10);

struct Warming {
    id: String,
    stack: Stack,
    warm: Warm,
}

/// What the requests came to.
#[derive(Default)]
struct Tally {
    sent: u32,
    bad: u32,
    /// Why the first bad one was bad.
    first: Option<String>,
    times: Vec<Time>,
}

#[async_trait(?Send)]
impl Step for Warming {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let asked = Request::to_stack(&self.stack, &self.warm.path, TIMEOUT, &world.secrets);
        let tally = RefCell::new(Tally::default());
        let lanes =
            (0..self.warm.concurrency.min(self.warm.requests)).map(|_| self.lane(world, scribe, &asked, &tally));
        let begun = world.clock.elapsed();
        let all = join_all(lanes);
        let in_time = tokio::select! { biased;
            _ = all => true,
            () = world.clock.sleep(self.warm.within.time) => false,
        };
        let took = world.clock.elapsed().saturating_sub(begun);
        let mut tally = tally.into_inner();
        tally.times.sort_unstable();
        let at = |share: f64| {
            tally.times.get(((tally.times.len() as f64 * share) as usize).min(tally.times.len().max(1) - 1))
        };
        let (p50, p99) = (at(0.5).copied().unwrap_or_default(), at(0.99).copied().unwrap_or_default());
        let (requests, stack) = (self.warm.requests, self.warm.stack);
        let done = tally.times.len() as u32 + tally.bad;
        let line = format!(
            "{done} of {requests} requests to {stack} in {}, {} bad, median {}, p99 {}",
            spoken(took),
            tally.bad,
            spoken(p50),
            spoken(p99)
        );
        let allowed = u64::from(self.warm.max_errors.per_mille()) * u64::from(requests);
        let too_many = u64::from(tally.bad) * 1000 > allowed;
        let verdict = if in_time && !too_many { Verdict::Pass } else { Verdict::Fail };
        scribe.observed(Evidence::CheckDone {
            step: self.id.clone(),
            check: "warm".into(),
            verdict,
            ms: took.as_millis() as u64,
            line: line.clone(),
        });
        match tally.first {
            _ if verdict == Verdict::Pass => Outcome::done(line),
            Some(first) if too_many => Outcome::failed(Cause::Gate, format!("{line}; first: {first}")),
            _ => Outcome::failed(Cause::Timeout, format!("{line}; not done within {}", self.warm.within)),
        }
    }
}

impl Warming {
    /// One of the concurrent senders: takes the next request until all are sent.
    async fn lane(&self, world: &World, scribe: &dyn Scribe, asked: &Request, tally: &RefCell<Tally>) {
        loop {
            {
                let mut tally = tally.borrow_mut();
                if tally.sent == self.warm.requests {
                    return;
                }
                tally.sent += 1;
                let (done, of) = (u64::from(tally.sent), u64::from(self.warm.requests));
                scribe.progress(Progress { done, of, line: format!("{} bad", tally.bad) });
            }
            let answer = world.web.exchange(asked.clone()).await;
            let mut tally = tally.borrow_mut();
            match answer {
                // A redirect or a refusal is no warm page either.
                Ok(answer) if answer.status < 300 => tally.times.push(answer.time),
                bad => {
                    tally.bad += 1;
                    let why = || match bad {
                        Ok(answer) => format!("`{}` answers {}", self.warm.path, answer.status),
                        Err(e) => world.secrets.mask(&e.what),
                    };
                    tally.first.get_or_insert_with(why);
                }
            }
        }
    }
}
