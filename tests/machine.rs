//! The run machine as a whole: properties over random runs, and the pinned transition table.

use std::collections::{BTreeMap, BTreeSet};

use bgctl::plan::*;
use bgctl::run::*;
use proptest::prelude::*;

fn step(id: &str, kind: &str, resume: Resume, moves: Option<(Split, Split)>) -> PlannedStep {
    PlannedStep {
        id: id.into(),
        kind: kind.into(),
        line: format!("{kind} {id}"),
        config: serde_json::Value::Null,
        resume,
        attempts: 2,
        timeout_s: 60,
        expected_s: 1,
        moves: moves.map(|(before, after)| Move { route: "web".into(), before, after }),
        approval: None,
        on_failure: OnFailure::RollBack,
        place: "runbook.yaml:1".into(),
    }
}

fn plan(schema_safe: bool, at_most: u32, at_expiry: AtExpiry, resume: Resume) -> Plan {
    let shift = |id: &str, from: u32, to: u32| {
        step(id, "shift", Resume::Observe, Some((Split::of_green(from), Split::of_green(to))))
    };
    let mut forward = vec![
        step("smoke", "smoke", Resume::Repeat, None),
        shift("shift-10", 0, 100),
        step("bake-10", "bake", resume, None),
        shift("shift-100", 100, 1000),
        step("tell", "announce", Resume::AskHuman, None),
    ];
    forward[3].approval = Some(ApprovalRule {
        role: "release-managers".into(),
        members: vec!["rm-one".into(), "rm-two".into()],
        quorum: 2,
        own_run: false,
        within_s: 600,
        at_expiry,
        evidence: Default::default(),
        covers_rollback: false,
        even_by_hand: false,
    });
    forward[4].on_failure = OnFailure::Continue;
    let mut back = shift("back", 1000, 0);
    if !schema_safe {
        // As compile has it: the schema stands against going back, so it takes a second person.
        let rule = forward[3].approval.clone().unwrap();
        back.approval = Some(ApprovalRule { quorum: 1, at_expiry: AtExpiry::Halt, even_by_hand: true, ..rule });
    }
    Plan {
        bgctl_plan: 1,
        purpose: Purpose::Cutover,
        service: "bot".into(),
        environment: "test".into(),
        owners: vec!["owner@example.com".parse().unwrap()],
        rollback_owner: "owner@example.com".parse().unwrap(),
        runbook: "runbook.yaml".into(),
        runbook_sha256: String::new(),
        blue: Stack { version: "v1".into(), url: String::new(), name: None, label: None, headers: Default::default() },
        green: Stack { version: "v2".into(), url: String::new(), name: None, label: None, headers: Default::default() },
        version_at: None,
        routes: BTreeMap::from([("web".to_string(), route())]),
        gates: BTreeMap::new(),
        slack: None,
        compare: None,
        policy: Policy { automatic_at_most: at_most, schema_safe, ..Policy::default() },
        schema: None,
        forward,
        rollback: vec![back, step("drain", "drain", Resume::Repeat, None)],
        team: Default::default(),
        warnings: vec![],
    }
}

fn route() -> PlannedRoute {
    PlannedRoute {
        router: "simulated".into(),
        config: serde_json::Value::Null,
        line: "the route web".into(),
        seen_at: None,
        before: Split::ALL_BLUE,
        min_healthy: 1,
        capacity: Default::default(),
        resources: Vec::new(),
    }
}

/// Where the only route was found; none: it could not be read.
fn users_at(split: Option<Split>, settled: bool) -> Event {
    Event::UsersSeen { routes: BTreeMap::from([("web".into(), Sighting { split, line: "looked".into() })]), settled }
}

/// Somewhere a run may have left users, or not.
fn somewhere(dice: u8) -> Option<Split> {
    [Some(Split::ALL_BLUE), Some(Split::of_green(100)), Some(Split::ALL_GREEN), Some(Split::of_green(55)), None]
        [usize::from(dice % 5)]
}

