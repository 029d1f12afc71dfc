//! A journal in memory, for sweeps over thousands of runs. It keeps order and content; seals and keys are tried elsewhere.

use std::rc::Rc;

use super::Sim;
use crate::clock::Clock;
use crate::journal::{Append, Entry, JournalError, Record};
use crate::run::Event;

/// The records of one run.
pub struct SimJournal {
    sim: Rc<Sim>,
    pub entries: Vec<Entry>,
    appends: u32,
}

impl SimJournal {
    pub fn new(sim: &Rc<Sim>) -> Self {
        SimJournal { sim: sim.clone(), entries: Vec::new(), appends: 0 }
    }

    /// The facts so far, for a resumed run.
    pub fn events(&self) -> Vec<Event> {
        self.entries.iter().filter_map(Entry::event).collect()
    }
}

impl Append for SimJournal {
    fn append(&mut self, records: &[Record]) -> Result<Vec<Entry>, JournalError> {
        let error = |what: &str| Err(JournalError { what: what.into() });
        self.appends += 1;
        if self.sim.scenario.disk_full_at.is_some_and(|n| self.appends >= n) {
            return error("log.jsonl: no space left on device");
        }
        if self.sim.clock.dies_here() {
            return error("dead before the write");
        }
        let first = self.entries.len() as u64;
        let ts = self.sim.clock.now().to_string();
        let new: Vec<Entry> = (first..)
            .zip(records)
            .map(|(seq, r)| Entry { seq, ts: ts.clone(), kind: r.kind.clone(), data: r.data.clone() })
            .collect();
        self.entries.extend(new.clone());
        if self.sim.clock.dies_here() {
            return error("dead after the write");
        }
        Ok(new)
    }
}
