//! The ledger of runs: what shows when a run, its log or lines of the ledger are taken away or exchanged.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::command::bgctl;
use crate::common::peer;
use crate::rig::*;
use bgctl::audit::{Verdict, verify};
use bgctl::journal::ledger::{self, Finding, Hand, LEDGER, Ledger, Standing, Tip, What};
use bgctl::journal::{
    Append, Archive, DirStore, Journal, LOG, MemoryStore, OpenError, Opening, Record, SealState, countersign,
};
use bgctl::run::{Event, RunOutcome};
use bgctl::secret::Secret;
use bgctl::sign::Signer;
use bgctl::sign::Trust;
use bgctl::sign::file::FileKey;
use serde_json::{Map, Value, json};

fn open(state: &Path, run: &str, key: &dyn Signer, clock: &Rc<HandClock>) -> Journal {
    let (archive, ledger, plan) = (Archive::new(state), Ledger::in_folder(state), plan());
    let bound = Map::from_iter([("ledger_sha256".to_string(), json!(ledger.tip().unwrap().sha256))]);
    let opening = Opening { run: run.into(), plan: &plan, who: who(), bound };
    let store = DirStore::create(&archive.run(run)).unwrap();
    let journal = Journal::create(Box::new(store), opening, key, clock.clone()).unwrap();
    let hand = Hand::Session(&journal.session());
    ledger.append(What::Opened, &journal.head(), &hand, clock.as_ref()).unwrap();
    journal
}

fn finish(state: &Path, mut journal: Journal, key: Option<&dyn Signer>, clock: &Rc<HandClock>) {
    clock.pass(Duration::from_secs(2));
    journal.append(&[Record::from(&Event::Refused { why: "a test".into() })]).unwrap();
    let closed = journal.close(SealState::Closed, key).unwrap();
    let hand = Hand::Session(&closed.session);
    Ledger::in_folder(state).append(What::Closed, &closed.head, &hand, clock.as_ref()).unwrap();
}

const RUNS: [&str; 3] = ["20261121-0302-aaa", "20261121-0402-bbb", "20261121-0502-ccc"];

/// Three runs, opened and closed.
fn three() -> (tempfile::TempDir, Rc<HandClock>) {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    for run in RUNS {
        let journal = open(dir.path(), run, &owner(), &clock);
        finish(dir.path(), journal, Some(&owner()), &clock);
    }
    (dir, clock)
}

fn found(state: &Path, seen: &[(String, Tip)]) -> Vec<Finding> {
    let trust = Trust { signers: signers(), shared: None };
    let bytes = fs::read(state.join(LEDGER)).unwrap_or_default();
    ledger::check(&ledger::read(&bytes, &trust), &Archive::new(state), seen).all
}

/// The only finding: how bad, and in which words.
fn only(state: &Path, seen: &[(String, Tip)]) -> (Standing, String) {
    let all = found(state, seen);
    assert_eq!(all.len(), 1, "{all:#?}");
    (all[0].standing, all[0].what.clone())
}

fn ledger_lines(state: &Path) -> Vec<Vec<u8>> {
    lines(&fs::read(state.join(LEDGER)).unwrap())
}

fn put(state: &Path, lines: &[Vec<u8>]) {
    fs::write(state.join(LEDGER), lines.concat()).unwrap();
}

fn remove(state: &Path, run: &str) {
    fs::remove_dir_all(Archive::new(state).run(run)).unwrap();
}

#[test]
fn an_untouched_ledger_knows_every_run() {
    let (dir, _) = three();
    assert_eq!(found(dir.path(), &[]), []);
    let tip = Ledger::in_folder(dir.path()).tip().unwrap();
    assert_eq!(tip.lines, 6);
    assert_eq!(found(dir.path(), &[("a tip".into(), tip)]), []);
    assert_eq!(found(tempfile::tempdir().unwrap().path(), &[]), []);
}

