//! The smoke suite against real bots: all of it passes on healthy ones, and each way to break one is found.

use std::rc::Rc;

use bgctl::child::Children;
use bgctl::clock::{Clock, SystemClock};
use bgctl::live::http::LiveWeb;
use bgctl::live::redis::LiveStore;
use bgctl::plan::{Color, Plan};
use bgctl::run::{Outcome, Verdict};
use bgctl::secret::{Secret, Secrets};
use bgctl::world::World;
use serde_json::{Value, json};

use super::MACHINE;
use super::common::answering;
use super::common::bots::{Bolt, Bot, Redis, SECRET};
use super::common::scripted::{Notebook, built, plan};

/// Every check that needs nothing but the two bots and their store.
const ALL: [&str; 12] = [
    "version",
    "signature",
    "replay",
    "url-verification",
    "ssl-check",
    "slash-command",
    "button",
    "modal",
    "modal-from-blue",
    "exactly-once",
    "dedup",
    "handlers",
];

pub fn world(store: &str) -> World {
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    let secrets = [
        ("${env:SLACK_SIGNING_SECRET}".to_string(), Secret::new(SECRET)),
        ("${env:REDIS_URL}".to_string(), Secret::new(store)),
    ];
    World {
        web: Rc::new(LiveWeb::new(clock.clone())),
        processes: Rc::new(Children::new(clock.clone(), None)),
        store: Rc::new(LiveStore::new(Rc::new(SystemClock))),
        database: Rc::new(bgctl::world::NoDatabase),
        metrics: Rc::new(bgctl::world::NoMetrics),
        guards: Rc::new(bgctl::guards::NoGuards),
        overrides: Default::default(),
        beforehand: Default::default(),
        routes: Default::default(),
        secrets: Secrets::new(secrets.into()),
        clock,
    }
}

pub fn plan_of(blue: &Bot, green: &Bot) -> Plan {
    let mut plan = plan();
    (plan.blue.url, plan.green.url) = (blue.url.clone(), green.url.clone());
    (plan.blue.version, plan.green.version) = (blue.version.clone(), green.version.clone());
    plan.slack = Some(json!({
        "signing_secret": "${env:SLACK_SIGNING_SECRET}", "events_path": "/slack/events", "team_id": "T0LAB",
        "handlers": { "path": "/bgctl/handlers", "retired": [] },
        "dedup": { "redis": "${env:REDIS_URL}", "key": "dedup:evt:{team_id}:{event_id}" },
    }));
    plan
}

pub struct Smoked {
    pub outcome: Outcome,
    pub checks: Vec<(String, Verdict, String)>,
}

impl Smoked {
    pub fn bad(&self) -> Vec<&str> {
        self.checks.iter().filter(|c| c.1 != Verdict::Pass).map(|c| c.0.as_str()).collect()
    }

    /// What every finding of that name says.
    pub fn says(&self, check: &str) -> String {
        let lines: Vec<&str> = self.checks.iter().filter(|c| c.0 == check).map(|c| c.2.as_str()).collect();
        lines.join("; ")
    }
}

pub async fn smoke(plan: &Plan, store: &str, settings: Value) -> Smoked {
    let (world, notes) = (world(store), Notebook::default());
    let outcome = built("smoke", settings, plan).execute(&world, &notes).await;
    Smoked { outcome, checks: notes.checks() }
}

#[tokio::test]
async fn healthy_bots_pass_whichever_language_is_green() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    for (blue, green) in [(Bolt::Python, Bolt::JavaScript), (Bolt::JavaScript, Bolt::Python)] {
        let store = redis.url(0);
        let Some(blue) = Bot::start(blue, Color::Blue, "v1", &store, &[]) else { return };
        let Some(green) = Bot::start(green, Color::Green, "v2", &store, &[]) else { return };
        let mut plan = plan_of(&blue, &green);
        plan.slack.as_mut().unwrap()["acks"] = "after-work".into();
        let mut checks = ALL.to_vec();
        checks.extend(["public", "response-url"]);
        let settings = json!({
            "stack": "green", "checks": checks, "response_url": {}, "public": { "url": green.url.clone() },
        });
        let smoked = smoke(&plan, &store, settings).await;
        assert!(
            matches!(smoked.outcome, Outcome::Done { .. }),
            "{:#?}\n{}\n{}",
            smoked.checks,
            blue.process.log(),
            green.process.log()
        );
        // 3 s is Slack's limit; what is not made to wait answers far below it.
        assert_eq!(smoked.checks.len(), 35, "{:#?}", smoked.checks);
    }
}

/// A way to break green: its name, its knobs, and the findings that have to notice.
type Mutant = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const MUTANTS: [Mutant; 11] = [
    ("wrong secret", &[("SLACK_SIGNING_SECRET", "another secret")], &["P1", "P3", "P4", "P5", "P6", "D1", "D2"]),
    ("verification off", &[("VERIFY", "0")], &["N1", "N2", "N3", "N4"]),
    ("no dedup", &[("DEDUP", "off")], &["D1", "D2", "D3", "D5"]),
    ("claim without completion", &[("DEDUP", "setnx")], &["D5", "D6"]),
    ("forgets too soon", &[("TTL_S", "60")], &["D7"]),
    ("missing command", &[("WITHOUT", "command /bgctl-smoke")], &["P3", "P4"]),
    ("missing listener", &[("WITHOUT", "event app_mention")], &["H1"]),
    ("slow ack", &[("ACK_DELAY_S", "2.5")], &["P4", "P5"]),
    ("old build", &[("VERSION", "v1")], &["V1", "P3"]),
    ("clock 6 minutes ahead", &[("FAKETIME", "+6m")], &["K1", "P1", "P3", "P4", "P5", "P6"]),
    ("clock 6 minutes behind", &[("FAKETIME", "-6m")], &["K1", "N2"]),
];

