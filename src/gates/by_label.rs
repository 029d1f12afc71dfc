//! Both stacks measured by a PromQL query whose samples a label tells apart, or by one of the same kind for each stack.
//!
//! Everything else that has to be known (requests, freshness, the top of a histogram) is asked by queries that follow from
//! the gate's own. Both stacks are measured over the same time, which begins after users were shifted, from answers that are
//! pinned to one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

use super::by_stack::Sides;
use super::gate::Gate;
use super::judge::Control;
use super::judge::counts::{Counts, whole};
use super::measured::Measured;
use super::prometheus::{Prometheus, StackLabel, Vector};
use super::promql;
use super::promql::{Absence, Counting, Query, Share};
use super::source::{asks_of_a_stack, quoted};
use crate::plan::Color;
use crate::scalar::{Unit, spoken};
use crate::world::Gap;

/// Fewer scrapes than this in a range are no measurement.
const FEWEST_SCRAPES: f64 = 3.0;

/// A gate that asks Prometheus.
pub struct ByLabel {
    asks: Asks,
    label: StackLabel,
}

/// How the two stacks are told apart.
enum Asks {
    /// By a label of the samples.
    Together(Box<Query>),
    /// By a question for each stack, green's first.
    Each(Box<[Query; 2]>),
}

const EACH: [Color; 2] = [Color::Green, Color::Blue];

impl ByLabel {
    pub fn new(gate: &Gate, text: &str, sides: &Sides) -> Result<Self, String> {
        let of = |color: Color, text: &str| sides.about(color).of_stack(text, quoted);
        let value = |color: Color| sides.about(color).of_stack(&gate.label_value, str::to_string);
        let label = StackLabel {
            name: gate.label.clone(),
            values: Color::BOTH.map(value),
            said: Color::BOTH.map(|color| sides.said(color)),
        };
        let each = |color: Color| Query::declared(&of(color, text), "", gate.share);
        // What was promised is promised of the whole service.
        if gate.is_precondition() {
            return Ok(ByLabel { asks: Asks::Together(Box::new(Query::declared(text, "", Some(true))?)), label });
        }
        let asks = match asks_of_a_stack(text) {
            false => Asks::Together(Box::new(Query::declared(text, &gate.label, gate.share)?)),
            true => Asks::Each(Box::new([each(EACH[0])?, each(EACH[1])?])),
        };
        Ok(ByLabel { asks, label })
    }

    /// What can be said of the query of green, and of blue's too but for a word or two.
    pub fn query(&self) -> &Query {
        match &self.asks {
            Asks::Together(query) => query,
            Asks::Each(each) => &each[0],
        }
    }

    /// Every query that is asked, each with the stack it is about where it is about one.
    pub fn queries(&self) -> Vec<(Option<Color>, &Query)> {
        match &self.asks {
            Asks::Together(query) => vec![(None, query)],
            Asks::Each(each) => EACH.into_iter().map(Some).zip(each.iter()).collect(),
        }
    }

    /// A selector that is the same for both stacks, or lets the other one in, where a question is asked of each.
    pub fn of_both(&self, sides: &Sides) -> Option<String> {
        let Asks::Each(each) = &self.asks else { return None };
        let (green, blue) = (each[0].selectors(), each[1].selectors());
        let other = sides.about(Color::Blue).words();
        let of_green = |mine: &Matcher| match mine.op {
            MatchOp::Equal => true,
            MatchOp::Re(_) => !other.iter().any(|word| mine.is_match(word)),
            MatchOp::NotEqual | MatchOp::NotRe(_) => false,
        };
        let told = |mine: &VectorSelector, others: &VectorSelector| {
            let mut pairs = mine.matchers.matchers.iter().zip(&others.matchers.matchers);
            pairs.any(|(mine, other)| mine.value != other.value && of_green(mine))
        };
        let both = green.iter().zip(&blue).find(|(mine, others)| !told(mine, others));
        both.map(|(selector, _)| selector.to_string())
    }

    /// How samples say which stack they are of.
    pub fn label(&self) -> &StackLabel {
        &self.label
    }

    /// Measures both stacks, over nothing that is older than `elapsed`.
    pub async fn measure(&self, gate: &Gate, prometheus: &Prometheus<'_>, elapsed: Duration) -> Result<Measured, Gap> {
        let asking = Asking { gate, by: self, prometheus };
        let (measured, fresh) = tokio::join!(asking.numbers(elapsed), asking.freshness());
        // Without fresh data the numbers are of another time, so that is said first.
        fresh?;
        measured
    }