#[test]
fn case_45_a_deleted_run_is_missed() {
    let (dir, _) = three();
    remove(dir.path(), RUNS[1]);
    let (standing, words) = only(dir.path(), &[]);
    assert_eq!(standing, Standing::Truncated);
    assert!(words.contains(&format!("run {} (closed) was deleted", RUNS[1])), "{words}");
}

#[test]
fn case_45b_a_run_that_was_opened_and_has_no_log_any_more_is_missed() {
    let (dir, clock) = three();
    drop(open(dir.path(), "20261121-0602-ddd", &owner(), &clock));
    assert_eq!(found(dir.path(), &[]), [], "an open run is no fault");
    fs::remove_file(Archive::new(dir.path()).run("20261121-0602-ddd").join(LOG)).unwrap();
    let (standing, words) = only(dir.path(), &[]);
    assert!(standing == Standing::Truncated && words.contains("20261121-0602-ddd (open) was deleted"), "{words}");
}

#[test]
fn case_45c_the_name_of_a_run_is_used_once() {
    let (dir, clock) = three();
    remove(dir.path(), RUNS[0]);
    let journal = open(dir.path(), RUNS[0], &owner(), &clock);
    finish(dir.path(), journal, Some(&owner()), &clock);
    let all = found(dir.path(), &[]);
    assert!(all.iter().any(|f| f.standing == Standing::Forked && f.what.contains("was opened twice")), "{all:#?}");
    assert!(all.iter().any(|f| f.what.contains("was replaced: other bytes than when it was opened")), "{all:#?}");
}

#[test]
fn case_45d_lines_taken_from_the_ledger_are_missed() {
    let (dir, _) = three();
    let all = ledger_lines(dir.path());
    // From the middle, with the run: the next line does not fit.
    remove(dir.path(), RUNS[1]);
    put(dir.path(), &[&all[..2], &all[4..]].concat());
    let (standing, words) = only(dir.path(), &[]);
    assert!(standing == Standing::Broken && words.contains("line 2 of the ledger"), "{words}");
    // Chained anew by somebody without keys: the session's signature does not fit.
    let anew = |line: &[u8], n: usize, prev: &str| {
        let mut value: Value = serde_json::from_slice(line).unwrap();
        let note = value["note"].as_str().unwrap().lines().enumerate().map(|(at, text)| match at {
            1 => format!("line {n}\n"),
            2 => format!("prev {prev}\n"),
            _ => format!("{text}\n"),
        });
        value["note"] = note.collect::<String>().into();
        (serde_json::to_string(&value).unwrap() + "\n").into_bytes()
    };
    let third = anew(&all[4], 2, &sha256(&all[1]));
    let fourth = anew(&all[5], 3, &sha256(&third));
    put(dir.path(), &[all[0].clone(), all[1].clone(), third, fourth]);
    let (standing, words) = only(dir.path(), &[]);
    assert!(standing == Standing::Broken && words.contains("does not fit the content"), "{words}");
    // From the end, the run kept: its log says that it was opened here.
    put(dir.path(), &all[..4]);
    let words = found(dir.path(), &[]).iter().map(|f| f.what.clone()).collect::<Vec<_>>().join("\n");
    assert!(words.contains(&format!("run {} is kept here, and the ledger has no line", RUNS[2])), "{words}");
}

#[test]
fn case_45e_a_tail_cut_with_its_runs_shows_only_to_who_saw_more() {
    let (dir, _) = three();
    let all = ledger_lines(dir.path());
    let tip = Ledger::in_folder(dir.path()).tip().unwrap();
    remove(dir.path(), RUNS[2]);
    put(dir.path(), &all[..4]);
    assert_eq!(found(dir.path(), &[]), []);
    let (standing, words) = only(dir.path(), &[("the anchor".into(), tip.clone())]);
    assert_eq!(
        (standing, words.as_str()),
        (Standing::Truncated, "the ledger was cut: it has 4 lines, the anchor saw 6")
    );
    // Grown again with another run, it has as many lines and other ones.
    let clock = HandClock::new();
    clock.pass(Duration::from_secs(60));
    let journal = open(dir.path(), "20261121-0702-eee", &owner(), &clock);
    finish(dir.path(), journal, Some(&owner()), &clock);
    let (standing, words) = only(dir.path(), &[("the anchor".into(), tip)]);
    assert!(standing == Standing::Forked && words.contains("line 5 of the ledger is another"), "{words}");
}

