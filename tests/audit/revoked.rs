//! Keys that were given up: in what is judged later, and in what is looked at while a run goes on.

use crate::rig::*;
use crate::ssh::Folder;
use bgctl::audit::Verdict;
use bgctl::sign::{AllowedSigners, Revoked, Signer, TrustError, TrustFiles, namespace, trust};

fn without(list: &str) -> AllowedSigners {
    signers().without(Revoked::parse(list.as_bytes(), "/none".as_ref(), "revoked_keys").unwrap())
}

#[test]
fn case_30_a_revoked_approver_breaks_the_rules_and_a_revoked_owner_is_not_believed() {
    let log = complete();
    assert_eq!(report_by(&log, without("")).verdict, Verdict::Complete);
    let report = report_by(&log, without(&approver().public()));
    assert_eq!(report.verdict, Verdict::Policy);
    assert!(report.breaches[0].what.contains("is revoked (revoked_keys, line 1)"), "{:?}", report.breaches);
    match report_by(&log, without(&owner().fingerprint())).verdict {
        Verdict::Untrusted(error @ TrustError::Revoked { .. }) => {
            assert!(error.to_string().contains(OWNER), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn case_30b_a_key_given_up_between_two_steps_is_seen_when_the_files_are_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let (allowed, revoked) = (dir.path().join("allowed_signers"), dir.path().join("revoked_keys"));
    let text = trust::line(OWNER, &owner().public()) + &trust::line(APPROVER, &approver().public());
    std::fs::write(&allowed, &text).unwrap();
    let mut files = TrustFiles::default();
    files.add_signers(&allowed, ".bgctl/allowed_signers", true).unwrap();
    let time = "2026-11-21T03:00:00Z".parse().unwrap();
    let stands = |files: &TrustFiles, key: &bgctl::sign::PublicKey, space| {
        files.again().unwrap().signers().check_key(None, space, key, time).map(|_| ())
    };
    let (owner_key, approver_key) = (owner().public_key().clone(), approver().public_key().clone());
    assert!(stands(&files, &owner_key, namespace::OPEN).is_ok() && files.changes().is_empty());
    std::fs::write(&revoked, approver().public()).unwrap();
    assert_eq!(files.changes().len(), 1);
    assert!(stands(&files, &owner_key, namespace::OPEN).is_ok());
    let refused = stands(&files, &approver_key, namespace::APPROVE);
    assert!(matches!(refused, Err(TrustError::Revoked { .. })), "{refused:?}");
    // The other way: the line itself is taken out.
    std::fs::write(&allowed, trust::line(APPROVER, &approver().public())).unwrap();
    assert_eq!(files.changes().len(), 2);
    let refused = stands(&files, &owner_key, namespace::OPEN);
    assert!(matches!(refused, Err(TrustError::Unknown { .. })), "{refused:?}");
    // Half a file, as an editor leaves it for a moment, is no permission either.
    std::fs::write(&allowed, &text[..text.len() - 30]).unwrap();
    assert!(files.again().is_err() && files.changes().len() == 2);
}

#[test]
fn openssh_and_we_agree_about_its_binary_lists() {
    let Some(dir) = Folder::new() else { return };
    for name in ["kept", "lost"] {
        dir.key(name, "ed25519", "");
    }
    dir.must(&["-q", "-k", "-f", &dir.text("krl"), &dir.text("lost.pub")]);
    let bytes = std::fs::read(dir.path("krl")).unwrap();
    let revoked = Revoked::parse(&bytes, &dir.path("krl"), "krl").unwrap();
    let text = trust::line(OWNER, &dir.public("kept").line()) + &trust::line(APPROVER, &dir.public("lost").line());
    dir.write("allowed", &text);
    let signers = AllowedSigners::parse(&text).unwrap().without(revoked);
    for (name, who, counts) in [("kept", OWNER, true), ("lost", APPROVER, false)] {
        let sig = dir.sign(name, namespace::APPROVE, "request");
        let (theirs, words) = dir.verify(who, namespace::APPROVE, "request", &sig, &["-r", &dir.text("krl")]);
        let time = "2026-11-21T03:00:00Z".parse().unwrap();
        let ours = signers.check(Some(who), namespace::APPROVE, b"request", &sig, time);
        assert_eq!((theirs, ours.is_ok()), (counts, counts), "{name}: {words} {ours:?}");
    }
    // A list that is damaged revokes everything: nobody knows whom it named.
    let damaged = dir.path("damaged");
    std::fs::write(&damaged, &bytes[..bytes.len() - 10]).unwrap();
    let list = Revoked::parse(&bytes[..bytes.len() - 10], &damaged, "damaged").unwrap();
    let sig = dir.sign("kept", namespace::APPROVE, "request");
    let time = "2026-11-21T03:00:00Z".parse().unwrap();
    let refused = signers.without(list).check(Some(OWNER), namespace::APPROVE, b"request", &sig, time);
    assert!(matches!(refused, Err(TrustError::RevocationUnknown { .. })), "{refused:?}");
}
