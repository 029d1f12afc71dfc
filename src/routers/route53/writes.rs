//! The writing side of the route: one batch, with everything that was found as its condition, and the wait for every server of
//! Route 53.

use std::time::Duration;

use async_trait::async_trait;

use super::Route53;
use super::api::Sent;
use super::batch::{Wanted, batch};
use super::records::Found;
use super::weights::wanted;
use crate::plan::Split;
use crate::routers::aws::WRITE_WITHIN;
use crate::routers::dns::generation::{Generation, Longer, word};
use crate::routers::{Call, Reading, RouterError, TrafficRouter, Trouble};

#[async_trait(?Send)]
impl TrafficRouter for Route53 {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        let Some(weights) = wanted(to) else {
            let why = match self.settings.takes(to) {
                Err(why) if to != (Split { blue: 0, green: 0 }) => why,
                _ => "with all weights 0 Route 53 sends users to every record alike".into(),
            };
            let what = format!("{} is not set to {to}: {why}", self.settings.shown());
            return Err(RouterError::new(Trouble::Invalid, what));
        };
        let now = self.compared(from).await?;
        if now.split() == to && !now.nobody() {
            // A write of before may not be everywhere yet.
            return self.in_sync().await.map(|()| Vec::new());
        }
        if now.split() != from.split {
            return Err(self.drifted(&now, from.split));
        }
        let ttl = now.own_ttl().unwrap_or_default().min(self.settings.ttl());
        let calls = self.change(&now, "move", Some(weights), ttl, now.longer()).await?;
        match self.everywhere(&now, to).await {
            Ok(()) => Ok(calls),
            Err(error) => Err(RouterError { calls, ..error }),
        }
    }

    /// A move ends when every server of Route 53 has it, and its API shows it at once.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    /// AWS publishes nothing; its own tools would go on waiting for the answer as long (botocore's `read_timeout`).
    fn lands_within(&self) -> Duration {
        WRITE_WITHIN
    }

    /// Lowers the TTL, waits until every server has it, and then writes down since when: from there on it is waited out.
    async fn complete(&self, from: &Reading) -> Result<Vec<Call>, RouterError> {
        let mut now = self.look().await?;
        if now.split() != from.split {
            return Err(self.drifted(&now, from.split));
        }
        let ttl = self.settings.ttl();
        let mut calls = Vec::new();
        if let Some(own) = now.own_ttl().filter(|own| *own > ttl) {
            let unsure = now.longer().filter(|longer| longer.since.is_none()).map_or(0, |longer| longer.ttl);
            let longer = Longer { ttl: u32::try_from(own).unwrap_or(u32::MAX).max(unsure), since: None };
            calls.extend(self.change(&now, "lower the TTL", None, ttl, Some(longer)).await.map_err(unmoved)?);
            now = self.look().await?;
        }
        if let Some(longer) = now.longer().filter(|longer| longer.since.is_none()) {
            // Of what another process lowered nobody here knows since when it is everywhere: it has until then.
            let known = !calls.is_empty() || self.pending.borrow().is_some();
            self.in_sync().await.map_err(unmoved)?;
            let later = if known { 0 } else { self.in_sync_within.as_secs() };
            let longer = Some(Longer { since: Some(Self::now() + later), ..longer });
            let own = now.own_ttl().unwrap_or_default();
            let written = self.change(&now, "write down since when", None, own, longer).await;
            calls.extend(
                written
                    .map_err(|error| RouterError { calls: [&calls[..], &error.calls].concat(), ..unmoved(error) })?,
            );
        }
        Ok(calls)
    }
}

/// A change of the TTL alone moves nobody.
fn unmoved(error: RouterError) -> RouterError {
    RouterError { moved: false, ..error }
}

impl Route53 {
    /// What a write is compared with: the caller's own look while it is young, or a new one. The batch compares once more.
    async fn compared(&self, from: &Reading) -> Result<Found, RouterError> {
        match self.young(self.young).filter(|found| found.exact() == from.exact) {
            Some(found) => Ok(found),
            None => self.look().await,
        }
    }

    fn drifted(&self, now: &Found, from: Split) -> RouterError {
        let found = now.split();
        let what = format!("{} is at {found}, not at {from}: nothing was written", self.settings.shown());
        RouterError::new(Trouble::Drift { found }, what)
    }

    /// Sends it once, if everything is still as it was found, and waits until every server of Route 53 has it.
    async fn change(
        &self,
        now: &Found,
        action: &'static str,
        weights: Option<Split>,
        ttl: i64,
        longer: Option<Longer>,
    ) -> Result<Vec<Call>, RouterError> {
        // A late look is no comparison after a write.
        self.looked.take();
        let generation = Generation::after(now.generation().as_ref(), word()?, longer);
        let wanted = Wanted { action, weights, ttl, generation };
        match self.send(batch(&self.settings, now, &wanted)).await? {
            Sent::Taken(calls) => match self.in_sync().await {
                Ok(()) => Ok(calls),
                Err(error) => Err(RouterError { calls, ..error }),
            },
            Sent::Otherwise(error) => Err(self.changed(now, error).await),
        }
    }

    /// Somebody was there between the look and the batch.
    async fn changed(&self, now: &Found, refused: RouterError) -> RouterError {
        let found = match self.look().await {
            Ok(found) => found.split(),
            Err(error) => return RouterError { calls: refused.calls, ..error },
        };
        let what = format!(
            "somebody else changed {} meanwhile, from {} to {found}; nothing was written: {}",
            self.settings.shown(),
            now.split(),
            refused.what
        );
        // The same split with another TTL or TXT is looked at anew and tried again.
        let kind = if found == now.split() { Trouble::NotNow } else { Trouble::Drift { found } };
        RouterError { calls: refused.calls, ..RouterError::new(kind, what) }
    }
}
