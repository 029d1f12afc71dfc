//! `bgctl audit` and `bgctl keys` as commands: exit codes, words, and whom they believe.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::rig::*;
use bgctl::journal::Archive;
use bgctl::sign::trust;

/// Runs bgctl with a state folder of its own; exit code, stdout, stderr.
pub fn bgctl(state: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bgctl"))
        .args(args)
        .current_dir(state)
        .env_clear()
        .env("BGCTL_STATE_DIR", state)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

pub fn keep(state: &Path, log: &[u8]) {
    let folder = Archive::new(state).run(RUN);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(bgctl::journal::LOG), log).unwrap();
    // A verifier that has never seen this run.
    let _ = fs::remove_file(state.join("heads.json"));
}

#[test]
fn each_verdict_has_its_code_and_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    let log = complete();
    keep(state, &log);
    let (code, out, err) = bgctl(state, &["audit", "verify"]);
    assert_eq!(code, 40, "{out}{err}");
    assert!(err.contains("BG0607") && err.contains("no allowed-signers file was found"), "{err}");

    trust::remember(&Archive::new(state).allowed_signers(), OWNER, owner().public_key()).unwrap();
    trust::remember(&Archive::new(state).allowed_signers(), APPROVER, approver().public_key()).unwrap();
    let (code, out, err) = bgctl(state, &["audit", "verify"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("COMPLETE. ") && out.contains("this machine's own list") && out.contains(OWNER), "{out}");
    let (code, out, _) = bgctl(state, &["audit", "show", "kfx"]);
    assert!(code == 0 && out.contains(&format!("opened by {OWNER}")) && out.contains("closed by its owner"), "{out}");

    let mut all = lines(&log);
    let at = find(&all, "approval.granted");
    keep(state, &all[..at + 2].concat());
    let (code, out, err) = bgctl(state, &["audit", "verify", "kfx"]);
    assert!(code == 43 && out.contains("INTERRUPTED. ") && err.contains("bgctl resume"), "{out}{err}");

    all[at] = String::from_utf8(all[at].clone()).unwrap().replace(APPROVER, "rm-two@example.com").into_bytes();
    keep(state, &all.concat());
    let (code, out, err) = bgctl(state, &["audit", "verify", RUN]);
    assert!(code == 40 && out.contains("BROKEN. "), "{out}{err}");
    assert!(
        err.contains(&format!("record {at} was changed")) && err.contains(&format!("log.jsonl:{}", at + 1)),
        "{err}"
    );

    let mut rig = Rig::new();
    rig.arm();
    rig.done(0);
    keep(state, &rig.close());
    let (code, out, err) = bgctl(state, &["audit", "verify"]);
    assert!(code == 46 && out.contains("POLICY. ") && err.contains("cannot follow"), "{out}{err}");
}

#[test]
fn a_key_is_made_once_and_then_it_is_the_one_that_signs() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = bgctl(dir.path(), &["keys"]);
    assert!(code == 77 && err.contains("bgctl keys create"), "{err}");
    let (code, made, err) = bgctl(dir.path(), &["keys", "create"]);
    assert!(code == 0 && made.starts_with("ssh-ed25519 "), "{made}{err}");
    let key = fs::read(dir.path().join("keys/id_ed25519")).unwrap();
    let (code, _, err) = bgctl(dir.path(), &["keys", "create"]);
    assert!(code == 77 && err.contains("never overwrites"), "{err}");
    assert_eq!(fs::read(dir.path().join("keys/id_ed25519")).unwrap(), key);
    let (code, out, _) = bgctl(dir.path(), &["keys", "list"]);
    assert!(code == 0 && out.contains("this one signs"), "{out}");
    assert_eq!(bgctl(dir.path(), &["keys", "whoami"]).0, 0);
}
