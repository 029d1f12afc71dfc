//! Whole cutovers of real bots behind a real nginx, judged over a real Prometheus and driven by the bgctl that is shipped,
//! while users are at work.
//!
//! The weights are held by the lab's endpoint, which speaks the provider's protocol and keeps its rules; nginx follows them.
//! Its targets are replaced by the real bots over that same protocol. Every event is counted afterwards in the store both
//! bots write.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bgctl::lab::{Lab, Options};
use bgctl::live::redis::LiveStore;
use bgctl::plan::Color;
use bgctl::world::Store;

use super::MACHINE;
use super::common::bots::{Bolt, Bot, Redis, SECRET};
use super::common::moto::{self, Api};
use super::common::nginx::{Behind, Nginx};
use super::common::prometheus::Prometheus;
use super::rig::{Desk, Done};
use super::sender::{Count, Sender};

const RUNBOOK: &str = r#"bgctl: 1
service: bot
environment: staging
owners: [owner@example.com]
variables:
  rule_arn:
  blue_target_group:
  green_target_group:
  public_url:
  blue_url:
  green_url:
  prometheus_url:
stacks:
  blue:  { version: v1, url: "${var.blue_url}" }
  green: { version: v2, url: "${var.green_url}" }
routes:
  web:
    alb:
      rule: ${var.rule_arn}
      blue: ${var.blue_target_group}
      green: ${var.green_target_group}
    seen_at: { url: "${var.public_url}/version", header: x-bot-version, samples: 30, tolerance: 30% }
slack:
  signing_secret: ${env:SLACK_SIGNING_SECRET}
  team_id: T0LAB
  acks: after-work
  handlers: { path: /bgctl/handlers }
  dedup: { redis: "${env:REDIS_URL}", key: "dedup:evt:{team_id}:{event_id}" }
schema:
  change: none
prometheus: ${var.prometheus_url}
gates:
  acks:
    prometheus: histogram_quantile(0.99, sum by (color, le) (rate(slack_ack_seconds_bucket[5s])))
    max: 2500ms
steps:
  - id: smoke-green
    smoke: { stack: green, checks: [version, signature, replay, slash-command, button, modal, exactly-once, dedup] }
  - id: shift-50
    shift: { route: web, green: 50% }
  - id: bake-50
    bake: { for: 8s, windows: 1, gates: [acks], ledger: { url: "${var.public_url}", per_second: 5 } }
  - id: shift-100
    shift: { route: web, green: 100% }
  - id: drain-blue
    drain: { stack: blue, within: 5s, at_timeout: continue }
  - id: bake-100
    bake: { for: 6s, windows: 1, gates: [acks] }
rollback:
  owner: owner@example.com
  steps:
    - id: back-to-blue
      shift: { route: web, blue: 100% }
    - id: drain-green
      drain: { stack: green, within: 5s, at_timeout: continue }
"#;

/// Blue and green in different languages, one store, one load balancer, and somebody who runs bgctl.
struct Place {
    blue: Bot,
    #[expect(dead_code, reason = "it runs for as long as this value lives")]
    green: Bot,
    redis: Redis,
    /// Ends before the lab, whose weights it follows.
    nginx: Nginx,
    #[expect(dead_code, reason = "it holds the weights for as long as this value lives")]
    lab: Lab,
    #[expect(dead_code, reason = "it scrapes for as long as this value lives")]
    prometheus: Prometheus,
    desk: Desk,
}

