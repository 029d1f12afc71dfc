//! Who trusts whom, with the real program: what a runbook cannot write into anybody's trust, and who is refused before
//! anything moves.

use crate::approvals::{POLICY, without_roles};
use crate::rig::*;

const DAVE: &str = "dave@example.com";

/// A key of this desk: its path, and its line in a list.
fn key(desk: &Desk, name: &str, principal: &str) -> (String, String) {
    let path = desk.path(name).display().to_string();
    if name != "key" {
        desk.run(&["keys", "create", "--out", &path]).ends(0);
    }
    let public = std::fs::read_to_string(desk.path(&format!("{name}.pub"))).expect("a public key");
    (path, format!("{principal} namespaces=\"bgctl-*\" {public}"))
}

/// A2, A14: a key that nobody knows, and one of somebody who owns nothing here.
#[test]
fn a2_a_key_nobody_knows_or_that_owns_nothing_moves_nobody_forward() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &without_roles(RUNBOOK));
    let ((_, owner), (dave, daves), (fresh, _)) =
        (key(&desk, "key", OWNER), key(&desk, "dave", DAVE), key(&desk, "fresh", "nobody@example.com"));
    let cutover = |key: &str| desk.run(&["cutover", "runbook.yaml", "--confirm", "staging", "--key", key]);
    std::fs::create_dir(desk.path(".bgctl")).unwrap();
    desk.write(".bgctl/allowed_signers", &(owner + &daves));
    for policy in [None, Some(POLICY)] {
        policy.iter().for_each(|policy| desk.write(".bgctl/policy.yaml", policy));
        cutover(&fresh).ends(77).says(&["this key may not sign this run", "is in no allowed-signers file"]);
        let refused = cutover(&dave).ends(77);
        refused.says(&[
            "this key may not sign this run",
            "that of dave@example.com, and the owners are owner@example.com",
        ]);
        assert!(desk.runs().is_empty(), "refused before there is a run");
    }
    // The owner begins, and is gone; neither of them goes on with it.
    let run = desk.start(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    desk.wait_for("step.outcome", "shift-50");
    run.signal(rustix::process::Signal::KILL);
    run.end(20);
    desk.run(&["resume", "--key", &fresh]).ends(77).says(&["is in no allowed-signers file"]);
    desk.run(&["resume", "--key", &dave]).ends(77).says(&["the owners are owner@example.com"]);
    assert_eq!(world.green(), 50);
    // Back, everybody may go, and the record says who did not sign it.
    let back = desk.run(&["rollback", "--yes", "--key", &fresh]).ends(0);
    back.says(&["not signed by a person", "is in no allowed-signers file", "a new run does the rollback"]);
    assert_eq!(world.green(), 0);
    let asked = desk.records().into_iter().find(|r| r["type"] == "prompt.answered").expect("it is in the log");
    assert_eq!(asked["data"]["by"]["name"], "somebody (nobody signed)");
}

/// A1: what stands in a runbook enters no list, and the word of this machine is for one run, one key and one name.
#[test]
fn a1_nothing_of_a_runbook_is_believed_by_the_next_verification() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let (_, line) = key(&desk, "key", OWNER);
    let eve = line.replace(OWNER, "carol@example.com").trim().replace('"', "");
    for (name, words) in [
        (format!("\"{eve} \\nx@y\""), "is not a person's name"),
        ("\"*\"".into(), "is not a person's name"),
        ("\"*@example.com\"".into(), "is not a person's name"),
        ("carol".into(), "is not a person's name"),
    ] {
        desk.write("runbook.yaml", &RUNBOOK.replace("owners: [owner@example.com]", &format!("owners: [{name}]")));
        desk.run(&["check", "runbook.yaml"]).ends(65).says(&["BG0105", "runbook.yaml:4:10", words]);
        desk.cutover().end(30).ends(65);
    }
    desk.write("runbook.yaml", RUNBOOK);
    desk.cutover().end(60).ends(0);
    let rests = "this machine's own word, for this run alone";
    desk.run(&["audit", "verify"]).ends(0).says(&["COMPLETE", "by the key that ran it here", rests]);
    desk.run(&["audit", "ledger"]).ends(0).says(&["COMPLETE"]);
    let run = desk.runs().pop().unwrap().file_name().unwrap().to_str().unwrap().to_string();
    let ran = desk.path(&format!("state/ran/{run}"));
    let said = std::fs::read_to_string(&ran).unwrap();
    assert!(said.starts_with("owner@example.com namespaces=\"bgctl-open-v1,") && !said.contains("approve"), "{said}");
    // For another run, or under another name, it says nothing; and a named list is believed alone.
    for (file, text) in [
        ("state/ran/20200101-0000-abc".to_string(), said.clone()),
        (format!("state/ran/{run}"), said.replace("owner@", "eve@")),
    ] {
        std::fs::remove_file(&ran).ok();
        desk.write(&file, &text);
        desk.run(&["audit", "verify"]).ends(40).says(&["BG0607"]);
        desk.run(&["audit", "ledger"]).ends(40);
    }
    // The list of earlier versions counts for nothing, and that is said.
    std::fs::remove_file(&ran).unwrap();
    desk.write("state/allowed_signers", &line);
    let old = desk.run(&["audit", "verify"]).ends(40);
    old.says(&["state/allowed_signers is not read any more: earlier versions wrote names of runbooks into it"]);
}

/// D2: who acted is whose key signed, whatever the system calls them.
#[test]
fn d2_who_acted_is_who_signed_and_never_what_the_system_calls_them() {
    let mut desk = Desk::new();
    desk.env.insert("USER".into(), "ceo".into());
    let (_, owner) = key(&desk, "key", OWNER);
    let frozen = |scope: &str| {
        let done = desk.run(&["freeze", scope, "--reason", "payroll"]).ends(0);
        assert!(!done.err.contains("ceo") && !done.err.contains("unknown"), "{}", done.err);
        done
    };
    frozen("one").says(&["by the key SHA256:"]);
    std::fs::create_dir(desk.path(".bgctl")).unwrap();
    desk.write(".bgctl/allowed_signers", &owner);
    frozen("two").says(&["by owner@example.com"]);
    desk.env.insert("GITHUB_ACTOR".into(), "olga-gh".into());
    let job = desk.run(&["freeze", "three", "--reason", "payroll"]).ends(0);
    job.says(&["by the CI job of olga-gh"]);
    desk.without(&["GITHUB_ACTOR", "BGCTL_SIGNING_KEY"]);
    let nobody = desk.run(&["freeze", "four", "--reason", "payroll"]).ends(0);
    nobody.says(&["by somebody (nobody signed)"]);
}
