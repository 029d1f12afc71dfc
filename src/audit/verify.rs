//! The verdict over a journal: what an auditor with nothing but the file and a list of keys may say about it.
//!
//! Reads in one pass with bounded memory. Nothing of a log is reported as a fact before the seal over it has been checked.

use std::collections::BTreeMap;
use std::io::{BufRead, Seek, SeekFrom};

use jiff::Timestamp;

use super::approval::Approved;
use super::rules::{Breach, Rules, Said};
use super::witness::Witness;
use crate::journal::SealState;
use crate::journal::blocks::{self, Hashed};
use crate::journal::line::{LONGEST_PLAN, Raw};
use crate::journal::scan::{OwnerKey, OwnerSignature, Scan, Seals};
use crate::journal::{Fault, What};
use crate::journal::{Withheld, Withholding};
use crate::run::{Doing, RunOutcome};
use crate::sign::{Signature, Signed, Trust, TrustError};

/// Breaches and owners that a report names one by one.
const MOST: usize = 100;
/// Requests for approvals and answers to them that are judged: each is kept until the end. A run has a few for each step
/// that asks.
const MOST_APPROVALS: usize = 10_000;

/// What can be said about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Closed by its owner, unchanged, by the rules.
    Complete,
    /// Sound as far as it goes, and not closed: lines behind its end may be missing.
    Interrupted,
    /// The process ended in order, and the owner has not signed.
    Ended,
    /// The owner let the run rest; it can be resumed.
    Handover,
    /// Something in the bytes does not hold.
    Broken(Fault),
    /// The bytes hold together, but nobody here trusts the key that signed.
    Untrusted(TrustError),
    /// The bytes are sound, the rules were not kept.
    Policy,
}

/// Everything found.
#[derive(Clone, Debug)]
pub struct Report {
    pub verdict: Verdict,
    pub run: String,
    pub service: String,
    pub environment: String,
    /// Sound lines and bytes.
    pub lines: u64,
    pub bytes: u64,
    pub seals: u64,
    /// Seals of session keys whose own signature was not checked, because a later one covers them.
    pub seals_covered: u64,
    pub first: Option<String>,
    pub last: Option<String>,
    /// The owner's signatures that hold and are trusted: opening, resumings, close.
    pub owners: Vec<Owner>,
    pub approved: Vec<Approved>,
    pub breaches: Vec<Breach>,
    /// Breaches beyond those.
    pub more_breaches: u64,
    pub steps_run: usize,
    pub steps_planned: usize,
    pub events: u64,
    pub outcome: Option<RunOutcome>,
    /// The step that had begun, and whose end the log does not say.
    pub open: Option<String>,
    /// What the last seal that holds says.
    pub state: Option<SealState>,
    /// The type of the record a fault is about, as far as it can be read.
    pub about: Option<String>,
    /// Sound lines under a seal whose SHA-256 was computed anew: all of them, except in a copy.
    pub recomputed: u64,
    /// In a copy: what is not there, and on whose word.
    pub withheld: Option<Withholding>,
}

/// An owner's signature, believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub signed: Signed,
    pub assurance: String,
}

/// Reads a log to its end or to its first fault.
///
/// With [`Seals::Last`] a fault is looked for once more with every seal checked: only then is it certain which line is the
/// first that does not hold, and how far the log is intact.
pub fn verify<I: BufRead + Seek>(input: &mut I, trust: &Trust, seals: Seals) -> std::io::Result<Report> {
    let start = input.stream_position()?;
    let report = read(input, trust, seals, None)?;
    if seals == Seals::Last && matches!(report.verdict, Verdict::Broken(_)) {
        input.seek(SeekFrom::Start(start))?;
        let precise = read(input, trust, Seals::All, None)?;
        // A file that changes while it is read must not come out better the second time.
        return Ok(if matches!(precise.verdict, Verdict::Broken(_)) { precise } else { report });
    }
    Ok(report)
}

/// One pass over a log, or over a copy in which these records are withheld.
pub(super) fn read(
    input: &mut dyn BufRead,
    trust: &Trust,
    seals: Seals,
    withheld: Option<&BTreeMap<u64, Withheld>>,
) -> std::io::Result<Report> {
    let mut reading = Reading::new(trust, seals, withheld);
    let found = blocks::each(input, |line, ahead, hashed| reading.take(line, ahead, hashed))?;
    let found = found.and_then(|()| reading.end());
    Ok(reading.report(found))
}

/// The latest time the log has reached, and the process time at which: time goes on at least as fast as the process counted,
/// whatever the wall clock said, so one that was set back makes nothing earlier.
struct Passed {
    us: i64,
    mono: u64,
}

