//! What every step must do before it is ever run, and in a world where nobody answers.

use std::time::Duration;

use bgctl::clock::Clock;
use bgctl::plan::{Plan, Resume, Split};
use bgctl::routers::Access;
use bgctl::run::Outcome;
use bgctl::steps::Kind;
use bgctl::world::Exit;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use crate::common::scripted::{Stage, no_answer, plan};
use crate::newcomer::ROUTERS;

/// Settings for each step.
pub fn places() -> Vec<(&'static str, Value)> {
    vec![
        ("warm", json!({ "stack": "green", "path": "/healthz/ready", "requests": 20 })),
        ("smoke", json!({ "stack": "green", "checks": ["signature"] })),
        ("migrate", json!({ "run": ["migrate"] })),
        ("ready", json!({ "stack": "blue", "by": { "run": ["ready"] }, "within": "1m" })),
        ("shift", json!({ "route": "web", "green": "10%" })),
        ("drain", json!({ "stack": "blue", "within": "2m", "at_timeout": "hold" })),
        ("bake", json!({ "for": "5m", "gates": ["depth"] })),
        ("command", json!({ "run": ["deploy"] })),
        ("announce", json!({ "slack": "${env:SLACK_WEBHOOK}", "text": "moved", "required": true })),
    ]
}

/// The plan of the settings: with a route, and a schema to migrate.
fn planned() -> Plan {
    let mut plan = serde_json::to_value(plan()).expect("a plan is data");
    plan["routes"]["web"] = json!({ "router": "alb", "config": {}, "line": "the rule", "seen_at": null,
        "before": { "blue": 100, "green": 0 }, "min_healthy": 1 });
    serde_json::from_value(plan).expect("a plan")
}

/// What every step must do.
pub fn suite(kind: &Kind, settings: &Value) {
    let schema = (kind.schema)(&mut SchemaGenerator::default()).to_value();
    assert!(schema.get("$ref").is_some() || schema.get("description").is_some(), "its keys are explained: {schema}");
    let plan = planned();

    // What a reader and the machine need to know before it runs.
    let facts = (kind.facts)(settings, &plan).unwrap_or_else(|mistakes| panic!("{settings}: {mistakes:?}"));
    assert!(!facts.line.is_empty() && facts.attempts > 0 && facts.timeout_s > 0, "{facts:?}");
    assert!(facts.expected_s <= facts.timeout_s, "it is expected to end within its time: {facts:?}");
    for nothing in [json!({ "no-such-key": 1 }), json!(7)] {
        assert!((kind.facts)(&nothing, &plan).is_err_and(|mistakes| !mistakes.is_empty()), "{nothing}");
    }

    // It is built from the plan alone, and leads to what its facts have promised.
    let moves = facts
        .moves
        .map(|(route, after)| json!({ "route": route, "before": Split::ALL_BLUE, "after": Split::of_green(after) }));
    let planned = json!({
        "id": "one", "kind": kind.name, "line": facts.line, "config": settings, "resume": facts.resume,
        "attempts": facts.attempts, "timeout_s": facts.timeout_s, "expected_s": facts.expected_s, "moves": moves,
        "approval": null, "on_failure": "roll-back", "place": "test.yaml:1",
    });
    let step = (kind.build)(&serde_json::from_value(planned).expect("a planned step"), &plan).expect("it is built");
    assert!(
        !step.only_waits() || facts.resume == Resume::Repeat,
        "what leaves no trace is repeated: {:?}",
        facts.resume
    );

    // Where nobody answers it ends within its time and does not say that it is done.
    let mut stage = Stage::with(|_, _| no_answer(), Vec::new(), Exit::Signal(9));
    let silent = (ROUTERS[0].open)(&json!({ "file": "/nowhere/split.json" }), &Access::default()).expect("a route");
    stage.world.routes.insert("web".into(), silent);
    let outcome = stage.clock.run(step.execute(&stage.world, &stage.notes)).expect("it ends");
    assert!(!matches!(outcome, Outcome::Done { .. }), "{}: {outcome:?}", kind.name);
    assert!(!outcome.line().is_empty());
    assert!(
        stage.clock.elapsed() <= Duration::from_secs(facts.timeout_s),
        "{}: {:?}",
        kind.name,
        stage.clock.elapsed()
    );
}
