//! Metrics of AWS as gates ask them, against moto: a server we did not write.

#![cfg(feature = "cloudwatch")]

mod common;

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use bgctl::clock::{Clock, SystemClock};
use bgctl::compile::Draft;
use bgctl::diag::{Diagnostic, Severity};
use bgctl::gates::by_stack::Sides;
use bgctl::gates::cloudwatch::LiveMetrics;
use bgctl::gates::gate;
use bgctl::gates::gate::Gate;
use bgctl::gates::judge::Control;
use bgctl::gates::number::Number;
use bgctl::gates::probe::{Measured, Probe};
use bgctl::gates::source::About;
use bgctl::gates::traffic;
use bgctl::plan::{Capacity, Color, Counter, Plan, Split};
use bgctl::routers::{
    Call, Health, Identity, MetricsPlace, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter,
};
use bgctl::run::{Cause, Outcome};
use bgctl::runbook::{Inputs, Source};
use bgctl::world::{Gap, Metrics, Point, Question, World};
use common::cbor::Bridge;
use common::moto::{Moto, REGION};
use common::scripted::{Stage, kind, no_answer, plan};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const BALANCER: &str = "app/bot/50dc6c495c0c9188";

fn group(color: &str) -> String {
    format!("targetgroup/bot-{color}/6d0ecf831eec9f09")
}

/// One point in the minute that began so long before `now`: two points of one test share no minute by chance.
async fn put(moto: &Moto, now: Timestamp, color: &str, metric: &str, minutes_ago: i64, value: f64) {
    let at = (now - SignedDuration::from_mins(minutes_ago)).to_string();
    let (group, value) = (group(color), value.to_string());
    let form = [
        ("Action", "PutMetricData"),
        ("Version", "2010-08-01"),
        ("Namespace", "AWS/ApplicationELB"),
        ("MetricData.member.1.MetricName", metric),
        ("MetricData.member.1.Timestamp", &at),
        ("MetricData.member.1.Value", &value),
        ("MetricData.member.1.Dimensions.member.1.Name", "LoadBalancer"),
        ("MetricData.member.1.Dimensions.member.1.Value", BALANCER),
        ("MetricData.member.1.Dimensions.member.2.Name", "TargetGroup"),
        ("MetricData.member.1.Dimensions.member.2.Value", &group),
    ];
    moto.query("monitoring", &form).await;
}

fn world(metrics: Rc<dyn Metrics>) -> World {
    let mut world = Stage::new(|_, _| no_answer()).world;
    world.clock = Rc::new(SystemClock);
    world.metrics = metrics;
    world
}

fn dimensions(mut settings: Value) -> Value {
    settings["region"] = json!(REGION);
    settings["dimensions"] = json!({ "LoadBalancer": BALANCER });
    settings["blue"] = json!({ "TargetGroup": group("blue") });
    settings["green"] = json!({ "TargetGroup": group("green") });
    settings
}

async fn measure(world: &World, settings: Value, since: Timestamp) -> Result<Measured, Gap> {
    let checked = gate::check(&settings);
    assert_eq!(checked.mistakes, vec![], "{settings}");
    let gate: Gate = serde_json::from_value(settings).unwrap();
    let probe = Probe::new(gate, &Sides::of(&plan())).unwrap();
    probe.measure(world, since, world.clock.now()).await.measured
}

fn errors() -> Value {
    let bad = json!(["HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"]);
    json!({ "cloudwatch": dimensions(json!({ "bad": bad, "requests": "RequestCount" })), "max": "0.5%" })
}

