//! How the sides are that have users, looked at for as long as a run waits with users split or on green.
//!
//! A shift looks at the sides once; what happens to them afterwards is found here, on the rhythm of the guards and whatever the
//! run waits for. It only says what it found: a green that cannot carry its users is a failure like any other, a blue that
//! cannot is a halt, since nobody may be sent back to it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::Driver;
use super::boundary::COUNTS;
use crate::plan::{Color, Lane, PlannedRoute};
use crate::run::{Breach, Cause, Doing, Event, Evidence, Next, RunOutcome};
use crate::users::answer;
use crate::world::{Blocked, Scribe};

/// How often the sides are looked at. With the second look a loss is known within 15 s.
const EVERY: Duration = Duration::from_secs(10);
/// One look can meet a target that is just being replaced, so what is found is looked at once more before it is believed.
const AGAIN: Duration = Duration::from_secs(2);
/// A side whose health could not be read for this long is unknown, and unknown forbids going forward.
const UNREAD: Duration = Duration::from_secs(60);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen of the sides so far.
#[derive(Default)]
pub(super) struct Sides {
    /// When they were last looked at.
    looked: Cell<Duration>,
    /// Since when each has not answered.
    dark: RefCell<BTreeMap<(String, Color), Duration>>,
    /// Healthy and total when last written down: the log holds what changed.
    noted: RefCell<BTreeMap<(String, Color), (u32, u32)>>,
}

impl Sides {
    /// What was found ends a step, whose failure may be passed over: before the next one it is looked at again.
    pub(super) fn forget(&self) {
        self.looked.set(Duration::ZERO);
    }
}

/// One side that has users on a route.
struct Served<'a> {
    route: &'a str,
    planned: &'a PlannedRoute,
    stack: Color,
    share: f64,
}

/// How it is.
enum Answer {
    Well(String),
    Lacks(String),
    Unread(String),
}

