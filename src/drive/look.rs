//! Looking where the users are: every route, all at the same moment, each for itself. One that hangs or is denied holds up no
//! other.
//!
//! It waits for what may still land, and says what it waits for. What follows from what was seen is for the run machine.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Driver;
use crate::run::{Cause, Event, Evidence, Sighting};
use crate::scalar::spoken;
use crate::users::{Ask, Users};
use crate::world::{Progress, Scribe};

/// How long a route that cannot be read is asked again before a run ends without knowing it, and how often.
const UNREAD: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(3);
/// How often is looked while a write may still land.
const EVERY: Duration = Duration::from_secs(5);

impl Driver<'_> {
    /// Where the users are, read now; the sentence every question and page carries.
    pub(super) async fn users(&self) -> String {
        let lines: Vec<String> = self.sightings().await.into_values().map(|seen| seen.line).collect();
        // Questions and pages leave the process without passing a record.
        self.desk.clean(&lines.join("; "))
    }

    /// Where every route is now.
    pub(super) async fn sightings(&self) -> BTreeMap<String, Sighting> {
        let users = Users::read(self.run.plan, self.run.world, Ask::Split).await;
        for seen in &users.seen {
            if let Some(split) = seen.split() {
                self.desk.seen(&seen.name, split);
            }
        }
        users.sightings()
    }

    /// Looks before the run says how it ended. Comes back early with what is not as this run has left it, or with a wish.
    pub(super) async fn users_seen(&self, settle: bool, patient: bool) -> Event {
        let clock = &self.run.world.clock;
        let begun = clock.elapsed();
        let mut said = false;
        loop {
            // From before the reading: what lands while it is made may not be in it.
            let left = if settle { self.may_land_for() } else { Duration::ZERO };
            let routes = self.sightings().await;
            let as_left = self.state.as_left(self.run.plan, &routes);
            let dark = patient && routes.values().any(|seen| seen.split.is_none());
            let passed = clock.elapsed().saturating_sub(begun);
            // A reading can be older than our own last write, so a strange one is made once more before it is believed.
            let pause = match () {
                () if dark && passed < UNREAD => AGAIN,
                () if !as_left && passed < AGAIN => AGAIN,
                () if as_left && !left.is_zero() => left.min(EVERY),
                () => {
                    let settled = left.is_zero() && (settle || self.state.doubts.is_empty());
                    return Event::UsersSeen { routes, settled };
                }
            };
            if !left.is_zero() && !std::mem::replace(&mut said, true) {
                let line =
                    format!("a write whose answer was lost may still land: the result is known in {}", spoken(left));
                self.desk.observed(Evidence::Note { line });
            }
            if !left.is_zero() {
                let line = format!("a write whose answer was lost may still land, {}s left", left.as_secs());
                self.desk.progress(Progress { done: passed.as_secs(), of: (passed + left).as_secs(), line });
            }
            tokio::select! { biased;
                wish = self.wish() => return wish,
                () = clock.sleep(pause) => {}
            }
        }
    }

    /// Before a pause for drift: whether somebody else has sent everybody back to blue, on every route.
    pub(super) async fn taken_back(&self, cause: Cause) -> Option<Event> {
        if cause != Cause::Drift {
            return None;
        }
        let routes = self.sightings().await;
        let blue = |seen: &Sighting| seen.split.is_some_and(|split| split.only() == Some(crate::plan::Color::Blue));
        let all = !routes.is_empty() && routes.values().all(blue) && self.state.closed(self.run.plan).is_none();
        all.then_some(Event::UsersSeen { routes, settled: false })
    }

    /// How long a write whose end is not known may still take effect.
    fn may_land_for(&self) -> Duration {
        let now = self.run.world.clock.elapsed();
        let left = |((at, _), since): (&(crate::plan::StepRef, u32), &Duration)| {
            let change = self.run.plan.step(*at).moves.as_ref()?;
            Some((*since + self.run.world.route(&change.route).lands_within()).saturating_sub(now))
        };
        self.out_since.borrow().iter().filter_map(left).max().unwrap_or_default()
    }

    /// Keeps since when each write that may still land is out. Of one that another process sent only that it is older than this
    /// process is known.
    pub(super) fn remember_writes(&self) {
        let now = self.run.world.clock.elapsed();
        let mut since = self.out_since.borrow_mut();
        since.retain(|write, _| self.state.doubts.contains(write));
        self.state.doubts.iter().for_each(|write| {
            since.entry(*write).or_insert(now);
        });
    }
}
