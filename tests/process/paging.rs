//! A run that halts, the page it sends, and who says that they have it. The channels are programs of the test's own.

use bgctl::lab::Fault;
use serde_json::Value;

use crate::rig::*;

/// Nothing goes back by itself here, and what the two channels were told lies in two files.
fn runbook(within: &str) -> String {
    let channel = |file: &str| format!(r#"{{ command: [sh, -c, 'printf %s "$BGCTL_PAGE" > "$0"', {file}] }}"#);
    let policy = format!(
        "policy:\n  automatic_rollback: {{ at_most: 0, within: 24h }}\n  page: [{}, {}]\n  acknowledge: {{ within: {within} }}\n",
        channel("first.txt"),
        channel("second.txt"),
    );
    RUNBOOK.replace("schema:\n", &format!("{policy}schema:\n"))
}

fn halting(within: &str) -> (World, Desk) {
    let world = World::new(&[Fault::GreenErrors]);
    let desk = Desk::beside(&world);
    std::fs::write(desk.path("runbook.yaml"), runbook(within)).unwrap();
    (world, desk)
}

fn of_type(desk: &Desk, kind: &str) -> Vec<Value> {
    desk.records().into_iter().filter(|record| record["type"] == kind).collect()
}

#[test]
fn a_halted_run_calls_the_next_channel_when_nobody_says_that_they_have_it() {
    let (world, desk) = halting("1s");
    let end = desk.cutover().end(60).ends(20);
    let page = std::fs::read_to_string(desk.path("first.txt")).expect("the first channel was called");
    for fact in [
        "users     BLUE 50 GREEN 50",
        "happened  gate `errors` failed",
        "bgctl     users were left as they are",
        "bgctl rollback",
        "bgctl ack",
        "/undo/web.sh",
    ] {
        assert!(page.contains(fact), "{fact}: {page}");
    }
    assert_eq!(std::fs::read_to_string(desk.path("second.txt")).unwrap(), page, "the second is told the same");
    let escalated = of_type(&desk, "page.escalated");
    let delivered: Vec<&Value> = escalated.iter().map(|record| &record["data"]["delivered"]).collect();
    assert_eq!(delivered, [&Value::Bool(true), &Value::Bool(false)]);
    end.says(&["nobody acknowledged at command within 1s, and no channel is left", "HALTED", "without bgctl"]);
    assert_eq!(world.green(), 50);
    desk.run(&["audit", "verify"]).ends(0);
}

/// P9: the process that waits for an answer is killed. Whoever goes on with the run does not end in silence.
#[test]
fn p9_a_resumed_run_goes_on_calling() {
    let (world, desk) = halting("1s");
    let first = desk.path("first.txt");
    let killed = desk.cutover();
    until("the page", 60, || first.is_file());
    until("the end of the run", 10, || of_type(&desk, "run.ended").len() == 1);
    killed.signal(rustix::process::Signal::KILL);
    killed.end(10);
    let before = of_type(&desk, "page.escalated").len();
    std::fs::remove_file(&first).unwrap();
    let end = desk.start(&["resume"]).end(60).ends(20);
    let page = std::fs::read_to_string(&first).expect("the first channel was called again");
    for fact in ["users     BLUE 50 GREEN 50", "the run is halted, and nobody has acknowledged that", "bgctl ack"] {
        assert!(page.contains(fact), "{fact}: {page}");
    }
    assert!(desk.path("second.txt").exists(), "and the next one after it");
    end.says(&["the process that waited for an acknowledgement is gone; command took the page", "no channel is left"]);
    assert!(of_type(&desk, "page.escalated").len() >= before + 2);
    assert_eq!((world.green(), world.turns()), (50, 0));
    desk.run(&["audit", "verify"]).ends(0);
}

/// What was acknowledged while nobody waited is no reason to call anybody.
#[test]
fn p9_a_resumed_run_takes_an_acknowledgement_that_came_meanwhile() {
    let (world, desk) = halting("10m");
    let killed = desk.cutover();
    until("the page", 60, || desk.path("first.txt").is_file());
    until("the end of the run", 10, || of_type(&desk, "run.ended").len() == 1);
    killed.signal(rustix::process::Signal::KILL);
    killed.end(10);
    desk.run(&["ack", "--reason", "looking"]).ends(0);
    std::fs::remove_file(desk.path("first.txt")).unwrap();
    desk.start(&["resume"]).end(60).ends(20).says(&["has it"]);
    assert!(!desk.path("first.txt").exists() && !desk.path("second.txt").exists(), "nobody is called");
    assert_eq!((of_type(&desk, "page.acknowledged").len(), world.green()), (1, 50));
}

#[test]
fn whoever_goes_back_meanwhile_can_and_has_it() {
    let (world, desk) = halting("10m");
    let waiting = desk.cutover();
    until("the page", 60, || desk.path("first.txt").is_file());
    until("the end of the run", 10, || of_type(&desk, "run.ended").len() == 1);
    desk.run(&["rollback", "--yes", "--reason", "green answers with errors"]).ends(0);
    assert_eq!(world.green(), 0, "everyone is back while the halted process still waits");
    waiting.end(20).ends(20).says(&["has it"]);
    assert!(!desk.path("second.txt").exists(), "nobody else is called");
}

#[test]
fn bgctl_ack_is_written_into_the_log() {
    let (world, desk) = halting("10m");
    let waiting = desk.cutover();
    until("the page", 60, || desk.path("first.txt").is_file());
    until("the end of the run", 10, || of_type(&desk, "run.ended").len() == 1);
    desk.run(&["ack", "--reason", "looking"]).ends(0).says(&[
        "BLUE 50 GREEN 50",
        "its process writes it into the log",
        "bgctl rollback",
    ]);
    waiting.end(20).ends(20);
    let [given] = &of_type(&desk, "page.acknowledged")[..] else { panic!("one acknowledgement") };
    assert_eq!(given["data"]["by"]["via"], "command");
    assert_eq!(world.green(), 50, "acknowledging moves nobody");
    desk.run(&["audit", "verify"]).ends(0);
}

#[test]
fn a_run_that_paged_nobody_is_not_acknowledged() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.cutover().end(60).ends(0);
    desk.run(&["ack"]).ends(64).says(&["BG0184", "has paged nobody", "BLUE 0 GREEN 100"]);
}