impl Default for Passed {
    fn default() -> Self {
        Passed { us: i64::MIN, mono: 0 }
    }
}

impl Passed {
    /// Goes on to a line; every line counts, also those that nobody judges. Seconds since 1970.
    fn at(&mut self, line: &Raw<'_>) -> i64 {
        let begins = matches!(line.kind, "run.opened" | "run.resumed");
        let passed = if begins { 0 } else { i64::try_from(line.mono.saturating_sub(self.mono)).unwrap_or(i64::MAX) };
        self.us = line.time.as_microsecond().max(self.us.saturating_add(passed));
        self.mono = line.mono;
        self.us.div_euclid(1_000_000)
    }
}

/// One record that no seal covers yet. What it says is kept beside, behind that of the one before it.
struct Held {
    seq: u64,
    time: Timestamp,
    kind: &'static str,
    /// Bytes of what it says.
    len: usize,
    /// By the time that cannot be set back.
    now: i64,
    whole: bool,
}

/// The judgement so far. What it keeps does not grow with the log: one group, and of everything else a limited number.
struct Reading<'t> {
    trust: &'t Trust,
    scan: Scan<'t>,
    rules: Rules<'t>,
    withheld: Option<&'t BTreeMap<u64, Withheld>>,
    /// What was read since the last seal, in its order.
    held: Vec<Held>,
    /// What its records say.
    said: String,
    passed: Passed,
    owners: Vec<Owner>,
    untrusted: Option<TrustError>,
    breaches: Vec<Breach>,
    more_breaches: u64,
    approvals: usize,
    seals: u64,
    first: Option<String>,
    last: Option<String>,
    before: Option<&'static str>,
    about: Option<String>,
}

impl<'t> Reading<'t> {
    fn new(trust: &'t Trust, seals: Seals, withheld: Option<&'t BTreeMap<u64, Withheld>>) -> Self {
        let scan = Scan::new(seals, trust.shared.as_ref());
        let scan = withheld.into_iter().fold(scan, Scan::of_copy);
        Reading {
            trust,
            scan,
            rules: Rules::new(&trust.signers),
            withheld,
            held: Vec::new(),
            said: String::new(),
            passed: Passed::default(),
            owners: Vec::new(),
            untrusted: None,
            breaches: Vec::new(),
            more_breaches: 0,
            approvals: 0,
            seals: 0,
            first: None,
            last: None,
            before: None,
            about: None,
        }
    }

    fn take(&mut self, bytes: &[u8], ahead: &[u8], hashed: &Hashed) -> Result<(), Fault> {
        if bytes.last() != Some(&b'\n') {
            let unsealed = self.scan.bytes() - self.scan.sealed.bytes + bytes.len() as u64;
            let what = if bytes.len() > LONGEST_PLAN {
                What::Unreadable(format!("it is longer than {LONGEST_PLAN} bytes"))
            } else {
                What::Unsealed { bytes: unsealed }
            };
            return Err(self.scan.fault(what));
        }
        let line = match self.scan.take_hashed(bytes, (!ahead.is_empty()).then_some(ahead), hashed) {
            Ok(line) => line,
            Err(fault) => {
                let own = Raw::parse(bytes).ok().filter(|line| line.seq == fault.record).map(|line| line.kind);
                let before = self.before.filter(|_| fault.record + 1 == self.scan.lines());
                self.about = own.or(before).map(String::from);
                return Err(fault);
            }
        };
        self.before = Some(line.kind);
        if self.first.is_none() {
            self.first = Some(line.ts.to_string());
        }
        let now = self.passed.at(&line);
        let whole = self.withheld.is_none_or(|withheld| !withheld.contains_key(&line.seq));
        if line.kind != "seal" {
            self.said.push_str(line.data);
            let Raw { seq, time, kind, data, .. } = line;
            self.held.push(Held { seq, time, kind, len: data.len(), now, whole });
        }
        if line.kind == "seal" {
            self.seals += 1;
            let last = self.last.get_or_insert_default();
            last.clear();
            last.push_str(line.ts);
            self.sealed();
        }
        Ok(())
    }

