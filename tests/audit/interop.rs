//! OpenSSH's own programs on our signatures, and we on theirs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::peer;
use crate::rig::*;
use bgctl::secret::Secret;
use bgctl::sign::agent::{self, AgentKey};
use bgctl::sign::file::{self, FileKey};
use bgctl::sign::{SignError, Signer, namespace, sshsig, trust};
use serde_json::Value;

fn run(program: &Path, args: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
    fn key(&self, keygen: &Path, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let (ok, words) = run(keygen, &["-q", "-t", kind, "-N", passphrase, "-C", "x", "-f", &self.text(name)], b"");
        assert!(ok, "{words}");
        self.path(name)
    }
}

#[test]
fn ssh_keygen_accepts_the_opening_and_the_close_and_nothing_changed() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let dir = Folder::new();
    fs::write(dir.path("allowed"), trust::line(OWNER, &owner().public())).unwrap();
    let lines = lines(&complete());
    let first: Value = serde_json::from_slice(&lines[0]).unwrap();
    let last: Value = serde_json::from_slice(&lines[lines.len() - 1]).unwrap();
    for (line, text, space) in [(&first, "statement", namespace::OPEN), (&last, "note", namespace::CLOSE)] {
        let signed = line["data"][text].as_str().unwrap();
        fs::write(dir.path("sig"), line["data"]["sig"].as_str().unwrap()).unwrap();
        let check = |input: &str, space: &str| {
            run(
                &keygen,
                &["-Y", "verify", "-f", &dir.text("allowed"), "-I", OWNER, "-n", space, "-s", &dir.text("sig")],
                input.as_bytes(),
            )
        };
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
    let Some(keygen) = peer("ssh-keygen") else { return };
    let dir = Folder::new();
    fs::write(dir.path("request"), "the exact bytes").unwrap();
    for (kind, passphrase) in [("ed25519", ""), ("ecdsa", ""), ("ed25519", "open sesame"), ("ecdsa", "open sesame")] {
        let name = format!("{kind}-{}", passphrase.len());
        let path = dir.key(&keygen, &name, kind, passphrase);
        let public = file::read_public(&dir.path(&format!("{name}.pub"))).unwrap();
        if passphrase.is_empty() {
            let args = ["-Y", "sign", "-n", namespace::APPROVE, "-f", &dir.text(&name), &dir.text("request")];
            let (ok, words) = run(&keygen, &args, b"");
            assert!(ok, "{words}");
            let sig = fs::read_to_string(dir.path("request.sig")).unwrap();
            assert_eq!(sshsig::verify(namespace::APPROVE, b"the exact bytes", &sig).unwrap(), public, "{name}");
            assert!(sshsig::is_canonical(&sig));
            assert!(sshsig::verify(namespace::APPROVE, b"the exact byteS", &sig).is_err());
            fs::remove_file(dir.path("request.sig")).unwrap();
        } else {
            assert!(matches!(FileKey::read(&path, &|_| None), Err(SignError::Locked { .. })));
            let wrong = FileKey::read(&path, &|_| Some(Secret::new("no")));
            assert!(matches!(wrong, Err(SignError::WrongPassphrase { .. })));
        }
        let key = FileKey::read(&path, &|_| Some(Secret::new(passphrase))).unwrap();
        assert_eq!(file::public_part(&path).unwrap(), public);
        fs::write(dir.path("sig"), key.sign(namespace::CLOSE, b"note").unwrap()).unwrap();
        fs::write(dir.path("allowed"), trust::line("me@example.com", &public.line())).unwrap();
        let args = [
            "-Y",
            "verify",
            "-f",
            &dir.text("allowed"),
            "-I",
            "me@example.com",
            "-n",
            namespace::CLOSE,
            "-s",
            &dir.text("sig"),
        ];
        let (ok, words) = run(&keygen, &args, b"note");
        assert!(ok, "{name}: {words}");
    }
}

#[test]
fn a_key_made_here_is_one_for_ssh_keygen() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let dir = Folder::new();
    let public = file::create(&dir.path("id"), "me").unwrap();
    let (ok, words) = run(&keygen, &["-y", "-f", &dir.text("id")], b"");
    assert!(ok && words.starts_with(&public.line()), "{words}");
    let (ok, words) = run(&keygen, &["-l", "-f", &dir.text("id.pub")], b"");
    assert!(ok && words.contains(&public.fingerprint()), "{words}");
}