#[test]
fn a_retro_says_what_a_bad_release_did() {
    let world = World::new(&[Fault::GreenErrors]);
    let desk = Desk::beside(&world);
    desk.cutover().end(60).ends(10);
    let words = [
        "ROLLED BACK after",
        "on GREEN",
        "from the verdict until everybody was back",
        "web: BLUE 50 GREEN 50 for",
        "in the bad state",
    ];
    desk.run(&["retro"]).ends(0).says(&words);
    let found = desk.run(&["retro", "-o", "json"]).ends(0);
    let found: Value = serde_json::from_str(&found.out).expect("one document");
    let failed = &found["retro"]["failed"];
    assert!(failed["failed"].as_u64() > Some(0) && failed["failed"].as_u64() < failed["requests"].as_u64(), "{found}");
    let safe = found["retro"]["trouble"]["verdict_to_safe_ms"].as_u64().expect("everybody is back");
    assert!(safe < 10_000, "{found}");
    let document = desk.run(&["retro", "--format", "markdown"]).ends(0);
    assert!(document.out.starts_with("# bot") && document.out.contains("**impact**"), "{}", document.out);
}

/// A run that halted with a bad green and a blue that has gone, so that a rollback halts too.
fn between_two_ills() -> (World, Desk) {
    let world = World::new(&[Fault::GreenErrors, Fault::BlueDown]);
    let desk = Desk::beside(&world);
    std::fs::write(desk.path("runbook.yaml"), runbook("1s")).unwrap();
    desk.cutover().end(90).ends(20);
    (world, desk)
}

