//! Attacks on the bytes, by their numbers in the list of cases.

use crate::forge::Forge;
use crate::rig::*;
use bgctl::audit::{Verdict, verify};
use bgctl::journal::{Journal, SealState, Seals};
use bgctl::sign::Trust;
use bgctl::sign::hmac::SharedKey;
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Assurance, SignError, Signer};
use jiff::SignedDuration;
use serde_json::{Value, json};

#[test]
fn an_untouched_log_is_complete() {
    let report = report(&complete());
    assert_eq!(report.verdict, Verdict::Complete, "{report:?}");
    assert_eq!(report.outcome.map(|o| o.name()), Some("completed"));
    assert_eq!((report.steps_run, report.steps_planned), (2, 3));
    assert_eq!(report.owners[0].signed.principal, OWNER);
    assert_eq!(report.approved[0].principal, APPROVER);
}

#[test]
fn case_01_content_flipped_names_the_record() {
    let mut lines = lines(&complete());
    let at = find(&lines, "approval.granted");
    lines[at] = String::from_utf8(lines[at].clone()).unwrap().replace(APPROVER, "rm-two@example.com").into_bytes();
    let (record, words) = broken(&lines.concat());
    assert_eq!((record, words.as_str()), (at as u64, format!("record {at} was changed after it was written").as_str()));
}

#[test]
fn case_02_content_flipped_and_chained_anew_breaks_a_seal() {
    let mut lines = lines(&complete());
    let at = find(&lines, "approval.granted");
    lines[at] = String::from_utf8(lines[at].clone()).unwrap().replace(APPROVER, "rm-two@example.com").into_bytes();
    let (record, words) = broken(&rechain(&lines));
    assert_eq!(record, at as u64 + 1);
    assert!(words.contains("bytes"), "{words}");
}

#[test]
fn case_03_a_deleted_record_is_missed() {
    let mut lines = lines(&complete());
    let at = find(&lines, "step.intent");
    lines.remove(at);
    let expected = format!("record {at} is missing: {} is followed by {}", at - 1, at + 1);
    assert_eq!(broken(&lines.concat()), (at as u64, expected));
}

#[test]
fn case_04_a_group_deleted_and_chained_anew_breaks_the_next_seal() {
    let mut lines = lines(&complete());
    let at = find(&lines, "step.intent");
    lines.drain(at..at + 2);
    let (record, words) = broken(&rechain(&lines));
    assert_eq!(record, (at + find(&lines[at..], "seal")) as u64);
    assert!(words.contains("it covers"), "{words}");
}

#[test]
fn case_05_a_torn_line_at_the_end_is_not_taken_for_an_end() {
    let bytes = complete();
    let last = lines(&bytes).pop().unwrap().len();
    for torn in [1, 2, 100, last - 1] {
        let (record, words) = broken(&bytes[..bytes.len() - torn]);
        let unsealed = last - torn;
        assert_eq!(words, format!("the last {unsealed} bytes are covered by no seal"));
        assert_eq!(record as usize, lines(&bytes).len() - 1);
    }
}

#[test]
fn case_06_a_cut_between_a_record_and_its_seal_is_not_taken_for_an_end() {
    let all = lines(&complete());
    let at = find(&all, "step.outcome");
    let (record, words) = broken(&all[..=at].concat());
    assert_eq!((record, words), (at as u64, format!("the last {} bytes are covered by no seal", all[at].len())));
}

#[test]
fn case_07_a_tail_cut_at_a_seal_is_interrupted() {
    let all = lines(&complete());
    let at = find(&all, "step.outcome");
    assert_eq!(verdict(&all[..at + 2].concat()), Verdict::Interrupted);
    assert_eq!(verdict(&all[..all.len() - 1].concat()), Verdict::Interrupted);
}

#[test]
fn case_09_reordered_records_are_found() {
    let mut lines = lines(&complete());
    let (a, b) = (find(&lines, "step.intent"), find(&lines, "step.outcome"));
    lines.swap(a, b);
    assert_eq!(broken(&lines.concat()), (a as u64, format!("record {a} is missing: {} is followed by {b}", a - 1)));
}

