//! The route `slack_manifest` against a server that keeps Slack's rules: what every router must do, as far as a place without
//! weights can; tokens that run out; rate limits; lost answers; and a whole cutover and way back with the program itself.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, NativeWayBack, RouterError, TrafficRouter, Trouble, slack_manifest};
use common::at;
use common::slack_app::{APP, SlackApp, manifest, now};
use serde_json::{Value, json};

/// An app, a file of tokens, and a route to it.
struct Rig {
    slack: SlackApp,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let rig = Rig { slack: SlackApp::start(), folder: tempfile::tempdir().unwrap() };
        rig.write(&rig.slack.tokens());
        rig
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("tokens.json")
    }

    fn write(&self, tokens: &Value) {
        std::fs::write(self.file(), tokens.to_string()).unwrap();
        self.mode(0o600);
    }

    fn mode(&self, mode: u32) {
        std::fs::set_permissions(self.file(), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn written(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.file()).unwrap()).unwrap()
    }

    fn router(&self) -> Rc<dyn TrafficRouter> {
        (slack_manifest::KIND.open)(&self.slack.settings(&self.file()), &Access::default()).expect("good settings")
    }

    fn blue(&self) -> Value {
        manifest(&format!("{}/blue", self.slack.url))
    }

    fn green(&self) -> Value {
        manifest(&format!("{}/green", self.slack.url))
    }

    fn live(&self) -> Value {
        self.slack.with(|s| s.manifest.clone())
    }

    /// Runs the way back as a person would.
    fn walk_back(&self, way: &NativeWayBack) -> Output {
        for (name, content) in &way.files {
            std::fs::write(self.folder.path().join(name), content).unwrap();
        }
        Command::new("sh").args(["-c", &way.command]).current_dir(self.folder.path()).output().unwrap()
    }
}

fn unchanged(error: &RouterError) -> bool {
    !error.moved && error.calls.is_empty()
}

#[tokio::test]
async fn all_urls_move_at_once_and_nothing_else_does() {
    let rig = Rig::new();
    let router = rig.router();
    let armed = router.read().await.unwrap();
    assert_eq!(armed.split, Split::ALL_BLUE);
    assert!(router.line().contains(APP));
    let remarks = armed.remarks.join("\n");
    assert!(remarks.contains("429") && remarks.contains("/features/slash_commands/1/url"), "{remarks}");
    let way = router.native_way_back("web", &armed);
    assert!(way.files.iter().all(|(name, _)| name.starts_with("web")), "{way:?}");

    // Forward: one call, everybody reads the same, everything else is as it was.
    let calls = router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    assert_eq!(
        calls.iter().map(|c| (c.action.as_str(), c.code.as_str())).collect::<Vec<_>>(),
        [("apps.manifest.update", "ok")]
    );
    assert!(calls[0].request_id.is_some());
    assert_eq!(rig.live(), rig.green());
    assert_eq!(router.read().await.unwrap().split, Split::ALL_GREEN);

    // What is there already is no call; a stale `from` is drift; there are no weights; nobody is sent nowhere.
    assert_eq!(router.set(&at(Split::ALL_GREEN), Split::ALL_GREEN).await.unwrap(), []);
    rig.slack
        .with(|s| s.manifest["settings"]["interactivity"]["request_url"] = format!("{}/blue/x", rig.slack.url).into());
    let mixed = router.read().await.unwrap();
    assert_eq!(mixed.split, Split { blue: 1, green: 3 });
    assert!(mixed.remarks.iter().any(|r| r.contains("both stacks")), "{mixed:?}");
    let error = router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap_err();
    assert_eq!(error.kind, Trouble::Drift { found: mixed.split });
    assert!(unchanged(&error));
    for to in [Split::of_green(100), Split { blue: 0, green: 0 }] {
        let error = router.set(&at(mixed.split), to).await.unwrap_err();
        assert!(error.kind == Trouble::Invalid && unchanged(&error), "{error:?}");
        assert!(router.takes(to).is_err());
    }
    assert!(router.takes(Split::ALL_BLUE).is_ok());

    // From a half-moved app there is a way back too, and without bgctl it leads to exactly what was there.
    router.set(&at(mixed.split), Split::ALL_GREEN).await.unwrap();
    if common::peer("curl").is_some() && common::peer("jq").is_some() {
        let walked = rig.walk_back(&way);
        assert!(walked.status.success(), "{}{}", way.command, String::from_utf8_lossy(&walked.stderr));
        assert_eq!(rig.live(), rig.blue());
        assert_eq!(router.read().await.unwrap().exact["manifest"], armed.exact["manifest"]);
        rig.slack.with(|s| s.token = "xoxe.xoxp-another".into());
        assert!(!rig.walk_back(&way).status.success(), "a refused way back may not look like one that worked");
    }
}

