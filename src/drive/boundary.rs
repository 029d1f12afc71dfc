//! What stands in the way of going forward: other rules, a guard, or a split that is not what this run has left. Looked for at
//! each boundary of the forward lane and all through its waits.
//!
//! It only says what it found. What follows is for the run machine: a stop, a pause, or a halt.

use std::time::Duration;

use super::Driver;
use crate::plan::{Lane, Move, Split, StepRef};
use crate::run::{Breach, Cause, Doing, Event, Next};
use crate::world::{Blocked, Scribe};

/// How often a wait looks, and how long a look at the splits counts.
const EVERY: Duration = Duration::from_secs(5);
pub(super) const COUNTS: Duration = Duration::from_secs(15);
/// A reading can be older than our own last write, so a strange split is read once more before it is believed.
const AGAIN: Duration = Duration::from_secs(2);
/// A split that could not be read for this long is unknown, and unknown forbids going forward.
const UNREAD: Duration = Duration::from_secs(60);
/// Naming who moved users may take so long and no longer.
const NAMING: Duration = Duration::from_secs(5);

/// What ends a wait.
pub(super) enum Trip {
    Blocked(Breach),
    /// A write of this run has landed late: the fact that says so.
    Landed(Box<Event>),
}

impl Trip {
    /// The wait at a step ends so.
    pub(super) fn at(self, step: StepRef) -> Event {
        match self {
            Trip::Blocked(breach) => breach.at(step),
            Trip::Landed(event) => *event,
        }
    }
}

