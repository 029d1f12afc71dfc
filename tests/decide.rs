//! `bgctl decide`: which mode for which context, why, what would change it; and that what it hands out works.

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::live::http::LiveWeb;
use bgctl::secret::Secret;
use bgctl::slack::request;
use bgctl::world::Web;
use common::bots::{Bolt, SECRET, Started, environment, interpreter};
use serde_json::Value;

/// A context that speaks for neither mode by a wall.
const PLAIN: &str = "\
bgctl_context: 1
service: standup
runs_on: kubernetes
ingress: open
outbound: open
distribution: one-workspace
distribution_later: one-workspace
processes: 3
autoscaling: false
peak_per_second: 20
latency: interactive
framework: bolt-python
front: alb
";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("context.yaml"), PLAIN).unwrap();
        Bench { folder }
    }

    fn bgctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bgctl"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("BGCTL_OUTPUT").output().unwrap()
    }

    /// The decision for the plain context with some answers exchanged.
    fn decide(&self, flags: &str) -> Value {
        let mut words = vec!["decide", "--context", "context.yaml", "-o", "json"];
        words.extend(flags.split_whitespace());
        let answer = self.bgctl(&words);
        assert!(answer.status.success(), "{flags}: {}", String::from_utf8_lossy(&answer.stderr));
        serde_json::from_slice(&answer.stdout).unwrap()
    }
}

fn stderr(answer: &Output) -> String {
    String::from_utf8_lossy(&answer.stderr).into_owned()
}

