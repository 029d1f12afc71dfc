//! Real Bolt fleets on the gateway: three instances in Python and three in JavaScript, handed over by the whole program, under
//! traffic, with sockets renewed in the middle; and the way back. What was handled is read from the bots' store.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bgctl::lab::{Doing, Gateway, Reason, Sent};
use bgctl::plan::Split;
use bgctl::routers::{Access, socket_mode};
use serde_json::{Value, json};

use crate::common::bots::{Bolt, Redis, Started, environment, interpreter, pause, sources};
use crate::common::free_port;

/// What both fleets use; its number makes it one of the lab's.
pub const APP_TOKEN: &str = "xapp-1-lab-A0LAB-socket";
const BOT_TOKEN: &str = "what-bgctl-shows-to-the-bots";
/// Things users do in a second.
const RATE: u32 = 50;

/// One instance of a fleet.
struct Instance {
    url: String,
    process: Started,
}

impl Instance {
    fn start(
        bolt: Bolt,
        color: &str,
        version: &str,
        gateway: &Gateway,
        redis: &Redis,
        folder: &std::path::Path,
    ) -> Option<Instance> {
        let port = free_port();
        let program = interpreter(bolt)?;
        let mut command = Command::new(program);
        match bolt {
            Bolt::Python => {
                let bind = format!("127.0.0.1:{port}");
                command.args(["-m", "gunicorn", "bot_socket:api", "-b", &bind, "--workers", "1", "--threads", "4"])
            }
            Bolt::JavaScript => command.arg("bot_socket.js"),
        };
        environment(&mut command, bolt);
        command.current_dir(sources(bolt)).env("PORT", port.to_string()).env("REDIS_URL", redis.url(0));
        command.env("SLACK_API", gateway.api()).env("SLACK_APP_TOKEN", APP_TOKEN).env("BGCTL_BOT_TOKEN", BOT_TOKEN);
        // A claim has to end before Slack's last retry, which is 3.7 s after the first attempt on the gateway's clock.
        command.env("COLOR", color).env("VERSION", version).env("LEASE_MS", "400").env("EVENT_WORK_S", "0.03");
        command.env("SOCKET", if color == "blue" { "open" } else { "closed" });
        let process = Started::new(command, port, &folder.join(format!("{color}-{port}.log")));
        Some(Instance { url: format!("http://127.0.0.1:{port}"), process })
    }
}

