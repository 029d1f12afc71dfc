//! Reading a log back on the word of its seals, beside reading it line by line: both say the same of every log, and the first
//! needs the same room for a log of any length.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::mutate::Dice;
use crate::rig::*;
use bgctl::journal::{Append, Entry, Journal, LOG, MemoryStore, Record, SealState, Unread, mentions, read, read_on};
use bgctl::run::{Event, Evidence};

fn note(line: &str) -> Record {
    Record::from(&Evidence::Note { line: line.into() })
}

/// A run of three sessions: one that ended, one that was cut off, one that rests.
fn long() -> Vec<u8> {
    let mut rig = Rig::new();
    rig.arm();
    let (_, sha256) = rig.ask();
    rig.grant(&sha256, OWNER, None);
    rig.journal.append(&[note("a \"type\":\"seal\" in a text"), note("b")]).unwrap();
    let Rig { clock, store, journal, .. } = rig;
    journal.close(SealState::Handover, Some(&owner())).unwrap();
    for state in [None, Some(SealState::Ended), Some(SealState::Handover)] {
        clock.pass(Duration::from_secs(60));
        let resumed = Journal::resume(Box::new(store.clone()), &who(), &owner(), clock.clone());
        let (mut journal, _) = resumed.unwrap();
        let actor = bgctl::run::Actor::rule();
        journal.append(&[Record::from(&Event::Resumed { by: actor })]).unwrap();
        journal.append(&[note("c")]).unwrap();
        if let Some(state) = state {
            journal.close(state, Some(&owner())).unwrap();
        }
    }
    store.bytes()
}

fn facts(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().filter(|entry| entry.event().is_some() || entry.kind.starts_with("run.")).cloned().collect()
}

/// Both readings of the same bytes.
fn same(folder: &Path, bytes: &[u8], what: &str) -> bool {
    fs::write(folder.join(LOG), bytes).unwrap();
    match (read(bytes), read_on(folder, None)) {
        (Ok(all), Ok(kept)) => {
            assert_eq!((all.state, all.torn, &all.run), (kept.state, kept.torn, &kept.run), "{what}");
            assert_eq!(all.plan, kept.plan, "{what}");
            assert_eq!(facts(&all.entries), facts(&kept.entries), "{what}");
            true
        }
        (Err(one), Err(Unread::Fault(other))) => {
            assert_eq!(one, other, "{what}");
            false
        }
        (one, other) => panic!("{what}: {:?} and {:?}", one.map(|s| s.state), other.map(|s| s.state)),
    }
}

#[test]
fn r43_reading_on_the_word_of_the_seals_says_what_reading_every_line_says() {
    let dir = tempfile::tempdir().unwrap();
    let whole = long();
    assert!(same(dir.path(), &whole, "as it was written"));
    let mut dice = Dice::new(43);
    let mut found = 0;
    for n in 0..600 {
        let mut bytes = whole.clone();
        let at = dice.below(bytes.len());
        let all = lines(&bytes);
        let line = dice.below(all.len());
        let what = match n % 6 {
            0 => {
                bytes[at] ^= 1 << dice.below(7);
                format!("byte {at} changed")
            }
            1 => {
                bytes.truncate(at);
                format!("cut at {at}")
            }
            2 => {
                bytes = [&all[..line], &all[line + 1..]].concat().concat();
                format!("line {line} removed")
            }
            3 => {
                bytes = [&all[..=line], &all[line..]].concat().concat();
                format!("line {line} twice")
            }
            4 => {
                let cut: Vec<Vec<u8>> = [&all[..line], &all[line + 1..]].concat();
                bytes = if cut.is_empty() { Vec::new() } else { rechain(&cut) };
                format!("line {line} removed, and chained anew")
            }
            _ => {
                let digit = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found);
                digit.into_iter().for_each(|at| bytes[at] = b'0' + (bytes[at] - b'0' + 1) % 10);
                format!("a digit behind {at} changed")
            }
        };
        found += usize::from(!same(dir.path(), &bytes, &what));
    }
    assert!(found > 300, "{found}");
    assert!(!same(dir.path(), b"", "nothing"));
}

