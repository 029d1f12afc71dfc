//! Going on with a journal after its process is gone: check every byte, cut off what no seal covers, open a new session.

use std::rc::Rc;

use serde_json::{Map, Value, json};
use sha2::Digest;

use super::fault::What;
use super::note::SealState;
use super::reading::{Done, Sound, Unread, through};
use super::spelling::{hex, stamp};
use super::store::{Store, Torn};
use super::writer::{Beginning, From, Who, statement};
use super::{Entry, Journal, JournalError, OpenError, Record};
use crate::clock::Clock;
use crate::sign::Signer;

impl Journal {
    /// Goes on with a run that was interrupted, rests, or ended unsigned. Gives the journal, and what a reading keeps of it.
    ///
    /// # Errors
    ///
    /// The log was changed, is closed, is being written by another process, or the owner's key does not sign.
    pub fn resume(
        store: Box<dyn Store>,
        who: &Who,
        owner: &dyn Signer,
        clock: Rc<dyn Clock>,
    ) -> Result<(Journal, Vec<Entry>), OpenError> {
        Journal::resume_under(store, who, Map::new(), None, owner, clock)
    }

    /// The same, with what else the resumer's statement binds: the rules as they are now. What was read of this log before
    /// is not read again.
    pub fn resume_under(
        mut store: Box<dyn Store>,
        who: &Who,
        bound: Map<String, Value>,
        known: Option<&Sound>,
        owner: &dyn Signer,
        clock: Rc<dyn Clock>,
    ) -> Result<(Journal, Vec<Entry>), OpenError> {
        let place = store.place();
        let Done { scan, mut entries, torn, .. } = whole(store.as_mut(), known)?;
        let Some(head) = scan.head().cloned().filter(|_| scan.sealed.lines > 0) else {
            return Err(OpenError::Broken { place, fault: scan.fault(What::Empty) });
        };
        if let Some(SealState::Closed) = scan.state {
            return Err(OpenError::Over { run: head.run });
        }
        let sealed = scan.sealed;
        let mut statement = statement("bgctl/resuming/v1", &head.run, &head.service, &head.environment);
        statement.insert("log_lines".into(), json!(sealed.lines));
        statement.insert("log_sha256".into(), json!(hex(&sealed.hash.clone().finalize())));
        statement.extend(bound);
        let now = stamp(clock.now()).replace([':', '.'], "-");
        // Only after the owner has signed: a refused key leaves the log as it was found.
        let cut = |store: &mut dyn Store| {
            if torn == 0 {
                return Ok(Vec::new());
            }
            let Torn { kept_as, bytes, sha256 } = store.cut(sealed.bytes, &now)?;
            let data = json!({ "bytes": bytes, "sha256": sha256, "kept_as": kept_as });
            Ok(vec![Record { kind: "recovered".into(), data }])
        };
        let from =
            From { seq: sealed.lines, prev: sealed.prev.clone(), hash: sealed.hash.clone(), bytes: sealed.bytes };
        let beginning = Beginning { kind: "run.resumed", statement, plan_sha256: head.plan_sha256, who };
        let (journal, new) = Journal::begin(store, from, beginning, cut, owner, clock)?;
        entries.extend(new);
        Ok((journal, entries))
    }
}

/// Everything in a store that somebody goes on with.
pub(super) fn whole(store: &mut dyn Store, known: Option<&Sound>) -> Result<Done, OpenError> {
    let place = store.place();
    let (mut input, file) = store.reader()?;
    through(input.as_mut(), file, known).map_err(|unread| match unread {
        Unread::Fault(fault) => OpenError::Broken { place, fault },
        Unread::Io(error) => JournalError { what: format!("cannot read `{place}`: {error}") }.into(),
    })
}
