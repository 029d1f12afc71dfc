//! Gates: their settings, the mistakes that can be seen in them without a server, and how one is measured.
//!
//! Both stacks are measured over the same time, which begins after users were shifted, from answers that are pinned to one
//! moment. What the numbers mean is `run::judge`.
#![doc = include_str!("gates.md")]

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Web;
use super::prometheus::{Prometheus, Vector};
use super::promql::{self, Query};
use super::source::Gap;
use crate::diag::Mistake;
use crate::plan::Color;
use crate::scalar::{Limit, Margin, Unit, spoken};

/// A rule over measurements of both stacks. Exactly one of `max` and `min` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// PromQL that gives one sample per stack, told apart by the colour label:
    /// `sum by (color) (rate(errors_total[1m])) / sum by (color) (rate(requests_total[1m]))`.
    pub prometheus: String,
    /// The highest value green may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit>,
    /// The lowest value green may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Limit>,
    /// How much worse than blue, over the same time, green may be: `+0.3%`, `+50ms` or `x1.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus_blue: Option<Margin>,
    /// PromQL for the number of requests per stack, as a rate over a range; taken from the query itself when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// The fewest requests of green without which the gate cannot pass. It can always fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u64>,
    /// The label that holds `blue` or `green`.
    #[serde(default = "color")]
    pub label: String,
    /// What the query's numbers are; taken from the limit when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// What follows when nothing can be judged until the deadline and users are split.
    #[serde(default)]
    pub unknown: OnUnknown,
    /// Base URL of Prometheus, `http://prometheus:9090`, also as `${env:NAME}`. Left out: `${env:PROMETHEUS_URL}`.
    #[serde(default = "prometheus_url")]
    pub url: String,
}

fn prometheus_url() -> String {
    "${env:PROMETHEUS_URL}".into()
}

fn color() -> String {
    "color".into()
}

/// What a gate without a verdict means while users are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnknown {
    /// Users stay where they are and a person is called.
    Hold,
    #[default]
    RollBack,
}

/// What came of looking at a gate's settings.
pub struct Checked {
    /// The settings with every default filled in, for the plan; None when they cannot be used.
    pub config: Option<Value>,
    pub mistakes: Vec<Mistake>,
    /// Doubtful, but usable.
    pub warnings: Vec<Mistake>,
}

/// Checks everything that can be checked without a server.
pub fn check(settings: &Value) -> Checked {
    let gate = match Gate::deserialize(settings) {
        Ok(gate) => gate,
        Err(e) => {
            let mistake = Mistake { at: String::new(), message: e.to_string(), help: None };
            return Checked { config: None, mistakes: vec![mistake], warnings: Vec::new() };
        }
    };
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let mistake = |at: &str, message: String, help: &str| Mistake { at: at.into(), message, help: Some(help.into()) };
    if gate.max.is_some() == gate.min.is_some() {
        mistakes.push(mistake("", "a gate takes exactly one of `max` and `min`".into(), "write `max: 0.5%`"));
    }
    if let (Some(Margin::Plus(by)), Some(limit)) = (&gate.versus_blue, gate.limit())
        && by.unit != limit.unit
    {
        let message = format!("the limit `{limit}` and the margin `+{by}` are not of one unit");
        mistakes.push(mistake("/versus_blue", message, "write both as percentages, as durations or as numbers"));
    }
    match Query::parse(&gate.prometheus, &gate.label) {
        Err(e) => {
            mistakes.push(mistake("/prometheus", format!("this is no PromQL: {e}"), "try it in Prometheus first"))
        }
        Ok(query) => {
            let (wrong, doubtful) = query.review();
            let place = |flaw: promql::Flaw| mistake("/prometheus", flaw.message, &flaw.help);
            mistakes.extend(wrong.into_iter().map(place));
            warnings.extend(doubtful.into_iter().map(place));
            let countable = query.counts(SECOND).is_some() || query.observations(SECOND).is_some();
            if gate.min_requests.is_some_and(|n| n > 0) && gate.requests.is_none() && !countable {
                let message = "`min_requests` has nothing to count: the query is neither a share nor a quantile".into();
                let help = format!("add `requests: sum by ({}) (rate(…[1m]))`", gate.label);
                mistakes.push(mistake("/min_requests", message, &help));
            }
        }
    }
    if let Some(requests) = &gate.requests
        && let Err(e) = promql::count_of(requests, SECOND)
    {
        let help = format!("write a rate: `sum by ({}) (rate(http_requests_total[1m]))`", gate.label);
        mistakes.push(mistake("/requests", format!("requests cannot be counted by this: {e}"), &help));
    }
    let config = mistakes.is_empty().then(|| serde_json::to_value(&gate).expect("BUG: a gate is plain data"));
    Checked { config, mistakes, warnings }
}

