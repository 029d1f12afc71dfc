//! Router `alb`: the weights of two target groups in one rule of an AWS Application Load Balancer.
//!
//! It changes the weights of one forward action and sends everything else in the rule back as it was read. It never
//! creates, deletes, registers or deregisters anything. The API has no conditional write, so it compares before it writes,
//! and a write is sent once: what a lost reply means is found out by reading, elsewhere.
#![doc = include_str!("../alb.md")]

mod actions;
mod add_group;
mod api;
mod arn;
mod by_name;
mod errors;
mod fields;
mod found;
mod health;
mod lookup;
mod matching;
mod names;
mod place;
mod schema;
mod settings;
#[cfg(feature = "cloudtrail")]
mod trail;
mod way_back;
mod writer;
mod writes;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::config;
use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::config::retry::RetryConfig;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_elasticloadbalancingv2::types::{Tag, TargetGroup};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::aws::{Attempts, Question, READ_WITHIN, WRITE_WITHIN, within};
use super::{
    Access, Call, Health, Identity, Kind, Lack, MetricsPlace, NativeWayBack, Reading, RouteView, RouterError, Trouble,
};
use crate::clock::{Clock, SystemClock};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::rehearsal::{InLab, at};
use api::Api;
use arn::Arn;
use by_name::ByName;
use found::{Found, Writes};
use place::Place;
use settings::{Settings, Written};

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "alb",
    about: "route: a rule of an AWS Application Load Balancer",
    page: include_str!("../alb.md"),
    schema: schema::schema,
    lab: InLab::To(|settings| {
        at(
            settings,
            &[
                "/rule",
                "/listener",
                "/load_balancer",
                "/load_balancer/name",
                "/blue",
                "/blue/name",
                "/green",
                "/green/name",
                "/test/listener",
                "/test/rule",
            ],
        )
    }),
    view: |value, access| {
        Ok(match written(value, access)? {
            Written::Arns(settings) => Rc::new(Alb::of(*settings, access)),
            Written::Names(names) => Rc::new(ByName::new(*names, access)),
        })
    },
    open: |value, access| {
        Ok(match written(value, access)? {
            Written::Arns(settings) => Rc::new(Alb::of(*settings, access)),
            Written::Names(names) => Rc::new(ByName::new(*names, access)),
        })
    },
};

/// The settings, and whether AWS can be asked as the environment wants it. Asks nobody.
fn written(value: &Value, access: &Access) -> Result<Written, Vec<Mistake>> {
    let written = Written::read(value)?;
    access.aws.usable().map_err(|why| vec![Mistake { at: String::new(), message: why, help: None }])?;
    Ok(written)
}

/// How long reads may lag behind a change that was answered. AWS publishes no number; real responses are the proof, this is
/// only how long to wait for one.
const SETTLE: Duration = Duration::from_secs(5);

/// What it means that no side has a share.
const ALL_ZERO: &str = "all weights are 0: AWS does not say where users go then";

/// Tags that say that a controller owns the place, and which one.
const CONTROLLERS: [(&str, &str); 6] = [
    ("elbv2.k8s.aws/cluster", "the AWS Load Balancer Controller of Kubernetes"),
    ("ingress.k8s.aws/stack", "the AWS Load Balancer Controller of Kubernetes"),
    ("service.k8s.aws/stack", "the AWS Load Balancer Controller of Kubernetes"),
    ("gateway.k8s.aws.alb/stack", "the AWS Load Balancer Controller of Kubernetes"),
    ("elasticbeanstalk:", "Elastic Beanstalk"),
    ("AmazonECSManaged", "Amazon ECS or CodeDeploy"),
];

/// How long a write whose answer was lost is still reckoned with, from the loss on. AWS publishes nothing; this is how long
/// its own tools would have gone on waiting for the answer (botocore's `read_timeout`, 60 s).
const LANDS_WITHIN: Duration = WRITE_WITHIN;

/// How long a Network Load Balancer may go on sending flows by the weights of before. Amazon ECS waits that long behind each shift of
/// its own at one.
const FOLLOWED: Duration = Duration::from_secs(600);

/// How old a reading may be to be the comparison before a write, counted from its answer.
const YOUNG: Duration = Duration::from_secs(1);

/// One rule, or the default rule of one listener.
pub struct Alb {
    /// How long the answer of a write is waited for.
    pub write_within: Duration,
    /// How old a reading may be to be the comparison before a write.
    pub young: Duration,
    api: Api,
    settings: Settings,
    looked: RefCell<Option<Looked>>,
    wrote: Cell<Option<Wrote>>,
    /// The request ids of our own writes.
    ours: RefCell<Vec<String>>,
    opened: Timestamp,
}

