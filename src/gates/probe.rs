//! How a gate is measured: both stacks over the same time, which begins after users were shifted, from whatever source it has.
//!
//! What the numbers mean is `gates::judge`. Every question and its answer is kept, so that a verdict can be looked up.

use std::time::Duration;

use jiff::Timestamp;

use super::by_label::ByLabel;
use super::by_stack::{ByStack, Sides};
use super::gate::Gate;
use super::judge::counts::Counts;
use super::judge::{Bound, Rule};
pub use super::measured::{Measured, Measurement};
use super::prometheus::Prometheus;
use super::promql::Measure;
use super::source;
use crate::run::Asked;
use crate::scalar::{Limit, Margin, Unit, spoken};
use crate::world::{Gap, World};

const SECOND: Duration = Duration::from_secs(1);

/// A gate ready to be measured.
pub struct Probe {
    pub gate: Gate,
    way: Way,
}

enum Way {
    ByLabel(ByLabel),
    ByStack(Box<ByStack>),
}

impl Probe {
    /// Takes the settings `gate::check` has accepted, and what is known of the two stacks.
    pub fn new(gate: Gate, sides: &Sides) -> Result<Self, String> {
        let way = match gate.source.promql() {
            Some(text) => Way::ByLabel(ByLabel::new(&gate, text, sides)?),
            None => {
                let settings = serde_json::to_value(&gate).map_err(|e| e.to_string())?;
                let (kind, own) = source::chosen(&settings).map_err(|m| m.message)?;
                Way::ByStack(Box::new(ByStack::new((kind.open)(own, &gate.url)?, sides.clone(), gate.delta)))
            }
        };
        Ok(Probe { gate, way })
    }

    /// How long after the shift the first value is of users on the new split only.
    pub fn warm_up(&self) -> Duration {
        let own = match &self.way {
            Way::ByLabel(_) if self.is_share() || self.gate.delta => Duration::ZERO,
            Way::ByLabel(by) => by.query().range(),
            Way::ByStack(by) => by.source.warm_up(),
        };
        own.max(self.gate.looks_back.as_ref().map_or(Duration::ZERO, |back| back.time))
    }

    /// How long after the shift there is something to judge by, where the source sees anything.
    pub fn first_number(&self) -> Duration {
        match &self.way {
            Way::ByLabel(_) => self.warm_up(),
            Way::ByStack(by) => self.warm_up().max(by.source.first_number()),
        }
    }

    /// Error rates: counted since the shift instead of looked at window by window.
    pub fn is_share(&self) -> bool {
        match &self.way {
            Way::ByLabel(by) => by.query().share().is_some(),
            Way::ByStack(by) => by.source.counts(),
        }
    }

    /// Whether each stack has a number of its own.
    pub fn of_a_stack(&self) -> bool {
        match &self.way {
            Way::ByLabel(_) => true,
            Way::ByStack(by) => by.source.of_a_stack(),
        }
    }

    /// A share whose values are hundredths.
    pub fn counts_hundredths(&self) -> bool {
        matches!(&self.way, Way::ByLabel(by) if by.query().share().is_some_and(|share| share.scale != 1.0))
    }

    /// The unit of a value, where the query's own names say it.
    pub fn measured_in(&self) -> Option<Unit> {
        let Way::ByLabel(by) = &self.way else { return None };
        by.query().measures().filter(|(_, measure)| *measure == Measure::Seconds).map(|_| Unit::Seconds)
    }

    /// One look is enough to fail: the numbers only ever grow, or the test may be looked at as often as one likes.
    pub fn fails_at_once(&self) -> bool {
        self.is_share() || self.gate.delta
    }

    /// The quantile of a latency gate.
    pub fn quantile(&self) -> Option<f64> {
        match &self.way {
            Way::ByLabel(by) => by.query().quantile(),
            Way::ByStack(_) => None,
        }
    }

    /// Requests can be counted.
    pub fn counts_requests(&self) -> bool {
        match &self.way {
            Way::ByLabel(by) => {
                self.gate.requests.is_some() || by.query().observations(SECOND).is_some() || self.is_share()
            }
            Way::ByStack(by) => by.source.counts_requests(),
        }
    }

