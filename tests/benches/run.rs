//! Whole runs and whole processes beside their peers: 1,000 signed steps beside as many bare synced appends, `--version`
//! beside `true`, `check` of a 1,000-step runbook.
//!
//! `cargo bench --bench run` prints a table of medians.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints a table")]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bgctl::clock::SystemClock;
use bgctl::drive::{Run, Steps, drive};
use bgctl::journal::{DirStore, Entry, Journal, Opening, SealState, Who};
use bgctl::plan::{OnFailure, Plan, PlannedStep, Policy, Purpose, Resume, Stack};
use bgctl::report::Reporter;
use bgctl::run::{Outcome, RunOutcome};
use bgctl::sign::session::SessionKey;
use bgctl::sim::{Scenario, Sim, SimWatch};
use bgctl::steps::Step;
use bgctl::world::{Scribe, World};

const STEPS: usize = 1_000;
const ROUNDS: usize = 5;

struct Nothing;

#[async_trait(?Send)]
impl Step for Nothing {
    async fn execute(&self, _: &World, _: &dyn Scribe) -> Outcome {
        Outcome::done("nothing to do")
    }
}

struct Deaf;

impl Reporter for Deaf {
    fn record(&mut self, _: &Entry) {}
}

fn plan() -> Plan {
    let stack = |version: &str| Stack {
        version: version.into(),
        url: "http://stack.test".into(),
        name: None,
        label: None,
        headers: Default::default(),
    };
    let step = |n: usize| PlannedStep {
        id: format!("step-{n}"),
        kind: "nothing".into(),
        line: "do nothing".into(),
        config: serde_json::Value::Null,
        resume: Resume::Repeat,
        attempts: 1,
        timeout_s: 60,
        expected_s: 0,
        moves: None,
        approval: None,
        on_failure: OnFailure::RollBack,
        place: "runbook.yaml:1".into(),
    };
    Plan {
        bgctl_plan: 1,
        purpose: Purpose::Cutover,
        service: "bot".into(),
        environment: "bench".into(),
        owners: vec!["owner@example.com".parse().unwrap()],
        rollback_owner: "owner@example.com".parse().unwrap(),
        runbook: "runbook.yaml".into(),
        runbook_sha256: String::new(),
        blue: stack("v1"),
        green: stack("v2"),
        version_at: None,
        routes: [].into(),
        gates: [].into(),
        slack: None,
        compare: None,
        policy: Policy::default(),
        schema: None,
        forward: (0..STEPS).map(step).collect(),
        rollback: vec![],
        team: Default::default(),
        warnings: vec![],
    }
}

/// A whole run of 1,000 steps: an intent and an outcome each, each sealed and synced. Gives the length of its log.
fn signed(folder: &Path, plan: &Plan) -> (Duration, u64) {
    let sim = Sim::new(plan, Scenario::default());
    let world = sim.world(plan);
    let steps = Steps { forward: (0..STEPS).map(|_| Box::new(Nothing) as Box<dyn Step>).collect(), rollback: vec![] };
    let owner = SessionKey::generate().unwrap();
    let who = Who { owner: "owner@example.com".into(), mode: "ci".into(), claims: serde_json::json!({}) };
    let opening = Opening { run: "20260101-0000-abc".into(), plan, who, bound: Default::default() };
    let store = Box::new(DirStore::create(folder).unwrap());
    let mut journal = Journal::create(store, opening, &owner, Rc::new(SystemClock)).unwrap();
    let run = Run {
        id: "20260101-0000-abc",
        plan,
        steps: &steps,
        world: &world,
        people: &sim,
        control: &sim,
        watch: &SimWatch(sim.clone()),
        keep: &|_, _| Ok(()),
        request: &|_, _, _| String::new(),
        deadlines: world.clock.as_ref(),
        rules: &sim,
        automatic_used: 0,
    };
    let start = Instant::now();
    let end = sim.clock.run(drive(&run, &[], &mut journal, &mut Deaf)).unwrap().unwrap();
    let took = start.elapsed();
    assert_eq!(end.outcome, RunOutcome::Completed);
    let closed = journal.close(SealState::Closed, Some(&owner)).unwrap();
    (took, closed.bytes)
}

/// As many appends of as many bytes, each synced, and nothing else.
fn bare(folder: &Path, bytes: u64) -> Duration {
    let appends = 2 * STEPS;
    let group = vec![b'x'; usize::try_from(bytes).unwrap() / appends];
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join("bare")).unwrap();
    let start = Instant::now();
    for _ in 0..appends {
        file.write_all(&group).unwrap();
        file.sync_data().unwrap();
    }
    start.elapsed()
}

fn process(program: &str, args: &[&str]) -> Duration {
    let start = Instant::now();
    Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn row(what: &str, ours: Duration, peer: &str, theirs: Duration) {
    let (a, b) = (ours.as_secs_f64() * 1e3, theirs.as_secs_f64() * 1e3);
    println!("| {what} | {a:.1} ms | {peer}: {b:.1} ms | {:.2}× |", a / b);
}

fn main() {
    let bgctl = env!("CARGO_BIN_EXE_bgctl");
    let place = tempfile::tempdir_in(".").unwrap();
    let plan = plan();
    let (mut ours, mut theirs) = (vec![], vec![]);
    for round in 0..ROUNDS {
        let folder = place.path().join(format!("run-{round}"));
        std::fs::create_dir(&folder).unwrap();
        let (took, bytes) = signed(&folder, &plan);
        ours.push(took);
        theirs.push(bare(&folder, bytes));
    }
    println!("| figure | bgctl | beside | ratio |\n|---|---|---|---|");
    row("1,000 signed, synced steps", median(ours), "2,000 bare appends + fdatasync", median(theirs));

    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..30 {
        ours.push(process(bgctl, &["--version"]));
        theirs.push(process("true", &[]));
    }
    row("`bgctl --version`", median(ours), "`true`", median(theirs));

    let runbook = place.path().join("thousand.yaml");
    std::fs::write(&runbook, thousand()).unwrap();
    let path = runbook.to_str().unwrap();
    let checked = Command::new(bgctl).args(["check", path]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..15 {
        ours.push(process(bgctl, &["check", path]));
        theirs.push(process("true", &[]));
    }
    row("`bgctl check`, 1,000 steps", median(ours), "`true`", median(theirs));
}

/// A runbook of 1,000 steps that has nothing wrong with it.
fn thousand() -> String {
    let first = include_str!("../../runbooks/first-shift.yaml");
    let (head, tail) = first.split_once("  - id: shift-100\n").unwrap();
    let many: String = (0..STEPS - 2)
        .map(|n| {
            format!("  - id: look-{n}\n    smoke: {{ stack: green, expect: [{{ path: /healthz, contains: ok }}] }}\n")
        })
        .collect();
    format!("{head}{many}  - id: shift-100\n{tail}")
}
