//! A side that has users, and how it was found: by the provider's own look at its targets, and by what answers at the public
//! address. It only asks; what follows is for the driver.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::Driver;
use crate::plan::{Color, PlannedRoute, Split};
use crate::run::Evidence;
use crate::users::{Answers, Missing, answer, versions};
use crate::world::Scribe;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// At most so many connections look at the public address in a wait: it is done every few seconds, and users need it more.
const FEW: u32 = 10;

/// What was seen of the sides so far.
#[derive(Default)]
pub(super) struct Sides {
    /// When they were last looked at.
    pub(super) looked: Cell<Duration>,
    /// Since when each has not answered.
    pub(super) dark: RefCell<BTreeMap<(String, Color), Duration>>,
    /// Healthy and total when last written down: the log holds what changed.
    noted: RefCell<BTreeMap<(String, Color), (u32, u32)>>,
    /// Whether the public address agreed when that was last written down.
    agreed: RefCell<BTreeMap<(String, Color), bool>>,
}

impl Sides {
    /// What was found ends a step, whose failure may be passed over: before the next one it is looked at again.
    pub(super) fn forget(&self) {
        self.looked.set(Duration::ZERO);
    }
}

/// One side of a route.
pub(super) struct Served<'a> {
    pub(super) route: &'a str,
    pub(super) planned: &'a PlannedRoute,
    pub(super) stack: Color,
    /// Of the route's users, from 0 to 1: the most it may have.
    pub(super) share: f64,
    /// The split as this run has written it; none where a write may or may not have landed.
    pub(super) split: Option<Split>,
}

/// How it is.
pub(super) enum Answer {
    Well(String),
    Lacks(String),
    Unread(String),
}

impl Driver<'_> {
    /// The sides that have users, by what this run has written.
    pub(super) fn served(&self) -> Vec<Served<'_>> {
        let mut served = Vec::new();
        for (route, planned) in &self.run.plan.routes {
            let written = self.state.written(self.run.plan, route);
            let split = sure(&written);
            // A side that needs no target has no health to look at.
            for stack in Color::BOTH.into_iter().filter(|_| planned.min_healthy > 0) {
                let share = written.iter().map(|split| split.share(stack)).fold(0.0, f64::max);
                if share > 0.0 {
                    served.push(Served { route, planned, stack, share, split });
                }
            }
        }
        served
    }

    /// Asks all of them at once: the provider, and the public address where the runbook names one.
    pub(super) async fn ask(&self, sides: &[Served<'_>]) -> Vec<Answer> {
        let targets = join_all(sides.iter().map(|side| self.targets(side)));
        let (targets, public) = join(targets, self.public(sides)).await;
        let both = sides.iter().zip(targets).map(|(side, targets)| {
            let met = public.get(side.route).and_then(|met| self.met(side, met));
            match (targets, met) {
                (Answer::Lacks(line), _) | (Answer::Well(_) | Answer::Unread(_), Some(Answer::Lacks(line))) => {
                    Answer::Lacks(line)
                }
                (Answer::Well(_), Some(unread)) => unread,
                (targets, _) => targets,
            }
        });
        let both: Vec<Answer> = both.collect();
        let mut dark = self.sides.dark.borrow_mut();
        for (side, answer) in sides.iter().zip(&both) {
            let key = (side.route.to_string(), side.stack);
            match answer {
                Answer::Unread(_) => _ = dark.entry(key).or_insert_with(|| self.run.world.clock.elapsed()),
                _ => _ = dark.remove(&key),
            }
        }
        both
    }

    async fn targets(&self, side: &Served<'_>) -> Answer {
        let world = self.run.world;
        match answer(world.clock.as_ref(), PATIENCE, world.route(side.route).health(side.stack)).await {
            Ok(health) => {
                let (healthy, total) = (health.healthy, health.total);
                self.note((side.route.to_string(), side.stack), healthy, total);
                let needed = side.planned.min_healthy;
                let line = format!("{} has {healthy} of {total} targets healthy", side.stack);
                if healthy < needed { Answer::Lacks(format!("{line}, {needed} needed")) } else { Answer::Well(line) }
            }
            Err(why) => {
                Answer::Unread(format!("the health of {} on {} cannot be read ({why})", side.stack, side.route))
            }
        }
    }

    /// What the public address of each route shows, where one of these sides has users.
    async fn public(&self, sides: &[Served<'_>]) -> BTreeMap<String, Answers> {
        let (plan, world) = (self.run.plan, self.run.world);
        let with_users = |route: &&String| sides.iter().any(|side| side.route == **route && side.split.is_some());
        let asked = plan.routes.keys().filter(with_users).filter_map(|route| {
            let at = plan.routes[route].seen_at.as_ref()?;
            let sample = Answers::sample(at, at.samples.min(FEW), versions(plan), world);
            Some(async move { (route.clone(), sample.await) })
        });
        join_all(asked).await.into_iter().collect()
    }

    /// What follows for a side from what the public address shows, if anything does.
    fn met(&self, side: &Served<'_>, met: &Answers) -> Option<Answer> {
        let missing = met.missing(side.split?, side.stack);
        let agrees = missing.is_none();
        if self.sides.agreed.borrow_mut().insert((side.route.into(), side.stack), agrees).unwrap_or(true) != agrees {
            self.desk.observed(met.evidence(side.route, agrees));
        }
        // Its address is left out: paths and queries can hold secrets.
        let line = format!("{} gave none of {} answers at `seen_at`", side.stack, met.counted() + met.other());
        missing.map(|missing| match missing {
            Missing::Failed => Answer::Lacks(format!("{line}, and {} were server errors", met.failed)),
            Missing::Unknown => Answer::Unread(format!("{line} of {}", side.route)),
        })
    }

    /// Written down when it is another than before, so that a long wait does not fill the log.
    fn note(&self, key: (String, Color), healthy: u32, total: u32) {
        if self.sides.noted.borrow_mut().insert(key.clone(), (healthy, total)) == Some((healthy, total)) {
            return;
        }
        let (route, stack) = key;
        self.desk.observed(Evidence::TrafficHealth { route, stack: stack.name().into(), healthy, total });
    }
}

/// The split that holds whichever of these was the last to land: none while they differ.
fn sure(written: &[Split]) -> Option<Split> {
    written.first().copied().filter(|first| written.iter().all(|split| split == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r05_while_a_write_may_or_may_not_have_landed_nobody_knows_what_users_should_see() {
        let [blue, green] = [0, 1000].map(Split::of_green);
        for (written, split) in
            [(vec![], None), (vec![green], Some(green)), (vec![green, green], Some(green)), (vec![blue, green], None)]
        {
            assert_eq!(sure(&written), split, "{written:?}");
        }
    }
}
