//! Signing a log whose process ended in order while the owner's key was away: one more seal, by the owner, and nothing else.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::encode::{put_line, signature_member};
use super::fault::{Fault, What};
use super::note::{Note, SealState, origin};
use super::reading::Done;
use super::recover::whole;
use super::scan::OwnerKey;
use super::spelling::{hex, stamp};
use super::store::Store;
use super::{JournalError, OpenError};
use crate::clock::Clock;
use crate::run::Event;
use crate::sign::{Signer, namespace};

/// A log that has its owner's seal now.
#[derive(Debug)]
pub struct Countersigned {
    /// All of it, that seal included.
    pub head: Note,
    /// The name its last session was opened under.
    pub owner: String,
}

/// Puts the owner's closing seal under a log that ended without it. A run that had come to its end is closed; one
/// that rests is handed over, and can be resumed.
///
/// # Errors
///
/// The log was changed, did not end that way, was opened with another key, or the key does not sign.
pub fn countersign(
    mut store: Box<dyn Store>,
    owner: &dyn Signer,
    clock: &dyn Clock,
) -> Result<Countersigned, OpenError> {
    let place = store.place();
    let broken = |fault: Fault| OpenError::Broken { place: place.clone(), fault };
    let Done { scan, entries, torn, .. } = whole(store.as_mut(), None)?;
    let Some(head) = scan.head().cloned() else { return Err(broken(scan.fault(What::Empty))) };
    if torn > 0 {
        let (record, offset) = (scan.sealed.lines, scan.sealed.bytes);
        return Err(broken(Fault { record, offset, what: What::Unsealed { bytes: torn } }));
    }
    let run = head.run.clone();
    match scan.state {
        Some(SealState::Ended) => {}
        Some(SealState::Closed) => return Err(OpenError::Over { run }),
        _ => return Err(OpenError::NotEnded { run }),
    }
    let Some(opened) = scan.owners.last() else { return Err(broken(scan.fault(What::Empty))) };
    let wanted = match &opened.key {
        OwnerKey::Ssh(key) => key.fingerprint(),
        OwnerKey::Shared(id) => id.clone(),
    };
    if owner.fingerprint() != wanted {
        return Err(OpenError::OtherKey { run, wanted, found: owner.fingerprint() });
    }
    let now = clock.now();
    if let Some(last) = scan.last.filter(|last| now < *last) {
        let what = format!("the clock says {now}, before the log's last record ({last}); set it right first");
        return Err(JournalError { what }.into());
    }
    let over = entries.iter().any(|e| matches!(e.event(), Some(Event::Ended { .. } | Event::Refused { .. })));
    let state = if over { SealState::Closed } else { SealState::Handover };
    let (lines, bytes, time) = (scan.sealed.lines, scan.sealed.bytes, stamp(now));
    let mut hash = scan.sealed.hash.clone();
    let sha256 = hex(&hash.clone().finalize());
    let note = Note { origin: origin(&head.service, &run), lines, bytes, sha256, time: time.clone(), state };
    let signature = owner.sign(namespace::CLOSE, note.text().as_bytes())?;
    let mut data = Map::new();
    data.insert("note".into(), Value::String(note.text()));
    data.insert("ns".into(), json!(namespace::CLOSE));
    data.insert(signature_member(&signature).into(), Value::String(signature));
    let mut line = String::new();
    put_line(&mut line, (lines, &run, &time, scan.mono), "seal", &scan.sealed.prev, &Value::Object(data));
    store.append(line.as_bytes())?;
    Sha256::update(&mut hash, line.as_bytes());
    let sha256 = hex(&hash.finalize());
    let head = Note { lines: lines + 1, bytes: bytes + line.len() as u64, sha256, ..note };
    Ok(Countersigned { head, owner: opened.owner.clone() })
}
