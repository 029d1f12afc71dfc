//! What the load balancer consists of: listeners, rules, target groups and their targets, and the lab's set of them.

use std::net::SocketAddr;
use std::time::Instant;

use super::elb_rules::{Action, Forward};
use super::query::Node;
use crate::plan::Color;

const PREFIX: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000";
/// What the load balancer is called.
pub const NAME: &str = "bgctl-lab";
/// So many target groups of other teams are in the account: more than a page of a list, and than one call for tags takes.
const NEIGHBOURS: usize = 24;

/// Tags on a thing.
pub type Tags = Vec<(&'static str, &'static str)>;

/// Everything the API can describe.
#[derive(Debug)]
pub struct Model {
    pub balancer: String,
    pub listeners: Vec<Listener>,
    pub rules: Vec<Rule>,
    pub groups: Vec<Group>,
    /// What other teams have in the same account: listed, and reached by nobody.
    pub neighbours: Neighbours,
}

/// Names and tags of things that are not the lab's.
#[derive(Debug, Default)]
pub struct Neighbours {
    pub balancer: String,
    pub groups: Vec<String>,
}

#[derive(Debug)]
pub struct Listener {
    pub arn: String,
    pub https: bool,
    pub port: u16,
}

#[derive(Debug)]
pub struct Rule {
    pub arn: String,
    pub listener: String,
    /// The default rule of a listener has none.
    pub priority: Option<u32>,
    pub path: Option<&'static str>,
    pub actions: Vec<Action>,
    /// The actions before the last write, and when that was: reads may still show them for a moment.
    pub before: Option<(Instant, Vec<Action>)>,
    pub tags: Tags,
}

impl Rule {
    /// Where the rule sends to, if it forwards.
    pub fn forward(&self) -> Option<&Forward> {
        self.actions.iter().find_map(|action| action.forward.as_ref())
    }

    /// Sends somewhere else, with everything beside it as it is.
    pub fn send_to(&mut self, forward: Forward) {
        if let Some(action) = self.actions.iter_mut().find(|action| action.forward.is_some()) {
            action.forward = Some(forward);
        }
    }
}

#[derive(Debug)]
pub struct Group {
    pub arn: String,
    pub name: String,
    pub color: Color,
    /// How long a deregistered target stays `draining`, in seconds.
    pub deregistration_delay_s: u64,
    pub targets: Vec<Target>,
    pub tags: Tags,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub health: Health,
    /// Probes of the same result in a row.
    pub streak: u32,
    /// When it was deregistered.
    pub leaving: Option<Instant>,
}

/// What the load balancer thinks of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Initial,
    Healthy,
    /// With the API's reason code.
    Unhealthy(&'static str),
}

