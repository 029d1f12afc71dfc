//! Vectors of logs in which nothing is wrong, of every kind and in every state.

use std::rc::Rc;

use bgctl::plan::{ApprovalRule, Plan, Purpose, Split};
use bgctl::run::{Actor, Cause, Event, Outcome, RunOutcome, Wish};
use bgctl::sign::hmac::SharedKey;
use bgctl::sign::{Signer, trust};
use jiff::SignedDuration;
use serde_json::json;

use super::Vector;
use super::keys::{Made, device, ecdsa, key};
use super::scribe::{Scribe, back};
use super::told::forged;
use super::trusted::{authority, beside, head, owned};
use crate::contradictions::honest;
use crate::rig::*;

fn sound(variant: &'static str, log: Vec<u8>) -> Vector {
    Vector::new("sound", variant, log)
}

pub fn vectors() -> Vec<Vector> {
    let mut all = vec![sound("closed", Scribe::new().walked())];
    all.extend(signed());
    all.extend(states());
    all.extend(ways());
    all.extend(more());
    all
}

/// By each kind of key.
fn signed() -> Vec<Vector> {
    let of = |owner: Rc<dyn Signer>| Scribe::with(plan(), owner, |_| {}).walked();
    let person = key(21);
    let job = Made {
        authority: 20,
        signs: 20,
        key: person.public_key(),
        user: 1,
        names: &[OWNER],
        valid: (1_790_000_000, 1_800_000_000),
        critical: &[],
    };
    let touched = device(5).public;
    let strict = Made { key: &touched, critical: &["verify-required"], ..job };
    let shared = || SharedKey::new(&[5; 32], "shared_key").unwrap();
    vec![
        sound("security-key", of(Rc::new(device(5)))).by(owned(&device(1).public())),
        sound("security-key-touched", of(Rc::new(device(0x41)))).by(owned(&device(1).public())),
        sound("ecdsa", of(Rc::new(ecdsa()))).by(owned(&ecdsa().public())),
        sound("certificate", of(Rc::new(job.signer(Box::new(key(21)))))).by(authority("", 20)),
        sound("certificate-verified", of(Rc::new(strict.signer(Box::new(device(5)))))).by(authority("", 20)),
        sound("shared-key", of(Rc::new(shared())))
            .with("shared_key", vec![5; 32])
            .script("BROKEN", "it has no shared keys"),
    ]
}

/// In each state of a log.
fn states() -> Vec<Vector> {
    let mut rests = Scribe::new();
    rests.first();
    let handed = rests.left("handover");
    let resumed = || {
        let mut run = Scribe::new();
        run.first();
        run.left("handover");
        run.resumes(OWNER, Rc::new(owner()));
        run.write(&Event::Resumed { by: Actor { name: OWNER.into(), via: "command".into() } });
        run
    };
    let mut again = resumed();
    again.step(1, &[]);
    again.end();
    let mut torn = Scribe::new();
    torn.first();
    torn.forge.pass(SignedDuration::from_secs(9)).mono = 0;
    torn.forge.statement("run.resumed");
    torn.forge
        .line("recovered", &json!({ "bytes": 13, "sha256": "ab".repeat(32), "kept_as": "log.jsonl.torn" }))
        .seal();
    torn.step(1, &[]);
    torn.end();
    let ended = || {
        let mut run = Scribe::new();
        run.walk();
        run.left("ended");
        run
    };
    let mut cut = Scribe::new();
    cut.first();
    vec![
        sound("handed-over", handed).is("INTERRUPTED"),
        sound("resumed", again.left("closed")),
        sound("resumed-behind-a-crash", torn.left("closed")),
        sound("interrupted", cut.sealed()).is("INTERRUPTED"),
        sound("ended", ended().sealed()).is("ENDED"),
        sound("signed-later", ended().left("closed")),
    ]
}

/// A plan whose steps nobody has to agree to.
pub fn unasked() -> Plan {
    let mut plan = plan();
    plan.forward[0].approval = None;
    plan
}

/// The second step has failed, and a rule sends users back.
pub fn fails(run: &mut Scribe) {
    run.intent(1, &[]);
    run.ends(at(1), Outcome::failed(Cause::Gate, "errors"));
    run.write(&Event::RollbackBegun { automatic: true, by: Actor::rule(), cause: "errors".into() });
}

