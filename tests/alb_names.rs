//! The `alb` router by names and tags: what is found at the lab and at moto, and what is said where nothing or too much is.
#![cfg(feature = "aws")]

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;

use bgctl::compile::Draft;
use bgctl::lab::{Lab, Options};
use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, AwsAccess, RouteView, RouterError, Trouble, alb};
use bgctl::runbook::{Inputs, Source};
use bgctl::secret::Secret;
use common::elbv2::{Endpoint, Fault};
use common::moto::{Balancer, Moto, REGION};
use serde_json::{Value, json};

fn view(settings: &Value, access: &Access) -> Rc<dyn RouteView> {
    (alb::KIND.view)(settings, access).unwrap_or_else(|found| panic!("{settings}: {found:?}"))
}

async fn found(settings: &Value, access: &Access) -> Value {
    let pinned = view(settings, access).pinned().await;
    pinned.unwrap_or_else(|e| panic!("{settings}: {e}")).expect("it is by names").settings
}

async fn missed(settings: &Value, access: &Access) -> RouterError {
    let view = view(settings, access);
    let error = view.pinned().await.expect_err("nothing is one thing");
    // Whoever only reads is told the same.
    assert_eq!(view.read().await.expect_err("nothing is read").what, error.what);
    error
}

/// The settings with some of them changed; `null` takes one out.
fn with(settings: &Value, changes: Value) -> Value {
    let mut settings = settings.clone();
    for (key, value) in changes.as_object().expect("changes") {
        match value {
            Value::Null => drop(settings.as_object_mut().expect("settings").remove(key)),
            value => settings[key] = value.clone(),
        }
    }
    settings
}

fn beside(lab: &Lab) -> (Access, BTreeMap<String, String>) {
    let environment: BTreeMap<String, String> = lab.environment().into_iter().collect();
    let of = |name: &str| environment[name].clone();
    let keys = Some((of("AWS_ACCESS_KEY_ID"), Secret::new(of("AWS_SECRET_ACCESS_KEY"))));
    let aws = AwsAccess { endpoint: Some(of("AWS_ENDPOINT_URL")), keys, ..AwsAccess::default() };
    (Access { aws, ..Access::default() }, lab.variables())
}

/// Every way to name a place leads to the same ARNs; the groups meant stand on the second page of a list, behind more than one
/// call for tags.
#[tokio::test]
async fn names_tags_ports_and_conditions_lead_to_the_same_place() {
    let lab = Lab::start(Options::default()).expect("the lab starts");
    let (access, at) = beside(&lab);
    let names = json!({
        "region": "us-east-1", "load_balancer": at["load_balancer"], "listener": at["listener_port"], "rule": { "priority": 10 },
        "blue": { "name": "bot-blue" }, "green": { "name": "bot-green" },
    });
    let arns = json!({ "rule": at["rule_arn"], "blue": at["blue_target_group"], "green": at["green_target_group"] });
    let listener = at["rule_arn"].replace("listener-rule", "listener");
    let listener = listener.rsplit_once('/').expect("an ARN has parts").0;
    let balancer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/bgctl-lab/50dc6c495c0c9188";
    let tagged = |color: &str| json!({ "tags": { "app": "bot", "color": color } });
    for changes in [
        json!({}),
        json!({ "load_balancer": { "name": "bgctl-lab" } }),
        json!({ "load_balancer": { "tags": { "app": "bot", "Name": "bgctl-lab" } } }),
        json!({ "load_balancer": balancer, "region": null }),
        json!({ "load_balancer": null, "listener": listener }),
        json!({ "rule": { "tags": { "part": "events" } } }),
        json!({ "rule": { "path": "/*" } }),
        json!({ "rule": { "priority": 10, "path": "/*", "tags": { "app": "bot" } } }),
        json!({ "rule": at["rule_arn"], "listener": null, "load_balancer": null }),
        json!({ "blue": tagged("blue"), "green": tagged("green") }),
        json!({ "blue": at["blue_target_group"], "green": tagged("green"), "region": null }),
    ] {
        assert_eq!(found(&with(&names, changes.clone()), &access).await, arns, "{changes}");
    }
    let with_default = with(&names, json!({ "rule": null, "min_healthy": 2 }));
    let default = json!({ "listener": listener, "blue": arns["blue"], "green": arns["green"], "min_healthy": 2 });
    assert_eq!(found(&with_default, &access).await, default);

    // It says what it found, a line for each name, and is the route itself from then on.
    let route = view(&with(&names, json!({ "green": tagged("green") })), &access);
    assert_eq!(route.metrics(), None);
    let said = route.pinned().await.expect("found").expect("by names").found.join("\n");
    assert!(said.contains("alb rule (priority 10) of listener") && said.contains(&at["rule_arn"]), "{said}");
    assert!(said.contains(&format!("blue (`bot-blue`) is {}", at["blue_target_group"])), "{said}");
    assert!(said.contains(&format!("green (app=bot, color=green) is {}", at["green_target_group"])), "{said}");
    assert_eq!(route.read().await.expect("it reads").split, Split::ALL_BLUE);
    assert_eq!(route.health(Color::Green).await.expect("it counts").healthy, 2);
    let by_arn = view(&arns, &access);
    assert_eq!((route.line(), route.resources(None)), (by_arn.line(), by_arn.resources(None)));
    assert_eq!(route.metrics(), by_arn.metrics());
    assert_eq!(by_arn.pinned().await.expect("nothing to look up"), None);
}