#[test]
fn r43_what_was_read_before_is_not_read_again_and_a_log_that_was_exchanged_is() {
    let dir = tempfile::tempdir().unwrap();
    let whole = long();
    let all = lines(&whole);
    let seals: Vec<usize> =
        (0..all.len()).filter(|n| String::from_utf8_lossy(&all[*n]).contains("\"ns\":\"")).collect();
    let sealed: Vec<usize> =
        seals.into_iter().filter(|n| String::from_utf8_lossy(&all[*n]).contains("\"type\":\"seal\"")).collect();
    let path = dir.path().join(LOG);
    for (n, end) in sealed.iter().enumerate().take(sealed.len() - 1) {
        fs::write(&path, all[..=*end].concat()).unwrap();
        let known = read_on(dir.path(), None).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        // A part of the next group, and then all of it.
        let rest = all[end + 1..].concat();
        std::io::Write::write_all(&mut file, &rest[..40]).unwrap();
        let torn = read_on(dir.path(), Some(&known)).unwrap();
        assert_eq!((torn.torn, torn.entries.len()), (40, known.entries.len()), "behind seal {n}");
        std::io::Write::write_all(&mut file, &rest[40..]).unwrap();
        for known in [&known, &torn] {
            let on = read_on(dir.path(), Some(known)).unwrap();
            let new = read_on(dir.path(), None).unwrap();
            assert_eq!((on.state, on.torn), (new.state, new.torn), "behind seal {n}");
            assert_eq!(on.entries, new.entries, "behind seal {n}");
        }
        // Shorter than what was read, changed behind it, or another file: it is read anew.
        file.set_len(all[..=sealed[0]].concat().len() as u64).unwrap();
        let cut = read_on(dir.path(), Some(&torn)).unwrap();
        assert_eq!(cut.entries, read(&all[..=sealed[0]].concat()).unwrap().entries);
        let other = Rig::of("20261121-0302-zzz", &owner()).store.bytes();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &other).unwrap();
        assert_eq!(read_on(dir.path(), Some(&torn)).unwrap().run, "20261121-0302-zzz");
    }
}

#[test]
fn r43_a_long_log_is_read_and_gone_on_with_in_the_room_of_its_facts() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    rig.arm();
    let before = rig.store.bytes().len();
    let measured = |n: usize| note(&format!("{n} {}", "x".repeat(200)));
    for n in 0..30 {
        rig.journal.append(&(0..200).map(|k| measured(n * 200 + k)).collect::<Vec<_>>()).unwrap();
    }
    fs::write(dir.path().join(LOG), rig.store.bytes()).unwrap();
    assert!(rig.store.bytes().len() > before + 2_000_000);
    let sound = read_on(dir.path(), None).unwrap();
    // The opening, the plan, the arming, and of 6,000 notes the newest.
    assert!(sound.entries.len() <= 3 + 65, "{} records are kept", sound.entries.len());
    assert!(sound.entries.last().is_some_and(|last| last.data["line"].as_str().unwrap().starts_with("5999 ")));
    assert_eq!(read(&rig.store.bytes()).unwrap().entries.len(), 6003);
    rig.clock.pass(Duration::from_secs(60));
    let store = MemoryStore::of(rig.store.bytes());
    let (journal, entries) = Journal::resume(Box::new(store.clone()), &who(), &owner(), rig.clock).unwrap();
    assert!(entries.len() <= 4 + 65, "{} records are kept", entries.len());
    journal.close(SealState::Handover, Some(&owner())).unwrap();
    assert_eq!(verdict(&store.bytes()), bgctl::audit::Verdict::Handover);
    assert!(mentions(dir.path(), "rollback.armed").unwrap() && !mentions(dir.path(), "rollback.begun").unwrap());
    assert!(mentions(Path::new("/nowhere"), "note").is_err());
}
