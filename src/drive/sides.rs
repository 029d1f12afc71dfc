//! How the sides are that have users, looked at for as long as a run waits with users split or on green.
//!
//! A shift looks at the sides once; what happens to them afterwards is found here, on the rhythm of the guards and whatever the
//! run waits for. It only says what it found: a green that cannot carry its users is a failure like any other, a blue that
//! cannot is a halt, since nobody may be sent back to it.

use std::time::Duration;

use super::Driver;
use super::boundary::COUNTS;
use super::served::{Answer, Served};
use crate::plan::{Color, Lane};
use crate::run::{Breach, Cause, Doing, Event, Next, RunOutcome};
use crate::world::Blocked;

/// How often the sides are looked at. With the second look a loss is known within 15 s.
const EVERY: Duration = Duration::from_secs(10);
/// One look can meet a target that is just being replaced, so what is found is looked at once more before it is believed.
const AGAIN: Duration = Duration::from_secs(2);
/// A side whose health could not be read for this long is unknown, and unknown forbids going forward.
const UNREAD: Duration = Duration::from_secs(60);
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
                Answer::Lacks(line) => {
                    Some(format!("{line} on {}, with {:.1}% of its users", side.route, side.share * 100.0))
                }
                _ => None,
            });
            Some(told.collect::<Vec<_>>().join("; ")).filter(|told| !told.is_empty())
        };
        match (of(Color::Blue), of(Color::Green)) {
            (Some(blue), Some(green)) => Some(
                Breach::new(Cause::Destination, format!("{green}; {blue}, so no users are sent back to it")).halting(),
            ),
            (Some(blue), None) => {
                let well = served.iter().zip(&second).filter(|(side, _)| side.stack == Color::Green);
                let well: Option<Vec<&str>> = well
                    .map(|(_, answer)| if let Answer::Well(line) = answer { Some(line.as_str()) } else { None })
                    .collect();
                let green = well
                    .filter(|well| !well.is_empty())
                    .map_or(String::new(), |well| format!("; {}, so GREEN is the healthy side", well.join(", ")));
                Some(Breach::new(Cause::Destination, format!("{blue}: no users are sent back to it{green}")).halting())
            }
            (None, Some(green)) => Some(match self.blue_lacks().await {
                // Its drain has made it unready, and the way back begins with making it ready: then it is asked again.
                Some(blue) if self.run.plan.readied().is_none() => {
                    Breach::new(Cause::Destination, format!("{green}; {blue}, so no users are sent back to it"))
                        .halting()
                }
                _ => Breach::new(Cause::Destination, green),
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

    /// Where users would go back to, while nobody is there: what it lacks, if it was read to lack something.
    async fn blue_lacks(&self) -> Option<String> {
        let routes = self.run.plan.routes.iter().filter(|(_, planned)| planned.min_healthy > 0);
        let blue: Vec<Served<'_>> = routes
            .map(|(route, planned)| Served { route, planned, stack: Color::Blue, share: 0.0, split: None })
            .collect();
        let answers = self.ask(&blue).await;
        let lacks = blue.iter().zip(answers).filter_map(|(side, answer)| match answer {
            Answer::Lacks(line) => Some(format!("{line} on {}", side.route)),
            _ => None,
        });
        Some(lacks.collect::<Vec<_>>().join("; ")).filter(|lacks| !lacks.is_empty())
    }

    /// The side that has not answered for too long.
    fn unread(&self, served: &[Served<'_>], answers: &[Answer]) -> Option<Blocked> {
        let now = self.run.world.clock.elapsed();
        let since = self.sides.dark.borrow();
        served.iter().zip(answers).find_map(|(side, answer)| {
            let Answer::Unread(why) = answer else { return None };
            let dark = now.saturating_sub(since.get(&(side.route.to_string(), side.stack)).copied().unwrap_or(now));
            let line = || format!("the health of {} is not known for {}s: {why}", side.stack, dark.as_secs());
            (dark >= UNREAD).then(|| Blocked { cause: Cause::Guard, line: line() })
        })
    }
}
