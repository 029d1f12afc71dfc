//! Records that contradict each other, or the plan: signed by the right keys, in the right order, and untrue of each other.
//! One row for each pair that can; each is judged by bgctl and by the script of standard tools.

use std::collections::BTreeSet;

use bgctl::audit::{SCRIPT, Verdict};
use bgctl::plan::{Plan, PlannedStep, Resume, SeenAt};
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Signer, namespace};
use serde_json::{Value, json};

use crate::differ::{Bench, class};
use crate::forge::Forge;
use crate::rig::*;
use bgctl::journal::Seals;

/// The records of a run, type and data.
pub type Records = Vec<(String, Value)>;
/// What a row does to the records of an honest run, and the words of the breach.
pub type Row = (&'static str, &'static str, fn(&mut Records), &'static str);

/// A smoke test, a shift with its bake, another shift and a drain.
pub fn whole() -> Plan {
    let mut plan = plan();
    plan.gates = [("errors", json!({})), ("p99", json!({}))].map(|(name, gate)| (name.to_string(), gate)).into();
    let seen_at = SeenAt {
        url: "http://bot.test".into(),
        header: "x-version".into(),
        samples: 200,
        tolerance: 50,
        headers: Default::default(),
    };
    plan.routes.get_mut("web").unwrap().seen_at = Some(seen_at);
    let step = |id: &str, kind: &str, config: Value| PlannedStep {
        id: id.into(),
        kind: kind.into(),
        line: format!("{kind} it"),
        config,
        resume: Resume::Repeat,
        moves: None,
        approval: None,
        ..plan.forward[0].clone()
    };
    let [mut ten, hundred] = [0, 1].map(|n| plan.forward[n].clone());
    ten.approval = None;
    ten.attempts = 2;
    let smoke = step("smoke", "smoke", json!({ "stack": "green" }));
    let bake = step("bake-10", "bake", json!({ "gates": ["errors", "p99"] }));
    let drain = step("drain", "drain", json!({ "stack": "blue", "at_timeout": "ask" }));
    plan.forward = vec![smoke, ten, bake, hundred, drain];
    plan
}

pub fn stepped(index: usize) -> (Value, PlannedStep) {
    (json!({ "lane": "forward", "index": index }), whole().step(at(index)).clone())
}

pub fn intent(index: usize) -> (String, Value) {
    let (at, step) = stepped(index);
    let (id, line, sha256) = (&step.id, &step.line, step.sha256());
    let data = json!({ "step": at, "id": id, "attempt": 1, "line": line, "step_sha256": sha256, "approvals": [] });
    ("step.intent".into(), data)
}

pub fn done(index: usize) -> (String, Value) {
    let (at, step) = stepped(index);
    let facts = step.moves.as_ref().map(|change| json!({ "before": change.before, "after": change.after }));
    let outcome = json!({ "is": "done", "line": "done", "facts": facts });
    ("step.outcome".into(), json!({ "step": at, "id": step.id, "outcome": outcome }))
}

/// The three witnesses of a move, and its call.
pub fn arrived(index: usize) -> Records {
    let change = stepped(index).1.moves.unwrap();
    let mut all: Records = witnesses(&change)
        .iter()
        .map(|seen| {
            let mut value = serde_json::to_value(seen).unwrap();
            (value["type"].as_str().unwrap().to_string(), value["data"].take())
        })
        .collect();
    let (blue, green) = (change.after.blue * 2, change.after.green * 2);
    let seen = json!({ "route": "web", "samples": 200, "blue": blue, "green": green, "other": 0, "agrees": true });
    all.push(("traffic.seen".into(), seen));
    all
}

pub fn gate(name: &str, verdict: &str) -> (String, Value) {
    let data = json!({ "step": "bake-10", "gate": name, "verdict": verdict, "green": "0.1%", "blue": null, "limit": "0.5%",
        "requests": null, "line": "0.1%", "window": 1, "windows": 1 });
    ("gate.evaluated".into(), data)
}

pub fn check(step: &str, verdict: &str) -> (String, Value) {
    ("check.done".into(), json!({ "step": step, "check": "signature", "verdict": verdict, "ms": 3, "line": "" }))
}

pub fn drained(left: Value) -> (String, Value) {
    ("drain.measured".into(), json!({ "step": "drain", "stack": "blue", "in_flight": left, "after_ms": 9 }))
}

pub fn honest() -> Records {
    let mut all: Records =
        vec![("rollback.armed".into(), json!({ "approvals_ahead": false, "automatic_used": 0, "checks": [] }))];
    all.extend([intent(0), check("smoke", "pass"), done(0), intent(1)]);
    all.extend(arrived(1));
    all.extend([done(1), intent(2), gate("errors", "fail"), gate("errors", "pass"), gate("p99", "pass"), done(2)]);
    all.push(intent(3));
    all.extend(arrived(3));
    all.extend([done(3), intent(4), drained(json!("0")), done(4)]);
    let seen = json!({ "web": { "split": { "blue": 0, "green": 100 }, "line": "BLUE 0 GREEN 100" } });
    all.push(("users.seen".into(), json!({ "routes": seen, "settled": true })));
    all.push(("run.ended".into(), json!({ "outcome": "completed", "line": "every step is done" })));
    all
}

/// The data of the nth record of a type.
pub fn nth<'r>(records: &'r mut Records, kind: &str, n: usize) -> &'r mut Value {
    &mut records.iter_mut().filter(|(k, _)| k == kind).nth(n).unwrap_or_else(|| panic!("no {kind} {n}")).1
}

