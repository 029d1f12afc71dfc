//! One suite that every router has to pass, on every place it is tried against.
//!
//! To try a router on another server: implement [`Place`] for it and call [`suite`].
#![cfg(feature = "aws")]

mod common;
#[path = "sockets/stub.rs"]
mod stub;

use std::collections::BTreeMap;
use std::process::Command;
use std::rc::Rc;

use async_trait::async_trait;
use bgctl::lab::{Lab, Options};
use bgctl::plan::{Color, Split};
use bgctl::routers::{NativeWayBack, Reading, TrafficRouter, Trouble, alb};
use common::at;
use common::moto::{Api, Balancer, Moto, between, pause};
use serde_json::{Value, json};

/// A place where traffic is split, with a view of it that is not the router's own. It starts with everybody on blue and
/// healthy targets on both sides.
#[async_trait(?Send)]
trait Place {
    fn router(&self) -> Rc<dyn TrafficRouter>;

    /// The kind of its router, as in YAML.
    fn kind(&self) -> &'static str;

    /// Shares of green in thousandths, up to all of it, that this place can have.
    fn shares(&self) -> [u32; 4] {
        [100, 5, 500, 1000]
    }

    /// A share that somebody else sets.
    fn elsewhere(&self) -> u32 {
        700
    }

    /// One change is one call, and the provider names each.
    fn one_call(&self) -> bool {
        true
    }

    /// The weights as somebody else reads them, blue first.
    async fn witness(&self) -> (u32, u32);

    /// Everything at the place that is not a weight, as somebody else reads it.
    fn everything_else(&self) -> Value;

    /// Somebody else sets the weights.
    fn meddle(&self, blue: u32, green: u32);

    /// Takes every target out of green, by somebody else's hand.
    fn empty_green(&self);

    /// Runs the way back as a person would: its files in a folder, its command in a shell.
    fn walk_back(&self, way: &NativeWayBack);
}

fn split(green_per_mille: u32) -> Split {
    Split::of_green(green_per_mille)
}

/// Waits until somebody else reads this split; a provider may take a moment.
async fn witnessed(place: &dyn Place, wanted: Split) {
    for _ in 0..100 {
        let (blue, green) = place.witness().await;
        if (Split { blue, green }) == wanted {
            return;
        }
        pause().await;
    }
    panic!("{wanted} was never seen; the last was {:?}", place.witness().await);
}

/// Waits until the router reads this split.
async fn reads(router: &dyn TrafficRouter, wanted: Split) -> Reading {
    for _ in 0..100 {
        let reading = router.read().await.expect("it reads");
        if reading.split == wanted {
            return reading;
        }
        pause().await;
    }
    panic!("{wanted} was never read");
}

