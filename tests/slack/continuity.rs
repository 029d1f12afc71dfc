//! Continuity against real bots: a modal of one language answered by the other, in both directions, and what is said when one
//! version cannot read the other's.

use bgctl::plan::{Color, Plan};
use bgctl::run::Outcome;
use serde_json::{Value, json};

use super::common::bots::{Bolt, Bot, Redis};
use super::suite::{plan_of, smoke};

const ALL: [&str; 5] = ["modal-from-blue", "modal-from-green", "stale-button", "private-metadata", "hash-conflict"];

/// The bots' own modal and button, as these two versions write them.
fn declared(blue: &Bot, green: &Bot, schemas: (u32, u32)) -> Plan {
    let mut plan = plan_of(blue, green);
    let metadata = |bot: &Bot, schema: u32| json!({ "schema": schema, "opened_by": bot.version }).to_string();
    plan.slack.as_mut().unwrap()["continuity"] = json!({
        "modals": [{
            "callback_id": "deploy_modal",
            "private_metadata": { "blue": metadata(blue, schemas.0), "green": metadata(green, schemas.1) },
            "values": { "reason": { "txt": "x" } }, "refused_at": "reason", "unreadable": "newer version",
        }],
        "buttons": [{
            "action_id": "approve", "value": { "blue": "none", "green": "none" }, "harmless_because": "nobody is asked to",
        }],
    });
    plan
}

fn settings() -> Value {
    json!({ "stack": "green", "checks": ALL })
}

/// One after the other, so that the two cores are not asked for eight bots at once.
#[tokio::test]
async fn modals_and_buttons_of_real_bots_survive_the_change_and_the_way_back() {
    let Some(redis) = Redis::start(&[]) else { return };
    for (n, (one, other)) in
        [(Bolt::Python, Bolt::JavaScript), (Bolt::JavaScript, Bolt::Python)].into_iter().enumerate()
    {
        let store = redis.url(n as u32);
        // Versions that read each other.
        let Some(blue) = Bot::start(one, Color::Blue, "v2", &store, &[]) else { return };
        let Some(green) = Bot::start(other, Color::Green, "v2.1", &store, &[]) else { return };
        let smoked = smoke(&declared(&blue, &green, (2, 2)), &store, settings()).await;
        assert!(
            matches!(smoked.outcome, Outcome::Done { .. }),
            "{:#?}\n{}\n{}",
            smoked.checks,
            blue.process.log(),
            green.process.log()
        );
        assert_eq!(smoked.checks.len(), 14, "{:#?}", smoked.checks);
        drop(blue);

        // A blue that answers what green wrote with "please open it again": users could not be brought back.
        let Some(blue) = Bot::start(one, Color::Blue, "v1", &store, &[]) else { return };
        let smoked = smoke(&declared(&blue, &green, (1, 2)), &store, settings()).await;
        assert_eq!(smoked.bad(), ["C2"], "{:#?}", smoked.checks);
        assert!(smoked.says("C2").contains("blue must read what green wrote"), "{:#?}", smoked.checks);
        drop(green);

        // A green without the modal's listener.
        let without = [("WITHOUT", "view deploy_modal,action approve")];
        let Some(green) = Bot::start(other, Color::Green, "v2", &store, &without) else { return };
        let mut settings = settings();
        settings["within"] = "5s".into();
        let smoked = smoke(&declared(&blue, &green, (1, 1)), &store, settings).await;
        assert_eq!(smoked.bad().first(), Some(&"C1"), "{:#?}", smoked.checks);
        assert!(smoked.says("C1").contains("`deploy_modal` opened on blue, sent to green: the listener is missing"));
        assert!(
            smoked
                .says("C3")
                .contains("button `approve` of a message from blue, pressed on green: the listener is missing")
        );
    }
}
