//! The sides that have users, watched in every wait a run has: from the loss of a side to users who are safe in 15 s of virtual
//! time, through the shipping driver and machine.

mod common;

use std::time::Duration;

use bgctl::people::Command;
use bgctl::plan::{Color, OnFailure, Plan, Split};
use bgctl::run::RunOutcome;
use bgctl::sim::Scenario;
use common::play::{self, Play, approved, s, shift, step};
use serde_json::{Value, json};

const BLUE: Color = Color::Blue;
const GREEN: Color = Color::Green;
/// From the loss to the verdict.
const FOUND: Duration = Duration::from_secs(15);

/// 10 %, a wait, what stands between, and everybody.
fn plan(between: Vec<Value>, last: Value) -> Plan {
    let mut forward = vec![shift("shift-10", "web", 0, 100)];
    forward.extend(between);
    forward.push(last);
    forward.push(step("bake-100", "wait", Value::Null));
    play::plan(&["web"], forward, vec![shift("back", "web", 1000, 0)], json!({}))
}

fn usual() -> Plan {
    plan(vec![step("bake-10", "wait", Value::Null)], shift("shift-100", "web", 100, 1000))
}

fn scenario(health: Vec<(Duration, Color, Option<u32>)>) -> Scenario {
    Scenario { health, ..Scenario::default() }
}

/// When everybody was on blue again.
fn home(play: &Play) -> Option<Duration> {
    let history = play.sim.history("web");
    let (at, split) = history.last()?;
    (split.only() == Some(BLUE) && history.len() > 1).then_some(*at)
}

fn said(play: &Play, kind: &str) -> Vec<String> {
    let log = play.log();
    let of = log.iter().filter(|(of, _)| *of == kind);
    of.map(|(_, data)| data.to_string()).collect()
}

/// Ends rolled back within the time, for the reason of the side.
fn goes_back(play: Play, lost: Duration) {
    goes_back_since(play, lost, "GREEN has");
}

fn goes_back_since(mut play: Play, lost: Duration, why: &str) {
    let end = play.end();
    let log = play.log();
    assert_eq!(end.outcome, RunOutcome::RolledBack, "{log:?}");
    let home = home(&play).unwrap();
    assert!(home >= lost && home <= lost + FOUND, "lost at {lost:?}, home at {home:?}: {log:?}");
    let begun = said(&play, "rollback.begun");
    assert!(begun.len() == 1 && begun[0].contains(why), "{begun:?}");
}

/// Ends halted within the time, and nothing was moved after the loss.
fn halts(mut play: Play, lost: Duration) -> Play {
    let end = play.end();
    let log = play.log();
    assert_eq!(end.outcome, RunOutcome::Halted, "{log:?}");
    let moved = play.sim.history("web").iter().any(|(at, _)| *at > lost);
    assert!(!moved && said(&play, "rollback.begun").is_empty(), "{log:?}");
    let breached = play.journal.entries.iter().rev().find(|entry| entry.kind == "run.paged").unwrap();
    let since = breached.ts.parse::<jiff::Timestamp>().unwrap().duration_since("2026-01-01T00:00:00Z".parse().unwrap());
    let called = Duration::try_from(since).unwrap();
    assert!(called >= lost && called <= lost + FOUND, "lost at {lost:?}, called at {called:?}: {log:?}");
    play
}

#[test]
fn r05_an_emptied_green_is_found_while_few_and_while_all_are_on_it() {
    // The waits last two minutes each: the first is that at 10 %, the second that at 100 %.
    for at in [20, 47, 100, 140, 171, 233] {
        for healthy in [0, 1] {
            goes_back(Play::new(usual(), scenario(vec![(s(at), GREEN, Some(healthy))])), s(at));
        }
    }
}

