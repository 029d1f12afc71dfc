//! Turns names into ARNs: each asked for once, to the last page, and judged in `matching`. Nothing is written.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{HttpHeaderConditionConfig, Rule, RuleCondition, Tag};
use futures_util::future::{join, join3};
use serde_json::{Value, json};

use super::api::Api;
use super::arn::{Arn, Sort};
use super::matching::{self, Candidate, Port, Row};
use super::names::{By, Known, Listener, Names, Spot, Tags, Which};
use super::place::Place;
use super::settings::{Settings, Written};
use crate::plan::Color;
use crate::routers::{Pinned, RouterError, Trouble};

/// The most resources that `DescribeTags` takes in one call.
const TAGGED: usize = 20;
const BALANCER: &str = "load balancer";
const GROUP: &str = "target group";

impl Api {
    /// The settings in ARNs, with a line for each name that was looked up.
    pub async fn look_up(&self, names: &Names) -> Result<(Settings, Pinned), RouterError> {
        let region = &names.region;
        let test = async {
            match &names.test {
                None => Ok(None),
                Some(spot) => self.place(spot, region).await.map(Some),
            }
        };
        let (place, test, groups) = join3(self.place(&names.spot, region), test, self.groups(names)).await;
        let ((place, test), (blue, green)) = both(both(place, test), groups)?;
        let mut found = Vec::new();
        if let Spot::Of { .. } = names.spot {
            found.push(format!("{} is {}", names.line(), place.arn()));
        }
        if let (Some(spot @ Spot::Of { .. }), Some(test)) = (&names.test, &test) {
            found.push(format!("test, {}, is {}", spot.line(region), test.arn()));
        }
        let mut settings = json!({ "blue": blue.as_str(), "green": green.as_str() });
        for (name, known, arn) in [("blue", &names.blue, &blue), ("green", &names.green, &green)] {
            if let Known::By(by) = known {
                found.push(format!("{name} ({by}) is {arn}"));
            }
        }
        settings[place.key()] = json!(place.arn().as_str());
        if let Some(test) = test {
            settings["test"] = json!({ test.key(): test.arn().as_str() });
        }
        if let Some(count) = names.min_healthy {
            settings["min_healthy"] = json!(count);
        }
        Ok((fitting(&settings, names)?, Pinned { settings, found }))
    }

    async fn place(&self, spot: &Spot, region: &str) -> Result<Place, RouterError> {
        let (listener, rule) = match spot {
            Spot::Arn(place) => return Ok(place.clone()),
            Spot::Of { listener, rule } => (listener, rule),
        };
        let arn = match listener {
            Listener::Arn(arn) => arn.clone(),
            Listener::At { load_balancer, port } => {
                let balancer = match load_balancer {
                    Known::Arn(arn) => arn.clone(),
                    Known::By(by) => self.balancer(by, region).await?,
                };
                matching::listener(*port, balancer.name(), &self.ports(&balancer).await?)?
            }
        };
        match rule {
            None => Ok(Place::Listener(arn)),
            Some(which) => {
                let rows = self.rows(&arn, which).await?;
                let found = matching::rule(which, &listener.to_string(), &rows)?;
                Arn::read(&found, Sort::Rule).map(Place::Rule).map_err(|why| strange(&found, &why))
            }
        }
    }

    async fn balancer(&self, by: &By, region: &str) -> Result<Arn, RouterError> {
        let name = match by {
            By::Name(name) => Some(name.clone()),
            By::Tags(_) => None,
        };
        let all = match self.balancers(name).await {
            // The message names what is there.
            Err(error) if error.kind == Trouble::NotFound => self.balancers(None).await?,
            found => found?,
        };
        let candidates = self.candidates(Sort::LoadBalancer, all, matches!(by, By::Tags(_)), region).await?;
        matching::thing(BALANCER, by, region, &candidates)
    }

