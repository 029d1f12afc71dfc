//! The clusters of both sides, as Envoy sees them: which hosts are well, what is still under way there, and what would hide that
//! one is dead.

use futures_util::future::join_all;
use serde_json::Value;
use tokio::try_join;

use super::Envoy;
use super::admin::Admin;
use super::weights::{items, member, name};
use crate::plan::Color;
use crate::routers::{Health, RouterError};

/// A cluster of one Envoy.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Its hosts now; none where Envoy has no such cluster.
    pub hosts: Option<Vec<Value>>,
    /// How it was configured.
    pub config: Value,
}

impl Envoy {
    /// The clusters of blue and of green.
    pub async fn clusters(&self, admin: &Admin) -> Result<[Cluster; 2], RouterError> {
        let (now, fixed, found) = try_join!(
            admin.ask("/clusters", &[("format", "json")]),
            admin.dumped("static_clusters"),
            admin.dumped("dynamic_active_clusters"),
        )?;
        let configs: Vec<&Value> = fixed.iter().chain(&found).map(|entry| member(entry, "cluster")).collect();
        Ok(Color::BOTH.map(|stack| {
            let wanted = self.settings.cluster(stack);
            let status = items(member(&now, "cluster_statuses")).iter().find(|status| name(status) == wanted);
            let config = configs.iter().find(|config| name(config) == wanted);
            Cluster {
                hosts: status.map(|status| items(member(status, "host_statuses")).to_vec()),
                config: config.map_or(Value::Null, |config| (*config).clone()),
            }
        }))
    }

    /// A side has to be well for each Envoy that answers, so the one with the fewest counts. One that keeps silent stops every
    /// way forward by itself, and no way back waits for it.
    pub async fn health_of(&self, stack: Color) -> Result<Health, RouterError> {
        let (mut least, mut ailing, mut silent) = (None::<Health>, Vec::new(), None);
        for (admin, cluster) in self.side(stack).await {
            let mut health = match cluster {
                Ok(cluster) => cluster.health(self.settings.cluster(stack)),
                Err(error) => {
                    ailing.push(error.what.clone());
                    silent = Some(error);
                    continue;
                }
            };
            let at = if self.admins.len() > 1 { format!(" at {}", admin.at) } else { String::new() };
            ailing.extend(health.ailing.drain(..).map(|line| line + &at));
            least = least.filter(|least| least.healthy <= health.healthy).or(Some(health));
        }
        match (least, silent) {
            (None, Some(error)) => Err(error),
            (least, _) => Ok(Health { ailing, ..least.unwrap_or_default() }),
        }
    }

    /// Requests that a side is still answering, WebSockets among them.
    pub async fn under_way(&self, stack: Color) -> Result<u64, RouterError> {
        let side = self.side(stack).await.into_iter();
        side.map(|(_, cluster)| Ok(cluster?.under_way())).sum()
    }

    /// The cluster of one side at every Envoy.
    async fn side(&self, stack: Color) -> Vec<(&Admin, Result<Cluster, RouterError>)> {
        let of = |[blue, green]: [Cluster; 2]| if stack == Color::Blue { blue } else { green };
        join_all(self.admins.iter().map(|admin| async move { (admin, self.clusters(admin).await.map(of)) })).await
    }
}

impl Cluster {
    /// Whether Envoy itself looks after its hosts.
    pub fn checked(&self) -> bool {
        !items(member(&self.config, "health_checks")).is_empty()
    }

    /// It hands users on to other clusters when its first one is dead.
    pub fn is_aggregate(&self) -> bool {
        name(member(&self.config, "cluster_type")) == "envoy.clusters.aggregate"
    }

    /// Hosts of a lower priority take over when those of a higher one are dead.
    pub fn has_spares(&self) -> bool {
        let mut hosts = self.hosts.iter().flatten();
        hosts.any(|host| member(host, "priority").as_u64().unwrap_or(0) > 0)
    }