pub fn remove(records: &mut Records, kind: &str, n: usize) {
    let at = records.iter().enumerate().filter(|(_, (k, _))| k == kind).nth(n).unwrap().0;
    records.remove(at);
}

/// Puts a record behind the nth of a type.
pub fn behind(records: &mut Records, kind: &str, n: usize, new: (String, Value)) {
    let at = records.iter().enumerate().filter(|(_, (k, _))| k == kind).nth(n).unwrap().0;
    records.insert(at + 1, new);
}

/// The reply of the first shift was lost; then it was looked for, and this was found, with this read.
pub fn looked(records: &mut Records, found: &str, green: Option<u32>) {
    let (at, step) = stepped(1);
    let first = records.iter().position(|(kind, _)| kind == "provider.called").unwrap();
    let end = records.iter().enumerate().filter(|(_, (kind, _))| kind == "step.outcome").nth(1).unwrap().0;
    let unknown = json!({ "is": "unknown", "line": "no reply", "facts": null });
    let mut new = vec![("step.outcome".to_string(), json!({ "step": at, "id": step.id, "outcome": unknown }))];
    let split = green.map(|green| json!({ "blue": 100 - green, "green": green }));
    new.extend(split.map(|split| ("traffic.read".to_string(), json!({ "route": "web", "split": split, "ms": 3 }))));
    if found == "in-place" {
        new.extend(arrived(1).into_iter().skip(2));
    }
    let data = json!({ "step": at, "id": step.id, "found": found, "line": "looked" });
    new.push(("step.reconciled".into(), data));
    if found == "not-in-place" {
        let (kind, mut data) = intent(1);
        data["attempt"] = json!(2);
        new.push((kind, data));
        new.extend(arrived(1));
        new.push(done(1));
    }
    records.splice(first..=end, new);
}

