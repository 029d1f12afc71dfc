//! The smoke suite against real bots: all of it passes on healthy ones, and each way to break one is found.

use std::rc::Rc;

use bgctl::clock::{Clock, SystemClock};
use bgctl::plan::{Color, Plan};
use bgctl::probes::http::LiveWeb;
use bgctl::processes::LiveProcesses;
use bgctl::run::{Outcome, Verdict};
use bgctl::secret::{Secret, Secrets};
use bgctl::world::World;
use serde_json::{Value, json};

use super::common::bots::{Bolt, Bot, Redis, SECRET};
use super::common::scripted::{Notebook, built, plan};

/// Every check that needs nothing but the two bots.
const ALL: [&str; 9] = [
    "version",
    "signature",
    "replay",
    "url-verification",
    "slash-command",
    "button",
    "modal",
    "modal-from-blue",
    "exactly-once",
];

fn world(secret: &str) -> World {
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    let secrets = [("${env:SLACK_SIGNING_SECRET}".to_string(), Secret::new(secret))];
    World {
        web: Rc::new(LiveWeb::new(clock.clone()).unwrap()),
        processes: Rc::new(LiveProcesses::new(clock.clone())),
        routes: Default::default(),
        secrets: Secrets::new(secrets.into()),
        clock,
    }
}

fn plan_of(blue: &Bot, green: &Bot) -> Plan {
    let mut plan = plan();
    (plan.blue.url, plan.green.url) = (blue.url.clone(), green.url.clone());
    (plan.blue.version, plan.green.version) = (blue.version.clone(), green.version.clone());
    plan.slack = Some(json!({
        "signing_secret": "${env:SLACK_SIGNING_SECRET}", "events_path": "/slack/events", "team_id": "T0LAB",
    }));
    plan
}

async fn smoke(plan: &Plan, settings: Value) -> (Outcome, Notebook) {
    let (world, notes) = (world(SECRET), Notebook::default());
    let outcome = built("smoke", settings, plan).execute(&world, &notes).await;
    (outcome, notes)
}

#[tokio::test]
async fn healthy_bots_pass_whichever_language_is_green() {
    let Some(redis) = Redis::start(&[]) else { return };
    for (blue, green) in [(Bolt::Python, Bolt::JavaScript), (Bolt::JavaScript, Bolt::Python)] {
        let store = redis.url(0);
        let Some(blue) = Bot::start(blue, Color::Blue, "v1", &store, &[]) else { return };
        let Some(green) = Bot::start(green, Color::Green, "v2", &store, &[]) else { return };
        let plan = plan_of(&blue, &green);
        let (outcome, notes) = smoke(&plan, json!({ "stack": "green", "checks": ALL })).await;
        let bad: Vec<_> = notes.checks().into_iter().filter(|c| c.1 != Verdict::Pass).collect();
        assert!(matches!(outcome, Outcome::Done { .. }), "{bad:#?}\n{}\n{}", blue.process.log(), green.process.log());
    }
}
