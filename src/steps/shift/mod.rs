//! `shift`: change the share of each stack on a route, with three witnesses.
//!
//! The provider reads back, the receiving side is healthy, and real responses are seen from the right version. It
//! compares before it writes, refuses a destination that is not well, and never repeats a write by itself. It does not
//! decide what a failure means.

mod destination;
mod settings;
mod witnesses;

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures_util::future::{join_all, try_join};
use serde_json::{Value, json};

use self::settings::{Written, facts, stays};
pub use self::settings::{is_stop, stages};
use self::witnesses::Doubt;
use super::{Kind, Step, called};
use crate::plan::{Color, Lane, Move, Plan, PlannedRoute, PlannedStep, Split, Stack, VersionAt};
use crate::rehearsal::InLab;
use crate::routers::{Health, Reading, RouterError, TrafficRouter, Trouble};
use crate::run::{Cause, Evidence, Found, Outcome};
use crate::scalar::spoken;
use crate::world::{Progress, Scribe, World};

pub const KIND: Kind = Kind {
    name: "shift",
    about: "change the share of users, with three witnesses",
    page: include_str!("../shift.md"),
    schema: |generator| generator.subschema_for::<Written>(),
    facts,
    lab: InLab::Nowhere,
    build: |step, plan| Ok(Box::new(Shift::new(step, plan)?)),
};

/// How often blue is looked at while it warms up.
const LOOK: Duration = Duration::from_secs(5);

/// A side, and what the provider said of its health.
type Asked = (Color, Result<Health, RouterError>);

struct Shift {
    route: String,
    planned: PlannedRoute,
    change: Move,
    /// On the way back any split may be left behind, as long as blue is well.
    back: bool,
    /// How long users stay here while blue warms up; nothing, but for a stop of a ramp.
    stays: Duration,
    versions: [String; 2],
    /// Where each stack says its version, and the stacks.
    said_at: Option<(VersionAt, [Stack; 2])>,
}

impl Shift {
    fn new(step: &PlannedStep, plan: &Plan) -> Result<Self> {
        let change = step.moves.clone().context("a shift without its change of split")?;
        let planned = plan.routes.get(&change.route).context("a shift on a route the plan does not have")?.clone();
        let back = plan.lane(Lane::Rollback).iter().any(|s| s == step);
        let versions = [plan.blue.version.clone(), plan.green.version.clone()];
        let stays = stays(&step.config).context("the settings of a stop")?;
        let said_at = plan.version_at.clone().map(|at| (at, [plan.blue.clone(), plan.green.clone()]));
        Ok(Shift { route: change.route.clone(), planned, change, back, stays, versions, said_at })
    }

