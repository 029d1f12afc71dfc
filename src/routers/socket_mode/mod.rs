//! Router `socket_mode`: which fleet holds the WebSockets of a Slack app in Socket Mode.
//!
//! It tells instances to hold a socket or to give it up, and reads what they say about themselves. It never opens a socket:
//! Slack would hand it real events, which nobody would answer.
#![doc = include_str!("../socket_mode.md")]

mod fleet;
mod handover;
mod settings;
mod slack;
mod way_back;

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Access, Call, Health, Identity, Kind, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
    Watched,
};
use crate::clock::{Clock, SystemClock};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::rehearsal::InLab;
use crate::scalar::spoken;
use crate::secret::Secret;
use fleet::{Fleets, Instance, Said};
use settings::Settings;

/// The most sockets Slack keeps open for one app.
pub const MOST: usize = 10;

/// The member of a reading that lists the instances of which nothing is known.
const SILENT: &str = "silent";

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "socket_mode",
    about: "route: the sockets of a Slack app in Socket Mode",
    page: include_str!("../socket_mode.md"),
    schema: |generator| generator.subschema_for::<Settings>(),
    lab: InLab::To(settings::places),
    view: |value, access| Ok(Rc::new(SocketMode::new(value, access)?)),
    open: |value, access| Ok(Rc::new(SocketMode::new(value, access)?)),
};

/// The sockets of one app.
pub struct SocketMode {
    settings: Settings,
    app_token: Secret,
    token: Option<Secret>,
    client: reqwest::Client,
    outside: reqwest::Client,
}

impl SocketMode {
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value, access: &Access) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        let secret = |text: &str| Secret::new(access.secrets.resolve(text));
        let client = |proxies: bool| {
            let builder = crate::https::client().redirect(reqwest::redirect::Policy::none());
            // An instance is asked itself; a proxy could only answer in its place.
            let builder = if proxies { builder } else { builder.no_proxy() };
            builder.build().map_err(|e| vec![Mistake { at: String::new(), message: e.to_string(), help: None }])
        };
        Ok(SocketMode {
            app_token: secret(&settings.app_token),
            token: settings.token.as_deref().map(secret),
            client: client(false)?,
            outside: client(!settings.api.contains("//127.") && !settings.api.contains("//localhost"))?,
            settings,
        })
    }

    fn remarks(&self, fleets: &Fleets) -> Vec<String> {
        let mut remarks =
            vec![format!("{} sockets BLUE, {} GREEN", fleets.holding(Color::Blue), fleets.holding(Color::Green))];
        for instance in &fleets.0 {
            match &instance.said {
                Said::Report(Report { disconnect: Some(reason), .. }) => {
                    remarks.push(format!("{}: Slack has said `{reason}` to it since its last hello", instance.url));
                }
                Said::Gone(why) => remarks.push(format!("{}: {why}", instance.url)),
                _ => {}
            }
            let half_open = instance.report().and_then(Report::half_open);
            remarks.extend(half_open.map(|words| format!("{}: {words}", instance.url)));
        }
        match counted(fleets) {
            Some((slack, fleets)) if slack > fleets => remarks.push(format!(
                "the newest hello counted {} more sockets than the fleets hold: somebody else may be getting events",
                slack - fleets
            )),
            Some((slack, fleets)) if slack < fleets => remarks.push(format!(
                "the newest hello counted {slack} sockets and the fleets report {fleets}: some of them may be dead"
            )),
            _ => {}
        }
        remarks
    }
}

use fleet::Report;

/// The sockets of the app as the newest hello counted them, and as the fleets report them. A client that renewed its socket may
/// hold two at that moment, so a difference is a hint.
fn counted(fleets: &Fleets) -> Option<(u32, u32)> {
    let reports = || fleets.0.iter().filter_map(Instance::report);
    let newest = reports().filter(|r| r.connected > 0).max_by(|a, b| {
        let at = |r: &Report| r.last_hello.unwrap_or(0.0);
        at(a).total_cmp(&at(b))
    })?;
    Some((newest.num_connections?, reports().map(|r| r.connected).sum()))
}

/// Sockets of the app that neither fleet holds.
fn strangers(fleets: &Fleets) -> u32 {
    counted(fleets).map_or(0, |(slack, fleets)| slack.saturating_sub(fleets))
}