/// What every router must do.
async fn suite(place: &dyn Place) {
    let router = place.router();
    let router = router.as_ref();
    let untouched = place.everything_else();

    // It reads what is there, and says where that is.
    let armed = router.read().await.expect("it reads");
    assert_eq!(armed.split, Split::ALL_BLUE);
    assert!(!router.line().is_empty());
    let way = router.native_way_back("web", &armed);
    assert!(way.files.iter().all(|(name, _)| name.starts_with("web")), "{way:?}");

    // It sets absolute weights, in steps up and down, one right after the other, and everybody sees the same.
    let mut from = 0;
    for to in place.shares() {
        let calls = router.set(&at(split(from)), split(to)).await.expect("it sets");
        assert!(!calls.is_empty() && calls.iter().all(|call| call.code == "ok"), "{calls:?}");
        if place.one_call() {
            assert_eq!(calls.len(), 1, "one write is one call: {calls:?}");
            assert!(calls[0].request_id.is_some(), "{calls:?}");
        }
        assert_eq!(router.read().await.expect("it reads").split, split(to), "a router sees its own writes");
        from = to;
    }
    witnessed(place, Split::ALL_GREEN).await;

    // A reading that was just made is as good as the word of somebody who knows, also when it is used twice.
    let reading = router.read().await.expect("it reads");
    for _ in 0..2 {
        assert_eq!(router.set(&reading, split(1000)).await.expect("nothing to do"), []);
    }
    assert_eq!(router.lacks(&reading), None, "a place that was split lacks nothing");
    assert_eq!(router.complete(&reading).await.expect("nothing to add"), []);

    // How long a lost write may still land is no secret: its page says it, with where that is known from.
    assert!(router.lands_within() >= router.settle());
    let page = std::fs::read_to_string(format!("{}/src/routers/{}.md", env!("CARGO_MANIFEST_DIR"), place.kind()));
    let wanted = format!("for {} s after the loss", router.lands_within().as_secs());
    assert!(page.expect("a page").replace('\n', " ").contains(&wanted), "`{wanted}` is not in the page");

    // Setting what is there already is no call.
    assert_eq!(router.set(&at(split(1000)), split(1000)).await.expect("nothing to do"), []);

    // Written is only over what was expected.
    let error = router.set(&at(split(0)), split(250)).await.expect_err("a stale `from` is drift");
    assert_eq!(error.kind, Trouble::Drift { found: split(1000) });
    assert!(!error.moved && error.calls.is_empty(), "{error:?}");
    witnessed(place, Split::ALL_GREEN).await;

    // A foreign change is seen, and not written over.
    let elsewhere = split(place.elsewhere());
    place.meddle(elsewhere.blue, elsewhere.green);
    reads(router, elsewhere).await;
    let error = router.set(&at(split(1000)), split(0)).await.expect_err("somebody else moved it");
    assert_eq!(error.kind, Trouble::Drift { found: elsewhere });
    witnessed(place, elsewhere).await;

    // Nobody is sent nowhere.
    let error = router.set(&at(elsewhere), Split { blue: 0, green: 0 }).await.expect_err("0/0 is refused");
    assert_eq!((error.kind, error.moved), (Trouble::Invalid, false));
    witnessed(place, elsewhere).await;

    // Everything else at the place is as before.
    assert_eq!(place.everything_else(), untouched);

    // Health is a count, and nothing is not well.
    let health = router.health(Color::Blue).await.expect("blue's health");
    assert!(health.healthy >= 1 && health.healthy == health.total, "{health:?}");
    place.empty_green();
    let health = router.health(Color::Green).await.expect("green's health");
    assert_eq!(health.healthy, 0, "{health:?}");
    assert!(!health.ailing.is_empty(), "an empty side says so");

    // Nobody else owns it, and we are somebody.
    assert_eq!(router.controller().await.expect("it looks for controllers"), None);
    assert!(!router.identity().await.expect("we are somebody").line.is_empty());

    // The way back computed before the first move leads back without bgctl, to exactly what was there.
    place.walk_back(&way);
    assert_eq!(reads(router, Split::ALL_BLUE).await.exact, armed.exact);
    assert_eq!(place.everything_else(), untouched);
}

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
    fn kind(&self) -> &'static str {
        "alb"
    }

    fn router(&self) -> Rc<dyn TrafficRouter> {
        let mut settings = self.balancer.settings();
        if self.default {
            settings =
                json!({ "listener": self.balancer.listener, "blue": self.balancer.blue, "green": self.balancer.green });
        }
        (alb::KIND.open)(&settings, &self.api.access()).expect("good settings")
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
        for (name, content) in &way.files {
            std::fs::write(folder.path().join(name), content).expect("the file is written");
        }
        let cli = self.api.cli_command();
        let mut shell = Command::new("sh");
        shell.envs(cli.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(folder.path());
        let path = std::path::Path::new(cli.get_program()).parent().expect("a folder").display().to_string();
        let script = format!("PATH={path}:$PATH; {}", way.command);
        let output = shell.args(["-c", &script]).output().expect("a shell");
        assert!(output.status.success(), "{}: {}", way.command, String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn alb_rule_on_moto() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, true, None).await;
    suite(&AwsCli { api: &moto, balancer, default: false }).await;
}

#[tokio::test]
async fn alb_default_rule_on_moto() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    suite(&AwsCli { api: &moto, balancer, default: true }).await;
}