/// Everything a handover needs, with blue holding its sockets.
struct Rig {
    gateway: Arc<Gateway>,
    redis: Redis,
    blue: Vec<Instance>,
    green: Vec<Instance>,
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Rig {
    #[expect(clippy::disallowed_methods, reason = "tests have no command line of their own")]
    fn start(blue: Bolt, green: Bolt) -> Option<Rig> {
        let redis = Redis::start(&[])?;
        let gateway = Arc::new(Gateway::start(7).expect("the gateway starts"));
        let folder = tempfile::tempdir().expect("a folder");
        let fleet = |bolt, color, version| -> Option<Vec<Instance>> {
            (0..3).map(|_| Instance::start(bolt, color, version, &gateway, &redis, folder.path())).collect()
        };
        let (blue, green) = (fleet(blue, "blue", "v1.4.1")?, fleet(green, "green", "v1.4.2")?);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let env = BTreeMap::from([
            ("PATH".to_string(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".into(), path("home")),
            ("BGCTL_STATE_DIR".into(), path("state")),
            ("BGCTL_SIGNING_KEY".into(), path("key")),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
            ("CI".into(), "true".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
            ("SLACK_APP_TOKEN".into(), APP_TOKEN.into()),
            ("SLACK_SIGNING_SECRET".into(), crate::common::bots::SECRET.into()),
            ("BGCTL_BOT_TOKEN".into(), BOT_TOKEN.into()),
        ]);
        std::fs::create_dir(path("home")).expect("a home");
        let key = path("key");
        let rig = Rig { gateway, redis, blue, green, folder, env };
        rig.bgctl(&["keys", "create", "--out", &key], 0);
        rig.until("blue holds its sockets", 20, || rig.gateway.open().len() == 3);
        Some(rig)
    }

    fn until(&self, what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
        for _ in 0..seconds * 50 {
            if so() {
                return;
            }
            pause(20);
        }
        panic!("not within {seconds} s: {what}\n{}", self.logs());
    }

    /// The last words of each instance.
    fn logs(&self) -> String {
        let last = |instance: &Instance| {
            let log = instance.process.log();
            let lines: Vec<&str> = log.lines().collect();
            format!("--- {}\n{}\n", instance.url, lines[lines.len().saturating_sub(12)..].join("\n"))
        };
        self.blue.iter().chain(&self.green).map(last).collect()
    }

    fn runbook(&self, more: &str) -> String {
        let urls = |fleet: &[Instance]| json!(fleet.iter().map(|i| &i.url).collect::<Vec<_>>()).to_string();
        let wait = |name: &str, seconds: u32| {
            format!("  - id: {name}\n    command: {{ run: [sleep, \"{seconds}\"], within: 30s }}\n")
        };
        let text = format!(
            r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
stacks:
  blue:  {{ version: v1.4.1, url: "{}" }}
  green: {{ version: v1.4.2, url: "{}" }}
routes:
  sockets:
    socket_mode:
      blue: {}
      green: {}
      app_token: ${{env:SLACK_APP_TOKEN}}
      token: ${{env:BGCTL_BOT_TOKEN}}
      api: {}
      floor: 2
{more}
schema:
  change: none
steps:
  - id: warm-green
    warm: {{ stack: green, path: /healthz/ready, requests: 5 }}
  - id: one
    shift: {{ route: sockets, green: 25% }}
WAIT-1  - id: half
    shift: {{ route: sockets, green: 50% }}
WAIT-2  - id: all
    shift: {{ route: sockets, green: 100% }}
WAIT-3rollback:
  owner: owner@example.com
  steps:
    - id: back-to-blue
      shift: {{ route: sockets, blue: 100% }}
"#,
            self.blue[0].url,
            self.green[0].url,
            urls(&self.blue),
            urls(&self.green),
            self.gateway.api(),
        );
        text.replace("WAIT-1", &wait("look-one", 1))
            .replace("WAIT-2", &wait("look-half", 8))
            .replace("WAIT-3", &wait("look-all", 1))
    }

    fn start_bgctl(&self, args: &[&str]) -> std::process::Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bgctl"));
        command.args(args).env_clear().envs(&self.env).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("bgctl starts")
    }

    /// Runs it to its end, which has to be this one; gives what it said.
    #[track_caller]
    fn ended(&self, child: std::process::Child, code: i32) -> String {
        let Output { status, stdout, stderr } = child.wait_with_output().expect("its output");
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.code(), Some(code), "{text}\n{}", self.logs());
        text
    }

    #[track_caller]
    fn bgctl(&self, args: &[&str], code: i32) -> String {
        self.ended(self.start_bgctl(args), code)
    }

    /// Slack ends every socket there is, one after the other, as it does every few hours.
    fn renew_all(&self) {
        for socket in self.gateway.open() {
            self.gateway.tell(socket, Reason::Warning);
            pause(700);
        }
    }

    /// Who handled it, one word for each time.
    fn handled(&self, id: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.redis.port)).expect("the store");
        write!(stream, "LRANGE bgctl:handled:{id} 0 -1\r\nQUIT\r\n").expect("a question");
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.filter(|line| line == "blue" || line == "green").collect()
    }

