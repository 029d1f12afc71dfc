//! Places of the router `alb`: a rule and the default rule of moto, and the rule of the lab. The AWS CLI is the other hand.

use std::collections::BTreeMap;
use std::process::Command;

use async_trait::async_trait;
use bgctl::lab::{Lab, Options};
use bgctl::routers::{Access, Kind, NativeWayBack};
use serde_json::{Value, json};

use crate::common::moto::{Api, Balancer, Moto, between};
use crate::common::peer;
use crate::router::{Place, suite, walked};

/// The `alb` router on a server that is spoken to by the real AWS CLI too.
struct AwsCli<'a> {
    api: &'a Api,
    balancer: Balancer,
    /// The default rule through its listener, in place of the rule.
    default: bool,
}

impl AwsCli<'_> {
    fn actions(&self) -> Value {
        if self.default {
            let answer =
                self.api.cli_json(&["elbv2", "describe-listeners", "--listener-arns", &self.balancer.listener]);
            answer["Listeners"][0]["DefaultActions"].clone()
        } else {
            let answer = self.api.cli_json(&["elbv2", "describe-rules", "--rule-arns", &self.balancer.rule]);
            answer["Rules"][0]["Actions"].clone()
        }
    }

    /// The actions with the given weights, as the CLI takes them.
    fn with_weights(&self, blue: u32, green: u32) -> Value {
        let mut actions = self.actions();
        for action in actions.as_array_mut().expect("a list") {
            if let Some(groups) = action.pointer_mut("/ForwardConfig/TargetGroups").and_then(Value::as_array_mut) {
                for group in groups {
                    group["Weight"] = json!(if group["TargetGroupArn"] == self.balancer.blue { blue } else { green });
                }
            }
        }
        actions
    }
}

#[async_trait(?Send)]
impl Place for AwsCli<'_> {
    fn settings(&self) -> Value {
        match self.default {
            true => {
                json!({ "listener": self.balancer.listener, "blue": self.balancer.blue, "green": self.balancer.green })
            }
            false => self.balancer.settings(),
        }
    }

    fn access(&self) -> Access {
        self.api.access()
    }

    /// Read from the bytes of the answer, with neither the SDK nor the CLI.
    async fn witness(&self) -> (u32, u32) {
        let (action, key, arn) = if self.default {
            ("DescribeListeners", "ListenerArns.member.1", &self.balancer.listener)
        } else {
            ("DescribeRules", "RuleArns.member.1", &self.balancer.rule)
        };
        let form = [("Action", action), ("Version", "2015-12-01"), (key, arn.as_str())];
        let xml = self.api.query("elasticloadbalancing", &form).await;
        let weight = |group: &str| {
            let tuple = xml.split("<TargetGroups>").nth(1).and_then(|rest| rest.split(group).nth(1));
            tuple.map_or(0, |rest| between(rest, "Weight").parse().expect("a weight is a number"))
        };
        (weight(&self.balancer.blue), weight(&self.balancer.green))
    }

    fn everything_else(&self) -> Value {
        let mut actions = self.with_weights(0, 0);
        // moto shows the client secret, which AWS never does, and keeps whichever of the two members was sent last.
        for action in actions.as_array_mut().expect("a list") {
            if let Some(oidc) = action.get_mut("AuthenticateOidcConfig").and_then(Value::as_object_mut) {
                let secret = oidc.remove("ClientSecret");
                let kept = oidc.remove("UseExistingClientSecret") == Some(json!(true));
                assert!(secret.is_some() || kept, "the client secret is lost: {oidc:?}");
            }
        }
        actions
    }

    fn meddle(&self, blue: u32, green: u32) {
        let actions = self.with_weights(blue, green).to_string();
        if self.default {
            let listener = &self.balancer.listener;
            self.api.cli_json(&["elbv2", "modify-listener", "--listener-arn", listener, "--default-actions", &actions]);
        } else {
            self.api.cli_json(&["elbv2", "modify-rule", "--rule-arn", &self.balancer.rule, "--actions", &actions]);
        }
    }

    fn empty_green(&self) {
        let group = &self.balancer.green;
        let health = self.api.cli_json(&["elbv2", "describe-target-health", "--target-group-arn", group]);
        let targets = health["TargetHealthDescriptions"].as_array().expect("a list").iter();
        let targets: Vec<&Value> = targets.map(|t| &t["Target"]).collect();
        let targets = json!(targets).to_string();
        let args = ["elbv2", "deregister-targets", "--target-group-arn", group, "--targets", &targets];
        let output = self.api.cli(&args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn walk_back(&self, way: &NativeWayBack) {
        let folder = tempfile::tempdir().expect("a folder");
        let cli = self.api.cli_command();
        let path = std::path::Path::new(cli.get_program()).parent().expect("a folder").display().to_string();
        let way = NativeWayBack { command: format!("PATH={path}:$PATH; {}", way.command), ..way.clone() };
        walked(&way, folder.path(), Command::new("sh").envs(cli.get_envs().filter_map(|(k, v)| Some((k, v?)))));
    }
}

pub async fn rule_on_moto(kind: &Kind) {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, true, None).await;
    suite(kind, &AwsCli { api: &moto, balancer, default: false }).await;
}

pub async fn default_rule_on_moto(kind: &Kind) {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    suite(kind, &AwsCli { api: &moto, balancer, default: true }).await;
}

/// The lab keeps the provider's rules, and its reads lag behind its writes.
pub async fn rule_in_the_lab(kind: &Kind) {
    let Some(aws) = peer("aws") else { return };
    let lab = Lab::start(Options::default()).expect("the lab starts");
    let environment: BTreeMap<String, String> = lab.environment().into_iter().collect();
    let of = |name: &str| environment[name].clone();
    let api =
        Api { url: of("AWS_ENDPOINT_URL"), id: of("AWS_ACCESS_KEY_ID"), secret: of("AWS_SECRET_ACCESS_KEY"), aws };
    let mut variables = lab.variables();
    let mut of = |name: &str| variables.remove(name).expect(name);
    let (rule, blue, green) = (of("rule_arn"), of("blue_target_group"), of("green_target_group"));
    let balancer = Balancer { load_balancer: String::new(), listener: String::new(), rule, blue, green };
    suite(kind, &AwsCli { api: &api, balancer, default: false }).await;
}
