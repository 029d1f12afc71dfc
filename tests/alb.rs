//! The `alb` router: against moto with the AWS CLI as witness, and against an endpoint that misbehaves.
#![cfg(feature = "aws")]

mod common;

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::Clock;

use bgctl::plan::{Color, Split};
use bgctl::routers::{
    Access, AwsAccess, Call, Health, Identity, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
    alb,
};
use bgctl::run::Outcome;
use common::at;
use common::certificates;
use common::elbv2::{Endpoint, Fault};
use common::moto::{Balancer, Moto, REGION, between};
use common::scripted::{Stage, kind, response};
use serde_json::{Value, json};

fn open(settings: &Value, access: &Access) -> Rc<dyn TrafficRouter> {
    (alb::KIND.open)(settings, access).expect("good settings")
}

fn green(per_mille: u32) -> Split {
    Split::of_green(per_mille)
}

// ---- whom TLS trusts ----

/// `AWS_CA_BUNDLE` stands in place of the system's authorities, as for every AWS tool; one that cannot be used is refused.
#[tokio::test]
async fn t17_an_endpoint_of_a_private_authority_is_asked_with_its_bundle() {
    let dir = tempfile::tempdir().unwrap();
    if certificates::by_a_private_authority(dir.path()).is_none() {
        return;
    }
    let Some(moto) = Moto::with_certificates(dir.path()) else { return };
    let rule = format!(
        "arn:aws:elasticloadbalancing:{REGION}:123456789012:listener-rule/app/bot/{x}/{x}/{x}",
        x = "0123456789abcdef"
    );
    let group =
        |name: &str| format!("arn:aws:elasticloadbalancing:{REGION}:123456789012:targetgroup/{name}/0123456789abcdef");
    let settings = json!({ "rule": rule, "blue": group("blue"), "green": group("green") });
    let access = |bundle| {
        let Access { aws, .. } = moto.access();
        Access { aws: AwsAccess { bundle, ..aws }, ..Access::default() }
    };
    let said = async |bundle| {
        let error = open(&settings, &access(bundle)).read().await.expect_err("moto knows no such rule");
        format!("{error:?}")
    };
    let pem = std::fs::read(dir.path().join("ca.pem")).unwrap();
    // Its first answer may take a while; this is the answer of a provider and no failure of TLS.
    let mut answer = String::new();
    for _ in 0..40 {
        answer = said(Some(Ok(pem.clone()))).await;
        if !answer.contains("onnect") {
            break;
        }
    }
    assert!(answer.contains("RuleNotFound"), "{answer}");
    let answer = said(None).await;
    assert!(answer.contains("ertificate") && !answer.contains("RuleNotFound"), "{answer}");
    let refused = (alb::KIND.open)(&settings, &access(Some(Err("`ca.pem`: no such file".into()))));
    let mistakes = refused.err().expect("it cannot be asked");
    assert!(mistakes[0].message.contains("AWS_CA_BUNDLE: `ca.pem`: no such file"), "{mistakes:?}");
}

// ---- against moto -------------------------------------------------------------------------------------------------

fn rule_actions(moto: &Moto, rule: &str) -> Value {
    moto.cli_json(&["elbv2", "describe-rules", "--rule-arns", rule])["Rules"][0]["Actions"].clone()
}

#[tokio::test]
async fn sign_in_and_stickiness_survive_a_cutover_and_a_rollback() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, true, Some(300)).await;
    let router = open(&balancer.settings(), &moto.access());
    let armed = router.read().await.expect("it reads");
    assert!(armed.remarks.iter().any(|r| r.contains("group stickiness 300 s")), "{:?}", armed.remarks);
    assert!(armed.remarks.iter().any(|r| r.contains("`authenticate-oidc` action is kept")), "{:?}", armed.remarks);

    router.set(&at(green(0)), green(100)).await.expect("a first shift");
    router.set(&at(green(100)), green(1000)).await.expect("all users");
    let actions = rule_actions(&moto, &balancer.rule);
    assert_eq!(actions[0]["Type"], "authenticate-oidc");
    assert_eq!(actions[0]["Order"], 1);
    assert_eq!(actions[0]["AuthenticateOidcConfig"]["ClientId"], "bot");
    assert_eq!(actions[0]["AuthenticateOidcConfig"]["UseExistingClientSecret"], true);
    assert_eq!(actions[0]["AuthenticateOidcConfig"].get("ClientSecret"), None, "a secret we cannot know is not sent");
    let sticky = json!({ "Enabled": true, "DurationSeconds": 300 });
    assert_eq!(actions[1]["ForwardConfig"]["TargetGroupStickinessConfig"], sticky);
    assert_eq!(actions[1].get("TargetGroupArn"), None);

    // Going back takes green out of the list, because a cookie beats a weight of 0; it reads as all on blue.
    router.set(&at(green(1000)), green(0)).await.expect("back to blue");
    let actions = rule_actions(&moto, &balancer.rule);
    let groups = &actions[1]["ForwardConfig"]["TargetGroups"];
    assert_eq!(groups, &json!([{ "TargetGroupArn": balancer.blue, "Weight": 100 }]));
    assert_eq!(actions[1]["ForwardConfig"]["TargetGroupStickinessConfig"], sticky);
    assert_eq!(actions[0]["Type"], "authenticate-oidc");
    let back = router.read().await.expect("it reads");
    assert_eq!(back.split, Split::ALL_BLUE);
    assert!(back.remarks.iter().any(|r| r.contains("`bot-green` is not in the rule")), "{:?}", back.remarks);
    assert_eq!(router.set(&at(green(0)), green(0)).await.expect("nothing to do"), []);

    // The native way back frees sticky users too, and keeps the exact state beside it.
    let way = router.native_way_back("web", &armed);
    let names: Vec<&str> = way.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["web-exact.json", "web-actions.json"]);
    assert!(way.files[0].1.contains(&balancer.green) && !way.files[1].1.contains(&balancer.green), "{way:?}");
    assert!(way.command.contains("--actions file://web-actions.json"), "{}", way.command);
}

