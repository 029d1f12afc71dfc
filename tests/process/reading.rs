//! What a person is shown of a log: everything that happened, and nothing that only looks like it.

use serde_json::Value;

use crate::rig::*;

/// Output that would like to be something else: a record, a line of the terminal, another colour, another order of letters.
const HOSTILE: &str = r#"
printf '03:05:10      2m  + shift-50       approved by rm@example.com, signed with SHA256:AAAA\n'
printf '\033[1A\033[2K+ COMPLETE: closed by its owner\r\n'
printf '\302\2331A\302\205next line\n'
printf 'red \033]0;title\007 \342\200\256deweiver\342\200\254 \342\200\213 \342\201\246x\342\201\251\n'
printf '{"v":1,"seq":99,"type":"approval.granted","data":{"grant":{"principal":"rm@example.com"}}}\n'
printf 'tail without end \033[31m\303\050\000'
"#;

fn hostile(world: &World) -> Desk {
    let desk = Desk::beside(world);
    desk.write("hostile.sh", HOSTILE);
    let step = "steps:\n  - id: migrate\n    command: { run: [\"/bin/sh\", \"hostile.sh\"], within: 5s }\n";
    desk.write("runbook.yaml", &RUNBOOK.replacen("steps:\n", step, 1));
    desk
}

/// Characters that a terminal acts on, or does not show.
fn acts(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[test]
fn case_40_output_of_a_step_cannot_imitate_a_record_or_a_line() {
    let world = World::new(&[]);
    let desk = hostile(&world);
    let run = desk.cutover().end(90).ends(0);
    let log = String::from_utf8(desk.log()).expect("the log is UTF-8");
    assert!(!log.contains(acts), "the log has a character that acts");
    assert!(log.contains("approved by rm@example.com") && log.contains("\\u001b[1A"), "the output is in the log");
    let fake = |records: &[Value]| records.iter().any(|r| r["type"] == "approval.granted");
    assert!(!fake(&desk.records()), "no output is a record");
    desk.complete();

    let shown = desk.run(&["audit", "show", "--all"]).ends(0);
    let events = desk.run(&["show", "--events"]).ends(0);
    let short = desk.run(&["audit", "show"]).ends(0);
    for (name, text) in [
        ("cutover", &run.err),
        ("audit show --all", &shown.out),
        ("show --events", &events.out),
        ("audit show", &short.out),
    ] {
        assert!(!text.contains(acts), "{name} shows a character that acts: {text:?}");
        for line in text.lines().filter(|line| line.contains("approved by") || line.contains("+ COMPLETE")) {
            let quoted = line.trim_start().starts_with("│ ");
            let of_its_step = line.contains("migrate") && line.contains("stdout: ");
            assert!(quoted || of_its_step, "{name} has a line of its own: {line}");
        }
    }
    assert!(shown.out.contains("│ \\u{1b}[1A\\u{1b}[2K+ COMPLETE"), "{}", shown.out);
    assert!(!short.out.contains("approved by"), "{}", short.out);
}

#[test]
fn a_timeline_says_who_what_when_and_on_what_evidence() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.cutover().end(60).ends(0);
    desk.run(&["rollback", "--yes", "--reason", "users complain"]).ends(0);
    let runs: Vec<String> =
        desk.runs().iter().map(|run| run.file_name().unwrap().to_string_lossy().into_owned()).collect();

    let shown = desk.run(&["audit", "show", &runs[0]]).ends(0);
    shown.says(&[
        "times UTC",
        "opened by owner@example.com   [owner@example.com, file]",
        "plan ",
        "7 steps forward, 2 back",
        "tester answered `staging` on the command line   [tester, command]",
        "│ This moves live users. Type the environment's name to start",
        "│ choices: staging",
        "gate errors pass",
        "shift-50",
        "COMPLETED",
        "COMPLETE: closed by its owner; why, and what could not be checked: bgctl audit verify",
        "details are left out: --all shows them",
    ]);
    let back = desk.run(&["audit", "show", &runs[1], "-o", "json"]).ends(0);
    let page: Value = serde_json::from_str(&back.out).expect("one document");
    assert_eq!((page["verdict"].as_str(), page["state"].as_str()), (Some("COMPLETE"), Some("closed")));
    let moments = page["timeline"].as_array().expect("a timeline");
    let asked = moments.iter().find(|m| m["type"] == "prompt.answered").expect("the question before the rollback");
    assert_eq!(asked["who"]["name"], "tester");
    assert_eq!(asked["data"]["answer"], "yes");
    assert_eq!(asked["quoted"][0], "Roll back now? [y] yes  [n] no ");
    // A machine gets every record that is no seal, in order.
    let numbers: Vec<u64> = moments.iter().filter_map(|m| m["seq"].as_u64()).collect();
    let records: Vec<u64> =
        desk.records().iter().filter(|r| r["type"] != "seal").filter_map(|r| r["seq"].as_u64()).collect();
    assert_eq!(numbers, records);
    let lines = desk.run(&["audit", "show", &runs[1], "-o", "jsonl"]).ends(0);
    assert_eq!(lines.out.lines().count(), moments.len());
}
