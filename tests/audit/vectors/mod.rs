//! The test vectors of the format: small logs, each with its verdict, as `bgctl explain format` says it. Every verifier is
//! held to them. What is expected follows from the pages and is said where a vector is made; no verifier is asked for it.

mod approved;
mod asked;
mod bytes;
mod keys;
mod pages;
mod scribe;
mod sealed;
mod sound;
mod told;
mod trusted;

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bgctl::audit::{Redaction, Report, SCRIPT, Verdict, verify, verify_copy};
use bgctl::journal::{Seals, What};
use bgctl::sign::hmac::SharedKey;
use bgctl::sign::{AllowedSigners, Revoked, Signer, Trust, trust};
use serde_json::{Value, json};

use crate::command::bgctl;
use crate::common::{peer, python};
use crate::rig::*;

/// Scripts that run beside each other.
const LANES: usize = 4;

/// A log and what a verifier says to it.
pub struct Vector {
    rule: &'static str,
    variant: &'static str,
    log: Vec<u8>,
    signers: String,
    beside: Vec<(&'static str, Vec<u8>)>,
    verdict: &'static str,
    kind: Option<&'static str>,
    line: Option<usize>,
    script: Option<(&'static str, &'static str)>,
}

impl Vector {
    /// A log that is complete, of owner and approver.
    pub fn new(rule: &'static str, variant: &'static str, log: Vec<u8>) -> Self {
        let signers = trust::line(OWNER, &owner().public()) + &trust::line(APPROVER, &approver().public());
        let (beside, verdict, kind, line, script) = (Vec::new(), "COMPLETE", None, None, None);
        Vector { rule, variant, log, signers, beside, verdict, kind, line, script }
    }

    /// It is broken at this line.
    pub fn broken(self, kind: &'static str, line: usize) -> Self {
        Vector { verdict: "BROKEN", kind: Some(kind), line: Some(line), ..self }
    }

    /// An owner of it is not believed.
    pub fn untrusted(self) -> Self {
        Vector { verdict: "BROKEN", kind: Some("untrusted"), line: None, ..self }
    }

    /// The first rule is broken at the nth record of this type, from 0.
    pub fn policy(self, kind: &str, n: usize) -> Self {
        let line = line_of(&self.log, kind, n);
        Vector { verdict: "POLICY", kind: Some("rule"), line: Some(line), ..self }
    }

    /// The last seal breaks the rule.
    pub fn policy_at_end(self) -> Self {
        let line = lines(&self.log).len();
        Vector { verdict: "POLICY", kind: Some("rule"), line: Some(line), ..self }
    }

    pub fn is(self, verdict: &'static str) -> Self {
        Vector { verdict, ..self }
    }

    pub fn by(self, signers: String) -> Self {
        Vector { signers, ..self }
    }

    pub fn with(mut self, file: &'static str, bytes: Vec<u8>) -> Self {
        self.beside.push((file, bytes));
        self
    }

    /// The script of standard tools says another thing, and why it may.
    pub fn script(self, verdict: &'static str, why: &'static str) -> Self {
        Vector { script: Some((verdict, why)), ..self }
    }

    fn name(&self) -> String {
        if self.variant.is_empty() { self.rule.into() } else { format!("{}-{}", self.rule, self.variant) }
    }

    fn expected(&self) -> String {
        let mut said = json!({ "verdict": self.verdict, "exit": exit(self.verdict) });
        if let Some(line) = self.line {
            said["line"] = json!(line);
        }
        if let Some(kind) = self.kind {
            said["kind"] = json!(kind);
        }
        said["rule"] = json!(self.rule);
        if let Some((verdict, why)) = self.script {
            said["script"] = json!({ "verdict": verdict, "exit": exit(verdict), "why": why });
        }
        serde_json::to_string_pretty(&said).unwrap() + "\n"
    }

    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let expected = self.expected().into_bytes();
        let mut files = vec![
            ("log.jsonl", self.log.clone()),
            ("allowed_signers", self.signers.clone().into_bytes()),
            ("expected", expected),
        ];
        files.extend(self.beside.iter().cloned());
        files
    }
}

/// Where the nth record of a type stands, from 1.
fn line_of(log: &[u8], kind: &str, n: usize) -> usize {
    let mark = format!("\"type\":\"{kind}\"");
    let of_kind = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(&mark);
    let found = lines(log).iter().enumerate().filter(|(_, line)| of_kind(line)).nth(n).map(|(at, _)| at + 1);
    found.unwrap_or_else(|| panic!("no {kind} {n}"))
}

