//! All hosts of a route at one moment, and the one reading that they make together.
//!
//! Hosts are not changed in one instant. A change that was cut off leaves a mixed fleet, which knows itself by its generations:
//! the newest names those it was written over.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Nginx;
use super::host::{Host, LOOK, Script};
use super::include::{ALL, Include, split};
use super::proof::{Running, Seen};
use super::settings::Settings;
use crate::clock::{Clock, SystemClock};
use crate::plan::Split;
use crate::routers::{Reading, RouterError, Trouble};

/// How often a host is asked again in whose workers a reload is just under way, and after how long.
const AGAIN: u32 = 10;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// Over how many fresh connections workers are asked which file they run.
const FEW: &str = "8";
/// Over how many two files of one name are told apart.
const MANY: &str = "300";

/// What each host showed.
pub struct Fleet(pub Vec<(Host, Result<Seen, RouterError>)>);

/// A host as a reading keeps it: enough to compare, and to put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub host: String,
    pub node: String,
    pub text: String,
    pub running: Option<String>,
}

impl Nginx {
    /// Looks at every host at the same time.
    pub async fn fleet(&self) -> Fleet {
        let looks = self.hosts.iter().map(|host| async move { (host.clone(), self.look(host).await) });
        Fleet(join_all(looks).await)
    }

    async fn look(&self, host: &Host) -> Result<Seen, RouterError> {
        let mut turn = 0;
        loop {
            match self.glance(host, FEW).await {
                Err(RouterError { kind: Trouble::NotNow, .. }) if turn < AGAIN => turn += 1,
                Ok(seen) if seen.is_ambiguous() => return self.glance(host, MANY).await,
                seen => return seen,
            }
            SystemClock.sleep(PAUSE).await;
        }
    }

    async fn glance(&self, host: &Host, times: &str) -> Result<Seen, RouterError> {
        let script = Script::new(&self.settings, &[("times", times)], "look", LOOK);
        Seen::read(host, &host.run(&self.shell, &script).await?, &self.settings)
    }
}

impl Fleet {
    fn answering(&self) -> impl Iterator<Item = (&Host, &Seen)> {
        self.0.iter().filter_map(|(host, seen)| Some((host, seen.as_ref().ok()?)))
    }

    /// The split among users, if every host says its own.
    pub fn reading(&self, settings: &Settings) -> Result<Reading, RouterError> {
        let (mut greens, mut first) = (Vec::new(), None);
        for (host, seen) in &self.0 {
            let green = match seen {
                Ok(seen) => seen.green(settings).ok_or_else(|| unclear(host, settings)),
                Err(error) => Err(error.clone()),
            };
            // Where nobody knows it is as if all users of that host were on green: a way back fetches them.
            greens.push(green.as_ref().copied().unwrap_or(ALL));
            first = first.or(green.err());
        }
        let reading = Reading { split: together(&greens), exact: self.exact(), remarks: self.remarks(settings) };
        match first {
            None => Ok(reading),
            Some(error) => {
                let shown = self.shown(settings);
                let read = Some(shown.join(", ")).filter(|shown| !shown.is_empty());
                let partly = self.answering().next().map(|_| Box::new(reading));
                Err(RouterError { read, partly, ..error })
            }
        }
    }

    /// Each host that answers with its split.
    fn shown(&self, settings: &Settings) -> Vec<String> {
        let line = |(host, seen): (&Host, &Seen)| Some(format!("{} {}", host.name, split(seen.green(settings)?)));
        self.answering().filter_map(line).collect()
    }

    fn exact(&self) -> Value {
        let hosts: Vec<Value> = self
            .answering()
            .map(|(host, seen)| {
                json!({ "host": host.name, "node": seen.node, "include": seen.text, "running": seen.generation() })
            })
            .collect();
        let silent: Vec<&str> =
            self.0.iter().filter(|(_, seen)| seen.is_err()).map(|(host, _)| host.name.as_str()).collect();
        match silent.is_empty() {
            true => json!({ "hosts": hosts }),
            false => json!({ "hosts": hosts, "silent": silent }),
        }
    }

    /// What a person should know before moving.
    fn remarks(&self, settings: &Settings) -> Vec<String> {
        let mut remarks: Vec<String> = self.answering().flat_map(|(host, seen)| about(host, seen, settings)).collect();
        remarks.splice(0..0, self.differs(settings));
        remarks
    }

    /// That hosts have different splits, if they have.
    pub fn differs(&self, settings: &Settings) -> Option<String> {
        let greens: BTreeSet<u32> = self.answering().filter_map(|(_, seen)| seen.green(settings)).collect();
        (greens.len() > 1).then(|| format!("the hosts differ: {}", self.shown(settings).join(", ")))
    }
}

/// The file was changed by hand, and its workers do not show whether they run it.
fn unclear(host: &Host, settings: &Settings) -> RouterError {
    let what = format!("`{}` was changed by hand, and its workers do not show whether they run it", settings.include);
    host.error(Trouble::NotNow, what).cure("reload nginx there, or put the file back, or roll back")
}

