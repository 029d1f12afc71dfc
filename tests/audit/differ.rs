//! Three verifiers that share no code must say the same of the same log: bgctl's, the script of standard tools that
//! `bgctl audit verify-script` prints, and the one in Python of `examples/`. Where they differ, one of them is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{peer, python};
use crate::mutate::{Dice, forged, harm, sound};
use crate::rig::*;
use bgctl::audit::{SCRIPT, Verdict, verify};
use bgctl::journal::Seals;
use bgctl::plan::{Lane, Move, Plan, PlannedStep, Purpose, Split, StepRef};
use bgctl::run::{Cause, Event, Found, Outcome, RunOutcome};
use bgctl::sign::Trust;
use bgctl::sign::{Signer, trust};

/// How many changed logs are compared. `BGCTL_DIFFER` sets another number.
const LOGS: usize = 120;

/// Everything the three need: a folder, the script, the trust file, the programs.
pub struct Bench {
    dir: tempfile::TempDir,
    pub shells: Vec<PathBuf>,
    python: PathBuf,
}

impl Bench {
    pub fn new() -> Option<Self> {
        for program in ["jq", "ssh-keygen", "sha256sum", "cmp"] {
            peer(program)?;
        }
        let (sh, bash, python) = (peer("sh")?, peer("bash")?, python()?);
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(dir.path().join("verify.sh"), SCRIPT).unwrap();
        let signers = trust::line(OWNER, &owner().public()) + &trust::line(APPROVER, &approver().public());
        fs::write(dir.path().join("allowed"), signers).unwrap();
        Some(Bench { dir, shells: vec![sh, bash], python })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The verdict of the script, and what it said.
    pub fn script(&self, shell: &Path, log: &Path, options: &[&str]) -> (String, String) {
        let output = Command::new(shell)
            .arg(self.path("verify.sh"))
            .args(options)
            .arg(log)
            .arg(self.path("allowed"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default().split('.').next().unwrap_or_default();
        let class = if last == "ENDED" { "INTERRUPTED" } else { last };
        let code = match class {
            "COMPLETE" => 0,
            "BROKEN" => 40,
            "INTERRUPTED" => 43,
            "POLICY" => 46,
            "NOT CHECKED" => 47,
            "UNREADABLE" => 65,
            _ => panic!("no verdict: {said}"),
        };
        assert_eq!(output.status.code(), Some(code), "{said}");
        (class.to_string(), said)
    }
}

pub fn class(bytes: &[u8], seals: Seals) -> (&'static str, String) {
    let trust = Trust { signers: signers(), shared: None };
    let report = verify(&mut std::io::Cursor::new(bytes), &trust, seals).unwrap();
    let word = match report.verdict {
        Verdict::Complete => "COMPLETE",
        Verdict::Interrupted | Verdict::Ended | Verdict::Handover => "INTERRUPTED",
        Verdict::Broken(_) | Verdict::Untrusted(_) => "BROKEN",
        Verdict::Policy => "POLICY",
    };
    (word, format!("{:?} {:?}", report.verdict, report.breaches))
}

#[test]
fn the_script_says_of_sound_logs_what_bgctl_says() {
    let Some(bench) = Bench::new() else { return };
    for (n, log) in sound().iter().enumerate() {
        let path = bench.path("log");
        fs::write(&path, log).unwrap();
        for shell in &bench.shells {
            for options in [&[][..], &["--all-seals"]] {
                let (found, said) = bench.script(shell, &path, options);
                assert_eq!(found, class(log, Seals::All).0, "log {n} with {}: {said}", shell.display());
            }
        }
    }
}

/// A run that went back against the schema: with or without the word that it does, and the approval of a second person.
fn against_the_schema(word: bool, agreed: bool) -> Vec<u8> {
    use bgctl::people::request::{Binding, Until, build};
    use bgctl::plan::{Lane, Split, StepRef};
    use bgctl::run::{Actor, Cause, Event, Grant, Outcome, RunOutcome};
    let mut plan = plan();
    let rule = plan.forward[0].approval.take().unwrap();
    plan.rollback[0].approval = Some(bgctl::plan::ApprovalRule { even_by_hand: true, own_run: false, ..rule });
    plan.policy.schema_safe = false;
    assert_eq!(plan.rollback[0].moves.as_ref().unwrap().after, Split::ALL_BLUE);
    let mut rig = Rig::with(RUN, &owner(), plan, who());
    rig.arm();
    rig.step(0, &[]);
    rig.intent(1, &[]);
    let outcome = Outcome::failed(Cause::Gate, "errors");
    rig.write(&Event::StepOutcome { step: at(1), id: "shift-100".into(), outcome });
    let by = Actor { name: OWNER.into(), via: "command".into() };
    if word {
        rig.write(&Event::OverrideUsed {
            guard: "schema".into(),
            by: by.clone(),
            reason: "green charges twice".into(),
        });
    }
    rig.write(&Event::RollbackBegun { automatic: false, by, cause: "by hand".into() });
    let step = StepRef { lane: Lane::Rollback, index: 0 };
    let (id, expires) = (rig.plan.step(step).id.clone(), rig.clock.expires());
    let nonce = "0".repeat(64);
    let binding = Binding {
        run: RUN,
        requested_by: OWNER,
        trigger: None,
        nonce: &nonce,
        until: Until { expires, use_by: None },
        measured: &[],
    };
    let request = build(&rig.plan, step, &binding);
    let request_sha256 = sha256(request.as_bytes());
    let asked = Event::ApprovalRequested {
        step,
        id: id.clone(),
        request: request.clone(),
        request_sha256: request_sha256.clone(),
        expires,
        use_by: None,
    };
    rig.write(&asked);
    let mut approvals = Vec::new();
    if agreed {
        let sig = approver().sign(bgctl::sign::namespace::APPROVE, request.as_bytes()).unwrap();
        let grant =
            Grant { principal: APPROVER.into(), evidence: "signed".into(), key: None, sig: Some(sig), prompt: None };
        rig.write(&Event::ApprovalGranted { step, id: id.clone(), request_sha256: request_sha256.clone(), grant });
        approvals.push(request_sha256);
    }
    let planned = rig.plan.step(step).clone();
    let (line, step_sha256) = (planned.line.clone(), planned.sha256());
    rig.write(&Event::StepIntent { step, id: id.clone(), attempt: 1, line, step_sha256, approvals });
    rig.arrived(step);
    rig.write(&Event::StepOutcome { step, id, outcome: Outcome::done("all on blue") });
    rig.write(&Event::Ended { outcome: RunOutcome::RolledBack, line: "the way back is walked".into() });
    rig.close()
}

#[test]
fn going_back_against_the_schema_takes_a_word_and_a_second_person() {
    let Some(bench) = Bench::new() else { return };
    for (word, agreed, wanted) in
        [(true, true, "COMPLETE"), (true, false, "POLICY"), (false, true, "POLICY"), (false, false, "POLICY")]
    {
        let log = against_the_schema(word, agreed);
        let path = bench.path("log");
        fs::write(&path, &log).unwrap();
        let (ours, why) = class(&log, Seals::All);
        let (theirs, said) = bench.script(&bench.shells[0], &path, &[]);
        assert_eq!((ours, theirs.as_str()), (wanted, wanted), "word {word}, agreed {agreed}: {why}\n{said}");
    }
}

/// A run that is to go back over two routes and drain.
fn routes_back(in_order: bool) -> Rig {
    let step = |id: &str, route: Option<&str>| PlannedStep {
        id: id.into(),
        line: id.into(),
        approval: None,
        attempts: 1,
        moves: route.map(|route| Move { route: route.into(), before: Split::ALL_GREEN, after: Split::ALL_BLUE }),
        ..plan().forward[0].clone()
    };
    let rollback = vec![step("back-web", Some("web")), step("back-api", Some("api")), step("drain", None)];
    let mut plan = Plan { purpose: Purpose::RollbackOf("a-run".into()), rollback, ..plan() };
    plan.policy.rollback_in_order = in_order;
    plan.routes.insert("api".into(), plan.routes["web"].clone());
    let mut rig = Rig::with(RUN, &owner(), plan, who());
    rig.arm();
    rig
}

fn back(index: usize) -> StepRef {
    StepRef { lane: Lane::Rollback, index }
}

fn begin(rig: &mut Rig, index: usize) {
    let step = rig.plan.step(back(index)).clone();
    let (line, step_sha256) = (step.line.clone(), step.sha256());
    let (id, approvals) = (step.id, vec![]);
    rig.write(&Event::StepIntent { step: back(index), id, attempt: 1, line, step_sha256, approvals });
}

/// `ended` says how the attempts of the first route end; which step follows it is the other word.
fn two_routes(ended: &[Ended], then: usize) -> Vec<u8> {
    let mut rig = routes_back(false);
    begin(&mut rig, 0);
    for end in ended {
        let (step, id) = (back(0), "back-web".to_string());
        rig.write(&match end {
            Ended::Outcome(outcome) => Event::StepOutcome { step, id, outcome: outcome.clone() },
            Ended::Looked(found) => Event::StepReconciled { step, id, found: *found, line: "looked".into() },
        });
    }
    begin(&mut rig, then);
    let id = rig.plan.step(back(then)).id.clone();
    rig.arrived(back(then));
    rig.write(&Event::StepOutcome { step: back(then), id, outcome: Outcome::done("back") });
    rig.write(&Event::Paged { delivered: true, line: "somebody is called".into() });
    rig.write(&Event::Ended { outcome: RunOutcome::Halted, line: "web is not back".into() });
    rig.close()
}

/// A run in which both routes are on their way back at once.
fn together(in_order: bool) -> Vec<u8> {
    let mut rig = routes_back(in_order);
    begin(&mut rig, 0);
    begin(&mut rig, 1);
    for index in [1, 0] {
        let id = rig.plan.step(back(index)).id.clone();
        rig.arrived(back(index));
        rig.write(&Event::StepOutcome { step: back(index), id, outcome: Outcome::done("back") });
    }
    begin(&mut rig, 2);
    rig.write(&Event::StepOutcome { step: back(2), id: "drain".into(), outcome: Outcome::done("drained") });
    rig.write(&Event::Ended { outcome: RunOutcome::RolledBack, line: "the way back is walked and read back".into() });
    rig.close()
}

enum Ended {
    Outcome(Outcome),
    Looked(Found),
}

#[test]
fn the_script_follows_each_route_back_for_itself() {
    let Some(bench) = Bench::new() else { return };
    let ill = || vec![Ended::Outcome(Outcome::failed(Cause::Destination, "BLUE is not well"))];
    let unseen = || {
        let looks = (0..5).map(|_| Ended::Looked(Found::CannotSee));
        std::iter::once(Ended::Outcome(Outcome::unknown("no reply"))).chain(looks).collect::<Vec<_>>()
    };
    let drift = vec![Ended::Outcome(Outcome::failed(Cause::Drift, "somebody else writes"))];
    for (name, log, wanted) in [
        ("the other route follows", two_routes(&ill(), 1), "COMPLETE"),
        ("and where the first could not be seen", two_routes(&unseen(), 1), "COMPLETE"),
        ("nothing is drained with users on green", two_routes(&ill(), 2), "POLICY"),
        ("nor does drift at one of them stop the other", two_routes(&drift, 1), "COMPLETE"),
        ("both are under way", together(false), "COMPLETE"),
        ("one has to be back before the other", together(true), "POLICY"),
    ] {
        assert_eq!(class(&log, Seals::All).0, wanted, "{name}: {}", class(&log, Seals::All).1);
        let path = bench.path("log");
        fs::write(&path, &log).unwrap();
        let (found, said) = bench.script(&bench.shells[0], &path, &[]);
        assert_eq!(found, wanted, "{name}: {said}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how many logs is a wish of whoever runs the test")]
fn case_50_three_verifiers_agree_on_changed_logs() {
    let Some(bench) = Bench::new() else { return };
    let count: usize = std::env::var("BGCTL_DIFFER").ok().and_then(|n| n.parse().ok()).unwrap_or(LOGS);
    let sound = sound();
    let logs: Vec<Vec<u8>> = (0..count as u64)
        .map(|seed| {
            let mut dice = Dice::new(seed);
            if dice.below(5) < 2 {
                return forged(&mut dice);
            }
            let (of, other) = (dice.below(sound.len()), dice.below(sound.len()));
            harm(&mut dice, &sound[of], &sound[other])
        })
        .collect();
    let path = |n: usize| bench.path(&format!("log-{n}"));
    logs.iter().enumerate().for_each(|(n, log)| fs::write(path(n), log).unwrap());
    let (next, differing, met) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for (lane, shell) in bench.shells.iter().enumerate() {
            let (bench, logs, next, differing, met) = (&bench, &logs, &next, &differing, &met);
            scope.spawn(move || {
                let mut python = Python::start(bench);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(log) = logs.get(n) else { break };
                    let (ours, why) = class(log, if lane == 0 { Seals::Last } else { Seals::All });
                    let options: &[&str] = if lane == 0 { &[] } else { &["--all-seals"] };
                    let (theirs, said) = bench.script(shell, &path(n), options);
                    let third = python.judge(&path(n), &bench.path("allowed"));
                    *met.lock().unwrap().entry(ours).or_insert(0) += 1;
                    if theirs != ours || third != ours {
                        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("differs-{n}.jsonl"));
                        fs::write(&kept, log).unwrap();
                        let kept = kept.display();
                        let line = format!("{kept}: bgctl {ours} ({why}), script {theirs}, python {third}\n{said}");
                        differing.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let differing = differing.into_inner().unwrap();
    assert!(differing.is_empty(), "{} of {count} differ:\n{}", differing.len(), differing.join("\n"));
    let met = met.into_inner().unwrap();
    assert_eq!(met.len(), 4, "every class of verdict was met: {met:?}");
    assert!(met.values().all(|n| n * 40 >= count), "every class was met often: {met:?}");
}

/// The verifier of `examples/`: one process for all logs.
struct Python {
    child: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Python {
    fn start(bench: &Bench) -> Self {
        let mut child = Command::new(&bench.python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/checker.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Python { child, answers }
    }

    fn judge(&mut self, log: &Path, allowed: &Path) -> String {
        let line = format!("{} {}\n", log.display(), allowed.display());
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_string()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