#[tokio::test]
async fn health_and_identity_are_asked_before_anything_moves() {
    let rig = Rig::new();
    let router = rig.router();
    assert_eq!(router.health(Color::Green).await.unwrap().healthy, 1);
    rig.slack.with(|s| s.unwell.push("green".into()));
    let health = router.health(Color::Green).await.unwrap();
    assert!(health.healthy == 0 && health.ailing[0].contains("503"), "{health:?}");
    assert_eq!(router.controller().await.unwrap(), None);
    let identity = router.identity().await.unwrap();
    assert!(identity.left.is_some_and(|left| left > Duration::from_secs(11 * 3600)), "{identity:?}");
    assert_eq!(rig.slack.calls("apps.manifest.validate"), 2);

    // What Slack would not take is known before the first user moves.
    let mut settings = rig.slack.settings(&rig.file());
    settings["green"] = json!(format!("{}/reject", rig.slack.url));
    let strict = (slack_manifest::KIND.open)(&settings, &Access::default()).unwrap();
    let error = strict.identity().await.unwrap_err();
    assert_eq!(error.kind, Trouble::Invalid);
    assert!(error.what.contains("/settings/event_subscriptions/request_url: Invalid URL"), "{error}");
    let error = strict.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap_err();
    assert!(error.kind == Trouble::Invalid && unchanged(&error), "{error:?}");
    assert_eq!(rig.live(), rig.blue());
}

#[tokio::test]
async fn a_pair_that_has_run_out_is_exchanged_once_and_written_back_whole() {
    let rig = Rig::new();
    // Slack says so.
    rig.slack.with(|s| s.expired = true);
    let router = rig.router();
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    assert_eq!(rig.slack.calls("tooling.tokens.rotate"), 1);
    let written = rig.written();
    assert_eq!(written["token"], rig.slack.tokens()["token"]);
    assert_eq!(written["refresh_token"], rig.slack.tokens()["refresh_token"]);
    assert_eq!((written["user_id"].as_str(), written["team_id"].as_str()), (Some("U1"), Some("T1")));
    let mode = std::fs::metadata(rig.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(rig.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().ends_with(".new")), "{names:?}");

    // The file says so, or a run is armed with too little left.
    let mut old = rig.slack.tokens();
    old["exp"] = json!(now() - 1);
    rig.write(&old);
    rig.router().read().await.unwrap();
    assert_eq!(rig.slack.calls("tooling.tokens.rotate"), 2);
    let mut old = rig.slack.tokens();
    old["exp"] = json!(now() + 3600);
    rig.write(&old);
    let identity = rig.router().identity().await.unwrap();
    assert!(identity.left.is_some_and(|left| left > Duration::from_secs(11 * 3600)), "{identity:?}");
    assert_eq!(rig.slack.calls("tooling.tokens.rotate"), 3);
}

/// A refresh token is good for one use: two runs that find the same pair run out may spend it once.
#[tokio::test]
async fn two_runs_with_one_file_spend_one_refresh_token() {
    let rig = Rig::new();
    let (one, other) = (rig.router(), rig.router());
    // Both have read the file before it runs out.
    one.read().await.unwrap();
    other.read().await.unwrap();
    rig.slack.with(|s| s.expired = true);
    let (one, other) = tokio::join!(one.read(), other.read());
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(rig.slack.calls("tooling.tokens.rotate"), 1);
}

/// Whoever asks may lose patience while the pair is being exchanged, as `bgctl status` does after 5 s. The old pair is void by
/// then, so the new one has to be on the disk.
#[tokio::test]
async fn an_exchange_is_not_cut_short_by_whoever_asked() {
    let rig = Rig::new();
    rig.slack.with(|s| (s.expired = true, s.slow_exchange = Duration::from_millis(400)).1);
    let router = rig.router();
    let impatient = SystemClock;
    tokio::select! { biased;
        () = impatient.sleep(Duration::from_millis(100)) => {}
        _ = router.read() => {}
    }
    drop(router);
    assert_eq!(rig.slack.calls("tooling.tokens.rotate"), 1);
    assert_eq!(rig.written()["refresh_token"], rig.slack.tokens()["refresh_token"]);
    assert!(rig.router().read().await.is_ok());
}