fn by() -> Actor {
    Actor { name: "somebody".into(), via: "prompt".into() }
}

/// Answers whatever the machine asks for, from a tape of dice.
fn answer(plan: &Plan, s: &State, next: Next, dice: u8) -> Vec<Event> {
    let yes = dice.is_multiple_of(2);
    let id = |at: StepRef| plan.step(at).id.clone();
    let seen = |forward, back| Event::SchemaSeen { step: s.at(), forward, back, line: "gone".into() };
    let closed = s.closed(plan).is_some();
    let word = || Event::OverrideUsed { guard: "schema".into(), by: by(), reason: "green charges twice".into() };
    match next {
        Next::Note(Event::RollbackBegun { .. }) if dice > 240 => vec![seen(Verdict::Pass, Verdict::Fail)],
        Next::Note(Event::RollbackDeclined { .. }) if closed && dice > 180 => vec![word()],
        Next::Note(e) => vec![e],
        Next::Attempt(at, _) if at.lane == Lane::Forward && dice > 235 => vec![match dice % 4 {
            0 => seen(Verdict::Pass, Verdict::Pass),
            1 => seen(Verdict::Fail, Verdict::Pass),
            2 => seen(Verdict::Unknown, Verdict::Unknown),
            _ => seen(Verdict::Fail, Verdict::Fail),
        }],
        Next::AskRollback { why } if closed => vec![Event::RollbackDeclined { by: by(), why }],
        Next::AskInterrupted if closed && dice.is_multiple_of(3) => vec![match yes {
            true => word(),
            false => Event::RollbackDeclined { by: by(), why: "the schema".into() },
        }],
        Next::Arm if dice == 255 => vec![Event::Refused { why: "no".into() }],
        Next::Arm => {
            vec![Event::Armed {
                approvals_ahead: dice.is_multiple_of(3),
                automatic_used: u32::from(dice % 2),
                checks: vec![],
            }]
        }
        Next::Request(step) => vec![Event::ApprovalRequested {
            step,
            id: id(step),
            request: "please".into(),
            request_sha256: "00".into(),
            expires: 0,
            use_by: None,
        }],
        Next::Await(step) => {
            let asked = &s.approvals[&step];
            let n = asked.grants.len() + asked.void.len();
            let grant =
                |name: String| Grant { principal: name, evidence: "prompt".into(), key: None, sig: None, prompt: None };
            let request_sha256 = "00".to_string();
            vec![match dice % 5 {
                1 if dice > 128 && !asked.grants.is_empty() => Event::ApprovalWithdrawn {
                    step,
                    id: id(step),
                    request_sha256,
                    principal: asked.grants[0].principal.clone(),
                    why: "taken back".into(),
                    grant: None,
                },
                0 | 1 => Event::ApprovalGranted { step, id: id(step), request_sha256, grant: grant(format!("rm-{n}")) },
                2 => Event::ApprovalDenied { step, id: id(step), request_sha256, grant: grant("rm-no".into()) },
                3 => Event::ApprovalExpired { step, id: id(step), why: "late".into() },
                // Nothing is watched on the way back.
                _ if step.lane == Lane::Rollback => Event::ApprovalExpired { step, id: id(step), why: "late".into() },
                _ if s.moved || dice > 200 => {
                    let cause = [Cause::Gate, Cause::Frozen, Cause::Drift][usize::from(dice / 5 % 3)];
                    Event::WaitBreached { step: s.at(), cause, line: "bad".into(), then: None }
                }
                _ => Event::Interrupted { wish: Wish::Ask, by: by(), line: "Ctrl-C".into() },
            }]
        }
        Next::AskInPlace(step) if s.moved && s.lane == Lane::Forward && dice % 6 == 5 => {
            let cause = if yes || dice > 128 { Cause::Gate } else { Cause::Drift };
            vec![Event::WaitBreached { step, cause, line: "bad".into(), then: None }]
        }
        Next::Observe(step) if step.lane == Lane::Rollback && dice > 230 && may_be_overdue(s) => {
            vec![Event::RollbackOverdue { step, id: id(step), line: "its time is over".into() }]
        }
        Next::Observe(step) | Next::AskInPlace(step) => {
            let found = [Found::InPlace, Found::NotInPlace, Found::CannotSee, Found::Other][usize::from(dice % 4)];
            vec![Event::StepReconciled { step, id: id(step), found, line: "looked".into() }]
        }
        Next::AskRollback { why } => vec![match yes {
            true => Event::RollbackBegun { automatic: false, by: by(), cause: why },
            false => Event::RollbackDeclined { by: by(), why },
        }],
        Next::AskInterrupted => vec![match dice % 3 {
            0 => Event::RollbackBegun { automatic: false, by: by(), cause: "asked".into() },
            1 => Event::Held { by: by(), line: "hold".into() },
            _ => Event::Continued { by: by() },
        }],
        Next::Pause { cause, line } => vec![Event::Paused { step: s.at(), cause, line, until: 0 }],
        Next::AwaitFree { cause, .. } => vec![match dice % 8 {
            1 => Event::WaitBreached { step: s.at(), cause: Cause::Gate, line: "bad".into(), then: None },
            2 if cause == Cause::Frozen => Event::Held { by: by(), line: "still frozen".into() },
            2 => Event::RollbackDeclined { by: by(), why: "still there".into() },
            3 => Event::Interrupted { wish: Wish::Ask, by: by(), line: "Ctrl-C".into() },
            4 => Event::Interrupted { wish: Wish::RollBack, by: by(), line: "SIGTERM".into() },
            5 if cause != Cause::Drift => {
                Event::Paused { step: s.at(), cause: Cause::Drift, line: "moved".into(), until: 0 }
            }
            6 if cause != Cause::Guard => {
                Event::Paused { step: s.at(), cause: Cause::Guard, line: "lost".into(), until: 0 }
            }
            7 => Event::Resumed { by: by() },
            _ => Event::Unpaused { step: s.at(), line: "free".into() },
        }],
        Next::Page { .. } => vec![Event::Paged { delivered: yes, line: "paged".into() }],
        Next::Attempt(..) if dice > 128 && s.landed_late(plan, "web", Split::of_green(100)).is_some() => {
            let (found, line) = (Split::of_green(100), "landed".into());
            let step = s.landed_late(plan, "web", found).unwrap();
            vec![Event::WriteLanded { step, id: id(step), found, line }]
        }
        Next::Attempt(step, attempt) if step.lane == Lane::Rollback && attempt > 4 && dice > 100 => {
            vec![Event::RollbackOverdue { step, id: id(step), line: "its time is over".into() }]
        }
        Next::Attempt(step, attempt) => {
            let intent = Event::StepIntent {
                step,
                id: id(step),
                attempt,
                line: String::new(),
                step_sha256: String::new(),
                approvals: vec![],
            };
            let outcome = match dice % 9 {
                0..=2 => Outcome::done("done"),
                3 => Outcome::failed(Cause::Gate, "failed"),
                4 => Outcome::unknown("lost"),
                5 => Outcome::Failed {
                    line: "again".into(),
                    cause: Cause::Provider,
                    moved: yes,
                    retry: true,
                    then: None,
                    facts: Default::default(),
                },
                6 => Outcome::failed([Cause::Drift, Cause::Frozen, Cause::Guard][usize::from(dice / 9 % 3)], "blocked"),
                // Work that moves nobody is dropped at a Ctrl-C.
                7 if step.lane == Lane::Forward && plan.step(step).moves.is_none() => {
                    return vec![intent, Event::Interrupted { wish: Wish::Ask, by: by(), line: "Ctrl-C".into() }];
                }
                // Died before the end was written; another process takes over.
                _ => return vec![intent, Event::Resumed { by: by() }],
            };
            vec![intent, Event::StepOutcome { step, id: id(step), outcome }]
        }
        Next::Together(legs) => answer(plan, s, legs[usize::from(dice) % legs.len()].clone(), dice),
        Next::Look { .. } => {
            let left = match s.lane {
                Lane::Forward => s.written(plan, "web").last().copied(),
                Lane::Rollback => Some(Split::ALL_BLUE),
            };
            vec![match dice % 4 {
                0 | 1 => users_at(left, true),
                2 => users_at(somewhere(dice / 4), yes || dice > 100),
                _ => users_at(somewhere(dice / 4), true),
            }]
        }
        Next::Stop(_) => vec![],
    }
}

