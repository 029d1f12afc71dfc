//! Guards of the way back that were broken on purpose once, and no test noticed: each has one here, named after what would have
//! happened. The shipping driver and machine on the simulated world, and the machine alone where that says more.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use bgctl::people::Command;
use bgctl::plan::{Lane, Plan, Split, StepRef};
use bgctl::run::{
    Actor, Cause, Doing, Event, Found, Next, Outcome, RunOutcome, Sighting, State, Wish, decide, evolve, replay,
};
use bgctl::sim::{Saw, Scenario, Write};
use common::play::{self, Play, approved, s, shift, step};
use serde_json::{Value, json};

/// A wait of two minutes, 10 %, a watch of two minutes, everybody, a watch of two minutes; and back, then a wait as long.
fn plan() -> Plan {
    let forward = vec![
        step("before", "watch", Value::Null),
        shift("shift-10", "web", 0, 100),
        step("watch-10", "watch", Value::Null),
        shift("shift-100", "web", 100, 1000),
        step("watch-100", "watch", Value::Null),
    ];
    play::plan(&["web"], forward, vec![shift("back", "web", 1000, 0), step("rest", "wait", Value::Null)], json!({}))
}

fn night(scenario: Scenario) -> Play {
    Play::new(plan(), scenario)
}

fn operator() -> Actor {
    Actor { name: "operator".into(), via: "key".into() }
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
    let writes = vec![Write::Applied, Write::ReplyLost];
    let mut play = night(Scenario { writes, blind: silent, ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::Completed, "{}", words(&play));
    assert!(words(&play).contains("cannot-see"), "{}", words(&play));
    assert!(count(&play, "run.paused") >= 1 && begun(&play).is_none(), "{}", words(&play));
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

const FORWARD: fn(usize) -> StepRef = |index| StepRef { lane: Lane::Forward, index };
const BACK: fn(usize) -> StepRef = |index| StepRef { lane: Lane::Rollback, index };

fn armed() -> Event {
    Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] }
}

fn intent(plan: &Plan, step: StepRef) -> Event {
    let id = plan.step(step).id.clone();
    Event::StepIntent { step, id, attempt: 1, line: String::new(), step_sha256: String::new(), approvals: vec![] }
}

fn done(plan: &Plan, step: StepRef) -> [Event; 2] {
    let outcome = Outcome::done("done");
    [intent(plan, step), Event::StepOutcome { step, id: plan.step(step).id.clone(), outcome }]
}

fn seen(split: Split, settled: bool) -> Event {
    let sighting = Sighting { split: Some(split), line: "looked".into() };
    Event::UsersSeen { routes: BTreeMap::from([("web".to_string(), sighting)]), settled }
}

fn back_wished() -> Event {
    Event::Interrupted { wish: Wish::RollBack, by: operator(), line: "by hand".into() }
}

fn ended(outcome: RunOutcome) -> Event {
    Event::Ended { outcome, line: "over".into() }
}

fn state(plan: &Plan, log: &[Event]) -> State {
    replay(plan, log).unwrap()
}

/// A log that says where users were found says it directly before its end.
#[test]
fn r02_no_log_ends_on_a_reading_that_is_old_or_says_otherwise() {
    let plan = plan();
    let mut log = vec![armed(), seen(Split::ALL_BLUE, true)];
    log.extend((0..5).flat_map(|index| done(&plan, FORWARD(index))));
    let completed = |last: Option<Event>| {
        let log: Vec<Event> = log.iter().cloned().chain(last).chain([ended(RunOutcome::Completed)]).collect();
        replay(&plan, &log)
    };
    assert!(completed(Some(seen(Split::ALL_GREEN, true))).is_ok());
    for last in [None, Some(seen(Split::ALL_BLUE, true)), Some(seen(Split::of_green(100), true))] {
        assert!(completed(last.clone()).is_err(), "{last:?}");
    }
}

