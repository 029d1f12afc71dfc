//! Guards: what may forbid moving users, whatever the gates say. One file a guard.
//!
//! A guard reads the world and answers; it moves nobody and decides nothing. It is asked again directly before each write, so
//! an answer is never older than that, or its age is bounded where it is asked. What cannot be read forbids going forward, and
//! never forbids going back: a way back is blocked only by what would make the move itself unsafe.
#![doc = include_str!("guards.md")]

mod credentials;
pub mod freeze;
mod scope;

use std::rc::Rc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::credentials::{Credentials, way_back_s};
use self::freeze::{By, Found, Freeze, Freezes, Scope};
use crate::clock::Clock;
use crate::plan::{Lane, Move, Plan};
use crate::run::Cause;
use crate::world::{Blocked, Guards};

/// No guard at all: for worlds in which nobody is moved, and for tests.
pub struct NoGuards;

#[async_trait(?Send)]
impl Guards for NoGuards {
    async fn blocks(&self, _: &Move, _: Lane) -> Option<Blocked> {
        None
    }

    async fn forbids(&self) -> Option<Blocked> {
        None
    }
}

/// Something that says why it is not as it has to be, if it is not.
pub type Question = Box<dyn Fn() -> Option<String>>;

/// The guards of a run.
pub struct RunGuards {
    pub run: String,
    pub plan: Rc<Plan>,
    pub clock: Rc<dyn Clock>,
    /// Whether this process still holds its leases. The one answer that also stops a way back: somebody else moves users now.
    pub lease: Question,
    /// The numbers of those leases.
    pub epochs: Vec<u64>,
    /// Whether the key that opened the run still counts.
    pub key: Question,
    pub freezes: Freezes,
    /// Whether a rollback by rule freezes the service.
    pub freezes_after_rollback: bool,
    pub credentials: Credentials,
    /// Guards of other parts.
    pub more: Vec<Rc<dyn Guards>>,
}

impl RunGuards {
    fn guard(line: Option<String>) -> Option<Blocked> {
        line.map(|line| Blocked { cause: Cause::Guard, line })
    }

    fn frozen(&self) -> Option<Blocked> {
        let found = frozen(&self.freezes, &self.plan, self.clock.now());
        found.first().map(|found| Blocked { cause: Cause::Frozen, line: found.line() })
    }
}

/// What freezes the service of a plan now.
pub fn frozen(freezes: &Freezes, plan: &Plan, now: Timestamp) -> Vec<Found> {
    freezes.holding(&plan.environment, &plan.service, now)
}

#[async_trait(?Send)]
impl Guards for RunGuards {
    async fn blocks(&self, change: &Move, lane: Lane) -> Option<Blocked> {
        if let Some(blocked) = RunGuards::guard((self.lease)()) {
            return Some(blocked);
        }
        if lane == Lane::Forward {
            if let Some(blocked) = self.frozen().or_else(|| RunGuards::guard((self.key)())) {
                return Some(blocked);
            }
            if let Some(blocked) = RunGuards::guard(self.credentials.too_short(&self.plan, change).await) {
                return Some(blocked);
            }
        }
        for guard in &self.more {
            if let Some(blocked) = guard.blocks(change, lane).await {
                return Some(blocked);
            }
        }
        None
    }

    async fn forbids(&self) -> Option<Blocked> {
        let own = RunGuards::guard((self.lease)()).or_else(|| self.frozen()).or_else(|| RunGuards::guard((self.key)()));
        if own.is_some() {
            return own;
        }
        for guard in &self.more {
            if let Some(blocked) = guard.forbids().await {
                return Some(blocked);
            }
        }
        None
    }

    fn armed(&self) -> Vec<Value> {
        let epochs: Vec<String> = self.epochs.iter().map(u64::to_string).collect();
        let line = match epochs.is_empty() {
            true => "no lease is held: none can be written down".to_string(),
            false => format!("lease {} is held, nothing is frozen", epochs.join(", ")),
        };
        vec![json!({ "epochs": epochs, "line": line })]
    }

    fn went_back(&self, cause: &str) -> Option<(String, String)> {
        if !self.freezes_after_rollback {
            return None;
        }
        let scope = Scope::Service(self.plan.environment.clone(), self.plan.service.clone());
        let freeze = Freeze {
            scope: scope.clone(),
            reason: format!("rolled back automatically: {cause}"),
            by: "bgctl".into(),
            via: By::Rule,
            since: Some(self.clock.now()),
            until: None,
            lift: None,
            run: Some(self.run.clone()),
        };
        let line = match self.freezes.set(&freeze) {
            Ok(_) => format!("{scope} is frozen after this rollback, until a person lifts it: bgctl unfreeze {scope}"),
            Err(error) => format!("{scope} could not be frozen after this rollback: {error}"),
        };
        Some((scope.to_string(), line))
    }
}
