//! The lab from outside, over its sockets: with the real AWS SDK, with plain HTTP, and under load.

#![cfg(feature = "aws")]
#![allow(clippy::disallowed_methods, reason = "the lab keeps real time, and so does who looks at it")]

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use aws_sdk_elasticloadbalancingv2 as elb;
use bgctl::lab::{Fault, Lab, Options};
use bgctl::routers::AwsAccess;
use elb::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use elb::error::ProvideErrorMetadata;
use elb::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, RedirectActionConfig, Rule,
    TargetDescription, TargetGroupStickinessConfig, TargetGroupTuple,
};
use hmac::{Hmac, KeyInit, Mac};

/// A lab and everything that talks to it.
struct Rig {
    lab: Lab,
    at: BTreeMap<String, String>,
    environment: HashMap<String, String>,
    elb: elb::Client,
    http: reqwest::Client,
}

fn rig_with(faults: &[Fault], events_per_second: u32) -> Rig {
    let lab =
        Lab::start(Options { faults: faults.to_vec(), events_per_second, seed: 7, ..Options::default() }).unwrap();
    let environment: HashMap<_, _> = lab.environment().into_iter().collect();
    let config = elb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(bgctl::routers::aws::http_client(&AwsAccess::default()))
        .region(Region::new(environment["AWS_REGION"].clone()))
        .endpoint_url(&environment["AWS_ENDPOINT_URL"])
        .credentials_provider(credentials(&environment))
        .retry_config(RetryConfig::disabled())
        .build();
    let http = bgctl::https::client().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    Rig { at: lab.variables(), environment, elb: elb::Client::from_conf(config), http, lab }
}

fn rig(faults: &[Fault]) -> Rig {
    rig_with(faults, 50)
}

fn credentials(environment: &HashMap<String, String>) -> Credentials {
    Credentials::new(&environment["AWS_ACCESS_KEY_ID"], &environment["AWS_SECRET_ACCESS_KEY"], None, None, "lab")
}

impl Rig {
    fn at(&self, name: &str) -> &str {
        &self.at[name]
    }

    fn to(&self, blue: i32, green: i32) -> Action {
        let tuple =
            |group: &str, weight| TargetGroupTuple::builder().target_group_arn(self.at(group)).weight(weight).build();
        let forward = ForwardActionConfig::builder()
            .target_groups(tuple("blue_target_group", blue))
            .target_groups(tuple("green_target_group", green));
        Action::builder().r#type(ActionTypeEnum::Forward).forward_config(forward.build()).build()
    }

    /// `ok`, or the error's code; `-` where no answer came.
    async fn write(&self, rule: &str, actions: Vec<Action>) -> String {
        match self.elb.modify_rule().rule_arn(rule).set_actions(Some(actions)).send().await {
            Ok(_) => "ok".into(),
            Err(error) => error.code().unwrap_or("-").into(),
        }
    }

    async fn shift(&self, blue: i32, green: i32) -> String {
        self.write(self.at("rule_arn"), vec![self.to(blue, green)]).await
    }

    /// Blue's and green's weight as read.
    async fn weights(&self) -> Vec<i32> {
        let rules = self.elb.describe_rules().rule_arns(self.at("rule_arn")).send().await.unwrap();
        let forward = rules.rules()[0].actions()[0].forward_config().unwrap().clone();
        forward.target_groups().iter().filter_map(TargetGroupTuple::weight).collect()
    }

    /// The version that answers at the public address.
    async fn version(&self) -> Option<String> {
        let answer = self.http.get(format!("{}/version", self.at("public_url"))).send().await.ok()?;
        Some(answer.headers().get("x-bot-version")?.to_str().ok()?.to_string())
    }

    async fn health(&self, group: &str) -> Vec<String> {
        let answer = self.elb.describe_target_health().target_group_arn(self.at(group)).send().await.unwrap();
        let health = |row: &elb::types::TargetHealthDescription| {
            let health = row.target_health().unwrap();
            let reason = health.reason().map(|reason| format!("/{reason}")).unwrap_or_default();
            format!("{}{reason}", health.state().unwrap())
        };
        answer.target_health_descriptions().iter().map(health).collect()
    }

    async fn query(&self, query: &str) -> HashMap<String, f64> {
        let answer: serde_json::Value = self
            .http
            .post(format!("{}/api/v1/query", self.at("prometheus_url")))
            .form(&[("query", query)])
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        let row = |row: &serde_json::Value| {
            let color = row["metric"]["color"].as_str().unwrap_or("").to_string();
            (color, row["value"][1].as_str().unwrap().parse().unwrap())
        };
        answer["data"]["result"].as_array().unwrap().iter().map(row).collect()
    }

