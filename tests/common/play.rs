//! Runs of hand-made plans through the shipping driver, machine and shift on the simulated world.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::drive::{Broken, End, Run, Steps, Watch, drive};
use bgctl::journal::{Append, Entry, Record};
use bgctl::plan::{Plan, PlannedStep, Purpose};
use bgctl::report::Reporter;
use bgctl::run::{Actor, Breach, Cause, Event, Outcome, Sighting, Wish};
use bgctl::sim::{Crashed, Scenario, Sim, SimJournal, SimWatch};
use bgctl::steps::{KINDS, Step};
use bgctl::world::{Command, Scribe, World};
use serde_json::{Value, json};

pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A step of a plan. A kind that ships is built as it ships; beside them there are `watch`, which fails when green is ill
/// with users on it, `wait`, and `tell`, which leaves no trace.
pub fn step(id: &str, kind: &str, config: Value) -> Value {
    let resume = if kind == "tell" { "ask-human" } else { "repeat" };
    json!({
        "id": id, "kind": kind, "line": format!("{kind} {id}"), "config": config, "resume": resume, "attempts": 3,
        "timeout_s": 7200, "expected_s": 1, "moves": null, "approval": null, "on_failure": "roll-back",
        "place": "runbook.yaml:1",
    })
}

/// A shift of a route to green's share, in thousandths.
pub fn shift(id: &str, route: &str, from: u32, to: u32) -> Value {
    let split = |green: u32| json!({ "blue": 1000 - green, "green": green });
    let mut step = step(id, "shift", Value::Null);
    step["resume"] = json!("observe");
    step["timeout_s"] = json!(180);
    step["moves"] = json!({ "route": route, "before": split(from), "after": split(to) });
    step
}

/// The step with an approval in front of it.
pub fn approved(mut step: Value, at_expiry: &str) -> Value {
    step["approval"] = json!({
        "role": "release-managers", "members": ["person-1"], "quorum": 1, "own_run": false, "within_s": 1800,
        "at_expiry": at_expiry, "evidence": "prompt", "covers_rollback": false,
    });
    step
}

/// A plan over these routes. `policy` adds to what holds where a runbook says nothing.
pub fn plan(routes: &[&str], forward: Vec<Value>, rollback: Vec<Value>, policy: Value) -> Plan {
    let route = |name: &&str| {
        let seen_at =
            json!({ "url": format!("https://{name}.test/"), "header": "x-version", "samples": 20, "tolerance": 60 });
        let planned = json!({
            "router": "simulated", "config": null, "line": format!("the route {name}"), "seen_at": seen_at,
            "before": { "blue": 1000, "green": 0 }, "min_healthy": 2,
        });
        (name.to_string(), planned)
    };
    let share = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[1m])) / sum by (color) (rate(http_requests_total[1m]))"#;
    let mut rules = json!({
        "automatic_at_most": 2, "within_s": 86400, "schema_safe": true, "schema_reason": null, "page": [],
        "pause_at_most_s": 600,
    });
    for (name, value) in policy.as_object().into_iter().flatten() {
        rules[name] = value.clone();
    }
    let plan = json!({
        "bgctl_plan": 1, "purpose": "cutover", "service": "bot", "environment": "test", "owners": ["owner@example.com"],
        "rollback_owner": "owner@example.com", "runbook": "runbook.yaml", "runbook_sha256": "",
        "blue": { "version": "v1", "url": "http://blue.test" }, "green": { "version": "v2", "url": "http://green.test" },
        "routes": routes.iter().map(route).collect::<BTreeMap<_, _>>(),
        "gates": { "errors": { "prometheus": share, "max": "0.5%", "versus_blue": "+0.3%", "url": "http://prometheus.test" } },
        "slack": null, "policy": rules, "forward": forward, "rollback": rollback, "warnings": [],
    });
    serde_json::from_value(plan).unwrap()
}

/// One night: a plan, its world and its log.
pub struct Play {
    pub plan: Plan,
    pub sim: Rc<Sim>,
    pub journal: SimJournal,
    /// Whether waits are watched by the shipping gates and not by the scenario's breach.
    pub real_watch: bool,
    /// How many times ten seconds a `wait` or `watch` takes.
    pub waits: u32,
}

impl Play {
    pub fn new(plan: Plan, scenario: Scenario) -> Self {
        let sim = Sim::new(&plan, scenario);
        let journal = SimJournal::new(&sim);
        Play { plan, sim, journal, real_watch: false, waits: 12 }
    }

    /// One process: goes on where the log ends, until the run rests or the process dies.
    pub fn process(&mut self) -> Result<Result<End, Broken>, Crashed> {
        self.go_on(false)
    }

    fn go_on(&mut self, back: bool) -> Result<Result<End, Broken>, Crashed> {
        let ended = self.driven(back);
        if ended.is_err() {
            self.journal.died();
        }
        ended
    }