#[tokio::test]
async fn what_is_not_one_thing_is_listed_and_never_guessed() {
    let lab = Lab::start(Options::default()).expect("the lab starts");
    let (access, at) = beside(&lab);
    let names = json!({
        "region": "us-east-1", "load_balancer": "bgctl-lab", "listener": at["listener_port"], "rule": { "priority": 10 },
        "blue": { "name": "bot-blue" }, "green": { "name": "bot-green" },
    });
    let table: &[(Value, Trouble, &[&str], &str)] = &[
        (
            json!({ "load_balancer": "bgctl-lap" }),
            Trouble::NotFound,
            &["no load balancer in us-east-1 is called `bgctl-lap`", "`shop`, `bgctl-lab`"],
            "did you mean `bgctl-lab`?",
        ),
        (
            json!({ "load_balancer": { "tags": { "app": "nobody" } } }),
            Trouble::NotFound,
            &["`bgctl-lab` (app=bot)", "`shop` (app=shop)"],
            "name a load balancer that is there",
        ),
        (
            json!({ "listener": 1 }),
            Trouble::NotFound,
            &["`bgctl-lab` has no listener at port 1: it has", "443 (HTTPS)"],
            "one of these ports",
        ),
        (json!({ "load_balancer": "shop" }), Trouble::NotFound, &["it has none at all"], "add the listener"),
        (
            json!({ "rule": { "priority": 11 } }),
            Trouble::NotFound,
            &["no rule of listener", "has priority 11: there are (priority 10, path /*)"],
            "write in `rule`",
        ),
        (
            json!({ "listener": 443, "rule": { "path": "/*" } }),
            Trouble::Invalid,
            &["2 rules of listener 443", "(priority 10, path /*), (priority 20, path /*)"],
            "`priority`",
        ),
        (
            json!({ "green": { "name": "bot-gren" } }),
            Trouble::NotFound,
            &["no target group in us-east-1 is called `bot-gren`", "and 14 more"],
            "did you mean `bot-green`?",
        ),
        (
            json!({ "green": { "tags": { "app": "bot" } } }),
            Trouble::Invalid,
            &["2 target groups in us-east-1", &at["blue_target_group"], &at["green_target_group"]],
            "a tag that only one of them has",
        ),
        // Two ways to say the same group are found to be that only by looking.
        (
            json!({ "green": { "tags": { "color": "blue" } } }),
            Trouble::Invalid,
            &["does not fit together: `green` is the same target group as `blue`"],
            "two target groups",
        ),
        // Another account's rule, with groups of this one.
        (
            json!({
                "rule": at["rule_arn"].replace("000000000000", "123456789012"), "listener": null, "load_balancer": null
            }),
            Trouble::Invalid,
            &["`blue` is not where its load balancer is"],
            "own region and account",
        ),
        // A name that is wrong does not hide another.
        (
            json!({ "load_balancer": "bgctl-lap", "blue": { "name": "bot-bleu" }, "green": { "name": "bot-gren" } }),
            Trouble::NotFound,
            &["is called `bgctl-lap`", "is called `bot-bleu`", "is called `bot-gren`"],
            "did you mean `bgctl-lab`?; did you mean `bot-blue`?; did you mean `bot-green`?",
        ),
        // Nothing of another region is meant, whatever it is called.
        (
            json!({ "region": "eu-west-1" }),
            Trouble::NotFound,
            &[
                "no load balancer in eu-west-1 is called",
                "no target group in eu-west-1 is called `bot-green`",
                "at all",
            ],
            "check `region`",
        ),
    ];
    for (changes, kind, words, cure) in table {
        let error = missed(&with(&names, changes.clone()), &access).await;
        assert_eq!(error.kind, *kind, "{changes}: {error}");
        for word in *words {
            assert!(error.what.contains(word), "{changes}: `{word}` in {error}");
        }
        assert!(error.cure.as_ref().is_some_and(|said| said.contains(cure)), "{changes}: {:?}", error.cure);
    }
}