#[test]
fn r42_a_persons_own_rollback_that_halts_calls_nobody_and_holds_up_nothing() {
    let (world, mut desk) = between_two_ills();
    desk.without(&["CI"]);
    std::fs::remove_file(desk.path("first.txt")).unwrap();
    let _ = std::fs::remove_file(desk.path("second.txt"));
    let begun = clock();
    let done = desk.run(&["rollback", "--yes"]).ends(20);
    done.says(&["nobody else was called: owner@example.com asked for this rollback and is here"]);
    assert!(begun.elapsed().as_secs() < 15, "the terminal waited for {:?}", begun.elapsed());
    assert!(!desk.path("first.txt").exists() && !desk.path("second.txt").exists(), "nobody was called");
    assert_eq!(world.green(), 50);
}

#[test]
fn r41_a_person_passes_over_a_blue_that_is_not_well_with_a_reason() {
    let (world, desk) = between_two_ills();
    desk.run(&["rollback", "--yes", "--override", "blue-health"]).ends(64).says(&["BG0175", "at least 10 characters"]);
    assert_eq!(world.green(), 50);
    let reason = "green charges twice, blue is only down";
    let done = desk.start(&["rollback", "--yes", "--override", "blue-health", "--reason", reason]).end(60).ends(0);
    let means = "users are sent there even if it is not healthy";
    let done =
        done.says(&[means, "no approval is needed", &format!("users go there anyway, owner@example.com: {reason}")]);
    assert_eq!(world.green(), 0, "{}", done.err);
    let used: Vec<Value> = of_type(&desk, "override.used");
    assert_eq!((&used[0]["data"]["guard"], &used[0]["data"]["reason"]), (&"blue-health".into(), &reason.into()));
    desk.run(&["audit", "verify"]).ends(0);
}

/// P7: each outcome is told with its reason, and the log says to whom.
#[test]
fn p7_every_outcome_is_told() {
    let told = |faults: &[Fault], policy: &str, exit: i32| {
        let world = World::new(faults);
        let desk = Desk::beside(&world);
        let channel = r#"{ command: [sh, -c, 'printf "%s\n" "$BGCTL_NEWS" >> news.txt'] }"#;
        let runbook = RUNBOOK.replace(
            "schema:\n",
            &format!("policy:\n  {policy}notify: [{channel}, {{ command: [\"false\"] }}]\nschema:\n"),
        );
        std::fs::write(desk.path("runbook.yaml"), runbook).unwrap();
        let end = desk.cutover().end(60).ends(exit);
        end.says(&["notify: command was told; command was NOT told: ended with status 1"]);
        desk.run(&["audit", "verify"]).ends(0);
        assert!(
            desk.records()
                .iter()
                .filter(|r| r["type"] == "note")
                .any(|note| note["data"]["line"].as_str().is_some_and(|line| line.starts_with("notify: ")))
        );
        (std::fs::read_to_string(desk.path("news.txt")).expect("somebody was told"), world, desk)
    };
    let (news, ..) = told(&[], "", 0);
    for fact in [" is completed\n", "users     BLUE 0 GREEN 100", "more      bgctl show "] {
        assert!(news.contains(fact) && !news.contains("why "), "{fact}: {news}");
    }
    let (news, ..) = told(&[Fault::GreenErrors], "", 10);
    for fact in [" is rolled-back\n", "users     BLUE 100 GREEN 0", "why       bake-50: gate `errors` failed: green"] {
        assert!(news.contains(fact), "{fact}: {news}");
    }
    let (news, ..) = told(&[Fault::GreenErrors], "automatic_rollback: { at_most: 0, within: 24h }\n  ", 20);
    assert!(news.contains(" is halted\n") && news.contains("users     BLUE 50 GREEN 50"), "{news}");
    let (news, ..) = told(&[Fault::GreenWrongSecret], "", 11);
    assert!(news.contains(" is stopped\n") && news.contains("users     BLUE 100 GREEN 0"), "{news}");
}
