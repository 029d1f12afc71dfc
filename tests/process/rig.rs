//! A desk to start bgctl at: folders, a key and an environment of its own, and a lab that outlives the process.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bgctl::lab::{Fault, Lab, Options};
use serde_json::Value;

pub const BGCTL: &str = env!("CARGO_BIN_EXE_bgctl");
pub const OWNER: &str = "owner@example.com";

/// Two shifts with a short watch after each: every kind of step that can be resumed without a person.
pub const RUNBOOK: &str = r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
roles:
  release-managers: { members: [rm@example.com], quorum: 1 }
variables:
  rule_arn:
  blue_target_group:
  green_target_group:
  public_url:
  blue_url:
  green_url:
  prometheus_url:
stacks:
  blue:  { version: v1.4.1, url: "${var.blue_url}" }
  green: { version: v1.4.2, url: "${var.green_url}" }
routes:
  web:
    alb:
      rule: ${var.rule_arn}
      blue: ${var.blue_target_group}
      green: ${var.green_target_group}
    seen_at: { url: "${var.public_url}/version", header: x-bot-version, samples: 30, tolerance: 30% }
slack:
  signing_secret: ${env:SLACK_SIGNING_SECRET}
  paths: { events: /slack/events }
schema:
  change: none
prometheus: ${var.prometheus_url}
gates:
  errors:
    prometheus: >-
      sum by (color) (rate(http_requests_total{status=~"5.."}[5s])) / sum by (color) (rate(http_requests_total[5s]))
    max: 2%
    min_requests: 5
steps:
  - id: warm-green
    warm: { stack: green, path: /version, requests: 20 }
  - id: smoke-green
    smoke: { stack: green, checks: [version, signature] }
  - id: shift-50
    shift: { route: web, green: 50% }
  - id: bake-50
    bake: { for: 3s, windows: 1, gates: [errors] }
  - id: shift-100
    shift: { route: web, green: 100% }
  - id: drain-blue
    drain: { stack: blue, within: 5s, at_timeout: continue }
  - id: bake-100
    bake: { for: 3s, windows: 1, gates: [errors] }
rollback:
  owner: owner@example.com
  steps:
    - id: back-to-blue
      shift: { route: web, blue: 100% }
    - id: drain-green
      drain: { stack: green, within: 5s, at_timeout: continue }
"#;

/// The same with an approval before the last shift.
pub fn with_approval() -> String {
    let approval = "approval: { role: release-managers, within: 10m, at_expiry: roll-back }";
    RUNBOOK.replace("  - id: shift-100\n", &format!("  - id: shift-100\n    {approval}\n"))
}

/// The same with a watch of a minute on half of the users.
pub fn with_long_bake() -> String {
    RUNBOOK.replacen("bake: { for: 3s, windows: 1,", "bake: { for: 60s, windows: 1,", 1)
}

#[expect(clippy::disallowed_methods, reason = "polling real processes")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[expect(clippy::disallowed_methods, reason = "how long a real process took")]
pub fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// Polls until it is so; fails after `seconds`.
pub fn until(what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
    for _ in 0..seconds * 200 {
        if so() {
            return;
        }
        pause(5);
    }
    panic!("not within {seconds} s: {what}");
}

