//! Step kinds. To add one: a file here, and two lines (`mod` and a row of [`KINDS`]).
//!
//! A step does its work through the [`World`] and says how it ended. It must not decide what only the run may decide:
//! rollback, approval, retry, budget. It is built from the plan alone, so a resumed run needs no runbook.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::Value;

pub use crate::diag::Mistake;
use crate::plan::{Plan, PlannedStep, Resume};
use crate::run::{Found, Outcome};
use crate::world::{Scribe, World};

/// Something a run can do.
#[async_trait(?Send)]
pub trait Step {
    /// One attempt. May be cancelled by dropping the future at any await.
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome;

    /// Looks whether the wanted state is in place. Only asked of steps whose [`Resume`] is `Observe`.
    async fn in_place(&self, _world: &World, _scribe: &dyn Scribe) -> (Found, String) {
        (Found::CannotSee, "this kind of step leaves nothing to look at".into())
    }
}

/// A kind of step: its key in YAML, its settings, and how one is planned and built.
pub struct Kind {
    pub name: &'static str,
    /// JSON Schema of the settings.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// What a reader and the machine need to know; checks everything that can be checked without the world.
    pub facts: fn(&Value, &Plan) -> Result<Facts, Vec<Mistake>>,
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

/// Every kind of step.
pub const KINDS: &[Kind] = &[];
