//! Step kinds. To add one: a file here, and two lines (`mod` and a row of [`KINDS`]).
//!
//! A step does its work through the [`World`] and says how it ended. It must not decide what only the run may decide:
//! rollback, approval, retry, budget. It is built from the plan alone, so a resumed run needs no runbook.

mod announce;
mod bake;
mod command;
mod drain;
mod migrate;
mod ready;
mod shift;
mod smoke;
mod warm;

pub use bake::Bake;
pub use command::Command;

use anyhow::Result;
use async_trait::async_trait;
use serde_json::Value;

use crate::diag::settings;
pub use crate::diag::{Mistake, Review};
use crate::plan::{Color, Plan, PlannedStep, Resume, Split};
use crate::rehearsal::InLab;
use crate::routers::Call;
use crate::run::{Evidence, Found, Outcome};
use crate::world::{Scribe, World};

/// How long a step of these settings waits at most for the work of a side to end; none where it does not.
pub fn drains_within(kind: &str, config: &Value) -> Option<std::time::Duration> {
    (kind == drain::KIND.name).then(|| drain::longest(config))?
}

/// Whether a step of these settings asks a person what to do when its time is up.
pub fn asks(kind: &str, config: &Value) -> bool {
    kind == drain::KIND.name && drain::asks(config)
}

/// The side that a step of these settings takes from its load balancer, for which the way back has to have a [`READY`].
pub fn takes_away(kind: &str, config: &Value) -> Option<Color> {
    (kind == drain::KIND.name).then(|| drain::unready(config))?
}

/// Whether a step of these settings has routes cut connections.
pub fn cuts(kind: &str, config: &Value) -> bool {
    kind == drain::KIND.name && drain::cuts(config)
}

/// The side that a step of these settings makes ready for users, with the program that does it.
pub fn makes_ready(kind: &str, config: &Value) -> Option<(Color, Command)> {
    (kind == ready::KIND.name).then(|| ready::makes_ready(config))?
}

/// How many seconds a step that makes a side ready waits for it at most.
pub fn ready_within(config: &Value) -> u64 {
    ready::within(config)
}

/// Something a run can do.
#[async_trait(?Send)]
pub trait Step {
    /// One attempt. May be cancelled by dropping the future at any await.
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome;

    /// Only looks and waits: cut off in the middle and begun again, it leaves no trace.
    fn only_waits(&self) -> bool {
        false
    }

    /// One attempt to set right what an older write of this run has left at `found`. Most steps leave nothing that could be.
    async fn set_right(&self, _found: Split, world: &World, scribe: &dyn Scribe) -> Outcome {
        self.execute(world, scribe).await
    }

    /// Looks whether the wanted state is in place. Only asked of steps whose [`Resume`] is `Observe`.
    async fn in_place(&self, _world: &World, _scribe: &dyn Scribe) -> (Found, String) {
        (Found::CannotSee, "this kind of step leaves nothing to check".into())
    }
}

/// A kind of step: its key in YAML, its settings, and how one is planned and built.
pub struct Kind {
    pub name: &'static str,
    /// One line about it, for the list of pages.
    pub about: &'static str,
    /// What `bgctl explain NAME` shows: Markdown that lies beside the code.
    pub page: &'static str,
    /// JSON Schema of the settings.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// What a reader and the machine need to know; checks everything that can be checked without the world.
    pub facts: fn(&Value, &Plan) -> Result<Facts, Vec<Mistake>>,
    /// Where it goes in a rehearsal.
    pub lab: InLab,
    /// Builds the step from its settings (a [`PlannedStep::config`] that `facts` has accepted) and the plan.
    pub build: fn(&PlannedStep, &Plan) -> Result<Box<dyn Step>>,
}

/// What a step's settings say about it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What it does, in one line.
    pub line: String,
    pub resume: Resume,
    pub attempts: u32,
    pub timeout_s: u64,
    pub expected_s: u64,
    /// For a step that moves users: the route, and green's share afterwards in per mille.
    pub moves: Option<(String, u32)>,
}

impl Kind {
    /// A step of this kind that is no part of a run, with what its settings say about it. `by`: the command that runs it.
    pub fn alone(&self, id: &str, by: &str, config: Value, facts: Facts) -> PlannedStep {
        PlannedStep {
            id: id.into(),
            kind: self.name.into(),
            line: facts.line,
            config,
            resume: facts.resume,
            attempts: 1,
            timeout_s: facts.timeout_s,
            expected_s: facts.expected_s,
            moves: None,
            approval: None,
            on_failure: Default::default(),
            place: by.into(),
        }
    }
}

/// The moves that one written step stands for, each by what is put behind its name, with its settings. Most are themselves.
pub fn stages(kind: &str, config: &Value) -> Vec<(String, Value)> {
    match kind == shift::KIND.name {
        true => shift::stages(config),
        false => vec![(String::new(), config.clone())],
    }
}

/// Whether a planned step is a stop on the way of another one.
pub fn is_stop(step: &PlannedStep) -> bool {
    step.kind == shift::KIND.name && shift::is_stop(&step.config)
}

/// Every kind of step.
pub const KINDS: &[Kind] = &[
    warm::KIND,
    smoke::KIND,
    migrate::KIND,
    ready::KIND,
    shift::KIND,
    drain::KIND,
    bake::KIND,
    command::KIND,
    announce::KIND,
];

/// The kind of step that changes the schema, for who looks at the order of a lane.
pub const MIGRATE: &str = migrate::KIND.name;

/// The kind that makes a stack take users again.
pub const READY: &str = ready::KIND.name;

/// The kind that waits for work in flight.
pub const DRAIN: &str = drain::KIND.name;

/// The kind that moves users.
pub const SHIFT: &str = shift::KIND.name;

/// Writes down the calls that a route sent to its provider.
fn called(scribe: &dyn Scribe, route: &str, calls: &[Call]) {
    for (n, call) in calls.iter().enumerate() {
        scribe.observed(Evidence::ProviderCalled {
            route: route.into(),
            action: call.action.clone(),
            attempt: n as u32 + 1,
            request_id: call.request_id.clone(),
            code: call.code.clone(),
            ms: u64::try_from(call.time.as_millis()).unwrap_or(u64::MAX),
        });
    }
}

/// Seconds a step gets beyond its own deadline to end what it does and say so.
const GRACE: u64 = 15;