fn exit(verdict: &str) -> i32 {
    match verdict {
        "COMPLETE" => 0,
        "BROKEN" => 40,
        "ENDED" | "INTERRUPTED" => 43,
        "TRUNCATED" | "FORKED" => 44,
        "POLICY" => 46,
        "NOT CHECKED" => 47,
        "UNREADABLE" => 65,
        other => panic!("no verdict: {other}"),
    }
}

fn all() -> Vec<Vector> {
    let parts = [
        sound::vectors(),
        bytes::vectors(),
        sealed::vectors(),
        trusted::vectors(),
        told::vectors(),
        asked::vectors(),
        approved::vectors(),
    ];
    parts.into_iter().flatten().collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`BLESS` is a wish of whoever runs the test")]
fn vectors_are_made_again_byte_by_byte() {
    let (all, folder) = (all(), folder());
    let names: BTreeSet<String> = all.iter().map(Vector::name).collect();
    assert_eq!(names.len(), all.len(), "each vector has a name of its own");
    if std::env::var_os("BLESS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        for vector in &all {
            let here = folder.join(vector.name());
            fs::create_dir_all(&here).unwrap();
            vector.files().iter().for_each(|(name, bytes)| fs::write(here.join(name), bytes).unwrap());
        }
    }
    let there: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, names);
    let mut size = 0;
    for vector in &all {
        let here = folder.join(vector.name());
        let files = vector.files();
        assert_eq!(fs::read_dir(&here).unwrap().count(), files.len(), "{}", vector.name());
        for (name, bytes) in files {
            let found = fs::read(here.join(name)).unwrap();
            assert!(found == bytes, "{}/{name} is another; BLESS=1 writes it anew", vector.name());
            size += bytes.len();
        }
    }
    assert!(size < 4 << 20, "{size} bytes");
}

/// What bgctl's own verifier says: verdict, kind of the fault, its line.
fn judged(vector: &Vector) -> (String, Option<&'static str>, Option<usize>) {
    let beside = |name: &str| vector.beside.iter().find(|(file, _)| *file == name).map(|(_, bytes)| bytes.clone());
    let Ok(mut signers) = AllowedSigners::parse(&vector.signers) else { return ("UNREADABLE".into(), None, None) };
    if let Some(list) = beside("revoked_keys") {
        match Revoked::parse(&list, &folder().join(vector.name()).join("revoked_keys"), "revoked_keys") {
            Ok(revoked) => signers = signers.without(revoked),
            Err(_) => return ("UNREADABLE".into(), None, None),
        }
    }
    let shared = beside("shared_key").map(|key| SharedKey::new(&key, "shared_key").unwrap());
    let (trust, mut log) = (Trust { signers, shared }, Cursor::new(&vector.log[..]));
    let report = match beside("log.jsonl.redaction").map(|text| Redaction::parse(&String::from_utf8(text).unwrap())) {
        None => verify(&mut log, &trust, Seals::Last).unwrap(),
        Some(Ok(redaction)) => verify_copy(&mut log, &trust, Seals::Last, &redaction).unwrap(),
        Some(Err(_)) => return ("BROKEN".into(), Some("redaction"), None),
    };
    let Report { verdict, breaches, .. } = report;
    match verdict {
        Verdict::Complete => ("COMPLETE".into(), None, None),
        Verdict::Ended => ("ENDED".into(), None, None),
        Verdict::Interrupted | Verdict::Handover => ("INTERRUPTED".into(), None, None),
        Verdict::Untrusted(_) => ("BROKEN".into(), Some("untrusted"), None),
        Verdict::Policy => {
            let first = breaches.iter().map(|breach| breach.record).min().unwrap();
            ("POLICY".into(), Some("rule"), Some(usize::try_from(first).unwrap() + 1))
        }
        Verdict::Broken(fault) => {
            let line = usize::try_from(fault.record).unwrap() + 1;
            ("BROKEN".into(), Some(kind(&fault.what)), Some(line))
        }
    }
}

