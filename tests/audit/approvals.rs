//! Approvals that must not count, and runs that broke their own rules: the bytes are sound, the verdict is POLICY.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rig::*;
use bgctl::audit::Verdict;
use bgctl::journal::{Journal, Who};
use bgctl::people::request::{Binding, Until, build};
use bgctl::plan::{EvidenceLevel, Person, PersonKind, Plan, Team};
use bgctl::run::{Event, Grant, Outcome, RunOutcome};
use bgctl::sign::session::SessionKey;
use bgctl::sign::{AllowedSigners, Signer, namespace, trust};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// A run in which the first step is approved as `grant` does it; what the verifier says to that.
fn run_with(grant: impl FnOnce(&mut Rig, &str, &str)) -> Vec<String> {
    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    grant(&mut rig, &text, &sha256);
    rig.step(0, &[sha256]);
    rig.step(1, &[]);
    rig.end();
    breaches(&rig.close())
}

#[track_caller]
fn says(breaches: &[String], words: &str) {
    assert!(breaches.iter().any(|b| b.contains(words)), "{words:?} is not in {breaches:#?}");
}

fn sign(key: &SessionKey, space: &str, text: &str) -> Option<String> {
    Some(key.sign(space, text.as_bytes()).unwrap())
}

fn key(seed: u8) -> SessionKey {
    SessionKey::from_seed([seed; 32])
}

/// Alice has two keys, Bob one; the owner is Olga, who starts jobs as `olga-gh`; `deploy` is a bot.
fn team() -> Team {
    let person = |principals: &[&str], ci: &[&str], kind| Person {
        principals: principals.iter().map(|p| p.parse().unwrap()).collect(),
        ci: ci.iter().map(|c| c.to_string()).collect(),
        kind,
    };
    use PersonKind::{Bot, Human};
    let persons = [
        ("alice", person(&[APPROVER, "alice@laptop"], &["alice-gh"], Human)),
        ("bob", person(&["bob@example.com"], &[], Human)),
        ("deploy", person(&["ci@example.com"], &["deploy-bot"], Bot)),
        ("olga", person(&[OWNER, "olga@home"], &["olga-gh"], Human)),
    ];
    let persons = persons.into_iter().map(|(name, person)| (name.to_string(), person)).collect::<BTreeMap<_, _>>();
    Team { policy_sha256: "ab".repeat(32), persons, ..Team::default() }
}

/// The rig's plan under that team, with everybody in the role.
fn plan_of_team(quorum: u32) -> Plan {
    let mut plan = plan();
    plan.team = team();
    let rule = plan.forward[0].approval.as_mut().unwrap();
    rule.members = ["alice", "bob", "deploy", "olga"].map(String::from).into();
    rule.quorum = quorum;
    rule.evidence = EvidenceLevel::Signed;
    plan
}

fn people() -> AllowedSigners {
    let lines = [
        (OWNER, owner()),
        (APPROVER, approver()),
        ("alice@laptop", key(3)),
        ("bob@example.com", key(4)),
        ("ci@example.com", key(5)),
        ("olga@home", key(6)),
        // The same key in two names.
        ("bob@example.com", key(2)),
    ];
    let text: String = lines.iter().map(|(who, key)| trust::line(who, &key.public())).collect();
    AllowedSigners::parse(&text).unwrap()
}

fn grant_of(who: &str, by: &SessionKey, text: &str) -> Grant {
    let sig = sign(by, namespace::APPROVE, text);
    let key = Some(by.fingerprint());
    Grant { principal: who.into(), evidence: "signed".into(), key, sig, prompt: None }
}

/// A whole run of a plan, with these grants.
fn log(plan: Plan, who: Who, grants: &[(&str, &SessionKey)]) -> Vec<u8> {
    let mut rig = Rig::with(RUN, &owner(), plan, who);
    rig.arm();
    let (text, request_sha256) = rig.ask();
    for (who, by) in grants {
        let (id, grant) = ("shift-10".to_string(), grant_of(who, by, &text));
        rig.write(&Event::ApprovalGranted { step: at(0), id, request_sha256: request_sha256.clone(), grant });
    }
    rig.step(0, &[request_sha256]);
    rig.step(1, &[]);
    rig.end();
    rig.close()
}

