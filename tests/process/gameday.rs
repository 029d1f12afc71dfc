//! A game day in a staging of the test's own, from the page: hooks, three proofs, a signed report, and everybody at home.

use bgctl::lab::Fault;
use serde_json::Value;

use crate::common::peer;
use crate::rig::*;

/// Hooks that leave a line each, and a channel that takes the page.
fn runbook(bad: &str) -> String {
    let gameday = format!(
        "gameday:\n  bad: {{ shell: '{bad}' }}\n  good: {{ shell: 'echo good >> hooks.txt' }}\n  within: 30s\n"
    );
    let page = "policy:\n  page: [{ command: [sh, -c, 'printf %s \"$BGCTL_PAGE\" > page.txt'] }]\n  acknowledge: { within: 10m }\n";
    RUNBOOK.replace("schema:\n", &format!("{page}{gameday}schema:\n"))
}

fn staging(faults: &[Fault], bad: &str) -> (World, Desk) {
    let world = World::new(faults);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &runbook(bad));
    (world, desk)
}

const DAY: [&str; 6] = ["gameday", "runbook.yaml", "--in", "staging", "--confirm", "staging"];

#[test]
fn three_proofs_and_a_signed_report() {
    let (world, desk) = staging(&[Fault::GreenErrors], "echo bad >> hooks.txt");
    let day = desk.start(&DAY);
    until("bad", 60, || desk.path("hooks.txt").is_file());
    // Nobody stops a day in its middle: GREEN is bad by now.
    day.signal(rustix::process::Signal::TSTP);
    let done = day.end(120).ends(0).says(&[
        "GAME DAY of bot in staging",
        "never shown on this machine",
        "GAME DAY PASSED",
        "after GREEN was made bad: gate `errors`",
        "everybody was back on BLUE",
        "a bad green across a contract moved nobody, and a person was called: command took the page",
        "everybody is on BLUE, read back",
    ]);
    assert_eq!(std::fs::read_to_string(desk.path("hooks.txt")).unwrap(), "bad\ngood\nbad\ngood\n");
    let page = std::fs::read_to_string(desk.path("page.txt")).unwrap();
    assert!(
        page.starts_with("GAME DAY, made bad on purpose: bot staging") && page.contains("users     BLUE 50 GREEN 50"),
        "{page}"
    );
    assert_eq!(world.green(), 0);
    let line = done.out.lines().find(|line| line.contains("report ")).expect("the report is named");
    let file = line.split_whitespace().nth(1).unwrap().trim_end_matches(',').to_string();
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let ms: Vec<Option<u64>> = report["proofs"].as_array().unwrap().iter().map(|proof| proof["ms"].as_u64()).collect();
    assert!(ms[0].is_some_and(|ms| ms < 30_000) && ms[1].is_some_and(|ms| ms < 10_000) && ms[2].is_none(), "{report}");
    // The signature is of the key that signs runs, and of these bytes.
    if let Some(keygen) = peer("ssh-keygen") {
        let check = format!("{} -Y check-novalidate -n bgctl-gameday-v1 -s {file}.sig < {file}", keygen.display());
        desk.shell(&check).end(10).ends(0);
        desk.shell(&format!(
            "sed s/true/false/ {file} | {} -Y check-novalidate -n bgctl-gameday-v1 -s {file}.sig",
            keygen.display()
        ))
        .end(10)
        .ends(255);
    }
    // Its rollbacks and its freeze are none of the team's, and its runs are none either.
    desk.run(&["freeze", "--list"]).ends(0).says(&["nothing is frozen"]);
    assert!(desk.runs().is_empty());
    let again = desk.run(&DAY[..4]).ends(64);
    again.says(&["last shown", "--confirm staging"]);
    assert_eq!(world.green(), 0);
}

/// A green that nothing makes bad proves nothing, and says so. Nobody is left on it.
#[test]
fn what_is_not_shown_is_said() {
    let (world, desk) = staging(&[], "true");
    let done = desk.start(&DAY).end(180).ends(1);
    done.says(&[
        "GAME DAY FAILED",
        "nobody was sent back automatically: the run is completed",
        "the guard was not reached by a gate that failed: the run is completed",
        "everybody is on BLUE, read back",
    ]);
    assert_eq!(world.green(), 0);
    assert_eq!(std::fs::read_to_string(desk.path("hooks.txt")).unwrap(), "good\ngood\n");
}

/// A green that stays bad ends the day, and is not forgotten at its end.
#[test]
fn a_green_that_stays_bad_is_said() {
    let (world, desk) = staging(&[Fault::GreenErrors], "true");
    let text = std::fs::read_to_string(desk.path("runbook.yaml")).unwrap();
    desk.write("runbook.yaml", &text.replace("echo good >> hooks.txt", "exit 4"));
    let done = desk.start(&DAY).end(120).ends(1);
    done.says(&["GAME DAY FAILED", "GREEN        NOT known to be good", "everybody is on BLUE, read back"]);
    assert_eq!((world.green(), world.turns()), (0, 1), "no second run");
}