impl Driver<'_> {
    /// Comes back only when a side with users is not well, or was not known to be for too long.
    pub(super) async fn ailing(&self) -> Breach {
        loop {
            let now = self.run.world.clock.elapsed();
            self.run.world.clock.sleep((self.sides.looked.get() + EVERY).saturating_sub(now)).await;
            if let Some(breach) = self.unwell().await {
                return breach;
            }
        }
    }

    /// Before the next step, where the last look is not a fresh one, and always before a run says that it is completed.
    pub(super) async fn before(&self, next: &Next) -> Option<Breach> {
        let ready = self.state.lane == Lane::Forward && matches!(self.state.doing, Doing::Ready { .. });
        let old = self.run.world.clock.elapsed().saturating_sub(self.sides.looked.get()) >= COUNTS;
        match next {
            Next::Request(_) | Next::Await(_) | Next::Attempt(..) if ready && old => self.unwell().await,
            Next::Note(Event::Ended { outcome: RunOutcome::Completed, .. }) if ready => self.unwell().await,
            _ => None,
        }
    }

    /// Comes back only when a side with users cannot carry them: that nothing is known of it is no answer to a question.
    pub(super) async fn side_fails(&self) -> Breach {
        loop {
            let breach = self.ailing().await;
            if breach.cause == Cause::Destination {
                return breach;
            }
        }
    }

    /// Comes back only when nobody may be sent back to blue any more.
    pub(super) async fn blue_ails(&self) -> String {
        loop {
            let breach = self.side_fails().await;
            if breach.then.is_some() {
                return breach.line;
            }
        }
    }

    /// One look at every side that has users, all at once; a second one where something is found.
    pub(super) async fn unwell(&self) -> Option<Breach> {
        if !self.state.moved || self.state.lane != Lane::Forward {
            self.sides.looked.set(self.run.world.clock.elapsed());
            return None;
        }
        let served = self.served();
        let first = self.ask(&served).await;
        self.sides.looked.set(self.run.world.clock.elapsed());
        let lacks = |answer: &Answer| matches!(answer, Answer::Lacks(_));
        if !first.iter().any(lacks) {
            return self.unread(&served, &first).map(|blocked| Breach::new(blocked.cause, blocked.line));
        }
        self.run.world.clock.sleep(AGAIN).await;
        let second = self.ask(&served).await;
        let both: Vec<(&Served<'_>, &Answer)> =
            served.iter().zip(&second).zip(&first).filter(|(_, was)| lacks(was)).map(|(now, _)| now).collect();
        let of = |stack: Color| {
            let told = both.iter().filter(|(side, _)| side.stack == stack).filter_map(|(side, answer)| match answer {
                Answer::Lacks(line) => Some(format!("{line} on {}, with {:.1}% of its users", side.route, side.share)),
                _ => None,
            });
            Some(told.collect::<Vec<_>>().join("; ")).filter(|told| !told.is_empty())
        };
        match (of(Color::Blue), of(Color::Green)) {
            (Some(blue), Some(green)) => Some(
                Breach::new(Cause::Destination, format!("{green}; {blue}, so nobody is sent back to it")).halting(),
            ),
            (Some(blue), None) => {
                let well = served.iter().zip(&second).filter(|(side, _)| side.stack == Color::Green);
                let well: Option<Vec<&str>> = well
                    .map(|(_, answer)| if let Answer::Well(line) = answer { Some(line.as_str()) } else { None })
                    .collect();
                let green = well
                    .filter(|well| !well.is_empty())
                    .map_or(String::new(), |well| format!("; {}, so GREEN is the healthy side", well.join(", ")));
                Some(Breach::new(Cause::Destination, format!("{blue}: nobody is sent back to it{green}")).halting())
            }
            (None, Some(green)) => Some(match self.blue_lacks().await {
                Some(blue) => {
                    Breach::new(Cause::Destination, format!("{green}; {blue}, so nobody is sent back to it")).halting()
                }
                None => Breach::new(Cause::Destination, green),
            }),
            (None, None) => None,
        }
    }

    /// A side that was not known to be well for too long, where nothing else stands in the way of a paused run.
    pub(super) async fn sides_known(&self) -> Result<Option<Blocked>, String> {
        let served = if self.state.moved { self.served() } else { Vec::new() };
        let answers = self.ask(&served).await;
        match answers.into_iter().find_map(|answer| if let Answer::Unread(why) = answer { Some(why) } else { None }) {
            Some(why) => Err(why),
            None => Ok(None),
        }
    }

    /// The sides that have users, by what this run has written.
    fn served(&self) -> Vec<Served<'_>> {
        let mut served = Vec::new();
        for (route, planned) in &self.run.plan.routes {
            let written = self.state.written(self.run.plan, route);
            // A side that needs no target has no health to look at.
            for stack in Color::BOTH.into_iter().filter(|_| planned.min_healthy > 0) {
                let share = written.iter().map(|split| split.share(stack)).fold(0.0, f64::max) * 100.0;
                if share > 0.0 {
                    served.push(Served { route, planned, stack, share });
                }
            }
        }
        served
    }

    /// Where users would go back to, while nobody is there: what it lacks, if it was read to lack something.
    async fn blue_lacks(&self) -> Option<String> {
        let routes = self.run.plan.routes.iter().filter(|(_, planned)| planned.min_healthy > 0);
        let blue: Vec<Served<'_>> =
            routes.map(|(route, planned)| Served { route, planned, stack: Color::Blue, share: 0.0 }).collect();
        let answers = self.ask(&blue).await;
        let lacks = blue.iter().zip(answers).filter_map(|(side, answer)| match answer {
            Answer::Lacks(line) => Some(format!("{line} on {}", side.route)),
            _ => None,
        });
        Some(lacks.collect::<Vec<_>>().join("; ")).filter(|lacks| !lacks.is_empty())
    }

    async fn ask(&self, sides: &[Served<'_>]) -> Vec<Answer> {
        let world = self.run.world;
        let asked = sides.iter().map(|side| async {
            let route = world.route(side.route);
            let key = (side.route.to_string(), side.stack);
            match answer(world.clock.as_ref(), PATIENCE, route.health(side.stack)).await {
                Ok(health) => {
                    self.sides.dark.borrow_mut().remove(&key);
                    let (healthy, total) = (health.healthy, health.total);
                    self.note(key, healthy, total);
                    let needed = side.planned.min_healthy;
                    let line = format!("{} has {healthy} of {total} targets healthy", side.stack);
                    if healthy < needed {
                        Answer::Lacks(format!("{line}, {needed} needed"))
                    } else {
                        Answer::Well(line)
                    }
                }
                Err(why) => {
                    self.sides.dark.borrow_mut().entry(key).or_insert_with(|| world.clock.elapsed());
                    Answer::Unread(format!("the health of {} on {} cannot be read ({why})", side.stack, side.route))
                }
            }
        });
        join_all(asked).await
    }

    /// Written down when it is another than before, so that a long wait does not fill the log.
    fn note(&self, key: (String, Color), healthy: u32, total: u32) {
        if self.sides.noted.borrow_mut().insert(key.clone(), (healthy, total)) == Some((healthy, total)) {
            return;
        }
        let (route, stack) = key;
        self.desk.observed(Evidence::TrafficHealth { route, stack: stack.name().into(), healthy, total });
    }

    /// The side that has not answered for too long.
    fn unread(&self, served: &[Served<'_>], answers: &[Answer]) -> Option<Blocked> {
        let now = self.run.world.clock.elapsed();
        let since = self.sides.dark.borrow();
        served.iter().zip(answers).find_map(|(side, answer)| {
            let Answer::Unread(why) = answer else { return None };
            let dark = now.saturating_sub(since.get(&(side.route.to_string(), side.stack)).copied().unwrap_or(now));
            let line = || format!("whether {} is well is not known for {}s: {why}", side.stack, dark.as_secs());
            (dark >= UNREAD).then(|| Blocked { cause: Cause::Guard, line: line() })
        })
    }
}