async fn every_mutant_is_noticed(blue: Bolt, green: Bolt) {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let Some(blue) = Bot::start(blue, Color::Blue, "v1", &store, &[]) else { return };
    let (apart, language) = (redis.url(1), green);
    let own: Mutant = ("own database", &[], &["D1", "D2", "D3", "D4"]);
    for (name, knobs, wanted) in MUTANTS.iter().chain([&own]) {
        let of_green = if *name == "own database" { &apart } else { &store };
        let Some(green) = Bot::start(green, Color::Green, "v2", of_green, knobs) else { return };
        let plan = plan_of(&blue, &green);
        // What takes seconds for each request is not asked a hundred times, and what takes seconds by itself only where it
        // can matter.
        let slow = knobs.iter().any(|(knob, _)| *knob == "ACK_DELAY_S");
        let dedup = wanted.iter().any(|check| matches!(*check, "D4" | "D5" | "D6" | "D7"));
        let asked = |check: &&str| (*check != "exactly-once" || !slow) && (*check != "dedup" || dedup);
        let checks: Vec<&str> = ALL.into_iter().filter(asked).collect();
        let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": checks })).await;
        let bad = smoked.bad();
        let missed: Vec<_> = wanted.iter().filter(|check| !bad.contains(check)).collect();
        assert!(
            missed.is_empty(),
            "{name}: missed {missed:?} of {bad:?}\n{:#?}\n{}",
            smoked.checks,
            green.process.log()
        );
        match *name {
            "claim without completion" => {
                assert!(smoked.says("D6").contains("at most once only"), "{:?}", smoked.checks)
            }
            "missing listener" => assert!(smoked.says("H1").contains("event app_mention"), "{:?}", smoked.checks),
            "wrong secret" => assert!(smoked.says("P1").contains("another signing secret"), "{:?}", smoked.checks),
            "verification off" => assert!(smoked.says("N3").contains("not verified"), "{:?}", smoked.checks),
            "missing command" => assert!(smoked.says("P3").contains("no listener"), "{:?}", smoked.checks),
            // Bolt for JavaScript looks at the past only.
            "clock 6 minutes behind" if language == Bolt::Python => {
                assert!(["P1", "P3", "P5", "P6"].iter().all(|check| bad.contains(check)), "{:?}", smoked.checks);
            }
            "slow ack" => assert!(!bad.contains(&"P3"), "late is not wrong: {bad:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_broken_bot_in_javascript_is_noticed() {
    every_mutant_is_noticed(Bolt::Python, Bolt::JavaScript).await;
}

#[tokio::test]
async fn every_broken_bot_in_python_is_noticed() {
    every_mutant_is_noticed(Bolt::JavaScript, Bolt::Python).await;
}

/// Bolt for JavaScript acks events before any middleware unless it is told to wait: it can then not keep away from what
/// the other stack has in hand.
#[tokio::test]
async fn an_ack_before_the_work_is_advice_unless_the_runbook_forbids_it() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let early = [("PBR", "0")];
    let Some(blue) = Bot::start(Bolt::JavaScript, Color::Blue, "v1", &store, &[]) else { return };
    let Some(green) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &early) else { return };
    let mut plan = plan_of(&blue, &green);
    let settings = json!({ "stack": "green", "checks": ["dedup"] });
    let smoked = smoke(&plan, &store, settings.clone()).await;
    assert_eq!(smoked.bad(), [""; 0], "{:#?}", smoked.checks);
    assert!(smoked.says("D10").contains("advice only: GREEN acks before its work"), "{:#?}", smoked.checks);
    plan.slack.as_mut().unwrap()["acks"] = "after-work".into();
    assert_eq!(smoke(&plan, &store, settings.clone()).await.bad(), ["D10"]);
    drop(green);
    let Some(green) = Bot::start(Bolt::JavaScript, Color::Green, "v2", &store, &early) else { return };
    let plan = plan_of(&blue, &green);
    let smoked = smoke(&plan, &store, settings).await;
    assert!(smoked.bad().contains(&"D5"), "{:#?}", smoked.checks);
}

#[tokio::test]
async fn a_store_that_evicts_is_noticed() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let store = redis.url(0);
    let Some(blue) = Bot::start(Bolt::Python, Color::Blue, "v1", &store, &[]) else { return };
    let Some(green) = Bot::start(Bolt::JavaScript, Color::Green, "v2", &store, &[]) else { return };
    let mut plan = plan_of(&blue, &green);
    plan.slack.as_mut().unwrap()["dedup"]["delayed_events"] = true.into();
    let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": ["dedup"] })).await;
    assert_eq!(smoked.bad(), ["D7", "D7", "D9"], "{:#?}", smoked.checks);
    assert!(smoked.says("D9").contains("allkeys-lru") && smoked.says("D7").contains("Delayed Events"));
}

/// A page that answers 200 to everything.
#[tokio::test]
async fn a_static_page_is_noticed() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let Some(blue) = Bot::start(Bolt::Python, Color::Blue, "v1", &store, &[]) else { return };
    let mut plan = plan_of(&blue, &blue);
    plan.green.url = format!("http://{}", answering("text/plain", "it works!"));
    plan.green.version = "v2".into();
    let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": ALL })).await;
    let bad = smoked.bad();
    for check in ["V1", "P1", "P3", "P6", "N1", "N2", "N3", "N4", "D2", "H1"] {
        assert!(bad.contains(&check), "{check} passes: {:#?}", smoked.checks);
    }
}