    /// Posts bytes to a bot, signed as told, and gives status and text.
    async fn slack(&self, base: &str, kind: &str, body: &str, change: Change) -> (u16, String) {
        let secret = if change == Change::OtherKey { "another" } else { &self.environment["SLACK_SIGNING_SECRET"] };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let stamp = match change {
            Change::Stale => now - 600,
            Change::Ahead => now + 600,
            _ => now,
        };
        let mut code = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        code.update(format!("v0:{stamp}:{body}").as_bytes());
        let hex: String = code.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let body = if change == Change::OneByte { body.replacen('a', "b", 1) } else { body.to_string() };
        let mut request = self.http.post(format!("{}/slack/events", self.at(base))).header("content-type", kind);
        if change != Change::Unsigned {
            request =
                request.header("x-slack-request-timestamp", stamp).header("x-slack-signature", format!("v0={hex}"));
        }
        let answer = request.body(body).send().await.unwrap();
        assert!(answer.headers().contains_key("x-bot-version"));
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Change {
    None,
    OtherKey,
    OneByte,
    Stale,
    Ahead,
    Unsigned,
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn smoke(nonce: &str, trigger: &str) -> String {
    format!("token=x&team_id=T0LAB&command=%2Fbgctl-smoke&text={nonce}&trigger_id={trigger}")
}

/// Asks until the answer is as wanted; an answer that never comes fails the test after ten seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let started = Instant::now();
    while !ask().await {
        assert!(started.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_sdk_reads_everything_a_cutover_reads() {
    let rig = rig(&[]);
    let names: Vec<_> = rig.at.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "blue_target_group",
            "blue_target_group_name",
            "blue_url",
            "green_target_group",
            "green_target_group_name",
            "green_url",
            "listener_port",
            "load_balancer",
            "prometheus_url",
            "public_url",
            "release",
            "rule_arn"
        ]
    );
    let balancers = rig.elb.describe_load_balancers().names(rig.at("load_balancer")).send().await.unwrap();
    let balancer = balancers.load_balancers()[0].load_balancer_arn().unwrap();
    let listeners = rig.elb.describe_listeners().load_balancer_arn(balancer).send().await.unwrap();
    assert_eq!(listeners.listeners().len(), 2);
    assert_eq!(listeners.listeners()[0].default_actions()[0].r#type(), Some(&ActionTypeEnum::FixedResponse));
    let groups = rig.elb.describe_target_groups().target_group_arns(rig.at("blue_target_group")).send().await.unwrap();
    assert_eq!(groups.target_groups()[0].load_balancer_arns(), [balancer]);
    assert_eq!(rig.weights().await, [100, 0]);
    for group in ["blue_target_group", "green_target_group"] {
        assert_eq!(rig.health(group).await, ["healthy", "healthy"], "{group}");
    }
    let attributes =
        rig.elb.describe_target_group_attributes().target_group_arn(rig.at("blue_target_group")).send().await.unwrap();
    assert_eq!(attributes.attributes()[0].key(), Some("deregistration_delay.timeout_seconds"));
    let sts = aws_sdk_sts::Client::from_conf(
        aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .http_client(bgctl::routers::aws::http_client(&AwsAccess::default()))
            .region(aws_sdk_sts::config::Region::new("us-east-1"))
            .endpoint_url(&rig.environment["AWS_ENDPOINT_URL"])
            .credentials_provider(credentials(&rig.environment))
            .build(),
    );
    let identity = sts.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account(), Some("000000000000"));
    for (key, secret, code) in [
        ("AKIASTRANGER", "s", "InvalidClientTokenId"),
        (rig.environment["AWS_ACCESS_KEY_ID"].as_str(), "wrong", "SignatureDoesNotMatch"),
    ] {
        let credentials = Credentials::new(key, secret, None, None, "lab");
        let config = rig.elb.config().to_builder().credentials_provider(credentials).build();
        let refused = elb::Client::from_conf(config).describe_load_balancers().send().await.unwrap_err();
        assert_eq!((refused.code(), refused.raw_response().unwrap().status().as_u16()), (Some(code), 403));
    }
    let bare = rig.http.post(&rig.environment["AWS_ENDPOINT_URL"]).body("Action=DescribeLoadBalancers").send();
    assert!(bare.await.unwrap().text().await.unwrap().contains("MissingAuthenticationToken"));
}

#[tokio::test]
async fn lists_come_in_pages_and_what_is_missing_is_named() {
    let rig = rig(&[]);
    let https = https_rules(&rig).await;
    let listener = https[0].rule_arn().unwrap().replace("listener-rule", "listener");
    let listener = listener.rsplit_once('/').unwrap().0.to_string();
    let mut pages = rig.elb.describe_rules().listener_arn(&listener).page_size(2).into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page.unwrap().rules().len());
    }
    assert_eq!(sizes, [2, 1]);
    // Where no size is asked for a page is short all the same.
    let first = rig.elb.describe_target_groups().send().await.unwrap();
    assert_eq!((first.target_groups().len(), first.next_marker()), (20, Some("20")));
    let all =
        rig.elb.describe_target_groups().into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(all.len(), 26);
    let named = rig.elb.describe_target_groups().names("bot-blue").send().await.unwrap();
    assert_eq!(named.target_groups()[0].target_group_arn(), Some(rig.at("blue_target_group")));
    let error = rig.elb.describe_target_groups().names("bot-bleu").send().await.unwrap_err().into_service_error();
    assert!(error.is_target_group_not_found_exception(), "{error:?}");
    let error = rig.elb.describe_load_balancers().names("bot").send().await.unwrap_err().into_service_error();
    assert!(error.is_load_balancer_not_found_exception(), "{error:?}");
    let tags = rig.elb.describe_tags().resource_arns(rig.at("green_target_group")).send().await.unwrap();
    assert_eq!(tags.tag_descriptions()[0].tags()[1].value(), Some("green"));

    let gone = format!("{}0", rig.at("rule_arn"));
    let error = rig.elb.describe_rules().rule_arns(&gone).send().await.unwrap_err().into_service_error();
    assert!(error.is_rule_not_found_exception(), "{error:?}");
    let error = rig.elb.describe_rules().listener_arn("x").send().await.unwrap_err().into_service_error();
    assert!(error.is_listener_not_found_exception(), "{error:?}");
    let error = rig.elb.describe_rules().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ValidationError"));
    let error = rig.elb.describe_target_health().target_group_arn("x").send().await.unwrap_err().into_service_error();
    assert!(error.is_target_group_not_found_exception(), "{error:?}");
    let tags = rig.elb.describe_tags().set_resource_arns(Some(vec![gone.clone(); 21])).send().await.unwrap_err();
    assert_eq!(tags.code(), Some("ValidationError"));
    let tags = rig.elb.describe_tags().resource_arns(&gone).send().await.unwrap_err();
    assert_eq!(tags.code(), Some("RuleNotFound"));
    let owned = rig.elb.describe_tags().resource_arns(https[1].rule_arn().unwrap()).send().await.unwrap();
    assert_eq!(owned.tag_descriptions()[0].tags()[0].key(), Some("elbv2.k8s.aws/cluster"));
    assert_eq!(rig.write(&gone, vec![rig.to(1, 0)]).await, "RuleNotFound");
}

/// The rules of the HTTPS listener: behind OIDC, owned by a controller, default.
async fn https_rules(rig: &Rig) -> Vec<Rule> {
    let balancers = rig.elb.describe_load_balancers().names(rig.at("load_balancer")).send().await.unwrap();
    let arn = balancers.load_balancers()[0].load_balancer_arn().unwrap();
    let listeners = rig.elb.describe_listeners().load_balancer_arn(arn).send().await.unwrap();
    let listener = listeners.listeners()[1].listener_arn().unwrap();
    rig.elb.describe_rules().listener_arn(listener).send().await.unwrap().rules().to_vec()
}

#[tokio::test]
async fn writes_that_break_a_rule_are_refused_and_change_nothing() {
    let rig = rig(&[]);
    let rule = rig.at("rule_arn").to_string();
    let forward = |action: &Action| action.forward_config().unwrap().clone();
    let with =
        |config: ForwardActionConfig| Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build();
    let sticky = |seconds: Option<i32>| {
        let mut config = forward(&rig.to(1, 1));
        config.target_group_stickiness_config =
            Some(TargetGroupStickinessConfig::builder().enabled(true).set_duration_seconds(seconds).build());
        with(config)
    };
    let unknown = TargetGroupTuple::builder().target_group_arn(format!("{}0", rig.at("blue_target_group"))).weight(1);
    let mut stranger = forward(&rig.to(1, 0));
    stranger.target_groups.as_mut().unwrap().push(unknown.build());
    let mut twice = forward(&rig.to(1, 0));
    let again = twice.target_groups()[0].clone();
    twice.target_groups.as_mut().unwrap().push(again);
    let redirect = Action::builder()
        .r#type(ActionTypeEnum::Redirect)
        .redirect_config(
            RedirectActionConfig::builder().status_code(elb::types::RedirectActionStatusCodeEnum::Http302).build(),
        )
        .build();
    let ordered = |mut action: Action, order| {
        action.order = Some(order);
        action
    };
    let oidc = https_rules(&rig).await[0].actions()[0].clone();
    let cases: Vec<(&str, Vec<Action>, &str)> = vec![
        ("no action", vec![], "ValidationError"),
        ("weight 1000", vec![rig.to(1000, 0)], "ValidationError"),
        ("weight -1", vec![rig.to(-1, 1)], "ValidationError"),
        ("0/0", vec![rig.to(0, 0)], "ValidationError"),
        ("sticky without duration", vec![sticky(None)], "ValidationError"),
        ("sticky too long", vec![sticky(Some(604_801))], "ValidationError"),
        ("unknown group", vec![with(stranger)], "TargetGroupNotFound"),
        ("the same group twice", vec![with(twice)], "ValidationError"),
        ("two without order", vec![rig.to(1, 0), redirect.clone()], "ValidationError"),
        ("two that route", vec![ordered(rig.to(1, 0), 1), ordered(redirect, 2)], "InvalidLoadBalancerAction"),
        ("auth on HTTP", vec![oidc, ordered(rig.to(1, 0), 2)], "InvalidLoadBalancerAction"),
    ];
    for (name, actions, code) in cases {
        assert_eq!(rig.write(&rule, actions).await, code, "{name}");
        assert_eq!(rig.weights().await, [100, 0], "{name}");
    }
    assert_eq!(rig.write(&rule, vec![sticky(Some(60))]).await, "ok");
}

#[tokio::test]
async fn the_default_rule_is_changed_through_its_listener_only() {
    let rig = rig(&[]);
    let rules = https_rules(&rig).await;
    let default = rules.iter().find(|rule| rule.is_default() == Some(true)).unwrap().rule_arn().unwrap();
    let refused = rig.elb.modify_rule().rule_arn(default).actions(rig.to(1, 1)).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("OperationNotPermitted"));
    assert_eq!(refused.message(), Some(format!("Default rule '{default}' cannot be modified").as_str()));
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 400);

    let listener = default.replace("listener-rule", "listener").rsplit_once('/').unwrap().0.to_string();
    let fixed = FixedResponseActionConfig::builder().status_code("503").build();
    let action = Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(fixed).build();
    let answer =
        rig.elb.modify_listener().listener_arn(&listener).default_actions(action.clone()).send().await.unwrap();
    assert_eq!(answer.listeners()[0].default_actions(), std::slice::from_ref(&action));
    let refused = rig.elb.modify_listener().listener_arn(&listener).default_actions(rig.to(0, 0)).send().await;
    assert_eq!(refused.unwrap_err().code(), Some("ValidationError"));
    let refused = rig.elb.modify_listener().listener_arn("x").default_actions(action).send().await.unwrap_err();
    assert!(refused.into_service_error().is_listener_not_found_exception());
}

