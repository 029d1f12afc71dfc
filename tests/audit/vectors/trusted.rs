//! Vectors of whom to believe: lists of signers, certificates, revoked keys, redacted copies and anchors.

use std::rc::Rc;

use bgctl::audit::{Copy, Publishing, copy};
use bgctl::journal::{Note, SealState};
use bgctl::sign::hmac::SharedKey;
use bgctl::sign::{Signer, namespace, trust};
use serde_json::{Value, json};

use super::Vector;
use super::keys::{Made, device, key};
use super::scribe::Scribe;
use crate::rig::*;

pub fn vectors() -> Vec<Vector> {
    let mut all = signers();
    all.extend(unreadable());
    all.extend(certificates());
    all.extend(copies());
    all.extend(anchors());
    all
}

/// The owner by this key, and the approver.
pub fn owned(public: &str) -> String {
    trust::line(OWNER, public) + &trust::line(APPROVER, &approver().public())
}

/// The owner by whatever certificate this key has signed.
pub fn authority(options: &str, seed: u8) -> String {
    let line = format!("*@example.com cert-authority,namespaces=\"bgctl-*\"{options} {}\n", key(seed).public());
    line + &trust::line(APPROVER, &approver().public())
}

/// The owner's line with these names and options.
fn listed(names: &str, options: &str) -> String {
    format!("{names} {options} {}\n", owner().public()) + &trust::line(APPROVER, &approver().public())
}

fn signers() -> Vec<Vector> {
    let log = || Scribe::new().refused();
    let of = |rule, variant, list: String| Vector::new(rule, variant, log()).by(list).untrusted();
    let approver_only = trust::line(APPROVER, &approver().public());
    let halves =
        format!("{OWNER} namespaces=\"git\" {0}\nother@example.com namespaces=\"bgctl-*\" {0}\n", owner().public());
    let broken = {
        let log = lines(&log());
        let at = find(&log, "run.refused");
        log[..=at].concat()
    };
    let revoked =
        |variant, list: String| Vector::new("signer-revoked", variant, log()).with("revoked_keys", list.into_bytes());
    let shared = || SharedKey::new(&[5; 32], "shared_key").unwrap();
    vec![
        of("signer-unknown", "", approver_only.clone()),
        of("signer-unknown", "empty", String::new()),
        Vector::new("signer-unknown", "and-broken", broken).by(approver_only.clone()).broken("unsealed", 4),
        of("signer-name", "", listed("other@example.com", "namespaces=\"bgctl-*\"")),
        of("signer-name", "refused", listed("!engineer@example.com,*@example.com", "namespaces=\"bgctl-*\"")),
        Vector::new("signer-name", "pattern", log()).by(listed("engineer@ex?mple.*", "namespaces=\"bgctl-*\"")),
        of("signer-namespace", "", listed(OWNER, "namespaces=\"git\"")),
        of("signer-namespace", "no-close", listed(OWNER, "namespaces=\"bgctl-open-v1\"")),
        of("signer-namespace", "halves", halves + &approver_only),
        Vector::new("signer-namespace", "none", log()).by(listed(OWNER, "")),
        of("signer-time", "over", listed(OWNER, "valid-before=\"20261121030241Z\"")),
        of("signer-time", "not-yet", listed(OWNER, "valid-after=\"20261121030242Z\"")),
        Vector::new("signer-time", "then", log())
            .by(listed(OWNER, "valid-after=\"20261121Z\",valid-before=\"202611210400Z\"")),
        revoked("", owner().public()).untrusted(),
        revoked("fingerprint", format!("# lost\n{}\n", owner().fingerprint())).untrusted(),
        revoked("other", key(9).public()),
        Vector { log: Scribe::new().walked(), ..revoked("approver", approver().public()) }
            .policy("approval.granted", 0),
        Vector::new("signer-unknown", "rsa", log())
            .by(owned(&owner().public()) + "bob@example.com ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7\n"),
        Vector::new("shared-key", "", Scribe::with(plan(), Rc::new(shared()), |_| {}).walked()).untrusted(),
    ]
}

