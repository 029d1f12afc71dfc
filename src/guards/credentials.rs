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
    /// When a route was asked, and what was left then of credentials that do not renew themselves.
    known: RefCell<BTreeMap<String, (Duration, Option<Duration>)>>,
}

/// The longest users can stay on the split that the forward step at `index` makes until they are home again: the watch that
/// follows it, up to the next move, before which is asked again; and then every move of the way back at its longest.
pub fn way_back_s(plan: &Plan, index: usize) -> u64 {
    let step = plan.forward.iter().skip(index).take(1);
    let watch = plan.forward.iter().skip(index + 1).take_while(|step| step.moves.is_none());
    let forward: u64 = step.chain(watch).map(|step| step.expected_s).sum();
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
                        "the credentials for route {name} end in {} and cannot renew themselves, and it can take {} until users could be back: renew the session",
                        spoken(left),
                        spoken(needed)
                    ));
                }
                Ok(_) => {}
                Err(error) => {
                    return Some(format!("the end of the credentials for route {name} is not known: {error}"));
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
        // What renews itself has no end that matters: only its next renewal is that far away.
        let left = identity.left.filter(|_| !identity.renews);
        self.known.borrow_mut().insert(name.into(), (self.clock.elapsed(), left));
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use async_trait::async_trait;

    use super::*;
    use crate::plan::{Color, Lane, PlannedStep, Split};
    use crate::routers::{Call, Health, Identity, NativeWayBack, Reading, RouteView, RouterError, Trouble};
    use crate::sim::VirtualClock;

    /// A route whose session is as long as a test says, or that cannot be asked.
    struct Session {
        left: Cell<Result<Option<u64>, Trouble>>,
        renews: Cell<bool>,
        asked: Cell<u32>,
    }

    #[async_trait(?Send)]
    impl RouteView for Session {
        fn line(&self) -> String {
            "a route".into()
        }

        fn resources(&self, _: Option<&Reading>) -> Vec<String> {
            vec![self.line()]
        }

        async fn read(&self) -> Result<Reading, RouterError> {
            Err(RouterError::new(Trouble::Unreachable, "not asked here"))
        }

        async fn health(&self, _: Color) -> Result<Health, RouterError> {
            Ok(Health::default())
        }

        async fn controller(&self) -> Result<Option<String>, RouterError> {
            Ok(None)
        }

        async fn identity(&self) -> Result<Identity, RouterError> {
            self.asked.set(self.asked.get() + 1);
            let left = self.left.get().map_err(|kind| RouterError::new(kind, "no answer"))?;
            Ok(Identity { line: "role deploy".into(), left: left.map(Duration::from_secs), renews: self.renews.get() })
        }

        fn native_way_back(&self, _: &str, _: &Reading) -> NativeWayBack {
            NativeWayBack::default()
        }
    }

    #[async_trait(?Send)]
    impl TrafficRouter for Session {
        async fn set(&self, _: &Reading, _: Split) -> Result<Vec<Call>, RouterError> {
            Ok(Vec::new())
        }

        fn settle(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn plan() -> Plan {
        let text = include_str!("../../tests/fixtures/guarded-plan.json");
        serde_json::from_str(text).expect("a plan")
    }

    #[test]
    fn a_move_needs_a_session_that_outlives_its_longest_way_back() {
        let plan = plan();
        // The shift (3 s), its bake (300 s), and one shift back (180 s); the approval's shift is asked again.
        assert_eq!((way_back_s(&plan, 0), way_back_s(&plan, 2)), (483, 183));
        let clock = Rc::new(VirtualClock::default());
        let session = Rc::new(Session { left: Cell::new(Ok(None)), renews: Cell::new(false), asked: Cell::new(0) });
        let routes: BTreeMap<String, Rc<dyn TrafficRouter>> = BTreeMap::from([("web".into(), session.clone() as _)]);
        let credentials = Credentials::new(clock.clone(), routes);
        let of = |step: &PlannedStep| step.moves.clone().expect("a move");
        let (first, last) = (of(&plan.lane(Lane::Forward)[0]), of(&plan.lane(Lane::Forward)[2]));
        let ask = |change: &Move| clock.run(credentials.too_short(&plan, change)).expect("no crash");
        let later = || clock.run(clock.sleep(COUNTS)).expect("no crash");

        assert_eq!(ask(&first), None, "a key without an end");
        later();
        session.left.set(Ok(Some(482)));
        let line = ask(&first).expect("too short by a second");
        assert!(line.contains("route web end in 8m 2s") && line.contains("8m 3s"), "{line}");
        assert!(line.contains("cannot renew themselves"), "{line}");
        assert_eq!(ask(&last), None, "the last shift is followed by no watch");
        assert_eq!(session.asked.get(), 2, "an answer counts for a while");
        clock.run(clock.sleep(COUNTS - Duration::from_secs(1))).expect("no crash");
        assert!(ask(&last).is_none() && session.asked.get() == 2, "and grows older by the second");
        later();
        session.left.set(Err(Trouble::Unreachable));
        assert!(ask(&last).expect("unknown is not good").contains("is not known: no answer"));
        assert_eq!(session.asked.get(), 4, "one lost answer is asked for again");
    }

    #[test]
    fn r27_what_renews_itself_forbids_nothing_however_little_is_left() {
        let plan = plan();
        let clock = Rc::new(VirtualClock::default());
        let session = Rc::new(Session { left: Cell::new(Ok(Some(1))), renews: Cell::new(true), asked: Cell::new(0) });
        let routes: BTreeMap<String, Rc<dyn TrafficRouter>> = BTreeMap::from([("web".into(), session.clone() as _)]);
        let credentials = Credentials::new(clock.clone(), routes);
        let change = plan.lane(Lane::Forward)[0].moves.clone().expect("a move");
        assert_eq!(clock.run(credentials.too_short(&plan, &change)).expect("no crash"), None);
    }
}
