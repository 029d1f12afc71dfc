//! Source `cloudwatch`: metrics of AWS, as late and as coarse as they are.
//!
//! CloudWatch has whole minutes, some minutes late, and only while something happens. A number here rests on minutes that lie
//! wholly behind the shift and are old enough to be complete; everything else is unknown, never good.

use std::collections::BTreeMap;
use std::time::Duration as Time;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{About, Kind, Minutes, Reading, Source, asks_of_a_stack, typed};
use crate::diag::{Mistake, Review};
use crate::plan::Color;
use crate::rehearsal::InLab;
use crate::routers::MetricsPlace;
use crate::scalar::{Duration, spoken};
use crate::world::{Gap, Point, Question, World};

const MINUTE: i64 = 60;
/// Data of a busy stack that ends this long before what should be there has stopped coming.
const STALE: i64 = 3 * MINUTE;

/// Metrics of AWS CloudWatch: a `metric` with its `stat`, or `bad` ones counted among `requests`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudWatch {
    /// An `alb` route of this runbook: region, load balancer and the target group of each stack are taken from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The region; taken from the route, or found as every AWS tool finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The namespace of the metrics.
    #[serde(default = "namespace")]
    pub namespace: String,
    /// The metric whose value is judged: `TargetResponseTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its statistic: `Average`, `Maximum`, `Sum`, `p99`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat: Option<String>,
    /// Metrics that count bad requests: `[HTTPCode_Target_5XX_Count, TargetConnectionErrorCount]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<String>,
    /// The metric that counts all requests: `RequestCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// Dimensions of all these metrics; `{stack}` and `{version}` are filled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// Dimensions of blue's metrics alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blue: BTreeMap<String, String>,
    /// Dimensions of green's metrics alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub green: BTreeMap<String, String>,
    /// How late the numbers are complete; 3m when left out.
    #[serde(default = "late")]
    pub late: Duration,
    /// Over how many whole minutes a value is taken; 5m when left out.
    #[serde(default = "over")]
    pub over: Duration,
}

fn namespace() -> String {
    "AWS/ApplicationELB".into()
}

fn late() -> Duration {
    Duration::seconds(180)
}

fn over() -> Duration {
    Duration::seconds(300)
}

pub const KIND: Kind = Kind {
    name: "cloudwatch",
    page: super::PAGE,
    schema: super::schema::<CloudWatch>,
    whole: super::whole::<CloudWatch>,
    lab: InLab::Missing("CloudWatch"),
    check,
    open: |settings, _| Ok(Box::new(Asked(typed(settings).map_err(|m| m.message)?))),
};

impl CloudWatch {
    /// Takes region and dimensions from where its route's metrics are kept. What the runbook names itself stays.
    pub fn take_route(&mut self, place: MetricsPlace) {
        self.region.get_or_insert(place.region);
        let named = [(&mut self.dimensions, place.whole), (&mut self.blue, place.blue), (&mut self.green, place.green)];
        for (own, (name, value)) in named {
            own.entry(name).or_insert(value);
        }
    }
}

fn check(settings: &Value) -> Vec<Mistake> {
    let metrics: CloudWatch = match typed(settings) {
        Ok(metrics) => metrics,
        Err(mistake) => return vec![mistake],
    };
    let mut review = Review::default();
    if let Some(region) = metrics.region.as_ref().filter(|region| !region.contains("${")) {
        review.region("/region", region);
    }
    let mut found = review.0;
    let mut wrong = |at: &str, message: String, help: &str| {
        found.push(Mistake { at: at.into(), message, help: Some(help.into()) });
    };
    if metrics.metric.is_some() != metrics.bad.is_empty() {
        wrong("", "exactly one of `metric` and `bad` is needed".into(), "`metric: TargetResponseTime`");
    }
    match (&metrics.metric, &metrics.stat) {
        (Some(_), None) => {
            wrong("/metric", "the metric has no `stat`".into(), "write `stat: p99`, `Average`, `Sum` or `Maximum`")
        }
        (None, Some(_)) => wrong("/stat", "counts are always summed".into(), "leave `stat` out"),
        _ => {}
    }
    if !metrics.bad.is_empty() && metrics.requests.is_none() {
        wrong("/bad", "`bad` has nothing to be a share of".into(), "add `requests: RequestCount`");
    }
    let over = metrics.over.whole_seconds();
    // CloudWatch starts a period where it likes unless it divides the hour.
    if ![60, 120, 180, 240, 300, 600, 900].contains(&over) {
        wrong("/over", format!("`{}` is no period of whole minutes up to 15", metrics.over), "write `over: 5m`");
    }
    if metrics.late.whole_seconds() > 3600 {
        wrong("/late", "numbers an hour late judge nothing".into(), "write `late: 3m`");
    }
    found
}

struct Asked(CloudWatch);

impl Asked {
    fn question_of(
        &self,
        metric: &str,
        stat: &str,
        period: i64,
        about: &About,
        world: &World,
    ) -> Result<Question, Gap> {
        let mut dimensions = self.0.dimensions.clone();
        match about.color() {
            Some(Color::Blue) => dimensions.extend(self.0.blue.clone()),
            Some(Color::Green) => dimensions.extend(self.0.green.clone()),
            None => {}
        }
        let filled = dimensions.into_iter().map(|(name, value)| Ok((name, about.fill(&value, &world.secrets)?)));
        Ok(Question {
            namespace: self.0.namespace.clone(),
            metric: metric.into(),
            stat: stat.into(),
            dimensions: filled.collect::<Result<_, Gap>>()?,
            period: i32::try_from(period).unwrap_or(60),
        })
    }