#[test]
fn case_45f_a_ledger_begun_anew_does_not_hide_the_old_one() {
    let (dir, clock) = three();
    let all = ledger_lines(dir.path());
    // The first run and its lines are gone; the owner of the second had signed where the ledger ended.
    fs::remove_file(dir.path().join(LEDGER)).unwrap();
    remove(dir.path(), RUNS[0]);
    let all_found = found(dir.path(), &[]);
    assert!(all_found.len() == 2 && all_found.iter().all(|f| f.what.contains("has no line of it")), "{all_found:#?}");
    let journal = open(dir.path(), "20261121-0702-eee", &owner(), &clock);
    finish(dir.path(), journal, Some(&owner()), &clock);
    assert_eq!(found(dir.path(), &[]).len(), 2);
    put(dir.path(), &all[2..]);
    assert_eq!(only(dir.path(), &[]).0, Standing::Broken);
}

#[test]
fn case_45g_a_log_put_in_the_place_of_another_is_found() {
    let (dir, clock) = three();
    let other = tempfile::tempdir().unwrap();
    let journal = open(other.path(), RUNS[1], &owner(), &clock);
    finish(other.path(), journal, Some(&owner()), &clock);
    let log = |state: &Path| Archive::new(state).run(RUNS[1]).join(LOG);
    fs::copy(log(other.path()), log(dir.path())).unwrap();
    let (standing, words) = only(dir.path(), &[]);
    assert!(standing == Standing::Forked && words.contains("was replaced"), "{words}");
    let whole = fs::read(log(dir.path())).unwrap();
    let (dir, _) = three();
    let mine = fs::read(log(dir.path())).unwrap();
    assert_ne!(whole, mine);
    fs::write(log(dir.path()), &mine[..mine.len() - 1]).unwrap();
    let (standing, words) = only(dir.path(), &[]);
    assert!(standing == Standing::Truncated && words.contains("was cut"), "{words}");
}

#[test]
fn a_line_by_a_key_nobody_trusts_or_with_a_byte_changed_breaks_the_ledger() {
    let (dir, clock) = three();
    let all = ledger_lines(dir.path());
    for at in [0, all.len() - 1] {
        let line = &all[at];
        for byte in (0..line.len()).step_by(37) {
            let mut bad = all.clone();
            bad[at][byte] ^= 1;
            put(dir.path(), &bad);
            let found = found(dir.path(), &[]);
            assert!(found.iter().any(|f| f.standing == Standing::Broken), "line {at}, byte {byte}: {found:#?}");
        }
    }
    put(dir.path(), &all);
    let stranger = bgctl::sign::session::SessionKey::from_seed([9; 32]);
    drop(open(dir.path(), "20261121-0702-eee", &stranger, &clock));
    let (standing, words) = only(dir.path(), &[]);
    assert!(standing == Standing::Broken && words.contains("in no allowed-signers file"), "{words}");
}

#[test]
fn what_a_crash_left_of_a_line_is_kept_and_cut() {
    let (dir, clock) = three();
    let mut text = fs::read(dir.path().join(LEDGER)).unwrap();
    text.extend_from_slice(b"{\"v\":1,\"stat");
    fs::write(dir.path().join(LEDGER), text).unwrap();
    assert_eq!(only(dir.path(), &[]).0, Standing::Broken);
    drop(open(dir.path(), "20261121-0702-eee", &owner(), &clock));
    assert_eq!(found(dir.path(), &[]), []);
    let torn = fs::read_dir(dir.path()).unwrap().filter_map(Result::ok);
    let torn: Vec<_> = torn.filter(|e| e.file_name().to_string_lossy().starts_with("ledger-torn-")).collect();
    assert_eq!(fs::read(torn[0].path()).unwrap(), b"{\"v\":1,\"stat");
}

