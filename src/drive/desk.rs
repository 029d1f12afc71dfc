//! Where a run is written down: the journal first, then the eyes. After an error nothing more is written.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::journal::{Append, JournalError, Record};
use crate::report::Reporter;
use crate::run::Evidence;
use crate::world::{Progress, Scribe};

/// Where everything is written down: the journal first, then the eyes.
pub(super) struct Desk<'a> {
    journal: RefCell<&'a mut dyn Append>,
    reporter: RefCell<&'a mut dyn Reporter>,
    /// Evidence that could not be written; looked at before the next effect.
    broken: RefCell<Option<JournalError>>,
    /// What each gate said last, for whoever has to approve.
    pub(super) gates: RefCell<BTreeMap<String, String>>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(journal: &'a mut dyn Append, reporter: &'a mut dyn Reporter) -> Self {
        Desk {
            journal: RefCell::new(journal),
            reporter: RefCell::new(reporter),
            broken: RefCell::default(),
            gates: RefCell::default(),
        }
    }

    pub(super) fn write(&self, records: &[Record]) -> Result<(), JournalError> {
        if let Some(error) = self.broken.borrow().clone() {
            return Err(error);
        }
        match self.journal.borrow_mut().append(records) {
            Ok(entries) => {
                let mut reporter = self.reporter.borrow_mut();
                entries.iter().for_each(|entry| reporter.record(entry));
                Ok(())
            }
            Err(error) => {
                *self.broken.borrow_mut() = Some(error.clone());
                Err(error)
            }
        }
    }
}

impl Scribe for Desk<'_> {
    fn observed(&self, evidence: Evidence) {
        if let Evidence::GateEvaluated { gate, line, .. } = &evidence {
            self.gates.borrow_mut().insert(gate.clone(), line.clone());
        }
        // The error stays in `broken`; whoever writes next meets it.
        let _ = self.write(&[Record::from(&evidence)]);
    }

    fn progress(&self, progress: Progress) {
        self.reporter.borrow_mut().progress(&progress);
    }
}
