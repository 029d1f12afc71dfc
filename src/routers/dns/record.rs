//! What a server says of the record: its content, its TTL, the TXT beside it and the serial of the zone.

use std::net::IpAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use serde_json::{Value, json};

use super::generation::{Generation, Longer};
use super::settings::{self, Settings};
use crate::plan::{Color, Split};
use crate::routers::addresses::Target;

/// The record a route moves, and the names around it.
#[derive(Clone, Debug)]
pub struct Place {
    pub zone: Name,
    pub name: Name,
    pub kind: RecordType,
    /// The name of the TXT.
    pub beside: Name,
}

/// The record as one server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub serial: u32,
    pub data: Vec<RData>,
    pub ttl: u32,
    /// Everything that stands in the TXT, whoever wrote it.
    pub beside: Vec<RData>,
}

/// What a server says in place of a record that can be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Odd {
    /// It does not answer for the zone by its own knowledge.
    NotItsZone,
    /// Nothing of that type, or this type, which does not go with it.
    Missing(Option<RecordType>),
}

impl Place {
    pub fn new(settings: &Settings) -> Option<Place> {
        let (zone, name) = (settings::name(&settings.zone)?, settings::name(&settings.name)?);
        let beside = name.prepend_label(Generation::LABEL).ok()?;
        Some(Place { zone, name, kind: settings.kind.of(), beside })
    }

    /// What is asked in one look. The other types show what an update would be dropped for without a word.
    pub fn questions(&self) -> [(&Name, RecordType); 6] {
        let name = &self.name;
        [
            (name, self.kind),
            (&self.zone, RecordType::SOA),
            (&self.beside, RecordType::TXT),
            (name, RecordType::CNAME),
            (name, RecordType::A),
            (name, RecordType::AAAA),
        ]
    }

    /// What the answers to those questions say.
    pub fn found(&self, answers: &[Message]) -> Result<Found, Odd> {
        let [record, zone, beside, others @ ..] = answers else { return Err(Odd::NotItsZone) };
        let serial = all(zone, &self.zone, RecordType::SOA).find_map(|(_, data)| match data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        });
        let serial = serial.filter(|_| record.authoritative && zone.authoritative).ok_or(Odd::NotItsZone)?;
        let held: Vec<(u32, &RData)> = all(record, &self.name, self.kind).collect();
        if held.is_empty() {
            let mut stand = others.iter().zip([RecordType::CNAME, RecordType::A, RecordType::AAAA]);
            // Any name may have both kinds of address; a CNAME stands alone.
            let apart = |kind| kind != self.kind && [kind, self.kind].contains(&RecordType::CNAME);
            let other = stand.find(|(answer, kind)| apart(*kind) && all(answer, &self.name, *kind).next().is_some());
            return Err(Odd::Missing(other.map(|(_, kind)| kind)));
        }
        Ok(Found {
            serial,
            ttl: held.iter().map(|(ttl, _)| *ttl).max().unwrap_or_default(),
            data: held.into_iter().map(|(_, data)| data.clone()).collect(),
            beside: all(beside, &self.beside, RecordType::TXT).map(|(_, data)| data.clone()).collect(),
        })
    }

    /// What a resolver holds: for how long at most, and what.
    pub fn held(&self, answer: &Message) -> (u32, Vec<RData>) {
        let held: Vec<(u32, &RData)> = all(answer, &self.name, self.kind).collect();
        (held.iter().map(|(ttl, _)| *ttl).max().unwrap_or_default(), held.into_iter().map(|(_, d)| d.clone()).collect())
    }

    /// `bot.example.com A`, as people write it.
    pub fn shown(&self) -> String {
        format!("{} {}", plain(&self.name), self.kind)
    }
}

/// A name without the dot at its end.
pub fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_string()
}

/// What users are led to by content.
pub fn target(data: &RData) -> Option<Target> {
    match data {
        RData::A(address) => Some(Target::Address(IpAddr::V4(address.0))),
        RData::AAAA(address) => Some(Target::Address(IpAddr::V6(address.0))),
        RData::CNAME(name) => Some(Target::Name(plain(&name.0))),
        _ => None,
    }
}

/// The records of that name and type in an answer, with their TTL.
pub fn all<'a>(answer: &'a Message, name: &'a Name, kind: RecordType) -> impl Iterator<Item = (u32, &'a RData)> {
    let ours = answer.answers.iter().filter(move |record| record.name == *name && record.record_type() == kind);
    ours.map(|record| (record.ttl, &record.data))
}

/// The same content, in whatever order.
pub fn same(one: &[RData], other: &[RData]) -> bool {
    one.len() == other.len()
        && one.iter().all(|data| other.contains(data))
        && other.iter().all(|data| one.contains(data))
}

/// Content as people read it.
pub fn listed(data: &[RData]) -> String {
    let mut texts: Vec<String> = data.iter().map(ToString::to_string).collect();
    texts.sort();
    texts.join(", ")
}

