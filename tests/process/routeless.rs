//! A runbook without a route: its steps are run, judged and recorded, and nothing is said of users that it does not have.

use crate::rig::{BGCTL, Desk};

const RUNBOOK: &str = r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
stacks:
  blue: { version: v1, url: "http://127.0.0.1:1" }
  green: { version: v2, url: "http://127.0.0.1:2" }
routes: {}
steps:
  - id: clean
    command: { run: [echo, hello] }
  - id: last
    command: { shell: "exit $STATUS" }
rollback: { owner: owner@example.com }
"#;

fn desk(status: &str) -> Desk {
    let mut desk = Desk::new();
    desk.env.insert("STATUS".into(), status.into());
    desk.write("runbook.yaml", RUNBOOK);
    desk
}

#[test]
fn a_runbook_without_a_route_is_an_audited_runbook() {
    let desk = desk("0");
    let checked =
        desk.run(&["check", "runbook.yaml"]).ends(0).says(&["none: the runbook has no route and moves nobody"]);
    assert!(!checked.err.contains("green writes") && !checked.out.contains("green writes"), "{}", checked.err);
    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["rollback: none, the runbook has no route", "0 moves"]);
    let done =
        desk.cutover().end(30).ends(0).says(&["COMPLETED in", "The runbook has no route, so no users were moved."]);
    for word in ["All users", "BLUE v1 was", "rollback", "not known"] {
        assert!(!done.err.contains(word), "{word}: {}", done.err);
    }
    desk.complete();
    // The script of standard tools says the same.
    let key = std::fs::read_to_string(desk.path("key.pub")).expect("the public key");
    desk.write("signers", &format!("owner@example.com namespaces=\"bgctl-*\" {key}"));
    let log = desk.runs()[0].join("log.jsonl").display().to_string();
    desk.shell(&format!("{BGCTL} audit verify-script > verify.sh")).end(20).ends(0);
    desk.shell(&format!("sh verify.sh {log} signers")).end(60).ends(0).says(&["COMPLETE"]);
    desk.run(&["status"]).ends(0).says(&["completed", "bgctl show"]);
    let refused = desk.run(&["rollback", "--yes"]).ends(64).says(&["there are no users to bring back"]);
    assert!(!refused.err.contains("All users"), "{}", refused.err);
    desk.run(&["rollback", "runbook.yaml", "--yes"]).ends(64).says(&["there are no users to bring back"]);
}

#[test]
fn its_steps_can_fail_and_nothing_is_rolled_back() {
    let desk = desk("1");
    let done = desk.cutover().end(30).ends(11).says(&["STOPPED. The runbook has no route, so no users were moved."]);
    assert!(!done.err.contains("All users"), "{}", done.err);
    desk.complete();
    let retro = desk.run(&["retro"]).ends(0).says(&["no users were moved: the runbook has no route", "status 1"]);
    assert!(!retro.out.contains("bad state") && !retro.out.contains("failed requests"), "{}", retro.out);
    desk.write("runbook.yaml", &RUNBOOK.replace("routes: {}\n", ""));
    desk.run(&["check", "runbook.yaml"]).ends(65).says(&["lacks `routes`"]);
    let back = "  steps: [{ id: back, command: { run: [echo] } }]\n";
    desk.write(
        "runbook.yaml",
        &RUNBOOK.replace(
            "rollback: { owner: owner@example.com }\n",
            &format!("rollback:\n  owner: owner@example.com\n{back}"),
        ),
    );
    desk.run(&["check", "runbook.yaml"]).ends(65).says(&["a runbook without a route is never rolled back"]);
    let shift = RUNBOOK.replace("command: { run: [echo, hello] }", "shift: { route: web, green: 100% }");
    desk.write("runbook.yaml", &shift);
    desk.run(&["check", "runbook.yaml"]).ends(65).says(&["web"]);
}
