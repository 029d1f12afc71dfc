//! `bgctl rollback` where the log, the run, its process or the disk are no help: users come home all the same.

use rustix::process::Signal;

use crate::guards::moves;
use crate::rig::*;

/// Half of the users on green, and their process killed.
fn abandoned(world: &World) -> Desk {
    let desk = Desk::beside(world);
    desk.write("runbook.yaml", &with_long_bake());
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    run.signal(Signal::KILL);
    run.end(5);
    assert_eq!(world.green(), 50);
    desk
}

#[test]
fn r01_a_rollback_that_was_killed_is_gone_on_with_by_the_next_one() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    world.look_anew();
    for step in ["back-to-blue", "drain-green"] {
        let back = desk.start(&["rollback", "--yes"]);
        desk.wait_for("step.intent", step);
        back.signal(Signal::KILL);
        back.end(5);
    }
    desk.run(&["rollback", "--yes"]).ends(0).says(&["is gone"]);
    assert_eq!((world.green(), world.turns(), desk.runs().len()), (0, 0, 1));
    desk.complete();
}

#[test]
fn r02_a_run_that_never_moved_sends_home_whom_somebody_else_moved() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let run = desk.cutover();
    desk.wait_for("step.intent", "warm-green");
    run.signal(Signal::KILL);
    run.end(5);
    moves(&world, 0, 100);
    world.look_anew();
    let done = desk.run(&["rollback", "--yes"]).ends(0).says(&["now      BLUE 0 GREEN 100", "All users are on GREEN."]);
    assert!(done.err.contains("ROLLED BACK") && !done.err.contains("STOPPED"), "{}", done.err);
    assert_eq!(world.seen(), [100, 0]);
    desk.complete();
    desk.run(&["rollback", "--yes"]).ends(0).says(&["NO CHANGES. All users are on BLUE already."]);
}

#[test]
fn r03_a_log_that_lost_its_tail_keeps_nobody_from_going_home() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    let log = desk.runs().remove(0).join("log.jsonl");
    let bytes = std::fs::read(&log).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    // Up to the seal behind the arming: by its own word nobody has moved.
    let armed = lines.iter().position(|l| l.windows(14).any(|w| w == b"rollback.armed")).unwrap();
    let seal = armed + lines[armed..].iter().position(|l| l.windows(6).any(|w| w == b"\"seal\"")).unwrap();
    std::fs::write(&log, lines[..=seal].concat()).unwrap();
    desk.run(&["rollback", "--yes"]).ends(0).says(&["Users are not all on BLUE.", "ROLLED BACK"]);
    assert_eq!(world.green(), 0);
    // And one in which nothing holds together at all: the plan beside it is enough.
    moves(&world, 0, 100);
    std::fs::write(&log, "not a log\n").unwrap();
    let name = desk.runs().remove(0).file_name().unwrap().to_string_lossy().into_owned();
    desk.run(&["rollback", &name, "--yes"]).ends(0).says(&["is not signed", "ROLLED BACK"]);
    assert_eq!(world.green(), 0);
}

/// What lies beside the log nobody signed: users are looked for, and moved, where the log says.
#[test]
fn r03_another_plan_beside_a_sound_log_leads_nobody_elsewhere() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    let plan = desk.runs().remove(0).join("plan.json");
    let rule = world.lab.variables()["rule_arn"].clone();
    let (head, _) = rule.rsplit_once('/').unwrap();
    let other = std::fs::read_to_string(&plan).unwrap().replace(&rule, &format!("{head}/0000000000000000"));
    std::fs::write(&plan, other).unwrap();
    desk.run(&["rollback", "--yes"]).ends(0).says(&["now      BLUE 50 GREEN 50", "ROLLED BACK"]);
    assert_eq!(world.green(), 0);
}

