//! Going back depends on the provider and on blue: what is said at the end was read, what fails for a passing reason is tried
//! again, and what lands late is set right. The shipping driver and machine on the simulated world.

mod common;

use std::time::Duration;

use bgctl::people::Command;
use bgctl::plan::Split;
use bgctl::run::{Actor, Event, RunOutcome};
use bgctl::sim::{Scenario, Write};
use common::play::{self, Play, approved, s, shift, step};
use serde_json::{Value, json};

/// A wait, 10 %, a watch, everybody after an approval, a watch. Each watch takes two minutes.
fn night(scenario: Scenario) -> Play {
    let forward = vec![
        step("before", "wait", Value::Null),
        shift("shift-10", "web", 0, 100),
        step("watch-10", "watch", Value::Null),
        approved(shift("shift-100", "web", 100, 1000), "roll-back"),
        step("watch-100", "watch", Value::Null),
    ];
    Play::new(play::plan(&["web"], forward, vec![shift("back", "web", 1000, 0)], json!({})), scenario)
}

fn by() -> Actor {
    Actor { name: "operator".into(), via: "key".into() }
}

fn wish(at: u64) -> Vec<(Duration, Command)> {
    vec![(s(at), Command::RollBack { by: by(), reason: "the r key".into() })]
}

fn count(play: &Play, kind: &str) -> usize {
    play.log().iter().filter(|(of, _)| *of == kind).count()
}

fn words(play: &Play) -> String {
    play.log().iter().map(|(kind, data)| format!("{kind} {data}\n")).collect()
}

/// A minute later nothing has changed.
fn stays(play: &Play, split: Split) {
    let clock = play.sim.clock.clone();
    clock.run(bgctl::clock::Clock::sleep(clock.as_ref(), s(120))).unwrap();
    assert_eq!(play.sim.split(), split, "{}", words(play));
}

/// Dies in the wait before its first move.
fn killed_before_it_moved(scenario: Scenario) -> Play {
    for n in (1..40).rev() {
        let mut play = night(scenario.clone());
        play.sim.clock.crash_at(Some(n));
        assert!(play.process().is_err());
        play.sim.clock.crash_at(None);
        if !words(&play).contains("shift-10") && words(&play).contains("rollback.armed") {
            return play;
        }
    }
    panic!("no death came before the first move");
}

#[test]
fn r02_a_run_that_never_moved_takes_users_back_all_the_same() {
    let mut play = killed_before_it_moved(Scenario { foreign: Some((s(1), Split::ALL_GREEN)), ..Scenario::default() });
    stays(&play, Split::ALL_GREEN);
    assert_eq!(play.roll_back().unwrap().unwrap().outcome, RunOutcome::RolledBack);
    stays(&play, Split::ALL_BLUE);
    assert!(words(&play).contains("the next process"), "the log says who went back");
}

#[test]
fn r02_a_mere_failure_leaves_alone_what_somebody_else_moved() {
    let scenario =
        Scenario { foreign: Some((s(1), Split::of_green(500))), other_rules: Some(s(60)), ..Scenario::default() };
    let mut play = night(scenario);
    assert_eq!(play.end().outcome, RunOutcome::Halted, "{}", words(&play));
    assert_eq!((play.sim.split(), count(&play, "rollback.begun")), (Split::of_green(500), 0));
    assert!(!play.sim.pages.borrow().is_empty());
}

#[test]
fn r03_a_log_that_lost_its_tail_takes_users_back() {
    let mut play = night(Scenario::default());
    play.sim.clock.crash_at(Some(60));
    assert!(play.process().is_err());
    play.sim.clock.crash_at(None);
    assert_eq!(play.sim.split(), Split::of_green(100));
    let armed = play.journal.entries.iter().position(|entry| entry.kind == "rollback.armed").unwrap();
    play.journal.entries.truncate(armed + 1);
    assert_eq!(play.roll_back().unwrap().unwrap().outcome, RunOutcome::RolledBack);
    stays(&play, Split::ALL_BLUE);
}

