//! Freezes, somebody else's hands on the split, and a lease that is lost, while the real program moves users.

use bgctl::journal::{Archive, Holder, Lock};
use bgctl::lab::Fault;
use bgctl::plan::Split;
use bgctl::routers::{Access, AwsAccess, alb};
use bgctl::secret::Secret;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::*;

/// A desk whose pages arrive at the lab, in the middle of a bake of 20 s with half of the users on green.
fn split(world: &World) -> (Desk, Running) {
    let mut desk = Desk::beside(world);
    desk.env.insert("PAGE_URL".into(), format!("{}/services/T/B/pages", world.lab.slack_url()));
    let runbook = RUNBOOK.replacen("bake: { for: 3s, windows: 1,", "bake: { for: 20s, windows: 1,", 1);
    desk.write("runbook.yaml", &(runbook + "policy:\n  page: [{ slack: \"${env:PAGE_URL}\" }]\n"));
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    assert_eq!(world.green(), 50);
    (desk, run)
}

/// A person at this desk, and no job.
fn person(desk: &mut Desk) {
    desk.without(&["CI"]);
}

fn of(desk: &Desk, kind: &str) -> Vec<Value> {
    desk.records().into_iter().filter(|record| record["type"] == kind).collect()
}

/// Somebody else moves users, straight at the provider.
pub fn moves(world: &World, from: u32, to: u32) {
    let env: std::collections::BTreeMap<String, String> = world.lab.environment().into_iter().collect();
    let variables = world.lab.variables();
    let keys = (env["AWS_ACCESS_KEY_ID"].clone(), Secret::new(env["AWS_SECRET_ACCESS_KEY"].clone()));
    let endpoint = env.iter().find(|(name, _)| name.starts_with("AWS_ENDPOINT_URL")).map(|(_, url)| url.clone());
    let access = Access { aws: AwsAccess { endpoint, keys: Some(keys), ..AwsAccess::default() }, ..Access::default() };
    let settings = json!({
        "rule": variables["rule_arn"],
        "blue": variables["blue_target_group"],
        "green": variables["green_target_group"],
    });
    let route = (alb::KIND.open)(&settings, &access).expect("good settings");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let from = crate::common::at(Split::of_green(from * 10));
    let set = route.set(&from, Split::of_green(to * 10));
    runtime.block_on(set).expect("the lab takes it");
    assert_eq!(world.green(), to);
    // For a moment reads may still show what was there before, as a provider's do: whoever comes next finds it settled.
    pause(150);
}

#[test]
fn a_freeze_pauses_a_split_run_that_goes_on_once_a_person_lifts_it() {
    let world = World::new(&[]);
    let (mut desk, run) = split(&world);
    desk.run(&["freeze", "staging", "--reason", "payroll run"]).ends(0).says(&["staging is frozen", "payroll run"]);
    desk.wait_for("run.paged", "");
    let paused = of(&desk, "run.paused").remove(0);
    assert_eq!(paused["data"]["cause"], "frozen");
    assert!(paused["data"]["line"].as_str().unwrap().contains("payroll run"), "{paused}");
    desk.run(&["status"]).ends(0).says(&["freeze   staging is frozen", "held by run", "epoch 1", "armed, 0 used"]);
    let other = desk.run(&["freeze", "staging", "--reason", "again"]).ends(75);
    other.says(&["frozen already"]);
    desk.run(&["unfreeze", "staging", "--reason", "x", "--confirm", "staging"]).ends(77).says(&["BG0163", "a job"]);
    person(&mut desk);
    // Neither is a command line a person: nobody is there who could have looked.
    for words in [
        &["unfreeze", "staging", "--reason", "paid"][..],
        &["unfreeze", "staging", "--reason", "paid", "--confirm", "staging"],
    ] {
        desk.run(words).ends(77).says(&["BG0163", "a person at a terminal"]);
    }
    desk.run(&["freeze", "--list"]).says(&["payroll run"]);
    desk.at_terminal(&["unfreeze", "staging", "--reason", "paid", "--confirm", "staging"]).ends(0).says(&["LIFTED"]);
    run.end(60).ends(0);
    assert_eq!((world.green(), world.turns()), (100, 0));
    assert_eq!((of(&desk, "run.unpaused").len(), of(&desk, "run.paged").len()), (1, 1));
    assert_eq!(world.lab.messages().len(), 1, "one page");
    desk.complete();
    world.continuous();
}