impl Driver<'_> {
    /// Nothing is asked for or begun forward under other rules than the owner signed for, or past a guard. Going back is not
    /// asked.
    pub(super) async fn at_boundary(&self, next: &Next) -> Option<Event> {
        if let Some(breach) = self.before(next).await {
            return Some(breach.at(self.state.at()));
        }
        let boundary = matches!(next, Next::Request(_) | Next::Await(_) | Next::Attempt(..));
        if !boundary || self.state.lane != Lane::Forward || !matches!(self.state.doing, Doing::Ready { .. }) {
            return None;
        }
        if let Some(line) = self.run.rules.changed() {
            return Some(Breach::new(Cause::Rules, line).at(self.state.at()));
        }
        let begins = matches!(next, Next::Attempt(..));
        // A shift compares before it writes, so directly before one nothing need be read.
        let compares = begins && self.change().is_some() && self.state.doubts.is_empty();
        let strange = if compares || self.state.righting.is_some() { None } else { self.strange().await };
        if let Some(trip) = strange {
            return Some(trip.at(self.state.at()));
        }
        let blocked = self.guarded(begins).await?;
        Some(Breach::new(blocked.cause, blocked.line).at(self.state.at()))
    }

    /// Comes back only when something stands in the way while the run waits.
    pub(super) async fn trips(&self) -> Trip {
        tokio::select! { biased;
            trip = self.tripped() => trip,
            unwell = self.ailing() => Trip::Blocked(unwell),
        }
    }

    async fn tripped(&self) -> Trip {
        loop {
            self.run.world.clock.sleep(EVERY).await;
            if let Some(trip) = self.strange().await {
                return trip;
            }
            if let Some(blocked) = self.guarded(false).await {
                return Trip::Blocked(Breach::new(blocked.cause, blocked.line));
            }
        }
    }

    /// Comes back only when somebody else has moved users, or a side that has them cannot carry them.
    pub(super) async fn drifts(&self) -> Breach {
        tokio::select! { biased;
            drift = self.moved_away() => drift,
            unwell = self.side_fails() => unwell,
        }
    }

    async fn moved_away(&self) -> Breach {
        loop {
            self.run.world.clock.sleep(EVERY).await;
            if let Some(Trip::Blocked(breach)) = self.strange().await
                && breach.cause == Cause::Drift
            {
                return breach;
            }
        }
    }

    /// What stands in the way of a paused run now; an error where that cannot be said.
    pub(super) async fn obstacle(&self) -> Result<Option<Blocked>, String> {
        match self.look().await? {
            Some(Trip::Blocked(drift)) => Ok(Some(Blocked { cause: drift.cause, line: drift.line })),
            // A late write of this run is set right once the way is free.
            Some(Trip::Landed(_)) | None => match self.guarded(true).await {
                None => self.sides_known().await,
                blocked => Ok(blocked),
            },
        }
    }

    /// The change the step at hand makes.
    fn change(&self) -> Option<&Move> {
        self.run.plan.forward.get(self.state.index).and_then(|step| step.moves.as_ref())
    }

    /// What a guard says. `begins`: the step at hand is about to begin, so what only it needs is asked as well.
    async fn guarded(&self, begins: bool) -> Option<Blocked> {
        let guards = &self.run.world.guards;
        // A freeze is against moves: where none is left to come, a bake or a drain may end in peace.
        if self.state.moves_on(self.run.plan)
            && let Some(blocked) = guards.forbids().await
        {
            return Some(blocked);
        }
        match self.change().filter(|_| begins) {
            Some(change) => guards.blocks(change, Lane::Forward).await,
            None => None,
        }
    }

    /// A split that is not this run's doing, or that could not be read for too long. Asks the provider now and then only.
    async fn strange(&self) -> Option<Trip> {
        let now = self.run.world.clock.elapsed();
        let good = self.seen.get();
        if now.saturating_sub(good) < COUNTS {
            return None;
        }
        let why = match self.look().await {
            Ok(found) => return found,
            Err(why) => why,
        };
        let dark = self.run.world.clock.elapsed().saturating_sub(good);
        let line = || format!("where users are is not known for {}s: {why}", dark.as_secs());
        // Before anybody has moved, the first shift finds that out by itself.
        let blocked = || Trip::Blocked(Breach::new(Cause::Guard, line()));
        (self.state.moved && dark >= UNREAD).then(blocked)
    }

    /// Reads every route: somebody else's doing, if any is found, or what this run has left late.
    async fn look(&self) -> Result<Option<Trip>, String> {
        for (name, planned) in &self.run.plan.routes {
            if self.read(name).await?.is_none() {
                continue;
            }
            self.run.world.clock.sleep(AGAIN).await;
            let Some(found) = self.read(name).await? else { continue };
            if let Some(landed) = self.landed(name, found, &planned.line) {
                return Ok(Some(Trip::Landed(Box::new(landed))));
            }
            let ours = self.state.written(self.run.plan, name).last().copied().unwrap_or(planned.before);
            let writer = self.writer(name).await;
            let line = format!("{} reads {found}, and this run left it at {ours}{writer}", planned.line);
            return Ok(Some(Trip::Blocked(Breach::new(Cause::Drift, line))));
        }
        self.seen.set(self.run.world.clock.elapsed());
        Ok(None)
    }

    /// The fact that a write of this run whose answer was lost has moved users off where it had left them.
    fn landed(&self, route: &str, found: Split, place: &str) -> Option<Event> {
        let step = self.state.landed_late(self.run.plan, route, found)?;
        let line = format!("{place} reads {found}: a write of this run whose answer was lost has landed");
        Some(Event::WriteLanded { step, id: self.id_of(step), found, line })
    }

    /// The split of a route, if it is none of this run's own.
    async fn read(&self, name: &str) -> Result<Option<Split>, String> {
        let route = self.run.world.route(name);
        if route.changes_by_itself() {
            return Ok(None);
        }
        let reading = route.read().await.map_err(|error| format!("{} cannot be read ({error})", route.line()))?;
        let split = reading.split;
        self.desk.seen(name, split);
        // A change of our own that was cut off is for the step that goes on with it.
        if route.cut_off(&reading, self.state.under_way(self.run.plan, name)) {
            return Ok(None);
        }
        Ok(Some(split).filter(|split| !self.state.written(self.run.plan, name).contains(split)))
    }

    /// Who moved it, where the provider can say in time.
    async fn writer(&self, name: &str) -> String {
        let writer = tokio::select! { biased;
            writer = self.run.world.route(name).writer() => writer,
            () = self.run.world.clock.sleep(NAMING) => None,
        };
        writer.map_or_else(String::new, |writer| format!("; {writer}"))
    }
}