#[tokio::test]
async fn tokens_that_cannot_be_used_are_refused_in_words_without_them() {
    let rig = Rig::new();
    rig.mode(0o640);
    let error = rig.router().read().await.unwrap_err();
    assert_eq!(error.kind, Trouble::NoCredentials);
    assert!(error.what.contains("open to others") && error.cure.unwrap().starts_with("chmod 600"));
    rig.mode(0o600);

    // No room for a successor: the refresh token is not spent.
    rig.slack.with(|s| s.expired = true);
    let sealed = tempfile::tempdir().unwrap();
    let file = sealed.path().join("none").join("tokens.json");
    let settings = rig.slack.settings(&file);
    let router = (slack_manifest::KIND.open)(&settings, &Access::default()).unwrap();
    assert!(router.read().await.unwrap_err().what.contains("cannot be read"));
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::copy(rig.file(), &file).unwrap();
    // A folder stands where the new file would be made, which even root cannot write into as a file.
    std::fs::create_dir(file.with_file_name(".tokens.json.new")).unwrap();
    let error = router.read().await.unwrap_err();
    assert!(
        error.kind == Trouble::NoCredentials && error.what.contains("no new configuration token could be kept"),
        "{error}"
    );
    assert_eq!(rig.slack.calls("tooling.tokens.rotate"), 0);

    // A spent one.
    let mut spent = rig.slack.tokens();
    spent["refresh_token"] = json!("xoxe-1-spent");
    rig.write(&spent);
    let error = rig.router().read().await.unwrap_err();
    assert!(error.kind == Trouble::NoCredentials && error.what.contains("invalid_refresh_token"), "{error}");
    for shown in [format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains("xoxe-1-spent") && !shown.contains("xoxe.xoxp"), "{shown}");
    }
    assert_eq!(rig.written()["refresh_token"], "xoxe-1-spent", "a file is not touched by a failure");
    rig.write(&json!({ "token": "xoxb-not-one" }));
    assert!(rig.router().read().await.unwrap_err().what.contains("not a file of configuration tokens"));
}

#[tokio::test]
async fn a_rate_limit_on_the_way_back_is_waited_out() {
    let rig = Rig::new();
    let router = rig.router();
    rig.slack.with(|s| s.window = Duration::from_millis(900));
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    let error = router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap_err();
    assert!(error.kind == Trouble::Throttled && error.passing() && !error.moved, "{error:?}");
    assert_eq!(error.calls[0].code, "ratelimited");
    assert_eq!(rig.live(), rig.green());
    // The next attempt of the step waits as long as Slack said.
    router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap();
    assert_eq!(rig.live(), rig.blue());
    assert_eq!(rig.slack.calls("apps.manifest.update"), 3);
}

#[tokio::test]
async fn r40_a_pause_longer_than_we_would_wait_stays_one() {
    let rig = Rig::new();
    let router = rig.router();
    rig.slack.with(|s| s.window = Duration::from_secs(600));
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    let asked = |error: RouterError| {
        assert!(error.kind == Trouble::Throttled && error.passing() && !error.moved, "{error:?}");
        error.after.expect("how long Slack asks to wait")
    };
    // What Slack asks for is not how long a lost answer is reckoned with; the page says that, too.
    let page = include_str!("../src/routers/slack_manifest.md").replace('\n', " ");
    assert!(page.contains(&format!("for {} s after the loss", router.lands_within().as_secs())));
    let first = asked(router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap_err());
    assert!(first > Duration::from_secs(590), "{first:?}");
    let updates = rig.slack.calls("apps.manifest.update");
    for _ in 0..3 {
        let again = asked(router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap_err());
        assert!(again <= first && again > Duration::from_secs(590), "{again:?}");
    }
    assert_eq!(rig.slack.calls("apps.manifest.update"), updates, "Slack is not asked again before it may be");
}

#[tokio::test]
async fn a_lost_answer_is_never_repeated_and_is_found_by_reading() {
    let rig = Rig::new();
    let router = rig.router();
    rig.slack.with(|s| s.lose_reply = true);
    let error = router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap_err();
    assert!(error.moved && error.kind == Trouble::Unreachable, "{error:?}");
    assert_eq!(rig.slack.calls("apps.manifest.update"), 1);
    assert_eq!(router.read().await.unwrap().split, Split::ALL_GREEN);
    rig.slack.with(|s| s.breaks = true);
    let error = router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap_err();
    assert!(error.moved, "`internal_error` may have been applied: {error:?}");
    assert_eq!(router.read().await.unwrap().split, Split::ALL_GREEN);
    // Somebody, or Slack itself, changes something else meanwhile.
    rig.slack.with(|s| s.meddles = true);
    let error = router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap_err();
    assert!(error.moved && error.what.contains("/display_information/name"), "{error:?}");
}

#[tokio::test]
async fn an_app_in_socket_mode_or_without_our_urls_is_refused() {
    let rig = Rig::new();
    rig.slack.with(|s| s.manifest["settings"]["socket_mode_enabled"] = true.into());
    let error = rig.router().read().await.unwrap_err();
    assert!(error.kind == Trouble::Invalid && error.what.contains("Socket Mode"), "{error}");
    rig.slack.with(|s| s.manifest = manifest("https://elsewhere.example.com"));
    let error = rig.router().read().await.unwrap_err();
    assert!(error.kind == Trouble::Invalid && error.what.contains("no request URL below"), "{error}");
    let mut settings = rig.slack.settings(&rig.file());
    settings["app"] = json!("A0000000000");
    let router = (slack_manifest::KIND.open)(&settings, &Access::default()).unwrap();
    assert_eq!(router.read().await.unwrap_err().kind, Trouble::NotFound);
}