#[async_trait(?Send)]
impl RouteView for SocketMode {
    fn line(&self) -> String {
        // The same line with the stacks exchanged, since it is the same app.
        let mut fleets = [self.settings.blue.line(), self.settings.green.line()];
        fleets.sort();
        format!("socket_mode of {}", fleets.join(" / "))
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        // Fleets grow and shrink: each instance is one thing, and so is the app, where its token says which that is.
        let app = slack::app(self.app_token.expose()).map(|app| format!("socket_mode {app}"));
        let stacks = [&self.settings.blue, &self.settings.green];
        let places = stacks.into_iter().flat_map(settings::Instances::places);
        let mut names: Vec<String> = places.map(|place| format!("socket_mode {place}")).chain(app).collect();
        names.sort();
        names.dedup();
        names
    }

    fn min_healthy(&self) -> u32 {
        self.settings.floor
    }

    /// Fleets that are looked up have as many instances as they have by then.
    fn takes(&self, to: Split) -> Result<(), String> {
        let [Some(blue), Some(green)] = Color::BOTH.map(|stack| self.settings.instances(stack).count()) else {
            return Ok(());
        };
        let target = handover::target(to, blue, green, self.settings.floor);
        target.map(drop).map_err(|error| match error.cure {
            Some(cure) => format!("{}; {cure}", error.what),
            None => error.what,
        })
    }

    fn changes_by_itself(&self) -> bool {
        true
    }

    fn unseen(&self) -> &'static str {
        "every hello told by its instance"
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let fleets = self.settled().await?;
        if fleets.0.iter().all(|i| matches!(i.said, Said::Gone(_))) {
            let asked = fleets.0.iter().map(|i| i.url.as_str()).collect::<Vec<_>>().join(", ");
            let what = format!("no instance of BLUE or GREEN answers: nobody listens at {asked}");
            return Err(RouterError::new(Trouble::Unreachable, what)
                .cure("start the instances, or write the addresses at which they can be asked from here"));
        }
        let holders = |stack| fleets.of(stack).filter(|i| i.holds()).map(|i| i.url.clone()).collect::<Vec<_>>();
        let mut exact = json!({ "blue": holders(Color::Blue), "green": holders(Color::Green) });
        let Some(error) = fleets.unknown() else {
            return Ok(Reading { split: fleets.split(), exact, remarks: self.remarks(&fleets) });
        };
        exact[SILENT] = fleets.silent().map(|i| i.url.as_str()).collect();
        let partly = Reading { split: fleets.split(), exact, remarks: self.remarks(&fleets) };
        Err(RouterError { partly: Some(Box::new(partly)), ..error })
    }

    fn nowhere(&self) -> &'static str {
        "no instance holds a socket: Slack has nowhere to send events"
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let fleets = self.settled().await?;
        let mut health = Health::default();
        for instance in fleets.of(stack) {
            health.total += 1;
            let ailment = match &instance.said {
                Said::Gone(why) | Said::Unknown(why) => Some(why.clone()),
                Said::Report(report) => match report.refused() {
                    Some(words) => Some(words.to_string()),
                    None => report
                        .half_open()
                        .or_else(|| instance.renewing().then(|| "it is to hold a socket and has none".to_string())),
                },
            };
            match ailment {
                None => health.healthy += 1,
                Some(words) => health.ailing.push(format!("{}: {words}", instance.url)),
            }
        }
        Ok(health)
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        self.app_token().await
    }

    /// A client may renew its socket meanwhile; what stays wrong longer than that is trouble.
    async fn watch(&self) -> Watched {
        let Ok(first) = self.fleets().await else { return Watched::default() };
        let told = |i: &Instance, reason: &str, n: u64| format!("Slack has told {} `{reason}` {n} times", i.url);
        let counts = first.0.iter().filter_map(|i| Some((i, &i.report()?.disconnects)));
        let mut notes: Vec<String> =
            counts.flat_map(|(i, all)| all.iter().map(move |(reason, n)| told(i, reason, *n))).collect();
        // Without its age, so that it is noted once.
        let half_open = first.0.iter().filter(|i| i.report().is_some_and(|report| report.half_open().is_some()));
        notes.extend(half_open.map(|i| format!("nothing comes from Slack over the socket of {} any more", i.url)));
        let fleets = match first.all_holding() < self.settings.floor {
            true => self.settled().await.unwrap_or(first),
            false => first,
        };
        let holding = fleets.all_holding();
        let fatal = fleets.0.iter().find_map(|i| {
            let report = i.report().filter(|report| report.open && report.connected == 0)?;
            Some(format!("{} has no socket: {}", i.url, report.refused()?))
        });
        // An instance that does not answer may still hold one: not known is not too few.
        let few = (holding < self.settings.floor && fleets.unknown().is_none())
            .then(|| format!("only {holding} sockets are open, {} needed", self.settings.floor));
        Watched { trouble: fatal.or(few), notes }
    }

    async fn preflight(&self, moves: &[Split]) -> Result<Vec<String>, RouterError> {
        let fleets = self.settled().await?;
        if let Some(error) = fleets.unknown() {
            return Err(error);
        }
        let count = |stack| fleets.of(stack).count() as u32;
        let (blue, green, floor) = (count(Color::Blue), count(Color::Green), self.settings.floor);
        let others = strangers(&fleets);
        if (blue + green + others) as usize > MOST {
            let strangers = if others > 0 { format!(" and {others} sockets held by others") } else { String::new() };
            let what = format!("{blue} BLUE and {green} GREEN instances{strangers} are more than {MOST} sockets");
            return Err(RouterError::new(Trouble::Invalid, what)
                .cure("take instances out of both fleets until 10 sockets are enough"));
        }
        for to in moves {
            handover::target(*to, blue, green, floor)?;
        }
        for instance in &fleets.0 {
            if let Some(words) = instance.report().and_then(Report::refused) {
                return Err(RouterError::new(Trouble::Invalid, format!("{}: {words}", instance.url)));
            }
        }
        let renewals = self.renewals(&fleets)?;
        let mut lines = vec![format!("{blue} + {green} instances of at most {MOST} sockets, floor {floor}"), renewals];
        if (blue + green) as usize == MOST {
            lines.push("no room for a client that opens its next socket before it closes the last".into());
        }
        Ok(lines)
    }

    fn native_way_back(&self, route: &str, _: &Reading) -> NativeWayBack {
        way_back::way_back(route, &self.settings)
    }

    fn all_on(&self, stack: Color, _: Option<&Reading>) -> Option<Reading> {
        // The commands are made from the settings alone, and lead to blue.
        let reading = Reading { split: Split::ALL_BLUE, exact: Value::Null, remarks: Vec::new() };
        (stack == Color::Blue).then_some(reading)
    }
}

