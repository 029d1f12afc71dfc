//! The steps of a plan, built.

use anyhow::Context;

use crate::plan::{Lane, Plan, PlannedStep, StepRef};
use crate::steps::{KINDS, Step};

/// The steps of both lanes, in the order of the plan.
pub struct Steps {
    pub forward: Vec<Box<dyn Step>>,
    pub rollback: Vec<Box<dyn Step>>,
}

impl Steps {
    /// Builds every step of a plan. Fails only for a plan that another version of bgctl made.
    pub fn of(plan: &Plan) -> anyhow::Result<Self> {
        let build = |step: &PlannedStep| {
            let kind = KINDS.iter().find(|kind| kind.name == step.kind);
            let kind = kind.with_context(|| format!("`{}` is a kind of step this bgctl does not know", step.kind))?;
            (kind.build)(step, plan).with_context(|| format!("step `{}`", step.id))
        };
        Ok(Steps {
            forward: plan.forward.iter().map(build).collect::<anyhow::Result<_>>()?,
            rollback: plan.rollback.iter().map(build).collect::<anyhow::Result<_>>()?,
        })
    }

    pub(super) fn get(&self, at: StepRef) -> &dyn Step {
        match at.lane {
            Lane::Forward => self.forward[at.index].as_ref(),
            Lane::Rollback => self.rollback[at.index].as_ref(),
        }
    }
}
