//! Signals, and a second terminal, while users are split.

use rustix::process::Signal;

use crate::rig::*;

fn split(world: &World) -> (Desk, Running) {
    let desk = Desk::beside(world);
    desk.write("runbook.yaml", &with_long_bake());
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    assert_eq!(world.green(), 50);
    (desk, run)
}

#[test]
fn a_job_told_to_end_sends_everybody_back_at_once() {
    let world = World::new(&[]);
    let (desk, run) = split(&world);
    let told = clock();
    run.signal(Signal::TERM);
    // GitHub kills a job 7.5 s after it asked.
    let done = run.end(7);
    assert!(told.elapsed().as_millis() < 7500);
    done.ends(10).says(&["ROLLED BACK", "SIGTERM"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.complete();
    world.continuous();
}

#[test]
fn a_lost_connection_does_not_stop_a_run() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    // A job of a CI system is another matter: see below.
    desk.without(&["CI"]);
    let run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    run.signal(Signal::HUP);
    run.end(60).ends(0);
    assert_eq!((world.green(), world.turns()), (100, 0));
    desk.complete();
}

#[test]
fn r22_a_hangup_or_a_quit_ends_a_ci_job_as_sigterm_does() {
    for (signal, name) in [(Signal::HUP, "SIGHUP"), (Signal::QUIT, "SIGQUIT")] {
        let world = World::new(&[]);
        let (desk, run) = split(&world);
        let told = clock();
        run.signal(signal);
        let done = run.end(7);
        assert!(told.elapsed().as_millis() < 7500);
        done.ends(10).says(&["ROLLED BACK", name]);
        assert_eq!((world.green(), world.turns()), (0, 1));
        desk.complete();
        let asked = desk.records().into_iter().find(|r| r["type"] == "run.interrupted").expect("it is in the log");
        assert_eq!((&asked["data"]["line"], &asked["data"]["by"]["via"]), (&name.into(), &"signal".into()));
    }
}

#[test]
fn a_rollback_from_a_second_terminal_turns_the_first_round() {
    let world = World::new(&[]);
    let (desk, run) = split(&world);
    let second = desk.run(&["rollback", "--yes", "--reason", "users complain"]);
    second.ends(0).says(&["asked the process that drives this run"]);
    run.end(20).ends(10).says(&["ROLLED BACK"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.complete();
    let asked = desk.records().into_iter().find(|r| r["type"] == "run.interrupted").expect("it is in the log");
    assert_eq!(asked["data"]["line"], "users complain");
    assert_eq!(asked["data"]["by"]["name"], OWNER);
    // And once more is nothing to do.
    desk.run(&["rollback", "--yes"]).ends(0).says(&["NO CHANGES"]);
    assert_eq!(world.turns(), 1);
}
