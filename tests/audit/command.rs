//! `bgctl audit` and `bgctl keys` as commands: exit codes, words, and whom they believe.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::rig::*;
use bgctl::journal::Archive;
use bgctl::sign::{Signer, trust};

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

/// Whoever verifies here believes the owner and the approver of the log.
pub fn believe(folder: &Path) {
    let known = trust::line(OWNER, &owner().public()) + &trust::line(APPROVER, &approver().public());
    fs::create_dir_all(folder.join(".bgctl")).unwrap();
    fs::write(folder.join(".bgctl/allowed_signers"), known).unwrap();
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

    believe(state);
    let (code, out, err) = bgctl(state, &["audit", "verify"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("COMPLETE. ") && out.contains("in .bgctl/allowed_signers") && out.contains(OWNER), "{out}");
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
    // Another one, named on purpose and not there: no key signs in its place.
    let (code, out, err) = bgctl(dir.path(), &["keys", "--key", "none"]);
    assert!(code == 77 && out.contains("cannot read `none`") && err.contains("BG0423"), "{out}{err}");
}

#[test]
fn a_revoked_key_signs_nothing_and_its_logs_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    keep(state, &complete());
    believe(state);
    fs::write(state.join("lost"), owner().fingerprint()).unwrap();
    let (code, out, err) = bgctl(state, &["audit", "verify", "--revoked", "lost"]);
    assert!(code == 40 && err.contains("is revoked (lost, line 1)"), "{out}{err}");
    let (code, _, err) = bgctl(state, &["audit", "verify", "--revoked", "nowhere"]);
    assert!(code == 65 && err.contains("BG0424"), "{err}");

    let (_, made, _) = bgctl(state, &["keys", "create"]);
    assert_eq!(bgctl(state, &["keys"]).0, 0);
    fs::write(state.join(".bgctl/revoked_keys"), &made).unwrap();
    let (code, out, err) = bgctl(state, &["keys"]);
    assert!(code == 77 && out.contains("is revoked (.bgctl/revoked_keys, line 1)"), "{out}{err}");
    // A list that cannot be read is no permission.
    fs::write(state.join(".bgctl/revoked_keys"), "alice\n").unwrap();
    let (code, _, err) = bgctl(state, &["audit", "verify"]);
    assert!(code == 65 && err.contains("the list of revoked keys cannot be read"), "{err}");
}

#[test]
fn the_signers_file_is_checked_at_each_line() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = bgctl(dir.path(), &["keys", "lint"]);
    assert!(code == 65 && err.contains(".bgctl/allowed_signers"), "{err}");
    fs::write(dir.path().join("good"), trust::line(OWNER, &owner().public())).unwrap();
    fs::write(dir.path().join("warned"), format!("{OWNER} {}\n", owner().public())).unwrap();
    fs::write(dir.path().join("bad"), trust::line("*", &owner().public())).unwrap();
    for (args, wanted) in
        [(&["good"][..], 0), (&["good", "warned"], 0), (&["warned", "--strict"], 65), (&["good", "bad"], 65)]
    {
        let (code, out, err) = bgctl(dir.path(), &[&["keys", "lint"], args].concat());
        assert_eq!(code, wanted, "{args:?} {out}{err}");
        assert_eq!(err.contains("BG0431"), args.contains(&"bad"), "{err}");
    }
    let (code, out, _) = bgctl(dir.path(), &["keys", "lint", "bad", "-o", "json"]);
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["files"][0]["found"][0]["code"]), (65, &serde_json::json!("BG0431")), "{out}");
}

