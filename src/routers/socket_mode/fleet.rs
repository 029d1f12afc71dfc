//! The instances of both fleets as they report themselves, and the two wishes they can be told: hold a socket, give it up.
//!
//! An instance that refuses connections is gone and holds nothing. One that does not answer in time may still hold its
//! socket, so then the split is not known. A socket that no ping has come over for too long is half open: nobody gets events
//! over it, whatever its instance says.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;

use super::SocketMode;
use super::settings::Instances;
use crate::clock::{Clock, SystemClock};
use crate::plan::{Color, Split};
use crate::routers::{Call, RouterError, Trouble};
use crate::scalar::spoken;

/// How long an instance may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may be without its socket while it renews it: real ones take up to ten seconds.
pub const RENEWING: Duration = Duration::from_secs(15);
/// A socket that has heard nothing for longer is half open: a ping each 5 s, and 5 s after the one that failed.
pub const HEARD: Duration = Duration::from_secs(10);
/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(200);

/// What `GET /bgctl/socket` says. Unknown members are left alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Report {
    /// It was told to hold a socket.
    pub open: bool,
    /// Its sockets that have had their hello and have not ended.
    pub connected: u32,
    /// The sockets of the whole app, as the newest hello counted them.
    #[serde(default)]
    pub num_connections: Option<u32>,
    /// When the newest hello came, in Unix seconds.
    #[serde(default)]
    pub last_hello: Option<f64>,
    /// How long that socket will live, in seconds, as its hello said.
    #[serde(default)]
    pub approximate_connection_time: Option<f64>,
    /// Envelopes and work that have not ended.
    pub inflight: u64,
    /// The reason of the newest `disconnect`, if it came after the newest hello.
    #[serde(default)]
    pub disconnect: Option<String>,
    /// How often Slack has given each reason since the instance was started.
    #[serde(default)]
    pub disconnects: BTreeMap<String, u64>,
    /// When Slack last sent a ping on its socket, or answered one, in Unix seconds. Unknown where it is left out.
    #[serde(default)]
    pub last_ping: Option<f64>,
    /// How old that was when the report was made, by the clock of who made it.
    #[serde(skip)]
    pub unheard: Option<f64>,
}

impl Report {
    /// Why no socket comes by itself, as Slack has said since the newest hello.
    pub fn refused(&self) -> Option<&'static str> {
        match self.disconnect.as_deref()? {
            "link_disabled" => Some("Socket Mode was switched off for the app"),
            "too_many_websockets" => Some("Slack has refused it a socket: more than 10 are open"),
            _ => None,
        }
    }

    /// What a half-open socket is called, where it reports one.
    pub fn half_open(&self) -> Option<String> {
        let unheard = self.unheard.filter(|age| self.connected > 0 && *age > HEARD.as_secs_f64())?;
        let age = spoken(Duration::from_secs_f64(unheard.round()));
        Some(format!("nothing has come from Slack over its socket for {age}, so it counts as none"))
    }
}

/// One instance, and what it said.
#[derive(Clone, Debug)]
pub struct Instance {
    pub stack: Color,
    pub url: String,
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Report(Report),
    /// Nobody listens there.
    Gone(String),
    /// No usable answer.
    Unknown(String),
}

impl Instance {
    pub fn report(&self) -> Option<&Report> {
        match &self.said {
            Said::Report(report) => Some(report),
            _ => None,
        }
    }

    /// Whether Slack may hand it envelopes.
    pub fn holds(&self) -> bool {
        self.report().is_some_and(|report| report.connected > 0 && report.half_open().is_none())
    }

    /// It is to hold a socket and has none that works.
    pub fn wants_one(&self) -> bool {
        self.report().is_some_and(|report| report.open) && !self.holds()
    }

    /// It will have one in a moment.
    pub fn renewing(&self) -> bool {
        self.wants_one() && self.report().is_some_and(|report| report.refused().is_none())
    }

    /// Told to give its socket up, and all its work has ended.
    pub fn at_rest(&self) -> bool {
        match &self.said {
            Said::Report(report) => !report.open && report.connected == 0 && report.inflight == 0,
            Said::Gone(_) => true,
            Said::Unknown(_) => false,
        }
    }

    /// Seconds until Slack renews its socket; negative when that is overdue.
    pub fn renewal_in(&self, now: f64) -> Option<f64> {
        let report = self.report().filter(|_| self.holds())?;
        Some(report.last_hello? + report.approximate_connection_time? - now)
    }
}

/// All instances of both fleets at one moment.
#[derive(Clone, Debug)]
pub struct Fleets(pub Vec<Instance>);

impl Fleets {
    pub fn of(&self, stack: Color) -> impl Iterator<Item = &Instance> {
        self.0.iter().filter(move |instance| instance.stack == stack)
    }

    pub fn holding(&self, stack: Color) -> u32 {
        self.of(stack).filter(|instance| instance.holds()).count() as u32
    }

    pub fn all_holding(&self) -> u32 {
        Color::BOTH.into_iter().map(|stack| self.holding(stack)).sum()
    }

    /// The split by sockets, in thousandths, so that it is the same as the runbook's percentage. Whoever keeps silent counts
    /// as if it held one: then it is known to be nothing better than a guess ([`Fleets::unknown`]).
    pub fn split(&self) -> Split {
        let [blue, green] = Color::BOTH
            .map(|stack| self.holding(stack) + self.silent().filter(|instance| instance.stack == stack).count() as u32);
        split(blue, green)
    }

    /// The instances that give no usable answer.
    pub fn silent(&self) -> impl Iterator<Item = &Instance> {
        self.0.iter().filter(|instance| matches!(instance.said, Said::Unknown(_)))
    }

