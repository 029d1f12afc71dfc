//! What a drain makes of the connections that a route still holds to the side that is left.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::plan::{Color, Split};
use bgctl::routers::{
    Call, Cut, Health, Identity, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
};
use bgctl::run::{Connections, Evidence, Outcome, Reaction, RunOutcome};
use bgctl::sim::Scenario;
use bgctl::world::Exit;
use common::play::{self, Play, s};
use common::scripted::{Stage, kind, plan, response};
use serde_json::json;

/// A route all of whose users are on green, that says this of connections of before, and whose users follow a move so late. What is cut
/// leaves so many behind, or is refused.
struct Held {
    open: Cell<Result<u64, &'static str>>,
    follow: Duration,
    cut: Result<u64, &'static str>,
}

fn lingers(open: Result<u64, &'static str>, follow: Duration) -> Rc<Held> {
    Rc::new(Held { open: Cell::new(open), follow, cut: Ok(0) })
}

fn cuts(cut: Result<u64, &'static str>) -> Rc<Held> {
    Rc::new(Held { open: Cell::new(Ok(3)), follow: Duration::ZERO, cut })
}

#[async_trait(?Send)]
impl RouteView for Held {
    fn line(&self) -> String {
        "a route".into()
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        Vec::new()
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        Ok(common::at(Split::ALL_GREEN))
    }

    async fn health(&self, _: Color) -> Result<Health, RouterError> {
        Ok(Health::default())
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        Ok(Identity { line: "somebody".into(), left: None, renews: true })
    }

    fn native_way_back(&self, _: &str, _: &Reading) -> NativeWayBack {
        NativeWayBack::default()
    }

    fn followed_within(&self) -> Duration {
        self.follow
    }

    async fn lingering(&self, _: Color) -> Result<u64, RouterError> {
        self.open.get().map_err(|why| RouterError::new(Trouble::Unreachable, why))
    }