/// The process dies, and somebody goes back, or the run is only taken up.
fn killed(dice: u8) -> Vec<Event> {
    let wish = Event::Interrupted { wish: Wish::RollBack, by: by(), line: "by hand".into() };
    match dice % 3 {
        0 => vec![Event::Resumed { by: by() }],
        1 => vec![Event::Resumed { by: by() }, users_at(somewhere(dice / 3), false), wish],
        // Without a death in between: a signal, the key, another terminal.
        _ => vec![wish],
    }
}

fn may_be_overdue(s: &State) -> bool {
    matches!(s.doing, Doing::Uncertain { looks, lost, .. } if looks > 0 || lost)
}

struct Played {
    end: State,
    log: Vec<Event>,
    /// Green's share after each finished or possible move, in order.
    turns: u32,
}

fn play(plan: &Plan, tape: &[u8]) -> Played {
    let (mut s, mut log, mut turns) = (State::default(), vec![], 0);
    // Dice 0 leads every question to its good end, so a run that can end does.
    for dice in tape.iter().chain(std::iter::repeat_n(&0, 200)) {
        let next = decide(plan, &s);
        if let Next::Stop(outcome) = next {
            if outcome != RunOutcome::Holding || *dice > 40 {
                break;
            }
            let e = Event::Resumed { by: by() };
            s = evolve(plan, &s, &e).unwrap();
            log.push(e);
            continue;
        }
        // Anybody may go back, and the process may die, at any moment: also where nothing was asked.
        let ended = matches!(s.doing, Doing::Ended(_) | Doing::Planned);
        let events = match (dice / 8 == 21 || dice / 8 == 13) && !ended {
            true => killed(*dice),
            false => answer(plan, &s, next, *dice),
        };
        for e in events {
            let lane = s.lane;
            s = evolve(plan, &s, &e)
                .unwrap_or_else(|illegal| panic!("the machine asked for what it refuses: {illegal}"));
            turns += u32::from(lane != s.lane);
            log.push(e);
        }
    }
    Played { end: s, log, turns }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// I2 I3 I4 I6 I12 I15 I16, as far as they are the machine's.
    #[test]
    fn every_run_ends_and_never_thrashes(
        tape in prop::collection::vec(any::<u8>(), 0..120),
        schema_safe: bool,
        at_most in 0..3u32,
        expiry in 0..3usize,
        resume in 0..3usize,
    ) {
        let expiry = [AtExpiry::RollBack, AtExpiry::Hold, AtExpiry::Halt][expiry];
        let plan = plan(schema_safe, at_most, expiry, [Resume::Repeat, Resume::Observe, Resume::AskHuman][resume]);
        let Played { end, log, turns } = play(&plan, &tape);

        prop_assert!(matches!(end.doing, Doing::Ended(_) | Doing::Held), "liveness: {:?}", end.doing);
        prop_assert!(turns <= 1, "one change of direction at most");
        prop_assert_eq!(&replay(&plan, &log).unwrap(), &end, "the log is the state");

        let automatic = log.iter().any(|e| matches!(e, Event::RollbackBegun { automatic: true, .. }));
        let used = log.iter().find_map(|e| match e { Event::Armed { automatic_used, .. } => Some(*automatic_used), _ => None });
        prop_assert!(!automatic || schema_safe, "never alone across an unsafe schema");
        if !schema_safe {
            let at = |wanted: &dyn Fn(&Event) -> bool| log.iter().position(wanted);
            let word = at(&|e| matches!(e, Event::OverrideUsed { .. }));
            let agreed = at(&|e| matches!(e, Event::ApprovalGranted { id, .. } if id == "back"));
            let begun = at(&|e| matches!(e, Event::RollbackBegun { .. }));
            let moved = at(&|e| matches!(e, Event::StepIntent { id, .. } if id == "back"));
            prop_assert!(begun.is_none() || word.is_some() && word < begun, "across it only with a word");
            prop_assert!(moved.is_none() || agreed.is_some() && agreed < moved, "and with a second person");
        }
        prop_assert!(!automatic || used.unwrap_or(0) < at_most, "never over the cap");
        if let Doing::Ended(outcome @ (RunOutcome::Completed | RunOutcome::RolledBack | RunOutcome::Stopped)) = end.doing {
            // The last word rests on the last reading, and nothing began after that.
            let last = log.iter().rposition(|e| matches!(e, Event::UsersSeen { .. })).unwrap();
            let changes = |e: &Event| matches!(e, Event::StepIntent { .. } | Event::StepOutcome { .. } | Event::Resumed { .. });
            prop_assert!(!log[last..].iter().any(changes), "something began after the last look");
            let Event::UsersSeen { routes, .. } = &log[last] else { unreachable!() };
            let split = routes["web"].split;
            match outcome {
                RunOutcome::Completed => prop_assert_eq!(split, Some(Split::ALL_GREEN)),
                RunOutcome::RolledBack => prop_assert_eq!(split, Some(Split::ALL_BLUE)),
                _ => prop_assert!(split.is_none_or(|split| split == Split::ALL_BLUE), "stopped with users at {split:?}"),
            }
        }
        // A wish to go back is heard whatever the run was doing: no step forward begins after it.
        let wish = log.iter().position(|e| matches!(e, Event::Interrupted { wish: Wish::RollBack, .. }));
        let forward = |e: &Event| matches!(e, Event::StepIntent { step, .. } if step.lane == Lane::Forward);
        prop_assert!(wish.is_none_or(|at| !log[at..].iter().any(forward)), "forward although somebody wished to go back");
        if end.doing == Doing::Ended(RunOutcome::Halted) {
            prop_assert!(log.iter().any(|e| matches!(e, Event::Paged { .. })), "halted implies paged");
        }
        if end.doing == Doing::Ended(RunOutcome::Completed) {
            prop_assert!(end.moved && end.lane == Lane::Forward);
        }
        if matches!(end.doing, Doing::Ended(RunOutcome::Stopped | RunOutcome::Refused)) {
            prop_assert!(!end.moved, "stopped means nobody moved");
        }
        // A run that is paused waits with users split, has called somebody before it rests there, and where somebody else
        // moves users it never turns back by rule.
        let (mut s, mut drift) = (State::default(), false);
        for e in &log {
            let next = evolve(&plan, &s, e).unwrap();
            if let Doing::Paused { cause, .. } = &next.doing {
                prop_assert!(next.moved && next.lane == Lane::Forward);
                drift = *cause == Cause::Drift;
            }
            let paused = matches!(s.doing, Doing::Paused { .. });
            if matches!(e, Event::Unpaused { .. }) {
                let paged = matches!(s.doing, Doing::Paused { paged: true, .. });
                prop_assert!(paged, "nobody was called");
                prop_assert_eq!(&next.doing, &Doing::Ready { attempt: 1 });
            }
            if paused && drift && matches!(e, Event::WaitBreached { .. }) {
                let declined = matches!(decide(&plan, &next), Next::Note(Event::RollbackDeclined { .. }));
                prop_assert!(declined);
            }
            let begins = matches!(e, Event::StepIntent { .. });
            prop_assert!(!(paused && begins), "nothing begins in a pause");
            s = next;
        }
        // What leaves no trace is not done again before somebody said that it did not happen, also after a hold.
        let mut in_doubt: Option<StepRef> = None;
        for e in &log {
            match e {
                Event::StepIntent { step, .. } => {
                    let traceless = plan.step(*step).resume == Resume::AskHuman;
                    prop_assert!(!traceless || in_doubt != Some(*step), "done again without a question");
                    in_doubt = Some(*step);
                }
                Event::StepReconciled { found: Found::CannotSee, .. } => {}
                Event::StepOutcome { outcome: Outcome::Unknown { .. }, .. } => {}
                Event::StepOutcome { .. } | Event::StepReconciled { .. } => in_doubt = None,
                _ => {}
            }
        }
        // Every effect is preceded by its own intent, and an outcome follows at most once.
        let mut open: Option<StepRef> = None;
        let mut back = false;
        for e in &log {
            match e {
                Event::RollbackBegun { .. } => { back = true; open = None }
                Event::StepIntent { step, .. } => {
                    prop_assert!(!(back && step.lane == Lane::Forward), "no forward step after the way back began");
                    open = Some(*step);
                }
                Event::StepOutcome { step, .. } => prop_assert_eq!(open, Some(*step), "an outcome without its intent"),
                _ => {}
            }
        }
        // The gated step begins only with both approvals of its newest request, and after a hold asks for new ones.
        let (mut granted, mut held) = (0, false);
        for e in &log {
            match e {
                Event::ApprovalRequested { id, .. } if id == "shift-100" => (granted, held) = (0, false),
                Event::ApprovalGranted { id, .. } if id == "shift-100" => granted += 1,
                Event::ApprovalWithdrawn { id, .. } if id == "shift-100" => granted -= 1,
                Event::StepIntent { id, .. } if id == "shift-100" => {
                    prop_assert!(granted >= 2 && !held, "moved with {granted} of 2 approvals, held before: {held}");
                }
                // It is the same move, made again because an older write had landed on it.
                Event::WriteLanded { id, .. } if id == "shift-100" => held = false,
                Event::Held { .. } => held = log.iter().take_while(|other| !std::ptr::eq(*other, e)).any(|e| {
                    matches!(e, Event::StepIntent { id, .. } if id == "shift-100")
                }),
                _ => {}
            }
        }
    }
}

