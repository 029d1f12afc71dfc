//! One shift with its read-back, beside what people do today: `aws elbv2 modify-rule` and `describe-rules`; and a whole
//! rollback with its witnesses beside the same two calls, with every answer 100 ms away. Same endpoint, each in processes of
//! its own, in turns.
//!
//! `cargo bench --bench alb`; needs the peers of `tests/all peers`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and prints what it saw"
)]

#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use bgctl::clock::SystemClock;
use bgctl::journal::{Append, DirStore, Journal, LOG, Record, Who};
use bgctl::plan::Split;
use bgctl::routers::{Access, alb};
use bgctl::run::{Evidence, Verdict};
use bgctl::sign::file::FileKey;
use common::at;
use common::moto::{Balancer, Moto};
use serde_json::json;

/// How often each side is measured.
const ROUNDS: u32 = 15;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match std::env::var("BGCTL_BENCH_SETTINGS") {
        Ok(settings) => runtime.block_on(shift(&settings)),
        Err(_) => {
            runtime.block_on(compare());
            runtime.block_on(going_back());
        }
    }
}

/// The process that is measured: opens the route, moves it, reads it back.
async fn shift(settings: &str) {
    let number = |name: &str| std::env::var(name).expect(name).parse().expect("a number");
    let (from, to) = (Split::of_green(number("BGCTL_BENCH_FROM")), Split::of_green(number("BGCTL_BENCH_TO")));
    let settings = serde_json::from_str(settings).expect("JSON");
    let router = (alb::KIND.open)(&settings, &Access::default()).expect("good settings");
    router.set(&at(from), to).await.expect("it sets");
    assert_eq!(router.read().await.expect("it reads").split, to);
}

async fn compare() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (from, to) = if round % 2 == 0 { (0, 100) } else { (100, 0) };
        let mut own = Command::new(std::env::current_exe().expect("this binary"));
        own.envs(moto.env()).env("BGCTL_BENCH_SETTINGS", balancer.settings().to_string());
        own.env("BGCTL_BENCH_FROM", from.to_string()).env("BGCTL_BENCH_TO", to.to_string());
        ours.push(measure(&mut own));

        let actions = json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": [
            { "TargetGroupArn": balancer.blue, "Weight": (1000 - to) / 10 },
            { "TargetGroupArn": balancer.green, "Weight": to / 10 },
        ] } }]);
        let mut modify = moto.cli_command();
        modify.args(["elbv2", "modify-rule", "--rule-arn", &balancer.rule, "--actions", &actions.to_string()]);
        let mut describe = moto.cli_command();
        describe.args(["elbv2", "describe-rules", "--rule-arns", &balancer.rule]);
        let (first, second) = (measure(&mut modify), measure(&mut describe));
        theirs.push((first.0 + second.0, first.1.max(second.1)));
    }
    let (bgctl, aws) = (report("bgctl: shift + read-back", ours), report("aws: modify-rule + describe-rules", theirs));
    println!("bgctl is {:.1} times as fast with {:.0} % of the memory", aws.0 / bgctl.0, 100.0 * bgctl.1 / aws.1);
}

