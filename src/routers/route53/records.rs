//! The group of records as Route 53 lists it: which two of them are the sides, what else stands there, and why a group cannot be
//! moved. Decisions alone; nothing is asked here.

use aws_sdk_route53::types::ResourceRecordSet;
use serde_json::{Map, Value, json};

use super::settings::Settings;
use crate::plan::{Color, Split};
use crate::routers::dns::generation::{Generation, Longer};
use crate::routers::{RouterError, Trouble};

/// The TTL of what an alias leads to, where that is a load balancer (API reference, `TTL`).
pub const ALIAS: i64 = 60;

/// The two records of a route with what stands around them.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub blue: ResourceRecordSet,
    pub green: ResourceRecordSet,
    /// More records of the group. They have no users: their weight is 0.
    pub others: Vec<ResourceRecordSet>,
    /// The TXT that keeps the last write, whoever wrote it.
    pub beside: Option<ResourceRecordSet>,
}

/// A name as Route 53 lists it, without the dot at its end.
pub fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The name of the TXT.
pub fn beside(settings: &Settings) -> String {
    format!("{}.{}", Generation::LABEL, plain(&settings.name))
}

fn identifier(record: &ResourceRecordSet) -> &str {
    record.set_identifier().unwrap_or_default()
}

impl Found {
    /// Finds the two among everything that stands at the name and the TXT's name, or says why they cannot be moved.
    pub fn among(listed: &[ResourceRecordSet], settings: &Settings) -> Result<Found, RouterError> {
        let (own, kind) = (plain(&settings.name), settings.kind.of().to_string());
        let at = |name: &str| listed.iter().filter(move |record| plain(record.name()) == name).collect::<Vec<_>>();
        let (group, rest): (Vec<_>, Vec<_>) = at(&own).into_iter().partition(|r| r.r#type().as_str() == kind);
        let invalid = |what: String| RouterError::new(Trouble::Invalid, format!("{} {what}", settings.shown()));
        let of = |side: &str| group.iter().find(|record| identifier(record) == side).map(|record| (*record).clone());
        let (Some(blue), Some(green)) = (of(&settings.blue), of(&settings.green)) else {
            return Err(missing(settings, &group, &rest));
        };
        if let Some((record, how)) = group.iter().find_map(|record| Some((record, routing(record)?))) {
            return Err(invalid(format!("is routed by {how} (`{}`), not by weight", identifier(record)))
                .cure("make its records weighted, each with a set identifier"));
        }
        let others: Vec<_> = group.iter().filter(|r| ![blue.clone(), green.clone()].contains(r)).copied().collect();
        let nobody = group.iter().all(|record| weight(record) == 0);
        let elsewhere: Vec<String> = others
            .iter()
            .filter(|record| nobody || weight(record) > 0)
            .map(|record| format!("`{}` (weight {})", identifier(record), weight(record)))
            .collect();
        if !elsewhere.is_empty() {
            let all = if nobody { ": all weights are 0, so Route 53 sends users to every record alike" } else { "" };
            let what = format!("also leads users to {}{all}", elsewhere.join(", "));
            return Err(RouterError { read: Some(format!("{} {what}", settings.shown())), ..invalid(what) }
                .cure("set their weight to 0, or take them out of the group"));
        }
        let mut ttls: Vec<i64> = group.iter().filter_map(|record| record.ttl()).collect();
        ttls.dedup();
        if ttls.len() > 1 {
            let of = |r: &&&ResourceRecordSet| Some(format!("`{}` {} s", identifier(r), r.ttl()?));
            let each: Vec<String> = group.iter().filter_map(|record| of(&record)).collect();
            let what = format!("has records with several TTLs: {}", each.join(", "));
            return Err(invalid(what).cure("give all records of the group one TTL: Route 53 asks for that"));
        }
        let beside = at(&beside(settings)).into_iter().find(|record| record.r#type().as_str() == "TXT").cloned();
        let others = others.into_iter().cloned().collect();
        Ok(Found { blue, green, others, beside })
    }

    pub fn side(&self, color: Color) -> &ResourceRecordSet {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// Where users are led. With both weights 0 that is to both alike, as Route 53 says of records that are no aliases.
    pub fn split(&self) -> Split {
        let split = Split { blue: weight(&self.blue), green: weight(&self.green) };
        if self.nobody() && !self.alias() { Split { blue: 1, green: 1 } } else { split }
    }

    /// Both weights are 0.
    pub fn nobody(&self) -> bool {
        weight(&self.blue) == 0 && weight(&self.green) == 0
    }

    /// One of both is an alias.
    pub fn alias(&self) -> bool {
        Color::BOTH.iter().any(|side| self.side(*side).alias_target().is_some())
    }

    /// How long resolvers keep an answer.
    pub fn ttl(&self) -> i64 {
        let alias = if self.alias() { ALIAS } else { 0 };
        self.own_ttl().unwrap_or_default().max(alias)
    }

    /// The TTL that stands in the group, if one does: an alias has none.
    pub fn own_ttl(&self) -> Option<i64> {
        [&self.blue, &self.green].into_iter().chain(&self.others).find_map(ResourceRecordSet::ttl)
    }

    /// The last write, if the TXT is ours.
    pub fn generation(&self) -> Option<Generation> {
        let texts = self.beside.iter().flat_map(|record| record.resource_records());
        texts.filter_map(|text| Generation::read(text.value().trim_matches('"'))).next()
    }

    pub fn longer(&self) -> Option<Longer> {
        self.generation().and_then(|generation| generation.longer)
    }

    /// Enough to put both back.
    pub fn exact(&self) -> Value {
        let longer = self.longer().map(|longer| json!({ "ttl": longer.ttl, "since": longer.since }));
        json!({ "records": [to_json(&self.blue), to_json(&self.green)], "ttl": self.own_ttl(), "longer": longer })
    }

    /// A traffic policy keeps these records, and would undo us.
    pub fn policy(&self) -> Option<&str> {
        [&self.blue, &self.green].into_iter().find_map(ResourceRecordSet::traffic_policy_instance_id)
    }
}

fn weight(record: &ResourceRecordSet) -> u32 {
    record.weight().and_then(|weight| u32::try_from(weight).ok()).unwrap_or_default()
}

/// How a record is routed, if not by weight.
fn routing(record: &ResourceRecordSet) -> Option<&'static str> {
    Some(match record {
        _ if record.weight().is_some() => return None,
        _ if record.failover().is_some() => "failover",
        _ if record.geo_location().is_some() => "geolocation",
        _ if record.geo_proximity_location().is_some() => "geoproximity",
        _ if record.region().is_some() => "latency",
        _ if record.cidr_routing_config().is_some() => "client address",
        _ if record.multi_value_answer().is_some() => "multivalue answer",
        _ => "nothing",
    })
}

/// Why the two records of a route are not there.
fn missing(settings: &Settings, group: &[&ResourceRecordSet], rest: &[&ResourceRecordSet]) -> RouterError {
    let shown = settings.shown();
    if group.iter().any(|record| record.set_identifier().is_none()) {
        let what = format!("{shown} is one simple record, which has no weight");
        return RouterError::new(Trouble::Invalid, what).cure(
            "replace it by two weighted records with set identifiers, in one change batch (`bgctl explain route53`)",
        );
    }
    let stands: Vec<String> = group.iter().map(|record| format!("`{}`", identifier(record))).collect();
    let lacking: Vec<String> = [&settings.blue, &settings.green]
        .into_iter()
        .filter(|side| !group.iter().any(|record| identifier(record) == side.as_str()))
        .map(|side| format!("`{side}`"))
        .collect();
    let there = match (stands.as_slice(), rest.first()) {
        ([], Some(other)) => format!("there is a {} in its place", other.r#type().as_str()),
        ([], None) => "there is nothing of that name and type".into(),
        (all, _) => format!("there is {}", all.join(", ")),
    };
    RouterError::new(Trouble::NotFound, format!("{shown} has no record {}: {there}", lacking.join(" and no record ")))
        .cure(format!(
            "`aws route53 list-resource-record-sets --hosted-zone-id {}` lists those there are",
            settings.zone
        ))
}

/// A record as the AWS CLI takes it.
pub fn to_json(record: &ResourceRecordSet) -> Value {
    let values = || record.resource_records().iter().map(|value| json!({ "Value": value.value() })).collect();
    let alias = record.alias_target().map(|alias| {
        json!({
            "HostedZoneId": alias.hosted_zone_id(),
            "DNSName": alias.dns_name(),
            "EvaluateTargetHealth": alias.evaluate_target_health(),
        })
    });
    let members = [
        ("Name", Some(json!(record.name()))),
        ("Type", Some(json!(record.r#type().as_str()))),
        ("SetIdentifier", record.set_identifier().map(Value::from)),
        ("Weight", record.weight().map(Value::from)),
        ("TTL", record.ttl().map(Value::from)),
        ("ResourceRecords", record.resource_records.as_ref().map(|_| values())),
        ("AliasTarget", alias),
        ("HealthCheckId", record.health_check_id().map(Value::from)),
    ];
    Value::Object(members.into_iter().filter_map(|(key, value)| Some((key.into(), value?))).collect::<Map<_, _>>())
}

#[cfg(test)]
pub mod tests {
    use aws_sdk_route53::types::{AliasTarget, ResourceRecord, ResourceRecordSetRegion, RrType};

    use super::*;

    pub fn settings() -> Settings {
        let value = json!({ "zone": "Z1", "name": "bot.example.test", "blue": "blue", "green": "green" });
        Settings::read(&value).expect("good settings")
    }

    fn record(kind: RrType, side: Option<(&str, i64)>, ttl: i64) -> ResourceRecordSet {
        let value = ResourceRecord::builder().value("192.0.2.1").build().expect("a value");
        let record = ResourceRecordSet::builder().name("bot.example.test.").r#type(kind).ttl(ttl);
        let record = record.resource_records(value).set_set_identifier(side.map(|(name, _)| name.into()));
        record.set_weight(side.map(|(_, weight)| weight)).build().expect("a record")
    }

    /// Weighted records: set identifier, weight, TTL.
    pub fn listed(sides: &[(&str, i64, i64)]) -> Vec<ResourceRecordSet> {
        sides.iter().map(|(side, weight, ttl)| record(RrType::A, Some((side, *weight)), *ttl)).collect()
    }

    fn found(sides: &[(&str, i64, i64)]) -> Result<Found, RouterError> {
        Found::among(&listed(sides), &settings())
    }

    #[test]
    fn a_group_is_moved_only_where_its_weights_say_where_users_are() {
        let at = |blue, green| found(&[("blue", blue, 60), ("green", green, 60)]).unwrap();
        assert_eq!(at(90, 10).split(), Split { blue: 9, green: 1 });
        assert_eq!(at(0, 255).split(), Split::ALL_GREEN);
        // Both 0 is both alike, which nobody wrote.
        assert_eq!((at(0, 0).split(), at(0, 0).nobody()), (Split { blue: 1, green: 1 }, true));
        assert_eq!(found(&[("blue", 1, 60), ("green", 0, 60), ("old", 0, 60)]).unwrap().others.len(), 1);
        type Sides = &'static [(&'static str, i64, i64)];
        let table: [(Sides, &str); 4] = [
            (&[("blue", 1, 60), ("green", 0, 60), ("old", 5, 60)], "also leads users to `old` (weight 5)"),
            (&[("blue", 0, 60), ("green", 0, 60), ("old", 0, 60)], "to every record alike"),
            (&[("blue", 1, 60), ("green", 0, 300)], "several TTLs: `blue` 60 s, `green` 300 s"),
            (&[("blue", 1, 60), ("old", 0, 60)], "no record `green`: there is `blue`, `old`"),
        ];
        for (sides, words) in table {
            let error = found(sides).unwrap_err();
            assert!(error.what.contains(words) && error.cure.is_some(), "{error:?}");
        }
    }

    #[test]
    fn what_is_no_weighted_record_is_named() {
        let all = |records: &[ResourceRecordSet]| Found::among(records, &settings()).unwrap_err();
        let error = all(&[record(RrType::A, None, 60)]);
        assert!(error.kind == Trouble::Invalid && error.what.contains("one simple record"), "{error:?}");
        let error = all(&[record(RrType::Cname, None, 60)]);
        assert!(error.kind == Trouble::NotFound && error.what.contains("a CNAME in its place"), "{error:?}");
        assert!(all(&[]).what.contains("nothing of that name"));
        let mut latency = listed(&[("blue", 1, 60), ("green", 0, 60)]);
        (latency[1].weight, latency[1].region) = (None, Some(ResourceRecordSetRegion::EuWest1));
        assert!(all(&latency).what.contains("routed by latency (`green`)"));
    }

    #[test]
    fn an_alias_has_the_ttl_of_what_it_leads_to() {
        let mut records = listed(&[("blue", 0, 30), ("green", 0, 30)]);
        let alias =
            AliasTarget::builder().hosted_zone_id("Z2").dns_name("lb.example.test").evaluate_target_health(true);
        for record in &mut records {
            (record.ttl, record.resource_records) = (None, None);
            record.alias_target = Some(alias.clone().build().unwrap());
        }
        let found = Found::among(&records, &settings()).unwrap();
        assert_eq!((found.ttl(), found.own_ttl(), found.alias()), (60, None, true));
        // Of aliases Route 53 does not say where users go with all weights 0.
        assert_eq!(found.split(), Split { blue: 0, green: 0 });
        assert_eq!(to_json(&found.blue)["AliasTarget"]["EvaluateTargetHealth"], json!(true));
    }
}
