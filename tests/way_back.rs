//! The way back: a ramp for a blue that has gone cold, the order of several routes, and what a runbook may not say about it.
//! The shipping compiler, driver, machine and steps, on the simulated world.

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bgctl::compile::Draft;
use bgctl::diag::{Diagnostic, Severity};
use bgctl::drive::{End, Run, Steps, drive};
use bgctl::journal::Entry;
use bgctl::people::Command;
use bgctl::plan::{Color, Lane, Plan, Split};
use bgctl::report::Reporter;
use bgctl::run::{Actor, Cause, Event, Next, Outcome, RunOutcome, State, Wish, decide, evolve};
use bgctl::runbook::{Inputs, Source};
use bgctl::sim::{Scenario, Sim, SimJournal, SimWatch, Write};
use bgctl::users::{Seen, Unread, Users};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const HEAD: &str = r#"bgctl: 1
service: bot
environment: test
owners: [owner@example.com]
stacks:
  blue:  { version: v1, url: "http://blue.test" }
  green: { version: v2, url: "http://green.test" }
routes:
"#;

const ROUTE: &str = r#"
    alb:
      rule: arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b
      blue: arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-blue/6d0ecf831eec9f09
      green: arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-green/73e2d6bc24d8a067
    seen_at: { url: "https://bot.test/", header: x-version, samples: 40, tolerance: 6% }
"#;

/// A runbook with these routes, these steps forward and these back.
fn runbook(routes: &[&str], steps: &str, back: &str) -> String {
    let routes: String = routes.iter().map(|name| format!("  {name}:{ROUTE}")).collect();
    format!(
        "{HEAD}{routes}schema: {{ change: none }}\npolicy: {{ page: [slack] }}\nsteps:\n{steps}rollback:\n  owner: owner@example.com\n  steps:\n{back}"
    )
}

fn compiled(text: &str) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let source = Source { path: "bot.yaml".into(), text: text.into() };
    let draft = Draft::new(&source, &Inputs::default(), None)?;
    Ok((draft.plan, draft.warnings))
}

fn plan(text: &str) -> Plan {
    compiled(text).unwrap_or_else(|found| panic!("{:#?}", found.iter().map(|d| &d.headline).collect::<Vec<_>>())).0
}

struct Deaf;
impl Reporter for Deaf {
    fn record(&mut self, _: &Entry) {}
}

fn run(plan: &Plan, scenario: Scenario) -> (Rc<Sim>, End, Vec<Event>) {
    let sim = Sim::new(plan, scenario);
    let steps = Steps::of(plan).unwrap();
    let (world, watch) = (sim.world(plan), SimWatch(sim.clone()));
    let run = Run {
        id: "run",
        plan,
        steps: &steps,
        world: &world,
        people: &sim,
        control: &sim,
        watch: &watch,
        keep: &|_, _| Ok(()),
        request: &|at, until, _| format!("{at:?} {until:?}"),
        deadlines: world.clock.as_ref(),
        rules: &sim,
        automatic_used: 0,
    };
    let mut journal = SimJournal::new(&sim);
    let clock = sim.clock.clone();
    let end = clock.run(drive(&run, &[], &mut journal, &mut Deaf)).expect("no crash").expect("a whole journal");
    let events = journal.events();
    (sim, end, events)
}

/// Every share of blue that was in force, in per cent, one after the other.
fn shares(sim: &Sim) -> Vec<u32> {
    sim.history("web").iter().map(|(_, split)| (split.share(Color::Blue) * 100.0).round() as u32).collect()
}

/// When users were first at this share of blue.
fn since(sim: &Sim, blue: u32) -> Duration {
    let of = |split: &Split| (split.share(Color::Blue) * 100.0).round() as u32;
    sim.history("web").iter().rev().find(|(_, split)| of(split) == blue).expect("that share").0
}

fn wish(at: u64) -> Scenario {
    let by = Actor { name: "operator".into(), via: "key".into() };
    Scenario { wishes: vec![(s(at), Command::RollBack { by, reason: "the r key".into() })], ..Scenario::default() }
}

const TO_GREEN: &str =
    "  - { id: all, shift: { route: web, green: 100% } }\n  - { id: wait, drain: { stack: blue, longest_job: 60s } }\n";
