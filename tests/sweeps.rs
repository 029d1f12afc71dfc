//! Crash at every boundary and fault at every step, generated: the shipping driver, machine and shift step on the
//! simulated world.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use bgctl::people::Command;
use bgctl::plan::*;
use bgctl::run::{Actor, Event, RunOutcome};
use bgctl::sim::{Scenario, Sim, Write};
use common::play::{Play, s};

fn step(id: &str, kind: &str, resume: Resume, moves: Option<(u32, u32)>) -> PlannedStep {
    PlannedStep {
        id: id.into(),
        kind: kind.into(),
        line: format!("{kind} {id}"),
        config: serde_json::Value::Null,
        resume,
        attempts: 3,
        timeout_s: 900,
        expected_s: 1,
        moves: moves.map(|(a, b)| Move { route: "web".into(), before: Split::of_green(a), after: Split::of_green(b) }),
        approval: None,
        on_failure: OnFailure::RollBack,
        place: "runbook.yaml:1".into(),
    }
}

fn plan() -> Plan {
    let seen_at = SeenAt {
        url: "https://bot.test/".into(),
        header: "x-version".into(),
        samples: 20,
        tolerance: 60,
        headers: Default::default(),
    };
    let route = PlannedRoute {
        router: "simulated".into(),
        config: serde_json::Value::Null,
        line: "the simulated route".into(),
        seen_at: Some(seen_at),
        before: Split::ALL_BLUE,
        min_healthy: 2,
        capacity: Default::default(),
        resources: Vec::new(),
    };
    let mut forward = vec![
        step("tell", "tell", Resume::AskHuman, None),
        step("shift-10", "shift", Resume::Observe, Some((0, 100))),
        step("bake-10", "watch", Resume::Repeat, None),
        step("shift-100", "shift", Resume::Observe, Some((100, 1000))),
        step("bake-100", "watch", Resume::Repeat, None),
    ];
    forward[3].approval = Some(ApprovalRule {
        role: "release-managers".into(),
        members: vec!["person-1".into()],
        quorum: 1,
        own_run: false,
        within_s: 1800,
        at_expiry: AtExpiry::RollBack,
        evidence: Default::default(),
        covers_rollback: false,
        even_by_hand: false,
    });
    Plan {
        bgctl_plan: 1,
        purpose: Purpose::Cutover,
        service: "bot".into(),
        environment: "test".into(),
        owners: vec!["owner@example.com".parse().unwrap()],
        rollback_owner: "owner@example.com".parse().unwrap(),
        runbook: "runbook.yaml".into(),
        runbook_sha256: String::new(),
        blue: Stack {
            version: "v1".into(),
            url: "http://blue.test".into(),
            name: None,
            label: None,
            headers: Default::default(),
        },
        green: Stack {
            version: "v2".into(),
            url: "http://green.test".into(),
            name: None,
            label: None,
            headers: Default::default(),
        },
        version_at: None,
        routes: BTreeMap::from([("web".to_string(), route)]),
        gates: BTreeMap::new(),
        slack: None,
        compare: None,
        policy: Policy { pause_at_most_s: 240, rollback_within_s: 60, ..Policy::default() },
        schema: None,
        forward,
        rollback: vec![
            step("back", "shift", Resume::Observe, Some((1000, 0))),
            step("drain", "wait", Resume::Repeat, None),
        ],
        team: Default::default(),
        warnings: vec![],
    }
}

/// Bakes of five minutes.
fn play(scenario: Scenario) -> Play {
    Play { waits: 30, ..Play::new(plan(), scenario) }
}