#[test]
fn a_process_killed_before_its_line_is_no_lost_run_and_one_killed_later_is() {
    let (dir, clock) = three();
    let (archive, plan) = (Archive::new(dir.path()), plan());
    let bound =
        Map::from_iter([("ledger_sha256".to_string(), json!(Ledger::in_folder(dir.path()).tip().unwrap().sha256))]);
    let opening = Opening { run: "20261121-0702-eee".into(), plan: &plan, who: who(), bound };
    let store = DirStore::create(&archive.run("20261121-0702-eee")).unwrap();
    let mut journal = Journal::create(Box::new(store), opening, &owner(), clock).unwrap();
    let trust = Trust { signers: signers(), shared: None };
    let reading = ledger::read(&fs::read(dir.path().join(LEDGER)).unwrap(), &trust);
    let found_now = ledger::check(&reading, &archive, &[]);
    assert_eq!(found_now.all, []);
    assert!(found_now.unchecked[0].contains("ended before the ledger had a line of it"), "{:?}", found_now.unchecked);
    journal.append(&[Record::from(&Event::Refused { why: "a test".into() })]).unwrap();
    assert!(only(dir.path(), &[]).1.contains("the ledger has no line of it"));
}

#[test]
fn runs_that_end_at_the_same_moment_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                let clock = HandClock::new();
                for m in 0..5 {
                    let journal = open(state, &format!("20261121-030{n}-aa{m}"), &owner(), &clock);
                    finish(state, journal, Some(&owner()), &clock);
                }
            });
        }
    });
    assert_eq!(found(state, &[]), []);
    assert_eq!(Ledger::in_folder(state).tip().unwrap().lines, 40);
}

#[test]
fn ssh_keygen_follows_a_line_of_the_ledger_to_its_owner() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let (dir, _) = three();
    let line: Value = serde_json::from_slice(&ledger_lines(dir.path())[3]).unwrap();
    let said = |name: &str| line[name].as_str().unwrap().to_string();
    let put = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let statement: Value = serde_json::from_str(&said("statement")).unwrap();
    let owners = put("owners", &bgctl::sign::trust::line(OWNER, &owner().public()));
    let session = put("session", &format!("session {}\n", statement["session_key"].as_str().unwrap()));
    let checks = [
        (owners, OWNER, "bgctl-open-v1", said("statement"), said("statement_sig")),
        (session, "session", "bgctl-ledger-v1", said("note"), said("sig")),
    ];
    for (allowed, who, space, text, sig) in checks {
        let sig = put("sig", &sig);
        for (text, good) in [(text.clone(), true), (text + " ", false)] {
            let mut child = std::process::Command::new(&keygen)
                .args(["-Y", "verify", "-f", &allowed, "-I", who, "-n", space, "-s", &sig])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
            assert_eq!(child.wait().unwrap().success(), good, "{space}");
        }
    }
}

#[test]
fn the_command_has_a_code_for_each_verdict() {
    let (dir, _) = three();
    let state = dir.path();
    crate::command::believe(state);
    let (code, out, err) = bgctl(state, &["audit", "ledger"]);
    assert!(code == 0 && out.contains("COMPLETE. ") && out.contains("cannot prove its own end"), "{out}{err}");
    let (code, out, _) = bgctl(state, &["audit", "ledger", "-o", "json"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["verdict"], &said["lines"]), (0, &json!("COMPLETE"), &json!(6)));
    remove(state, RUNS[1]);
    let (code, out, _) = bgctl(state, &["audit", "ledger"]);
    assert!(code == 44 && out.contains("TRUNCATED. ") && out.contains("was deleted"), "{out}");
    let all = ledger_lines(state);
    put(state, &all[1..]);
    let (code, out, _) = bgctl(state, &["audit", "ledger"]);
    assert!(code == 40 && out.contains("BROKEN. "), "{out}");
}