#[tokio::test]
async fn requests_of_each_target_group_are_counted_since_the_shift() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let now = SystemClock.now();
    for minute in 4..=12 {
        put(&moto, now, "green", "RequestCount", minute, 100.0).await;
        put(&moto, now, "blue", "RequestCount", minute, 900.0).await;
    }
    // Points exist only for minutes in which something went wrong.
    put(&moto, now, "green", "HTTPCode_Target_5XX_Count", 5, 7.0).await;
    put(&moto, now, "green", "TargetConnectionErrorCount", 6, 2.0).await;
    // Long before the shift, and no fault of green's.
    put(&moto, now, "green", "HTTPCode_Target_5XX_Count", 30, 500.0).await;
    let bridge = Bridge::to(&moto.url).await;
    let live = world(Rc::new(LiveMetrics::new(&bridge.access(&moto))));
    let since = SystemClock.now() - SignedDuration::from_mins(15);
    let counted = measure(&live, errors(), since).await;
    let Ok(Measured::Counts { green, blue, minutes }) = counted else { panic!("{counted:?}") };
    assert_eq!((green.bad, blue.bad), (9, 0));
    // G19: what a verdict rests on is said, and a small part of the time is none to pass on.
    let minutes = minutes.unwrap();
    assert!(minutes.passed == 15 && (11..=12).contains(&minutes.counted) && !minutes.too_few(), "{minutes:?}");
    let first = measure(&live, errors(), SystemClock.now() - SignedDuration::from_secs(5 * 60 + 30)).await;
    let Ok(Measured::Counts { minutes: Some(minutes), .. }) = first else { panic!("{first:?}") };
    assert!(minutes.too_few() && minutes.told().contains("of 5 minutes"), "{minutes:?}");
    assert!((800..=900).contains(&green.requests) && blue.requests == 9 * green.requests, "{green:?} {blue:?}");
    // A shift that lies two minutes back is in no complete minute yet.
    let young = measure(&live, errors(), SystemClock.now() - SignedDuration::from_mins(2)).await;
    assert!(matches!(&young, Err(Gap::Unknown(line)) if line.contains("3m late")), "{young:?}");
    // One number of one stack, as comparisons ask for it.
    let lag = dimensions(json!({ "metric": "RequestCount", "stat": "Sum", "over": "1m", "late": "5m" }));
    let number: Number = serde_json::from_value(json!({ "cloudwatch": lag })).unwrap();
    assert!(number.check().is_empty() && number.of_a_stack());
    assert_eq!(number.read(&live, &About::stack(&plan(), Color::Blue)).await, Ok(900.0));
    // A dimension that is spelled wrong has no data, which is not the same as no errors.
    let mut typo = errors();
    typo["cloudwatch"]["green"]["TargetGroup"] = json!("targetgroup/bot-gren/6d0ecf831eec9f09");
    let none = measure(&live, typo, since).await;
    assert!(matches!(&none, Err(Gap::Unknown(line)) if line.contains("`RequestCount` has no data")), "{none:?}");
}

#[tokio::test]
async fn a_value_is_taken_over_one_whole_period_behind_the_shift() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let now = SystemClock.now();
    for minute in 4..=20 {
        put(&moto, now, "green", "TargetResponseTime", minute, 0.4).await;
        put(&moto, now, "blue", "TargetResponseTime", minute, 0.2).await;
        put(&moto, now, "green", "RequestCount", minute, 30.0).await;
        put(&moto, now, "blue", "RequestCount", minute, 270.0).await;
    }
    let bridge = Bridge::to(&moto.url).await;
    let live = world(Rc::new(LiveMetrics::new(&bridge.access(&moto))));
    let slow = |stat: &str| {
        let metric = json!({ "metric": "TargetResponseTime", "stat": stat, "requests": "RequestCount", "over": "5m" });
        json!({ "cloudwatch": dimensions(metric), "max": "800ms", "versus_blue": "x3" })
    };
    let since = |minutes| SystemClock.now() - SignedDuration::from_mins(minutes);
    let value = measure(&live, slow("Average"), since(30)).await;
    let Ok(Measured::Value { green, blue: Control::Value(blue), requests: Some(requests), .. }) = value else {
        panic!("{value:?}")
    };
    assert!((green - 0.4).abs() < 1e-9 && (blue - 0.2).abs() < 1e-9 && requests == 150, "{green} {blue} {requests}");
    let early = measure(&live, slow("Average"), since(6)).await;
    assert!(matches!(&early, Err(Gap::Unknown(line)) if line.contains("since users were shifted")), "{early:?}");
}

/// A CloudWatch that answers by script: what moto cannot do.
struct Scripted(Script);

type Script = fn(&Question, Timestamp, Timestamp) -> Result<Vec<Point>, Gap>;

