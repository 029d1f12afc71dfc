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
        "signing_secret": "${env:SLACK_SIGNING_SECRET}", "paths": { "events": "/slack/events" }, "team_id": "T0LAB",
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
        assert_eq!(smoked.checks.len(), 37, "{:#?}", smoked.checks);
        assert!(smoked.says("P7").contains("accepted, empty"), "{:#?}", smoked.checks);
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
            "wrong secret" => {
                assert!(smoked.outcome.line().contains("has another signing secret"), "{:?}", smoked.outcome)
            }
            "clock 6 minutes ahead" => {
                assert!(smoked.outcome.line().contains("s ahead of ours"), "{:?}", smoked.outcome)
            }
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

/// What stands in front of a bot, and the one line that names it. The findings alone would fit several.
#[tokio::test]
async fn each_cause_is_named_by_what_else_failed() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let Some(blue) = Bot::start(Bolt::JavaScript, Color::Blue, "v1", &store, &[]) else { return };
    let table = [
        ("FRONT", "anew", "verifies a body that it has read and written anew"),
        ("FRONT", "consumed", "verifies an empty body: something has read it before"),
        ("FRONT", "forms", "reads forms before it verifies them"),
        ("FRONT", "retries", "drops what has `X-Slack-Retry-Num`"),
        ("FRONT", "urls", "has nothing at `/commands`: set `slack.paths.commands`"),
        ("FRONT", "html", "JSON as `text/html`, which Slack takes for text"),
        ("SLACK_SIGNING_SECRET", "another secret", "has another signing secret"),
        ("VERIFY", "0", "verifies no signatures"),
    ];
    for (knob, value, words) in table {
        let Some(green) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &[(knob, value)]) else { return };
        let mut plan = plan_of(&blue, &green);
        if value == "urls" {
            // The paths as declared lead nowhere: then it is the runbook that is wrong, and that is said of each.
            plan.slack.as_mut().unwrap()["paths"] = json!({ "events": "/slack/events", "commands": "/commands" });
        }
        let checks = ["version", "signature", "replay", "slash-command", "button", "modal", "dedup"];
        let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": checks })).await;
        let line = smoked.outcome.line().to_string();
        println!("{value}: {line}");
        assert!(line.contains(words), "{value}: {line}\n{:#?}", smoked.checks);
        let others = table.iter().filter(|row| row.2 != words && line.contains(row.2)).count();
        assert_eq!(others, 0, "{value}: only one cause: {line}");
    }
    // A text where Slack wants nothing: users see a failure.
    let Some(green) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &[("FRONT", "ok")]) else { return };
    let settings = json!({ "stack": "green", "checks": ["modal", "button"] });
    let smoked = smoke(&plan_of(&blue, &green), &store, settings).await;
    assert_eq!(smoked.bad(), ["P6", "P7", "P5"], "{:#?}", smoked.checks);
    assert!(smoked.says("P7").contains("Slack shows as a failure"), "{:#?}", smoked.checks);
}

/// An app with a URL for each kind of request passes where they are declared, and each URL is tried with signatures that are not
/// Slack's.
#[tokio::test]
async fn an_app_with_several_urls_is_checked_at_each() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let urls = [("FRONT", "urls")];
    let Some(blue) = Bot::start(Bolt::Python, Color::Blue, "v1", &store, &urls) else { return };
    let Some(green) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &urls) else { return };
    let mut plan = plan_of(&blue, &green);
    plan.slack.as_mut().unwrap()["paths"] =
        json!({ "events": "/slack/events", "commands": "/slack/commands", "interactivity": "/slack/interactive" });
    plan.slack.as_mut().unwrap()["team_id"] = json!(["T0LAB", "T1LAB"]);
    plan.slack.as_mut().unwrap()["enterprise_id"] = json!("E0LAB");
    let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": ALL, "budget": 300 })).await;
    assert_eq!(smoked.bad(), [""; 0], "{:#?}", smoked.checks);
    for url in ["/slack/events", "/slack/commands", "/slack/interactive"] {
        assert!(["N1", "N2", "N3", "N4"].iter().all(|n| smoked.says(n).contains(url)), "{url}: {:#?}", smoked.checks);
    }
    assert!(smoked.says("P3").contains("from T0LAB answered") && smoked.says("P3").contains("from T1LAB answered"));
    // A URL that does not verify is found at that URL.
    drop(green);
    let open = [("FRONT", "urls"), ("VERIFY", "0")];
    let Some(green) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &open) else { return };
    plan.green.url = green.url.clone();
    let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": ["signature"] })).await;
    assert_eq!(smoked.bad().iter().filter(|check| **check == "N3").count(), 3, "{:#?}", smoked.checks);
}

/// A stack that was cold is found by its first answer, and named as that.
#[tokio::test]
async fn a_cold_start_is_named() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let Some(blue) = Bot::start(Bolt::JavaScript, Color::Blue, "v1", &store, &[]) else { return };
    // Being started is asked for once a process, and here that is not the answer that was cold.
    let Some(green) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &[("COLD_S", "3"), ("COLD_AFTER", "1")])
    else {
        return;
    };
    let plan = plan_of(&blue, &green);
    let smoked = smoke(&plan, &store, json!({ "stack": "green", "checks": ["version", "slash-command"] })).await;
    assert_eq!(smoked.bad(), ["V1"], "{:#?}", smoked.checks);
    assert!(smoked.says("V1").contains("a cold start. Put a `warm` before this step"), "{:#?}", smoked.checks);
}

/// What is posted to a URL cannot be asked of an app that has none.
#[test]
fn an_app_over_sockets_is_not_asked_what_cannot_be_answered() {
    let mut plan = plan();
    plan.slack.as_mut().unwrap()["mode"] = "socket".into();
    let facts = |checks: Value| {
        let kind = bgctl::steps::KINDS.iter().find(|kind| kind.name == "smoke").unwrap();
        (kind.facts)(&json!({ "stack": "green", "checks": checks }), &plan)
    };
    let mistakes = facts(json!(["version", "signature", "slash-command"])).expect_err("two of them cannot pass");
    assert!(mistakes[0].message.ends_with("could be posted to: signature, slash-command"), "{mistakes:?}");
    assert!(facts(json!(["version"])).is_ok());
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
