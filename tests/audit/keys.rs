//! Owners, sessions and shared keys over the life of a run.

use std::io::Cursor;
use std::rc::Rc;
use std::time::Duration;

use crate::rig::*;
use bgctl::audit::{Verdict, verify};
use bgctl::journal::{Append, Journal, MemoryStore, OpenError, SealState, Seals};
use bgctl::journal::{Record, StoreFault};
use bgctl::plan::Plan;
use bgctl::run::{Actor, Event, Evidence};
use bgctl::sign::Trust;
use bgctl::sign::hmac::SharedKey;
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Assurance, SignError, Signer};
use jiff::SignedDuration;

/// A key whose owner has left.
struct Gone;

impl Signer for Gone {
    fn name(&self) -> String {
        "gone".into()
    }
    fn public(&self) -> String {
        owner().public()
    }
    fn fingerprint(&self) -> String {
        owner().fingerprint()
    }
    fn assurance(&self) -> Assurance {
        Assurance::SshAgent
    }
    fn sign(&self, _: &str, _: &[u8]) -> Result<String, SignError> {
        Err(SignError::Refused { fingerprint: self.fingerprint() })
    }
}

fn resume(bytes: Vec<u8>, owner: &dyn Signer) -> Result<(Journal, MemoryStore, Rc<HandClock>), OpenError> {
    let (store, clock) = (MemoryStore::of(bytes), HandClock::new());
    clock.pass(Duration::from_secs(3600));
    let (journal, entries) = Journal::resume(Box::new(store.clone()), &who(), owner, clock.clone())?;
    assert_eq!(entries.iter().filter(|e| e.kind == "run.resumed").count(), 1);
    Ok((journal, store, clock))
}

#[test]
fn an_owner_who_left_leaves_an_ended_log_that_can_be_taken_up() {
    let mut rig = Rig::new();
    rig.walk();
    let closed = rig.journal.close(SealState::Closed, Some(&Gone)).unwrap();
    assert_eq!(closed.state, SealState::Ended);
    assert!(matches!(closed.unsigned, Some(SignError::Refused { .. })));
    let bytes = rig.store.bytes();
    assert_eq!(closed.sha256, sha256(&bytes));
    assert_eq!(verdict(&bytes), Verdict::Ended);
    let (journal, store, _) = resume(bytes, &owner()).unwrap();
    journal.close(SealState::Closed, Some(&owner())).unwrap();
    assert_eq!(verdict(&store.bytes()), Verdict::Complete);
}

#[test]
fn a_refused_key_opens_and_resumes_nothing() {
    let store = MemoryStore::new();
    let plan = plan();
    let opening = bgctl::journal::Opening { run: RUN.into(), plan: &plan, who: who(), bound: Default::default() };
    assert!(matches!(
        Journal::create(Box::new(store.clone()), opening, &Gone, HandClock::new()),
        Err(OpenError::Sign(_))
    ));
    assert!(store.bytes().is_empty());

    let mut torn = complete();
    torn.truncate(torn.len() - 50);
    let store = MemoryStore::of(torn.clone());
    assert!(Journal::resume(Box::new(store.clone()), &who(), &Gone, HandClock::new()).is_err());
    assert_eq!(store.bytes(), torn);
}

#[test]
fn a_handover_rests_and_goes_on_and_a_closed_log_does_not() {
    let mut rig = Rig::new();
    rig.arm();
    rig.journal.close(SealState::Handover, Some(&owner())).unwrap();
    let bytes = rig.store.bytes();
    assert_eq!(verdict(&bytes), Verdict::Handover);
    let (mut journal, store, clock) = resume(bytes, &owner()).unwrap();
    clock.pass(Duration::from_secs(5));
    let by = Actor { name: OWNER.into(), via: "command".into() };
    journal.append(&[Record::from(&Event::Resumed { by })]).unwrap();
    drop(journal);
    assert_eq!(verdict(&store.bytes()), Verdict::Interrupted);
    assert!(matches!(resume(complete(), &owner()), Err(OpenError::Over { .. })));
}

#[test]
fn a_session_lives_twelve_hours_also_when_the_clock_is_set_back() {
    let mut rig = Rig::new();
    rig.arm();
    rig.clock.set(SignedDuration::from_hours(-2));
    rig.clock.pass(Duration::from_secs(3600));
    let note = Record::from(&Evidence::Note { line: "still here".into() });
    rig.journal.append(std::slice::from_ref(&note)).unwrap();
    // The jump is in the log, so the time that went back is explained.
    assert_eq!(verdict(&rig.store.bytes()), Verdict::Interrupted);
    assert!(String::from_utf8(rig.store.bytes()).unwrap().contains("clock.anomaly"));
    rig.clock.pass(Duration::from_secs(12 * 3600));
    let error = rig.journal.append(std::slice::from_ref(&note)).unwrap_err();
    assert!(error.what.contains("12 hours"), "{error}");
    assert!(rig.journal.append(&[note]).is_err());
    assert_eq!(verdict(&rig.store.bytes()), Verdict::Interrupted);
}

