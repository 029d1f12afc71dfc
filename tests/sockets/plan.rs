//! What `check` and `plan` say of an app in Socket Mode before a cutover would refuse it.

use std::process::Command;

use bgctl::lab::Gateway;
use serde_json::{Value, json};

use crate::stub::{Book, Stub};

/// Two and two instances, the gateway that knows their token, and a folder to be in.
struct Desk {
    gateway: Gateway,
    blue: Vec<Stub>,
    green: Vec<Stub>,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Desk {
        let (book, mut fleets) = (Book::default(), [Vec::new(), Vec::new()]);
        for (side, fleet) in fleets.iter_mut().enumerate() {
            for n in 0..2 {
                fleet.push(Stub::start(&format!("{side}-{n}"), side == 0, &book).await);
            }
        }
        let [blue, green] = fleets;
        blue.iter().for_each(|stub| stub.set("num_connections", json!(2)));
        Desk { gateway: Gateway::start(8).unwrap(), blue, green, folder: tempfile::tempdir().unwrap() }
    }

    /// Code and words of a command on a runbook that goes to this share first.
    async fn run(&self, verb: &str, share: &str, token: &str) -> (i32, String) {
        let urls = |fleet: &[Stub]| json!(fleet.iter().map(|stub| &stub.url).collect::<Vec<_>>()).to_string();
        let runbook = format!(
            r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
stacks:
  blue:  {{ version: v1, url: "{}" }}
  green: {{ version: v2, url: "{}" }}
routes:
  sockets:
    socket_mode: {{ blue: {}, green: {}, app_token: "${{env:SLACK_APP_TOKEN}}", api: "{}", floor: 2 }}
schema:
  change: none
steps:
  - id: some
    shift: {{ route: sockets, green: {share} }}
  - id: all
    shift: {{ route: sockets, green: 100% }}
rollback:
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
        std::fs::write(self.folder.path().join("runbook.yaml"), runbook).unwrap();
        let path = |name: &str| self.folder.path().join(name);
        std::fs::create_dir_all(path("home")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bgctl"));
        command.env_clear().env("HOME", path("home")).env("BGCTL_STATE_DIR", path("state"));
        command.env("BGCTL_SIGNING_KEY", path("key")).env("CI", "true").env("SLACK_APP_TOKEN", token);
        command.current_dir(self.folder.path());
        let key = path("key").display().to_string();
        let mut keys = Command::new(env!("CARGO_BIN_EXE_bgctl"));
        keys.args(["keys", "create", "--out", &key]).env_clear().env("HOME", path("home"));
        match verb {
            "cutover" => command.args(["cutover", "runbook.yaml", "--confirm", "staging"]),
            verb => command.args([verb, "runbook.yaml"]),
        };
        let output = tokio::task::spawn_blocking(move || {
            // It is there already from the second time on.
            let _ = keys.output();
            command.output().unwrap()
        });
        let output = output.await.unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), said.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_check_refuses_a_share_that_the_fleets_cannot_have() {
    let desk = Desk::new().await;
    let (code, said) = desk.run("check", "25%", "xapp-1-lab").await;
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("route `sockets` cannot be at") && said.contains("0%, 33.3%, 50%, 66.7%, 100%"), "{said}");
    let (code, said) = desk.run("check", "50%", "xapp-1-lab").await;
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_plan_says_what_is_wrong_with_the_app_token_and_where_users_are() {
    let desk = Desk::new().await;
    let (code, said) = desk.run("plan", "50%", "xapp-1-lab").await;
    assert!(code == 0 && !said.contains("refused now"), "{said}");
    for (token, words) in [
        ("xapp-1-lab-wide", "the app token can do more than open sockets: authorizations:read"),
        ("xapp-1-lab-narrow", "the app token lacks `connections:write`"),
        ("xapp-1-lab-revoked", "Slack does not take the app token: `token_revoked`"),
    ] {
        let (code, said) = desk.run("plan", "50%", token).await;
        assert!(said.contains("a cutover is refused now: ") && said.contains(words), "{code} {said}");
        let (code, said) = desk.run("cutover", "50%", token).await;
        assert!(code != 0 && said.contains(words), "{said}");
        assert!(said.contains("users BLUE 100 GREEN 0, read just now at") && !said.contains("unknown"), "{said}");
    }
}

/// The last socket opened is of a bot whose Slack says no: a person reads that, and nothing is tried again for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_a_cutover_that_slack_refuses_sockets_ends_at_once_where_it_began() {
    let desk = Desk::new().await;
    desk.green[1].set("refused", Value::from("too_many_websockets"));
    let begun = std::time::Instant::now();
    let (code, said) = desk.run("cutover", "50%", "xapp-1-lab").await;
    assert!(code != 0 && said.contains("Slack has refused it a socket: more than 10 are open"), "{code} {said}");
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(10) && !said.contains("not known"), "{took:?} {said}");
    assert!(desk.blue.iter().all(Stub::holds) && !desk.green.iter().any(Stub::holds), "{said}");
}
