//! Disks, other writers and kill -9, by their numbers in the list of cases.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::mutate::Dice;
use crate::rig::*;
use bgctl::audit::{Verdict, verify};
use bgctl::clock::SystemClock;
use bgctl::journal::{
    Append, DirStore, Journal, LOG, MemoryStore, Opening, Record, SealState, Seals, Store, StoreFault as Fault,
    read_log,
};
use bgctl::run::Evidence;
use bgctl::sign::Trust;

fn note(line: &str) -> Record {
    Record::from(&Evidence::Note { line: line.into() })
}

fn journal_in(folder: &Path) -> Journal {
    let plan = plan();
    let opening = Opening { run: RUN.into(), plan: &plan, who: who(), bound: Default::default() };
    let store = DirStore::create(folder).unwrap();
    Journal::create(Box::new(store), opening, &owner(), Rc::new(SystemClock)).unwrap()
}

fn judge(folder: &Path) -> Verdict {
    let trust = Trust { signers: signers(), shared: None };
    verify(&mut Cursor::new(read_log(folder).unwrap()), &trust, Seals::All).unwrap().verdict
}

#[test]
fn a_log_on_a_disk_is_private_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("runs/one");
    let mut journal = journal_in(&folder);
    journal.append(&[note("a"), note("b")]).unwrap();
    let closed = journal.close(SealState::Handover, Some(&owner())).unwrap();
    assert_eq!(closed.sha256, sha256(&fs::read(folder.join(LOG)).unwrap()));
    assert_eq!(judge(&folder), Verdict::Handover);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(LOG))), (0o700, 0o600));
    assert!(DirStore::create(&folder).is_err(), "a run is written once");
}

#[test]
fn a_group_that_no_reader_would_hold_is_written_as_several() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal_in(dir.path());
    journal.append(&vec![note(&"x".repeat(900)); 20_000]).unwrap();
    journal.close(SealState::Handover, Some(&owner())).unwrap();
    assert_eq!(judge(dir.path()), Verdict::Handover);
    // One group of that size is refused, however it came about.
    let all = lines(&Rig::new().store.bytes());
    let filler = String::from_utf8(all[2].clone()).unwrap();
    let start = filler.find("\"data\":").unwrap();
    let line = format!("{}\"data\":{{\"line\":\"{}\"}}}}\n", &filler[..start], "x".repeat(60_000));
    let line = line.replace("\"type\":\"seal\"", "\"type\":\"note\"").into_bytes();
    let log = rechain(&[&all[..3], &vec![line; 300]].concat());
    let (_, words) = broken(&log);
    assert!(words.contains("without a seal"), "{words}");
}

#[test]
fn case_34_there_is_one_writer_and_a_writer_that_ignores_the_lock_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal_in(dir.path());
    let second = DirStore::open(dir.path()).err().unwrap();
    assert!(second.what.contains("is being written by another bgctl"), "{second}");
    fs::OpenOptions::new().append(true).open(dir.path().join(LOG)).unwrap().write_all(b"{}\n").unwrap();
    let error = journal.append(&[note("a")]).unwrap_err();
    assert!(error.what.contains("was changed by somebody else"), "{error}");
    assert!(journal.append(&[note("a")]).is_err());
}

#[test]
fn case_38_links_and_swapped_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("real")).unwrap();
    symlink(at("real"), at("linked")).unwrap();
    assert!(DirStore::create(&at("linked")).is_err(), "a folder that is a link");
    symlink(at("elsewhere"), at("real").join(LOG)).unwrap();
    assert!(DirStore::create(&at("real")).is_err(), "a log that is a link");
    assert!(DirStore::open(&at("real")).is_err(), "a log that is a link, resumed");

    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("a second name", |log| fs::hard_link(log, log.with_extension("too")).unwrap()),
        ("renamed over", |log| {
            fs::copy(log, log.with_extension("copy")).unwrap();
            fs::rename(log.with_extension("copy"), log).unwrap();
        }),
        ("removed", |log| fs::remove_file(log).unwrap()),
        ("opened to others", |log| fs::set_permissions(log, fs::Permissions::from_mode(0o666)).unwrap()),
    ];
    for (n, (name, harm)) in harms.into_iter().enumerate() {
        let folder = at(&n.to_string());
        let mut journal = journal_in(&folder);
        journal.append(&[note("before")]).unwrap();
        harm(&folder.join(LOG));
        assert!(journal.append(&[note("after")]).is_err(), "{name}");
    }
}

