//! The twenty most instructive incidents of other tools, each played on the shipping engine: what went wrong there must not
//! go wrong here. The number is its row in the comparison with peers; the link of each is where its victims tell it.

mod common;

use std::time::Duration;

use bgctl::people::Command;
use bgctl::plan::{Color, Plan, Split};
use bgctl::run::{Actor, Cause, Outcome, RunOutcome};
use bgctl::sim::{Saw, Scenario, Write};
use common::canary::{Canary, Dice};
use common::play::{self, Play, approved, s, shift, step};
use common::scripted::{Stage, no_answer, response, vector};
use serde_json::{Value, json};

/// 10 %, a shipping bake with a shipping gate, then everybody after an approval, and one more bake.
fn plan_with(policy: Value) -> Plan {
    let bake = |id| step(id, "bake", json!({ "for": "4m", "windows": 4, "gates": ["errors"] }));
    let forward = vec![
        shift("shift-10", "web", 0, 100),
        bake("bake-10"),
        approved(shift("shift-100", "web", 100, 1000), "roll-back"),
        bake("bake-100"),
    ];
    play::plan(&["web"], forward, vec![shift("back", "web", 1000, 0), step("drain", "wait", Value::Null)], policy)
}

fn night(scenario: Scenario) -> (Play, RunOutcome) {
    night_with(json!({}), scenario)
}

fn night_with(policy: Value, scenario: Scenario) -> (Play, RunOutcome) {
    let mut play = Play::new(plan_with(policy), scenario);
    play.real_watch = true;
    let outcome = play.end().outcome;
    (play, outcome)
}

/// The splits that were asked for, in order.
fn sent(play: &Play) -> Vec<Split> {
    let sent = |(_, what): &(Duration, Saw)| if let Saw::Sent { to, .. } = what { Some(*to) } else { None };
    play.sim.saw.borrow().iter().filter_map(sent).collect()
}

fn words(play: &Play) -> String {
    play.log().iter().map(|(kind, data)| format!("{kind} {data}\n")).collect()
}

fn wish(at: Duration) -> Vec<(Duration, Command)> {
    let by = Actor { name: "operator".into(), via: "key".into() };
    vec![(at, Command::RollBack { by, reason: "the r key".into() })]
}

const GREEN_ILL: Option<Duration> = Some(s(30));

/// Rollback sent all traffic to the broken side and scaled the healthy one to zero.
/// <https://github.com/fluxcd/flagger/issues/1898>
#[test]
fn incident_01_no_rollback_onto_a_broken_blue() {
    let (play, outcome) = night(Scenario { green_errors: GREEN_ILL, blue_down: Some(s(20)), ..Scenario::default() });
    assert_eq!(outcome, RunOutcome::Halted);
    assert_eq!(sent(&play), [Split::of_green(100)], "nobody is moved toward a side that is down");
    assert!(play.sim.pages.borrow()[0].contains("0 of 2 targets healthy"), "{:?}", play.sim.pages.borrow());
}

/// A rollback or second deployment moved everybody to a side with one pod.
/// <https://github.com/argoproj/argo-rollouts/issues/3372>
#[test]
fn incident_02_nobody_is_sent_to_a_side_that_is_too_small() {
    let one = |stack, at| Scenario { health: vec![(s(at), stack, Some(1))], ..Scenario::default() };
    let (play, outcome) = night(one(Color::Green, 100));
    assert_eq!((outcome, sent(&play)), (RunOutcome::RolledBack, vec![Split::of_green(100), Split::ALL_BLUE]));
    let (play, outcome) = night(Scenario { green_errors: GREEN_ILL, ..one(Color::Blue, 20) });
    assert_eq!((outcome, sent(&play)), (RunOutcome::Halted, vec![Split::of_green(100)]));
}

