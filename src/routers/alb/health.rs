//! Target health, counted: how many targets of a group really take users.
//!
//! The load balancer fails open: it sends users to a group whose targets are all unhealthy, and answers 503 for an empty
//! one. So a side is well only by a count of healthy targets, never by the absence of unhealthy ones.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{
    TargetAdministrativeOverrideStateEnum, TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum,
};

use crate::routers::Health;

/// Counts the targets of a group.
pub fn count(group: &str, targets: &[TargetHealthDescription]) -> Health {
    let mut health = Health { total: u32::try_from(targets.len()).unwrap_or(u32::MAX), ..Health::default() };
    if targets.is_empty() {
        health.ailing.push(format!("no target is registered in `{group}`: users sent there would get a 503"));
    }
    let mut zones = Some(BTreeSet::new());
    for target in targets {
        match ailment(target) {
            None => {
                health.healthy += 1;
                // `all`: it takes users of every zone, and where it stands itself is not said.
                let zone = target.target().and_then(|t| t.availability_zone()).filter(|zone| *zone != "all");
                zones = zones.zip(zone).map(|(mut zones, zone)| {
                    zones.insert(zone);
                    zones
                });
            }
            Some(words) => health.ailing.push(format!("{}: {words}", name(target))),
        }
    }
    health.zones = zones.map(|zones| u32::try_from(zones.len()).unwrap_or(u32::MAX));
    if health.total > 0
        && health.healthy == 0
        && targets.iter().all(|t| state(t) == Some(&TargetHealthStateEnum::Unhealthy))
    {
        health.ailing.push("every target is unhealthy: the load balancer would send users there anyway".into());
    }
    health
}

fn state(target: &TargetHealthDescription) -> Option<&TargetHealthStateEnum> {
    target.target_health().and_then(|h| h.state())
}

fn name(target: &TargetHealthDescription) -> String {
    let Some(target) = target.target() else { return "a target without a name".into() };
    let port = target.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}{port}", target.id().unwrap_or("a target without an id"))
}

/// Why a target does not count, in the provider's word and ours; none for a healthy one.
fn ailment(target: &TargetHealthDescription) -> Option<String> {
    let shifted = target
        .administrative_override()
        .and_then(|o| o.state())
        .is_some_and(|s| *s == TargetAdministrativeOverrideStateEnum::ZonalShiftActive);
    let reason = target.target_health().and_then(|h| h.reason());
    let word = state(target).map_or("no state", |s| s.as_str());
    let meaning = match state(target) {
        Some(TargetHealthStateEnum::Healthy) if shifted => "its zone is shifted away",
        Some(TargetHealthStateEnum::Healthy) => return None,
        Some(TargetHealthStateEnum::Initial) => "still being registered or checked for the first time",
        Some(TargetHealthStateEnum::Unhealthy) => "fails its health check",
        Some(TargetHealthStateEnum::Unused) => match reason {
            Some(TargetHealthReasonEnum::NotInUse) => {
                "no rule forwards to this group, or its zone is off, so AWS does not check it; \
                    add the group to the rule with weight 0"
            }
            Some(TargetHealthReasonEnum::InvalidState) => "its instance is stopped or terminated",
            _ => "takes no requests",
        },
        Some(TargetHealthStateEnum::Draining) => "deregistered, takes no new requests",
        Some(TargetHealthStateEnum::Unavailable) => "health checks are off, so its health is unknown",
        Some(other) if other.as_str() == "unhealthy.draining" => "fails its health check and is being emptied",
        _ => "a state this bgctl does not know",
    };
    let reason = reason.map(|r| format!("/{}", r.as_str())).unwrap_or_default();
    let said = target.target_health().and_then(|h| h.description()).map(|d| format!(" (\"{d}\")")).unwrap_or_default();
    Some(format!("{word}{reason}: {meaning}{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_elasticloadbalancingv2::types::{AdministrativeOverride, TargetDescription, TargetHealth};

    fn target(state: &str, reason: Option<&str>, shifted: bool) -> TargetHealthDescription {
        let health = TargetHealth::builder()
            .state(TargetHealthStateEnum::from(state))
            .set_reason(reason.map(TargetHealthReasonEnum::from))
            .build();
        let shift = AdministrativeOverride::builder()
            .state(if shifted { "zonal_shift_active" } else { "no_override" }.into())
            .build();
        TargetHealthDescription::builder()
            .target(TargetDescription::builder().id("10.0.0.7").port(8080).build())
            .target_health(health)
            .administrative_override(shift)
            .build()
    }

    #[test]
    fn only_targets_that_take_users_count() {
        let table: &[(&str, Option<&str>, bool, u32, &str)] = &[
            ("healthy", None, false, 1, ""),
            ("healthy", None, true, 0, "zone is shifted away"),
            (
                "initial",
                Some("Elb.InitialHealthChecking"),
                false,
                0,
                "10.0.0.7:8080: initial/Elb.InitialHealthChecking",
            ),
            ("unhealthy", Some("Target.ResponseCodeMismatch"), false, 0, "send users there anyway"),
            ("unused", Some("Target.NotInUse"), false, 0, "with weight 0"),
            ("unused", Some("Target.InvalidState"), false, 0, "stopped or terminated"),
            ("draining", Some("Target.DeregistrationInProgress"), false, 0, "no new requests"),
            ("unhealthy.draining", None, false, 0, "being emptied"),
            ("unavailable", Some("Target.HealthCheckDisabled"), false, 0, "unknown"),
            ("sleepy", None, false, 0, "does not know"),
        ];
        for (state, reason, shifted, healthy, wanted) in table {
            let health = count("bot-green", &[target(state, *reason, *shifted)]);
            assert_eq!((health.healthy, health.total), (*healthy, 1), "{state}");
            assert_eq!(health.ailing.is_empty(), *healthy == 1, "{state}");
            assert!(health.ailing.join("\n").contains(wanted), "{state}: {:?}", health.ailing);
        }
    }

    #[test]
    fn zones_are_counted_where_the_provider_names_them() {
        let in_zone = |zone: Option<&str>, state: &str| {
            let place =
                TargetDescription::builder().id("10.0.0.7").set_availability_zone(zone.map(String::from)).build();
            let health = TargetHealth::builder().state(TargetHealthStateEnum::from(state)).build();
            TargetHealthDescription::builder().target(place).target_health(health).build()
        };
        let (a, b) = (in_zone(Some("us-east-1a"), "healthy"), in_zone(Some("us-east-1b"), "healthy"));
        let (ill, nowhere) = (in_zone(Some("us-east-1c"), "unhealthy"), in_zone(None, "healthy"));
        assert_eq!(count("bot", &[a.clone(), a.clone(), b.clone(), ill]).zones, Some(2));
        assert_eq!(count("bot", &[a.clone(), nowhere]).zones, None, "one that is not named could stand anywhere");
        assert_eq!(count("bot", &[a, in_zone(Some("all"), "healthy"), b]).zones, None);
    }

    #[test]
    fn an_empty_group_is_not_well() {
        let health = count("bot-green", &[]);
        assert_eq!((health.healthy, health.total), (0, 0));
        assert!(health.ailing[0].contains("no target is registered in `bot-green`"));
    }
}