/// What the verifier says to it; nothing where it is good.
fn under(plan: Plan, who: Who, grants: &[(&str, &SessionKey)]) -> Vec<String> {
    let report = report_by(&log(plan, who, grants), people());
    assert!(report.verdict == Verdict::Complete || !report.breaches.is_empty(), "{:?}", report.verdict);
    report.breaches.into_iter().map(|b| b.what).collect()
}

#[test]
fn the_script_of_standard_tools_knows_people_too() {
    for program in ["sh", "jq", "ssh-keygen", "sha256sum", "cmp"] {
        if crate::common::peer(program).is_none() {
            return;
        }
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("verify.sh"), bgctl::audit::SCRIPT).unwrap();
    let keys = [(OWNER, owner()), (APPROVER, approver()), ("alice@laptop", key(3)), ("bob@example.com", key(4))];
    let more = [("ci@example.com", key(5)), ("olga@home", key(6))];
    let lines = keys.iter().chain(&more).map(|(who, key)| trust::line(who, &key.public()));
    std::fs::write(path("allowed"), lines.collect::<String>()).unwrap();
    let (one, other) = ((APPROVER, &keys[1].1), ("alice@laptop", &keys[2].1));
    for (name, quorum, grants, code) in [
        ("two people", 2, vec![one, ("bob@example.com", &keys[3].1)], 0),
        ("two keys of one person", 2, vec![one, other], 46),
        ("one of two", 2, vec![one], 46),
        ("a bot", 1, vec![("ci@example.com", &more[0].1)], 46),
        ("the runner under another name", 1, vec![("olga@home", &more[1].1)], 46),
    ] {
        std::fs::write(path("log"), log(plan_of_team(quorum), who(), &grants)).unwrap();
        let mut script = std::process::Command::new("sh");
        let output = script.args(["verify.sh", "log", "allowed"]).current_dir(dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn case_17_a_replayed_signature_is_over_another_request() {
    let found = run_with(|rig, text, sha256| {
        let old = text.replace("5e5e", "5f5e");
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, &old));
    });
    says(&found, "the signature does not fit the content");
}

/// Asks with a changed request, and has exactly that approved.
fn asked_otherwise(change: impl FnOnce(&mut Value)) -> Vec<String> {
    asked_as(|text| {
        let mut request: Value = serde_json::from_str(text).unwrap();
        change(&mut request);
        request.to_string()
    })
}

/// Asks with a request that is written otherwise, and has exactly that approved.
fn asked_as(write: impl FnOnce(&str) -> String) -> Vec<String> {
    let mut rig = Rig::new();
    rig.arm();
    let until = Until { expires: rig.clock.expires(), use_by: None };
    let text = write(&request(&rig.plan, until.expires, OWNER, None));
    answered(rig, &text, until)
}

/// Asks with this text, and has it approved.
fn answered(mut rig: Rig, text: &str, Until { expires, use_by }: Until) -> Vec<String> {
    let text = text.to_string();
    let request_sha256 = sha256(text.as_bytes());
    let (id, request) = ("shift-10".to_string(), text.clone());
    rig.write(&Event::ApprovalRequested {
        step: at(0),
        id,
        request,
        request_sha256: request_sha256.clone(),
        expires,
        use_by,
    });
    rig.grant(&request_sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    rig.step(0, &[request_sha256]);
    rig.step(1, &[]);
    rig.end();
    breaches(&rig.close())
}

#[test]
fn case_18_an_approval_of_another_plan_is_seen() {
    says(&asked_otherwise(|r| r["plan_sha256"] = json!("cd".repeat(32))), "the request's `plan_sha256` is another");
    says(&asked_otherwise(|r| r["run"] = json!("20261121-0302-old")), "the request's `run` is another");
}

#[test]
fn case_19_an_approval_of_other_parameters_is_seen() {
    says(&asked_otherwise(|r| r["step_sha256"] = json!("cd".repeat(32))), "the request's `step_sha256` is another");
    // Shown to the approver beside the right digest.
    let half = json!({ "after": { "blue": 50, "green": 50 }, "before": { "blue": 100, "green": 0 }, "route": "web" });
    says(&asked_otherwise(|r| r["params"] = half), "the request's `params` is another");
    says(&asked_otherwise(|r| r["quorum"] = json!(2)), "the request's `quorum` is another");
    says(
        &asked_otherwise(|r| r["covers"] = json!({ "rollback": [] })),
        "the request has a `covers`, which requests have not",
    );
}

/// A11: a request has one form. Whatever is another, missing, more, twice or written otherwise is seen.
#[test]
fn a11_a_request_is_written_in_one_way() {
    type Change = fn(&mut Value);
    let table: [(&str, Change); 20] = [
        ("`_type` is another", |r| r["_type"] = json!("bgctl.dev/approval-request/v2")),
        ("`lane` is another", |r| r["lane"] = json!("rollback")),
        ("`at_expiry` is another", |r| r["at_expiry"] = json!("halt")),
        ("`evidence` is another", |r| r["evidence"] = json!("signed-hw")),
        ("`role` is another", |r| r["role"] = json!("everybody")),
        ("`summary` is another", |r| r["summary"] = json!("shift web to BLUE 99 GREEN 1")),
        ("`details` is another", |r| r["details"] = json!(["route: other"])),
        ("`service` is another", |r| r["service"] = json!("otherbot")),
        ("`environment` is another", |r| r["environment"] = json!("elsewhere")),
        ("`expires` is another", |r| r["expires"] = json!(r["expires"].as_i64().unwrap() + 1)),
        ("no `params`", |r| drop(r.as_object_mut().unwrap().shift_remove("params"))),
        ("no `summary`", |r| drop(r.as_object_mut().unwrap().shift_remove("summary"))),
        ("no `role`", |r| drop(r.as_object_mut().unwrap().shift_remove("role"))),
        ("no `quorum`", |r| drop(r.as_object_mut().unwrap().shift_remove("quorum"))),
        ("no `details`", |r| drop(r.as_object_mut().unwrap().shift_remove("details"))),
        ("`nonce` is not 64 hex digits", |r| drop(r.as_object_mut().unwrap().shift_remove("nonce"))),
        ("`requested_by` is not whose run it is", |r| r["requested_by"] = json!(APPROVER)),
        ("`trigger` is not who started the run", |r| r["trigger"] = json!("somebody")),
        ("`measured` are no lines", |r| r["measured"] = json!([])),
        ("has a `note`, which requests have not", |r| r["note"] = json!("all is well")),
    ];
    for (word, change) in table {
        // The order of the names is right again, whatever was added.
        let changed = |r: &mut Value| {
            change(r);
            r.sort_all_objects();
        };
        says(&asked_otherwise(changed), word);
    }
    let otherwise = "not written in the one way requests are written";
    let written: [fn(&str) -> String; 4] = [
        |text| text.replacen(':', ": ", 1),
        |text| format!("{text} "),
        |text| text.replacen('{', r#"{"_type":"bgctl.dev/approval-request/v1","#, 1),
        |text| {
            let (first, rest) = text[1..].split_once(',').unwrap();
            format!("{{{},{first}}}", rest.strip_suffix('}').unwrap())
        },
    ];
    for write in written {
        says(&asked_as(write), otherwise);
    }
}

/// A11: it holds no longer than the rule says, from the moment it was asked.
#[test]
fn a11_a_request_holds_no_longer_than_its_rule_says() {
    let within = plan().step(at(0)).approval.as_ref().unwrap().within_s as i64;
    for (expires, use_by, word) in [
        (within + 60, None, "holds longer than its rule says"),
        (10 * 365 * 86_400, None, "holds longer than its rule says"),
        (within, Some(within + 1), "used later than the steps before it can take"),
    ] {
        let mut rig = Rig::new();
        rig.arm();
        let now = rig.clock.expires() - within;
        let until = Until { expires: now + expires, use_by: use_by.map(|later| now + later) };
        let nonce = "5e".repeat(32);
        let binding = Binding { run: RUN, requested_by: OWNER, trigger: None, nonce: &nonce, until, measured: &[] };
        says(&answered(rig, &build(&plan(), at(0), &binding), until), word);
    }
}

#[test]
fn case_20_an_expired_approval_does_not_count() {
    let found = run_with(|rig, text, sha256| {
        rig.clock.pass(Duration::from_secs(1900));
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, text));
    });
    says(&found, "approved after the request had expired");
    says(&found, "had expired when it was used");
}

#[test]
fn case_21_the_runner_cannot_approve() {
    let found = run_with(|rig, text, sha256| rig.grant(sha256, OWNER, sign(&owner(), namespace::APPROVE, text)));
    says(&found, "approved their own run");
    // Under another name, with another key.
    says(&under(plan_of_team(1), who(), &[("olga@home", &key(6))]), "`olga@home` approved their own run");
}

#[test]
fn case_22_an_unknown_key_does_not_count() {
    let eve = key(66);
    says(
        &run_with(|rig, text, sha256| rig.grant(sha256, APPROVER, sign(&eve, namespace::APPROVE, text))),
        "is in no allowed-signers file",
    );
}

#[test]
fn case_23_another_purpose_is_no_approval() {
    let git = run_with(|rig, text, sha256| rig.grant(sha256, APPROVER, sign(&approver(), "git", text)));
    says(&git, "was made for `git`");
}

#[test]
fn case_24_one_person_is_counted_once() {
    let twice = run_with(|rig, text, sha256| {
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, text));
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, text));
    });
    says(&twice, "`approval.granted` cannot follow");
    // Two keys of one person.
    let (one, other) = ((APPROVER, &approver()), ("alice@laptop", &key(3)));
    let found = under(plan_of_team(2), who(), &[one, other]);
    says(&found, "`alice@laptop` was counted before");
    says(&found, "cannot follow");
    assert_eq!(under(plan_of_team(2), who(), &[one, ("bob@example.com", &key(4))]), Vec::<String>::new());
}

