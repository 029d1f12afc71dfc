//! A green that a real nginx chooses by a header, at the address of all users: everything that asks a stack sends it, and nobody
//! prints it.

use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::compile::Draft;
use bgctl::diag::Severity;
use bgctl::live::http::LiveWeb;
use bgctl::plan::{Color, Plan, SeenAt};
use bgctl::run::Outcome;
use bgctl::runbook::{Inputs, Source};
use bgctl::secret::{Secret, Secrets};
use bgctl::users::Answers;
use bgctl::versions;
use bgctl::world::{Request, World};
use serde_json::{Value, json};

use crate::common::bots::Started;
use crate::common::scripted::{Notebook, Stage, built, no_answer, plan};
use crate::common::{free_port, peer};

const PASS: &str = "green-please-now";

/// nginx as the load balancer: green for those with the header, blue for everybody else, nothing without a login.
fn balancer() -> Option<(String, Started, tempfile::TempDir)> {
    let (program, dir, port) = (peer("nginx")?, tempfile::tempdir().expect("a folder"), free_port());
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};")).concat();
    let text = format!(
        "{user} worker_processes 1; pid nginx.pid; error_log stderr warn; events {{ worker_connections 64; }}
http {{
  access_log off; {temporary}
  map $http_x_stack $version {{ default v1; {PASS} v2; }}
  map $http_x_login $let {{ default 403; let-me-in 200; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ add_header x-version $version; return 200 '{{\"version\":\"$version\",\"inflight\":0}}'; }}
    location /users {{ add_header x-version $version always; if ($let = 403) {{ return 302 /login; }} return 200; }}
  }}
}}
"
    );
    std::fs::write(dir.path().join("nginx.conf"), text).expect("a configuration");
    let mut command = Command::new(program);
    command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-g", "daemon off;"]);
    let process = Started::new(command, port, &dir.path().join("nginx.log"));
    Some((format!("http://127.0.0.1:{port}"), process, dir))
}

fn world() -> World {
    let mut world = Stage::new(|_, _| no_answer()).world;
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    (world.web, world.clock) = (Rc::new(LiveWeb::new(clock.clone())), clock);
    world.secrets = Secrets::new([("${env:GREEN_PASS}".to_string(), Secret::new(PASS))].into());
    world
}

fn of(url: &str, headers: Value) -> Plan {
    let mut whole = serde_json::to_value(plan()).unwrap();
    whole["blue"]["url"] = json!(url);
    whole["green"]["url"] = json!(url);
    whole["green"]["headers"] = headers;
    serde_json::from_value(whole).unwrap()
}

