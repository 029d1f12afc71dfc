//! The ledger of a bake: synthetic events with known ids go the way of Slack's own, through the public address, and each is
//! accounted for: handled once, lost, or twice, and by which stack.
//!
//! It says what no metric says. The events are of a reserved type that no handler of users knows; who handled one is read
//! from the store both stacks share. Slack's retries are kept in their order but come sooner, so that a bake can end.
//!
//! The store is looked at all the time. Where it was away, or has lost what it held, what is missing is not known to be lost.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deliveries::handled_key;
use super::notes::Notes;
use super::paths::Door;
use super::request;
use super::settings::{Public, Smoke};
use super::suite::{Session, Suite};
use crate::diag::Review;
use crate::plan::{Color, Plan};
use crate::run::{Evidence, Verdict};
use crate::scalar::spoken;
use crate::world::{Scribe, World, address};

/// The waits before the retries. A lease may last up to a minute, Slack's own second retry comes after one.
const RETRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_secs(5), Duration::from_secs(15)];
/// The longest the last deliveries may take once the bake's time is up.
const DELIVERED: Duration = Duration::from_secs(40);
/// The longest a store is waited for that gives no answer when the events are counted: a failover takes less.
const RECOUNT: Duration = Duration::from_secs(60);
/// The longest a bake may take for its ledger once its time is up.
pub const SETTLE: Duration = DELIVERED.saturating_add(RECOUNT);
/// Between two looks into the store.
const LOOK: Duration = Duration::from_secs(1);
/// Work that was acked before it was done gets this long.
const WORK: Duration = Duration::from_secs(5);
/// An event without a note is looked for this long: its last retry, and a moment for its work.
const OPEN: Duration = Duration::from_secs(60);

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
    /// Nobody noted them, and the store may be why.
    pub unknown: Vec<String>,
    /// How many events the store listed once and does not any more.
    pub forgotten: usize,
    pub away: Duration,
    pub retries: u32,
}

impl Tally {
    fn count(events: &[Event], notes: &Notes, retries: u32, now: Duration) -> Tally {
        let mut tally = Tally { retries, forgotten: notes.forgotten(), away: notes.away(), ..Tally::default() };
        for Event { id, sent, ended } in events {
            let by = notes.by(id);
            match by.len() {
                0 if notes.in_doubt(*sent, ended.map_or(now, |ended| ended + WORK)) => tally.unknown.push(id.clone()),
                0 => tally.lost.push(id.clone()),
                1 => tally.once[usize::from(by[0] == Color::Green.name())] += 1,
                _ => tally.twice.push(format!("{id} by {}", by.join(" and "))),
            }
        }
        tally
    }

    /// What is missing while the store was away is no fail, and a store that has lost its notes is no pass.
    pub fn verdict(&self) -> Verdict {
        match self {
            _ if !self.lost.is_empty() || !self.twice.is_empty() => Verdict::Fail,
            _ if !self.unknown.is_empty() || self.forgotten > 0 => Verdict::Unknown,
            _ => Verdict::Pass,
        }
    }

    pub fn line(&self) -> String {
        let [blue, green] = self.once;
        let sent = blue + green + self.lost.len() + self.twice.len() + self.unknown.len();
        let unknown = match self.unknown.len() {
            0 => String::new(),
            n => format!(" · not known {n}"),
        };
        let mut line = format!(
            "ledger: {sent} events = handled once {} · lost {} · twice {}{unknown} (by BLUE {blue}, by GREEN {green}, {} \
             retries)",
            blue + green,
            self.lost.len(),
            self.twice.len(),
            self.retries
        );
        for (what, ids) in [("lost", &self.lost), ("twice", &self.twice), ("not known", &self.unknown)] {
            if let Some(first) = ids.first() {
                line += &format!("; {what} first: {first}");
            }
        }
        if !self.away.is_zero() {
            line += &format!("; the store gave no answer for {}", spoken(self.away));
        }
        if self.forgotten > 0 {
            line += &format!(
                "; the store has lost its notes of {} events: it does not keep what it is given",
                self.forgotten
            );
        }
        line
    }
}

/// One event on its way.
#[derive(Debug)]
struct Event {
    id: String,
    sent: Duration,
    /// When its last delivery was over.
    ended: Option<Duration>,
}

/// The events of one bake, as they are sent.
pub struct Sending<'a> {
    session: Session<'a>,
    url: String,
    every: Duration,
    events: RefCell<Vec<Event>>,
    notes: RefCell<Notes>,
    retries: Cell<u32>,
}

impl<'a> Sending<'a> {
    pub fn new(ledger: &Ledger, suite: &'a Suite, world: &'a World) -> Self {
        let session = suite.open(world);
        let url = address(&world.secrets.resolve(&ledger.url), suite.paths.of(Door::Events));
        let every = Duration::from_secs(1) / ledger.per_second.max(1);
        let notes = RefCell::new(Notes::new(world.clock.elapsed()));
        Sending { session, url, every, events: RefCell::default(), notes, retries: Cell::default() }
    }