#[async_trait(?Send)]
impl Metrics for Scripted {
    async fn series(
        &self,
        region: Option<&str>,
        questions: &[Question],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Vec<Point>>, Gap> {
        assert_eq!(region, Some(REGION));
        questions.iter().map(|question| (self.0)(question, from, to)).collect()
    }
}

#[tokio::test]
async fn late_missing_and_refused_metrics_are_unknown_and_silence_is_silence() {
    let since = SystemClock.now() - SignedDuration::from_mins(30);
    let ask = |script: Script| async move { measure(&world(Rc::new(Scripted(script))), errors(), since).await };
    // Requests that stopped coming ten minutes ago say nothing about now.
    let old = ask(|_, from, to| {
        Ok(vec![Point { at: to - SignedDuration::from_mins(10), value: 5.0 }; usize::from(from < to)])
    });
    assert!(matches!(old.await, Err(Gap::Unknown(line)) if line.contains("older than it should be")));
    let none = ask(|_, _, _| Ok(Vec::new())).await;
    assert!(matches!(&none, Err(Gap::Unknown(line)) if line.contains("has no data")), "{none:?}");
    // Errors without requests are no share.
    let odd = ask(|question, _, to| {
        let value = if question.metric == "RequestCount" { 1.0 } else { 3.0 };
        Ok(vec![Point { at: to - SignedDuration::from_mins(1), value }])
    });
    assert!(matches!(odd.await, Ok(Measured::Counts { green, .. }) if green.bad > green.requests));
    let silent = ask(|_, _, _| Err(Gap::Silent("CloudWatch says ThrottlingException".into()))).await;
    assert!(matches!(silent, Err(Gap::Silent(_))));
    // Nobody listens there.
    let access = bgctl::routers::AwsAccess {
        endpoint: Some("http://127.0.0.1:1".into()),
        keys: Some(("AKIAEXAMPLE".into(), bgctl::secret::Secret::new("secret"))),
        ..Default::default()
    };
    let gap = measure(&world(Rc::new(LiveMetrics::new(&access))), errors(), since).await;
    assert!(matches!(&gap, Err(Gap::Silent(line)) if line.contains("did not answer")), "{gap:?}");
}

#[test]
fn mistakes_in_metrics_are_found_without_asking() {
    for (settings, at, word) in [
        (json!({}), "", "exactly one of `metric` and `bad`"),
        (
            json!({ "metric": "A", "bad": ["B"], "requests": "C", "stat": "Sum" }),
            "",
            "exactly one of `metric` and `bad`",
        ),
        (json!({ "metric": "A" }), "/metric", "no `stat`"),
        (json!({ "bad": ["A"] }), "/bad", "share of"),
        (json!({ "metric": "A", "stat": "Sum", "region": "us-east" }), "/region", "no region of AWS"),
        (json!({ "metric": "A", "stat": "Sum", "over": "90s" }), "/over", "no period"),
        (json!({ "metric": "A", "stat": "Sum", "late": "2h" }), "/late", "judge nothing"),
    ] {
        let gate = json!({ "cloudwatch": settings, "max": 1 });
        let found = gate::check(&gate).mistakes;
        let wanted = format!("/cloudwatch{at}");
        assert!(found.iter().any(|m| m.at == wanted && m.message.contains(word)), "{gate}: {found:?}");
    }
}

/// The plan of a runbook with one `alb` route, a gate on these metrics and what its sides have to carry.
fn drafted(place: &str, metrics: Value, capacity: Value) -> Result<Plan, Vec<Diagnostic>> {
    let arn = |resource: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{resource}");
    let key = place.split_once('/').map_or("rule", |(kind, _)| kind.trim_start_matches("listener-"));
    let route = json!({
        key: arn(place), "blue": arn("targetgroup/bot-blue/6d0ecf831eec9f09"),
        "green": arn("targetgroup/bot-green/73e2d6bc24d8a067"),
    });
    let stack = |version: &str| json!({ "version": version, "url": format!("http://{version}.test") });
    let text = json!({
        "bgctl": 1, "service": "bot", "environment": "test", "owners": ["a@example.com"],
        "stacks": { "blue": stack("v1"), "green": stack("v2") },
        "routes": { "web": { "alb": route, "capacity": capacity } },
        "gates": { "edge": { "cloudwatch": metrics, "max": "0.5%" } },
        "steps": [
            { "id": "shift", "shift": { "route": "web", "green": "100%" } },
            { "id": "bake", "bake": { "for": "15m", "gates": ["edge"] } },
        ],
        "rollback": { "owner": "a@example.com", "steps": [{ "id": "back", "shift": { "route": "web", "blue": "100%" } }] },
    });
    let source = Source::new("test.yaml", text.to_string());
    Draft::new(&source, &Inputs::default(), None).map(|draft| draft.plan)
}

#[test]
fn who_counts_requests_is_asked_only_of_a_route_that_has_them_counted() {
    let metrics = json!({
        "metric": "M", "stat": "Sum", "region": REGION, "blue": { "a": "1" }, "green": { "a": "2" },
    });
    let rule = "listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b";
    let flows = "listener/net/bot/50dc6c495c0c9188/0467ef3c8400ae65";
    let asks = json!({ "per_target": 60, "traffic": "cloudwatch" });
    let plan = drafted(rule, metrics.clone(), asks.clone()).unwrap();
    assert_eq!(plan.routes["web"].capacity.traffic, Some(Counter::Cloudwatch));
    let said = |found: Vec<Diagnostic>| {
        let wrong = found.into_iter().filter(|d| d.severity == Severity::Error);
        wrong.map(|d| d.headline).collect::<Vec<_>>()
    };
    let flows = said(drafted(flows, metrics.clone(), asks).unwrap_err());
    assert_eq!(flows, ["nobody counts the requests of route `web`"]);
    for alone in [json!({ "traffic": "cloudwatch" }), json!({ "per_target": 60 }), json!({ "peak": 60 })] {
        let found = said(drafted(rule, metrics.clone(), alone).unwrap_err());
        assert_eq!(found, ["`per_target` is said together with `peak` or `traffic`, or none of them is"]);
    }
}

/// A route names everything that has to be known of a load balancer.
#[test]
fn a_route_gives_region_and_dimensions() {
    let compiled = |metrics: Value| {
        drafted("listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b", metrics, json!({}))
    };
    let compiled = |metrics: Value| compiled(metrics).map(|plan| plan.gates["edge"]["cloudwatch"].clone());
    let counts = json!({ "route": "web", "bad": ["HTTPCode_Target_5XX_Count"], "requests": "RequestCount" });
    let metrics = compiled(counts.clone()).unwrap();
    assert_eq!(metrics["region"], "eu-west-1");
    assert_eq!(metrics["dimensions"], json!({ "LoadBalancer": "app/bot/50dc6c495c0c9188" }));
    assert_eq!(metrics["green"], json!({ "TargetGroup": "targetgroup/bot-green/73e2d6bc24d8a067" }));
    let mut other = counts;
    other["route"] = json!("wev");
    let found = compiled(other).unwrap_err();
    assert!(found.iter().any(|d| d.headline.contains("no route `wev`")), "{found:?}");
}

/// A load balancer with two healthy targets a side, whose requests CloudWatch counts.
struct Balanced(Cell<Split>);

fn place() -> MetricsPlace {
    MetricsPlace {
        region: REGION.into(),
        whole: ("LoadBalancer".into(), BALANCER.into()),
        blue: ("TargetGroup".into(), group("blue")),
        green: ("TargetGroup".into(), group("green")),
    }
}

#[async_trait(?Send)]
impl RouteView for Balanced {
    fn line(&self) -> String {
        "alb rule bot".into()
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        Vec::new()
    }