const RAMP: &str = "    - { id: back, shift: { route: web, blue: 100%, ramp: [25%, 50%], every: 30s } }\n";

#[test]
fn a_ramp_is_moves_of_their_own_each_written_down_and_witnessed() {
    let plan = plan(&runbook(&["web"], TO_GREEN, RAMP));
    let ids: Vec<&str> = plan.rollback.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["back@25%", "back@50%", "back"]);
    assert_eq!(plan.rollback[0].line, "shift web to BLUE 25 GREEN 75, and let BLUE warm up for 30s");

    let (sim, end, events) = run(&plan, wish(20));
    assert_eq!(end.outcome, RunOutcome::RolledBack);
    assert_eq!(shares(&sim), [100, 0, 25, 50, 100]);
    assert!(since(&sim, 50) - since(&sim, 25) >= s(30) && since(&sim, 100) - since(&sim, 50) >= s(30));
    let back = |event: &&Event| matches!(event, Event::StepIntent { step, .. } if step.lane == Lane::Rollback);
    assert_eq!(events.iter().filter(back).count(), 3, "a call, an intent");
}

#[test]
fn nobody_is_taken_from_blue_for_a_stop_of_the_ramp() {
    let steps = "  - { id: some, shift: { route: web, green: 60% } }\n  - { id: wait, drain: { stack: blue, longest_job: 60s } }\n";
    let (sim, end, events) = run(&plan(&runbook(&["web"], steps, RAMP)), wish(20));
    assert_eq!((end.outcome, shares(&sim)), (RunOutcome::RolledBack, vec![100, 40, 50, 100]));
    let passed = events.iter().any(|event| {
        matches!(event, Event::StepOutcome { id, outcome: Outcome::Done { line, .. }, .. } if id == "back@25%" && line.contains("no users are taken from BLUE"))
    });
    assert!(passed, "{events:#?}");
}

#[test]
fn a_blue_that_falls_while_it_warms_up_halts_and_pages() {
    let scenario = Scenario { blue_down: Some(s(40)), ..wish(20) };
    let (sim, end, _) = run(&plan(&runbook(&["web"], TO_GREEN, RAMP)), scenario);
    assert_eq!(
        (end.outcome, shares(&sim)),
        (RunOutcome::Halted, vec![100, 0, 25]),
        "nobody more is sent to a blue that is down"
    );
    assert!(sim.clock.time() < s(47), "found while it warms up, and not at the next stop: {:?}", sim.clock.time());
    assert_eq!(sim.pages.borrow().len(), 1);
}

#[test]
fn a_green_that_is_down_does_not_stop_the_way_back() {
    let scenario = Scenario { green_down: Some(s(15)), ..wish(20) };
    let (sim, end, _) = run(&plan(&runbook(&["web"], TO_GREEN, RAMP)), scenario);
    assert_eq!((end.outcome, shares(&sim)), (RunOutcome::RolledBack, vec![100, 0, 25, 50, 100]));
}

#[test]
fn a_lost_reply_within_a_ramp_is_looked_up_and_not_repeated() {
    let scenario = Scenario { writes: vec![Write::Applied, Write::ReplyLost, Write::ReplyLost], ..wish(20) };
    let (sim, end, _) = run(&plan(&runbook(&["web"], TO_GREEN, RAMP)), scenario);
    assert_eq!((end.outcome, shares(&sim)), (RunOutcome::RolledBack, vec![100, 0, 25, 50, 100]));
}

/// R33: a provider that hangs at one route holds up no other.
#[test]
fn r33_a_route_that_hangs_does_not_keep_the_others_on_green() {
    let forward = "  - { id: a, shift: { route: api, green: 50% } }\n  - { id: w, shift: { route: web, green: 50% } }\n  - { id: t, shift: { route: tcp, green: 50% } }\n  - { id: wait, drain: { stack: blue, longest_job: 10m } }\n";
    let back: String = ["tcp", "web", "api"]
        .map(|route| format!("    - {{ id: back-{route}, shift: {{ route: {route}, blue: 100% }} }}\n"))
        .concat();
    let plan = plan(&runbook(&["api", "tcp", "web"], forward, &back));
    let scenario = Scenario { mute: Some((s(199), "web".into())), ..wish(200) };
    let (sim, end, _) = run(&plan, scenario);
    assert_eq!(end.outcome, RunOutcome::Halted, "web is not known to be back");
    for route in ["api", "tcp"] {
        let (at, split) = *sim.history(route).last().unwrap();
        assert!(split.only() == Some(Color::Blue) && at < s(203), "{route} {split} at {at:?}");
    }
}

