//! Seals: what the note says against what was read, and the signature under it.

use std::borrow::Cow;
use std::fmt::{self, Write};

use jiff::{SignedDuration, Timestamp};
use sha2::Digest;

use super::owner::{OwnerSignature, Proof, by};
use super::{Scan, Seals};
use crate::journal::blocks::hex;
use crate::journal::fault::{Fault, What};
use crate::journal::json;
use crate::journal::line::Raw;
use crate::journal::note::{ORIGIN, SealState, SixLines};
use crate::journal::plain::plain;
use crate::sign::namespace;

/// A seal whose signature is still to be checked.
#[derive(Clone)]
pub(super) struct Unchecked {
    pub record: u64,
    pub offset: u64,
    /// What the seal says.
    pub data: String,
}

impl Scan<'_> {
    /// Checks what was put off.
    pub fn finish(&mut self) -> Result<(), Fault> {
        let Some(Unchecked { record, offset, data }) = self.unchecked.take() else { return Ok(()) };
        let Some(session) = &self.session else { panic!("BUG: a seal without a session") };
        let Some(members) = Members::of(&data) else { panic!("BUG: a seal that was read before") };
        self.seals_checked += 1;
        match by(&session.session, namespace::SEAL, &text(members.note), &text(members.proof)) {
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
        let members = Members::of(line.data).ok_or("its members are not note ns sig")?;
        let state = match self.is_usual(members.note, line) {
            true => SealState::Open,
            false => self.read_note(&text(members.note), line)?,
        };
        let Some(session) = &self.session else { return Err("no session was opened".into()) };
        if self.group == 0 && state == SealState::Open {
            return Err("it seals nothing".into());
        }
        if self.group == 0 && self.state == Some(SealState::Ended) && !state.by_owner() {
            return Err("the process had ended; only the owner may still sign".into());
        }
        let space = if state.by_owner() { namespace::CLOSE } else { namespace::SEAL };
        if text(members.ns) != space {
            return Err(format!("`state {}` is signed for `{space}` only", state.name()));
        }
        if state.by_owner() {
            let note = text(members.note);
            let (checked, touch) = self.check_owner(&session.key, &members.proof(), space, &note)?;
            let (owner, key) = (session.owner.clone(), session.key.clone());
            let (assurance, time) = (session.assurance.clone(), line.time);
            let namespace = namespace::CLOSE;
            self.owner_seals += 1;
            self.owners.push(OwnerSignature { owner, key, namespace, time, assurance, touch, checked });
            return Ok(state);
        }
        let within = |time: Timestamp| session.not_before <= time && time <= session.not_after;
        let by_mono = i64::try_from(line.mono)
            .ok()
            .and_then(|us| session.opened.checked_add(SignedDuration::from_micros(us)).ok());
        if !by_mono.is_some_and(within) || !(session.jumped || within(line.time)) {
            return Err(format!("its session ran from {} to {}", session.not_before, session.not_after));
        }
        if !members.signed {
            return Err("a session key signs, it has no MAC".into());
        }
        match self.seals {
            Seals::All => {
                by(&session.session, space, &text(members.note), &text(members.proof))?;
                self.seals_checked += 1;
            }
            Seals::Last => {
                let new = || Unchecked { record: 0, offset: 0, data: String::new() };
                let unchecked = self.unchecked.get_or_insert_with(new);
                (unchecked.record, unchecked.offset) = (self.at, self.bytes);
                unchecked.data.clear();
                unchecked.data.push_str(line.data);
            }
        }
        Ok(state)
    }

    /// Whether a note is, to its last byte, the one that a process in order writes here. Any other is read, and only there its
    /// faults get their words.
    fn is_usual(&self, note: &str, line: &Raw<'_>) -> bool {
        let (Some(head), None) = (&self.head, self.exact_until) else { return false };
        let sha256 = hex(&self.hash.clone().finalize());
        let sha256 = std::str::from_utf8(&sha256).expect("BUG: hex is text");
        let mut rest = Rest(note);
        let written = write!(
            rest,
            "{ORIGIN}{}/{}\\nlines {}\\nbytes {}\\nsha256 {sha256}\\ntime {}\\nstate open\\n",
            head.service, head.run, self.at, self.bytes, line.ts
        );
        // A name with an escape is spelled otherwise than it is.
        let escapes = |name: &str| plain(name.as_bytes()) < name.len();
        written.is_ok() && rest.0.is_empty() && line.mono == self.mono && !escapes(&head.service) && !escapes(&head.run)
    }

    /// What a note says against what was read.
    fn read_note(&self, text: &str, line: &Raw<'_>) -> Result<SealState, String> {
        let note = SixLines::parse(text).ok_or("its note is not six lines of the known form")?;
        if self.session.is_none() {
            return Err("no session was opened".into());
        }
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
        Ok(note.state)
    }
}

/// What is still to come of a text that is written a second time; anything else fails.
struct Rest<'t>(&'t str);

