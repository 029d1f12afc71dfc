//! Vectors of answers to requests: whose counts, and for what it is used.

use std::collections::BTreeMap;
use std::rc::Rc;

use bgctl::plan::{EvidenceLevel, Person, PersonKind, Plan, Team};
use bgctl::run::{Event, Grant, Outcome, RunOutcome};
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Signer, namespace, trust};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Vector;
use super::keys::{device, key};
use super::scribe::{Scribe, back};
use super::sound::{covering, fails};
use crate::rig::*;

const BOB: &str = "bob@example.com";

pub fn vectors() -> Vec<Vector> {
    let mut all = grants();
    all.extend(people());
    all.extend(refusals());
    all.extend(uses());
    all
}

/// Alice has two keys, Bob one; the owner is Olga, who starts jobs as `olga-gh`; `deploy` is a bot.
fn team(quorum: u32) -> Plan {
    let person = |principals: &[&str], ci: &[&str], kind| Person {
        principals: principals.iter().map(|name| name.parse().unwrap()).collect(),
        ci: ci.iter().map(|name| name.to_string()).collect(),
        kind,
    };
    use PersonKind::{Bot, Human};
    let persons = [
        ("alice", person(&[APPROVER, "alice@laptop"], &["alice-gh"], Human)),
        ("bob", person(&[BOB], &[], Human)),
        ("deploy", person(&["ci@example.com"], &["deploy-bot"], Bot)),
        ("olga", person(&[OWNER, "olga@home"], &["olga-gh"], Human)),
    ];
    let persons = persons.into_iter().map(|(name, person)| (name.to_string(), person)).collect::<BTreeMap<_, _>>();
    let mut plan = plan();
    plan.team = Team { policy_sha256: "ab".repeat(32), persons, ..Team::default() };
    let rule = plan.forward[0].approval.as_mut().unwrap();
    rule.members = ["alice", "bob", "deploy", "olga"].map(String::from).into();
    (rule.quorum, rule.evidence) = (quorum, EvidenceLevel::Signed);
    plan
}

/// Everybody's keys; the approver's is Bob's too.
fn list() -> String {
    let lines = [
        (OWNER, owner()),
        (APPROVER, approver()),
        ("alice@laptop", key(3)),
        (BOB, key(4)),
        ("ci@example.com", key(5)),
        ("olga@home", key(6)),
        (BOB, key(2)),
    ];
    lines.iter().map(|(who, key)| trust::line(who, &key.public())).collect()
}

fn granted(who: &str, by: &dyn Signer, space: &str, text: &str) -> Grant {
    let sig = Some(by.sign(space, text.as_bytes()).unwrap());
    Grant { principal: who.into(), evidence: "signed".into(), key: Some(by.fingerprint()), sig, prompt: None }
}

fn answer(run: &mut Scribe, sha256: &str, grant: Grant) {
    let (id, request_sha256) = ("shift-10".to_string(), sha256.to_string());
    run.write(&Event::ApprovalGranted { step: at(0), id, request_sha256, grant });
}

/// A run whose first step is answered so; and that goes on from there.
fn answered_of(mut run: Scribe, on: bool, give: impl Fn(&mut Scribe, &str, &str)) -> Vec<u8> {
    run.arm();
    let (text, sha256) = run.ask();
    give(&mut run, &text, &sha256);
    if !on {
        return run.sealed();
    }
    run.step(0, &[sha256]);
    run.step(1, &[]);
    run.end();
    run.left("closed")
}