#[test]
fn r07_a_second_laptop_goes_back_from_the_runbook_alone() {
    let world = World::new(&[]);
    let first = abandoned(&world);
    let mut second = Desk::beside(&world);
    // What only the way forward needs is not there, and is not missed.
    second.without(&["SLACK_SIGNING_SECRET", "BGCTL_VAR_prometheus_url"]);
    for command in [&["rollback", "--yes"][..], &["rollback", "--print"]] {
        second.run(command).ends(64).says(&["bgctl rollback RUNBOOK.yaml", "--print RUNBOOK.yaml"]);
    }
    let split = Desk::beside(&world).run(&["plan", "runbook.yaml"]).ends(31);
    split.says(&["bgctl rollback runbook.yaml", "bgctl rollback --print runbook.yaml"]);
    let print = second.run(&["rollback", "--print", "runbook.yaml"]).ends(0);
    assert!(print.out.contains("aws elbv2 modify-rule --rule-arn arn:aws"), "{}", print.out);
    assert!(print.out.contains(r#""Weight":100"#) && print.out.contains(r#""Weight":0"#), "{}", print.out);
    assert_eq!(world.green(), 50, "printing moves nobody");
    world.look_anew();
    second.run(&["rollback", "runbook.yaml", "--yes"]).ends(0).says(&[
        "no run on this machine is about this runbook: the rollback is made from the runbook alone",
        "now      BLUE 50 GREEN 50",
        "ROLLED BACK",
    ]);
    assert_eq!(world.seen(), [50, 0]);
    second.complete();
    second.run(&["audit", "ledger"]).ends(0);
    second.run(&["rollback", "runbook.yaml", "--yes"]).ends(0).says(&["NO CHANGES"]);
    drop(first);
}

#[test]
fn r08_a_holder_that_is_stopped_is_replaced_after_fifteen_seconds() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_long_bake());
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    run.signal(Signal::STOP);
    let pid = run.pid().as_raw_nonzero().to_string();
    let log = desk.runs().remove(0).join("log.jsonl");
    let before = std::fs::read(&log).unwrap();
    let begun = clock();
    let done = desk.run(&["rollback", "--yes"]).ends(0).says(&[
        "asked the process that drives this run to go back",
        &format!("process {pid} (`bgctl cutover`), which is stopped"),
        "last record",
        "without bgctl:",
        "Another process drives the run: it is asked to roll back",
        "takes over in 10 s",
        "took over from",
        "ROLLED BACK",
    ]);
    let took = begun.elapsed().as_secs();
    assert!((14..60).contains(&took), "{took} s\n{}", done.err);
    assert_eq!(world.green(), 0);
    desk.complete();
    let notes: Vec<_> = desk.records().into_iter().filter(|r| r["type"] == "note").collect();
    assert!(notes.iter().any(|note| note["data"]["line"].as_str().unwrap().contains(&pid)), "{notes:?}");
    assert_eq!(desk.runs().len(), 2, "a run of its own, since the stopped one still has its log open");
    assert!(!desk.runs().remove(0).join("control/rollback.json").exists(), "the wish is taken back");
    // Woken, the old one finds its lease gone: it moves nobody and writes nothing.
    run.signal(Signal::CONT);
    run.end(60).ends(75).says(&["BG0161", "all on BLUE v1.4.1"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
    assert_eq!(std::fs::read(&log).unwrap(), before, "not a byte");
}

#[test]
fn r08_a_holder_that_dies_while_it_is_waited_for_is_replaced_at_once() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_long_bake());
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    run.signal(Signal::STOP);
    let back = desk.start(&["rollback", "--yes"]);
    let wish = desk.runs().remove(0).join("control/rollback.json");
    until("the wish", 20, || wish.exists());
    run.signal(Signal::KILL);
    let done = back.end(60).ends(0).says(&["is gone", "ROLLED BACK"]);
    assert!(!done.err.contains("took over"), "{}", done.err);
    assert_eq!((world.green(), desk.runs().len()), (0, 1), "in the same log");
    assert!(!wish.exists(), "the wish is taken back");
    desk.complete();
    run.end(5);
}

/// Whoever is slow because its step takes that long is not replaced in the middle of it.
#[test]
fn r08_a_holder_that_goes_back_is_followed_through_a_long_drain() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let drain = "drain: { stack: green, longest_job: 18s }";
    let long = with_long_bake().replace("drain: { stack: green, within: 5s, at_timeout: continue }", drain);
    desk.write("runbook.yaml", &long);
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    let done = desk.run(&["rollback", "--yes"]).ends(0).says(&["it goes back now", "rolled-back"]);
    assert!(!done.err.contains("took over"), "{}", done.err);
    run.end(20).ends(10);
    assert_eq!((world.green(), desk.runs().len()), (0, 1));
    desk.complete();
}

/// The run of another service that moves the same place is not told to go back: it loses its lease.
#[test]
fn r08_the_run_of_another_service_is_not_asked_to_go_back() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_long_bake().replace("service: bot", "service: other"));
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    let folder = desk.runs().remove(0);
    run.signal(Signal::STOP);
    desk.write("bot.yaml", RUNBOOK);
    let done = desk.run(&["rollback", "bot.yaml", "--yes"]).ends(0);
    done.says(&["it is the run of another service, which is not asked to go back", "took over from", "ROLLED BACK"]);
    assert_eq!(world.green(), 0);
    assert!(!folder.join("control/rollback.json").exists() && !folder.join("control/rollback.taken.json").exists());
    run.signal(Signal::CONT);
    run.end(60).ends(75).says(&["BG0161"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
}

#[test]
fn r11_print_of_a_rollback_that_ended_is_never_empty() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    desk.run(&["rollback", "--yes"]).ends(0);
    moves(&world, 0, 100);
    // A run of its own, for the run that has ended.
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!((world.green(), desk.runs().len()), (0, 2));
    for run in desk.runs() {
        let name = run.file_name().unwrap().to_string_lossy().into_owned();
        let print = desk.run(&["rollback", "--print", &name]).ends(0);
        assert!(print.out.contains("aws elbv2 modify-rule"), "{name}: {}", print.out);
    }
}