impl Found {
    /// Which side users are led to. Resolvers take turns with what stands in one record; what is of neither side is named.
    pub fn split(&self, settings: &Settings) -> Result<Split, Vec<RData>> {
        let (blue, green) = (settings.side(Color::Blue), settings.side(Color::Green));
        let of =
            |side: &[RData]| self.data.iter().filter(|data| side.contains(data)).count().try_into().unwrap_or(u32::MAX);
        let neither: Vec<RData> =
            self.data.iter().filter(|data| !blue.contains(data) && !green.contains(data)).cloned().collect();
        let split = Split { blue: of(&blue), green: of(&green) };
        if neither.is_empty() { Ok(split) } else { Err(neither) }
    }

    /// The last write, if the TXT is ours.
    pub fn generation(&self) -> Option<Generation> {
        let text = |data: &RData| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        };
        self.beside.iter().filter_map(text).find_map(|text| Generation::read(&text))
    }

    pub fn longer(&self) -> Option<Longer> {
        self.generation().and_then(|generation| generation.longer)
    }

    /// Another server has the same by now, and is not behind.
    pub fn agrees(&self, other: &Found) -> bool {
        self.ttl == other.ttl && same(&self.data, &other.data) && same(&self.beside, &other.beside)
    }

    /// Enough to put it back.
    pub fn exact(&self) -> Value {
        let mut records: Vec<String> = self.data.iter().map(ToString::to_string).collect();
        records.sort();
        let longer = self.longer().map(|longer| json!({ "ttl": longer.ttl, "since": longer.since }));
        json!({ "records": records, "ttl": self.ttl, "longer": longer })
    }
}

/// Whether a serial is that one or a later one; serials go round (RFC 1982).
pub fn reached(serial: u32, wanted: u32) -> bool {
    serial.wrapping_sub(wanted) < 1 << 31
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, SOA};

    use super::*;

    #[test]
    fn serials_go_round() {
        for (serial, wanted, is) in
            [(5, 5, true), (6, 5, true), (4, 5, false), (0, u32::MAX, true), (u32::MAX, 0, false), (1 << 31, 0, false)]
        {
            assert_eq!(reached(serial, wanted), is, "{serial} {wanted}");
        }
    }

    fn settings() -> Settings {
        Settings::read(&json!({
            "zone": "example.test", "name": "bot.example.test", "servers": ["127.0.0.1"], "health": "http://a.test/",
            "blue": ["127.0.0.1", "127.0.0.3"], "green": ["127.0.0.2"], "key": { "name": "k", "secret": "${env:K}" },
        }))
        .unwrap()
    }

    #[test]
    fn only_the_zone_s_own_servers_are_believed() {
        let place = Place::new(&settings()).unwrap();
        let of = |change: fn(&mut Vec<Message>)| {
            let answer = |record: Option<Record>| {
                let mut answer = Message::response(1, OpCode::Query);
                answer.metadata.authoritative = true;
                answer.answers.extend(record);
                answer
            };
            let zone = RData::SOA(SOA::new(Name::root(), Name::root(), 7, 1, 1, 1, 1));
            let a = Record::from_rdata(place.name.clone(), 60, RData::A(A::new(127, 0, 0, 1)));
            let soa = Record::from_rdata(place.zone.clone(), 60, zone);
            let mut answers: Vec<Message> =
                [Some(a.clone()), Some(soa), None, None, Some(a), None].into_iter().map(answer).collect();
            change(&mut answers);
            place.found(&answers).map(|found| (found.serial, found.ttl))
        };
        assert_eq!(of(|_| ()), Ok((7, 60)));
        assert_eq!(of(|answers| answers[0].metadata.authoritative = false), Err(Odd::NotItsZone));
        assert_eq!(of(|answers| answers[1].metadata.authoritative = false), Err(Odd::NotItsZone));
        assert_eq!(of(|answers| answers[1].answers.clear()), Err(Odd::NotItsZone));
        assert_eq!(of(|answers| answers[0].answers.clear()), Err(Odd::Missing(None)));
        assert_eq!(of(|answers| answers[0].answers[0].name = Name::root()), Err(Odd::Missing(None)), "of another name");
    }

    #[test]
    fn the_split_is_counted_and_a_stranger_is_named() {
        let settings = settings();
        let of = |last: &[u8]| {
            let data = last.iter().map(|n| RData::A(std::net::Ipv4Addr::new(127, 0, 0, *n).into())).collect();
            Found { serial: 1, data, ttl: 60, beside: Vec::new() }.split(&settings)
        };
        assert_eq!(of(&[1, 3]), Ok(Split::ALL_BLUE));
        assert_eq!(of(&[3]), Ok(Split::ALL_BLUE), "some of blue is blue");
        assert_eq!(of(&[2]), Ok(Split::ALL_GREEN));
        assert_eq!(of(&[1, 2, 3]), Ok(Split { blue: 2, green: 1 }));
        assert_eq!(of(&[1, 9]).map_err(|found| listed(&found)), Err("127.0.0.9".into()));
    }
}
