//! OpenSSH's programs for tests: a folder with keys, an agent of its own, and what `ssh-keygen` says.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::peer;
use bgctl::sign::{PublicKey, agent, file};

/// Runs a program to its end; whether it was content, and all its words.
pub fn run(program: &Path, args: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses early does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

/// A folder with keys and the program that makes them.
pub struct Folder {
    dir: tempfile::TempDir,
    keygen: PathBuf,
}

impl Folder {
    /// Nothing where `ssh-keygen` is missing.
    pub fn new() -> Option<Self> {
        Some(Folder { dir: tempfile::tempdir().unwrap(), keygen: peer("ssh-keygen")? })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub fn keygen(&self, args: &[&str]) -> (bool, String) {
        run(&self.keygen, args, b"")
    }

    #[track_caller]
    pub fn must(&self, args: &[&str]) {
        let (ok, words) = self.keygen(args);
        assert!(ok, "{args:?}: {words}");
    }

    /// Makes a key and gives its file.
    pub fn key(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        self.must(&["-q", "-t", kind, "-N", passphrase, "-C", "x", "-f", &self.text(name)]);
        self.path(name)
    }

    pub fn public(&self, name: &str) -> PublicKey {
        file::read_public(&self.path(&format!("{name}.pub"))).unwrap()
    }

    /// `ca` signs a certificate for `key`, as `more` says; it lies beside the key.
    pub fn certify(&self, ca: &str, key: &str, more: &[&str]) -> PublicKey {
        let (ca, public) = (self.text(ca), self.text(&format!("{key}.pub")));
        let all = [&["-q", "-s", &ca, "-I", "ci job 7"][..], more, &[&public]].concat();
        self.must(&all);
        self.public(&format!("{key}-cert"))
    }

    /// `ssh-keygen -Y sign` over a text.
    pub fn sign(&self, key: &str, namespace: &str, text: &str) -> String {
        let file = self.write("signed", text).display().to_string();
        let _ = fs::remove_file(self.path("signed.sig"));
        self.must(&["-Y", "sign", "-n", namespace, "-f", &self.text(key), &file]);
        fs::read_to_string(self.path("signed.sig")).unwrap()
    }

    /// `ssh-keygen -Y verify` with the file `allowed`; its verdict and words.
    pub fn verify(&self, who: &str, namespace: &str, text: &str, sig: &str, more: &[&str]) -> (bool, String) {
        let sig = self.write("sig", sig).display().to_string();
        let allowed = self.text("allowed");
        let all = [&["-Y", "verify", "-f", &allowed, "-I", who, "-n", namespace, "-s", &sig][..], more].concat();
        run(&self.keygen, &all, text.as_bytes())
    }
}

/// An agent of our own, ended with the test.
pub struct Agent {
    child: Child,
    pub socket: PathBuf,
}

impl Agent {
    #[expect(clippy::disallowed_methods, reason = "a real process is waited for, with a deadline")]
    pub fn start(dir: &Folder) -> Option<Self> {
        let program = peer("ssh-agent")?;
        let socket = dir.path("agent.sock");
        let child = Command::new(program)
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Agent { child, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        while agent::list(&agent.socket).is_err() {
            assert!(Instant::now() < deadline, "the agent does not answer");
            std::thread::yield_now();
        }
        Some(agent)
    }

    pub fn add(&self, args: &[&str]) {
        self.add_with(args, &[]);
    }

    pub fn add_with(&self, args: &[&str], env: &[(&str, &str)]) {
        let mut add = Command::new(peer("ssh-add").unwrap());
        add.args(args).env("SSH_AUTH_SOCK", &self.socket).env_remove("DISPLAY").envs(env.iter().copied());
        let output = add.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
