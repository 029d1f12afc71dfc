//! What a CI job may rely on: no question ever, and the documented code for each end.

use bgctl::lab::Fault;
use serde_json::Value;

use crate::rig::*;

/// Every line of stdout is JSON.
#[track_caller]
fn json_lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn r23_a_cutover_in_ci_needs_one_word_says_the_rest_and_is_done_once() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let users = "BLUE 100 GREEN 0";

    // Not the word, or another one: nothing happens.
    desk.run(&["cutover", "runbook.yaml"]).ends(64).says(&["BG0404", "--confirm staging"]);
    desk.run(&["cutover", "runbook.yaml", "--confirm", "production"]).ends(64).says(&["--confirm staging"]);
    desk.run(&["rollback"]).ends(64).says(&["there is no run"]);
    assert!(desk.runs().is_empty(), "no run was begun");

    // A plan first: read only, as lines and as JSON.
    let plan = ["plan", "runbook.yaml", "--out", "saved.plan", "--detailed-exitcode"];
    desk.run(&plan).ends(2).says(&[users, "shift-50", "rollback"]);
    let plan = desk.run(&["plan", "runbook.yaml", "-o", "json"]).ends(0);
    let plan: Value = serde_json::from_str(&plan.out).expect("one document");
    assert_eq!(plan["plan"]["forward"].as_array().map(Vec::len), Some(7));
    assert_eq!((world.seen(), desk.runs().len()), (vec![0], 0));

    // The saved plan, as events.
    let done = desk.run(&["cutover", "saved.plan", "--confirm", "staging", "-o", "jsonl"]).ends(0);
    let events = json_lines(&done.out);
    assert!(events.len() > 20, "{}", done.out);
    assert_eq!((world.green(), world.turns()), (100, 0));
    desk.complete();

    // There is nothing to go on with: the same end again.
    desk.run(&["resume"]).ends(0).says(&["NO CHANGES", "completed"]);

    // The same plan again: users are not where it saw them.
    desk.run(&["cutover", "saved.plan", "--confirm", "staging"]).ends(31).says(&["BG0304", "bgctl plan"]);
    let drift = desk.run(&["cutover", "saved.plan", "--confirm", "staging", "-o", "json"]).ends(31);
    assert_eq!(serde_json::from_str::<Value>(&drift.out).expect("one document")["error"]["code"], "BG0304");
    // The runbook again: what it asks for is done. With another version it is another cutover, and its blue is not live.
    let again = ["cutover", "runbook.yaml", "--confirm", "staging"];
    desk.run(&again).ends(0).says(&[
        "NO CHANGES",
        "All users are on GREEN v1.4.2, read just now",
        "nothing to do",
        "--swap",
    ]);
    desk.write("runbook.yaml", &RUNBOOK.replace("version: v1.4.1", "version: v1.5.0"));
    desk.run(&again).ends(31).says(&["BG0301", "--swap"]);
    desk.write("runbook.yaml", RUNBOOK);

    desk.run(&["rollback"]).ends(64).says(&["--yes"]);
    assert_eq!(world.green(), 100);
    let back = desk.run(&["rollback", "--yes", "-o", "json"]).ends(0).says(&["all on BLUE v1.4.1"]);
    assert_eq!(serde_json::from_str::<Value>(&back.out).expect("one document")["outcome"], "rolled-back");
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.complete();
    world.continuous();
}

#[test]
fn a_failed_gate_ends_with_everybody_back() {
    let world = World::new(&[Fault::GreenErrors]);
    let desk = Desk::beside(&world);
    let done = desk.run(&["cutover", "runbook.yaml", "--confirm", "staging", "-o", "jsonl"]).ends(10);
    json_lines(&done.out);
    done.says(&["ROLLED BACK", "errors", "all on BLUE v1.4.1"]);
    assert_eq!((world.green(), world.turns()), (0, 1), "{:?}", world.seen());
    desk.complete();
    desk.run(&["status", "--exit-status"]).ends(10);
    world.continuous();
}

#[test]
fn one_run_at_a_time_moves_a_route() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_long_bake());
    let first = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    let run = desk.runs().pop().expect("a run");
    let id = run.file_name().expect("its name").to_string_lossy().into_owned();
    // Users are split, which is no drift: somebody is at it, and it is said who.
    desk.cutover().end(20).ends(75).says(&["BG0401", &id, OWNER]);
    desk.run(&["resume"]).ends(75).says(&["BG0401", &id, OWNER]);
    assert_eq!(desk.runs().len(), 1, "a run that may not begin leaves nothing");
    first.signal(rustix::process::Signal::TERM);
    first.end(20).ends(10);
    assert_eq!(world.green(), 0);
    world.continuous();
}