#[tokio::test]
async fn a_stack_behind_a_header_is_reached_by_every_question_and_the_header_is_in_no_record() {
    let Some((url, _process, _dir)) = balancer() else { return };
    let world = world();
    let told = of(&url, json!({ "x-stack": "${env:GREEN_PASS}" }));
    let bare = of(&url, json!({}));
    let settings = json!({
        "stack": "green", "checks": ["version"],
        "expect": [{ "path": "/", "header": "x-version: v2", "contains": "v2" }],
    });
    for (plan, reached) in [(&told, true), (&bare, false)] {
        let notes = Notebook::default();
        let outcome = built("smoke", settings.clone(), plan).execute(&world, &notes).await;
        assert_eq!(matches!(outcome, Outcome::Done { .. }), reached, "{outcome:?}");
        let warm = json!({ "stack": "green", "path": "/", "requests": 3 });
        let warmed = built("warm", warm, plan).execute(&world, &notes).await;
        assert!(matches!(warmed, Outcome::Done { .. }), "{warmed:?}");
        let at = serde_json::from_value(json!({ "path": "/", "header": "x-version" })).unwrap();
        let version = versions::of(Color::Green, &plan.green, &at, &world).await;
        assert_eq!(version.as_deref(), Ok(if reached { "v2" } else { "v1" }));
        assert!(!format!("{outcome:?}{warmed:?}{}", notes.text()).contains(PASS));
    }
    assert!(told.canonical().contains(r#""headers":{"x-stack":"${env:GREEN_PASS}"}"#));
    assert!(!bare.canonical().contains("headers"), "what is not written is not in a plan");
    let request = Request::to_stack(&told.green, "/x", Duration::from_secs(1), &world.secrets);
    assert_eq!(request.headers, [("x-stack".to_string(), PASS.to_string())]);
}

#[tokio::test]
async fn what_users_send_is_sent_where_responses_are_seen() {
    let Some((url, _process, _dir)) = balancer() else { return };
    let world = world();
    let at = |headers: Value| -> SeenAt {
        serde_json::from_value(json!({
            "url": format!("{url}/users"), "header": "x-version", "samples": 20, "tolerance": 50, "headers": headers,
        }))
        .unwrap()
    };
    let seen = async |headers: Value| Answers::sample(&at(headers), 20, ["v1", "v2"], &world).await;
    let users = seen(json!({ "x-login": "let-me-in" })).await;
    assert_eq!((users.blue, users.green, users.other()), (20, 0, 0));
    // A header that leads to green shows nothing of users: the page says so.
    let green = seen(json!({ "x-login": "let-me-in", "x-stack": "${env:GREEN_PASS}" })).await;
    assert_eq!((green.blue, green.green), (0, 20));
}

#[test]
fn headers_in_a_runbook_are_judged_where_they_stand() {
    let said = |change: fn(&mut Value)| {
        let stack = |version: &str| json!({ "version": version, "url": "http://bot.test" });
        let mut text = json!({
            "bgctl": 1, "service": "bot", "environment": "test", "owners": ["a@example.com"],
            "stacks": { "blue": stack("v1"), "green": stack("v2") },
            "routes": { "web": {
                "nginx": { "include": "/etc/nginx/bgctl/web.conf", "key": "$remote_addr", "blue": "b", "green": "g" },
                "seen_at": { "url": "http://bot.test/", "header": "x-version" },
            } },
            "steps": [
                { "id": "shift", "shift": { "route": "web", "green": "100%" } },
                { "id": "drain", "drain": { "stack": "blue", "within": "1m" } },
            ],
            "rollback": { "owner": "a@example.com", "steps": [{ "id": "back", "shift": { "route": "web", "blue": "100%" } }] },
        });
        text["stacks"]["blue"]["headers"] = json!({ "x-stack": "blue" });
        text["stacks"]["green"]["headers"] = json!({ "x-stack": "green" });
        text["steps"][1]["drain"]["instances"] = json!(["http://blue-1.test"]);
        change(&mut text);
        let source = Source::new("test.yaml", text.to_string());
        let found = Draft::new(&source, &Inputs::default(), None).map(|_| Vec::new()).unwrap_or_else(|found| found);
        found.into_iter().filter(|d| d.severity == Severity::Error).map(|d| d.headline).collect::<Vec<_>>()
    };
    assert_eq!(said(|_| ()), [""; 0], "one address, told apart by headers");
    type Change = fn(&mut Value);
    let table: &[(Change, &str)] = &[
        (|v| v["stacks"]["green"]["headers"] = json!({ "x-stack": "blue" }), "both stacks have the same address"),
        (|v| drop(v["stacks"]["blue"].as_object_mut().unwrap().remove("headers")), "both stacks have the same address"),
        (|v| v["stacks"]["green"]["headers"] = json!({ "x stack": "green" }), "`x stack` is no name of a header"),
        (
            |v| v["stacks"]["green"]["headers"] = json!({ "x-stack": "a\r\nx: b" }),
            "the value of `x-stack` is none of a header",
        ),
        (|v| v["routes"]["web"]["seen_at"]["headers"] = json!({ "": "x" }), "`` is no name of a header"),
        (|v| v["routes"]["web"]["seen_at"]["header"] = json!("x version"), "`x version` is no name of a header"),
        (
            |v| v["stacks"]["version"] = json!({ "path": "/version", "header": "x:version" }),
            "`x:version` is no name of a header",
        ),
        (
            |v| drop(v["steps"][1]["drain"].as_object_mut().unwrap().remove("instances")),
            "`drain` would ask whichever stack answers there",
        ),
        (
            |v| v["stacks"]["green"]["headers"] = json!({ "authorization": "Bearer ghp_0123456789abcdef0123" }),
            "a bearer token, in clear",
        ),
    ];
    for (change, headline) in table {
        assert_eq!(said(*change), [*headline]);
    }
}
