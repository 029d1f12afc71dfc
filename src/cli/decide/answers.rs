//! What is known about a deployment: from flags, from a file, from questions. Each answer may still be missing.
//!
//! One type serves the command line, the file and its schema, so the three take the same words. Nothing is judged here.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::runbook;
use crate::scalar::Duration;

/// Where the app runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunsOn {
    /// Pods that live on between requests.
    Kubernetes,
    /// Containers elsewhere (ECS, Nomad, Compose).
    Containers,
    /// Machines, virtual or not.
    VirtualMachines,
    /// Functions, or containers that scale to zero.
    Serverless,
    /// Somebody's own machine.
    Laptop,
}

/// Whether Slack can reach an HTTPS address of yours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ingress {
    /// There is a public HTTPS address already.
    Open,
    /// One can be opened.
    Possible,
    /// None may be opened.
    Forbidden,
}

/// Whether processes may hold a WebSocket to Slack open for hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outbound {
    /// Nothing on the way cuts a long connection.
    Open,
    /// A proxy or firewall cuts or forbids it.
    Forbidden,
}

/// Who installs the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Your own workspace.
    OneWorkspace,
    /// Several workspaces, each by its own installation.
    SeveralWorkspaces,
    /// Anybody, through the Slack Marketplace.
    Marketplace,
}

/// Who waits for the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Latency {
    /// Nobody: it reacts to events and posts when it is done.
    Background,
    /// People, with a command, button or modal open.
    Interactive,
}

/// The framework the app is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Framework {
    /// Bolt for Python.
    BoltPython,
    /// Bolt for JavaScript.
    BoltJavascript,
    /// Another one.
    Other,
}

/// What stands before the processes of an HTTP app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Front {
    /// An AWS Application Load Balancer.
    Alb,
    /// nginx, on one host or several.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
    /// Another load balancer or gateway.
    Other,
    /// Nothing yet.
    None,
}

/// What is known so far. The long names are flags, and keys of the file that `--context` reads.
#[derive(Clone, Debug, Default, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The version of the file's format: 1.
    #[arg(skip)]
    #[schemars(range(min = 1, max = 1))]
    #[allow(dead_code, reason = "that it is there and 1 is checked by the schema")]
    pub bgctl_context: u32,
    /// The service, as its runbook will call it; `slackbot` when left out.
    #[arg(long, value_name = "NAME", help_heading = "Context", value_parser = runbook::named)]
    #[schemars(extend("format" = "name"))]
    #[serde(default)]
    pub service: Option<String>,
    /// Where does it run?
    #[arg(long, value_name = "WHERE", help_heading = "Context")]
    #[serde(default)]
    pub runs_on: Option<RunsOn>,
    /// Can Slack reach an HTTPS address of yours?
    #[arg(long, value_name = "WHETHER", help_heading = "Context")]
    #[serde(default)]
    pub ingress: Option<Ingress>,
    /// May a process hold a WebSocket to Slack open for hours?
    #[arg(long, value_name = "WHETHER", help_heading = "Context")]
    #[serde(default)]
    pub outbound: Option<Outbound>,
    /// Who installs the app?
    #[arg(long, value_name = "WHO", help_heading = "Context")]
    #[serde(default)]
    pub distribution: Option<Distribution>,
    /// Who may install it in a year or two?
    #[arg(long, value_name = "WHO", help_heading = "Context")]
    #[serde(default)]
    pub distribution_later: Option<Distribution>,
    /// How many processes does one stack need at its busiest?
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Context")]
    #[schemars(range(min = 1, max = 10_000))]
    #[serde(default)]
    pub processes: Option<u32>,
    /// Does their number follow the load? `true` or `false`.
    #[arg(long, value_name = "WHETHER", help_heading = "Context")]
    #[serde(default)]
    pub autoscaling: Option<bool>,
    /// How many events, commands and clicks come in a second at the busiest?
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100_000), help_heading = "Context")]
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default)]
    pub peak_per_second: Option<u32>,
    /// Who waits for its answers?
    #[arg(long, value_name = "WHO", help_heading = "Context")]
    #[serde(default)]
    pub latency: Option<Latency>,
    /// How long from nothing to the first answer? Asked only where processes scale to zero.
    #[arg(long, value_name = "TIME", value_parser = Duration::parse, help_heading = "Context")]
    #[serde(default)]
    pub cold_start: Option<Duration>,
    /// What is it written with?
    #[arg(long, value_name = "NAME", help_heading = "Context")]
    #[serde(default)]
    pub framework: Option<Framework>,
    /// What stands, or would stand, before an HTTP app?
    #[arg(long, value_name = "NAME", help_heading = "Context")]
    #[serde(default)]
    pub front: Option<Front>,
}