pub const ROWS: &[Row] = &[
    (
        "gate.evaluated",
        "a gate failed, and its bake is done",
        |r| nth(r, "gate.evaluated", 1)["verdict"] = json!("fail"),
        "had not passed",
    ),
    (
        "gate.evaluated",
        "nothing was known, and its bake is done",
        |r| nth(r, "gate.evaluated", 2)["verdict"] = json!("unknown"),
        "had not passed",
    ),
    ("gate.evaluated", "a gate of the bake was never judged", |r| remove(r, "gate.evaluated", 2), "had not passed"),
    (
        "gate.evaluated",
        "of a gate the plan does not have",
        |r| nth(r, "gate.evaluated", 0)["gate"] = json!("p50"),
        "gate `p50`",
    ),
    (
        "gate.evaluated",
        "of a step the plan does not have",
        |r| nth(r, "gate.evaluated", 0)["step"] = json!("bake-20"),
        "step `bake-20`",
    ),
    (
        "gate.evaluated",
        "with a verdict nobody knows",
        |r| nth(r, "gate.evaluated", 0)["verdict"] = json!("good"),
        "cannot read",
    ),
    (
        "check.done",
        "a check failed, and its step is done",
        |r| nth(r, "check.done", 0)["verdict"] = json!("fail"),
        "did not pass",
    ),
    ("check.done", "no check was made, and its step is done", |r| remove(r, "check.done", 0), "none of its checks"),
    (
        "check.done",
        "of a step the plan does not have",
        |r| behind(r, "check.done", 0, check("tests", "pass")),
        "step `tests`",
    ),
    (
        "drain.measured",
        "work was in flight, and the drain is done",
        |r| nth(r, "drain.measured", 0)["in_flight"] = json!("3"),
        "3 were still in flight",
    ),
    (
        "drain.measured",
        "nothing was known, and the drain is done",
        |r| nth(r, "drain.measured", 0)["in_flight"] = json!(null),
        "was not known",
    ),
    ("drain.measured", "nothing was measured", |r| remove(r, "drain.measured", 0), "never measured"),
    (
        "drain.measured",
        "the other stack was measured",
        |r| nth(r, "drain.measured", 0)["stack"] = json!("green"),
        "other stack",
    ),
    (
        "drain.measured",
        "of a step the plan does not have",
        |r| nth(r, "drain.measured", 0)["step"] = json!("drain-2"),
        "step `drain-2`",
    ),
    (
        "command.output",
        "of a step the plan does not have",
        |r| {
            let data = json!({ "step": "x", "stream": "stdout", "text": "" });
            behind(r, "check.done", 0, ("command.output".into(), data));
        },
        "step `x`",
    ),
    ("provider.called", "a shift is done that was never sent", |r| remove(r, "provider.called", 0), "no call was sent"),
    (
        "provider.called",
        "to a route the plan does not have",
        |r| nth(r, "provider.called", 0)["route"] = json!("api"),
        "route `api`",
    ),
    ("traffic.read", "a shift is done that was never read back", |r| remove(r, "traffic.read", 0), "never read back"),
    (
        "traffic.read",
        "a shift is done that was read elsewhere",
        |r| nth(r, "traffic.read", 0)["split"] = json!({ "blue": 50, "green": 50 }),
        "was read at BLUE 50 GREEN 50",
    ),
    (
        "traffic.read",
        "of a route the plan does not have",
        |r| nth(r, "traffic.read", 0)["route"] = json!("api"),
        "route `api`",
    ),
    (
        "traffic.read",
        "users were last read on blue, and the run completed",
        |r| {
            remove(r, "users.seen", 0);
            let split = json!({ "blue": 100, "green": 0 });
            behind(r, "drain.measured", 0, ("traffic.read".into(), json!({ "route": "web", "split": split, "ms": 3 })));
        },
        "was read at BLUE 100 GREEN 0 last",
    ),
    (
        "traffic.health",
        "nobody looked at the receiving side",
        |r| remove(r, "traffic.health", 1),
        "nobody looked whether GREEN",
    ),
    (
        "traffic.health",
        "users were sent to an ill side",
        |r| nth(r, "traffic.health", 1)["healthy"] = json!(0),
        "GREEN had 0 healthy",
    ),
    (
        "traffic.health",
        "of a stack that is none",
        |r| nth(r, "traffic.health", 1)["stack"] = json!("red"),
        "cannot read",
    ),
    (
        "traffic.health",
        "of a route the plan does not have",
        |r| nth(r, "traffic.health", 1)["route"] = json!("api"),
        "route `api`",
    ),
    ("traffic.seen", "no response was looked at", |r| remove(r, "traffic.seen", 0), "no response of `web`"),
    (
        "traffic.seen",
        "responses came from the other side",
        |r| nth(r, "traffic.seen", 1)["agrees"] = json!(false),
        "did not agree",
    ),
    (
        "traffic.seen",
        "of a route the plan does not have",
        |r| nth(r, "traffic.seen", 1)["route"] = json!("api"),
        "route `api`",
    ),
    (
        "users.seen",
        "users are not where the run says",
        |r| nth(r, "users.seen", 0)["routes"]["web"]["split"] = json!({ "blue": 50, "green": 50 }),
        "cannot follow",
    ),
    (
        "users.seen",
        "of a route the plan does not have",
        |r| nth(r, "users.seen", 0)["routes"]["api"] = json!({ "split": null, "line": "" }),
        "route `api`",
    ),
    (
        "step.outcome",
        "at another split than the plan's",
        |r| nth(r, "step.outcome", 1)["outcome"]["facts"]["after"] = json!({ "blue": 50, "green": 50 }),
        "where the plan has BLUE 90 GREEN 10",
    ),
    (
        "step.outcome",
        "under another name",
        |r| nth(r, "step.outcome", 1)["id"] = json!("shift-50"),
        "not the step the plan has",
    ),
    (
        "step.outcome",
        "of a step beyond the plan",
        |r| nth(r, "step.outcome", 1)["step"]["index"] = json!(9),
        "no step of the plan",
    ),
    (
        "step.intent",
        "says of itself what the plan does not",
        |r| nth(r, "step.intent", 1)["line"] = json!("GREEN to 1%"),
        "what the plan does not say",
    ),
    (
        "step.intent",
        "under another name",
        |r| nth(r, "step.intent", 1)["id"] = json!("shift-50"),
        "not the step the plan has",
    ),
    (
        "step.intent",
        "a second attempt without a first",
        |r| nth(r, "step.intent", 1)["attempt"] = json!(2),
        "attempt 1 was due",
    ),
    ("step.intent", "no attempt at all", |r| nth(r, "step.intent", 3)["attempt"] = json!(0), "attempt 1 was due"),
    ("step.reconciled", "found in place, and never read", |r| looked(r, "in-place", None), "never read back"),
    (
        "step.reconciled",
        "found in place, and read elsewhere",
        |r| looked(r, "in-place", Some(0)),
        "was read at BLUE 100 GREEN 0",
    ),
    (
        "step.reconciled",
        "not found, and read in place",
        |r| looked(r, "not-in-place", Some(10)),
        "its split is not there",
    ),
    ("step.reconciled", "not found, and never read", |r| looked(r, "not-in-place", None), "was not read"),
    (
        "step.reconciled",
        "under another name",
        |r| {
            looked(r, "not-in-place", Some(0));
            nth(r, "step.reconciled", 0)["id"] = json!("x");
        },
        "not the step the plan has",
    ),
    (
        "run.ended",
        "rolled back, with everybody on green",
        |r| nth(r, "run.ended", 0)["outcome"] = json!("rolled-back"),
        "cannot follow",
    ),
    (
        "run.ended",
        "stopped, with everybody moved",
        |r| nth(r, "run.ended", 0)["outcome"] = json!("stopped"),
        "cannot follow",
    ),
    (
        "override.used",
        "and the run ended as if nobody had",
        |r| {
            let by = json!({ "name": OWNER, "via": "command" });
            behind(r, "users.seen", 0, ("override.used".into(), json!({ "guard": "schema", "by": by, "reason": "x" })));
        },
        "cannot follow",
    ),
];

