//! The three witnesses of a shift: the provider reads back, the receiving side is healthy, and real responses come from the
//! right version. They only look; what a doubt means is for the shift.

use std::time::Duration;

use futures_util::future::{try_join, try_join_all};

use super::Shift;
use crate::plan::{Color, SeenAt};
use crate::routers::TrafficRouter;
use crate::scalar::spoken;
use crate::users::Answers;
use crate::world::{Progress, Scribe, World};

/// How long responses may disagree with the provider before the shift counts as not arrived.
const PROPAGATION: Duration = Duration::from_secs(60);

/// Which witness does not agree.
pub(super) enum Doubt {
    NotInPlace(String),
    NotSeen(String),
    Unwell(String),
}

impl Shift {
    /// All three witnesses, after the write.
    pub(super) async fn witnessed(
        &self,
        route: &dyn TrafficRouter,
        world: &World,
        scribe: &dyn Scribe,
    ) -> Result<String, Doubt> {
        // The others need not wait for the read-back; only their word does.
        let others = async { Ok(self.others(route, world, scribe).await) };
        let (read, seen) = try_join(self.read_back(route, world, scribe), others).await?;
        Ok(format!("{} · read back {} · {}", self.change.after, spoken(read), seen?))
    }

    /// The second and the third witness, side by side.
    async fn others(&self, route: &dyn TrafficRouter, world: &World, scribe: &dyn Scribe) -> Result<String, Doubt> {
        // On the way back green may be as ill as it likes: it is why users leave.
        let hosts = Color::BOTH.into_iter().filter(|c| self.change.after.weight(*c) > 0);
        let well = hosts.filter(|c| !self.back || *c == Color::Blue).map(|stack| async move {
            match self.healthy(route, stack, None, scribe).await {
                (true, _) => Ok(()),
                (false, line) if self.passed_over(world, &line, scribe) => Ok(()),
                (false, line) => Err(Doubt::Unwell(line)),
            }
        });
        let seen = async {
            match &self.planned.seen_at {
                Some(seen_at) if self.takes_ill_blue(world).is_some() => Ok(self.glimpse(seen_at, world, scribe).await),
                Some(seen_at) => self.seen(seen_at, world, scribe).await,
                None => Ok(route.unseen().into()),
            }
        };
        let (_, seen) = try_join(try_join_all(well), seen).await?;
        Ok(seen)
    }

    /// A read may be older than our write for a moment, so it is repeated until the settle time is over.
    async fn read_back(
        &self,
        route: &dyn TrafficRouter,
        world: &World,
        scribe: &dyn Scribe,
    ) -> Result<Duration, Doubt> {
        let start = world.clock.elapsed();
        let mut pause = Duration::from_millis(50);
        loop {
            let answer = self.read(route, world, scribe).await.map(|reading| reading.split);
            let took = world.clock.elapsed() - start;
            match answer {
                Ok(split) if split == self.change.after => return Ok(took),
                answer if took > route.settle() => {
                    return Err(Doubt::NotInPlace(match answer {
                        Ok(split) => format!("sent, but {} still reads {split}", self.planned.line),
                        Err(error) => format!("sent, but it cannot be read back: {error}"),
                    }));
                }
                _ => {}
            }
            world.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn seen(&self, at: &SeenAt, world: &World, scribe: &dyn Scribe) -> Result<String, Doubt> {
        let start = world.clock.elapsed();
        let mut pause = Duration::from_millis(100);
        loop {
            let (found, agrees) = self.public(at, world, scribe).await;
            let (counted, green) = (found.counted(), found.green);
            let share = if counted == 0 { 0.0 } else { f64::from(green) / f64::from(counted) };
            if agrees {
                return Ok(format!("seen {:.1}% GREEN of {counted}", share * 100.0));
            }
            if world.clock.elapsed() - start > PROPAGATION + world.route(&self.route).followed_within() {
                return Err(Doubt::NotSeen(format!(
                    "sent and read back, but of {} responses {} are from BLUE, {green} from GREEN and {} from neither",
                    at.samples,
                    found.blue,
                    found.other()
                )));
            }
            let want = self.change.after.share(Color::Green) * 100.0;
            let line = format!("{green} of {counted} responses from GREEN, waiting for {want:.1}%");
            scribe.progress(Progress { done: 0, of: 0, line });
            world.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// One look, for what it is: where a person has passed over blue's health, no answer of blue's is waited for.
    async fn glimpse(&self, at: &SeenAt, world: &World, scribe: &dyn Scribe) -> String {
        let (found, _) = self.public(at, world, scribe).await;
        format!("of {} responses {} are from BLUE; the shift did not wait for them", at.samples, found.blue)
    }

    /// Looks at the public address, and whether what it shows is the split that was written.
    async fn public(&self, at: &SeenAt, world: &World, scribe: &dyn Scribe) -> (Answers, bool) {
        let [blue, green] = &self.versions;
        let found = Answers::sample(at, at.samples, [blue, green], world).await;
        let agrees = self.agrees(at.tolerance, &found);
        scribe.observed(found.evidence(&self.route, agrees));
        (found, agrees)
    }

    fn agrees(&self, tolerance: u32, found: &Answers) -> bool {
        let after = self.change.after;
        match after.only() {
            None if self.back => found.show_enough_blue(after, tolerance),
            _ => found.show(after, tolerance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Move, PlannedRoute, Split};

    /// Where green answers with errors that name no version the way back goes on, and the way there does not.
    #[test]
    fn a_green_that_names_no_version_holds_up_no_stop_of_the_way_back() {
        let shift = |back, after| Shift {
            route: "web".into(),
            planned: PlannedRoute {
                router: "simulated".into(),
                config: serde_json::Value::Null,
                line: String::new(),
                seen_at: None,
                before: Split::ALL_BLUE,
                min_healthy: 1,
                capacity: Default::default(),
                resources: Vec::new(),
            },
            change: Move { route: "web".into(), before: Split::ALL_GREEN, after },
            back,
            stays: Duration::ZERO,
            said_at: None,
            versions: ["v1".into(), "v2".into()],
        };
        let met = |blue, green, failed| Answers { blue, green, failed, unknown: 0 };
        let half = Split::of_green(500);
        assert!(shift(true, half).agrees(50, &met(50, 0, 50)) && !shift(false, half).agrees(50, &met(50, 0, 50)));
        assert!(!shift(true, half).agrees(50, &met(30, 0, 70)), "blue does not have its share");
        assert!(!shift(true, Split::ALL_BLUE).agrees(50, &met(99, 1, 0)), "its end is everybody");
    }
}