/// A listener of a Network Load Balancer has weights and no rules, and its flows follow late.
#[tokio::test]
async fn a_network_load_balancer_is_moved_through_its_listener() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let subnets = moto.cli_json(&["ec2", "describe-subnets"])["Subnets"].clone();
    let (subnet, vpc) = (subnets[0]["SubnetId"].as_str().unwrap(), subnets[0]["VpcId"].as_str().unwrap());
    let made =
        moto.cli_json(&["elbv2", "create-load-balancer", "--name", "flows", "--type", "network", "--subnets", subnet]);
    let balancer = made["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap().to_string();
    let groups = ["flows-blue", "flows-green"].map(|name| {
        let made = moto.cli_json(&[
            "elbv2",
            "create-target-group",
            "--name",
            name,
            "--protocol",
            "TCP",
            "--port",
            "8080",
            "--vpc-id",
            vpc,
            "--target-type",
            "ip",
        ]);
        made["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_string()
    });
    let actions = json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": [
        { "TargetGroupArn": groups[0], "Weight": 100 }, { "TargetGroupArn": groups[1], "Weight": 0 },
    ] } }]);
    let made = moto.cli_json(&[
        "elbv2",
        "create-listener",
        "--load-balancer-arn",
        &balancer,
        "--protocol",
        "TCP",
        "--port",
        "443",
        "--default-actions",
        &actions.to_string(),
    ]);
    let listener = made["Listeners"][0]["ListenerArn"].as_str().unwrap().to_string();
    // moto says `app` in the ARN of every listener; what the name alone decides is asked nobody.
    let named = listener.replace("/app/", "/net/");
    let flows = open(&json!({ "listener": named, "blue": groups[0], "green": groups[1] }), &moto.access());
    assert!(flows.line().starts_with("nlb listener "), "{}", flows.line());
    assert!(flows.metrics().is_none() && flows.followed_within() >= std::time::Duration::from_secs(600));
    let settings = json!({ "listener": listener, "blue": groups[0], "green": groups[1] });
    let router = open(&settings, &moto.access());
    let found = router.read().await.expect("it reads");
    assert_eq!(found.split, Split::ALL_BLUE);
    router.set(&found, green(200)).await.expect("a shift");
    let weights = || {
        let read = moto.cli_json(&["elbv2", "describe-listeners", "--listener-arns", &listener]);
        let groups = read["Listeners"][0]["DefaultActions"][0]["ForwardConfig"]["TargetGroups"].clone();
        [0, 1].map(|n| groups[n]["Weight"].as_u64().unwrap())
    };
    assert_eq!(weights(), [80, 20]);
    router.set(&router.read().await.expect("it reads"), Split::ALL_BLUE).await.expect("back");
    assert_eq!(weights(), [100, 0]);
    let way = router.native_way_back("flows", &found);
    assert!(way.command.contains("modify-listener"), "{}", way.command);
}

#[tokio::test]
async fn names_owners_and_neighbours_are_found() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    let mut settings = balancer.settings();

    // A target group that does not exist: the nearest one is named.
    let gone = balancer.green.replace("bot-green", "bot-gren");
    settings["green"] = json!(gone);
    settings["rule"] = json!(balancer.rule);
    let error = open(&settings, &moto.access()).health(Color::Green).await.expect_err("no such group");
    assert_eq!(error.kind, Trouble::NotFound);
    assert_eq!(error.cure.as_deref(), Some(format!("did you mean `{}`?", balancer.green).as_str()));

    // A rule that does not exist, and one that forwards elsewhere.
    let error = open(&settings, &moto.access()).read().await.expect_err("it forwards to another group");
    assert_eq!(error.kind, Trouble::Invalid);
    assert!(error.what.contains(&balancer.green) && error.what.contains("neither blue nor green"), "{error}");
    settings["rule"] = json!(format!("{}0000", &balancer.rule[..balancer.rule.len() - 4]));
    let error = open(&settings, &moto.access()).read().await.expect_err("no such rule");
    assert_eq!(error.kind, Trouble::NotFound, "{error}");

    // Credentials of one account, a rule of another.
    let text = balancer.settings().to_string().replace("123456789012", "210987654321");
    let other = open(&serde_json::from_str(&text).expect("JSON"), &moto.access());
    let error = other.identity().await.expect_err("another account");
    assert_eq!(error.kind, Trouble::Denied);
    assert!(error.cure.expect("a cure").contains("credentials of account 210987654321"));

    // A controller that owns any part of the place is named, with the tag that says so.
    let router = open(&balancer.settings(), &moto.access());
    for (arn, tag, who) in [
        (&balancer.rule, "ingress.k8s.aws/stack", "AWS Load Balancer Controller"),
        (&balancer.load_balancer, "elasticbeanstalk:environment-name", "Elastic Beanstalk"),
        (&balancer.green, "AmazonECSManaged", "Amazon ECS"),
    ] {
        assert_eq!(router.controller().await.expect("it looks"), None);
        let set = ["elbv2", "add-tags", "--resource-arns", arn, "--tags", &format!("Key={tag},Value=x")];
        assert!(moto.cli(&set).status.success());
        let found = router.controller().await.expect("it looks").expect("an owner");
        assert!(found.contains(who) && found.contains(tag) && found.contains(arn.as_str()), "{found}");
        assert!(moto.cli(&["elbv2", "remove-tags", "--resource-arns", arn, "--tag-keys", tag]).status.success());
    }
}

