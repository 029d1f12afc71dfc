//! What may follow in a log, and what may not: facts that would move users, give them up or end a run where that cannot be so. The
//! machine alone.

mod common;

use std::collections::BTreeMap;

use bgctl::plan::{Lane, Plan, Purpose, Split, StepRef};
use bgctl::run::{
    Actor, Cause, Doing, Event, Found, Next, Outcome, RunOutcome, Sighting, State, Wish, decide, evolve, replay,
};
use common::play::{self, approved, operator, shift};
use serde_json::{Value, json};

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
    let plan = play::night();
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
    let mut plan = play::night();
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

/// By a log that is written before every call, what may still land is what it has no answer to.
#[test]
fn r14_a_log_says_whether_a_write_may_still_land() {
    let plan = play::night();
    let out = |log: &[Event]| state(&plan, log).writes_out(&plan);
    let [to_10, after] = done(&plan, FORWARD(1));
    let before = [armed()].into_iter().chain(done(&plan, FORWARD(0))).collect::<Vec<_>>();
    let with = |more: &[Event]| before.iter().chain(more).cloned().collect::<Vec<_>>();
    assert!(!out(&[]) && !out(&before));
    assert!(out(&with(std::slice::from_ref(&to_10))), "it was sent, and nothing was heard");
    assert!(!out(&with(&[to_10.clone(), after.clone()])));
    assert!(!out(&with(&[to_10.clone(), after, intent(&plan, FORWARD(2))])), "a watch writes nothing");
    // An attempt that was found not to be in place may be so later.
    let (step, id) = (FORWARD(1), "shift-10".to_string());
    let missing = Event::StepReconciled { step, id, found: Found::NotInPlace, line: "nobody is there".into() };
    assert!(out(&with(&[to_10, Event::Resumed { by: operator() }, missing])));
}

/// A run of its own that took the place of a process which was only stopped: what that one had sent may land afterwards.
#[test]
fn r14_whoever_takes_the_place_of_another_waits_for_its_last_write() {
    let plan = Plan { purpose: Purpose::RollbackOf("k7f".into()), forward: vec![], ..play::night() };
    let back = |index| done(&plan, BACK(index));
    for (first, waits) in [(false, true), (true, false)] {
        let log = [armed(), seen(Split::ALL_GREEN, first)].into_iter().chain(back(0)).chain(back(1));
        let log: Vec<Event> = log.chain([seen(Split::ALL_BLUE, false)]).collect();
        let next = decide(&plan, &state(&plan, &log));
        assert_eq!(matches!(next, Next::Look { settle: true, .. }), waits, "{next:?}");
        let over = log.into_iter().chain([seen(Split::ALL_BLUE, true)]).collect::<Vec<_>>();
        assert!(matches!(decide(&plan, &state(&plan, &over)), Next::Note(Event::Ended { .. })));
    }
}

/// Facts that would move users, or give them up, where that cannot be the fact.
#[test]
fn r09_r14_what_cannot_be_so_is_not_taken_in() {
    let plan = play::night();
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
        tried: [(step, 1), (FORWARD(3), 1)].into_iter().collect(),
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
    let plan = play::night();
    let at = |righted| State {
        lane: Lane::Rollback,
        index: 1,
        moved: true,
        righted,
        tried: [(FORWARD(1), 1), (BACK(0), 1)].into_iter().collect(),
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

/// A process that died while several routes went back: each of their writes may still land.
#[test]
fn r14_every_write_that_was_out_when_a_process_died_is_remembered() {
    let forward = vec![shift("a", "api", 0, 1000), shift("w", "web", 0, 1000)];
    let back = vec![shift("back-web", "web", 1000, 0), shift("back-api", "api", 1000, 0)];
    let two = play::plan(&["api", "web"], forward, back, json!({}));
    let mut log = vec![armed()];
    log.extend((0..2).flat_map(|index| done(&two, FORWARD(index))));
    log.extend([back_wished(), Event::RollbackBegun { automatic: false, by: operator(), cause: "r".into() }]);
    assert!(!state(&two, &log).writes_out(&two));
    log.extend([intent(&two, BACK(0)), intent(&two, BACK(1))]);
    assert!(state(&two, &log).writes_out(&two));
    log.push(Event::Resumed { by: operator() });
    assert_eq!(state(&two, &log).doubts, [(BACK(0), 1), (BACK(1), 1)].into());

    // The same attempt is made again after a crash. That one arrives, and says nothing of the other.
    let one = play::night();
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
    let plan = play::night();
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
