//! What is looked at before the first move: whatever would make the weights a lie, hide that a side is dead, or write the file
//! behind our back.

use serde_json::Value;

use super::Envoy;
use super::admin::Admin;
use super::fleet::{Fleet, Running};
use super::listeners::{self, Source};
use super::weights::{self, action, items, member, name};
use crate::plan::Color;
use crate::routers::{RouterError, Trouble};

/// What copies, repeats or re-sends requests, and what that means while users are split.
const SAID: [(&str, &str); 4] = [
    (
        "retry_policy",
        "repeats requests (`retry_policy`): the same one may be handled twice, and a side that fails is seen late",
    ),
    (
        "request_mirror_policies",
        "copies requests (`request_mirror_policies`): each is handled twice, whatever the weights say",
    ),
    ("internal_redirect_policy", "follows redirects by itself: another route may take the request"),
    ("hedge_policy", "sends a request again before it is answered (`hedge_policy`): it may be handled twice"),
];

impl Envoy {
    /// Refuses what weights cannot do here, and says what a person should know.
    pub async fn fit(&self) -> Result<Vec<String>, RouterError> {
        self.place.writable()?;
        let fleet = self.whole().await?;
        let mut lines = Vec::new();
        for (admin, running) in self.admins.iter().zip(&fleet.found) {
            self.follows(admin, running, &fleet).await?;
            lines.extend(self.sides(admin).await?);
            let about = &running.about;
            lines.push(format!(
                "Envoy {} at {}, node `{}`, runs version `{}`",
                about.version, admin.at, about.node, running.version
            ));
        }
        lines.extend(said(&fleet, &self.settings.blue, &self.settings.green));
        Ok(lines)
    }

    /// This Envoy takes its routes from this file, and by weights alone.
    async fn follows(&self, admin: &Admin, running: &Running, fleet: &Fleet) -> Result<(), RouterError> {
        if running.about.state != "LIVE" {
            let what = format!("it is {}, and takes no new users", running.about.state);
            return Err(admin.error(Trouble::NotNow, what).cure("wait until it is LIVE"));
        }
        if let Some((what, cure)) = weights::lies(&running.config, &running.found) {
            return Err(admin.error(Trouble::Invalid, format!("what it runs {what}")).cure(cure));
        }
        let dump = admin.all().await?;
        let sources = listeners::sources(&dump, &self.settings.route_config);
        if let Some(why) = sources.iter().find_map(listeners::unwatched) {
            let what = format!("it {why}: a move there is not noticed");
            return Err(admin.error(Trouble::Invalid, what).cure("let `watched_directory` be the folder of the file"));
        }
        if !running.in_step(&fleet.file) {
            let what = fleet.apart().join("; ");
            let cure =
                "see that Envoy watches this very file, and put the file there by `mv`; its log says what it refuses";
            return Err(admin.error(Trouble::NotNow, what).cure(cure));
        }
        Ok(())
    }

    async fn sides(&self, admin: &Admin) -> Result<Vec<String>, RouterError> {
        let mut lines = Vec::new();
        for (stack, cluster) in Color::BOTH.into_iter().zip(self.clusters(admin).await?) {
            let name = self.settings.cluster(stack);
            if cluster.hosts.is_none() {
                let what = format!("it has no cluster `{name}` for {stack}: it takes such weights, and answers 503");
                return Err(admin.error(Trouble::NotFound, what).cure("add the cluster, or set its name right"));
            }
            if cluster.is_aggregate() {
                let what =
                    format!("`{name}` of {stack} is an aggregate: when its first cluster is dead another one answers");
                return Err(admin
                    .error(Trouble::Invalid, what)
                    .cure("name the cluster behind it, in weights and route"));
            }
            if cluster.has_spares() {
                lines.push(format!(
                    "{}: `{name}` has hosts of several priorities: when the first are dead the others answer for {stack}",
                    admin.at
                ));
            }
        }
        Ok(lines)
    }

    /// Whoever else writes this file, or is asked in its place.
    pub async fn other_writer(&self) -> Result<Option<String>, RouterError> {
        let text = self.place.text()?;
        let managed = text.lines().filter(|line| line.starts_with('#'));
        let managed = managed.into_iter().find(|line| line.to_ascii_lowercase().contains("managed by"));
        if let Some(line) = managed {
            return Ok(Some(format!("whoever wrote into the file: `{}`", line.trim_matches(['#', ' ']))));
        }
        for admin in &self.admins {
            let dump = admin.all().await?;
            for source in listeners::sources(&dump, &self.settings.route_config) {
                if let Source::Server(server) = source {
                    return Ok(Some(format!("{server}, from which the Envoy at {} has these routes", admin.at)));
                }
            }
        }
        Ok(None)
    }
}

/// What the route does besides sharing users out, and who else leads to the same clusters.
fn said(fleet: &Fleet, blue: &str, green: &str) -> Vec<String> {
    let config = &fleet.file.config;
    let hosts = items(member(config, "virtual_hosts"));
    let host = &hosts[fleet.file.found.host];
    let routes = items(member(host, "routes"));
    let ours = fleet.file.found.route;
    let mut lines = Vec::new();
    let title = weights::title(&routes[ours], ours);
    let stands = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
    for (key, words) in SAID {
        if stands(member(action(&routes[ours]), key)) {
            lines.push(format!("{title} {words}"));
        } else if stands(member(host, key)) || stands(member(config, key)) {
            lines.push(format!("{title}, by what stands above it, {words}"));
        }
    }
    for (n, host) in hosts.iter().enumerate() {
        for (r, route) in items(member(host, "routes")).iter().enumerate() {
            let weighted = items(member(member(action(route), "weighted_clusters"), "clusters")).iter().map(name);
            let mut names = weighted.chain(member(action(route), "cluster").as_str());
            if (n, r) != (fleet.file.found.host, ours) && names.any(|name| name == blue || name == green) {
                let title = weights::title(route, r);
                lines.push(format!("{title} of `{}` leads there too, and is not moved", name(host)));
            }
        }
    }
    lines
}
