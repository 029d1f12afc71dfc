//! What a runbook says, as types: the one source of parsing, of the JSON Schema and of its texts.
//!
//! The keys that tables add (kinds of steps and routers) are put in by [`super::schema`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::gameday::GameDay;
use super::page::Page;
use super::schema_section::SchemaChange;
use super::slack::Slack;
use crate::compare::Compare;
use crate::gates::gate::Gate;
use crate::gates::server::Server;
use crate::plan::{AtExpiry, Counter, OnFailure, Principal, VersionAt};
use crate::scalar::{Duration, Percent};

/// A cutover of one service in one environment: two stacks, the routes between them, the steps forward and the rollback.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of this language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub bgctl: u32,
    /// The service, as people call it.
    #[schemars(extend("format" = "name"))]
    pub service: String,
    /// The environment, which is what has to be typed to move users: `production`.
    #[schemars(extend("format" = "name"))]
    pub environment: String,
    /// Who answers for the cutover. One of their keys signs the run.
    pub owners: Vec<Principal>,
    /// Groups of people who approve.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// The two sides. Which one is live is read from the routes, and has to be blue.
    pub stacks: Stacks,
    /// The places where traffic is split, by name. Each has exactly one kind of router. With `routes: {}` a runbook moves nobody:
    /// its steps are run, judged, approved and recorded all the same.
    pub routes: BTreeMap<String, Route>,
    /// The Prometheus that gates ask, unless a gate names its own.
    #[serde(default)]
    pub prometheus: Option<Server>,
    /// The Slack app that both stacks serve.
    #[serde(default)]
    pub slack: Option<Slack>,
    /// What blue and green are compared by before anybody moves.
    #[serde(default)]
    pub compare: Option<Compare>,
    /// What the release does to the data, and whether blue can live with it.
    #[serde(default)]
    pub schema: Option<SchemaChange>,
    /// Rules over measurements, by name. Bakes use them.
    #[serde(default)]
    pub gates: BTreeMap<String, Gate>,
    /// Rules of the run as a whole.
    #[serde(default)]
    pub policy: PolicySection,
    /// How green is made bad on purpose, for `bgctl gameday`.
    #[serde(default)]
    pub gameday: Option<GameDay>,
    /// Variables, each with its value, or empty where one has to be given (`--var name=value`). Used as `${var.name}`.
    #[serde(default)]
    pub variables: BTreeMap<String, Option<String>>,
    /// What is done, in this order.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
    /// The rollback: one shift to `blue: 100%` for each route that is moved. It is checked before the first step forward.
    pub rollback: Rollback,
}

/// A group of people who approve.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The people, as the allowed signers file names them.
    pub members: Vec<Principal>,
    /// How many of them have to agree; 1 when left out.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub quorum: u32,
    /// Whether a member who runs the cutover may approve it.
    #[serde(default)]
    pub own_run: bool,
}

fn one() -> u32 {
    1
}

/// The two sides: `blue` and `green`, or `a` and `b`, of which blue is whichever serves when the plan is made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stacks {
    /// What is live.
    pub blue: StackSection,
    /// The candidate.
    pub green: StackSection,
    /// Where each stack says which version it runs; it has to be the version of the plan before anybody is moved. With `a` and
    /// `b` the versions of the plan are what is read there.
    #[serde(default)]
    pub version: Option<VersionAt>,
    /// With `a` and `b`: the version that is to be live. The candidate has to run it; where it serves already nothing is done.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    pub release: Option<String>,
}

/// One side.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackSection {
    /// The version that runs there, as it names itself.
    #[schemars(length(min = 1, max = 200))]
    pub version: String,
    /// Where this stack alone is reached: `http://green.internal:8080`.
    #[schemars(extend("format" = "http-url"))]
    pub url: String,
    /// What metrics call this stack: it stands for `{stack}` in gates. `blue`, `green`, `a` or `b` when left out.
    #[serde(default)]
    #[schemars(extend("format" = "name"))]
    pub label: Option<String>,
    /// Headers that are sent along whenever this stack is asked, where a rule of a load balancer chooses it by one; secrets as
    /// references.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A place where traffic is split: one kind of router with its settings, and where responses can be seen.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where real responses can be looked at from outside: the third witness of a shift.
    #[serde(default)]
    pub seen_at: Option<SeenAtSection>,
    /// What a side has to be able to carry before users are sent to it, beside its fewest healthy targets.
    #[serde(default)]
    pub capacity: Option<CapacitySection>,
    #[schemars(skip)]
    #[serde(rename = "(kind)")]
    pub router: String,
    #[schemars(skip)]
    #[serde(rename = "(settings)")]
    pub config: Value,
}

/// What a side has to be able to carry for the share of users it will get.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacitySection {
    /// Requests a second of all users at the busiest time.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub peak: Option<u32>,
    /// Requests a second that one healthy target carries.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub per_target: Option<u32>,
    /// The least share of the registered targets that has to be healthy: `80%`.
    #[serde(default)]
    pub healthy: Option<Percent>,
    /// In how many zones healthy targets have to stand.
    #[serde(default)]
    #[schemars(range(min = 1, max = 20))]
    pub zones: Option<u32>,
    /// Who counts the requests that all users make now, before each move forward: `cloudwatch`, for an `alb` route.
    #[serde(default)]
    pub traffic: Option<Counter>,
}