fn unreadable() -> Vec<Vector> {
    let bad = |variant, line: &str| {
        let list = owned(&owner().public()) + line + "\n";
        Vector::new("signers-unreadable", variant, Scribe::new().refused()).by(list).is("UNREADABLE")
    };
    let revoked = |variant, line: &str| {
        let list = format!("{line}\n").into_bytes();
        Vector::new("signers-unreadable", variant, Scribe::new().refused()).with("revoked_keys", list).is("UNREADABLE")
    };
    let eve = key(66).public();
    vec![
        bad("option", &format!("eve@example.com no-touch-required {eve}")),
        bad("twice", &format!("eve@example.com namespaces=\"a\",namespaces=\"b\" {eve}")),
        bad("quote", &format!("eve@example.com namespaces=\"a {eve}")),
        bad("time", &format!("eve@example.com valid-after=\"yesterday\" {eve}")),
        bad("never", &format!("eve@example.com valid-after=\"2027\",valid-before=\"20260101Z\" {eve}")),
        bad("key", "eve@example.com ssh-ed25519 AAAA"),
        bad("word", "eve@example.com"),
        bad("sign", &format!("eve@example.com valid-after=\"+2026101Z\" {eve}")),
        bad("second", &format!("eve@example.com valid-after=\"20260101235960Z\" {eve}")),
        bad("authority", &format!("eve@example.com cert-authority=yes {eve}")),
        bad("no-value", &format!("eve@example.com namespaces {eve}")),
        revoked("revoked", "nothing of the kind"),
        revoked("revoked-cut", "ssh-ed25519 AAAA"),
        revoked("revoked-word", &eve.replacen("ssh-ed25519", "ssh-rsa", 1)),
    ]
}

fn certificates() -> Vec<Vector> {
    let person = key(21);
    let day = (1_790_000_000, 1_800_000_000);
    let job = |names: &'static [&'static str], valid, critical: &'static [&'static str], signs| Made {
        authority: 20,
        signs,
        key: person.public_key(),
        user: 1,
        names,
        valid,
        critical,
    };
    let of = |rule, made: &Made<'_>, list: String| {
        let signer = made.signer(Box::new(key(21)));
        Vector::new(rule, "", Scribe::with(plan(), Rc::new(signer), |_| {}).refused()).by(list).untrusted()
    };
    let own: &[&str] = &[OWNER];
    let touched = device(1).public;
    let strict = Made { key: &touched, ..job(own, day, &["verify-required"], 20) };
    let touched = strict.signer(Box::new(device(1)));
    vec![
        of("certificate-authority", &job(own, day, &[], 20), authority("", 22)),
        Vector { variant: "key-only", ..of("certificate-authority", &job(own, day, &[], 20), owned(&person.public())) },
        of("certificate-signature", &job(own, day, &[], 22), authority("", 20)),
        of("certificate-name", &job(&["other@example.com"], day, &[], 20), authority("", 20)),
        Vector { variant: "none", ..of("certificate-name", &job(&[], day, &[], 20), authority("", 20)) },
        of("certificate-time", &job(own, (1_790_000_000, 1_795_230_161), &[], 20), authority("", 20)),
        of("certificate-critical", &job(own, day, &["force-command"], 20), authority("", 20)),
        Vector::new("certificate-touch", "", Scribe::with(plan(), Rc::new(touched), |_| {}).refused())
            .by(authority("", 20))
            .untrusted(),
        Vector {
            variant: "no-device",
            ..of("certificate-touch", &job(own, day, &["verify-required"], 20), authority("", 20))
        },
    ]
}

