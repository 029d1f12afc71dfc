//! An automatic rollback that somebody has to agree to, in a CI job: from another laptop, too late, or overtaken by a person who
//! goes back on their own.

use std::path::{Path, PathBuf};

use crate::approvals::{POLICY, Team, without_roles};
use crate::common::peer;
use crate::rig::*;

/// The request of the rollback: its folder, the run's name, and the text that is to be signed.
fn request_of(desk: &Desk) -> (PathBuf, String, String) {
    let run = desk.runs().pop().expect("a run");
    let name = run.file_name().unwrap().to_str().unwrap().to_string();
    let text = std::fs::read_to_string(run.join("approvals/back-to-blue.request.json")).expect("the request");
    (run.join("approvals"), name, text)
}

/// A cutover in CI whose green fails at half of the users, and whose rollback somebody of the role has to agree to within
/// some seconds.
fn failing(keygen: &Path, within: &str) -> (World, Team, Running) {
    let world = World::new(&[bgctl::lab::Fault::GreenErrors]);
    let team = Team::new(&world, keygen);
    team.desk.write(".bgctl/policy.yaml", &POLICY.replace("within: 30m", &format!("within: {within}")));
    let page = "policy:\n  page: [{ command: [sh, -c, 'printf \"%s\\n\" \"$BGCTL_PAGE\" >> pages.txt'] }]\nschema:\n";
    let runbook = without_roles(RUNBOOK).replace("schema:\n", page);
    team.desk.write(
        "runbook.yaml",
        &runbook.replace("  owner: owner@example.com\n", "  owner: owner@example.com\n  approval: release-managers\n"),
    );
    let run = team.desk.cutover();
    team.desk.wait_for("approval.requested", "back-to-blue");
    until("the request", 10, || team.desk.runs().pop().unwrap().join("approvals/back-to-blue.request.json").is_file());
    (world, team, run)
}

#[test]
fn r34_an_automatic_rollback_in_ci_is_agreed_to_from_another_laptop() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let (world, team, run) = failing(&keygen, "60s");
    let desk = &team.desk;
    // It is said beforehand, and those who may agree are called with the commands for it.
    desk.run(&["check", "runbook.yaml"]).ends(0).says(&["BG0196", "waits up to 1m for 1 of `release-managers`"]);
    let (folder, id, text) = request_of(&team.desk);
    until("the page", 20, || desk.path("pages.txt").is_file());
    let page = std::fs::read_to_string(desk.path("pages.txt")).unwrap();
    let short = id.rsplit('-').next().unwrap();
    let offered = [format!("bgctl approve {short}"), format!("bgctl rollback {short}")];
    for words in offered.iter().map(String::as_str).chain(["waits for 1 of release-managers"]) {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(world.green(), 50, "nobody has agreed yet");
    // A stranger to the role counts for nothing; Alice does.
    std::fs::write(folder.join("back-to-blue.request.json.a.sig"), team.alice.sign(&text, "bgctl-approve-v1")).unwrap();
    run.end(60).ends(10).says(&["alice@example.com"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.run(&["audit", "verify", "--allowed-signers", ".bgctl/allowed_signers"]).ends(0).says(&["COMPLETE"]);
}

#[test]
fn r34_whoever_signs_too_late_still_sends_users_home_with_resume() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let (world, team, run) = failing(&keygen, "3s");
    let desk = &team.desk;
    let ended = run.end(60).ends(20).says(&["HALTED", "nobody approved `back-to-blue` within 3s", "bgctl resume"]);
    assert!(!ended.err.contains("NO CHANGES"), "{}", ended.err);
    assert_eq!(world.green(), 50);
    let (folder, id, text) = request_of(&team.desk);
    std::fs::write(folder.join("back-to-blue.request.json.a.sig"), team.alice.sign(&text, "bgctl-approve-v1")).unwrap();
    desk.run(&["resume", &id]).ends(10);
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.run(&["audit", "verify", "--allowed-signers", ".bgctl/allowed_signers"]).ends(0).says(&["COMPLETE"]);
    // And so says the script of standard tools, which shares no line with it.
    if ["jq", "ssh-keygen", "sha256sum", "cmp"].into_iter().all(|program| peer(program).is_some()) {
        desk.shell(&format!("{BGCTL} audit verify-script > verify.sh")).end(20).ends(0);
        let log = desk.runs().pop().unwrap().join("log.jsonl").display().to_string();
        desk.shell(&format!("sh verify.sh {log} .bgctl/allowed_signers")).end(60).ends(0).says(&["COMPLETE"]);
    }
}

#[test]
fn r34_a_person_goes_back_while_the_rollback_waits_for_somebody_else() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let (world, team, run) = failing(&keygen, "10m");
    team.desk.run(&["rollback", "--yes", "--reason", "green answers with errors"]).ends(0);
    run.end(30).ends(10);
    assert_eq!((world.green(), world.turns()), (0, 1));
    assert!(!team.desk.records().iter().any(|record| record["type"] == "approval.granted"));
    team.desk.run(&["audit", "verify", "--allowed-signers", ".bgctl/allowed_signers"]).ends(0).says(&["COMPLETE"]);
}