/// The write was sent, the process died, and for eight seconds every read shows what was before.
#[test]
fn r04_a_write_that_no_read_shows_yet_is_taken_back() {
    let mut tried = 0;
    for n in 14..60 {
        let mut play = night(Scenario { staleness: s(8), ..Scenario::default() });
        play.sim.clock.crash_at(Some(n));
        assert!(play.process().is_err());
        play.sim.clock.crash_at(None);
        tried += u32::from(play.sim.split() != Split::ALL_BLUE);
        let end = play.roll_back().unwrap().unwrap();
        assert!(matches!(end.outcome, RunOutcome::RolledBack | RunOutcome::Stopped), "died at {n}: {}", words(&play));
        stays(&play, Split::ALL_BLUE);
    }
    assert!(tried > 5, "only {tried} deaths came after the write");
}

#[test]
fn r09_a_throttled_way_back_is_tried_until_its_deadline() {
    let throttled = |times| Scenario {
        writes: [vec![Write::Applied], vec![Write::Throttled; times]].concat(),
        wishes: wish(200),
        ..Scenario::default()
    };
    let mut play = night(throttled(9));
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    stays(&play, Split::ALL_BLUE);
    let took = play.sim.history("web").last().unwrap().0 - s(200);
    assert!(took > s(20) && took < s(120), "nine pauses that grow: {took:?}");
    // Without an end of it: ten minutes, then a person.
    let mut play = night(throttled(9_999));
    assert_eq!(play.end().outcome, RunOutcome::Halted);
    let took = play.sim.clock.time() - s(200);
    assert!(took >= s(599) && took < s(660), "{took:?}");
    assert!(play.sim.pages.borrow()[0].contains("tried again for 10m"), "{:?}", play.sim.pages.borrow());
    assert!(count(&play, "step.intent") < 60, "it is not asked without a pause");
    // A person who goes back once more has all of it again.
    assert_eq!(play.sim.split(), Split::of_green(100));
}