/// A copy in which the first outcome is withheld, and the file beside it: its statement says something else, and is signed
/// as it is.
pub fn beside(log: &[u8], said: impl Fn(&mut Value), file: impl Fn(&mut Value), by: &dyn Signer) -> (Vec<u8>, Vec<u8>) {
    let first = find(&lines(log), "step.outcome") as u64;
    let copied: Copy = copy(log, |entry| {
        (entry.seq == first).then(|| {
            let mut data = entry.data.clone();
            data["outcome"]["line"] = json!("[withheld]");
            data
        })
    })
    .unwrap();
    let (time, reason) = ("2026-11-22T08:00:00.000000Z".to_string(), "a token in it");
    let text = copied.statement(&Publishing { run: RUN, owner: OWNER, owner_key: by.public(), time, reason });
    let mut statement: Value = serde_json::from_str(&text).unwrap();
    // Which bgctl made it changes with each release, and means nothing.
    statement.as_object_mut().unwrap().shift_remove("bgctl");
    said(&mut statement);
    let text = statement.to_string();
    let mut whole = json!({ "statement": text, "ns": namespace::REDACT, "sig": by.sign(namespace::REDACT, text.as_bytes()).unwrap() });
    file(&mut whole);
    (copied.bytes, format!("{whole}\n").into_bytes())
}

fn copies() -> Vec<Vector> {
    let log = Scribe::short();
    let at = find(&lines(&log), "step.outcome") + 1;
    let same = |_: &mut Value| {};
    let script = "it reads no redacted copies: the chain does not hold without the statement";
    let of = |rule, variant, (copied, statement): (Vec<u8>, Vec<u8>)| {
        Vector::new(rule, variant, copied)
            .with("log.jsonl.redaction", statement)
            .broken("redaction", at)
            .script("NOT CHECKED", script)
    };
    let said = |change: &dyn Fn(&mut Value)| beside(&log, change, same, &owner());
    let by_another = beside(&log, |said| said["owner"] = json!(APPROVER), same, &approver());
    let twice = |said: &mut Value| {
        let first = said["withheld"][0].clone();
        said["withheld"].as_array_mut().unwrap().push(first);
    };
    let signature =
        beside(&log, same, |file| file["sig"] = json!(key(1).sign(namespace::REDACT, b"x").unwrap()), &owner());
    let (mut changed, statement) = said(&same);
    changed = String::from_utf8(changed).unwrap().replacen("[withheld]", "[WITHHELD]", 1).into_bytes();
    vec![
        of("copy-statement", "", signature),
        Vector {
            line: None,
            ..of("copy-statement", "purpose", beside(&log, same, |file| file["ns"] = json!("git"), &owner()))
        },
        of("copy-statement", "unknown-key", beside(&log, same, same, &key(9))),
        Vector { line: None, ..of("copy-withheld", "", said(&|said| said["withheld"][0]["type"] = json!("seal"))) },
        Vector { line: None, ..of("copy-withheld", "twice", said(&twice)) },
        of("copy-type", "", said(&|said| said["withheld"][0]["type"] = json!("note"))),
        of("copy-sha256", "", (changed, statement)),
        of("copy-owner", "", by_another),
        of("copy-log", "lines", said(&|said| said["original"]["lines"] = json!(7))),
        of("copy-log", "run", said(&|said| said["run"] = json!("20261121-0302-zzz"))),
    ]
}

/// What an anchor keeps of the log that had these bytes.
pub fn head(then: &[u8]) -> String {
    Note::of_log(then, ("slackbot", RUN), "2026-11-21T03:09:12.481234Z".parse().unwrap(), SealState::Open).text()
}

fn anchors() -> Vec<Vector> {
    let log = Scribe::new().walked();
    let all = lines(&log);
    let part = all[..3].concat();
    let other = Scribe::with(plan(), Rc::new(owner()), |forge| forge.claims = json!({ "host": "other" })).walked();
    let of = |rule, variant, log: &[u8], head: String, verdict| {
        let vector = Vector::new(rule, variant, log.to_vec()).with("heads", head.into_bytes()).is(verdict);
        vector.script("COMPLETE", "it asks no anchors")
    };
    let mut early = Scribe::new();
    early.arm();
    let early = early.left("closed");
    let cut = of("anchor-truncated", "", &part, head(&log), "TRUNCATED").script("INTERRUPTED", "it asks no anchors");
    let forked = head(&other[..part.len()]);
    vec![
        cut,
        of("anchor-forked", "", &log, forked, "FORKED"),
        of("anchor-forked", "before-policy", &early, head(&other[..early.len()]), "FORKED")
            .script("POLICY", "it asks no anchors"),
    ]
}