/// A context without a gap: what is decided from.
#[derive(Clone, Debug, Serialize)]
pub struct Deployment {
    pub service: String,
    pub runs_on: RunsOn,
    pub ingress: Ingress,
    pub outbound: Outbound,
    pub distribution: Distribution,
    pub distribution_later: Distribution,
    pub processes: u32,
    pub autoscaling: bool,
    pub peak_per_second: u32,
    pub latency: Latency,
    pub cold_start: Duration,
    pub framework: Framework,
    pub front: Front,
}

impl Answers {
    /// What is given here, and for the rest what `other` says.
    pub fn or(self, other: Answers) -> Answers {
        Answers {
            bgctl_context: 1,
            service: self.service.or(other.service),
            runs_on: self.runs_on.or(other.runs_on),
            ingress: self.ingress.or(other.ingress),
            outbound: self.outbound.or(other.outbound),
            distribution: self.distribution.or(other.distribution),
            distribution_later: self.distribution_later.or(other.distribution_later),
            processes: self.processes.or(other.processes),
            autoscaling: self.autoscaling.or(other.autoscaling),
            peak_per_second: self.peak_per_second.or(other.peak_per_second),
            latency: self.latency.or(other.latency),
            cold_start: self.cold_start.or(other.cold_start),
            framework: self.framework.or(other.framework),
            front: self.front.or(other.front),
        }
    }

    /// Fills in what follows from other answers and need not be asked.
    pub fn follow(&mut self) {
        self.service.get_or_insert_with(|| "slackbot".into());
        if self.distribution == Some(Distribution::Marketplace) {
            self.distribution_later.get_or_insert(Distribution::Marketplace);
        }
        if self.runs_on.is_some_and(|place| place != RunsOn::Serverless) {
            self.cold_start.get_or_insert(Duration::seconds(0));
        }
    }

    /// The whole context, or the names of the answers that are missing.
    pub fn whole(mut self) -> Result<Deployment, Vec<&'static str>> {
        self.follow();
        match self.clone().deployment() {
            Some(deployment) => Ok(deployment),
            None => Err(self.missing()),
        }
    }

    fn deployment(self) -> Option<Deployment> {
        Some(Deployment {
            service: self.service?,
            runs_on: self.runs_on?,
            ingress: self.ingress?,
            outbound: self.outbound?,
            distribution: self.distribution?,
            distribution_later: self.distribution_later?,
            processes: self.processes?,
            autoscaling: self.autoscaling?,
            peak_per_second: self.peak_per_second?,
            latency: self.latency?,
            cold_start: self.cold_start?,
            framework: self.framework?,
            front: self.front?,
        })
    }

    fn missing(&self) -> Vec<&'static str> {
        let given = [
            ("runs-on", self.runs_on.is_some()),
            ("ingress", self.ingress.is_some()),
            ("outbound", self.outbound.is_some()),
            ("distribution", self.distribution.is_some()),
            ("distribution-later", self.distribution_later.is_some()),
            ("processes", self.processes.is_some()),
            ("autoscaling", self.autoscaling.is_some()),
            ("peak-per-second", self.peak_per_second.is_some()),
            ("latency", self.latency.is_some()),
            // Where the place is not known either, it may never be asked.
            ("cold-start", self.cold_start.is_some() || self.runs_on.is_none()),
            ("framework", self.framework.is_some()),
            ("front", self.front.is_some()),
        ];
        given.into_iter().filter(|(_, given)| !given).map(|(name, _)| name).collect()
    }
}

/// The JSON Schema of the file that `--context` reads.
pub fn schema() -> serde_json::Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Answers>().to_value();
    schema["title"] = "bgctl context".into();
    schema
}
