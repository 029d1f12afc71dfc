//! Router `dns`: a record that leads users to one side or the other, moved by dynamic update (RFC 2136) with TSIG.
//!
//! An update carries what was found as its condition, the record's content and the TXT beside it, so nothing of somebody else
//! is written over and no late update lands on another one. It counts once every authoritative server has it. Users follow as
//! their resolvers ask again, which takes up to the TTL, there and back.
#![doc = include_str!("../dns.md")]

mod errors;
pub(super) mod generation;
mod look;
mod message;
pub(super) mod record;
pub(super) mod server;
pub(super) mod settings;
mod update;
mod way_back;

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, RecordType, TSigner};
use serde_json::{Value, json};

use self::errors::refused;
use self::generation::{Generation, Longer};
use self::look::Held;
use self::message::{Answered, Update};
use self::record::{Place, listed, plain, same, target};
use self::server::Server;
use self::settings::{FUDGE, Settings};
use self::update::Wanted;
use super::addresses::asked;
use super::{
    Access, Call, Health, Identity, Kind, Lack, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
    Watched,
};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::rehearsal::InLab;

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "dns",
    about: "route: a record of DNS, by dynamic update with TSIG",
    page: include_str!("../dns.md"),
    schema: |generator| generator.subschema_for::<Settings>(),
    lab: InLab::Missing("DNS server that takes updates"),
    view: |value, access| Ok(Rc::new(Dns::new(value, access)?)),
    open: |value, access| Ok(Rc::new(Dns::new(value, access)?)),
};

/// A record and its servers.
pub struct Dns {
    settings: Settings,
    place: Place,
    /// Where the secret is known.
    key: Option<TSigner>,
    /// The primary first.
    servers: Vec<Server>,
    resolvers: Vec<Server>,
}

impl Dns {
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value, access: &Access) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        let mistake = |at: &str, message: String| vec![Mistake { at: at.into(), message, help: None }];
        let place = Place::new(&settings).ok_or_else(|| mistake("/name", "the name is too long".into()))?;
        let key = settings.key.signer(&access.secrets).map_err(|why| mistake("/key/secret", why))?;
        let all = |texts: &[String]| texts.iter().filter_map(|text| Server::new(text)).collect();
        let (servers, resolvers) = (all(&settings.servers), all(&settings.resolvers));
        Ok(Dns { place, key, servers, resolvers, settings })
    }

    fn primary(&self) -> &Server {
        &self.servers[0]
    }
}

#[async_trait(?Send)]
impl RouteView for Dns {
    fn line(&self) -> String {
        format!("{} at {}", self.place.shown(), self.primary())
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        vec![format!("dns {}", self.place.shown())]
    }

    fn takes(&self, to: Split) -> Result<(), String> {
        match to.only() {
            Some(_) => Ok(()),
            None => {
                Err("a record has no weights, and every resolver keeps its answer for many users: write `100%`".into())
            }
        }
    }

    /// Resolvers keep what they were told for as long as the TTL of the cutover, and a reading with a longer one is no start.
    fn followed_within(&self) -> Duration {
        self.settings.ttl.time
    }

    fn lacks(&self, reading: &Reading) -> Option<Lack> {
        let (ttl, wanted) = (reading.exact["ttl"].as_u64()?, u64::from(self.settings.ttl()));
        let unsure = reading.exact["longer"]["ttl"].is_u64() && reading.exact["longer"]["since"].is_null();
        if ttl <= wanted && !unsure {
            return None;
        }
        let (place, longer) = (self.place.shown(), ttl.max(reading.exact["longer"]["ttl"].as_u64().unwrap_or(0)));
        Some(Lack {
            line: format!(
                "the TTL of {place} is {ttl} s; it has to be {wanted} s, and {longer} s have to pass after that"
            ),
            cause: "until then resolvers would go on sending users to the side that was left",
            before: vec![format!("{place}, TTL {ttl} s")],
            after: vec![format!("{place}, TTL {} s, the same content", ttl.min(wanted))],
        })
    }

