//! Approvals that must not count, and runs that broke their own rules: the bytes are sound, the verdict is POLICY.

use crate::rig::*;
use bgctl::journal::Verdict;
use bgctl::run::{Event, Outcome, RunOutcome};
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Signer, namespace};

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

#[test]
fn case_17_and_18_a_signature_over_another_request_does_not_count() {
    let found = run_with(|rig, text, sha256| {
        let old = text.replace("5e5e", "5f5e");
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, &old));
    });
    says(&found, "the signature does not fit the content");
}

#[test]
fn case_20_an_expired_approval_does_not_count() {
    let found = run_with(|rig, text, sha256| {
        rig.clock.pass(std::time::Duration::from_secs(1900));
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, text));
    });
    says(&found, "approved after the request had expired");
    says(&found, "had expired when it was used");
}

#[test]
fn case_21_the_runner_cannot_approve() {
    let found = run_with(|rig, text, sha256| rig.grant(sha256, OWNER, sign(&owner(), namespace::APPROVE, text)));
    says(&found, "approved their own run");
}

#[test]
fn case_22_and_32_unknown_keys_and_people_without_the_role_do_not_count() {
    let eve = SessionKey::from_seed([66; 32]);
    says(
        &run_with(|rig, text, sha256| rig.grant(sha256, APPROVER, sign(&eve, namespace::APPROVE, text))),
        "is in no allowed-signers file",
    );
    says(
        &run_with(|rig, text, sha256| rig.grant(sha256, "eve@example.com", sign(&eve, namespace::APPROVE, text))),
        "does not hold the role",
    );
}

#[test]
fn case_23_and_26_another_purpose_and_a_denial_are_no_approval() {
    let git = run_with(|rig, text, sha256| rig.grant(sha256, APPROVER, sign(&approver(), "git", text)));
    says(&git, "was made for `git`");
    let deny = run_with(|rig, text, sha256| rig.grant(sha256, APPROVER, sign(&approver(), namespace::DENY, text)));
    says(&deny, "was made for `bgctl-deny-v1`");
}

#[test]
fn case_24_and_25_one_person_is_counted_once_and_a_missing_approval_is_seen() {
    let twice = run_with(|rig, text, sha256| {
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, text));
        rig.grant(sha256, APPROVER, sign(&approver(), namespace::APPROVE, text));
    });
    says(&twice, "`approval.granted` cannot follow");
    says(&run_with(|_, _, _| {}), "`step.intent` cannot follow");
}

#[test]
fn case_19_and_27_and_28_an_effect_that_was_not_approved_is_seen() {
    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, sign(&approver(), namespace::APPROVE, &text));
    let step = rig.plan.step(at(0)).clone();
    let (id, line) = (step.id, step.line);
    let step_sha256 = "ab".repeat(32);
    rig.write(&Event::StepIntent { step: at(0), id, attempt: 1, line, step_sha256, approvals: vec![sha256.clone()] });
    rig.done(0);
    // The approval of the first step, used for the second one.
    rig.step(1, &[sha256]);
    rig.end();
    let found = breaches(&rig.close());
    says(&found, "is not the step the plan has there");
    says(&found, "uses an approval of something else");
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
fn a_typed_approval_of_a_role_holder_counts_without_a_signature() {
    let mut rig = Rig::new();
    rig.arm();
    let (_, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, None);
    rig.step(0, &[sha256]);
    rig.step(1, &[]);
    rig.end();
    let report = report(&rig.close());
    assert_eq!((report.verdict, report.approved[0].signed.clone()), (Verdict::Complete, None));
}
