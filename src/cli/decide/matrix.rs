//! The matrix: HTTP request URLs against Socket Mode, by what each costs in one context.
//!
//! A row has a weight for this context and, for each mode, points with their reason. Numbers that were measured with real
//! clients say so; a hurdle says that a mode cannot be had as things are described, and what kind of wall that is.

use serde::Serialize;

use super::answers::{Deployment, Distribution, Framework, Front, Ingress, Latency, Outbound, RunsOn};

/// How an app gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Http,
    Socket,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Http => "HTTP request URLs",
            Mode::Socket => "Socket Mode",
        }
    }
}

/// The most points a mode can have in a row.
pub const MOST: u32 = 3;

/// The most sockets Slack gives one app, both stacks together.
pub const SOCKETS: u32 = 10;

/// What stands in the way of a mode, the harder to move the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hurdle {
    /// Something has to be built.
    ToBuild,
    /// A rule of your own house.
    HousePolicy,
    /// A rule of Slack.
    SlackRule,
}

/// A mode in one row.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// 0 to [`MOST`].
    pub points: u32,
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hurdle: Option<Hurdle>,
    /// What has to be done first, or all the time, if this mode is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

impl Score {
    fn new(points: u32, why: impl Into<String>) -> Self {
        Score { points, why: why.into(), hurdle: None, condition: None }
    }

    fn out(hurdle: Hurdle, why: impl Into<String>, condition: impl Into<String>) -> Self {
        Score { hurdle: Some(hurdle), condition: Some(condition.into()), ..Score::new(0, why) }
    }

    fn when(self, condition: impl Into<String>) -> Self {
        Score { condition: Some(condition.into()), ..self }
    }
}

/// One criterion.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub criterion: &'static str,
    /// 1 to 3: how much it matters here.
    pub weight: u32,
    pub http: Score,
    pub socket: Score,
}

impl Row {
    pub fn score(&self, mode: Mode) -> &Score {
        match mode {
            Mode::Http => &self.http,
            Mode::Socket => &self.socket,
        }
    }
}

/// Every criterion, filled in for this context.
pub fn rows(of: &Deployment) -> Vec<Row> {
    vec![
        ingress(of),
        firewall(of),
        scaling(of),
        distribution(of),
        cold_start(of),
        simplicity(of),
        latency(of),
        cutover(of),
    ]
}

fn ingress(of: &Deployment) -> Row {
    let http = match of.ingress {
        Ingress::Open => Score::new(3, "the public HTTPS address Slack needs is there"),
        Ingress::Possible => Score::new(1, "Slack needs a public HTTPS address, and there is none yet")
            .when("open a public HTTPS address for the events path, and nothing else on it"),
        Ingress::Forbidden => Score::out(
            Hurdle::HousePolicy,
            "Slack cannot reach the app: no address may be opened",
            "have a gateway outside (API gateway, DMZ proxy) allowed that takes Slack's requests and hands them in",
        ),
    };
    Row { criterion: "public ingress", weight: 3, http, socket: Score::new(3, "none is needed") }
}

fn firewall(of: &Deployment) -> Row {
    let http = match of.ingress {
        Ingress::Open => Score::new(2, "inbound 443 from anywhere; the signature (or mTLS) tells Slack from others"),
        Ingress::Possible => Score::new(1, "inbound 443 has to be allowed from anywhere; the signature is the guard"),
        Ingress::Forbidden => Score::new(0, "inbound 443 is closed"),
    };
    let socket = match of.outbound {
        Outbound::Open => Score::new(3, "outbound 443 only; nothing listens"),
        Outbound::Forbidden => Score::out(
            Hurdle::HousePolicy,
            "long outbound WebSockets are cut or forbidden here",
            "have wss://*.slack.com on 443 allowed, past any proxy that ends long connections",
        ),
    };
    Row { criterion: "firewall", weight: 2, http, socket }
}

fn scaling(of: &Deployment) -> Row {
    let half = SOCKETS / 2;
    let http = Score::new(3, "any number of processes behind one address, shared out by weight or load");
    let socket = match of.processes {
        n if n > half => Score::new(0, format!("{n} processes a stack, and Slack gives an app {SOCKETS} sockets: {half} a stack while both run"))
            .when(format!("let at most {half} processes a stack hold a socket, and hand envelopes to the other workers through a queue")),
        _ if of.autoscaling => Score::new(1, format!("scaling must stop at {half} processes a stack, and Slack picks the socket, not the load"))
            .when(format!("cap the autoscaler at {half} processes a stack ({SOCKETS} sockets in all)")),
        1 => Score::new(2, "one process is one socket, and every refresh of it is a gap")
            .when("run at least two processes a stack, refreshed one after the other"),
        n => Score::new(2, format!("{n} sockets a stack fit; which of them gets an event is Slack's choice")),
    };
    let weight = if of.processes > 2 || of.autoscaling { 3 } else { 1 };
    Row { criterion: "horizontal scaling", weight, http, socket }
}

