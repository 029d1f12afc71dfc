//! All HAProxies of a route at one moment: asked together, each understood or not.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Haproxy;
use super::servers::{self, Instance, Process};
use super::socket::{Address, Silence};
use super::weights::{Weighed, mean, split};
use crate::plan::{Color, Split};
use crate::routers::{RouterError, Trouble};

/// What HAProxy says to a command for which the socket has no right.
const DENIED: &str = "Permission denied";

/// Where one HAProxy listens, as it is written and as it is reached.
#[derive(Clone, Debug)]
pub struct Place {
    pub at: String,
    pub address: Address,
}

/// What was heard of all of them.
pub struct Fleet {
    pub found: Vec<Instance>,
    pub silent: Vec<(String, RouterError)>,
}

/// Enough to put the weights back as they were.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exact {
    pub instances: Vec<Stood>,
    /// The sockets of which nothing is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stood {
    pub socket: String,
    pub backend: String,
    #[serde(flatten)]
    pub process: Option<Process>,
    pub servers: Vec<Weighed>,
}

impl Exact {
    /// What a reading holds; none where nobody made it.
    pub fn read(exact: &Value) -> Option<Exact> {
        Exact::deserialize(exact).ok()
    }

    pub fn split(&self) -> Split {
        mean(&self.instances.iter().map(|stood| split(&stood.servers)).collect::<Vec<_>>())
    }
}

impl Fleet {
    pub fn split(&self) -> Split {
        mean(&self.found.iter().map(Instance::split).collect::<Vec<_>>())
    }

    /// How many sessions are open to a side.
    pub fn open(&self, stack: Color) -> u64 {
        self.found.iter().map(|instance| instance.open(stack)).sum()
    }

    /// Those that do not give the same split as the first.
    pub fn differ(&self) -> bool {
        self.found.iter().any(|instance| instance.split() != self.found[0].split())
    }
}

/// Whatever one HAProxy keeps silent about or refuses, with its place before it.
pub fn silent(at: &str, silence: &Silence) -> RouterError {
    let error = RouterError::new(silence.kind, format!("haproxy at `{at}`: {}", silence.why));
    match silence.cure {
        Some(cure) => error.cure(cure),
        None => error,
    }
}

/// What a text means that is not an answer: HAProxy has no codes.
pub fn said(at: &str, words: &str) -> RouterError {
    let of = |kind| RouterError::new(kind, format!("haproxy at `{at}` says: {words}"));
    match words {
        text if text.contains(DENIED) => of(Trouble::Denied).cure(format!(
            "the socket needs the level admin: `stats socket {} level admin`",
            if at.starts_with('/') { at.to_string() } else { format!("ipv4@{at}") }
        )),
        text if text.contains("static LB algorithm") => {
            of(Trouble::Invalid).cure("`balance roundrobin`, `leastconn` or `random`, or `hash-type consistent`")
        }
        text if text.contains("Unknown command") => of(Trouble::Invalid)
            .cure("give a `stats socket` of its `global` section; that of the master process has other commands"),
        text if text.contains("No such server") || text.contains("No such backend") => of(Trouble::NotFound),
        _ => of(Trouble::Invalid),
    }
}

impl Haproxy {
    /// Asks every HAProxy once, all at the same time.
    pub async fn fleet(&self) -> Fleet {
        let asked = join_all(self.places.iter().map(|place| self.instance(place))).await;
        let mut fleet = Fleet { found: Vec::new(), silent: Vec::new() };
        for (place, answer) in self.places.iter().zip(asked) {
            match answer {
                Ok(instance) => {
                    self.known.borrow_mut().entry(place.at.clone()).or_insert_with(|| instance.process.clone());
                    fleet.found.push(instance);
                }
                Err(error) => fleet.silent.push((place.at.clone(), error)),
            }
        }
        fleet
    }

