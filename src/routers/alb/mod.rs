//! Router `alb`: the weights of two target groups in one rule of an AWS Application Load Balancer.
//!
//! It changes the weights of one forward action and sends everything else in the rule back as it was read. It never
//! creates, deletes, registers or deregisters anything. The API has no conditional write, so it compares before it writes,
//! and a write is sent once: what a lost reply means is found out by reading, elsewhere.
#![doc = include_str!("../alb.md")]

mod actions;
mod add_group;
mod arn;
mod errors;
mod found;
mod health;
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
use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::config::retry::RetryConfig;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_elasticloadbalancingv2::types::Tag;
use aws_sdk_elasticloadbalancingv2::{Client, config};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::aws::{Attempts, Aws, READ_WITHIN, Session, WRITE_WITHIN, within};
use super::{
    Access, Call, Health, Identity, Kind, Lack, MetricsPlace, NativeWayBack, Reading, RouteView, RouterError, Trouble,
};
use crate::clock::{Clock, SystemClock};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::rehearsal::{InLab, at};
use crate::scalar::spoken;
use arn::Arn;
use errors::{Question, explain};
use found::{Found, Writes};
use settings::{Place, Settings};

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "alb",
    about: "route: a rule of an AWS Application Load Balancer",
    page: include_str!("../alb.md"),
    schema: settings::schema,
    lab: InLab::To(|settings| at(settings, &["/rule", "/listener", "/blue", "/green"])),
    view: |value, access| Ok(Rc::new(Alb::new(value, access)?)),
    open: |value, access| Ok(Rc::new(Alb::new(value, access)?)),
};

/// How long reads may lag behind a change that was answered. AWS publishes no number; real responses are the proof, this is
/// only how long to wait for one.
const SETTLE: Duration = Duration::from_secs(5);

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

/// How old a reading may be to be the comparison before a write, counted from its answer.
const YOUNG: Duration = Duration::from_secs(1);

/// One rule, or the default rule of one listener.
pub struct Alb {
    /// How long the answer of a write is waited for.
    pub write_within: Duration,
    /// How old a reading may be to be the comparison before a write.
    pub young: Duration,
    aws: Aws,
    settings: Settings,
    /// One client, so that calls share their connections.
    client: RefCell<Option<Client>>,
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
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value, access: &Access) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        access.aws.usable().map_err(|why| vec![Mistake { at: String::new(), message: why, help: None }])?;
        Ok(Alb {
            write_within: WRITE_WITHIN,
            young: YOUNG,
            client: RefCell::default(),
            looked: RefCell::default(),
            aws: Aws::new(&settings.place.arn().region, &access.aws),
            settings,
            wrote: Cell::new(None),
            ours: RefCell::default(),
            opened: SystemClock.now(),
        })
    }

    /// The client that reads: it repeats, within bounds.
    async fn reads(&self) -> Client {
        if let Some(client) = self.client.borrow().as_ref() {
            return client.clone();
        }
        let client = Client::new(&self.aws.config().await);
        self.client.borrow_mut().get_or_insert(client).clone()
    }

    /// What differs for a write: it is sent once, and its answer is waited for as long as the AWS CLI would.
    fn once(&self) -> config::Builder {
        config::Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(self.write_within))
    }

    /// Credentials that were not taken are looked up anew at the next call.
    fn forget(&self) {
        self.aws.forget();
        *self.client.borrow_mut() = None;
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
        let error = explain(&self.aws, Question { action, place, writes, within }, attempts, &error);
        if error.kind == Trouble::NoCredentials {
            self.forget();
        }
        error
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
        let mut pages = self.reads().await.describe_target_groups().into_paginator().items().send();
        let mut best: Option<(f64, String)> = None;
        while let Some(Ok(group)) = pages.next().await {
            let (Some(given), Some(arn)) = (group.target_group_name(), group.target_group_arn()) else { continue };
            let likeness = strsim::jaro_winkler(given, name);
            if best.as_ref().is_none_or(|(b, _)| likeness > *b) {
                best = Some((likeness, arn.to_string()));
            }
        }
        best.filter(|(likeness, _)| *likeness > 0.75).map(|(_, arn)| arn)
    }
}

#[async_trait(?Send)]
impl RouteView for Alb {
    fn line(&self) -> String {
        let arn = self.settings.place.arn();
        match &self.settings.place {
            Place::Rule(_) => format!("alb rule {} of `{}` in {}", arn.id(), arn.name(), arn.region),
            Place::Listener(_) => {
                format!("alb default rule of listener {} of `{}` in {}", arn.id(), arn.name(), arn.region)
            }
        }
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
        let group = |arn: &Arn| ("TargetGroup".to_string(), arn.dimension());
        Some(MetricsPlace {
            region: arn.region.clone(),
            whole: ("LoadBalancer".into(), arn.dimension()),
            blue: group(&groups.blue),
            green: group(&groups.green),
        })
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
            "region": self.aws.region,
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
        let client = self.reads().await;
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
        let client = self.reads().await;
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

    async fn writer(&self) -> Option<String> {
        let ours = self.ours.borrow().clone();
        let place = self.settings.place.arn();
        Some(writer::writer(&self.aws, place.as_str(), &ours, self.opened).await)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        let config = self.aws.config().await;
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
                self.aws.sign_in("sso")
            )));
        }
        let Session { left, renews } = self.aws.session().await;
        let words = match left {
            Some(left) => {
                format!(", session {}m left{}", left.as_secs() / 60, if renews { ", renews itself" } else { "" })
            }
            None if renews => String::new(),
            None => ", a session whose end is not known".into(),
        };
        Ok(Identity { line: format!("{who}{words}"), left, renews })
    }

    async fn ends(&self) -> Option<String> {
        match self.aws.session().await {
            Session { renews: true, .. } => None,
            Session { left: Some(left), .. } => {
                Some(format!("the credentials end in {} and cannot renew themselves", spoken(left)))
            }
            Session { left: None, .. } => Some(
                "the credentials are a session that cannot renew itself and whose end is not known: set \
                 AWS_CREDENTIAL_EXPIRATION, or use a profile, so that it cannot end before users could be back"
                    .into(),
            ),
        }
    }

    fn lacks(&self, reading: &Reading) -> Option<Lack> {
        add_group::lack(reading, &self.settings.groups)
    }

    fn nowhere(&self) -> &'static str {
        "all weights are 0: AWS does not say where users go then"
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        way_back::way_back(route, reading, &self.settings.groups, &self.aws)
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