impl Write for Rest<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(text).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// The members of a seal, each between its quotes as it is spelled. Half of the lines of a log are seals, so nothing is made of
/// them that is not asked for.
struct Members<'d> {
    note: &'d str,
    ns: &'d str,
    proof: &'d str,
    /// The proof is a signature, and not a MAC.
    signed: bool,
}

impl<'d> Members<'d> {
    fn of(data: &'d str) -> Option<Self> {
        let (note, rest) = json::spelled(data.strip_prefix("{\"note\":")?)?;
        let (ns, rest) = json::spelled(rest.strip_prefix(",\"ns\":")?)?;
        let (signed, rest) = match rest.strip_prefix(",\"sig\":") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix(",\"mac\":")?),
        };
        let (proof, rest) = json::spelled(rest)?;
        (rest == "}").then_some(Members { note, ns, proof, signed })
    }

    fn proof(&self) -> Proof<'d> {
        let proof = text(self.proof);
        if self.signed { Proof::Sig(proof) } else { Proof::Mac(proof) }
    }
}

fn text(inside: &str) -> Cow<'_, str> {
    json::unescaped(inside).unwrap_or_else(|| panic!("BUG: a checked line has whole escapes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::super::owner::OwnerKey;
    use super::super::statement::Session;
    use super::*;
    use crate::journal::note::Note;
    use crate::journal::scan::Head;
    use crate::sign::session::SessionKey;
    use crate::sign::{PublicKey, Signer};

    const TIME: &str = "2026-11-20T23:40:07.152367Z";

    /// A log of 7 lines and 70 bytes, and the line of a seal with this note behind it.
    fn sealed(service: &str, note: &str) -> (Scan<'static>, String) {
        let mut scan = Scan::new(Seals::All, None);
        let (run, environment, plan_sha256) = ("r".to_string(), String::new(), String::new());
        scan.head = Some(Head { run, service: service.into(), environment, plan_sha256 });
        let key = PublicKey::from_line(&SessionKey::from_seed([1; 32]).public()).unwrap();
        let opened: Timestamp = TIME.parse().unwrap();
        scan.session = Some(Session {
            owner: String::new(),
            key: OwnerKey::Ssh(key.clone()),
            session: key,
            not_before: opened,
            not_after: opened,
            assurance: String::new(),
            opened,
            jumped: false,
        });
        (scan.at, scan.bytes, scan.mono) = (7, 70, 5);
        scan.hash.update(b"what was read");
        let prev = "0".repeat(64);
        let line = format!(
            "{{\"v\":1,\"seq\":7,\"run\":\"r\",\"ts\":\"{TIME}\",\"mono\":5,\"type\":\"seal\",\"prev\":\"{prev}\",\"data\":{{\"note\":{note},\"ns\":\"\",\"sig\":\"\"}}}}\n"
        );
        (scan, line)
    }

    fn note(service: &str, state: SealState) -> String {
        let origin = crate::journal::origin(service, "r");
        let sha256 = sealed(service, "").0.prefix();
        let note = Note { origin, lines: 7, bytes: 70, sha256, time: TIME.into(), state };
        serde_json::to_string(&note.text()).unwrap()
    }

    /// Both readings of a note; whether it is the usual one.
    fn usual((scan, line): (Scan<'_>, String)) -> bool {
        let Ok(line) = Raw::parse(line.as_bytes()) else { return false };
        let Some(members) = Members::of(line.data) else { return false };
        let usual = scan.is_usual(members.note, &line);
        if usual {
            assert_eq!(scan.read_note(&text(members.note), &line), Ok(SealState::Open), "{}", line.data);
        }
        usual
    }

    #[test]
    fn the_usual_note_is_that_of_what_was_read() {
        let open = note("bot", SealState::Open);
        assert!(usual(sealed("bot", &open)));
        assert!(!usual(sealed("bo", &open)) && !usual(sealed("bot/r", &open)));
        assert!(!usual(sealed("bot", &note("bot", SealState::Ended))));
        // Such a name is spelled otherwise than it is.
        assert!(!usual(sealed("b\"t", &note("b\"t", SealState::Open))));
        let changes: [fn(&mut Scan<'_>); 6] = [
            |scan| scan.at = 8,
            |scan| scan.bytes = 71,
            |scan| scan.mono = 4,
            |scan| scan.hash.update(b"!"),
            |scan| scan.exact_until = Some(1),
            |scan| scan.head = None,
        ];
        for change in changes {
            let (mut scan, line) = sealed("bot", &open);
            change(&mut scan);
            assert!(!usual((scan, line)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_is_usual_is_read_as_the_same(
            service in select(&["bot", "b t", "b/r", "ä", "b\\t", "b\nlines 7"][..]),
            at in any::<Index>(),
            gone in 0..3usize,
            piece in select(&["", "0", "7", "\\n", "\\\\", "\\\"", "a", "open", " ", "/", "ä"][..]),
        ) {
            let mut note = note(service, SealState::Open).into_bytes();
            let at = 1 + at.index(note.len() - 2);
            note.splice(at..(at + gone).min(note.len() - 1), piece.bytes());
            let Ok(note) = String::from_utf8(note) else { return Ok(()) };
            usual(sealed(service, &note));
        }
    }
}