#[test]
fn case_37_every_torn_end_is_cut_kept_and_written_down() {
    let bytes = complete();
    let ends: Vec<usize> = {
        let mut at = 0;
        let seal = |line: &Vec<u8>| String::from_utf8_lossy(line).contains("\"type\":\"seal\"");
        lines(&bytes)
            .iter()
            .filter_map(|line| {
                at += line.len();
                seal(line).then_some(at)
            })
            .collect()
    };
    let last = bytes.len() - 1;
    // Every boundary of a group and five hundred places anywhere.
    let mut dice = Dice::new(37);
    let anywhere: Vec<usize> = (0..500).map(|_| ends[0] + dice.below(last - ends[0])).collect();
    for cut in anywhere.into_iter().chain(ends[..ends.len() - 1].iter().copied()).chain([last]) {
        let store = MemoryStore::of(bytes[..cut].to_vec());
        let clock = HandClock::new();
        clock.pass(Duration::from_secs(600));
        let (journal, entries) = Journal::resume(Box::new(store.clone()), &who(), &owner(), clock).unwrap();
        let sealed = ends.iter().copied().filter(|end| *end <= cut).max().unwrap();
        assert_eq!(store.torn(), bytes[sealed..cut], "cut at {cut}");
        assert_eq!(entries.iter().any(|e| e.kind == "recovered"), cut > sealed, "cut at {cut}");
        assert!(store.bytes().starts_with(&bytes[..sealed]));
        drop(journal);
        assert_eq!(verdict(&store.bytes()), Verdict::Interrupted, "cut at {cut}");
    }
    // Before the first seal there is no run to go on with.
    assert!(
        Journal::resume(Box::new(MemoryStore::of(bytes[..ends[0] - 1].to_vec())), &who(), &owner(), HandClock::new())
            .is_err()
    );
}

#[test]
fn a_changed_log_is_not_taken_for_a_torn_one() {
    let bytes = complete();
    let mut all = lines(&bytes);
    let at = find(&all, "step.outcome");
    all[at] = String::from_utf8(all[at].clone()).unwrap().replace("moved", "moveD").into_bytes();
    for end in [all.len() - 1, at + 2] {
        let store = MemoryStore::of(all[..end].concat());
        let refused = Journal::resume(Box::new(store.clone()), &who(), &owner(), HandClock::new());
        assert!(refused.is_err());
        assert_eq!(store.bytes(), all[..end].concat());
    }
}

const CHILD: &str = "BGCTL_TEST_WRITER";

/// The process that gets killed: writes into the folder it is told, until it cannot.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test has no command line of its own to be told by")]
fn the_writer_that_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let folder = Path::new(&folder);
    let mut journal = if folder.join(LOG).exists() {
        let store = DirStore::open(folder).unwrap();
        Journal::resume(Box::new(store), &who(), &owner(), Rc::new(SystemClock)).unwrap().0
    } else {
        journal_in(folder)
    };
    let long = "x".repeat(700);
    while journal.append(&[note(&long), note("and another")]).is_ok() {}
}

/// This test binary again, as the process to be killed.
fn writer(folder: &Path, through: Option<&str>) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = match through {
        None => Command::new(own),
        Some(script) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(own);
            shell
        }
    };
    command.args(["faults::the_writer_that_is_killed", "--exact"]).env(CHILD, folder);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a real process is waited for, with a deadline")]
