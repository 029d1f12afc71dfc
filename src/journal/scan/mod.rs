//! Reading a journal line by line and believing nothing: grammar, chain, seals, statements and times. Whom to trust and
//! whether the rules of a run were kept is for others; this only says that the bytes are the ones that were written.

mod owner;
mod pass;
mod seal;
mod statement;

use std::collections::BTreeMap;

use base16ct::lower::encode_string as hex;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub use owner::{OwnerKey, OwnerSignature, by};
pub use pass::{Look, Pass};
use seal::Unchecked;
use statement::Session;

use super::blocks::Hashed;
use super::fault::{Fault, What};
use super::line::{LONGEST_GROUP, Raw};
use super::note::{Note, SealState};
use super::withheld::Withheld;
use crate::sign::hmac::SharedKey;

/// Which seals of session keys are checked. The last one of a session covers all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seals {
    All,
    Last,
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

/// The reading so far.
#[derive(Clone)]
pub struct Scan<'k> {
    seals: Seals,
    shared: Option<&'k SharedKey>,
    /// In a copy: the lines that are not the original ones.
    withheld: Option<&'k BTreeMap<u64, Withheld>>,
    /// In a copy: the sealed lines before the first that is withheld. Until there every byte could be hashed.
    exact_until: Option<u64>,
    at: u64,
    bytes: u64,
    prev: String,
    hash: Sha256,
    head: Option<Head>,
    session: Option<Session>,
    unchecked: Option<Unchecked>,
    pub last: Option<Timestamp>,
    /// Bytes of the line before.
    last_len: u64,
    pub mono: u64,
    /// Records and bytes since the last seal, whether a record notes a jump of the clock, and the one whose time went back.
    group: u64,
    group_bytes: usize,
    jump_noted: bool,
    went_back: Option<Fault>,
    pub sealed: Sealed,
    pub state: Option<SealState>,
    pub owners: Vec<OwnerSignature>,
    /// Seals of session keys and of owners whose signatures were checked.
    pub seals_checked: u64,
    pub owner_seals: u64,
}

impl<'k> Scan<'k> {
    pub fn new(seals: Seals, shared: Option<&'k SharedKey>) -> Self {
        let zero = "0".repeat(64);
        Scan {
            seals,
            shared,
            withheld: None,
            exact_until: None,
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
            group_bytes: 0,
            jump_noted: false,
            went_back: None,
            sealed: Sealed { lines: 0, bytes: 0, prev: zero, hash: Sha256::new() },
            state: None,
            owners: Vec::new(),
            seals_checked: 0,
            owner_seals: 0,
        }
    }

    /// Reads a copy in which these lines are withheld: their hashes and lengths stand in for them.
    pub fn of_copy(self, withheld: &'k BTreeMap<u64, Withheld>) -> Self {
        Scan { withheld: Some(withheld), ..self }
    }

    /// Without what was lent to it.
    pub fn owned(self) -> Scan<'static> {
        Scan { shared: None, withheld: None, ..self }
    }

    /// Lines under a seal whose SHA-256 was computed anew.
    pub fn recomputed(&self) -> u64 {
        self.exact_until.unwrap_or(self.sealed.lines)
    }

    /// Whether a digest is that of every byte so far. Behind something withheld the bytes are not all there: the chain goes on,
    /// and the owner's word stands for the rest.
    fn is_prefix(&self, sha256: &str) -> bool {
        self.exact_until.is_some() || sha256 == self.prefix()
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

    /// SHA-256 of every byte so far.
    fn prefix(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    pub fn fault(&self, what: What) -> Fault {
        Fault { record: self.at, offset: self.bytes, what }
    }

    /// Takes in the next line. `ahead` is the line behind it: where two lines do not fit together it tells which of the
    /// two was changed.
    pub fn take<'b>(&mut self, bytes: &'b [u8], ahead: Option<&[u8]>) -> Result<Raw<'b>, Fault> {
        let hashed = Hashed::of(bytes, &self.hash);
        self.take_hashed(bytes, ahead, &hashed)
    }

    /// The same where the line was read and hashed before. In a copy, what stands for a withheld line may be in the hash of the log:
    /// nothing is held against that any more.
    pub fn take_hashed<'b>(
        &mut self,
        bytes: &'b [u8],
        ahead: Option<&[u8]>,
        hashed: &Hashed,
    ) -> Result<Raw<'b>, Fault> {
        let line = match &hashed.checked {
            Ok(checked) => checked.line(bytes),
            Err(why) => return Err(self.fault(What::Unreadable(why.clone()))),
        };
        self.group_bytes += bytes.len();
        // Nothing may be believed before its seal, so a group without an end would fill the memory of whoever reads it.
        if self.group_bytes > LONGEST_GROUP {
            return Err(self.fault(What::Order(format!("more than {LONGEST_GROUP} bytes stand there without a seal"))));
        }
        self.place(&line, bytes, ahead)?;
        self.order(&line)?;
        self.time(&line)?;
        match line.kind {
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
        match self.withheld.and_then(|withheld| withheld.get(&self.at)) {
            None => {
                self.prev.clear();
                self.prev.push_str(std::str::from_utf8(&hashed.sha256).expect("BUG: hex is text"));
                self.hash.clone_from(&hashed.log);
                self.last_len = bytes.len() as u64;
            }
            Some(withheld) if withheld.kind != line.kind => {
                return Err(self.fault(What::Redaction(format!("it withholds a `{}` there", withheld.kind))));
            }
            Some(withheld) => {
                self.prev.clone_from(&withheld.sha256);
                self.last_len = withheld.bytes;
                self.exact_until.get_or_insert(self.sealed.lines);
            }
        }
        self.bytes += self.last_len;
        self.at += 1;
        self.group += 1;
        if line.kind == "seal" {
            (self.group, self.group_bytes) = (0, 0);
            self.jump_noted = false;
            (self.sealed.lines, self.sealed.bytes) = (self.at, self.bytes);
            self.sealed.prev.clone_from(&self.prev);
            self.sealed.hash.clone_from(&self.hash);
        }
        self.last = Some(line.time);
        self.mono = line.mono;
        Ok(line)
    }

    fn place(&self, line: &Raw<'_>, bytes: &[u8], ahead: Option<&[u8]>) -> Result<(), Fault> {
        if let Some(head) = &self.head
            && line.run != head.run
        {
            return Err(self.fault(What::OtherRun { found: line.run.to_string() }));
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
    fn intact(&self, line: &Raw<'_>, bytes: &[u8], ahead: Option<&[u8]>) -> bool {
        if let Some(next) = ahead.and_then(|ahead| Raw::parse(ahead).ok()) {
            return next.prev == hex(&Sha256::digest(bytes));
        }
        let note = line.data()["note"].as_str().and_then(Note::parse);
        note.is_none_or(|note| note.sha256 != self.prefix())
    }

    fn order(&self, line: &Raw<'_>) -> Result<(), Fault> {
        let wrong = |why: &str| Err(self.fault(What::Order(why.into())));
        let kind = line.kind;
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
            Some(SealState::Closed) => wrong("the owner closed the log before it"),
            Some(SealState::Handover) if kind != "run.resumed" => wrong("the log was handed over and not resumed"),
            Some(SealState::Ended) if kind != "run.resumed" && !closes => {
                wrong("the process had ended and the run was not resumed")
            }
            _ => Ok(()),
        }
    }

    fn time(&mut self, line: &Raw<'_>) -> Result<(), Fault> {
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
}