const SECOND: Duration = Duration::from_secs(1);
/// Fewer scrapes than this in a range are no measurement.
const FEWEST_SCRAPES: f64 = 3.0;

impl Gate {
    /// The limit, whichever side it is on.
    pub fn limit(&self) -> Option<&Limit> {
        self.max.as_ref().or(self.min.as_ref())
    }
}

/// Requests of one stack, and the bad ones among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub requests: u64,
    pub bad: u64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// A share, counted since users were shifted.
    Counts { green: Tally, blue: Tally },
    /// A value now. Blue's is missing when it has none; `blue_idle` says that it serves nobody.
    Value { green: f64, blue: Option<f64>, blue_idle: bool, requests: Option<u64> },
}

/// A gate ready to be measured.
pub struct Probe {
    pub gate: Gate,
    query: Query,
    /// The base URL with secrets filled in.
    url: String,
}

impl Probe {
    /// Takes the settings `check` has accepted, and the URL with its references replaced.
    pub fn new(gate: Gate, url: String) -> Result<Self, String> {
        let query = Query::parse(&gate.prometheus, &gate.label)?;
        Ok(Probe { gate, query, url })
    }

    /// How long after the shift the first value is of users on the new split only.
    pub fn warm_up(&self) -> Duration {
        if self.is_share() { Duration::ZERO } else { self.query.range() }
    }

    /// Error rates: counted since the shift instead of looked at window by window.
    pub fn is_share(&self) -> bool {
        self.query.counts(SECOND).is_some()
    }

    /// The quantile of a latency gate.
    pub fn quantile(&self) -> Option<f64> {
        self.query.quantile()
    }

    /// Requests can be counted.
    pub fn counts_requests(&self) -> bool {
        self.gate.requests.is_some() || self.query.observations(SECOND).is_some() || self.is_share()
    }

    /// Measures both stacks at `at`, over nothing that is older than `since`.
    pub async fn measure(&self, web: &dyn Web, since: Timestamp, at: Timestamp) -> Result<Measured, Gap> {
        let elapsed = Duration::try_from(at.duration_since(since)).unwrap_or_default();
        // Timers may be a little early against the wall clock.
        if elapsed < SECOND || elapsed + SECOND / 10 < self.warm_up() {
            let range = spoken(self.warm_up());
            return Err(Gap::Unknown(format!(
                "only {} since users were shifted; {range} are looked at",
                spoken(elapsed)
            )));
        }
        let prometheus = Prometheus { web, url: &self.url, at };
        let (measured, fresh) = tokio::join!(self.numbers(&prometheus, elapsed), self.freshness(&prometheus));
        // Without fresh data the numbers are of another time, so that is said first.
        fresh?;
        measured
    }

    async fn numbers(&self, prometheus: &Prometheus<'_>, elapsed: Duration) -> Result<Measured, Gap> {
        match self.query.counts(elapsed) {
            Some((bad, all)) => self.share(prometheus, &bad, &all).await,
            None => self.value(prometheus, elapsed).await,
        }
    }

    async fn share(&self, prometheus: &Prometheus<'_>, bad: &str, all: &str) -> Result<Measured, Gap> {
        let (bad, all) = tokio::join!(prometheus.ask(bad), prometheus.ask(all));
        let (bad, all) = (bad?, all?);
        let label = &self.gate.label;
        let Some(green) = all.of(Color::Green, label)? else {
            return Err(Gap::Unknown(format!("no requests of green are known (no sample with {label}=\"green\")")));
        };
        let blue = all.of(Color::Blue, label)?.unwrap_or(0.0);
        if bad.is_empty() {
            self.prove_none(prometheus).await?;
        }
        let none_is_zero = self.query.proof_of_none().is_some();
        let bad_of = |color: Color, requests: f64| match bad.of(color, label)? {
            Some(count) => Ok(count),
            None if requests == 0.0 || none_is_zero => Ok(0.0),
            None => Err(Gap::Unknown(format!(
                "{} has no series for bad requests; let the service begin them at 0",
                color.name()
            ))),
        };
        let tally = |requests: f64, bad: f64| {
            let requests = requests.round().max(0.0) as u64;
            // Both are estimates between scrapes, so the part may come out a little larger than the whole.
            let bad = (bad.round().max(0.0) as u64).min(requests);
            Tally { requests, bad }
        };
        let (green_bad, blue_bad) = (bad_of(Color::Green, green)?, bad_of(Color::Blue, blue)?);
        Ok(Measured::Counts { green: tally(green, green_bad), blue: tally(blue, blue_bad) })
    }

