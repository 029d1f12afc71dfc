//! Router `haproxy`: the weights of the servers of one backend, set over HAProxy's runtime API.
//!
//! A change is two writes, since there is no command for two servers: first the side that gains, then the side that loses, so
//! that at no moment nobody takes users. It keeps no configuration: what it sets is lost by a reload, which it names when it
//! finds one.
#![doc = include_str!("../haproxy.md")]

mod change;
mod cut;
mod fleet;
mod reloads;
mod servers;
mod settings;
mod socket;
mod way_back;
mod weights;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Health, Identity, Kind, NativeWayBack, Reading, RouteView, RouterError, Trouble, Watched};
use crate::diag::Mistake;
use crate::plan::{Color, Move, Split};
use crate::rehearsal::InLab;
use crate::scalar::spoken;
use fleet::{Exact, Fleet, Place, Stood};
use servers::{Instance, Process};
use settings::{HashType, Settings};
use socket::Address;

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "haproxy",
    about: "route: the weights of servers in a backend of HAProxy",
    page: include_str!("../haproxy.md"),
    schema: |generator| generator.subschema_for::<Settings>(),
    lab: InLab::Missing("HAProxy"),
    view: |value, _| Ok(Rc::new(Haproxy::new(value)?)),
    open: |value, _| Ok(Rc::new(Haproxy::new(value)?)),
};

/// Algorithms that share users out by weights that can be changed.
const BY_WEIGHT: [&str; 3] = ["roundrobin", "leastconn", "random"];
/// Algorithms whose weights are fixed, or mean nothing, whatever the backend says besides.
const FIXED: [&str; 2] = ["static-rr", "first"];

/// One backend, on one HAProxy or on several that serve the same users.
pub struct Haproxy {
    settings: Settings,
    places: Vec<Place>,
    /// The process behind each socket when it was first asked: another one means that somebody has reloaded.
    known: RefCell<BTreeMap<String, Process>>,
}

impl Haproxy {
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        let place = |at: &String| Address::read(at).ok().map(|address| Place { at: at.clone(), address });
        let places = settings.socket.all().iter().filter_map(place).collect();
        Ok(Haproxy { settings, places, known: RefCell::default() })
    }

    fn reading(&self, fleet: &Fleet) -> Reading {
        let stood = |instance: &Instance| Stood {
            socket: instance.at.clone(),
            backend: self.settings.backend.clone(),
            process: Some(instance.process.clone()),
            servers: instance.weights(),
        };
        let silent = fleet.silent.iter().map(|(at, _)| at.clone()).collect();
        let exact = json!(Exact { instances: fleet.found.iter().map(stood).collect(), silent });
        Reading { split: fleet.split(), exact, remarks: remarks(fleet) }
    }

    fn refuse(&self, kind: Trouble, what: &str) -> RouterError {
        RouterError::new(kind, format!("backend `{}` {what}", self.settings.backend))
    }

    /// Refuses what weights cannot do in this backend.
    fn fit(&self, instance: &Instance, moves: &[Split]) -> Result<(), RouterError> {
        let at = &instance.at;
        let algorithm = instance.algorithm.split([' ', '(']).next().unwrap_or_default();
        let hashes = !BY_WEIGHT.contains(&algorithm) && !FIXED.contains(&algorithm);
        if FIXED.contains(&algorithm) || hashes && self.settings.hash_type != Some(HashType::Consistent) {
            let what =
                format!("balances by `{}` at `{at}`, whose weights cannot be changed at run time", instance.algorithm);
            let cure = match hashes {
                true => {
                    "write `hash_type: consistent` in the route if the backend says `hash-type consistent`, or `balance roundrobin` in the backend"
                }
                false => "write `balance roundrobin`, `leastconn` or `random` in the backend",
            };
            return Err(self.refuse(Trouble::Invalid, &what).cure(cure));
        }
        if let Some(name) = instance.strangers.first() {
            let what = format!("sends users to `{name}` too, which is of neither side, at `{at}`");
            let cure = "name it under `blue` or `green`, or give it the weight 0";
            return Err(self.refuse(Trouble::Invalid, &what).cure(cure));
        }
        if instance.stopping {
            let what = format!("belongs to a process that is stopping at `{at}`");
            return Err(self.refuse(Trouble::NotNow, &what).cure("wait until its successor listens on the socket"));
        }
        moves.iter().try_for_each(|to| change::weights(instance, *to).map(|_| ()))
    }
}

