//! The settings of a `socket_mode` route: two fleets of instances, and what must hold while sockets change hands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::MOST;
use crate::diag::{self, Mistake};
use crate::plan::Color;
use crate::rehearsal::{Place, at};
use crate::scalar::Duration;

/// The sockets of a Slack app in Socket Mode, held by the instances of two fleets. There are no weights: a fleet's share of
/// the events is its share of the sockets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The instances of the live fleet.
    pub blue: Instances,
    /// The instances of the candidate, started without a socket.
    pub green: Instances,
    /// The app-level token both fleets use, as a reference: `${env:SLACK_APP_TOKEN}`. It is only asked for its scopes; no
    /// socket is ever opened with it.
    #[schemars(extend("format" = "secret"))]
    pub app_token: String,
    /// Fewest sockets that are open at any moment; 2 when left out, so that the renewal of one leaves another.
    #[serde(default = "floor")]
    #[schemars(range(min = 1, max = 9))]
    pub floor: u32,
    /// No cutover starts when Slack is about to renew a socket within this time; 10m when left out.
    #[serde(default = "renewal")]
    pub renewal: Duration,
    /// How long an instance may take to end the work it has when it gives up its socket; 1m when left out.
    #[serde(default = "work_within")]
    pub work_within: Duration,
    /// What the instances are told as `authorization: Bearer …`, as a reference, where they ask for it.
    #[serde(default)]
    #[schemars(extend("format" = "secret"))]
    pub token: Option<String>,
    /// Slack's Web API; `https://slack.com/api/` when left out.
    #[serde(default = "api")]
    #[schemars(extend("format" = "http-url"))]
    pub api: String,
}

/// How the instances of a fleet are found: as a list, or behind one name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Instances {
    /// The address of each instance: `http://bot-1.internal:8080`.
    Listed(Vec<String>),
    /// Every address that a name has at the moment, such as a headless Service of Kubernetes.
    Named(Lookup),
}

/// One name with the addresses of all instances.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// `http://bot-blue.internal:8080`; each address of the name is an instance.
    #[schemars(extend("format" = "http-url"))]
    pub lookup: String,
}

fn floor() -> u32 {
    2
}

fn renewal() -> Duration {
    Duration::seconds(600)
}

fn work_within() -> Duration {
    Duration::seconds(60)
}

fn api() -> String {
    "https://slack.com/api/".into()
}

/// Every address in settings as they are written.
pub fn places(settings: &Value) -> Vec<Place> {
    let mut places = at(settings, &["/blue/*", "/green/*", "/api"]);
    if settings.get("api").is_none() {
        places.push(Place { at: String::new(), address: api() });
    }
    places
}

impl Settings {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let settings: Settings = diag::settings(value)?;
        let mut mistakes = Vec::new();
        if !(1..MOST as u32).contains(&settings.floor) {
            let help = format!("a number from 1 to {}", MOST - 1);
            mistakes.push(wrong("/floor", format!("`{}` cannot be the floor", settings.floor), Some(help)));
        }
        if !settings.app_token.starts_with("${") && !settings.app_token.starts_with("xapp-") {
            let help = "an app-level token begins with `xapp-`";
            mistakes.push(wrong("/app_token", "this is not an app-level token", Some(help.into())));
        }
        let mut listed: Vec<(&str, String)> = Vec::new();
        for (at, instances) in [("/blue", &settings.blue), ("/green", &settings.green)] {
            match instances {
                Instances::Listed(urls) if urls.is_empty() => {
                    mistakes.push(wrong(at, "a fleet has at least one instance", None));
                }
                Instances::Listed(urls) => {
                    for url in urls {
                        if !url.starts_with("http://") && !url.starts_with("https://") {
                            let help = "write `http://host:port`";
                            mistakes.push(wrong(at, format!("`{url}` is not an address"), Some(help.into())));
                        }
                        if url.split('/').nth(2).is_some_and(|host| host.contains('@')) {
                            let help = "addresses stand in records: name a secret under `token` instead";
                            mistakes.push(wrong(at, "an address holds no credentials", Some(help.into())));
                        }
                        let url = url.trim_end_matches('/').to_string();
                        if let Some((_, first)) = listed.iter().find(|(_, known)| *known == url) {
                            mistakes.push(wrong(at, format!("`{first}` is listed twice"), None));
                        }
                        listed.push((at, url));
                    }
                }
                Instances::Named(name) if !name.lookup.starts_with("http://") => {
                    let help = "the addresses behind a name have no certificate of that name; list them for https";
                    mistakes.push(wrong(at, "`lookup` takes an `http://` address", Some(help.into())));
                }
                Instances::Named(_) => {}
            }
        }
        let all_listed =
            [&settings.blue, &settings.green].iter().all(|instances| matches!(instances, Instances::Listed(_)));
        if all_listed && listed.len() > MOST {
            let help = "Slack keeps at most 10 sockets of an app open, so each fleet holds at most 5 of them";
            mistakes.push(wrong("/green", format!("{} instances are more than 10", listed.len()), Some(help.into())));
        }
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    pub fn instances(&self, stack: Color) -> &Instances {
        match stack {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }
}

impl Instances {
    /// How many there are, where that does not change by itself.
    pub fn count(&self) -> Option<u32> {
        match self {
            Instances::Listed(urls) => u32::try_from(urls.len()).ok(),
            Instances::Named(_) => None,
        }
    }

    /// The fleet in one line, without what may be secret in an address.
    pub fn line(&self) -> String {
        let host = |url: &str| url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or(url).to_string();
        match self {
            Instances::Listed(urls) => match urls.as_slice() {
                [] => "nobody".into(),
                [one] => host(one),
                [first, rest @ ..] => format!("{} and {} more", host(first), rest.len()),
            },
            Instances::Named(name) => format!("all of {}", host(&name.lookup)),
        }
    }

    /// Host and port of each address, in one spelling.
    pub fn places(&self) -> Vec<String> {
        let place = |address: &String| match reqwest::Url::parse(address) {
            Ok(url) => format!(
                "{}:{}",
                url.host_str().unwrap_or_default().trim_end_matches('.'),
                url.port_or_known_default().unwrap_or_default()
            ),
            Err(_) => address.to_ascii_lowercase(),
        };
        match self {
            Instances::Listed(urls) => urls.iter().map(place).collect(),
            Instances::Named(name) => vec![place(&name.lookup)],
        }
    }
}

fn wrong(at: &str, message: impl Into<String>, help: Option<String>) -> Mistake {
    Mistake { at: at.into(), message: message.into(), help }
}