    /// Everything read so far stands under a seal: now it may be judged.
    fn sealed(&mut self) {
        for signature in self.scan.owners.drain(..) {
            match believe(&signature, self.trust) {
                Ok(owner) if self.owners.len() < MOST || !self.owners.contains(&owner) => self.owners.push(owner),
                Ok(_) => {}
                Err(error) => {
                    self.untrusted.get_or_insert(error);
                }
            }
        }
        let head = self.scan.head().unwrap_or_else(|| panic!("BUG: a seal before the opening"));
        let mut rest = self.said.as_str();
        for Held { seq, time, kind, len, now, whole } in self.held.drain(..) {
            let (data, behind) = rest.split_at(len);
            rest = behind;
            if let Some(witness) = Witness::of(kind, data) {
                self.rules.saw(seq, if whole { &witness } else { &Witness::Withheld });
                continue;
            }
            let approval = kind.starts_with("approval.");
            self.approvals += usize::from(approval);
            if self.approvals <= MOST_APPROVALS {
                self.rules.take(&Said { seq, time, kind, data }, now, head, whole);
            } else if approval && self.approvals == MOST_APPROVALS + 1 {
                let what =
                    format!("more than {MOST_APPROVALS} records about approvals; nothing was judged from here on");
                self.rules.breaches.push(Breach { record: seq, what });
            }
        }
        self.said.clear();
        self.keep();
    }

    /// Takes over what the rules found, up to a number that people can still read.
    fn keep(&mut self) {
        for breach in self.rules.breaches.drain(..) {
            if self.breaches.len() < MOST {
                self.breaches.push(breach);
            } else {
                self.more_breaches += 1;
            }
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        let sealed = &self.scan.sealed;
        if self.scan.lines() == 0 {
            return Err(self.scan.fault(What::Empty));
        }
        if self.scan.lines() > sealed.lines {
            let bytes = self.scan.bytes() - sealed.bytes;
            return Err(Fault { record: sealed.lines, offset: sealed.bytes, what: What::Unsealed { bytes } });
        }
        self.scan.finish()
    }

    fn report(mut self, found: Result<(), Fault>) -> Report {
        let Reading { scan, rules, .. } = &mut self;
        let over = rules.state().map(|state| matches!(state.doing, Doing::Ended(_)));
        let against = match (scan.state, over) {
            (Some(SealState::Closed), Some(false)) => Some("the owner closed the log before the run had ended"),
            (Some(SealState::Handover), Some(true)) => Some("the owner handed over a run that had ended"),
            _ => None,
        };
        if let Some(what) = against.map(String::from) {
            rules.breaches.push(Breach { record: scan.sealed.lines.saturating_sub(1), what });
        }
        self.keep();
        let Reading { scan, rules, .. } = self;
        let verdict = match (found, self.untrusted, scan.state) {
            (Err(fault), _, _) => Verdict::Broken(fault),
            (_, Some(error), _) => Verdict::Untrusted(error),
            _ if !self.breaches.is_empty() => Verdict::Policy,
            (_, _, Some(SealState::Closed)) => Verdict::Complete,
            (_, _, Some(SealState::Handover)) => Verdict::Handover,
            (_, _, Some(SealState::Ended)) => Verdict::Ended,
            _ => Verdict::Interrupted,
        };
        let head = scan.head();
        Report {
            verdict,
            run: head.map_or(String::new(), |h| h.run.clone()),
            service: head.map_or(String::new(), |h| h.service.clone()),
            environment: head.map_or(String::new(), |h| h.environment.clone()),
            lines: scan.sealed.lines,
            bytes: scan.sealed.bytes,
            seals: self.seals,
            seals_covered: self.seals.saturating_sub(scan.seals_checked + scan.owner_seals),
            first: self.first,
            last: self.last,
            owners: self.owners,
            breaches: self.breaches,
            more_breaches: self.more_breaches,
            steps_run: rules.steps_run.len(),
            steps_planned: rules.plan().map_or(0, |p| p.forward.len() + p.rollback.len()),
            events: rules.events,
            outcome: rules.outcome,
            open: rules.open(),
            state: scan.state,
            about: self.about,
            recomputed: scan.recomputed(),
            withheld: None,
            approved: rules.approved(),
        }
    }
}

fn believe(signature: &OwnerSignature, trust: &Trust) -> Result<Owner, TrustError> {
    let assurance = signature.assurance.clone();
    match &signature.key {
        OwnerKey::Ssh(key) => {
            let who = Some(signature.owner.as_str());
            let (key, touch) = (key.clone(), signature.touch);
            let made = Signature { key, touch };
            let signed = trust.signers.check_signature(who, signature.namespace, &made, signature.time)?;
            Ok(Owner { signed, assurance })
        }
        OwnerKey::Shared(id) if signature.checked => {
            let (principal, fingerprint) = (signature.owner.clone(), id.clone());
            let signed = Signed { principal, fingerprint, kind: "shared key".into(), touch: None, authority: None };
            // It is what was checked just now, whatever the log says of itself.
            Ok(Owner { signed, assurance: "shared-key".into() })
        }
        OwnerKey::Shared(id) => Err(TrustError::Unknown { fingerprint: id.clone() }),
    }
}
