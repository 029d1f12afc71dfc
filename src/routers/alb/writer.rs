//! Who wrote a rule: what CloudTrail knows of the newest change that was not ours; where it does not know, or this build does
//! not ask it, the command that asks it later is the answer.

use jiff::Timestamp;

#[cfg(feature = "cloudtrail")]
use super::trail::newest;
use crate::routers::aws::Aws;

/// What a change of a rule or of a listener's default rule is called.
const CHANGES: [&str; 2] = ["ModifyRule", "ModifyListener"];

/// Names whoever changed `place` last since then, except by the requests in `ours`; or says how to find out.
pub async fn writer(aws: &Aws, place: &str, ours: &[String], since: Timestamp) -> String {
    let action = if place.contains(":listener-rule/") { CHANGES[0] } else { CHANGES[1] };
    let why = match newest(aws, action, place, ours, since).await {
        Ok(named) => return named,
        Err(why) => why,
    };
    let profile = aws.access.profile.as_ref().map_or(String::new(), |profile| format!(" --profile {profile}"));
    format!(
        "CloudTrail {why}; to query it: aws cloudtrail lookup-events \
            --lookup-attributes AttributeKey=EventName,AttributeValue={action} --region {}{profile}",
        aws.region
    )
}

#[cfg(not(feature = "cloudtrail"))]
async fn newest(_: &Aws, _: &str, _: &str, _: &[String], _: Timestamp) -> Result<String, &'static str> {
    Err("is not asked by this build (that takes `--features full`)")
}