/// An agent of our own, ended with the test.
struct Agent(Child, PathBuf);

impl Agent {
    #[expect(clippy::disallowed_methods, reason = "a real process is waited for, with a deadline")]
    fn start(dir: &Folder) -> Option<Self> {
        let program = peer("ssh-agent")?;
        let socket = dir.path("agent.sock");
        let child = Command::new(program)
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Agent(child, socket);
        let deadline = Instant::now() + Duration::from_secs(20);
        while agent::list(&agent.1).is_err() {
            assert!(Instant::now() < deadline, "the agent does not answer");
            std::thread::yield_now();
        }
        Some(agent)
    }

    fn add(&self, args: &[&str]) {
        let add = peer("ssh-add").unwrap();
        let output = Command::new(add).args(args).env("SSH_AUTH_SOCK", &self.1).env_remove("DISPLAY").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_agent_signs_and_its_refusals_have_words() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let dir = Folder::new();
    let Some(agent) = Agent::start(&dir) else { return };
    let keys = [("a", "ed25519"), ("b", "ecdsa")].map(|(name, kind)| dir.key(&keygen, name, kind, ""));
    dir.key(&keygen, "rsa", "rsa", "");
    for name in ["a", "b", "rsa"] {
        agent.add(&["-q", &dir.text(name)]);
    }
    let held = agent::list(&agent.1).unwrap();
    assert_eq!(held.len(), 2, "the RSA key is left out: {held:?}");
    for (held, path) in held.iter().zip(&keys) {
        assert_eq!(held.key, file::public_part(path).unwrap());
        let key = AgentKey::new(&agent.1, held.key.clone());
        let sig = key.sign(namespace::OPEN, b"statement").unwrap();
        assert_eq!(sshsig::verify(namespace::OPEN, b"statement", &sig).unwrap(), held.key);
    }
    // An owner in an agent opens a run that verifies.
    let key = AgentKey::new(&agent.1, held[0].key.clone());
    let mut rig = Rig::of(RUN, &key);
    rig.arm();
    assert!(matches!(verdict(&rig.store.bytes()), bgctl::journal::Verdict::Untrusted(_)));
    agent.add(&["-q", "-D"]);
    assert!(matches!(key.sign(namespace::OPEN, b"x"), Err(SignError::Refused { .. })));
    // A key that asks for confirmation, and nobody who could confirm.
    agent.add(&["-q", "-c", &dir.text("a")]);
    assert!(matches!(key.sign(namespace::OPEN, b"x"), Err(SignError::Refused { .. })));
    drop(agent);
    assert!(matches!(key.sign(namespace::OPEN, b"x"), Err(SignError::Agent { .. })));
}

/// An agent that answers as it is told.
fn scripted(dir: &Folder, name: &str, answer: Vec<u8>) -> PathBuf {
    let path = dir.path(name);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut len = [0; 4];
        stream.read_exact(&mut len).unwrap();
        let mut request = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(&answer).unwrap();
    });
    path
}

#[test]
fn case_43_an_agent_that_lies_is_found_out() {
    let dir = Folder::new();
    let framed = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    // A signature by another key, over the right bytes.
    let raw = {
        let text = approver().sign(namespace::OPEN, b"x").unwrap();
        let base64: String = text.lines().filter(|l| !l.starts_with('-')).collect();
        let blob = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64).unwrap();
        blob[blob.len() - 83..].to_vec()
    };
    let wrong = [&[14u8][..], &framed(&raw)].concat();
    for (name, answer, words) in [
        ("wrong", framed(&wrong), "does not hold"),
        ("hangs-up", Vec::new(), "hung up"),
        ("endless", vec![0x7f; 4], "too long"),
        ("other", framed(&[99]), "no signature"),
        ("short", framed(&[14, 0, 0, 0, 9]), "ends too early"),
    ] {
        let key = AgentKey::new(&scripted(&dir, name, answer), owner().public_key().clone());
        let error = key.sign(namespace::OPEN, b"x").unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}