/// The lab keeps the provider's rules, and its reads lag behind its writes.
#[tokio::test]
async fn alb_rule_in_the_lab() {
    let Some(aws) = common::peer("aws") else { return };
    let lab = Lab::start(Options::default()).expect("the lab starts");
    let environment: BTreeMap<String, String> = lab.environment().into_iter().collect();
    let of = |name: &str| environment[name].clone();
    let api =
        Api { url: of("AWS_ENDPOINT_URL"), id: of("AWS_ACCESS_KEY_ID"), secret: of("AWS_SECRET_ACCESS_KEY"), aws };
    let mut variables = lab.variables();
    let mut of = |name: &str| variables.remove(name).expect(name);
    let (rule, blue, green) = (of("rule_arn"), of("blue_target_group"), of("green_target_group"));
    let balancer = Balancer { load_balancer: String::new(), listener: String::new(), rule, blue, green };
    suite(&AwsCli { api: &api, balancer, default: false }).await;
}

/// Three instances a side that do as they are told.
struct Fleets {
    slack: bgctl::lab::Gateway,
    sides: [Vec<stub::Stub>; 2],
}

impl Fleets {
    fn holding(&self) -> [usize; 2] {
        [0, 1].map(|side: usize| self.sides[side].iter().filter(|stub| stub.holds()).count())
    }
}

#[async_trait(?Send)]
impl Place for Fleets {
    fn kind(&self) -> &'static str {
        "socket_mode"
    }

    fn router(&self) -> Rc<dyn TrafficRouter> {
        let urls = |side: usize| self.sides[side].iter().map(|stub| stub.url.clone()).collect::<Vec<_>>();
        let settings = json!({ "blue": urls(0), "green": urls(1), "app_token": "xapp-1-lab", "api": self.slack.api(), "floor": 2 });
        let access = bgctl::routers::Access::default();
        (bgctl::routers::socket_mode::KIND.open)(&settings, &access).expect("good settings")
    }

    fn shares(&self) -> [u32; 4] {
        [500, 250, 600, 1000]
    }

    fn elsewhere(&self) -> u32 {
        750
    }

    fn one_call(&self) -> bool {
        false
    }

    async fn witness(&self) -> (u32, u32) {
        let [blue, green] = self.holding();
        // Rounded as a runbook's share is.
        let split = Split::of_green(((green * 1000 + (blue + green) / 2) / (blue + green).max(1)) as u32);
        (split.blue, split.green)
    }

    /// Sockets are all there is.
    fn everything_else(&self) -> Value {
        Value::Null
    }

    fn meddle(&self, blue: u32, green: u32) {
        let share = |b: usize, g: usize| (g * 1000 / (b + g)) as u32 == green * 1000 / (blue + green);
        let all = (0..=3).flat_map(|b| (0..=3).map(move |g| (b, g))).filter(|(b, g)| b + g > 0);
        let (b, g) = all.filter(|(b, g)| share(*b, *g)).max().expect("a split of three and three");
        for (stubs, count) in self.sides.iter().zip([b, g]) {
            for (n, stub) in stubs.iter().enumerate() {
                stub.set("open", json!(n < count));
                stub.set("connected", json!(u32::from(n < count)));
            }
        }
    }

    fn empty_green(&self) {
        self.sides[1].iter().for_each(stub::Stub::end);
    }

    fn walk_back(&self, way: &NativeWayBack) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in &way.files {
            std::fs::write(folder.path().join(name), content).expect("the file is written");
        }
        let output =
            Command::new("sh").args(["-c", &way.command]).current_dir(folder.path()).output().expect("a shell");
        assert!(output.status.success(), "{}: {}", way.command, String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_mode_of_two_fleets() {
    let Some(_) = common::peer("curl") else { return };
    let book = stub::Book::default();
    let mut sides = [Vec::new(), Vec::new()];
    for (side, name) in ["blue", "green"].into_iter().enumerate() {
        for n in 1..=3 {
            sides[side].push(stub::Stub::start(&format!("{name}-{n}"), side == 0, &book).await);
        }
    }
    let slack = bgctl::lab::Gateway::start(3).expect("Slack's API");
    suite(&Fleets { slack, sides }).await;
}
