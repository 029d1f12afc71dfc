//! Vectors of the plan, the facts and the evidence: signed by the right keys, and against the rules of a run.

use std::rc::Rc;

use bgctl::plan::{Plan, Purpose, Split};
use bgctl::run::{Actor, Cause, Event, Found, Outcome, RunOutcome};
use bgctl::sign::hmac::SharedKey;
use bgctl::sign::{Signer, trust};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Vector;
use super::keys::key;
use super::scribe::{Scribe, back};
use super::sound::{fails, unasked};
use crate::contradictions::{ROWS, Records, honest, looked, nth, whole};
use crate::forge::Forge;
use crate::rig::*;

const DAVE: &str = "dave@example.com";

pub fn vectors() -> Vec<Vector> {
    let mut all = plans();
    all.extend(facts());
    all.extend(contradictions());
    all.extend(back_and_ends());
    all.extend(machine());
    all
}

/// A log of a plan whose text is written otherwise; the owner signs the digest of that text.
fn written(change: impl Fn(&str) -> String) -> Vec<u8> {
    let mut run = Scribe::with(unasked(), Rc::new(owner()), |forge| forge.plan = change(&forge.plan));
    run.arm();
    run.step(0, &[]);
    run.step(1, &[]);
    run.end();
    run.left("closed")
}

fn plans() -> Vec<Vector> {
    let of = |rule, variant, log| Vector::new(rule, variant, log).policy("plan.loaded", 0);
    let form = |variant, from: &str, to: &str| {
        let log = written(|text| {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{variant} changes nothing");
            other
        });
        of("plan-form", variant, log)
    };
    let mut digest = Forge::new();
    let text = digest.plan.clone();
    digest.statement("run.opened");
    digest.line("plan.loaded", &json!({ "sha256": "ab".repeat(32), "text": text })).seal();
    let mut other = Forge::new();
    let text = other.plan.replacen("GREEN to", "GREEN at", 1);
    other.statement("run.opened");
    other.line("plan.loaded", &json!({ "sha256": sha256(text.as_bytes()), "text": text })).seal();
    let service = |name: &'static str| {
        let mut run = Scribe::with(plan(), Rc::new(owner()), |forge| forge.says.push((name, "other".into())));
        run.arm();
        run.left("handover")
    };
    let dave = Scribe::with(plan(), Rc::new(key(4)), |forge| forge.says.push(("owner", DAVE.into()))).walked();
    let list = trust::line(OWNER, &owner().public())
        + &trust::line(APPROVER, &approver().public())
        + &trust::line(DAVE, &key(4).public());
    let mut resumed = Scribe::new();
    resumed.first();
    resumed.left("handover");
    resumed.resumes(DAVE, Rc::new(key(4)));
    let shared = || SharedKey::new(&[5; 32], "shared_key").unwrap();
    let mut team = Plan { ..plan() };
    team.team.policy_sha256 = "ab".repeat(32);
    team.team.shared_key_refused = true;
    let by_shared = Scribe::with(team.clone(), Rc::new(shared()), |_| {}).sealed();
    team.team.shared_key_refused = false;
    team.team.security_key_required = true;
    vec![
        of("plan-digest", "", digest.bytes()),
        of("plan-digest", "other-text", other.bytes()),
        form("not-json", "{\"bgctl_plan\"", "{bgctl_plan"),
        form("missing", "\"warnings\":[]", "\"warning\":[]"),
        form("more", "\"warnings\":[]", "\"warnings\":[],\"more\":1"),
        form("more-in-a-step", "\"place\":", "\"more\":1,\"place\":"),
        form("order", "\"attempts\":1,\"timeout_s\":60", "\"timeout_s\":60,\"attempts\":1"),
        form("blank", "\"service\":", " \"service\":").script("NOT CHECKED", "it names what it does not write so"),
        form("default", "\"schema_safe\":true,", "\"schema_safe\":true,\"pause_at_most_s\":1800,"),
        form(
            "list-for-object",
            "{\"route\":\"web\",\"before\":{\"blue\":100,\"green\":0},\"after\":{\"blue\":90,\"green\":10}}",
            "[\"web\",[100,0],[90,10]]",
        ),
        form("version", "\"bgctl_plan\":1", "\"bgctl_plan\":2"),
        form("type", "\"attempts\":1", "\"attempts\":\"1\""),
        form("name", &format!("\"owners\":[\"{OWNER}\"]"), "\"owners\":[\"*\"]"),
        of("plan-service", "", service("service")),
        of("plan-service", "environment", service("environment")),
        of("plan-owner", "", dave).by(list.clone()),
        Vector::new("plan-owner", "resumed", resumed.sealed()).by(list).policy("run.resumed", 0),
        of("plan-shared", "", by_shared).with("shared_key", vec![5; 32]).script("BROKEN", "it has no shared keys"),
        of("plan-hardware", "", Scribe::of(team).sealed()),
    ]
}

