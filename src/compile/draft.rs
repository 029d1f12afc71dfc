//! The one way from the bytes of a runbook to its plan: read, judged, and planned as if all users were on blue. What is live
//! is put in afterwards.

use super::{Compiled, Facts, compile};
use crate::diag::{Diagnostic, Refusal, Severity};
use crate::plan::{Plan, Purpose};
use crate::policy::PolicyFile;
use crate::runbook::{Inputs, Language, Runbook, Source};
use crate::steps::SHIFT;

/// A runbook without mistakes, as far as that can be said without asking any system.
pub struct Draft<'a> {
    pub runbook: Runbook,
    /// With all users on blue.
    pub plan: Plan,
    /// What is doubtful, and what has no value here yet.
    pub warnings: Vec<Diagnostic>,
    source: &'a Source,
    policy: Option<&'a PolicyFile>,
    swap: bool,
}

impl<'a> Draft<'a> {
    /// Every mistake of the file at once, or its plan. `swap` reads it with its two stacks exchanged.
    pub fn new(
        source: &'a Source,
        inputs: &Inputs,
        policy: Option<&'a PolicyFile>,
        swap: bool,
    ) -> Result<Draft<'a>, Vec<Diagnostic>> {
        let runbook = Language::default().parse(source, inputs)?;
        let unset = inputs.env.as_ref().map(|env| runbook.unset(env)).unwrap_or_default();
        match compile(source, &runbook, policy, None, swap) {
            Ok(Compiled { plan, mut warnings }) => {
                warnings.extend(unset);
                Ok(Draft { runbook, plan, warnings, source, policy, swap })
            }
            Err(mut found) => {
                found.extend(unset);
                Err(found)
            }
        }
    }

    /// The rollback alone. Blue and green are what the file says, whichever is live; the way forward is left out, so what only
    /// that needs need not be there. Warnings are not given.
    pub fn of_rollback(source: &'a Source, inputs: &Inputs, swap: bool) -> Result<Draft<'a>, Vec<Diagnostic>> {
        let mut runbook = Language::default().parse(source, inputs)?;
        let document = &mut runbook.document;
        // Of the way forward only which routes it moves is looked at: each has to have its way back.
        document.steps.retain(|step| step.kind == SHIFT);
        document.steps.iter_mut().for_each(|step| (step.approval, step.timeout) = (None, None));
        document.gates.clear();
        (document.compare, document.slack) = (None, None);
        // A person is asked already, and the roles may stand in a policy that is not here.
        document.rollback.approval = "none".into();
        document.rollback.steps.iter_mut().for_each(|step| step.approval = None);
        let Compiled { mut plan, .. } = compile(source, &runbook, None, None, swap).map_err(|mut found| {
            found.retain(|d| d.severity == Severity::Error);
            found
        })?;
        plan.purpose = Purpose::RollbackWithoutRun;
        plan.forward.clear();
        plan.warnings.clear();
        Ok(Draft { runbook, plan, warnings: Vec::new(), source, policy: None, swap })
    }

    /// The plan against what is live now.
    pub fn against(&self, facts: &Facts) -> Result<Plan, Vec<Diagnostic>> {
        compile(self.source, &self.runbook, self.policy, Some(facts), self.swap).map(|compiled| compiled.plan)
    }

    /// Variables without a value, as the refusal of everything that needs them.
    pub fn refuse_missing(&self) -> Option<Refusal> {
        self.runbook.refuse_missing(self.source)
    }
}