    /// Every event was handled exactly once. What a user does is not sent again, so there a socket that ends in that very
    /// moment can leave it unanswered, and nothing else can. Gives how often each side handled.
    fn continuous(&self, sent: &[Sent]) -> [usize; 2] {
        let mut by = [0, 0];
        let mut wrong = Vec::new();
        for thing in sent {
            let who = self.handled(&thing.id);
            let once = match thing.doing {
                Doing::Event => who.len() == 1 && thing.acked,
                // A command leaves no note: its answer is all there is.
                Doing::Command => thing.acked || thing.cut_off,
                Doing::Click => who.len() == 1 && thing.acked || who.len() <= 1 && thing.cut_off,
            };
            by[0] += who.iter().filter(|who| *who == "blue").count();
            by[1] += who.iter().filter(|who| *who == "green").count();
            if !once {
                wrong.push(format!("{thing:?} handled by {who:?}"));
            }
        }
        let retried = sent.iter().filter(|thing| thing.deliveries > 1).count();
        assert!(
            wrong.is_empty(),
            "{} of {}, {retried} sent again:\n{}\n{}",
            wrong.len(),
            sent.len(),
            wrong.join("\n"),
            self.logs()
        );
        // What Slack has sent but a closing client has not read yet is left behind: seldom one, on a busy machine.
        let unanswered: Vec<_> = sent.iter().filter(|thing| !thing.acked).collect();
        assert!(unanswered.len() <= 2, "{unanswered:?}\n{:?}\n{}", self.gateway.seen(), self.logs());
        by
    }
}

