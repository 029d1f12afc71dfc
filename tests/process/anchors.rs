//! Anchors and the ledger around a real cutover: too few anchors hold it back, and never a way back.

use crate::common::peer;
use crate::rig::*;

const POLICY: &str = r#"bgctl_policy: 1
persons:
  owner: { principals: [owner@example.com] }
  rm: { principals: [rm@example.com] }
roles:
  release-managers: { members: [rm], quorum: 1 }
anchors:
  required: 2
  to:
    - { file: mnt }
    - { git: { repository: repository, ref: refs/notes/bgctl } }
    - { slack: { channel: C0123, token: "${env:SLACK_ANCHOR_TOKEN}" } }
"#;

#[test]
fn a_cutover_waits_for_its_anchors_and_a_rollback_does_not() {
    let Some(git) = peer("git") else { return };
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    std::fs::create_dir(desk.path(".bgctl")).unwrap();
    desk.write(".bgctl/policy.yaml", POLICY);
    let public = std::fs::read_to_string(desk.path("key.pub")).unwrap();
    desk.write(".bgctl/allowed_signers", &format!("{OWNER} {public}"));

    // Nothing of it is there: the run ends before it moved anybody, closed and in the ledger.
    let words = ["BG0621", "0 of 2 required anchors", "file:", "No such file", "git:", "SLACK_ANCHOR_TOKEN"];
    desk.cutover().end(60).ends(69).says(&words);
    assert_eq!(world.seen(), [0]);
    desk.run(&["audit", "verify"]).ends(0).says(&["COMPLETE", "could not check", "the policy wants 2 of them, and 0"]);
    desk.run(&["audit", "ledger"]).ends(0).says(&["COMPLETE", "closed"]);

    std::fs::create_dir(desk.path("mnt")).unwrap();
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let output = desk.command(&git.display().to_string()).args(identity).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "-q", "repository"]);
    git(&["-C", "repository", "commit", "-q", "--allow-empty", "-m", "first"]);
    desk.cutover().end(60).ends(0).says(&["anchor", "the end of this log is kept at file:", "git:refs/notes/bgctl"]);
    assert_eq!(world.green(), 100);
    let kinds = |kind: &str| desk.records().iter().filter(|r| r["type"] == kind).count();
    // Slack's token is missing, and the folder is on the log's own file system.
    assert_eq!((kinds("anchor.receipt"), kinds("sink.degraded")), (2, 2));
    let records = desk.records();
    let at = |kind: &str| records.iter().position(|r| r["type"] == kind).unwrap();
    assert!(at("anchor.receipt") < at("step.intent"), "before the first effect");
    let all = records.len();
    desk.run(&["audit", "verify"]).ends(0).says(&[
        "COMPLETE",
        &format!("saw {all} records"),
        "slack:C0123 could not check",
    ]);
    desk.run(&["audit", "ledger", "--anchor", "file:mnt"]).ends(0).says(&["COMPLETE"]);

    // Its own owner cuts the log where it was sound: only the anchors know.
    let log = desk.runs().pop().unwrap().join("log.jsonl");
    let whole = std::fs::read(&log).unwrap();
    let closing = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    std::fs::remove_file(desk.path("state/heads.json")).unwrap();
    std::fs::write(&log, &whole[..closing]).unwrap();
    desk.run(&["audit", "verify"]).ends(44).says(&["TRUNCATED", &format!("saw {all} records, closed")]);
    desk.run(&["audit", "ledger"]).ends(44).says(&["TRUNCATED", "was cut"]);
    std::fs::write(&log, &whole).unwrap();
    desk.run(&["audit", "ledger"]).ends(0);

    // The disk is not mounted any more, and users have to go back.
    std::fs::rename(desk.path("mnt"), desk.path("gone")).unwrap();
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!(world.green(), 0);
    desk.run(&["audit", "ledger", "--anchor", "file:gone"]).ends(0).says(&["3 runs"]);
    desk.run(&["audit", "ledger", "--anchor", "file:mnt"]).ends(69).says(&["could not check"]);
    world.continuous();
}
