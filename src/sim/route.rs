//! A simulated route: the provider's side of a scenario.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::{Place, Saw, Sim, Write};
use crate::clock::Clock;
use crate::plan::{Color, Split};
use crate::routers::{Call, Health, Identity, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble};

pub(super) struct SimRoute {
    pub(super) sim: Rc<Sim>,
    pub(super) name: String,
    pub(super) line: String,
}

impl SimRoute {
    /// Whether the provider answers at all.
    async fn answers(&self) -> Result<(), RouterError> {
        let now = self.sim.clock.time();
        if self.sim.scenario.mute.as_ref().is_some_and(|(from, route)| *from <= now && *route == self.name) {
            std::future::pending::<()>().await;
        }
        match self.sim.scenario.blind {
            Some((from, to)) if (from..to).contains(&now) => {
                Err(RouterError::new(Trouble::Unreachable, "the provider does not answer"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait(?Send)]
impl RouteView for SimRoute {
    fn line(&self) -> String {
        self.line.clone()
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        vec![self.line.clone()]
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        self.sim.clock.boundary().await;
        self.sim.clock.sleep(Duration::from_millis(10)).await;
        self.answers().await?;
        let split = self.sim.split_ago(&self.name, self.sim.scenario.staleness);
        Ok(Reading { split, exact: json!(split), remarks: Vec::new() })
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        self.sim.clock.boundary().await;
        self.answers().await?;
        let healthy = self.sim.healthy(stack);
        self.sim.saw(Saw::Health { route: self.name.clone(), stack, healthy });
        let Some(healthy) = healthy else {
            return Err(RouterError::new(Trouble::Unreachable, "the health of the targets cannot be read"));
        };
        Ok(Health { healthy, total: healthy.max(2), ..Health::default() })
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        Ok(Identity { line: "the simulated operator".into(), left: None, renews: true })
    }

    fn native_way_back(&self, _route: &str, reading: &Reading) -> NativeWayBack {
        NativeWayBack { files: Vec::new(), command: format!("put back {}", reading.split) }
    }
}

#[async_trait(?Send)]
impl TrafficRouter for SimRoute {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        let (sim, from) = (&self.sim, from.split);
        sim.clock.boundary().await;
        self.answers().await?;
        let found = sim.split_of(&self.name);
        if found != from {
            return Err(RouterError::new(Trouble::Drift { found }, format!("reads {found}, expected {from}")));
        }
        sim.saw(Saw::Sent { route: self.name.clone(), from, to });
        let n = sim.writes.replace(sim.writes.get() + 1);
        // A permission that is taken away stays away.
        let denied = sim.scenario.writes.iter().take(n).any(|w| *w == Write::Denied);
        let fate = if denied { Write::Denied } else { sim.scenario.writes.get(n).copied().unwrap_or(Write::Applied) };
        let now = sim.clock.time();
        let change = |change: fn(&mut Place, (Duration, Split)), at: Duration| {
            if let Some(place) = sim.places.borrow_mut().get_mut(&self.name) {
                change(place, (at, to));
            }
        };
        let apply = || change(|place, write| place.history.push(write), now);
        let lost = |what: &str| {
            let mut error = RouterError::new(Trouble::Unreachable, what.to_string());
            error.moved = true;
            Err(error)
        };
        let answer = match fate {
            Write::Applied => {
                apply();
                Ok(vec![Call { action: "set".into(), request_id: None, code: "ok".into(), time: Duration::ZERO }])
            }
            Write::ReplyLost => {
                apply();
                lost("the reply was lost")
            }
            Write::Lost => lost("no reply"),
            Write::Late(after) => {
                change(|place, write| place.late.push(write), now + after);
                lost("no reply")
            }
            Write::Throttled => Err(RouterError::new(Trouble::Throttled, "rate exceeded")),
            Write::Denied => Err(RouterError::new(Trouble::Denied, "access denied")),
        };
        sim.clock.sleep(Duration::from_millis(20)).await;
        sim.clock.boundary().await; // dead after the effect, before the record
        answer
    }

    fn settle(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn lands_within(&self) -> Duration {
        self.sim.scenario.lands_within
    }
}