#[test]
fn case_25_one_of_two_is_not_enough() {
    says(&run_with(|_, _, _| {}), "`step.intent` cannot follow");
    says(&under(plan_of_team(2), who(), &[(APPROVER, &approver())]), "`step.intent` cannot follow");
}

#[test]
fn case_26_a_denial_is_no_approval() {
    let deny = run_with(|rig, text, sha256| rig.grant(sha256, APPROVER, sign(&approver(), namespace::DENY, text)));
    says(&deny, "was made for `bgctl-deny-v1`");
}

#[test]
fn case_27_an_effect_that_is_not_the_approved_step_is_seen() {
    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    let step = rig.plan.step(at(0)).clone();
    let (id, line) = (step.id, step.line);
    let step_sha256 = "ab".repeat(32);
    rig.write(&Event::StepIntent { step: at(0), id, attempt: 1, line, step_sha256, approvals: vec![sha256] });
    rig.done(0);
    rig.step(1, &[]);
    rig.end();
    says(&breaches(&rig.close()), "is not the step the plan has there");
}

#[test]
fn case_28_one_approval_is_for_one_effect() {
    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    rig.step(0, std::slice::from_ref(&sha256));
    // The approval of the first step, used for the second one.
    rig.step(1, &[sha256]);
    rig.end();
    says(&breaches(&rig.close()), "uses an approval of something else");
}