    /// The requests of green by instance, as far as they can be told apart: no verdict hangs on it that they can.
    pub async fn instances(
        &self,
        gate: &Gate,
        prometheus: &Prometheus<'_>,
        elapsed: Duration,
    ) -> Vec<(String, Counts)> {
        let asking = Asking { gate, by: self, prometheus };
        let apart = |query: &Query| query.counts_apart(elapsed, &gate.instance);
        let Some(Ok(Counted { part, all })) = asking.counted(apart).await else { return Vec::new() };
        let of_green = |vector: &Vector| vector.apart(Color::Green, &self.label, &gate.instance);
        let part: Vec<(String, f64)> = part.iter().flat_map(of_green).collect();
        let mut requests: BTreeMap<String, f64> = BTreeMap::new();
        all.iter().flat_map(of_green).for_each(|(name, count)| *requests.entry(name).or_default() += count);
        let counts = |name: String, requests: f64| {
            let counted = part.iter().filter(|(of, _)| *of == name).map(|(_, count)| count).sum();
            (name, Counts::estimated(requests, counted, asking.counts_good()))
        };
        requests.into_iter().map(|(name, requests)| counts(name, requests)).collect()
    }
}

/// The answers to the questions of a share.
struct Counted {
    part: Vec<Vector>,
    all: Vec<Vector>,
}

impl Counted {
    /// All requests of a stack. None where it has none of the terms; a reason where it has only some of them, since their sum
    /// would be of a part.
    fn requests(&self, color: Color, label: &StackLabel) -> Result<Option<f64>, Gap> {
        let terms = self.all.iter().map(|term| term.of(color, label)).collect::<Result<Vec<_>, _>>()?;
        match terms.iter().flatten().count() {
            0 => Ok(None),
            known if known == terms.len() => Ok(Some(terms.iter().flatten().sum())),
            _ => {
                Err(Gap::Unknown(format!("{} has only some of the series that count all requests", label.said(color))))
            }
        }
    }
}

struct Asking<'a> {
    gate: &'a Gate,
    by: &'a ByLabel,
    prometheus: &'a Prometheus<'a>,
}