#[tokio::test]
async fn a_role_that_may_only_read_is_told_what_it_lacks() {
    let Some(moto) = Moto::start(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1000")]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    let iam = |form: &'static [(&'static str, &'static str)]| {
        let mut all = vec![("Version", "2010-05-08")];
        all.extend(form);
        let moto = &moto;
        async move { moto.query("iam", &all).await }
    };
    iam(&[("Action", "CreateUser"), ("UserName", "reader")]).await;
    let keys = iam(&[("Action", "CreateAccessKey"), ("UserName", "reader")]).await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"elasticloadbalancing:Describe*","Resource":"*"}]}"#;
    let put = [("Action", "PutUserPolicy"), ("UserName", "reader"), ("PolicyName", "read"), ("PolicyDocument", policy)];
    moto.query("iam", &[&[("Version", "2010-05-08")], &put[..]].concat()).await;
    let reset = common::moto::client().post(format!("{}/moto-api/reset-auth", moto.url));
    let reset = reset.header("content-type", "text/plain").body("0").send().await.expect("moto answers");
    assert!(reset.status().is_success());

    let (id, secret) = (between(&keys, "AccessKeyId"), between(&keys, "SecretAccessKey"));
    let router = open(&balancer.settings(), &moto.access_with(&id, &secret));
    assert_eq!(router.read().await.expect("it may read").split, Split::ALL_BLUE);
    let error = router.set(&at(green(0)), green(100)).await.expect_err("it may not write");
    assert_eq!((error.kind, error.moved), (Trouble::Denied, false), "{error}");
    assert!(error.what.contains("AccessDenied"), "{error}");
    assert!(error.cure.expect("a cure").contains("allow `elasticloadbalancing:ModifyRule` on"));
    assert_eq!((error.calls.len(), error.calls[0].code.as_str()), (1, "AccessDenied"));
    assert_eq!(router.read().await.expect("it may read").split, Split::ALL_BLUE);

    let wrong = open(&balancer.settings(), &moto.access_with(&id, "not-the-secret"));
    let error = wrong.read().await.expect_err("a wrong secret");
    assert_eq!(error.kind, Trouble::NoCredentials, "{error}");
    let unknown = open(&balancer.settings(), &moto.access_with("AKIAUNKNOWN", "secret"));
    let error = unknown.read().await.expect_err("an unknown key");
    assert_eq!(error.kind, Trouble::NoCredentials, "{error}");
}

/// This test binary again, as a process with another environment. The test it runs there is [`in_another_environment`].
#[expect(clippy::disallowed_methods, reason = "the environment is what is tested")]
fn elsewhere(settings: &Value, env: &[(&str, String)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "in_another_environment", "--nocapture"]).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("BGCTL_TEST_SETTINGS", settings.to_string());
    command.envs(env.iter().map(|(k, v)| (*k, v.as_str())));
    let output = command.output().expect("this binary starts");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the environment is what is tested")]
async fn in_another_environment() {
    let Ok(settings) = std::env::var("BGCTL_TEST_SETTINGS") else { return };
    let expires = std::env::var("AWS_CREDENTIAL_EXPIRATION").ok();
    let access = Access { aws: AwsAccess { expires, ..AwsAccess::default() }, ..Access::default() };
    let router = open(&serde_json::from_str(&settings).expect("settings"), &access);
    if std::env::var_os("BGCTL_TEST_SESSION").is_some() {
        let Identity { renews, left, .. } = router.identity().await.unwrap_or_else(|e| panic!("{e}"));
        let ends = router.ends().await.unwrap_or("-".into());
        let said = format!("renews: {renews}, left: {}; ends: {ends}\n", left.is_some());
        std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).expect("it is said");
        return;
    }
    // A session that is renewed between two attempts, by somebody else.
    if let Some(file) = std::env::var_os("BGCTL_TEST_RENEWS") {
        let error = router.read().await.expect_err("it is over");
        assert!(error.kind == Trouble::NoCredentials && error.passing(), "{error:?}");
        std::fs::write(file, "[default]\naws_access_key_id = AKIANEW\naws_secret_access_key = s\n").expect("a file");
        router.read().await.expect_err("that one is over too");
    }
    let reading =
        router.read().await.unwrap_or_else(|e| panic!("{:?}: {e}; {}", e.kind, e.cure.as_deref().unwrap_or_default()));
    assert_eq!(reading.split, Split::ALL_BLUE);
}