/// What must hold whatever happened. `I…` are the invariants of the design.
fn check(name: &str, sim: &Sim, events: &[Event], outcome: RunOutcome) {
    let split = sim.split();
    let history = sim.history("web");
    let ours: Vec<(Duration, Split)> =
        history.iter().copied().filter(|h| sim.scenario.foreign.is_none_or(|f| f != *h)).collect();
    let mended = sim.scenario.foreign.zip(sim.scenario.mended).map(|((at, _), after)| at + after);
    let ours: Vec<(Duration, Split)> = ours.into_iter().filter(|h| mended != Some(h.0)).collect();
    let turns = ours.windows(3).filter(|w| {
        let share = |i: usize| w[i].1.share(Color::Green);
        (share(1) - share(0)) * (share(2) - share(1)) < 0.0
    });
    assert!(turns.count() <= 1, "{name}: more than one change of direction: {ours:?}");
    assert!(ours.iter().all(|h| h.1.blue + h.1.green > 0), "{name}: I1");
    let intents = events.iter().filter(|e| matches!(e, Event::StepIntent { .. })).count();
    assert!(ours.len() - 1 <= intents, "{name}: I2, an effect without an intent");
    for pair in ours.windows(2) {
        for (stack, down) in [(Color::Green, sim.scenario.green_down), (Color::Blue, sim.scenario.blue_down)] {
            let raised = pair[1].1.share(stack) > pair[0].1.share(stack);
            // Health may flip between the look and the write: the claim is about what was seen, a second ago at most.
            let known = down.is_some_and(|at| at + s(1) <= pair[1].0);
            let late = sim.scenario.writes.iter().any(|w| matches!(w, Write::Late(_)));
            assert!(!raised || !known || late, "{name}: I5, users sent to a side known to be down: {ours:?}");
        }
    }
    match outcome {
        RunOutcome::Completed => assert_eq!(split, Split::ALL_GREEN, "{name}: completed"),
        RunOutcome::RolledBack => assert_eq!(split, Split::ALL_BLUE, "{name}: rolled back"),
        RunOutcome::Stopped if sim.scenario.foreign.is_none() => assert_eq!(split, Split::ALL_BLUE, "{name}: stopped"),
        RunOutcome::Halted => assert!(!sim.pages.borrow().is_empty(), "{name}: I16, halted and nobody was paged"),
        _ => {}
    }
    let told = sim.effects.borrow().len();
    assert!(told <= 1, "{name}: I10, what leaves no trace was done {told} times");
}

