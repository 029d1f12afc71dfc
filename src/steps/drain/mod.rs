//! `drain`: let the work on one stack end, and do what is declared for it. Drained means work done, not connections gone.
//!
//! It counts and waits; what is done beside that stands in [`acts`]. What an unfinished drain means the runbook says.
#![doc = include_str!("../drain.md")]

mod acts;
mod settings;

use std::time::Duration as Time;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use self::settings::{AtTimeout, CUT, Drain};
pub use self::settings::{asks, cuts, longest, unready};
use super::{Kind, Step};
use crate::rehearsal::InLab;
use crate::run::{Cause, Connections, Evidence, Outcome, Reaction};
use crate::scalar::{Duration, counted, spoken};
use crate::world::{Progress, Request, Scribe, World, address};

pub const KIND: Kind = Kind {
    name: "drain",
    about: "let work in flight end",
    page: include_str!("../drain.md"),
    schema: |generator| generator.subschema_for::<Drain>(),
    facts: settings::plan,
    lab: InLab::ToAndPrograms(settings::addresses, &["/unready"]),
    build: |step, plan| {
        let drain = Drain::deserialize(&step.config)?;
        let urls = match drain.instances.is_empty() {
            true => vec![plan.stack(drain.stack).url.clone()],
            false => drain.instances.clone(),
        };
        Ok(Box::new(Draining { id: step.id.clone(), urls, drain }))
    },
};

/// How often the gauge is read, and the longest a process may take for an answer.
const EVERY: Time = Time::from_secs(1);
const TIMEOUT: Time = Time::from_secs(5);
/// Work that is handed from one place to the next can be in neither for a moment, so zero has to be seen twice.
const ZEROS: u32 = 2;

struct Draining {
    id: String,
    urls: Vec<String>,
    drain: Drain,
}

/// What was counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    work: u64,
    /// Connections that the routes still hold to that side.
    held: u64,
}

impl Counted {
    /// A connection whose request the gauge counts is one piece of work, and not two.
    fn left(self) -> u64 {
        self.work.max(self.held)
    }
}

#[async_trait(?Send)]
impl Step for Draining {
    fn only_waits(&self) -> bool {
        self.drain.unready.is_none() && self.drain.reconnect.is_none() && self.drain.at_timeout != AtTimeout::Cut
    }

    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        if let Err(outcome) = self.take_away(world, scribe).await {
            return outcome;
        }
        let mut connections =
            Connections { asked: self.ask_to_reconnect(world, scribe).await, ..Connections::default() };
        if let Some(longest) = &self.drain.longest_job {
            return self.wait(world, scribe, longest).await;
        }
        // Users who follow a move late still come to the side that they left: for so long no zero says anything.
        let follow = world.routes.values().map(|route| route.followed_within()).max().unwrap_or_default();
        let begun = world.clock.elapsed();
        let mut within = self.drain.within.as_ref().map_or(Time::ZERO, |within| within.time);
        let passed = || world.clock.elapsed().saturating_sub(begun);
        let stack = self.drain.stack;
        let (mut zeros, mut last) = (0, Err("not read yet".to_string()));
        let mut cut: Option<Result<u64, String>> = None;
        loop {
            // A gauge that hangs may not take longer than the drain, or the step would be cut off as a failure.
            let patience = within.saturating_sub(passed()).max(TIMEOUT);
            let read = tokio::select! { biased;
                read = self.count(world) => read,
                () = world.clock.sleep(patience) => Err(format!("`{}` has not answered", self.drain.gauge)),
            };
            if let Ok(now) = read {
                connections.most = connections.most.max(now.held);
                connections.left = now.held;
            }
            last = read.map(Counted::left).or_else(|e| match last {
                // One lost reading is no news; the number before it stands.
                Ok(known) if zeros == 0 && known > 0 => Ok(known),
                _ => Err(e),
            });
            zeros = if last == Ok(0) { zeros + 1 } else { 0 };
            if zeros >= ZEROS && passed() >= follow {
                let took = passed();
                self.measured(scribe, Some(0), took, Some(connections));
                let line = format!("{stack} has no work in flight, after {}{}", spoken(took), told(cut.as_ref()));
                return Outcome::done(line).with(facts(took, "0"));
            }
            let left = within.saturating_sub(passed());
            if left.is_zero() && cut.is_none() && self.drain.at_timeout == AtTimeout::Cut {
                let ended = self.cut(world, scribe).await;
                connections.cut = *ended.as_ref().unwrap_or(&0);
                cut = Some(ended);
                within = passed() + CUT;
                continue;
            }
            if left.is_zero() {
                return self.time_is_up(scribe, &last, passed(), connections, &told(cut.as_ref()));
            }
            scribe.progress(Progress {
                done: passed().as_secs(),
                of: within.as_secs(),
                line: match (&last, follow.saturating_sub(passed())) {
                    (Ok(0), late) if !late.is_zero() => format!("users may come to {stack} for {} more", spoken(late)),
                    (Ok(n), _) => format!("{n} in flight on {stack}"),
                    (Err(why), _) => why.clone(),
                },
            });
            world.clock.sleep(EVERY.min(left)).await;
        }
    }
}