    /// The sum of each metric over all whole minutes since the shift.
    async fn counted(&self, world: &World, about: &About, requests: &str) -> Result<Reading, Gap> {
        let late = SignedDuration::try_from(self.0.late.time).unwrap_or_default();
        let to = floor(world.clock.now() - late, MINUTE);
        let from = match about.shifted() {
            // The minute in which users were shifted holds requests from before it.
            Some(since) => floor(since, MINUTE) + SignedDuration::from_secs(MINUTE),
            None => to - SignedDuration::try_from(self.0.over.time).unwrap_or_default(),
        };
        if from >= to {
            return Err(Gap::Unknown(format!(
                "CloudWatch has no whole minute since users were shifted yet: its numbers are {} late",
                spoken(self.0.late.time)
            )));
        }
        let names = std::iter::once(requests).chain(self.0.bad.iter().map(String::as_str));
        let asked: Result<Vec<_>, _> = names.map(|n| self.question_of(n, "Sum", MINUTE, about, world)).collect();
        let series = world.metrics.series(self.0.region.as_deref(), &asked?, from, to).await?;
        let (all, bad) = series.split_first().ok_or_else(|| Gap::Unknown("the answer holds no metric".into()))?;
        let Some(newest) = all.iter().map(|p| p.at).max() else {
            // Requests that were never counted are none at all, or a dimension that is spelled wrong.
            return Err(Gap::Unknown(format!("`{requests}` has no data since users were shifted")));
        };
        let age = to.as_second() - (newest.as_second() + MINUTE);
        if age > STALE {
            return Err(Gap::Unknown(format!("the newest data of `{requests}` is {age} s older than it should be")));
        }
        let sum = |points: &[Point]| points.iter().map(|p| p.value).sum::<f64>();
        // A metric of bad requests has no points in minutes without one, and `requests` shows that there was something to count.
        let value = bad.iter().map(|points| sum(points)).sum();
        let minutes = about.shifted().map(|since| Minutes {
            counted: u64::try_from((to.as_second() - from.as_second()) / MINUTE).unwrap_or_default(),
            passed: u64::try_from((world.clock.now().as_second() - since.as_second()) / MINUTE).unwrap_or_default(),
        });
        Ok(Reading { value, requests: Some(sum(all)), minutes })
    }

    /// The statistic over the newest whole period.
    async fn value(&self, world: &World, about: &About, metric: &str, stat: &str) -> Result<Reading, Gap> {
        let period = i64::try_from(self.0.over.whole_seconds()).unwrap_or(300).max(MINUTE);
        let late = SignedDuration::try_from(self.0.late.time).unwrap_or_default();
        let to = floor(world.clock.now() - late, period);
        let from = to - SignedDuration::from_secs(period);
        if about.shifted().is_some_and(|since| from < since) {
            return Err(Gap::Unknown(format!(
                "CloudWatch has no whole period of {} since users were shifted yet",
                self.0.over
            )));
        }
        let mut asked = vec![self.question_of(metric, stat, period, about, world)?];
        if let Some(requests) = &self.0.requests {
            asked.push(self.question_of(requests, "Sum", period, about, world)?);
        }
        let series = world.metrics.series(self.0.region.as_deref(), &asked, from, to).await?;
        let one = |n: usize| series.get(n).and_then(|points| points.iter().find(|p| p.at == from)).map(|p| p.value);
        let Some(value) = one(0) else {
            return Err(Gap::Unknown(format!("`{metric}` has no data in the newest {}", self.0.over)));
        };
        let requests = self.0.requests.as_ref().map(|_| one(1).unwrap_or(0.0));
        Ok(Reading { value, requests, minutes: None })
    }
}

/// The last whole multiple of so many seconds.
fn floor(at: Timestamp, seconds: i64) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(seconds)).unwrap_or(at)
}

#[async_trait(?Send)]
impl Source for Asked {
    fn question(&self) -> String {
        let CloudWatch { namespace, metric, stat, bad, requests, .. } = &self.0;
        match (metric, requests) {
            (Some(metric), _) => format!("{namespace} {metric} {}", stat.as_deref().unwrap_or_default()),
            (None, Some(requests)) => format!("{namespace} {} of {requests}", bad.join(" + ")),
            (None, None) => namespace.clone(),
        }
    }

    fn counts(&self) -> bool {
        !self.0.bad.is_empty()
    }

    fn counts_requests(&self) -> bool {
        self.0.requests.is_some()
    }

    fn counts_since(&self) -> bool {
        true
    }

    fn of_a_stack(&self) -> bool {
        let own = self.0.route.is_some() || !self.0.blue.is_empty() || !self.0.green.is_empty();
        own || asks_of_a_stack(&json!(self.0.dimensions).to_string())
    }

    fn warm_up(&self) -> Time {
        match self.counts() {
            true => Time::ZERO,
            // A period may have just begun when users were shifted.
            false => self.0.late.time + 2 * self.0.over.time,
        }
    }

    fn first_number(&self) -> Time {
        // The rest of the minute of the shift, the first whole one, and what all of them are late.
        self.warm_up().max(self.0.late.time + Time::from_secs(2 * MINUTE.unsigned_abs()))
    }

    async fn read(&self, world: &World, about: &About) -> Result<Reading, Gap> {
        match (&self.0.metric, &self.0.stat, &self.0.requests) {
            (Some(metric), Some(stat), _) => self.value(world, about, metric, stat).await,
            (_, _, Some(requests)) => self.counted(world, about, requests).await,
            _ => Err(Gap::Unknown("neither a metric nor counts are asked for".into())),
        }
    }
}
