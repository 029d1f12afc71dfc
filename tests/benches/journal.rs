//! The journal beside bare appends: what sealing costs over `write` and `fdatasync`, and how fast a log is verified.
//!
//! `cargo bench --bench journal` prints a table. Both sides append groups of the same size to files in the same folder, in
//! turns, so that a busy disk or processor is busy for both. Verifying is measured from memory, over logs of three shapes, and
//! as a whole process: over a log of 500 lines, beside `true` and `sha256sum` of the same file, and over one of 50,000 lines,
//! beside `sha256sum` and, where it is installed, `jq -c .`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Cursor, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bgctl::audit::{Verdict, verify};
use bgctl::clock::SystemClock;
use bgctl::journal::{Append, DirStore, Journal, LOG, MemoryStore, Opening, Record, SealState, Seals, Who};
use bgctl::plan::{
    Lane, Move, OnFailure, Plan, PlannedRoute, PlannedStep, Policy, Purpose, Resume, Split, Stack, StepRef,
};
use bgctl::run::{Event, Evidence, Outcome, RunOutcome};
use bgctl::sign::Trust;
use bgctl::sign::session::SessionKey;
use bgctl::sign::{AllowedSigners, Signer, trust};

const GROUPS: usize = 2_000;
const OWNER: &str = "engineer@example.com";

fn plan() -> Plan {
    let stack = |version: &str| Stack {
        version: version.into(),
        url: "http://stack.test".into(),
        name: None,
        label: None,
        headers: Default::default(),
    };
    let smoke = PlannedStep { id: "smoke-green".into(), kind: "smoke".into(), moves: None, ..shift(0) };
    let route = PlannedRoute {
        router: "simulated".into(),
        config: serde_json::Value::Null,
        line: "the route web".into(),
        seen_at: None,
        before: Split::ALL_BLUE,
        min_healthy: 1,
        capacity: Default::default(),
        resources: vec![],
    };
    Plan {
        bgctl_plan: 1,
        purpose: Purpose::Cutover,
        service: "bot".into(),
        environment: "bench".into(),
        owners: vec![OWNER.parse().unwrap()],
        rollback_owner: OWNER.parse().unwrap(),
        runbook: "runbook.yaml".into(),
        runbook_sha256: "ab".repeat(32),
        blue: stack("v1"),
        green: stack("v2"),
        version_at: None,
        routes: [("web".to_string(), route)].into(),
        gates: [].into(),
        slack: None,
        compare: None,
        policy: Policy::default(),
        schema: None,
        forward: vec![smoke],
        rollback: vec![],
        team: Default::default(),
        warnings: vec![],
    }
}

fn record() -> Record {
    Record::from(&Evidence::CheckDone {
        step: "smoke-green".into(),
        check: "signature".into(),
        verdict: bgctl::run::Verdict::Pass,
        ms: 12,
        line: "POST /slack/events answered 200 with the nonce, from v1.4.2, in 12 ms".into(),
    })
}

fn shift(n: usize) -> PlannedStep {
    PlannedStep {
        id: format!("shift-{n}"),
        kind: "shift".into(),
        line: "GREEN to 10 %".into(),
        config: serde_json::json!({ "route": "web", "green": "10%" }),
        resume: Resume::Observe,
        attempts: 1,
        timeout_s: 60,
        expected_s: 1,
        moves: Some(Move { route: "web".into(), before: Split::ALL_BLUE, after: Split::of_green(100) }),
        approval: None,
        on_failure: OnFailure::RollBack,
        place: format!("runbook.yaml:{}", 9 + n),
    }
}

