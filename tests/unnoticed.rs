//! Guards of the way back that were broken on purpose once, and no test noticed: each has one here, named after what would have
//! happened. The shipping driver and machine on the simulated world; what a log may say is in `facts.rs`.

mod common;

use std::time::Duration;

use bgctl::people::Command;
use bgctl::plan::Split;
use bgctl::run::{Actor, Event, RunOutcome};
use bgctl::sim::{Saw, Scenario, Write};
use common::play::{self, Play, operator, s, shift, step};
use serde_json::{Value, json};

fn night(scenario: Scenario) -> Play {
    Play::new(play::night(), scenario)
}

fn wish(at: u64) -> (Duration, Command) {
    (s(at), Command::RollBack { by: operator(), reason: "the r key, then y".into() })
}

fn count(play: &Play, kind: &str) -> usize {
    play.log().iter().filter(|(of, _)| *of == kind).count()
}

fn words(play: &Play) -> String {
    play.journal.entries.iter().map(|e| format!("{} {} {}\n", e.ts, e.kind, e.data)).collect()
}

fn begun(play: &Play) -> Option<(bool, Actor)> {
    play.journal.events().into_iter().find_map(|event| match event {
        Event::RollbackBegun { automatic, by, .. } => Some((automatic, by)),
        _ => None,
    })
}

/// Where users are two minutes after the run has ended.
fn later(play: &Play) -> Split {
    let clock = play.sim.clock.clone();
    clock.run(bgctl::clock::Clock::sleep(clock.as_ref(), s(120))).unwrap();
    play.sim.split()
}

#[test]
fn r16_who_goes_back_while_the_question_after_ctrl_c_is_open_is_named() {
    let by_signal = Actor { name: "the system".into(), via: "signal".into() };
    for (second, by) in [(wish(205), operator()), ((s(205), Command::Terminate), by_signal)] {
        let mut play = night(Scenario { wishes: vec![(s(200), Command::Interrupt), second], ..Scenario::default() });
        assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
        assert_eq!(begun(&play), Some((false, by)), "{}", words(&play));
        assert!(play.sim.history("web").last().unwrap().0 < s(210), "at once: {}", words(&play));
    }
}

/// R31: the users of one of two routes are back already, by a hand elsewhere. The other one is moved, and it alone.
#[test]
fn r31_of_two_routes_only_the_one_that_is_not_back_is_moved() {
    let forward = vec![
        shift("api-50", "api", 0, 500),
        shift("web-50", "web", 0, 500),
        step("bake", "wait", Value::Null),
        shift("api-100", "api", 500, 1000),
        shift("web-100", "web", 500, 1000),
    ];
    // What somebody else writes, is written at the first route by name; on the way back it is the last.
    for back in [["back-web", "back-api"], ["back-api", "back-web"]] {
        let back = back.map(|id| shift(id, id.trim_start_matches("back-"), 1000, 0)).to_vec();
        let plan = play::plan(&["api", "web"], forward.clone(), back, json!({}));
        let by_hand = Scenario { foreign: Some((s(60), Split::ALL_BLUE)), ..Scenario::default() };
        let mut play = Play::new(plan, by_hand);
        assert_eq!(play.end().outcome, RunOutcome::Halted, "{}", words(&play));
        let splits = |play: &Play| ["api", "web"].map(|route| play.sim.split_of(route));
        assert_eq!(splits(&play), [Split::ALL_BLUE, Split::of_green(500)]);
        let sent = |play: &Play| -> Vec<String> {
            let saw = play.sim.saw.borrow();
            let routes =
                saw.iter().filter_map(|(_, saw)| if let Saw::Sent { route, .. } = saw { Some(route) } else { None });
            routes.cloned().collect()
        };
        let before = sent(&play).len();
        let end = play.roll_back().unwrap().unwrap();
        assert_eq!((end.outcome, splits(&play)), (RunOutcome::RolledBack, [Split::ALL_BLUE; 2]), "{}", words(&play));
        assert_eq!(sent(&play)[before..], ["web"], "and nothing is written where everybody is home");
        let seen = play.journal.events().into_iter().rev().find_map(|event| match event {
            Event::UsersSeen { routes, .. } => Some(routes),
            _ => None,
        });
        let seen = seen.expect("it ends on a reading");
        assert!(seen.len() == 2 && seen.values().all(|seen| seen.split == Some(Split::ALL_BLUE)), "{seen:?}");
    }
}

