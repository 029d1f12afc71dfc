//! The simulated world: virtual time, scripted faults, and a crash at any boundary.
//!
//! Tests and rehearsals share it. It is pure and single-threaded: the same scenario gives the same journal to the byte.
//! Only what stands behind the traits of [`crate::world`] is simulated; the driver, the run machine and the steps are the
//! shipping ones.

mod journal;
mod people;
mod route;
mod time;
mod web;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub use journal::SimJournal;
pub use time::{Crashed, VirtualClock};

use async_trait::async_trait;

use crate::people::Command;
use crate::plan::{Lane, Move, Plan, Split};
use crate::run::Cause;
use crate::secret::Secrets;
use crate::world::{self, Blocked, Guards, Processes, Scribe, World};

/// What goes wrong, and what people do. Everything not said goes well.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What happens to writes, by their order; later ones go well.
    pub writes: Vec<Write>,
    /// How long a write needs to reach real responses.
    pub propagation: Duration,
    /// A read shows the state of so long ago.
    pub staleness: Duration,
    /// Reads fail in this span of time.
    pub blind: Option<(Duration, Duration)>,
    /// From this moment green answers with errors.
    pub green_errors: Option<Duration>,
    /// From this moment a side has no healthy target.
    pub green_down: Option<Duration>,
    pub blue_down: Option<Duration>,
    /// Somebody else writes this split at this moment.
    pub foreign: Option<(Duration, Split)>,
    /// What an approver answers after a minute: yes, no, or nobody is there.
    pub approval: Option<bool>,
    /// What a person answers to every other question.
    pub person: Option<bool>,
    pub ahead: bool,
    /// Wishes of the operator.
    pub wishes: Vec<(Duration, Command)>,
    /// A gate is breached during a wait, from this moment on.
    pub breach: Option<Duration>,
    /// The policy is another from this moment on.
    pub other_rules: Option<Duration>,
    /// Forward moves are frozen in this span of time.
    pub frozen: Option<(Duration, Duration)>,
    /// The journal cannot be written from this append on.
    pub disk_full_at: Option<u32>,
    /// No page is delivered.
    pub pager_down: bool,
    pub automatic_used: u32,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            writes: Vec::new(),
            propagation: Duration::from_millis(300),
            staleness: Duration::ZERO,
            blind: None,
            green_errors: None,
            green_down: None,
            other_rules: None,
            blue_down: None,
            foreign: None,
            approval: Some(true),
            person: Some(true),
            ahead: false,
            wishes: Vec::new(),
            breach: None,
            frozen: None,
            disk_full_at: None,
            pager_down: false,
            automatic_used: 0,
        }
    }
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

/// A world under test. Survives the crash of a run: the provider and the people go on.
pub struct Sim {
    pub scenario: Scenario,
    pub clock: Rc<VirtualClock>,
    /// Every split that was ever in force, with its moment.
    pub history: RefCell<Vec<(Duration, Split)>>,
    /// Writes on their way.
    late: RefCell<Vec<(Duration, Split)>>,
    writes: Cell<usize>,
    pub pages: RefCell<Vec<String>>,
    wishes: Cell<usize>,
    /// Effects that leave no trace, by their name: each must happen at most once.
    pub effects: RefCell<Vec<String>>,
    versions: [String; 2],
}

impl Sim {
    pub fn new(plan: &Plan, scenario: Scenario) -> Rc<Self> {
        let start = plan.routes.values().next().map_or(Split::ALL_BLUE, |route| route.before);
        Rc::new(Sim {
            scenario,
            clock: Rc::new(VirtualClock::default()),
            history: RefCell::new(vec![(Duration::ZERO, start)]),
            late: RefCell::default(),
            writes: Cell::new(0),
            pages: RefCell::default(),
            wishes: Cell::new(0),
            effects: RefCell::default(),
            versions: [plan.blue.version.clone(), plan.green.version.clone()],
        })
    }

    /// The world as a run sees it.
    pub fn world(self: &Rc<Self>, plan: &Plan) -> World {
        let mut routes: BTreeMap<String, Rc<dyn crate::routers::TrafficRouter>> = BTreeMap::new();
        for (name, planned) in &plan.routes {
            routes.insert(name.clone(), Rc::new(route::SimRoute { sim: self.clone(), line: planned.line.clone() }));
        }
        World {
            clock: self.clock.clone(),
            routes,
            web: Rc::new(web::SimWeb { sim: self.clone() }),
            processes: Rc::new(SimProcesses { sim: self.clone() }),
            store: Rc::new(crate::probes::redis::NoStore),
            database: Rc::new(crate::probes::database::NoDatabase),
            guards: Rc::new(SimGuards(self.clone())),
            secrets: Secrets::default(),
        }
    }

    /// The split in force at the provider now, late writes included.
    pub fn split(&self) -> Split {
        let now = self.clock.time();
        let mut history = self.history.borrow_mut();
        let mut due: Vec<(Duration, Split)> = Vec::new();
        self.late.borrow_mut().retain(|write| {
            if write.0 <= now {
                due.push(*write);
                false
            } else {
                true
            }
        });
        if let Some((at, split)) = self.scenario.foreign
            && at <= now
            && !history.contains(&(at, split))
        {
            due.push((at, split));
        }
        due.sort_by_key(|d| d.0);
        history.extend(due);
        history.last().map_or(Split::ALL_BLUE, |h| h.1)
    }

    /// The split that was in force so long ago.
    fn split_ago(&self, ago: Duration) -> Split {
        let now = self.split();
        let then = self.clock.time().saturating_sub(ago);
        let history = self.history.borrow();
        history.iter().rev().find(|h| h.0 <= then).map_or(now, |h| h.1)
    }

    fn is(&self, since: Option<Duration>) -> bool {
        since.is_some_and(|at| at <= self.clock.time())
    }
}

struct SimProcesses {
    sim: Rc<Sim>,
}

#[async_trait(?Send)]
impl Processes for SimProcesses {
    async fn run(
        &self,
        command: &world::Command,
        _output: &mut dyn for<'a> FnMut(world::Stream, &'a [u8]),
    ) -> std::io::Result<world::Exit> {
        self.sim.clock.boundary().await;
        self.sim.effects.borrow_mut().push(command.argv.join(" "));
        self.sim.clock.boundary().await;
        Ok(world::Exit::Status(0))
    }
}

/// The freeze of the scenario.
pub struct SimGuards(pub Rc<Sim>);

#[async_trait(?Send)]
impl Guards for SimGuards {
    async fn blocks(&self, _: &Move, lane: Lane) -> Option<Blocked> {
        if lane == Lane::Forward { self.forbids().await } else { None }
    }

    async fn forbids(&self) -> Option<Blocked> {
        let (from, to) = self.0.scenario.frozen?;
        let frozen = (from..to).contains(&self.0.clock.time());
        frozen.then(|| Blocked { cause: Cause::Frozen, line: "forward moves are frozen".into() })
    }
}

/// Watches the scenario's breach during waits.
pub struct SimWatch(pub Rc<Sim>);

#[async_trait(?Send)]
impl crate::drive::Watch for SimWatch {
    async fn breach(&self, _: &World, _: &dyn Scribe) -> (Cause, String) {
        use crate::clock::Clock;
        match self.0.scenario.breach {
            Some(at) => {
                self.0.clock.sleep(at.saturating_sub(self.0.clock.time())).await;
                (Cause::Gate, "a gate was breached during the wait".into())
            }
            None => std::future::pending().await,
        }
    }
}