    /// `late`: where a write of this run may have left users beside what the plan expects.
    async fn move_users(&self, late: Option<Split>, world: &World, scribe: &dyn Scribe) -> Outcome {
        let route = world.route(&self.route);
        let (reading, asked) = match self.look(route, world, scribe).await {
            Ok(looked) => looked,
            Err(error) => return failure(&error),
        };
        let mut before = reading.split;
        if self.beyond(before) {
            let line =
                format!("{} reads {before}: no users are taken from BLUE for a stop of the ramp", self.planned.line);
            return Outcome::done(line).with(json!({ "before": before, "after": before }));
        }
        let half = self.cut_off(route, &reading);
        if before != self.change.after || half {
            let expected = before == self.change.before || late == Some(before) || half;
            if !expected && !self.back && !route.changes_by_itself() {
                return Outcome::failed(
                    Cause::Drift,
                    format!("{} reads {before}, the plan expected {}", self.planned.line, self.change.before),
                )
                .with(json!({ "found": before }));
            }
            let capacity = match self.capacity(route, world, scribe).await {
                Ok(capacity) => capacity,
                // It says nothing against green: the run waits until it is known.
                Err(why) => return Outcome::failed(Cause::Away, why),
            };
            if let Err(outcome) = self.destination(route, before, asked, &capacity, world, scribe).await {
                return outcome;
            }
            if let Some((cause, line)) = self.another_version(before, world).await {
                return Outcome::failed(cause, line);
            }
            let lane = if self.back { Lane::Rollback } else { Lane::Forward };
            if let Some(blocked) = world.guards.blocks(&self.change, lane).await {
                return Outcome::failed(blocked.cause, blocked.line);
            }
            match route.set(&reading, self.change.after).await {
                Ok(calls) => {
                    called(scribe, &self.route, &calls);
                    // Nothing was sent: users were there by then, and what brought them was no call of this attempt.
                    before = if calls.is_empty() { self.change.after } else { before };
                }
                // An earlier write of ours that was taken for lost has landed: users are where they were meant to go.
                Err(RouterError { kind: Trouble::Drift { found }, .. }) if found == self.change.after => before = found,
                // Users moved between the look and the write, by a late write or somebody else: on the way back they are
                // looked for again, wherever they are.
                Err(RouterError { kind: Trouble::Drift { found }, what, .. }) if self.back => {
                    let again = Outcome::Failed {
                        line: what,
                        cause: Cause::Provider,
                        moved: false,
                        retry: true,
                        then: None,
                        facts: Value::Null,
                    };
                    return again.with(json!({ "found": found }));
                }
                Err(error) => {
                    called(scribe, &self.route, &error.calls);
                    return failure(&error);
                }
            }
        }
        let arrived = match self.witnessed(route, world, scribe).await {
            Ok(line) => self.warm(route, world, scribe).await.map(|()| line),
            doubt => doubt,
        };
        match arrived {
            Ok(line) => Outcome::done(line).with(json!({ "before": before, "after": self.change.after })),
            Err(Doubt::NotInPlace(line)) => Outcome::unknown(line),
            // A stale read can show everybody on blue while responses still come from green: on the way back it is read
            // again, and written if need be.
            Err(Doubt::NotSeen(line)) => Outcome::Failed {
                line,
                cause: Cause::Provider,
                moved: true,
                retry: self.back,
                then: None,
                facts: Value::Null,
            },
            Err(Doubt::Unwell(line)) => Outcome::Failed {
                line,
                cause: Cause::Destination,
                moved: true,
                retry: false,
                then: None,
                facts: Value::Null,
            },
        }
    }

    /// The split, and at the same time the health of the sides that gain users by this move as it was planned: a way back has
    /// no time to ask for one after the other.
    async fn look(
        &self,
        route: &dyn TrafficRouter,
        world: &World,
        scribe: &dyn Scribe,
    ) -> Result<(Reading, Vec<Asked>), RouterError> {
        if let Some((reading, blue)) = world.beforehand.take(&self.route, world.clock.elapsed()) {
            return Ok((reading, vec![(Color::Blue, Ok(blue))]));
        }
        let planned = if self.back { Split::ALL_GREEN } else { self.change.before };
        let asked = join_all(self.gaining(planned).map(|stack| async move { (stack, route.health(stack).await) }));
        let read = async {
            match self.read(route, world, scribe).await {
                // On the way back nobody waits for a side that is left to say something.
                Err(RouterError { partly: Some(reading), .. }) if self.back => Ok(*reading),
                answer => answer,
            }
        };
        try_join(read, async { Ok(asked.await) }).await
    }

    /// The sides that have a larger share after this shift than now.
    fn gaining(&self, now: Split) -> impl Iterator<Item = Color> {
        let after = self.change.after;
        Color::BOTH.into_iter().filter(move |c| after.share(*c) > now.share(*c))
    }

    /// What was read is a half of this change, or of an earlier one of ours.
    fn cut_off(&self, route: &dyn TrafficRouter, reading: &Reading) -> bool {
        route.cut_off(reading, Some(&self.change))
    }

    /// More users are on blue already than at this stop: on the way back its share never falls.
    fn beyond(&self, now: Split) -> bool {
        self.back && now != self.change.after && now.share(Color::Blue) > self.change.after.share(Color::Blue)
    }