#[test]
fn under_a_freeze_nothing_begins_and_everybody_can_go_back() {
    let world = World::new(&[]);
    let (mut desk, run) = split(&world);
    desk.run(&["freeze", "all", "--until", "1h", "--reason", "incident"]).ends(0);
    desk.wait_for("run.paused", "");
    desk.run(&["rollback", "--yes"]).ends(0);
    run.end(20).ends(10).says(&["ROLLED BACK"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.complete();
    desk.cutover().end(20).ends(75).says(&["BG0402", "incident", "A rollback is never frozen"]);
    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["a cutover is refused now", "incident"]);
    assert_eq!(world.green(), 0);
    desk.complete();
    person(&mut desk);
    desk.run(&["unfreeze", "staging", "--reason", "over"]).ends(0).says(&["NO CHANGES"]);
    desk.at_terminal(&["unfreeze", "all", "--reason", "over", "--confirm", "all"]).ends(0);
    desk.env.insert("BGCTL_FREEZE".into(), "year end".into());
    desk.cutover().end(20).ends(75).says(&["BG0402", "year end"]);
    desk.run(&["unfreeze", "all", "--reason", "over", "--confirm", "all"]).ends(65).says(&["unset BGCTL_FREEZE"]);
    desk.without(&["BGCTL_FREEZE"]);
    std::fs::write(desk.path("state/freezes/mine.json"), "{").unwrap();
    desk.cutover().end(20).ends(75).says(&["counts as frozen", "mine.json"]);
    assert_eq!(world.turns(), 1);
}

#[test]
fn a_rollback_by_rule_freezes_the_service_until_a_person_lifts_it() {
    let world = World::new(&[Fault::GreenErrors]);
    let mut desk = Desk::beside(&world);
    desk.cutover().end(60).ends(10);
    let frozen = of(&desk, "freeze.changed").remove(0);
    assert_eq!(
        (frozen["data"]["change"].as_str(), frozen["data"]["scope"].as_str()),
        (Some("set"), Some("staging/bot"))
    );
    desk.complete();
    desk.cutover().end(20).ends(75).says(&[
        "staging/bot is frozen",
        "rolled back automatically",
        "gate `errors` failed",
    ]);
    desk.run(&["unfreeze", "staging/bot", "--reason", "x", "--confirm", "staging/bot"]).ends(77);
    assert_eq!((world.green(), world.turns()), (0, 1));
    person(&mut desk);
    desk.at_terminal(&["unfreeze", "staging/bot", "--reason", "mended", "--confirm", "staging/bot"]).ends(0);
    assert!(std::fs::read_dir(desk.path("state/freezes/lifted")).unwrap().next().is_some());
    desk.run(&["freeze", "--list"]).ends(0).says(&["nothing is frozen"]);
    desk.env.insert("CI".into(), "true".into());
    desk.cutover().end(60).ends(10);
    assert_eq!(world.green(), 0);
    // A freeze that no run would meet is no freeze.
    desk.run(&["freeze", "stagging", "--reason", "typed at 3 am"]).ends(0).says(&["check the spelling", "staging/bot"]);
}

#[test]
fn somebody_else_s_change_pauses_the_run_and_is_overwritten_by_nobody() {
    let world = World::new(&[]);
    let (desk, run) = split(&world);
    moves(&world, 50, 20);
    desk.wait_for("run.paged", "");
    let paused = of(&desk, "run.paused").remove(0);
    assert_eq!(paused["data"]["cause"], "drift");
    let line = paused["data"]["line"].as_str().unwrap().to_string();
    assert!(line.contains("reads BLUE 80 GREEN 20, and this run left it at BLUE 50 GREEN 50"), "{line}");
    assert!(line.contains("aws cloudtrail lookup-events"), "who it was, or how to find out: {line}");
    assert_eq!(world.green(), 20, "nothing moves by itself");
    moves(&world, 20, 50);
    run.end(60).ends(0);
    assert_eq!((of(&desk, "run.unpaused").len(), world.lab.messages().len()), (1, 1));
    assert_eq!(world.green(), 100);
    desk.complete();
}

#[test]
fn a_holder_that_was_stopped_while_another_took_over_moves_nobody() {
    let world = World::new(&[]);
    let (desk, run) = split(&world);
    run.signal(Signal::STOP);
    let archive = Archive::new(desk.path("state"));
    for entry in std::fs::read_dir(desk.path("state/locks")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "lock") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let holder = Holder {
        run: "another".into(),
        who: "rm-two".into(),
        host: "build-3".into(),
        pid: 7,
        command: "bgctl cutover".into(),
        since: "2026-11-21T02:58:10Z".into(),
        epoch: 0,
    };
    let other = Lock::take(&archive, "staging", "bot", &holder).expect("its file is gone");
    assert_eq!((other.epoch(), other.lost()), (2, None));
    let before = desk.log();
    run.signal(Signal::CONT);
    run.end(60).ends(20).says(&[
        "BG0161",
        "a person was paged",
        "epoch 2 holds it, this process has 1",
        "BLUE 50 GREEN 50",
    ]);
    assert_eq!(world.green(), 50, "it belongs to the other one now");
    assert_eq!(desk.log(), before, "not a byte is written into the log");
    drop(other);
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.complete();
    let armed = of(&desk, "rollback.armed").remove(0);
    assert_eq!(armed["data"]["checks"][0]["epochs"][0], "1", "{armed}");
}

#[test]
fn a_freeze_of_a_role_is_lifted_by_a_key_of_that_role_alone() {
    let mut desk = Desk::new();
    person(&mut desk);
    for name in ["rm", "stranger"] {
        let key = desk.path(name).display().to_string();
        desk.run(&["keys", "create", "--out", &key]).ends(0);
    }
    let public = |name: &str| std::fs::read_to_string(desk.path(&format!("{name}.pub"))).expect("a public key");
    std::fs::create_dir(desk.path(".bgctl")).unwrap();
    let signers = format!("rm@example.com {}stranger@example.com {}", public("rm"), public("stranger"));
    desk.write(".bgctl/allowed_signers", &signers);
    desk.write(
        ".bgctl/policy.yaml",
        "bgctl_policy: 1\npersons:\n  rm: { principals: [rm@example.com] }\n  stranger: { principals: [stranger@example.com] }\n  \
         third: { principals: [third@example.com] }\nroles:\n  managers: { members: [rm, third] }\n",
    );
    desk.run(&["freeze", "staging", "--reason", "year end", "--lift", "managers"]).ends(0);
    let lift = |key: &str| {
        let key = desk.path(key).display().to_string();
        desk.run(&["unfreeze", "staging", "--reason", "over", "--confirm", "staging", "--key", &key])
    };
    lift("stranger").ends(77).says(&["stranger@example.com is not in role `managers`"]);
    desk.run(&["freeze", "--list"]).ends(0).says(&["year end"]);
    lift("rm").ends(0).says(&["LIFTED staging by rm"]);
    let kept = std::fs::read_dir(desk.path("state/freezes/lifted")).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(kept).unwrap().contains("BEGIN SSH SIGNATURE"), "the signature is kept");
    desk.run(&["freeze", "--list"]).ends(0).says(&["nothing is frozen"]);
}