fn grants() -> Vec<Vector> {
    let of = |rule, variant, log| Vector::new(rule, variant, log).policy("approval.granted", 0);
    let answered = |give: &dyn Fn(&mut Scribe, &str, &str)| answered_of(Scribe::new(), false, give);
    let by = |rule, variant, who: &'static str, by: SessionKey, space: &'static str| {
        of(rule, variant, answered(&|run, text, sha256| answer(run, sha256, granted(who, &by, space, text))))
    };
    let mut unruled = Scribe::new();
    unruled.first();
    let grant = granted(APPROVER, &approver(), namespace::APPROVE, "x");
    let (step, id) = (at(1), "shift-100".to_string());
    unruled.write(&Event::ApprovalGranted { step, id, request_sha256: "ab".repeat(32), grant });
    let good = |text: &str| granted(APPROVER, &approver(), namespace::APPROVE, text);
    let otherwise = |rule, variant, change: &dyn Fn(Grant) -> Grant| {
        of(rule, variant, answered(&|run, text, sha256| answer(run, sha256, change(good(text)))))
    };
    let mut hard = plan();
    hard.forward[0].approval.as_mut().unwrap().evidence = EvidenceLevel::SignedHw;
    let hard = answered_of(Scribe::of(hard), false, |run, text, sha256| answer(run, sha256, good(text)));
    let touched = |flags, verified| {
        let mut plan = team(1);
        plan.team.verify_required = verified;
        answered_of(Scribe::of(plan), true, move |run, text, sha256| {
            let grant = granted(APPROVER, &device(flags), namespace::APPROVE, text);
            answer(run, sha256, Grant { evidence: "signed-hw".into(), ..grant });
        })
    };
    let devices = || list() + &trust::line(APPROVER, &device(1).public());
    vec![
        Vector::new("answer-rule", "", unruled.sealed()).policy("approval.granted", 1),
        of("answer-request", "", answered(&|run, text, _| answer(run, &"ab".repeat(32), good(text)))),
        by("grant-role", "", "eve@example.com", key(66), namespace::APPROVE),
        by("grant-own", "", OWNER, owner(), namespace::APPROVE),
        by("grant-signature", "unknown-key", APPROVER, key(66), namespace::APPROVE),
        by("grant-signature", "purpose", APPROVER, approver(), "git"),
        by("grant-signature", "denial", APPROVER, approver(), namespace::DENY),
        otherwise("grant-signature", "replayed", &|grant| Grant { sig: good("another text").sig, ..grant }),
        otherwise("grant-signature", "named-key", &|grant| Grant { key: Some(key(9).fingerprint()), ..grant }),
        Vector {
            verdict: "INTERRUPTED",
            kind: None,
            line: None,
            ..otherwise("grant-signature", "blanks", &|grant| Grant {
                sig: grant.sig.map(|sig| format!("\n {}\n", sig.trim_end())),
                ..grant
            })
        },
        otherwise("grant-evidence", "claimed", &|grant| Grant { evidence: "signed-hw".into(), ..grant }),
        otherwise("grant-evidence", "unsigned", &|grant| Grant { sig: None, ..grant }),
        otherwise("grant-evidence", "nobody-knows", &|grant| Grant { evidence: "sworn".into(), ..grant }),
        of("grant-evidence", "asked", hard),
        Vector::new("grant-evidence", "security-key", touched(1, false)).by(devices()),
        of("grant-verified", "", touched(1, true)).by(devices()),
        Vector::new("grant-verified", "sound", touched(5, true)).by(devices()),
        otherwise("grant-terminal", "", &|grant| Grant { evidence: "prompt".into(), sig: None, key: None, ..grant }),
        of(
            "grant-expired",
            "",
            answered(&|run, text, sha256| {
                run.forge.pass(SignedDuration::from_secs(1900));
                answer(run, sha256, good(text));
            }),
        ),
        of(
            "grant-expired",
            "set-back",
            answered(&|run, text, sha256| {
                run.forge.pass(SignedDuration::from_secs(1900)).now -= SignedDuration::from_secs(3600);
                run.forge.line("clock.anomaly", &json!({ "line": "the clock was set back" })).seal();
                answer(run, sha256, good(text));
            }),
        ),
    ]
}

/// Under a team: persons, and not names.
fn people() -> Vec<Vector> {
    let run = |quorum, claims: Value| {
        Scribe::with(team(quorum), Rc::new(owner()), |forge| {
            forge.claims = claims;
            forge.says.push(("policy_sha256", "ab".repeat(32)));
        })
    };
    let of = |rule, variant, quorum, claims: Value, who: &[(&str, u8)]| {
        let log = answered_of(run(quorum, claims), true, |run, text, sha256| {
            for (name, seed) in who {
                answer(run, sha256, granted(name, &key(*seed), namespace::APPROVE, text));
            }
        });
        Vector::new(rule, variant, log).by(list())
    };
    let mut same_key = team(1);
    same_key.forward[0].approval.as_mut().unwrap().members = vec!["bob".into()];
    let strange = answered_of(Scribe::of(same_key), false, |run, text, sha256| {
        answer(run, sha256, granted(APPROVER, &approver(), namespace::APPROVE, text))
    });
    vec![
        of("grant-role", "two-people", 2, json!({}), &[(APPROVER, 2), (BOB, 4)]),
        Vector::new("grant-role", "another-role", strange).by(list()).policy("approval.granted", 0),
        of("grant-bot", "", 1, json!({}), &[("ci@example.com", 5)]).policy("approval.granted", 0),
        of("grant-own", "other-name", 1, json!({}), &[("olga@home", 6)]).policy("approval.granted", 0),
        of("grant-started", "", 1, json!({ "trigger": "alice-gh" }), &[(APPROVER, 2)]).policy("approval.granted", 0),
        of("grant-started", "sound", 1, json!({ "trigger": "olga-gh" }), &[(APPROVER, 2)]),
        of("grant-twice", "person", 2, json!({}), &[(APPROVER, 2), ("alice@laptop", 3)]).policy("approval.granted", 1),
        of("grant-twice", "key", 2, json!({}), &[(APPROVER, 2), (BOB, 2)]).policy("approval.granted", 1),
        of("machine", "one-of-two", 2, json!({}), &[(APPROVER, 2)]).policy("step.intent", 0),
    ]
}

fn withdraw(run: &mut Scribe, sha256: &str, principal: &str, grant: Option<Grant>) {
    let (id, why) = ("shift-10".to_string(), "taken back".to_string());
    let (request_sha256, principal) = (sha256.to_string(), principal.to_string());
    run.write(&Event::ApprovalWithdrawn { step: at(0), id, request_sha256, principal, why, grant });
}