#[tokio::test]
async fn an_oidc_action_survives_only_if_it_is_sent_back_and_its_secret_is_never_shown() {
    let rig = rig(&[]);
    let rule = https_rules(&rig).await[0].clone();
    let arn = rule.rule_arn().unwrap();
    let before = rule.actions().to_vec();
    let oidc = before[0].authenticate_oidc_config().unwrap();
    assert_eq!((oidc.client_secret(), oidc.client_id()), (None, Some("bot-admin")));
    assert_eq!(rig.write(arn, before.clone()).await, "ValidationError");

    let mut back = before.clone();
    back[0].authenticate_oidc_config.as_mut().unwrap().use_existing_client_secret = Some(true);
    let groups = back[1].forward_config.as_mut().unwrap().target_groups.as_mut().unwrap();
    (groups[0].weight, groups[1].weight) = (Some(90), Some(10));
    let answer = rig.elb.modify_rule().rule_arn(arn).set_actions(Some(back)).send().await.unwrap();
    let after = answer.rules()[0].actions().to_vec();
    assert_eq!(after[0], before[0]);
    let (was, is) = (before[1].forward_config().unwrap(), after[1].forward_config().unwrap());
    assert_eq!(is.target_group_stickiness_config(), was.target_group_stickiness_config());
    assert_eq!(is.target_groups()[1].weight(), Some(10));

    // Without it the secret is gone, and nothing brings it back.
    assert_eq!(rig.write(arn, vec![rig.to(1, 0)]).await, "ok");
    let mut back = before;
    back[0].authenticate_oidc_config.as_mut().unwrap().use_existing_client_secret = Some(true);
    assert_eq!(rig.write(arn, back).await, "ValidationError");
}

