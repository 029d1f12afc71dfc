//! The credentials' remaining life against the longest way back: a move is not begun under a session that may end before users
//! could be brought home again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;
use crate::plan::{Move, Plan};
use crate::routers::TrafficRouter;
use crate::scalar::spoken;

/// How long an answer of the provider about who we are counts.
const COUNTS: Duration = Duration::from_secs(30);
/// One lost answer is no news.
const AGAIN: Duration = Duration::from_secs(2);

/// Who we are at each route, and for how long.
pub struct Credentials {
    clock: Rc<dyn Clock>,
    routes: BTreeMap<String, Rc<dyn TrafficRouter>>,
    /// When a route was asked, and what was left then.
    known: RefCell<BTreeMap<String, (Duration, Option<Duration>)>>,
}

/// The longest it can take from the forward step at `index` until users are home again: what is still to come forward when all
/// goes well, and then every move of the way back at its longest.
pub fn way_back_s(plan: &Plan, index: usize) -> u64 {
    let forward: u64 = plan.forward.iter().skip(index).map(|step| step.expected_s).sum();
    let back: u64 = plan.rollback.iter().filter(|step| step.moves.is_some()).map(|step| step.timeout_s).sum();
    forward.saturating_add(back)
}

impl Credentials {
    pub fn new(clock: Rc<dyn Clock>, routes: BTreeMap<String, Rc<dyn TrafficRouter>>) -> Self {
        Credentials { clock, routes, known: RefCell::default() }
    }

    /// Why this move forward may not begin: a session of some route of the plan may end before the way back is walked.
    pub async fn too_short(&self, plan: &Plan, change: &Move) -> Option<String> {
        let index = plan.forward.iter().position(|step| step.moves.as_ref() == Some(change)).unwrap_or(0);
        let needed = Duration::from_secs(way_back_s(plan, index));
        for name in self.routes.keys() {
            match self.left(name).await {
                Ok(Some(left)) if left < needed => {
                    return Some(format!(
                        "the credentials for route {name} end in {}, and it can take {} until users could be back: renew the session",
                        spoken(left),
                        spoken(needed)
                    ));
                }
                Ok(_) => {}
                Err(error) => {
                    return Some(format!("how long the credentials for route {name} live is not known: {error}"));
                }
            }
        }
        None
    }

    async fn left(&self, name: &str) -> Result<Option<Duration>, String> {
        let now = self.clock.elapsed();
        if let Some((at, left)) = self.known.borrow().get(name)
            && now.saturating_sub(*at) < COUNTS
        {
            return Ok(left.map(|left| left.saturating_sub(now.saturating_sub(*at))));
        }
        let route = &self.routes[name];
        let identity = match route.identity().await {
            Ok(identity) => identity,
            Err(error) if error.passing() => {
                self.clock.sleep(AGAIN).await;
                route.identity().await.map_err(|error| error.to_string())?
            }
            Err(error) => return Err(error.to_string()),
        };
        self.known.borrow_mut().insert(name.into(), (self.clock.elapsed(), identity.left));
        Ok(identity.left)
    }
}