/// The program at a desk of its own.
fn bgctl(folder: &Path, words: &[&str]) -> (i32, String) {
    let answer = Command::new(env!("CARGO_BIN_EXE_bgctl"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .envs([("HOME", folder.as_os_str()), ("BGCTL_STATE_DIR", folder.join("state").as_os_str())])
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr);
    (answer.status.code().unwrap_or(-1), text)
}

fn runbook(rig: &Rig, first: &str) -> String {
    let url = &rig.slack.url;
    let tokens = rig.file().display().to_string();
    format!(
        r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
stacks:
  blue:  {{ version: blue, url: "{url}/blue" }}
  green: {{ version: green, url: "{url}/green" }}
routes:
  web:
    slack_manifest:
      app: {APP}
      blue: {url}/blue
      green: {url}/green
      tokens: {tokens}
      api: {url}/api/
schema:
  change: none
steps:
  - id: smoke-green
    smoke: {{ stack: green, checks: [version] }}
  - id: shift
    shift: {{ route: web, green: {first} }}
rollback:
  owner: owner@example.com
  steps:
    - id: back-to-blue
      shift: {{ route: web, blue: 100% }}
"#
    )
}

#[test]
fn a_whole_cutover_and_the_way_back_through_the_rate_limit() {
    let rig = Rig::new();
    let folder = rig.folder.path();
    std::fs::write(folder.join("weights.yaml"), runbook(&rig, "10%")).unwrap();
    let (code, shown) = bgctl(folder, &["check", "weights.yaml"]);
    assert!(code == 65 && shown.contains("BG0126") && shown.contains("there are no weights"), "{shown}");
    assert!(shown.contains("weights.yaml:22:33"), "{shown}");

    std::fs::write(folder.join("runbook.yaml"), runbook(&rig, "100%")).unwrap();
    let (code, shown) = bgctl(folder, &["keys", "create"]);
    assert_eq!(code, 0, "{shown}");
    let (code, shown) = bgctl(folder, &["plan", "runbook.yaml"]);
    assert!(code == 0 && shown.contains("(429)"), "the plan announces it: {shown}");
    assert_eq!(rig.slack.calls("apps.manifest.update"), 0);

    // A rehearsal never reaches Slack.
    let asked = rig.slack.with(|s| s.log.len());
    let (code, shown) = bgctl(folder, &["cutover", "runbook.yaml", "--lab", "--confirm", "lab"]);
    assert!(code == 65 && shown.contains("BG0210") && shown.contains("no Slack app whose request URLs"), "{shown}");
    assert_eq!(rig.slack.with(|s| s.log.len()), asked);

    // Green is not well: nobody moves.
    rig.slack.with(|s| s.unwell.push("green".into()));
    let (code, shown) = bgctl(folder, &["cutover", "runbook.yaml", "--confirm", "staging"]);
    assert!(code == 11 && shown.contains("GREEN cannot take users"), "{shown}");
    assert_eq!(rig.live(), rig.blue());

    rig.slack.with(|s| (s.unwell.clear(), s.window = Duration::from_millis(2500)).1);
    let (code, shown) = bgctl(folder, &["cutover", "runbook.yaml", "--confirm", "staging"]);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(rig.live(), rig.green());
    let (code, shown) = bgctl(folder, &["rollback", "--yes"]);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(rig.live(), rig.blue());
    assert!(
        rig.slack
            .with(|s| s.log.iter().any(|(method, code)| method == "apps.manifest.update" && code == "ratelimited"))
    );

    // No token in anything that was kept.
    let mut files = vec![folder.join("state")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("xoxe"), "{}", path.display());
    }
}

/// The answer to the update is lost: it is not sent again, the manifest is read instead, and the run goes on.
#[test]
fn a_cutover_goes_on_after_a_lost_answer() {
    let rig = Rig::new();
    let folder = rig.folder.path();
    std::fs::write(folder.join("runbook.yaml"), runbook(&rig, "100%")).unwrap();
    assert_eq!(bgctl(folder, &["keys", "create"]).0, 0);
    rig.slack.with(|s| s.lose_reply = true);
    let (code, shown) = bgctl(folder, &["cutover", "runbook.yaml", "--confirm", "staging"]);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(rig.live(), rig.green());
    assert_eq!(rig.slack.calls("apps.manifest.update"), 1);
    let (code, shown) = bgctl(folder, &["audit", "verify"]);
    assert_eq!(code, 0, "{shown}");
}
