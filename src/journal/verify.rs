//! The verdict over a journal: what an auditor with nothing but the file and a list of keys may say about it.
//!
//! Reads in one pass with bounded memory. Nothing of a log is reported as a fact before the seal over it has been checked.

use std::io::{BufRead, Read};

use super::fault::{Fault, What};
use super::line::{LONGEST_PLAN, Line};
use super::note::SealState;
use super::rules::{Approved, Breach, Rules};
use super::scan::{OwnerKey, OwnerSignature, Scan, Seals};
use crate::run::{Doing, RunOutcome};
use crate::sign::hmac::SharedKey;
use crate::sign::{AllowedSigners, Signed, TrustError};

/// Whom the verifier believes.
#[derive(Default)]
pub struct Trust {
    pub signers: AllowedSigners,
    /// For logs of a shared key.
    pub shared: Option<SharedKey>,
}

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
    pub first: Option<String>,
    pub last: Option<String>,
    /// The owner's signatures that hold and are trusted: opening, resumings, close.
    pub owners: Vec<Owner>,
    pub approved: Vec<Approved>,
    pub breaches: Vec<Breach>,
    pub steps_run: usize,
    pub steps_planned: usize,
    pub events: u64,
    pub outcome: Option<RunOutcome>,
    /// What the last seal that holds says.
    pub state: Option<SealState>,
    /// The type of the record a fault is about, as far as it can be read.
    pub about: Option<String>,
}

/// An owner's signature, believed.
#[derive(Clone, Debug)]
pub struct Owner {
    pub signed: Signed,
    pub assurance: String,
}

/// Reads a log to its end or to its first fault.
pub fn verify(input: &mut dyn BufRead, trust: &Trust, seals: Seals) -> std::io::Result<Report> {
    let mut scan = Scan::new(seals, trust.shared.as_ref());
    let mut rules = Rules::new(&trust.signers);
    let mut held: Vec<Line> = Vec::new();
    let (mut first, mut last, mut sealed) = (None, None, 0);
    let mut about = None;
    let mut line = next(input)?;
    let found = loop {
        let Some(bytes) = line else {
            break if scan.lines() == 0 {
                Err(scan.fault(What::Empty))
            } else if held.is_empty() {
                scan.finish()
            } else {
                let bytes = scan.bytes() - scan.sealed.bytes;
                Err(Fault { record: scan.sealed.lines, offset: scan.sealed.bytes, what: What::Unsealed { bytes } })
            };
        };
        if bytes.last() != Some(&b'\n') {
            let bytes = scan.bytes() - scan.sealed.bytes + bytes.len() as u64;
            let what = if bytes > LONGEST_PLAN as u64 {
                What::Unreadable(format!("it is longer than {LONGEST_PLAN} bytes"))
            } else {
                What::Unsealed { bytes }
            };
            break Err(scan.fault(what));
        }
        let ahead = next(input)?;
        match scan.take(&bytes, ahead.as_deref()) {
            Ok(read) => {
                first.get_or_insert_with(|| read.ts.clone());
                let seal = read.kind == "seal";
                if seal {
                    last = Some(read.ts.clone());
                    sealed += 1;
                }
                held.push(read);
                if seal {
                    let head = scan.head().unwrap_or_else(|| panic!("BUG: a seal before the opening"));
                    held.drain(..).for_each(|line| rules.take(&line, head));
                }
            }
            Err(fault) => {
                about = Line::parse(&bytes).ok().filter(|l| l.seq == fault.record).map(|l| l.kind);
                about = about.or_else(|| held.last().filter(|l| l.seq == fault.record).map(|l| l.kind.clone()));
                break Err(fault);
            }
        }
        line = ahead;
    };
    let (mut owners, mut untrusted) = (Vec::new(), None);
    for signature in &scan.owners {
        match believe(signature, trust) {
            Ok(owner) => owners.push(owner),
            Err(error) => {
                untrusted.get_or_insert(error);
            }
        }
    }
    if let (Some(SealState::Closed), Some(state)) = (scan.state, rules.state())
        && !matches!(state.doing, Doing::Ended(_))
    {
        let what = "the owner closed the log before the run had ended".into();
        rules.breaches.push(Breach { record: scan.sealed.lines.saturating_sub(1), what });
    }
    let verdict = match (found, untrusted, scan.state) {
        (Err(fault), _, _) => Verdict::Broken(fault),
        (_, Some(error), _) => Verdict::Untrusted(error),
        _ if !rules.breaches.is_empty() => Verdict::Policy,
        (_, _, Some(SealState::Closed | SealState::Aborted)) => Verdict::Complete,
        (_, _, Some(SealState::Handover)) => Verdict::Handover,
        (_, _, Some(SealState::Ended)) => Verdict::Ended,
        _ => Verdict::Interrupted,
    };
    let head = scan.head();
    Ok(Report {
        verdict,
        run: head.map_or(String::new(), |h| h.run.clone()),
        service: head.map_or(String::new(), |h| h.service.clone()),
        environment: head.map_or(String::new(), |h| h.environment.clone()),
        lines: scan.sealed.lines,
        bytes: scan.sealed.bytes,
        seals: sealed,
        first,
        last,
        owners,
        approved: std::mem::take(&mut rules.approved),
        steps_run: rules.steps_run.len(),
        steps_planned: rules.plan().map_or(0, |p| p.forward.len() + p.rollback.len()),
        events: rules.events,
        outcome: rules.outcome,
        state: scan.state,
        breaches: rules.breaches,
        about,
    })
}

fn believe(signature: &OwnerSignature, trust: &Trust) -> Result<Owner, TrustError> {
    let assurance = signature.assurance.clone();
    match &signature.key {
        OwnerKey::Ssh(key) => {
            let who = Some(signature.owner.as_str());
            let signed = trust.signers.check_key(who, signature.namespace, key, signature.time)?;
            Ok(Owner { signed, assurance })
        }
        OwnerKey::Shared(id) if signature.checked => {
            let (principal, fingerprint) = (signature.owner.clone(), id.clone());
            let signed = Signed { principal, fingerprint, kind: "shared key".into(), touch: None, authority: None };
            Ok(Owner { signed, assurance })
        }
        OwnerKey::Shared(id) => Err(TrustError::Unknown { fingerprint: id.clone() }),
    }
}

/// The next line with its line end; shorter than that at the end of the input, and never longer than any line may be.
fn next(input: &mut dyn BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let len = input.take(LONGEST_PLAN as u64 + 1).read_until(b'\n', &mut line)?;
    Ok((len > 0).then_some(line))
}