/// The rollout finished and old pods were removed while everybody was still on them: the API was throttled.
/// <https://github.com/argoproj/argo-rollouts/issues/3333>
#[test]
fn incident_03_a_throttled_provider_is_no_success() {
    let throttled = vec![Write::Applied, Write::Throttled, Write::Throttled, Write::Throttled];
    let (play, outcome) = night(Scenario { writes: throttled, ..Scenario::default() });
    assert_eq!(outcome, RunOutcome::RolledBack, "three refusals are a failure, and never a finished shift");
    assert!(!words(&play).contains("\"completed\""));
    let (_, outcome) = night(Scenario { blind: Some((s(250), s(9_000))), ..Scenario::default() });
    assert_eq!(outcome, RunOutcome::Halted, "what cannot be read is unknown, and unknown is for a person");
}

/// The API said 0 %, the load balancer had not propagated it, and what users still reached was torn down.
/// <https://github.com/argoproj/argo-rollouts/issues/4595>
#[test]
fn incident_04_a_shift_ends_when_responses_show_it() {
    let (play, outcome) = night(Scenario { propagation: s(20), ..Scenario::default() });
    assert_eq!(outcome, RunOutcome::Completed);
    let at = |kind: &str, n: usize| play.journal.entries.iter().filter(|e| e.kind == kind).nth(n).unwrap().ts.clone();
    let (read, ended): (jiff::Timestamp, jiff::Timestamp) =
        (at("provider.called", 0).parse().unwrap(), at("step.outcome", 0).parse().unwrap());
    assert!(ended.duration_since(read).as_secs() >= 15, "10 % of responses are seen only when the shift has arrived");
    let (_, outcome) = night(Scenario { propagation: s(3_600), ..Scenario::default() });
    assert_eq!(outcome, RunOutcome::RolledBack, "what never arrives is a failed shift");
}

/// 503 when the listener's weight changed before targets were registered.
/// <https://github.com/argoproj/argo-rollouts/issues/2864>, <https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3588>
#[test]
fn incident_05_no_weight_onto_an_empty_target_group() {
    for healthy in [Some(0), None] {
        let health = vec![(s(0), Color::Green, healthy)];
        let (play, outcome) = night(Scenario { health, ..Scenario::default() });
        assert_eq!((outcome, sent(&play)), (RunOutcome::Refused, vec![]), "empty or unknown: {healthy:?}");
    }
}

/// The flag that verifies was on, and there was downtime all the same: the documentation promised what nobody checked.
/// <https://github.com/argoproj/argo-rollouts/issues/4834>
#[test]
fn incident_06_every_finished_shift_has_its_three_witnesses() {
    let (play, outcome) = night(Scenario::default());
    assert_eq!(outcome, RunOutcome::Completed);
    let mut since_write: Vec<&str> = Vec::new();
    let mut shifts = 0;
    for (kind, data) in play.log() {
        match kind {
            "provider.called" => since_write.clear(),
            "step.outcome" if data["id"].as_str().unwrap().starts_with("shift") => {
                for witness in ["traffic.read", "traffic.health", "traffic.seen"] {
                    assert!(since_write.contains(&witness), "{witness} is missing: {since_write:?}");
                }
                shifts += 1;
            }
            kind => since_write.push(kind),
        }
    }
    assert_eq!(shifts, 2);
}

/// An aborted canary never returned to weight 0.
/// <https://github.com/argoproj/argo-rollouts/issues/4841>, <https://github.com/argoproj/argo-rollouts/issues/3758>
#[test]
fn incident_07_an_abort_at_any_moment_brings_everybody_back() {
    let (quiet, _) = night(Scenario::default());
    let end = quiet.sim.clock.time() - s(61);
    for n in 0..20 {
        let at = end * n / 20;
        let (play, outcome) = night(Scenario { wishes: wish(at), ..Scenario::default() });
        assert!(matches!(outcome, RunOutcome::RolledBack | RunOutcome::Stopped), "at {at:?}: {outcome:?}");
        assert_eq!(play.sim.split(), Split::ALL_BLUE, "at {at:?}");
        let seen = play.log().into_iter().rev().find(|(kind, _)| *kind == "traffic.seen").map(|(_, data)| data.clone());
        assert!(outcome == RunOutcome::Stopped || seen.unwrap()["green"] == 0, "0 % has to be observed, at {at:?}");
    }
}

