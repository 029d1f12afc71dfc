//! The writing side: compare, raise the side that gains, read that back, then lower the side that loses and read that back.
//!
//! With several HAProxies all are compared before the first is written, and nowhere anybody loses before all have gained. A
//! line of commands is sent once.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::Haproxy;
use super::fleet::{Exact, Fleet, Place, said, silent};
use super::servers::{Instance, facts, process};
use super::socket::{WITHIN, lines};
use super::weights;
use crate::clock::{Clock, SystemClock};
use crate::plan::{Color, Split};
use crate::routers::{Call, Cut, Reading, RouterError, TrafficRouter, Trouble};

/// How long a line of commands whose answer was lost is reckoned with. HAProxy follows commands as they come, so one that is
/// alive has followed it or never will; this is for one that is slow, twice as long as its answer is waited for.
const LANDS_WITHIN: Duration = Duration::from_secs(2 * WITHIN.as_secs());

/// What one HAProxy is told, in two parts.
struct Told<'f> {
    place: &'f Place,
    instance: &'f Instance,
    gain: Vec<String>,
    lose: Vec<String>,
    /// Each server's weight when both parts are done, in the order of the instance.
    after: Vec<u32>,
}

/// The weight of each server of an HAProxy for this split.
pub fn weights(instance: &Instance, to: Split) -> Result<Vec<u32>, RouterError> {
    let weights = instance.weights();
    weights::wanted(&weights, to).ok_or_else(|| {
        let nobody = |side: &Color| to.weight(*side) > 0 && !instance.of(*side).any(|server| server.weighed.takes);
        if let Some(side) = Color::BOTH.iter().find(|side| nobody(side)) {
            let what = format!(
                "no server of {side} takes users at `{}`: each is in maintenance, in drain, or a backup",
                instance.at
            );
            let cure = "`set server BACKEND/SERVER state ready` on its socket ends both maintenance and drain";
            return RouterError::new(Trouble::NotNow, what).cure(cure);
        }
        let what = format!(
            "the weights at `{}` are whole numbers up to {}, which cannot give {to}",
            instance.at,
            weights::MOST
        );
        let error = RouterError::new(Trouble::Invalid, what);
        match weights::nearest(&weights, to) {
            Some(n) => error.cure(format!("the nearest share that green can have is {}.{}%", n / 10, n % 10)),
            None => error,
        }
    })
}

#[async_trait(?Send)]
impl TrafficRouter for Haproxy {
    async fn cut(&self, stack: Color) -> Result<Cut, RouterError> {
        self.cut_sessions(stack).await
    }

    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        if to == (Split { blue: 0, green: 0 }) {
            return Err(self.refuse(Trouble::Invalid, "is not set to 0/0: HAProxy would answer everybody 503"));
        }
        let mut fleet = self.fleet().await;
        let told = Exact::read(&from.exact).map(|exact| exact.silent).unwrap_or_default();
        if let Some((_, error)) = fleet.silent.iter().find(|(at, _)| !told.contains(at)) {
            return Err(error.clone());
        }
        let found = fleet.split();
        if found != from.split && found != to {
            let what = format!("is at {found}, not at {}: nothing was written", from.split);
            return Err(self.refuse(Trouble::Drift { found }, &what));
        }
        let all = self.told(&fleet, to)?;
        let mut calls = Vec::new();
        let done = match self.part(&all, true, &mut calls).await {
            Ok(()) => self.part(&all, false, &mut calls).await,
            gained => gained,
        };
        // A side that is left by those that answer may still have users at one that does not.
        let whole = done.and_then(|()| match fleet.silent.pop() {
            None => Ok(()),
            Some((_, error)) => {
                let what = format!("the other HAProxies are at {to}, but {error}");
                Err(RouterError { what, moved: true, ..error })
            }
        });
        match whole {
            Ok(()) => Ok(calls),
            Err(error) => {
                let moved = error.moved || calls.iter().any(|call| call.code == "ok");
                Err(RouterError { moved, calls, ..error })
            }
        }
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    fn lands_within(&self) -> Duration {
        LANDS_WITHIN
    }
}