    /// All authoritative servers have to agree; where not, everything there is was read of the primary, and a way back may
    /// start from that.
    async fn read(&self) -> Result<Reading, RouterError> {
        let (found, resolved) =
            join(join_all(self.servers.iter().map(|server| self.look(server))), self.resolved()).await;
        let mut found = self.servers.iter().zip(found);
        let (server, first) = found.next().expect("one server at least");
        let first = first?;
        let split = self.split(server, &first)?;
        let reading = Reading { split, exact: first.exact(), remarks: self.remarks(&first, split, &resolved) };
        let apart: Vec<String> = found
            .filter_map(|(server, other)| match other {
                Ok(other) if other.agrees(&first) => None,
                Ok(other) => {
                    Some(format!("{server} has {} (TTL {} s, serial {})", listed(&other.data), other.ttl, other.serial))
                }
                Err(error) => Some(error.what),
            })
            .collect();
        if apart.is_empty() {
            return Ok(reading);
        }
        let here = format!("{server} has {} (TTL {} s, serial {})", listed(&first.data), first.ttl, first.serial);
        let what = format!("the servers of {} do not agree: {here}; {}", self.place.shown(), apart.join("; "));
        let error = RouterError::new(Trouble::NotNow, what).cure("look at NOTIFY and zone transfers from the primary");
        Err(RouterError { read: Some(format!("{split} at {server} alone")), partly: Some(Box::new(reading)), ..error })
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let targets: Vec<_> = self.settings.side(stack).iter().filter_map(target).collect();
        Ok(asked(&self.settings.health, &targets).await)
    }

    /// ExternalDNS leaves a TXT at or beside every record it keeps.
    async fn controller(&self) -> Result<Option<String>, RouterError> {
        let name = &self.place.name;
        let labelled = format!("{}-{}", self.place.kind.to_string().to_lowercase(), plain(name));
        let labelled = settings::name(&labelled).unwrap_or_else(|| name.clone());
        let asked = [(name, RecordType::TXT), (&labelled, RecordType::TXT)];
        let answers = self.primary().ask(&asked, false).await.map_err(|why| {
            RouterError::new(
                Trouble::Unreachable,
                format!("{} does not answer for {}: {why}", self.primary(), self.place.shown()),
            )
        })?;
        let owner =
            |data: &RData| data.to_string().contains("heritage=external-dns").then(|| "ExternalDNS".to_string());
        Ok(answers.iter().flat_map(|answer| &answer.answers).find_map(|record| owner(&record.data)))
    }

    async fn preflight(&self, moves: &[Split]) -> Result<Vec<String>, RouterError> {
        let found = self.look(self.primary()).await?;
        self.waited_out(&found).await?;
        // Clients take any of a record's addresses: one that is dead is some of their users.
        for side in moves.iter().filter_map(|split| split.only()).filter(|side| *side == Color::Green) {
            let health = self.health(side).await?;
            if !health.ailing.is_empty() {
                let what = format!("not every address of {side} is well: {}", health.ailing.join("; "));
                let read = Some(format!("{} leads to {}", self.place.shown(), listed(&found.data)));
                return Err(RouterError { read, ..RouterError::new(Trouble::NotNow, what) });
            }
        }
        Ok(vec![format!(
            "{} with TTL {} s and serial {}, the same at {} authoritative servers; looked at through {} resolvers",
            listed(&found.data),
            found.ttl,
            found.serial,
            self.servers.len(),
            self.resolvers.len()
        )])
    }

    async fn watch(&self) -> Watched {
        let (found, resolved) = join(self.look(self.primary()), self.resolved()).await;
        let Ok(found) = found else { return Watched::default() };
        let note = |(resolver, answer): (&Server, Held)| {
            let (_, data) = answer.ok().filter(|(_, data)| !same(data, &found.data))?;
            Some(format!("resolver {resolver} still answers {}, not {}", listed(&data), listed(&found.data)))
        };
        Watched { trouble: None, notes: resolved.into_iter().filter_map(note).collect() }
    }

    /// Sends what a move would send, under two conditions that are never true together: a primary says who may not before it
    /// looks whether it should.
    async fn identity(&self) -> Result<Identity, RouterError> {
        let (place, now) = (&self.place, self.look(self.primary()).await?);
        let beside = [RData::TXT(TXT::new(vec![Generation::after(None, "nobody".into(), None).text()]))];
        let update = Update::new(&place.zone)
            .only_if(&place.name, place.kind, &now.data)
            .only_if(&place.name, place.kind, &[])
            .replace(&place.name, place.kind, now.ttl, &now.data)
            .replace(&place.beside, RecordType::TXT, now.ttl, &beside);
        let answered = self.sent(update).await.map_err(unmoved)?;
        if answered == Answered::Proven(ResponseCode::NoError) {
            let what =
                format!("{} takes an update whose conditions cannot be true: it does not look at them", self.primary());
            return Err(RouterError::new(Trouble::Invalid, what));
        }
        if let Some(error) = refused(&self.settings, place, self.primary(), answered) {
            return Err(unmoved(error));
        }
        let settings::Key { name, algorithm, .. } = &self.settings.key;
        let line = format!(
            "TSIG key `{name}` ({}), which may update {} at {}",
            algorithm.name(),
            place.shown(),
            self.primary()
        );
        Ok(Identity { line, left: None, renews: true })
    }