/// The same log is never taken in any other order than it was written, as far as intents and outcomes go.
#[test]
fn what_cannot_follow_is_refused() {
    let plan = plan(true, 2, AtExpiry::RollBack, Resume::Repeat);
    let at = StepRef { lane: Lane::Forward, index: 0 };
    let done = Event::StepOutcome { step: at, id: "smoke".into(), outcome: Outcome::done("x") };
    let illegal = evolve(&plan, &State::default(), &done).unwrap_err();
    assert_eq!(illegal.to_string(), "`step.outcome` cannot follow while the run is Planned in the Forward lane");
}

/// What was read last decides how a log may end. Logs of before say nothing of that, and are taken as they are.
#[test]
fn r02_a_log_may_not_end_against_what_it_says_of_its_users() {
    let plan = plan(true, 2, AtExpiry::RollBack, Resume::Repeat);
    let wish = Event::Interrupted { wish: Wish::RollBack, by: by(), line: "by hand".into() };
    let armed = Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] };
    let ended = |outcome| Event::Ended { outcome, line: "over".into() };
    let log = |seen: Option<Event>| {
        let seen = seen.into_iter();
        let log: Vec<Event> =
            [armed.clone(), wish.clone()].into_iter().chain(seen).chain([ended(RunOutcome::Stopped)]).collect();
        replay(&plan, &log)
    };
    assert!(log(None).is_ok(), "a log of before");
    assert!(log(Some(users_at(Some(Split::ALL_BLUE), true))).is_ok());
    let illegal = log(Some(users_at(Some(Split::of_green(100)), true))).unwrap_err();
    assert!(illegal.to_string().contains("run.ended"), "{illegal}");
    // They are elsewhere, so whoever wished to go back goes back.
    let state = replay(&plan, &[armed.clone(), users_at(Some(Split::of_green(100)), true), wish.clone()]).unwrap();
    let Next::Note(Event::RollbackBegun { automatic: false, by: who, .. }) = decide(&plan, &state) else {
        panic!("{state:?}")
    };
    assert_eq!(who, by(), "the log names whoever wished it");
}