/// The same at a server that we did not write.
#[tokio::test]
async fn names_are_found_at_moto_too() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    for (arn, tags) in [
        (&balancer.load_balancer, "Key=app,Value=bot"),
        (&balancer.rule, "Key=part,Value=slack"),
        (&balancer.blue, "Key=color,Value=blue"),
        (&balancer.green, "Key=color,Value=green"),
    ] {
        assert!(moto.cli(&["elbv2", "add-tags", "--resource-arns", arn, "--tags", tags]).status.success());
    }
    let names = json!({
        "region": REGION, "load_balancer": "bot", "listener": 80, "rule": { "priority": 10 },
        "blue": { "name": "bot-blue" }, "green": { "name": "bot-green" },
    });
    for changes in [
        json!({}),
        json!({ "load_balancer": { "tags": { "app": "bot" } }, "rule": { "tags": { "part": "slack" } } }),
        json!({ "rule": { "path": "/slack/*" }, "blue": { "tags": { "color": "blue" } } }),
        json!({ "load_balancer": balancer.load_balancer, "green": { "tags": { "color": "green" } } }),
    ] {
        assert_eq!(found(&with(&names, changes.clone()), &moto.access()).await, balancer.settings(), "{changes}");
    }
    let default = found(&with(&names, json!({ "rule": null })), &moto.access()).await;
    assert_eq!(default["listener"], json!(balancer.listener));
    for (changes, words) in [
        (json!({ "load_balancer": "bott" }), "is called `bott`: there are `bot`"),
        (json!({ "listener": 443 }), "it has 80 (HTTP)"),
        (json!({ "rule": { "host": "bot.example.com" } }), "(priority 10, path /slack/*)"),
        (json!({ "blue": { "name": "blue" } }), "`bot-blue`, `bot-green`"),
        (json!({ "blue": { "tags": { "color": "red" } } }), "`bot-blue` (color=blue), `bot-green` (color=green)"),
    ] {
        let error = missed(&with(&names, changes.clone()), &moto.access()).await;
        assert!(error.kind == Trouble::NotFound && error.what.contains(words), "{changes}: {error}");
    }
}

/// A refusal says which permission a look-up needs; a failure that passes is not taken for a name that is wrong.
#[tokio::test]
async fn a_look_up_that_fails_says_what_it_lacks_and_is_made_again() {
    let endpoint = Endpoint::start().await;
    let names = json!({
        "region": "us-east-1", "load_balancer": "bot", "listener": 443,
        "blue": endpoint.settings()["blue"], "green": endpoint.settings()["green"],
    });
    let route = view(&names, &endpoint.access());
    for (fault, kind, cure) in [
        (
            Fault::Error(403, "AccessDenied", "no"),
            Trouble::Denied,
            "allow `elasticloadbalancing:DescribeLoadBalancers`",
        ),
        (Fault::Error(403, "ExpiredToken", "old"), Trouble::NoCredentials, "the session is over"),
        (Fault::Error(400, "ValidationError", "what?"), Trouble::Invalid, ""),
    ] {
        endpoint.fails("DescribeLoadBalancers", fault);
        let error = route.pinned().await.expect_err("it was not looked up");
        assert!(error.kind == kind && error.what.contains("DescribeLoadBalancers on bot"), "{error}");
        assert!(error.cure.unwrap_or_default().contains(cure));
    }
    // It is asked again; what answers here knows no load balancer by name.
    let error = route.read().await.expect_err("nothing is there");
    assert!(error.kind == Trouble::NotFound && error.what.contains("there is no load balancer at all"), "{error}");
    assert_eq!(endpoint.count("DescribeListeners"), 0);
}

