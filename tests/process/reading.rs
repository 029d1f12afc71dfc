//! What a person is shown of a log: everything that happened, and nothing that only looks like it. And what `status` says of users: what is.

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
        "owner@example.com answered `staging` on the command line   [owner@example.com, command]",
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
    assert_eq!(asked["who"]["name"], OWNER);
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

fn short(desk: &Desk) -> String {
    let name = desk.runs().pop().expect("a run").file_name().expect("its name").to_string_lossy().into_owned();
    name.rsplit('-').next().expect("its end").to_string()
}

/// A run whose process was killed while half of the users were on green.
fn killed_at_half(desk: &Desk) -> String {
    desk.write("runbook.yaml", &with_long_bake());
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    run.signal(rustix::process::Signal::KILL);
    run.end(10);
    short(desk)
}

#[test]
fn r07_r37_a_run_that_nobody_drives_is_named_here_and_its_users_are_seen_from_anywhere() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.run(&["status"]).ends(64).says(&["BG0004", "bgctl status RUNBOOK.yaml", "bgctl rollback RUNBOOK.yaml"]);
    let before = desk.run(&["status", "runbook.yaml"]).ends(0);
    before.says(&["BLUE 100 GREEN 0   read just now", "bgctl cutover runbook.yaml", "none of this service is kept"]);
    let run = killed_at_half(&desk);

    // Here the open run is the answer.
    let again = desk.cutover().end(20).ends(31);
    again.says(&[
        "BG0313",
        "is still open",
        "it is interrupted: its process is gone",
        &format!("bgctl resume {run}"),
        &format!("bgctl rollback {run}"),
        "50",
    ]);
    let status = desk.run(&["status"]).ends(0);
    status.says(&[
        "BLUE 50 GREEN 50   read just now",
        "interrupted: its process is gone; NOBODY IS WATCHING",
        "BLUE 2/2 healthy",
        &format!("bgctl rollback {run}"),
    ]);

    desk.run(&["show", &run]).ends(0).says(&["INTERRUPTED: the process of this run is gone"]);

    // On a machine that never saw it there is the runbook.
    let other = Desk::beside(&world);
    other.write("runbook.yaml", RUNBOOK);
    other.run(&["status"]).ends(64).says(&["bgctl status RUNBOOK.yaml"]);
    let seen = other.run(&["status", "runbook.yaml"]).ends(0);
    seen.says(&[
        "BLUE 50 GREEN 50   read just now",
        "healthy",
        "none of this service is kept",
        "next: bgctl rollback runbook.yaml",
    ]);
    let page = other.run(&["status", "runbook.yaml", "-o", "json"]).ends(0);
    let page: Value = serde_json::from_str(&page.out).expect("one document");
    assert_eq!(page["users"]["web"]["read_now"]["green"], page["users"]["web"]["read_now"]["blue"]);
    assert_eq!(page["next"][0], "bgctl rollback runbook.yaml");
    other.cutover().end(20).ends(31).says(&["BG0301", "bgctl status runbook.yaml", "bgctl rollback runbook.yaml"]);

    // A log that does not hold together hides no users.
    let log = desk.runs().pop().expect("a run").join("log.jsonl");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, [&whole[..100], &whole[101..]].concat()).unwrap();
    let broken = desk.run(&["status"]).ends(40);
    broken.says(&["web BLUE 50 GREEN 50, read just now", "bgctl audit verify", "bgctl rollback", "undo/web.sh"]);
    std::fs::write(&log, whole).unwrap();
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!(world.green(), 0);
    world.continuous();
}

