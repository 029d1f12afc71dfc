//! Where users are, read now: every route at the same moment and each for itself. One that hangs or is denied holds up no other.
//!
//! Whatever a command says about users is said from such a reading. It moves nobody and decides nothing.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::clock::Clock;
use crate::plan::{Color, Plan, Split};
use crate::routers::{Health, Reading, RouterError};
use crate::run::{Event, Sighting};
use crate::world::World;

/// How long a provider may take to answer before a route is unknown.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// One route, looked at.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    /// The place, as people recognise it.
    pub line: String,
    /// What was read, or why nothing was.
    pub reading: Result<Reading, String>,
    /// Blue's targets, where they were asked for.
    pub blue: Option<Result<Health, String>>,
    /// The fewest healthy targets blue must have.
    pub needs: u32,
}

/// All routes of a plan, looked at at the same moment.
#[derive(Clone, Debug, Default)]
pub struct Users {
    pub seen: Vec<Seen>,
}

impl Seen {
    pub fn split(&self) -> Option<Split> {
        self.reading.as_ref().ok().map(|reading| reading.split)
    }

    fn place(&self) -> String {
        match &self.reading {
            Ok(reading) => format!("{} at {}", reading.split, self.line),
            Err(why) => format!("unknown at {} ({why})", self.line),
        }
    }

    /// Blue can take users here: said only of what answered.
    pub fn blue_is_well(&self) -> Option<bool> {
        match &self.blue {
            Some(Ok(health)) => Some(health.healthy >= self.needs),
            _ => None,
        }
    }
}

impl Users {
    /// Reads every route and the health of blue there. One round trip, however many routes there are.
    pub async fn read(plan: &Plan, world: &World) -> Users {
        let clock = world.clock.as_ref();
        let one = |(name, planned): (&String, &crate::plan::PlannedRoute)| {
            let (name, line, needs) = (name.clone(), planned.line.clone(), planned.min_healthy);
            async move {
                let route = world.route(&name);
                let (reading, blue) =
                    join(bounded(route.read(), clock), bounded(route.health(Color::Blue), clock)).await;
                Seen { name, line, reading, blue: Some(blue), needs }
            }
        };
        Users { seen: join_all(plan.routes.iter().map(one)).await }
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

    /// The reading as it stands in a log. `settled`: no write whose answer was lost can land any more.
    pub fn event(&self, settled: bool) -> Event {
        let routes: BTreeMap<String, Sighting> = self
            .seen
            .iter()
            .map(|seen| (seen.name.clone(), Sighting { split: seen.split(), line: seen.place() }))
            .collect();
        Event::UsersSeen { routes, settled }
    }
}

/// The answer, or why there is none in time.
async fn bounded<T>(asked: impl Future<Output = Result<T, RouterError>>, clock: &dyn Clock) -> Result<T, String> {
    tokio::select! { biased;
        answer = asked => answer.map_err(|error| match &error.cure {
            Some(cure) => format!("{error} (cure: {cure})"),
            None => error.to_string(),
        }),
        () = clock.sleep(PATIENCE) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
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
            reading: reading.ok_or_else(|| "denied".into()),
            blue: None,
            needs: 1,
        }
    }

    #[test]
    fn r31_all_on_blue_is_said_only_of_routes_that_were_all_read_there() {
        let half = Split { blue: 50, green: 50 };
        let of = |splits: &[Option<Split>]| Users {
            seen: splits.iter().enumerate().map(|(n, split)| seen(&format!("r{n}"), *split)).collect(),
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