/// A day that cannot be kept is told all the same, with where users are.
#[test]
fn a_report_that_cannot_be_kept_is_told() {
    let (world, desk) = staging(&[], "true");
    let text = std::fs::read_to_string(desk.path("runbook.yaml")).unwrap();
    let taken = r#"for d in state/gameday/2*; do mkdir -p "$d/report.json"; done"#;
    desk.write("runbook.yaml", &text.replace("echo good >> hooks.txt", taken));
    desk.start(&DAY).end(180).ends(78).says(&[
        "GAME DAY FAILED",
        "report       NOT WRITTEN",
        "the game day cannot be written down",
        "everybody is on BLUE, read back",
        "bgctl status runbook.yaml",
    ]);
    assert_eq!(world.green(), 0);
}

/// What is other people's: users who are on green, a freeze of the team's, a run that is under way.
#[test]
fn a_game_day_takes_nobody_away() {
    let (world, desk) = staging(&[], "true");
    desk.run(&["freeze", "staging", "--reason", "payroll", "--until", "1h"]).ends(0);
    desk.run(&DAY).ends(75).says(&["BG0402", "payroll"]);
    desk.at_terminal(&["unfreeze", "staging", "--reason", "over", "--confirm", "staging"]);
    std::fs::remove_dir_all(desk.path("state/freezes")).unwrap();
    let other = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    desk.run(&DAY).ends(75).says(&["BG0401"]);
    other.end(60).ends(0);
    desk.run(&DAY).ends(31).says(&["begins with everybody on BLUE", "BLUE 0 GREEN 100"]);
    assert_eq!((world.green(), world.turns()), (100, 0));
    assert!(!desk.path("hooks.txt").exists(), "no hook ran");
}

/// Whatever happens after a hook that failed, it was not the hook's doing.
#[test]
fn a_hook_that_fails_proves_nothing() {
    let (world, desk) = staging(&[Fault::GreenErrors], "echo no such chaos >&2; exit 3");
    let done = desk.start(&DAY).end(120).ends(1);
    done.says(&[
        "`bad` did not end well",
        "GREEN was never made bad: `bad` did not end well",
        "everybody is on BLUE, read back",
    ]);
    assert_eq!(world.green(), 0);
}

/// Ctrl-C in the middle: the run goes back as always, green is made good again and everybody is at home.
#[test]
fn an_interrupted_day_leaves_nobody_on_a_bad_green() {
    let (world, desk) = staging(&[], "echo bad >> hooks.txt");
    let day = desk.shell(&format!("exec setsid {BGCTL} {}", DAY.join(" ")));
    until("bad", 60, || desk.path("hooks.txt").is_file());
    // The terminal tells every process of the group.
    rustix::process::kill_process_group(day.pid(), rustix::process::Signal::INT).unwrap();
    let done = day.end(120).ends(1);
    done.says(&["GAME DAY FAILED", "everybody is on BLUE, read back"]);
    assert_eq!(world.green(), 0);
    assert!(world.seen().iter().all(|green| *green <= 50), "no further step after it");
    assert!(std::fs::read_to_string(desk.path("hooks.txt")).unwrap().starts_with("bad\ngood\n"));
}

/// Before anybody is moved.
#[test]
fn what_does_not_fit_is_refused() {
    let (world, desk) = staging(&[], "true");
    desk.run(&["gameday", "runbook.yaml", "--in", "production"]).ends(64).says(&["BG0197", "not of `production`"]);
    desk.run(&["gameday", "nowhere.yaml", "--in", "staging"]).ends(65);
    desk.write("plain.yaml", RUNBOOK);
    desk.run(&["gameday", "plain.yaml", "--in", "staging"])
        .ends(65)
        .says(&["how GREEN is made bad", "explain gameday"]);
    desk.write(
        "asks.yaml",
        &with_approval().replace("schema:\n", "gameday: { bad: { shell: x }, good: { shell: y } }\nschema:\n"),
    );
    desk.run(&["gameday", "asks.yaml", "--in", "staging"]).ends(65).says(&["waits for an approval"]);
    desk.write("real.yaml", &runbook("true").replace("environment: staging", "environment: eu-prod"));
    let real = ["gameday", "real.yaml", "--in", "eu-prod", "--confirm", "eu-prod"];
    desk.run(&real).ends(77).says(&["a game day hurts users", "--in staging"]);
    desk.run(&[&real[..], &["--override", "production", "--reason", "short"]].concat()).ends(77).says(&["at least 10"]);
    desk.write("closed.yaml", &runbook("true").replace("change: none", "change: contract"));
    desk.run(&["gameday", "closed.yaml", "--in", "staging"]).ends(65).says(&["nobody would go back automatically"]);
    assert_eq!((world.green(), world.turns()), (0, 0));
}
