//! What a person should know of the records before moving, and whether the longer TTL of before is over.

use std::time::Duration;

use super::Route53;
use super::records::{ALIAS, Found};
use crate::clock::{Clock, SystemClock};
use crate::plan::Color;
use crate::routers::dns::generation::{held, wait};
use crate::routers::{RouterError, Trouble};

impl Route53 {
    pub(super) fn now() -> u64 {
        u64::try_from(SystemClock.now().as_second()).unwrap_or_default()
    }

    /// One line a thing.
    pub(super) async fn remarks(&self, found: &Found) -> Vec<String> {
        let ttl = found.ttl();
        let back = match found.own_ttl() {
            Some(own) => own.min(self.settings.ttl()).max(if found.alias() { ALIAS } else { 0 }),
            None => ALIAS,
        };
        let mut remarks = vec![format!(
            "users follow as their resolvers ask again: a move now reaches them over up to {ttl} s after Route 53 has it, which \
             mostly takes up to 60 s; going back after it takes as long and {back} s, some later; drain no sooner than {} s after a \
             move, and while requests still come",
            ttl * 2
        )];
        if found.split().only().is_none() {
            remarks.push(
                "weights share out answers, and a resolver keeps one for all its users: shares of users differ".into(),
            );
        }
        if found.nobody() && !found.alias() {
            remarks.push("both weights are 0, and Route 53 then sends users to both alike".into());
        }
        if found.alias() {
            remarks.push(format!(
                "a record is an alias: its TTL is that of what it leads to ({ALIAS} s of a load balancer), and cannot be lowered"
            ));
        }
        let checked: Vec<String> = Color::BOTH
            .into_iter()
            .filter(|side| {
                let alias = found.side(*side).alias_target().is_some_and(|alias| alias.evaluate_target_health());
                alias || found.side(*side).health_check_id().is_some()
            })
            .map(|side| side.to_string())
            .collect();
        if !checked.is_empty() {
            remarks.push(format!(
                "Route 53 leaves out {} when it is not well, and sends users elsewhere whatever the weights say",
                checked.join(" or ")
            ));
        }
        if let Some(longer) =
            found.longer().filter(|longer| found.own_ttl().is_some_and(|own| i64::from(longer.ttl) > own))
        {
            remarks.push(format!(
                "the TTL was {} s before it was lowered: put it back when nobody will go back any more (`bgctl explain route53`)",
                longer.ttl
            ));
        }
        for (who, _, answer) in self.asked(found).await {
            remarks.push(match answer {
                Ok(counted) => format!("{who}: {counted}, kept for up to {} s", counted.ttl),
                Err(why) => format!("{who} gives no answer: {why}"),
            });
        }
        let mut repeats = self.repeats.take();
        repeats.dedup();
        remarks.extend(repeats);
        remarks
    }

    /// The longer TTL may still be in the caches of resolvers. What was looked at, where it is not.
    pub(super) async fn waited_out(&self, found: &Found) -> Result<Vec<String>, RouterError> {
        let (place, ttl) = (self.settings.shown(), self.settings.ttl());
        let read = format!("{place} is at {}", found.split());
        held(&place, found.longer(), u32::try_from(ttl).unwrap_or_default(), Self::now(), &read)?;
        let mut said = vec![match found.own_ttl() {
            Some(own) => format!("{place} at {} with TTL {own} s", found.split()),
            None => format!(
                "{place} at {} with aliases, kept for {ALIAS} s where they lead to a load balancer",
                found.split()
            ),
        }];
        for (who, recursive, answer) in self.asked(found).await {
            let counted = answer.map_err(|why| {
                let what = format!("{who} gives no answer for {place}: {why}");
                RouterError::new(Trouble::Unreachable, what).cure("start it, or take it out of the runbook")
            })?;
            let longer = i64::from(counted.ttl) - ttl;
            if recursive && longer > 0 {
                let what = format!("{who} holds {place} for {} s more, longer than its TTL is now", counted.ttl);
                return Err(wait(what, Duration::from_secs(longer.unsigned_abs()), &read));
            }
            said.push(format!("{who}: {counted}"));
        }
        Ok(said)
    }
}