#[tokio::test]
async fn the_environment_is_read_as_every_aws_tool_reads_it() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    // No region anywhere: it comes from the ARN, and the metadata service is not asked for it.
    let (ok, said) = elsewhere(
        &balancer.settings(),
        &moto.env().into_iter().filter(|(k, _)| *k != "AWS_DEFAULT_REGION").collect::<Vec<_>>(),
    );
    assert!(ok, "{said}");

    let home = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[profile night]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\nendpoint_url = {}\nregion = eu-north-1\n",
        moto.url
    );
    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    std::fs::write(home.path().join(".aws/config"), config).expect("a file");
    let base = [("HOME", home.path().display().to_string()), ("AWS_EC2_METADATA_DISABLED", "true".into())];
    let with = |more: &[(&'static str, String)]| [&base[..], more].concat();
    let (ok, said) = elsewhere(&balancer.settings(), &with(&[("AWS_PROFILE", "night".into())]));
    assert!(ok, "{said}");

    // No credentials at all: said so, with the cure and what was looked at.
    let (ok, said) = elsewhere(&balancer.settings(), &with(&[("AWS_ENDPOINT_URL", moto.url.clone())]));
    assert!(!ok && said.contains("NoCredentials") && said.contains("`aws sso login`"), "{said}");
    assert!(said.contains("AWS_PROFILE") && said.contains("~/.aws/config"), "{said}");
    let (ok, said) = elsewhere(&balancer.settings(), &with(&[("AWS_PROFILE", "day".into())]));
    assert!(!ok && said.contains("NoCredentials") && said.contains("day"), "{said}");
    assert!(!said.contains(REGION) || said.contains("arn:aws"), "{said}");
}

// ---- against an endpoint that misbehaves ----------------------------------------------------------------------------

/// One write with one fault, and what it left.
async fn write_with(fault: Fault) -> (Endpoint, RouterError) {
    let endpoint = Endpoint::start().await;
    endpoint.fails("ModifyRule", fault);
    let router = open(&endpoint.settings(), &endpoint.access());
    let error = router.set(&at(green(0)), green(100)).await.expect_err("the write fails");
    (endpoint, error)
}

#[tokio::test]
async fn a_failed_write_is_sent_once_and_says_whether_users_may_have_moved() {
    type Row = (Fault, Trouble, bool, (u32, u32), &'static str, &'static str);
    let table: [Row; 8] = [
        (Fault::Error(400, "Throttling", "Rate exceeded"), Trouble::Throttled, false, (100, 0), "Throttling", "wait"),
        (Fault::Error(500, "InternalFailure", "oops"), Trouble::Unreachable, true, (100, 0), "InternalFailure", ""),
        (
            Fault::Error(503, "ServiceUnavailable", "later"),
            Trouble::Unreachable,
            true,
            (100, 0),
            "ServiceUnavailable",
            "",
        ),
        (Fault::AppliedThenCut, Trouble::Unreachable, true, (90, 10), "no-answer", ""),
        (Fault::AppliedThenGarbage, Trouble::Unreachable, true, (90, 10), "unreadable-answer", ""),
        (
            Fault::Error(403, "ExpiredToken", "The security token included in the request is expired"),
            Trouble::NoCredentials,
            false,
            (100, 0),
            "ExpiredToken",
            "aws sso login",
        ),
        (
            Fault::Error(400, "OperationNotPermitted", "Default rule cannot be modified"),
            Trouble::Invalid,
            false,
            (100, 0),
            "OperationNotPermitted",
            "write `listener:`",
        ),
        (
            Fault::Error(400, "InvalidLoadBalancerAction", "stickiness"),
            Trouble::Invalid,
            false,
            (100, 0),
            "InvalidLoadBalancerAction",
            "group stickiness",
        ),
    ];
    for (fault, kind, moved, weights, code, cure) in table {
        let (endpoint, error) = write_with(fault.clone()).await;
        assert_eq!((error.kind, error.moved), (kind, moved), "{fault:?}: {error}");
        assert_eq!(endpoint.count("ModifyRule"), 1, "{fault:?}: a write is never repeated by itself");
        assert_eq!(endpoint.weights(), weights, "{fault:?}");
        let [call] = &error.calls[..] else { panic!("{fault:?}: one call is recorded: {:?}", error.calls) };
        assert_eq!((call.action.as_str(), call.code.as_str()), ("ModifyRule", code), "{fault:?}");
        if let Fault::Error(status, ..) = fault {
            assert_eq!(call.request_id.as_deref(), Some(format!("4c1f-{status}").as_str()));
        }
        assert!(error.cure.as_deref().unwrap_or_default().contains(cure), "{fault:?}");
        assert!(error.what.contains("listener-rule/app/bot"), "{error}");
    }
}

/// A route that waits for the answer of a write for so long.
fn patient(endpoint: &Endpoint, write_within: Duration) -> alb::Alb {
    let mut route = alb::Alb::new(&endpoint.settings(), &endpoint.access()).expect("good settings");
    route.write_within = write_within;
    route
}

#[tokio::test]
async fn r35_a_write_that_hangs_is_waited_for_as_long_as_the_aws_cli_would() {
    let endpoint = Endpoint::start().await;
    let route = alb::Alb::new(&endpoint.settings(), &endpoint.access()).expect("good settings");
    // The read timeout of botocore; a call that hangs for 30 s and is then applied is an answer within it.
    assert!(route.write_within >= Duration::from_secs(60), "{:?}", route.write_within);
    assert!(route.lands_within() >= Duration::from_secs(60), "{:?}", route.lands_within());

    // The same with a scale of a hundred to one.
    let route = patient(&endpoint, Duration::from_millis(600));
    endpoint.fails("ModifyRule", Fault::Late(Duration::from_millis(300)));
    let calls = route.set(&at(green(0)), green(500)).await.expect("it is answered in the end");
    assert_eq!((calls.len(), endpoint.weights()), (1, (50, 50)));
}

#[tokio::test]
async fn a_write_without_an_answer_ends_in_time() {
    let endpoint = Endpoint::start().await;
    endpoint.fails("ModifyRule", Fault::Silence);
    let error = patient(&endpoint, Duration::from_secs(1)).set(&at(green(0)), green(100)).await.expect_err("no answer");
    assert_eq!((error.kind, error.moved), (Trouble::Unreachable, true));
    assert!(error.what.contains("no answer within 1s"), "{error}");
    assert_eq!(endpoint.count("ModifyRule"), 1);
    assert_eq!(error.calls[0].code, "timeout");
    assert!(error.calls[0].time.as_millis() >= 900, "{:?}", error.calls);
}

#[tokio::test]
async fn r15_a_write_is_one_round_trip_after_the_reading_that_the_caller_made() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    let reading = router.read().await.expect("it reads");
    router.set(&reading, green(100)).await.expect("it sets");
    assert_eq!(
        (endpoint.count("DescribeRules"), endpoint.count("ModifyRule")),
        (1, 1),
        "the reading is the comparison"
    );
    // It is that only once, and only if it is what was read last: somebody else's word is never written over.
    let error = router.set(&reading, green(500)).await.expect_err("that reading is from before");
    assert_eq!((error.kind, endpoint.count("DescribeRules")), (Trouble::Drift { found: green(100) }, 2));
    let now = router.read().await.expect("it reads");
    let error = router.set(&reading, green(500)).await.expect_err("another was read since");
    assert_eq!(error.kind, Trouble::Drift { found: green(100) });
    let before = endpoint.count("DescribeRules");
    router.set(&now, green(0)).await.expect("that look was for another reading, so it looks again");
    assert_eq!((endpoint.count("DescribeRules"), endpoint.weights()), (before + 1, (100, 0)));
}

#[tokio::test]
async fn r15_an_old_reading_is_not_the_comparison_before_a_write() {
    let endpoint = Endpoint::start().await;
    let mut route = patient(&endpoint, Duration::from_secs(5));
    route.young = Duration::ZERO;
    let reading = route.read().await.expect("it reads");
    route.set(&reading, green(100)).await.expect("it sets");
    assert_eq!(endpoint.count("DescribeRules"), 2);
}

