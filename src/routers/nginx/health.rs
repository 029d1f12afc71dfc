//! The servers of an upstream, asked one by one from the hosts that would send users to them.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::Nginx;
use super::host::{Host, LOOK, Script, last_words};
use super::site::{Server, Site};
use crate::plan::Color;
use crate::routers::{Health, RouterError, Trouble};

impl Nginx {
    /// The configuration of every host, and its version.
    pub async fn sites(&self) -> Result<Vec<(&Host, Site, String)>, RouterError> {
        let mut sites = Vec::new();
        for (host, sections) in self.everywhere(&[], "say version\nnginx -v 2>&1\ndump").await? {
            let dump = sections.below("dump");
            if !sections.has("tested") {
                let words = last_words(dump);
                // A name may be known again in a moment.
                let kind = if words.contains("host not found") { Trouble::NotNow } else { Trouble::Invalid };
                let cure = "cure what nginx names there until `nginx -t` passes: with such a configuration nobody can be moved";
                return Err(host.error(kind, format!("it does not take its configuration: {words}")).cure(cure));
            }
            let site = Site::read(dump).map_err(|why| host.error(Trouble::Invalid, why))?;
            sites.push((host, site, sections.below("version").trim().to_string()));
        }
        Ok(sites)
    }

    /// A server is well when it is from every host that has it.
    pub async fn servers_of(&self, stack: Color) -> Result<Health, RouterError> {
        let name = self.settings.upstream(stack);
        let asked = self.sites().await?.into_iter().map(|(host, site, _)| async move {
            let servers = site.servers(name).unwrap_or_default();
            self.asked(host, servers).await
        });
        let mut all: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (server, ailment) in try_join_all(asked).await?.into_iter().flatten() {
            let known = all.entry(server).or_default();
            *known = known.take().or(ailment);
        }
        let mut health = Health { total: all.len() as u32, ..Health::default() };
        for (server, ailment) in all {
            match ailment {
                None => health.healthy += 1,
                Some(why) => health.ailing.push(format!("{server}: {why}")),
            }
        }
        if health.total == 0 {
            health.ailing.push(format!("upstream `{name}` of {stack} has no server"));
        }
        Ok(health)
    }

    /// Asks the servers of one host; what is wrong with each, if anything is. Backups take no users while the others live.
    async fn asked(&self, host: &Host, servers: Vec<Server>) -> Result<Vec<(String, Option<String>)>, RouterError> {
        // An address that only this host reaches is another server on each host.
        let own =
            |address: &str| ["127.", "[::1]", "unix:", "localhost:"].iter().any(|start| address.starts_with(start));
        let several = self.hosts.len() > 1;
        let named = |address: &str| match several && own(address) {
            true => format!("{address} of {}", host.name),
            false => address.to_string(),
        };
        let servers: Vec<Server> = servers.into_iter().filter(|server| !server.backup).collect();
        let up: Vec<&str> =
            servers.iter().filter(|server| !server.down).map(|server| server.address.as_str()).collect();
        let values = [("servers", up.join(" ")), ("path", self.settings.health.clone())];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let script = Script::new(&self.settings, &values, "health", LOOK);
        let sections = host.run(&self.shell, &script).await?;
        let said: BTreeMap<&str, &str> = sections.each("server").filter_map(|(line, _)| line.split_once(' ')).collect();
        let of = |server: &Server| match said
            .get(server.address.as_str())
            .map(|words| words.trim().trim_start_matches("000").trim_end_matches("000"))
        {
            _ if server.down => Some("the configuration takes it out (`down`)".into()),
            None => Some("it was not asked".into()),
            Some(code) if code.len() == 3 && code.starts_with('2') => None,
            Some(words) => Some(format!("`{}` answers {words}", self.settings.health)),
        };
        Ok(servers.iter().map(|server| (named(&server.address), of(server))).collect())
    }
}