#[tokio::test]
async fn a_forward_to_one_group_is_shown_in_both_forms_and_gets_everybody() {
    let rig = rig(&[]);
    let action =
        Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(rig.at("green_target_group")).build();
    let answer = rig.elb.modify_rule().rule_arn(rig.at("rule_arn")).actions(action).send().await.unwrap();
    let action = &answer.rules()[0].actions()[0];
    assert_eq!(action.target_group_arn(), Some(rig.at("green_target_group")));
    assert_eq!(action.forward_config().unwrap().target_groups().len(), 1);
    until("green for all", async || rig.version().await.as_deref() == Some("v1.4.2")).await;
    assert_eq!(rig.write(rig.at("rule_arn"), vec![action.clone()]).await, "ok");
    // Blue stands in other rules, so it stays in use; out of all of them it is not probed any more.
    assert_eq!(rig.health("blue_target_group").await, ["healthy", "healthy"]);
    let rules = https_rules(&rig).await;
    for rule in rules.iter().filter(|rule| rule.is_default() == Some(false)) {
        assert_eq!(rig.write(rule.rule_arn().unwrap(), vec![action.clone()]).await, "ok");
    }
    let default = rules.last().unwrap().rule_arn().unwrap().replace("listener-rule", "listener");
    let listener = default.rsplit_once('/').unwrap().0;
    rig.elb.modify_listener().listener_arn(listener).default_actions(action.clone()).send().await.unwrap();
    assert_eq!(rig.health("blue_target_group").await, ["unused/Target.NotInUse"; 2]);
}