// ---- what is looked at before users ---------------------------------------------------------------------------------

/// Before anybody is moved it is read where the test listener leads, or the rule with a header: to green alone, or the cutover is
/// refused. moto and its CLI are the other hand.
#[tokio::test]
async fn a_test_listener_or_header_has_to_lead_to_green() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    let forward = |to: &[(&str, u32)]| {
        let groups: Vec<Value> =
            to.iter().map(|(arn, weight)| json!({ "TargetGroupArn": arn, "Weight": weight })).collect();
        json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": groups } }]).to_string()
    };
    let (blue, green) = (balancer.blue.as_str(), balancer.green.as_str());
    let port = ["--protocol", "HTTP", "--port", "8443", "--default-actions", &forward(&[(blue, 1)])];
    let made = moto
        .cli_json(&[&["elbv2", "create-listener", "--load-balancer-arn", &balancer.load_balancer], &port[..]].concat());
    let listener = made["Listeners"][0]["ListenerArn"].as_str().expect("an ARN").to_string();
    let condition =
        json!([{ "Field": "http-header", "HttpHeaderConfig": { "HttpHeaderName": "X-Stack", "Values": ["green"] } }]);
    let rule = ["--conditions", &condition.to_string(), "--actions", &forward(&[(green, 1)])];
    let rule = |priority| {
        let place = ["elbv2", "create-rule", "--listener-arn", &balancer.listener, "--priority", priority];
        let made = moto.cli_json(&[&place, &rule[..]].concat());
        made["Rules"][0]["RuleArn"].as_str().expect("an ARN").to_string()
    };
    let late = rule("20");

    let by_port = with(&balancer.settings(), json!({ "test": { "listener": 8443 } }));
    let pinned = found(&by_port, &moto.access()).await;
    assert_eq!(pinned, with(&balancer.settings(), json!({ "test": { "listener": listener } })));
    let route = view(&pinned, &moto.access());
    assert!(!route.by_names());
    let before = async |route: &Rc<dyn RouteView>| route.preflight(&[]).await.map_err(|e| format!("{:?}: {e}", e.kind));
    for (leads, wanted) in [
        (forward(&[(blue, 1)]), Err("the actions read just now are: forward to `bot-blue` 1")),
        (forward(&[(blue, 1), (green, 99)]), Err("so what is seen there says nothing of GREEN")),
        (forward(&[(blue, 0), (green, 0)]), Err("all weights are 0")),
        (
            json!([{ "Type": "fixed-response", "FixedResponseConfig": { "StatusCode": "200" } }]).to_string(),
            Err("fixed-response"),
        ),
        (forward(&[(green, 1)]), Ok("leads to GREEN's `bot-green` alone")),
        (forward(&[(blue, 0), (green, 5)]), Ok("leads to GREEN's `bot-green` alone")),
    ] {
        moto.cli_json(&["elbv2", "modify-listener", "--listener-arn", &listener, "--default-actions", &leads]);
        // By its names it is the same route.
        for route in [&route, &view(&by_port, &moto.access())] {
            match (before(route).await, wanted) {
                (Ok(lines), Ok(words)) => assert!(lines.len() == 1 && lines[0].contains(words), "{lines:?}"),
                (Err(said), Err(words)) => assert!(said.starts_with("Invalid") && said.contains(words), "{said}"),
                (found, _) => panic!("{leads}: {found:?}"),
            }
        }
    }
    // A rule that is tried after the one of the users gets no request that fits both.
    let header = json!({ "rule": { "header": { "name": "x-stack", "value": "green" } } });
    let by_header = with(&balancer.settings(), json!({ "test": header }));
    assert_eq!(found(&by_header, &moto.access()).await["test"]["rule"], json!(late));
    let said = before(&view(&by_header, &moto.access())).await.expect_err("users' rule is tried first");
    assert!(said.contains("tried after the rule of the users (priority 20, theirs 10)"), "{said}");
    let early = rule("5");
    let error = missed(&by_header, &moto.access()).await;
    assert!(error.what.contains("2 rules of listener") && error.what.contains("header X-Stack: green"), "{error}");
    let by_header = with(&by_header, json!({ "test": { "rule": early } }));
    assert!(
        before(&view(&by_header, &moto.access())).await.expect("it leads to green")[0].contains("GREEN's `bot-green`")
    );
    // No test, nothing to say.
    assert_eq!(before(&view(&balancer.settings(), &moto.access())).await, Ok(Vec::new()));
}

