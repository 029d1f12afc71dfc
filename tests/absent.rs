//! Nobody is there: a drain whose time is up, an approval that nobody gives, a rollback that somebody has to agree to. Users
//! stay where they are, or go where it was declared, and the reason that is given is the true one.
//!
//! The shipping driver, machine and steps on the simulated world.

mod common;

use bgctl::people::Command;
use bgctl::plan::{Color, Lane, Split};
use bgctl::run::{Actor, Doing, Event, Grant, RunOutcome, State, evolve, guard};
use bgctl::sim::Scenario;
use common::play::{Play, approved, plan, s, shift, step};
use serde_json::{Value, json};

/// A drain of blue with this word for its end, in this lane's way.
fn drain(at_timeout: &str) -> Value {
    let mut drain = step("drain-blue", "drain", json!({ "stack": "blue", "within": "30s", "at_timeout": at_timeout }));
    drain["attempts"] = json!(1);
    drain["timeout_s"] = json!(45);
    if at_timeout == "ask" {
        drain["resume"] = json!("ask-human");
    }
    drain
}

fn back() -> Value {
    shift("back", "web", 1000, 0)
}

/// All users on green, and blue to be drained while three requests are in flight there until this moment.
fn draining(at_timeout: &str, scenario: Scenario) -> Play {
    let forward = vec![shift("all", "web", 0, 1000), drain(at_timeout)];
    Play::new(plan(&["web"], forward, vec![back()], Value::Null), scenario)
}

/// Every share of blue that was in force, in per cent.
fn shares(play: &Play) -> Vec<u32> {
    let share = |split: &bgctl::plan::Split| (split.share(Color::Blue) * 100.0).round() as u32;
    play.sim.history("web").iter().map(|(_, split)| share(split)).collect()
}

fn said(play: &Play, kind: &str, words: &str) -> bool {
    play.log().iter().any(|(of, data)| *of == kind && data.to_string().contains(words))
}

fn by(name: &str) -> Actor {
    Actor { name: name.into(), via: "command".into() }
}

#[test]
fn d3_a_drain_that_did_not_empty_does_what_was_declared_and_says_why() {
    let slow = "3 requests were still in flight on BLUE after 30s";
    let (hold, back) = (vec![100, 0], vec![100, 0, 100]);
    let table = [
        ("ask", None, RunOutcome::Holding, hold.clone(), "run.held", format!("{slow}; nobody answered")),
        ("ask", Some(false), RunOutcome::Holding, hold.clone(), "run.held", format!("{slow}; held by a person")),
        ("ask", Some(true), RunOutcome::Completed, hold.clone(), "step.reconciled", "says go on".into()),
        ("hold", None, RunOutcome::Holding, hold.clone(), "run.held", format!("{slow}; the runbook says hold")),
        ("continue", None, RunOutcome::Completed, hold, "step.outcome", format!("{slow}; the runbook says go on")),
        (
            "roll-back",
            None,
            RunOutcome::RolledBack,
            back,
            "rollback.begun",
            format!("{slow}; the runbook says roll back"),
        ),
    ];
    for (at_timeout, person, outcome, wanted, kind, why) in table {
        let scenario = Scenario { busy: Some(s(600)), person, ..Scenario::default() };
        let mut play = draining(at_timeout, scenario);
        let end = play.end();
        assert_eq!((end.outcome, shares(&play)), (outcome, wanted), "{at_timeout} {person:?}");
        assert!(said(&play, kind, &why), "{at_timeout} {person:?}: {:#?}", play.log());
        assert!(!said(&play, "step.reconciled", "cannot-see"), "asked once");
    }
}

#[test]
fn d3_a_drain_that_was_held_or_cut_off_is_drained_again() {
    let mut play = draining("ask", Scenario { busy: Some(s(60)), person: None, ..Scenario::default() });
    assert_eq!(play.end().outcome, RunOutcome::Holding);
    // Whoever resumes it is not asked what nobody can know: blue's gauge is read again.
    let clock = play.sim.clock.clone();
    clock.run(bgctl::clock::Clock::sleep(&*clock, s(60))).unwrap();
    assert_eq!(play.end().outcome, RunOutcome::Completed);
    assert_eq!(shares(&play), [100, 0]);
    assert!(said(&play, "step.reconciled", "it only waits, so it starts again"));
}

#[test]
fn d3_a_gauge_that_was_slow_on_the_way_back_halts_nobody() {
    let mut after = drain("ask");
    after["id"] = json!("drain-green");
    after["config"]["stack"] = json!("green");
    let forward = vec![shift("all", "web", 0, 1000), step("wait", "wait", Value::Null)];
    let wishes = vec![(s(30), Command::RollBack { by: by("rosa"), reason: "slow".into() })];
    let scenario = Scenario { busy: Some(s(6000)), person: None, wishes, ..Scenario::default() };
    let mut play = Play::new(plan(&["web"], forward, vec![back(), after], Value::Null), scenario);
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "{:#?}", play.log());
    assert!(said(&play, "step.reconciled", "nobody answered, and users are back, so the run goes on"));
}