#[test]
fn case_28b_the_same_step_begun_anew_needs_another_approval() {
    let mut rig = Rig::new();
    rig.plan.forward[0].attempts = 3;
    let mut rig = Rig::with(RUN, &owner(), rig.plan, who());
    rig.arm();
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    // A crash is no attempt's fault: the same attempt again is the same effect.
    rig.intent(0, std::slice::from_ref(&sha256));
    rig.intent(0, std::slice::from_ref(&sha256));
    rig.done(0);
    rig.step(1, &[]);
    rig.end();
    assert_eq!(report(&rig.close()).verdict, Verdict::Complete);

    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    rig.step(0, std::slice::from_ref(&sha256));
    rig.step(0, &[sha256]);
    says(&breaches(&rig.close()), "the approval of `shift-10` was used before");
}

#[test]
fn case_32_nobody_approves_what_they_started_or_took_over() {
    // The person behind the CI system's name.
    let started = |login: &str| Who { claims: json!({ "trigger": login }), ..who() };
    let by_alice = [(APPROVER, &approver())];
    says(&under(plan_of_team(1), started("alice-gh"), &by_alice), "approved a run whose job they had started");
    assert_eq!(under(plan_of_team(1), started("olga-gh"), &by_alice), Vec::<String>::new());
    // A bot agrees to nothing.
    says(&under(plan_of_team(1), who(), &[("ci@example.com", &key(5))]), "is a bot");
    // A key that counts once, in whoever's name.
    let shared = under(plan_of_team(2), who(), &[(APPROVER, &approver()), ("bob@example.com", &approver())]);
    says(&shared, "the key of `bob@example.com` was counted before");
    // In the allowed signers, in no role.
    let mut plan = plan_of_team(1);
    plan.forward[0].approval.as_mut().unwrap().members = vec!["bob".into()];
    says(&under(plan, who(), &by_alice), "`rm-one@example.com` does not hold the role `release-managers`");
    let eve = key(66);
    says(
        &run_with(|rig, text, sha256| rig.grant(sha256, "eve@example.com", sign(&eve, namespace::APPROVE, text))),
        "does not hold the role",
    );
}

