//! A place of the router `slack_manifest`: an app whose configuration is kept by a server with Slack's rules.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use async_trait::async_trait;
use bgctl::plan::Split;
use bgctl::routers::{Kind, NativeWayBack};
use serde_json::{Value, json};

use crate::common::peer;
use crate::common::slack_app::SlackApp;
use crate::router::{Place, suite, walked};

/// The request URLs of a manifest that lead to the stacks.
const URLS: [&str; 4] = [
    "/features/slash_commands/0/url",
    "/settings/event_subscriptions/request_url",
    "/settings/interactivity/request_url",
    "/settings/interactivity/message_menu_options_url",
];

/// An app, and a file with the tokens that may configure it.
struct App {
    slack: SlackApp,
    folder: tempfile::TempDir,
}

impl App {
    fn tokens(&self) -> std::path::PathBuf {
        self.folder.path().join("tokens.json")
    }

    /// Where a URL leads, and what follows.
    fn led<'u>(&self, url: &'u str) -> (&'u str, &'u str) {
        url[self.slack.url.len() + 1..].split_once('/').expect("a stack and a path")
    }
}

#[async_trait(?Send)]
impl Place for App {
    fn settings(&self) -> Value {
        self.slack.settings(&self.tokens())
    }

    /// All or nothing: there are no weights.
    fn shares(&self) -> &'static [u32] {
        &[1000, 0, 1000]
    }

    fn other(&self) -> u32 {
        0
    }

    fn elsewhere(&self) -> Split {
        Split { blue: 1, green: 3 }
    }

    async fn witness(&self) -> (u32, u32) {
        let manifest = self.slack.with(|state| state.manifest.clone());
        let leads = |at: &&str| self.led(manifest.pointer(at).and_then(Value::as_str).expect("a URL")).0 == "green";
        let green = u32::try_from(URLS.iter().filter(|at| leads(at)).count()).expect("four at most");
        match green {
            0 => (100, 0),
            4 => (0, 100),
            some => (4 - some, some),
        }
    }

    fn everything_else(&self) -> Value {
        let mut manifest = self.slack.with(|state| state.manifest.clone());
        for at in URLS {
            let url = manifest.pointer_mut(at).expect("a URL");
            *url = json!(self.led(url.as_str().expect("a text")).1);
        }
        manifest
    }

    /// So many of the URLs lead to blue, and the others to green.
    fn meddle(&self, blue: u32, green: u32) {
        assert_eq!(blue + green, 4);
        self.slack.with(|state| {
            for (n, at) in (0..).zip(URLS) {
                let url = state.manifest.pointer_mut(at).expect("a URL");
                let rest = self.led(url.as_str().expect("a text")).1.to_string();
                *url = json!(format!("{}/{}/{rest}", self.slack.url, if n < blue { "blue" } else { "green" }));
            }
        });
    }

    fn empty_green(&self) {
        self.slack.with(|state| state.unwell.push("green".into()));
    }

    fn walk_back(&self, way: &NativeWayBack) {
        walked(way, self.folder.path(), &mut Command::new("sh"));
    }
}

pub async fn app(kind: &Kind) {
    let (Some(_), Some(_)) = (peer("curl"), peer("jq")) else { return };
    let app = App { slack: SlackApp::start(), folder: tempfile::tempdir().expect("a folder") };
    std::fs::write(app.tokens(), app.slack.tokens().to_string()).expect("the tokens are written");
    std::fs::set_permissions(app.tokens(), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    suite(kind, &app).await;
}
