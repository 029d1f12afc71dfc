//! What CloudTrail knows of the newest change of a rule that was not ours. It lags by minutes, so it is asked with little
//! patience.

use std::time::Duration;

use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use jiff::Timestamp;
use serde_json::Value;

use crate::clock::{Clock, SystemClock};
use crate::routers::aws::Aws;

/// A pause does not wait for a name.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whoever changed `place` last by this action since then, except by the requests in `ours`; or why it is not known.
pub async fn newest(
    aws: &Aws,
    action: &str,
    place: &str,
    ours: &[String],
    since: Timestamp,
) -> Result<String, &'static str> {
    let client = aws_sdk_cloudtrail::Client::new(&aws.config().await);
    let named = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName).attribute_value(action);
    let Ok(named) = named.build() else { return Err("cannot be asked") };
    let asked = client.lookup_events().lookup_attributes(named).max_results(20).send();
    let answer = tokio::select! { biased;
        answer = asked => answer.map_err(|_| "gives no answer")?,
        () = SystemClock.sleep(PATIENCE) => return Err("gives no answer in time"),
    };
    let found = answer.events().iter().find_map(|event| change(event, place, ours, since));
    found.ok_or("does not know yet who changed it")
}

/// An event as a sentence, if it is a change of this place by somebody else.
fn change(event: &Event, place: &str, ours: &[String], since: Timestamp) -> Option<String> {
    let said: Value = serde_json::from_str(event.cloud_trail_event()?).ok()?;
    if !said["requestParameters"].to_string().contains(place) || !said["errorCode"].is_null() {
        return None;
    }
    if said["requestID"].as_str().is_some_and(|id| ours.iter().any(|own| own == id)) {
        return None;
    }
    // What another process of this run wrote before is not known to be ours.
    if said["eventTime"].as_str()?.parse::<Timestamp>().ok()? < since {
        return None;
    }
    let who = said["userIdentity"]["arn"].as_str().or(event.username())?;
    let tool = said["userAgent"].as_str().map_or(String::new(), |tool| format!(" with {}", first_words(tool)));
    let at = said["eventTime"].as_str().map_or(String::new(), |at| format!(" at {at}"));
    Some(format!("changed by {who}{at}{tool} (CloudTrail)"))
}

/// The start of a user agent: it can fill a screen.
fn first_words(tool: &str) -> String {
    tool.split_whitespace().next().unwrap_or_default().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str =
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c49/0467ef3c/8c1f3f0a";

    fn event(rule: &str, request: &str, error: Option<&str>) -> Event {
        let said = serde_json::json!({
            "eventTime": "2026-11-21T03:02:41Z",
            "userAgent": "Terraform/1.9 (+https://www.terraform.io) aws-sdk-go/1.2",
            "userIdentity": { "arn": "arn:aws:sts::123456789012:assumed-role/deploy/ci" },
            "requestParameters": { "ruleArn": rule },
            "requestID": request,
            "errorCode": error,
        });
        Event::builder().cloud_trail_event(said.to_string()).build()
    }

    #[test]
    fn the_newest_change_of_this_place_by_somebody_else_is_named() {
        let ours = ["own".to_string()];
        let since: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let change = |event: &Event, place: &str, ours: &[String]| change(event, place, ours, since);
        assert_eq!(
            change(&event(RULE, "theirs", None), RULE, &ours).as_deref(),
            Some(
                "changed by arn:aws:sts::123456789012:assumed-role/deploy/ci at 2026-11-21T03:02:41Z with Terraform/1.9 (CloudTrail)"
            )
        );
        let late = "2026-11-21T03:03:00Z".parse().unwrap();
        assert_eq!(super::change(&event(RULE, "theirs", None), RULE, &ours, late), None, "from before");
        for not in
            [event(RULE, "own", None), event("arn:other", "theirs", None), event(RULE, "theirs", Some("AccessDenied"))]
        {
            assert_eq!(change(&not, RULE, &ours), None);
        }
        assert_eq!(change(&Event::builder().cloud_trail_event("no json").build(), RULE, &ours), None);
    }
}