    async fn balancers(&self, name: Option<String>) -> Result<Vec<String>, RouterError> {
        let place = name.clone().unwrap_or("*".into());
        let asked = self.reads().await.describe_load_balancers().set_names(name.map(|name| vec![name]));
        let mut pages = asked.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(balancer) = pages.next().await {
            let balancer = balancer.map_err(|e| self.unread("DescribeLoadBalancers", &place, &e))?;
            found.extend(balancer.load_balancer_arn);
        }
        Ok(found)
    }

    async fn ports(&self, balancer: &Arn) -> Result<Vec<Port>, RouterError> {
        let asked = self.reads().await.describe_listeners().load_balancer_arn(balancer.as_str());
        let mut pages = asked.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(listener) = pages.next().await {
            let listener = listener.map_err(|e| self.unread("DescribeListeners", balancer.as_str(), &e))?;
            let arn = Arn::read(listener.listener_arn().unwrap_or_default(), Sort::Listener).ok();
            let port = listener.port().and_then(|port| u16::try_from(port).ok());
            let protocol = listener.protocol().map_or("no protocol", |p| p.as_str()).to_string();
            found.extend(arn.zip(port).map(|(arn, port)| Port { arn, port, protocol }));
        }
        Ok(found)
    }

    /// The rules of a listener without its default rule. Their tags are read only where they are asked for.
    async fn rows(&self, listener: &Arn, which: &Which) -> Result<Vec<Row>, RouterError> {
        let mut pages =
            self.reads().await.describe_rules().listener_arn(listener.as_str()).into_paginator().items().send();
        let mut rows = Vec::new();
        while let Some(rule) = pages.next().await {
            let rule = rule.map_err(|e| self.unread("DescribeRules", listener.as_str(), &e))?;
            if rule.is_default() != Some(true) {
                rows.push(row(&rule));
            }
        }
        if !which.tags.is_empty() {
            let mut tags = self.tags(rows.iter().map(|row| row.arn.clone()).collect()).await?;
            rows.iter_mut().for_each(|row| row.tags = tags.remove(&row.arn).unwrap_or_default());
        }
        Ok(rows)
    }

    /// Both groups. What they are known by is looked for in one list, where it has to be looked for in a list.
    async fn groups(&self, names: &Names) -> Result<(Arn, Arn), RouterError> {
        let tagged = Color::BOTH.iter().any(|color| matches!(names.group(*color), Known::By(By::Tags(_))));
        let all = if tagged { Some(self.all_groups(true, &names.region).await?) } else { None };
        let one = async |known: &Known| match (known, &all) {
            (Known::Arn(arn), _) => Ok(arn.clone()),
            (Known::By(by), Some(all)) => matching::thing(GROUP, by, &names.region, all),
            (Known::By(by), None) => self.group(by, &names.region).await,
        };
        let (blue, green) = join(one(&names.blue), one(&names.green)).await;
        both(blue, green)
    }

    async fn group(&self, by: &By, region: &str) -> Result<Arn, RouterError> {
        let By::Name(name) = by else {
            return matching::thing(GROUP, by, region, &self.all_groups(true, region).await?);
        };
        let asked = self.reads().await.describe_target_groups().names(name).send().await;
        let found = match asked.map_err(|e| self.unread("DescribeTargetGroups", name, &e)) {
            // The message names what is there.
            Err(error) if error.kind == Trouble::NotFound => self.all_groups(false, region).await?,
            Err(error) => return Err(error),
            Ok(answer) => {
                let arns = answer.target_groups().iter().filter_map(|group| group.target_group_arn.clone()).collect();
                self.candidates(Sort::TargetGroup, arns, false, region).await?
            }
        };
        matching::thing(GROUP, by, region, &found)
    }

    async fn all_groups(&self, tagged: bool, region: &str) -> Result<Vec<Candidate>, RouterError> {
        let arns = self.target_groups().await?.into_iter().filter_map(|group| group.target_group_arn).collect();
        self.candidates(Sort::TargetGroup, arns, tagged, region).await
    }