/// A whole run by the rules: for each shift an intent, the call, what the three witnesses say, and an outcome.
fn whole_run(owner: &SessionKey, steps: usize) -> Vec<u8> {
    let plan = Plan { forward: (0..steps).map(shift).collect(), ..plan() };
    let store = MemoryStore::new();
    let mut journal = open_plan(owner, store.clone(), &plan);
    let mut write = |records: &[Record]| {
        journal.append(records).expect("an append");
    };
    let armed = Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] };
    write(&[Record::from(&armed)]);
    for index in 0..steps {
        let step = StepRef { lane: Lane::Forward, index };
        let planned = plan.step(step);
        let (id, line, step_sha256) = (planned.id.clone(), planned.line.clone(), planned.sha256());
        let intent = Event::StepIntent { step, id: id.clone(), attempt: 1, line, step_sha256, approvals: vec![] };
        write(&[Record::from(&intent)]);
        let route = || "web".to_string();
        let healthy =
            |stack: &str| Evidence::TrafficHealth { route: route(), stack: stack.into(), healthy: 3, total: 3 };
        let seen = Evidence::TrafficSeen { route: route(), samples: 200, blue: 180, green: 20, other: 0, agrees: true };
        let called = Evidence::ProviderCalled {
            route: route(),
            action: "ModifyRule".into(),
            attempt: 1,
            request_id: Some("7d5f0a4c-6c1e-4c0b-9b52-0a8f0e2f3d11".into()),
            code: "200".into(),
            ms: 212,
        };
        write(&[
            Record::from(&called),
            Record::from(&Evidence::TrafficRead { route: route(), split: Split::of_green(100), ms: 41 }),
            Record::from(&healthy("blue")),
            Record::from(&healthy("green")),
            Record::from(&seen),
        ]);
        write(&[Record::from(&Event::StepOutcome { step, id, outcome: Outcome::done("moved, read back, seen") })]);
    }
    let ended = Event::Ended { outcome: RunOutcome::Completed, line: "every step is done".into() };
    write(&[Record::from(&ended)]);
    journal.close(SealState::Closed, Some(owner)).expect("a close");
    store.bytes()
}

fn open(owner: &SessionKey, store: impl bgctl::journal::Store + 'static) -> Journal {
    open_plan(owner, store, &plan())
}

fn open_plan(owner: &SessionKey, store: impl bgctl::journal::Store + 'static, plan: &Plan) -> Journal {
    let who = Who { owner: OWNER.into(), mode: "ci".into(), claims: serde_json::json!({}) };
    let opening = Opening { run: "20261121-0302-kfx".into(), plan, who, bound: Default::default() };
    Journal::create(Box::new(store), opening, owner, Rc::new(SystemClock)).expect("a journal")
}

fn bare(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("a file")
}

fn timed(times: &mut Vec<Duration>, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    times.push(start.elapsed());
}

fn row(out: &mut impl Write, name: &str, times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let total: f64 = times.iter().map(Duration::as_secs_f64).sum();
    let _ =
        writeln!(out, "  {name:<44} p50 {:>7.1} µs   p99 {:>8.1} µs   all {:>7.1} ms", at(0.5), at(0.99), total * 1e3);
    total
}