/// Each form git takes for `user.signingkey`, and what git itself makes of it: one key signs commits and runs.
#[test]
fn the_key_of_git_is_found_in_each_form_git_knows() {
    let (Some(git), Some(dir)) = (crate::common::peer("git"), crate::ssh::Folder::new()) else { return };
    let Some(agent) = crate::ssh::Agent::start(&dir) else { return };
    dir.key("id", "ed25519", "");
    agent.add(&["-q", &dir.text("id")]);
    let public = dir.public("id");
    let home = dir.path("");
    let run = |program: &Path, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).current_dir(&home).env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("SSH_AUTH_SOCK", &agent.socket).env("BGCTL_STATE_DIR", &home);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let git = |args: &[&str]| run(&git, args);
    let keys = || run(Path::new(env!("CARGO_BIN_EXE_bgctl")), &["keys"]);
    assert!(git(&["init", "-q", "."]).0);
    for (name, value) in [("user.name", "x"), ("user.email", OWNER)] {
        assert!(git(&["config", name, value]).0);
    }
    assert!(keys().1.contains("git has no gpg.format = ssh here"));
    git(&["config", "gpg.format", "openpgp"]);
    assert!(keys().1.contains("git signs with `openpgp` here"));
    git(&["config", "gpg.format", "ssh"]);
    git(&["config", "gpg.ssh.defaultKeyCommand", "ssh-add -L"]);
    assert!(keys().1.contains("gpg.ssh.defaultKeyCommand is not followed"));
    for form in [
        dir.text("id"),
        dir.text("id.pub"),
        "~/id.pub".into(),
        format!("key::{}", public.line()),
        format!("{} me", public.line()),
    ] {
        assert!(git(&["config", "user.signingkey", &form]).0);
        let (ok, words) = git(&["commit", "-q", "-S", "--allow-empty", "-m", "x"]);
        assert!(ok, "{form}: {words}");
        let (ok, words) = keys();
        let line = words.lines().find(|line| line.contains("git user.signingkey")).unwrap();
        assert!(ok && line.contains(&public.fingerprint()) && line.contains("this one signs"), "{form}: {words}");
    }
    // What it names is gone: for commits only was it named, so the search goes on, and says so.
    git(&["config", "user.signingkey", "~/gone"]);
    let (ok, words) = keys();
    assert!(!ok && words.contains("cannot read `") && words.contains("/gone`"), "{words}");
}

/// The log of one run in the folder of another: whatever is asked of that run by its name is refused, and what is asked of the
/// file is answered of the run it is of.
#[test]
fn a12_a_log_in_another_runs_folder_is_not_that_runs() {
    const OTHER: &str = "20261120-2300-abc";
    let dir = tempfile::tempdir().unwrap();
    let (state, archive) = (dir.path(), Archive::new(dir.path()));
    keep(state, &complete());
    let list = [(OWNER, owner()), (APPROVER, approver())].map(|(who, key)| trust::line(who, &key.public()));
    fs::create_dir(state.join(".bgctl")).unwrap();
    fs::write(state.join(".bgctl/allowed_signers"), list.concat()).unwrap();
    fs::create_dir_all(archive.run(OTHER)).unwrap();
    fs::copy(archive.run(RUN).join(bgctl::journal::LOG), archive.run(OTHER).join(bgctl::journal::LOG)).unwrap();
    let commands: &[&[&str]] = &[
        &["audit", "verify", OTHER],
        &["audit", "verify", "abc"],
        &["audit", "show", OTHER],
        &["audit", "export", "--format", "cloudevents", OTHER],
        &["audit", "export", "--format", "ocsf", OTHER],
        &["audit", "sign", OTHER],
        &["audit", "anchor", "--to", "file:mnt", OTHER],
        &["audit", "redact", "--record", "3", "--reason", "x", OTHER],
        &["show", OTHER],
        &["status", OTHER],
        &["resume", OTHER],
        &["retro", OTHER],
    ];
    for args in commands {
        let (code, out, err) = bgctl(state, args);
        assert_eq!((code, out.as_str()), (40, ""), "{args:?}: {err}");
        assert!(err.contains("BG0602") && err.contains(OTHER) && err.contains(RUN), "{args:?}: {err}");
    }
    let file = format!("runs/{OTHER}/log.jsonl");
    let (code, out, err) = bgctl(state, &["audit", "verify", &file]);
    assert!(code == 0 && out.contains(RUN) && !out.contains(OTHER), "{out}{err}");
    assert_eq!(bgctl(state, &["audit", "verify", RUN]).0, 0, "the run itself is as it was");
    // Its own service is listed once, and the stray log is no run of its own there.
    let (_, out, err) = bgctl(state, &["runs"]);
    assert!(out.contains("kfx") && format!("{out}{err}").contains("another run"), "{out}{err}");
}
