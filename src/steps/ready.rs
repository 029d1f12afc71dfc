//! `ready`: make a stack take users again, and wait until every route sees that it does.
//!
//! It moves nobody. Behind it a shift asks for the health of the side itself, so what it finds here binds nobody.
#![doc = include_str!("ready.md")]

use std::time::Duration as Time;

use async_trait::async_trait;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Command, Facts, GRACE, Kind, Mistake, Review, Step, command, settings};
use crate::plan::{Color, Plan, Resume};
use crate::rehearsal::InLab;
use crate::run::{Cause, Evidence, Outcome};
use crate::scalar::{Duration, spoken};
use crate::world::{Progress, Scribe, World};

pub const KIND: Kind = Kind {
    name: "ready",
    about: "make a stack take users again",
    page: include_str!("ready.md"),
    schema: |generator| generator.subschema_for::<Ready>(),
    facts,
    lab: InLab::Programs(&["/by"]),
    build: |step, plan| {
        let needed = plan.routes.iter().map(|(name, route)| (name.clone(), route.min_healthy)).collect();
        Ok(Box::new(Readying { id: step.id.clone(), ready: Ready::deserialize(&step.config)?, needed }))
    },
};

/// Runs a program that makes a stack ready, then waits until it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// Which stack: `blue` or `green`.
    pub stack: Color,
    /// The program. It may run when the stack is ready already.
    pub by: Command,
    /// The longest to wait, behind the program, until every route counts enough healthy targets.
    pub within: Duration,
}

fn facts(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
    let ready: Ready = settings(config)?;
    let mut own = Review::default();
    command::check(&mut own, &ready.by);
    let mut review = Review(own.0.into_iter().map(|m| Mistake { at: format!("/by{}", m.at), ..m }).collect());
    review.longer_than_zero("/within", ready.within.time);
    // Whoever goes back may be in any folder.
    let program = ready.by.run.as_ref().and_then(|argv| argv.first()).filter(|program| program.contains('/'));
    let placed = |path: &str| path.starts_with('/') || path.starts_with("${");
    if let Some(program) = program.filter(|program| !placed(program))
        && !ready.by.directory.as_deref().is_some_and(placed)
    {
        let help = "write its whole path, or a whole path as `directory`";
        review.wrong("/by/run", format!("`{program}` depends on the folder of whoever goes back"), Some(help));
    }
    review.passed(|| Facts {
        line: format!(
            "make {} ready by {}, and wait until it is, at most {}",
            ready.stack,
            ready.by.spoken(),
            ready.within
        ),
        resume: Resume::Repeat,
        attempts: 1,
        timeout_s: ready.by.within.whole_seconds() + ready.within.whole_seconds() + GRACE,
        expected_s: ready.within.whole_seconds().min(10),
        moves: None,
    })
}

/// The side that is made ready, and the program.
pub fn makes_ready(config: &Value) -> Option<(Color, Command)> {
    Ready::deserialize(config).ok().map(|ready| (ready.stack, ready.by))
}

/// The longest wait behind the program, in seconds.
pub fn within(config: &Value) -> u64 {
    Ready::deserialize(config).map_or(0, |ready| ready.within.whole_seconds())
}

/// How often health is asked.
const EVERY: Time = Time::from_secs(1);

struct Readying {
    id: String,
    ready: Ready,
    /// By route, how many targets have to be healthy.
    needed: Vec<(String, u32)>,
}

#[async_trait(?Send)]
impl Step for Readying {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let (stack, within) = (self.ready.stack, self.ready.within.time);
        // What was read of its health before is of another state.
        self.needed.iter().for_each(|(route, _)| drop(world.beforehand.take(route, world.clock.elapsed())));
        let run = command::perform(&self.id, &self.ready.by, world, scribe).await;
        if !matches!(run, Outcome::Done { .. }) {
            return Outcome::failed(Cause::Action, format!("{stack} is not made ready: {}", run.line()));
        }
        let begun = world.clock.elapsed();
        loop {
            let lacking = self.lacking(world, scribe).await;
            let passed = world.clock.elapsed().saturating_sub(begun);
            let Some(why) = lacking else {
                let line = format!("{stack} is healthy {} after {}", spoken(passed), self.ready.by.spoken());
                return Outcome::done(line).with(json!({ "took_ms": passed.as_millis().to_string() }));
            };
            let left = within.saturating_sub(passed);
            if left.is_zero() {
                return Outcome::failed(Cause::Timeout, format!("{why}, {} after it was made ready", spoken(passed)));
            }
            scribe.progress(Progress { done: passed.as_secs(), of: within.as_secs(), line: why });
            world.clock.sleep(EVERY.min(left)).await;
        }
    }
}

impl Readying {
    /// Why a route would not send users there yet, if one would not.
    async fn lacking(&self, world: &World, scribe: &dyn Scribe) -> Option<String> {
        let stack = self.ready.stack;
        let asked = self.needed.iter().map(|(name, needed)| async move {
            match world.route(name).health(stack).await {
                Ok(health) => {
                    scribe.observed(Evidence::TrafficHealth {
                        route: name.clone(),
                        stack: stack.name().into(),
                        healthy: health.healthy,
                        total: health.total,
                    });
                    let short = format!(
                        "{name}: {stack} has {} of {} targets healthy, {needed} needed",
                        health.healthy, health.total
                    );
                    (health.healthy < *needed).then_some(short)
                }
                Err(error) => Some(format!("{name}: the health of {stack} cannot be read ({error})")),
            }
        });
        join_all(asked).await.into_iter().flatten().next()
    }
}