impl Haproxy {
    /// What each of them is told: nothing where all is as it should be.
    fn told<'f>(&'f self, fleet: &'f Fleet, to: Split) -> Result<Vec<Told<'f>>, RouterError> {
        let mut all = Vec::new();
        for instance in &fleet.found {
            // Weights of the same share stay as they are: only the share moves users.
            if instance.split() == to {
                continue;
            }
            let after = weights(instance, to)?;
            let Some(place) = self.places.iter().find(|place| place.at == instance.at) else { continue };
            let commands = |gains: bool| -> Vec<String> {
                let changes = instance.servers.iter().zip(&after).filter(|(s, w)| match gains {
                    true => **w > s.weighed.weight,
                    false => **w < s.weighed.weight,
                });
                let command =
                    |(s, w): (&_, &u32)| format!("set server {}/{} weight {w}", self.settings.backend, name(s));
                changes.map(command).collect()
            };
            all.push(Told { place, instance, gain: commands(true), lose: commands(false), after });
        }
        Ok(all)
    }

    /// One part of a change, at all of them at once.
    async fn part(&self, all: &[Told<'_>], gain: bool, calls: &mut Vec<Call>) -> Result<(), RouterError> {
        let mut failed = None;
        for (mut sent, end) in join_all(all.iter().map(|told| self.tell(told, gain))).await {
            calls.append(&mut sent);
            if let Err(error) = end {
                // What may have moved users is what there is to say.
                failed = failed.filter(|first: &RouterError| first.moved || !error.moved).or(Some(error));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Sends one part to one HAProxy, and reads back what it came to.
    async fn tell(&self, told: &Told<'_>, gain: bool) -> (Vec<Call>, Result<(), RouterError>) {
        let commands = if gain { &told.gain } else { &told.lose };
        let mut calls = Vec::new();
        for line in lines(commands.clone()) {
            let (call, end) = self.send(told, gain, line).await;
            calls.push(call);
            if end.is_err() {
                return (calls, end);
            }
        }
        (calls, Ok(()))
    }

    async fn send(&self, told: &Told<'_>, gain: bool, line: Vec<String>) -> (Call, Result<(), RouterError>) {
        let at = &told.place.at;
        let mut questions = line.clone();
        questions.extend(["show info".into(), format!("show servers state {}", self.settings.backend)]);
        let begun = SystemClock.elapsed();
        let answered = told.place.address.ask(&questions).await;
        let time = SystemClock.elapsed().saturating_sub(begun);
        let call = |code: &str| Call {
            action: format!("{} at {at}", line.join("; ")),
            request_id: None,
            code: code.into(),
            time,
        };
        let answers = match answered {
            Ok(answers) => answers,
            Err(silence) => {
                let error = RouterError { moved: silence.sent, ..silent(at, &silence) };
                return (call("no answer"), Err(error));
            }
        };
        // Success is nothing; everything else is why not, in HAProxy's words.
        let refusals: Vec<String> =
            answers[..line.len()].iter().filter(|a| !a.is_empty()).map(|a| a.join(" ")).collect();
        if let Some(words) = refusals.first() {
            let error = RouterError { moved: refusals.len() < line.len(), ..said(at, words) };
            return (call(words), Err(error));
        }
        let end = self.read_back(told, gain, &line, &answers[line.len()..]);
        (call("ok"), end)
    }

    /// The same process that was compared holds the weights that were sent.
    fn read_back(
        &self,
        told: &Told<'_>,
        gain: bool,
        line: &[String],
        answers: &[Vec<String>],
    ) -> Result<(), RouterError> {
        let at = &told.place.at;
        let moved = |what: String| RouterError { moved: true, ..RouterError::new(Trouble::Unreachable, what) };
        if process(&facts(&answers[0])).as_ref() != Some(&told.instance.process) {
            return Err(moved(format!(
                "haproxy at `{at}` was reloaded while weights were set: they may be those of its configuration"
            )));
        }
        let held = super::servers::held(&answers[1]);
        for (server, after) in told.instance.servers.iter().zip(&told.after) {
            let gains = *after > server.weighed.weight;
            let sent = line.iter().any(|command| command.contains(&format!("/{} weight ", name(server))));
            if sent && gains == gain && held.get(name(server)) != Some(after) {
                let reads = held.get(name(server)).map_or("nothing".into(), u32::to_string);
                return Err(moved(format!(
                    "haproxy at `{at}` took the weight {after} of `{}` and reads back {reads}",
                    name(server)
                )));
            }
        }
        Ok(())
    }
}

fn name(server: &super::servers::Server) -> &str {
    &server.weighed.name
}