#[test]
fn case_10_reordered_records_chained_anew_break_the_next_seal() {
    let mut all = lines(&complete());
    let (a, b) = (find(&all, "step.intent"), find(&all, "step.outcome"));
    // Each takes the other's place with its times, so that only what they say has moved.
    let mut parts: Vec<Value> = all.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    for member in ["type", "data"] {
        let first = parts[a][member].take();
        parts[a][member] = parts[b][member].take();
        parts[b][member] = first;
    }
    for at in [a, b] {
        all[at] = format!("{}\n", parts[at]).into_bytes();
    }
    let (record, words) = broken(&rechain(&all));
    assert_eq!((record, words.contains("the seal in record")), (a as u64 + 1, true), "{words}");
}

#[test]
fn case_11_a_record_of_another_run_does_not_fit() {
    let mut mine = lines(&complete());
    let mut other = Rig::of("20261121-0303-abc", &owner());
    other.walk();
    let other = lines(&other.close());
    let at = find(&mine, "step.outcome");
    mine[at] = other[at].clone();
    assert_eq!(broken(&mine.concat()), (at as u64, format!("record {at} belongs to another run, `20261121-0303-abc`")));
}

#[test]
fn case_12_a_whole_run_under_another_name_breaks_its_statement() {
    let text = String::from_utf8(complete()).unwrap();
    let renamed = lines(text.replace(RUN, "20261121-0302-zzz").as_bytes());
    let (record, words) = broken(&rechain(&renamed));
    assert_eq!(record, 0);
    assert!(words.contains("the signature does not fit"), "{words}");
}

#[test]
fn case_13_nothing_follows_the_close() {
    let mut all = lines(&complete());
    let end = all.len() as u64;
    all.push(all[find(&all, "step.outcome")].clone());
    let (record, words) = broken(&rechain(&all));
    assert_eq!(record, end);
    assert!(words.contains("the owner closed the log before it"), "{words}");
}

/// The outcome of a step in another spelling: the record is named, and it is said that it cannot be read.
fn misspelled(cases: &[(&str, Vec<u8>)]) {
    let all = lines(&complete());
    let at = find(&all, "step.outcome");
    for (name, changed) in cases {
        assert_ne!(*changed, all[at], "{name}: the case changes nothing");
        let log = [&all[..at], std::slice::from_ref(changed), &all[at + 1..]].concat().concat();
        let (record, words) = broken(&log);
        assert_eq!(record, at as u64, "{name}: {words}");
        assert!(words.contains("cannot be read"), "{name}: {words}");
    }
}

fn outcome() -> String {
    let all = lines(&complete());
    String::from_utf8(all[find(&all, "step.outcome")].clone()).unwrap()
}

#[test]
fn case_14_a_member_that_stands_there_twice_is_not_read() {
    let line = outcome();
    misspelled(&[
        ("of the line", line.replacen("\"mono\":", "\"mono\":1,\"mono\":", 1).into()),
        ("of the data", line.replacen("\"id\":", "\"id\":\"other\",\"id\":", 1).into()),
        ("deeper", line.replacen("\"index\":", "\"index\":1,\"index\":", 1).into()),
    ]);
}

#[test]
fn case_15_a_blank_between_the_parts_is_not_read() {
    let line = outcome();
    misspelled(&[
        ("before a name", line.replacen(",\"mono\"", ", \"mono\"", 1).into()),
        ("behind a colon", line.replacen("\"mono\":", "\"mono\": ", 1).into()),
        ("in the data", line.replacen("\"data\":{", "\"data\":{ ", 1).into()),
        ("at the end", line.replace('\n', " \n").into()),
        ("a tab", line.replacen("\"data\":{", "\"data\":{\t", 1).into()),
    ]);
}

