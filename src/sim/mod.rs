//! The simulated world: virtual time, scripted faults, and a crash at any boundary.
//!
//! Tests and rehearsals share it. It is pure and single-threaded: the same scenario gives the same journal to the byte.
//! Only what stands behind the traits of [`crate::world`] is simulated; the driver, the run machine and the steps are the
//! shipping ones.

mod journal;
mod people;
mod processes;
mod route;
mod time;
mod web;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

pub use journal::SimJournal;
pub use time::{Crashed, VirtualClock};

use async_trait::async_trait;

use crate::people::Command;
use crate::plan::{Color, Lane, Move, Plan, PlannedRoute, Split};
use crate::run::{Breach, Cause};
use crate::secret::Secrets;
use crate::world::{Blocked, Guards, Scribe, World};

/// What goes wrong, and what people do. Everything not said goes well.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What happens to writes, by their order; later ones go well.
    pub writes: Vec<Write>,
    /// How long a write needs to reach real responses.
    pub propagation: Duration,
    /// How long the provider says that a write whose answer was lost may still land.
    pub lands_within: Duration,
    /// A read shows the state of so long ago.
    pub staleness: Duration,
    /// Reads fail in this span of time.
    pub blind: Option<(Duration, Duration)>,
    /// From this moment no call on this route comes back.
    pub mute: Option<(Duration, String)>,
    /// From this moment green answers with errors.
    pub green_errors: Option<Duration>,
    /// From this moment the public address answers with this status and no version wherever green would, however healthy its targets
    /// are.
    pub green_unseen: Option<(Duration, u16)>,
    /// From this moment a side has no healthy target.
    pub green_down: Option<Duration>,
    pub blue_down: Option<Duration>,
    /// From each moment on a side has so many healthy targets on every route; None: nobody can say how many.
    pub health: Vec<(Duration, Color, Option<u32>)>,
    /// Somebody else writes this split at this moment, on the first route.
    pub foreign: Option<(Duration, Split)>,
    /// And sets back what was there before, this much later.
    pub mended: Option<Duration>,
    /// What an approver answers after a minute: yes, no, or nobody is there.
    pub approval: Option<bool>,
    /// What a person answers to every other question.
    pub person: Option<bool>,
    pub ahead: bool,
    /// Wishes of the operator.
    pub wishes: Vec<(Duration, Command)>,
    /// Somebody is being asked in this span of time whether users shall go back.
    pub question: Option<(Duration, Duration)>,
    /// A gate is breached during a wait, from this moment on.
    pub breach: Option<Duration>,
    /// The policy is another from this moment on.
    pub other_rules: Option<Duration>,
    /// Forward moves are frozen in this span of time.
    pub frozen: Option<(Duration, Duration)>,
    /// The credentials (or the signing key) do not suffice for going forward in this span of time.
    pub unfit: Option<(Duration, Duration)>,
    /// Another process has taken the lease at this moment: this one may move nobody, not even back.
    pub lease_lost: Option<Duration>,
    /// The journal cannot be written from this append on.
    pub disk_full_at: Option<u32>,
    /// What was not synced when a process dies may be gone.
    pub disk: Disk,
    /// No page is delivered.
    pub pager_down: bool,
    pub automatic_used: u32,
    /// Until this moment three requests are in flight on each stack.
    pub busy: Option<Duration>,
    /// The program `ready` fails, and changes nothing.
    pub ready_fails: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            writes: Vec::new(),
            propagation: Duration::from_millis(300),
            lands_within: Duration::from_secs(15),
            staleness: Duration::ZERO,
            blind: None,
            mute: None,
            green_errors: None,
            green_unseen: None,
            green_down: None,
            question: None,
            other_rules: None,
            blue_down: None,
            foreign: None,
            mended: None,
            approval: Some(true),
            person: Some(true),
            ahead: false,
            wishes: Vec::new(),
            breach: None,
            health: Vec::new(),
            frozen: None,
            unfit: None,
            lease_lost: None,
            disk_full_at: None,
            disk: Disk::Keeps,
            pager_down: false,
            automatic_used: 0,
            busy: None,
            ready_fails: false,
        }
    }
}

/// What a disk does with records that were written and not synced when the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Keeps,
    /// Loses or keeps them by the dice of this seed.
    Drops(u64),
    /// The same, under a journal that leaves its syncs out.
    Unsynced(u64),
}

