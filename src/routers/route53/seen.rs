//! What name servers and resolvers answer: whether everybody who is asked is led where the weights say. A weighted answer is one
//! record at a time, so a server is asked several times and the answers are counted.

use futures_util::future::{join, join_all};
use hickory_proto::rr::{Name, RData, RecordType};

use super::Route53;
use super::records::Found;
use crate::clock::{Clock, SystemClock};
use crate::plan::{Color, Split};
use crate::routers::addresses::Target;
use crate::routers::dns::record::{all, listed, target};
use crate::routers::dns::server::Server;
use crate::routers::dns::settings::name;
use crate::routers::{RouterError, Trouble};

/// How often a name server is asked in one look. A server that still gives one answer in four to the side that was left is missed
/// by all of them once in a hundred looks.
const TIMES: usize = 16;
/// Between two looks at servers that are behind.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// The answers of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub blue: usize,
    pub green: usize,
    /// Answers of neither side.
    pub neither: Vec<String>,
    /// The longest that an answer may still be kept.
    pub ttl: u32,
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.blue + self.green + self.neither.len();
        write!(f, "{} answers BLUE, {} GREEN of {all}", self.blue, self.green)?;
        match self.neither.first() {
            Some(other) => write!(f, "; {} of neither, such as {other}", self.neither.len()),
            None => Ok(()),
        }
    }
}

/// Where a record leads. That of an alias is known by its name alone.
pub fn targets(record: &aws_sdk_route53::types::ResourceRecordSet) -> Vec<Target> {
    let alias = record.alias_target().map(|alias| Target::Name(alias.dns_name().trim_end_matches('.').to_string()));
    let read = |text: &str| match text.parse() {
        Ok(address) => Target::Address(address),
        Err(_) => Target::Name(super::records::plain(text)),
    };
    alias.into_iter().chain(record.resource_records().iter().map(|value| read(value.value()))).collect()
}

/// Counts one answer of a server.
fn count(counted: &mut Counted, found: &Found, answer: &[(u32, &RData)]) {
    counted.ttl = answer.iter().map(|(ttl, _)| *ttl).max().unwrap_or_default().max(counted.ttl);
    let led: Vec<Target> = answer.iter().filter_map(|(_, data)| target(data)).collect();
    let of = |side: Color| {
        let wanted = targets(found.side(side));
        !led.is_empty() && led.iter().all(|target| wanted.contains(target))
    };
    match (of(Color::Blue), of(Color::Green)) {
        (true, false) => counted.blue += 1,
        (false, true) => counted.green += 1,
        _ if led.is_empty() => counted.neither.push("no answer of that type".into()),
        _ => counted.neither.push(listed(&answer.iter().map(|(_, data)| (*data).clone()).collect::<Vec<_>>())),
    }
}

impl Route53 {
    /// What one of them answers; why it does not.
    async fn answers(&self, server: &Server, found: &Found, recursive: bool) -> Result<Counted, String> {
        let (own, kind): (Name, RecordType) =
            (name(&self.settings.name).ok_or("no name of DNS")?, self.settings.kind.of());
        // A resolver keeps its answer: asking again would count it twice.
        let times = if recursive { 1 } else { TIMES };
        let answers = server.ask(&vec![(&own, kind); times], recursive).await?;
        let mut counted = Counted::default();
        for answer in &answers {
            if !recursive && !answer.authoritative {
                return Err("does not answer for the zone by its own knowledge".into());
            }
            count(&mut counted, found, &all(answer, &own, kind).collect::<Vec<_>>());
        }
        Ok(counted)
    }

    /// What each of the name servers and resolvers answers that the runbook names. An alias is answered with addresses that nobody
    /// can tell apart, so nobody is asked then.
    pub(super) async fn asked(&self, found: &Found) -> Vec<(String, bool, Result<Counted, String>)> {
        if found.alias() {
            return Vec::new();
        }
        let of = |servers: &'_ [Server], recursive: bool| {
            let all: Vec<_> = servers.iter().map(|server| (server.clone(), recursive)).collect();
            join_all(all.into_iter().map(|(server, recursive)| async move {
                let what = if recursive { "resolver" } else { "name server" };
                (format!("{what} {server}"), recursive, self.answers(&server, found, recursive).await)
            }))
        };
        let (servers, resolvers) = join(of(&self.servers, false), of(&self.resolvers, true)).await;
        servers.into_iter().chain(resolvers).collect()
    }

    /// Waits until no name server of the runbook sends anybody to the side that was left. Only where all users are on one side: a
    /// share of answers proves nothing in a few.
    pub(super) async fn everywhere(&self, before: &Found, to: Split) -> Result<(), RouterError> {
        let (Some(only), false) = (to.only(), self.servers.is_empty() || before.alias()) else { return Ok(()) };
        let begun = SystemClock.elapsed();
        loop {
            let looked = join_all(self.servers.iter().map(|server| self.answers(server, before, false))).await;
            let behind: Vec<String> = self
                .servers
                .iter()
                .zip(looked)
                .filter_map(|(server, answer)| match answer {
                    Ok(counted) if counted.neither.is_empty() && counted.of(only.other()) == 0 => None,
                    Ok(counted) => Some(format!("name server {server}: {counted}")),
                    Err(why) => Some(format!("name server {server} gives no answer: {why}")),
                })
                .collect();
            if behind.is_empty() {
                return Ok(());
            }
            let took = SystemClock.elapsed().saturating_sub(begun);
            if took >= self.seen_within {
                let what = format!(
                    "{} is at {to} and INSYNC, but after {} s not every name server answers so: {}",
                    self.settings.shown(),
                    took.as_secs(),
                    behind.join("; ")
                );
                let cure =
                    "look at health checks, which send users elsewhere, and whether these are servers of this zone";
                return Err(RouterError { moved: true, ..RouterError::new(Trouble::Unreachable, what).cure(cure) });
            }
            SystemClock.sleep(LOOK).await;
        }
    }
}

impl Counted {
    pub fn of(&self, side: Color) -> usize {
        match side {
            Color::Blue => self.blue,
            Color::Green => self.green,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::ResourceRecord;
    use hickory_proto::rr::rdata::A;

    use super::*;
    use crate::routers::route53::records::tests::{listed, settings};

    #[test]
    fn answers_are_counted_by_the_side_they_lead_to() {
        let mut records = listed(&[("blue", 90, 60), ("green", 10, 60)]);
        let value = ResourceRecord::builder().value("192.0.2.2").build().unwrap();
        records[1].resource_records = Some(vec![value]);
        let found = Found::among(&records, &settings()).unwrap();
        let mut counted = Counted::default();
        for (last, ttl) in [(1, 60), (2, 30), (1, 10), (9, 60)] {
            let data = RData::A(A::new(192, 0, 2, last));
            count(&mut counted, &found, &[(ttl, &data)]);
        }
        count(&mut counted, &found, &[]);
        assert_eq!((counted.blue, counted.green, counted.ttl), (2, 1, 60));
        assert_eq!(counted.to_string(), "2 answers BLUE, 1 GREEN of 5; 2 of neither, such as 192.0.2.9");
    }
}
