//! The list of actions of a rule: reading the split out of it, and writing another split into it with everything else kept.
//!
//! `ModifyRule` and `ModifyListener` replace the whole list, so whatever is not sent back is deleted: sign-in actions,
//! order, stickiness. Pure: no calls.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};

use super::arn::Arn;
use crate::plan::{Color, Split};

/// The highest weight a target group can have.
pub const MOST: u32 = 999;

/// What a list of actions says about the two stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub split: Split,
    pub blue_listed: bool,
    pub green_listed: bool,
    /// Seconds for which the load balancer keeps a user on one target group, whatever the weights say.
    pub sticky: Option<i32>,
}

/// The target groups of the two stacks.
#[derive(Clone, Debug)]
pub struct Groups {
    pub blue: Arn,
    pub green: Arn,
}

impl Groups {
    pub fn of(&self, color: Color) -> &Arn {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }
}

/// Reads the split, or says in words why there is none.
pub fn read(actions: &[Action], groups: &Groups) -> Result<Seen, String> {
    if let Some(kind) = actions.iter().filter_map(Action::r#type).find(|kind| unknown(kind)) {
        return Err(format!("has an action of the kind `{}`, which this bgctl cannot keep", kind.as_str()));
    }
    let forwards: Vec<&Action> = actions.iter().filter(|a| a.r#type() == Some(&ActionTypeEnum::Forward)).collect();
    let [forward] = forwards[..] else {
        let kinds: Vec<&str> = actions.iter().filter_map(|a| a.r#type().map(ActionTypeEnum::as_str)).collect();
        return Err(format!("forwards to no target group: its actions are {}", kinds.join(", ")));
    };
    let mut seen = Seen { split: Split { blue: 0, green: 0 }, blue_listed: false, green_listed: false, sticky: None };
    for (arn, weight) in listed(forward) {
        if arn == groups.blue.as_str() {
            (seen.blue_listed, seen.split.blue) = (true, weight);
        } else if arn == groups.green.as_str() {
            (seen.green_listed, seen.split.green) = (true, weight);
        } else {
            return Err(format!("also forwards to `{arn}`, which is neither blue nor green"));
        }
    }
    seen.sticky = stickiness(forward).filter(|s| s.enabled() == Some(true)).map(|s| s.duration_seconds().unwrap_or(0));
    Ok(seen)
}

/// The target groups that get any request of these actions.
pub fn leads_to(actions: &[Action]) -> Vec<&str> {
    let forwards = actions.iter().filter(|action| action.r#type() == Some(&ActionTypeEnum::Forward));
    forwards.flat_map(listed).filter(|(_, weight)| *weight > 0).map(|(arn, _)| arn).collect()
}

/// Where these actions send users, for people: also when that is not a split of ours.
pub fn told(actions: &[Action]) -> String {
    let name = |arn: &str| arn.split('/').nth(1).unwrap_or(arn).to_string();
    let words = actions.iter().map(|action| match action.r#type() {
        Some(ActionTypeEnum::Forward) => {
            let groups = listed(action).into_iter().map(|(arn, weight)| format!("`{}` {weight}", name(arn)));
            format!("forward to {}", groups.collect::<Vec<_>>().join(", "))
        }
        kind => kind.map_or("an action without a kind".into(), |kind| kind.as_str().to_string()),
    });
    let words: Vec<String> = words.collect();
    let nowhere = actions.iter().any(|a| a.r#type() == Some(&ActionTypeEnum::Forward))
        && actions.iter().flat_map(listed).all(|(_, weight)| weight == 0);
    let nowhere = if nowhere { "; all weights are 0, and AWS does not say where users go then" } else { "" };
    format!("the actions read just now are: {}{nowhere}", words.join("; "))
}

/// The target groups of a forward action with their weights. A single group comes as `TargetGroupArn`, as a list of one,
/// or both; a weight that is left out counts 1.
fn listed(forward: &Action) -> Vec<(&str, u32)> {
    let list = forward.forward_config().map(ForwardActionConfig::target_groups).unwrap_or_default();
    if list.is_empty() {
        return forward.target_group_arn().map(|arn| (arn, 100)).into_iter().collect();
    }
    let weight = |tuple: &TargetGroupTuple| u32::try_from(tuple.weight().unwrap_or(1)).unwrap_or(0);
    list.iter().map(|tuple| (tuple.target_group_arn().unwrap_or_default(), weight(tuple))).collect()
}

fn stickiness(forward: &Action) -> Option<&TargetGroupStickinessConfig> {
    forward.forward_config().and_then(ForwardActionConfig::target_group_stickiness_config)
}

fn unknown(kind: &ActionTypeEnum) -> bool {
    !ActionTypeEnum::values().contains(&kind.as_str())
}

/// What the rule has to list for a split. Both groups, so that the one with weight 0 stays health-checked; but going back
/// to blue on a sticky rule lists blue alone, because users with a stickiness cookie stay on a listed group even when its
/// weight is 0.
pub fn lists_both(seen: &Seen, to: Split) -> bool {
    !(seen.sticky.is_some() && to.only() == Some(Color::Blue))
}

/// Nothing has to be written for this split. A group that is wanted in the list with weight 0 and is missing is worth a
/// call: from then on its targets are health-checked.
pub fn in_place(seen: &Seen, to: Split) -> bool {
    seen.split == to && if lists_both(seen, to) { seen.blue_listed && seen.green_listed } else { !seen.green_listed }
}

/// The list with another split, and everything else as it was.
pub fn with_split(actions: &[Action], groups: &Groups, seen: &Seen, to: Split) -> Vec<Action> {
    let rewrite = |action: &Action| match action.r#type() {
        Some(ActionTypeEnum::Forward) => forward(action, groups, lists_both(seen, to), to),
        _ => sendable(action),
    };
    actions.iter().map(rewrite).collect()
}

/// The list with both groups in it, everything else as it was: the split is, too.
pub fn with_both(actions: &[Action], groups: &Groups, split: Split) -> Vec<Action> {
    let rewrite = |action: &Action| match action.r#type() {
        Some(ActionTypeEnum::Forward) => forward(action, groups, true, split),
        _ => sendable(action),
    };
    actions.iter().map(rewrite).collect()
}

fn forward(action: &Action, groups: &Groups, both: bool, to: Split) -> Action {
    let order = listed(action);
    // The order of the list is kept; a group that is not in it yet comes last.
    let mut colors: Vec<Color> = Color::BOTH.into_iter().filter(|c| both || *c == Color::Blue).collect();
    colors.sort_by_key(|color| {
        order.iter().position(|(arn, _)| *arn == groups.of(*color).as_str()).unwrap_or(usize::MAX)
    });
    let tuple = |color: Color| {
        let weight = i32::try_from(to.weight(color)).expect("BUG: the weight was checked to be at most 999");
        TargetGroupTuple::builder().target_group_arn(groups.of(color).as_str()).weight(weight).build()
    };
    let config = ForwardActionConfig::builder()
        .set_target_groups(Some(colors.into_iter().map(tuple).collect()))
        .set_target_group_stickiness_config(stickiness(action).cloned())
        .build();
    // `TargetGroupArn` beside a list of two groups is refused, and beside a list of one says nothing more.
    let mut action = action.clone();
    action.target_group_arn = None;
    action.forward_config = Some(config);
    action
}

/// The action as it may be sent back. The client secret of an OIDC action can never be read, so the API is told to keep
/// the one it has.
pub fn sendable(action: &Action) -> Action {
    let mut action = action.clone();
    if let Some(oidc) = &mut action.authenticate_oidc_config {
        oidc.client_secret = None;
        oidc.use_existing_client_secret = Some(true);
    }
    if action.forward_config.as_ref().is_some_and(|f| !f.target_groups().is_empty()) {
        action.target_group_arn = None;
    }
    action
}

#[cfg(test)]
mod tests {
    use super::super::arn::Sort;
    use super::*;
    use proptest::prelude::*;

    fn groups() -> Groups {
        let arn = |name: &str| {
            let text =
                format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{name}/6d0ecf831eec9f09");
            Arn::read(&text, Sort::TargetGroup).unwrap()
        };
        Groups { blue: arn("bot-blue"), green: arn("bot-green") }
    }

    /// A rule with the given groups and weights, a sign-in action before it if wanted.
    fn rule(listed: &[(Color, u32)], sticky: Option<i32>, sign_in: bool) -> Vec<Action> {
        let groups = groups();
        let tuple = |(color, weight): &(Color, u32)| {
            TargetGroupTuple::builder().target_group_arn(groups.of(*color).as_str()).weight(*weight as i32).build()
        };
        let stickiness = TargetGroupStickinessConfig::builder().enabled(sticky.is_some()).set_duration_seconds(sticky);
        let config = ForwardActionConfig::builder()
            .set_target_groups(Some(listed.iter().map(tuple).collect()))
            .target_group_stickiness_config(stickiness.build())
            .build();
        let forward = Action::builder().r#type(ActionTypeEnum::Forward).order(2).forward_config(config).build();
        let sign = Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).order(1).build();
        if sign_in { vec![sign, forward] } else { vec![forward] }
    }

    #[test]
    fn a_single_group_in_every_shape_is_all_users() {
        let groups = groups();
        let bare = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(groups.green.as_str()).build();
        assert_eq!(read(std::slice::from_ref(&bare), &groups).unwrap().split, Split::ALL_GREEN);
        let mut both = rule(&[(Color::Green, 1)], None, false);
        both[0].target_group_arn = bare.target_group_arn.clone();
        let seen = read(&both, &groups).unwrap();
        assert_eq!((seen.split, seen.blue_listed, seen.green_listed), (Split::ALL_GREEN, false, true));
        let written = with_split(&both, &groups, &seen, Split::of_green(900));
        assert_eq!(written[0].target_group_arn, None);
        assert_eq!(listed(&written[0]), [(groups.green.as_str(), 90), (groups.blue.as_str(), 10)]);
    }

    #[test]
    fn a_missing_group_with_weight_0_is_worth_a_call_and_a_cookie_on_green_too() {
        let groups = groups();
        let only_blue = read(&rule(&[(Color::Blue, 1)], None, false), &groups).unwrap();
        assert!(!in_place(&only_blue, Split::ALL_BLUE));
        let sticky = read(&rule(&[(Color::Blue, 1), (Color::Green, 0)], Some(60), false), &groups).unwrap();
        assert!(!in_place(&sticky, Split::ALL_BLUE));
        let sticky = read(&rule(&[(Color::Blue, 1)], Some(60), false), &groups).unwrap();
        assert!(in_place(&sticky, Split::ALL_BLUE));
    }

    proptest! {
        /// Whatever the rule looked like: what is written reads back as what was wanted, is in place then, and everything
        /// but the weights and the list of groups is as before.
        #[test]
        fn what_is_written_is_what_is_read(
            blue in 0u32..=999, green in 0u32..=999, turned: bool, missing: bool,
            sticky in proptest::option::of(1i32..=604_800), sign_in: bool, per_mille in 0u32..=1000,
        ) {
            let mut list = vec![(Color::Blue, blue), (Color::Green, green)];
            if turned { list.reverse(); }
            if missing { list.pop(); }
            let (groups, before) = (groups(), rule(&list, sticky, sign_in));
            let seen = read(&before, &groups).unwrap();
            let to = Split::of_green(per_mille);
            let after = with_split(&before, &groups, &seen, to);
            let again = read(&after, &groups).unwrap();
            prop_assert_eq!(again.split, to);
            prop_assert_eq!(again.sticky, sticky);
            prop_assert!(in_place(&again, to));
            prop_assert_eq!(after.len(), before.len());
            let rest = |actions: &[Action]| {
                let mut actions = actions.to_vec();
                if let Some(config) = actions.last_mut().and_then(|a| a.forward_config.as_mut()) { config.target_groups = None; }
                actions
            };
            prop_assert_eq!(rest(&after), rest(&before));
            if sticky.is_some() && per_mille == 0 {
                prop_assert!(!again.green_listed);
            }
        }
    }
}
