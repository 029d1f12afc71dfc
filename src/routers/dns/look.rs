//! What servers and resolvers say of the record, and what a person should know of it.

use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::rr::RData;

use super::Dns;
use super::errors::odd;
use super::generation::{held, wait};
use super::record::{Found, listed, same};
use super::server::Server;
use crate::clock::{Clock, SystemClock};
use crate::plan::Split;
use crate::routers::{RouterError, Trouble};

/// What a resolver holds and for how many seconds at most, or why it does not say.
pub type Held = Result<(u32, Vec<RData>), String>;

impl Dns {
    /// The record as one server has it now.
    pub(super) async fn look(&self, server: &Server) -> Result<Found, RouterError> {
        let answers = server.ask(&self.place.questions(), false).await;
        let answers = answers.map_err(|why| {
            RouterError::new(
                Trouble::Unreachable,
                format!("{server} does not answer for {}: {why}", self.place.shown()),
            )
        })?;
        self.place.found(&answers).map_err(|found| odd(&self.place, server, &found))
    }

    /// Where users are led by what a server has.
    pub(super) fn split(&self, server: &Server, found: &Found) -> Result<Split, RouterError> {
        found.split(&self.settings).map_err(|neither| {
            let what =
                format!("{} at {server} holds {}, which is of neither side", self.place.shown(), listed(&neither));
            RouterError {
                read: Some(format!("{server} leads users to {}", listed(&found.data))),
                ..RouterError::new(Trouble::Invalid, what)
            }
            .cure("write it under `blue` or `green`, or take it out of the record")
        })
    }

    /// What each resolver holds, and for how long still; nothing, where it does not answer.
    pub(super) async fn resolved(&self) -> Vec<(&Server, Held)> {
        let (name, kind) = (&self.place.name, self.place.kind);
        join_all(self.resolvers.iter().map(|resolver| async move {
            let answers = resolver.ask(&[(name, kind)], true).await;
            (resolver, answers.map(|answers| self.place.held(&answers[0])))
        }))
        .await
    }

    /// What a person should know of it before moving.
    pub(super) fn remarks(&self, found: &Found, split: Split, resolved: &[(&Server, Held)]) -> Vec<String> {
        let ttl = found.ttl.min(self.settings.ttl());
        let mut remarks = vec![format!(
            "users follow as their resolvers ask again: a move now reaches them over up to {} s, going back after it over up to \
             {ttl} s, some later; drain no sooner than {} s after a move, and while requests still come",
            found.ttl,
            u64::from(found.ttl) * 2
        )];
        if let Some(side) = split.only()
            && !same(&found.data, &self.settings.side(side))
        {
            let all = listed(&self.settings.side(side));
            remarks.push(format!("the record has {} of {side}'s {all}", listed(&found.data)));
        }
        if let Some(longer) = found.longer().filter(|longer| longer.ttl > found.ttl) {
            remarks.push(format!(
                "the TTL was {} s before it was lowered: put it back when nobody will go back any more (`bgctl explain dns`)",
                longer.ttl
            ));
        }
        for (resolver, answer) in resolved {
            remarks.extend(match answer {
                Ok((_, data)) if same(data, &found.data) => None,
                Ok((left, data)) => Some(format!("resolver {resolver} still answers {} for {left} s", listed(data))),
                Err(why) => Some(format!("resolver {resolver} gives no answer: {why}")),
            });
        }
        remarks
    }

    pub(super) fn now() -> u64 {
        u64::try_from(SystemClock.now().as_second()).unwrap_or_default()
    }

    /// The longer TTL may still be in the caches of resolvers.
    pub(super) async fn waited_out(&self, found: &Found) -> Result<(), RouterError> {
        let place = self.place.shown();
        let read = format!("{place} leads to {}", listed(&found.data));
        held(&place, found.longer(), self.settings.ttl(), Self::now(), &read)?;
        for (resolver, answer) in self.resolved().await {
            let (left, _) = answer.map_err(|why| {
                RouterError::new(
                    Trouble::Unreachable,
                    format!("resolver {resolver} gives no answer for {place}: {why}"),
                )
                .cure("start it, or take it out of `resolvers`")
            })?;
            if left > self.settings.ttl() {
                let what = format!("resolver {resolver} holds {place} for {left} s more, longer than its TTL is now");
                return Err(wait(what, Duration::from_secs((left - self.settings.ttl()).into()), &read));
            }
        }
        Ok(())
    }
}