#[test]
fn case_16_other_spellings_and_hostile_lines_are_not_read() {
    let line = outcome();
    let deep = format!("\"data\":{}{}", "{\"a\":".repeat(9_000), "1");
    let wide: String = (0..6_000).map(|n| format!("\"{n}\":1,")).collect();
    misspelled(&[
        ("CR LF", line.replace('\n', "\r\n").into()),
        ("a byte order mark", format!("\u{feff}{line}").into()),
        ("a NUL", line.replacen("moved", "mo\0ed", 1).into()),
        ("70 kB", line.replacen("moved", &"m".repeat(70_000), 1).into()),
        ("depth", line.replacen("\"data\":", &deep, 1).into()),
        (
            "a wide object with a name twice",
            line.replacen("\"data\":{", &format!("\"data\":{{{wide}\"7\":1,"), 1).into(),
        ),
        ("not UTF-8", [line.as_bytes()[..300].to_vec(), vec![0xff], line.as_bytes()[300..].to_vec()].concat()),
        ("half a surrogate pair", line.replacen("moved", "\\ud800", 1).into()),
        ("a surrogate pair", line.replacen("moved", "\\ud83d\\ude00", 1).into()),
        ("2^53 + 1", line.replacen("\"index\":0", "\"index\":9007199254740993", 1).into()),
        ("2^53", line.replacen("\"index\":0", "\"index\":9007199254740992", 1).into()),
        ("a number too large", line.replacen("\"mono\":", "\"mono\":9007199254740993", 1).into()),
        ("a fraction", line.replacen("\"index\":0", "\"index\":0.0", 1).into()),
        ("an exponent", line.replacen("\"index\":0", "\"index\":0e0", 1).into()),
        ("minus nothing", line.replacen("\"index\":0", "\"index\":-0", 1).into()),
        ("a hidden character", line.replacen("moved", "mo\u{202e}ed", 1).into()),
        ("another escape", line.replacen("moved", "\\u006doved", 1).into()),
        ("an escaped slash", line.replacen("moved", "\\/oved", 1).into()),
    ]);
}

#[test]
fn case_31_a_run_that_was_never_closed_is_interrupted() {
    let mut rig = Rig::new();
    rig.walk();
    drop(rig.journal);
    let report = report(&rig.store.bytes());
    assert_eq!(report.verdict, Verdict::Interrupted);
    // It had come to its end and nobody signed that this is all: what is there still stands.
    assert_eq!(report.outcome.map(|o| o.name()), Some("completed"));
    assert_eq!(report.approved.len(), 1);
}

#[test]
fn case_44_a_session_seals_in_its_time_only() {
    let long = SignedDuration::from_secs(7);
    let forge = |spoil: &dyn Fn(&mut Forge)| {
        let mut forge = Forge::new();
        forge.not_after = forge.now + long;
        forge.open().record("note", &json!({ "line": "in time" }));
        spoil(&mut forge);
        forge.record("note", &json!({ "line": "later" }));
        forge.bytes()
    };
    assert_eq!(verdict(&forge(&|_| {})), Verdict::Interrupted);
    let over = |spoil: &dyn Fn(&mut Forge)| {
        let (record, words) = broken(&forge(spoil));
        assert!(record == 6 && words.contains("its session ran from"), "{record}: {words}");
    };
    over(&|forge| {
        forge.pass(long);
    });
    // The wall clock set back does not help: elapsed time counts too.
    over(&|forge| {
        forge.pass(long).now -= long;
        forge.line("clock.anomaly", &json!({ "line": "set back" }));
        forge.seal();
    });
    // A session that allows itself more than twelve hours.
    let mut forge = Forge::new();
    forge.not_after = forge.now + SignedDuration::from_hours(13);
    assert!(broken(&forge.open().bytes()).1.contains("longer than 12 hours"));
    // Another session's key under this session's seals.
    let mut forge = Forge::new();
    forge.open().session = SessionKey::from_seed([4; 32]);
    let (record, words) = broken(&forge.record("note", &json!({})).bytes());
    assert!(record == 4 && words.contains("it was signed with"), "{words}");
}

#[test]
fn case_44b_a_second_opening_and_a_session_key_that_closes_are_refused() {
    let all = lines(&complete());
    let log = [&all[..3], &all[..1]].concat();
    let (record, words) = broken(&rechain(&log));
    assert_eq!((record, words.contains("open already")), (3, true), "{words}");
    // The last seal of the session, passed off as the owner's close.
    let mut all = all[..all.len() - 1].to_vec();
    let last = all.len() - 1;
    let seal = String::from_utf8(all[last].clone()).unwrap();
    all[last] = seal.replace("state open", "state closed").into_bytes();
    let (record, words) = broken(&all.concat());
    assert_eq!((record, words.contains("bgctl-close-v1")), (last as u64, true), "{words}");
    all[last] = seal.replace("state open", "state closed").replace("bgctl-seal-v1", "bgctl-close-v1").into_bytes();
    assert_eq!(broken(&all.concat()).0, last as u64);
}

