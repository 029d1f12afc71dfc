//! `shift`: change the share of each stack on a route, with three witnesses.
//!
//! The provider reads back, the receiving side is healthy, and real responses are seen from the right version. It
//! compares before it writes, refuses a destination that is not well, and never repeats a write by itself. It does not
//! decide what a failure means.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Facts, Kind, Mistake, Review, Step};
use crate::plan::{Color, Lane, Move, Plan, PlannedRoute, PlannedStep, Resume, SeenAt, Split};
use crate::probes::Request;
use crate::routers::{RouterError, TrafficRouter, Trouble};
use crate::run::{Cause, Evidence, Found, Outcome};
use crate::scalar::{Percent, spoken};
use crate::world::{Progress, Scribe, World};

pub const KIND: Kind = Kind {
    name: "shift",
    schema: |generator| generator.subschema_for::<Settings>(),
    facts,
    build: |step, plan| Ok(Box::new(Shift::new(step, plan)?)),
};

/// Change the share of users on a route, to an absolute value. Give exactly one of `green` and `blue`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The route, by its name under `routes`.
    route: String,
    /// The share of users on green afterwards, `10%`.
    green: Option<Percent>,
    /// The share of users on blue afterwards, `100%`.
    blue: Option<Percent>,
}

/// How long responses may disagree with the provider before the shift counts as not arrived.
const PROPAGATION: Duration = Duration::from_secs(60);
/// How many connections look at the public address at once.
const AT_ONCE: usize = 20;

fn facts(config: &Value, plan: &Plan) -> Result<Facts, Vec<Mistake>> {
    let settings: Settings = super::settings(config)?;
    let mut review = Review::default();
    let green = match (&settings.green, &settings.blue) {
        (Some(green), None) => green.per_mille(),
        (None, Some(blue)) => 1000 - blue.per_mille(),
        _ => {
            let help = "write `green: 10%`, or `blue: 100%` for the way back";
            review.wrong("", "a `shift` takes exactly one of `green` and `blue`", Some(help));
            0
        }
    };
    if !plan.routes.contains_key(&settings.route) {
        let known = plan.routes.keys().map(|r| format!("`{r}`")).collect::<Vec<_>>().join(", ");
        review.wrong("/route", format!("there is no route `{}`", settings.route), Some(&format!("known: {known}")));
    }
    review.facts(|| Facts {
        line: format!("shift {} to {}", settings.route, Split::of_green(green)),
        resume: Resume::Observe,
        attempts: 3,
        timeout_s: 180,
        expected_s: 3,
        moves: Some((settings.route, green)),
    })
}

struct Shift {
    route: String,
    planned: PlannedRoute,
    change: Move,
    /// On the way back any split may be left behind, as long as blue is well.
    back: bool,
    versions: [String; 2],
}

impl Shift {
    fn new(step: &PlannedStep, plan: &Plan) -> Result<Self> {
        let change = step.moves.clone().context("a shift without its change of split")?;
        let planned = plan.routes.get(&change.route).context("a shift on a route the plan does not have")?.clone();
        let back = plan.lane(Lane::Rollback).iter().any(|s| s == step);
        let versions = [plan.blue.version.clone(), plan.green.version.clone()];
        Ok(Shift { route: change.route.clone(), planned, change, back, versions })
    }

    async fn move_users(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let route = world.route(&self.route);
        let before = match self.read(route, world, scribe).await {
            Ok(split) => split,
            Err(error) => return failure(&error),
        };
        if before != self.change.after {
            if before != self.change.before && !self.back && !route.changes_by_itself() {
                return Outcome::failed(
                    Cause::Drift,
                    format!("{} reads {before}, the plan expected {}", self.planned.line, self.change.before),
                )
                .with(json!({ "found": before }));
            }
            if let Err(outcome) = self.destination(route, before, scribe).await {
                return outcome;
            }
            let lane = if self.back { Lane::Rollback } else { Lane::Forward };
            if let Some(blocked) = world.guards.blocks(&self.change, lane).await {
                return Outcome::failed(blocked.cause, blocked.line);
            }
            match route.set(before, self.change.after).await {
                Ok(calls) => self.note(&calls, scribe),
                // An earlier write of ours that was taken for lost has landed: users are where they were meant to go.
                Err(RouterError { kind: Trouble::Drift { found }, .. }) if found == self.change.after => {}
                Err(error) => {
                    self.note(&error.calls, scribe);
                    return failure(&error);
                }
            }
        }
        match self.witnessed(route, world, scribe).await {
            Ok(line) => Outcome::done(line).with(json!({ "before": before, "after": self.change.after })),
            Err(Doubt::NotInPlace(line)) => Outcome::unknown(line),
            Err(Doubt::NotSeen(line)) => {
                Outcome::Failed { line, cause: Cause::Provider, moved: true, retry: false, facts: Value::Null }
            }
            Err(Doubt::Unwell(line)) => {
                Outcome::Failed { line, cause: Cause::Destination, moved: true, retry: false, facts: Value::Null }
            }
        }
    }

