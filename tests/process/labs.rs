//! The lab from a second terminal: it lives beside the process that plays it, as a provider would.

use rustix::process::Signal;

use crate::rig::*;

/// A cutover in the lab that watches half of the users for a minute.
fn split() -> (Desk, Running) {
    let desk = Desk::new();
    desk.write("lab.yaml", &with_long_bake().replace("environment: staging", "environment: lab"));
    let run = desk.start(&["cutover", "lab.yaml", "--lab", "--confirm", "lab"]);
    desk.wait_for("step.intent", "bake-50");
    (desk, run)
}

fn reach(desk: &Desk) -> std::path::PathBuf {
    desk.path("state/lab/reach.json")
}

/// The lab's process, as it says itself.
fn lab(desk: &Desk) -> rustix::process::Pid {
    let reach: serde_json::Value = serde_json::from_slice(&std::fs::read(reach(desk)).unwrap()).unwrap();
    let pid = i32::try_from(reach["pid"].as_i64().unwrap()).unwrap();
    rustix::process::Pid::from_raw(pid).unwrap()
}

/// The lab ends when nobody needs it.
#[track_caller]
fn ends(desk: &Desk) {
    until("the lab ends with its rehearsal", 5, || !reach(desk).exists());
}

#[test]
fn r19_another_terminal_reads_a_running_lab_and_turns_it_round() {
    let (desk, run) = split();
    desk.run(&["status"]).ends(0).says(&["BLUE 50 GREEN 50   read just now", "running"]);
    let second = desk.run(&["rollback", "--yes", "--reason", "users complain"]);
    second.ends(0).says(&["BLUE 50 GREEN 50   read just now", "asked the process that drives this run"]);
    run.end(20).ends(10).says(&["ROLLED BACK", "lost 0", "twice 0"]);
    desk.complete();
    ends(&desk);
    desk.run(&["status"]).ends(0).says(&["BLUE 100 GREEN 0", "the lab it was played in has ended"]);
}

#[test]
fn r19_a_lab_outlives_the_killed_process_and_users_go_back_in_it() {
    let (desk, run) = split();
    run.signal(Signal::KILL);
    run.end(5).ends(-1);
    desk.run(&["status"]).ends(0).says(&["BLUE 50 GREEN 50   read just now", "NOBODY IS WATCHING"]);
    let back = desk.run(&["rollback", "--yes"]);
    // Events came the whole time, also while nobody watched.
    back.ends(0).says(&["all on BLUE v1.4.1", "lost 0", "twice 0"]);
    desk.complete();
    ends(&desk);
}

#[test]
fn r19_a_killed_run_is_resumed_in_the_lab_it_began_in() {
    let (desk, run) = split();
    let began = lab(&desk);
    run.signal(Signal::KILL);
    run.end(5).ends(-1);
    let resumed = desk.start(&["resume"]);
    until("the bake is begun anew", 40, || {
        let begun = |r: &&serde_json::Value| r["type"] == "step.intent" && r["data"]["id"] == "bake-50";
        desk.records().iter().filter(begun).count() == 2
    });
    assert_eq!(lab(&desk), began);
    resumed.signal(Signal::TERM);
    resumed.end(20).ends(10).says(&["all on BLUE v1.4.1", "lost 0"]);
    ends(&desk);
}

#[test]
fn r19_when_the_lab_died_too_a_new_one_remembers_where_users_were() {
    let (desk, run) = split();
    run.signal(Signal::KILL);
    run.end(5).ends(-1);
    rustix::process::kill_process(lab(&desk), Signal::KILL).unwrap();
    desk.run(&["status"]).ends(0).says(&["the lab it was played in has ended"]);
    let back = desk.run(&["rollback", "--yes"]);
    back.ends(0).says(&["BLUE 50 GREEN 50   read just now", "all on BLUE v1.4.1"]);
    ends(&desk);
}

#[test]
fn r19_a_stopped_process_does_not_stop_its_lab() {
    let (desk, run) = split();
    run.signal(Signal::STOP);
    desk.run(&["status"]).ends(0).says(&["BLUE 50 GREEN 50   read just now"]);
    let second = desk.start(&["rollback", "--yes"]);
    until("the wish lies there", 20, || desk.runs().pop().is_some_and(|run| bgctl::people::wish_is_open(&run)));
    run.signal(Signal::CONT);
    run.end(20).ends(10).says(&["ROLLED BACK"]);
    second.end(20).ends(0);
    ends(&desk);
}

#[test]
fn r19_a_stopped_lab_is_said_and_not_started_a_second_time() {
    let (desk, run) = split();
    run.signal(Signal::KILL);
    run.end(5).ends(-1);
    let lab = lab(&desk);
    rustix::process::kill_process(lab, Signal::STOP).unwrap();
    let said = ["does not answer", "is it stopped"];
    desk.run(&["status"]).ends(0).says(&said);
    desk.run(&["rollback", "--yes"]).ends(78).says(&said);
    rustix::process::kill_process(lab, Signal::CONT).unwrap();
    desk.run(&["rollback", "--yes"]).ends(0).says(&["all on BLUE v1.4.1"]);
    ends(&desk);
}

#[test]
fn r19_a_lab_ends_when_its_folder_is_gone() {
    let (desk, run) = split();
    let lab = lab(&desk);
    run.signal(Signal::KILL);
    run.end(5).ends(-1);
    drop(desk);
    until("nobody needs a lab without a folder", 5, || rustix::process::test_kill_process(lab).is_err());
}