#[test]
fn case_33_a_clock_set_forward_is_written_down_too() {
    let mut rig = Rig::new();
    rig.arm();
    rig.clock.set(SignedDuration::from_hours(1));
    let entries = rig.journal.append(&[Record::from(&Evidence::Note { line: "x".into() })]).unwrap();
    assert_eq!(entries.last().map(|e| e.kind.as_str()), Some("clock.anomaly"));
    let closed = rig.journal.close(SealState::Handover, Some(&owner())).unwrap();
    assert_eq!(closed.bytes, rig.store.bytes().len() as u64);
    assert_eq!(verdict(&rig.store.bytes()), Verdict::Handover);
}

#[test]
fn case_48_a_shared_key_proves_itself_only_to_who_holds_it() {
    let shared = || SharedKey::new(&[5; 32], "ci").unwrap();
    let mut rig = Rig::of(RUN, &shared());
    rig.walk();
    rig.journal.close(SealState::Closed, Some(&shared())).unwrap();
    let bytes = rig.store.bytes();
    let judge = |shared: Option<SharedKey>, bytes: &[u8]| {
        verify(&mut Cursor::new(bytes), &Trust { signers: signers(), shared }, Seals::All).unwrap()
    };
    let report = judge(Some(shared()), &bytes);
    assert_eq!((report.verdict, report.owners[0].assurance.as_str()), (Verdict::Complete, "shared-key"));
    let other = SharedKey::new(&[6; 32], "other").unwrap();
    assert!(matches!(judge(Some(other), &bytes).verdict, Verdict::Untrusted(_)));
    assert!(matches!(judge(None, &bytes).verdict, Verdict::Untrusted(_)));
    let text = String::from_utf8(bytes).unwrap();
    let changed = text.replacen("hmac-sha256:", "hmac-sha256:f", 1);
    assert!(matches!(judge(Some(shared()), changed.as_bytes()).verdict, Verdict::Broken(_)));
}

#[test]
fn another_person_may_take_a_run_over_and_both_stand_in_the_log() {
    let mut rig = Rig::with(
        RUN,
        &owner(),
        Plan { owners: [OWNER, APPROVER].map(|who| who.parse().unwrap()).into(), ..plan() },
        who(),
    );
    rig.arm();
    drop(rig.journal);
    let (store, clock) = (MemoryStore::of(rig.store.bytes()), HandClock::new());
    clock.pass(Duration::from_secs(60));
    let by = bgctl::journal::Who { owner: APPROVER.into(), ..who() };
    let (journal, _) = Journal::resume(Box::new(store.clone()), &by, &approver(), clock).unwrap();
    journal.close(SealState::Handover, Some(&approver())).unwrap();
    let report = report(&store.bytes());
    assert_eq!(report.verdict, Verdict::Handover);
    let names: Vec<&str> = report.owners.iter().map(|o| o.signed.principal.as_str()).collect();
    assert_eq!(names, [OWNER, APPROVER, APPROVER]);
    // The close of a session by somebody else's key.
    let mut rig = Rig::new();
    rig.walk();
    let _ = rig.journal.close(SealState::Closed, Some(&SessionKey::from_seed([9; 32]))).unwrap();
    assert!(broken(&rig.store.bytes()).1.contains("it was signed with"));
}

#[test]
fn a_store_that_failed_once_is_not_written_again() {
    for fault in [StoreFault::Refuse { at: 3 }, StoreFault::Tear { at: 3, bytes: 100 }, StoreFault::Unsure { at: 3 }] {
        let mut rig = Rig::new();
        rig.arm();
        rig.store.fault(Some(fault));
        let note = Record::from(&Evidence::Note { line: "x".into() });
        assert!(rig.journal.append(std::slice::from_ref(&note)).is_err(), "{fault:?}");
        let after = rig.store.bytes();
        rig.store.fault(None);
        assert!(rig.journal.append(&[note]).is_err(), "{fault:?}");
        assert_eq!(rig.store.bytes(), after, "{fault:?}");
        assert!(rig.journal.close(SealState::Closed, Some(&owner())).is_err(), "{fault:?}");
        let (_, store, _) = resume(after, &owner()).unwrap();
        assert_eq!(verdict(&store.bytes()), Verdict::Interrupted, "{fault:?}");
    }
}
