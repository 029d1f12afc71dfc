//! A journal in memory, for sweeps over thousands of runs. It keeps order and content; seals and keys are tried elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::{Disk, Sim};
use crate::clock::Clock;
use crate::journal::{Append, Entry, JournalError, Record};
use crate::run::Event;

/// The records of one run.
pub struct SimJournal {
    sim: Rc<Sim>,
    pub entries: Vec<Entry>,
    appends: u32,
    /// How many entries there were after each append that is not on the disk for sure.
    unsynced: Vec<usize>,
    synced: usize,
    deaths: u64,
}

impl SimJournal {
    pub fn new(sim: &Rc<Sim>) -> Self {
        SimJournal { sim: sim.clone(), entries: Vec::new(), appends: 0, unsynced: Vec::new(), synced: 0, deaths: 0 }
    }

    /// The process has died, and with it what the disk did not hold: any number of the newest appends.
    pub fn died(&mut self) {
        let (Disk::Drops(seed) | Disk::Unsynced(seed)) = self.sim.scenario.disk else { return };
        self.deaths += 1;
        let mut hash = DefaultHasher::new();
        (seed, self.deaths, self.entries.len()).hash(&mut hash);
        let kept = hash.finish() as usize % (self.unsynced.len() + 1);
        let left = if kept == 0 { self.synced } else { self.unsynced[kept - 1] };
        self.entries.truncate(left);
        self.unsynced.clear();
        self.synced = left;
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
        self.unsynced.push(self.entries.len());
        if self.sim.scenario.disk != Disk::Keeps && self.sim.clock.dies_here() {
            return error("dead between the write and its sync");
        }
        if !matches!(self.sim.scenario.disk, Disk::Unsynced(_)) {
            self.synced = self.entries.len();
            self.unsynced.clear();
        }
        if self.sim.clock.dies_here() {
            return error("dead after the write");
        }
        Ok(new)
    }
}
