//! A rule that lists one of the two groups only: which one is missing, and how the rule is before and after it is added with
//! weight 0. Pure: no calls.

use serde_json::Value;

use super::actions::Groups;
use super::arn::Arn;
use crate::plan::Color;
use crate::routers::{Lack, Reading};

/// What the rule of a reading lacks; nothing, where it lists both groups.
pub fn lack(reading: &Reading, groups: &Groups) -> Option<Lack> {
    let listed = listed(&reading.exact["actions"])?;
    let missing: Vec<Color> =
        Color::BOTH.into_iter().filter(|c| listed.iter().all(|(arn, _)| *arn != groups.of(*c).as_str())).collect();
    let [color] = missing[..] else { return None };
    let group = groups.of(color);
    let line = |arn: &str, weight: &str| {
        let known = Color::BOTH.into_iter().find(|c| groups.of(*c).as_str() == arn);
        format!("forward to {} ({}), weight {weight}", known.map_or(arn, |c| groups.of(c).name()), side(known))
    };
    let before: Vec<String> = listed.iter().map(|(arn, weight)| line(arn, weight)).collect();
    let after = before.iter().cloned().chain([line(group.as_str(), "0")]).collect();
    let cause = "users may only be sent to a side whose health is known";
    Some(Lack { line: missing_words(color, group), cause, before, after })
}

fn missing_words(color: Color, group: &Arn) -> String {
    format!("{color}'s target group `{}` is not in the rule, so AWS does not check its health", group.name())
}

fn side(color: Option<Color>) -> String {
    color.map_or("neither".into(), |color| color.to_string())
}

/// The groups of the one forward action, with their weights as they stand there.
fn listed(actions: &Value) -> Option<Vec<(&str, String)>> {
    let forward = actions.as_array()?.iter().find(|action| action["Type"] == "forward")?;
    let tuples = forward["ForwardConfig"]["TargetGroups"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tuples.is_empty() {
        return Some(vec![(forward["TargetGroupArn"].as_str()?, "all".into())]);
    }
    let weight = |tuple: &Value| tuple["Weight"].as_u64().map_or("not said".into(), |weight| weight.to_string());
    Some(tuples.iter().filter_map(|tuple| Some((tuple["TargetGroupArn"].as_str()?, weight(tuple)))).collect())
}
