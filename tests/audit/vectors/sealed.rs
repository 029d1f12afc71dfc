//! Vectors of statements, seals and the form of signatures: by somebody who holds the keys.

use bgctl::sign::session::SessionKey;
use bgctl::sign::{Signer, namespace};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::rc::Rc;

use super::Vector;
use super::keys::{device, ecdsa, key};
use super::scribe::Scribe;
use super::trusted::owned;
use crate::forge::Forge;
use crate::rig::*;

pub fn vectors() -> Vec<Vector> {
    let mut all = statements();
    all.extend(resumptions());
    all.extend(seals());
    all.extend(signatures());
    all
}

/// An opening whose statement says something else, and whose data are written otherwise; the owner signs what it says.
fn opened(said: impl Fn(&mut Value), data: impl Fn(&mut Value)) -> Vec<u8> {
    let mut forge = Forge::new();
    let line: Value = serde_json::from_slice(&forge.statement("run.opened").bytes()).unwrap();
    let mut written = line["data"].clone();
    let mut statement: Value = serde_json::from_str(written["statement"].as_str().unwrap()).unwrap();
    said(&mut statement);
    let text = statement.to_string();
    written["sig"] = json!(owner().sign(namespace::OPEN, text.as_bytes()).unwrap());
    written["statement"] = json!(text);
    data(&mut written);
    let mut forge = Forge::new();
    let text = forge.plan.clone();
    forge.line("run.opened", &written);
    forge.line("plan.loaded", &json!({ "sha256": sha256(text.as_bytes()), "text": text })).seal().bytes()
}

fn statement(
    rule: &'static str,
    variant: &'static str,
    said: impl Fn(&mut Value),
    data: impl Fn(&mut Value),
) -> Vector {
    Vector::new(rule, variant, opened(said, data)).broken("statement", 1)
}

fn same(_: &mut Value) {}

/// The text in it is signed once more, as it is.
fn signed_again(data: &mut Value, text: &str) {
    data["sig"] = json!(owner().sign(namespace::OPEN, text.as_bytes()).unwrap());
    data["statement"] = json!(text);
}

fn statements() -> Vec<Vector> {
    let member = |name: &'static str, value: Value| move |said: &mut Value| said[name] = value.clone();
    let text = |data: &Value| data["statement"].as_str().unwrap().to_string();
    let without = |name: &'static str| move |said: &mut Value| drop(said.as_object_mut().unwrap().shift_remove(name));
    vec![
        statement("statement-members", "order", same, |data| {
            let claims = data["claims"].take();
            let mut other = json!({ "claims": claims });
            for name in ["statement", "ns", "sig"] {
                other[name] = data[name].take();
            }
            *data = other;
        }),
        statement("statement-members", "more", same, |data| data["more"] = json!(1)),
        statement("statement-members", "claims", same, |data| data["claims"] = json!("ci")),
        statement("statement-spelling", "", same, |data| signed_again(data, &(text(data) + " "))),
        statement("statement-spelling", "twice", same, |data| {
            signed_again(data, &text(data).replacen('{', "{\"owner\":\"a@b\",", 1));
        }),
        statement("statement-ns", "", same, |data| data["ns"] = json!(namespace::CLOSE)),
        statement("statement-type", "", member("_type", json!("bgctl/resuming/v1")), same),
        statement("statement-run", "", member("run", json!("20261121-0302-zzz")), same),
        statement("statement-head", "plan", member("plan_sha256", json!("AB".repeat(32))), same),
        statement("statement-head", "service", without("service"), same),
        statement("statement-session", "long", member("not_after", json!("2026-11-21T15:02:41.000001Z")), same),
        statement("statement-session", "backwards", member("not_after", json!("2026-11-21T03:02:40.999999Z")), same),
        statement("statement-session", "no-time", member("not_before", json!("2026-11-21")), same),
        statement("statement-keys", "session", member("session_key", json!("ssh-ed25519 AAAA")), same),
        statement(
            "statement-keys",
            "two",
            member("session_key", json!(format!("{}\nsession {}", key(3).public(), key(4).public()))),
            same,
        ),
        statement(
            "statement-keys",
            "control",
            member("owner_key", json!(format!("{} \u{9b}", owner().public()))),
            same,
        ),
        statement("statement-owner", "", without("assurance"), same),
        statement("statement-signature", "", same, |data| {
            data["sig"] = json!(owner().sign(namespace::OPEN, b"another").unwrap());
        }),
        statement("statement-signature", "other-key", same, |data| {
            data["sig"] = json!(key(4).sign(namespace::OPEN, text(data).as_bytes()).unwrap());
        }),
        statement("statement-signature", "purpose", same, |data| {
            data["sig"] = json!(owner().sign(namespace::CLOSE, text(data).as_bytes()).unwrap());
        }),
        statement("statement-signature", "mac", same, |data| {
            let (ns, statement) = (data["ns"].take(), data["statement"].take());
            *data = json!({ "statement": statement, "ns": ns, "mac": format!("hmac-sha256:{}", "ab".repeat(32)), "claims": {} });
        }),
    ]
}

