//! Whatever is done to a closed log without its keys, it is never COMPLETE again.

use std::io::Cursor;
use std::sync::OnceLock;

use crate::rig::*;
use bgctl::audit::{Verdict, verify};
use bgctl::journal::{Append, Record, Seals};
use bgctl::sign::Trust;
use proptest::prelude::*;

fn sealed() -> &'static [u8] {
    static LOG: OnceLock<Vec<u8>> = OnceLock::new();
    LOG.get_or_init(complete)
}

/// The line a byte belongs to.
fn line_of(bytes: &[u8], at: usize) -> u64 {
    bytes[..at].iter().filter(|b| **b == b'\n').count() as u64
}

fn judge(bytes: &[u8], seals: Seals) -> Verdict {
    let trust = Trust { signers: signers(), shared: None };
    verify(&mut Cursor::new(bytes), &trust, seals).unwrap().verdict
}

#[test]
fn every_single_byte_of_the_closing_seal_counts_and_the_others_are_sampled() {
    let log = sealed();
    let closing = log[..log.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
    for at in (0..closing).step_by(31).chain(closing..log.len()) {
        let mut changed = log.to_vec();
        changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
        match judge(&changed, Seals::Last) {
            Verdict::Broken(fault) => assert_eq!(fault.record, line_of(log, at), "byte {at}: {fault}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn no_line_deleted_repeated_or_moved_anywhere_leaves_a_log_complete() {
    for log in crate::mutate::sound() {
        let all = lines(&log);
        let mut others = Vec::new();
        for a in 0..all.len() {
            others.push([&all[..a], &all[a + 1..]].concat());
            others.push([&all[..=a], &all[a..]].concat());
            for b in a + 1..all.len() {
                let mut moved = all.clone();
                moved.swap(a, b);
                others.push(moved);
            }
        }
        for changed in others {
            // Taking the closing seal away leaves a run that was never closed, and that is what it is called.
            let cut = log.starts_with(&changed.concat());
            for bytes in [changed.concat(), if changed.is_empty() { Vec::new() } else { rechain(&changed) }] {
                match judge(&bytes, Seals::Last) {
                    Verdict::Broken(_) => {}
                    Verdict::Interrupted | Verdict::Ended if cut => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_changed_byte_is_complete_and_its_line_is_named(at in any::<prop::sample::Index>(), to in any::<u8>(), all in any::<bool>()) {
        let log = sealed();
        let at = at.index(log.len());
        prop_assume!(log[at] != to);
        let mut changed = log.to_vec();
        changed[at] = to;
        match judge(&changed, if all { Seals::All } else { Seals::Last }) {
            Verdict::Broken(fault) => prop_assert_eq!(fault.record, line_of(log, at)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_deleted_repeated_or_moved_part_is_complete(
        a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), c in any::<prop::sample::Index>(), what in 0..6,
    ) {
        let log = sealed();
        let all = lines(log);
        let (a, b) = (a.index(all.len()), b.index(all.len()));
        let (low, high) = (a.min(b), a.max(b));
        let at = c.index(log.len());
        let changed = match what {
            // Lines deleted, the end included.
            0 => [&all[..low], &all[high.max(low + 1)..]].concat().concat(),
            1 => [&all[..=high], &all[low..]].concat().concat(),
            2 => {
                let mut moved = all.clone();
                moved.swap(low, high);
                moved.concat()
            }
            // The same three for bytes.
            3 => [&log[..at], &log[at + 1..]].concat(),
            4 => [&log[..=at], &log[at..]].concat(),
            _ => rechain(&[&all[..low], &all[high..]].concat()),
        };
        prop_assume!(changed != log);
        let verdict = judge(&changed, Seals::Last);
        prop_assert!(matches!(verdict, Verdict::Broken(_) | Verdict::Interrupted), "{:?}", verdict);
    }

    #[test]
    fn parts_of_two_runs_never_make_one(cut in any::<prop::sample::Index>(), from in any::<prop::sample::Index>()) {
        let mine = lines(sealed());
        let other = lines(&complete());
        let (cut, from) = (1 + cut.index(mine.len() - 1), 1 + from.index(other.len() - 1));
        // Same run id, same owner, other session: a splice of two attempts.
        let verdict = judge(&[&mine[..cut], &other[from..]].concat().concat(), Seals::Last);
        prop_assert!(matches!(verdict, Verdict::Broken(_) | Verdict::Interrupted), "{:?}", verdict);
    }

    #[test]
    fn whatever_is_written_verifies(texts in prop::collection::vec(any::<String>(), 1..6), n in any::<i64>()) {
        let mut rig = Rig::new();
        for text in &texts {
            let data = serde_json::json!({ "line": text, text.as_str(): { "n": n } });
            rig.clock.pass(std::time::Duration::from_millis(3));
            rig.journal.append(&[Record { kind: "note".into(), data }]).unwrap();
        }
        prop_assert_eq!(judge(&rig.store.bytes(), Seals::Last), Verdict::Interrupted);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(!matches!(judge(&bytes, Seals::All), Verdict::Complete));
    }
}
