//! OpenSSH's own program on our signatures, and we on its: what one accepts or refuses, so does the other.

use crate::rig::*;
use crate::ssh::Folder;
use bgctl::secret::Secret;
use bgctl::sign::file::{self, FileKey};
use bgctl::sign::{AllowedSigners, Revoked, SigError, SignError, Signer, TrustError, namespace, sshsig, trust};
use jiff::Timestamp;
use serde_json::Value;

#[test]
fn ssh_keygen_accepts_the_opening_and_the_close_and_nothing_changed() {
    let Some(dir) = Folder::new() else { return };
    dir.write("allowed", &trust::line(OWNER, &owner().public()));
    let lines = lines(&complete());
    let first: Value = serde_json::from_slice(&lines[0]).unwrap();
    let last: Value = serde_json::from_slice(&lines[lines.len() - 1]).unwrap();
    for (line, text, space) in [(&first, "statement", namespace::OPEN), (&last, "note", namespace::CLOSE)] {
        let (signed, sig) = (line["data"][text].as_str().unwrap(), line["data"]["sig"].as_str().unwrap());
        let check = |input: &str, space: &str| dir.verify(OWNER, space, input, sig, &[]);
        let (ok, words) = check(signed, space);
        assert!(ok && words.contains("Good"), "{words}");
        assert!(!check(&signed.replacen('2', "3", 1), space).0);
        assert!(!check(signed, "file").0);
    }
    // The note's own sum, as `head -c n | sha256sum` gives it.
    let note = last["data"]["note"].as_str().unwrap();
    let before = lines[..lines.len() - 1].concat();
    assert!(note.contains(&format!(
        "\nlines {}\nbytes {}\nsha256 {}\n",
        lines.len() - 1,
        before.len(),
        sha256(&before)
    )));
}

#[test]
fn signatures_of_ssh_keygen_hold_here_and_files_it_made_sign_here() {
    let Some(dir) = Folder::new() else { return };
    for (kind, passphrase) in [("ed25519", ""), ("ecdsa", ""), ("ed25519", "open sesame"), ("ecdsa", "open sesame")] {
        let name = format!("{kind}-{}", passphrase.len());
        let path = dir.key(&name, kind, passphrase);
        let public = dir.public(&name);
        if passphrase.is_empty() {
            // ECDSA's two numbers have leading zeros now and then: enough signatures to meet them.
            for n in 0..if kind == "ecdsa" { 8 } else { 1 } {
                let text = format!("the exact bytes {n}");
                let sig = dir.sign(&name, namespace::APPROVE, &text);
                assert_eq!(sshsig::verify(namespace::APPROVE, text.as_bytes(), &sig).unwrap(), public, "{name}");
                assert!(sshsig::is_canonical(&sig));
                assert!(sshsig::verify(namespace::APPROVE, b"other bytes", &sig).is_err());
            }
        } else {
            assert!(matches!(FileKey::read(&path, &|_| None), Err(SignError::Locked { .. })));
            let wrong = FileKey::read(&path, &|_| Some(Secret::new("no")));
            assert!(matches!(wrong, Err(SignError::WrongPassphrase { .. })));
        }
        let key = FileKey::read(&path, &|_| Some(Secret::new(passphrase))).unwrap();
        assert_eq!(file::public_part(&path).unwrap(), public);
        let sig = key.sign(namespace::CLOSE, b"note").unwrap();
        dir.write("allowed", &trust::line("me@example.com", &public.line()));
        let (ok, words) = dir.verify("me@example.com", namespace::CLOSE, "note", &sig, &[]);
        assert!(ok, "{name}: {words}");
    }
}

#[test]
fn a_key_made_here_is_one_for_ssh_keygen() {
    let Some(dir) = Folder::new() else { return };
    let public = file::create(&dir.path("id"), "me").unwrap();
    let (ok, words) = dir.keygen(&["-y", "-f", &dir.text("id")]);
    assert!(ok && words.starts_with(&public.line()), "{words}");
    let (ok, words) = dir.keygen(&["-l", "-f", &dir.text("id.pub")]);
    assert!(ok && words.contains(&public.fingerprint()), "{words}");
}

/// Tampered, not allowed, another person, another purpose, not valid then, revoked: each by a signature of `ssh-keygen`,
/// refused by `ssh-keygen -Y verify`, and refused here in words of its own.
#[test]
fn each_failure_is_one_for_ssh_keygen_too_and_is_named_apart() {
    let Some(dir) = Folder::new() else { return };
    for name in ["alice", "bob", "old", "lost", "eve"] {
        dir.key(name, "ed25519", "");
    }
    let line = |who: &str, options: &str, key: &str| format!("{who} {options} {}\n", dir.public(key).line());
    let text = line("alice@example.com", "namespaces=\"bgctl-approve-*\"", "alice")
        + &line("bob@example.com", "namespaces=\"git\"", "bob")
        + &line("old@example.com", "namespaces=\"bgctl-*\",valid-before=\"20260101Z\"", "old")
        + &line("lost@example.com", "namespaces=\"bgctl-*\"", "lost");
    dir.write("allowed", &text);
    let list = dir.public("lost").line() + "\n";
    let revoked = dir.write("revoked", &list).display().to_string();
    let given_up = Revoked::parse(list.as_bytes(), &dir.path("revoked"), "revoked").unwrap();
    let signers = AllowedSigners::parse(&text).unwrap().without(given_up);
    let now: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
    let space = namespace::APPROVE;

    let both = |key: &str, who: &str, signed: &str, shown: &str, made_for: &str| {
        let sig = dir.sign(key, made_for, signed);
        let more = ["-r", &revoked, "-O", "verify-time=20261121030000Z"];
        let (theirs, words) = dir.verify(who, space, shown, &sig, &more);
        let ours = signers.check(Some(who), space, shown.as_bytes(), &sig, now);
        assert_eq!(theirs, ours.is_ok(), "{key}: {words} / {ours:?}");
        ours.map(|signed| signed.principal)
    };
    let alice = "alice@example.com";
    assert_eq!(both("alice", alice, "request", "request", space).unwrap(), alice);
    let mut words = Vec::new();
    let mut refused = |error: TrustError, right: bool| {
        assert!(right, "{error:?}");
        words.push(error.to_string());
    };
    let error = both("alice", alice, "request", "requesT", space).unwrap_err();
    refused(error.clone(), error == TrustError::Signature(SigError::Tampered));
    let error = both("alice", alice, "request", "request", "git").unwrap_err();
    refused(error.clone(), matches!(error, TrustError::Signature(SigError::WrongNamespace { .. })));
    let error = both("eve", alice, "request", "request", space).unwrap_err();
    refused(error.clone(), matches!(error, TrustError::Unknown { .. }));
    let error = both("alice", "bob@example.com", "request", "request", space).unwrap_err();
    refused(error.clone(), matches!(error, TrustError::WrongPerson { .. }));
    let error = both("bob", "bob@example.com", "request", "request", space).unwrap_err();
    refused(error.clone(), matches!(error, TrustError::NotForThis { .. }));
    let error = both("old", "old@example.com", "request", "request", space).unwrap_err();
    refused(error.clone(), matches!(error, TrustError::Expired { .. }));
    let error = both("lost", "lost@example.com", "request", "request", space).unwrap_err();
    refused(error.clone(), matches!(error, TrustError::Revoked { .. }));
    words.sort();
    words.dedup();
    assert_eq!(words.len(), 7, "{words:#?}");
}