/// Every target is healthy, and whoever is sent to green meets a server error in front of it.
#[test]
fn r05_a_green_that_answers_nobody_is_found_however_healthy_its_targets_are() {
    let half = || {
        plan(
            vec![shift("shift-50", "web", 100, 500), step("bake-50", "wait", Value::Null)],
            shift("shift-100", "web", 500, 1000),
        )
    };
    // The wait at 50 %, and twice that at 100 %.
    for at in [50, 170, 230] {
        let unseen = Scenario { green_unseen: Some((s(at), 503)), ..Scenario::default() };
        goes_back_since(Play::new(half(), unseen), s(at), "GREEN gave none of 10 answers at `seen_at`, and ");
    }
    let mut well = Play::new(half(), Scenario::default());
    assert_eq!(well.end().outcome, RunOutcome::Completed);
    let agreed = said(&well, "traffic.seen").iter().filter(|seen| seen.contains(r#""agrees":true"#)).count();
    assert_eq!(agreed, 3, "one for each shift, none in the waits: {:?}", well.log());
}

/// A filter in front of everything, or one that keeps only us out: nothing is known of green, and that sends nobody back.
#[test]
fn r05_answers_that_nobody_can_tell_apart_pause_and_send_nobody_back() {
    let unseen = Scenario { green_unseen: Some((s(170), 403)), ..Scenario::default() };
    let mut play = Play::new(usual(), unseen);
    assert_eq!(play.end().outcome, RunOutcome::Halted, "{:?}", play.log());
    assert_eq!(play.sim.split(), Split::ALL_GREEN);
    assert!(said(&play, "rollback.begun").is_empty(), "{:?}", play.log());
    let paused = said(&play, "run.paused");
    assert!(paused[0].contains("is not known for") && paused[0].contains("`seen_at` of web"), "{paused:?}");
}

#[test]
fn r05_no_run_is_completed_on_a_green_that_was_just_lost() {
    let mut play = Play::new(usual(), Scenario::default());
    assert_eq!(play.end().outcome, RunOutcome::Completed);
    let took = play.sim.clock.time();
    for before in [50, 500, 2_000, 9_000] {
        let lost = took - Duration::from_millis(before);
        goes_back(Play::new(usual(), scenario(vec![(lost, GREEN, Some(0))])), lost);
    }
}

/// That a step's own failure is passed over does not pass over a side that is gone.
#[test]
fn r05_a_step_whose_failure_is_passed_over_does_not_hide_a_lost_side() {
    for at in [40, 171] {
        let mut plan = usual();
        plan.forward.iter_mut().for_each(|step| step.on_failure = OnFailure::Continue);
        goes_back(Play::new(plan, scenario(vec![(s(at), GREEN, Some(0))])), s(at));
    }
}

/// A target that is just being replaced is no emptied side.
#[test]
fn r05_one_look_is_not_believed() {
    for tenths in 0..120 {
        let at = s(30) + Duration::from_millis(100 * tenths);
        let blink =
            vec![(at, GREEN, Some(0)), (at + s(1), GREEN, Some(2)), (at, BLUE, Some(1)), (at + s(1), BLUE, Some(2))];
        let mut play = Play::new(usual(), scenario(blink));
        assert_eq!(play.end().outcome, RunOutcome::Completed, "{at:?}: {:?}", play.log());
    }
}

#[test]
fn r05_an_approval_a_pause_and_every_question_are_waits_too() {
    let lost = vec![(s(40), GREEN, Some(0))];
    // An approval, for which nobody is in a hurry.
    let asked = plan(vec![], approved(shift("shift-100", "web", 100, 1000), "hold"));
    goes_back(Play::new(asked, scenario(lost.clone())), s(40));
    // A pause under a freeze.
    let frozen = Scenario { frozen: Some((s(20), s(500))), ..scenario(lost.clone()) };
    goes_back(Play::new(usual(), frozen), s(40));
    // The question after an interruption: the person thinks for a minute.
    let interrupted = Scenario { wishes: vec![(s(35), Command::Interrupt)], ..scenario(lost.clone()) };
    goes_back(Play::new(usual(), interrupted), s(40));
    // Whether a step without a trace happened is asked of a person, after a crash in it.
    let mut told = false;
    for boundary in 1..200 {
        let tells = plan(vec![step("tell", "tell", Value::Null)], shift("shift-100", "web", 100, 1000));
        let mut play = Play::new(tells, scenario(lost.clone()));
        play.sim.clock.crash_at(Some(boundary));
        if play.process().is_ok() {
            break;
        }
        play.sim.clock.crash_at(None);
        let last = play.log().last().map(|(kind, data)| (kind.to_string(), data["id"] == "tell"));
        if last == Some(("step.intent".into(), true)) {
            told = true;
            goes_back(play, s(40));
        }
    }
    assert!(told, "no crash fell into the step");
}

#[test]
fn r05_a_dead_blue_is_said_at_once_and_nobody_is_sent_there() {
    for at in [20, 47, 100] {
        let play = halts(Play::new(usual(), scenario(vec![(s(at), BLUE, Some(0))])), s(at));
        let breach = said(&play, "step.outcome").pop().unwrap();
        assert!(
            breach.contains("BLUE has 0 of 2 targets healthy, 2 needed on web, with 90.0% of its users"),
            "{breach}"
        );
        assert!(breach.contains("GREEN has 2 of 2 targets healthy, so GREEN is the healthy side"), "{breach}");
    }
    // In an approval, in a pause, and while a person is asked whether to go back to it.
    let lost = vec![(s(40), BLUE, Some(0))];
    let asked = plan(vec![], approved(shift("shift-100", "web", 100, 1000), "hold"));
    halts(Play::new(asked, scenario(lost.clone())), s(40));
    halts(Play::new(usual(), Scenario { wishes: vec![(s(35), Command::Interrupt)], ..scenario(lost.clone()) }), s(40));
    let watched = plan(vec![step("bake-10", "watch", Value::Null)], shift("shift-100", "web", 100, 1000));
    let used_up = Scenario { automatic_used: 9, green_errors: Some(s(25)), ..scenario(lost) };
    halts(Play::new(watched, used_up), s(40));
}

/// Where neither side can carry anybody, and where blue has nobody but could take nobody either, a person decides.
#[test]
fn r05_nobody_goes_from_a_dead_side_to_a_dead_side() {
    for at in [40, 200] {
        let play = halts(Play::new(usual(), scenario(vec![(s(at), BLUE, Some(0)), (s(at), GREEN, Some(0))])), s(at));
        let breach = said(&play, "step.outcome").pop().unwrap();
        assert!(breach.contains("GREEN has 0 of 2") && breach.contains("BLUE has 0 of 2"), "{breach}");
    }
    // At 100 % on green a blue that is away is nobody's trouble yet.
    let mut play = Play::new(usual(), scenario(vec![(s(200), BLUE, Some(0))]));
    assert_eq!(play.end().outcome, RunOutcome::Completed);
}

/// A health that cannot be read is unknown: nothing moves, and the run goes on once it answers.
#[test]
fn r05_a_health_that_cannot_be_read_pauses() {
    for stack in [BLUE, GREEN] {
        let dark = vec![(s(20), stack, None), (s(200), stack, Some(2))];
        let mut play = Play::new(usual(), scenario(dark));
        assert_eq!(play.end().outcome, RunOutcome::Completed, "{:?}", play.log());
        let paused = play.journal.entries.iter().find(|entry| entry.kind == "run.paused").unwrap();
        assert!(paused.data["line"].as_str().unwrap().contains("is not known for 6"), "{:?}", paused.data);
        let moved = play.sim.history("web").iter().any(|(at, _)| *at > s(20) && *at < s(200));
        assert!(!moved && said(&play, "run.unpaused").len() == 1, "{:?}", play.log());
    }
    // Shorter than that it is no news.
    let mut play = Play::new(usual(), scenario(vec![(s(20), GREEN, None), (s(70), GREEN, Some(2))]));
    assert_eq!(play.end().outcome, RunOutcome::Completed);
    assert!(said(&play, "run.paused").is_empty());
}

/// A route whose sides need no target has no health to look at.
#[test]
fn r05_a_route_without_health_stays_silent() {
    let mut plan = usual();
    plan.routes.get_mut("web").unwrap().min_healthy = 0;
    let mut play = Play::new(plan, scenario(vec![(s(40), GREEN, Some(0)), (s(40), BLUE, Some(0))]));
    assert_eq!(play.end().outcome, RunOutcome::Completed, "{:?}", play.log());
    assert_eq!(play.sim.split(), Split::ALL_GREEN);
}

/// The log holds what changed, however long the wait is.
#[test]
fn r20_looks_do_not_flood_the_log() {
    let mut play = Play { waits: 360, ..Play::new(usual(), Scenario::default()) };
    assert_eq!(play.end().outcome, RunOutcome::Completed);
    assert!(play.log().len() < 60, "{}", play.log().len());
}

/// The command that sends everybody to green keeps everything else of the rule, and is one that can be pasted.
#[cfg(feature = "aws")]
#[test]
fn g18_the_command_to_green_is_the_rule_with_other_weights() {
    use bgctl::routers::{Access, KINDS, Reading};
    let arn = |rest: &str| format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:{rest}");
    let rule = arn("listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b");
    let (blue, green) = (arn("targetgroup/bot-blue/6d0ecf831eec9f09"), arn("targetgroup/bot-green/73e2d6bc24d8a067"));
    let kind = KINDS.iter().find(|kind| kind.name == "alb").unwrap();
    let config = json!({ "rule": rule, "blue": blue, "green": green, "min_healthy": 2 });
    let view = (kind.view)(&config, &Access::default()).unwrap();
    let tuple = |arn: &str, weight: u32| json!({ "TargetGroupArn": arn, "Weight": weight });
    let actions = |tuples: Value| {
        json!([
            { "Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": { "Issuer": "https://id.test" } },
            { "Type": "forward", "Order": 2, "ForwardConfig": { "TargetGroups": tuples } },
        ])
    };
    let reading = |tuples: Value| Reading {
        split: Split::of_green(100),
        exact: json!({ "through": "rule", "arn": rule, "sticky": null, "actions": actions(tuples) }),
        remarks: vec![],
    };
    let command = |tuples: Value| {
        let there = view.all_on(GREEN, Some(&reading(tuples))).unwrap();
        let lines = view.native_way_back("web", &there).pasted();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    };
    let there = command(json!([tuple(&blue, 90), tuple(&green, 10)]));
    let command = command(json!([tuple(&blue, 1)]));
    assert_eq!(command, there, "a rule that does not know green gets it");
    assert!(command.starts_with("aws elbv2 modify-rule --rule-arn ") && command.contains(&rule), "{command}");
    assert!(!command.contains("file://"), "{command}");
    let (begin, end) = (command.find('[').unwrap(), command.rfind(']').unwrap());
    let sent: Value = serde_json::from_str(&command[begin..=end]).unwrap();
    assert_eq!(sent, actions(json!([tuple(&blue, 0), tuple(&green, 100)])));
}