    /// The stop of a ramp: blue is looked at for as long as it lasts, since a cold side fails under its first users.
    async fn warm(&self, route: &dyn TrafficRouter, world: &World, scribe: &dyn Scribe) -> Result<(), Doubt> {
        let begun = world.clock.elapsed();
        loop {
            let passed = world.clock.elapsed().saturating_sub(begun);
            let left = self.stays.saturating_sub(passed);
            if left.is_zero() {
                return Ok(());
            }
            let line = format!("BLUE warms up, {} left", spoken(left));
            scribe.progress(Progress { done: passed.as_secs(), of: self.stays.as_secs(), line });
            world.clock.sleep(left.min(LOOK)).await;
            let (healthy, line) = self.healthy(route, Color::Blue, Some(&self.planned.capacity), scribe).await;
            if !healthy && !self.passed_over(world, &line, scribe) {
                return Err(Doubt::Unwell(format!("{line}, while it warmed up")));
            }
        }
    }

    async fn read(
        &self,
        route: &dyn TrafficRouter,
        world: &World,
        scribe: &dyn Scribe,
    ) -> Result<Reading, RouterError> {
        let start = world.clock.elapsed();
        let reading = route.read().await?;
        let ms = millis(world.clock.elapsed() - start);
        scribe.observed(Evidence::TrafficRead { route: self.route.clone(), split: reading.split, ms });
        Ok(reading)
    }
}

fn failure(error: &RouterError) -> Outcome {
    // How long the provider asks to be left alone, for whoever tries again.
    let facts = error.after.map_or(Value::Null, |after| json!({ "after_s": after.as_secs_f64().ceil() as u64 }));
    match error.kind {
        _ if error.moved => Outcome::unknown(format!("{}; whether users moved is not known yet", with_cure(error))),
        Trouble::Drift { found } => Outcome::failed(Cause::Drift, error.to_string()).with(json!({ "found": found })),
        _ => Outcome::Failed {
            line: with_cure(error),
            cause: Cause::Provider,
            moved: false,
            retry: error.passing(),
            then: None,
            facts,
        },
    }
}

fn with_cure(error: &RouterError) -> String {
    match &error.cure {
        Some(cure) => format!("{error} (cure: {cure})"),
        None => error.to_string(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait(?Send)]
impl Step for Shift {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        self.move_users(None, world, scribe).await
    }

    async fn set_right(&self, found: Split, world: &World, scribe: &dyn Scribe) -> Outcome {
        self.move_users(Some(found), world, scribe).await
    }

    /// After a crash or a lost reply a late write may still land, so the settle time is waited first.
    async fn in_place(&self, world: &World, scribe: &dyn Scribe) -> (Found, String) {
        let route = world.route(&self.route);
        world.clock.sleep(route.settle()).await;
        let reading = match self.read(route, world, scribe).await {
            Ok(reading) => reading,
            Err(error) => return (Found::CannotSee, with_cure(&error)),
        };
        match reading.split {
            split if self.beyond(split) => (Found::InPlace, format!("{} reads {split} already", self.planned.line)),
            split if split == self.change.after => match self.witnessed(route, world, scribe).await {
                Ok(line) => (Found::InPlace, line),
                Err(Doubt::NotInPlace(line) | Doubt::NotSeen(line) | Doubt::Unwell(line)) => (Found::CannotSee, line),
            },
            split if split == self.change.before || self.back || route.changes_by_itself() => {
                (Found::NotInPlace, format!("{} still reads {split}", self.planned.line))
            }
            split if self.cut_off(route, &reading) => {
                (Found::NotInPlace, format!("{} reads {split}: a change was cut off in the middle", self.planned.line))
            }
            split => (
                Found::Other,
                format!("{} reads {split}, which is neither the split before nor the one after", self.planned.line),
            ),
        }
    }
}
