//! A route by names, through the whole program: looked up once, and by ARNs from there on.

use rustix::process::Signal;
use serde_json::Value;

use crate::common::moto::Api;
use crate::rig::*;

const ARNS: &str = "      rule: ${var.rule_arn}
      blue: ${var.blue_target_group}
      green: ${var.green_target_group}
";

const NAMES: &str = "      region: us-east-1
      load_balancer: ${var.load_balancer}
      listener: ${var.listener_port}
      rule: { priority: 10 }
      blue: { name: bot-blue }
      green: { tags: { app: bot, color: green } }
";

/// The usual runbook with its route by names; `changed` says one of them otherwise.
fn runbook(changed: (&str, &str)) -> String {
    let declared = "  rule_arn:\n  blue_target_group:\n  green_target_group:\n";
    assert!(RUNBOOK.contains(declared) && RUNBOOK.contains(ARNS) && NAMES.contains(changed.0));
    let names = NAMES.replace(changed.0, changed.1);
    let text = RUNBOOK.replace(declared, "  load_balancer:\n  listener_port:\n").replace(ARNS, &names);
    if names.contains("var.load_balancer") { text } else { text.replace("  load_balancer:\n", "") }
}

fn beside(world: &World) -> Desk {
    let desk = Desk::beside(world);
    desk.write("runbook.yaml", &runbook(("", "")));
    desk
}

/// The settings of the route as the newest run's plan keeps them.
fn kept(desk: &Desk) -> Value {
    let run = desk.runs().pop().expect("a run");
    let plan: Value = serde_json::from_slice(&std::fs::read(run.join("plan.json")).unwrap()).unwrap();
    plan["routes"]["web"]["config"].clone()
}

#[test]
fn names_are_looked_up_once_and_a_run_knows_arns_alone() {
    let world = World::new(&[]);
    let desk = beside(&world);
    let of = |name: &str| desk.env[&format!("BGCTL_VAR_{name}")].clone();
    let arns = serde_json::json!({
        "rule": of("rule_arn"), "blue": of("blue_target_group"), "green": of("green_target_group")
    });
    // Asked of nobody: names may lead to nothing yet.
    let mut offline = Desk::beside(&world);
    offline.write("runbook.yaml", &runbook(("bot-blue", "no-such-group")));
    offline.env.insert("AWS_ENDPOINT_URL".into(), "http://127.0.0.1:9".into());
    offline.run(&["check", "runbook.yaml"]).ends(0);

    let listener = format!("alb rule (priority 10) of listener {} of `bgctl-lab`", of("listener_port"));
    let shown = desk.run(&["plan", "runbook.yaml", "--out", "plan.json"]).ends(0);
    // An ARN is longer than a line.
    let flat = |text: &str| text.split_whitespace().collect::<String>();
    for words in [
        format!("{listener} in us-east-1 is {}", of("rule_arn")),
        format!("blue (`bot-blue`) is {}", of("blue_target_group")),
        format!("green (app=bot, color=green) is {}", of("green_target_group")),
        "users: BLUE 100 GREEN 0".into(),
    ] {
        assert!(flat(&shown.out).contains(&flat(&words)), "`{words}` in {}", shown.out);
    }
    let saved: Value = serde_json::from_slice(&std::fs::read(desk.path("plan.json")).unwrap()).unwrap();
    assert_eq!(saved["routes"]["web"]["config"], arns, "today's form, and no name");
    assert_eq!(saved["routes"]["web"]["resources"], serde_json::json!([format!("alb {}", of("rule_arn"))]));
    desk.run(&["status", "runbook.yaml"]).ends(0).says(&["BLUE 100 GREEN 0"]);

    // Killed while users are split, gone on with, and taken back: by the plan alone, with a runbook that names nothing any more.
    let mut cutover = desk.start(&["cutover", "runbook.yaml", "--confirm", "staging"]);
    until("half of the users are on green", 60, || !cutover.alive() || world.green() == 50);
    cutover.signal(Signal::KILL);
    cutover.end(5);
    desk.write("runbook.yaml", &runbook(("${var.load_balancer}", "gone")));
    desk.run(&["resume"]).ends(0).says(&["all on GREEN v1.4.2"]);
    assert_eq!((world.green(), kept(&desk)), (100, arns.clone()));
    desk.complete();
    desk.run(&["rollback", "--yes"]).ends(0).says(&["all on BLUE v1.4.1"]);
    assert_eq!((world.green(), kept(&desk)), (0, arns.clone()));
    desk.complete();

    // A saved plan needs no names; another machine finds them again, and the run here is known by its ARNs.
    desk.run(&["cutover", "plan.json", "--confirm", "staging"]).ends(0).says(&["all on GREEN v1.4.2"]);
    let second = beside(&world);
    second.run(&["rollback", "runbook.yaml", "--yes"]).ends(0).says(&["all on BLUE v1.4.1", "from the runbook alone"]);
    assert_eq!((world.green(), kept(&second)), (0, arns));
    second.complete();
    desk.write("runbook.yaml", &runbook(("", "")));
    let known = format!("run {}", desk.runs().pop().unwrap().file_name().unwrap().to_str().unwrap());
    desk.run(&["rollback", "runbook.yaml", "--yes"]).ends(0).says(&[&known, "is about this runbook", "NO CHANGES"]);
    world.continuous();
}

