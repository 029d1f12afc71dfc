//! Going on with a journal after its process is gone: check every byte, cut off what no seal covers, open a new session.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::fault::{Fault, What};
use super::line::Line;
use super::note::SealState;
use super::redact::{Redaction, Withheld};
use super::scan::{Scan, Seals};
use super::spelling::{hex, stamp};
use super::store::Store;
use super::writer::{Beginning, From, Who, statement};
use super::{Entry, Journal, OpenError, Record};
use crate::clock::Clock;
use crate::plan::Plan;
use crate::sign::Signer;
use sha2::Digest;

/// The sealed part of a log, read for going on with it or for showing it.
pub struct Sound {
    /// Every record except seals.
    pub entries: Vec<Entry>,
    pub run: String,
    pub service: String,
    pub environment: String,
    pub plan: Plan,
    /// What the last seal says.
    pub state: SealState,
    /// Bytes behind the last seal: what a crash left unfinished.
    pub torn: u64,
}

/// Reads and checks the sealed part of a log. Bytes behind the last seal are left out if a crash can have left them there;
/// anything else wrong with the log is a fault.
pub fn read(bytes: &[u8]) -> Result<Sound, Fault> {
    sound(bytes, scan(bytes, None)?)
}

/// The same of a copy with something withheld. Whether the owner's statement is to be believed is the verifier's business.
pub fn read_copy(bytes: &[u8], redaction: &Redaction) -> Result<Sound, Fault> {
    sound(bytes, scan(bytes, Some(&redaction.withheld))?)
}

fn sound(bytes: &[u8], (scan, entries): (Scan<'_>, Vec<Entry>)) -> Result<Sound, Fault> {
    let (Some(head), Some(state)) = (scan.head(), scan.state) else { return Err(scan.fault(What::Empty)) };
    let plan = entries.iter().find(|e| e.kind == "plan.loaded").and_then(|e| e.data["text"].as_str());
    let plan = plan.and_then(|text| serde_json::from_str(text).ok());
    let unreadable = Fault { record: 1, offset: 0, what: What::Unreadable("its plan is of another version".into()) };
    Ok(Sound {
        run: head.run.clone(),
        service: head.service.clone(),
        environment: head.environment.clone(),
        plan: plan.ok_or(unreadable)?,
        state,
        torn: (bytes.len() as u64).saturating_sub(scan.sealed.bytes),
        entries,
    })
}

pub(super) fn scan<'k>(
    bytes: &[u8],
    withheld: Option<&'k BTreeMap<u64, Withheld>>,
) -> Result<(Scan<'k>, Vec<Entry>), Fault> {
    let mut scan = Scan::new(Seals::All, None);
    if let Some(withheld) = withheld {
        scan = scan.of_copy(withheld);
    }
    let (mut entries, mut group) = (Vec::new(), Vec::new());
    let mut lines = bytes.split_inclusive(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        match scan.take(line, lines.peek().copied()) {
            Ok(read) if read.kind == "seal" => entries.append(&mut group),
            Ok(read) => {
                let Line { seq, ts, kind, data, .. } = read.line();
                group.push(Entry { seq, ts, kind, data });
            }
            // A crash leaves the beginning of one group, and a group ends with its seal: where a whole seal stands behind
            // the fault, somebody changed the log.
            Err(fault) if withheld.is_some() || scan.sealed.lines == 0 || sealed_again(&bytes[offset(&scan)..]) => {
                return Err(fault);
            }
            Err(_) => break,
        }
    }
    Ok((scan, entries))
}

fn offset(scan: &Scan<'_>) -> usize {
    usize::try_from(scan.sealed.bytes).unwrap_or(usize::MAX)
}

fn sealed_again(tail: &[u8]) -> bool {
    let mark = b"\"type\":\"seal\"";
    tail.split_inclusive(|b| *b == b'\n').any(|l| l.ends_with(b"\n") && l.windows(mark.len()).any(|w| w == mark))
}

impl Journal {
    /// Goes on with a run that was interrupted, rests, or ended unsigned. Gives the journal and every record in it.
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
        Journal::resume_under(store, who, Map::new(), owner, clock)
    }

    /// The same, with what else the resumer's statement binds: the rules as they are now.
    pub fn resume_under(
        mut store: Box<dyn Store>,
        who: &Who,
        bound: Map<String, Value>,
        owner: &dyn Signer,
        clock: Rc<dyn Clock>,
    ) -> Result<(Journal, Vec<Entry>), OpenError> {
        let bytes = store.read()?;
        let place = store.place();
        let broken = |fault: Fault| OpenError::Broken { place: place.clone(), fault };
        let (scan, mut entries) = scan(&bytes, None).map_err(broken)?;
        let Some(head) = scan.head().cloned().filter(|_| scan.sealed.lines > 0) else {
            return Err(broken(scan.fault(What::Empty)));
        };
        if let Some(SealState::Closed | SealState::Aborted) = scan.state {
            return Err(OpenError::Over { run: head.run });
        }
        let sealed = scan.sealed.clone();
        let mut statement = statement("bgctl/resuming/v1", &head.run, &head.service, &head.environment);
        statement.insert("log_lines".into(), json!(sealed.lines));
        statement.insert("log_sha256".into(), json!(hex(&sealed.hash.clone().finalize())));
        statement.extend(bound);
        let tail = &bytes[offset(&scan)..];
        let now = stamp(clock.now()).replace([':', '.'], "-");
        // Only after the owner has signed: a refused key leaves the log as it was found.
        let cut = |store: &mut dyn Store| {
            if tail.is_empty() {
                return Ok(Vec::new());
            }
            let kept = store.cut(sealed.bytes, &now)?;
            let sha256 = hex(&sha2::Sha256::digest(tail));
            let data = json!({ "bytes": tail.len(), "sha256": sha256, "kept_as": kept });
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
