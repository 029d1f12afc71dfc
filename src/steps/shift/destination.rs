//! Who may get users: a side that is healthy, large enough for what it will carry, and of the version that the plan names. Users are
//! sent nowhere else.

use super::{Asked, Shift};
use crate::gates::traffic;
use crate::plan::{Capacity, Color, Counted, Split};
use crate::routers::{Health, RouterError, TrafficRouter};
use crate::run::{Cause, Evidence, Outcome, guard};
use crate::versions;
use crate::world::{Scribe, World};

impl Shift {
    /// Why a side that gains users is not what was planned, if it is not: it may have got another version since. On the way back nobody
    /// is kept on a bad green for it.
    pub(super) async fn another_version(&self, now: Split, world: &World) -> Option<(Cause, String)> {
        let (at, stacks) = self.said_at.as_ref().filter(|_| !self.back)?;
        for stack in self.gaining(now) {
            let wanted = &self.versions[stack as usize];
            match versions::of(stack, &stacks[stack as usize], at, world).await {
                Ok(version) if version == *wanted => {}
                Ok(version) => {
                    let line = format!("{stack} runs {version} now, and the plan says {wanted}");
                    return Some((Cause::Destination, line));
                }
                // It says nothing against green: the run waits until it is known.
                Err(why) => return Some((Cause::Away, format!("which version runs is not known: {why}"))),
            }
        }
        None
    }

    /// What a side has to be able to carry, by the traffic of now where the runbook asks for that. Going back waits for no metrics.
    pub(super) async fn capacity(
        &self,
        route: &dyn TrafficRouter,
        world: &World,
        scribe: &dyn Scribe,
    ) -> Result<Capacity, String> {
        let declared = &self.planned.capacity;
        if self.back {
            return Ok(declared.clone());
        }
        let now = traffic::now(declared, route.metrics(), world).await;
        let now = now.map_err(|gap| traffic::unknown(&self.route, &gap))?;
        let Some(now) = now else { return Ok(declared.clone()) };
        scribe.observed(Evidence::Note { line: format!("{}: {}", self.route, traffic::told(now)) });
        Ok(declared.under(now))
    }

    /// Nobody is sent to a side that is unhealthy, empty, too small or unknown. `asked` is what was just heard of it.
    pub(super) async fn destination(
        &self,
        route: &dyn TrafficRouter,
        now: Split,
        mut asked: Vec<Asked>,
        capacity: &Capacity,
        world: &World,
        scribe: &dyn Scribe,
    ) -> Result<(), Outcome> {
        for stack in self.gaining(now) {
            let (healthy, line) = match asked.iter().position(|(of, _)| *of == stack) {
                Some(n) => self.judged(stack, asked.swap_remove(n).1, Some(capacity), scribe),
                None => self.healthy(route, stack, Some(capacity), scribe).await,
            };
            if !healthy && !self.passed_over(world, &line, scribe) {
                return Err(Outcome::failed(Cause::Destination, format!("{line}, so no users are sent there")));
            }
        }
        Ok(())
    }

    /// Who sends users back whatever blue's health is, and why.
    pub(super) fn takes_ill_blue(&self, world: &World) -> Option<String> {
        world.overrides.passed_over(guard::BLUE_HEALTH).filter(|_| self.back)
    }

    /// On the way back a person may take an ill blue on themselves. What it was like stands in the log with who and why.
    pub(super) fn passed_over(&self, world: &World, line: &str, scribe: &dyn Scribe) -> bool {
        let Some(why) = self.takes_ill_blue(world) else { return false };
        scribe.observed(Evidence::Note { line: format!("{line}; users go there anyway, {why}") });
        true
    }

    /// `carries`: what it has to be enough for with its share after this shift, where it is not only to be well.
    pub(super) async fn healthy(
        &self,
        route: &dyn TrafficRouter,
        stack: Color,
        carries: Option<&Capacity>,
        scribe: &dyn Scribe,
    ) -> (bool, String) {
        self.judged(stack, route.health(stack).await, carries, scribe)
    }

    /// `carries`: what it has to be enough for with its share after this shift, where it is not only to be well.
    pub(super) fn judged(
        &self,
        stack: Color,
        answer: Result<Health, RouterError>,
        carries: Option<&Capacity>,
        scribe: &dyn Scribe,
    ) -> (bool, String) {
        match answer {
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
                let Health { healthy, total, zones, .. } = health;
                let counted = Counted { healthy, total, zones };
                match carries.and_then(|capacity| capacity.lacks(self.change.after, stack, counted)) {
                    Some(lacks) => (false, lacks),
                    None => (healthy >= self.planned.min_healthy, line),
                }
            }
            Err(error) => (false, format!("the health of {stack} cannot be read ({error})")),
        }
    }
}