#[tokio::test]
async fn a_write_is_read_late_and_followed_later() {
    let rig = rig(&[]);
    let mut stale = 0;
    let mut followed_at_once = 0;
    for round in 0..6 {
        let (blue, green, version) = if round % 2 == 0 { (0, 1, "v1.4.2") } else { (1, 0, "v1.4.1") };
        assert_eq!(rig.shift(blue, green).await, "ok");
        followed_at_once += u32::from(rig.version().await.as_deref() == Some(version));
        for _ in 0..2 {
            stale += u32::from(rig.weights().await != [blue, green]);
        }
        until("the proxy follows", async || rig.version().await.as_deref() == Some(version)).await;
        assert_eq!(rig.weights().await, [blue, green]);
    }
    // A machine under load may take longer to ask than the proxy takes to follow, but not each time.
    assert!(followed_at_once < 6, "{followed_at_once}");
    assert!(stale > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_as_the_weights_say_and_fifty_shifts_lose_nothing() {
    let rig = rig_with(&[], 200);
    assert_eq!(rig.shift(90, 10).await, "ok");
    until("green is seen", async || rig.version().await.as_deref() == Some("v1.4.2")).await;
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (http, url) = (rig.http.clone(), format!("{}/version", rig.at("public_url")));
        tasks.spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..500 {
                let answer = http.get(&url).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                versions.push(answer.headers()["x-bot-version"].to_str().unwrap().to_string());
            }
            versions
        });
    }
    while let Some(versions) = tasks.join_next().await {
        versions.unwrap().into_iter().for_each(|version| *seen.entry(version).or_default() += 1);
    }
    assert!((150..=250).contains(&seen["v1.4.2"]), "{seen:?}");

    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for _ in 0..4 {
        let (http, url, done) = (rig.http.clone(), format!("{}/version", rig.at("public_url")), done.clone());
        tasks.spawn(async move {
            let mut statuses = Vec::new();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                statuses.push(match http.get(&url).send().await {
                    Ok(answer) => answer.status().to_string(),
                    Err(error) => error.to_string(),
                });
            }
            statuses
        });
    }
    for round in 0..50 {
        let green = (round * 37) % 101;
        assert_eq!(rig.shift(100 - green, green).await, "ok");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut count = 0;
    while let Some(statuses) = tasks.join_next().await {
        for status in statuses.unwrap() {
            assert_eq!(status, "200 OK");
            count += 1;
        }
    }
    let ledger = rig.lab.finish();
    assert!(count > 50 && ledger.sent > 200, "{count} {ledger:?}");
    assert_eq!((ledger.lost, ledger.twice, ledger.pending), (0, 0, 0), "{ledger:?}");
    assert_eq!((ledger.handled_once, ledger.delivered, ledger.commands_failed), (ledger.sent, ledger.sent, 0));
    assert!(ledger.green > 0 && ledger.blue + ledger.green == ledger.sent, "{ledger:?}");
}

#[tokio::test]
async fn a_sticky_client_stays_where_it_is_whatever_the_weights() {
    let rig = rig(&[]);
    let mut config = rig.to(1, 1).forward_config().unwrap().clone();
    config.target_group_stickiness_config =
        Some(TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(60).build());
    let action = |config: &ForwardActionConfig| {
        Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config.clone()).build()
    };
    assert_eq!(rig.write(rig.at("rule_arn"), vec![action(&config)]).await, "ok");
    let url = format!("{}/version", rig.at("public_url"));
    let ask = async |cookie: Option<&str>| {
        let mut request = rig.http.get(&url);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let answer = request.send().await.unwrap();
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_string());
        (header("x-bot-version").unwrap(), header("set-cookie"))
    };
    until("green sets a cookie", async || ask(None).await.0 == "v1.4.2").await;
    let cookie = loop {
        let (version, cookie) = ask(None).await;
        if version == "v1.4.2" {
            break cookie.unwrap().split(';').next().unwrap().to_string();
        }
    };
    config.target_groups.as_mut().unwrap()[1].weight = Some(0);
    assert_eq!(rig.write(rig.at("rule_arn"), vec![action(&config)]).await, "ok");
    // One to one, so two answers of blue in a row prove nothing; twenty do.
    let mut in_a_row = 0;
    while in_a_row < 20 {
        in_a_row = if ask(None).await.0 == "v1.4.1" { in_a_row + 1 } else { 0 };
    }
    for _ in 0..20 {
        assert_eq!(ask(Some(&cookie)).await.0, "v1.4.2");
        assert_eq!(ask(None).await.0, "v1.4.1");
    }
    // The way back on a sticky rule: green leaves the list.
    let alone = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(rig.at("blue_target_group")).build();
    assert_eq!(rig.write(rig.at("rule_arn"), vec![alone]).await, "ok");
    until("the sticky client is on blue", async || ask(Some(&cookie)).await.0 == "v1.4.1").await;
}