/// Facts that a person should know before moving.
fn remarks(fleet: &Fleet) -> Vec<String> {
    let mut remarks = Vec::new();
    if fleet.differ() {
        let each = fleet.found.iter().map(|instance| format!("{} is at {}", instance.at, instance.split()));
        let each = each.collect::<Vec<_>>().join(", ");
        remarks.push(format!("the HAProxies differ: {each}; the split is their mean, as if each had as many users"));
    }
    for instance in &fleet.found {
        let at = &instance.at;
        if let Some(cookie) = &instance.cookie {
            remarks.push(format!(
                "{at}: users with the cookie `{cookie}` keep their server at weight 0 and in drain; only maintenance moves them"
            ));
        }
        let configured = weights::configured(&instance.weights());
        if configured != instance.split() {
            remarks.push(format!("{at}: a reload puts users at {configured}, as the configuration has it"));
        }
        for server in instance.servers.iter().map(|s| &s.weighed).filter(|s| !s.takes && s.weight > 0) {
            remarks.push(format!(
                "{at}: `{}` has weight {} and gets nobody: it is in maintenance, in drain, or a backup",
                server.name, server.weight
            ));
        }
        for name in &instance.strangers {
            remarks.push(format!("{at}: `{name}` gets users too, and is of neither side"));
        }
        if instance.stopping {
            remarks.push(format!("{at}: this process is stopping, and serves only connections it has already"));
        }
    }
    remarks.extend(residue(fleet));
    remarks
}

/// Connections that are still open on a side without a share.
fn residue(fleet: &Fleet) -> Vec<String> {
    let left = |stack: Color| {
        let left: u64 = fleet.found.iter().filter(|i| i.split().weight(stack) == 0).map(|i| i.open(stack)).sum();
        (left > 0).then(|| format!("{stack} has {left} open connections (`scur`) and gets no new ones"))
    };
    Color::BOTH.into_iter().filter_map(left).collect()
}

#[async_trait(?Send)]
impl RouteView for Haproxy {
    fn line(&self) -> String {
        let more = match self.places.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        format!("haproxy backend `{}` at {}{more}", self.settings.backend, self.settings.socket.all()[0])
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        self.places.iter().map(|place| format!("haproxy {} {}", place.at, self.settings.backend)).collect()
    }

    fn min_healthy(&self) -> u32 {
        self.settings.min_healthy
    }

    fn takes(&self, to: Split) -> Result<(), String> {
        self.settings.takes(to)
    }

    fn cut_off(&self, found: &Reading, change: Option<&Move>) -> bool {
        let Some(change) = change else { return false };
        let Some(exact) = Exact::read(&found.exact).filter(|exact| exact.silent.is_empty()) else { return false };
        weights::cut_off(
            &exact.instances.iter().map(|stood| stood.servers.as_slice()).collect::<Vec<_>>(),
            change.before,
            change.after,
        )
    }