impl Asking<'_> {
    /// Asks what follows from the query of each stack, as one answer. None where nothing follows.
    async fn ask(&self, question: impl Fn(&Query) -> Option<String>) -> Option<Result<Vector, Gap>> {
        match &self.by.asks {
            Asks::Together(query) => Some(self.prometheus.ask(&question(query)?).await),
            Asks::Each(each) => {
                let questions = (question(&each[0])?, question(&each[1])?);
                let (green, blue) = tokio::join!(self.prometheus.ask(&questions.0), self.prometheus.ask(&questions.1));
                let both = green.and_then(|green| Ok([(EACH[0], green), (EACH[1], blue?)]));
                Some(both.map(|both| Vector::told_apart(both, &self.by.label)))
            }
        }
    }

    /// What is counted above the line and below it, term by term.
    async fn counted(&self, of: impl Fn(&Query) -> Option<Counting>) -> Option<Result<Counted, Gap>> {
        let Counting { part, all } = of(self.by.query())?;
        let of = &of;
        let part = (0..part.len()).map(|n| self.ask(move |query| of(query)?.part.into_iter().nth(n)));
        let all = (0..all.len()).map(|n| self.ask(move |query| of(query)?.all.into_iter().nth(n)));
        let (part, all) = tokio::join!(join_all(part), join_all(all));
        let terms =
            |answers: Vec<Option<Result<Vector, Gap>>>| answers.into_iter().collect::<Option<Result<Vec<_>, _>>>();
        let (part, all) = (terms(part)?, terms(all)?);
        Some(part.and_then(|part| Ok(Counted { part, all: all? })))
    }

    /// What is counted above the line is good, not bad.
    fn counts_good(&self) -> bool {
        self.gate.min.is_some() != self.by.query().share().is_some_and(|share| share.left_out)
    }

    async fn numbers(&self, elapsed: Duration) -> Result<Measured, Gap> {
        if self.gate.delta {
            let none = || Gap::Unknown("there is no counter whose growth could be judged".into());
            return self.value(self.ask(|query| query.grown(elapsed)).await.ok_or_else(none)??, elapsed).await;
        }
        match self.counted(|query| query.counts(elapsed)).await {
            Some(counted) => self.share(counted?).await,
            None => {
                let now = self.ask(|query| Some(query.text().into())).await;
                self.value(now.unwrap_or_else(|| Ok(Vector::default()))?, elapsed).await
            }
        }
    }

    async fn share(&self, counted: Counted) -> Result<Measured, Gap> {
        let label = &self.by.label;
        let Some(green) = counted.requests(Color::Green, label)? else {
            let line = format!(
                "no requests of {} are known (no sample with {})",
                label.said(Color::Green),
                label.of(Color::Green)
            );
            return Err(Gap::Unknown(line));
        };
        let blue = counted.requests(Color::Blue, label)?.unwrap_or(0.0);
        let part = &counted.part;
        let absences = self.by.query().share().map(Share::absences).unwrap_or_default();
        for (term, absence) in part.iter().zip(&absences) {
            if term.is_empty() {
                self.prometheus.none(absence.as_ref(), self.gate.absent.is_some()).await?;
            }
        }
        let good = self.counts_good();
        let none = |color: Color| {
            let (what, name) = (if good { "good" } else { "bad" }, label.said(color));
            let cure = "let the service begin them at 0, or write `absent: 0`";
            Gap::Unknown(format!("{name} has no series for {what} requests; {cure}"))
        };
        let part_of = |color: Color, requests: f64| -> Result<f64, Gap> {
            let term_of = |(term, absence): (&Vector, &Option<Absence>)| match term.of(color, label)? {
                Some(count) => Ok(count),
                None if requests == 0.0 || absence.is_some() || self.gate.absent.is_some() => Ok(0.0),
                None => Err(none(color)),
            };
            part.iter().zip(&absences).map(term_of).sum()
        };
        let counts = |color: Color, requests: f64, part: f64| {
            // Scrapes lie between what is counted above and below, so a little more is no contradiction.
            if part > requests * 1.1 + 3.0 {
                let line =
                    format!("{} has {part:.0} counted above the line, of {requests:.0} requests", label.said(color));
                return Err(Gap::Never(format!("{line}: the query is no share of requests")));
            }
            Ok(Counts::estimated(requests, part, good))
        };
        let (green_part, blue_part) = (part_of(Color::Green, green)?, part_of(Color::Blue, blue)?);
        Ok(Measured::Counts {
            green: counts(Color::Green, green, green_part)?,
            blue: counts(Color::Blue, blue, blue_part)?,
            minutes: None,
        })
    }

    async fn value(&self, values: Vector, elapsed: Duration) -> Result<Measured, Gap> {
        let (requests, bounds) = tokio::join!(self.requests(elapsed), self.bounds());
        let (requests, bounds) = (requests?, bounds?);
        let label = &self.by.label;
        let count = |color: Color| -> Result<Option<u64>, Gap> {
            let Some(requests) = &requests else { return Ok(None) };
            Ok(Some(whole(requests.of(color, label)?.unwrap_or(0.0))))
        };
        let (green_requests, blue_requests) = (count(Color::Green)?, count(Color::Blue)?);
        if let Some(0) = green_requests {
            let line = format!("{} has had no request since users were shifted", label.said(Color::Green));
            return Err(Gap::Unknown(line));
        }
        if let (Some(top), Some(limit)) = (bounds, &self.gate.max)
            && limit.value >= top
        {
            let line =
                format!("the limit {limit} is not under the histogram's highest bucket, {}", Unit::Seconds.show(top));
            return Err(Gap::Unknown(line));
        }
        let Some(green) = values.of(Color::Green, label)? else {
            return Err(Gap::Unknown(format!("the query has no sample with {}", label.of(Color::Green))));
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
        match &self.gate.requests {
            Some(text) => {
                let count = promql::count_of(text, elapsed).map_err(Gap::Unknown)?;
                Ok(Some(self.prometheus.ask(&count).await?))
            }
            None => self.ask(|query| query.observations(elapsed)).await.transpose(),
        }
    }

    async fn bounds(&self) -> Result<Option<f64>, Gap> {
        let bounds = self.ask(Query::bucket_bounds).await.transpose()?;
        Ok(bounds.and_then(|bounds| bounds.highest_bound()))
    }

    /// Rates go on for minutes after the last scrape, so the age of the data is asked for itself.
    async fn freshness(&self) -> Result<(), Gap> {
        let Some((_, range)) = self.by.query().scrapes() else { return Ok(()) };
        let ranged = !self.by.query().range().is_zero();
        let (age, scrapes) = tokio::join!(self.ask(Query::age), self.ask(|query| Some(query.scrapes()?.0)));
        let (Some(age), Some(scrapes)) = (age.transpose()?, scrapes.transpose()?) else { return Ok(()) };
        let label = &self.by.label;
        // Blue's data matters only to a gate that compares with it.
        let needed = |color: &Color| *color == Color::Green || self.gate.versus_blue.is_some();
        for color in Color::BOTH.into_iter().filter(needed) {
            let (Some(age), count) = (age.of(color, label)?, scrapes.of(color, label)?.unwrap_or(0.0)) else {
                if color == Color::Green {
                    return Err(Gap::Unknown(format!(
                        "no data of {} (nothing has {})",
                        label.said(color),
                        label.of(color)
                    )));
                }
                continue;
            };
            let name = label.said(color);
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