/// It retried by itself after an abort, and crash-looped for a day.
/// <https://github.com/argoproj/argo-rollouts/issues/2929>, <https://github.com/argoproj/argo-rollouts/issues/3765>
#[test]
fn incident_08_an_aborted_run_is_over() {
    let (mut play, outcome) = night(Scenario { green_errors: GREEN_ILL, ..Scenario::default() });
    assert_eq!(outcome, RunOutcome::RolledBack);
    let (before, records) = (sent(&play), play.journal.entries.len());
    assert_eq!(play.end().outcome, RunOutcome::RolledBack, "the same log again");
    assert_eq!((sent(&play), play.journal.entries.len()), (before, records), "nothing is sent and nothing is written");
    // With nobody there at all every wait has its end.
    let alone = Scenario { approval: None, person: None, ..Scenario::default() };
    let (play, outcome) = night(alone);
    assert_eq!(outcome, RunOutcome::RolledBack);
    assert!(play.sim.clock.time() < s(7_200), "{:?}", play.sim.clock.time());
}

fn bake(stage: &Stage, gate: &str) -> Outcome {
    stage.run("bake", json!({ "for": "10m", "windows": 10, "fail": 2, "gates": [gate] }))
}

/// The analysis was successful although every measurement had failed.
/// <https://github.com/argoproj/argo-rollouts/issues/4479>, <https://github.com/argoproj/argo-rollouts/issues/2026>
#[test]
fn incident_09_measurements_that_fail_are_no_success() {
    for stage in [Stage::new(|_, _| no_answer()), Stage::new(|_, _| response(500, "oops"))] {
        let outcome = bake(&stage, "errors");
        assert!(matches!(outcome, Outcome::Failed { cause: Cause::NoVerdict, .. }), "{outcome:?}");
    }
}

/// An empty answer of Prometheus aborted the rollout with "slice index out of range".
/// <https://github.com/argoproj/argo-rollouts/issues/1466>, <https://github.com/argoproj/argo-rollouts/issues/1905>
#[test]
fn incident_10_an_empty_answer_has_a_plain_reason() {
    for gate in ["errors", "p99", "depth"] {
        let outcome = bake(&Stage::new(|_, _| vector(&[])), gate);
        assert!(matches!(outcome, Outcome::Failed { cause: Cause::NoVerdict, .. }), "{outcome:?}");
        let line = outcome.line();
        assert!(line.contains("green") && !line.contains("index") && !line.contains("null"), "{line}");
    }
}

/// The threshold was breached, 18 over 5, while the canary waited for its approval, and nothing happened.
/// <https://github.com/fluxcd/flagger/issues/1801>
#[test]
fn incident_11_a_breach_beats_an_approval() {
    // The bake ends after about 242 s; the approver would say yes a minute later.
    let (play, outcome) = night(Scenario { green_errors: Some(s(244)), ..Scenario::default() });
    let words = words(&play);
    assert_eq!(outcome, RunOutcome::RolledBack, "{words}");
    assert!(words.contains("wait.breached") && words.contains("failed while waiting"), "{words}");
    assert_eq!(sent(&play), [Split::of_green(100), Split::ALL_BLUE]);
}

/// A statistical judge passed obvious regressions on sparse data.
/// <https://github.com/spinnaker/kayenta/issues/426>, <https://github.com/spinnaker/spinnaker/issues/6278>
#[test]
fn incident_12_a_regression_on_sparse_data_is_found() {
    let mut dice = Dice::new(12);
    for (rps, green) in [(20.0, 0.02), (5.0, 0.10), (2.0, 0.5)] {
        let canary = Canary { rps, green, ..Canary::HEALTHY };
        let found = (0..100).filter(|_| canary.bake(&mut dice).sent_back().is_some()).count();
        assert!(found >= 99, "{found} of 100 at {rps} requests a second and {green} bad");
    }
}