#[test]
fn d3_an_approval_nobody_gives_is_waited_for_and_then_what_was_declared() {
    for (at_expiry, outcome) in
        [("hold", RunOutcome::Holding), ("halt", RunOutcome::Halted), ("roll-back", RunOutcome::RolledBack)]
    {
        let forward = vec![shift("some", "web", 0, 100), approved(shift("all", "web", 100, 1000), at_expiry)];
        let scenario = Scenario { approval: None, ..Scenario::default() };
        let mut play = Play::new(plan(&["web"], forward, vec![back()], Value::Null), scenario);
        assert_eq!(play.end().outcome, outcome, "{at_expiry}");
        assert!(said(&play, "approval.expired", "nobody approved `all` within 30m"), "{at_expiry}: {:#?}", play.log());
        assert!(play.sim.clock.time() >= s(1800), "somebody may sign until its time is over");
    }
}

#[test]
fn d3_a_command_nobody_can_speak_for_keeps_users_where_they_are() {
    // `tell` leaves no trace, and the process dies while it runs.
    let dies = |at: u32| {
        let forward = vec![shift("all", "web", 0, 1000), step("tell", "tell", Value::Null)];
        let scenario = Scenario { person: None, ..Scenario::default() };
        let mut play = Play::new(plan(&["web"], forward, vec![back()], Value::Null), scenario);
        play.sim.clock.crash_at(Some(at));
        let died = play.process().is_err();
        let log = play.log();
        let open = log.iter().rposition(|(kind, data)| *kind == "step.intent" && data["id"] == "tell");
        let inside = open.is_some_and(|open| !log[open..].iter().any(|(kind, _)| *kind == "step.outcome"));
        (died && inside).then_some(play)
    };
    let mut play = (0..200).find_map(dies).expect("a crash inside of the command");
    play.sim.clock.crash_at(None);
    assert_eq!(play.end().outcome, RunOutcome::Holding, "{:#?}", play.log());
    assert!(said(&play, "run.held", "not known whether `tell` happened; nobody answered"));
    // And it is not done again by who resumes the run with nobody there: they are asked again.
    assert_eq!(play.end().outcome, RunOutcome::Holding);
    assert_eq!(play.log().iter().filter(|(kind, data)| *kind == "step.intent" && data["id"] == "tell").count(), 1);
}

/// All users on green, blue busy, so users go back by a rule; somebody has to agree to that.
fn agreed(scenario: Scenario) -> Play {
    let forward = vec![shift("all", "web", 0, 1000), drain("roll-back")];
    let scenario = Scenario { busy: Some(s(60_000)), ..scenario };
    Play::new(plan(&["web"], forward, vec![approved(back(), "halt")], Value::Null), scenario)
}

#[test]
fn r34_an_automatic_rollback_waits_for_its_approval_and_is_no_dead_end() {
    // Somebody agrees after a minute.
    let mut play = agreed(Scenario::default());
    assert_eq!((play.end().outcome, shares(&play)), (RunOutcome::RolledBack, vec![100, 0, 100]));
    assert!(said(&play, "approval.granted", "person-1"));

    // Nobody does: it is waited for, those who could are called at once, and the run stays open.
    let mut play = agreed(Scenario { approval: None, ..Scenario::default() });
    let end = play.end();
    assert_eq!((end.outcome, shares(&play)), (RunOutcome::Halted, vec![100, 0]));
    assert!(!matches!(end.state.doing, Doing::Ended(_)), "{:?}", end.state.doing);
    assert!(play.sim.clock.time() >= s(1800), "its time was waited");
    let pages = play.sim.pages.borrow().clone();
    assert_eq!(pages.len(), 1, "{pages:?}");
    for words in [
        "3 requests were still in flight",
        "waits for 1 of release-managers (person-1)",
        "bgctl approve run",
        "bgctl rollback run",
    ] {
        assert!(pages[0].contains(words), "{words}: {}", pages[0]);
    }
    assert!(said(&play, "note", "nobody approved `back` within 30m; once it is signed, `bgctl resume run` goes on"));

    // Somebody signs later, and the run is resumed: users go home on that agreement.
    let (_, asked) =
        play.log().into_iter().find(|(kind, _)| *kind == "approval.requested").map(|(k, d)| (k, d.clone())).unwrap();
    let grant = Grant { principal: "person-1".into(), evidence: "prompt".into(), key: None, sig: None, prompt: None };
    let granted = Event::ApprovalGranted {
        step: bgctl::plan::StepRef { lane: Lane::Rollback, index: 0 },
        id: "back".into(),
        request_sha256: asked["request_sha256"].as_str().unwrap().into(),
        grant,
    };
    bgctl::journal::Append::append(&mut play.journal, &[bgctl::journal::Record::from(&granted)]).unwrap();
    assert_eq!((play.end().outcome, shares(&play)), (RunOutcome::RolledBack, vec![100, 0, 100]));
}