/// Our own last look.
struct Looked {
    at: Duration,
    found: Found,
    /// What the reading said that came of it.
    exact: Value,
}

/// Our own last write, answered or not.
#[derive(Clone, Copy, Debug)]
struct Wrote {
    /// What stood there before it.
    before: Split,
    /// When it was sent.
    at: Duration,
}

impl Alb {
    /// The route of settings in ARNs; asks nobody.
    pub fn new(value: &Value, access: &Access) -> Result<Self, Vec<Mistake>> {
        match written(value, access)? {
            Written::Arns(settings) => Ok(Alb::of(*settings, access)),
            Written::Names(names) => {
                let message = format!("{} is given by names, which have to be looked up first", names.line());
                Err(vec![Mistake { at: String::new(), message, help: None }])
            }
        }
    }

    fn of(settings: Settings, access: &Access) -> Self {
        Alb {
            write_within: WRITE_WITHIN,
            young: YOUNG,
            looked: RefCell::default(),
            api: Api::new(&settings.place.arn().region, &access.aws),
            settings,
            wrote: Cell::new(None),
            ours: RefCell::default(),
            opened: SystemClock.now(),
        }
    }

    /// What differs for a write: it is sent once, and its answer is waited for as long as the AWS CLI would.
    fn once(&self) -> config::Builder {
        config::Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(self.write_within))
    }

    fn explain<E>(
        &self,
        action: &str,
        place: &str,
        attempts: &Attempts,
        error: SdkError<E, HttpResponse>,
    ) -> RouterError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let writes = action.starts_with("Modify");
        let within = if writes { self.write_within } else { READ_WITHIN };
        self.api.explain(Question { action, place, writes, within }, attempts, &error)
    }

    /// The error of a write. One that was certainly not applied leaves nothing to wait for.
    fn failed<E>(&self, action: &str, place: &str, attempts: &Attempts, error: SdkError<E, HttpResponse>) -> RouterError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let error = self.explain(action, place, attempts, error);
        if !error.moved {
            self.wrote.set(None);
        }
        error
    }

    fn refuse(&self, kind: Trouble, what: impl std::fmt::Display) -> RouterError {
        RouterError::new(kind, format!("`{}` {what}", self.settings.place.arn()))
    }

    /// Remembers our own writes by their request ids.
    fn own(&self, calls: Vec<Call>) -> Vec<Call> {
        self.ours.borrow_mut().extend(calls.iter().filter_map(|call| call.request_id.clone()));
        calls
    }

    /// The existing target group whose name is nearest, for a message.
    async fn nearest_group(&self, name: &str) -> Option<String> {
        let groups = self.api.target_groups().await.ok()?;
        let likeness = |group: &TargetGroup| strsim::jaro_winkler(group.target_group_name().unwrap_or_default(), name);
        let best = groups.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        best.target_group_arn().filter(|_| likeness(best) > 0.75).map(String::from)
    }
}

#[async_trait(?Send)]
impl RouteView for Alb {
    fn line(&self) -> String {
        self.settings.place.line()
    }

    fn resources(&self, now: Option<&Reading>) -> Vec<String> {
        // A default rule has an ARN of its own and is changed through its listener: both are one place.
        let written = now.and_then(|reading| reading.exact["arn"].as_str());
        vec![format!("alb {}", written.unwrap_or(self.settings.place.arn().as_str()))]
    }

    fn min_healthy(&self) -> u32 {
        self.settings.min_healthy
    }

    fn metrics(&self) -> Option<MetricsPlace> {
        let (arn, groups) = (self.settings.place.arn(), &self.settings.groups);
        // It counts flows and knows nothing of requests, under names of its own.
        if arn.is_network() {
            return None;
        }
        let group = |arn: &Arn| ("TargetGroup".to_string(), arn.dimension());
        Some(MetricsPlace {
            region: arn.region.clone(),
            whole: ("LoadBalancer".into(), arn.dimension()),
            blue: group(&groups.blue),
            green: group(&groups.green),
        })
    }