    /// The rule of a gate, in the unit in which its numbers come.
    pub fn rule(&self) -> Rule {
        let gate = &self.gate;
        // A query that counts in hundredths is counted as a share, and its limit with it.
        let of_one = |limit: &Limit| if self.counts_hundredths() { limit.hundredths() } else { limit.clone() };
        let (bound, limit) = match (&gate.max, &gate.min) {
            (Some(max), _) => (Bound::Max(of_one(max).value), max),
            (None, Some(min)) => (Bound::Min(of_one(min).value), min),
            (None, None) => panic!("BUG: a gate without a limit passed its check"),
        };
        let unit = gate.unit.unwrap_or(match self.is_share() {
            true => Unit::Percent,
            false => self.measured_in().unwrap_or(limit.unit),
        });
        let margin = gate.versus_blue.as_ref().map(|margin| match margin {
            Margin::Plus(by) => Margin::Plus(of_one(by)),
            Margin::Times(factor) => Margin::Times(*factor),
        });
        let min_requests = gate.min_requests.unwrap_or_else(|| self.fewest(bound));
        Rule { bound, unit, margin, min_requests }
    }

    /// The fewest requests a pass can rest on, where the runbook does not say. No bad request among n shows a rate under
    /// 3 / n; a quantile of fewer than 30 jumps with every one of them.
    fn fewest(&self, bound: Bound) -> u64 {
        let needed = match (self.is_share(), self.quantile(), bound) {
            (true, _, Bound::Max(limit)) if limit > 0.0 => 3.0 / limit,
            (true, _, Bound::Min(limit)) if limit < 1.0 => 3.0 / (1.0 - limit),
            (true, ..) => 100.0,
            (false, Some(_), _) => 30.0,
            (false, None, _) => 0.0,
        };
        if self.counts_requests() { needed.clamp(0.0, 10_000.0).round() as u64 } else { 0 }
    }

    /// Looks at counters that begin anywhere, so that their growth is counted from now on. Others need nothing.
    pub async fn begin(&self, world: &World, since: Timestamp) {
        if let Way::ByStack(by) = &self.way
            && self.gate.delta
        {
            // Without this first look the next one is the first; nothing is lost but its time.
            let _ = by.measure(world, since, self.gate.versus_blue.is_some()).await;
        }
    }

    /// For how many seconds there are numbers, up to `back`; None where that is not known.
    pub async fn known_for(&self, world: &World, back: Duration) -> Option<f64> {
        let Way::ByLabel(by) = &self.way else { return Some(back.as_secs_f64()) };
        let question = by.query().first_sample(back)?;
        let prometheus = Prometheus::new(world.web.as_ref(), self.gate.url.reached(&world.secrets), world.clock.now());
        let seconds = prometheus.ask(&question).await.ok()?.only().ok()??;
        Some(seconds.max(1.0))
    }

    /// Measures both stacks at `at`, over nothing that is older than `since`.
    pub async fn measure(&self, world: &World, since: Timestamp, at: Timestamp) -> Measurement {
        let elapsed = Duration::try_from(at.duration_since(since)).unwrap_or_default();
        // Timers may be a little early against the wall clock.
        if elapsed < SECOND || elapsed + SECOND / 10 < self.warm_up() {
            let line =
                format!("only {} since users were shifted; {} are looked at", spoken(elapsed), spoken(self.warm_up()));
            return Measurement { measured: Err(Gap::Unknown(line)), asked: Vec::new() };
        }
        match &self.way {
            Way::ByLabel(by) => {
                let prometheus = Prometheus::new(world.web.as_ref(), self.gate.url.reached(&world.secrets), at);
                let measured = by.measure(&self.gate, &prometheus, elapsed).await;
                Measurement { measured, asked: prometheus.asked() }
            }
            Way::ByStack(by) => by.measure(world, since, self.gate.versus_blue.is_some()).await,
        }
    }

    /// Counts green's requests by instance, where the source can tell them apart.
    pub async fn instances(
        &self,
        world: &World,
        since: Timestamp,
        at: Timestamp,
    ) -> (Vec<(String, Counts)>, Vec<Asked>) {
        let Way::ByLabel(by) = &self.way else { return Default::default() };
        let elapsed = Duration::try_from(at.duration_since(since)).unwrap_or_default();
        let prometheus = Prometheus::new(world.web.as_ref(), self.gate.url.reached(&world.secrets), at);
        (by.instances(&self.gate, &prometheus, elapsed).await, prometheus.asked())
    }
}
