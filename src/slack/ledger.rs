//! The ledger of a bake: synthetic events with known ids go the way of Slack's own, through the public address, and each is
//! accounted for: handled once, lost, or twice, and by which stack.
//!
//! It says what no metric says. The events are of a reserved type that no handler of users knows; who handled one is read
//! from the store both stacks share. Slack's retries are kept in their order but come sooner, so that a bake can end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deliveries::handled_key;
use super::paths::Door;
use super::request;
use super::settings::{Public, Smoke};
use super::suite::{Session, Suite};
use crate::diag::Review;
use crate::plan::{Color, Plan};
use crate::run::{Evidence, Verdict};
use crate::world::{Scribe, World, address};

/// The waits before the retries. A lease may last up to a minute, Slack's own second retry comes after one.
const RETRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_secs(5), Duration::from_secs(15)];
/// The longest the last deliveries may take once the bake's time is up.
pub const SETTLE: Duration = Duration::from_secs(40);

/// Synthetic events through the public address, each accounted for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Where Slack itself would post: `https://bot.example.com`.
    #[schemars(extend("format" = "http-url"))]
    pub url: String,
    /// Events a second; 1 when left out.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub per_second: u32,
}

fn one() -> u32 {
    1
}

impl Ledger {
    pub fn review(&self, review: &mut Review, plan: &Plan) {
        review.between("/ledger/per_second", self.per_second, 1, 20);
        if plan.slack.as_ref().is_none_or(|slack| slack["dedup"]["redis"].is_null()) {
            let help =
                "add `slack.dedup: { redis: …, key: … }`; `bgctl explain bot-contract` shows what the bots note there";
            review.wrong("/ledger", "without the shared store it is not known who handled an event", Some(help));
        }
    }

    pub fn suite(&self, plan: &Plan) -> Suite {
        let public = Public { url: self.url.clone(), headers: BTreeMap::new() };
        Suite::new(&Smoke::through(public), plan)
    }
}

/// What became of the events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub once: [usize; 2],
    pub lost: Vec<String>,
    pub twice: Vec<String>,
    pub retries: u32,
}

impl Tally {
    fn count(events: &[String], lists: Vec<Vec<String>>, retries: u32) -> Tally {
        let mut tally = Tally { retries, ..Tally::default() };
        for (event, by) in events.iter().zip(lists) {
            match by.len() {
                0 => tally.lost.push(event.clone()),
                1 => tally.once[usize::from(by[0] == Color::Green.name())] += 1,
                _ => tally.twice.push(format!("{event} by {}", by.join(" and "))),
            }
        }
        tally
    }

    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.twice.is_empty()
    }

    pub fn line(&self) -> String {
        let [blue, green] = self.once;
        let sent = blue + green + self.lost.len() + self.twice.len();
        let mut line = format!(
            "ledger: {sent} events = handled once {} · lost {} · twice {} (by BLUE {blue}, by GREEN {green}, {} retries)",
            blue + green,
            self.lost.len(),
            self.twice.len(),
            self.retries
        );
        for (what, ids) in [("lost", &self.lost), ("twice", &self.twice)] {
            if let Some(first) = ids.first() {
                line += &format!("; {what} first: {first}");
            }
        }
        line
    }
}

/// The events of one bake, as they are sent.
pub struct Sending<'a> {
    session: Session<'a>,
    url: String,
    every: Duration,
    events: RefCell<Vec<String>>,
    retries: Cell<u32>,
}

impl<'a> Sending<'a> {
    pub fn new(ledger: &Ledger, suite: &'a Suite, world: &'a World) -> Self {
        let session = suite.open(world);
        let url = address(&world.secrets.resolve(&ledger.url), suite.paths.of(Door::Events));
        let every = Duration::from_secs(1) / ledger.per_second.max(1);
        Sending { session, url, every, events: RefCell::default(), retries: Cell::default() }
    }