/// `bgctl rollback` with all its witnesses, beside the two calls of the CLI that have none, on one endpoint 100 ms away.
async fn going_back() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    let far = Far::before(&moto).await;
    let desk = tempfile::tempdir().expect("a folder");
    std::fs::write(desk.path().join("runbook.yaml"), far.runbook(&balancer, "")).expect("a file");
    let behind = "  - { id: look, warm: { stack: green, path: /version, requests: 10000 } }\n";
    std::fs::write(desk.path().join("long.yaml"), far.runbook(&balancer, behind)).expect("a file");
    let bgctl = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bgctl"));
        command
            .args(args)
            .current_dir(desk.path())
            .envs(moto.env())
            .env("AWS_ENDPOINT_URL", &far.url)
            .env("CI", "true");
        command.env("BGCTL_STATE_DIR", desk.path().join("state")).env("BGCTL_SIGNING_KEY", desk.path().join("key"));
        command.stderr(Stdio::null());
        command
    };
    measure(&mut bgctl(&["keys", "create", "--out", "key"]));
    let (mut ours, mut sent, mut theirs, mut cli_sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        far.latency(0);
        measure(&mut bgctl(&["cutover", "runbook.yaml", "--confirm", "bench"]));
        far.latency(100);
        let begun = Instant::now();
        ours.push(measure(&mut bgctl(&["rollback", "--yes", "--reason", "bench"])));
        sent.push((far.wrote_at() - begun, 0));
        let actions = json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": [
            { "TargetGroupArn": balancer.blue, "Weight": 100 }, { "TargetGroupArn": balancer.green, "Weight": 0 },
        ] } }]);
        let mut modify = moto.cli_command();
        modify.args(["elbv2", "modify-rule", "--rule-arn", &balancer.rule, "--actions", &actions.to_string()]);
        let mut describe = moto.cli_command();
        describe.args(["elbv2", "describe-rules", "--rule-arns", &balancer.rule]);
        let begun = Instant::now();
        let first = measure(modify.env("AWS_ENDPOINT_URL", &far.url));
        cli_sent.push((far.wrote_at() - begun, 0));
        let second = measure(describe.env("AWS_ENDPOINT_URL", &far.url));
        theirs.push((first.0 + second.0, first.1.max(second.1)));
    }
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for megabytes in [0, 200].repeat(5) {
        far.latency(0);
        _ = std::fs::remove_dir_all(desk.path().join("state"));
        // It is killed while it warms green, so the rollback goes on with the same log.
        let mut cutover = bgctl(&["cutover", "long.yaml", "--confirm", "bench"]).spawn().expect("it starts");
        let log = far.underway(&desk.path().join("state"));
        cutover.kill().and_then(|()| cutover.wait()).expect("it ends");
        grow(&log, &desk.path().join("key"), megabytes);
        far.latency(100);
        let side = if megabytes == 0 { &mut short } else { &mut long };
        side.push(measure(&mut bgctl(&["rollback", "--yes", "--reason", "bench"])));
    }
    println!("100 ms away:");
    report("bgctl: Enter to the write", sent);
    report("aws: Enter to the write", cli_sent);
    let (bgctl, aws) = (report("bgctl: all back, three witnesses", ours), report("aws: written and read back", theirs));
    println!("bgctl takes {:.2} of the time and {:.0} % of the memory", bgctl.0 / aws.0, 100.0 * bgctl.1 / aws.1);
    let (short, long) = (report("rollback of an open run", short), report("the same with a log of 200 MB", long));
    println!("the log adds {:.0} ms and {:.1} MB", long.0 - short.0, (long.1 - short.1) / 1024.0);
}

/// Makes the log of a run whose process is dead that long, as its owner.
fn grow(log: &Path, key: &Path, megabytes: u64) {
    let owner = FileKey::read(key, &|_| None).expect("a key");
    let who = Who { owner: "owner@example.com".into(), mode: "ci".into(), claims: json!({}) };
    let store = DirStore::open(log.parent().expect("a folder")).expect("the log");
    let (mut journal, _) = Journal::resume(Box::new(store), &who, &owner, Rc::new(SystemClock)).expect("a journal");
    let line = "POST /slack/events answered 200 with the nonce, from v1.4.2, in 12 ms".to_string();
    let seen = Record::from(&Evidence::CheckDone {
        step: "look".into(),
        check: "signature".into(),
        verdict: Verdict::Pass,
        ms: 12,
        line,
    });
    while std::fs::metadata(log).expect("a log").len() < megabytes * 1_000_000 {
        journal.append(&vec![seen.clone(); 500]).expect("an append");
    }
}

/// A server in front of moto that is as far away as it is told, and notes when a write arrives. It also plays the users' side:
/// `/version` says which stack the last write sent everybody to.
#[derive(Clone)]
struct Far {
    url: String,
    moto: String,
    client: reqwest::Client,
    state: Arc<Mutex<(u64, Option<Instant>, bool)>>,
}