type Case = (&'static str, RunOutcome, fn() -> Scenario);

fn rollback_wish(at: u64) -> (Duration, Command) {
    let by = Actor { name: "operator".into(), via: "key".into() };
    (s(at), Command::RollBack { by, reason: "the r key".into() })
}

/// Every way a run can go. The last member of a case says what is different from a quiet night.
const CASES: &[Case] = &[
    ("quiet night", RunOutcome::Completed, Scenario::default),
    ("bad green at 10 %", RunOutcome::RolledBack, || Scenario { green_errors: Some(s(100)), ..Scenario::default() }),
    ("other rules before anybody moved", RunOutcome::Stopped, || Scenario {
        other_rules: Some(s(0)),
        ..Scenario::default()
    }),
    // Under rules nobody signed for nothing moves by itself, not even back: a person is paged.
    ("other rules at 10 %", RunOutcome::Halted, || Scenario { other_rules: Some(s(100)), ..Scenario::default() }),
    ("bad green at 100 %", RunOutcome::RolledBack, || Scenario { green_errors: Some(s(500)), ..Scenario::default() }),
    ("reply of the first write lost", RunOutcome::Completed, || Scenario {
        writes: vec![Write::ReplyLost],
        ..Scenario::default()
    }),
    ("first write lost", RunOutcome::Completed, || Scenario { writes: vec![Write::Lost], ..Scenario::default() }),
    ("first write lands late", RunOutcome::Completed, || Scenario {
        writes: vec![Write::Late(s(9))],
        ..Scenario::default()
    }),
    ("second write lands late", RunOutcome::Completed, || Scenario {
        writes: vec![Write::Applied, Write::Late(s(9))],
        ..Scenario::default()
    }),
    ("throttled twice", RunOutcome::Completed, || Scenario {
        writes: vec![Write::Throttled, Write::Throttled],
        ..Scenario::default()
    }),
    ("denied at the first write", RunOutcome::Stopped, || Scenario {
        writes: vec![Write::Denied],
        ..Scenario::default()
    }),
    ("denied from the second write on", RunOutcome::Halted, || Scenario {
        writes: vec![Write::Applied, Write::Denied],
        ..Scenario::default()
    }),
    ("denied on the way back", RunOutcome::Halted, || Scenario {
        green_errors: Some(s(100)),
        writes: vec![Write::Applied, Write::Denied],
        ..Scenario::default()
    }),
    ("reply of the rollback lost", RunOutcome::RolledBack, || Scenario {
        green_errors: Some(s(100)),
        writes: vec![Write::Applied, Write::ReplyLost],
        ..Scenario::default()
    }),
    ("rollback lands late", RunOutcome::RolledBack, || Scenario {
        green_errors: Some(s(100)),
        writes: vec![Write::Applied, Write::Late(s(9))],
        ..Scenario::default()
    }),
    ("provider blind during the rollback", RunOutcome::Halted, || Scenario {
        green_errors: Some(s(100)),
        blind: Some((s(90), s(3600))),
        ..Scenario::default()
    }),
    ("green empty before the first move", RunOutcome::Refused, || Scenario {
        green_down: Some(s(0)),
        ..Scenario::default()
    }),
    ("green dies while users are on it", RunOutcome::RolledBack, || Scenario {
        green_down: Some(s(200)),
        ..Scenario::default()
    }),
    ("blue dies too", RunOutcome::Halted, || Scenario {
        green_errors: Some(s(100)),
        blue_down: Some(s(90)),
        ..Scenario::default()
    }),
    ("somebody else moves users", RunOutcome::Halted, || Scenario {
        foreign: Some((s(200), Split { blue: 80, green: 20 })),
        ..Scenario::default()
    }),
    ("frozen from the start", RunOutcome::Refused, || Scenario {
        frozen: Some((s(0), s(36_000))),
        ..Scenario::default()
    }),
    ("frozen before anybody moved", RunOutcome::Stopped, || Scenario {
        frozen: Some((Duration::from_millis(1), s(36_000))),
        ..Scenario::default()
    }),
    ("frozen for a while at 10 %", RunOutcome::Completed, || Scenario {
        frozen: Some((s(100), s(160))),
        ..Scenario::default()
    }),
    ("frozen for good at 10 %", RunOutcome::Holding, || Scenario {
        frozen: Some((s(100), s(36_000))),
        ..Scenario::default()
    }),
    // Nobody is left to move, so the watch and the message at the end go on.
    ("frozen once everybody is on green", RunOutcome::Completed, || Scenario {
        frozen: Some((s(500), s(36_000))),
        ..Scenario::default()
    }),
    ("somebody else moves users and sets them back", RunOutcome::Completed, || Scenario {
        foreign: Some((s(100), Split { blue: 80, green: 20 })),
        mended: Some(s(120)),
        ..Scenario::default()
    }),
    ("a gate fails under a freeze", RunOutcome::RolledBack, || Scenario {
        frozen: Some((s(100), s(36_000))),
        breach: Some(s(130)),
        ..Scenario::default()
    }),
    ("a gate fails where somebody else moves users", RunOutcome::Halted, || Scenario {
        foreign: Some((s(100), Split { blue: 80, green: 20 })),
        breach: Some(s(180)),
        ..Scenario::default()
    }),
    ("refused approval", RunOutcome::RolledBack, || Scenario { approval: Some(false), ..Scenario::default() }),
    ("nobody to approve", RunOutcome::RolledBack, || Scenario { approval: None, ..Scenario::default() }),
    ("nobody to approve, asked ahead", RunOutcome::Waiting, || Scenario {
        approval: None,
        ahead: true,
        ..Scenario::default()
    }),
    ("a breach beats an approval", RunOutcome::RolledBack, || Scenario { breach: Some(s(330)), ..Scenario::default() }),
    ("cap used up, nobody there", RunOutcome::Halted, || Scenario {
        green_errors: Some(s(100)),
        automatic_used: 2,
        person: None,
        ..Scenario::default()
    }),
    ("cap used up, a person goes back", RunOutcome::RolledBack, || Scenario {
        green_errors: Some(s(100)),
        automatic_used: 2,
        ..Scenario::default()
    }),
    ("slow propagation and stale reads", RunOutcome::Completed, || Scenario {
        propagation: s(20),
        staleness: s(5),
        ..Scenario::default()
    }),
    ("never arrives", RunOutcome::RolledBack, || Scenario { propagation: s(3600), ..Scenario::default() }),
];

/// Wishes of the operator: a crash may lose one that was not written down, so only the invariants are compared.
const WISHES: &[Case] = &[
    ("r during the bake", RunOutcome::RolledBack, || Scenario {
        wishes: vec![rollback_wish(200)],
        ..Scenario::default()
    }),
    ("r before anything moved", RunOutcome::Stopped, || Scenario {
        wishes: vec![rollback_wish(0)],
        ..Scenario::default()
    }),
    ("r while a write is on its way", RunOutcome::RolledBack, || Scenario {
        wishes: vec![(Duration::from_millis(20), rollback_wish(0).1)],
        writes: vec![Write::Late(s(9))],
        ..Scenario::default()
    }),
    ("Ctrl-C, then roll back", RunOutcome::RolledBack, || Scenario {
        wishes: vec![(s(200), Command::Interrupt)],
        ..Scenario::default()
    }),
    ("Ctrl-C, then hold", RunOutcome::Holding, || Scenario {
        wishes: vec![(s(200), Command::Interrupt)],
        person: Some(false),
        ..Scenario::default()
    }),
    ("SIGTERM with nobody there", RunOutcome::RolledBack, || Scenario {
        wishes: vec![(s(200), Command::Terminate)],
        person: None,
        ..Scenario::default()
    }),
    ("r under a freeze", RunOutcome::RolledBack, || Scenario {
        frozen: Some((s(100), s(36_000))),
        wishes: vec![rollback_wish(200)],
        ..Scenario::default()
    }),
    ("SIGTERM during the approval", RunOutcome::RolledBack, || Scenario {
        wishes: vec![(s(340), Command::Terminate)],
        ..Scenario::default()
    }),
    ("Ctrl-C twice", RunOutcome::Holding, || Scenario {
        wishes: vec![(s(200), Command::Leave)],
        ..Scenario::default()
    }),
];

#[test]
fn every_case_ends_as_it_should() {
    for (name, want, scenario) in CASES.iter().chain(WISHES) {
        let mut play = play(scenario());
        let end = play.end();
        let kinds: Vec<&str> = play.log().iter().map(|(kind, _)| *kind).collect();
        assert_eq!(end.outcome, *want, "{name}: {kinds:#?}");
        check(name, &play.sim, &play.journal.events(), end.outcome);
    }
}

/// The test that earns the architecture: die at every boundary, resume, and end in the same place.
#[test]
fn crash_anywhere_and_resume_to_the_same_end() {
    let cases: Vec<&Case> = CASES.iter().chain(WISHES).collect();
    let points: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|half| cases.iter().skip(half).step_by(2).copied().collect::<Vec<_>>())
            .map(|cases| scope.spawn(move || cases.into_iter().map(crash_everywhere).sum::<u32>()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    println!("{points} crash points, all resumed");
    assert!(points > 2000, "only {points} crash points were tried");
}

fn crash_everywhere((name, want, scenario): &Case) -> u32 {
    let mut whole = play(scenario());
    whole.end();
    let points = whole.sim.clock.boundaries();
    for n in 1..=points {
        let name = format!("{name}, died at boundary {n}");
        let mut play = play(scenario());
        play.sim.clock.crash_at(Some(n));
        assert!(play.process().is_err(), "{name}: it lives");
        play.sim.clock.crash_at(None);
        let end = play.process().unwrap().unwrap_or_else(|e| panic!("{name}: {e}"));
        let sim = &play.sim;
        // A wish that was not written down dies with the process, and what leaves no trace needs a person.
        // And a freeze that came behind the last move (or behind preflight) can come before it, where a crash has cost time.
        let overtaken = sim.scenario.frozen.is_some_and(|(from, _)| from >= s(500) || !from.is_zero() && from < s(1));
        let free = !sim.scenario.wishes.is_empty() || sim.scenario.person.is_none() || overtaken;
        assert!(free || end.outcome == *want, "{name}: {:?} instead of {want:?}: {:?}", end.outcome, end.state);
        check(&name, sim, &play.journal.events(), end.outcome);
    }
    points
}

/// The disk fills up at every record in turn: nothing moves without its record.
#[test]
fn no_record_no_effect() {
    let mut n = 1;
    loop {
        let mut play = play(Scenario { disk_full_at: Some(n), ..Scenario::default() });
        match play.process().unwrap() {
            Ok(end) => {
                assert_eq!(end.outcome, RunOutcome::Completed);
                break;
            }
            Err(error) => assert!(error.to_string().contains("no space left"), "{error}"),
        }
        let intents = play.journal.events().iter().filter(|e| matches!(e, Event::StepIntent { .. })).count();
        let moves = play.sim.history("web").len() - 1;
        assert!(moves <= intents, "append {n} failed: {moves} moves with {intents} intents");
        n += 1;
    }
    assert!(n >= 30, "only {n} appends were tried");
}
