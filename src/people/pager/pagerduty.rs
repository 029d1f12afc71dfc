//! A page through PagerDuty: Events API v2 to trigger an incident (a change event for news), and, where a token for it is given, the REST API to see
//! whether somebody has acknowledged it.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Channel, Kind, Message, Outside, PATIENCE, Says, Untaken, post, secret, text};
use crate::rehearsal::InLab;
use crate::world::Request;

pub const KIND: Kind = Kind {
    name: "pagerduty",
    page: super::PAGE,
    usual: Some("${env:PAGERDUTY_ROUTING_KEY}"),
    keys,
    lab: InLab::Missing("PagerDuty"),
    open,
};

/// The endpoints of the United States; `url` and `api` name another region's.
const EVENTS: &str = "https://events.pagerduty.com/v2/enqueue";
const API: &str = "https://api.pagerduty.com";
/// The longest summary PagerDuty takes.
const SUMMARY: usize = 1024;

struct PagerDuty {
    key: String,
    url: String,
    /// A read-only token of the REST API; without one nobody can be seen to acknowledge.
    token: Option<String>,
    api: String,
}

fn keys() -> Vec<(&'static str, Value)> {
    let address = |text: &str| json!({ "type": "string", "format": "http-url", "description": text });
    let token = "A read-only token of PagerDuty's REST API, as a reference: with it an acknowledgement there counts.";
    vec![
        ("pagerduty", secret("The routing key, as a reference: `${env:PAGERDUTY_ROUTING_KEY}`.")),
        ("url", address("PagerDuty's address for events in another region.")),
        ("token", secret(token)),
        ("api", address("PagerDuty's REST API in another region.")),
    ]
}

fn open(entry: &Value) -> Result<Box<dyn Channel>, String> {
    let or = |name: &str, default: &str| entry[name].as_str().unwrap_or(default).to_string();
    Ok(Box::new(PagerDuty {
        key: text(entry, "pagerduty")?,
        url: or("url", EVENTS),
        token: entry["token"].as_str().map(String::from),
        api: or("api", API),
    }))
}

#[async_trait(?Send)]
impl Channel for PagerDuty {
    fn name(&self) -> &'static str {
        "pagerduty"
    }

    async fn call(&self, message: &Message<'_>, outside: &Outside) -> Result<Value, Untaken> {
        let summary = message.headline().chars().take(SUMMARY).collect::<String>();
        if let Says::News(_) = message.says {
            // A change event wakes nobody.
            let body = json!({
                "routing_key": outside.secrets.resolve(&self.key),
                "payload": {
                    "summary": summary, "source": message.subject.service, "timestamp": outside.clock.now(),
                    "custom_details": message.json(),
                },
            });
            let changes = format!("{}/change/enqueue", self.url.trim_end_matches("/enqueue"));
            return post(outside, &changes, &body).await;
        }
        let body = json!({
            "routing_key": outside.secrets.resolve(&self.key),
            "event_action": "trigger",
            "dedup_key": message.key(),
            "client": "bgctl",
            "payload": {
                "summary": summary,
                "source": message.subject.service,
                "severity": "critical",
                "class": "blue-green cutover",
                "custom_details": message.json(),
            },
        });
        post(outside, &self.url, &body).await
    }

    async fn acknowledged(&self, message: &Message<'_>, outside: &Outside) -> Option<String> {
        let token = outside.secrets.resolve(self.token.as_ref()?);
        let key = message.key();
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("incident_key", &key)
            .append_pair("include[]", "acknowledgers")
            .finish();
        let request = Request {
            headers: vec![
                ("authorization".into(), format!("Token token={token}")),
                ("accept".into(), "application/vnd.pagerduty+json;version=2".into()),
            ],
            ..Request::get(format!("{}/incidents?{query}", outside.secrets.resolve(&self.api)), PATIENCE)
        };
        let answer = outside.web.exchange(request).await.ok().filter(|answer| answer.status == 200)?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        let incident =
            answer["incidents"].as_array()?.iter().find(|incident| incident["incident_key"] == key.as_str())?;
        // Resolved is more than acknowledged: somebody was there.
        let taken = matches!(incident["status"].as_str(), Some("acknowledged" | "resolved"));
        let who = incident.pointer("/acknowledgements/0/acknowledger/summary").and_then(Value::as_str);
        taken.then(|| who.unwrap_or("somebody at PagerDuty").to_string())
    }

    async fn hand_over(&self, message: &Message<'_>, by: &str, outside: &Outside) {
        let key = outside.secrets.resolve(&self.key);
        let body =
            json!({ "routing_key": key, "event_action": "acknowledge", "dedup_key": message.key(), "client": by });
        // A courtesy to those who would be called next: that it is acknowledged stands in our log.
        let _ = post(outside, &self.url, &body).await;
    }
}
