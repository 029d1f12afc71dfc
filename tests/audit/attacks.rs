//! Attacks on the bytes, by their numbers in the list of cases.

use crate::rig::*;
use bgctl::journal::Verdict;

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
    assert_eq!(record, at as u64 + 1);
    assert!(words.contains("it covers"), "{words}");
}

#[test]
fn case_05_and_06_a_torn_tail_is_not_taken_for_an_end() {
    let bytes = complete();
    let all = lines(&bytes);
    for cut in [bytes.len() - 1, bytes.len() - 100, bytes.len() - all[all.len() - 1].len() - all[all.len() - 2].len()] {
        let (_, words) = broken(&bytes[..cut]);
        assert!(words.contains("covered by no seal"), "{words}");
    }
}

#[test]
fn case_07_a_tail_cut_at_a_seal_is_only_interrupted() {
    let all = lines(&complete());
    let at = find(&all, "step.outcome");
    assert_eq!(verdict(&all[..at + 2].concat()), Verdict::Interrupted);
    assert_eq!(verdict(&all[..all.len() - 1].concat()), Verdict::Interrupted);
}

#[test]
fn case_09_and_10_reordered_records_are_found() {
    let mut lines = lines(&complete());
    let (a, b) = (find(&lines, "step.intent"), find(&lines, "step.outcome"));
    lines.swap(a, b);
    assert_eq!(broken(&lines.concat()).0, a as u64);
    assert_eq!(broken(&rechain(&lines)).0, a as u64 + 1);
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

#[test]
fn case_14_to_16_other_spellings_are_no_lines_of_a_log() {
    let all = lines(&complete());
    let at = find(&all, "step.outcome");
    let line = String::from_utf8(all[at].clone()).unwrap();
    let deep = format!("\"data\":{}{}", "{\"a\":".repeat(70_000), "1");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a member twice", line.replacen("\"mono\":", "\"mono\":1,\"mono\":", 1).into()),
        ("a blank", line.replacen(",\"mono\"", ", \"mono\"", 1).into()),
        ("CR LF", line.replace('\n', "\r\n").into()),
        ("a byte order mark", format!("\u{feff}{line}").into()),
        ("a NUL", line.replacen("moved", "mo\0ed", 1).into()),
        ("70 kB", line.replacen("moved", &"m".repeat(70_000), 1).into()),
        ("depth", line.replacen("\"data\":", &deep, 1).into()),
        ("not UTF-8", [line.as_bytes()[..300].to_vec(), vec![0xff], line.as_bytes()[300..].to_vec()].concat()),
        ("half a surrogate pair", line.replacen("moved", "\\ud800", 1).into()),
        ("a number too large", line.replacen("\"mono\":", "\"mono\":9007199254740993", 1).into()),
        ("a fraction", line.replacen("\"index\":0", "\"index\":0.0", 1).into()),
        ("a hidden character", line.replacen("moved", "mo\u{202e}ed", 1).into()),
        ("another escape", line.replacen("moved", "\\u006doved", 1).into()),
    ];
    for (name, changed) in cases {
        assert_ne!(changed, all[at], "{name}: the case changes nothing");
        let log = [&all[..at], &[changed], &all[at + 1..]].concat().concat();
        let (record, words) = broken(&log);
        assert_eq!(record, at as u64, "{name}: {words}");
        assert!(words.contains("cannot be read"), "{name}: {words}");
    }
}

#[test]
fn case_44_a_second_opening_and_a_session_key_that_closes_are_refused() {
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
    let mut rig = Rig::of(RUN, &bgctl::sign::session::SessionKey::from_seed([8; 32]));
    rig.walk();
    let bytes = rig.store.bytes();
    let words = match verdict(&bytes) {
        Verdict::Untrusted(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(words.contains("is in no allowed-signers file"), "{words}");
}