    fn native_way_back(&self, _: &str, reading: &Reading) -> NativeWayBack {
        way_back::way_back(&self.settings, &self.place, self.primary(), &reading.exact)
    }

    /// With everybody on one side, at the TTL of the cutover: a longer one would hold them there.
    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        let side = self.settings.side(stack);
        let longer = now.map(|now| now.exact["longer"].clone()).unwrap_or_default();
        let ttl = now.and_then(|now| now.exact["ttl"].as_u64()).unwrap_or(u64::MAX).min(self.settings.ttl().into());
        let records: Vec<String> = side.iter().map(ToString::to_string).collect();
        let exact = json!({ "records": records, "ttl": ttl, "longer": longer });
        Some(Reading { split: Split::all_on(stack), exact, remarks: Vec::new() })
    }
}

/// An update that would have changed nothing moved nobody.
fn unmoved(error: RouterError) -> RouterError {
    RouterError { moved: false, ..error }
}

#[async_trait(?Send)]
impl TrafficRouter for Dns {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        let Some(side) = to.only() else {
            let what = format!("{} is not set to {to}: a record leads to one side or the other", self.place.shown());
            return Err(RouterError::new(Trouble::Invalid, what));
        };
        let now = self.look(self.primary()).await?;
        let split = self.split(self.primary(), &now)?;
        if split == to {
            // A write of before may not be everywhere yet.
            return self.everywhere(&now, &now).await.map(|()| Vec::new());
        }
        if split != from.split {
            let what = format!("{} is at {split}, not at {}: nothing was written", self.line(), from.split);
            return Err(RouterError::new(Trouble::Drift { found: split }, what));
        }
        let ttl = now.ttl.min(self.settings.ttl());
        self.update(&now, &Wanted { action: "update", data: &self.settings.side(side), ttl, longer: now.longer() })
            .await
    }

    /// A move ends when every authoritative server has it, so no reading lags behind it.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    /// The primary takes no update whose signature is older than that by its clock, which may go as much after ours.
    fn lands_within(&self) -> Duration {
        Duration::from_secs(2 * u64::from(FUDGE))
    }

    /// Lowers the TTL, waits until every server has it, and then writes down since when: from there on it is waited out.
    async fn complete(&self, from: &Reading) -> Result<Vec<Call>, RouterError> {
        let mut now = self.look(self.primary()).await?;
        let split = self.split(self.primary(), &now)?;
        if split != from.split {
            let what = format!("{} is at {split}, not at {}: nothing was written", self.line(), from.split);
            return Err(RouterError::new(Trouble::Drift { found: split }, what));
        }
        let (ttl, before) = (self.settings.ttl(), now.longer());
        let mut calls = Vec::new();
        if now.ttl > ttl {
            let unsure = before.filter(|longer| longer.since.is_none()).map_or(0, |longer| longer.ttl);
            let longer = Some(Longer { ttl: now.ttl.max(unsure), since: None });
            let data = now.data.clone();
            calls.extend(
                self.update(&now, &Wanted { action: "lower the TTL", data: &data, ttl, longer })
                    .await
                    .map_err(unmoved)?,
            );
            now = self.look(self.primary()).await?;
        }
        if let Some(longer) = now.longer().filter(|longer| longer.since.is_none()) {
            self.everywhere(&now, &now).await.map_err(unmoved)?;
            let longer = Some(Longer { since: Some(Self::now()), ..longer });
            let wanted = Wanted { action: "write down since when", data: &now.data, ttl: now.ttl, longer };
            let written = self.update(&now, &wanted).await;
            calls.extend(
                written
                    .map_err(|error| RouterError { calls: [&calls[..], &error.calls].concat(), ..unmoved(error) })?,
            );
        }
        Ok(calls)
    }
}