    fn metrics(&self) -> Option<MetricsPlace> {
        Some(place())
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        Ok(Reading { split: self.0.get(), exact: Value::Null, remarks: Vec::new() })
    }

    async fn health(&self, _: Color) -> Result<Health, RouterError> {
        Ok(Health { healthy: 2, total: 2, ..Health::default() })
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        Ok(Identity { line: "nobody".into(), left: None, renews: true })
    }

    fn native_way_back(&self, _: &str, _: &Reading) -> NativeWayBack {
        NativeWayBack::default()
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Balanced {
    async fn set(&self, _: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        self.0.set(to);
        Ok(vec![Call { action: "set".into(), request_id: None, code: "ok".into(), time: Default::default() }])
    }

    fn settle(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

/// A plan with one shift there and one back, where a target carries 60 requests a second.
fn measured() -> Plan {
    let step = |id: &str, to: Value, before: Split, after: Split| {
        json!({
            "id": id, "kind": "shift", "line": "", "config": to, "resume": "observe", "attempts": 1, "timeout_s": 60,
            "expected_s": 1, "moves": { "route": "web", "before": before, "after": after }, "approval": null,
            "on_failure": "roll-back", "place": "test.yaml:1",
        })
    };
    let mut whole = serde_json::to_value(plan()).unwrap();
    whole["routes"]["web"] = json!({
        "router": "alb", "config": {}, "line": "alb rule bot", "seen_at": null, "before": Split::ALL_BLUE, "min_healthy": 1,
        "capacity": { "per_target": 60, "traffic": "cloudwatch" },
    });
    let (half, blue) = (Split::of_green(500), Split::ALL_BLUE);
    whole["forward"] = json!([step("half", json!({ "route": "web", "green": "50%" }), blue, half)]);
    whole["rollback"] = json!([step("back", json!({ "route": "web", "blue": "100%" }), half, blue)]);
    whole["gates"] = json!({});
    whole["slack"] = Value::Null;
    serde_json::from_value(whole).unwrap()
}

/// A shift of that plan, under a CloudWatch with this script; what it said besides is given too.
fn shifted(script: Script, back: bool) -> (Outcome, String) {
    let (plan, mut stage) = (measured(), Stage::new(|_, _| no_answer()));
    let step = if back { &plan.rollback[0] } else { &plan.forward[0] };
    let from = step.moves.as_ref().unwrap().before;
    stage.world.routes.insert("web".into(), Rc::new(Balanced(Cell::new(from))));
    stage.world.metrics = Rc::new(Scripted(script));
    let shift = (kind("shift").build)(step, &plan).unwrap();
    let outcome = stage.clock.run(shift.execute(&stage.world, &stage.notes)).unwrap();
    (outcome, stage.notes.text())
}

/// So many requests in the newest minute of each side.
fn minute(to: Timestamp, requests: f64) -> Result<Vec<Point>, Gap> {
    Ok(vec![Point { at: to - SignedDuration::from_mins(1), value: requests }])
}

#[test]
fn nobody_is_moved_to_a_side_that_the_traffic_of_now_would_overrun() {
    let (done, said) = shifted(|_, _, to| minute(to, 7200.0), false);
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    assert!(said.contains("web: all users make 240 requests a second now, by CloudWatch"), "{said}");
    let (few, _) = shifted(|_, _, to| minute(to, 7201.0), false);
    let Outcome::Failed { line, cause: Cause::Destination, moved: false, .. } = few else { panic!("{few:?}") };
    assert_eq!(
        line,
        "GREEN has 2 healthy targets, and 50.0% of 241 requests a second need 3, so no users are sent there"
    );
}

#[test]
fn a_count_that_is_not_known_never_passes_and_holds_up_no_way_back() {
    let old: Script = |_, _, to| Ok(vec![Point { at: to - SignedDuration::from_mins(5), value: 1.0 }]);
    let throttled: Script = |_, _, _| Err(Gap::Silent("CloudWatch says ThrottlingException".into()));
    for (script, why) in [
        ((|_, _, _| Ok(Vec::new())) as Script, "has no `RequestCount` of either side"),
        (old, "240 s older than it should be"),
        (throttled, "ThrottlingException"),
    ] {
        let (outcome, _) = shifted(script, false);
        let Outcome::Failed { line, cause: Cause::Away, moved: false, .. } = outcome else { panic!("{outcome:?}") };
        assert!(line.contains("the users of web make now is not known") && line.contains(why), "{line}");
        let (back, said) = shifted(script, true);
        assert!(matches!(back, Outcome::Done { .. }) && !said.contains("requests a second"), "{back:?}");
    }
}

#[test]
fn a_run_begins_only_where_both_sides_carry_the_traffic_of_now() {
    let armed = |script: Script| {
        let (plan, mut stage) = (measured(), Stage::new(|_, _| no_answer()));
        stage.world.routes.insert("web".into(), Rc::new(Balanced(Cell::new(Split::ALL_BLUE))));
        stage.world.metrics = Rc::new(Scripted(script));
        stage.clock.run(bgctl::arm::arm(&plan, &stage.world, &|_, _| Ok(()))).unwrap()
    };
    let checks = json!(armed(|_, _, to| minute(to, 3600.0)).unwrap()).to_string();
    assert!(checks.contains("web: all users make 120 requests a second now, by CloudWatch"), "{checks}");
    let few = armed(|_, _, to| minute(to, 3601.0)).unwrap_err();
    assert_eq!(
        few.headline,
        "BLUE cannot take users: BLUE has 2 healthy targets, and 100.0% of 121 requests a second need 3"
    );
    let unknown = armed(|_, _, _| Err(Gap::Silent("CloudWatch did not answer".into()))).unwrap_err();
    assert!(unknown.headline.starts_with("cannot tell") && unknown.cause[0].contains("did not answer"), "{unknown:?}");
}

#[tokio::test]
async fn requests_of_both_target_groups_are_counted_by_the_second() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let now = SystemClock.now();
    for minute in 4..=12 {
        put(&moto, now, "blue", "RequestCount", minute, 5400.0).await;
    }
    put(&moto, now, "green", "RequestCount", 6, 600.0).await;
    let bridge = Bridge::to(&moto.url).await;
    let live = world(Rc::new(LiveMetrics::new(&bridge.access(&moto))));
    let asked = Capacity { per_target: Some(60), traffic: Some(Counter::Cloudwatch), ..Capacity::default() };
    assert_eq!(traffic::now(&asked, Some(place()), &live).await, Ok(Some(100)));
    assert_eq!(traffic::now(&Capacity::default(), Some(place()), &live).await, Ok(None));
    let elsewhere = MetricsPlace { blue: place().whole, green: place().whole, ..place() };
    let none = traffic::now(&asked, Some(elsewhere), &live).await.unwrap_err();
    assert!(none.line().contains("has no `RequestCount`"), "{none:?}");
}