    fn driven(&mut self, back: bool) -> Result<Result<End, Broken>, Crashed> {
        let facts = self.journal.events();
        let ended = matches!(facts.last(), Some(Event::Ended { .. } | Event::Refused { .. }));
        let by = || Actor { name: "the next process".into(), via: "command".into() };
        let mut taken_up = vec![];
        if !facts.is_empty() && !ended {
            taken_up.push(Event::Resumed { by: by() });
        }
        if back {
            let seen = |name: &String| {
                let split = self.sim.split_of(name);
                (name.clone(), Sighting { split: Some(split), line: format!("{split} at {name}") })
            };
            let routes = self.plan.routes.keys().map(seen).collect();
            taken_up.push(Event::UsersSeen { routes, settled: false });
            taken_up.push(Event::Interrupted { wish: Wish::RollBack, by: by(), line: "by hand".into() });
        }
        for event in taken_up {
            match self.journal.append(&[Record::from(&event)]) {
                Err(error) if self.sim.scenario.disk_full_at.is_some() => return Ok(Err(error.into())),
                Err(_) => return Err(Crashed),
                Ok(_) => {}
            }
        }
        let facts = self.journal.events();
        let steps = self.steps();
        let world = self.sim.world(&self.plan);
        let (real, simulated) = (bgctl::gates::watch::Watch::new(&self.plan).unwrap(), SimWatch(self.sim.clone()));
        let watch: &dyn Watch = if self.real_watch { &Gates(real) } else { &simulated };
        let run = Run {
            id: "run",
            plan: &self.plan,
            steps: &steps,
            world: &world,
            people: &self.sim,
            control: &self.sim,
            watch,
            keep: &|_, _| Ok(()),
            request: &|at, until, _| format!("{at:?} {until:?}"),
            deadlines: world.clock.as_ref(),
            rules: &self.sim,
            automatic_used: self.sim.scenario.automatic_used,
        };
        let clock = self.sim.clock.clone();
        clock.run(drive(&run, &facts, &mut self.journal, &mut Deaf))
    }

    /// A person's `rollback`, by a process of its own: it reads every route, and writes what it saw and that it goes back. A run
    /// that has ended is gone back from by a run of its own.
    pub fn roll_back(&mut self) -> Result<Result<End, Broken>, Crashed> {
        let events = self.journal.events();
        let over = |e: &Event| matches!(e, Event::Ended { .. } | Event::Refused { .. });
        if events.iter().any(over) || events.is_empty() {
            self.plan.purpose = Purpose::RollbackOf("the run before".into());
            self.journal = SimJournal::new(&self.sim);
            return self.process();
        }
        self.go_on(true)
    }

    /// To the end, without a crash on the way.
    pub fn end(&mut self) -> End {
        self.process().expect("no crash was asked for").expect("the journal can be written")
    }

    /// The log as `(kind, data)`.
    pub fn log(&self) -> Vec<(&str, &Value)> {
        self.journal.entries.iter().map(|entry| (entry.kind.as_str(), &entry.data)).collect()
    }

    fn steps(&self) -> Steps {
        let build = |step: &PlannedStep| -> Box<dyn Step> {
            match step.kind.as_str() {
                "watch" => Box::new(Wait { sim: self.sim.clone(), judges: true, tens: self.waits }),
                "wait" => Box::new(Wait { sim: self.sim.clone(), judges: false, tens: self.waits }),
                "tell" => Box::new(Tell),
                kind => (KINDS.iter().find(|k| k.name == kind).unwrap().build)(step, &self.plan).unwrap(),
            }
        };
        let all = |lane: &[PlannedStep]| lane.iter().map(build).collect();
        Steps { forward: all(&self.plan.forward), rollback: all(&self.plan.rollback) }
    }
}

struct Gates(bgctl::gates::watch::Watch);

#[async_trait(?Send)]
impl Watch for Gates {
    async fn breach(&self, world: &World, scribe: &dyn Scribe) -> Breach {
        self.0.breach("a wait", world, scribe).await
    }
}

/// Only waits; as `watch` it fails when green answers with errors while users are on it.
struct Wait {
    sim: Rc<Sim>,
    judges: bool,
    tens: u32,
}

#[async_trait(?Send)]
impl Step for Wait {
    fn only_waits(&self) -> bool {
        true
    }

    async fn execute(&self, world: &World, _: &dyn Scribe) -> Outcome {
        for _ in 0..self.tens {
            world.clock.sleep(s(10)).await;
            let ill = self.sim.scenario.green_errors.is_some_and(|at| at <= self.sim.clock.time());
            if self.judges && ill && world.routes.keys().any(|route| self.sim.split_of(route).green > 0) {
                return Outcome::failed(Cause::Gate, "errors on GREEN");
            }
        }
        Outcome::done("quiet")
    }
}

struct Tell;

#[async_trait(?Send)]
impl Step for Tell {
    async fn execute(&self, world: &World, _: &dyn Scribe) -> Outcome {
        let argv = vec!["tell".to_string()];
        let command = Command { argv, env: BTreeMap::new(), directory: None, input: Vec::new(), timeout: s(10) };
        match world.processes.run(&command, &mut |_, _| ()).await {
            Ok(_) => Outcome::done("told"),
            Err(error) => Outcome::failed(Cause::Action, error.to_string()),
        }
    }
}

struct Deaf;

impl Reporter for Deaf {
    fn record(&mut self, _: &Entry) {}
}

/// A wait of two minutes, 10 %, a watch of two minutes, everybody, a watch of two minutes; and back, then a wait as long.
pub fn night() -> Plan {
    let forward = vec![
        step("before", "watch", Value::Null),
        shift("shift-10", "web", 0, 100),
        step("watch-10", "watch", Value::Null),
        shift("shift-100", "web", 100, 1000),
        step("watch-100", "watch", Value::Null),
    ];
    plan(&["web"], forward, vec![shift("back", "web", 1000, 0), step("rest", "wait", Value::Null)], json!({}))
}

/// Whoever sits at the terminal.
pub fn operator() -> Actor {
    Actor { name: "operator".into(), via: "key".into() }
}