impl Far {
    async fn before(moto: &Moto) -> Far {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback interface");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (moto, client) = (moto.url.clone(), bgctl::https::client().no_proxy().build().expect("a client"));
        let far = Far { url, moto, client, state: Arc::new(Mutex::new((0, None, false))) };
        let app = axum::Router::new().fallback(answer).with_state(far.clone());
        // Its own thread: whoever measures blocks theirs.
        let listener = listener.into_std().expect("a socket");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                axum::serve(listener, app).await.expect("it serves");
            });
        });
        far
    }

    fn latency(&self, ms: u64) {
        self.state.lock().expect("no panic").0 = ms;
    }

    fn wrote_at(&self) -> Instant {
        self.state.lock().expect("no panic").1.take().expect("a write has arrived")
    }

    /// The log of the only run, once it has users on green and does what comes behind.
    fn underway(&self, state: &Path) -> PathBuf {
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let runs = std::fs::read_dir(state.join("runs")).into_iter().flatten().flatten();
            let Some(log) = runs.map(|run| run.path().join(LOG)).find(|log| log.exists()) else { continue };
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.lines().any(|line| line.contains("step.intent") && line.contains("\"id\":\"look\"")) {
                return log;
            }
        }
    }

    fn runbook(&self, balancer: &Balancer, behind: &str) -> String {
        let Balancer { rule, blue, green, .. } = balancer;
        format!(
            r#"bgctl: 1
service: bot
environment: bench
owners: [owner@example.com]
stacks:
  blue:  {{ version: v1, url: "{url}/blue" }}
  green: {{ version: v2, url: "{url}/green" }}
routes:
  web:
    alb: {{ rule: "{rule}", blue: "{blue}", green: "{green}" }}
    seen_at: {{ url: "{url}/version", header: x-version, samples: 100, tolerance: 5% }}
schema: {{ change: none }}
steps:
  - {{ id: all, shift: {{ route: web, green: 100% }} }}
{behind}rollback:
  owner: owner@example.com
  steps:
    - {{ id: back, shift: {{ route: web, blue: 100% }} }}
"#,
            url = self.url
        )
    }
}

async fn answer(State(far): State<Far>, uri: Uri, headers: HeaderMap, body: String) -> (StatusCode, HeaderMap, String) {
    let latency = {
        let mut state = far.state.lock().expect("no panic");
        if body.contains("Action=ModifyRule") {
            state.1 = Some(Instant::now());
            state.2 = body.contains("TargetGroups.member.2.Weight=100");
        }
        state.0
    };
    tokio::time::sleep(Duration::from_millis(latency)).await;
    if uri.path().ends_with("/version") {
        let version = if far.state.lock().expect("no panic").2 { "v2" } else { "v1" };
        let header = HeaderMap::from_iter([(HeaderName::from_static("x-version"), HeaderValue::from_static(version))]);
        return (StatusCode::OK, header, String::new());
    }
    let kept =
        |name: &HeaderName| name == "authorization" || name == "content-type" || name.as_str().starts_with("x-amz");
    let headers = headers.iter().filter(|(name, _)| kept(name)).map(|(k, v)| (k.clone(), v.clone()));
    let asked = far.client.post(&far.moto).headers(headers.collect()).body(body).send().await.expect("moto answers");
    let (status, text) = (asked.status(), asked.text().await.expect("text"));
    (status, HeaderMap::new(), text)
}

/// Wall time of a process, and the most memory it was seen with, in KiB.
fn measure(command: &mut Command) -> (Duration, u64) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
    let mut most = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
        most = most.max(peak);
        if let Some(end) = child.try_wait().expect("it can be waited for") {
            assert!(end.success(), "{command:?} ended with {end}");
            return (begun.elapsed(), most);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Prints least, median and most; returns the median in milliseconds and the memory in KiB.
fn report(what: &str, mut rounds: Vec<(Duration, u64)>) -> (f64, f64) {
    rounds.sort();
    let ms = |n: usize| rounds[n].0.as_secs_f64() * 1000.0;
    let (middle, last) = (rounds.len() / 2, rounds.len() - 1);
    let memory = rounds.iter().map(|r| r.1).max().unwrap_or(0);
    println!("{what}: {:.0} / {:.0} / {:.0} ms, {:.1} MB", ms(0), ms(middle), ms(last), memory as f64 / 1024.0);
    (ms(middle), memory as f64)
}