#[tokio::test]
async fn a_deregistered_target_drains_for_its_time_and_an_empty_group_answers_503() {
    let rig = rig_with(&[], 1);
    let answer = rig.elb.describe_target_health().target_group_arn(rig.at("green_target_group")).send().await.unwrap();
    let targets: Vec<TargetDescription> =
        answer.target_health_descriptions().iter().map(|row| row.target().unwrap().clone()).collect();
    let group = rig.at("green_target_group");
    let call = rig.elb.deregister_targets().target_group_arn(group).set_targets(Some(targets.clone()));
    call.send().await.unwrap();
    let started = Instant::now();
    assert_eq!(rig.health("green_target_group").await, ["draining/Target.DeregistrationInProgress"; 2]);
    assert_eq!(rig.shift(0, 1).await, "ok");
    let url = format!("{}/version", rig.at("public_url"));
    until("503 of an empty group", async || rig.http.get(&url).send().await.unwrap().status() == 503).await;
    until("gone", async || rig.health("green_target_group").await.is_empty()).await;
    assert!(started.elapsed() > Duration::from_secs(4));
    let asked = rig.elb.describe_target_health().target_group_arn(group).targets(targets[0].clone()).send().await;
    let health = asked.unwrap().target_health_descriptions()[0].target_health().unwrap().clone();
    assert_eq!(health.reason().unwrap().as_str(), "Target.NotRegistered");

    rig.elb.register_targets().target_group_arn(group).targets(targets[0].clone()).send().await.unwrap();
    assert_eq!(rig.health("green_target_group").await, ["initial/Elb.InitialHealthChecking"]);
    until("healthy", async || rig.health("green_target_group").await == ["healthy"]).await;
    assert_eq!(rig.version().await.as_deref(), Some("v1.4.2"));
}