fn resumptions() -> Vec<Vector> {
    let resumed = |name: &'static str, value: &str| {
        let mut run = Scribe::new();
        run.first();
        run.left("handover");
        run.forge.says.push((name, value.into()));
        let line = lines(&run.forge.bytes()).len() + 1;
        run.resumes(OWNER, Rc::new(owner()));
        (run.forge.bytes(), line)
    };
    let of = |rule, variant, (log, line)| Vector::new(rule, variant, log).broken("statement", line);
    let lines_of = {
        let mut run = Scribe::new();
        run.first();
        run.left("handover");
        let line = lines(&run.forge.bytes()).len() + 1;
        // The number of lines is a number, and another one than there are.
        let before = run.forge.bytes();
        run.forge.statement("run.resumed");
        let all = lines(&run.forge.bytes());
        let mut data: Value = serde_json::from_slice::<Value>(&all[line - 1]).unwrap()["data"].take();
        let said = data["statement"].as_str().unwrap();
        let text = said.replacen(&format!("\"log_lines\":{}", line - 1), "\"log_lines\":3", 1);
        signed_again(&mut data, &text);
        let mut value: Value = serde_json::from_slice(&all[line - 1]).unwrap();
        value["data"] = data;
        (([before, value.to_string().into_bytes(), b"\n".to_vec()]).concat(), line)
    };
    vec![
        of("statement-log", "", resumed("log_sha256", &"ab".repeat(32))),
        of("statement-log", "lines", lines_of),
        of("statement-type", "resumed", resumed("_type", "bgctl/opening/v1")),
        of("statement-head", "resumed-plan", resumed("plan_sha256", &"ab".repeat(32))),
        of("statement-head", "resumed-environment", resumed("environment", "staging")),
    ]
}

/// A log that ends in a seal of somebody's making: note, purpose and signature of it, in this state.
fn sealed(state: &str, note: impl Fn(String) -> String, data: impl Fn(&mut Value, &str)) -> (Vec<u8>, usize) {
    let mut run = Scribe::new();
    run.forge.record("note", &json!({ "line": "one" })).pass(SignedDuration::from_secs(1)).line("note", &json!({}));
    let note = note(run.forge.note(state));
    let by_owner = state == "closed" || state == "handover";
    let (space, key) = if by_owner { (namespace::CLOSE, owner()) } else { (namespace::SEAL, key(3)) };
    let sig = key.sign(space, note.as_bytes()).unwrap();
    let mut written = json!({ "note": note, "ns": space, "sig": sig });
    data(&mut written, &note);
    let log = run.forge.line("seal", &written).bytes();
    let line = lines(&log).len();
    (log, line)
}