/// The records of a run under one seal, closed.
pub fn forged(records: &Records) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.plan = whole().canonical();
    forge.open();
    for (kind, data) in records {
        forge.pass(SignedDuration::from_secs(1)).line(kind, data);
    }
    forge.seal().close()
}

/// The honest run, changed, as far as the nth record of a type.
fn cut(change: impl FnOnce(&mut Records), kind: &str, n: usize) -> Vec<u8> {
    let mut records = honest();
    change(&mut records);
    let last = records.iter().enumerate().filter(|(_, record)| record.0 == kind).nth(n).unwrap().0;
    records.truncate(last + 1);
    let mut forge = Forge::new();
    forge.plan = whole().canonical();
    forge.open();
    for (kind, data) in &records {
        forge.pass(SignedDuration::from_secs(1)).line(kind, data);
    }
    forge.seal().bytes()
}

/// The honest run, changed.
fn changed(change: impl FnOnce(&mut Records)) -> Vec<u8> {
    let mut records = honest();
    change(&mut records);
    forged(&records)
}

fn facts() -> Vec<Vector> {
    let form = |variant, kind: &str, n: usize, change: fn(&mut Value)| {
        let log = cut(|records| change(nth(records, kind, n)), kind, n);
        Vector::new("fact-form", variant, log).policy(kind, n)
    };
    let mut policy = unasked();
    policy.team.policy_sha256 = "ab".repeat(32);
    let mut other = Scribe::with(policy.clone(), Rc::new(owner()), |_| {});
    other.arm();
    other.left("handover");
    other.forge.says.clear();
    other.forge.says.push(("policy_sha256", "cd".repeat(32)));
    other.resumes(OWNER, Rc::new(owner()));
    other.step(0, &[]);
    vec![
        form("missing", "step.intent", 1, |data| drop(data.as_object_mut().unwrap().shift_remove("approvals"))),
        form("type", "step.intent", 1, |data| data["attempt"] = json!("1")),
        form("word", "step.outcome", 1, |data| data["outcome"]["is"] = json!("finished")),
        form("negative", "step.intent", 1, |data| data["attempt"] = json!(-1)),
        form("list-for-object", "step.outcome", 1, |data| data["step"] = json!(["forward", 1])),
        form("object-for-word", "step.outcome", 1, |data| data["step"]["lane"] = json!({ "forward": null })),
        form("list-for-outcome", "step.outcome", 1, |data| data["outcome"] = json!(["done", "done", null])),
        form("list-for-split", "users.seen", 0, |data| data["routes"]["web"]["split"] = json!([0, 100])),
        Vector::new("fact-step", "", cut(|r| nth(r, "step.outcome", 1)["id"] = json!("shift-50"), "step.outcome", 1))
            .policy("step.outcome", 1),
        Vector::new(
            "fact-step",
            "index",
            cut(|r| nth(r, "step.outcome", 1)["step"]["index"] = json!(9), "step.outcome", 1),
        )
        .policy("step.outcome", 1),
        Vector::new(
            "intent-step",
            "",
            cut(|r| nth(r, "step.intent", 1)["step_sha256"] = json!("ab".repeat(32)), "step.intent", 1),
        )
        .policy("step.intent", 1),
        Vector::new(
            "intent-line",
            "",
            cut(|r| nth(r, "step.intent", 1)["line"] = json!("GREEN to 1%"), "step.intent", 1),
        )
        .policy("step.intent", 1),
        Vector::new("intent-line", "masked", changed(|r| nth(r, "step.intent", 0)["line"] = json!("smoke[secret]it"))),
        Vector::new(
            "intent-line",
            "masked-otherwise",
            changed(|r| nth(r, "step.intent", 0)["line"] = json!("smoke[secret]them")),
        )
        .policy("step.intent", 0),
        Vector::new("intent-attempt", "", cut(|r| nth(r, "step.intent", 1)["attempt"] = json!(2), "step.intent", 1))
            .policy("step.intent", 1),
        Vector::new("intent-policy", "", other.sealed()).policy("step.intent", 0),
    ]
}