/// The schema stands against going back, so whoever wishes it stops; a reading made while a write is out ends nothing.
#[test]
fn r14_nothing_is_over_on_a_reading_from_before_a_write_can_land() {
    let mut plan = plan();
    plan.rollback[0] = serde_json::from_value(approved(shift("back", "web", 1000, 0), "halt")).unwrap();
    plan.rollback[0].approval.as_mut().unwrap().even_by_hand = true;
    let before = [armed(), done(&plan, FORWARD(0))[0].clone(), done(&plan, FORWARD(0))[1].clone()];
    let looks = |log: Vec<Event>| matches!(decide(&plan, &state(&plan, &log)), Next::Look { .. });
    let (step, id) = (FORWARD(1), "shift-10".to_string());
    let (found, line) = (Found::NotInPlace, "nobody is there".to_string());
    let resumed = Event::Resumed { by: operator() };
    let out = [intent(&plan, step), resumed, Event::StepReconciled { step, id, found, line }];
    for (settled, wanted) in [(false, true), (true, false)] {
        let log = before.iter().chain(&out).cloned();
        let log = log.chain([seen(Split::ALL_BLUE, settled), back_wished()]).collect();
        assert_eq!(looks(log), wanted, "settled: {settled}");
    }
    // A reading from before a step began is none of what came to pass in it.
    assert!(looks(vec![armed(), seen(Split::ALL_BLUE, true), intent(&plan, FORWARD(0)), back_wished()]));
}

/// Facts that would move users, or give them up, where that cannot be the fact.
#[test]
fn r09_r14_what_cannot_be_so_is_not_taken_in() {
    let plan = plan();
    let mut log = vec![armed()];
    log.extend((0..4).flat_map(|index| done(&plan, FORWARD(index))));
    log.extend([back_wished(), Event::RollbackBegun { automatic: false, by: operator(), cause: "r".into() }]);
    let refused = |log: &[Event], event: Event| evolve(&plan, &state(&plan, log), &event).is_err();
    let overdue = Event::RollbackOverdue { step: BACK(0), id: "back".into(), line: "its time is over".into() };
    assert!(refused(&log, overdue.clone()), "nothing of it has been tried yet");
    log.push(intent(&plan, BACK(0)));
    assert!(refused(&log, overdue), "the first call is under way");

    // A write that is under way is not overtaken by setting an older one right.
    let (step, found) = (FORWARD(1), Split::of_green(100));
    let landed = Event::WriteLanded { step, id: "shift-10".into(), found, line: "landed".into() };
    let at = |doing| State {
        index: 3,
        doing,
        moved: true,
        tried: BTreeMap::from([(step, 1), (FORWARD(3), 1)]),
        doubts: [(step, 1)].into(),
        ..State::default()
    };
    assert!(evolve(&plan, &at(Doing::Ready { attempt: 1 }), &landed).is_ok());
    let under_way = Doing::Uncertain { attempt: 1, looks: 0, lost: false };
    assert!(evolve(&plan, &at(under_way), &landed).is_err());
}

/// Who keeps undoing what is set right is somebody else, whatever it looks like.
#[test]
fn r14_a_late_write_is_set_right_three_times_and_no_more() {
    let plan = plan();
    let at = |righted| State {
        lane: Lane::Rollback,
        index: 1,
        moved: true,
        righted,
        tried: BTreeMap::from([(FORWARD(1), 1), (BACK(0), 1)]),
        doubts: [(FORWARD(1), 1)].into(),
        ..State::default()
    };
    let found = Split::of_green(100);
    assert_eq!(at(2).landed_late(&plan, "web", found), Some(BACK(0)));
    assert_eq!(at(3).landed_late(&plan, "web", found), None);
    assert_eq!(State { doubts: [].into(), ..at(0) }.landed_late(&plan, "web", found), None);
}