impl Model {
    /// One HTTP listener with the rule bgctl moves, and an HTTPS listener with the kinds of rule that are easy to break:
    /// one behind OIDC with group stickiness, one that a Kubernetes controller owns.
    pub fn new(port: u16, blue: &[SocketAddr], green: &[SocketAddr]) -> Model {
        let listener = |id: &str| format!("{PREFIX}:listener/app/bgctl-lab/50dc6c495c0c9188/{id}");
        let rule = |id: &str| format!("{PREFIX}:listener-rule/app/bgctl-lab/50dc6c495c0c9188/{id}");
        let group = |color: Color, id: &str, addresses: &[SocketAddr]| Group {
            arn: format!("{PREFIX}:targetgroup/bot-{}/{id}", color.name()),
            name: format!("bot-{}", color.name()),
            color,
            deregistration_delay_s: 5,
            targets: addresses.iter().copied().map(Target::new).collect(),
            tags: vec![("app", "bot"), ("color", color.name())],
        };
        let groups = vec![group(Color::Blue, "6d0ecf831eec9f09", blue), group(Color::Green, "73e2d6bc24d8a067", green)];
        let split = |order: Option<u32>, blue: u32, green: u32, sticky_s: Option<u32>| Action {
            kind: "forward".into(),
            order,
            forward: Some(Forward {
                groups: vec![(groups[0].arn.clone(), blue), (groups[1].arn.clone(), green)],
                sticky_s,
            }),
            settings: None,
            secret: false,
        };
        let of = |id: &str, listener: &str, priority: Option<u32>, actions: Vec<Action>| Rule {
            arn: rule(&format!("{}/{id}", listener.rsplit('/').next().unwrap_or_default())),
            listener: listener.to_string(),
            priority,
            path: priority.map(|_| "/*"),
            actions,
            before: None,
            tags: Vec::new(),
        };
        let (http, https) = (listener("0467ef3c8400ae65"), listener("8b2f3c1d5e6a7f90"));
        let owned = of("c4d5e6f708192a3b", &https, Some(20), vec![split(None, 100, 0, None)]);
        let rules = vec![
            Rule {
                tags: vec![("app", "bot"), ("part", "events")],
                ..of("8c1f3f0a1e2d3c4b", &http, Some(10), vec![split(None, 100, 0, None)])
            },
            of("00aa11bb22cc33dd", &http, None, vec![not_found()]),
            of("9d2e4f1b2c3d4e5f", &https, Some(10), vec![sign_in(), split(Some(2), 100, 0, Some(300))]),
            Rule { tags: vec![("elbv2.k8s.aws/cluster", "lab"), ("ingress.k8s.aws/stack", "lab/bot")], ..owned },
            of("44ee55ff66aa77bb", &https, None, vec![split(Some(1), 1, 0, None)]),
        ];
        Model {
            balancer: format!("{PREFIX}:loadbalancer/app/{NAME}/50dc6c495c0c9188"),
            listeners: vec![
                Listener { arn: http, https: false, port },
                Listener { arn: https, https: true, port: 443 },
            ],
            rules,
            groups,
            neighbours: Neighbours {
                balancer: format!("{PREFIX}:loadbalancer/app/shop/1f2e3d4c5b6a7988"),
                groups: (0..NEIGHBOURS).map(|n| format!("{PREFIX}:targetgroup/shop-{n:02}/{:016x}", n + 1)).collect(),
            },
        }
    }

    /// Everything in the account of this kind that a list shows: those of the lab stand last.
    pub fn balancers(&self) -> Vec<&String> {
        vec![&self.neighbours.balancer, &self.balancer]
    }

    /// Whether a group stands in any rule. Targets of one that does not are not probed and have no health.
    pub fn in_use(&self, group: &str) -> bool {
        self.rules.iter().filter_map(Rule::forward).any(|to| to.groups.iter().any(|(arn, _)| arn == group))
    }
}

impl Target {
    pub fn new(address: SocketAddr) -> Self {
        Target { address, health: Health::Initial, streak: 0, leaving: None }
    }
}

fn not_found() -> Action {
    let mut settings = Node::default();
    settings.set("StatusCode", "404");
    settings.set("ContentType", "text/plain");
    Action {
        kind: "fixed-response".into(),
        order: Some(1),
        forward: None,
        settings: Some(("FixedResponseConfig".into(), settings)),
        secret: false,
    }
}

fn sign_in() -> Action {
    let mut settings = Node::default();
    for (name, value) in [
        ("Issuer", "https://login.example.com"),
        ("AuthorizationEndpoint", "https://login.example.com/authorize"),
        ("TokenEndpoint", "https://login.example.com/token"),
        ("UserInfoEndpoint", "https://login.example.com/userinfo"),
        ("ClientId", "bot-admin"),
        ("SessionCookieName", "AWSELBAuthSessionCookie"),
        ("Scope", "openid"),
        ("SessionTimeout", "604800"),
        ("OnUnauthenticatedRequest", "authenticate"),
    ] {
        settings.set(name, value);
    }
    Action {
        kind: "authenticate-oidc".into(),
        order: Some(1),
        forward: None,
        settings: Some(("AuthenticateOidcConfig".into(), settings)),
        secret: true,
    }
}