/// What a step wants after a failure goes through the machine as a type, and in logs of before as a word among the facts.
#[test]
fn r30_what_a_step_wants_after_a_failure_is_done() {
    let plan = plan(true, 2, AtExpiry::RollBack, Resume::Repeat);
    let silent = Outcome::failed(Cause::NoVerdict, "nobody answers");
    let after = |outcome: Outcome| {
        let at = |index| StepRef { lane: Lane::Forward, index };
        let intent = |index, id: &str| Event::StepIntent {
            step: at(index),
            id: id.into(),
            attempt: 1,
            line: String::new(),
            step_sha256: String::new(),
            approvals: vec![],
        };
        let ended = |index, id: &str, outcome| Event::StepOutcome { step: at(index), id: id.into(), outcome };
        let log = [
            Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] },
            intent(0, "smoke"),
            ended(0, "smoke", Outcome::done("well")),
            intent(1, "shift-10"),
            ended(1, "shift-10", Outcome::done("moved")),
            intent(2, "bake-10"),
            ended(2, "bake-10", outcome),
        ];
        // As it comes back from the disk.
        let log: Vec<Event> = serde_json::from_value(serde_json::to_value(log).unwrap()).unwrap();
        decide(&plan, &replay(&plan, &log).unwrap())
    };
    let held = |next: Next| matches!(next, Next::Note(Event::Held { .. }));
    assert!(held(after(silent.clone().wanting(Reaction::Hold))));
    assert!(held(after(silent.clone().with(serde_json::json!({ "unknown": "hold" })))), "a log of before");
    let next = after(silent.clone().wanting(Reaction::Halt));
    assert!(matches!(next, Next::Note(Event::RollbackDeclined { .. })), "{next:?}");
    for back in [silent.clone(), silent.clone().wanting(Reaction::RollBack)] {
        let next = after(back);
        assert!(matches!(next, Next::Note(Event::RollbackBegun { automatic: true, .. })), "{next:?}");
    }
    let text = serde_json::to_string(&silent).unwrap();
    assert!(!text.contains("then"), "what is not wanted is not written: {text}");
}

