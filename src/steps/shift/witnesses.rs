//! The three witnesses of a shift: the provider reads back, the receiving side is healthy, and real responses come from the
//! right version. They only look; what a doubt means is for the shift.

use std::time::Duration;

use futures_util::future::join_all;

use super::Shift;
use crate::plan::{Color, SeenAt};
use crate::probes::Request;
use crate::routers::TrafficRouter;
use crate::run::Evidence;
use crate::scalar::spoken;
use crate::world::{Progress, Scribe, World};

/// How long responses may disagree with the provider before the shift counts as not arrived.
const PROPAGATION: Duration = Duration::from_secs(60);
/// How many connections look at the public address at once.
const AT_ONCE: usize = 20;

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
        let read = self.read_back(route, world, scribe).await?;
        // On the way back green may be as ill as it likes: it is why users leave.
        let hosts = Color::BOTH.into_iter().filter(|c| self.change.after.weight(*c) > 0);
        for stack in hosts.filter(|c| !self.back || *c == Color::Blue) {
            let (healthy, line) = self.healthy(route, stack, false, scribe).await;
            if !healthy {
                return Err(Doubt::Unwell(line));
            }
        }
        let seen = match &self.planned.seen_at {
            Some(seen_at) => self.seen(seen_at, world, scribe).await?,
            None => route.unseen().into(),
        };
        Ok(format!("{} · read back {} · {seen}", self.change.after, spoken(read)))
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
            let answer = self.read(route, world, scribe).await;
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
            // At 0 % and 100 % a single response of the other side means the shift has not arrived everywhere.
            let agrees = match self.change.after.only() {
                Some(Color::Blue) => counted > 0 && green == 0,
                Some(Color::Green) => counted > 0 && blue == 0,
                // At a stop of a ramp green may answer with errors that name no version: what counts is what blue has.
                None if self.back => self.enough_blue(blue, counted + other, at),
                None => counted > 0 && (share - want).abs() * 1000.0 <= f64::from(at.tolerance),
            } && (other * 2 <= counted || self.back && self.change.after.only().is_none());
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

    fn enough_blue(&self, blue: u32, of: u32, at: &SeenAt) -> bool {
        let want = self.change.after.share(Color::Blue) * 1000.0 - f64::from(at.tolerance);
        blue > 0 && f64::from(blue) * 1000.0 >= want * f64::from(of)
    }

    /// Counts responses of blue, of green and of neither.
    async fn sample(&self, at: &SeenAt, world: &World) -> [u32; 3] {
        let mut counts = [0; 3];
        let mut left = at.samples as usize;
        while left > 0 {
            let now = left.min(AT_ONCE);
            left -= now;
            let request = || Request { fresh: true, ..Request::get(at.url.clone(), Duration::from_secs(5)) };
            for answer in join_all((0..now).map(|_| world.web.exchange(request()))).await {
                let version = answer.ok().and_then(|r| r.header(&at.header).map(String::from));
                let place = self.versions.iter().position(|v| Some(v) == version.as_ref());
                counts[place.unwrap_or(2)] += 1;
            }
        }
        counts
    }
}