#[test]
fn a_name_that_leads_nowhere_moves_nobody_and_says_what_there_is() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    for (changed, code, words) in [
        (("bot-blue", "bot-bleu"), "BG0302", &["is called `bot-bleu`", "did you mean `bot-blue`?"][..]),
        (("${var.load_balancer}", "bot"), "BG0302", &["no load balancer in us-east-1 is called `bot`", "`bgctl-lab`"]),
        (("priority: 10", "priority: 7"), "BG0302", &["(priority 10, path /*"]),
        (("color: green", "color: grün"), "BG0302", &["color=grün", "`bot-green` (app=bot, color=green)"]),
        ((", color: green", ""), "BG0306", &["2 target groups in us-east-1", "a tag that only one of them has"]),
        (("color: green", "color: blue"), "BG0306", &["same target group as `blue`"]),
    ] {
        desk.write("runbook.yaml", &runbook(changed));
        for command in [
            &["plan", "runbook.yaml"][..],
            &["cutover", "runbook.yaml", "--confirm", "staging"],
            &["prepare", "runbook.yaml", "--confirm", "staging"],
            &["rollback", "runbook.yaml", "--yes"],
        ] {
            let done =
                desk.run(command).ends(65).says(&["unknown", "Nothing was changed", "then the same command again"]);
            let flat = done.err.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                words.iter().chain(&[code]).all(|word| flat.contains(word)),
                "{changed:?} {command:?}: {words:?} in {flat}"
            );
        }
        let status = desk.run(&["status", "runbook.yaml"]);
        let flat = (status.out + &status.err).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("users unknown") && flat.contains(words[0]), "{flat}");
    }
    assert_eq!((world.green(), desk.runs().len()), (0, 0));
    // A run of before has the places, and is named.
    desk.write("runbook.yaml", &runbook(("", "")));
    desk.cutover().end(60).ends(0);
    desk.write("runbook.yaml", &runbook(("bot-blue", "bot-bleu")));
    let run = desk.runs().pop().unwrap().file_name().unwrap().to_str().unwrap().to_string();
    desk.run(&["rollback", "runbook.yaml", "--yes"]).ends(65).says(&[&format!("bgctl rollback {run}")]);
    desk.run(&["rollback", &run, "--yes"]).ends(0).says(&["all on BLUE v1.4.1"]);
    assert_eq!(world.green(), 0);
}

#[test]
fn a_rehearsal_by_names_reaches_the_lab_and_a_name_of_the_world_is_refused() {
    let desk = Desk::new();
    desk.write(
        "lab.yaml",
        &runbook(("{ name: bot-blue }", "{ name: \"${var.blue_target_group_name}\" }"))
            .replace("  listener_port:\n", "  listener_port:\n  blue_target_group_name:\n"),
    );
    desk.run(&["cutover", "lab.yaml", "--lab", "--confirm", "lab"]).ends(0).says(&["all on GREEN v1.4.2", "lost 0"]);
    desk.write("lab.yaml", &runbook(("${var.load_balancer}", "production")));
    desk.run(&["plan", "lab.yaml", "--lab"]).ends(65).says(&["`production` is not the lab's"]);
}

/// What is looked at before users leads to green, or nobody is moved.
#[test]
fn a_test_listener_that_leads_to_blue_proves_nothing() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let tested = "green: { name: bot-green }\n      test: { listener: 443 }";
    desk.write("runbook.yaml", &runbook(("green: { tags: { app: bot, color: green } }", tested)));
    let said =
        desk.cutover().end(60).ends(65).says(&["BG0306", "let it forward to `bot-green` alone", "Nothing was changed"]);
    let flat = said.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("forward to `bot-blue` 1") && flat.contains("BLUE 100 GREEN 0, read just now"), "{flat}");
    assert_eq!(world.green(), 0);

    let of = |name: &str| desk.env[name].clone();
    let listener = of("BGCTL_VAR_rule_arn").replace("listener-rule", "listener");
    let listener = listener.rsplitn(3, '/').last().expect("an ARN has parts").to_string() + "/8b2f3c1d5e6a7f90";
    let (id, secret) = (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY"));
    let api = Api { url: of("AWS_ENDPOINT_URL"), id, secret, aws: std::path::PathBuf::new() };
    let form = [
        ("Action", "ModifyListener"),
        ("Version", "2015-12-01"),
        ("ListenerArn", listener.as_str()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", &of("BGCTL_VAR_green_target_group")),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(api.query("elasticloadbalancing", &form));
    desk.cutover().end(60).ends(0).says(&["all on GREEN v1.4.2"]);
    let armed = desk.records().into_iter().find(|record| record["type"] == "rollback.armed").expect("a record");
    assert!(armed.to_string().contains("leads to GREEN's `bot-green` alone"), "{armed}");
    assert_eq!(kept(&desk)["test"], serde_json::json!({ "listener": listener }));
    desk.run(&["rollback", "--yes"]).ends(0);
}
