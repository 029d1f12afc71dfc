//! Router `route53`: the weights of two records of one name and type in a hosted zone of Amazon Route 53.
//!
//! It changes weights, lowers a TTL and keeps a TXT of its own beside the records; everything else of a record is written as it
//! was read. A batch deletes exactly what was found, so nothing of somebody else is written over. It creates no record but the
//! TXT, and never touches health checks, zones or name servers. Users follow as their resolvers ask again, there and back.
#![doc = include_str!("../route53.md")]

mod api;
mod batch;
mod checks;
mod errors;
mod look;
mod records;
mod seen;
mod settings;
mod way_back;
mod weights;
mod writes;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_route53::Client;
use aws_sdk_route53::types::RrType;
use serde_json::Value;

use self::api::Sent;
use self::batch::{Wanted, impossible};
use self::checks::{Checked, fallback, lines};
use self::records::{ALIAS, Found, plain};
use self::seen::targets;
use self::settings::Settings;
use super::addresses::asked;
use super::aws::{Attempts, Aws, Question, READ_WITHIN, WRITE_WITHIN};
use super::dns::generation::{Generation, word};
use super::dns::server::Server;
use super::{Access, Health, Identity, Kind, Lack, NativeWayBack, Reading, RouteView, RouterError, Trouble, Watched};
use crate::clock::{Clock, SystemClock};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::rehearsal::InLab;

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "route53",
    about: "route: weighted records of Amazon Route 53",
    page: include_str!("../route53.md"),
    schema: |generator| generator.subschema_for::<Settings>(),
    lab: InLab::Missing("hosted zone of Route 53"),
    view: |value, access| Ok(Rc::new(Route53::new(value, access)?)),
    open: |value, access| Ok(Rc::new(Route53::new(value, access)?)),
};

/// How long every server of Route 53 may take to have a change: mostly 60 s, says AWS (API reference, `GetChange`; developer guide,
/// "Best practices for Amazon Route 53 DNS").
const IN_SYNC_WITHIN: Duration = Duration::from_secs(90);
/// How long the name servers of the runbook may take to answer so after that.
const SEEN_WITHIN: Duration = Duration::from_secs(20);
/// How old a reading may be to be the comparison before a write, counted from its answer.
const YOUNG: Duration = Duration::from_secs(1);
/// Between two looks while somebody waits, and for how long where a side leads is known without asking: the whole account has five
/// requests a second.
const SELDOM: Duration = Duration::from_secs(30);

/// Two records and where they are kept.
pub struct Route53 {
    /// How long the answer of a write is waited for.
    pub write_within: Duration,
    /// How long a change may be PENDING.
    pub in_sync_within: Duration,
    /// How long a name server may stay behind.
    pub seen_within: Duration,
    /// How old a reading may be to be the comparison before a write.
    pub young: Duration,
    settings: Settings,
    aws: Aws,
    servers: Vec<Server>,
    resolvers: Vec<Server>,
    /// One client, so that calls share their connections.
    client: RefCell<Option<Client>>,
    /// The last look, and when it was.
    looked: RefCell<Option<(Duration, Found)>>,
    /// The last change of this process, until every server is known to have it.
    pending: RefCell<Option<String>>,
    /// Reads that took several attempts, for a person.
    repeats: RefCell<Vec<String>>,
    watched: Cell<Option<Duration>>,
}