    fn nowhere(&self) -> &'static str {
        "no server has a weight: HAProxy answers 503"
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let fleet = self.fleet().await;
        let Some((_, error)) = fleet.silent.first() else { return Ok(self.reading(&fleet)) };
        let partly = (!fleet.found.is_empty()).then(|| Box::new(self.reading(&fleet)));
        Err(RouterError { partly, ..error.clone() })
    }

    /// A side has to be well on each HAProxy, so the one with the fewest counts.
    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let fleet = self.whole().await?;
        let several = fleet.found.len() > 1;
        let mut least: Option<Health> = None;
        let mut ailing = Vec::new();
        for instance in &fleet.found {
            let mut health = Health::default();
            instance.count(stack, several, &mut health);
            ailing.append(&mut health.ailing);
            least = least.filter(|least| least.healthy <= health.healthy).or(Some(health));
        }
        Ok(Health { ailing, ..least.unwrap_or_default() })
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn preflight(&self, moves: &[Split]) -> Result<Vec<String>, RouterError> {
        // Without the level admin it hides how it balances.
        self.identity().await?;
        let fleet = self.whole().await?;
        let mut lines = Vec::new();
        for (place, instance) in self.places.iter().zip(&fleet.found) {
            self.fit(instance, moves)?;
            let up = spoken(std::time::Duration::from_secs(instance.uptime));
            let at = &instance.at;
            lines.push(format!(
                "HAProxy {} at {at}, process {}, up {up}, balances by {}",
                instance.version, instance.process.pid, instance.algorithm
            ));
            lines.extend(reloads::before(place, &self.settings.backend, instance).await);
            for server in instance.servers.iter().filter(|server| server.agent) {
                lines.push(format!("{at}: the agent of `{}` may change its weight by itself", server.weighed.name));
            }
        }
        Ok(lines)
    }

    /// The sessions that are open to its servers: requests and WebSockets under way.
    async fn lingering(&self, stack: Color) -> Result<u64, RouterError> {
        Ok(self.whole().await?.open(stack))
    }

    fn cuts(&self) -> Result<(), String> {
        Ok(())
    }

    async fn watch(&self) -> Watched {
        let fleet = self.fleet().await;
        let empty = |instance: &&Instance| instance.split() == Split { blue: 0, green: 0 };
        let trouble = fleet.found.iter().find(empty).map(|instance| format!("{}: {}", instance.at, self.nowhere()));
        let mut notes = self.reloaded(&fleet);
        for stack in Color::BOTH {
            let open = |i: &Instance| i.split().weight(stack) == 0 && i.of(stack).any(|server| server.connections > 0);
            if fleet.found.iter().any(open) {
                notes.push(format!("{stack} gets no new users and still has open connections (`scur` of `show stat`)"));
            }
        }
        Watched { trouble, notes }
    }

    async fn writer(&self) -> Option<String> {
        let reloaded = self.reloaded(&self.fleet().await);
        Some(match reloaded.is_empty() {
            false => reloaded.join("; "),
            true => "HAProxy does not say who set a weight; its log has no commands of the socket".into(),
        })
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        let asked = join_all(self.places.iter().map(|place| async move {
            let answers = place.address.ask(&["show cli level".to_string()]).await;
            let answers = answers.map_err(|silence| fleet::silent(&place.at, &silence))?;
            match answers[0].as_slice() {
                [level] if level == "admin" => Ok(()),
                [level] if level == "operator" || level == "user" => {
                    Err(fleet::said(&place.at, &format!("Permission denied, since its level is {level}")))
                }
                other => Err(fleet::said(&place.at, &other.join(" "))),
            }
        }));
        asked.await.into_iter().collect::<Result<Vec<()>, _>>()?;
        let at = self.settings.socket.all().join(", ");
        Ok(Identity { line: format!("level admin on {at}"), left: None, renews: true })
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        way_back::way_back(
            route,
            &Exact::read(&reading.exact).unwrap_or(Exact { instances: Vec::new(), silent: Vec::new() }),
        )
    }

    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        let mut exact = match now {
            Some(reading) => Exact::read(&reading.exact)?,
            None => way_back::by_settings(&self.settings)?,
        };
        for stood in &mut exact.instances {
            // Nobody of that side takes users now: they are taken out of what keeps them from it.
            if !stood.servers.iter().any(|server| server.side == stack && server.takes) {
                stood.servers.iter_mut().filter(|server| server.side == stack).for_each(|server| server.takes = true);
            }
            let weights = weights::wanted(&stood.servers, Split::all_on(stack))?;
            stood.servers.iter_mut().zip(weights).for_each(|(server, weight)| server.weight = weight);
        }
        let remarks = now.map(|reading| reading.remarks.clone()).unwrap_or_default();
        Some(Reading { split: exact.split(), exact: json!(exact), remarks })
    }
}