impl Draining {
    /// A bot without a gauge: its longest work has had the time it takes.
    async fn wait(&self, world: &World, scribe: &dyn Scribe, longest: &Duration) -> Outcome {
        let (begun, stack) = (world.clock.elapsed(), self.drain.stack);
        loop {
            let passed = world.clock.elapsed().saturating_sub(begun);
            let left = longest.time.saturating_sub(passed);
            if left.is_zero() {
                self.measured(scribe, None, passed, None);
                let line =
                    format!("{stack} had {} for work in flight, as long as its longest work takes", spoken(passed));
                return Outcome::done(line).with(facts(passed, "not asked"));
            }
            let line = format!("{} left for work on {stack}", spoken(left));
            scribe.progress(Progress { done: passed.as_secs(), of: longest.whole_seconds(), line });
            world.clock.sleep(EVERY.min(left)).await;
        }
    }

    /// The work in flight on all of them, or why it is not known. Connections that a route still holds to that side count too:
    /// of an open WebSocket the stack itself may know no work.
    async fn count(&self, world: &World) -> Result<Counted, String> {
        let mut work = 0;
        for url in &self.urls {
            work += self.of_one(world, url).await?;
        }
        let held = world.routes.values().map(|route| route.lingering(self.drain.stack));
        let held = join_all(held).await.into_iter().sum::<Result<u64, _>>();
        let held =
            held.map_err(|e| format!("what the route still holds of {} cannot be counted: {e}", self.drain.stack))?;
        Ok(Counted { work, held })
    }

    async fn of_one(&self, world: &World, url: &str) -> Result<u64, String> {
        let url = address(&world.secrets.resolve(url), &self.drain.gauge);
        let answer = world.web.exchange(Request::get(url, TIMEOUT)).await.map_err(|e| world.secrets.mask(&e.what))?;
        let gauge = &self.drain.gauge;
        if answer.status != 200 {
            return Err(format!("`{gauge}` answers {}", answer.status));
        }
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| format!("`{gauge}` gives no JSON"))?;
        value["inflight"].as_u64().ok_or_else(|| format!("`{gauge}` has no whole number `inflight`"))
    }

    fn measured(&self, scribe: &dyn Scribe, in_flight: Option<u64>, took: Time, connections: Option<Connections>) {
        scribe.observed(Evidence::DrainMeasured {
            step: self.id.clone(),
            stack: self.drain.stack.name().into(),
            in_flight: in_flight.map(|n| n.to_string()),
            after_ms: took.as_millis() as u64,
            // A drain that met none and asked none has nothing to say of them.
            connections: connections.filter(|found| *found != Connections::default()),
        });
    }

    fn time_is_up(
        &self,
        scribe: &dyn Scribe,
        last: &Result<u64, String>,
        took: Time,
        connections: Connections,
        cut: &str,
    ) -> Outcome {
        self.measured(scribe, last.as_ref().ok().copied(), took, Some(connections));
        let (stack, within) = (self.drain.stack, spoken(took));
        let residue = match last {
            Ok(0) => "0 seen only once".into(),
            Ok(n) => format!("{n} still in flight"),
            Err(e) => format!("work in flight unknown: {e}"),
        };
        let facts = facts(took, &residue);
        let line = match last {
            Ok(0) => format!(
                "{stack} had no work in flight, not twice or not for as long as users may follow late, within {within}"
            ),
            Ok(1) => format!("1 request was still in flight on {stack} after {within}"),
            Ok(n) => format!("{n} requests were still in flight on {stack} after {within}"),
            Err(e) => format!("what is in flight on {stack} is unknown after {within}: {e}"),
        };
        match self.drain.at_timeout {
            AtTimeout::Ask => Outcome::unknown(line),
            AtTimeout::Hold => {
                Outcome::failed(Cause::Timeout, format!("{line}; the runbook says hold")).wanting(Reaction::Hold)
            }
            AtTimeout::Cut => Outcome::failed(Cause::Timeout, format!("{line}{cut}")).wanting(Reaction::Hold),
            AtTimeout::Continue => Outcome::done(format!("{line}; the runbook says go on")),
            AtTimeout::RollBack => Outcome::failed(Cause::Timeout, format!("{line}; the runbook says roll back")),
        }
        .with(facts)
    }
}

/// What became of the cut, behind a line; nothing where none was due, or there was nothing to cut.
fn told(cut: Option<&Result<u64, String>>) -> String {
    match cut {
        None | Some(Ok(0)) => String::new(),
        Some(Ok(n)) => format!("; {} cut", counted(*n as usize, "connection")),
        Some(Err(why)) => format!("; {why}"),
    }
}

fn facts(took: Time, residue: &str) -> Value {
    json!({ "took_ms": took.as_millis().to_string(), "residue": residue })
}