fn case_37b_a_writer_killed_again_and_again_leaves_a_log_that_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let size = || fs::metadata(folder.join(LOG)).map_or(0, |m| m.len());
    let mut before = 0;
    for round in 0..15u64 {
        let mut child = writer(&folder, None);
        // A different number of groups each time, so that the kill falls elsewhere in the cycle.
        let wanted = before + 20_000 + round * 3_333;
        let deadline = Instant::now() + Duration::from_secs(60);
        while size() < wanted {
            assert!(Instant::now() < deadline, "the writer does not write");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        match judge(&folder) {
            Verdict::Interrupted => {}
            Verdict::Broken(fault) => assert!(fault.to_string().contains("covered by no seal"), "{fault}"),
            other => panic!("{other:?}"),
        }
        before = size();
    }
    let store = DirStore::open(&folder).unwrap();
    let (journal, entries) = Journal::resume(Box::new(store), &who(), &owner(), Rc::new(SystemClock)).unwrap();
    assert_eq!(entries.iter().filter(|e| e.kind == "run.resumed").count(), 15);
    journal.close(SealState::Handover, Some(&owner())).unwrap();
    assert_eq!(judge(&folder), Verdict::Handover);
}

#[test]
fn case_35_a_full_disk_ends_the_writing_and_the_log_is_sound_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    // A limit on file sizes needs no root and ends like a full disk: a short write, then an error.
    let mut child = writer(&folder, Some("trap '' XFSZ; ulimit -f 24"));
    assert!(child.wait().unwrap().success(), "the writer must see an error and stop, not die");
    let size = fs::metadata(folder.join(LOG)).unwrap().len();
    assert!((10_000..=24 * 1024).contains(&size), "{size}");
    let store = DirStore::open(&folder).unwrap();
    let (journal, _) = Journal::resume(Box::new(store), &who(), &owner(), Rc::new(SystemClock)).unwrap();
    drop(journal);
    assert_eq!(judge(&folder), Verdict::Interrupted);
    let kept = fs::read_dir(&folder)
        .unwrap()
        .filter_map(Result::ok)
        .any(|e| e.file_name().to_string_lossy().starts_with("torn-"));
    assert!(kept, "the short write is kept");
}

#[test]
fn case_36_a_failed_sync_is_final_and_never_tried_again() {
    let mut rig = Rig::new();
    rig.arm();
    // All of it is written, and the sync says no: it may be on the disk, or not.
    rig.store.fault(Some(Fault::Unsure { at: rig.store.appends() + 1 }));
    let error = rig.journal.append(&[note("unsure")]).unwrap_err();
    let (asked, bytes) = (rig.store.appends(), rig.store.bytes());
    // The next sync would succeed, as it does on Linux after one that failed; nobody asks for it.
    rig.store.fault(None);
    for _ in 0..3 {
        assert_eq!(rig.journal.append(&[note("more")]).unwrap_err().what, error.what);
    }
    assert!(rig.journal.close(SealState::Closed, Some(&owner())).is_err());
    assert_eq!((rig.store.appends(), rig.store.bytes()), (asked, bytes.clone()));
    // Another process reads what is there, believes nothing of it unchecked, and goes on.
    let store = MemoryStore::of(bytes);
    rig.clock.pass(Duration::from_secs(60));
    let (journal, entries) = Journal::resume(Box::new(store.clone()), &who(), &owner(), rig.clock).unwrap();
    assert!(entries.iter().any(|e| e.data["line"] == "unsure"));
    journal.close(SealState::Handover, Some(&owner())).unwrap();
    assert_eq!(verdict(&store.bytes()), Verdict::Handover);
}

#[test]
fn case_36b_an_error_of_a_store_on_a_disk_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DirStore::create(dir.path()).unwrap();
    store.append(b"one\n").unwrap();
    fs::remove_file(dir.path().join(LOG)).unwrap();
    assert!(store.append(b"two\n").is_err());
    fs::write(dir.path().join(LOG), "one\n").unwrap();
    let again = store.append(b"two\n").unwrap_err();
    assert!(again.what.contains("could not be written before"), "{again}");
}