/// The fate of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Applied,
    /// Applied, and the reply is lost.
    ReplyLost,
    /// Not applied, and the reply is lost.
    Lost,
    /// The reply is lost and the write lands this much later.
    Late(Duration),
    Throttled,
    Denied,
}

/// What a run did to the world, or learned of it, in the order it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Saw {
    /// So many healthy targets; None: it could not be read.
    Health { route: String, stack: Color, healthy: Option<u32> },
    /// Whether anything forbade going forward.
    Guards { forward_blocked: bool },
    /// A write was sent; what became of it stands in the history of the route.
    Sent { route: String, from: Split, to: Split },
}

/// The provider's side of one route.
struct Place {
    /// Every split that was ever in force, with its moment.
    history: Vec<(Duration, Split)>,
    /// Writes on their way.
    late: Vec<(Duration, Split)>,
    /// Where real responses of it are seen.
    url: Option<String>,
}

/// A world under test. Survives the crash of a run: the provider and the people go on.
pub struct Sim {
    pub scenario: Scenario,
    pub clock: Rc<VirtualClock>,
    places: RefCell<BTreeMap<String, Place>>,
    pub saw: RefCell<Vec<(Duration, Saw)>>,
    writes: Cell<usize>,
    pub pages: RefCell<Vec<String>>,
    wishes: Cell<usize>,
    /// Effects that leave no trace, by their name: each must happen at most once.
    pub effects: RefCell<Vec<String>>,
    versions: [String; 2],
    /// What the program `unready` has taken from its load balancer, until `ready` gives it back.
    taken: RefCell<BTreeSet<String>>,
}

impl Sim {
    pub fn new(plan: &Plan, scenario: Scenario) -> Rc<Self> {
        let place = |planned: &PlannedRoute| Place {
            history: vec![(Duration::ZERO, planned.before)],
            late: Vec::new(),
            url: planned.seen_at.as_ref().map(|seen| seen.url.clone()),
        };
        let places = plan.routes.iter().map(|(name, planned)| (name.clone(), place(planned))).collect();
        Rc::new(Sim {
            scenario,
            clock: Rc::new(VirtualClock::default()),
            places: RefCell::new(places),
            saw: RefCell::default(),
            writes: Cell::new(0),
            pages: RefCell::default(),
            wishes: Cell::new(0),
            effects: RefCell::default(),
            taken: RefCell::default(),
            versions: [plan.blue.version.clone(), plan.green.version.clone()],
        })
    }

    /// The world as a run sees it.
    pub fn world(self: &Rc<Self>, plan: &Plan) -> World {
        let mut routes: BTreeMap<String, Rc<dyn crate::routers::TrafficRouter>> = BTreeMap::new();
        for (name, planned) in &plan.routes {
            routes.insert(
                name.clone(),
                Rc::new(route::SimRoute { sim: self.clone(), name: name.clone(), line: planned.line.clone() }),
            );
        }
        World {
            clock: self.clock.clone(),
            routes,
            web: Rc::new(web::SimWeb { sim: self.clone() }),
            processes: Rc::new(processes::SimProcesses { sim: self.clone() }),
            store: Rc::new(crate::world::NoStore),
            database: Rc::new(crate::world::NoDatabase),
            metrics: Rc::new(crate::world::NoMetrics),
            guards: Rc::new(SimGuards(self.clone())),
            overrides: Default::default(),
            beforehand: Default::default(),
            secrets: Secrets::default(),
        }
    }

    /// The split of the first route in force at the provider now, late writes included.
    pub fn split(&self) -> Split {
        let first = self.places.borrow().keys().next().cloned();
        first.map_or(Split::ALL_BLUE, |route| self.split_of(&route))
    }

    /// The split of a route in force at the provider now.
    pub fn split_of(&self, route: &str) -> Split {
        self.catch_up();
        self.places.borrow().get(route).and_then(|place| place.history.last()).map_or(Split::ALL_BLUE, |last| last.1)
    }

    /// Every split of a route that was ever in force, with its moment.
    pub fn history(&self, route: &str) -> Vec<(Duration, Split)> {
        self.catch_up();
        self.places.borrow().get(route).map(|place| place.history.clone()).unwrap_or_default()
    }