fn distribution(of: &Deployment) -> Row {
    let http = match of.distribution {
        Distribution::Marketplace => Score::new(3, "required: the Marketplace takes only apps with request URLs").when(
            "changed URLs of a Marketplace app are verified with the development app's signing secret: try that first",
        ),
        _ => Score::new(3, "one set of URLs for every workspace, and the Marketplace stays possible"),
    };
    let socket = match (of.distribution, of.distribution_later) {
        (Distribution::Marketplace, _) => Score::out(
            Hurdle::SlackRule,
            "Slack does not take Socket Mode apps into the Marketplace",
            "stay out of the Marketplace",
        ),
        (_, Distribution::Marketplace) => {
            Score::new(0, "works now, and has to become HTTP before the Marketplace takes it")
                .when("keep the transport behind one interface (below), so that the change is one file")
        }
        (Distribution::SeveralWorkspaces, _) | (_, Distribution::SeveralWorkspaces) => {
            Score::new(1, format!("all workspaces share the same {SOCKETS} sockets"))
        }
        (Distribution::OneWorkspace, Distribution::OneWorkspace) => Score::new(3, "made for this"),
    };
    let one = (of.distribution, of.distribution_later) == (Distribution::OneWorkspace, Distribution::OneWorkspace);
    Row { criterion: "distribution", weight: if one { 1 } else { 3 }, http, socket }
}

fn cold_start(of: &Deployment) -> Row {
    let (http, socket) = if of.runs_on == RunsOn::Serverless {
        let time = &of.cold_start;
        let http = match time.time.as_millis() {
            2000.. => Score::new(0, format!("{time} from cold does not leave Slack's 3 s an answer")).when(
                "provisioned concurrency (or one warm instance), and a small function that verifies, claims, queues and acks",
            ),
            800.. => Score::new(1, format!("{time} from cold is inside Slack's 3 s, but not by much"))
                .when("keep the function that acks small: verify, claim, queue, ack; work in another"),
            _ => Score::new(2, format!("{time} from cold is well inside Slack's 3 s")),
        };
        let socket = Score::out(
            Hurdle::ToBuild,
            "a function that ends holds no socket",
            "run at least two small long-lived processes that hold the sockets and hand envelopes to the functions",
        );
        (http, socket)
    } else {
        let warm = Score::new(3, "a process is loaded and tested before it gets its first user (`warm`, `smoke`)");
        (warm, Score::new(3, "a process opens its socket when it is ready, and gets nothing before"))
    };
    Row { criterion: "cold start", weight: if of.runs_on == RunsOn::Serverless { 3 } else { 1 }, http, socket }
}

fn simplicity(of: &Deployment) -> Row {
    let http = match of.ingress {
        Ingress::Open => Score::new(2, "address, certificate and signature check, on the load balancer you have"),
        _ => Score::new(1, "address, certificate, load balancer and signature check have to be made and kept"),
    };
    let socket = match of.processes {
        1 | 2 => Score::new(3, "one token and a process: no address, certificate or signature"),
        _ => Score::new(2, "no address, certificate or signature; but sockets have to be counted and watched"),
    };
    Row { criterion: "simplicity", weight: if of.processes <= 2 { 2 } else { 1 }, http, socket }
}

fn latency(of: &Deployment) -> Row {
    let http = Score::new(3, "one request, an answer within 3 s, and both are seen at the load balancer");
    let gap = |seconds: u32| match of.peak_per_second.saturating_mul(seconds) / of.processes.max(1) {
        0 => String::new(),
        waiting => format!("; at your peak {waiting} deliveries on that socket"),
    };
    let (points, why) = match of.framework {
        Framework::BoltJavascript => (
            1,
            format!(
                "every few hours Slack refreshes a socket; its client (3.1) was measured 5 s without one, and acks got lost{}",
                gap(5)
            ),
        ),
        Framework::BoltPython => (
            2,
            format!(
                "every few hours Slack refreshes a socket; its client was measured to ack 3 s late then, and after a reset to be deaf for 60 s{}",
                gap(60)
            ),
        ),
        Framework::Other => {
            (1, "every few hours Slack refreshes a socket: measure how long your client is deaf then".into())
        }
    };
    let weight = if of.latency == Latency::Interactive { 3 } else { 1 };
    let socket = match (of.latency, of.processes) {
        (Latency::Background, 2..) => Score::new(2, format!("{why}; other sockets and Slack's retries cover it")),
        _ => Score::new(points, why),
    };
    Row { criterion: "latency", weight, http, socket }
}

fn cutover(of: &Deployment) -> Row {
    let http = match of.front {
        // What runs on functions moves by the weights of their alias, whatever stands before them.
        _ if of.runs_on == RunsOn::Serverless => {
            Score::new(3, "users move by the weights of the function's alias, and back in one call")
        }
        Front::Alb | Front::Nginx | Front::Haproxy | Front::Envoy => Score::new(3, "users move by weight from 1 %, and back in one call"),
        Front::Other => Score::new(2, "your balancer can split; this bgctl has no driver for it and moves the app's request URLs, all at once")
            .when("going back by request URL may be refused for a minute by Slack's rate limit: put a weighted balancer in front when that is too long"),
        Front::None => Score::new(1, "without a balancer the app's request URLs move, all at once, and a rollback may be refused for a minute")
            .when("put a weighted load balancer in front of both stacks before the first cutover that matters"),
    };
    let socket =
        Score::new(1, format!("no weights: users move socket by socket, and both stacks together may hold {SOCKETS}"));
    Row { criterion: "cutover and rollback", weight: 3, http, socket }
}
