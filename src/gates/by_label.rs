//! Both stacks measured by one PromQL query whose samples a label tells apart.
//!
//! Everything else that has to be known (requests, freshness, the top of a histogram) is asked by queries that follow from
//! the gate's own. Both stacks are measured over the same time, which begins after users were shifted, from answers that are
//! pinned to one moment.

use std::time::Duration;

use futures_util::future::join_all;

use super::gate::Gate;
use super::judge::Control;
use super::judge::counts::{Counts, whole};
use super::measured::Measured;
use super::prometheus::{Prometheus, Vector};
use super::promql;
use super::promql::Query;
use crate::plan::Color;
use crate::scalar::{Unit, spoken};
use crate::world::Gap;

/// Fewer scrapes than this in a range are no measurement.
const FEWEST_SCRAPES: f64 = 3.0;

/// A gate that asks Prometheus.
pub struct ByLabel {
    pub query: Query,
}

impl ByLabel {
    /// Measures both stacks, over nothing that is older than `elapsed`.
    pub async fn measure(&self, gate: &Gate, prometheus: &Prometheus<'_>, elapsed: Duration) -> Result<Measured, Gap> {
        let asking = Asking { gate, query: &self.query, prometheus };
        let (measured, fresh) = tokio::join!(asking.numbers(elapsed), asking.freshness());
        // Without fresh data the numbers are of another time, so that is said first.
        fresh?;
        measured
    }
}

impl ByLabel {
    /// The requests of green by instance, as far as they can be told apart: no verdict hangs on it that they can.
    pub async fn instances(
        &self,
        gate: &Gate,
        prometheus: &Prometheus<'_>,
        elapsed: Duration,
    ) -> Vec<(String, Counts)> {
        let Some((part, all)) = self.query.counts_apart(elapsed, &gate.instance) else { return Vec::new() };
        let part = join_all(part.iter().map(|term| prometheus.ask(term)));
        let (part, Ok(all)) = tokio::join!(part, prometheus.ask(&all)) else { return Vec::new() };
        let Ok(part) = part.into_iter().collect::<Result<Vec<Vector>, Gap>>() else { return Vec::new() };
        let of_green = |vector: &Vector| vector.apart(Color::Green, &gate.label, &gate.instance);
        let part: Vec<(String, f64)> = part.iter().flat_map(of_green).collect();
        let counts = |name: String, requests: f64| {
            let counted = part.iter().filter(|(of, _)| *of == name).map(|(_, count)| count).sum();
            (name, Counts::estimated(requests, counted, gate.min.is_some()))
        };
        of_green(&all).into_iter().map(|(name, requests)| counts(name, requests)).collect()
    }
}

struct Asking<'a> {
    gate: &'a Gate,
    query: &'a Query,
    prometheus: &'a Prometheus<'a>,
}