/// A gate failed, and the deployment went on.
/// <https://github.com/keptn/lifecycle-toolkit/issues/3920>, <https://github.com/akuity/kargo/issues/7180>
#[test]
fn incident_13_nothing_goes_forward_after_a_failed_gate() {
    for ill in [30, 200, 330, 500] {
        let (play, outcome) = night(Scenario { green_errors: Some(s(ill)), ..Scenario::default() });
        assert_eq!(outcome, RunOutcome::RolledBack, "ill from {ill} s on");
        let log = play.log();
        let failed =
            log.iter().position(|(_, data)| data["outcome"]["cause"] == "gate" || data["cause"] == "gate").unwrap();
        let forward =
            log[failed..].iter().any(|(kind, data)| *kind == "step.intent" && data["step"]["lane"] == "forward");
        assert!(!forward, "ill from {ill} s on");
    }
}

/// "Please do not roll back: our migration is not backwards compatible."
/// <https://github.com/fluxcd/flagger/issues/1186>
#[test]
fn incident_14_no_rollback_by_rule_across_a_migration() {
    let policy = json!({ "schema_safe": false, "schema_reason": "users.phone is gone" });
    let (play, outcome) = night_with(policy, Scenario { green_errors: GREEN_ILL, person: None, ..Scenario::default() });
    assert_eq!((outcome, sent(&play)), (RunOutcome::Halted, vec![Split::of_green(100)]));
    assert!(play.sim.pages.borrow()[0].contains("users.phone is gone"), "{:?}", play.sim.pages.borrow());
}

/// Ctrl-C, or a cancelled CI job, left the lock behind, and nobody could list or expire it.
/// <https://github.com/basecamp/kamal/pull/656>, <https://github.com/hashicorp/terraform/issues/28710>
#[test]
fn incident_15_a_cancelled_run_leaves_no_lock_and_nobody_split() {
    let cancelled = |command| Scenario { wishes: vec![(s(100), command)], person: None, ..Scenario::default() };
    for command in [Command::Terminate, Command::Interrupt] {
        let (play, outcome) = night(cancelled(command));
        assert_eq!((outcome, play.sim.split()), (RunOutcome::RolledBack, Split::ALL_BLUE));
    }
    // The lock is the operating system's: it goes with its holder, however that ends.
    let folder = tempfile::tempdir().unwrap();
    let archive = bgctl::journal::Archive::new(folder.path());
    let holder = |run: &str| -> bgctl::journal::Holder {
        let holder = json!({ "run": run, "who": "ci", "host": "runner", "pid": 1, "command": "cutover", "since": "" });
        serde_json::from_value(holder).unwrap()
    };
    let take = |run: &str| bgctl::journal::Lock::take(&archive, "test", "bot", &holder(run));
    let first = take("first").unwrap();
    let refused = take("second").unwrap_err();
    assert!(format!("{refused:?}").contains("first"), "who has it is named: {refused:?}");
    drop(first);
    take("second").unwrap();
}

/// Resume from the failed step: asked for since 2012, and then sold.
/// <https://github.com/rundeck/rundeck/issues/126>, <https://github.com/ansible/awx/issues/14176>
#[test]
fn incident_16_a_killed_run_goes_on_where_it_was() {
    let (quiet, _) = night(Scenario::default());
    let points = quiet.sim.clock.boundaries();
    // Every boundary of a simpler plan is tried in `sweeps`.
    for n in (1..=points).step_by(points as usize / 12) {
        let mut play = Play::new(plan_with(json!({})), Scenario::default());
        play.real_watch = true;
        play.sim.clock.crash_at(Some(n));
        assert!(play.process().is_err(), "died at {n}");
        play.sim.clock.crash_at(None);
        assert_eq!(play.end().outcome, RunOutcome::Completed, "died at {n}");
        let mut splits: Vec<Split> = play.sim.history("web").into_iter().map(|h| h.1).collect();
        splits.dedup();
        assert_eq!(splits, [Split::ALL_BLUE, Split::of_green(100), Split::ALL_GREEN], "died at {n}");
    }
}

/// Chose "fail", and it retried; chose "abort", and it asked again.
/// <https://github.com/OctopusDeploy/Issues/issues/5208>, <https://github.com/OctopusDeploy/Issues/issues/7454>
#[test]
fn incident_17_a_decision_is_asked_for_once() {
    for (person, ends) in [(true, RunOutcome::RolledBack), (false, RunOutcome::Holding)] {
        let wishes = vec![(s(100), Command::Interrupt)];
        let (play, outcome) = night(Scenario { wishes, person: Some(person), ..Scenario::default() });
        assert_eq!(outcome, ends);
        let asked = words(&play).matches("a simulated person answered").count();
        assert_eq!(asked, 1, "one question, one answer, and that is done");
    }
}