    async fn read(&self, route: &dyn TrafficRouter, world: &World, scribe: &dyn Scribe) -> Result<Split, RouterError> {
        let start = world.clock.elapsed();
        let split = route.read().await?.split;
        let ms = millis(world.clock.elapsed() - start);
        scribe.observed(Evidence::TrafficRead { route: self.route.clone(), split, ms });
        Ok(split)
    }

    /// Nobody is sent to a side that is unhealthy, empty, too small or unknown.
    async fn destination(&self, route: &dyn TrafficRouter, now: Split, scribe: &dyn Scribe) -> Result<(), Outcome> {
        for stack in Color::BOTH.into_iter().filter(|c| self.change.after.share(*c) > now.share(*c)) {
            let (healthy, line) = self.healthy(route, stack, scribe).await;
            if !healthy {
                return Err(Outcome::failed(Cause::Destination, format!("{line}, so nobody is sent there")));
            }
        }
        Ok(())
    }

    async fn healthy(&self, route: &dyn TrafficRouter, stack: Color, scribe: &dyn Scribe) -> (bool, String) {
        match route.health(stack).await {
            Ok(health) => {
                scribe.observed(Evidence::TrafficHealth {
                    route: self.route.clone(),
                    stack: stack.name().into(),
                    healthy: health.healthy,
                    total: health.total,
                });
                let line = format!(
                    "{stack} has {} of {} targets healthy, {} needed",
                    health.healthy, health.total, self.planned.min_healthy
                );
                (health.healthy >= self.planned.min_healthy, line)
            }
            Err(error) => (false, format!("the health of {stack} cannot be read ({error})")),
        }
    }

    fn note(&self, calls: &[crate::routers::Call], scribe: &dyn Scribe) {
        for (n, call) in calls.iter().enumerate() {
            scribe.observed(Evidence::ProviderCalled {
                route: self.route.clone(),
                action: call.action.clone(),
                attempt: n as u32 + 1,
                request_id: call.request_id.clone(),
                code: call.code.clone(),
                ms: millis(call.time),
            });
        }
    }

    /// All three witnesses, after the write.
    async fn witnessed(&self, route: &dyn TrafficRouter, world: &World, scribe: &dyn Scribe) -> Result<String, Doubt> {
        let read = self.read_back(route, world, scribe).await?;
        for stack in Color::BOTH.into_iter().filter(|c| self.change.after.weight(*c) > 0) {
            let (healthy, line) = self.healthy(route, stack, scribe).await;
            if !healthy {
                return Err(Doubt::Unwell(line));
            }
        }
        let seen = match &self.planned.seen_at {
            Some(seen_at) => self.seen(seen_at, world, scribe).await?,
            None => route.unseen().into(),
        };
        Ok(format!("{} · read back {} · {seen}", self.change.after, spoken(read)))
    }

