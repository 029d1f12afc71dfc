//! Calling a person: Slack or any webhook, PagerDuty. The channels of the policy are tried in order until one takes the
//! message; where none is declared, that is said and never passed off as a page.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::probes::{Request, Web};
use crate::secret::Secrets;

/// PagerDuty's events endpoint; `url` beside the key names another region's.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Channel {
    Slack { url: String },
    Webhook { url: String },
    PagerDuty { key: String, url: String },
}

/// The channels of a policy, in its order.
pub struct Pager {
    channels: Vec<Channel>,
    secrets: Secrets,
    web: Rc<dyn Web>,
    /// What is paged about: service, environment and run.
    about: String,
}

impl Pager {
    /// `page` is `policy.page` of the plan: `{slack: URL}`, `{webhook: URL}` or `{pagerduty: KEY, url?: URL}`, with
    /// references to secrets. The error names the entry that is none of these.
    pub fn new(page: &[Value], secrets: Secrets, web: Rc<dyn Web>, about: impl Into<String>) -> Result<Self, String> {
        let channels = page.iter().map(channel).collect::<Result<_, _>>()?;
        Ok(Pager { channels, secrets, web, about: about.into() })
    }

    /// Tries one channel after the other. True when one took the message; the words name it, or why each did not.
    pub async fn page(&self, message: &str) -> (bool, String) {
        if self.channels.is_empty() {
            return (false, "the runbook declares nobody to page (policy.page is empty)".into());
        }
        let mut failed = Vec::new();
        for channel in &self.channels {
            match self.call(channel, message).await {
                Ok(line) if failed.is_empty() => return (true, line),
                Ok(line) => return (true, format!("{line}, after {}", failed.join("; "))),
                Err(why) => failed.push(self.secrets.mask(&why)),
            }
        }
        (false, failed.join("; "))
    }

    async fn call(&self, channel: &Channel, message: &str) -> Result<String, String> {
        let text = format!("{}: {message}", self.about);
        let (name, url, body) = match channel {
            Channel::Slack { url } => ("slack", url, json!({ "text": text })),
            Channel::Webhook { url } => ("webhook", url, json!({ "about": self.about, "message": message })),
            Channel::PagerDuty { key, url } => (
                "pagerduty",
                url,
                json!({
                    "routing_key": self.secrets.resolve(key),
                    "event_action": "trigger",
                    // The same run is one incident, however often it calls.
                    "dedup_key": format!("bgctl/{}", self.about),
                    "payload": {
                        "summary": text.chars().take(1024).collect::<String>(),
                        "source": "bgctl",
                        "severity": "critical",
                    },
                }),
            ),
        };
        let request = Request {
            method: "POST",
            url: self.secrets.resolve(url),
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into_bytes(),
            timeout: PATIENCE,
            fresh: false,
        };
        match self.web.exchange(request).await {
            Ok(response) if (200..300).contains(&response.status) => {
                let incident = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
                Ok(match incident["dedup_key"].as_str() {
                    Some(key) => format!("{name} took the page ({key})"),
                    None => format!("{name} took the page"),
                })
            }
            Ok(response) => {
                // Masked before it is cut: half of a secret is found by nobody.
                let said: String = self.secrets.mask(response.text().trim()).chars().take(120).collect();
                Err(format!("{name} answered {} {said}", response.status))
            }
            Err(error) => Err(format!("{name}: {error}")),
        }
    }
}

fn channel(entry: &Value) -> Result<Channel, String> {
    let text = |key: &str| entry[key].as_str().map(String::from);
    match (text("slack"), text("webhook"), text("pagerduty")) {
        (Some(url), None, None) => Ok(Channel::Slack { url }),
        (None, Some(url), None) => Ok(Channel::Webhook { url }),
        (None, None, Some(key)) => Ok(Channel::PagerDuty { key, url: text("url").unwrap_or(PAGERDUTY.into()) }),
        _ => Err(format!("policy.page knows `slack`, `webhook` and `pagerduty`, not {entry}")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use async_trait::async_trait;

    use super::*;
    use crate::probes::{Response, WebError};
    use crate::secret::Secret;

    /// Answers by host and remembers what was sent.
    #[derive(Default)]
    struct Told(RefCell<Vec<(String, Value)>>);

    #[async_trait(?Send)]
    impl Web for Told {
        async fn exchange(&self, request: Request) -> Result<Response, WebError> {
            let body = serde_json::from_slice(&request.body).unwrap();
            self.0.borrow_mut().push((request.url.clone(), body));
            match request.url.as_str() {
                url if url.contains("down") => Err(WebError { what: format!("refused by {url}"), timed_out: false }),
                url if url.contains("angry") => {
                    Ok(Response { status: 403, body: b"no_team".into(), ..Response::default() })
                }
                _ => Ok(Response { status: 202, body: br#"{"dedup_key":"k"}"#.into(), ..Response::default() }),
            }
        }
    }

    fn page(channels: &[Value]) -> (bool, String, Vec<(String, Value)>) {
        let web = Rc::new(Told::default());
        let secret = ("${env:HOOK}".to_string(), Secret::new("https://down.test/T000/secret-path"));
        let key = ("${env:KEY}".to_string(), Secret::new("routing-key-1"));
        let secrets = Secrets::new([secret, key].into());
        let pager = Pager::new(channels, secrets, web.clone(), "bot production k7f").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (taken, line) = runtime.block_on(pager.page("halted. Users: BLUE 50 GREEN 50"));
        (taken, line, web.0.take())
    }

    #[test]
    fn the_next_channel_is_tried_and_no_secret_is_said() {
        let (taken, line, sent) = page(&[json!({ "slack": "${env:HOOK}" }), json!({ "pagerduty": "${env:KEY}" })]);
        assert!(taken, "{line}");
        assert!(line.starts_with("pagerduty took the page (k), after slack"), "{line}");
        assert!(!line.contains("secret-path") && !line.contains("routing-key"), "{line}");
        assert_eq!(sent[1].1["routing_key"], "routing-key-1");
        assert_eq!(sent[1].1["payload"]["severity"], "critical");
        assert!(sent[1].1["payload"]["summary"].as_str().unwrap().contains("BLUE 50 GREEN 50"));
    }

    #[test]
    fn where_nobody_is_reached_that_is_said() {
        let (taken, line, _) = page(&[json!({ "webhook": "https://angry.test/" })]);
        assert_eq!((taken, line.as_str()), (false, "webhook answered 403 no_team"));
        let (taken, line, sent) = page(&[]);
        assert!(!taken && line.contains("declares nobody") && sent.is_empty());
    }

    #[test]
    fn an_unknown_channel_is_an_error() {
        let web = Rc::new(Told::default());
        for entry in [json!("slack"), json!({ "email": "x" }), json!({ "slack": "a", "webhook": "b" })] {
            assert!(Pager::new(&[entry], Secrets::default(), web.clone(), "x").is_err());
        }
    }
}