impl Route53 {
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value, access: &Access) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        access.aws.usable().map_err(|why| vec![Mistake { at: String::new(), message: why, help: None }])?;
        let all = |texts: &[String]| texts.iter().filter_map(|text| Server::new(text)).collect();
        Ok(Route53 {
            write_within: WRITE_WITHIN,
            in_sync_within: IN_SYNC_WITHIN,
            seen_within: SEEN_WITHIN,
            young: YOUNG,
            aws: Aws::new(&settings.region, &access.aws),
            servers: all(&settings.servers),
            resolvers: all(&settings.resolvers),
            settings,
            client: RefCell::default(),
            looked: RefCell::default(),
            pending: RefCell::default(),
            repeats: RefCell::default(),
            watched: Cell::default(),
        })
    }

    /// The last look, while it is not older than that.
    fn young(&self, most: Duration) -> Option<Found> {
        let looked = self.looked.borrow();
        let (at, found) = looked.as_ref()?;
        (SystemClock.elapsed() < *at + most).then(|| found.clone())
    }

    /// Whether this caller may change both records and the TXT: a batch that cannot be done is refused for what it is, unless it is
    /// refused for who sends it.
    async fn may(&self) -> Result<(), RouterError> {
        let found = self.look().await?;
        let generation = Generation::after(found.generation().as_ref(), word()?, found.longer());
        let ttl = found.own_ttl().unwrap_or_default();
        let wanted = Wanted { action: "nothing", weights: None, ttl, generation };
        match self.send(impossible(&self.settings, &found, &wanted)).await {
            Ok(Sent::Otherwise(_)) => Ok(()),
            Ok(Sent::Taken(calls)) => {
                let what = format!("{} takes a batch that creates one record twice", self.zone());
                Err(RouterError { calls, ..RouterError::new(Trouble::Invalid, what) })
            }
            // Refused in other words than those we know, and for what it is.
            Err(error) if error.what.contains("InvalidChangeBatch") => Ok(()),
            // It would have changed nothing.
            Err(error) => Err(RouterError { moved: false, ..error }),
        }
    }
}

#[async_trait(?Send)]
impl RouteView for Route53 {
    fn line(&self) -> String {
        format!("{} in {}", self.settings.shown(), self.zone())
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        vec![format!("route53 {} {}", self.settings.zone, self.settings.shown())]
    }

    fn takes(&self, to: Split) -> Result<(), String> {
        self.settings.takes(to)
    }

    /// Resolvers keep what they were told for as long as the TTL of the cutover; that of an alias may be longer.
    fn followed_within(&self) -> Duration {
        self.settings.ttl.time.max(Duration::from_secs(ALIAS.unsigned_abs()))
    }

    fn lacks(&self, reading: &Reading) -> Option<Lack> {
        let (ttl, wanted) = (reading.exact["ttl"].as_i64()?, self.settings.ttl());
        let unsure = reading.exact["longer"]["ttl"].is_u64() && reading.exact["longer"]["since"].is_null();
        if ttl <= wanted && !unsure {
            return None;
        }
        let (place, longer) = (self.settings.shown(), ttl.max(reading.exact["longer"]["ttl"].as_i64().unwrap_or(0)));
        Some(Lack {
            line: format!(
                "the TTL of {place} is {ttl} s; it has to be {wanted} s, and {longer} s have to pass after that"
            ),
            cause: "until then resolvers would go on sending users to the side that was left",
            before: vec![format!("{place}, TTL {ttl} s")],
            after: vec![format!("{place}, TTL {} s, the same weights", ttl.min(wanted))],
        })
    }