    /// What can be meant: things of this sort and region.
    async fn candidates(
        &self,
        sort: Sort,
        arns: Vec<String>,
        tagged: bool,
        region: &str,
    ) -> Result<Vec<Candidate>, RouterError> {
        let read = |text: &String| Arn::read(text, sort).ok().filter(|arn| arn.region == region);
        let arns: Vec<Arn> = arns.iter().filter_map(read).collect();
        let mut tags = match tagged {
            true => self.tags(arns.iter().map(Arn::to_string).collect()).await?,
            false => BTreeMap::new(),
        };
        let candidate = |arn: Arn| Candidate { tags: tags.remove(arn.as_str()).unwrap_or_default(), arn };
        Ok(arns.into_iter().map(candidate).collect())
    }

    /// The tags of each of these.
    async fn tags(&self, arns: Vec<String>) -> Result<BTreeMap<String, Tags>, RouterError> {
        let client = self.reads().await;
        let mut found = BTreeMap::new();
        for batch in arns.chunks(TAGGED) {
            let asked = client.describe_tags().set_resource_arns(Some(batch.to_vec())).send().await;
            let answer = asked.map_err(|e| self.unread("DescribeTags", "*", &e))?;
            for resource in answer.tag_descriptions() {
                let pair = |tag: &Tag| Some((tag.key()?.to_string(), tag.value().unwrap_or_default().to_string()));
                let tags = resource.tags().iter().filter_map(pair).collect();
                found.insert(resource.resource_arn().unwrap_or_default().to_string(), tags);
            }
        }
        Ok(found)
    }
}

fn row(rule: &Rule) -> Row {
    // The values stand in a member of their own, and in old rules beside the field's name.
    let values = |field: &str, own: fn(&RuleCondition) -> Option<&[String]>| {
        let of = |condition: &RuleCondition| match own(condition).filter(|values| !values.is_empty()) {
            Some(values) => values.to_vec(),
            None => condition.values().to_vec(),
        };
        rule.conditions().iter().filter(|c| c.field() == Some(field)).flat_map(of).collect()
    };
    Row {
        arn: rule.rule_arn().unwrap_or_default().into(),
        priority: rule.priority().and_then(|text| text.parse().ok()),
        hosts: values("host-header", |c| c.host_header_config().map(|config| config.values())),
        paths: values("path-pattern", |c| c.path_pattern_config().map(|config| config.values())),
        headers: rule.conditions().iter().filter_map(|c| c.http_header_config()).map(header).collect(),
        tags: Tags::new(),
    }
}

fn header(config: &HttpHeaderConditionConfig) -> (String, Vec<String>) {
    (config.http_header_name().unwrap_or_default().to_string(), config.values().to_vec())
}

/// What was found has to be settings as if somebody had written them: one region, one account, two groups.
fn fitting(settings: &Value, names: &Names) -> Result<Settings, RouterError> {
    let words = match Written::read(settings) {
        Ok(Written::Arns(settings)) => return Ok(*settings),
        Ok(Written::Names(_)) => vec!["not all of it are ARNs".into()],
        Err(mistakes) => mistakes.into_iter().map(|mistake| mistake.message).collect(),
    };
    let what = format!("what {} names does not fit together: {}", names.line(), words.join("; "));
    Err(RouterError::new(Trouble::Invalid, what)
        .cure("name two target groups of the load balancer's own region and account"))
}

/// Both, or everything that is wrong with them: a name that is wrong does not hide another.
fn both<A, B>(one: Result<A, RouterError>, other: Result<B, RouterError>) -> Result<(A, B), RouterError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        // What passes by itself says nothing of the names.
        (Err(one), Err(other)) if one.passing() || one.what == other.what => Err(one),
        (Err(_), Err(other)) if other.passing() => Err(other),
        (Err(one), Err(other)) => {
            let cures: Vec<String> = one.cure.iter().chain(&other.cure).cloned().collect();
            let what = format!("{}; {}", one.what, other.what);
            Err(RouterError { what, cure: Some(cures.join("; ")).filter(|text| !text.is_empty()), ..one })
        }
    }
}

fn strange(found: &str, why: &str) -> RouterError {
    RouterError::new(Trouble::Unreachable, format!("`{found}` in the answer of DescribeRules is {why}"))
}