/// A lab, and a witness of where its load balancer sends: what its API took, with no reads that lag.
pub struct World {
    pub lab: Lab,
    memory: PathBuf,
    seen: Arc<Mutex<Vec<u32>>>,
    stop: Arc<AtomicBool>,
    witness: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl World {
    pub fn new(faults: &[Fault]) -> World {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("world.json");
        let options = Options {
            faults: faults.to_vec(),
            events_per_second: 25,
            memory: Some(memory.clone()),
            ..Options::default()
        };
        let lab = Lab::start(options).expect("the lab starts");
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (file, book, end) = (memory.clone(), seen.clone(), stop.clone());
        let witness = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if let Some(green) = green_of(&file) {
                    let mut book = book.lock().unwrap();
                    if book.last() != Some(&green) {
                        book.push(green);
                    }
                }
                pause(10);
            }
        });
        World { lab, memory, seen, stop, witness: Some(witness), _dir: dir }
    }

    /// Green's share in per cent, as the provider has it now.
    pub fn green(&self) -> u32 {
        green_of(&self.memory).expect("the lab remembers its weights")
    }

    /// Forgets what was seen up to now.
    pub fn look_anew(&self) {
        let now = self.green();
        *self.seen.lock().unwrap() = vec![now];
    }

    /// Every share of green the provider had, one after the other.
    pub fn seen(&self) -> Vec<u32> {
        // The witness looks every 10 ms; give it one more look.
        pause(30);
        self.seen.lock().unwrap().clone()
    }

    /// How often users changed their direction.
    pub fn turns(&self) -> usize {
        let seen = self.seen();
        let ways: Vec<bool> = seen.windows(2).map(|pair| pair[1] > pair[0]).collect();
        ways.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// Nothing was lost and nothing was done twice.
    pub fn continuous(&self) {
        let ledger = self.lab.finish();
        assert!(ledger.lost == 0 && ledger.twice == 0, "{ledger}");
        assert!(ledger.sent > 0, "{ledger}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(witness) = self.witness.take() {
            let _ = witness.join();
        }
    }
}

fn green_of(memory: &Path) -> Option<u32> {
    let world: Value = serde_json::from_str(&std::fs::read_to_string(memory).ok()?).ok()?;
    let mut weights = [0, 0];
    for pair in world["weights"].as_array()? {
        let green = pair[0].as_str()?.contains("green");
        weights[usize::from(green)] = pair[1].as_u64()?;
    }
    u32::try_from(weights[1] * 100 / (weights[0] + weights[1])).ok()
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Done {
    /// -1 where a signal ended it.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    #[track_caller]
    pub fn ends(self, code: i32) -> Done {
        assert_eq!(self.code, code, "\n--- stdout\n{}--- stderr\n{}", self.out, self.err);
        self
    }

    /// All of these words stand in what it said to people.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Done {
        for word in words {
            assert!(self.err.contains(word) || self.out.contains(word), "`{word}` in\n{}\n{}", self.out, self.err);
        }
        self
    }
}

/// A process that runs; killed if the test ends before it.
pub struct Running {
    child: Option<Child>,
    /// What it writes on both streams, read from the start: a full pipe would stop it.
    written: Option<[JoinHandle<Vec<u8>>; 2]>,
}

fn drain(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.map(|mut stream| stream.read_to_end(&mut bytes)).transpose().expect("its output");
        bytes
    })
}

impl Running {
    pub fn of(mut child: Child) -> Running {
        let written = Some([drain(child.stdout.take()), drain(child.stderr.take())]);
        Running { child: Some(child), written }
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it runs");
    }

    pub fn alive(&mut self) -> bool {
        self.child.as_mut().expect("it runs").try_wait().expect("its status").is_none()
    }

    /// Waits for the end; a process that hangs fails the test.
    #[track_caller]
    pub fn end(mut self, seconds: u64) -> Done {
        for _ in 0..seconds * 100 {
            if !self.alive() {
                let (code, out, err) = self.over();
                return Done { code, out, err };
            }
            pause(10);
        }
        let _ = self.child.as_mut().expect("it ran").kill();
        panic!("no end within {seconds} s:\n{}", self.over().2);
    }
}