#[test]
fn an_ended_log_is_signed_later_by_the_key_that_opened_it_and_by_no_other() {
    let mut rig = Rig::new();
    rig.walk();
    let (clock, store) = (rig.clock.clone(), rig.store.clone());
    rig.journal.close(SealState::Closed, None).unwrap();
    assert_eq!(verdict(&store.bytes()), Verdict::Ended);
    let sign = |key: &dyn Signer| countersign(Box::new(store.clone()), key, clock.as_ref());
    assert!(matches!(sign(&approver()), Err(OpenError::OtherKey { .. })));
    clock.set(jiff::SignedDuration::from_hours(-1));
    assert!(matches!(sign(&owner()), Err(OpenError::Journal(_))), "a clock before the log's end");
    clock.set(jiff::SignedDuration::from_hours(30));
    assert_eq!(verdict(&store.bytes()), Verdict::Ended, "a refused signature leaves the log as it was");
    let signed = sign(&owner()).unwrap();
    assert_eq!((signed.owner.as_str(), signed.head.sha256), (OWNER, sha256(&store.bytes())));
    assert_eq!(verdict(&store.bytes()), Verdict::Complete);
    assert!(matches!(sign(&owner()), Err(OpenError::Over { .. })), "once");

    // A run that only rests is handed over, not closed; one whose process died is not signed at all.
    let mut rig = Rig::new();
    rig.arm();
    let (clock, store) = (rig.clock.clone(), rig.store.clone());
    let interrupted = MemoryStore::of(store.bytes());
    let refused = countersign(Box::new(interrupted), &owner(), clock.as_ref());
    assert!(matches!(refused, Err(OpenError::NotEnded { .. })));
    rig.journal.close(SealState::Handover, None).unwrap();
    let signed = countersign(Box::new(store.clone()), &owner(), clock.as_ref()).unwrap();
    assert_eq!(signed.head.state, SealState::Handover);
    assert_eq!(verdict(&store.bytes()), Verdict::Handover);
}

#[test]
fn the_command_signs_an_ended_run_and_the_ledger_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    let (code, _, err) = bgctl(state, &["keys", "create"]);
    assert_eq!(code, 0, "{err}");
    let key = FileKey::read(&state.join("keys/id_ed25519"), &|_| None::<Secret>).unwrap();
    fs::create_dir(state.join(".bgctl")).unwrap();
    let known = bgctl::sign::trust::line(OWNER, &key.public());
    fs::write(state.join(".bgctl/allowed_signers"), known).unwrap();
    let clock = HandClock::new();
    clock.set(jiff::SignedDuration::from_hours(-24 * 300));
    let mut journal = open(state, RUN, &key, &clock);
    let record = Record::from(&Event::Ended { outcome: RunOutcome::Stopped, line: "nothing to do".into() });
    journal.append(&[record]).unwrap();
    finish(state, journal, None, &clock);
    let (code, out, _) = bgctl(state, &["audit", "ledger"]);
    assert!(code == 0 && out.contains("ended"), "{out}");
    let (code, out, err) = bgctl(state, &["audit", "sign"]);
    assert!(code == 0 && out.contains("is closed by its owner"), "{out}{err}");
    let (code, out, err) = bgctl(state, &["audit", "ledger"]);
    assert!(code == 0 && out.contains("closed"), "{out}{err}");
    let (code, _, err) = bgctl(state, &["audit", "sign"]);
    assert!(code == 64 && err.contains("BG0619"), "{err}");
    let log = fs::read(Archive::new(state).run(RUN).join(LOG)).unwrap();
    let text = bgctl::sign::trust::line(OWNER, &key.public());
    let trust = Trust { signers: bgctl::sign::AllowedSigners::parse(&text).unwrap(), shared: None };
    let seals = bgctl::journal::Seals::All;
    let report = verify(&mut std::io::Cursor::new(log), &trust, seals).unwrap();
    assert!(!matches!(report.verdict, Verdict::Broken(_) | Verdict::Ended), "{report:?}");
}