/// What else a log has, and where its contradictions are found: by the machine that replays the facts, or by who counts the
/// approvals. The rest says nothing that another record denies.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("the bytes", &["run.opened", "run.resumed", "plan.loaded", "seal", "clock.anomaly", "recovered"]),
    (
        "the approvals",
        &["approval.requested", "approval.granted", "approval.denied", "approval.withdrawn", "approval.expired"],
    ),
    (
        "the machine",
        &[
            "rollback.armed",
            "rollback.begun",
            "rollback.declined",
            "rollback.overdue",
            "run.continued",
            "run.continues",
            "run.held",
            "run.interrupted",
            "run.paged",
            "run.paused",
            "run.refused",
            "run.unconfirmed",
            "run.unpaused",
            "schema.seen",
            "wait.breached",
            "write.landed",
        ],
    ),
    (
        "a person's or another service's word",
        &[
            "anchor.receipt",
            "freeze.changed",
            "note",
            "page.acknowledged",
            "page.escalated",
            "prompt.answered",
            "sink.degraded",
        ],
    ),
];

pub fn forged(records: &Records) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.plan = whole().canonical();
    forge.open();
    for (kind, data) in records {
        forge.record(kind, data);
    }
    forge.close()
}

#[test]
fn a18_every_type_of_record_is_in_the_table() {
    let kinds = SCRIPT.split("def kinds: [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let kinds: BTreeSet<&str> = kinds.split(',').map(|kind| kind.trim().trim_matches('"')).collect();
    let rows = ROWS.iter().map(|row| row.0).collect::<BTreeSet<_>>();
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().flat_map(|(_, kinds)| *kinds).copied().collect();
    assert_eq!(rows.intersection(&elsewhere).count(), 0);
    assert_eq!(&rows | &elsewhere, kinds);
}

#[test]
fn a18_records_that_contradict_each_other_are_a_breach() {
    let bench = Bench::new();
    let said = |name: &str, log: &[u8]| {
        let (ours, why) = class(log, Seals::All);
        if let Some(bench) = &bench {
            let path = bench.path("log");
            std::fs::write(&path, log).unwrap();
            let (theirs, said) = bench.script(&bench.shells[0], &path, &[]);
            assert_eq!(theirs, ours, "{name}: {why}\n{said}");
        }
        (ours, why)
    };
    let mut wrong = Vec::new();
    let mut changed: Vec<(&str, Records)> = vec![("as it was", honest())];
    for (name, found, green) in [("found", "in-place", 10), ("not found, and made again", "not-in-place", 0)] {
        let mut records = honest();
        looked(&mut records, found, Some(green));
        changed.push((name, records));
    }
    for (name, records) in &changed {
        let (verdict, why) = said(name, &forged(records));
        if verdict != "COMPLETE" {
            wrong.push(format!("{name}: {verdict} {why}"));
        }
    }
    for (kind, name, change, words) in ROWS {
        let mut records = honest();
        change(&mut records);
        let (verdict, why) = said(name, &forged(&records));
        if verdict != "POLICY" || !why.contains(words) {
            wrong.push(format!("{kind}, {name}: {verdict}, without {words:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a18_a_plan_for_another_service_than_the_owner_signed_is_a_breach() {
    for (name, other) in [("service", "payments"), ("environment", "staging")] {
        let mut forge = Forge::new();
        forge.says = vec![(name, other.to_string())];
        let log = forge.open().close();
        assert!(breaches(&log).iter().any(|what| what.contains("another service or environment")), "{name}");
    }
}

/// A log that its owner signed last in this state, after so many records.
fn left(state: &str, records: usize) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.plan = whole().canonical();
    forge.open();
    honest().iter().take(records).for_each(|(kind, data)| {
        forge.record(kind, data);
    });
    let note = forge.note(state);
    let sig = forge.owner.sign(namespace::CLOSE, note.as_bytes()).unwrap();
    forge.line("seal", &json!({ "note": note, "ns": namespace::CLOSE, "sig": sig })).bytes()
}

#[test]
fn a06_an_owner_cannot_end_a_log_otherwise_than_the_run_did() {
    let (bench, all) = (Bench::new(), honest().len());
    let failed = honest().iter().position(|(kind, _)| kind == "gate.evaluated").unwrap();
    // Before the gate that failed: in the middle of its bake; between two steps; before the first; behind the last.
    let moments = [(failed, Some("`bake-10`")), (failed - 1, None), (1, None), (all, None)];
    for state in ["aborted", "abandoned", "Closed", "", "closed ", "closed", "handover"] {
        for (records, open) in moments {
            let log = left(state, records);
            let wanted = match (state, records == all) {
                ("closed", true) => "COMPLETE",
                ("closed", false) | ("handover", true) => "POLICY",
                ("handover", false) => "INTERRUPTED",
                _ => "BROKEN",
            };
            let (ours, why) = class(&log, Seals::All);
            assert_eq!(ours, wanted, "{state:?} behind {records}: {why}");
            let report = report(&log);
            if wanted == "BROKEN" {
                assert!(
                    matches!(&report.verdict, Verdict::Broken(fault) if fault.to_string().contains("note")),
                    "{why}"
                );
            } else {
                assert_eq!(report.open.as_deref(), open, "{state:?} behind {records}");
            }
            if let Some(bench) = &bench {
                let path = bench.path("log");
                std::fs::write(&path, &log).unwrap();
                let (theirs, said) = bench.script(&bench.shells[0], &path, &[]);
                assert_eq!(theirs, wanted, "{state:?} behind {records}: {said}");
            }
        }
    }
}

/// Statements that one verifier read otherwise than another.
#[test]
fn a15_a_statement_that_can_be_read_in_two_ways_is_broken_for_all() {
    let bench = Bench::new();
    let (first, second) = (SessionKey::from_seed([3; 32]), SessionKey::from_seed([4; 32]));
    let two = format!("{}\nsession {}", first.public(), second.public());
    let rows: Vec<(&str, &'static str, String, Value)> = vec![
        ("a second session key", "session_key", two, json!({})),
        ("a line end behind the session key", "session_key", first.public() + "\r", json!({})),
        ("a line behind the owner's key", "owner_key", owner().public() + "\nx", json!({})),
        ("claims that are a text", "owner", OWNER.into(), json!("ci")),
        ("claims that are nothing", "owner", OWNER.into(), json!(null)),
    ];
    for (name, member, text, claims) in rows {
        let mut forge = Forge::new();
        (forge.says, forge.claims) = (vec![(member, text)], claims);
        let log = forge.open().bytes();
        let (ours, why) = class(&log, Seals::All);
        assert_eq!(ours, "BROKEN", "{name}: {why}");
        if let Some(bench) = &bench {
            let path = bench.path("log");
            std::fs::write(&path, &log).unwrap();
            let (theirs, said) = bench.script(&bench.shells[0], &path, &[]);
            assert_eq!(theirs, "BROKEN", "{name}: {said}");
        }
    }
}
