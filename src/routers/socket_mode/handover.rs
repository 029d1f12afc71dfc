//! Sockets change hands: first the side that gains opens its own and every one of them has had its hello, then the side
//! that loses gives up one after the other, each with its work done.
//!
//! So there is no moment with fewer sockets than before, and never fewer than the floor. Events go to both fleets
//! meanwhile, which is why both must share their memory of what was handled.

use std::time::Duration;

use futures_util::future::join_all;

use super::fleet::{Fleets, Instance, LOOK, RENEWING, Said, split};
use super::{MOST, SILENT, SocketMode};
use crate::clock::{Clock, SystemClock};
use crate::plan::{Color, Split};
use crate::routers::{Call, Reading, RouterError, Trouble};

/// How long a hello may take: one renewal of the slowest client known, twice.
const HELLO: Duration = Duration::from_secs(25);
/// A socket is not given up when another one is to be renewed within this time.
const NEAR: Duration = Duration::from_secs(15);
/// How long is waited for renewals to pass before a socket is given up.
const CALM: Duration = Duration::from_secs(60);
/// How many sockets each side is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub blue: u32,
    pub green: u32,
}

impl Target {
    fn of(self, stack: Color) -> u32 {
        match stack {
            Color::Blue => self.blue,
            Color::Green => self.green,
        }
    }
}

/// The most sockets with exactly this split, from so many instances.
pub fn target(to: Split, blue: u32, green: u32, floor: u32) -> Result<Target, RouterError> {
    let all = (0..=blue).flat_map(|b| (0..=green).map(move |g| Target { blue: b, green: g }));
    let fits = |t: &Target| (t.blue + t.green) as usize <= MOST && t.blue + t.green >= floor;
    let best = all.filter(fits).filter(|t| split(t.blue, t.green) == to).max_by_key(|t| t.blue + t.green);
    best.ok_or_else(|| {
        let what = format!("{blue} BLUE and {green} GREEN instances cannot split {to} with {floor} sockets or more");
        let cure = format!("shift to a share that green can have: {}", shares(blue, green, floor));
        RouterError::new(Trouble::Invalid, what).cure(cure)
    })
}

/// Green's shares that so many instances can have, in words.
fn shares(blue: u32, green: u32, floor: u32) -> String {
    let mut all: Vec<u32> = (0..=blue)
        .flat_map(|b| (0..=green).map(move |g| (b, g)))
        .filter(|(b, g)| b + g >= floor && b + g > 0 && (b + g) as usize <= MOST)
        .map(|(b, g)| (g * 1000 + (b + g) / 2) / (b + g))
        .collect();
    all.sort_unstable();
    all.dedup();
    let words =
        all.into_iter().map(|n| if n % 10 == 0 { format!("{}%", n / 10) } else { format!("{}.{}%", n / 10, n % 10) });
    words.collect::<Vec<_>>().join(", ")
}

/// One change under way: what was sent, and whether somebody's events may go elsewhere by now.
struct Handover<'a> {
    route: &'a SocketMode,
    target: Target,
    calls: Vec<Call>,
    /// So many sockets of blue are enough for green to give up its own.
    blue_enough: u32,
    /// Everybody who was told to connect has given the socket up again.
    taken_back: bool,
}

impl SocketMode {
    /// Instances of which `from` says that nothing is known are no obstacle: the others connect first, and what the silent
    /// ones hold is asked for last.
    pub async fn hand_over(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        let fleets = self.settled().await?;
        let told = |i: &Instance| from.exact[SILENT].as_array().is_some_and(|all| all.iter().any(|url| *url == i.url));
        if let Some(error) = fleets.unknown().filter(|_| !fleets.silent().all(told)) {
            return Err(error);
        }
        let found = fleets.split();
        let fleet = |stack| fleets.of(stack).filter(|i| i.report().is_some()).count() as u32;
        let (blue, green) = (fleet(Color::Blue), fleet(Color::Green));
        let target = target(to, blue, green, self.settings.floor)?;
        if found != from.split && found != to {
            let what = format!("the sockets are at {found}, not at {}: nothing was sent", from.split);
            return Err(RouterError::new(Trouble::Drift { found }, what));
        }
        let peak: u32 = Color::BOTH.into_iter().map(|c| fleets.holding(c).max(target.of(c))).sum();
        if peak as usize > MOST {
            let what = format!("{peak} sockets would be open at once, and Slack keeps {MOST}");
            return Err(RouterError::new(Trouble::Invalid, what).cure("take instances out of one of the fleets"));
        }
        let mut handover =
            Handover { route: self, target, calls: Vec::new(), blue_enough: target.blue, taken_back: false };
        match handover.walk(fleets).await {
            Ok(()) => Ok(handover.calls),
            Err(mut error) => {
                handover.calls.append(&mut error.calls);
                // Every wish that was sent may have been followed, and none of them where all were taken back.
                error.moved = !handover.calls.is_empty() && !handover.taken_back;
                error.calls = handover.calls;
                Err(error)
            }
        }
    }
}