fn name(text: &str) -> String {
    text.split([' ', '{', '(']).next().unwrap().to_string()
}

#[expect(clippy::disallowed_methods, reason = "`BLESS` is a wish of whoever runs the test")]
/// Every transition that random runs take, against the pinned table. New rows are new behaviour: look, then pin.
#[test]
fn the_transition_table_is_pinned() {
    let mut rows = BTreeSet::new();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..6000u32 {
        let tape: Vec<u8> = (0..60)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed >> 32) as u8
            })
            .collect();
        let expiry = [AtExpiry::RollBack, AtExpiry::Hold, AtExpiry::Halt][(round % 3) as usize];
        let resume = [Resume::Repeat, Resume::Observe, Resume::AskHuman][(round / 3 % 3) as usize];
        let plan = plan(round % 2 == 0, round % 3, expiry, resume);
        let mut s = State::default();
        for e in play(&plan, &tape).log {
            let next = evolve(&plan, &s, &e).unwrap();
            let of = |s: &State| format!("{:?}/{}", s.lane, name(&format!("{:?}", s.doing)));
            rows.insert(format!("{:<20} {:<20} {}", of(&s), name(&format!("{e:?}")), of(&next)));
            s = next;
        }
    }
    let table = rows.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/transitions.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(path).unwrap(), "BLESS=1 pins it anew");
}
