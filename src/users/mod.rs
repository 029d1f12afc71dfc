//! Where users are, read now: every route and both sides of it asked at the same moment, each for itself. One that hangs or is
//! denied holds up no other.
//!
//! Whatever bgctl says about users is said from such a reading. It moves nobody and decides nothing.

mod seen;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::{join_all, join3};

use crate::clock::Clock;
use crate::plan::{Capacity, Color, Counted, Plan, PlannedRoute, Split};
use crate::routers::{Health, Reading, RouteView, RouterError};
use crate::run::Sighting;
use crate::secret::Secrets;
use crate::world::World;

pub use seen::{Answers, Missing, versions};

/// How long a provider may take to answer before what was asked is unknown.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Which sides are asked for their targets' health beside the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Split,
    Blue,
    Both,
}

/// One route, looked at.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    /// The place, as people recognise it.
    pub line: String,
    pub reading: Result<Reading, Unread>,
    /// What was read is a change of ours that was cut off in the middle.
    pub half: bool,
    /// The targets of blue and of green, where they were asked for.
    pub health: [Option<Result<Health, String>>; 2],
    /// The fewest healthy targets a side must have, and what it must have beside that.
    pub needs: u32,
    pub capacity: Capacity,
}

/// Why a route was not read: it gave no answer, or nobody asked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub why: String,
    pub asked: bool,
}

/// A side, asked whether it could take all users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Side {
    #[default]
    NotAsked,
    /// Enough of its targets are healthy for all users: `2 of 2`.
    Well(String),
    /// It is not: `0 of 2`.
    Ailing(String),
    /// It was asked, and this is why it is not known.
    Unknown(String),
}

/// All routes of a plan, looked at at the same moment.
#[derive(Clone, Debug, Default)]
pub struct Users {
    pub seen: Vec<Seen>,
    /// When the questions were sent, by the clock of the world.
    pub since: Duration,
}

impl Users {
    /// Reads every route of a plan through its world. One round trip, however many routes there are.
    pub async fn read(plan: &Plan, world: &World, ask: Ask) -> Users {
        let clock = world.clock.as_ref();
        let since = clock.elapsed();
        let asked = plan.routes.iter().map(|(name, planned)| Seen::read(name, planned, world.route(name), ask, clock));
        let seen = join_all(asked).await.into_iter().map(|seen| seen.masked(&world.secrets));
        Users { seen: seen.collect(), since }
    }

    /// Hands what was read to the first move that begins from it.
    pub fn hand_over(&self, world: &World) {
        for seen in &self.seen {
            if let (Ok(reading), Some(Ok(blue))) = (&seen.reading, seen.health(Color::Blue)) {
                world.beforehand.keep(&seen.name, self.since, reading.clone(), blue.clone());
            }
        }
    }

    /// Every route was read, and all of them have their users on this side.
    pub fn all_on(&self, side: Color) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|seen| seen.split().and_then(Split::only) == Some(side))
    }

    /// Every route was read.
    pub fn all_read(&self) -> bool {
        self.seen.iter().all(|seen| seen.reading.is_ok())
    }

    /// Where users are, in words: one split where all routes have it, else each route with its own.
    pub fn sentence(&self, plan: &Plan) -> String {
        let mut splits: Vec<Option<Split>> = self.seen.iter().map(Seen::split).collect();
        splits.dedup();
        match splits[..] {
            [Some(split)] => match split.only() {
                Some(stack) => format!("{split} (all on {stack} {})", plan.stack(stack).version),
                None => split.to_string(),
            },
            _ => self.seen.iter().map(Seen::place).collect::<Vec<_>>().join("; "),
        }
    }

    /// The reading as it stands in a log, by the names of the routes.
    pub fn sightings(&self) -> BTreeMap<String, Sighting> {
        let one = |seen: &Seen| (seen.name.clone(), Sighting { split: seen.split(), line: seen.place() });
        self.seen.iter().map(one).collect()
    }
}

impl Seen {
    /// Reads one route through whatever can look at it.
    pub async fn read(
        name: &str,
        planned: &PlannedRoute,
        view: &(impl RouteView + ?Sized),
        ask: Ask,
        clock: &dyn Clock,
    ) -> Seen {
        let health = |stack| async move {
            let asked = ask == Ask::Both || (ask == Ask::Blue && stack == Color::Blue);
            if asked { Some(answer(clock, PATIENCE, view.health(stack)).await) } else { None }
        };
        let reading = answer(clock, PATIENCE, view.read());
        let (reading, blue, green) = join3(reading, health(Color::Blue), health(Color::Green)).await;
        let reading = reading.map_err(|why| Unread { why, asked: true });
        let half = reading.as_ref().is_ok_and(|reading| view.cut_off(reading, None));
        Seen { reading, half, health: [blue, green], ..Seen::unread(name, planned, String::new(), true) }
    }