/// Three and three, blue to green and back, with a renewal of every socket in the middle.
#[test]
fn a_fleet_in_python_hands_over_to_one_in_javascript_and_gets_everything_back() {
    let Some(rig) = Rig::start(Bolt::Python, Bolt::JavaScript) else { return };
    std::fs::write(rig.folder.path().join("runbook.yaml"), rig.runbook("")).expect("a runbook");
    rig.gateway.count_fewest();
    rig.gateway.send(RATE);
    let run = rig.start_bgctl(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    rig.until("both fleets hold three", 30, || rig.gateway.open().len() == 6);
    rig.renew_all();
    let said = rig.ended(run, 0);
    assert!(said.contains("COMPLETED"), "{said}");
    assert_eq!(rig.gateway.open().len(), 3);
    assert!(rig.gateway.fewest() >= 2, "the floor was broken: {}", rig.gateway.fewest());
    let forward = rig.gateway.finish(Duration::from_secs(15));
    let [blue, green] = rig.continuous(&forward);
    assert!(blue > 20 && green > 20, "blue {blue}, green {green}");

    rig.gateway.count_fewest();
    rig.gateway.send(RATE);
    let said = rig.bgctl(&["rollback", "--yes"], 0);
    assert!(said.contains("BLUE 100 GREEN 0"), "{said}");
    assert!(rig.gateway.fewest() >= 2, "the floor was broken: {}", rig.gateway.fewest());
    pause(1_000);
    let back = rig.gateway.finish(Duration::from_secs(15)).split_off(forward.len());
    let [blue, _] = rig.continuous(&back);
    assert!(blue > 20, "blue {blue}");
    let report: Value = serde_json::from_str(&report(&rig.green[0].url)).expect("a report");
    assert_eq!((&report["open"], &report["connected"], &report["inflight"]), (&json!(false), &json!(0), &json!(0)));
}

/// An instance that dies with work in hand leaves it to Slack's retry, because its bot acks when the work is done and its
/// claims end by themselves.
#[test]
fn an_instance_that_is_killed_at_work_loses_nothing() {
    let Some(mut rig) = Rig::start(Bolt::Python, Bolt::Python) else { return };
    std::fs::write(rig.folder.path().join("runbook.yaml"), rig.runbook("")).expect("a runbook");
    rig.gateway.send(RATE);
    let run = rig.start_bgctl(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    rig.until("both fleets hold three", 30, || rig.gateway.open().len() == 6);
    pause(2_000);
    rig.gateway.count_fewest();
    rig.blue[2].process.kill();
    let said = rig.ended(run, 0);
    assert!(said.contains("COMPLETED"), "{said}");
    assert!(rig.gateway.fewest() >= 2, "the floor was broken: {}", rig.gateway.fewest());
    let sent = rig.gateway.finish(Duration::from_secs(15));
    rig.continuous(&sent);
}

/// Slack's end of every socket is gone, and no client is told. What the bots report of their pings is what shows it, and they
/// find out by themselves.
fn half_open(bolt: Bolt) {
    let Some(rig) = Rig::start(bolt, Bolt::Python) else { return };
    let urls = |fleet: &[Instance]| fleet.iter().map(|i| i.url.clone()).collect::<Vec<_>>();
    let settings = json!({
        "blue": urls(&rig.blue), "green": urls(&rig.green), "app_token": APP_TOKEN, "token": BOT_TOKEN,
        "api": rig.gateway.api(), "floor": 2,
    });
    let router = (socket_mode::KIND.open)(&settings, &Access::default()).expect("good settings");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    pause(3_000);
    for url in urls(&rig.blue) {
        let report: Value = serde_json::from_str(&report(&url)).expect("a report");
        let age = crate::stub::now() - report["last_ping"].as_f64().expect("it is told");
        assert!(age < 4.0, "{bolt:?}: {report}");
    }
    rig.gateway.open().into_iter().for_each(|socket| rig.gateway.half_open(socket));
    rig.until("the gateway has none", 2, || rig.gateway.open().is_empty());
    let begun = std::time::Instant::now();
    rig.until("the bots find out", 20, || rig.gateway.open().len() == 3);
    // Nobody to tell when stderr is closed.
    let line = format!("{bolt:?}: half-open for {:.1} s\n", begun.elapsed().as_secs_f64());
    let _ = std::io::stderr().write_all(line.as_bytes());
    rig.until("bgctl sees them", 5, || {
        runtime.block_on(router.read()).is_ok_and(|reading| reading.split == Split::ALL_BLUE)
    });
}

#[test]
fn s13_half_open_sockets_of_bolt_for_python_are_seen_and_renewed() {
    half_open(Bolt::Python);
}

#[test]
fn s13_half_open_sockets_of_bolt_for_javascript_are_seen_and_renewed() {
    half_open(Bolt::JavaScript);
}

/// Somebody opened sockets after the newest hello of blue: no count tells before Slack refuses green's second.
#[test]
fn s17_a_green_in_javascript_that_slack_refuses_sockets_is_refused_at_once() {
    let Some(rig) = Rig::start(Bolt::Python, Bolt::JavaScript) else { return };
    std::fs::write(rig.folder.path().join("runbook.yaml"), rig.runbook("").replace("25%", "50%")).expect("a runbook");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _others: Vec<_> = (0..6).map(|_| runtime.block_on(crate::gateway::open(&rig.gateway))).collect();
    let begun = std::time::Instant::now();
    let run = rig.start_bgctl(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    let Output { status, stdout, stderr } = run.wait_with_output().expect("its output");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let took = begun.elapsed();
    assert!(!status.success() && said.contains("Slack has refused it a socket: more than 10 are open"), "{said}");
    assert!(took < Duration::from_secs(25), "{took:?} {said}");
    rig.until("green's is given back", 5, || rig.gateway.open().len() == 9);
    let line = format!("refused after {:.1} s\n", took.as_secs_f64());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn report(url: &str) -> String {
    let place = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(place).expect("the bot");
    write!(
        stream,
        "GET /bgctl/socket HTTP/1.1\r\nhost: bot\r\nconnection: close\r\nauthorization: Bearer {BOT_TOKEN}\r\n\r\n"
    )
    .expect("a question");
    let lines: Vec<String> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    lines.iter().find(|line| line.starts_with('{')).cloned().unwrap_or_else(|| panic!("no report: {lines:?}"))
}