/// Two writes whose answers were lost land one after the other, both after users were back.
#[test]
fn r14_the_first_late_write_does_not_end_the_wait_for_the_second() {
    let writes = vec![Write::Late(s(30)), Write::Late(s(60))];
    let mut play = night(Scenario { writes, lands_within: s(90), wishes: vec![wish(138)], ..Scenario::default() });
    play.plan.rollback.pop();
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    assert_eq!((later(&play), count(&play, "write.landed")), (Split::ALL_BLUE, 2), "{}", words(&play));
}

/// However long a write may still land: the moment it does, users are taken back.
#[test]
fn r14_a_late_write_is_set_right_when_it_lands_and_not_when_none_can_land_any_more() {
    let writes = vec![Write::Late(s(200))];
    let mut play = night(Scenario { writes, lands_within: s(600), wishes: vec![wish(121)], ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    let history = play.sim.history("web");
    let [.., (landed, on), (home, back)] = history[..] else { panic!("{history:?}") };
    assert_eq!((on, back), (Split::of_green(100), Split::ALL_BLUE));
    assert!(home - landed < s(15), "{history:?}");
}

/// It counts from the write, not from whatever the run did last.
#[test]
fn r14_a_write_is_waited_for_no_longer_than_it_may_land() {
    let writes = vec![Write::Lost];
    let mut play = night(Scenario { writes, lands_within: s(100), wishes: vec![wish(121)], ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    let took = play.sim.clock.time() - s(121);
    assert!(took < s(150), "the rest of two minutes is longer than what was to be waited: {took:?}\n{}", words(&play));
}

/// The second attempt is there, and the first, taken for lost, is still out: it lands when everybody is on green.
#[test]
fn r35_an_attempt_that_arrived_says_nothing_of_the_one_before_it() {
    let writes = vec![Write::Late(s(300)), Write::ReplyLost];
    let mut play = night(Scenario { writes, lands_within: s(320), ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::Completed, "{}", words(&play));
    assert_eq!((later(&play), count(&play, "run.paused")), (Split::ALL_GREEN, 0), "{}", words(&play));
}

/// Somebody else moved users a second ago, and the reading does not show it yet: they are looked for again, and taken home.
#[test]
fn r04_users_who_moved_between_the_look_and_the_write_are_taken_back_too() {
    let scenario = Scenario {
        foreign: Some((s(200), Split::of_green(500))),
        staleness: s(3),
        wishes: vec![wish(201)],
        ..Scenario::default()
    };
    let mut play = night(scenario);
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{}", words(&play));
    assert_eq!(later(&play), Split::ALL_BLUE);
}

/// Whoever has lost the lease moves nobody, not even back: somebody else does by now.
#[test]
fn r08_without_the_lease_nobody_is_moved_back_either() {
    let mut play = night(Scenario { lease_lost: Some(s(150)), wishes: vec![wish(200)], ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::Halted, "{}", words(&play));
    assert_eq!(play.sim.history("web").last().unwrap().1, Split::of_green(100), "{}", words(&play));
}

/// Blue dies under those who come back. They are there, and nobody says that all is well.
#[test]
fn r06_a_blue_that_dies_in_the_moment_of_the_move_is_no_rollback_that_ended_well() {
    for after in [15, 25] {
        let down = s(200) + Duration::from_millis(after);
        let mut play = night(Scenario { blue_down: Some(down), wishes: vec![wish(200)], ..Scenario::default() });
        assert_eq!(play.end().outcome, RunOutcome::Halted, "{after}: {}", words(&play));
        assert_eq!((play.sim.split(), play.sim.pages.borrow().len()), (Split::ALL_BLUE, 1), "{}", words(&play));
    }
}

#[test]
fn r10_a_route_that_is_dark_for_half_a_minute_at_the_end_does_not_halt_what_is_done() {
    let mut play = night(Scenario::default());
    assert_eq!(play.end().outcome, RunOutcome::Completed);
    let over = play.sim.clock.time();
    let dark = (over - Duration::from_millis(15), over + s(30));
    let mut play = night(Scenario { blind: Some(dark), ..Scenario::default() });
    play.plan.routes.get_mut("web").unwrap().min_healthy = 0;
    assert_eq!(play.end().outcome, RunOutcome::Completed, "{}", words(&play));
    assert!(play.sim.clock.time() > over + s(30), "it was not in the dark: {}", words(&play));
}

/// R36: what the provider does not take, however often, says nothing against the release.
#[test]
fn r36_a_throttled_move_forward_pauses_and_goes_on() {
    for writes in [vec![Write::Throttled; 3], vec![Write::Throttled; 5]] {
        let writes = [vec![Write::Applied], writes].concat();
        let mut play = night(Scenario { writes, ..Scenario::default() });
        assert_eq!(play.end().outcome, RunOutcome::Completed, "{}", words(&play));
        assert!(count(&play, "run.paused") >= 1 && begun(&play).is_none(), "{}", words(&play));
        assert_eq!(count(&play, "freeze.changed"), 0);
    }
}

#[test]
fn r36_a_lost_answer_and_a_provider_that_is_silent_pause_too() {
    // Its answer is lost, and no read comes back for longer than it is looked for.
    let silent = Some((s(240) + Duration::from_millis(700), s(420)));
    for second in [Write::ReplyLost, Write::Lost] {
        let writes = vec![Write::Applied, second];
        let mut play = night(Scenario { writes, blind: silent, ..Scenario::default() });
        assert_eq!(play.end().outcome, RunOutcome::Completed, "{}", words(&play));
        assert!(words(&play).contains("cannot-see"), "{}", words(&play));
        assert!(count(&play, "run.paused") >= 1 && begun(&play).is_none(), "{}", words(&play));
    }
}

/// The service is frozen the moment users are back: whoever dies in what follows leaves no open door.
#[test]
fn r10_the_freeze_comes_with_the_users_and_not_with_the_end() {
    let mut play = night(Scenario { green_errors: Some(s(150)), ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::RolledBack);
    let log = play.log();
    let at =
        |kind: &str, id: &str| log.iter().position(|(of, data)| *of == kind && (id.is_empty() || data["id"] == id));
    assert!(at("freeze.changed", "").unwrap() < at("step.intent", "rest").unwrap(), "{}", words(&play));
}

/// Somebody else writes a split that this run has had as well. Its own writes were all answered, so this is none of them.
#[test]
fn r14_what_somebody_else_writes_is_no_late_write_of_ours() {
    let mut play = night(Scenario { foreign: Some((s(300), Split::of_green(100))), ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::Halted, "{}", words(&play));
    assert_eq!((count(&play, "write.landed"), play.sim.split()), (0, Split::of_green(100)), "{}", words(&play));
    assert!(words(&play).contains("\"cause\":\"drift\""), "{}", words(&play));
}

/// A gate fails before this run has moved anybody, on users whom somebody else has moved: they are theirs.
#[test]
fn r02_no_rule_takes_back_whom_this_run_has_not_moved() {
    let ill = Scenario { foreign: Some((s(1), Split::of_green(500))), green_errors: Some(s(2)), ..Scenario::default() };
    let mut play = night(ill);
    assert_eq!(play.end().outcome, RunOutcome::Halted, "{}", words(&play));
    assert_eq!((begun(&play), play.sim.split()), (None, Split::of_green(500)), "{}", words(&play));
}

/// Several routes, a provider that is busy: each pauses between its attempts, and whoever asks meanwhile is heard.
#[test]
fn r09_routes_that_go_back_together_pause_and_listen() {
    let forward = vec![shift("a", "api", 0, 1000), shift("w", "web", 0, 1000), step("watch", "watch", Value::Null)];
    let back = vec![shift("back-web", "web", 1000, 0), shift("back-api", "api", 1000, 0)];
    let plan = play::plan(&["api", "web"], forward, back, json!({}));
    let writes = [vec![Write::Applied; 2], vec![Write::Throttled; 400]].concat();
    let ill = Scenario { green_errors: Some(s(20)), writes, wishes: vec![wish(60)], ..Scenario::default() };
    let mut play = Play::new(plan, ill);
    assert_eq!(play.end().outcome, RunOutcome::Halted, "{}", words(&play));
    assert!(count(&play, "step.intent") < 150, "{} calls in ten minutes", count(&play, "step.intent"));
    let heard = play.journal.entries.iter().find(|entry| entry.kind == "run.interrupted").expect("it was heard");
    assert!(heard.ts.starts_with("2026-01-01T00:01:00"), "{}", heard.ts);
}
