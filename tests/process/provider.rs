//! The whole program against moto, a provider that we did not write: exactly the weights change, and nothing else.

use serde_json::{Value, json};

use crate::common::moto::{Balancer, Moto, REGION};
use crate::rig::*;

fn runbook(balancer: &Balancer) -> String {
    format!(
        r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
stacks:
  blue:  {{ version: v1.4.1, url: "http://127.0.0.1:9" }}
  green: {{ version: v1.4.2, url: "http://127.0.0.1:10" }}
routes:
  web:
    alb:
      rule: {}
      blue: {}
      green: {}
schema:
  change: none
steps:
  - id: shift-10
    shift: {{ route: web, green: 10% }}
  - id: shift-100
    shift: {{ route: web, green: 100% }}
rollback:
  owner: owner@example.com
  steps:
    - id: back-to-blue
      shift: {{ route: web, blue: 100% }}
"#,
        balancer.rule, balancer.blue, balancer.green
    )
}

/// The rule as the AWS CLI reads it: green's share in per cent, and everything that is no weight.
fn read(moto: &Moto, balancer: &Balancer) -> (u64, Value) {
    let answer = moto.cli_json(&["elbv2", "describe-rules", "--rule-arns", &balancer.rule]);
    let mut rule = answer["Rules"][0].clone();
    let (mut green, mut all) = (0, 0);
    for action in rule["Actions"].as_array_mut().expect("actions") {
        for group in
            action.pointer_mut("/ForwardConfig/TargetGroups").and_then(Value::as_array_mut).into_iter().flatten()
        {
            let weight = group["Weight"].as_u64().expect("a weight");
            all += weight;
            green += if group["TargetGroupArn"] == balancer.green { weight } else { 0 };
            group["Weight"] = json!("a weight");
        }
        // moto shows the client secret, which AWS never does, and keeps whichever of the two members was sent last.
        if let Some(oidc) = action.get_mut("AuthenticateOidcConfig").and_then(Value::as_object_mut) {
            let (secret, kept) = (oidc.remove("ClientSecret"), oidc.remove("UseExistingClientSecret"));
            assert!(secret.is_some() || kept == Some(json!(true)), "the client secret is lost: {oidc:?}");
        }
    }
    (green * 100 / all, rule)
}

#[tokio::test]
async fn plan_cutover_and_rollback_change_exactly_the_weights() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, true, Some(600)).await;
    let mut desk = Desk::new();
    desk.env.extend(moto.env().into_iter().map(|(name, value)| (name.to_string(), value)));
    assert_eq!(desk.env["AWS_DEFAULT_REGION"], REGION);
    desk.write("runbook.yaml", &runbook(&balancer));

    let (green, untouched) = read(&moto, &balancer);
    let text = untouched.to_string();
    assert!(green == 0 && text.contains("authenticate-oidc") && text.contains("600"), "{text}");

    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["BLUE 100 GREEN 0", "shift-10"]);
    assert_eq!(read(&moto, &balancer), (0, untouched.clone()), "a plan changes nothing");
    desk.run(&["cutover", "runbook.yaml", "--confirm", "staging"]).ends(0).says(&["all on GREEN v1.4.2"]);
    assert_eq!(read(&moto, &balancer), (100, untouched.clone()));
    desk.complete();
    desk.run(&["rollback", "--yes"]).ends(0).says(&["all on BLUE v1.4.1"]);
    desk.complete();
    // A sticky client would stay on green with weight 0, so the way back of a sticky rule leaves blue alone in it.
    let groups = "/Actions/1/ForwardConfig/TargetGroups";
    let (green, mut back) = read(&moto, &balancer);
    let left = back.pointer(groups).expect("its groups");
    assert_eq!((green, left), (0, &json!([{ "TargetGroupArn": balancer.blue, "Weight": "a weight" }])));
    *back.pointer_mut(groups).expect("its groups") = untouched.pointer(groups).expect("its groups").clone();
    assert_eq!(back, untouched, "signing in and stickiness are as before");

    // And from there forward again, once green is in the list again, with the rule as it was.
    desk.run(&["cutover", "runbook.yaml", "--confirm", "staging"]).ends(11).says(&["bgctl prepare runbook.yaml"]);
    desk.run(&["prepare", "runbook.yaml", "--confirm", "staging"]).ends(0);
    assert_eq!(read(&moto, &balancer), (0, untouched.clone()));
    desk.run(&["cutover", "runbook.yaml", "--confirm", "staging"]).ends(0);
    assert_eq!(read(&moto, &balancer), (100, untouched));
    desk.complete();
}