    fn health(&self, name: &str) -> Health {
        let Some(hosts) = &self.hosts else {
            let none = format!("{name}: Envoy has no such cluster, and would answer its users with 503");
            return Health { ailing: vec![none], ..Health::default() };
        };
        let mut health = Health { total: hosts.len() as u32, ..Health::default() };
        for host in hosts {
            match ailment(host).or((!self.checked()).then(|| "Envoy does not check it: add `health_checks`".into())) {
                None => health.healthy += 1,
                Some(why) => health.ailing.push(format!("{}: {why}", address(host))),
            }
        }
        if hosts.is_empty() {
            health.ailing.push(format!("{name}: it has no host"));
        }
        health
    }

    fn under_way(&self) -> u64 {
        let active = |host: &Value| {
            let stat = items(member(host, "stats")).iter().find(|stat| name(stat) == "rq_active");
            // Numbers of 64 bits are texts in the JSON of protobuf; 0 is left out.
            stat.and_then(|stat| match &stat["value"] {
                Value::String(text) => text.parse().ok(),
                value => value.as_u64(),
            })
        };
        self.hosts.iter().flatten().filter_map(active).sum()
    }
}

/// What keeps a host from its users, if anything does.
fn ailment(host: &Value) -> Option<String> {
    let status = member(host, "health_status");
    let flags = status.as_object().into_iter().flatten().filter(|(_, value)| value.as_bool() == Some(true));
    let mut words: Vec<String> = flags.map(|(flag, _)| flag.replace('_', " ")).collect();
    match member(status, "eds_health_status").as_str() {
        None | Some("HEALTHY" | "UNKNOWN") => {}
        Some(told) => words.push(format!("told to be {}", told.to_lowercase())),
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn address(host: &Value) -> String {
    let address = member(host, "address");
    let socket = member(address, "socket_address");
    match (member(socket, "address").as_str(), member(socket, "port_value").as_u64()) {
        (Some(ip), Some(port)) => format!("{ip}:{port}"),
        _ => member(member(address, "pipe"), "path").as_str().unwrap_or("a host").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host(port: u32, status: Value, active: Value) -> Value {
        json!({
            "address": { "socket_address": { "address": "10.0.0.1", "port_value": port } }, "health_status": status,
            "stats": [{ "name": "cx_active", "value": "9" }, { "name": "rq_active", "value": active }],
        })
    }

    #[test]
    fn a_host_is_well_when_envoy_checks_it_and_has_nothing_against_it() {
        let well = || host(1, json!({ "eds_health_status": "HEALTHY" }), json!("3"));
        let hosts = vec![
            well(),
            host(2, json!({ "failed_active_health_check": true, "eds_health_status": "HEALTHY" }), json!(2)),
            host(3, json!({ "failed_outlier_check": true, "pending_dynamic_removal": true }), Value::Null),
            host(4, json!({ "eds_health_status": "DRAINING" }), json!("0")),
        ];
        let checked = json!({ "health_checks": [{ "timeout": "1s" }] });
        let cluster = Cluster { hosts: Some(hosts), config: checked.clone() };
        let health = cluster.health("green");
        assert_eq!((health.healthy, health.total), (1, 4));
        assert_eq!(
            health.ailing,
            [
                "10.0.0.1:2: failed active health check",
                "10.0.0.1:3: failed outlier check, pending dynamic removal",
                "10.0.0.1:4: told to be draining"
            ]
        );
        assert_eq!(cluster.under_way(), 5);
        let unchecked = Cluster { hosts: Some(vec![well()]), config: json!({}) };
        assert_eq!(unchecked.health("green").healthy, 0);
        assert!(unchecked.health("green").ailing[0].contains("add `health_checks`"));
        let none = Cluster { hosts: Some(vec![]), config: checked };
        assert_eq!(none.health("green").ailing, ["green: it has no host"]);
        assert!(Cluster::default().health("green").ailing[0].contains("Envoy has no such cluster"));
    }

    #[test]
    fn what_hides_a_dead_side_is_seen() {
        let kind = |name: &str| Cluster { config: json!({ "cluster_type": { "name": name } }), ..Cluster::default() };
        assert!(kind("envoy.clusters.aggregate").is_aggregate() && !kind("envoy.clusters.redis").is_aggregate());
        let spare = json!({ "priority": 1 });
        assert!(Cluster { hosts: Some(vec![json!({}), spare]), ..Cluster::default() }.has_spares());
        assert!(!Cluster { hosts: Some(vec![json!({})]), ..Cluster::default() }.has_spares());
    }
}