/// Approving the oldest waiting run would have shipped code 22 hours old.
/// <https://github.com/hypothesis/lms/issues/4533>
#[test]
fn incident_18_an_old_plan_moves_nobody() {
    // The world is another than the one that was planned for.
    let (play, outcome) = night(Scenario { foreign: Some((s(0), Split::of_green(500))), ..Scenario::default() });
    assert_eq!((outcome, sent(&play)), (RunOutcome::Refused, vec![]));
    // And an approval that comes too late counts no more.
    let mut late = plan_with(json!({}));
    late.forward[2].approval.as_mut().unwrap().within_s = 30;
    let mut play = Play::new(late, Scenario::default());
    assert_eq!(play.end().outcome, RunOutcome::RolledBack);
    assert!(words(&play).contains("approval.expired"));
}

/// Approvals lived in a chat only; later nobody could say who had promoted.
/// <https://gitlab.com/gitlab-com/gl-infra/delivery/-/issues/1422>, <https://github.com/argoproj/argo-cd/issues/2180>
#[test]
fn incident_19_who_agreed_to_what_stands_in_the_log() {
    let (play, _) = night(Scenario::default());
    let log = play.log();
    let of = |kind: &str| log.iter().find(|(of, _)| *of == kind).map(|(_, data)| (*data).clone()).unwrap();
    let (asked, granted) = (of("approval.requested"), of("approval.granted"));
    assert_eq!(granted["grant"]["principal"], "person-1");
    assert_eq!(granted["request_sha256"], asked["request_sha256"]);
    assert!(!asked["request"].as_str().unwrap().is_empty(), "with the exact text");
    let used = log.iter().any(|(kind, data)| {
        *kind == "step.intent" && data["id"] == "shift-100" && !data["approvals"].as_array().unwrap().is_empty()
    });
    assert!(used, "the move names the approval it used up");
}

/// Two versions of a bot on Socket Mode: events went to either by chance, and sockets were cut when one left.
/// <https://github.com/slackapi/python-slack-sdk/issues/1808>, <https://github.com/nginx/nginx-gateway-fabric/issues/5524>
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incident_20_sockets_are_handed_over_and_no_event_is_lost() {
    use bgctl::lab::{Lab, Mode, Options};
    use bgctl::routers::{Access, socket_mode};
    let lab = Lab::start(Options { events_per_second: 100, mode: Mode::Sockets, ..Options::default() }).unwrap();
    let (at, env): (_, std::collections::BTreeMap<_, _>) = (lab.variables(), lab.environment().into_iter().collect());
    let fleet = |color: &str| (1..=3).map(|n| at[&format!("{color}_{n}_url")].clone()).collect::<Vec<_>>();
    let settings = json!({
        "blue": fleet("blue"), "green": fleet("green"), "floor": 2,
        "app_token": env["SLACK_APP_TOKEN"], "api": at["slack_api_url"],
    });
    let router = (socket_mode::KIND.open)(&settings, &Access::default()).unwrap();
    let blue = router.read().await.unwrap();
    router.set(&blue, Split::of_green(500)).await.unwrap();
    let half = router.read().await.unwrap();
    router.set(&half, Split::ALL_GREEN).await.unwrap();
    assert_eq!(router.read().await.unwrap().split, Split::ALL_GREEN);
    let ledger = tokio::task::spawn_blocking(move || lab.finish()).await.unwrap();
    assert!((ledger.lost, ledger.twice) == (0, 0), "{ledger}");
}

/// Twenty rows, twenty scenarios.
#[test]
fn every_incident_has_its_scenario() {
    let source = include_str!("incidents.rs");
    for n in 1..=20 {
        let name = format!("fn incident_{n:02}_");
        assert_eq!(source.matches(&name).count(), 1, "{name}");
    }
}