#[test]
fn case_32b_a_resumer_cannot_approve() {
    let mut rig = Rig::with(RUN, &owner(), plan_of_team(1), who());
    rig.arm();
    let (text, request_sha256) = rig.ask();
    let Rig { clock, plan, store, journal, trigger, .. } = rig;
    drop(journal);
    let by = Who { owner: APPROVER.into(), ..who() };
    let bound = [("policy_sha256".to_string(), json!(plan.team.policy_sha256))].into_iter().collect();
    let resumed = Journal::resume_under(Box::new(store.clone()), &by, bound, None, &approver(), clock.clone());
    let mut rig = Rig { clock, plan, journal: resumed.unwrap().0, store, owner: APPROVER.into(), trigger };
    let grant = grant_of("alice@laptop", &key(3), &text);
    let id = "shift-10".to_string();
    rig.write(&Event::ApprovalGranted { step: at(0), id, request_sha256: request_sha256.clone(), grant });
    rig.step(0, &[request_sha256]);
    rig.step(1, &[]);
    rig.end();
    let report = report_by(&rig.close_by(&approver()), people());
    let found: Vec<String> = report.breaches.into_iter().map(|b| b.what).collect();
    says(&found, "`alice@laptop` approved their own run");
}

#[test]
fn case_33_a_clock_that_is_set_back_revives_nothing() {
    let found = run_with(|rig, text, sha256| {
        // Half an hour later somebody turns the clock back by an hour.
        rig.clock.pass(Duration::from_secs(1900));
        rig.clock.set(SignedDuration::from_secs(-3600));
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, text));
    });
    says(&found, "approved after the request had expired");
    says(&found, "had expired when it was used");
}

#[test]
fn case_33b_deadlines_know_how_much_time_has_passed() {
    use bgctl::clock::{Clock, Ratchet};
    let clock = HandClock::new();
    let start = clock.now();
    let ratchet = Ratchet::new(clock.clone(), start);
    let after = |seconds: i64| start + SignedDuration::from_secs(seconds);
    clock.pass(Duration::from_secs(60));
    assert_eq!(ratchet.now(), after(60));
    clock.set(SignedDuration::from_secs(-3600));
    assert_eq!(ratchet.now(), after(60));
    clock.pass(Duration::from_secs(5));
    assert_eq!(ratchet.now(), after(65));
    // A clock that was ahead for a moment can only end things earlier, and does not stand still afterwards.
    clock.set(SignedDuration::from_secs(3600 + 100));
    assert_eq!(ratchet.now(), after(165));
    clock.set(SignedDuration::from_secs(-100));
    clock.pass(Duration::from_secs(10));
    assert_eq!(ratchet.now(), after(175));
    // A process that begins with a wrong clock goes on from what its log says already.
    clock.set(SignedDuration::from_secs(-9000));
    assert_eq!(Ratchet::new(clock, after(175)).now(), after(175));
}