/// Two routes on green, on their way back; `web` was moved last. What the machine does as each step back ends.
struct TwoRoutes {
    plan: Plan,
    state: State,
}

impl TwoRoutes {
    fn new(web: &str) -> Self {
        let forward =
            "  - { id: a, shift: { route: api, green: 100% } }\n  - { id: w, shift: { route: web, green: 100% } }\n";
        let back = format!(
            "    - {{ id: back-web, shift: {{ route: web, blue: 100%{web} }} }}\n    - {{ id: back-api, shift: {{ route: api, blue: 100% }} }}\n    - {{ id: drain, drain: {{ stack: green, longest_job: 5s }} }}\n"
        );
        let plan = plan(&runbook(&["api", "web"], forward, &back));
        let state = State::default();
        let mut two = TwoRoutes { plan, state };
        two.take(Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] });
        two.step("a", Outcome::done("there"));
        two.step("w", Outcome::done("there"));
        let by = Actor { name: "operator".into(), via: "key".into() };
        two.take(Event::Interrupted { wish: Wish::RollBack, by: by.clone(), line: "r".into() });
        two.take(Event::RollbackBegun { automatic: false, by, cause: "r".into() });
        two
    }

    fn take(&mut self, event: Event) {
        self.state = evolve(&self.plan, &self.state, &event).unwrap();
    }

    /// The step of this name, which is due, begins and ends.
    fn step(&mut self, id: &str, outcome: Outcome) {
        let due = match decide(&self.plan, &self.state) {
            Next::Together(legs) => legs,
            next => vec![next],
        };
        let due = due.into_iter().find_map(|next| match next {
            Next::Attempt(at, attempt) if self.plan.step(at).id == id => Some((at, attempt)),
            _ => None,
        });
        let (at, attempt) = due.unwrap_or_else(|| panic!("{id}: {:?}", decide(&self.plan, &self.state)));
        let step = self.plan.step(at);
        let (id, line) = (step.id.clone(), step.line.clone());
        let step_sha256 = step.sha256();
        self.take(Event::StepIntent { step: at, id: id.clone(), attempt, line, step_sha256, approvals: vec![] });
        self.take(Event::StepOutcome { step: at, id, outcome });
    }
}

#[test]
fn a_route_that_cannot_be_taken_back_does_not_keep_the_others_from_it() {
    let ill = || Outcome::failed(Cause::Destination, "BLUE has 0 of 2 targets healthy");
    let mut two = TwoRoutes::new("");
    two.step("back-web", ill());
    two.step("back-api", Outcome::done("there"));
    let Next::Page { line } = decide(&two.plan, &two.state) else { panic!("{:?}", two.state) };
    assert_eq!(line, "web: BLUE has 0 of 2 targets healthy", "nothing is drained with users on green");

    // The stops of its ramp are those users too.
    let mut two = TwoRoutes::new(", ramp: [25%, 50%]");
    two.step("back-api", ill());
    two.step("back-web@25%", ill());
    let Next::Page { line } = decide(&two.plan, &two.state) else { panic!("{:?}", two.state) };
    assert!(line.starts_with("api: BLUE") && line.contains("; web: BLUE"), "{line}");

    // Nor does what somebody else does at one of them.
    let mut two = TwoRoutes::new("");
    two.step("back-web", Outcome::failed(Cause::Drift, "somebody else writes"));
    two.step("back-api", Outcome::done("there"));
    assert!(matches!(decide(&two.plan, &two.state), Next::Page { .. }), "{:?}", two.state);
}