impl Asking<'_> {
    async fn numbers(&self, elapsed: Duration) -> Result<Measured, Gap> {
        match (self.gate.delta, self.query.counts(elapsed)) {
            (true, _) => match self.query.grown(elapsed) {
                Some(growth) => self.value(&growth, elapsed).await,
                None => Err(Gap::Unknown("there is no counter whose growth could be judged".into())),
            },
            (false, Some((part, all))) => self.share(&part, &all).await,
            (false, None) => self.value(self.query.text(), elapsed).await,
        }
    }

    /// `part` counts the bad requests, term by term; where the gate has a `min` it counts the good ones.
    async fn share(&self, part: &[String], all: &str) -> Result<Measured, Gap> {
        let part = join_all(part.iter().map(|term| self.prometheus.ask(term)));
        let (part, all) = tokio::join!(part, self.prometheus.ask(all));
        let (part, all) = (part.into_iter().collect::<Result<Vec<Vector>, Gap>>()?, all?);
        let label = &self.gate.label;
        let Some(green) = all.of(Color::Green, label)? else {
            return Err(Gap::Unknown(format!("no requests of green are known (no sample with {label}=\"green\")")));
        };
        let blue = all.of(Color::Blue, label)?.unwrap_or(0.0);
        let proofs = self.query.proofs_of_none();
        for (_, proof) in part.iter().zip(&proofs).filter(|(term, _)| term.is_empty()) {
            self.prove_none(proof.as_deref()).await?;
        }
        let good = self.gate.min.is_some();
        let term_of =
            |color: Color, requests: f64, (term, proof): (&Vector, &Option<String>)| match term.of(color, label)? {
                Some(count) => Ok(count),
                None if requests == 0.0 || proof.is_some() => Ok(0.0),
                None => Err(Gap::Unknown(format!(
                    "{} has no series for {} requests; let the service begin them at 0",
                    color.name(),
                    if good { "good" } else { "bad" }
                ))),
            };
        let part_of = |color: Color, requests: f64| -> Result<f64, Gap> {
            part.iter().zip(&proofs).map(|term| term_of(color, requests, term)).sum()
        };
        let counts = |requests: f64, part: f64| Counts::estimated(requests, part, good);
        let (green_part, blue_part) = (part_of(Color::Green, green)?, part_of(Color::Blue, blue)?);
        Ok(Measured::Counts { green: counts(green, green_part), blue: counts(blue, blue_part) })
    }

    /// No series of bad requests at all: good news, or a label that is spelled wrong.
    async fn prove_none(&self, proof: Option<&str>) -> Result<(), Gap> {
        let Some(proof) = proof else {
            let line = "there is no series for bad requests at all; let the service begin them at 0".to_string();
            return Err(Gap::Unknown(line));
        };
        if self.prometheus.ask(proof).await?.is_empty() {
            let line = format!("bad requests cannot be told apart: `{proof}` has no answer");
            return Err(Gap::Unknown(line));
        }
        Ok(())
    }

    async fn value(&self, query: &str, elapsed: Duration) -> Result<Measured, Gap> {
        let (values, requests, bounds) =
            tokio::join!(self.prometheus.ask(query), self.requests(elapsed), self.bounds());
        let (values, requests, bounds) = (values?, requests?, bounds?);
        let label = &self.gate.label;
        let count = |color: Color| -> Result<Option<u64>, Gap> {
            let Some(requests) = &requests else { return Ok(None) };
            Ok(Some(whole(requests.of(color, label)?.unwrap_or(0.0))))
        };
        let (green_requests, blue_requests) = (count(Color::Green)?, count(Color::Blue)?);
        if let Some(0) = green_requests {
            return Err(Gap::Unknown("green has had no request since users were shifted".into()));
        }
        if let (Some(top), Some(limit)) = (bounds, &self.gate.max)
            && limit.value >= top
        {
            let line =
                format!("the limit {limit} is not under the histogram's highest bucket, {}", Unit::Seconds.show(top));
            return Err(Gap::Unknown(line));
        }
        let Some(green) = values.of(Color::Green, label)? else {
            return Err(Gap::Unknown(format!("the query has no sample with {label}=\"green\"")));
        };
        let blue_idle = blue_requests == Some(0);
        // An idle blue has no latency. Its NaN must not stand in the way of green's own limit.
        let blue = if blue_idle || self.gate.versus_blue.is_none() {
            values.of(Color::Blue, label).unwrap_or(None)
        } else {
            values.of(Color::Blue, label)?
        };
        let blue = match blue {
            _ if blue_idle => Control::Idle,
            Some(blue) => Control::Value(blue),
            None => Control::Absent,
        };
        Ok(Measured::Value { green, blue, requests: green_requests })
    }

    async fn requests(&self, elapsed: Duration) -> Result<Option<Vector>, Gap> {
        let query = match &self.gate.requests {
            Some(text) => Some(promql::count_of(text, elapsed).map_err(Gap::Unknown)?),
            None => self.query.observations(elapsed),
        };
        match query {
            Some(query) => Ok(Some(self.prometheus.ask(&query).await?)),
            None => Ok(None),
        }
    }

    async fn bounds(&self) -> Result<Option<f64>, Gap> {
        match self.query.bucket_bounds() {
            Some(query) => Ok(self.prometheus.ask(&query).await?.highest_bound()),
            None => Ok(None),
        }
    }

    /// Rates go on for minutes after the last scrape, so the age of the data is asked for itself.
    async fn freshness(&self) -> Result<(), Gap> {
        let (Some(age), Some((scrapes, range))) = (self.query.age(), self.query.scrapes()) else { return Ok(()) };
        let ranged = !self.query.range().is_zero();
        let (age, scrapes) = tokio::join!(self.prometheus.ask(&age), self.prometheus.ask(&scrapes));
        let (age, scrapes) = (age?, scrapes?);
        let label = &self.gate.label;
        // Blue's data matters only to a gate that compares with it.
        let needed = |color: &Color| *color == Color::Green || self.gate.versus_blue.is_some();
        for color in Color::BOTH.into_iter().filter(needed) {
            let (Some(age), count) = (age.of(color, label)?, scrapes.of(color, label)?.unwrap_or(0.0)) else {
                if color == Color::Green {
                    return Err(Gap::Unknown(format!("no data of green (nothing has {label}=\"green\")")));
                }
                continue;
            };
            let name = color.name();
            let every = range.as_secs_f64() / count.max(1.0);
            if age > 3.0 * every + 5.0 {
                let line =
                    format!("the newest data of {name} is {age:.0} s old, with a scrape about every {every:.0} s");
                return Err(Gap::Unknown(line));
            }
            if ranged && count < FEWEST_SCRAPES {
                let line =
                    format!("the range {} holds {count} scrapes of {name}; {FEWEST_SCRAPES} are needed", spoken(range));
                return Err(Gap::Unknown(line));
            }
        }
        Ok(())
    }
}