impl Place {
    /// None where a program is missing.
    async fn new(blue: Bolt, both: &[(&str, &str)], of_green: &[(&str, &str)]) -> Option<Place> {
        let green = if blue == Bolt::Python { Bolt::JavaScript } else { Bolt::Python };
        let redis = Redis::start(&[])?;
        let store = redis.url(0);
        let mut knobs = vec![("LEASE_MS", "1600"), ("EVENT_WORK_S", "0.03")];
        knobs.extend(both);
        let blue = Bot::start(blue, Color::Blue, "v1", &store, &knobs)?;
        knobs.extend(of_green);
        let green = Bot::start(green, Color::Green, "v2", &store, &knobs)?;
        let lab = Lab::start(Options { events_per_second: 1, ..Options::default() }).expect("the lab starts");
        let mut desk = Desk::new();
        desk.env.extend(lab.environment());
        desk.env.extend([("SLACK_SIGNING_SECRET".to_string(), SECRET.to_string()), ("REDIS_URL".into(), store)]);
        let mut variables = lab.variables();
        for (color, bot) in [("blue", &blue), ("green", &green)] {
            targets(&desk, &variables[&format!("{color}_target_group")], &variables[&format!("{color}_url")], bot)
                .await;
            variables.insert(format!("{color}_url"), bot.url.clone());
        }
        let prometheus = Prometheus::scraping(&[blue.address, green.address])?;
        let nginx = Nginx::start(Behind {
            api: api(&desk),
            rule: variables["rule_arn"].clone(),
            blue: (variables["blue_target_group"].clone(), blue.address),
            green: (variables["green_target_group"].clone(), green.address),
        })?;
        variables.insert("public_url".into(), nginx.url.clone());
        variables.insert("prometheus_url".into(), prometheus.url.clone());
        desk.env.extend(variables.into_iter().map(|(name, value)| (format!("BGCTL_VAR_{name}"), value)));
        desk.write("runbook.yaml", RUNBOOK);
        Some(Place { blue, green, redis, lab, nginx, prometheus, desk })
    }

    fn sender(&self) -> Sender {
        Sender::start(format!("{}/slack/events", self.nginx.url), 52)
    }

    /// How often each event was handled, and by whom.
    async fn handled(&self, events: &[String]) -> Handled {
        let keys: Vec<String> = events.iter().map(|id| format!("bgctl:handled:{id}")).collect();
        let lists = LiveStore::new(std::rc::Rc::new(bgctl::clock::SystemClock))
            .lists(&self.redis.url(0), &keys)
            .await
            .expect("the store answers");
        let mut handled = Handled { sent: events.len(), ..Handled::default() };
        for (id, by) in events.iter().zip(lists) {
            match by.len() {
                0 => handled.lost.push(id.clone()),
                1 if by[0] == "blue" => handled.blue += 1,
                1 => handled.green += 1,
                _ => handled.twice.push(format!("{id} by {}", by.join(" and "))),
            }
        }
        handled
    }
}

#[derive(Debug, Default)]
struct Handled {
    sent: usize,
    blue: usize,
    green: usize,
    lost: Vec<String>,
    twice: Vec<String>,
}

/// The load balancer's endpoint, asked by no SDK.
fn api(desk: &Desk) -> Api {
    let key = |name: &str| desk.env[name].clone();
    let url = key("AWS_ENDPOINT_URL");
    Api { url, id: key("AWS_ACCESS_KEY_ID"), secret: key("AWS_SECRET_ACCESS_KEY"), aws: PathBuf::new() }
}

/// Puts a real bot behind the load balancer in the place of the lab's own, over the provider's protocol.
async fn targets(desk: &Desk, group: &str, own: &str, bot: &Bot) {
    let api = api(desk);
    let (id, port) = ("127.0.0.1", bot.address.port().to_string());
    let call = async |action: &str, port: &str| {
        let form = [
            ("Action", action),
            ("Version", "2015-12-01"),
            ("TargetGroupArn", group),
            ("Targets.member.1.Id", id),
            ("Targets.member.1.Port", port),
        ];
        api.query("elasticloadbalancing", &form).await
    };
    call("RegisterTargets", &port).await;
    let form = [("Action", "DescribeTargetHealth"), ("Version", "2015-12-01"), ("TargetGroupArn", group)];
    let health = api.query("elasticloadbalancing", &form).await;
    for part in health.split("<Port>").skip(1) {
        let old = part.split('<').next().unwrap_or_default();
        if old != port {
            call("DeregisterTargets", old).await;
        }
    }
    assert!(health.contains(own.rsplit(':').next().unwrap()), "{own} was a target: {health}");
    for _ in 0..200 {
        if api.query("elasticloadbalancing", &form).await.contains("<State>healthy</State>") {
            return;
        }
        moto::pause().await;
    }
    panic!("{} does not become healthy", bot.url);
}

