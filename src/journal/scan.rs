//! Reading a journal line by line and believing nothing: grammar, chain, seals, statements and times. Whom to trust and
//! whether the rules of a run were kept is for others; this only says that the bytes are the ones that were written.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::fault::{Fault, What};
use super::json;
use super::line::{Line, instant, is_digest};
use super::note::{Note, SealState, origin};
use crate::sign::hmac::SharedKey;
use crate::sign::{PublicKey, namespace, sshsig};

/// The longest a session key may live.
const SESSION: SignedDuration = SignedDuration::from_hours(12);

/// Which seals of session keys are checked. The last one of a session covers all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seals {
    All,
    Last,
}

/// Whose signature stands under an opening, a resuming or a close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerKey {
    Ssh(PublicKey),
    /// A shared key, by its id.
    Shared(String),
}

/// One signature of an owner, found good over its bytes; whether to believe the key is another question.
#[derive(Clone, Debug)]
pub struct OwnerSignature {
    pub owner: String,
    pub key: OwnerKey,
    pub namespace: &'static str,
    pub time: Timestamp,
    pub assurance: String,
    /// False for a shared key that the verifier does not have.
    pub checked: bool,
}

/// What the first statement says.
#[derive(Clone, Debug)]
pub struct Head {
    pub run: String,
    pub service: String,
    pub environment: String,
    pub plan_sha256: String,
}

/// Where the sealed part ends.
#[derive(Clone)]
pub struct Sealed {
    pub lines: u64,
    pub bytes: u64,
    pub prev: String,
    pub hash: Sha256,
}

struct Session {
    owner: String,
    key: OwnerKey,
    session: PublicKey,
    not_before: Timestamp,
    not_after: Timestamp,
    assurance: String,
    /// When its first record was written, for the check against `mono`.
    opened: Timestamp,
    jumped: bool,
}

/// A seal whose signature is still to be checked.
struct Unchecked {
    record: u64,
    offset: u64,
    note: String,
    sig: String,
}

/// The reading so far.
pub struct Scan<'k> {
    seals: Seals,
    shared: Option<&'k SharedKey>,
    at: u64,
    bytes: u64,
    prev: String,
    hash: Sha256,
    head: Option<Head>,
    session: Option<Session>,
    unchecked: Option<Unchecked>,
    pub(super) last: Option<Timestamp>,
    /// Bytes of the line before.
    last_len: u64,
    pub(super) mono: u64,
    /// Records since the last seal, whether one of them notes a jump of the clock, and the one whose time went back.
    group: u64,
    jump_noted: bool,
    went_back: Option<Fault>,
    pub sealed: Sealed,
    pub state: Option<SealState>,
    pub owners: Vec<OwnerSignature>,
    pub seals_checked: u64,
}