    /// Sends until `stop`, then waits for the last answers.
    pub async fn send(&self, stop: &Cell<bool>) {
        let clock = &self.session.world.clock;
        let mut open = FuturesUnordered::new();
        while !stop.get() {
            open.push(self.deliver());
            let next = clock.elapsed() + self.every;
            while let left = next.saturating_sub(clock.elapsed())
                && !left.is_zero()
            {
                tokio::select! {
                    () = clock.sleep(left) => {}
                    Some(()) = open.next() => {}
                }
            }
        }
        let end = clock.elapsed() + SETTLE;
        while !open.is_empty() && clock.elapsed() < end {
            tokio::select! {
                () = clock.sleep(end.saturating_sub(clock.elapsed())) => {}
                Some(()) = open.next() => {}
            }
        }
    }

    /// One event, with Slack's retries.
    async fn deliver(&self) {
        let event = self.session.event_id();
        self.events.borrow_mut().push(event.clone());
        let body = self.session.suite.from.event(&event, self.session.now(), 0);
        let mut waits = RETRIES.iter();
        for number in 0.. {
            let (now, secret) = (self.session.now(), &self.session.secret);
            let mut request = request::signed(&self.url, &body, secret, now, self.session.suite.within);
            if number > 0 {
                self.retries.set(self.retries.get() + 1);
                request = request::retried(&request, number, "http_error");
            }
            // As Slack's own: each delivery lets the load balancer choose anew.
            request.fresh = true;
            if self.session.send(request).await.is_ok_and(|answer| (200..300).contains(&answer.status)) {
                return;
            }
            let Some(wait) = waits.next() else { return };
            self.session.world.clock.sleep(*wait).await;
        }
    }

    /// Reads who handled what. Work that was acked before it was done gets a moment.
    pub async fn tally(&self) -> Result<Tally, String> {
        let world = self.session.world;
        let Some(place) = &self.session.suite.dedup else { return Err("no store is named".into()) };
        let url = world.secrets.resolve(&place.redis);
        let events = self.events.borrow().clone();
        let keys: Vec<String> = events.iter().map(|event| handled_key(event)).collect();
        let mut tally = Tally::default();
        for _ in 0..5 {
            let lists = world.store.lists(&url, &keys).await.map_err(|what| world.secrets.mask(&what))?;
            tally = Tally::count(&events, lists, self.retries.get());
            if tally.lost.is_empty() {
                break;
            }
            world.clock.sleep(Duration::from_secs(1)).await;
        }
        Ok(tally)
    }

    /// The count as a record.
    pub fn evidence(&self, step: &str, tally: &Result<Tally, String>, ms: u64) -> Evidence {
        let (verdict, line) = match tally {
            Ok(tally) if tally.is_clean() => (Verdict::Pass, tally.line()),
            Ok(tally) => (Verdict::Fail, tally.line()),
            Err(why) => (Verdict::Unknown, format!("ledger: not counted: {why}")),
        };
        Evidence::CheckDone { step: step.into(), check: "ledger".into(), verdict, ms, line }
    }
}

/// Writes the count down, and gives it back.
pub async fn close(sending: &Sending<'_>, step: &str, scribe: &dyn Scribe, begun: Duration) -> Result<Tally, String> {
    let tally = sending.tally().await;
    let ms = sending.session.world.clock.elapsed().saturating_sub(begun).as_millis() as u64;
    scribe.observed(sending.evidence(step, &tally, ms));
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_in_one_place() {
        let events: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
        let by = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let lists = vec![by(&["blue"]), by(&["green"]), by(&[]), by(&["blue", "green"])];
        let tally = Tally::count(&events, lists, 3);
        assert!(!tally.is_clean());
        assert_eq!(
            tally.line(),
            "ledger: 4 events = handled once 2 · lost 1 · twice 1 (by BLUE 1, by GREEN 1, 3 retries); lost first: c; \
             twice first: d by blue and green"
        );
    }
}