#[test]
fn r12_without_a_disk_users_go_home_and_the_record_comes_later() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    let mut second = Desk::beside(&world);
    second.write("a-file", "");
    let well = second.env["BGCTL_STATE_DIR"].clone();
    second.env.insert("BGCTL_STATE_DIR".into(), second.path("a-file").join("state").display().to_string());
    let refused = second.run(&["rollback", "runbook.yaml", "--yes"]).ends(78);
    refused.says(&["BG0601", "--unrecorded --confirm staging", "aws elbv2 modify-rule"]);
    second.run(&["rollback", "runbook.yaml", "--unrecorded", "--confirm", "production"]).ends(78);
    assert_eq!(world.green(), 50);
    let record = second.path("record.jsonl").display().to_string();
    let args = ["rollback", "runbook.yaml", "--unrecorded", "--confirm", "staging", "--record", &record];
    second.run(&args).ends(0).says(&["ROLLED BACK", "bgctl audit adopt"]);
    assert_eq!(world.green(), 0);
    second.run(&["audit", "verify", &record, "--allowed-signers", "/dev/null"]);
    // On stderr where no file was named.
    moves(&world, 0, 100);
    let on_stderr = second.run(&args[..5]).ends(0).says(&["the JSON lines above, and nowhere else"]);
    second.write("stderr.txt", &on_stderr.err);
    second.env.insert("BGCTL_STATE_DIR".into(), well);
    for file in [record.as_str(), "stderr.txt"] {
        second.run(&["audit", "adopt", file]).ends(0).says(&["is kept"]);
        second.run(&["audit", "adopt", file]).ends(64).says(&["kept here already"]);
    }
    second.run(&["audit", "ledger"]).ends(0);
    assert_eq!(second.runs().len(), 2);
    second.run(&["show"]).ends(0).says(&["made without a record on the disk"]);
    drop(desk);
}

/// Only what was made without a record is adopted: what has a folder and a line in a ledger elsewhere is never passed off as that.
#[test]
fn r12_an_ordinary_record_is_not_adopted() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    desk.run(&["rollback", "--yes"]).ends(0);
    moves(&world, 0, 100);
    desk.run(&["rollback", "--yes"]).ends(0);
    let [cutover, back] = &desk.runs()[..] else { panic!("{:?}", desk.runs()) };
    let other = Desk::new();
    for (run, why) in [
        (cutover, "it records a cutover, and a cutover never runs without a record on the disk"),
        (back, "it does not say that it was made without a record on the disk"),
    ] {
        let log = run.join("log.jsonl").display().to_string();
        other.run(&["audit", "adopt", &log]).ends(40).says(&["BG0625", why]);
    }
    assert!(other.runs().is_empty());
}

#[test]
fn r12_a_full_disk_and_a_key_that_is_gone_stop_nobody() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    let bgctl = BGCTL;
    // No file of this process may grow beyond nothing: as on a full disk.
    let line = format!("ulimit -f 0; trap '' XFSZ; exec {bgctl} rollback --yes --unrecorded --confirm staging");
    desk.shell(&line).end(60).ends(0).says(&["The disk is full", "ROLLED BACK", "-- the record of this rollback"]);
    assert_eq!(world.green(), 0);
    // The open run is ended by the next command, which finds everybody home.
    moves(&world, 0, 100);
    std::fs::remove_file(desk.path("key")).unwrap();
    desk.run(&["rollback", "--yes"]).ends(0).says(&["not signed by a person", "ROLLED BACK"]);
    assert_eq!(world.green(), 0);
}

#[test]
fn r32_a_route_that_cannot_be_read_holds_up_no_other() {
    let world = World::new(&[]);
    let desk = abandoned(&world);
    let second = Desk::beside(&world);
    let gone = world.lab.variables()["rule_arn"].clone();
    let (head, _) = gone.rsplit_once('/').unwrap();
    let two = RUNBOOK
        .replace("routes:\n", &format!("routes:\n  lost:\n    alb:\n      rule: {head}/0000000000000000\n      blue: ${{var.blue_target_group}}\n      green: ${{var.green_target_group}}\n"))
        .replace("    - id: back-to-blue\n", "    - id: lost-back\n      shift: { route: lost, blue: 100% }\n    - id: back-to-blue\n");
    second.write("runbook.yaml", &two);
    let done = second.run(&["rollback", "runbook.yaml", "--yes"]);
    assert_eq!(world.green(), 0, "{}", done.err);
    assert_eq!(done.code, 20, "{}", done.err);
    assert!(!done.err.contains("NO CHANGES") && done.err.contains("unknown at"), "{}", done.err);
    drop(desk);
}
