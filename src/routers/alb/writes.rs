//! The writing side of the router: the comparison before a write, and the one call it is.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::types::Action;

use super::actions::{self, MOST};
use super::found::{Found, Writes};
use super::{Alb, LANDS_WITHIN, Looked, SETTLE, Wrote, way_back};
use crate::clock::{Clock, SystemClock};
use crate::plan::Split;
use crate::routers::aws::Attempts;
use crate::routers::{Call, Reading, RouteView, RouterError, TrafficRouter, Trouble};

#[async_trait(?Send)]
impl TrafficRouter for Alb {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        if to == (Split { blue: 0, green: 0 }) {
            return Err(self.refuse(Trouble::Invalid, "is not set to 0/0: AWS does not say where users go then"));
        }
        if to.blue > MOST || to.green > MOST {
            return Err(
                self.refuse(Trouble::Invalid, format!("takes weights from 0 to {MOST}, not {}/{}", to.blue, to.green))
            );
        }
        let found = self.compared(from).await?;
        if actions::in_place(&found.seen, to) {
            return Ok(Vec::new());
        }
        // Already at `to`, and only a group is missing from the list or has to leave it: no user is sent anywhere new.
        if found.seen.split != from.split && found.seen.split != to {
            return Err(self.drifted(&found, from));
        }
        // A write that only completes the list of groups changes no split, so nothing can be told apart by it.
        if found.seen.split != to {
            self.wrote.set(Some(Wrote { before: found.seen.split, at: SystemClock.elapsed() }));
        }
        let wanted = actions::with_split(&found.actions, &self.settings.groups, &found.seen, to);
        self.send(found.writes, wanted).await
    }

    async fn complete(&self, from: &Reading) -> Result<Vec<Call>, RouterError> {
        if self.lacks(from).is_none() {
            return Ok(Vec::new());
        }
        let found = self.compared(from).await?;
        if way_back::to_json(&found.actions) != from.exact["actions"] {
            return Err(self.drifted(&found, from));
        }
        let wanted = actions::with_both(&found.actions, &self.settings.groups, found.seen.split);
        self.send(found.writes, wanted).await
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn lands_within(&self) -> Duration {
        LANDS_WITHIN
    }
}

impl Alb {
    /// What a write is compared with: the caller's own look while it is young, or a new one.
    async fn compared(&self, from: &Reading) -> Result<Found, RouterError> {
        let young = |looked: &Looked| SystemClock.elapsed() < looked.at + self.young && looked.exact == from.exact;
        match self.looked.take().filter(young) {
            Some(looked) => Ok(looked.found),
            None => self.look().await,
        }
    }

    fn drifted(&self, found: &Found, from: &Reading) -> RouterError {
        let now = found.seen.split;
        let what = match now == from.split {
            true => "is not as it was read: its actions have been changed since, and nothing was written".into(),
            false => format!("is at {now}, not at {}: nothing was written", from.split),
        };
        self.refuse(Trouble::Drift { found: now }, what)
    }

    /// Sends a list of actions, once.
    async fn send(&self, to: Writes, actions: Vec<Action>) -> Result<Vec<Call>, RouterError> {
        let (client, attempts) = (self.api.reads().await, Attempts::default());
        match to {
            Writes::Rule(arn) => {
                let call = client.modify_rule().rule_arn(&arn).set_actions(Some(actions)).customize();
                let sent = call.config_override(self.once()).interceptor(attempts.clone()).send().await;
                sent.map_err(|e| self.failed("ModifyRule", &arn, &attempts, e))?;
                Ok(self.own(attempts.calls("ModifyRule", "ok")))
            }
            Writes::Listener(arn) => {
                let call = client.modify_listener().listener_arn(&arn).set_default_actions(Some(actions)).customize();
                let sent = call.config_override(self.once()).interceptor(attempts.clone()).send().await;
                sent.map_err(|e| self.failed("ModifyListener", &arn, &attempts, e))?;
                Ok(self.own(attempts.calls("ModifyListener", "ok")))
            }
        }
    }
}