    /// Why the split is not known, if it is not.
    pub fn unknown(&self) -> Option<RouterError> {
        let silent = self.0.iter().find_map(|instance| match &instance.said {
            Said::Unknown(why) => Some(format!("{} does not say whether it holds a socket: {why}", instance.url)),
            _ => None,
        })?;
        Some(RouterError::new(Trouble::Unreachable, silent).cure(
            "make `/bgctl/socket` of that instance answer, or end its process: then it holds none, and Slack gives its \
             events to the others",
        ))
    }
}

pub fn split(blue: u32, green: u32) -> Split {
    match blue + green {
        0 => Split { blue: 0, green: 0 },
        all => Split::of_green((green * 1000 + all / 2) / all),
    }
}

impl SocketMode {
    /// The addresses of a fleet's instances now.
    async fn addresses(&self, stack: Color) -> Result<Vec<String>, RouterError> {
        match self.settings.instances(stack) {
            Instances::Listed(urls) => Ok(urls.iter().map(|url| url.trim_end_matches('/').to_string()).collect()),
            Instances::Named(name) => {
                let unreachable = |why: String| {
                    RouterError::new(Trouble::Unreachable, format!("{stack}'s instances cannot be listed: {why}"))
                };
                let url = reqwest::Url::parse(&name.lookup).map_err(|e| unreachable(e.to_string()))?;
                let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
                let port = url.port_or_known_default().unwrap_or(80);
                let found = tokio::net::lookup_host((host.as_str(), port)).await;
                let mut urls: Vec<String> =
                    found.map_err(|e| unreachable(format!("{host}: {e}")))?.map(|at| format!("http://{at}")).collect();
                urls.sort();
                urls.dedup();
                Ok(urls)
            }
        }
    }

    /// Asks every instance once.
    pub async fn fleets(&self) -> Result<Fleets, RouterError> {
        let mut asked = Vec::new();
        for stack in Color::BOTH {
            asked.extend(self.addresses(stack).await?.into_iter().map(|url| (stack, url)));
        }
        let ask = |(stack, url): (Color, String)| async move {
            let said = self.report(&url).await;
            Instance { stack, url, said }
        };
        Ok(Fleets(join_all(asked.into_iter().map(ask)).await))
    }

    /// The fleets when no socket is just being renewed, or as they are when that takes too long.
    pub async fn settled(&self) -> Result<Fleets, RouterError> {
        let begun = SystemClock.elapsed();
        loop {
            let fleets = self.fleets().await?;
            if !fleets.0.iter().any(Instance::renewing) || SystemClock.elapsed() - begun > RENEWING {
                return Ok(fleets);
            }
            SystemClock.sleep(LOOK).await;
        }
    }

    pub async fn report(&self, url: &str) -> Said {
        match self.exchange(reqwest::Method::GET, url, "/bgctl/socket").await {
            Ok(report) => Said::Report(report),
            Err(Silence::Gone(why)) => Said::Gone(why),
            Err(Silence::Other(why)) => Said::Unknown(why),
        }
    }

    /// Tells an instance to hold a socket, or to give it up. Both may be said twice.
    pub async fn wish(&self, instance: &Instance, open: bool) -> Result<Call, RouterError> {
        let path = if open { "/bgctl/connect" } else { "/bgctl/quiesce" };
        let begun = SystemClock.elapsed();
        let answer = self.exchange(reqwest::Method::POST, &instance.url, path).await;
        let mut call = Call {
            action: format!("{} {}", if open { "connect" } else { "quiesce" }, instance.url),
            request_id: None,
            code: "ok".into(),
            time: SystemClock.elapsed().saturating_sub(begun),
        };
        let why = match answer {
            Ok(_) => return Ok(call),
            Err(Silence::Gone(_)) if !open => {
                call.code = "gone".into();
                return Ok(call);
            }
            Err(Silence::Gone(why) | Silence::Other(why)) => why,
        };
        call.code = "failed".into();
        let mut error =
            RouterError::new(Trouble::Unreachable, format!("{} does not take `{path}`: {why}", instance.url));
        error.calls = vec![call];
        Err(error)
    }

    async fn exchange(&self, method: reqwest::Method, url: &str, path: &str) -> Result<Report, Silence> {
        let mut request = self.client.request(method, format!("{url}{path}")).timeout(TIMEOUT);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = request.send().await.map_err(silence)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Silence::Other(format!("`{path}` answers {}", status.as_u16())));
        }
        // By the clock that `last_ping` was read from, if the answer tells it: ours may differ.
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).map(jiff::fmt::rfc2822::parse);
        let now = date.and_then(Result::ok).map_or_else(|| SystemClock.now(), |date| date.timestamp());
        let body = answer.bytes().await.map_err(silence)?;
        let mut report: Report =
            serde_json::from_slice(&body).map_err(|e| Silence::Other(format!("`{path}` gives no report: {e}")))?;
        report.unheard = report.last_ping.map(|at| now.as_millisecond() as f64 / 1000.0 - at);
        Ok(report)
    }
}

enum Silence {
    Gone(String),
    Other(String),
}

fn silence(error: reqwest::Error) -> Silence {
    let mut deepest: &dyn std::error::Error = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let refused = deepest.downcast_ref::<std::io::Error>().is_some_and(|e| {
        use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        // The network being down says nothing about the instance.
        e.kind() == ConnectionRefused || e.kind() == HostUnreachable && e.kind() != NetworkUnreachable
    });
    match () {
        () if refused => Silence::Gone("nobody listens there".into()),
        () if error.is_timeout() => Silence::Other(format!("no answer within {}s", TIMEOUT.as_secs())),
        () => Silence::Other(deepest.to_string()),
    }
}
