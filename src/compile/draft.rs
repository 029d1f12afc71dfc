//! The one way from the bytes of a runbook to its plan: read, judged, and planned as if all users were on blue. What is live
//! is put in afterwards.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Compiled, Facts, compile};
use crate::diag::{Code, Diagnostic, Refusal, Severity};
use crate::plan::{Plan, Purpose};
use crate::policy::PolicyFile;
use crate::runbook::{self, Inputs, Language, Runbook, Source};
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
}

impl<'a> Draft<'a> {
    /// Every mistake of the file at once, or its plan.
    pub fn new(
        source: &'a Source,
        inputs: &Inputs,
        policy: Option<&'a PolicyFile>,
    ) -> Result<Draft<'a>, Vec<Diagnostic>> {
        let runbook = Language::default().parse(source, inputs)?;
        let unset = inputs.env.as_ref().map(|env| runbook.unset(env)).unwrap_or_default();
        match compile(source, &runbook, policy, None) {
            Ok(Compiled { plan, mut warnings }) => {
                // Whatever else got into the plan: it is written into the signed log.
                let found = runbook::in_plan(&serde_json::to_value(&plan).expect("BUG: a plan is plain data"));
                if !found.is_empty() {
                    let mistake = |(pointer, what, reference)| {
                        Diagnostic::error(Code::SecretInFile, format!("{what}, in clear, at `{pointer}` of the plan"))
                            .note(format!("write `{reference}` where it comes from"))
                    };
                    return Err(found.into_iter().map(mistake).collect());
                }
                warnings.extend(unset);
                Ok(Draft { runbook, plan, warnings, source, policy })
            }
            Err(mut found) => {
                found.extend(unset);
                Err(runbook.sides.said(runbook.clear.masked(found)))
            }
        }
    }

    /// The rollback alone. Blue and green are what the file says, whichever is live; the way forward is left out, so what only
    /// that needs need not be there. Warnings are not given.
    pub fn of_rollback(source: &'a Source, inputs: &Inputs) -> Result<Draft<'a>, Vec<Diagnostic>> {
        let mut runbook = Language::default().parse(source, inputs)?;
        // Nobody is kept on a bad green because of what stands in a file.
        runbook.found.retain(|d| d.code != Code::SecretInFile);
        let document = &mut runbook.document;
        // Of the way forward only which routes it moves is looked at: each has to have its way back.
        document.steps.retain(|step| step.kind == SHIFT);
        document.steps.iter_mut().for_each(|step| (step.approval, step.timeout) = (None, None));
        document.gates.clear();
        (document.compare, document.slack) = (None, None);
        // A person is asked already, and the roles may stand in a policy that is not here.
        document.rollback.approval = "none".into();
        document.rollback.steps.iter_mut().for_each(|step| step.approval = None);
        let Compiled { plan, .. } = compile(source, &runbook, None, None).map_err(|mut found| {
            found.retain(|d| d.severity == Severity::Error);
            runbook.sides.said(runbook.clear.masked(found))
        })?;
        Ok(Draft { runbook, plan: backward(plan), warnings: Vec::new(), source, policy: None })
    }

    /// Puts the provider's own words in place of the names of these routes, each as its view gave them: from here on the draft is
    /// as if the runbook had been written so.
    pub fn pin(&mut self, settings: BTreeMap<String, Value>) -> Result<(), Vec<Diagnostic>> {
        for (name, settings) in settings {
            let route = self.runbook.document.routes.get_mut(&name);
            route.unwrap_or_else(|| panic!("BUG: the runbook has no route `{name}`")).config = settings;
        }
        let plan = compile(self.source, &self.runbook, self.policy, None)?.plan;
        self.plan = match self.plan.purpose {
            Purpose::RollbackWithoutRun => backward(plan),
            _ => plan,
        };
        Ok(())
    }

    /// The plan against what is live now.
    pub fn against(&self, facts: &Facts) -> Result<Plan, Vec<Diagnostic>> {
        compile(self.source, &self.runbook, self.policy, Some(facts)).map(|compiled| compiled.plan)
    }

    /// Variables without a value, as the refusal of everything that needs them.
    pub fn refuse_missing(&self) -> Option<Refusal> {
        self.runbook.refuse_missing(self.source)
    }
}

/// A plan of which only the way back is left.
fn backward(mut plan: Plan) -> Plan {
    plan.purpose = Purpose::RollbackWithoutRun;
    plan.forward.clear();
    plan.warnings.clear();
    plan
}