/// How to tell from a real response which stack gave it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenAtSection {
    /// What is asked: `https://bot.example.com/version`.
    #[schemars(extend("format" = "http-url"))]
    pub url: String,
    /// The response header that carries the version.
    #[schemars(length(min = 1, max = 100))]
    pub header: String,
    /// How many fresh connections are asked; 200 when left out.
    #[serde(default = "samples")]
    #[schemars(range(min = 1, max = 10000))]
    pub samples: u32,
    /// How far the seen share may be from the wanted one; 5% when left out.
    #[serde(default = "tolerance")]
    pub tolerance: Percent,
    /// Headers that are sent along, those that every user sends; secrets as references.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

fn samples() -> u32 {
    200
}

fn tolerance() -> Percent {
    Percent::parse("5%").expect("BUG: a percentage of our own")
}

/// Rules of the run as a whole.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    /// How often users may be sent back without a person.
    #[serde(default)]
    pub automatic_rollback: AutomaticRollback,
    /// Who is called when a person must act.
    #[serde(default)]
    pub page: Vec<Page>,
    /// Who is told how each run has come to rest, and why. Nobody is woken by it.
    #[serde(default)]
    pub notify: Vec<Page>,
    /// How long a run waits with users split for the end of what forbids going forward (a freeze, somebody else's change of
    /// the split); 30m when left out. Then it holds, or halts and calls a person.
    #[serde(default)]
    pub pause_at_most: Option<Duration>,
    /// How long a rollback is tried again while the provider throttles, cannot be reached or does not know us; 10m when left
    /// out. Then the run halts and calls a person.
    #[serde(default)]
    pub rollback_within: Option<Duration>,
    /// Whether somebody has to say that they have it; if nobody does, the next of `page` is called.
    #[serde(default)]
    pub acknowledge: Option<Acknowledge>,
}

/// Somebody has to say that they have it, with `bgctl ack` or at the channel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// How long each channel is waited for.
    pub within: Duration,
}

/// How often users may be sent back without a person.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomaticRollback {
    /// How many in that time; 0 forbids them.
    #[schemars(range(max = 100))]
    pub at_most: u32,
    /// The time.
    pub within: Duration,
}

impl Default for AutomaticRollback {
    fn default() -> Self {
        AutomaticRollback { at_most: 2, within: Duration::seconds(86_400) }
    }
}

/// A step: a name, when it may start, and exactly one kind.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The step's name, once in the whole runbook.
    #[schemars(extend("format" = "name"))]
    pub id: String,
    /// Who has to agree before it starts.
    #[serde(default)]
    pub approval: Option<Approval>,
    /// How often it may be tried.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// The longest one attempt may take.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// What its failure means once users have moved.
    #[serde(default)]
    #[schemars(with = "Failure")]
    pub on_failure: OnFailure,
    #[schemars(skip)]
    #[serde(rename = "(kind)")]
    pub kind: String,
    #[schemars(skip)]
    #[serde(rename = "(settings)")]
    pub config: Value,
}

/// What the failure of a step means once users have moved.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its schema is used: the plan's type knows no schema")]
enum Failure {
    /// Users go back to blue.
    RollBack,
    /// Users stay, and a person is called.
    Halt,
    /// The run goes on.
    Continue,
}

/// Who has to agree before a step starts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// A role of this runbook.
    pub role: String,
    /// How long is waited for an answer.
    pub within: Duration,
    /// What no answer means; `hold` when left out: an absent person sends nobody back.
    #[serde(default = "hold")]
    #[schemars(with = "Expiry")]
    pub at_expiry: AtExpiry,
    /// What the same approval also agrees to: `rollback`, so that an automatic rollback waits for nobody.
    #[serde(default)]
    pub covers: Option<Covers>,
}

/// What an approval agrees to beside its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Covers {
    /// The whole rollback, exactly as the plan has it.
    Rollback,
}

fn hold() -> AtExpiry {
    AtExpiry::Hold
}

/// What an unanswered approval means.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its schema is used: the plan's type knows no schema")]
enum Expiry {
    /// Users go back to blue.
    RollBack,
    /// Users stay where they are.
    Hold,
    /// Users stay, and a person is called.
    Halt,
}

/// How often a step may be tried.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// In all, the first one included.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
}

/// The rollback.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Who answers for it.
    pub owner: Principal,
    /// `none`, or the role that has to agree before an automatic rollback. A person can always start one by hand.
    #[serde(default = "none")]
    pub approval: String,
    /// Whether the routes go back one after the other, in the order of the steps. They go back all at once when left out.
    #[serde(default)]
    pub in_order: bool,
    /// What is done: one call for each route that was moved comes first, and then the other steps in their order. Left out only
    /// in a runbook without a route.
    #[serde(default)]
    pub steps: Vec<Step>,
}

fn none() -> String {
    "none".into()
}