impl SocketMode {
    /// Refuses a start while Slack is about to renew a socket, and says when the next renewal is due.
    fn renewals(&self, fleets: &Fleets) -> Result<String, RouterError> {
        let now = SystemClock.now().as_millisecond() as f64 / 1000.0;
        let mut due: Vec<(f64, &Instance)> =
            fleets.0.iter().filter_map(|i| Some((i.renewal_in(now)?, i))).filter(|(left, _)| *left > 0.0).collect();
        due.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((left, instance)) = due.first() else {
            return Ok("no instance says when its socket is renewed".into());
        };
        let soon = spoken(Duration::from_secs_f64(left.round()));
        if *left < self.settings.renewal.time.as_secs_f64() {
            // The last of those that are close together, so that the advice is right the first time.
            let window = self.settings.renewal.time.as_secs_f64();
            let last = due.iter().map(|(left, _)| *left).take_while(|left| *left < window).last().unwrap_or(*left);
            let what = format!("Slack renews the socket of {} in {soon}", instance.url);
            return Err(RouterError::new(Trouble::NotNow, what).cure(format!(
                "wait {} until the sockets are renewed",
                spoken(Duration::from_secs_f64(last.ceil() + 1.0))
            )));
        }
        Ok(format!("the next socket is renewed in {soon}"))
    }
}

#[async_trait(?Send)]
impl TrafficRouter for SocketMode {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        if to == (Split { blue: 0, green: 0 }) {
            return Err(RouterError::new(
                Trouble::Invalid,
                "no instance would hold a socket, so Slack would drop every event",
            ));
        }
        self.hand_over(from, to).await
    }

    fn settle(&self) -> Duration {
        handover::SETTLE
    }
}
