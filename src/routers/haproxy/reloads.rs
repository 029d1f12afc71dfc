//! Reloads: what one would do to the weights, whether one is due, and that there was one.
//!
//! Weights that are set at run time live in the process. A reload starts another one, with those of the configuration, unless
//! the state of the servers was saved before and is loaded again.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::Haproxy;
use super::fleet::{Fleet, Place};
use super::servers::Instance;
use super::socket::Address;
use super::weights::configured;
use crate::file;
use crate::scalar::spoken;

/// A process this young may have a predecessor that still serves.
const YOUNG: u64 = 60;

/// What is to be known of reloads before users are moved.
pub async fn before(place: &Place, backend: &str, instance: &Instance) -> Vec<String> {
    let at = &instance.at;
    let questions = ["show env HAPROXY_CFGFILES".to_string(), "show table".to_string()];
    let answers = place.address.ask(&questions).await.unwrap_or_default();
    let files = answers.first().and_then(|a| a.first()).and_then(|line| line.strip_prefix("HAPROXY_CFGFILES="));
    // On another machine the same path would be another file.
    let local = files.filter(|_| matches!(place.address, Address::Unix(_)));
    let texts: Option<Vec<(&str, String)>> = local.and_then(|files| {
        files.split(';').map(|path| Some((path, file::text(Path::new(path), file::LONG).ok()?))).collect()
    });
    let mut lines = Vec::new();
    let resets = format!("a reload puts users at {}", configured(&instance.weights()));
    let keeps = |texts: &Vec<(&str, String)>| {
        let says =
            |word: &str| texts.iter().any(|(_, text)| text.lines().any(|line| line.trim_start().starts_with(word)));
        says("load-server-state-from-file") && (says("server-state-file") || says("server-state-base"))
    };
    lines.push(match texts.as_ref().map(keeps) {
        Some(true) => format!("{at}: {resets}, unless `show servers state` is saved to its server-state-file first"),
        Some(false) => format!("{at}: {resets}: its configuration loads no server-state-file"),
        None => {
            format!("{at}: {resets}, unless it loads a server-state-file; its configuration cannot be read from here")
        }
    });
    for (path, _) in texts.iter().flatten() {
        if let Some(line) = instance.process.started.and_then(|started| pending(path, started)) {
            lines.push(format!("{at}: {line}"));
        }
    }
    if instance.uptime < YOUNG {
        let up = spoken(Duration::from_secs(instance.uptime));
        lines.push(format!("{at}: this process is {up} old; one before it may still serve connections it has"));
    }
    let table = format!("# table: {backend},");
    if answers.get(1).is_some_and(|tables| tables.iter().any(|line| line.starts_with(&table))) {
        lines.push(format!("{at}: users in the stick table of `{backend}` keep their server at weight 0 and in drain"));
    }
    lines
}

/// Says that a file was written after the process had read it.
fn pending(path: &str, started: u64) -> Option<String> {
    let written = std::fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    (written > started).then(|| format!("`{path}` was changed after HAProxy had read it: a reload is pending"))
}

impl Haproxy {
    /// The reloads since each socket was first asked, or that can be told from the age of the process.
    pub fn reloaded(&self, fleet: &Fleet) -> Vec<String> {
        let known = self.known.borrow();
        let mut lines = Vec::new();
        for instance in &fleet.found {
            let split = instance.split();
            let as_configured = match configured(&instance.weights()) == split {
                true => "; its weights are those of its configuration: a reload loses what was set at run time",
                false => "",
            };
            let up = spoken(Duration::from_secs(instance.uptime));
            let (at, pid) = (&instance.at, instance.process.pid);
            match known.get(at).filter(|known| **known != instance.process) {
                Some(known) => lines.push(format!(
                    "somebody has reloaded HAProxy at {at} {up} ago (process {} became {pid}){as_configured}",
                    known.pid
                )),
                None if instance.uptime < YOUNG && !as_configured.is_empty() => {
                    lines.push(format!("HAProxy at {at} was started {up} ago (process {pid}){as_configured}"));
                }
                None => {}
            }
        }
        lines
    }
}