#[test]
fn case_47_a_step_under_another_policy_than_the_plans_is_seen() {
    let rig = Rig::with(RUN, &owner(), plan_of_team(1), who());
    let Rig { clock, plan, store, journal, owner: asks, trigger } = rig;
    drop(journal);
    let bound = [("policy_sha256".to_string(), json!("cd".repeat(32)))].into_iter().collect();
    let resumed = Journal::resume_under(Box::new(store.clone()), &who(), bound, None, &owner(), clock.clone());
    let mut rig = Rig { clock, plan, journal: resumed.unwrap().0, store, owner: asks, trigger };
    rig.arm();
    let (text, request_sha256) = rig.ask();
    let (id, grant) = ("shift-10".to_string(), grant_of(APPROVER, &approver(), &text));
    rig.write(&Event::ApprovalGranted { step: at(0), id, request_sha256: request_sha256.clone(), grant });
    rig.step(0, &[request_sha256]);
    rig.step(1, &[]);
    rig.end();
    let report = report_by(&rig.close(), people());
    let found: Vec<String> = report.breaches.into_iter().map(|b| b.what).collect();
    says(&found, "`shift-10` was begun under another policy than the plan's");
}

#[test]
fn an_approval_that_was_taken_back_does_not_count() {
    let withdrawn = |signed: bool| {
        let mut rig = Rig::new();
        rig.arm();
        let (text, request_sha256) = rig.ask();
        rig.grant(&request_sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
        let space = if signed { namespace::DENY } else { "git" };
        let grant = Grant { sig: sign(&approver(), space, &text), ..grant_of(APPROVER, &approver(), &text) };
        let (id, why, grant) = ("shift-10".to_string(), "taken back".to_string(), Some(grant));
        let (sha256, principal) = (request_sha256.clone(), APPROVER.to_string());
        rig.write(&Event::ApprovalWithdrawn { step: at(0), id, request_sha256, principal, why, grant });
        rig.step(0, &[sha256]);
        breaches(&rig.close())
    };
    says(&withdrawn(true), "`step.intent` cannot follow");
    says(&withdrawn(false), "was made for `git`");
}

#[test]
fn what_is_proven_less_than_asked_or_said_does_not_count() {
    let mut plan = plan_of_team(1);
    plan.forward[0].approval.as_mut().unwrap().evidence = EvidenceLevel::SignedHw;
    says(&under(plan, who(), &[(APPROVER, &approver())]), "approved by `signed`, and the role");
    let claimed = run_with(|rig, text, sha256| {
        let grant = Grant { evidence: "signed-hw".into(), ..grant_of(APPROVER, &approver(), text) };
        let (id, request_sha256) = ("shift-10".to_string(), sha256.to_string());
        rig.write(&Event::ApprovalGranted { step: at(0), id, request_sha256, grant });
    });
    says(&claimed, "approved by `signed-hw`, and the signature proves `signed`");
    let mut plan = plan_of_team(1);
    plan.team.security_key_required = true;
    says(&under(plan, who(), &[(APPROVER, &approver())]), "is not signed with a security key");
}

#[test]
fn the_way_back_may_be_agreed_to_inside_a_shift() {
    // Whoever may not answer for the way back now, because nobody is there.
    let played = |covered: bool| {
        let mut plan = plan_of_team(1);
        let rule = plan.forward[0].approval.clone().unwrap();
        plan.rollback[0].approval = Some(rule);
        plan.forward[0].approval.as_mut().unwrap().covers_rollback = covered;
        let mut rig = Rig::with(RUN, &owner(), plan, who());
        rig.arm();
        let (text, request_sha256) = rig.ask();
        let (id, grant) = ("shift-10".to_string(), grant_of(APPROVER, &approver(), &text));
        rig.write(&Event::ApprovalGranted { step: at(0), id, request_sha256: request_sha256.clone(), grant });
        rig.step(0, std::slice::from_ref(&request_sha256));
        rig.intent(1, &[]);
        let (id, outcome) = ("shift-100".into(), Outcome::failed(bgctl::run::Cause::Gate, "errors"));
        rig.write(&Event::StepOutcome { step: at(1), id, outcome });
        let by = bgctl::run::Actor::rule();
        rig.write(&Event::RollbackBegun { automatic: true, by, cause: "errors".into() });
        let back = bgctl::plan::StepRef { lane: bgctl::plan::Lane::Rollback, index: 0 };
        let step = rig.plan.step(back).clone();
        let (id, line, step_sha256) = (step.id.clone(), step.line.clone(), step.sha256());
        let approvals = vec![request_sha256];
        rig.write(&Event::StepIntent { step: back, id: id.clone(), attempt: 1, line, step_sha256, approvals });
        rig.arrived(back);
        rig.write(&Event::StepOutcome { step: back, id, outcome: Outcome::done("all on blue") });
        rig.write(&Event::Ended { outcome: RunOutcome::RolledBack, line: "the way back is walked".into() });
        let report = report_by(&rig.close(), people());
        (report.verdict, report.breaches.into_iter().map(|b| b.what).collect::<Vec<_>>())
    };
    assert_eq!(played(true), (Verdict::Complete, vec![]));
    let (verdict, found) = played(false);
    assert_eq!(verdict, Verdict::Policy);
    says(&found, "uses an approval of something else");
    says(&found, "`step.intent` cannot follow");
}

#[test]
fn a_run_the_machine_would_not_have_made_is_seen() {
    let mut rig = Rig::new();
    rig.arm();
    rig.done(0);
    says(&breaches(&rig.close()), "`step.outcome` cannot follow");

    // No intent may lack its outcome in a closed log.
    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    rig.intent(0, &[sha256]);
    says(&breaches(&rig.close()), "closed the log before the run had ended");

    // A failed step cannot end as a success.
    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    rig.intent(0, &[sha256]);
    let outcome = Outcome::failed(bgctl::run::Cause::Gate, "errors");
    rig.write(&Event::StepOutcome { step: at(0), id: "shift-10".into(), outcome });
    rig.write(&Event::Ended { outcome: RunOutcome::Completed, line: "all well".into() });
    says(&breaches(&rig.close()), "`run.ended` cannot follow");
}

#[test]
fn a_typed_word_counts_for_the_runner_where_the_role_says_so_and_for_nobody_else() {
    let mut plan = plan();
    plan.forward[0].approval.as_mut().unwrap().own_run = true;
    let typed = |who: &str| {
        let mut rig = Rig::with(RUN, &owner(), plan.clone(), crate::rig::who());
        rig.arm();
        let (_, sha256) = rig.ask();
        rig.grant(&sha256, who, None);
        rig.step(0, &[sha256]);
        rig.step(1, &[]);
        rig.end();
        report(&rig.close())
    };
    let good = typed(OWNER);
    assert_eq!((good.verdict, good.approved[0].signed.clone()), (Verdict::Complete, None));
    let bad = typed(APPROVER);
    assert_eq!(bad.verdict, Verdict::Policy);
    says(&[bad.breaches[0].what.clone()], "a word typed at somebody else's terminal");
}

/// The runner's key is the runner's, whoever else is said to have it: a list that gives it to a second name gives nobody a
/// second vote.
#[test]
fn r30_the_runners_key_approves_nothing_under_whatever_name() {
    let other = "rm-two@example.com";
    let list = [(OWNER, owner()), (APPROVER, approver()), (other, owner())];
    let list = list.iter().map(|(who, key)| trust::line(who, &key.public())).collect::<String>();
    let approved_by = |who: &str, key: &SessionKey| {
        let mut plan = plan();
        plan.forward[0].approval.as_mut().unwrap().members = vec![APPROVER.into(), other.into()];
        let mut rig = Rig::with(RUN, &owner(), plan, self::who());
        rig.arm();
        let (text, sha256) = rig.ask();
        rig.grant(&sha256, who, sign(key, namespace::APPROVE, &text));
        rig.step(0, &[sha256]);
        rig.step(1, &[]);
        rig.end();
        let report = report_by(&rig.close(), AllowedSigners::parse(&list).unwrap());
        (report.verdict, report.breaches.into_iter().map(|breach| breach.what).collect::<Vec<_>>())
    };
    assert_eq!(approved_by(APPROVER, &approver()), (Verdict::Complete, Vec::new()));
    let (verdict, found) = approved_by(other, &owner());
    assert_eq!(verdict, Verdict::Policy);
    says(&found, "`rm-two@example.com` approved their own run");
}
