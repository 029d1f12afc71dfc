//! `kill -9` anywhere: the next command brings the run to the end it would have had.

use bgctl::lab::Fault;
use rustix::process::Signal;

use crate::rig::*;

/// When the process is killed: once its log has that many records, and that many milliseconds later.
#[derive(Clone, Copy, Debug)]
struct Moment {
    records: usize,
    later: u64,
}

fn killed(desk: &Desk, moment: Moment, start: &[&str]) {
    let mut bgctl = desk.start(start);
    until("the moment to kill", 60, || {
        !bgctl.alive() || desk.log().iter().filter(|b| **b == b'\n').count() >= moment.records
    });
    pause(moment.later);
    if bgctl.alive() {
        bgctl.signal(Signal::KILL);
        // Between the look and the signal a run at its end may have ended by itself.
        let code = bgctl.end(5).code;
        assert!([-1, 0, 10].contains(&code), "{moment:?}: exit {code}");
    }
}

const CUTOVER: &[&str] = &["cutover", "runbook.yaml", "--confirm", "staging"];

/// Each moment of a run that a record ends; every third a little later, in the middle of what follows.
fn moments(lane: usize, lanes: usize, last: usize) -> Vec<Moment> {
    let later = [0, 3, 40, 0, 350, 11];
    (3..=last)
        .filter(|n| n % lanes == lane)
        .enumerate()
        .map(|(i, records)| Moment { records, later: later[(i + lane) % later.len()] })
        .collect()
}

/// The records of a whole run without a kill.
fn whole(world: &World) -> usize {
    let desk = Desk::beside(world);
    desk.cutover().end(60).ends(0);
    desk.complete();
    assert_eq!((world.green(), world.turns()), (100, 0), "{:?}", world.seen());
    let records = desk.records().len();
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!(world.green(), 0);
    records
}

/// Gives green's share at the moment of the kill.
fn killed_then_resumed(world: &World, moment: Moment) -> u32 {
    world.look_anew();
    let desk = Desk::beside(world);
    killed(&desk, moment, CUTOVER);
    let at = world.green();
    let resumed = desk.run(&["resume"]);
    assert_eq!(resumed.code, 0, "{moment:?}, killed at {at} %:\n{}", resumed.err);
    assert_eq!((world.green(), world.turns()), (100, 0), "{moment:?}: {:?}", world.seen());
    desk.complete();
    // The way back serves as the way to the start of the next.
    desk.run(&["rollback", "--yes"]).ends(0);
    assert_eq!(world.green(), 0, "{moment:?}");
    desk.complete();
    at
}

/// Gives green's share at the moment of the kill.
fn killed_then_back(world: &World, moment: Moment) -> u32 {
    world.look_anew();
    let desk = Desk::beside(world);
    killed(&desk, moment, CUTOVER);
    let at = world.green();
    let back = desk.run(&["rollback", "--yes"]);
    assert_eq!(back.code, 0, "{moment:?}, killed at {at} %:\n{}", back.err);
    assert_eq!(world.green(), 0, "{moment:?}");
    assert!(world.turns() <= 1, "{moment:?}: {:?}", world.seen());
    desk.complete();
    at
}

/// Every boundary of the log, spread over labs that play beside each other.
fn sweep(lanes: usize, each: impl Fn(&World, Moment) -> u32 + Sync, step: usize) {
    let met = std::sync::Mutex::new(std::collections::BTreeSet::new());
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (each, met) = (&each, &met);
            scope.spawn(move || {
                let world = World::new(&[]);
                let last = whole(&world);
                assert!(last > 60, "{last} records are no whole run");
                for moment in moments(lane, lanes, last).into_iter().step_by(step) {
                    let at = each(&world, moment);
                    met.lock().unwrap().insert(at);
                }
                world.continuous();
            });
        }
    });
    assert_eq!(met.into_inner().unwrap().into_iter().collect::<Vec<_>>(), [0, 50, 100], "kills met every split");
}

#[test]
fn case_37c_killed_anywhere_and_resumed_it_ends_as_without_the_kill() {
    sweep(9, killed_then_resumed, 3);
}

#[test]
fn case_37d_killed_anywhere_a_rollback_brings_everybody_back() {
    sweep(6, killed_then_back, 5);
}

#[test]
fn killed_while_green_fails_it_still_goes_back_and_only_once() {
    let plain = {
        let world = World::new(&[Fault::GreenErrors]);
        let desk = Desk::beside(&world);
        desk.cutover().end(60).ends(10);
        assert_eq!((world.green(), world.turns()), (0, 1), "{:?}", world.seen());
        desk.complete();
        desk.records().len()
    };
    let shifted = 27;
    std::thread::scope(|scope| {
        for lane in 0..6 {
            scope.spawn(move || {
                for records in (shifted..plain).step_by(4).skip(lane).step_by(6) {
                    let world = World::new(&[Fault::GreenErrors]);
                    let desk = Desk::beside(&world);
                    let moment = Moment { records, later: 0 };
                    killed(&desk, moment, CUTOVER);
                    let resumed = desk.run(&["resume"]);
                    assert_eq!(resumed.code, 10, "{moment:?}:\n{}", resumed.err);
                    assert_eq!((world.green(), world.turns()), (0, 1), "{moment:?}: {:?}", world.seen());
                    desk.complete();
                    world.continuous();
                }
            });
        }
    });
}

#[test]
fn a_killed_run_of_the_own_lab_goes_on_in_a_lab_as_it_was() {
    for (records, next) in [(12, "resume"), (40, "resume"), (45, "rollback")] {
        let desk = Desk::new();
        desk.write("lab.yaml", &RUNBOOK.replace("environment: staging", "environment: lab"));
        killed(&desk, Moment { records, later: 0 }, &["cutover", "lab.yaml", "--lab", "--confirm", "lab"]);
        let args: &[&str] = if next == "resume" { &["resume"] } else { &["rollback", "--yes"] };
        let users = if next == "resume" { "all on GREEN v1.4.2" } else { "all on BLUE v1.4.1" };
        desk.run(args).ends(0).says(&[users, "lost 0", "twice 0"]);
        desk.complete();
    }
}