    fn followed_within(&self) -> Duration {
        if self.settings.place.arn().is_network() { FOLLOWED } else { Duration::ZERO }
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let found = self.look().await?;
        let (through, arn) = match &found.writes {
            Writes::Rule(arn) => ("rule", arn),
            Writes::Listener(arn) => ("listener", arn),
        };
        let exact = json!({
            "through": through,
            "arn": arn,
            "region": self.api.aws.region,
            "sticky": found.seen.sticky,
            "actions": way_back::to_json(&found.actions),
        });
        let reading = Reading { split: found.seen.split, exact: exact.clone(), remarks: self.remarks(&found) };
        *self.looked.borrow_mut() = Some(Looked { at: SystemClock.elapsed(), found, exact });
        Ok(reading)
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let group = self.settings.groups.of(stack);
        let attempts = Attempts::default();
        let client = self.api.reads().await;
        let asked = client.describe_target_health().target_group_arn(group.as_str()).customize();
        match asked.interceptor(attempts.clone()).send().await {
            Ok(answer) => Ok(health::count(group.name(), answer.target_health_descriptions())),
            Err(error) => {
                let error = self.explain("DescribeTargetHealth", group.as_str(), &attempts, error);
                if error.kind != Trouble::NotFound {
                    return Err(error);
                }
                Err(match self.nearest_group(group.name()).await {
                    Some(near) => error.cure(format!("did you mean `{near}`?")),
                    None => error.cure("`aws elbv2 describe-target-groups` lists those there are"),
                })
            }
        }
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        let place = self.settings.place.arn();
        let attempts = Attempts::default();
        let mut asked = vec![place.to_string(), place.load_balancer()];
        if place.listener() != place.as_str() {
            asked.push(place.listener());
        }
        asked.extend(Color::BOTH.map(|c| self.settings.groups.of(c).to_string()));
        let client = self.api.reads().await;
        let call = client.describe_tags().set_resource_arns(Some(asked)).customize().interceptor(attempts.clone());
        let answer = call.send().await.map_err(|e| self.explain("DescribeTags", place.as_str(), &attempts, e))?;
        for resource in answer.tag_descriptions() {
            for key in resource.tags().iter().filter_map(Tag::key) {
                if let Some((_, who)) = CONTROLLERS.iter().find(|(tag, _)| key.starts_with(tag)) {
                    let arn = resource.resource_arn().unwrap_or_default();
                    return Ok(Some(format!("{who} (tag `{key}` on `{arn}`)")));
                }
            }
        }
        Ok(None)
    }

    async fn preflight(&self, _: &[Split]) -> Result<Vec<String>, RouterError> {
        match &self.settings.test {
            Some(test) => Ok(vec![self.tested(test).await?]),
            None => Ok(Vec::new()),
        }
    }

    async fn writer(&self) -> Option<String> {
        let ours = self.ours.borrow().clone();
        let place = self.settings.place.arn();
        Some(writer::writer(&self.api.aws, place.as_str(), &ours, self.opened).await)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        let config = self.api.aws.config().await;
        let account = &self.settings.place.arn().account;
        let attempts = Attempts::default();
        let client = aws_sdk_sts::Client::new(&config);
        let answer = client.get_caller_identity().customize().interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|e| self.explain("GetCallerIdentity", "AWS STS", &attempts, e))?;
        let who = answer.arn().unwrap_or("a caller without a name").to_string();
        if answer.account() != Some(account.as_str()) {
            let what = format!("belongs to account {account}, and these credentials to {who}");
            return Err(self.refuse(Trouble::Denied, what).cure(format!(
                "use credentials of account {account}: AWS_PROFILE=… or `{}`",
                self.api.aws.sign_in("sso")
            )));
        }
        let session = self.api.aws.session().await;
        Ok(Identity { line: format!("{who}{}", session.words()), left: session.left, renews: session.renews })
    }

    async fn ends(&self) -> Option<String> {
        self.api.aws.session().await.ends()
    }

    fn lacks(&self, reading: &Reading) -> Option<Lack> {
        add_group::lack(reading, &self.settings.groups)
    }

    fn nowhere(&self) -> &'static str {
        ALL_ZERO
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        way_back::way_back(route, reading, &self.settings.groups, &self.api.aws)
    }

    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        let exact = match (now, &self.settings.place) {
            (Some(reading), _) => reading.exact.clone(),
            (None, Place::Rule(arn)) => json!({ "through": "rule", "arn": arn.as_str() }),
            (None, Place::Listener(arn)) => json!({ "through": "listener", "arn": arn.as_str() }),
        };
        let remarks = match now {
            Some(reading) => reading.remarks.clone(),
            None => vec![way_back::BLIND.into()],
        };
        let exact = way_back::all_on(stack, exact, &self.settings.groups);
        Some(Reading { split: Split::all_on(stack), exact, remarks })
    }
}
