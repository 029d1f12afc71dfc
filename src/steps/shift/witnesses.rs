//! The three witnesses of a shift: the provider reads back, the receiving side is healthy, and real responses come from the
//! right version. They only look; what a doubt means is for the shift.

use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use futures_util::stream::{self, StreamExt};

use super::Shift;
use crate::plan::{Color, SeenAt, Split};
use crate::probes::Request;
use crate::routers::TrafficRouter;
use crate::run::Evidence;
use crate::scalar::spoken;
use crate::world::{Progress, Scribe, World};

/// How long responses may disagree with the provider before the shift counts as not arrived.
const PROPAGATION: Duration = Duration::from_secs(60);
/// How many connections look at the public address at once: enough for 200 samples within four round trips or so.
const AT_ONCE: usize = 50;
/// So many expected responses of a side are not all missed by chance (less than once in a hundred looks).
const HANDFUL: f64 = 5.0;

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
            match self.healthy(route, stack, false, scribe).await {
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
            let [blue, green, other] = self.sample(at, world).await;
            let counted = blue + green;
            let want = self.change.after.share(Color::Green);
            let share = if counted == 0 { 0.0 } else { f64::from(green) / f64::from(counted) };
            let agrees = self.agrees(at.tolerance, [blue, green, other]);
            let route = self.route.clone();
            scribe.observed(Evidence::TrafficSeen { route, samples: at.samples, blue, green, other, agrees });
            if agrees {
                return Ok(format!("seen {:.1}% GREEN of {counted}", share * 100.0));
            }
            if world.clock.elapsed() - start > PROPAGATION {
                return Err(Doubt::NotSeen(format!(
                    "sent and read back, but of {} responses {blue} are from BLUE, {green} from GREEN and {other} from neither",
                    at.samples
                )));
            }
            let line = format!("{green} of {counted} responses from GREEN, waiting for {:.1}%", want * 100.0);
            scribe.progress(Progress { done: 0, of: 0, line });
            world.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// One look, for what it is: where a person has passed over blue's health, no answer of blue's is waited for.
    async fn glimpse(&self, at: &SeenAt, world: &World, scribe: &dyn Scribe) -> String {
        let [blue, green, other] = self.sample(at, world).await;
        let (route, agrees) = (self.route.clone(), self.agrees(at.tolerance, [blue, green, other]));
        scribe.observed(Evidence::TrafficSeen { route, samples: at.samples, blue, green, other, agrees });
        format!("of {} responses {blue} are from BLUE, which was not waited for", at.samples)
    }

    fn agrees(&self, tolerance: u32, seen: [u32; 3]) -> bool {
        let after = self.change.after;
        if self.back && after.only().is_none() {
            enough_blue(after, tolerance, seen)
        } else {
            shows(after, tolerance, seen)
        }
    }

    /// Counts responses of blue, of green and of neither.
    async fn sample(&self, at: &SeenAt, world: &World) -> [u32; 3] {
        let mut counts = [0; 3];
        let request = || Request { fresh: true, ..Request::get(at.url.clone(), Duration::from_secs(5)) };
        let mut answers =
            stream::iter((0..at.samples).map(|_| world.web.exchange(request()))).buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            let version = answer.ok().and_then(|r| r.header(&at.header).map(String::from));
            let place = self.versions.iter().position(|v| Some(v) == version.as_ref());
            counts[place.unwrap_or(2)] += 1;
        }
        counts
    }
}

/// Whether responses of blue, of green and of neither are those of a split.
fn shows(split: Split, tolerance: u32, [blue, green, other]: [u32; 3]) -> bool {
    let counted = blue + green;
    let share = f64::from(green) / f64::from(counted.max(1));
    let met = match split.only() {
        // At 0 % and 100 % a single response of the other side means that the shift has not arrived everywhere.
        Some(Color::Blue) => green == 0,
        Some(Color::Green) => blue == 0,
        // A wide tolerance must not take the split before the shift for the one after it: of a side that should have given a
        // handful of responses at least one is there.
        None => {
            let missed = |stack: Color, given: u32| given == 0 && split.share(stack) * f64::from(counted) >= HANDFUL;
            (share - split.share(Color::Green)).abs() * 1000.0 <= f64::from(tolerance)
                && !missed(Color::Blue, blue)
                && !missed(Color::Green, green)
        }
    };
    counted > 0 && met && other * 2 <= counted
}

/// At a stop of a ramp green may answer with errors that name no version: what counts is what blue has.
fn enough_blue(split: Split, tolerance: u32, [blue, green, other]: [u32; 3]) -> bool {
    let want = split.share(Color::Blue) * 1000.0 - f64::from(tolerance);
    blue > 0 && f64::from(blue) * 1000.0 >= want * f64::from(blue + green + other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Move, PlannedRoute};

    #[test]
    fn the_split_before_a_shift_is_not_taken_for_the_one_after_it() {
        let wide = 150;
        assert!(!shows(Split::of_green(100), wide, [100, 0, 0]), "nobody of 100 is on green");
        assert!(shows(Split::of_green(100), wide, [96, 4, 0]));
        assert!(!shows(Split::of_green(950), wide, [0, 200, 0]), "nobody of 200 is on blue");
        // Of 1 % among 100 responses there may well be none.
        assert!(shows(Split::of_green(10), wide, [100, 0, 0]));
        assert!(!shows(Split::of_green(500), wide, [70, 30, 0]));
        assert!(!shows(Split::ALL_GREEN, wide, [1, 99, 0]) && shows(Split::ALL_GREEN, wide, [0, 100, 0]));
        assert!(!shows(Split::ALL_BLUE, wide, [0, 0, 100]) && !shows(Split::ALL_BLUE, wide, [60, 0, 40]));
    }

    #[test]
    fn one_response_of_green_says_that_users_are_not_back() {
        for tolerance in [0, 150, 1000] {
            assert!(!shows(Split::ALL_BLUE, tolerance, [199, 1, 0]), "{tolerance}");
            assert!(!shows(Split::ALL_BLUE, tolerance, [0, 0, 0]), "nothing was seen");
        }
    }

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
            },
            change: Move { route: "web".into(), before: Split::ALL_GREEN, after },
            back,
            stays: Duration::ZERO,
            versions: ["v1".into(), "v2".into()],
        };
        let half = Split::of_green(500);
        assert!(shift(true, half).agrees(50, [50, 0, 50]) && !shift(false, half).agrees(50, [50, 0, 50]));
        assert!(!shift(true, half).agrees(50, [30, 0, 70]), "blue does not have its share");
        assert!(!shift(true, Split::ALL_BLUE).agrees(50, [99, 1, 0]), "its end is everybody");
    }

    #[test]
    fn at_a_stop_of_a_ramp_only_blue_counts() {
        assert!(enough_blue(Split::of_green(500), 50, [48, 2, 50]));
        assert!(
            !enough_blue(Split::of_green(500), 50, [40, 60, 0]) && !enough_blue(Split::of_green(500), 50, [0, 0, 0])
        );
    }
}