fn seals() -> Vec<Vector> {
    let seal = |rule, variant, (log, line)| Vector::new(rule, variant, log).broken("seal", line);
    let as_is = |_: &mut Value, _: &str| {};
    let noted = |from: &'static str, to: &'static str| {
        move |note: String| {
            let other = note.replacen(from, to, 1);
            assert_ne!(other, note);
            other
        }
    };
    let same = |note: String| note;
    let by = |key: SessionKey, space: &'static str| {
        move |data: &mut Value, note: &str| data["sig"] = json!(key.sign(space, note.as_bytes()).unwrap())
    };
    let behind = |state: &str| {
        let mut run = Scribe::new();
        if state == "ended" {
            run.left("ended");
        }
        let log = run.left(state);
        let line = lines(&log).len();
        (log, line)
    };
    let window = |before: i64, set_back: i64, anomaly: bool| {
        let mut run = Scribe::with(plan(), Rc::new(owner()), |forge| {
            forge.not_after = forge.now + SignedDuration::from_secs(7);
        });
        run.forge.pass(SignedDuration::from_secs(before)).now -= SignedDuration::from_secs(set_back);
        if anomaly {
            run.forge.line("clock.anomaly", &json!({ "line": "the clock was set" }));
        } else {
            run.forge.line("note", &json!({}));
        }
        let log = run.forge.seal().bytes();
        let line = lines(&log).len();
        (log, line)
    };
    let mut ahead = Scribe::with(plan(), Rc::new(owner()), |forge| {
        forge.not_after = forge.now + SignedDuration::from_secs(7);
    });
    ahead.forge.now += SignedDuration::from_secs(60);
    ahead.forge.line("note", &json!({})).seal();
    vec![
        seal(
            "seal-members",
            "order",
            sealed("open", same, |data, _| {
                let ns = data["ns"].take();
                let mut other = json!({ "ns": ns });
                for name in ["note", "sig"] {
                    other[name] = data[name].take();
                }
                *data = other;
            }),
        ),
        seal("seal-members", "more", sealed("open", same, |data, _| data["more"] = json!(1))),
        seal("seal-note", "state", sealed("aborted", same, as_is)),
        seal("seal-note", "line-end", sealed("open", noted("state open\n", "state open"), as_is)),
        seal("seal-note", "number", sealed("open", noted("lines 6", "lines 06"), as_is)),
        seal("seal-note", "digest", sealed("open", |note| note.replacen("sha256 ", "sha256 A", 1), as_is)),
        seal("seal-origin", "", sealed("open", noted("slackbot", "otherbot"), as_is)),
        seal("seal-covers", "lines", sealed("open", noted("lines 6", "lines 5"), as_is)),
        seal("seal-covers", "bytes", sealed("open", |note| note.replacen("bytes ", "bytes 1", 1), as_is)),
        seal(
            "seal-sha256",
            "",
            sealed(
                "open",
                |note| {
                    let digest = note.split("sha256 ").nth(1).unwrap()[..64].to_string();
                    note.replacen(&digest, &"ab".repeat(32), 1)
                },
                as_is,
            ),
        ),
        seal("seal-time", "", sealed("open", noted("time 2026", "time 2025"), as_is)),
        seal("seal-time", "mono", {
            let mut run = Scribe::new();
            run.forge.line("note", &json!({})).mono += 1;
            let log = run.forge.seal().bytes();
            (log, 5)
        }),
        seal("seal-empty", "", behind("open")),
        seal("seal-ended", "", behind("ended")),
        seal("seal-ns", "open", sealed("open", same, |data, _| data["ns"] = json!(namespace::CLOSE))),
        seal(
            "seal-ns",
            "closed",
            sealed("closed", same, |data, note| {
                data["ns"] = json!(namespace::SEAL);
                data["sig"] = json!(key(3).sign(namespace::SEAL, note.as_bytes()).unwrap());
            }),
        ),
        seal("seal-window", "", window(8, 0, false)),
        seal("seal-window", "set-back", window(8, 8, true)),
        seal("seal-window", "ahead", (ahead.forge.bytes(), 5)),
        Vector::new("seal-window", "noted", window(6, -60, true).0).is("INTERRUPTED"),
        seal("seal-signature", "", sealed("open", same, by(key(3), namespace::CLOSE))),
        seal("seal-signature", "other-key", sealed("open", same, by(key(4), namespace::SEAL))),
        seal("seal-owner", "", sealed("closed", same, by(key(3), namespace::CLOSE))),
        seal("seal-owner", "purpose", sealed("handover", same, by(owner(), namespace::SEAL))),
    ]
}

fn signatures() -> Vec<Vector> {
    let seal = |rule, variant, (log, line)| Vector::new(rule, variant, log).broken("seal", line);
    let text = |change: fn(&str) -> String| {
        sealed("open", |note| note, |data, _| data["sig"] = json!(change(data["sig"].as_str().unwrap())))
    };
    let touched = |flags: u8| Scribe::with(plan(), Rc::new(device(flags)), |_| {}).forge.bytes();
    vec![
        seal(
            "signature-usual",
            "columns",
            text(|sig| {
                let lines: Vec<&str> = sig.lines().collect();
                let body = lines[1..lines.len() - 1].concat();
                format!("{}\n{body}\n{}\n", lines[0], lines[lines.len() - 1])
            }),
        ),
        seal("signature-usual", "blank", text(|sig| format!("{sig}\n"))),
        seal("signature-usual", "cr-lf", text(|sig| sig.replace('\n', "\r\n"))),
        seal("signature-form", "", text(|sig| sig.replacen("U1NIU0lHAAAAAQ", "U1NIU0lHAAAAAg", 1))),
        seal("signature-form", "armor", text(|sig| sig.replacen("-----BEGIN", "----BEGIN", 1))),
        seal(
            "signature-bytes",
            "",
            text(|sig| {
                let at = sig.len() - 60;
                let other = if &sig[at..=at] == "A" { "B" } else { "A" };
                format!("{}{other}{}", &sig[..at], &sig[at + 1..])
            }),
        ),
        Vector::new("signature-touch", "", touched(0)).by(owned(&device(0).public())).broken("statement", 1),
        Vector::new("signature-touch", "verified-only", touched(4))
            .by(owned(&device(0).public()))
            .broken("statement", 1),
        Vector::new("signature-bytes", "ecdsa", {
            let log = Scribe::with(plan(), Rc::new(ecdsa()), |_| {}).forge.bytes();
            let mut all = lines(&log);
            // The statement is another, and its signature that of before.
            let text = String::from_utf8(all[0].clone()).unwrap();
            all[0] = text.replacen("interactive", "interactivf", 1).into_bytes();
            rechain(&all)
        })
        .by(owned(&ecdsa().public()))
        .broken("statement", 1),
    ]
}