fn refusals() -> Vec<Vector> {
    let yes = |text: &str| granted(APPROVER, &approver(), namespace::APPROVE, text);
    let no = |text: &str| granted(APPROVER, &approver(), namespace::DENY, text);
    let denied = |grant: &dyn Fn(&str) -> Grant| {
        let mut run = Scribe::new();
        run.arm();
        let (text, request_sha256) = run.ask();
        let (id, grant) = ("shift-10".to_string(), grant(&text));
        run.write(&Event::ApprovalDenied { step: at(0), id, request_sha256, grant });
        run.users(bgctl::plan::Split::ALL_BLUE);
        run.ended(RunOutcome::Stopped);
        run.left("closed")
    };
    let of = |rule, variant, grant: &dyn Fn(&str) -> Grant| {
        Vector::new(rule, variant, denied(grant)).policy("approval.denied", 0)
    };
    let taken_back = |by: &dyn Fn(&str) -> Option<Grant>, then: bool| {
        let mut run = Scribe::new();
        run.arm();
        let (text, sha256) = run.ask();
        answer(&mut run, &sha256, yes(&text));
        withdraw(&mut run, &sha256, APPROVER, by(&text));
        if then {
            answer(&mut run, &sha256, yes(&text));
        }
        run.step(0, &[sha256]);
        run.sealed()
    };
    vec![
        Vector::new("refusal-signature", "sound", denied(&no)),
        of("refusal-signature", "", &yes),
        of("refusal-signature", "unsigned", &|text| Grant { sig: None, ..no(text) }),
        of("refusal-role", "", &|text| granted("eve@example.com", &key(66), namespace::DENY, text)),
        Vector::new("refusal-signature", "withdrawn", taken_back(&|text| Some(yes(text)), false))
            .policy("approval.withdrawn", 0),
        Vector::new(
            "withdrawn-by",
            "",
            taken_back(&|text| Some(granted(OWNER, &owner(), namespace::DENY, text)), false),
        )
        .policy("approval.withdrawn", 0),
        Vector::new("grant-void", "", taken_back(&|text| Some(no(text)), true)).policy("approval.granted", 1),
        Vector::new("machine", "taken-back", taken_back(&|text| Some(no(text)), false)).policy("step.intent", 0),
    ]
}

fn uses() -> Vec<Vector> {
    let of = |rule, variant, mut run: Scribe, n| Vector::new(rule, variant, run.sealed()).policy("step.intent", n);
    let approved = |plan: Plan| {
        let mut run = Scribe::of(plan);
        run.arm();
        let (text, sha256) = run.ask();
        answer(&mut run, &sha256, granted(APPROVER, &approver(), namespace::APPROVE, &text));
        (run, sha256)
    };
    let (mut unnamed, _) = approved(plan());
    unnamed.step(0, &[]);
    let (mut other, sha256) = approved(plan());
    other.step(0, std::slice::from_ref(&sha256));
    other.step(1, &[sha256]);
    let (mut nobodys, _) = approved(plan());
    nobodys.step(0, &["ab".repeat(32)]);
    let (mut late, sha256) = approved(plan());
    late.forge.pass(SignedDuration::from_secs(1900));
    late.step(0, &[sha256]);
    let mut plan_ = plan();
    plan_.owners.push(APPROVER.parse().unwrap());
    let (mut barred, sha256) = approved(plan_);
    barred.resumes(APPROVER, Rc::new(approver()));
    barred.step(0, &[sha256]);
    let (mut over, sha256) = approved(plan());
    over.forge.pass(SignedDuration::from_secs(60));
    over.step(0, &[sha256]);
    let short = trust::line(OWNER, &owner().public())
        + &format!("{APPROVER} namespaces=\"bgctl-*\",valid-before=\"20261121030300Z\" {}\n", approver().public());
    let (mut twice, sha256) = approved(plan());
    twice.step(0, std::slice::from_ref(&sha256));
    twice.step(0, &[sha256]);
    let (mut again, sha256) = approved(plan());
    again.intent(0, std::slice::from_ref(&sha256));
    again.step(0, &[sha256]);
    again.step(1, &[]);
    again.end();
    let mut uncovered = covering();
    uncovered.forward[0].approval.as_mut().unwrap().covers_rollback = false;
    let mut uncovered = Scribe::of(uncovered);
    let sha256 = uncovered.first();
    fails(&mut uncovered);
    uncovered.begin(back(0), 1, &[sha256]);
    uncovered.ends(back(0), Outcome::done("back"));
    vec![
        of("use-named", "", unnamed, 0),
        of("use-request", "", other, 1),
        of("use-request", "unknown", nobodys, 0),
        of("use-request", "not-covered", uncovered, 2),
        of("use-expired", "", late, 0),
        of("use-barred", "", barred, 0).by(list()),
        of("use-signature", "", over, 0).by(short),
        of("use-once", "", twice, 1),
        Vector::new("use-once", "same-attempt", again.left("closed")),
    ]
}
