//! Seals: what the note says against what was read, and the signature under it.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::owner::{OwnerSignature, Proof, by};
use super::{Scan, Seals};
use crate::journal::fault::{Fault, What};
use crate::journal::json;
use crate::journal::line::Raw;
use crate::journal::note::{SealState, SixLines};
use crate::sign::namespace;

/// A seal whose signature is still to be checked.
#[derive(Clone)]
pub(super) struct Unchecked {
    pub record: u64,
    pub offset: u64,
    pub note: String,
    pub sig: String,
}

impl Scan<'_> {
    /// Checks what was put off.
    pub fn finish(&mut self) -> Result<(), Fault> {
        let Some(Unchecked { record, offset, note, sig }) = self.unchecked.take() else { return Ok(()) };
        let Some(session) = &self.session else { panic!("BUG: a seal without a session") };
        self.seals_checked += 1;
        match by(&session.session, namespace::SEAL, &note, &sig) {
            Ok(_) => Ok(()),
            Err(why) => Err(Fault { record, offset, what: What::Seal(why) }),
        }
    }

    pub(super) fn seal(&mut self, line: &Raw<'_>) -> Result<(), Fault> {
        let state = self.read_seal(line).map_err(|why| self.fault(What::Seal(why)))?;
        if state.by_owner() {
            self.finish()?;
        }
        self.state = Some(state);
        Ok(())
    }

    pub(super) fn read_seal(&mut self, line: &Raw<'_>) -> Result<SealState, String> {
        let (note_text, ns, proof) = seal_members(line.data).ok_or("its members are not note ns sig")?;
        let (text, ns) = (note_text.as_ref(), ns.as_ref());
        let note = SixLines::parse(text).ok_or("its note is not six lines of the known form")?;
        let Some(session) = &self.session else { return Err("no session was opened".into()) };
        let Some(head) = &self.head else { return Err("no run was opened".into()) };
        if !note.is_of(&head.service, &head.run) {
            return Err(format!("it is for `{}`", note.origin));
        }
        if note.lines != self.at || note.bytes != self.bytes {
            return Err(format!(
                "it covers {} lines and {} bytes; there are {} and {}",
                note.lines, note.bytes, self.at, self.bytes
            ));
        }
        if !self.is_prefix(note.sha256) {
            return Err("the SHA-256 of the bytes before it is another".into());
        }
        if note.time != line.ts || line.mono != self.mono {
            return Err("its own time is not the one in its note".into());
        }
        if self.group == 0 && note.state == SealState::Open {
            return Err("it seals nothing".into());
        }
        if self.group == 0 && self.state == Some(SealState::Ended) && !note.state.by_owner() {
            return Err("the process had ended; only the owner may still sign".into());
        }
        let space = if note.state.by_owner() { namespace::CLOSE } else { namespace::SEAL };
        if ns != space {
            return Err(format!("`state {}` is signed for `{space}` only", note.state.name()));
        }
        if note.state.by_owner() {
            let (checked, touch) = self.check_owner(&session.key, &proof, space, text)?;
            let (owner, key) = (session.owner.clone(), session.key.clone());
            let (assurance, time) = (session.assurance.clone(), line.time);
            let namespace = namespace::CLOSE;
            self.owner_seals += 1;
            self.owners.push(OwnerSignature { owner, key, namespace, time, assurance, touch, checked });
            return Ok(note.state);
        }
        let within = |time: Timestamp| session.not_before <= time && time <= session.not_after;
        let by_mono = i64::try_from(line.mono)
            .ok()
            .and_then(|us| session.opened.checked_add(SignedDuration::from_micros(us)).ok());
        if !by_mono.is_some_and(within) || !(session.jumped || within(line.time)) {
            return Err(format!("its session ran from {} to {}", session.not_before, session.not_after));
        }
        let Proof::Sig(sig) = proof else { return Err("a session key signs, it has no MAC".into()) };
        let state = note.state;
        match self.seals {
            Seals::All => {
                by(&session.session, space, text, &sig)?;
                self.seals_checked += 1;
            }
            Seals::Last => {
                let (note, sig) = (note_text.into_owned(), sig.into_owned());
                self.unchecked = Some(Unchecked { record: self.at, offset: self.bytes, note, sig });
            }
        }
        Ok(state)
    }
}

/// The members of a seal: note, purpose and proof. Half of the lines of a log are seals, so no value is made of them.
fn seal_members(data: &str) -> Option<(Cow<'_, str>, Cow<'_, str>, Proof<'_>)> {
    let (note, rest) = json::leading(data.strip_prefix("{\"note\":")?)?;
    let (ns, rest) = json::leading(rest.strip_prefix(",\"ns\":")?)?;
    let (proof, rest) = match rest.strip_prefix(",\"sig\":") {
        Some(rest) => json::leading(rest).map(|(sig, rest)| (Proof::Sig(sig), rest))?,
        None => json::leading(rest.strip_prefix(",\"mac\":")?).map(|(mac, rest)| (Proof::Mac(mac), rest))?,
    };
    (rest == "}").then_some((note, ns, proof))
}