impl<'k> Scan<'k> {
    pub fn new(seals: Seals, shared: Option<&'k SharedKey>) -> Self {
        let zero = "0".repeat(64);
        Scan {
            seals,
            shared,
            at: 0,
            bytes: 0,
            prev: zero.clone(),
            hash: Sha256::new(),
            head: None,
            session: None,
            unchecked: None,
            last: None,
            last_len: 0,
            mono: 0,
            group: 0,
            jump_noted: false,
            went_back: None,
            sealed: Sealed { lines: 0, bytes: 0, prev: zero, hash: Sha256::new() },
            state: None,
            owners: Vec::new(),
            seals_checked: 0,
        }
    }

    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Lines read so far.
    pub fn lines(&self) -> u64 {
        self.at
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn fault(&self, what: What) -> Fault {
        Fault { record: self.at, offset: self.bytes, what }
    }

    /// Takes in the next line. `ahead` is the line behind it: where two lines do not fit together it tells which of the
    /// two was changed.
    pub fn take(&mut self, bytes: &[u8], ahead: Option<&[u8]>) -> Result<Line, Fault> {
        let line = Line::parse(bytes).map_err(|why| self.fault(What::Unreadable(why)))?;
        self.place(&line, bytes, ahead)?;
        self.order(&line)?;
        self.time(&line)?;
        match line.kind.as_str() {
            "run.opened" | "run.resumed" => self.statement(&line)?,
            "seal" => self.seal(&line)?,
            _ => {}
        }
        if line.kind == "clock.anomaly" {
            self.jump_noted = true;
            if let Some(session) = &mut self.session {
                session.jumped = true;
            }
        }
        self.prev = hex(&Sha256::digest(bytes));
        self.hash.update(bytes);
        self.last_len = bytes.len() as u64;
        self.bytes += self.last_len;
        self.at += 1;
        self.group += 1;
        if line.kind == "seal" {
            self.group = 0;
            self.jump_noted = false;
            self.sealed =
                Sealed { lines: self.at, bytes: self.bytes, prev: self.prev.clone(), hash: self.hash.clone() };
        }
        self.last = Some(line.time);
        self.mono = line.mono;
        Ok(line)
    }

    /// Checks what was put off.
    pub fn finish(&mut self) -> Result<(), Fault> {
        let Some(Unchecked { record, offset, note, sig }) = self.unchecked.take() else { return Ok(()) };
        let Some(session) = &self.session else { panic!("BUG: a seal without a session") };
        self.seals_checked += 1;
        by(&session.session, namespace::SEAL, &note, &sig).map_err(|why| Fault {
            record,
            offset,
            what: What::Seal(why),
        })
    }

    fn place(&self, line: &Line, bytes: &[u8], ahead: Option<&[u8]>) -> Result<(), Fault> {
        if let Some(head) = &self.head
            && line.run != head.run
        {
            return Err(self.fault(What::OtherRun { found: line.run.clone() }));
        }
        if line.prev == self.prev {
            // It fits behind the line before it, so only its own number can be wrong.
            return if line.seq == self.at { Ok(()) } else { Err(self.fault(What::Changed)) };
        }
        if line.seq > self.at {
            return Err(self.fault(What::Missing { found: line.seq }));
        }
        if line.seq < self.at {
            return Err(self.fault(What::Moved { found: line.seq }));
        }
        Err(if self.at > 0 && self.intact(line, bytes, ahead) {
            let offset = self.bytes - self.last_len;
            Fault { record: self.at - 1, offset, what: What::Changed }
        } else {
            self.fault(What::Changed)
        })
    }

    /// Whether a line that does not fit behind the one before it is itself as it was written: the next line says so, or, at
    /// the end, the seal in it, which would fit the bytes before it if only its own `prev` had been changed.
    fn intact(&self, line: &Line, bytes: &[u8], ahead: Option<&[u8]>) -> bool {
        if let Some(next) = ahead.and_then(|ahead| Line::parse(ahead).ok()) {
            return next.prev == hex(&Sha256::digest(bytes));
        }
        let note = line.data["note"].as_str().and_then(Note::parse);
        note.is_none_or(|note| note.sha256 != hex(&self.hash.clone().finalize()))
    }

    fn order(&self, line: &Line) -> Result<(), Fault> {
        let wrong = |why: &str| Err(self.fault(What::Order(why.into())));
        let kind = line.kind.as_str();
        match (self.at, kind) {
            (0, "run.opened") | (1, "plan.loaded") => return Ok(()),
            (0, _) => return wrong("a log begins with `run.opened`"),
            (1, _) => return wrong("the plan comes second"),
            (_, "run.opened") => return wrong("it opens a run that is open already"),
            (_, "plan.loaded") => return wrong("a run has one plan"),
            _ => {}
        }
        let closes = kind == "seal";
        match self.state {
            _ if self.group > 0 && kind == "run.resumed" => wrong("a run is resumed behind a seal only"),
            _ if self.group > 0 => Ok(()),
            Some(SealState::Closed | SealState::Aborted) => wrong("the owner closed the log before it"),
            Some(SealState::Handover) if kind != "run.resumed" => wrong("the log was handed over and not resumed"),
            Some(SealState::Ended) if kind != "run.resumed" && !closes => {
                wrong("the process had ended and the run was not resumed")
            }
            _ => Ok(()),
        }
    }

    fn time(&mut self, line: &Line) -> Result<(), Fault> {
        if line.kind == "run.opened" || line.kind == "run.resumed" {
            return Ok(());
        }
        if line.mono < self.mono {
            return Err(self.fault(What::Time(format!("`mono` goes back from {} to {}", self.mono, line.mono))));
        }
        if let Some(last) = self.last.filter(|last| line.time < *last)
            && self.went_back.is_none()
        {
            let why = format!("the clock goes back from {last} to {} and no `clock.anomaly` says so", line.time);
            self.went_back = Some(self.fault(What::Time(why)));
        }
        if line.kind == "seal"
            && let Some(fault) = self.went_back.take()
            && !self.jump_noted
        {
            return Err(fault);
        }
        Ok(())
    }

    fn statement(&mut self, line: &Line) -> Result<(), Fault> {
        let session = self.read_statement(line).map_err(|why| self.fault(What::Statement(why)))?;
        // The seals of the session before are checked before its key is forgotten.
        self.finish()?;
        self.session = Some(session);
        Ok(())
    }

    fn read_statement(&mut self, line: &Line) -> Result<Session, String> {
        let resumes = line.kind == "run.resumed";
        let data =
            members(&line.data, &[&["statement", "ns", "sig", "claims"], &["statement", "ns", "mac", "claims"]])?;
        let text = word(data, "statement")?;
        if word(data, "ns")? != namespace::OPEN {
            return Err(format!("it is not for `{}`", namespace::OPEN));
        }
        let Ok(Value::Object(said)) = json::parse(text) else {
            return Err("it is not an object of this format".into());
        };
        let wanted = if resumes { "bgctl/resuming/v1" } else { "bgctl/opening/v1" };
        if word(&said, "_type")? != wanted {
            return Err(format!("it is no `{wanted}`"));
        }
        if word(&said, "run")? != line.run {
            return Err("it is for another run".into());
        }
        let head = Head {
            run: line.run.clone(),
            service: word(&said, "service")?.into(),
            environment: word(&said, "environment")?.into(),
            plan_sha256: word(&said, "plan_sha256")?.into(),
        };
        if !is_digest(&head.plan_sha256) {
            return Err("`plan_sha256` is no digest".into());
        }
        match &self.head {
            Some(first) if first.service != head.service || first.environment != head.environment => {
                return Err("it is for another service or environment than the opening".into());
            }
            Some(first) if first.plan_sha256 != head.plan_sha256 => return Err("it is for another plan".into()),
            _ => {}
        }
        if resumes {
            let prefix = hex(&self.hash.clone().finalize());
            if said.get("log_lines").and_then(Value::as_u64) != Some(self.at) || word(&said, "log_sha256")? != prefix {
                return Err("it goes on from another log than the one before it".into());
            }
        }
        let moment = |name: &str| instant(word(&said, name)?).ok_or_else(|| format!("`{name}` is no time"));
        let (not_before, not_after) = (moment("not_before")?, moment("not_after")?);
        if not_after < not_before || not_after.duration_since(not_before) > SESSION {
            return Err("its session is longer than 12 hours".into());
        }
        let session = PublicKey::from_line(word(&said, "session_key")?).map_err(|e| e.to_string())?;
        let owner_key = word(&said, "owner_key")?;
        let assurance = word(&said, "assurance")?.to_string();
        let owner = word(&said, "owner")?.to_string();
        let key = match owner_key.strip_prefix("hmac-sha256 ") {
            Some(id) => OwnerKey::Shared(id.into()),
            None => OwnerKey::Ssh(PublicKey::from_line(owner_key).map_err(|e| e.to_string())?),
        };
        let checked = self.check_owner(&key, data, namespace::OPEN, text)?;
        let time = line.time;
        let namespace = namespace::OPEN;
        let (by, label) = (owner.clone(), assurance.clone());
        self.owners.push(OwnerSignature { owner: by, key: key.clone(), namespace, time, assurance: label, checked });
        if self.head.is_none() {
            self.head = Some(head);
        }
        Ok(Session { owner, key, session, not_before, not_after, assurance, opened: line.time, jumped: false })
    }

    /// Checks the owner's signature or MAC over the text; false where the shared key is not at hand.
    fn check_owner(&self, key: &OwnerKey, data: &Map<String, Value>, space: &str, text: &str) -> Result<bool, String> {
        match (key, data.get("sig").and_then(Value::as_str), data.get("mac").and_then(Value::as_str)) {
            (OwnerKey::Ssh(key), Some(sig), None) => by(key, space, text, sig).map(|()| true),
            (OwnerKey::Shared(id), None, Some(mac)) => match self.shared {
                Some(shared) if crate::sign::Signer::fingerprint(shared) == *id => {
                    shared.check(space, text.as_bytes(), mac).map_err(|e| e.to_string()).map(|()| true)
                }
                _ => Ok(false),
            },
            _ => Err("its signature is of another kind than its key".into()),
        }
    }

    fn seal(&mut self, line: &Line) -> Result<(), Fault> {
        let state = self.read_seal(line).map_err(|why| self.fault(What::Seal(why)))?;
        if state.by_owner() {
            self.finish()?;
        }
        self.state = Some(state);
        Ok(())
    }

    fn read_seal(&mut self, line: &Line) -> Result<SealState, String> {
        let data = members(&line.data, &[&["note", "ns", "sig"], &["note", "ns", "mac"]])?;
        let text = word(data, "note")?;
        let note = Note::parse(text).ok_or("its note is not six lines of the known form")?;
        let Some(session) = &self.session else { return Err("no session was opened".into()) };
        let Some(head) = &self.head else { return Err("no run was opened".into()) };
        if note.origin != origin(&head.service, &head.run) {
            return Err(format!("it is for `{}`", note.origin));
        }
        if note.lines != self.at || note.bytes != self.bytes {
            return Err(format!(
                "it covers {} lines and {} bytes; there are {} and {}",
                note.lines, note.bytes, self.at, self.bytes
            ));
        }
        if note.sha256 != hex(&self.hash.clone().finalize()) {
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
        if word(data, "ns")? != space {
            return Err(format!("`state {}` is signed for `{space}` only", note.state.name()));
        }
        if note.state.by_owner() {
            let checked = self.check_owner(&session.key, data, space, text)?;
            let (owner, key) = (session.owner.clone(), session.key.clone());
            let (assurance, time) = (session.assurance.clone(), line.time);
            let namespace = namespace::CLOSE;
            self.owners.push(OwnerSignature { owner, key, namespace, time, assurance, checked });
            return Ok(note.state);
        }
        let within = |time: Timestamp| session.not_before <= time && time <= session.not_after;
        let by_mono = i64::try_from(line.mono)
            .ok()
            .and_then(|us| session.opened.checked_add(SignedDuration::from_micros(us)).ok());
        if !by_mono.is_some_and(within) || !(session.jumped || within(line.time)) {
            return Err(format!("its session ran from {} to {}", session.not_before, session.not_after));
        }
        let Some(sig) = data.get("sig").and_then(Value::as_str) else {
            return Err("a session key signs, it has no MAC".into());
        };
        match self.seals {
            Seals::All => {
                by(&session.session, space, text, sig)?;
                self.seals_checked += 1;
            }
            Seals::Last => {
                if !sshsig::is_canonical(sig) {
                    return Err("its signature is not in the usual form".into());
                }
                let (note, sig) = (text.to_string(), sig.to_string());
                self.unchecked = Some(Unchecked { record: self.at, offset: self.bytes, note, sig });
            }
        }
        Ok(note.state)
    }
}

/// The signature holds, is in its one form, and is by this key.
pub(super) fn by(key: &PublicKey, space: &str, text: &str, sig: &str) -> Result<(), String> {
    let found = sshsig::verify(space, text.as_bytes(), sig).map_err(|e| e.to_string())?;
    if found != *key {
        return Err(format!("it was signed with {}, not with {}", found.fingerprint(), key.fingerprint()));
    }
    if sshsig::is_canonical(sig) { Ok(()) } else { Err("its signature is not in the usual form".into()) }
}

fn members<'v>(data: &'v Value, allowed: &[&[&str]]) -> Result<&'v Map<String, Value>, String> {
    let Value::Object(map) = data else { return Err("its data are not an object".into()) };
    let fits = allowed.iter().any(|names| map.keys().map(String::as_str).eq(names.iter().copied()));
    if fits { Ok(map) } else { Err(format!("its members are not {}", allowed[0].join(" "))) }
}

fn word<'v>(map: &'v Map<String, Value>, name: &str) -> Result<&'v str, String> {
    map.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing or no text"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