    /// Lets happen what is due by now without anybody's doing.
    fn catch_up(&self) {
        let now = self.clock.time();
        for (n, place) in self.places.borrow_mut().values_mut().enumerate() {
            let mut due: Vec<(Duration, Split)> = place.late.extract_if(.., |write| write.0 <= now).collect();
            if let Some((at, split)) = self.scenario.foreign
                && n == 0
                && at <= now
                && !place.history.contains(&(at, split))
            {
                due.push((at, split));
            }
            if let (Some((at, split)), Some(after)) = (self.scenario.foreign, self.scenario.mended)
                && n == 0
                && at + after <= now
                && place.history.last() == Some(&(at, split))
                && let Some((_, before)) = place.history.iter().rev().nth(1)
            {
                due.push((at + after, *before));
            }
            due.sort_by_key(|write| write.0);
            place.history.extend(due);
        }
    }

    /// The split of a route that was in force so long ago.
    fn split_ago(&self, route: &str, ago: Duration) -> Split {
        self.catch_up();
        let then = self.clock.time().saturating_sub(ago);
        let places = self.places.borrow();
        let history = places.get(route).map_or(&[][..], |place| &place.history);
        let found = history.iter().rev().find(|h| h.0 <= then).or(history.last());
        found.map_or(Split::ALL_BLUE, |h| h.1)
    }

    /// The route whose responses are seen at an address.
    fn seen_at(&self, url: &str) -> Option<String> {
        let places = self.places.borrow();
        let named = places.iter().find(|(_, place)| place.url.as_deref() == Some(url)).or_else(|| places.iter().next());
        named.map(|(name, _)| name.clone())
    }

    /// How many targets of a side are healthy now; None: nobody can say.
    fn healthy(&self, stack: Color) -> Option<u32> {
        let down = match stack {
            Color::Blue => self.scenario.blue_down,
            Color::Green => self.scenario.green_down,
        };
        if self.taken.borrow().contains(stack.name()) {
            return Some(0);
        }
        let said = self.scenario.health.iter().filter(|(at, of, _)| *of == stack && self.is(Some(*at)));
        if self.is(down) { Some(0) } else { said.last().map_or(Some(2), |(_, _, healthy)| *healthy) }
    }

    fn saw(&self, what: Saw) {
        self.saw.borrow_mut().push((self.clock.time(), what));
    }

    fn within(&self, span: Option<(Duration, Duration)>) -> bool {
        span.is_some_and(|(from, to)| (from..to).contains(&self.clock.time()))
    }

    fn is(&self, since: Option<Duration>) -> bool {
        since.is_some_and(|at| at <= self.clock.time())
    }
}

/// The guards of the scenario: its freeze, its credentials, its lease.
pub struct SimGuards(pub Rc<Sim>);

impl SimGuards {
    fn forward(&self) -> Option<Blocked> {
        let sim = &self.0;
        let blocked = |cause, line: &str| Some(Blocked { cause, line: line.into() });
        match () {
            () if sim.is(sim.scenario.lease_lost) => blocked(Cause::Guard, "another process holds the lease"),
            () if sim.within(sim.scenario.frozen) => blocked(Cause::Frozen, "forward moves are frozen"),
            () if sim.within(sim.scenario.unfit) => blocked(Cause::Guard, "the credentials end before users were back"),
            () => None,
        }
    }
}

#[async_trait(?Send)]
impl Guards for SimGuards {
    async fn blocks(&self, _: &Move, lane: Lane) -> Option<Blocked> {
        let blocked = self.forward();
        self.0.saw(Saw::Guards { forward_blocked: blocked.is_some() });
        blocked.filter(|_| lane == Lane::Forward || self.0.is(self.0.scenario.lease_lost))
    }

    async fn forbids(&self) -> Option<Blocked> {
        let blocked = self.forward();
        self.0.saw(Saw::Guards { forward_blocked: blocked.is_some() });
        blocked
    }

    fn went_back(&self, cause: &str) -> Option<(String, String)> {
        Some(("the service".into(), format!("frozen after this rollback: {cause}")))
    }
}

/// Watches the scenario's breach during waits.
pub struct SimWatch(pub Rc<Sim>);

#[async_trait(?Send)]
impl crate::drive::Watch for SimWatch {
    async fn breach(&self, _: &World, _: &dyn Scribe) -> Breach {
        use crate::clock::Clock;
        match self.0.scenario.breach {
            Some(at) => {
                self.0.clock.sleep(at.saturating_sub(self.0.clock.time())).await;
                Breach::new(Cause::Gate, "a gate was breached during the wait")
            }
            None => std::future::pending().await,
        }
    }
}