/// R33: retries of one route come not before the first call of the next, and a ramp of one holds up no other.
#[test]
fn r33_the_calls_of_all_routes_are_due_together() {
    let due = |two: &TwoRoutes| match decide(&two.plan, &two.state) {
        Next::Together(legs) => legs,
        next => panic!("{next:?}"),
    };
    let mut two = TwoRoutes::new(", ramp: [25%, 50%]");
    assert_eq!(due(&two).len(), 2);
    let again = Outcome::Failed {
        line: "busy".into(),
        cause: Cause::Provider,
        moved: false,
        retry: true,
        then: None,
        facts: serde_json::Value::Null,
    };
    two.step("back-web@25%", again);
    let attempts: Vec<u32> = due(&two).iter().map(|next| if let Next::Attempt(_, n) = next { *n } else { 0 }).collect();
    assert_eq!(attempts, [1, 2], "api's first attempt waits for no retry of web's");
    two.step("back-api", Outcome::done("there"));
    for stop in ["back-web@25%", "back-web@50%", "back-web"] {
        two.step(stop, Outcome::done("there"));
    }
    assert!(matches!(decide(&two.plan, &two.state), Next::Attempt(at, 1) if two.plan.step(at).id == "drain"));

    // Where the runbook wants one after the other, so it is.
    let mut two = TwoRoutes::new("");
    two.plan.policy.rollback_in_order = true;
    assert!(matches!(decide(&two.plan, &two.state), Next::Attempt(at, 1) if two.plan.step(at).id == "back-web"));
    two.step("back-web", Outcome::done("there"));
    two.step("back-api", Outcome::done("there"));
}

/// The headlines of one code, with the word at the caret.
fn said(text: &str, code: &str) -> Vec<(Severity, String)> {
    let found = match compiled(text) {
        Ok((_, warnings)) => warnings,
        Err(found) => found,
    };
    let of = found.iter().filter(|d| d.code.number() == code);
    of.map(|d| (d.severity, text[d.span.clone().expect("a place")].to_string())).collect()
}

#[test]
fn routes_in_order_go_back_in_the_reverse_of_how_they_came() {
    let forward =
        "  - { id: a, shift: { route: api, green: 100% } }\n  - { id: w, shift: { route: web, green: 100% } }\n";
    let back = |first: &str, second: &str| {
        format!(
            "    - {{ id: b1, shift: {{ route: {first}, blue: 100% }} }}\n    - {{ id: b2, shift: {{ route: {second}, blue: 100% }} }}\n"
        )
    };
    let routes = ["api", "web"];
    assert_eq!(said(&runbook(&routes, forward, &back("web", "api")), "BG0182"), []);
    let wrong = runbook(&routes, forward, &back("api", "web"));
    assert_eq!(said(&wrong, "BG0182"), [], "they go back together");
    let found = said(&wrong.replace("rollback:\n", "rollback:\n  in_order: true\n"), "BG0182");
    assert_eq!(found, [(Severity::Warning, "b1".to_string())]);
}

#[test]
fn a_ramp_that_is_none_is_a_mistake() {
    let with = |ramp: &str| {
        runbook(&["web"], TO_GREEN, &format!("    - {{ id: back, shift: {{ route: web, blue: 100%, {ramp} }} }}\n"))
    };
    let mistakes: BTreeMap<&str, (&str, &str)> = BTreeMap::from([
        ("ramp: [50%, 25%]", ("BG0118", "25%")),
        ("ramp: [0%]", ("BG0118", "0%")),
        ("ramp: [50%, 100%]", ("BG0118", "100%")),
        ("every: 30s", ("BG0118", "30s")),
        ("ramp: [50%], every: 2h", ("BG0118", "2h")),
    ]);
    for (ramp, (code, word)) in mistakes {
        assert_eq!(said(&with(ramp), code), [(Severity::Error, word.to_string())], "{ramp}");
    }
    // A plan holds the stop of a ramp like this; written, it would leave half of the users on green.
    let half = with("ramp: [], every: 30s").replace("blue: 100%", "blue: 50%");
    assert_eq!(said(&half, "BG0104").len(), 1);
    let forward = "  - { id: all, shift: { route: web, blue: 100%, ramp: [50%] } }\n";
    assert!(said(&runbook(&["web"], forward, RAMP), "BG0180").iter().any(|(severity, _)| *severity == Severity::Error));
}