    /// No series of bad requests at all: good news, or a label that is spelled wrong.
    async fn prove_none(&self, prometheus: &Prometheus<'_>) -> Result<(), Gap> {
        let Some(proof) = self.query.proof_of_none() else {
            let line = "there is no series for bad requests at all; let the service begin them at 0".to_string();
            return Err(Gap::Unknown(line));
        };
        if prometheus.ask(&proof).await?.is_empty() {
            let line = format!("bad requests cannot be told apart: `{proof}` has no answer");
            return Err(Gap::Unknown(line));
        }
        Ok(())
    }

    async fn value(&self, prometheus: &Prometheus<'_>, elapsed: Duration) -> Result<Measured, Gap> {
        let (values, requests, bounds) = tokio::join!(
            prometheus.ask(self.query.text()),
            self.requests(prometheus, elapsed),
            self.bounds(prometheus)
        );
        let (values, requests, bounds) = (values?, requests?, bounds?);
        let label = &self.gate.label;
        let count = |color: Color| -> Result<Option<u64>, Gap> {
            let Some(requests) = &requests else { return Ok(None) };
            Ok(Some(requests.of(color, label)?.unwrap_or(0.0).round().max(0.0) as u64))
        };
        let (green_requests, blue_requests) = (count(Color::Green)?, count(Color::Blue)?);
        if let Some(0) = green_requests {
            return Err(Gap::Unknown("green has had no request since users were shifted".into()));
        }
        if let (Some(top), Some(limit)) = (bounds, &self.gate.max)
            && limit.value >= top
        {
            let line =
                format!("the limit {limit} is not under the histogram's highest bucket, {}", Unit::Seconds.show(top));
            return Err(Gap::Unknown(line));
        }
        let Some(green) = values.of(Color::Green, label)? else {
            return Err(Gap::Unknown(format!("the query has no sample with {label}=\"green\"")));
        };
        let blue_idle = blue_requests == Some(0);
        // An idle blue has no latency. Its NaN must not stand in the way of green's own limit.
        let blue = if blue_idle || self.gate.versus_blue.is_none() {
            values.of(Color::Blue, label).unwrap_or(None)
        } else {
            values.of(Color::Blue, label)?
        };
        Ok(Measured::Value { green, blue, blue_idle, requests: green_requests })
    }

    async fn requests(&self, prometheus: &Prometheus<'_>, elapsed: Duration) -> Result<Option<Vector>, Gap> {
        let query = match &self.gate.requests {
            Some(text) => Some(promql::count_of(text, elapsed).map_err(Gap::Unknown)?),
            None => self.query.observations(elapsed),
        };
        match query {
            Some(query) => Ok(Some(prometheus.ask(&query).await?)),
            None => Ok(None),
        }
    }

    async fn bounds(&self, prometheus: &Prometheus<'_>) -> Result<Option<f64>, Gap> {
        match self.query.bucket_bounds() {
            Some(query) => Ok(prometheus.ask(&query).await?.highest_bound()),
            None => Ok(None),
        }
    }

    /// Rates go on for minutes after the last scrape, so the age of the data is asked for itself.
    async fn freshness(&self, prometheus: &Prometheus<'_>) -> Result<(), Gap> {
        let (Some(age), Some((scrapes, range))) = (self.query.age(), self.query.scrapes()) else { return Ok(()) };
        let (age, scrapes) = tokio::join!(prometheus.ask(&age), prometheus.ask(&scrapes));
        let (age, scrapes) = (age?, scrapes?);
        let label = &self.gate.label;
        // Blue's data matters only to a gate that compares with it.
        let needed = |color: &Color| *color == Color::Green || self.gate.versus_blue.is_some();
        for color in Color::BOTH.into_iter().filter(needed) {
            let (Some(age), count) = (age.of(color, label)?, scrapes.of(color, label)?.unwrap_or(0.0)) else {
                if color == Color::Green {
                    return Err(Gap::Unknown(format!("no data of green (nothing has {label}=\"green\")")));
                }
                continue;
            };
            let name = color.name();
            let every = range.as_secs_f64() / count.max(1.0);
            if age > 3.0 * every + 5.0 {
                let line =
                    format!("the newest data of {name} is {age:.0} s old, with a scrape about every {every:.0} s");
                return Err(Gap::Unknown(line));
            }
            if count < FEWEST_SCRAPES {
                let line =
                    format!("the range {} holds {count} scrapes of {name}; {FEWEST_SCRAPES} are needed", spoken(range));
                return Err(Gap::Unknown(line));
            }
        }
        Ok(())
    }
}