fn joined(value: &Value) -> String {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_context_has_one_answer_and_its_reason() {
    let bench = Bench::new();
    let table = [
        // Nothing speaks against either: users move by weight.
        ("", "http", "users move by weight"),
        // Behind a firewall.
        ("--ingress forbidden", "socket", "no address may be opened"),
        // A bot on somebody's desk.
        (
            "--runs-on laptop --ingress possible --processes 1 --latency background --front none",
            "socket",
            "public ingress: none is needed",
        ),
        // Functions hold no socket.
        ("--runs-on serverless --cold-start 3s --front other", "http", "a function that ends holds no socket"),
        // Slack's own rule is the highest wall.
        ("--distribution marketplace --ingress forbidden", "http", "Slack does not take Socket Mode apps"),
        // What can be built is a lower wall than a rule of the house.
        ("--runs-on serverless --cold-start 1s --ingress forbidden", "socket", "this can be built"),
        ("--outbound forbidden", "http", "long outbound WebSockets are cut"),
        // More processes than sockets, and still no way in.
        ("--ingress forbidden --processes 20", "socket", "no address may be opened"),
        ("--processes 20 --ingress possible --autoscaling true", "http", "any number of processes"),
    ];
    for (flags, mode, reason) in table {
        let decision = bench.decide(flags);
        let found = &decision["recommendation"];
        assert_eq!(found["mode"], mode, "{flags}: {found:#}");
        assert!(joined(&found["reasons"]).contains(reason), "{flags}: {found:#}");
    }
    let conditions = |flags: &str| joined(&bench.decide(flags)["recommendation"]["conditions"]);
    assert!(conditions("--ingress forbidden --processes 20").contains("at most 5 processes a stack hold a socket"));
    assert!(conditions("--runs-on serverless --cold-start 3s").contains("provisioned concurrency"));
    assert!(conditions("--runs-on serverless --cold-start 3s --ingress forbidden").contains("long-lived processes"));
}

#[test]
fn every_criterion_has_points_and_reasons_for_both() {
    let decision = Bench::new().decide("");
    let rows = decision["matrix"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().filter_map(|row| row["criterion"].as_str()).collect();
    let wanted =
        ["public ingress", "firewall", "horizontal scaling", "distribution", "cold start", "simplicity", "latency"];
    assert!(wanted.iter().all(|name| names.contains(name)), "{names:?}");
    for row in rows {
        for mode in ["http", "socket"] {
            assert!(
                row[mode]["points"].as_u64().unwrap() <= 3 && !row[mode]["why"].as_str().unwrap().is_empty(),
                "{row}"
            );
        }
    }
}

/// What is said to change the answer does so, and what is not said does not.
#[test]
fn what_would_change_it_does() {
    let bench = Bench::new();
    for start in [
        "",
        "--ingress forbidden",
        "--runs-on laptop --ingress possible --processes 1 --latency background --front none",
    ] {
        let decision = bench.decide(start);
        let (mode, changes) = (&decision["recommendation"]["mode"], decision["recommendation"]["would_change"].clone());
        let changes = changes.as_array().unwrap();
        assert!(!changes.is_empty(), "{start}");
        for change in changes {
            let answer = change["answer"].as_str().unwrap();
            let (name, _) = answer.split_once(' ').unwrap();
            // A flag may stand once only.
            let kept: Vec<&str> = start.split(" --").map(|f| f.trim_start_matches("--")).collect();
            let kept: Vec<String> = kept
                .iter()
                .filter(|f| !f.is_empty() && !format!("--{f} ").starts_with(&format!("{name} ")))
                .map(|f| format!("--{f}"))
                .collect();
            let other = bench.decide(&format!("{} {answer}", kept.join(" ")));
            assert_eq!(other["recommendation"]["mode"], change["mode"], "{start} {answer}");
            assert_ne!(&other["recommendation"]["mode"], mode, "{start} {answer}");
        }
    }
    let changes = bench.decide("")["recommendation"]["would_change"].to_string();
    assert!(changes.contains("--ingress forbidden") && !changes.contains("--framework"), "{changes}");
}

#[test]
fn without_a_terminal_nothing_is_asked_and_what_is_missing_is_named() {
    let bench = Bench::new();
    let answer = bench.bgctl(&["decide", "--runs-on", "serverless", "--ingress", "open"]);
    assert_eq!(answer.status.code(), Some(64));
    let words = stderr(&answer);
    for flag in ["--outbound", "--distribution", "--processes", "--cold-start", "--front"] {
        assert!(words.contains(flag), "{words}");
    }
    assert!(!words.contains("--runs-on,") && !words.contains("--ingress,"), "{words}");
    // Where processes live on, a cold start is not asked for.
    let answer = bench.bgctl(&["decide", "--runs-on", "kubernetes"]);
    assert!(!stderr(&answer).contains("--cold-start"), "{}", stderr(&answer));
}

#[test]
fn mistakes_of_the_file_are_shown_at_their_place() {
    let bench = Bench::new();
    let wrong =
        PLAIN.replace("kubernetes", "kubernets").replace("processes: 3", "processes: 0").replace("front:", "frond:");
    std::fs::write(bench.folder.path().join("context.yaml"), wrong).unwrap();
    let answer = bench.bgctl(&["decide", "--context", "context.yaml"]);
    assert_eq!(answer.status.code(), Some(65));
    let words = stderr(&answer);
    for word in
        ["context.yaml:3:10", "did you mean `kubernetes`?", "takes 1 to 10000", "did you mean `front`?", "3 errors"]
    {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert!(answer.stdout.is_empty());
    let answer = bench.bgctl(&["decide", "--context", "nowhere.yaml"]);
    assert_eq!(answer.status.code(), Some(65), "{}", stderr(&answer));
    let answer = bench.bgctl(&["decide", "--context", "context.yaml", "--processes", "0"]);
    assert_eq!(answer.status.code(), Some(64), "{}", stderr(&answer));
}

#[test]
fn the_first_runbook_passes_check_and_is_written_over_nothing() {
    let bench = Bench::new();
    for (n, (flags, router)) in [
        ("--front alb", "alb:"),
        ("--front nginx", "nginx:"),
        ("--front haproxy --framework bolt-javascript", "haproxy:"),
        ("--front envoy --processes 8 --autoscaling true", "envoy:"),
        ("--runs-on containers --front haproxy --distribution several-workspaces", "haproxy:"),
        ("--runs-on virtual-machines --front nginx --latency background", "nginx:"),
        ("--runs-on serverless --cold-start 3s --front other", "program:"),
        ("--runs-on serverless --cold-start 300ms --front none --framework bolt-javascript", "program:"),
        ("--runs-on containers --front alb --distribution marketplace", "alb:"),
        ("--outbound forbidden --front envoy", "envoy:"),
        ("--distribution-later marketplace --front alb", "alb:"),
        ("--runs-on laptop --ingress possible --processes 1 --front none", "socket_mode:"),
        ("--ingress forbidden --processes 20 --framework bolt-javascript", "socket_mode:"),
        ("--ingress forbidden --runs-on virtual-machines --processes 2", "socket_mode:"),
        ("--ingress forbidden --runs-on serverless --cold-start 1s", "socket_mode:"),
        ("--runs-on containers --ingress forbidden --framework other", "socket_mode:"),
        ("--front other --processes 1", "slack_manifest:"),
        ("--runs-on containers --front none --processes 6", "slack_manifest:"),
        ("--front none --service bot_x-2.v", "slack_manifest:"),
        ("--ingress forbidden", "socket_mode:"),
    ]
    .into_iter()
    .enumerate()
    {
        let decision = bench.decide(flags);
        let Some(text) = decision["design"]["runbook"].as_str() else {
            // A build without that router says so, and hands out none.
            assert!(
                decision["design"]["no_runbook"].as_str().unwrap().contains(router.trim_end_matches(':')),
                "{flags}"
            );
            continue;
        };
        assert!(text.contains(router), "{flags}: {text}");
        let name = format!("first-{n}.yaml");
        let mut words = vec!["decide", "--context", "context.yaml", "--runbook", &name];
        words.extend(flags.split_whitespace());
        let answer = bench.bgctl(&words);
        assert!(answer.status.success(), "{}", stderr(&answer));
        assert!(stderr(&answer).contains(&format!("next: bgctl check {name}")), "{}", stderr(&answer));
        assert_eq!(std::fs::read_to_string(bench.folder.path().join(&name)).unwrap(), text);
        let checked = bench.bgctl(&["check", &name]);
        assert!(checked.status.success(), "{flags}: {}{}", String::from_utf8_lossy(&checked.stdout), stderr(&checked));
        let again = bench.bgctl(&words);
        assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
        assert!(stderr(&again).contains("nothing is overwritten"), "{}", stderr(&again));
    }
}

#[test]
fn the_document_holds_every_part() {
    let bench = Bench::new();
    for (flags, words) in [
        ("", ["sequenceDiagram", "signing secret", "processBeforeResponse"]),
        (
            "--ingress forbidden --framework bolt-javascript",
            ["stateDiagram-v2", "connections:write", "SocketModeReceiver"],
        ),
    ] {
        let mut line = vec!["decide", "--context", "context.yaml"];
        line.extend(flags.split_whitespace());
        let answer = bench.bgctl(&line);
        let text = String::from_utf8(answer.stdout).unwrap();
        for part in [
            "## What would change it",
            "## Matrix",
            "## Lifecycle",
            "```mermaid",
            "## Transport",
            "## Here",
            "## Reliability",
            "## Migration path",
            "## Local development",
            "## Tokens",
            "## Deploy and drain",
            "## First runbook",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(!text.contains('@') || !text.contains("@checks@"), "{text}");
    }
}

/// A design is about where the app runs, and two contexts are not told the same.
#[test]
fn the_design_is_that_of_its_context() {
    let bench = Bench::new();
    let section = |flags: &str, title: &str| {
        let decision = bench.decide(flags);
        let sections = decision["design"]["sections"].as_array().unwrap().clone();
        let found = sections.iter().find(|section| section["title"] == title);
        found.unwrap_or_else(|| panic!("{flags}: {title}"))["text"].as_str().unwrap().to_string()
    };
    let functions = "--runs-on serverless --cold-start 3s --front other";
    let contexts = [
        ("", "terminationGracePeriodSeconds", "two Deployments"),
        (functions, "nothing outlives the answer", "weights"),
        ("--runs-on containers", "stopTimeout", "twice the capacity"),
        ("--ingress forbidden", "POST /bgctl/quiesce", "StatefulSets"),
        ("--ingress forbidden --runs-on virtual-machines", "half open", "3 processes of each stack"),
        (
            "--runs-on laptop --ingress possible --processes 1 --latency background --front none",
            "same machine",
            "exercise",
        ),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (flags, reliable, here) in contexts {
        let texts = ["Reliability", "Here", "Migration path"].map(|title| section(flags, title));
        assert!(texts[0].contains(reliable), "{flags}: {}", texts[0]);
        assert!(texts[1].to_lowercase().contains(&here.to_lowercase()), "{flags}: {}", texts[1]);
        assert!(seen.insert(texts[0].clone() + &texts[1]), "{flags}: as another context is told");
    }
    assert!(section(functions, "Transport").contains("aws_lambda"));
    assert!(
        section("--ingress forbidden --distribution-later marketplace", "Migration path")
            .contains("no Socket Mode app there")
    );
}

/// Points that one weight would turn are no decision, and said to be none.
#[test]
fn a_near_tie_is_said_as_such() {
    let bench = Bench::new();
    let (mut ties, mut clear) = (0, 0);
    for flags in [
        "--ingress possible --processes 2 --front other",
        "--ingress possible --processes 1 --front none",
        "--processes 2 --latency background --front other",
        "--processes 2 --front none",
        "",
        "--distribution marketplace",
        "--ingress forbidden",
    ] {
        let found = bench.decide(flags)["recommendation"].clone();
        let points = |mode: &str| found[mode].as_u64().unwrap();
        let near = points("http").abs_diff(points("socket")) * 20 <= points("of");
        let free = !found["reasons"].to_string().contains("ruled out");
        assert_eq!(found["near_tie"], near && free, "{flags}: {found:#}");
        let mut words = vec!["decide", "--context", "context.yaml"];
        words.extend(flags.split_whitespace());
        let text = String::from_utf8(bench.bgctl(&words).stdout).unwrap();
        assert_eq!(text.contains("This is a near tie: both will do"), near && free, "{flags}");
        if near && free { ties += 1 } else { clear += 1 }
    }
    assert!(ties > 0 && clear > 0, "{ties} {clear}");
}

/// The transports are programs: the HTTP one answers Slack, and either can be made.
#[tokio::test]
async fn transports_carry_real_bolt_apps() {
    let python = "import os; from bgctl_contract import Contract; from transport import build, transport\n\
        from slack_bolt.authorization import AuthorizeResult\n\
        def register(app): app.command('/x')(lambda ack: ack('done'))\n\
        contract = Contract('green', 'v2')\n\
        app = build(register, contract, authorize=lambda **_: AuthorizeResult(enterprise_id=None, team_id='T1', bot_token='xoxb-x'))\n\
        assert hasattr(transport(), 'serve')\n\
        if os.environ['SLACK_TRANSPORT'] == 'http': transport().serve(app, contract)";
    let javascript = "const { build } = require('./transport.js');\n\
        const { Contract } = require(process.env.CONTRACT);\n\
        const authorize = async () => ({ botToken: 'xoxb-x', botId: 'B', botUserId: 'U' });\n\
        const register = (app) => app.command('/x', async ({ ack }) => ack('done'));\n\
        const app = build(register, new Contract('green', 'v2'), { authorize, token: undefined });\n\
        if (process.env.SLACK_TRANSPORT === 'http') app.start({ port: Number(process.env.PORT), host: '127.0.0.1' });";
    for (bolt, flag, program) in [(Bolt::Python, "-c", python), (Bolt::JavaScript, "-e", javascript)] {
        let Some(interpreter) = interpreter(bolt) else { continue };
        let command = |transport: &str, port: u16| {
            let mut command = Command::new(&interpreter);
            command.args([flag, program]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/decide"));
            environment(&mut command, bolt);
            // The contract's files lie beside the bot.
            let bots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bots");
            command.env("PYTHONPATH", bots.join("bolt_py")).env("CONTRACT", bots.join("bolt_js/bgctl_contract.js"));
            command.env("SLACK_TRANSPORT", transport).env("PORT", port.to_string());
            command.env("SLACK_SIGNING_SECRET", SECRET).env("SLACK_APP_TOKEN", "xapp-1-x");
            command
        };
        let made = command("socket", 0).output().unwrap();
        assert!(made.status.success(), "{bolt:?}: {}", stderr(&made));
        let port = common::free_port();
        let folder = tempfile::tempdir().unwrap();
        let _running = Started::new(command("http", port), port, &folder.path().join("log"));
        let from = request::From {
            team: "T1".into(),
            channel: "C1".into(),
            app: "A1".into(),
            enterprise: None,
            org_wide: false,
        };
        let clock: Rc<dyn Clock> = Rc::new(SystemClock);
        let web = LiveWeb::new(clock.clone());
        let url = format!("http://127.0.0.1:{port}/slack/events");
        for (secret, status) in [(SECRET, 200), ("another secret", 401)] {
            let body = from.url_verification("nonce-of-this-test");
            let within = Duration::from_secs(5);
            let request = request::signed(&url, &body, &Secret::new(secret), clock.now().as_second(), within);
            let answer = web.exchange(request).await.unwrap();
            assert_eq!(
                (answer.status, answer.text().contains("nonce-of-this-test")),
                (status, status == 200),
                "{bolt:?}"
            );
        }
        // What decide's own runbooks ask of a bot is there.
        for path in ["/version", "/bgctl/handlers", "/bgctl/inflight"] {
            let url = format!("http://127.0.0.1:{port}{path}");
            let answer = web.exchange(bgctl::world::Request::get(url, Duration::from_secs(5))).await.unwrap();
            assert_eq!(answer.status, 200, "{bolt:?} {path}");
        }
    }
}

/// On functions the same handlers answer what API Gateway hands in.
#[test]
fn the_transports_of_functions_answer_an_event_of_api_gateway() {
    let python = "import json, sys; from bgctl_contract import Contract; from transport_lambda import build, handler\n\
        from slack_bolt.authorization import AuthorizeResult\n\
        def register(app): app.command('/x')(lambda ack: ack('done'))\n\
        authorize = lambda **_: AuthorizeResult(enterprise_id=None, team_id='T1', bot_token='xoxb-x')\n\
        contract = Contract('green', 'v2')\n\
        call = handler(build(register, contract, authorize=authorize), contract)\n\
        class Context: function_name, invoked_function_arn = 'bot', 'arn:aws:lambda:us-east-1:1:function:bot'\n\
        print(json.dumps(call(json.load(sys.stdin), Context())))";
    let javascript = "const { build, handler } = require('./transport_lambda.js');\n\
        const { Contract } = require(process.env.CONTRACT);\n\
        const authorize = async () => ({ botToken: 'xoxb-x', botId: 'B', botUserId: 'U' });\n\
        const register = (app) => app.command('/x', async ({ ack }) => ack('done'));\n\
        const contract = new Contract('green', 'v2');\n\
        const { receiver } = build(register, contract, { authorize, token: undefined });\n\
        const event = JSON.parse(require('fs').readFileSync(0));\n\
        handler(receiver, contract)(event, {}).then((answer) => console.log(JSON.stringify(answer)));";
    let from =
        request::From { team: "T1".into(), channel: "C1".into(), app: "A1".into(), enterprise: None, org_wide: false };
    for (bolt, flag, program) in [(Bolt::Python, "-c", python), (Bolt::JavaScript, "-e", javascript)] {
        let Some(interpreter) = interpreter(bolt) else { continue };
        for (secret, status) in [(SECRET, 200), ("another secret", 401)] {
            let body = from.url_verification("nonce-of-this-test");
            let now = SystemClock.now().as_second();
            let signed = request::signed("http://x", &body, &Secret::new(secret), now, Duration::from_secs(5));
            let headers: serde_json::Map<String, Value> =
                signed.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            let event = serde_json::json!({
                "version": "2.0", "rawPath": "/slack/events", "path": "/slack/events", "httpMethod": "POST",
                "headers": headers, "body": String::from_utf8(signed.body).unwrap(), "isBase64Encoded": false,
                "requestContext": { "http": { "method": "POST", "path": "/slack/events" } },
            });
            let mut command = Command::new(&interpreter);
            command.args([flag, program]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/decide"));
            environment(&mut command, bolt);
            let bots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bots");
            command.env("PYTHONPATH", bots.join("bolt_py")).env("CONTRACT", bots.join("bolt_js/bgctl_contract.js"));
            command
                .env("SLACK_SIGNING_SECRET", SECRET)
                .env("AWS_REGION", "us-east-1")
                .env("AWS_DEFAULT_REGION", "us-east-1");
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(event.to_string().as_bytes()).unwrap();
            let answer = child.wait_with_output().unwrap();
            let last = String::from_utf8_lossy(&answer.stdout).lines().last().unwrap_or_default().to_string();
            let found: Value = serde_json::from_str(&last).unwrap_or_default();
            assert_eq!(found["statusCode"], status, "{bolt:?}: {last}{}", stderr(&answer));
            assert_eq!(found["body"].as_str().unwrap_or_default().contains("nonce-of-this-test"), status == 200);
        }
    }
}

/// At a terminal the questions are asked, in the words of the flags, and only those that are open.
#[test]
fn at_a_terminal_it_asks_for_what_is_open() {
    let Some(script) = common::peer("script") else { return };
    let bench = Bench::new();
    let open =
        PLAIN.replace("latency: interactive\n", "").replace("processes: 3\n", "").replace("autoscaling: false\n", "");
    std::fs::write(bench.folder.path().join("context.yaml"), open).unwrap();
    let line = format!("{} decide --context context.yaml", env!("CARGO_BIN_EXE_bgctl"));
    let mut command = Command::new(script);
    command.args(["-qec", &line, "/dev/null"]).current_dir(bench.folder.path()).env("TERM", "xterm");
    for name in ["CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILD_NUMBER", "RUN_ID", "BGCTL_NO_INPUT"] {
        command.env_remove(name);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut shown = String::new();
    let mut until = |words: &str| {
        let mut piece = [0; 4096];
        while !shown.contains(words) {
            let n = out.read(&mut piece).unwrap();
            assert!(n > 0, "`{words}` never came: {shown}");
            shown += &String::from_utf8_lossy(&piece[..n]);
        }
        std::mem::take(&mut shown)
    };
    until("How many processes");
    keys.write_all(b"20\r").unwrap();
    until("Does their number follow the load?");
    keys.write_all(b"n").unwrap();
    let choices = until("interactive");
    assert!(choices.contains("Who waits for its answers?") && choices.contains("background"), "{choices}");
    keys.write_all(b"\x1b[B\r").unwrap();
    let document = until("## First runbook");
    assert!(document.contains("20 processes a stack"), "{document}");
    assert!(document.contains("Recommended"), "{document}");
    drop(keys);
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
}