#[tokio::test]
async fn only_slacks_own_bytes_are_taken() {
    let rig = rig(&[]);
    let body = smoke("nonce-a", "t1");
    for (change, status) in [
        (Change::OtherKey, 401),
        (Change::OneByte, 401),
        (Change::Stale, 401),
        (Change::Ahead, 401),
        (Change::Unsigned, 401),
        (Change::None, 200),
    ] {
        let (seen, text) = rig.slack("green_url", FORM, &body, change).await;
        assert_eq!((seen, text.contains("nonce-a")), (status, status == 200), "{text}");
    }
    let challenge = r#"{"type":"url_verification","challenge":"abc","token":"x"}"#;
    assert_eq!(rig.slack("green_url", JSON, challenge, Change::None).await, (200, "abc".into()));
    assert_eq!(rig.slack("green_url", JSON, challenge, Change::Unsigned).await.0, 401);
    assert_eq!(rig.slack("green_url", FORM, "ssl_check=1&token=x", Change::Unsigned).await, (200, String::new()));
    assert_eq!(rig.slack("green_url", FORM, "ssl_check=1&payload={}", Change::Unsigned).await.0, 401);
    assert_eq!(rig.slack("green_url", JSON, "{", Change::None).await.0, 400);
    assert_eq!(rig.slack("green_url", JSON, "[]", Change::None).await.0, 404);
    assert_eq!(rig.slack("green_url", FORM, "command=%2Fnone&trigger_id=x", Change::None).await.0, 404);
    assert_eq!(rig.slack("green_url", JSON, r#"{"type":"event_callback"}"#, Change::None).await.0, 400);
}

#[tokio::test]
async fn buttons_and_modals_are_answered() {
    let rig = rig(&[]);
    let payload = |json: &str| {
        let json: String = form_urlencoded::byte_serialize(json.as_bytes()).collect();
        format!("payload={json}")
    };
    let modal = |schema: u64, value: &str| {
        payload(&format!(
            r#"{{"type":"view_submission","trigger_id":"v","view":{{"callback_id":"bgctl_smoke",
               "private_metadata":"{{\"schema\":{schema}}}",
               "state":{{"values":{{"reason":{{"text":{{"value":"{value}"}}}}}}}}}}}}"#
        ))
    };
    let button = payload(r#"{"type":"block_actions","actions":[{"action_id":"bgctl_smoke"}]}"#);
    assert_eq!(rig.slack("green_url", FORM, &button, Change::None).await, (200, String::new()));
    let other = button.replace("bgctl_smoke", "no_such");
    assert_eq!(rig.slack("green_url", FORM, &other, Change::None).await.0, 404);
    let (status, text) = rig.slack("green_url", FORM, &modal(1, ""), Change::None).await;
    assert!(status == 200 && text.contains(r#""response_action":"errors""#) && text.contains("reason"), "{text}");
    // Opened on blue, sent in on green; and the other way round, where blue cannot read green's schema.
    assert_eq!(rig.slack("green_url", FORM, &modal(1, "all well"), Change::None).await, (200, String::new()));
    let (_, text) = rig.slack("blue_url", FORM, &modal(2, "all well"), Change::None).await;
    assert!(text.contains("newer version"), "{text}");
}

#[tokio::test]
async fn the_same_bytes_to_both_colours_have_one_effect() {
    let rig = rig(&[]);
    let pong = |answer: &(u16, String)| answer.0 == 200 && answer.1.contains("pong");
    for (first, second, trigger) in [("blue_url", "green_url", "d1"), ("green_url", "blue_url", "d2")] {
        let body = smoke("n", trigger);
        let (one, two) =
            (rig.slack(first, FORM, &body, Change::None).await, rig.slack(second, FORM, &body, Change::None).await);
        assert!(pong(&one) && one.1.contains(&first.replace("_url", "")), "{one:?}");
        assert_eq!(two, (200, String::new()));
    }
    for pair in 0..40 {
        let body = smoke("n", &format!("d3.{pair}"));
        let (one, two) = tokio::join!(
            rig.slack("blue_url", FORM, &body, Change::None),
            rig.slack("green_url", FORM, &body, Change::None)
        );
        assert_eq!(u32::from(pong(&one)) + u32::from(pong(&two)), 1, "{one:?} {two:?}");
    }
    // Events that Slack is about to send, sent by a stranger to both at once; and those it has sent, once more.
    for number in (0..10).chain(100..140) {
        let body = format!(r#"{{"type":"event_callback","team_id":"T0LAB","event_id":"Ev0LAB{number:08}"}}"#);
        let (one, two) = tokio::join!(
            rig.slack("blue_url", JSON, &body, Change::None),
            rig.slack("green_url", JSON, &body, Change::None)
        );
        assert!([200, 503].contains(&one.0) && [200, 503].contains(&two.0), "{one:?} {two:?}");
    }
    until("140 events", async || rig.lab.ledger().sent > 140).await;
    let ledger = rig.lab.finish();
    assert_eq!((ledger.handled_once, ledger.twice, ledger.lost), (ledger.sent, 0, 0), "{ledger:?}");
}

#[tokio::test]
async fn what_the_proxy_saw_can_be_queried() {
    let rig = rig(&[]);
    let rates = "sum by (color) (rate(http_requests_total[10s]))";
    let first = rig.query(rates).await;
    assert!(first["blue"] > 0.0 && first["green"] == 0.0, "{first:?}");
    assert_eq!(rig.shift(50, 50).await, "ok");
    until("green is counted", async || rig.query(rates).await["green"] > 3.0).await;
    let errors = format!("sum by (color) (rate(http_requests_total{{status=~\"5..\"}}[10s])) / {rates}");
    assert_eq!(rig.query(&errors).await, HashMap::from([("blue".into(), 0.0), ("green".into(), 0.0)]));
    let p99 = "histogram_quantile(0.99, sum by (color, le) (rate(http_request_duration_seconds_bucket[10s])))";
    let p99 = rig.query(p99).await;
    assert!(p99["blue"] > 0.0 && p99["green"] < 0.8, "{p99:?}");
    let age = rig.query("min by (color) (time() - timestamp(up))").await;
    assert!(age["blue"] < 2.5 && age.len() == 2, "{age:?}");
    for (query, status, kind) in [("sum(", 400, "bad_data"), ("", 400, "bad_data"), ("topk(1,up)", 422, "execution")] {
        let url = format!("{}/api/v1/query", rig.at("prometheus_url"));
        let answer = rig.http.get(url).query(&[("query", query)]).send().await.unwrap();
        assert_eq!(answer.status(), status, "{query}");
        let json: serde_json::Value = answer.json().await.unwrap();
        assert_eq!((json["status"].as_str(), json["errorType"].as_str()), (Some("error"), Some(kind)));
    }
}

#[tokio::test]
async fn messages_arrive_by_webhook_and_by_method() {
    let rig = rig_with(&[], 1);
    let post = async |path: &str, token: Option<&str>, json: serde_json::Value| {
        let mut request = rig.http.post(format!("{}{path}", rig.lab.slack_url())).json(&json);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let text = serde_json::json!({ "text": "one" });
    assert_eq!(post("/services/T/B/x", None, text.clone()).await, (200, "ok".into()));
    assert_eq!(post("/services/T/B/x", None, serde_json::json!({})).await, (400, "no_text".into()));
    let message = serde_json::json!({ "channel": "C1", "text": "two" });
    assert!(post("/api/chat.postMessage", Some("xoxb-1"), message.clone()).await.1.contains(r#""ok":true"#));
    assert!(post("/api/chat.postMessage", None, message.clone()).await.1.contains("not_authed"));
    assert!(post("/api/chat.postMessage", Some("xoxb-1"), text.clone()).await.1.contains("channel_not_found"));
    assert_eq!(rig.lab.messages(), [text, message]);
}

/// Sends a tenth of the users to green for as long as `look` takes, then everybody back to blue, and counts.
async fn tenth_on_green(rig: &Rig, look: impl AsyncFnOnce(&Rig)) -> bgctl::lab::Ledger {
    assert_eq!(rig.shift(90, 10).await, "ok");
    look(rig).await;
    assert_eq!(rig.shift(100, 0).await, "ok");
    let started = Instant::now();
    until("the way back", async || started.elapsed() > Duration::from_millis(400)).await;
    rig.lab.finish()
}

const RATIO: &str = "sum by (color) (rate(http_requests_total{status=~\"5..\"}[10s])) \
                     / sum by (color) (rate(http_requests_total[10s]))";

#[tokio::test]
async fn green_errors_are_seen_in_the_ratio_and_lose_nothing() {
    let rig = rig_with(&[Fault::GreenErrors], 100);
    let smoke = rig.slack("green_url", FORM, &smoke("n", "t"), Change::None).await;
    assert!(smoke.1.contains("pong"), "{smoke:?}");
    let look = async |rig: &Rig| {
        until("green's error ratio", async || rig.query(RATIO).await["green"] > 0.1).await;
        assert_eq!(rig.query(RATIO).await["blue"], 0.0);
        // A command that failed shows in the ratio too; only an event is tried again.
        until("a retry", async || rig.lab.ledger().retries > 0).await;
    };
    let ledger = tenth_on_green(&rig, look).await;
    assert!(ledger.retries > 0, "{ledger:?}");
    assert_eq!((ledger.lost, ledger.twice), (0, 0), "{ledger:?}");
}

#[tokio::test]
async fn green_slow_is_seen_in_the_quantile() {
    let rig = rig_with(&[Fault::GreenSlow], 100);
    let p99 = "histogram_quantile(0.99, sum by (color, le) (rate(http_request_duration_seconds_bucket[10s])))";
    let look = async |rig: &Rig| {
        until("green's p99", async || rig.query(p99).await["green"] > 0.8).await;
        assert!(rig.query(p99).await["blue"] < 0.5);
    };
    let ledger = tenth_on_green(&rig, look).await;
    assert_eq!((ledger.lost, ledger.twice, ledger.retries), (0, 0, 0), "{ledger:?}");
}

#[tokio::test]
async fn green_down_is_unhealthy_and_the_retries_reach_blue() {
    let rig = rig(&[Fault::GreenDown]);
    let look = async |rig: &Rig| {
        until("green is unhealthy", async || {
            rig.health("green_target_group").await == ["unhealthy/Target.FailedHealthChecks"; 2]
        })
        .await;
        until("502 is counted", async || rig.query(RATIO).await["green"] > 0.1).await;
    };
    let ledger = tenth_on_green(&rig, look).await;
    assert_eq!((ledger.lost, ledger.twice), (0, 0), "{ledger:?}");
    assert!(ledger.retries > 0);
}

#[tokio::test]
async fn blue_down_makes_blue_unhealthy_once_green_has_users() {
    let rig = rig(&[Fault::BlueDown]);
    assert_eq!(rig.health("blue_target_group").await, ["healthy", "healthy"]);
    assert_eq!(rig.shift(50, 50).await, "ok");
    until("blue is unhealthy", async || {
        rig.health("blue_target_group").await == ["unhealthy/Target.FailedHealthChecks"; 2]
    })
    .await;
    assert_eq!(rig.health("green_target_group").await, ["healthy", "healthy"]);
}

#[tokio::test]
async fn the_api_fails_as_it_is_told_to() {
    let throttled = rig(&[Fault::ApiThrottles]);
    let codes = [throttled.shift(1, 1).await, throttled.shift(1, 1).await, throttled.shift(1, 1).await];
    assert_eq!(codes, ["Throttling", "Throttling", "ok"]);

    let cut = rig(&[Fault::ApiLostReply]);
    assert_eq!(cut.shift(90, 10).await, "-");
    until("applied all the same", async || cut.weights().await == [90, 10]).await;
    assert_eq!(cut.shift(1000, 10).await, "ValidationError");

    let denied = rig(&[Fault::ApiDenied, Fault::ApiSlow]);
    let started = Instant::now();
    let error = denied.elb.modify_rule().rule_arn(denied.at("rule_arn")).actions(denied.to(1, 1)).send().await;
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.raw_response().unwrap().status().as_u16()), (Some("AccessDenied"), 403));
    assert!(error.message().unwrap().contains("elasticloadbalancing:ModifyRule"), "{error:?}");
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(denied.weights().await, [100, 0]);
}

#[tokio::test]
async fn prometheus_falls_silent_once_green_has_users() {
    let rig = rig(&[Fault::PrometheusSilent]);
    assert_eq!(rig.query(RATIO).await["blue"], 0.0);
    assert_eq!(rig.shift(90, 10).await, "ok");
    until("scrapes have ended", async || rig.query("max(time() - timestamp(up))").await[""] > 3.0).await;
}

#[tokio::test]
async fn a_wrong_build_and_a_wrong_secret_show_at_green_only() {
    let rig = rig(&[Fault::GreenOldBuild, Fault::GreenWrongSecret]);
    let text = rig.http.get(format!("{}/version", rig.at("green_url"))).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, r#"{"version":"v1.4.1","color":"green"}"#);
    assert_eq!(rig.slack("green_url", FORM, &smoke("n", "t1"), Change::None).await.0, 401);
    assert_eq!(rig.slack("blue_url", FORM, &smoke("n", "t2"), Change::None).await.0, 200);
}

#[tokio::test]
async fn a_lab_ends_with_its_owner_and_refuses_a_senseless_rate() {
    assert!(Lab::start(Options { events_per_second: 0, ..Options::default() }).is_err());
    let rig = rig(&[]);
    let url = format!("{}/version", rig.at("public_url"));
    assert!(rig.http.get(&url).send().await.is_ok());
    let Rig { lab, http, .. } = rig;
    drop(lab);
    assert!(http.get(&url).send().await.is_err());
}