/// What was measured, beside the test's name.
fn say(count: &Count, handled: &Handled) {
    let line = format!(
        "real bots: {} events = handled once {} · lost {} · twice {} (by BLUE {}, by GREEN {}, {} retries), {} modals\n",
        handled.sent,
        handled.blue + handled.green,
        handled.lost.len(),
        handled.twice.len(),
        handled.blue,
        handled.green,
        count.retries.load(Ordering::Relaxed),
        count.modals.load(Ordering::Relaxed),
    );
    // Nobody to tell when stderr is closed.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

fn ended(done: Done, code: i32) -> Done {
    assert_eq!(done.code, code, "{}\n{}", done.out, done.err);
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_cutover_of_real_bots_loses_nothing_and_handles_nothing_twice() {
    let _alone = MACHINE.write().await;
    let Some(place) = Place::new(Bolt::Python, &[], &[]).await else { return };
    // The same checks on their own: no run is opened by them.
    let alone = ended(place.desk.run(&["smoke", "runbook.yaml"]), 0);
    assert!(alone.out.contains("checks of GREEN passed") && alone.out.contains("D10"), "{}", alone.out);
    assert!(place.desk.runs().is_empty(), "a smoke test is no run");
    let sender = place.sender();
    let done = place.desk.cutover().end(90);
    let count = sender.finish();
    let done = ended(done, 0);
    let events = count.events.lock().unwrap().clone();
    let handled = place.handled(&events).await;
    assert!(handled.sent > 400, "{handled:?}");
    assert!(handled.lost.is_empty() && handled.twice.is_empty(), "{handled:?}");
    assert!(handled.blue > 50 && handled.green > 50, "{handled:?}");
    say(&count, &handled);
    assert_eq!(count.given_up.load(Ordering::Relaxed), 0);
    assert!(count.modals.load(Ordering::Relaxed) > 100);
    assert_eq!(*count.unanswered.lock().unwrap(), [""; 0], "every open modal is answered");
    assert!(done.err.contains("lost 0 · twice 0"), "the ledger of the bake: {}", done.err);
    place.desk.complete();
}

/// Blue is killed in the middle, with work in hand. Claim and done, acked after the work: Slack's retries bring everything to
/// green.
#[tokio::test(flavor = "multi_thread")]
async fn blue_killed_in_the_middle_loses_nothing_when_claims_are_leased() {
    let _alone = MACHINE.write().await;
    let Some(mut place) = Place::new(Bolt::JavaScript, &[("EVENT_WORK_S", "0.2")], &[]).await else { return };
    // The ledger would say what is lost with blue before Slack's retries have brought it back.
    place.desk.write("runbook.yaml", &RUNBOOK.replace(", ledger: { url: \"${var.public_url}\", per_second: 5 }", ""));
    let sender = place.sender();
    let mut running = place.desk.cutover();
    let baking = |record: &serde_json::Value| record["type"] == "step.intent" && record["data"]["id"] == "bake-50";
    while !place.desk.records().iter().any(baking) {
        assert!(running.alive(), "{}", running.end(1).err);
        moto::pause().await;
    }
    place.blue.process.kill();
    let done = running.end(90);
    let count = sender.finish();
    ended(done, 0);
    let events = count.events.lock().unwrap().clone();
    let handled = place.handled(&events).await;
    say(&count, &handled);
    assert!(count.retries.load(Ordering::Relaxed) > 10, "blue had nothing in hand");
    assert!(handled.lost.is_empty() && handled.twice.is_empty(), "{handled:?}");
    assert!(handled.blue > 50 && handled.green > 50, "{handled:?}");
}

/// A claim without completion would lose what a killed blue has in hand: the run stops before it moves anybody, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_dedup_that_is_at_most_once_is_refused_by_name() {
    let _alone = MACHINE.write().await;
    let Some(place) = Place::new(Bolt::JavaScript, &[("DEDUP", "setnx")], &[]).await else { return };
    let done = ended(place.desk.cutover().end(60), 11);
    assert!(done.err.contains("at most once only"), "{}", done.err);
    assert!(place.desk.records().iter().all(|record| record["type"] != "provider.called"), "nobody was moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_green_that_lacks_a_listener_is_refused_with_its_name() {
    let _alone = MACHINE.write().await;
    let Some(place) = Place::new(Bolt::Python, &[], &[("WITHOUT", "event app_mention,command /standup")]).await else {
        return;
    };
    let done = ended(place.desk.cutover().end(60), 11);
    let wanted = "GREEN lacks what BLUE handles: command /standup, event app_mention";
    assert!(done.err.contains("BG0308") && done.err.contains(wanted), "{}", done.err);
    let alone = ended(place.desk.run(&["smoke", "runbook.yaml", "--check", "H1"]), 1);
    assert!(alone.out.contains("event app_mention"), "{}", alone.out);
    assert!(place.desk.records().iter().all(|record| record["type"] != "provider.called"), "nobody was moved");
}