#[test]
fn a_second_cutover_of_a_service_waits_for_the_first() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    // Long before the first move, so that the second one's plan still holds.
    let early = "  - id: wait\n    command: { run: [sleep, '30'] }\n  - id: warm-green\n";
    desk.write("runbook.yaml", &RUNBOOK.replace("  - id: warm-green\n", early));
    let first = desk.cutover();
    desk.wait_for("step.intent", "wait");
    let id = desk.runs().pop().expect("a run").file_name().expect("its name").to_string_lossy().into_owned();
    desk.cutover().end(20).ends(75).says(&["BG0401", &id, OWNER]);
    assert_eq!(desk.runs().len(), 1);
    first.signal(rustix::process::Signal::TERM);
    first.end(20).ends(11);
    assert_eq!(world.seen(), [0]);
}

#[test]
fn mistakes_and_missing_things_have_codes_of_their_own() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    let cutover = ["cutover", "runbook.yaml", "--confirm", "staging"];

    let broken = RUNBOOK
        .replace("tolerance: 30%", "tolerence: 30%")
        .replace("shift: { route: web, green: 50% }", "shift: { route: wbe, green: 50% }")
        .replace("max: 2%", "max: 200%");
    desk.write("broken.yaml", &broken);
    let done = desk.run(&["cutover", "broken.yaml", "--confirm", "staging"]).ends(65);
    for word in ["tolerence", "`tolerance`", "wbe", "broken.yaml:", "━", "nothing was asked of any system"] {
        assert!(done.err.contains(word), "{word}: {}", done.err);
    }

    let secret = desk.env.remove("SLACK_SIGNING_SECRET").expect("the lab gives one");
    desk.run(&cutover).ends(78).says(&["SLACK_SIGNING_SECRET", "BG0201"]);
    desk.env.insert("SLACK_SIGNING_SECRET".into(), secret);
    let rule = desk.env.remove("BGCTL_VAR_rule_arn").expect("the lab gives one");
    desk.run(&cutover).says(&["rule_arn", "BG0206"]);
    desk.env.insert("BGCTL_VAR_rule_arn".into(), rule);

    let key = desk.env.insert("BGCTL_SIGNING_KEY".into(), desk.path("none").display().to_string());
    desk.run(&cutover).ends(77).says(&["BG0423"]);
    desk.env.remove("BGCTL_SIGNING_KEY");
    desk.run(&cutover).ends(77).says(&["BG0422", "bgctl keys create"]);
    desk.env.insert("BGCTL_SIGNING_KEY".into(), key.expect("it was set"));

    let there = desk.env.clone();
    let nowhere = format!("http://127.0.0.1:{}", crate::common::free_port());
    desk.env.insert("AWS_ENDPOINT_URL".into(), nowhere);
    desk.run(&cutover).ends(69).says(&["BG0214"]);
    desk.env = there.clone();
    desk.without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]);
    desk.run(&cutover).ends(77).says(&["BG0211"]);
    desk.env = there;
    desk.env.insert("AWS_SECRET_ACCESS_KEY".into(), "another".into());
    let done = desk.run(&["cutover", "runbook.yaml", "--confirm", "staging", "-o", "json"]).ends(77);
    assert!(serde_json::from_str::<Value>(&done.out).expect("one document")["error"]["next"].is_array());

    assert!(desk.runs().is_empty(), "none of these began a run");
    assert_eq!(world.seen(), [0]);
}

#[test]
fn nobody_is_sent_to_a_green_that_is_not_well() {
    let world = World::new(&[Fault::GreenOldBuild]);
    let desk = Desk::beside(&world);
    desk.cutover().end(60).ends(11).says(&["smoke-green", "v1.4.1"]);
    assert_eq!(world.seen(), [0]);
    desk.complete();

    // Too few healthy targets: refused before the first step.
    let few = RUNBOOK.replace("    seen_at:", "      min_healthy: 9\n    seen_at:");
    desk.write("runbook.yaml", &few);
    desk.cutover().end(60).ends(11).says(&["BG0303", "9 needed"]);
    assert_eq!(world.seen(), [0]);
    desk.complete();
}