    /// All of them, or why one is not known.
    pub async fn whole(&self) -> Result<Fleet, RouterError> {
        let mut fleet = self.fleet().await;
        match fleet.silent.pop() {
            Some((_, error)) => Err(error),
            None => Ok(fleet),
        }
    }

    async fn instance(&self, place: &Place) -> Result<Instance, RouterError> {
        let backend = &self.settings.backend;
        let questions =
            ["show info".to_string(), format!("show servers state {backend}"), format!("show stat {backend} 6 -1")];
        let answers = place.address.ask(&questions).await.map_err(|silence| silent(&place.at, &silence))?;
        if answers[1].iter().any(|line| line.contains("find backend")) {
            return Err(self.no_backend(place, &answers[1].join(" ")).await);
        }
        let instance = servers::instance(&place.at, &self.settings, &answers).map_err(|why| {
            let error = said(&place.at, &why);
            // Words that are known say what it is; others may pass.
            if error.cure.is_some() { error } else { RouterError { kind: Trouble::Unreachable, ..error } }
        })?;
        self.sides(place, &instance)?;
        Ok(instance)
    }

    /// Every server that the runbook names is there, and each belongs to one side.
    fn sides(&self, place: &Place, instance: &Instance) -> Result<(), RouterError> {
        let of = |kind, what: String| {
            RouterError::new(kind, format!("backend `{}` of haproxy at `{}` {what}", self.settings.backend, place.at))
        };
        let both = |name: &&String| self.settings.blue.has(name) && self.settings.green.has(name);
        if let Some(name) = instance.names.iter().find(both) {
            return Err(of(Trouble::Invalid, format!("has a server `{name}` that is both of BLUE and of GREEN")));
        }
        for stack in Color::BOTH {
            for wanted in self.settings.side(stack).all() {
                let begins = wanted.strip_suffix('*');
                let there = |name: &String| begins.map_or(name == wanted, |begins| name.starts_with(begins));
                if !instance.names.iter().any(there) {
                    let error = of(Trouble::NotFound, format!("has no server `{wanted}` for {stack}"));
                    return Err(error.cure(nearest(wanted, &instance.names)));
                }
            }
        }
        Ok(())
    }

    async fn no_backend(&self, place: &Place, words: &str) -> RouterError {
        let wanted = &self.settings.backend;
        let error =
            RouterError::new(Trouble::NotFound, format!("haproxy at `{}` says of `{wanted}`: {words}", place.at));
        match place.address.ask(&["show backend".to_string()]).await {
            Ok(answers) => error.cure(nearest(wanted, answers[0].get(1..).unwrap_or_default())),
            Err(_) => error,
        }
    }
}

/// The known name that is most like the one that is not there, or all of them.
fn nearest(wanted: &str, known: &[String]) -> String {
    let likeness = |name: &String| strsim::jaro_winkler(wanted.trim_end_matches('*'), name);
    match known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.75) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_errors_are_known() {
        let table = [
            ("Permission denied", Trouble::Denied, Some("`stats socket /a level admin`")),
            (
                "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.",
                Trouble::Invalid,
                Some("roundrobin"),
            ),
            ("Unknown command, but maybe one of the following", Trouble::Invalid, Some("give a `stats socket`")),
            ("No such server.", Trouble::NotFound, None),
            ("No such backend.", Trouble::NotFound, None),
            ("Absolute weight can only be between 0 and 256 inclusive.", Trouble::Invalid, None),
        ];
        for (words, kind, cure) in table {
            let error = said("/a", words);
            assert_eq!((error.kind, error.moved), (kind, false), "{words}");
            assert!(error.what.ends_with(words), "{error:?}");
            assert!(cure.is_none_or(|cure| error.cure.as_deref().is_some_and(|said| said.contains(cure))), "{error:?}");
        }
        assert!(
            said("10.0.0.1:9999", "Permission denied").cure.is_some_and(|cure| cure.contains("ipv4@10.0.0.1:9999"))
        );
    }
}