fn main() {
    let mut out = std::io::stdout();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let owner = SessionKey::from_seed([1; 32]);

    // The bytes of a usual group, for the peer.
    let memory = MemoryStore::new();
    let mut journal = open(&owner, memory.clone());
    let before = memory.bytes().len();
    journal.append(&[record()]).expect("an append");
    let group = memory.bytes()[before..].to_vec();
    let mut small = bare(&dir.path().join("line"));
    let mut whole = bare(&dir.path().join("group"));
    let mut signed = open(&owner, DirStore::create(&dir.path().join("run")).expect("a store"));

    let (mut line_times, mut group_times, mut signed_times, mut memory_times) = (vec![], vec![], vec![], vec![]);
    for _ in 0..GROUPS {
        timed(&mut line_times, || {
            small.write_all(&group[..400]).and_then(|()| small.sync_data()).expect("an append");
        });
        timed(&mut group_times, || {
            whole.write_all(&group).and_then(|()| whole.sync_data()).expect("an append");
        });
        timed(&mut signed_times, || {
            signed.append(&[record()]).expect("an append");
        });
        timed(&mut memory_times, || {
            journal.append(&[record()]).expect("an append");
        });
    }
    let _ = writeln!(out, "{GROUPS} groups of one record and its seal ({} bytes)", group.len());
    let line = row(&mut out, "bare write + fdatasync, one 400-byte line", &mut line_times);
    let bare = row(&mut out, "bare write + fdatasync, the same bytes", &mut group_times);
    let ours = row(&mut out, "journal: format, hash, sign, write, fdatasync", &mut signed_times);
    row(&mut out, "journal in memory: format, hash, sign", &mut memory_times);
    let _ =
        writeln!(out, "  journal / bare: {:.2}x of the same bytes, {:.2}x of the bare line", ours / bare, ours / line);

    // Many records a group, as streamed output is written.
    let wide = MemoryStore::new();
    let mut journal = open(&owner, wide.clone());
    let records = vec![record(); 50];
    for _ in 0..GROUPS {
        journal.append(&records).expect("an append");
    }
    signed.close(SealState::Handover, Some(&owner)).expect("a close");
    let narrow = std::fs::read(dir.path().join("run").join(LOG)).expect("the log");
    let signers = AllowedSigners::parse(&trust::line(OWNER, &owner.public())).expect("a line");
    let trust = Trust { signers, shared: None };
    let _ = writeln!(out, "verify, from memory, three threads: one judges, two read and hash what comes behind");
    let shapes = [
        ("one record a seal", &narrow),
        ("50 records a seal", &wide.bytes()),
        ("a run of 5,000 shifts", &whole_run(&owner, 5_000)),
    ];
    for (name, bytes) in shapes {
        for seals in [Seals::All, Seals::Last] {
            let once = || {
                let start = Instant::now();
                let report = verify(&mut BufReader::new(Cursor::new(bytes)), &trust, seals).expect("a verdict");
                (start.elapsed().as_secs_f64(), report)
            };
            // The best of a few: whoever else the machine works for is no part of it.
            let (took, report) =
                (0..5).map(|_| once()).reduce(|a, b| if a.0 < b.0 { a } else { b }).expect("a verdict");
            // What breaks a rule is another amount of work.
            assert!(!matches!(report.verdict, Verdict::Policy | Verdict::Broken(_)), "{name}: {report:?}");
            let (lines, mb) = (report.lines as f64, report.bytes as f64 / 1e6);
            let _ = writeln!(
                out,
                "  {name}, {seals:?} signatures: {:>7.0} lines/s, {:>5.1} MB/s ({lines} lines in {:.1} ms)",
                lines / took,
                mb / took,
                took * 1e3
            );
        }
    }

    // The whole process, as somebody waits for it.
    let log = whole_run(&owner, 61);
    let lines = lines_of(&log);
    let (file, allowed) = (dir.path().join("log.jsonl"), dir.path().join("allowed_signers"));
    std::fs::write(&file, &log).expect("a log");
    std::fs::write(&allowed, trust::line(OWNER, &owner.public())).expect("a file of signers");
    let bgctl = |file: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bgctl"));
        command
            .args(["audit", "verify"])
            .arg(file)
            .arg("--allowed-signers")
            .arg(&allowed)
            // Two logs of one run would be a fork to whoever has seen both.
            .env("BGCTL_STATE_DIR", file.with_extension("state"));
        command
    };
    let all = || {
        let mut command = bgctl(&file);
        command.arg("--all-seals");
        command
    };
    let with = |program: &str, args: &[&str], file: &Path| {
        let mut command = Command::new(program);
        command.args(args).arg(file);
        command
    };
    let (mut last, mut each, mut summed, mut nothing) = (vec![], vec![], vec![], vec![]);
    for _ in 0..50 {
        timed(&mut last, || quiet(bgctl(&file)));
        timed(&mut each, || quiet(all()));
        timed(&mut summed, || quiet(with("sha256sum", &[], &file)));
        timed(&mut nothing, || quiet(Command::new("true")));
    }
    let _ = writeln!(out, "a log of {lines} lines ({} kB), whole process", log.len() / 1000);
    row(&mut out, "bgctl audit verify", &mut last);
    row(&mut out, "bgctl audit verify --all-seals", &mut each);
    row(&mut out, "sha256sum", &mut summed);
    row(&mut out, "true", &mut nothing);

    // The same over a long log.
    let log = whole_run(&owner, 5_000);
    let long = dir.path().join("long.jsonl");
    std::fs::write(&long, &log).expect("a log");
    let (mut verified, mut summed, mut parsed) = (vec![], vec![], vec![]);
    let jq = Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    for _ in 0..7 {
        timed(&mut verified, || quiet(bgctl(&long)));
        timed(&mut summed, || quiet(with("sha256sum", &[], &long)));
        if jq {
            timed(&mut parsed, || quiet(with("jq", &["-c", "."], &long)));
        }
    }
    let _ = writeln!(out, "a log of {} lines ({} MB), whole process", lines_of(&log), log.len() / 1_000_000);
    let ours = row(&mut out, "bgctl audit verify", &mut verified);
    let sum = row(&mut out, "sha256sum", &mut summed);
    let _ = writeln!(out, "  audit verify / sha256sum: {:.2}x", ours / sum);
    if jq {
        let jq = row(&mut out, "jq -c .", &mut parsed);
        let _ = writeln!(out, "  audit verify / jq -c .: {:.2}x", ours / jq);
    }
    long_log(&mut out, &owner);
}