/// A rule and a variant; kind and name of a row; where its breach is seen.
type OfRow = (&'static str, &'static str, &'static str, &'static str, (&'static str, usize));

/// Rows of contradictions, each under the rule that it breaks.
const OF_ROWS: &[OfRow] = &[
    ("evidence-form", "", "gate.evaluated", "with a verdict nobody knows", ("gate.evaluated", 0)),
    ("evidence-form", "stack", "traffic.health", "of a stack that is none", ("traffic.health", 1)),
    ("evidence-step", "", "gate.evaluated", "of a step the plan does not have", ("gate.evaluated", 0)),
    ("evidence-step", "check", "check.done", "of a step the plan does not have", ("check.done", 1)),
    ("evidence-step", "output", "command.output", "of a step the plan does not have", ("command.output", 0)),
    ("evidence-gate", "", "gate.evaluated", "of a gate the plan does not have", ("gate.evaluated", 0)),
    ("evidence-route", "", "traffic.read", "of a route the plan does not have", ("traffic.read", 0)),
    ("evidence-route", "call", "provider.called", "to a route the plan does not have", ("provider.called", 0)),
    ("evidence-stack", "", "drain.measured", "the other stack was measured", ("drain.measured", 0)),
    ("users-route", "", "users.seen", "of a route the plan does not have", ("users.seen", 0)),
    ("done-check", "", "check.done", "a check failed, and its step is done", ("step.outcome", 0)),
    ("done-checks", "", "check.done", "no check was made, and its step is done", ("step.outcome", 0)),
    ("done-gates", "", "gate.evaluated", "a gate failed, and its bake is done", ("step.outcome", 2)),
    ("done-gates", "unknown", "gate.evaluated", "nothing was known, and its bake is done", ("step.outcome", 2)),
    ("done-gates", "never", "gate.evaluated", "a gate of the bake was never judged", ("step.outcome", 2)),
    ("done-drained", "", "drain.measured", "work was in flight, and the drain is done", ("step.outcome", 4)),
    ("done-drained", "unknown", "drain.measured", "nothing was known, and the drain is done", ("step.outcome", 4)),
    ("done-drained", "never", "drain.measured", "nothing was measured", ("step.outcome", 4)),
    ("done-split", "", "step.outcome", "at another split than the plan's", ("step.outcome", 1)),
    ("done-read", "", "traffic.read", "a shift is done that was never read back", ("step.outcome", 1)),
    ("done-read", "elsewhere", "traffic.read", "a shift is done that was read elsewhere", ("step.outcome", 1)),
    ("done-sent", "", "provider.called", "a shift is done that was never sent", ("step.outcome", 1)),
    ("done-healthy", "", "traffic.health", "nobody looked at the receiving side", ("step.outcome", 1)),
    ("done-healthy", "ill", "traffic.health", "users were sent to an ill side", ("step.outcome", 1)),
    ("done-seen", "", "traffic.seen", "no response was looked at", ("step.outcome", 1)),
    ("done-seen", "other-side", "traffic.seen", "responses came from the other side", ("step.outcome", 3)),
    ("found-in-place", "", "step.reconciled", "found in place, and never read", ("step.reconciled", 0)),
    ("found-in-place", "elsewhere", "step.reconciled", "found in place, and read elsewhere", ("step.reconciled", 0)),
    ("found-elsewhere", "", "step.reconciled", "not found, and read in place", ("step.reconciled", 0)),
    ("found-elsewhere", "unread", "step.reconciled", "not found, and never read", ("step.reconciled", 0)),
    ("ended-read", "", "traffic.read", "users were last read on blue, and the run completed", ("run.ended", 0)),
    ("machine", "users-elsewhere", "users.seen", "users are not where the run says", ("run.ended", 0)),
    ("machine", "rolled-back-on-green", "run.ended", "rolled back, with everybody on green", ("run.ended", 0)),
    ("machine", "stopped-and-moved", "run.ended", "stopped, with everybody moved", ("run.ended", 0)),
    ("machine", "override", "override.used", "and the run ended as if nobody had", ("run.ended", 0)),
];

fn contradictions() -> Vec<Vector> {
    let mut all = Vec::new();
    for (rule, variant, kind, name, (at, n)) in OF_ROWS {
        let row = ROWS.iter().find(|row| (row.0, row.1) == (*kind, *name));
        let row = row.unwrap_or_else(|| panic!("no row {kind}, {name}"));
        all.push(Vector::new(rule, variant, cut(row.2, at, *n)).policy(at, *n));
    }
    for (variant, found, green) in [("sound", "in-place", 10), ("sound", "not-in-place", 0)] {
        let rule = if found == "in-place" { "found-in-place" } else { "found-elsewhere" };
        all.push(Vector::new(rule, variant, changed(|records| looked(records, found, Some(green)))));
    }
    let form = |variant, kind: &'static str, n: usize, change: fn(&mut Value)| {
        let log = cut(|records| change(nth(records, kind, n)), kind, n);
        Vector::new("evidence-form", variant, log).policy(kind, n)
    };
    all.push(form("list-for-split", "traffic.read", 0, |data| data["split"] = json!([90, 10])));
    all.push(form("object-for-word", "gate.evaluated", 0, |data| data["verdict"] = json!({ "pass": null })));
    let listed = changed(|records| nth(records, "step.outcome", 1)["outcome"]["facts"]["after"] = json!([50, 50]));
    all.push(Vector::new("done-split", "list", listed));
    all
}

/// A way back with a stop on it.
fn ramp() -> Plan {
    let mut plan = unasked();
    let mut half = plan.rollback[0].clone();
    half.id = "half".into();
    let moves = half.moves.as_mut().unwrap();
    moves.after = Split { blue: 50, green: 50 };
    plan.rollback.insert(0, half);
    plan
}

fn back_and_ends() -> Vec<Vector> {
    // Users are on blue already, where the first stop would take half of them.
    let stays = |before: Split, read: Option<Split>| {
        let mut run = Scribe::of(ramp());
        run.arm();
        run.step(0, &[]);
        fails(&mut run);
        run.begin(back(0), 1, &[]);
        if let Some(split) = read {
            run.forge.record("traffic.read", &json!({ "route": "web", "split": split, "ms": 3 }));
        }
        let facts = json!({ "before": before, "after": Split::ALL_BLUE });
        run.ends(back(0), Outcome::done("already there").with(facts));
        run.goes_back(back(1), &[]);
        run.users(Split::ALL_BLUE);
        run.ended(RunOutcome::RolledBack);
        run.left("closed")
    };
    let half = Split { blue: 50, green: 50 };
    let mut early = Scribe::new();
    early.first();
    let mut late = Scribe::new();
    late.walk();
    vec![
        Vector::new("done-stays", "sound", stays(Split::ALL_BLUE, Some(Split::ALL_BLUE))),
        Vector::new("done-stays", "unread", stays(Split::ALL_BLUE, None)),
        Vector::new("done-stays", "", stays(half, Some(Split::ALL_BLUE))).policy("step.outcome", 2),
        Vector::new("done-stays", "elsewhere", stays(Split::ALL_BLUE, Some(half))).policy("step.outcome", 2),
        Vector::new("closed-early", "", early.left("closed")).policy_at_end(),
        Vector::new("handover-late", "", late.left("handover")).policy_at_end(),
    ]
}

fn machine() -> Vec<Vector> {
    let why = "it does not play every fact through the state machine";
    let of =
        |variant, mut run: Scribe, kind: &str, n: usize| Vector::new("machine", variant, run.sealed()).policy(kind, n);
    let began = || {
        let mut run = Scribe::of(unasked());
        run.arm();
        run.step(0, &[]);
        run
    };
    let person = || Actor { name: OWNER.into(), via: "command".into() };

    let mut unread = Scribe::of(unasked());
    unread.arm();
    unread.intent(0, &[]);
    unread.ends(at(0), Outcome::failed(Cause::Destination, "GREEN is not well"));
    unread.write(&Event::UsersSeen { routes: [].into(), settled: true });
    unread.ended(RunOutcome::Stopped);
    let mut unarmed = Scribe::of(unasked());
    unarmed.intent(0, &[]);
    let mut twice = began();
    twice.step(0, &[]);
    let mut skipped = Scribe::of(unasked());
    skipped.arm();
    skipped.intent(1, &[]);
    let mut no_intent = began();
    no_intent.done(1);
    let mut behind = Scribe::of(unasked());
    behind.arm();
    behind.step(0, &[]);
    behind.step(1, &[]);
    behind.end();
    behind.write(&Event::Paged { delivered: true, line: "later".into() });
    let mut no_rollback = began();
    no_rollback.begin(back(0), 1, &[]);
    let mut forward_again = began();
    fails(&mut forward_again);
    forward_again.intent(1, &[]);
    let mut held = Scribe::of(unasked());
    held.arm();
    held.write(&Event::Held { by: person(), line: "nobody has moved".into() });
    let mut continued = began();
    continued.write(&Event::Continued { by: person() });
    let mut declined = began();
    declined.write(&Event::RollbackDeclined { by: person(), why: "no".into() });
    let mut unpaused = began();
    unpaused.write(&Event::Unpaused { step: at(1), line: "free".into() });
    let mut halted = began();
    fails(&mut halted);
    halted.begin(back(0), 1, &[]);
    halted.ends(back(0), Outcome::failed(Cause::Drift, "somebody else writes"));
    halted.ended(RunOutcome::Halted);
    let mut early = began();
    early.users(Split { blue: 90, green: 10 });
    early.ended(RunOutcome::Completed);
    let mut landed = began();
    landed.write(&Event::WriteLanded {
        step: at(0),
        id: "shift-10".into(),
        found: Split::ALL_BLUE,
        line: "late".into(),
    });
    let mut overdue = began();
    fails(&mut overdue);
    overdue.write(&Event::RollbackOverdue { step: back(0), id: "back".into(), line: "its time is over".into() });
    let mut reconciled = began();
    let found =
        Event::StepReconciled { step: at(1), id: "shift-100".into(), found: Found::InPlace, line: "looked".into() };
    reconciled.write(&found);
    let mut no_changes = Scribe::of(unasked());
    no_changes.arm();
    no_changes.ended(RunOutcome::NoChanges);
    let mut unblessed = Scribe::of(Plan { purpose: Purpose::RollbackOf("20261121-0200-abc".into()), ..unasked() });
    unblessed.arm();
    unblessed.step(0, &[]);
    let mut rearmed = began();
    rearmed.arm();
    vec![
        of("not-armed", unarmed, "step.intent", 0),
        of("stopped-unread", unread, "run.ended", 0).script("INTERRUPTED", why),
        of("step-twice", twice, "step.intent", 1),
        of("step-skipped", skipped, "step.intent", 0),
        of("no-intent", no_intent, "step.outcome", 1),
        of("behind-the-end", behind, "run.paged", 0),
        of("no-rollback", no_rollback, "step.intent", 1),
        of("forward-again", forward_again, "step.intent", 2),
        of("held-unmoved", held, "run.held", 0).script("NOT CHECKED", why),
        of("continued", continued, "run.continued", 0),
        of("declined", declined, "rollback.declined", 0).script("NOT CHECKED", why),
        of("unpaused", unpaused, "run.unpaused", 0),
        of("halted-unpaged", halted, "run.ended", 0).script("INTERRUPTED", why),
        of("completed-early", early, "run.ended", 0),
        of("landed", landed, "write.landed", 0).script("INTERRUPTED", why),
        of("overdue", overdue, "rollback.overdue", 0).script("INTERRUPTED", why),
        of("found-unbegun", reconciled, "step.reconciled", 0),
        of("no-changes", no_changes, "run.ended", 0).script("INTERRUPTED", why),
        of("forward-in-a-rollback", unblessed, "step.intent", 0).script("INTERRUPTED", why),
        of("armed-twice", rearmed, "rollback.armed", 1),
    ]
}
