//! A stranger's view of a log: OpenSSH accepts its signatures, and no changed byte stays unseen.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::common::peer;
use crate::rig::*;

fn keygen_accepts(desk: &Desk, keygen: &Path, namespace: &str, text: &str, signature: &str) -> bool {
    desk.write("statement.sig", signature);
    let mut command = desk.command(&keygen.display().to_string());
    command.args(["-Y", "verify", "-f", "allowed", "-I", OWNER, "-n", namespace, "-s", "statement.sig"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("ssh-keygen starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), text.as_bytes()).expect("it reads");
    child.wait().expect("it ends").success()
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record["data"][name].as_str().unwrap_or_else(|| panic!("`{name}` in {record}"))
}

#[test]
fn a_real_log_is_signed_as_openssh_signs_and_shows_every_changed_byte() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.cutover().end(60).ends(0);
    let public = std::fs::read_to_string(desk.path("key.pub")).expect("the public key");
    desk.write("allowed", &format!("{OWNER} {public}"));

    let records = desk.records();
    let (first, last) = (&records[0], &records[records.len() - 1]);
    assert_eq!((first["type"].as_str(), last["type"].as_str()), (Some("run.opened"), Some("seal")));
    let opening = (text(first, "statement"), text(first, "sig"));
    let closing = (text(last, "note"), text(last, "sig"));
    for (namespace, (signed, signature)) in [("bgctl-open-v1", opening), ("bgctl-close-v1", closing)] {
        assert!(keygen_accepts(&desk, &keygen, namespace, signed, signature), "{namespace}");
        assert!(!keygen_accepts(&desk, &keygen, "file", signed, signature), "a signature is for one purpose");
        let other = signed.replacen('2', "3", 1);
        assert!(!keygen_accepts(&desk, &keygen, namespace, &other, signature), "other words");
    }

    let whole = desk.log();
    let verify = |log: &[u8]| {
        std::fs::write(desk.path("copy.jsonl"), log).expect("a copy");
        desk.run(&["audit", "verify", "copy.jsonl", "--allowed-signers", "allowed"])
    };
    verify(&whole).ends(0).says(&["COMPLETE"]);
    // A prime's stride meets every part of a line: numbers, links, texts, seals, signatures, line ends.
    let stride = whole.len() / 40;
    let ends = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).step_by(20);
    for at in (0..40).map(|n| n * stride + n % 7).chain(ends) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let line = whole[..at].iter().filter(|b| **b == b'\n').count() + 1;
        let done = verify(&changed);
        assert_eq!(done.code, 40, "byte {at} of line {line}:\n{}{}", done.out, done.err);
        let named = [line, line + 1].iter().any(|n| {
            let (a, b) = (format!("line {n}"), format!("copy.jsonl:{n}"));
            done.err.contains(&a) || done.err.contains(&b) || done.out.contains(&a)
        });
        assert!(named, "byte {at} of line {line}:\n{}{}", done.out, done.err);
    }
}

#[test]
fn a_ci_job_signs_with_its_certificate_and_with_a_revoked_one_moves_nobody() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let run = |args: &[&str]| {
        let status = desk.command(&keygen.display().to_string()).args(args).status().expect("ssh-keygen starts");
        assert!(status.success(), "{args:?}");
    };
    run(&["-q", "-t", "ed25519", "-N", "", "-f", "ca"]);
    run(&["-q", "-s", "ca", "-I", "job 7", "-n", OWNER, "-V", "-1m:+10m", "key.pub"]);
    let public = |name: &str| std::fs::read_to_string(desk.path(name)).expect("a public key");
    std::fs::create_dir(desk.path(".bgctl")).expect("a folder");
    let line = format!("*@example.com cert-authority,namespaces=\"bgctl-*\" {}", public("ca.pub"));
    desk.write(".bgctl/allowed_signers", &line);

    // Approvers' files and flags count as well as the team's own list, and whoever was to move stays where they are.
    desk.write("lost", &public("key.pub"));
    let cutover = ["cutover", "runbook.yaml", "--confirm", "staging"];
    desk.run(&[&cutover[..], &["--revoked", "lost"]].concat()).ends(77).says(&["BG0423", "is revoked (lost, line 1)"]);
    desk.write(".bgctl/revoked_keys", &public("ca.pub"));
    desk.run(&cutover).ends(77).says(&["BG0423", "by its authority"]);
    assert!(desk.runs().is_empty(), "nothing was opened");

    desk.write(".bgctl/revoked_keys", "# nobody\n");
    desk.cutover().end(60).ends(0);
    desk.run(&["audit", "verify"]).ends(0).says(&["COMPLETE", OWNER, "certified by SHA256:", ".bgctl/allowed_signers"]);
    desk.write(".bgctl/revoked_keys", &public("ca.pub"));
    desk.run(&["audit", "verify"]).ends(40).says(&["is revoked (.bgctl/revoked_keys, line 1, by its authority)"]);
}