/// Routes go back together only as far as somebody has agreed to each.
#[test]
fn r33_a_route_that_waits_for_an_agreement_does_not_go_back_with_the_others() {
    let forward = vec![shift("a", "api", 0, 1000), shift("w", "web", 0, 1000)];
    let back = vec![shift("back-web", "web", 1000, 0), approved(shift("back-api", "api", 1000, 0), "halt")];
    let plan = play::plan(&["api", "web"], forward, back, json!({}));
    let log = |automatic| {
        let begun = Event::RollbackBegun { automatic, by: Actor::rule(), cause: "ill".into() };
        let mut log = vec![armed()];
        log.extend((0..2).flat_map(|index| done(&plan, FORWARD(index))));
        let wished = if automatic {
            Event::WaitBreached { step: FORWARD(2), cause: Cause::Gate, line: "ill".into(), then: None }
        } else {
            back_wished()
        };
        log.extend([wished, begun]);
        log
    };
    assert!(matches!(decide(&plan, &state(&plan, &log(false))), Next::Together(legs) if legs.len() == 2));
    let next = decide(&plan, &state(&plan, &log(true)));
    assert!(matches!(next, Next::Attempt(at, 1) if at == BACK(0)), "{next:?}");
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

/// A process that died while several routes went back: each of their writes may still land.
#[test]
fn r14_every_write_that_was_out_when_a_process_died_is_remembered() {
    let forward = vec![shift("a", "api", 0, 1000), shift("w", "web", 0, 1000)];
    let back = vec![shift("back-web", "web", 1000, 0), shift("back-api", "api", 1000, 0)];
    let two = play::plan(&["api", "web"], forward, back, json!({}));
    let mut log = vec![armed()];
    log.extend((0..2).flat_map(|index| done(&two, FORWARD(index))));
    log.extend([back_wished(), Event::RollbackBegun { automatic: false, by: operator(), cause: "r".into() }]);
    log.extend([intent(&two, BACK(0)), intent(&two, BACK(1)), Event::Resumed { by: operator() }]);
    assert_eq!(state(&two, &log).doubts, [(BACK(0), 1), (BACK(1), 1)].into());

    // The same attempt is made again after a crash. That one arrives, and says nothing of the other.
    let one = plan();
    let (step, id) = (FORWARD(1), "shift-10".to_string());
    let looked = |found| Event::StepReconciled { step, id: id.clone(), found, line: "looked".into() };
    let mut log = vec![armed()];
    log.extend(done(&one, FORWARD(0)));
    log.extend([intent(&one, step), Event::Resumed { by: operator() }, looked(Found::NotInPlace)]);
    log.push(intent(&one, step));
    log.push(Event::StepOutcome { step, id: id.clone(), outcome: Outcome::unknown("no answer") });
    log.push(looked(Found::InPlace));
    assert_eq!(state(&one, &log).doubts, [(step, 0)].into());
}

/// A log of before gave a route up without a word: it is read as if that word stood in it.
#[test]
fn r09_a_log_of_before_that_gave_up_is_still_read() {
    let plan = plan();
    let busy = Outcome::Failed {
        line: "busy".into(),
        cause: Cause::Provider,
        moved: false,
        retry: true,
        then: None,
        facts: Value::Null,
    };
    let mut log = vec![armed()];
    log.extend((0..2).flat_map(|index| done(&plan, FORWARD(index))));
    log.extend([back_wished(), Event::RollbackBegun { automatic: false, by: operator(), cause: "r".into() }]);
    for attempt in 1..=plan.step(BACK(0)).attempts {
        let (step, id, line) = (BACK(0), "back".to_string(), String::new());
        let step_sha256 = String::new();
        log.push(Event::StepIntent { step, id: id.clone(), attempt, line, step_sha256, approvals: vec![] });
        log.push(Event::StepOutcome { step, id, outcome: busy.clone() });
    }
    assert!(matches!(decide(&plan, &state(&plan, &log)), Next::Attempt(..)), "today it is tried on");
    log.push(Event::Paged { delivered: true, line: "paged".into() });
    assert_eq!(state(&plan, &log).doing, Doing::Stuck { paged: true, line: "busy".into() });
}