/// The question of the `r` key is open when a step ends: nobody is moved before it is answered.
#[test]
fn nobody_is_moved_forward_while_a_person_is_asked() {
    let unasked = |scenario| {
        let mut play = night(scenario);
        assert_eq!(play.end().outcome, RunOutcome::Completed, "{}", words(&play));
        play.sim.history("web").iter().map(|(at, _)| *at).collect::<Vec<_>>()
    };
    let moves = unasked(Scenario::default());
    let (asked, answered) = (moves[2] - s(2), moves[2] + s(3));
    let moves = unasked(Scenario { question: Some((asked, answered)), ..Scenario::default() });
    assert!(moves.iter().all(|at| *at < asked || *at >= answered), "{moves:?}, asked from {asked:?} to {answered:?}");
    // With yes for an answer nothing moves forward at all.
    let wishes = vec![(answered, wish(1).remove(0).1)];
    let mut play = night(Scenario { question: Some((asked, answered)), wishes, ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    let forward = play.sim.history("web").iter().filter(|(at, split)| *at > asked && *split != Split::ALL_BLUE).count();
    assert_eq!(forward, 0, "{:?}", play.sim.history("web"));
}

#[test]
fn r09_an_unreachable_provider_is_waited_for() {
    let mut play = night(Scenario { blind: Some((s(195), s(400))), wishes: wish(200), ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    stays(&play, Split::ALL_BLUE);
    assert!(play.sim.history("web").last().unwrap().0 < s(430));
}

#[test]
fn r10_a_provider_that_is_away_is_no_reason_to_go_back() {
    // Away from the end of the first watch on, for a minute.
    let mut play = night(Scenario { blind: Some((s(235), s(420))), ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::Completed, "{}", words(&play));
    assert!(count(&play, "run.paused") >= 1 && count(&play, "rollback.begun") == 0, "{}", words(&play));
    stays(&play, Split::ALL_GREEN);
    // Before anybody moved it stops.
    let mut play = night(Scenario { writes: vec![Write::Throttled; 9], ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::Stopped);
    assert_eq!(count(&play, "run.paused"), 0);
}

#[test]
fn r10_nothing_is_frozen_for_a_rollback_that_did_not_take_place() {
    let ill = Scenario { green_errors: Some(s(150)), ..Scenario::default() };
    let mut play = night(ill.clone());
    assert_eq!(play.end().outcome, RunOutcome::RolledBack);
    assert_eq!(count(&play, "freeze.changed"), 1, "{}", words(&play));
    let mut play = night(Scenario { blind: Some((s(140), s(9_000))), ..ill });
    assert_eq!(play.end().outcome, RunOutcome::Halted);
    assert_eq!(count(&play, "freeze.changed"), 0, "{}", words(&play));
    // Taken back by hand: nothing is frozen.
    let mut play = night(Scenario { wishes: wish(200), ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::RolledBack);
    assert_eq!(count(&play, "freeze.changed"), 0);
}

#[test]
fn r14_what_lands_after_the_way_back_is_taken_back_too() {
    let late = |times| Scenario { writes: vec![Write::Late(s(40)); times], lands_within: s(60), ..Scenario::default() };
    for times in 1..5 {
        let mut play = night(Scenario { wishes: wish(121), ..late(times) });
        assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{times}: {}", words(&play));
        stays(&play, Split::ALL_BLUE);
    }
    // Nobody wished anything: whatever it ends as, users are where it says.
    for times in 1..7 {
        let mut play = night(late(times));
        let outcome = play.end().outcome;
        let want = if outcome == RunOutcome::Completed { Split::ALL_GREEN } else { Split::ALL_BLUE };
        assert!(matches!(outcome, RunOutcome::Completed | RunOutcome::RolledBack), "{outcome:?} {}", words(&play));
        stays(&play, want);
    }
}

#[test]
fn r35_completed_is_not_said_while_a_write_is_out() {
    // The first write lands a minute and a half later, on everybody on green.
    let scenario =
        |after| Scenario { writes: vec![Write::Late(s(after))], lands_within: s(600), ..Scenario::default() };
    for after in [100, 240, 330, 400, 550] {
        let mut play = night(scenario(after));
        assert_eq!(play.end().outcome, RunOutcome::Completed, "{after}: {}", words(&play));
        stays(&play, Split::ALL_GREEN);
        assert_eq!(count(&play, "run.paused"), 0, "an own write is no drift: {}", words(&play));
        assert_eq!(count(&play, "approval.requested"), 1, "what is made again was agreed to");
    }
    let mut play = night(scenario(400));
    play.end();
    assert_eq!(count(&play, "write.landed"), 1, "{}", words(&play));
}

#[test]
fn r17_going_back_goes_on_whatever_is_pressed() {
    for command in [Command::Interrupt, Command::Leave, Command::Terminate] {
        let mut wishes = wish(200);
        wishes.extend((0..3).map(|n| (s(200) + Duration::from_millis(10 + 300 * n), command.clone())));
        let writes = vec![Write::Applied, Write::Throttled, Write::Throttled, Write::ReplyLost];
        let mut play = night(Scenario { wishes, writes, ..Scenario::default() });
        assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{command:?}: {}", words(&play));
        stays(&play, Split::ALL_BLUE);
    }
}

#[test]
fn r38_a_split_set_back_by_hand_elsewhere_ends_the_run() {
    let mut play = night(Scenario { foreign: Some((s(200), Split::ALL_BLUE)), ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    assert!(play.sim.clock.time() < s(260), "{:?}", play.sim.clock.time());
    let begun = play.journal.events().into_iter().find(|e| matches!(e, Event::RollbackBegun { .. }));
    let Some(Event::RollbackBegun { automatic: false, by, .. }) = begun else { panic!("{begun:?}") };
    assert_eq!(by.name, "somebody else");
    assert_eq!(count(&play, "freeze.changed") + play.sim.pages.borrow().len(), 0);
}