    fn cuts(&self) -> Result<(), String> {
        Ok(())
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Held {
    async fn set(&self, _: &Reading, _: Split) -> Result<Vec<Call>, RouterError> {
        Ok(Vec::new())
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    async fn cut(&self, _: Color) -> Result<Cut, RouterError> {
        let code = if self.cut.is_ok() { "ok" } else { "denied" };
        let calls = vec![Call { action: "cut".into(), request_id: None, code: code.into(), time: Duration::ZERO }];
        match self.cut {
            Ok(left) => Ok(Cut { connections: self.open.replace(Ok(left)).expect("they are counted"), calls }),
            Err(why) => Err(RouterError { calls, ..RouterError::new(Trouble::Denied, why) }),
        }
    }
}

#[test]
fn a_drain_counts_what_a_route_still_holds_and_what_nobody_can_count_is_not_drained() {
    let drained = |held: Result<u64, &'static str>| {
        let mut stage = Stage::new(|_, _| response(200, json!({ "inflight": 0 }).to_string()));
        stage.world.routes.insert("web".into(), lingers(held, Duration::ZERO));
        stage.run("drain", json!({ "stack": "blue", "within": "5s", "at_timeout": "hold" }))
    };
    assert!(matches!(drained(Ok(0)), Outcome::Done { .. }));
    for (held, words) in [(Ok(3), "3"), (Err("web-2 does not answer"), "web-2 does not answer")] {
        let outcome = drained(held);
        assert!(!matches!(outcome, Outcome::Done { .. }) && outcome.line().contains(words), "{outcome:?}");
    }
}

/// Whatever the gauge says: as long as resolvers may send users to a side it is not drained.
#[test]
fn no_side_is_drained_before_users_who_follow_late_have_left_it() {
    let drained = |follow: u64| {
        let mut stage = Stage::new(|_, _| response(200, json!({ "inflight": 0 }).to_string()));
        stage.world.routes.insert("web".into(), lingers(Ok(0), Duration::from_secs(follow)));
        stage.run("drain", json!({ "stack": "blue", "within": "30s", "at_timeout": "hold" }))
    };
    let took = |outcome: &Outcome| match outcome {
        Outcome::Done { facts, .. } => facts["took_ms"].as_str().and_then(|ms| ms.parse::<u64>().ok()),
        _ => None,
    };
    assert!(took(&drained(0)).expect("drained") < 5_000);
    assert!((20_000..25_000).contains(&took(&drained(20)).expect("drained")));
    let late = drained(60);
    assert!(took(&late).is_none() && late.line().contains("users may follow late"), "{late:?}");
}

fn connections(stage: &Stage) -> Option<Connections> {
    let evidence = stage.notes.evidence.borrow();
    evidence.iter().find_map(|e| match e {
        Evidence::DrainMeasured { connections, .. } => *connections,
        _ => None,
    })
}

fn held(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { then: Some(Reaction::Hold), .. })
}

/// What is left when the time is up is cut where the runbook says so, and counted again: only nothing is drained.
#[test]
fn what_is_left_is_cut_and_counted_again() {
    let drained = |cut: Result<u64, &'static str>| {
        let mut stage = Stage::new(|_, _| response(200, json!({ "inflight": 0 }).to_string()));
        stage.world.routes.insert("web".into(), cuts(cut));
        let outcome = stage.run("drain", json!({ "stack": "blue", "within": "5s", "at_timeout": "cut" }));
        (outcome, connections(&stage).expect("they were counted"), stage.notes.text())
    };
    let (outcome, found, log) = drained(Ok(0));
    assert!(matches!(outcome, Outcome::Done { .. }) && outcome.line().ends_with("; 3 connections cut"), "{outcome:?}");
    assert_eq!(found, Connections { most: 3, asked: None, cut: 3, left: 0 });
    assert!(log.contains(r#""action":"cut""#), "the call stands in the log: {log}");
    // Clients that come back, by a cookie say, are work like any other.
    let (outcome, found, _) = drained(Ok(2));
    assert!(held(&outcome) && outcome.line().contains("2 requests were still in flight"), "{outcome:?}");
    assert_eq!((found.cut, found.left), (3, 2));
    let (outcome, found, log) = drained(Err("it may not"));
    assert!(held(&outcome) && outcome.line().contains("3 requests"), "{outcome:?}");
    assert!(outcome.line().ends_with("; what `web` holds could not be cut: it may not"), "{outcome:?}");
    assert!((found.cut, found.left) == (0, 3) && log.contains("denied"), "{log}");
    for at_timeout in ["hold", "continue", "roll-back"] {
        let mut stage = Stage::new(|_, _| response(200, json!({ "inflight": 0 }).to_string()));
        let route = cuts(Ok(0));
        stage.world.routes.insert("web".into(), route.clone());
        stage.run("drain", json!({ "stack": "blue", "within": "5s", "at_timeout": at_timeout }));
        assert_eq!(route.open.get(), Ok(3), "{at_timeout}: nobody is cut whom the runbook does not say");
    }
}

/// Every process is asked, and what they say is added up; one that does not say leaves the sum unknown.
#[test]
fn clients_are_asked_to_reconnect() {
    let asked = |second: &'static str| {
        let stage = Stage::new(move |request, _| match request.method {
            "POST" if request.url.contains("b.test") && second == "404" => response(404, String::new()),
            "POST" if request.url.contains("b.test") => response(200, second.to_string()),
            "POST" => response(200, json!({ "asked": 7 }).to_string()),
            _ => response(200, json!({ "inflight": 0 }).to_string()),
        });
        let outcome = stage.run(
            "drain",
            json!({ "stack": "blue", "within": "1m", "instances": ["http://a.test", "http://b.test"], "reconnect": { "over": "30s" } }),
        );
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
        let sent = stage.web.sent.borrow();
        let posts: Vec<_> = sent.iter().filter(|request| request.method == "POST").collect();
        assert_eq!(posts.len(), 2, "once each");
        assert_eq!(
            (posts[1].url.as_str(), posts[1].body.as_slice()),
            ("http://b.test/bgctl/reconnect", &br#"{"over_s":30.0}"#[..])
        );
        (connections(&stage).and_then(|found| found.asked), stage.notes.text())
    };
    assert_eq!(asked(r#"{"asked": 5}"#).0, Some(12));
    assert_eq!(asked("").0, None, "one that does not say how many");
    assert_eq!(asked(r#"{"ok": false}"#).0, None, "a no under a yes");
    let (sum, log) = asked("404");
    assert!(sum.is_none() && log.contains("http://b.test does not ask its clients to reconnect"), "{log}");
}

/// The program runs before anything is counted. One that fails says nothing against the other side.
#[test]
fn a_stack_is_taken_from_its_load_balancer_first() {
    let run = |exit| {
        let stage = Stage::with(|_, _| response(200, json!({ "inflight": 0 }).to_string()), Vec::new(), exit);
        let settings = json!({ "stack": "blue", "within": "5s", "unready": { "run": ["./unready", "blue"] } });
        let outcome = stage.run("drain", settings);
        (outcome, stage.processes.ran.borrow().len(), stage.web.sent.borrow().len())
    };
    let (outcome, ran, asked) = run(Exit::Status(0));
    assert!(matches!(outcome, Outcome::Done { .. }) && ran == 1 && asked >= 2, "{outcome:?}");
    let (outcome, ran, asked) = run(Exit::Status(3));
    assert!(
        held(&outcome) && outcome.line().contains("BLUE is not drained: `./unready` ended with status 3"),
        "{outcome:?}"
    );
    assert_eq!((ran, asked), (1, 0));
}

/// `ready` runs its program and waits for what routes say; it says when they do not.
#[test]
fn a_stack_is_ready_when_every_route_counts_enough_of_it() {
    let ready = |healthy: Vec<(u64, Option<u32>)>, exit| {
        let plan = common::play::plan(&["web"], vec![], vec![], json!({}));
        let scenario = Scenario {
            health: healthy.into_iter().map(|(at, n)| (Duration::from_secs(at), Color::Blue, n)).collect(),
            ..Default::default()
        };
        let stage = Stage::with(|_, _| response(200, String::new()), Vec::new(), exit);
        let sim = bgctl::sim::Sim::new(&plan, scenario);
        let world = bgctl::world::World { processes: stage.processes.clone(), ..sim.world(&plan) };
        let settings = json!({ "stack": "blue", "by": { "run": ["ready", "blue"] }, "within": "30s" });
        let step = common::scripted::built("ready", settings, &plan);
        let outcome = sim.clock.run(step.execute(&world, &stage.notes)).expect("nothing crashes here");
        (outcome, stage.processes.ran.borrow().len())
    };
    let (outcome, ran) = ready(vec![], Exit::Status(0));
    assert!(matches!(outcome, Outcome::Done { .. }) && ran == 1, "{outcome:?}");
    let (outcome, _) = ready(vec![(0, Some(0)), (12, Some(2))], Exit::Status(0));
    let took = match &outcome {
        Outcome::Done { facts, .. } => facts["took_ms"].as_str().and_then(|ms| ms.parse::<u64>().ok()),
        _ => None,
    };
    assert!(took.is_some_and(|ms| (11_000..14_000).contains(&ms)), "{outcome:?}");
    for (healthy, words) in [(Some(0), "has 0 of 2 targets healthy"), (None, "cannot be read")] {
        let (outcome, _) = ready(vec![(0, healthy)], Exit::Status(0));
        assert!(!matches!(outcome, Outcome::Done { .. }) && outcome.line().contains(words), "{outcome:?}");
    }
    let (outcome, _) = ready(vec![], Exit::Status(1));
    assert!(outcome.line().contains("BLUE is not made ready: `ready` ended with status 1"), "{outcome:?}");
}

/// Settings that cannot be meant.
#[test]
fn acts_that_make_no_sense_are_refused() {
    let wrong = |settings: serde_json::Value, at: &str, words: &str| {
        let mistakes = (kind("drain").facts)(&settings, &plan()).expect_err(words);
        assert!(mistakes.iter().any(|m| m.at == at && m.message.contains(words)), "{mistakes:?}");
    };
    let with = |key: &str, value: serde_json::Value| {
        let mut settings = json!({ "stack": "blue", "within": "1m" });
        settings[key] = value;
        settings
    };
    wrong(with("unready", json!({})), "/unready", "exactly one of");
    wrong(with("unready", json!({ "run": [] })), "/unready/run", "no program");
    wrong(with("reconnect", json!({ "over": "1m" })), "/reconnect/over", "the drain ends after 1m");
    wrong(with("reconnect", json!({ "over": "5s", "path": "x" })), "/reconnect/path", "is not a path");
    let both = json!({ "stack": "blue", "longest_job": "1m", "at_timeout": "cut" });
    wrong(both, "/at_timeout", "only what was counted");
}

/// Everybody to green, then blue is taken from its load balancer, then green is watched. The way back makes blue ready first.
fn taken_away(scenario: Scenario) -> Play {
    let (unready, ready) = (json!({ "run": ["unready", "blue"] }), json!({ "run": ["ready", "blue"] }));
    let drain = json!({ "stack": "blue", "within": "1m", "unready": unready, "at_timeout": "hold" });
    let mut first = play::step("ready-blue", "ready", json!({ "stack": "blue", "by": ready, "within": "30s" }));
    first["on_failure"] = json!("continue");
    let forward = vec![
        play::shift("shift-100", "web", 0, 1000),
        play::step("drain-blue", "drain", drain),
        play::step("watch-100", "watch", json!(null)),
    ];
    let back = vec![first, play::shift("back", "web", 1000, 0)];
    Play::new(play::plan(&["web"], forward, back, json!({})), scenario)
}

/// Wherever the process dies, whoever goes back, and whether the drain had begun or not: users get home.
#[test]
fn a_blue_that_was_taken_away_is_made_ready_before_anybody_goes_back() {
    let night = || Scenario { green_errors: Some(s(60)), ..Scenario::default() };
    let mut whole = taken_away(night());
    assert_eq!(whole.end().outcome, RunOutcome::RolledBack);
    assert_eq!(whole.sim.split(), Split::ALL_BLUE);
    let points = whole.sim.clock.boundaries();
    assert!(points > 20, "{points}");
    for n in 1..=points {
        for by_hand in [false, true] {
            let mut play = taken_away(night());
            play.sim.clock.crash_at(Some(n));
            assert!(play.process().is_err(), "{n}: it lives");
            play.sim.clock.crash_at(None);
            let ended = if by_hand { play.roll_back() } else { play.process() };
            let end = ended.expect("no crash was asked for").unwrap_or_else(|e| panic!("{n} {by_hand}: {e}"));
            assert_eq!(play.sim.split(), Split::ALL_BLUE, "{n} {by_hand}: {:?}", end.state);
        }
    }
    // A run that has ended well, and somebody who goes back afterwards with nothing but the plan.
    let mut play = taken_away(Scenario::default());
    assert_eq!(play.end().outcome, RunOutcome::Completed);
    play.roll_back().expect("no crash").expect("a journal");
    assert_eq!(play.sim.split(), Split::ALL_BLUE);
}

/// A program that fails keeps nobody on green by itself: what counts is whether blue is well.
#[test]
fn a_ready_that_fails_is_no_reason_to_stay() {
    let night = |at: u64| Scenario { green_errors: Some(s(at)), ready_fails: true, ..Scenario::default() };
    let mut play = taken_away(night(60));
    assert_eq!(play.end().outcome, RunOutcome::Halted, "blue is taken away, and nobody is sent there");
    assert_eq!((play.sim.split(), play.sim.pages.borrow().is_empty()), (Split::ALL_GREEN, false));
    // The drain was never begun, so blue is as well as it was.
    let mut play = taken_away(Scenario { ready_fails: true, ..Scenario::default() });
    let drain = play.plan.forward.iter().position(|step| step.kind == "drain").expect("a drain");
    play.plan.forward.remove(drain);
    play.end();
    play.roll_back().expect("no crash").expect("a journal");
    assert_eq!(play.sim.split(), Split::ALL_BLUE);
}

/// Nobody is taken from users: what the route reads decides, and what it cannot say is no leave.
#[test]
fn a_blue_that_still_has_users_is_not_made_unready() {
    let settings =
        json!({ "stack": "blue", "within": "1m", "unready": { "run": ["unready", "blue"] }, "at_timeout": "hold" });
    let plan = play::plan(&["web"], vec![], vec![], json!({}));
    for (blind, words) in [(None, "BLUE still has users"), (Some((s(0), s(60))), "is not known")] {
        let sim = bgctl::sim::Sim::new(&plan, Scenario { blind, ..Scenario::default() });
        let notes = common::scripted::Notebook::default();
        let step = common::scripted::built("drain", settings.clone(), &plan);
        let outcome = sim.clock.run(step.execute(&sim.world(&plan), &notes)).expect("nothing crashes here");
        assert!(held(&outcome) && outcome.line().contains(words), "{outcome:?}");
    }
}

/// The program of a way back is found from every folder.
#[test]
fn a_ready_that_depends_on_a_folder_is_refused() {
    let facts =
        |by: serde_json::Value| (kind("ready").facts)(&json!({ "stack": "blue", "by": by, "within": "1m" }), &plan());
    let mistakes = facts(json!({ "run": ["./ready"] })).expect_err("relative");
    assert!(
        mistakes[0].at == "/by/run" && mistakes[0].message.contains("the folder of whoever goes back"),
        "{mistakes:?}"
    );
    for fine in [
        json!({ "run": ["ready"] }),
        json!({ "run": ["/opt/ready"] }),
        json!({ "run": ["./ready"], "directory": "/opt" }),
    ] {
        assert!(facts(fine.clone()).is_ok(), "{fine}");
    }
}
