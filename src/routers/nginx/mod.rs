//! Router `nginx`: the users of a site, split between two upstreams by a file that nginx includes.
//!
//! It writes the file, has nginx try it, reloads, and believes nothing until new workers say that they run it.
#![doc = include_str!("../nginx.md")]

mod fleet;
mod health;
mod host;
mod include;
mod proof;
mod settings;
mod site;
mod syntax;
mod way_back;
mod writes;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::Value;

use super::{
    Access, Call, Health, Identity, Kind, Lack, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
    Watched,
};
use crate::diag::Mistake;
use crate::plan::{Color, Move, Split};
use crate::rehearsal::InLab;
use fleet::{Kept, generations, is_half, kept};
use host::{Host, LOOK, Script, Sections, Shell, WRITE};
use include::{Include, generation, hundredths};
use settings::Settings;

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "nginx",
    about: "route: two upstreams of nginx, on one or several hosts",
    page: include_str!("../nginx.md"),
    schema: |generator| generator.subschema_for::<Settings>(),
    lab: InLab::Missing("nginx"),
    view: |value, access| Ok(Rc::new(Nginx::new(value, access)?)),
    open: |value, access| Ok(Rc::new(Nginx::new(value, access)?)),
};

/// The hosts of one site.
pub struct Nginx {
    settings: Settings,
    hosts: Vec<Host>,
    shell: Shell,
}

impl Nginx {
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value, access: &Access) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        let mut hosts: Vec<Host> = settings.hosts.iter().map(|prefix| Host::new(prefix)).collect();
        // Two hosts of one name could not be told apart in a log.
        for n in 0..hosts.len() {
            if hosts.iter().filter(|host| host.name == hosts[n].name).count() > 1 {
                hosts[n].name = format!("{} #{}", hosts[n].name, n + 1);
            }
        }
        Ok(Nginx { settings, hosts, shell: Shell::new(access) })
    }

    /// A fixed script on every host.
    async fn everywhere(&self, values: &[(&str, &str)], calls: &str) -> Result<Vec<(&Host, Sections)>, RouterError> {
        let script = Script::new(&self.settings, values, calls, LOOK);
        let script = &script;
        let runs = self.hosts.iter().map(|host| async move { Ok((host, host.run(&self.shell, script).await?)) });
        try_join_all(runs).await
    }

    fn place(&self) -> String {
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        let names = match names.as_slice() {
            [first, second, third, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second}, {third} and {} more", rest.len())
            }
            names => names.join(", "),
        };
        format!("nginx of {names}, `{}`", self.settings.include)
    }

    /// Every host has this split on its disk, and its workers run what is there.
    fn all_in_step(&self, hosts: &[Kept], to: Split) -> bool {
        let all = generations(hosts, &self.settings);
        let written =
            |kept: &Kept| Include::read(&kept.text, &self.settings).and_then(|i| i.green(&self.settings)).ok();
        let in_step = |kept: &Kept| kept.running.as_ref() == all.first() && written(kept) == hundredths(to);
        all.len() <= 1 && hosts.iter().all(in_step)
    }
}

#[async_trait(?Send)]
impl RouteView for Nginx {
    fn line(&self) -> String {
        self.place()
    }

    fn resources(&self, now: Option<&Reading>) -> Vec<String> {
        let kept = now.map(|reading| kept(&reading.exact)).unwrap_or_default();
        let node = |host: &Host| {
            let told = kept.iter().find(|kept| kept.host == host.name && !kept.node.is_empty());
            told.map_or_else(|| host.name.clone(), |kept| kept.node.clone())
        };
        let mut names: Vec<String> =
            self.hosts.iter().map(|host| format!("nginx {}:{}", node(host), self.settings.include)).collect();
        names.sort();
        names.dedup();
        names
    }

    fn min_healthy(&self) -> u32 {
        self.settings.min_healthy
    }

    fn takes(&self, to: Split) -> Result<(), String> {
        self.can_have(to)
    }

    fn cut_off(&self, found: &Reading, _: Option<&Move>) -> bool {
        is_half(&kept(&found.exact), &self.settings)
    }