/// As a run can go.
fn ways() -> Vec<Vector> {
    let person = || Actor { name: OWNER.into(), via: "command".into() };
    let mut rolled = Scribe::new();
    rolled.first();
    fails(&mut rolled);
    rolled.goes_back(back(0), &[]);
    rolled.users(Split::ALL_BLUE);
    rolled.ended(RunOutcome::RolledBack);

    let mut halted = Scribe::new();
    halted.first();
    fails(&mut halted);
    halted.begin(back(0), 1, &[]);
    halted.ends(back(0), Outcome::failed(Cause::Destination, "BLUE is not well"));
    halted.write(&Event::Paged { delivered: true, line: "somebody is called".into() });
    halted.ended(RunOutcome::Halted);

    let mut stopped = Scribe::of(unasked());
    stopped.arm();
    stopped.intent(0, &[]);
    stopped.ends(at(0), Outcome::failed(Cause::Destination, "GREEN is not well"));
    stopped.users(Split::ALL_BLUE);
    stopped.ended(RunOutcome::Stopped);

    let mut by_hand = Scribe::new();
    by_hand.first();
    by_hand.write(&Event::Interrupted { wish: Wish::RollBack, by: person(), line: "bgctl rollback".into() });
    by_hand.write(&Event::RollbackBegun { automatic: false, by: person(), cause: "by hand".into() });
    by_hand.goes_back(back(0), &[]);
    by_hand.users(Split::ALL_BLUE);
    by_hand.ended(RunOutcome::RolledBack);

    let plan = Plan { purpose: Purpose::RollbackOf("20261121-0200-abc".into()), ..unasked() };
    let mut later = Scribe::with(plan, Rc::new(key(4)), |forge| forge.says.push(("owner", "dave@example.com".into())));
    later.arm();
    later.goes_back(back(0), &[]);
    later.users(Split::ALL_BLUE);
    later.ended(RunOutcome::RolledBack);
    let list = trust::line("dave@example.com", &key(4).public());

    let mut paused = Scribe::new();
    paused.first();
    paused.intent(1, &[]);
    paused.ends(at(1), Outcome::failed(Cause::Frozen, "frozen"));
    let line = || "frozen".to_string();
    let until = paused.expires();
    paused.write(&Event::Paused { step: at(1), cause: Cause::Frozen, line: line(), until });
    paused.write(&Event::Paged { delivered: true, line: line() });
    paused.write(&Event::Unpaused { step: at(1), line: line() });
    paused.step(1, &[]);
    paused.end();
    vec![
        sound("rolled-back", rolled.left("closed")),
        sound("halted", halted.left("closed")),
        sound("stopped", stopped.left("closed")),
        sound("refused", Scribe::new().refused()),
        sound("by-hand", by_hand.left("closed")),
        sound("rollback-of", later.left("closed")).by(list),
        sound("paused", paused.left("closed")),
        sound("two-routes", two_routes()),
        sound("evidence", forged(&honest())),
        sound("covers-rollback", covered()),
    ]
}

/// Two routes that go back together.
fn two_routes() -> Vec<u8> {
    let mut plan = unasked();
    plan.routes.insert("api".into(), plan.routes["web"].clone());
    let mut other = plan.rollback[0].clone();
    other.id = "back-api".into();
    other.moves.as_mut().unwrap().route = "api".into();
    plan.rollback.push(other);
    let mut run = Scribe::of(plan);
    run.arm();
    run.step(0, &[]);
    fails(&mut run);
    run.begin(back(0), 1, &[]);
    run.begin(back(1), 1, &[]);
    for n in [1, 0] {
        run.arrived(back(n));
        run.ends(back(n), Outcome::done("back"));
    }
    run.users(Split::ALL_BLUE);
    run.ended(RunOutcome::RolledBack);
    run.left("closed")
}

/// Whoever approved the first step has approved the way back too.
pub fn covering() -> Plan {
    let mut plan = plan();
    let rule = plan.forward[0].approval.clone().unwrap();
    plan.rollback[0].approval = Some(rule.clone());
    plan.forward[0].approval = Some(ApprovalRule { covers_rollback: true, ..rule });
    plan
}

fn covered() -> Vec<u8> {
    let mut run = Scribe::of(covering());
    let sha256 = run.first();
    fails(&mut run);
    run.goes_back(back(0), &[sha256]);
    run.ended(RunOutcome::RolledBack);
    run.left("closed")
}

fn more() -> Vec<Vector> {
    // Every escape there is, names that sort otherwise, and a clock that is set back in a group that says so.
    let line =
        "\u{1b}[31m \u{202e}ä€😀 \u{7f}\u{85}\u{feff}\u{2028}\u{fffb}\u{180e}\u{61c} \0\u{1f} \"\\/\t\r\n\u{8}\u{c}";
    // As deep as values may be nested.
    let deep = (0..62).fold(json!(1), |deep, _| json!([deep]));
    let odd = json!({ "line": line, "deep": deep, "näme\u{200b}": [line, { "": [], "a": {} }], "n": -9_007_199_254_740_991i64 });
    let mut spelled = Scribe::new();
    spelled.first();
    spelled.forge.record("note", &odd);
    spelled.forge.now -= SignedDuration::from_secs(3600);
    spelled.forge.line("clock.anomaly", &json!({ "line": "the wall clock was set back" })).seal();
    spelled.step(1, &[]);
    spelled.end();
    let mut typed = plan();
    typed.forward[0].approval.as_mut().unwrap().own_run = true;
    let mut typed = Scribe::of(typed);
    typed.arm();
    let (_, sha256) = typed.ask();
    typed.grant(&sha256, OWNER, None);
    typed.step(0, &[sha256]);
    typed.step(1, &[]);
    typed.end();
    let options = "NAMESPACES=\"git,bgctl-*\",valid-after=\"20260101Z\"";
    let signers = format!(
        "# people\n\n \t{OWNER},other@example.com {options} {} x \"y\r\n{}",
        owner().public(),
        trust::line(APPROVER, &approver().public())
    );
    let log = Scribe::new().walked();
    let (copied, statement) = beside(&log, |_| {}, |_| {}, &owner());
    vec![
        sound("spelled", spelled.left("closed")),
        sound("typed", typed.left("closed")),
        sound("copy", copied)
            .with("log.jsonl.redaction", statement)
            .script("NOT CHECKED", "it reads no redacted copies"),
        sound("anchored", log.clone()).with("heads", head(&log).into_bytes()),
        sound("signers", log).by(signers),
    ]
}
