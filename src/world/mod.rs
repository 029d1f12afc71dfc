//! Everything outside the process, as the steps may reach it: the only door to effects.
//!
//! A world is a bag of narrow traits. What each of them can be asked stands here; who answers is elsewhere. Live, lab and simulated worlds differ in what is in the bag; no step knows which
//! one it is in, and there is no `dry_run` flag. People are not in it: whether somebody has to be asked is for the run
//! machine to decide, so only the driver can ask.

mod database;

mod metrics;
mod processes;
mod store;
mod web;

pub use database::{Database, NoDatabase, Scratch, Unanswered};
pub use metrics::{Gap, Metrics, NoMetrics, Point, Question};
pub use processes::{Command, Exit, Processes, Stream};
pub use store::{Held, NoStore, Server, Store};
pub use web::{Inbox, Login, Request, Response, Signs, Web, WebError, address, form};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::clock::Clock;
use crate::plan::{Lane, Move, Split};
use crate::routers::{Health, Reading, TrafficRouter};
use crate::run::{Cause, Evidence};
use crate::secret::Secrets;

/// What a step may touch.
pub struct World {
    pub clock: Rc<dyn Clock>,
    pub routes: BTreeMap<String, Rc<dyn TrafficRouter>>,
    pub web: Rc<dyn Web>,
    pub processes: Rc<dyn Processes>,
    /// The store of handled deliveries that both stacks share.
    pub store: Rc<dyn Store>,
    /// PostgreSQL, which is only ever asked.
    pub database: Rc<dyn Database>,
    /// Metrics of AWS.
    pub metrics: Rc<dyn Metrics>,
    /// What may forbid a move of users.
    pub guards: Rc<dyn Guards>,
    /// What a person passes over on a way back.
    pub overrides: Overrides,
    /// What was read directly before the run began.
    pub beforehand: Beforehand,
    pub secrets: Secrets,
}

impl World {
    /// The driver of a route of the plan.
    pub fn route(&self, name: &str) -> &dyn TrafficRouter {
        self.routes
            .get(name)
            .unwrap_or_else(|| panic!("BUG: the plan names a route `{name}` that the world was built without"))
            .as_ref()
    }
}

/// Guards that a person passes over, by their names: who, and why. Whether that may be is for whoever writes it down.
#[derive(Clone, Debug, Default)]
pub struct Overrides(RefCell<BTreeMap<String, String>>);

impl Overrides {
    pub fn pass_over(&self, guard: &str, why: String) {
        self.0.borrow_mut().insert(guard.into(), why);
    }

    pub fn passed_over(&self, guard: &str) -> Option<String> {
        self.0.borrow().get(guard).cloned()
    }
}

/// What was read of a route directly before a run began: its first move starts from it while it is young, so that a rollback waits
/// for one round trip and not for the same one twice. Each is given out once.
#[derive(Clone, Debug, Default)]
pub struct Beforehand(RefCell<BTreeMap<String, (Duration, Reading, Health)>>);

impl Beforehand {
    /// As old as what a router takes for the caller's own look.
    const YOUNG: Duration = Duration::from_secs(1);

    /// `since`: when the question was sent. `blue`: the health of that side, asked with it.
    pub fn keep(&self, route: &str, since: Duration, reading: Reading, blue: Health) {
        self.0.borrow_mut().insert(route.into(), (since, reading, blue));
    }

    pub fn take(&self, route: &str, now: Duration) -> Option<(Reading, Health)> {
        let (since, reading, blue) = self.0.borrow_mut().remove(route)?;
        (now < since + Self::YOUNG).then_some((reading, blue))
    }
}

/// What may forbid moving users, asked directly before each move and at each boundary of the forward lane. An answer rests on
/// something read a moment ago; what cannot be answered forbids going forward.
#[async_trait(?Send)]
pub trait Guards {
    /// Why this move may not be made now, if it may not. On the way back only what makes moving itself unsafe counts.
    async fn blocks(&self, change: &Move, lane: Lane) -> Option<Blocked>;

    /// Why nothing may go forward now, whatever comes next. Cheap enough to be asked every few seconds of a wait.
    async fn forbids(&self) -> Option<Blocked>;

    /// What stands in the record of arming, each with a `line`.
    fn armed(&self) -> Vec<Value> {
        Vec::new()
    }

    /// A rollback by rule begins. Says which scope was frozen for it, and how that went in words, where a guard does that.
    fn went_back(&self, _cause: &str) -> Option<(String, String)> {
        None
    }
}

/// Why a move may not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub cause: Cause,
    /// What forbids it, by whom and until when, as people read it.
    pub line: String,
}

/// Where a step reports what it finds while it works.
pub trait Scribe {
    /// Writes evidence into the journal, before the step goes on.
    fn observed(&self, evidence: Evidence);
    /// Shows where users were just found on a route; nothing of it is kept.
    fn seen(&self, _route: &str, _split: Split) {}
    /// Shows progress on the terminal; nothing of it is kept.
    fn progress(&self, progress: Progress);
}

/// How far a waiting or working step is, for the live lines of a terminal.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// 0 to `of`.
    pub done: u64,
    pub of: u64,
    pub line: String,
}