// ---- in a runbook ---------------------------------------------------------------------------------------------------

/// The runbook people copy, with other settings of its route and one gate of that route's own metrics.
fn runbook(settings: &str) -> Source {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/slackbot-alb.yaml")).unwrap();
    let (before, rest) = text.split_once("    alb:\n").unwrap();
    let after = &rest[rest.find("    seen_at:").unwrap()..];
    let gate = "gates:\n  edge:\n    cloudwatch: { route: web, bad: [HTTPCode_Target_5XX_Count], requests: RequestCount }\n    max: 1%\n    \
                min_requests: 100\n";
    Source::new("runbook.yaml", format!("{before}{settings}{after}").replace("gates:\n", gate))
}

fn draft(source: &Source, swap: bool) -> Draft<'_> {
    Draft::new(source, &Inputs { swap, ..Inputs::default() }, None).unwrap_or_else(|found| panic!("{found:#?}"))
}

#[test]
fn the_page_s_examples_are_runbooks() {
    let blocks: Vec<&str> = alb::KIND.page.split("```yaml\nroutes:\n  web:\n").skip(1).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let settings = block.split("```").next().unwrap();
        let source = runbook(settings);
        draft(&source, false);
    }
}

/// What was looked up takes the place of the names in everything that is made of the runbook, also where its sides are exchanged.
#[test]
fn what_was_found_stands_in_the_plan_as_if_it_had_been_written() {
    let arn = |resource: &str| format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:{resource}");
    let rule = arn("listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b");
    let (blue, green) = (arn("targetgroup/bot-blue/6d0ecf831eec9f09"), arn("targetgroup/bot-green/73e2d6bc24d8a067"));
    let found = json!({ "rule": rule, "blue": blue, "green": green });
    let names = "    alb:\n      region: us-east-1\n      load_balancer: bot\n      listener: 443\n      rule: { priority: 10 }\n      \
                 blue: { name: bot-blue }\n      green: { name: bot-green }\n";
    let source = runbook(names);
    let mut named = draft(&source, false);
    let gate = |draft: &Draft<'_>| draft.plan.gates["edge"]["cloudwatch"].clone();
    assert_eq!(gate(&named)["blue"], Value::Null, "judged once the place is known");
    named.pin(BTreeMap::from([("web".to_string(), found.clone())])).expect("it compiles");
    let arns = format!("    alb:\n      rule: {rule}\n      blue: {blue}\n      green: {green}\n");
    let written = runbook(&arns);
    let written = draft(&written, false);
    assert_eq!(named.plan.routes, written.plan.routes);
    assert_eq!(gate(&named), gate(&written));
    assert_eq!(gate(&named)["blue"], json!({ "TargetGroup": "targetgroup/bot-blue/6d0ecf831eec9f09" }));

    // With `--swap` green is what the file calls blue, before the look-up and after it.
    let text = format!(
        "bgctl: 1\nservice: bot\nenvironment: staging\nowners: [owner@example.com]\nstacks:\n  blue: {{ version: v1, url: \
         \"http://127.0.0.1:9\" }}\n  green: {{ version: v2, url: \"http://127.0.0.1:10\" }}\nroutes:\n  web:\n{names}schema: {{ \
         change: none }}\nsteps:\n  - id: all\n    shift: {{ route: web, green: 100% }}\nrollback:\n  owner: owner@example.com\n  \
         steps:\n    - id: back\n      shift: {{ route: web, blue: 100% }}\n"
    );
    let source = Source::new("runbook.yaml", text);
    let mut swapped = draft(&source, true);
    assert_eq!(swapped.plan.routes["web"].config["blue"], json!({ "name": "bot-green" }));
    let found = json!({ "rule": rule, "blue": green, "green": blue });
    swapped.pin(BTreeMap::from([("web".to_string(), found.clone())])).expect("it compiles");
    assert_eq!(swapped.plan.routes["web"].config, found);
}
