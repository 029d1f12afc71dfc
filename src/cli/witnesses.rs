//! What outside of a run's log knows of it: the ledger of runs. Told when a process opens a run or goes on with it, and when
//! it ends; nothing here decides what a run does.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::Context;
use crate::clock::Clock;
use crate::journal::ledger::{Hand, Ledger, What};
use crate::journal::{Append, Archive, Closed, Entry, Journal, JournalError, Record};

/// Whoever is told of a run.
pub struct Witnesses {
    ledger: Ledger,
    clock: Rc<dyn Clock>,
}

impl Witnesses {
    pub fn new(cx: &Context, archive: &Archive) -> Self {
        Witnesses { ledger: Ledger::in_folder(archive.root()), clock: cx.clock.clone() }
    }

    /// What the owner binds beside the plan: where the ledger ends now, so that nobody can take lines from it later.
    pub fn bound(&self) -> Result<Map<String, Value>, JournalError> {
        let tip = self.ledger.tip()?;
        Ok(Map::from_iter([("ledger_sha256".to_string(), json!(tip.sha256))]))
    }

    /// Writes into the ledger that a process has begun. Where it must not fail and does, nothing may move; where users may
    /// be waiting to go back, the failure is written down and the run goes on.
    pub fn begin(&self, what: What, journal: &mut Journal, must: bool) -> Result<Vec<Entry>, JournalError> {
        let session = journal.session();
        match self.ledger.append(what, &journal.head(), &Hand::Session(&session), self.clock.as_ref()) {
            Ok(_) => Ok(Vec::new()),
            Err(error) if must => Err(error),
            Err(error) => {
                let data = json!({ "sink": "ledger", "line": error.what });
                journal.append(&[Record { kind: "sink.degraded".into(), data }])
            }
        }
    }

    /// Writes how the log ended. What could not be done is said, for the last lines a person reads.
    pub fn end(&self, closed: &Closed) -> Vec<String> {
        let hand = Hand::Session(&closed.session);
        match self.ledger.append(What::Closed, &closed.head, &hand, self.clock.as_ref()) {
            Ok(_) => Vec::new(),
            Err(error) => vec![format!("! the ledger of runs does not have this end: {error}")],
        }
    }
}