impl Handover<'_> {
    async fn walk(&mut self, fleets: Fleets) -> Result<(), RouterError> {
        if let Err(error) = self.open(&fleets).await {
            self.without_some(&fleets, error).await?;
        }
        for stack in Color::BOTH {
            loop {
                // Where blue does without some of its sockets nobody waits for them.
                let all = self.blue_enough == self.target.blue;
                let fleets = if all { self.route.settled().await? } else { self.route.fleets().await? };
                if !self.excess(&fleets, stack) {
                    break;
                }
                self.give_up_one(stack).await?;
            }
        }
        self.ask_the_silent(&fleets).await
    }

    /// Not everybody who was told to connect has a socket. Users go back to as many of blue as are enough: room for the others
    /// may only come when green gives up its own. A green that Slack refuses gets nobody, and what it was told is taken back.
    async fn without_some(&mut self, before: &Fleets, error: RouterError) -> Result<(), RouterError> {
        let held = self.route.fleets().await?.holding(Color::Blue);
        if self.target.green == 0 && held >= self.route.settings.floor {
            self.blue_enough = held;
            return Ok(());
        }
        if error.kind == Trouble::Invalid && self.target.green > before.holding(Color::Green) {
            let told = before.of(Color::Green).filter(|i| i.report().is_some_and(|report| !report.open));
            let told: Vec<Instance> = told.cloned().collect();
            let mut all = true;
            for answer in join_all(told.iter().map(|instance| self.route.wish(instance, false))).await {
                match answer {
                    Ok(call) => self.calls.push(call),
                    Err(mut error) => {
                        self.calls.append(&mut error.calls);
                        all = false;
                    }
                }
            }
            all &= self.target.blue <= before.holding(Color::Blue);
            all &= join_all(told.iter().map(|instance| self.at_rest(instance))).await.iter().all(Result::is_ok);
            self.taken_back = all;
        }
        Err(error)
    }

    /// Tells those that kept silent to give up their sockets too: one that is only slow, or goes on later, will. What they hold
    /// until they say so is not known.
    async fn ask_the_silent(&mut self, fleets: &Fleets) -> Result<(), RouterError> {
        let silent: Vec<&Instance> = fleets.silent().filter(|i| self.target.of(i.stack) == 0).collect();
        for answer in join_all(silent.iter().map(|instance| self.route.wish(instance, false))).await {
            match answer {
                Ok(call) => self.calls.push(call),
                Err(mut error) => self.calls.append(&mut error.calls),
            }
        }
        let said = join_all(silent.iter().map(|instance| self.route.report(&instance.url))).await;
        let still: Vec<Instance> =
            silent.into_iter().zip(said).map(|(i, said)| Instance { said, ..i.clone() }).collect();
        match Fleets(still).unknown() {
            None => Ok(()),
            Some(error) => {
                let what = format!("{} holds its sockets now, but {error}", self.gaining());
                Err(RouterError { what, ..error })
            }
        }
    }

    /// The side that is to hold sockets, in words.
    fn gaining(&self) -> String {
        let sides: Vec<String> =
            Color::BOTH.into_iter().filter(|c| self.target.of(*c) > 0).map(|c| c.to_string()).collect();
        sides.join(" and ")
    }

    /// Opens what is missing on both sides, all at once: a way back has no time to lose, and a further socket harms nobody.
    async fn open(&mut self, fleets: &Fleets) -> Result<(), RouterError> {
        let mut wanted = Vec::new();
        for stack in Color::BOTH {
            let missing = self.target.of(stack).saturating_sub(fleets.holding(stack)) as usize;
            let idle = fleets.of(stack).filter(|i| i.report().is_some() && !i.holds());
            wanted.extend(idle.take(missing).cloned());
        }
        let sent = join_all(wanted.iter().map(|instance| self.route.wish(instance, true))).await;
        let mut refused = None;
        for answer in sent {
            match answer {
                Ok(call) => self.calls.push(call),
                Err(mut error) => {
                    self.calls.append(&mut error.calls);
                    refused = Some(error);
                }
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        for answer in join_all(wanted.iter().map(|instance| self.hello(instance))).await {
            answer?;
        }
        Ok(())
    }

    /// Waits until an instance has had its hello.
    async fn hello(&self, instance: &Instance) -> Result<(), RouterError> {
        let begun = SystemClock.elapsed();
        loop {
            let now = Instance { said: self.route.report(&instance.url).await, ..instance.clone() };
            if now.holds() {
                return Ok(());
            }
            let why = match &now.said {
                Said::Report(report) => {
                    if let Some(words) = report.refused() {
                        let what = format!("{} gets no socket: {words}", instance.url);
                        return Err(RouterError::new(Trouble::Invalid, what));
                    }
                    report.half_open().unwrap_or_else(|| "it has had no hello".into())
                }
                Said::Gone(why) | Said::Unknown(why) => why.clone(),
            };
            if SystemClock.elapsed() - begun > HELLO {
                let what = format!("{} has no socket after {}s: {why}", instance.url, HELLO.as_secs());
                return Err(RouterError::new(Trouble::Unreachable, what));
            }
            SystemClock.sleep(LOOK).await;
        }
    }

    fn excess(&self, fleets: &Fleets, stack: Color) -> bool {
        fleets.of(stack).filter(|i| !i.at_rest() && may_get_events(i)).count() as u32 > self.target.of(stack)
    }

    /// Takes one socket from a side, in a calm moment, and waits until its instance has done its work.
    async fn give_up_one(&mut self, stack: Color) -> Result<(), RouterError> {
        let begun = SystemClock.elapsed();
        let instance = loop {
            let fleets = self.route.fleets().await?;
            match self.next(&fleets, stack) {
                Ok(instance) => break instance,
                Err(why) if SystemClock.elapsed() - begun > CALM => {
                    let what = format!("{stack} keeps its sockets: {why} for {}s", CALM.as_secs());
                    return Err(RouterError::new(Trouble::Unreachable, what));
                }
                Err(_) => SystemClock.sleep(LOOK).await,
            }
        };
        self.calls.push(self.route.wish(&instance, false).await?);
        self.at_rest(&instance).await
    }

    /// Waits until an instance that was told to give up its socket has none, and no work.
    async fn at_rest(&self, instance: &Instance) -> Result<(), RouterError> {
        let begun = SystemClock.elapsed();
        loop {
            let now = Instance { said: self.route.report(&instance.url).await, ..instance.clone() };
            if now.at_rest() {
                return Ok(());
            }
            let within = &self.route.settings.work_within;
            if SystemClock.elapsed() - begun > within.time {
                let left = match &now.said {
                    Said::Report(report) if report.connected > 0 => "it still holds its socket".into(),
                    Said::Report(report) => format!("{} pieces of work are left", report.inflight),
                    Said::Gone(why) | Said::Unknown(why) => why.clone(),
                };
                let what = format!("{} has not come to rest within {within}: {left}", instance.url);
                return Err(RouterError::new(Trouble::Unreachable, what));
            }
            SystemClock.sleep(LOOK).await;
        }
    }

    /// The instance that gives up its socket next, or why none may now.
    fn next(&self, fleets: &Fleets, stack: Color) -> Result<Instance, String> {
        // One without a socket at the moment has none to lose: told now, it does not get one back.
        if let Some(idle) = fleets.of(stack).find(|i| i.wants_one()) {
            return Ok(idle.clone());
        }
        let left = fleets.all_holding().saturating_sub(1);
        if left < self.route.settings.floor {
            return Err(format!("only {left} sockets would be left, {} needed", self.route.settings.floor));
        }
        let other = stack.other();
        let enough = if other == Color::Blue { self.blue_enough } else { self.target.green };
        if fleets.holding(other) < enough {
            return Err(format!("{other} holds {} of {enough} sockets", fleets.holding(other)));
        }
        let without = |i: &Instance| i.stack == Color::Blue && self.blue_enough < self.target.blue;
        if let Some(renewing) = fleets.0.iter().find(|i| i.renewing() && !without(i)) {
            return Err(format!("{} is renewing its socket", renewing.url));
        }
        let now = SystemClock.now().as_millisecond() as f64 / 1000.0;
        // The one whose socket ends first anyway goes first: its renewal then never happens.
        let due = |i: &Instance| i.renewal_in(now).unwrap_or(f64::MAX);
        let mut candidates: Vec<&Instance> = fleets.of(stack).filter(|i| may_get_events(i)).collect();
        candidates.sort_by(|a, b| due(a).total_cmp(&due(b)));
        let Some(first) = candidates.first() else { return Err("none of them answers".into()) };
        let near = |i: &&Instance| i.url != first.url && (0.0..NEAR.as_secs_f64()).contains(&due(i));
        if let Some(other) = fleets.0.iter().find(near) {
            return Err(format!("{} is about to renew its socket", other.url));
        }
        Ok((*first).clone())
    }
}

/// It holds a socket, or will get one by itself.
fn may_get_events(instance: &Instance) -> bool {
    instance.holds() || instance.wants_one()
}

/// The longest a change may leave traces: a client that renews its socket just then.
pub const SETTLE: Duration = RENEWING;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_held_by_as_many_sockets_as_there_are() {
        let of = |green: u32, b: u32, g: u32| target(Split::of_green(green), b, g, 2).ok().map(|t| (t.blue, t.green));
        let table = [
            (0, 3, 3, Some((3, 0))),
            (1000, 3, 3, Some((0, 3))),
            (500, 3, 3, Some((3, 3))),
            (250, 3, 3, Some((3, 1))),
            (333, 4, 2, Some((4, 2))),
            (100, 3, 3, None),
            (100, 9, 1, Some((9, 1))),
            (500, 8, 8, Some((5, 5))),
            (1000, 3, 1, None),
        ];
        for (green, b, g, wanted) in table {
            assert_eq!(of(green, b, g), wanted, "{green} of {b}+{g}");
        }
        assert_eq!(shares(3, 3, 2), "0%, 25%, 33.3%, 40%, 50%, 60%, 66.7%, 75%, 100%");
    }
}