fn lines_of(log: &[u8]) -> usize {
    log.iter().filter(|b| **b == b'\n').count()
}

/// What a run with a log of that many megabytes costs whoever looks back at it, beside the same run with a short one.
fn long_log(out: &mut impl Write, owner: &SessionKey) {
    const RUN: &str = "20261121-0302-kfx";
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut costs = Vec::new();
    for megabytes in [0, 200] {
        let folder = dir.path().join(format!("state-{megabytes}")).join("runs").join(RUN);
        let mut journal = open(owner, DirStore::create(&folder).expect("a store"));
        let armed = Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] };
        journal.append(&[Record::from(&armed)]).expect("an append");
        let records = vec![record(); 500];
        while std::fs::metadata(folder.join(LOG)).expect("a log").len() < megabytes * 1_000_000 {
            journal.append(&records).expect("an append");
        }
        drop(journal);
        let look = || {
            let start = Instant::now();
            let mut command = Command::new(env!("CARGO_BIN_EXE_bgctl"));
            command
                .args(["status", "--offline", RUN, "--state-dir"])
                .arg(dir.path().join(format!("state-{megabytes}")));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
            let mut peak = 0;
            while child.try_wait().expect("its status").is_none() {
                peak = peak.max(resident(child.id()));
            }
            (start.elapsed(), peak)
        };
        let best = (0..7).map(|_| look()).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).expect("a look");
        let start = Instant::now();
        let store = DirStore::open(&folder).expect("the log");
        let who = Who { owner: OWNER.into(), mode: "ci".into(), claims: serde_json::json!({}) };
        let (_, kept) = Journal::resume(Box::new(store), &who, owner, Rc::new(SystemClock)).expect("a journal");
        costs.push((best, start.elapsed(), kept.len()));
    }
    let [((small, few), begun, _), ((large, many), resumed, kept)] = costs[..] else { return };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let _ = writeln!(out, "a run with a log of 200 MB beside the same with none");
    let _ = writeln!(
        out,
        "  bgctl status: {:.0} ms and {} kB more",
        ms(large.saturating_sub(small)),
        many.saturating_sub(few)
    );
    let _ = writeln!(out, "  going on with it: {:.0} ms more, {kept} records kept", ms(resumed.saturating_sub(begun)));
}

/// The most memory a process has had so far, in kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn quiet(mut command: Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}