impl Running {
    /// Its code, and everything it wrote.
    fn over(&mut self) -> (i32, String, String) {
        let status = self.child.take().expect("it ran").wait().expect("its status");
        let [out, err] = self
            .written
            .take()
            .expect("it ran")
            .map(|stream| String::from_utf8_lossy(&stream.join().expect("its output")).into_owned());
        (status.code().unwrap_or(-1), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Folders, key and environment of somebody who runs bgctl.
pub struct Desk {
    dir: tempfile::TempDir,
    pub env: BTreeMap<String, String>,
}

impl Desk {
    /// With a key and a home, and nothing that leads to any provider. `CI=true`.
    #[expect(clippy::disallowed_methods, reason = "tests have no command line of their own")]
    pub fn new() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(path("home")).unwrap();
        let env = BTreeMap::from([
            ("PATH".to_string(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".into(), path("home")),
            ("BGCTL_STATE_DIR".into(), path("state")),
            ("BGCTL_SIGNING_KEY".into(), path("key")),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
            ("AWS_EC2_METADATA_DISABLED".into(), "true".into()),
            ("CI".into(), "true".into()),
            ("USER".into(), "tester".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ]);
        let desk = Desk { dir, env };
        let key = desk.path("key").display().to_string();
        desk.run(&["keys", "create", "--out", &key]).ends(0);
        desk.write("runbook.yaml", RUNBOOK);
        desk
    }

    /// With everything that leads to the lab, as an operator's shell has it.
    pub fn beside(world: &World) -> Desk {
        let mut desk = Desk::new();
        desk.turn_to(world);
        desk
    }

    /// From now on this shell leads to that lab.
    pub fn turn_to(&mut self, world: &World) {
        self.env.extend(world.lab.environment());
        self.env.extend(world.lab.variables().into_iter().map(|(k, v)| (format!("BGCTL_VAR_{k}"), v)));
    }

    pub fn without(&mut self, names: &[&str]) {
        self.env.retain(|name, _| !names.contains(&name.as_str()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A command of this desk, with nobody at its standard input.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.env).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(BGCTL);
        Running::of(command.args(args).spawn().expect("bgctl starts"))
    }

    /// Starts a line of shell, for limits that only a shell sets.
    pub fn shell(&self, line: &str) -> Running {
        let mut command = self.command("sh");
        Running::of(command.args(["-c", line]).spawn().expect("a shell starts"))
    }

    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Done {
        // A run that was killed with a write on its way waits a minute for it before it says how it ended.
        self.start(args).end(150)
    }

    /// The cutover of this desk's runbook.
    /// A command at a pseudo-terminal, as of a person who sits there and types nothing.
    pub fn at_terminal(&self, args: &[&str]) -> Done {
        let line = args.iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
        self.shell(&format!("script -qec \"{BGCTL} {line}\" /dev/null")).end(30)
    }

    pub fn cutover(&self) -> Running {
        self.start(&["cutover", "runbook.yaml", "--confirm", "staging"])
    }

    /// The folders of all runs, oldest first; those of rehearsals behind the others.
    pub fn runs(&self) -> Vec<PathBuf> {
        let archives = ["state", "state/lab"].map(|state| bgctl::journal::Archive::new(self.path(state)));
        archives.iter().flat_map(|archive| archive.runs().into_iter().map(|id| archive.run(&id))).collect()
    }

    /// The log of the newest run; nothing where there is none yet.
    pub fn log(&self) -> Vec<u8> {
        let newest = self.runs().pop();
        newest.and_then(|run| std::fs::read(run.join("log.jsonl")).ok()).unwrap_or_default()
    }

    /// The whole records of the newest run.
    pub fn records(&self) -> Vec<Value> {
        let log = self.log();
        let whole = log.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        log[..whole].split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Waits for a record of this type about this step (any, where it is empty).
    #[track_caller]
    pub fn wait_for(&self, kind: &str, step: &str) {
        until(&format!("{kind} {step}"), 40, || {
            self.records().iter().any(|r| r["type"] == kind && (step.is_empty() || r["data"]["id"] == step))
        });
    }

    /// The newest log is whole, closed and its owner's.
    #[track_caller]
    pub fn complete(&self) {
        self.run(&["audit", "verify"]).ends(0).says(&["COMPLETE"]);
    }
}
