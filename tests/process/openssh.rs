//! A stranger's view of a log: OpenSSH accepts its signatures, and no changed byte stays unseen.

use std::path::Path;
use std::process::Stdio;

use bgctl::sign::agent::{self, AgentKey};
use bgctl::sign::{Signer, Touch, sshsig};

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
    desk.run(&["audit", "verify"]).ends(0).says(&[
        "COMPLETE",
        OWNER,
        "certified by SHA256:",
        "as `job 7`",
        ".bgctl/allowed_signers",
    ]);
    desk.write(".bgctl/revoked_keys", &public("ca.pub"));
    desk.run(&["audit", "verify"]).ends(40).says(&["is revoked (.bgctl/revoked_keys, line 1, by its authority)"]);
}

/// A desk whose OpenSSH has a security key, in software, and a key file that is its handle.
fn desk_with_security_key(world: &World, keygen: &Path) -> Option<Desk> {
    let compiler = peer("cc")?;
    let mut desk = Desk::beside(world);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/security_key.c");
    let device = desk.path("security_key.so").display().to_string();
    let mut compile = desk.command(&compiler.display().to_string());
    let built = compile.args(["-shared", "-fPIC", "-o", &device]).arg(source).output().expect("cc starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    desk.env.insert("SSH_SK_PROVIDER".into(), device);
    let mut make = desk.command(&keygen.display().to_string());
    let made = make.args(["-q", "-t", "ed25519-sk", "-N", "", "-f", "sk"]).output().expect("ssh-keygen starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    desk.env.insert("BGCTL_SIGNING_KEY".into(), desk.path("sk").display().to_string());
    Some(desk)
}

#[test]
fn a_security_key_is_touched_to_open_and_to_close_and_one_that_was_not_touched_opens_nothing() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let Some(mut desk) = desk_with_security_key(&world, &keygen) else { return };
    desk.run(&["keys"]).ends(0).says(&["ed25519-sk SHA256:", "this one signs"]);
    desk.env.insert("TOUCH".into(), "0".into());
    desk.cutover().end(60).ends(77).says(&["touch your security key", "was not touched"]);
    assert!(desk.log().is_empty(), "nothing was opened");

    desk.env.insert("TOUCH".into(), "5".into());
    desk.cutover().end(60).ends(0).says(&["(bgctl-open-v1)", "(bgctl-close-v1)"]);
    desk.run(&["audit", "verify"]).ends(0).says(&["COMPLETE", "ed25519-sk SHA256:", "touched and verified"]);
}

#[test]
fn a_real_agent_holds_a_security_key_and_its_flags_are_seen() {
    let (Some(keygen), Some(program), Some(add)) = (peer("ssh-keygen"), peer("ssh-agent"), peer("ssh-add")) else {
        return;
    };
    let world = World::new(&[]);
    let Some(desk) = desk_with_security_key(&world, &keygen) else { return };
    let socket = desk.path("agent");
    for (touch, expected) in [("1", Some(Touch::Present)), ("5", Some(Touch::Verified)), ("4", None)] {
        let mut command = desk.command(&program.display().to_string());
        // Only providers of that folder: where they lie in a test is not where an agent looks by itself.
        command.args(["-D", "-P", &format!("{}/*", desk.path("").canonicalize().expect("a folder").display()), "-a"]);
        let child = command.arg(&socket).env("TOUCH", touch).spawn().expect("ssh-agent starts");
        let agent_process = Running::of(child);
        until("the agent answers", 20, || agent::list(&socket).is_ok());
        let mut adding = desk.command(&add.display().to_string());
        let added = adding.args(["-q", "sk"]).env("SSH_AUTH_SOCK", &socket).output().expect("ssh-add starts");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let held = agent::list(&socket).expect("it lists");
        assert!(held.len() == 1 && held[0].key.is_security_key(), "{held:?}");
        let made = AgentKey::new(&socket, held[0].key.clone()).sign("bgctl-approve-v1", b"request");
        match expected {
            Some(touch) => {
                let made = sshsig::check("bgctl-approve-v1", b"request", &made.expect("it signs")).expect("it holds");
                assert_eq!(made.touch, Some(touch));
            }
            None => assert!(made.expect_err("nobody touched it").to_string().contains("was not touched")),
        }
        drop(agent_process);
        std::fs::remove_file(&socket).expect("a socket");
    }
}