    /// A route that could not be asked, or that nobody asked.
    pub fn unread(name: &str, planned: &PlannedRoute, why: String, asked: bool) -> Seen {
        Seen {
            name: name.into(),
            line: planned.line.clone(),
            reading: Err(Unread { why, asked }),
            half: false,
            health: [None, None],
            needs: planned.min_healthy,
            capacity: planned.capacity.clone(),
        }
    }

    pub fn split(&self) -> Option<Split> {
        self.reading.as_ref().ok().map(|reading| reading.split)
    }

    /// `BLUE 90 GREEN 10 at alb rule web`, or why that is not known.
    fn place(&self) -> String {
        match &self.reading {
            Ok(reading) => format!("{} at {}", reading.split, self.line),
            Err(unread) => format!("unknown at {} ({})", self.line, unread.why),
        }
    }

    /// How a side is, said only of what answered.
    pub fn side(&self, stack: Color) -> Side {
        let health = match self.health(stack) {
            None => return Side::NotAsked,
            Some(Err(why)) => return Side::Unknown(why.clone()),
            Some(Ok(health)) => health,
        };
        let counted = Counted { healthy: health.healthy, total: health.total, zones: health.zones };
        let said = format!("{} of {}", health.healthy, health.total);
        match self.capacity.lacks(Split::all_on(stack), stack, counted) {
            Some(_) if health.healthy > 0 => Side::Ailing(format!("{said}, too few for all users")),
            None if health.healthy >= self.needs => Side::Well(said),
            _ => Side::Ailing(said),
        }
    }

    fn health(&self, stack: Color) -> Option<&Result<Health, String>> {
        let [blue, green] = &self.health;
        match stack {
            Color::Blue => blue.as_ref(),
            Color::Green => green.as_ref(),
        }
    }

    /// The targets of a side: counted, or why not. Nothing where nobody was asked.
    pub fn targets(&self, stack: Color) -> Option<String> {
        Some(match self.health(stack)? {
            Ok(health) => format!("{stack} {}/{} healthy", health.healthy, health.total),
            Err(why) => format!("{stack}'s health is unknown ({why})"),
        })
    }

    /// The sides that have users and cannot serve them, or of which that is not known.
    pub fn ailing(&self) -> Vec<String> {
        let served = |stack: &Color| self.split().is_some_and(|split| split.share(*stack) > 0.0);
        let one = |stack| match self.health(stack)? {
            Ok(health) if health.healthy < self.needs => Some(format!(
                "{}: {stack} has users and {} of {} targets are healthy ({} are needed)",
                self.name, health.healthy, health.total, self.needs
            )),
            Ok(_) => None,
            Err(why) => Some(format!("{}: {stack} has users and its health is unknown: {why}", self.name)),
        };
        Color::BOTH.into_iter().filter(served).filter_map(one).collect()
    }

    /// A provider's words of why something is not known may quote what was sent to it.
    pub fn masked(self, secrets: &Secrets) -> Seen {
        let mask = |why: String| secrets.mask(&why);
        let reading = self.reading.map_err(|unread| Unread { why: mask(unread.why), ..unread });
        let health = self.health.map(|side| side.map(|asked| asked.map_err(mask)));
        Seen { reading, health, ..self }
    }
}

/// An answer with what cures its lack, or why there is none in time.
pub async fn answer<T>(
    clock: &dyn Clock,
    time: Duration,
    asked: impl Future<Output = Result<T, RouterError>>,
) -> Result<T, String> {
    tokio::select! { biased;
        answer = asked => answer.map_err(|error| match &error.cure {
            Some(cure) => format!("{error} (cure: {cure})"),
            None => error.to_string(),
        }),
        () = clock.sleep(time) => Err(format!("no answer within {}s", time.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn seen(name: &str, split: Option<Split>) -> Seen {
        let reading = split.map(|split| Reading { split, exact: Value::Null, remarks: Vec::new() });
        Seen {
            name: name.into(),
            line: format!("alb rule {name}"),
            reading: reading.ok_or_else(|| Unread { why: "denied".into(), asked: true }),
            half: false,
            health: [None, None],
            needs: 1,
            capacity: Capacity::default(),
        }
    }

    #[test]
    fn r31_all_on_blue_is_said_only_of_routes_that_were_all_read_there() {
        let half = Split { blue: 50, green: 50 };
        let of = |splits: &[Option<Split>]| Users {
            seen: splits.iter().enumerate().map(|(n, split)| seen(&format!("r{n}"), *split)).collect(),
            since: Duration::ZERO,
        };
        let blue = Some(Split::ALL_BLUE);
        assert!(of(&[blue, Some(Split { blue: 1, green: 0 })]).all_on(Color::Blue));
        for splits in [
            &[Some(half), blue][..],
            &[blue, Some(half)],
            &[blue, None],
            &[None],
            &[Some(Split { blue: 0, green: 0 })],
            &[],
        ] {
            assert!(!of(splits).all_on(Color::Blue), "{splits:?}");
        }
    }
}