/// The remarks about one host.
pub fn about(host: &Host, seen: &Seen, settings: &Settings) -> Vec<String> {
    let (name, file) = (&host.name, &settings.include);
    let mut remarks = Vec::new();
    if seen.include.mark.is_some() && !seen.include.intact {
        remarks.push(format!("{name}: `{file}` was changed by hand"));
    }
    match &seen.running {
        Running::Generation { .. } if seen.in_step() => {}
        Running::Generation { name: running, green, .. } => remarks.push(format!(
            "{name}: its workers run generation {running} ({}), and `{file}` says {}: whoever reloads nginx moves users",
            split(*green),
            split(seen.written)
        )),
        Running::Unmarked(why) => remarks.push(format!("{name}: no worker says what it runs ({why})")),
    }
    if !seen.old.is_empty() {
        let held: Option<usize> = seen.old.iter().map(|old| old.held.as_ref().map(|held| held.clients)).sum();
        let held = held.map_or_else(|| "which cannot be counted from here".into(), |held| format!("{held} in all"));
        let count = seen.old.len();
        let workers = if count == 1 { "1 worker".into() } else { format!("{count} workers") };
        remarks.push(format!(
            "{name}: {workers} of before the last reload still hold connections, {held}: WebSockets and answers under way stay at the split of then"
        ));
    }
    remarks
}

/// One split of several hosts, each with as many users.
fn together(greens: &[u32]) -> Split {
    let all_alike = greens.windows(2).all(|pair| pair[0] == pair[1]);
    match greens.first() {
        None => Split { blue: 0, green: 0 },
        Some(one) if all_alike => split(*one),
        Some(_) => {
            let mean = greens.iter().sum::<u32>() / greens.len() as u32;
            // Not everybody is on one side, however many hosts there are.
            split(mean.clamp(1, ALL - 1))
        }
    }
}

/// The hosts that a reading kept; none where it kept none.
pub fn kept(exact: &Value) -> Vec<Kept> {
    let text = |host: &Value, key: &str| host[key].as_str().map(String::from);
    let one = |host: &Value| {
        let (name, node) = (text(host, "host")?, text(host, "node").unwrap_or_default());
        Some(Kept { host: name, node, text: text(host, "include")?, running: text(host, "running") })
    };
    exact["hosts"].as_array().into_iter().flatten().filter_map(one).collect()
}

/// The hosts of which a reading says that they kept silent.
pub fn silent(exact: &Value) -> Vec<String> {
    exact["silent"].as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
}

/// Every generation on these hosts, on disks and in workers, in order.
pub fn generations(kept: &[Kept], settings: &Settings) -> Vec<String> {
    let marks = kept.iter().filter_map(|host| Some(Include::read(&host.text, settings).ok()?.mark?.generation));
    let all: BTreeSet<String> = marks.chain(kept.iter().filter_map(|host| host.running.clone())).collect();
    all.into_iter().collect()
}

/// Whether these hosts are in the middle of one change of ours: each file is as bgctl wrote it, and all that is not of the newest
/// generation is of those it was written over.
pub fn is_half(kept: &[Kept], settings: &Settings) -> bool {
    let includes: Vec<Include> = kept.iter().filter_map(|host| Include::read(&host.text, settings).ok()).collect();
    let ours = includes.len() == kept.len() && includes.iter().all(|include| include.intact);
    let all = generations(kept, settings);
    // A file of ours beside workers that run another one of ours: nobody but a change that was cut off leaves that.
    let apart = includes.iter().zip(kept).any(|(include, host)| {
        include.mark.as_ref().is_some_and(|mark| host.running.as_ref().is_some_and(|name| *name != mark.generation))
    });
    let newest = includes.iter().filter_map(|include| include.mark.as_ref()).any(|mark| {
        let rest: Vec<&String> = all.iter().filter(|name| **name != mark.generation).collect();
        !rest.is_empty() && rest.into_iter().all(|name| mark.after.contains(name))
    });
    ours && (apart || newest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::Color;

    fn settings() -> Settings {
        let written =
            json!({ "include": "/etc/nginx/bgctl/web.conf", "key": "$cookie_user", "blue": "b", "green": "g" });
        Settings::read(&written).unwrap()
    }

    /// A host whose file is of this generation over those, with these workers.
    fn host(generation: &str, after: &[&str], running: &str) -> Kept {
        let first = Include::read("map \"\" $bgctl_web { default b; }", &settings()).unwrap();
        let after: Vec<String> = after.iter().map(|name| name.to_string()).collect();
        let text = first.at(Split::all_on(Color::Blue), generation, &after, &settings());
        Kept { host: generation.into(), node: String::new(), text, running: Some(running.into()) }
    }

    #[test]
    fn a_mixed_fleet_is_ours_when_the_newest_knows_the_others() {
        let half = |hosts: &[Kept]| is_half(hosts, &settings());
        assert!(!half(&[host("2", &["1"], "2"), host("2", &["1"], "2")]), "all the same is no half");
        assert!(half(&[host("2", &["1"], "2"), host("1", &[], "1")]), "one host was changed");
        assert!(half(&[host("2", &["1"], "1"), host("2", &["1"], "1")]), "written and not reloaded");
        assert!(half(&[host("3", &["1", "2"], "3"), host("2", &["1"], "2"), host("1", &[], "1")]), "cut off twice");
        assert!(!half(&[host("3", &["2"], "3"), host("1", &[], "1")]), "an old file was put back by somebody");
        assert!(half(&[host("1", &[], "2")]), "the file of before was put back, and the reload came late");
        let mut by_hand = host("2", &["1"], "2");
        by_hand.text += "# mine\n";
        assert!(!half(&[by_hand, host("1", &[], "1")]), "a change by hand is nobody's half");
    }

    #[test]
    fn hosts_that_differ_are_never_everybody_on_one_side() {
        assert_eq!(together(&[1000, 1000]), Split::of_green(100));
        assert_eq!(together(&[0, ALL]), Split::of_green(500));
        assert_eq!(together(&[0, 1]).only(), None);
        assert_eq!(together(&[]), Split { blue: 0, green: 0 });
    }
}