#[test]
fn users_who_are_not_back_are_never_passed_over() {
    let back = "    - { id: back, on_failure: continue, shift: { route: web, blue: 100% } }\n";
    assert_eq!(said(&runbook(&["web"], TO_GREEN, back), "BG0181"), [(Severity::Error, "continue".to_string())]);
}

const MANAGERS: &str = "roles:\n  managers: { members: [rm@example.com], quorum: 1 }\n";

#[test]
fn d3_what_asks_a_person_is_named_and_refused_where_nobody_is() {
    use bgctl::compile::unattended::in_ci;
    let forward = |then: &str| {
        format!(
            "  - {{ id: all, shift: {{ route: web, green: 100% }} }}\n  - {{ id: wait, drain: {{ stack: blue, within: 60s{then} }} }}\n"
        )
    };
    let text = |then: &str| runbook(&["web"], &forward(then), RAMP);
    let asks = (Severity::Warning, "ask".to_string());
    assert_eq!(said(&text(", at_timeout: ask"), "BG0195"), [asks]);
    assert_eq!(said(&text(""), "BG0195"), [(Severity::Warning, "drain".to_string())], "it is the default");
    for then in [", at_timeout: hold", ", at_timeout: continue", ", at_timeout: roll-back"] {
        assert_eq!(said(&text(then), "BG0195"), [], "{then}");
    }
    assert_eq!(said(&runbook(&["web"], TO_GREEN, RAMP), "BG0195"), [], "the longest job is waited for");
    let found = in_ci(compiled(&text("")).unwrap().1);
    let asks = found.iter().find(|d| d.code.number() == "BG0195").unwrap();
    assert_eq!(asks.severity, Severity::Error);
    assert!(asks.label.contains("at_timeout: hold") && asks.label.contains("at_timeout: continue"), "{}", asks.label);
    // An approval that says nothing sends nobody back either.
    let approved = TO_GREEN.replace("id: all,", "id: all, approval: { role: managers, within: 5m },");
    let plan = plan(&runbook(&["web"], &approved, RAMP).replace("stacks:\n", &format!("{MANAGERS}stacks:\n")));
    assert_eq!(plan.forward[0].approval.as_ref().unwrap().at_expiry, bgctl::plan::AtExpiry::Hold);
}

#[test]
fn d5_a_rollback_that_waits_for_somebody_is_said_before_it_does() {
    let with = |forward: &str| {
        let text = runbook(&["web"], forward, "    - { id: back, shift: { route: web, blue: 100% } }\n");
        let text = text.replace("stacks:\n", &format!("{MANAGERS}stacks:\n"));
        text.replace("  owner: owner@example.com\n", "  owner: owner@example.com\n  approval: managers\n")
    };
    assert_eq!(said(&with(TO_GREEN), "BG0196"), [(Severity::Warning, "managers".to_string())]);
    let (planned, found) = compiled(&with(TO_GREEN)).unwrap();
    let waits = found.iter().find(|d| d.code.number() == "BG0196").unwrap();
    assert!(waits.headline.contains("up to 10m for 1 of `managers` (rm@example.com)"), "{}", waits.headline);
    assert_eq!(planned.agreed_rollback().map(|rule| rule.role.as_str()), Some("managers"));
    let covered = TO_GREEN.replace("id: all,", "id: all, approval: { role: managers, within: 5m, covers: rollback },");
    assert_eq!(said(&with(&covered), "BG0196"), []);
}

/// The rollback script of a run holds what was read: of a place that was not, it would leave out what nobody has seen.
#[test]
fn no_script_is_kept_of_a_place_that_was_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let stage = common::scripted::Stage::new(|_, _| common::scripted::no_answer());
    let reading = Err(Unread { why: "no credentials".into(), asked: true });
    let seen = Seen {
        name: "web".into(),
        line: "rule".into(),
        reading,
        half: false,
        health: [None, None],
        needs: 1,
        capacity: Default::default(),
    };
    let users = Users { seen: vec![seen], since: Duration::ZERO };
    // The world has no route `web` that could say anything else.
    bgctl::session::native::keep_all(dir.path(), &common::scripted::plan(), &stage.world, &users);
    assert!(!dir.path().join("undo").exists());
}
