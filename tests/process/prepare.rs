//! `bgctl prepare`: the real program adds a group that a rule lacks, beside a lab that keeps the provider's rules.

use bgctl::lab::Lab;
use serde_json::Value;

use crate::common::moto::Api;
use crate::rig::*;

/// Somebody takes green out of the rule, as a way back on a sticky rule does.
fn without_green(lab: &Lab) {
    let env: std::collections::BTreeMap<String, String> = lab.environment().into_iter().collect();
    let variables = lab.variables();
    let url = env.iter().find(|(name, _)| name.starts_with("AWS_ENDPOINT_URL")).expect("an endpoint").1.clone();
    let (id, secret) = (env["AWS_ACCESS_KEY_ID"].clone(), env["AWS_SECRET_ACCESS_KEY"].clone());
    let api = Api { url, id, secret, aws: std::path::PathBuf::new() };
    let form = [
        ("Action", "ModifyRule"),
        ("Version", "2015-12-01"),
        ("RuleArn", variables["rule_arn"].as_str()),
        ("Actions.member.1.Type", "forward"),
        ("Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", &variables["blue_target_group"]),
        ("Actions.member.1.ForwardConfig.TargetGroups.member.1.Weight", "30"),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(api.query("elasticloadbalancing", &form));
}

#[test]
fn r25_a_rule_with_one_group_is_prepared_by_the_command_that_the_refusal_names() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    without_green(&world.lab);
    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["`bgctl prepare RUNBOOK` adds it"]);
    desk.cutover().end(60).ends(11).says(&["BG0311", "GREEN's target group", "bgctl prepare runbook.yaml"]);

    let shown = ["weight 30", "weight 0", "read just now; no users are moved"];
    desk.run(&["prepare", "runbook.yaml"]).ends(64).says(&shown).says(&["--confirm staging", "Nothing was changed"]);
    desk.run(&["prepare", "runbook.yaml", "--confirm", "production"]).ends(64).says(&["is not the environment"]);
    desk.run(&["prepare", "runbook.yaml", "--confirm", "staging"]).ends(0).says(&shown).says(&["prepared web"]);
    assert_eq!(world.green(), 0);
    desk.complete();
    let records = desk.records();
    let of = |kind: &str| records.iter().filter(|record| record["type"] == kind).collect::<Vec<&Value>>();
    assert_eq!(of("provider.called").len(), 1, "{records:?}");
    assert_eq!(of("prompt.answered")[0]["data"]["answer"], "staging");
    let ended = &of("run.ended")[0]["data"];
    assert!(ended["line"].as_str().unwrap().contains("no users were moved"), "{ended}");

    desk.run(&["prepare", "runbook.yaml", "--confirm", "staging"]).ends(0).says(&["nothing to prepare"]);
    assert_eq!(desk.runs().len(), 2, "what is as it has to be is no run");
}