    /// A read may be older than our write for a moment, so it is repeated until the settle time is over.
    async fn read_back(
        &self,
        route: &dyn TrafficRouter,
        world: &World,
        scribe: &dyn Scribe,
    ) -> Result<Duration, Doubt> {
        let start = world.clock.elapsed();
        let mut pause = Duration::from_millis(50);
        loop {
            let answer = self.read(route, world, scribe).await;
            let took = world.clock.elapsed() - start;
            match answer {
                Ok(split) if split == self.change.after => return Ok(took),
                answer if took > route.settle() => {
                    return Err(Doubt::NotInPlace(match answer {
                        Ok(split) => format!("sent, but {} still reads {split}", self.planned.line),
                        Err(error) => format!("sent, but it cannot be read back: {error}"),
                    }));
                }
                _ => {}
            }
            world.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn seen(&self, at: &SeenAt, world: &World, scribe: &dyn Scribe) -> Result<String, Doubt> {
        let start = world.clock.elapsed();
        let mut pause = Duration::from_millis(100);
        loop {
            let [blue, green, other] = self.sample(at, world).await;
            let counted = blue + green;
            let want = self.change.after.share(Color::Green);
            let share = if counted == 0 { 0.0 } else { f64::from(green) / f64::from(counted) };
            // At 0 % and 100 % a single response of the other side means the shift has not arrived everywhere.
            let agrees = match self.change.after.only() {
                Some(Color::Blue) => counted > 0 && green == 0,
                Some(Color::Green) => counted > 0 && blue == 0,
                None => counted > 0 && (share - want).abs() * 1000.0 <= f64::from(at.tolerance),
            } && other * 2 <= counted;
            let route = self.route.clone();
            scribe.observed(Evidence::TrafficSeen { route, samples: at.samples, blue, green, other, agrees });
            if agrees {
                return Ok(format!("seen {:.1}% GREEN of {counted}", share * 100.0));
            }
            if world.clock.elapsed() - start > PROPAGATION {
                return Err(Doubt::NotSeen(format!(
                    "sent and read back, but of {} responses {blue} are from BLUE, {green} from GREEN and {other} from neither",
                    at.samples
                )));
            }
            let line = format!("{green} of {counted} responses from GREEN, waiting for {:.1}%", want * 100.0);
            scribe.progress(Progress { done: 0, of: 0, line });
            world.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Counts responses of blue, of green and of neither.
    async fn sample(&self, at: &SeenAt, world: &World) -> [u32; 3] {
        let mut counts = [0; 3];
        let mut left = at.samples as usize;
        while left > 0 {
            let now = left.min(AT_ONCE);
            left -= now;
            let request = || Request { fresh: true, ..Request::get(at.url.clone(), Duration::from_secs(5)) };
            for answer in join_all((0..now).map(|_| world.web.exchange(request()))).await {
                let version = answer.ok().and_then(|r| r.header(&at.header).map(String::from));
                let place = self.versions.iter().position(|v| Some(v) == version.as_ref());
                counts[place.unwrap_or(2)] += 1;
            }
        }
        counts
    }
}

enum Doubt {
    NotInPlace(String),
    NotSeen(String),
    Unwell(String),
}

fn failure(error: &RouterError) -> Outcome {
    match error.kind {
        _ if error.moved => Outcome::unknown(format!("{error}; whether users moved is not known yet")),
        Trouble::Drift { found } => Outcome::failed(Cause::Drift, error.to_string()).with(json!({ "found": found })),
        _ => Outcome::Failed {
            line: match &error.cure {
                Some(cure) => format!("{error} (cure: {cure})"),
                None => error.to_string(),
            },
            cause: Cause::Provider,
            moved: false,
            retry: error.passing(),
            facts: Value::Null,
        },
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait(?Send)]
impl Step for Shift {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        self.move_users(world, scribe).await
    }

    /// After a crash or a lost reply a late write may still land, so the settle time is waited first.
    async fn in_place(&self, world: &World, scribe: &dyn Scribe) -> (Found, String) {
        let route = world.route(&self.route);
        world.clock.sleep(route.settle()).await;
        match self.read(route, world, scribe).await {
            Err(error) => (Found::CannotSee, error.to_string()),
            Ok(split) if split == self.change.after => match self.witnessed(route, world, scribe).await {
                Ok(line) => (Found::InPlace, line),
                Err(Doubt::NotInPlace(line) | Doubt::NotSeen(line) | Doubt::Unwell(line)) => (Found::CannotSee, line),
            },
            Ok(split) if split == self.change.before || self.back || route.changes_by_itself() => {
                (Found::NotInPlace, format!("{} still reads {split}", self.planned.line))
            }
            Ok(split) => (Found::Other, format!("{} reads {split}, neither before nor after", self.planned.line)),
        }
    }
}