/// A route each of whose calls takes 100 ms of virtual time, and what it was asked.
struct Far {
    clock: Rc<dyn Clock>,
    split: Cell<Split>,
    asked: RefCell<Vec<(&'static str, u128)>>,
    /// What it says in place of every answer.
    trouble: Option<&'static str>,
}

impl Far {
    async fn away(&self, what: &'static str) -> Result<(), RouterError> {
        self.asked.borrow_mut().push((what, self.clock.elapsed().as_millis()));
        self.clock.sleep(Duration::from_millis(100)).await;
        self.trouble.map_or(Ok(()), |trouble| Err(RouterError::new(Trouble::Unreachable, trouble)))
    }
}

#[async_trait(?Send)]
impl RouteView for Far {
    fn line(&self) -> String {
        "far away".into()
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        vec![self.line()]
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        self.away("read").await?;
        Ok(at(self.split.get()))
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        self.away(stack.name()).await?;
        Ok(Health { healthy: 2, total: 2, ..Health::default() })
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        panic!("nobody asks who we are on the way back")
    }

    fn native_way_back(&self, _: &str, _: &Reading) -> NativeWayBack {
        NativeWayBack::default()
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Far {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        assert_eq!(from.split, self.split.get());
        self.away("write").await?;
        self.split.set(to);
        Ok(Vec::new())
    }

    fn settle(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// A way back of a route that is 100 ms away: what was asked and when, and how long it took. `beforehand`: how long ago everything
/// was read already.
fn far_back(beforehand: Option<u64>) -> (Vec<(&'static str, u128)>, u128) {
    use common::play;
    let mut plan = play::plan(
        &["web"],
        vec![play::shift("there", "web", 0, 1000)],
        vec![play::shift("back", "web", 1000, 0)],
        json!({}),
    );
    let mut stage = Stage::new(|_, _| {
        let mut answer = response(200, "")?;
        answer.headers.push(("x-version".into(), "v1.4.1".into()));
        Ok(answer)
    });
    let clock: Rc<dyn Clock> = stage.clock.clone();
    let far = Rc::new(Far {
        clock: clock.clone(),
        split: Cell::new(Split::ALL_GREEN),
        asked: RefCell::default(),
        trouble: None,
    });
    stage.world.routes.insert("web".into(), far.clone());
    plan.blue.version = "v1.4.1".into();
    let step = (kind("shift").build)(&plan.rollback[0], &plan).expect("a shift");
    let age = Duration::from_millis(beforehand.unwrap_or_default());
    if beforehand.is_some() {
        let blue = Health { healthy: 2, total: 2, ..Health::default() };
        stage.world.beforehand.keep("web", clock.elapsed(), at(Split::ALL_GREEN), blue);
        stage.clock.run(clock.sleep(age)).expect("time passes");
    }
    let begun = clock.elapsed();
    let outcome = stage.clock.run(step.execute(&stage.world, &stage.notes)).expect("nothing crashes here");
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    assert_eq!(stage.world.beforehand.take("web", clock.elapsed()), None, "it is given out once");
    let asked = far.asked.borrow().iter().map(|(what, at)| (*what, at - age.as_millis())).collect();
    (asked, (clock.elapsed() - begun).as_millis())
}

#[test]
fn r15_a_way_back_is_one_round_trip_to_the_write_and_one_for_all_witnesses() {
    let (asked, took) = far_back(None);
    // Everything that can be asked at the same time is.
    assert!(asked.contains(&("write", 100)), "{asked:?}");
    assert_eq!((asked.len(), asked.iter().map(|(_, at)| *at).max()), (5, Some(200)), "{asked:?}");
    assert_eq!(took, 300);
}

/// The command has read the routes to show them; a moment later nobody waits for the same answers again.
#[test]
fn r15_what_was_read_to_be_shown_is_what_the_first_write_begins_from() {
    let (asked, took) = far_back(Some(200));
    assert_eq!((asked.first(), asked.len(), took), (Some(&("write", 0)), 3, 200), "{asked:?}");
    let (asked, took) = far_back(Some(1000));
    assert_eq!((asked.len(), took), (5, 300), "it is old: {asked:?}");
}

/// A provider's words can hold what was sent to it.
#[test]
fn what_a_route_says_of_itself_is_masked_before_anybody_repeats_it() {
    use bgctl::users::{Ask, Users};
    let plan = common::play::plan(&["web"], vec![], vec![], json!({}));
    let mut stage = Stage::new(|_, _| response(200, ""));
    let trouble = Some("no connection to https://:correct-horse@elb.test");
    let far = Far { clock: stage.clock.clone(), split: Cell::new(Split::ALL_BLUE), asked: RefCell::default(), trouble };
    stage.world.routes.insert("web".into(), Rc::new(far));
    let users = stage.clock.run(Users::read(&plan, &stage.world, Ask::Both)).expect("nothing crashes here");
    let said = format!("{} {users:?} {:?}", users.sentence(&plan), users.sightings());
    assert!(said.contains("elb.test") && !said.contains("correct-horse"), "{said}");
}

#[test]
fn r24_a_plan_keeps_the_weights_that_were_found() {
    use bgctl::compile::{Draft, Facts, Seen};
    use bgctl::runbook::{Inputs, Source};
    let text = std::fs::read_to_string(format!("{}/runbooks/slackbot-alb.yaml", env!("CARGO_MANIFEST_DIR")));
    let source = Source::new("runbook.yaml", text.expect("the runbook of the examples"));
    let draft = Draft::new(&source, &Inputs::default(), None).unwrap_or_else(|e| panic!("{e:?}"));
    for (found, home) in [((1, 0), (1, 0)), ((999, 0), (999, 0)), ((30, 0), (30, 0)), ((90, 10), (100, 0))] {
        let split = Split { blue: found.0, green: found.1 };
        let seen = Seen { line: "rule".into(), split, resources: vec!["alb rule".into()] };
        let facts = Facts { routes: [("web".to_string(), seen)].into(), ..Facts::default() };
        let plan = draft.against(&facts).expect("it compiles");
        let back = plan.rollback.iter().find_map(|step| step.moves.as_ref()).expect("a way back");
        assert_eq!((back.after.blue, back.after.green), home, "{found:?}");
    }
}

#[tokio::test]
async fn r09_what_passes_is_told_from_what_does_not_and_how_long_to_wait_is_kept() {
    let table = [
        (Fault::Error(400, "Throttling", "Rate exceeded"), true, None),
        (Fault::After(429, "TooManyRequestsException", 7), true, Some(7)),
        (Fault::After(503, "ServiceUnavailable", 600), true, Some(600)),
        (Fault::Error(500, "InternalFailure", "oops"), true, None),
        (Fault::Error(403, "ExpiredToken", "it is expired"), true, None),
        (Fault::Error(403, "RequestExpired", "it is expired"), true, None),
        (Fault::Error(403, "AccessDenied", "no"), false, None),
        (Fault::Error(400, "RuleNotFound", "no such rule"), false, None),
        (Fault::Error(400, "InvalidLoadBalancerAction", "no"), false, None),
    ];
    for (fault, passing, after) in table {
        let (_, error) = write_with(fault.clone()).await;
        assert_eq!(error.passing(), passing, "{fault:?}: {error:?}");
        assert_eq!(error.after, after.map(Duration::from_secs), "{fault:?}");
    }
}

#[tokio::test]
async fn r10_credentials_that_were_renewed_are_found_at_the_next_attempt() {
    let endpoint = Endpoint::start().await;
    for action in ["DescribeRules", "DescribeRules"] {
        endpoint.fails(action, Fault::Error(403, "ExpiredToken", "the security token is expired"));
    }
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("credentials");
    std::fs::write(&file, "[default]\naws_access_key_id = AKIAOLD\naws_secret_access_key = s\n").expect("a file");
    let env = [
        ("AWS_SHARED_CREDENTIALS_FILE", file.display().to_string()),
        ("AWS_CONFIG_FILE", home.path().join("none").display().to_string()),
        ("AWS_ENDPOINT_URL", endpoint.url.clone()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ("BGCTL_TEST_RENEWS", file.display().to_string()),
    ];
    let settings = endpoint.settings();
    let (ok, said) = tokio::task::spawn_blocking(move || elsewhere(&settings, &env)).await.expect("it ends");
    assert!(ok, "{said}");
    assert_eq!(endpoint.keys(), ["akiaold", "akianew", "akianew"]);
}

#[tokio::test]
async fn r24_the_way_back_writes_the_weights_as_they_were_found() {
    for (blue, found) in [(1, "1"), (999, "999"), (30, "30")] {
        let endpoint = Endpoint::start().await;
        let router = open(&endpoint.settings(), &endpoint.access());
        router.set(&at(green(0)), Split::ALL_GREEN).await.expect("all users");
        router.set(&at(Split::ALL_GREEN), Split { blue, green: 0 }).await.expect("back");
        assert_eq!(endpoint.weights(), (blue, 0));
        assert!(endpoint.written().lines().any(|line| line.ends_with(&format!("Weight={found}"))));
    }
}

const ONLY_BLUE: &str = "<member><Type>forward</Type><ForwardConfig><TargetGroups><member><TargetGroupArn>BLUE</TargetGroupArn>\
    <Weight>1</Weight></member></TargetGroups><TargetGroupStickinessConfig><Enabled>true</Enabled>\
    <DurationSeconds>300</DurationSeconds></TargetGroupStickinessConfig></ForwardConfig></member>";

#[tokio::test]
async fn r25_a_group_that_is_missing_is_added_with_weight_0_and_moves_nobody() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    let both = router.read().await.expect("it reads");
    assert_eq!(router.lacks(&both), None);
    assert_eq!(router.complete(&both).await.expect("nothing to do"), []);
    endpoint.fails("DescribeRules", Fault::Actions(ONLY_BLUE));
    let one = router.read().await.expect("it reads");
    assert_eq!(one.split, Split::ALL_BLUE);
    assert!(one.remarks.iter().any(|line| line.contains("`bgctl prepare RUNBOOK` adds it")), "{:?}", one.remarks);
    let lack = router.lacks(&one).expect("green is missing");
    assert!(lack.line.contains("GREEN's target group `bot-green` is not in the rule"), "{}", lack.line);
    assert_eq!(lack.before, ["forward to bot-blue (BLUE), weight 1"]);
    assert_eq!(lack.after[1..], ["forward to bot-green (GREEN), weight 0"]);
    let calls = router.complete(&one).await.expect("it is added");
    assert_eq!((calls.len(), endpoint.weights()), (1, (1, 0)), "blue's weight is as it was");
    for line in ["Weight=1", "Weight=0", "TargetGroupStickinessConfig.Enabled=true", "DurationSeconds=300"] {
        assert!(endpoint.written().lines().any(|written| written.ends_with(line)), "{line}: {}", endpoint.written());
    }
    // Where somebody has changed the rule since, nothing is written.
    let writes = endpoint.count("ModifyRule");
    endpoint.fails("DescribeRules", Fault::Actions(ONLY_BLUE));
    let one = router.read().await.expect("it reads");
    router.read().await.expect("it reads what somebody else has written");
    let error = router.complete(&one).await.expect_err("it has changed");
    assert!(matches!(error.kind, Trouble::Drift { .. }) && !error.moved, "{error:?}");
    assert_eq!(endpoint.count("ModifyRule"), writes);
}

#[tokio::test]
async fn r26_what_was_read_is_said_where_it_is_no_split() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    endpoint.fails(
        "DescribeRules",
        Fault::Actions(
            "<member><Type>forward</Type><ForwardConfig><TargetGroups><member><TargetGroupArn>BLUE</TargetGroupArn>\
             <Weight>0</Weight></member><member><TargetGroupArn>GREEN</TargetGroupArn><Weight>0</Weight></member>\
             <member><TargetGroupArn>arn:aws:elasticloadbalancing:r:1:targetgroup/third/1</TargetGroupArn><Weight>0</Weight>\
             </member></TargetGroups></ForwardConfig></member>",
        ),
    );
    let error = router.read().await.expect_err("three groups");
    let read = error.read.expect("something was read");
    assert!(read.contains("forward to `bot-blue` 0, `bot-green` 0, `third` 0; all weights are 0"), "{read}");
    endpoint.fails("DescribeRules", Fault::Actions("<member><Type>redirect</Type></member>"));
    let read = router.read().await.expect_err("no forward").read.expect("something was read");
    assert_eq!(read, "the actions read just now are: redirect");
}

#[tokio::test]
async fn r27_a_session_that_cannot_renew_itself_is_told_from_one_that_can() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let end = "2999-01-01T00:00:00Z";
    let process = format!(
        r#"{{"Version":1,"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"secret","SessionToken":"t","Expiration":"{end}"}}"#
    );
    std::fs::write(home.path().join("answer"), process).expect("a file");
    let command = format!("/bin/cat {}", home.path().join("answer").display());
    std::fs::write(&file, format!("[profile job]\ncredential_process = {command}\n")).expect("a file");
    let base = [
        ("AWS_CONFIG_FILE", file.display().to_string()),
        ("AWS_SHARED_CREDENTIALS_FILE", home.path().join("none").display().to_string()),
        ("AWS_ENDPOINT_URL", moto.url.clone()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ("BGCTL_TEST_SESSION", "1".into()),
    ];
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE".to_string()), ("AWS_SECRET_ACCESS_KEY", "secret".to_string())];
    let token = [("AWS_SESSION_TOKEN", "token".to_string())];
    let expires = [("AWS_CREDENTIAL_EXPIRATION", end.to_string())];
    let with = |more: &[&[(&'static str, String)]]| [&base[..], &more.concat()].concat();
    for (env, renews, left, words) in [
        (with(&[&[("AWS_PROFILE", "job".into())]]), true, true, "ends: -"),
        (with(&[&keys]), true, false, "ends: -"),
        (with(&[&keys, &token]), false, false, "whose end is not known: set AWS_CREDENTIAL_EXPIRATION"),
        (with(&[&keys, &token, &expires]), false, true, "cannot renew themselves"),
    ] {
        let settings = balancer.settings();
        let (ok, said) = tokio::task::spawn_blocking(move || elsewhere(&settings, &env)).await.expect("it ends");
        assert!(ok && said.contains(&format!("renews: {renews}, left: {left}")) && said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn r28_whoever_signed_in_with_aws_login_is_told_to_do_so_again() {
    let endpoint = Endpoint::start().await;
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let profiles = "[profile desk]\nlogin_session = arn:aws:iam::123456789012:user/rm-one\n\n[profile portal]\n\
        sso_account_id = 123456789012\nsso_role_name = deploy\nsso_region = us-east-1\nsso_start_url = https://portal/start\n";
    std::fs::write(&file, profiles).expect("a file");
    for (profile, wanted, other) in [("desk", "`aws login`", "sso login"), ("portal", "`aws sso login`", "`aws login`")]
    {
        let env = [
            ("HOME", home.path().display().to_string()),
            ("AWS_CONFIG_FILE", file.display().to_string()),
            ("AWS_PROFILE", profile.into()),
            ("AWS_ENDPOINT_URL", endpoint.url.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ];
        let settings = endpoint.settings();
        let (ok, said) = tokio::task::spawn_blocking(move || elsewhere(&settings, &env)).await.expect("it ends");
        assert!(!ok && said.contains("NoCredentials"), "{said}");
        assert!(said.contains(wanted) && !said.contains(other) && !said.contains("cargo feature"), "{profile}: {said}");
    }
}

#[tokio::test]
async fn nobody_listening_moves_nobody() {
    let endpoint = Endpoint::start().await;
    let mut access = endpoint.access();
    access.aws.endpoint = Some(format!("http://127.0.0.1:{}", common::free_port()));
    let error = open(&endpoint.settings(), &access).set(&at(green(0)), green(100)).await.expect_err("nobody listens");
    assert_eq!((error.kind, error.moved), (Trouble::Unreachable, false), "{error}");
    assert!(error.cure.expect("a cure").contains("AWS_ENDPOINT_URL"));
}

#[tokio::test]
async fn reads_are_repeated_within_bounds_and_visibly() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    endpoint.fails("DescribeRules", Fault::Error(400, "Throttling", "Rate exceeded"));
    endpoint.fails("DescribeRules", Fault::Error(500, "InternalFailure", "oops"));
    let reading = router.read().await.expect("the third attempt is answered");
    assert_eq!(reading.remarks, ["DescribeRules took 3 attempts (before: HTTP 400, HTTP 500)"]);

    for _ in 0..9 {
        endpoint.fails("DescribeRules", Fault::Error(400, "Throttling", "Rate exceeded"));
    }
    let error = router.read().await.expect_err("throttled for good");
    assert_eq!((error.kind, error.passing(), error.moved), (Trouble::Throttled, true, false));
    assert_eq!(endpoint.count("DescribeRules"), 3 + 4);
}

#[tokio::test]
async fn a_way_back_right_after_a_shift_is_not_fooled_by_a_stale_read() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    router.set(&at(green(0)), green(100)).await.expect("it sets");
    // The next two reads still show everybody on blue, which is where the way back leads.
    endpoint.fails("DescribeRules", Fault::Stale);
    endpoint.fails("DescribeRules", Fault::Stale);
    let calls = router.set(&at(green(100)), green(0)).await.expect("it goes back");
    assert_eq!((calls.len(), endpoint.weights()), (1, (100, 0)));
    endpoint.fails("DescribeRules", Fault::Stale);
    assert_eq!(router.read().await.expect("it reads").split, Split::ALL_BLUE);
    assert_eq!(endpoint.count("DescribeRules"), 1 + 3 + 2);
}

#[tokio::test]
async fn a_write_that_was_lost_is_known_after_it_has_settled() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    endpoint.fails("ModifyRule", Fault::Error(500, "InternalFailure", "oops"));
    let error = router.set(&at(green(0)), green(100)).await.expect_err("it fails");
    assert!(error.moved);
    assert_eq!(router.read().await.expect("it reads").split, Split::ALL_BLUE);
    assert!(endpoint.count("DescribeRules") > 10, "it kept looking: {}", endpoint.count("DescribeRules"));
    // A refusal, in contrast, leaves nothing to wait for.
    endpoint.fails("ModifyRule", Fault::Error(400, "Throttling", "Rate exceeded"));
    router.set(&at(green(0)), green(100)).await.expect_err("it is throttled");
    let before = endpoint.count("DescribeRules");
    router.read().await.expect("it reads");
    assert_eq!(endpoint.count("DescribeRules"), before + 1);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_touched() {
    let table = [
        ("<member><Type>redirect</Type></member>", "its actions are redirect"),
        ("<member><Type>teleport</Type></member>", "`teleport`, which this bgctl cannot keep"),
        (
            "<member><Type>forward</Type><TargetGroupArn>arn:other</TargetGroupArn></member>",
            "`arn:other`, which is neither blue nor green",
        ),
        (
            "<member><Type>forward</Type><ForwardConfig><TargetGroups><member><TargetGroupArn>BLUE</TargetGroupArn></member>\
             <member><TargetGroupArn>GREEN</TargetGroupArn></member><member><TargetGroupArn>arn:third</TargetGroupArn>\
             </member></TargetGroups></ForwardConfig></member>",
            "`arn:third`, which is neither blue nor green",
        ),
    ];
    for (actions, wanted) in table {
        let endpoint = Endpoint::start().await;
        endpoint.fails("DescribeRules", Fault::Actions(actions));
        let router = open(&endpoint.settings(), &endpoint.access());
        let error = router.set(&at(green(0)), green(100)).await.expect_err("not a rule of two groups");
        assert_eq!((error.kind, error.moved), (Trouble::Invalid, false));
        assert!(error.what.contains(wanted), "{error}");
        assert_eq!(endpoint.count("ModifyRule"), 0);
    }
}

#[tokio::test]
async fn every_kind_of_action_is_sent_back_whole() {
    let endpoint = Endpoint::start().await;
    endpoint.fails(
        "DescribeRules",
        Fault::Actions(
            "<member><Type>authenticate-cognito</Type><Order>1</Order><AuthenticateCognitoConfig><UserPoolArn>pool</UserPoolArn>\
             <UserPoolClientId>client</UserPoolClientId><UserPoolDomain>domain</UserPoolDomain><SessionTimeout>604800</SessionTimeout>\
             <AuthenticationRequestExtraParams><entry><key>prompt</key><value>login</value></entry></AuthenticationRequestExtraParams>\
             <OnUnauthenticatedRequest>deny</OnUnauthenticatedRequest></AuthenticateCognitoConfig></member>\
             <member><Type>jwt-validation</Type><Order>2</Order><JwtValidationConfig><JwksEndpoint>https://keys</JwksEndpoint>\
             <Issuer>https://issuer</Issuer><AdditionalClaims><member><Format>single-string</Format><Name>aud</Name><Values>\
             <member>bot</member></Values></member></AdditionalClaims></JwtValidationConfig></member>\
             <member><Type>forward</Type><Order>3</Order><TargetGroupArn>BLUE</TargetGroupArn><ForwardConfig><TargetGroups><member>\
             <TargetGroupArn>BLUE</TargetGroupArn><Weight>1</Weight></member></TargetGroups><TargetGroupStickinessConfig>\
             <Enabled>false</Enabled></TargetGroupStickinessConfig></ForwardConfig></member>",
        ),
    );
    let router = open(&endpoint.settings(), &endpoint.access());
    router.set(&at(green(0)), green(5)).await.expect("it sets");
    let written = endpoint.written();
    for line in [
        "Actions.member.1.AuthenticateCognitoConfig.UserPoolArn=pool",
        "Actions.member.1.AuthenticateCognitoConfig.SessionTimeout=604800",
        "Actions.member.1.AuthenticateCognitoConfig.AuthenticationRequestExtraParams.entry.1.value=login",
        "Actions.member.1.AuthenticateCognitoConfig.OnUnauthenticatedRequest=deny",
        "Actions.member.2.JwtValidationConfig.JwksEndpoint=https://keys",
        "Actions.member.2.JwtValidationConfig.AdditionalClaims.member.1.Values.member.1=bot",
        "Actions.member.3.Order=3",
        "Actions.member.3.ForwardConfig.TargetGroups.member.1.Weight=995",
        "Actions.member.3.ForwardConfig.TargetGroups.member.2.Weight=5",
        "Actions.member.3.ForwardConfig.TargetGroupStickinessConfig.Enabled=false",
    ] {
        assert!(written.lines().any(|l| l == line), "{line} is not in\n{written}");
    }
    assert!(!written.contains("Actions.member.3.TargetGroupArn"), "{written}");
    assert!(!written.contains("Conditions") && !written.contains("Transforms"), "{written}");
}

#[tokio::test]
async fn weights_out_of_range_are_refused_before_any_call() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    for to in [Split { blue: 0, green: 0 }, Split { blue: 1000, green: 1 }, Split { blue: 1, green: 1000 }] {
        let error = router.set(&at(green(0)), to).await.expect_err("out of range");
        assert_eq!((error.kind, error.moved), (Trouble::Invalid, false));
    }
    assert_eq!(endpoint.count("DescribeRules"), 0);
}

#[tokio::test]
async fn a_default_rule_given_as_a_rule_is_changed_through_its_listener() {
    let endpoint = Endpoint::start().await;
    let router = open(&endpoint.settings(), &endpoint.access());
    endpoint.fails("DescribeRules", Fault::Default);
    endpoint.fails("DescribeRules", Fault::Default);
    let armed = router.read().await.expect("it reads");
    assert_eq!(armed.exact["through"], "listener");
    let calls = router.set(&at(green(0)), green(100)).await.expect("it sets");
    assert_eq!((calls.len(), calls[0].action.as_str()), (1, "ModifyListener"));
    assert_eq!((endpoint.weights(), endpoint.count("ModifyRule")), ((90, 10), 0));
    let line = "ListenerArn=arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/bot/50dc6c495c0c9188/0467ef3c8400ae65";
    assert!(endpoint.written().lines().any(|l| l == line), "{}", endpoint.written());
    assert!(router.native_way_back("web", &armed).command.starts_with("aws elbv2 modify-listener --listener-arn arn:"));
}