    /// Sends until `stop`, then waits for the last answers. The store is looked at meanwhile.
    pub async fn send(&self, stop: &Cell<bool>) {
        tokio::select! {
            () = self.deliver_all(stop) => {}
            never = self.look_on() => match never {},
        }
    }

    async fn deliver_all(&self, stop: &Cell<bool>) {
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
        let end = clock.elapsed() + DELIVERED;
        while !open.is_empty() && clock.elapsed() < end {
            tokio::select! {
                () = clock.sleep(end.saturating_sub(clock.elapsed())) => {}
                Some(()) = open.next() => {}
            }
        }
    }

    /// Reads the notes of what is on its way, so that it is known when the store is away and what it has listed before.
    async fn look_on(&self) -> Infallible {
        let clock = &self.session.world.clock;
        loop {
            clock.sleep(LOOK).await;
            let recent = clock.elapsed().saturating_sub(OPEN);
            let open = |event: &&Event| event.sent >= recent && self.notes.borrow().by(&event.id).is_empty();
            let ids = self.events.borrow().iter().filter(open).map(|event| event.id.clone()).collect();
            // That it failed is noted; why is only told where the events cannot be counted at all.
            let _ = self.look(ids).await;
        }
    }

    /// One look into the store.
    async fn look(&self, ids: Vec<String>) -> Result<(), String> {
        let world = self.session.world;
        let Some(place) = &self.session.suite.dedup else { return Err("no store is named".into()) };
        let url = world.secrets.resolve(&place.redis);
        let keys: Vec<String> = ids.iter().map(|id| handled_key(id)).collect();
        let asked = world.clock.elapsed();
        match world.store.lists(&url, &keys).await {
            Ok(lists) => {
                self.notes.borrow_mut().read(asked, ids.iter().map(String::as_str).zip(lists));
                Ok(())
            }
            Err(what) => {
                self.notes.borrow_mut().silent();
                Err(world.secrets.mask(&what))
            }
        }
    }

    /// One event, with Slack's retries.
    async fn deliver(&self) {
        let event = self.session.event_id();
        let sent = self.session.world.clock.elapsed();
        let n = self.events.borrow().len();
        self.events.borrow_mut().push(Event { id: event.clone(), sent, ended: None });
        self.attempts(&event).await;
        self.events.borrow_mut()[n].ended = Some(self.session.world.clock.elapsed());
    }

    async fn attempts(&self, event: &str) {
        let body = self.session.suite.from.event(event, self.session.now(), 0);
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

    /// Reads who handled what. Work that was acked before it was done gets a moment, and so does a store that is away.
    pub async fn tally(&self) -> Result<Tally, String> {
        let clock = &self.session.world.clock;
        let end = clock.elapsed() + RECOUNT;
        let ids: Vec<String> = self.events.borrow().iter().map(|event| event.id.clone()).collect();
        let mut moments = 1..WORK.as_secs();
        loop {
            match self.look(ids.clone()).await {
                Ok(()) => {
                    let (events, notes) = (self.events.borrow(), self.notes.borrow());
                    let tally = Tally::count(&events, &notes, self.retries.get(), clock.elapsed());
                    if tally.lost.is_empty() && tally.unknown.is_empty() || moments.next().is_none() {
                        return Ok(tally);
                    }
                }
                Err(why) if clock.elapsed() >= end => {
                    return Err(format!("{why}, and none came for {}", spoken(RECOUNT)));
                }
                Err(_) => {}
            }
            clock.sleep(LOOK).await;
        }
    }

    /// The count as a record.
    pub fn evidence(&self, step: &str, tally: &Result<Tally, String>, ms: u64) -> Evidence {
        let (verdict, line) = match tally {
            Ok(tally) => (tally.verdict(), tally.line()),
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
        let at = Duration::from_secs;
        let event = |id: &str, sent| Event { id: id.into(), sent: at(sent), ended: Some(at(sent)) };
        let events = [event("a", 1), event("b", 2), event("c", 3), event("d", 4), event("e", 8)];
        let by = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let mut notes = Notes::new(at(0));
        notes.read(at(6), [("a", by(&["blue"])), ("b", by(&["green"])), ("c", by(&[])), ("d", by(&["blue", "green"]))]);
        let tally = Tally::count(&events[..4], &notes, 3, at(9));
        assert_eq!(tally.verdict(), Verdict::Fail);
        assert_eq!(
            tally.line(),
            "ledger: 4 events = handled once 2 · lost 1 · twice 1 (by BLUE 1, by GREEN 1, 3 retries); lost first: c; \
             twice first: d by blue and green"
        );
        notes.silent();
        notes.read(at(9), []);
        let tally = Tally::count(&[event("a", 1), event("e", 8)], &notes, 0, at(9));
        assert_eq!(tally.verdict(), Verdict::Unknown);
        assert!(tally.line().ends_with("not known first: e; the store gave no answer for 3s"), "{}", tally.line());
    }
}