#[test]
fn r34_a_persons_own_rollback_needs_nobodys_agreement() {
    let wishes = vec![(s(200), Command::RollBack { by: by("rosa"), reason: "I see it".into() })];
    let mut play = agreed(Scenario { approval: None, wishes, ..Scenario::default() });
    assert_eq!((play.end().outcome, shares(&play)), (RunOutcome::RolledBack, vec![100, 0, 100]));
    assert!(play.sim.clock.time() < s(220), "{:?}", play.sim.clock.time());
    assert!(!said(&play, "approval.granted", ""));
}

/// A wait with all users on green, and what a person wishes in it.
fn waiting(wish: Command, scenario: Scenario, policy: Value) -> Play {
    let forward = vec![shift("all", "web", 0, 1000), step("wait", "wait", Value::Null)];
    let scenario = Scenario { wishes: vec![(s(60), wish)], ..scenario };
    Play::new(plan(&["web"], forward, vec![back()], policy), scenario)
}

#[test]
fn r41_a_person_may_go_back_to_a_blue_that_is_not_well() {
    let ill = |health| Scenario { health: vec![(s(30), Color::Blue, health)], ..Scenario::default() };
    let wish = || Command::RollBack { by: by("rosa"), reason: "green is worse".into() };
    let all_the_same =
        || Command::Override { guard: guard::BLUE_HEALTH.into(), by: by("rosa"), reason: "green is worse".into() };
    for health in [Some(1), Some(0), None] {
        let mut play = waiting(wish(), ill(health), Value::Null);
        assert_eq!((play.end().outcome, shares(&play)), (RunOutcome::Halted, vec![100, 0]), "{health:?}");
        let mut play = waiting(all_the_same(), ill(health), Value::Null);
        assert_eq!((play.end().outcome, shares(&play)), (RunOutcome::RolledBack, vec![100, 0, 100]), "{health:?}");
        assert!(said(&play, "override.used", r#""guard":"blue-health""#));
        assert!(said(&play, "note", "users go there anyway, rosa: green is worse"), "{:#?}", play.log());
    }
}

#[test]
fn r41_one_word_passes_over_one_guard() {
    let closed = plan(&["web"], vec![shift("all", "web", 0, 1000)], vec![back()], Value::Null);
    let used = |name: &str| Event::OverrideUsed { guard: name.into(), by: by("rosa"), reason: "green is worse".into() };
    let after = |name: &str| evolve(&closed, &State::default(), &used(name)).unwrap().overridden;
    assert_eq!(after(guard::SCHEMA), Some("green is worse".into()));
    assert_eq!(after(guard::BLUE_HEALTH), None, "an ill blue says nothing about the schema");
}

/// The commands of the one page that was sent, best first.
fn offered(play: &Play) -> Vec<String> {
    let pages = play.sim.pages.borrow();
    let [page] = &pages[..] else { panic!("{pages:?}") };
    page.lines().filter_map(|line| Some(line.split_once("    ")?.0.to_string())).collect()
}

#[test]
fn p2_each_choice_of_a_page_is_a_command_that_would_be_accepted_now() {
    let ill = || Scenario { green_errors: Some(s(20)), person: None, ..Scenario::default() };
    let watching = |scenario, policy| {
        let forward = vec![shift("all", "web", 0, 1000), step("watch", "watch", Value::Null)];
        let mut play = Play::new(plan(&["web"], forward, vec![back()], policy), scenario);
        assert_eq!(play.end().outcome, RunOutcome::Halted, "{:#?}", play.log());
        play
    };
    let play = watching(ill(), json!({ "automatic_at_most": 0 }));
    assert_eq!(offered(&play), ["bgctl rollback run", "bgctl ack run"]);

    let blue_down = Scenario { blue_down: Some(s(15)), ..ill() };
    let play = watching(blue_down, json!({ "automatic_at_most": 0 }));
    // What the provider takes is of this world; in another it is the AWS CLI's.
    let there = Split::ALL_GREEN;
    let offers =
        [&format!("put back {there}"), "bgctl ack run", "bgctl rollback run --override blue-health --reason \"…\""];
    assert_eq!(offered(&play), offers);
    let page = play.sim.pages.borrow()[0].clone();
    assert!(
        page.contains("BLUE has 0 of 2 healthy") && page.contains("GREEN is the healthy side: 2 of 2 healthy"),
        "{page}"
    );

    let unsafe_schema = json!({ "schema_safe": false, "schema_reason": "a column is gone" });
    let forward = vec![shift("all", "web", 0, 1000), step("watch", "watch", Value::Null)];
    let mut last = approved(back(), "halt");
    last["approval"]["even_by_hand"] = json!(true);
    let mut play = Play::new(plan(&["web"], forward, vec![last], unsafe_schema), ill());
    assert_eq!(play.end().outcome, RunOutcome::Halted);
    assert_eq!(offered(&play), ["bgctl ack run", "bgctl rollback run --override schema --reason \"…\""]);
}
