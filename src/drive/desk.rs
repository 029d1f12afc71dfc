//! Where a run is written down: the journal first, then the eyes. After an error nothing more is written.
//!
//! Every fact passes here on its way into a record, and is masked before anything is hashed, shown or believed: what a sealed
//! log holds cannot be taken out of it again.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::journal::{Append, COMPARED, JournalError, Record};
use crate::plan::Split;
use crate::report::Reporter;
use crate::run::{Event, Evidence};
use crate::secret::Secrets;
use crate::world::{Progress, Scribe};

/// Where everything is written down: the journal first, then the eyes.
pub(super) struct Desk<'a> {
    secrets: &'a Secrets,
    journal: RefCell<&'a mut dyn Append>,
    reporter: RefCell<&'a mut dyn Reporter>,
    /// Evidence that could not be written; looked at before the next effect.
    broken: RefCell<Option<JournalError>>,
    /// What each gate said last, for whoever has to approve.
    pub(super) gates: RefCell<BTreeMap<String, String>>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(secrets: &'a Secrets, journal: &'a mut dyn Append, reporter: &'a mut dyn Reporter) -> Self {
        Desk {
            secrets,
            journal: RefCell::new(journal),
            reporter: RefCell::new(reporter),
            broken: RefCell::default(),
            gates: RefCell::default(),
        }
    }

    /// The fact as it may be written down, and its record: what is believed from here on is what stands in the journal, so a run
    /// that goes on after a crash believes the same.
    pub(super) fn masked(&self, event: &Event) -> (Event, Record) {
        let mut record = Record::from(event);
        self.mask(&record.kind, &mut record.data);
        (record.event().expect("BUG: a masked fact is still that fact"), record)
    }

    /// What a machine compares byte by byte stays as it is: a record without it would be understood by no reader. Those members
    /// come from the plan, and that no secret stands in the plan is checked before a run is opened. `cause` is a word of this
    /// format in some records and a sentence in others.
    fn mask(&self, kind: &str, data: &mut Value) {
        if kind == "rollback.begun" {
            let cause = data["cause"].as_str().map(|text| self.secrets.mask(text));
            data["cause"] = cause.into();
        }
        self.secrets.mask_value(data, COMPARED);
    }

    /// A text for the eyes alone, without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        self.secrets.mask(text)
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
            self.gates.borrow_mut().insert(gate.clone(), self.clean(line));
        }
        let mut record = Record::from(&evidence);
        self.mask(&record.kind, &mut record.data);
        // The error stays in `broken`; whoever writes next meets it.
        let _ = self.write(&[record]);
    }

    fn seen(&self, route: &str, split: Split) {
        self.reporter.borrow_mut().users(route, split);
    }

    fn progress(&self, progress: Progress) {
        let line = self.clean(&progress.line);
        self.reporter.borrow_mut().progress(&Progress { line, ..progress });
    }
}