#[test]
fn an_empty_file_and_a_foreign_file_are_no_logs() {
    assert_eq!(broken(b"").1, "the log is empty");
    assert!(broken(b"{}\n").1.contains("record 0 cannot be read"));
    assert!(broken(&[0u8; 100_000]).1.contains("covered by no seal"));
    assert!(broken(&[b'x'; 9_000_000]).1.contains("longer than"));
}

#[test]
fn case_29_a_key_nobody_trusts_is_not_complete() {
    let mut rig = Rig::of(RUN, &SessionKey::from_seed([8; 32]));
    rig.walk();
    let bytes = rig.store.bytes();
    let words = match verdict(&bytes) {
        Verdict::Untrusted(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(words.contains("is in no allowed-signers file"), "{words}");
}

/// Says that it is one shared key and signs with another.
struct Liar {
    says: SharedKey,
    signs: SharedKey,
}

impl Signer for Liar {
    fn name(&self) -> String {
        self.says.name()
    }
    fn public(&self) -> String {
        self.says.public()
    }
    fn fingerprint(&self) -> String {
        self.says.fingerprint()
    }
    fn assurance(&self) -> Assurance {
        self.says.assurance()
    }
    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        self.signs.sign(namespace, message)
    }
}

#[test]
fn case_48b_a_wrong_shared_key_is_found_at_every_position() {
    let shared = || SharedKey::new(&[5; 32], "ci").unwrap();
    let liar = || Liar { says: shared(), signs: SharedKey::new(&[6; 32], "other").unwrap() };
    // Opened, taken up and closed: each by the right key or by the other one.
    let log = |wrong: usize| {
        let by = |position: usize| -> Box<dyn Signer> {
            if position == wrong { Box::new(liar()) } else { Box::new(shared()) }
        };
        let mut rig = Rig::of(RUN, &*by(0));
        rig.walk();
        drop(rig.journal);
        rig.clock.pass(std::time::Duration::from_secs(60));
        let (journal, _) = Journal::resume(Box::new(rig.store.clone()), &who(), &*by(1), rig.clock).unwrap();
        journal.close(SealState::Closed, Some(&*by(2))).unwrap();
        rig.store.bytes()
    };
    let judge = |bytes: &[u8], shared| {
        let trust = Trust { signers: signers(), shared };
        verify(&mut std::io::Cursor::new(bytes), &trust, Seals::Last).unwrap().verdict
    };
    assert_eq!(judge(&log(9), Some(shared())), Verdict::Complete);
    for position in 0..3 {
        let bytes = log(position);
        let all = lines(&bytes);
        let at = [0, find(&all, "run.resumed"), all.len() - 1][position] as u64;
        match judge(&bytes, Some(shared())) {
            Verdict::Broken(fault) => assert_eq!(fault.record, at, "position {position}: {fault}"),
            other => panic!("position {position}: {other:?}"),
        }
        // Where signatures are wanted, nobody has a shared key, and the log is nobody's.
        assert!(matches!(judge(&bytes, None), Verdict::Untrusted(_)));
    }
}

/// Says of itself what it is not.
struct Boaster(SharedKey);

impl Signer for Boaster {
    fn name(&self) -> String {
        self.0.name()
    }
    fn public(&self) -> String {
        self.0.public()
    }
    fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }
    fn assurance(&self) -> Assurance {
        Assurance::SecurityKey
    }
    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        self.0.sign(namespace, message)
    }
}

#[test]
fn a16_a_log_of_a_shared_key_is_that_whatever_it_says_of_itself() {
    let shared = || SharedKey::new(&[5; 32], "ci").unwrap();
    let boaster = Boaster(shared());
    let mut rig = Rig::of(RUN, &boaster);
    rig.walk();
    rig.journal.close(SealState::Closed, Some(&boaster)).unwrap();
    let bytes = rig.store.bytes();
    let trust = Trust { signers: signers(), shared: Some(shared()) };
    let report = verify(&mut std::io::Cursor::new(&bytes[..]), &trust, Seals::All).unwrap();
    assert!(!report.owners.is_empty());
    assert!(report.owners.iter().all(|owner| owner.assurance == "shared-key"), "{:?}", report.owners);
}