    fn nowhere(&self) -> &'static str {
        "both weights are 0: of aliases Route 53 does not say where users go then"
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let found = self.look().await?;
        Ok(Reading { split: found.split(), exact: found.exact(), remarks: self.remarks(&found).await })
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let found = match self.young(SELDOM) {
            Some(found) => found,
            None => self.look().await?,
        };
        let record = found.side(stack);
        let check = match record.health_check_id() {
            Some(id) => Some(self.checked(id).await?),
            None => None,
        };
        let unwell = |line: &String| format!("health check of {stack}: {line}");
        if let Some(url) = &self.settings.health {
            let counted = asked(url, &targets(record)).await;
            return Ok(match &check {
                // Route 53 sends nobody there, however well its addresses are.
                Some(Checked::Unwell(line)) => {
                    Health { healthy: 0, ailing: [counted.ailing, vec![unwell(line)]].concat(), ..counted }
                }
                _ => counted,
            });
        }
        let why = match check {
            Some(Checked::Well(_)) => return Ok(Health { healthy: 1, total: 1, ..Health::default() }),
            Some(Checked::Unwell(line)) => {
                return Ok(Health { healthy: 0, total: 1, zones: None, ailing: vec![unwell(&line)] });
            }
            Some(Checked::Unknown(line)) => format!("of its health check this is known: {line}"),
            None => "its record has no health check".into(),
        };
        let what = format!("nobody says whether {stack} of {} is well: {why}", self.settings.shown());
        Err(RouterError::new(Trouble::Invalid, what)
            .cure("write `health: http://…/healthz`, which is asked at each address of a side"))
    }

    /// A traffic policy, or ExternalDNS, which leaves a TXT at or beside every record it keeps.
    async fn controller(&self) -> Result<Option<String>, RouterError> {
        let found = self.look().await?;
        if let Some(instance) = found.policy() {
            return Ok(Some(format!("a traffic policy of Route 53 (instance `{instance}`)")));
        }
        let kind = self.settings.kind.of().to_string().to_lowercase();
        let own = plain(&self.settings.name);
        for name in [own.clone(), format!("{kind}-{own}")] {
            let page = self.page_at(&name, RrType::Txt).await?;
            let here = page.iter().filter(|record| plain(record.name()) == name && *record.r#type() == RrType::Txt);
            let mut values = here.flat_map(|record| record.resource_records());
            if values.any(|text| text.value().contains("heritage=external-dns")) {
                return Ok(Some(format!("ExternalDNS (TXT `{name}`)")));
            }
        }
        Ok(None)
    }

    async fn preflight(&self, moves: &[Split]) -> Result<Vec<String>, RouterError> {
        let found = self.look().await?;
        let read = || Some(format!("{} is at {}", self.settings.shown(), found.split()));
        let refused = |what: String| RouterError { read: read(), ..RouterError::new(Trouble::NotNow, what) };
        let mut said = self.waited_out(&found).await?;
        let checks = self.both(&found).await?;
        if let Some(line) = fallback(&found, &checks) {
            return Err(refused(line).cure("cure the side whose health check fails, and begin then"));
        }
        for side in Color::BOTH.into_iter().filter(|side| moves.iter().any(|to| to.weight(*side) > 0)) {
            // Route 53 would take its users elsewhere at once.
            if let Some((_, Checked::Unwell(line))) = checks.iter().find(|(of, _)| *of == side) {
                return Err(refused(format!("{side}'s health check fails: {line}")));
            }
            // Clients take any of a record's addresses: one that is dead is some of their users.
            if side == Color::Green && self.settings.health.is_some() {
                let health = self.health(side).await?;
                if !health.ailing.is_empty() {
                    return Err(refused(format!("not every address of {side} is well: {}", health.ailing.join("; "))));
                }
            }
        }
        said.extend(lines(&found, &checks));
        Ok(said)
    }

    async fn watch(&self) -> Watched {
        let now = SystemClock.elapsed();
        if self.watched.get().is_some_and(|last| now < last + SELDOM) {
            return Watched::default();
        }
        self.watched.set(Some(now));
        let Ok(found) = self.look().await else { return Watched::default() };
        let checks = self.both(&found).await.unwrap_or_default();
        let only = found.split().only();
        let behind = self.asked(&found).await.into_iter().filter_map(|(who, _, answer)| {
            let counted = answer.ok()?;
            only.filter(|only| counted.of(only.other()) > 0).map(|_| format!("{who}: {counted}"))
        });
        Watched { trouble: None, notes: fallback(&found, &checks).into_iter().chain(behind).collect() }
    }

    async fn writer(&self) -> Option<String> {
        let profile = self.aws.access.profile.as_ref().map_or(String::new(), |profile| format!(" --profile {profile}"));
        Some(format!(
            "to query CloudTrail, where Route 53 writes down who: aws cloudtrail lookup-events --lookup-attributes \
             AttributeKey=EventName,AttributeValue=ChangeResourceRecordSets --region {}{profile}",
            self.aws.region
        ))
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        let attempts = Attempts::default();
        let client = aws_sdk_sts::Client::new(&self.aws.config().await);
        let answer = client.get_caller_identity().customize().interceptor(attempts.clone()).send().await;
        let asked = Question { action: "GetCallerIdentity", place: "AWS STS", writes: false, within: READ_WITHIN };
        let answer = answer.map_err(|error| self.explain(asked, &attempts, &error).0)?;
        self.may().await?;
        let who = answer.arn().unwrap_or("a caller without a name");
        let session = self.aws.session().await;
        let line = format!("{who}{}, which may change {} in {}", session.words(), self.settings.shown(), self.zone());
        Ok(Identity { line, left: session.left, renews: session.renews })
    }

    async fn ends(&self) -> Option<String> {
        self.aws.session().await.ends()
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        way_back::way_back(route, reading, &self.settings, &self.aws)
    }

    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        now.map(|reading| way_back::all_on(stack, reading))
    }
}