#[test]
fn r13_a_command_without_a_name_is_about_the_users_that_are_under_way() {
    let (one, two) = (World::new(&[]), World::new(&[]));
    let mut desk = Desk::beside(&one);
    let first = killed_at_half(&desk);
    desk.turn_to(&two);
    desk.write("runbook.yaml", &RUNBOOK.replace("service: bot", "service: other"));
    desk.cutover().end(60).ends(0);
    let second = short(&desk);
    assert_eq!((one.green(), two.green()), (50, 100));

    // The newest run is over: the one whose users are split is meant.
    desk.turn_to(&one);
    desk.run(&["status"]).ends(0).says(&["BLUE 50 GREEN 50   read just now", &format!("bgctl rollback {first}")]);
    // Both are under way: they are listed, and nothing is chosen.
    desk.turn_to(&two);
    desk.run(&["rollback", &second, "--yes"]).ends(0);
    desk.write("runbook.yaml", &with_long_bake().replace("service: bot", "service: other"));
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    run.signal(rustix::process::Signal::KILL);
    run.end(10);
    let second = short(&desk);
    for command in ["status", "rollback", "resume"] {
        let listed = desk.run(&[command]).ends(64);
        let names = [format!("bgctl {command} {first}"), format!("bgctl {command} {second}")];
        listed.says(&[
            "BG0006",
            "staging/bot: run",
            "staging/other: run",
            "interrupted: its process is gone",
            &names[0],
            &names[1],
            "read just now",
        ]);
    }
    assert_eq!((one.green(), two.green()), (50, 50), "nobody was moved");
    desk.run(&["rollback", &second, "--yes"]).ends(0);
    desk.turn_to(&one);
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!((one.green(), two.green()), (0, 0));
}

/// What a process leaves that ends between making its log and its first record: nothing that could have moved anybody.
#[test]
fn an_empty_log_is_of_a_run_that_nobody_began() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.cutover().end(90).ends(0);
    let folder = desk.runs().pop().expect("a run");
    let run = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_string();
    std::fs::write(folder.join("log.jsonl"), "").expect("an empty log");
    for (args, code) in [(["resume", &run], 40), (["status", &run], 40), (["show", &run], 40)] {
        desk.run(&args).ends(code).says(&["is empty", "BG0604", "before any move", "bgctl rollback"]);
    }
    desk.run(&["audit", "verify", &run]).ends(40).says(&["the log is empty", "before any move"]);
    assert!(desk.run(&["status", &run]).err.contains("GREEN 100"), "status asks the route all the same");
    desk.run(&["rollback", &run, "--yes"]).ends(0);
    assert_eq!(world.green(), 0);
}

#[test]
fn r13_a_run_that_ended_with_users_on_both_sides_or_cannot_be_read_is_under_way() {
    let (one, two) = (World::new(&[bgctl::lab::Fault::GreenErrors]), World::new(&[]));
    let mut desk = Desk::beside(&one);
    let policy = "policy:\n  automatic_rollback: { at_most: 0, within: 24h }\nschema:\n";
    desk.write("runbook.yaml", &RUNBOOK.replace("schema:\n", policy));
    desk.cutover().end(60).ends(20).says(&["HALTED"]);
    let (first, folder) = (short(&desk), desk.runs().pop().unwrap());
    desk.turn_to(&two);
    desk.write("runbook.yaml", &RUNBOOK.replace("service: bot", "service: other"));
    desk.cutover().end(60).ends(0);
    let second = short(&desk);
    assert_eq!((one.green(), two.green()), (50, 100));

    // The other one is newer, and nobody has to act for it.
    desk.turn_to(&one);
    desk.run(&["status"]).ends(0).says(&["BLUE 50 GREEN 50   read just now", &format!("bgctl rollback {first}")]);
    let log = folder.join("log.jsonl");
    let whole = std::fs::read(&log).unwrap();
    let at = whole.len() / 2;
    std::fs::write(&log, [&whole[..at], &whole[at + 1..]].concat()).unwrap();
    desk.run(&["status"]).ends(40).says(&["web BLUE 50 GREEN 50, read just now", &first]);
    desk.run(&["rollback", "--yes"]).ends(0).says(&["is not signed", "ROLLED BACK"]);
    assert_eq!((one.green(), two.green()), (0, 100));

    // Nor is one over whose users are all on one side, but that nobody has brought to its end.
    desk.turn_to(&two);
    desk.run(&["rollback", &second, "--yes"]).ends(0);
    let long = RUNBOOK.replace("- id: bake-100\n    bake: { for: 3s,", "- id: bake-100\n    bake: { for: 60s,");
    desk.write("runbook.yaml", &long.replace("service: bot", "service: other"));
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-100");
    run.signal(rustix::process::Signal::KILL);
    run.end(10);
    desk.run(&["status"])
        .ends(0)
        .says(&["BLUE 0 GREEN 100   read just now", &format!("bgctl rollback {}", short(&desk))]);
}