/// The kinds of faults, as the page has them.
fn kind(what: &What) -> &'static str {
    match what {
        What::Unreadable(_) => "unreadable",
        What::Changed => "changed",
        What::Missing { .. } => "missing",
        What::Moved { .. } => "moved",
        What::OtherRun { .. } => "other-run",
        What::Statement(_) => "statement",
        What::Seal(_) => "seal",
        What::Order(_) => "order",
        What::Time(_) => "time",
        What::Unsealed { .. } => "unsealed",
        What::Empty => "empty",
        What::Redaction(_) => "redaction",
    }
}

#[test]
fn vectors_are_judged_by_bgctl_as_the_pages_say() {
    let mut wrong = Vec::new();
    for vector in all().iter().filter(|vector| vector.beside.iter().all(|(name, _)| *name != "heads")) {
        let (name, found) = (vector.name(), judged(vector));
        let wanted = (vector.verdict.to_string(), vector.kind, vector.line);
        if found != wanted {
            wrong.push(format!("{name}: {found:?}, and not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn vectors_have_the_same_verdict_by_the_command() {
    let mut wrong = Vec::new();
    for vector in all() {
        let (name, here, state) = (vector.name(), folder().join(vector.name()), tempfile::tempdir().unwrap());
        let path = |file: &str| here.join(file).display().to_string();
        let (log, signers, heads) = (path("log.jsonl"), path("allowed_signers"), format!("file:{}", path("heads")));
        let mut words = vec!["audit", "verify", &log, "--allowed-signers", &signers, "--output", "json"];
        let has = |file: &str| vector.beside.iter().any(|(name, _)| *name == file);
        if has("heads") {
            words.extend(["--anchor", &heads]);
        }
        if has("shared_key") {
            // The one vector with a shared key is judged by the library: a key in a variable is for jobs.
            continue;
        }
        let (code, out, err) = bgctl(state.path(), &words);
        let said: Value = serde_json::from_str(&out).unwrap_or_default();
        let verdict = said["verdict"].as_str().unwrap_or(if code == 40 { "BROKEN" } else { "UNREADABLE" });
        if (verdict, code) != (vector.verdict, exit(vector.verdict)) {
            wrong.push(format!("{name}: {verdict} {code}, and not {}: {out}{err}", vector.verdict));
        }
    }
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn vectors_are_judged_by_the_script_or_it_says_what_it_left_out() {
    if ["sh", "jq", "ssh-keygen", "sha256sum", "cmp"].iter().any(|program| peer(program).is_none()) {
        return;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let script = dir.path().join("verify.sh");
    fs::write(&script, SCRIPT).unwrap();
    let (all, next, wrong) = (all(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let lane = || {
        while let Some(vector) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = by_script(vector, &script);
            wrong.lock().unwrap().extend(found);
        }
    };
    std::thread::scope(|scope| (0..LANES).for_each(|_| drop(scope.spawn(lane))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the script says otherwise than it should.
fn by_script(vector: &Vector, script: &Path) -> Vec<String> {
    let (name, here, mut wrong) = (vector.name(), folder().join(vector.name()), Vec::new());
    let mut command = Command::new("sh");
    command.arg(script);
    if vector.beside.iter().any(|(name, _)| *name == "revoked_keys") {
        command.arg("--revoked").arg(here.join("revoked_keys"));
    }
    let output = command.arg(here.join("log.jsonl")).arg(here.join("allowed_signers")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let verdict = vector.script.map_or(vector.verdict, |(verdict, _)| verdict);
    let last = said.lines().last().unwrap_or_default().split('.').next().unwrap_or_default();
    if (last, output.status.code()) != (verdict, Some(exit(verdict))) {
        wrong.push(format!("{name}: {last} {:?}, and not {verdict}: {said}", output.status.code()));
    }
    if vector.script.is_some_and(|(verdict, _)| exit(verdict) == 0) && !said.contains("not checked:") {
        wrong.push(format!("{name}: it does not say what it left out: {said}"));
    }
    wrong
}

/// The verifier of `examples/`, which shares no code with bgctl and was written from the pages alone.
#[test]
fn vectors_are_judged_by_the_verifier_from_the_pages_alone() {
    let Some(python) = python() else { return };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/verify-log/run_vectors.py");
    let output = Command::new(python).arg("-B").arg(program).arg(folder()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong: Vec<&str> = said.lines().filter(|line| !line.starts_with("agrees")).collect();
    assert!(output.status.success(), "{}{}", wrong.join("\n"), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("{} vectors, 0 disagree", all().len())), "{said}");
}