    fn unseen(&self) -> &'static str {
        "new workers said on fresh connections that they run it"
    }

    fn lacks(&self, reading: &Reading) -> Option<Lack> {
        let kept = kept(&reading.exact);
        let unmarked = |kept: &&Kept| {
            kept.running.is_none() || Include::read(&kept.text, &self.settings).is_ok_and(|i| i.mark.is_none())
        };
        let lacking: Vec<&str> = kept.iter().filter(unmarked).map(|kept| kept.host.as_str()).collect();
        let (file, proof, hosts) = (&self.settings.include, &self.settings.proof, lacking.join(", "));
        (!lacking.is_empty()).then(|| Lack {
            line: format!("`{file}` does not let the workers of {hosts} say what they run"),
            cause: "a reload that returns 0 proves nothing: users may only be moved where the workers themselves say what they run",
            before: vec![format!("{} by hand, in {file}", reading.split)],
            after: vec![
                format!("{} by bgctl, in {file}", reading.split),
                format!("workers say what they run at {proof}"),
            ],
        })
    }

    fn nowhere(&self) -> &'static str {
        "neither upstream has a share of the users"
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        self.fleet().await.reading(&self.settings)
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        self.servers_of(stack).await
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        let reading = self.read().await?;
        let mut lines = kept(&reading.exact).into_iter().flat_map(|kept| {
            let lines: Vec<String> = kept.text.lines().filter(|line| line.starts_with('#')).map(String::from).collect();
            lines.into_iter().map(move |line| (kept.host.clone(), line))
        });
        let managed = lines.find(|(_, line)| line.to_ascii_lowercase().contains("managed by"));
        Ok(managed.map(|(host, line)| format!("whoever wrote into it on {host}: `{}`", line.trim_matches(['#', ' ']))))
    }

    async fn preflight(&self, _moves: &[Split]) -> Result<Vec<String>, RouterError> {
        let mut lines = Vec::new();
        for (host, site, version) in self.sites().await? {
            if let Some((what, cure)) = site.forbids(&self.settings) {
                return Err(host.error(Trouble::Invalid, what).cure(cure));
            }
            lines.push(format!("{}: {}", host.name, version.trim_start_matches("nginx version: ")));
            lines.extend(
                site.remarks(&self.settings, &version).into_iter().map(|line| format!("{}: {line}", host.name)),
            );
        }
        for (host, seen) in self.fleet().await.0 {
            let of_host = fleet::about(&host, &seen?, &self.settings);
            lines.extend(of_host);
        }
        Ok(lines)
    }

    /// A file that nobody runs is worth a line: the next reload, of a certificate or a log, would move users. Hosts that differ
    /// while nobody shifts are no split that anybody planned.
    async fn watch(&self) -> Watched {
        let fleet = self.fleet().await;
        let trouble = fleet.differs(&self.settings);
        let seen = fleet.0.into_iter().filter_map(|(host, seen)| Some((host, seen.ok()?)));
        let apart = seen.filter(|(_, seen)| !seen.in_step());
        let notes = apart.flat_map(|(host, seen)| fleet::about(&host, &seen, &self.settings).into_iter().take(2));
        Watched { trouble, notes: notes.collect() }
    }

    /// The connections of old workers to the servers of a side; where its servers are names, all that old workers hold.
    async fn lingering(&self, stack: Color) -> Result<u64, RouterError> {
        let (sites, fleet) = (self.sites().await?, self.fleet().await);
        let mut count = 0;
        for ((_, site, _), (_, seen)) in sites.into_iter().zip(fleet.0) {
            let servers = site.servers(self.settings.upstream(stack)).unwrap_or_default();
            let known: Option<Vec<SocketAddr>> = servers.iter().map(|server| server.address.parse().ok()).collect();
            for held in seen?.old.into_iter().filter_map(|old| old.held) {
                count += match &known {
                    Some(known) => held.servers.iter().filter(|at| known.contains(at)).count(),
                    None => held.clients,
                };
            }
        }
        Ok(count as u64)
    }

    fn cuts(&self) -> Result<(), String> {
        // An old worker may hold users of both sides, so ending it would cut those who are well too.
        Err("nginx cuts by itself what old workers hold: write `worker_shutdown_timeout 5m;` in its configuration"
            .into())
    }

    async fn writer(&self) -> Option<String> {
        let answers = self.everywhere(&[], "writer").await.ok()?;
        let line = |(host, sections): &(&Host, Sections)| format!("{}: {}", host.name, sections.below("writer").trim());
        Some(format!("the file as it lies there: {}", answers.iter().map(line).collect::<Vec<_>>().join("; ")))
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        let mut who = Vec::new();
        for (host, sections) in self.everywhere(&[], "identity").await? {
            let name = sections.below("who").trim().to_string();
            if !sections.has("writable") {
                let what = format!("{name} may not write the folder of `{}`", self.settings.include);
                let cure = "let the command of the host be one that may, such as `[ssh, web-1, --, sudo, -n]`";
                return Err(host.error(Trouble::Denied, what).cure(cure));
            }
            if !sections.has("curl") {
                return Err(host.error(Trouble::Invalid, "there is no curl on the host").cure("install curl there"));
            }
            who.push(format!("{name} on {}", host.name));
        }
        Ok(Identity { line: who.join(", "), left: None, renews: true })
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        self.way_back(route, &kept(&reading.exact))
    }

    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        let (to, mut exact) = (Split::all_on(stack), serde_json::json!({ "hosts": [] }));
        let kept = now.map(|reading| kept(&reading.exact)).unwrap_or_default();
        let after = generations(&kept, &self.settings);
        let name = generation(&after, to, &[]);
        for host in &self.hosts {
            let found = kept.iter().find(|kept| kept.host == host.name);
            let text = match found.and_then(|kept| Include::read(&kept.text, &self.settings).ok()) {
                Some(include) => include.at(to, &name, &after, &self.settings),
                None => include::bare(stack, &self.settings),
            };
            let node = found.map_or("", |kept| kept.node.as_str());
            let entry = serde_json::json!({ "host": host.name, "node": node, "include": text, "running": name });
            exact["hosts"].as_array_mut()?.push(entry);
        }
        Some(Reading { split: to, exact, remarks: Vec::new() })
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Nginx {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        self.write(from, to).await
    }

    /// A write is answered when it is proven. What is waited for is a master that was told by somebody who is gone.
    fn settle(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn lands_within(&self) -> Duration {
        WRITE
    }

    async fn complete(&self, from: &Reading) -> Result<Vec<Call>, RouterError> {
        if self.lacks(from).is_none() {
            return Ok(Vec::new());
        }
        self.change(kept(&from.exact), from.split, from.split).await
    }
}
