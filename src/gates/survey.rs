//! What the question of a gate finds right now, tried before anybody is moved: names that do not exist, labels that are
//! spelled another way, ranges that are too short for the scrapes, histograms that end too early.
//!
//! It asks and never judges green: there may be no green yet.

use std::collections::BTreeSet;

use promql_parser::label::MatchOp;
use promql_parser::parser::VectorSelector;

use super::burn;
use super::by_stack::Sides;
use super::gate::Gate;
use super::probe::Probe;
use super::prometheus::Prometheus;
use super::promql::Query;
use crate::plan::Color;
use crate::run::Verdict;
use crate::scalar::{Unit, spoken};
use crate::world::{Gap, World};

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub grade: Grade,
    pub line: String,
}

/// What a finding means for the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Sound,
    /// It may be so now and right later: green has no data before it runs.
    Doubtful,
    /// The gate could never give a verdict.
    Wrong,
    /// Nobody answered.
    Silent,
}

/// Names of metrics, as many as are worth looking for a near one.
const MOST_VALUES: usize = 12;

/// Asks everything a gate will ask, and what explains the answers.
pub async fn survey(gate: &Gate, sides: &Sides, world: &World) -> Vec<Finding> {
    let mut found = match gate.source.promql() {
        Some(text) => {
            let url = world.secrets.resolve(&gate.url);
            let prometheus = Prometheus::new(world.web.as_ref(), &url, world.clock.now());
            let label = if gate.is_precondition() { "" } else { &gate.label };
            match Query::parse(text, label) {
                Ok(query) => Survey { gate, query, prometheus, found: Vec::new() }.run().await,
                Err(e) => vec![Finding { grade: Grade::Wrong, line: format!("this is no PromQL: {e}") }],
            }
        }
        None => of_source(gate, sides, world).await,
    };
    if gate.is_precondition() && found.iter().all(|f| f.grade < Grade::Wrong) {
        let burn = burn::judge(gate, world).await;
        let grade = if burn.verdict == Verdict::Pass { Grade::Sound } else { Grade::Wrong };
        found.push(Finding { grade, line: burn.line });
    }
    for finding in &mut found {
        finding.line = world.secrets.mask(&finding.line);
    }
    found
}

/// A source that is no Prometheus: what it says of each stack.
async fn of_source(gate: &Gate, sides: &Sides, world: &World) -> Vec<Finding> {
    let now = world.clock.now();
    let back = jiff::SignedDuration::from_mins(15);
    let since = now.checked_sub(back).unwrap_or(now);
    // The counters' growth needs two looks, and one shows whether there is anything to grow.
    let gate = Gate { delta: false, ..gate.clone() };
    let probe = match Probe::new(gate, sides) {
        Ok(probe) => probe,
        Err(line) => return vec![Finding { grade: Grade::Wrong, line }],
    };
    let measurement = probe.measure(world, since, now).await;
    let told: Vec<String> = measurement.asked.iter().map(|a| format!("{} → {}", a.question, a.answer)).collect();
    let (grade, line) = match measurement.measured {
        Ok(_) => (Grade::Sound, told.join(", ")),
        Err(Gap::Silent(line)) => (Grade::Silent, line),
        Err(Gap::Unknown(line)) if told.is_empty() => (Grade::Wrong, line),
        Err(Gap::Unknown(line)) => (Grade::Wrong, format!("{line}; {}", told.join(", "))),
    };
    vec![Finding { grade, line }]
}

struct Survey<'a> {
    gate: &'a Gate,
    query: Query,
    prometheus: Prometheus<'a>,
    found: Vec<Finding>,
}

impl Survey<'_> {
    async fn run(mut self) -> Vec<Finding> {
        if let Err(gap) = self.all().await {
            let grade = if matches!(gap, Gap::Silent(_)) { Grade::Silent } else { Grade::Wrong };
            self.say(grade, gap.line().to_string());
        }
        self.found
    }

    fn say(&mut self, grade: Grade, line: String) {
        let finding = Finding { grade, line };
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    async fn all(&mut self) -> Result<(), Gap> {
        for selector in self.query.selectors() {
            self.series(&selector).await?;
        }
        if self.found.iter().any(|f| f.grade >= Grade::Wrong) {
            return Ok(());
        }
        if !self.gate.is_precondition() {
            self.stacks().await?;
        }
        self.scrapes().await?;
        self.buckets().await?;
        let text = self.query.text().to_string();
        let now = self.prometheus.ask(&text).await?.told();
        self.say(Grade::Sound, format!("now: {now}"));
        Ok(())
    }

    /// Whether a selector finds anything, and if not, which of its matchers is to blame and what there is in its place.
    async fn series(&mut self, selector: &VectorSelector) -> Result<(), Gap> {
        if !self.prometheus.ask(&format!("count({selector})")).await?.is_empty() {
            return Ok(());
        }
        let Some(name) = selector.name.clone() else {
            self.say(Grade::Wrong, format!("`{selector}` finds no series"));
            return Ok(());
        };
        if self.prometheus.ask(&format!("count({name})")).await?.is_empty() {
            let names = self.prometheus.values("__name__").await?;
            let mut near: Vec<(f64, &String)> =
                names.iter().map(|known| (strsim::jaro_winkler(known, &name), known)).collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            let near: Vec<&str> =
                near.iter().take(3).filter(|(score, _)| *score > 0.7).map(|(_, n)| n.as_str()).collect();
            let help = match near[..] {
                [] => format!("none of its {} metrics has a similar name", names.len()),
                _ => format!("there is `{}`", near.join("`, `")),
            };
            self.say(Grade::Wrong, format!("no metric `{name}`; {help}"));
            return Ok(());
        }
        let mut blamed = false;
        for matcher in &selector.matchers.matchers {
            if !self.prometheus.ask(&format!("count({name}{{{matcher}}})")).await?.is_empty() {
                continue;
            }
            blamed = true;
            let there = self.there(&name, &matcher.name).await?;
            // A service without errors has no series of errors; where their label exists that is no mistake.
            let may_be_none = matches!(matcher.op, MatchOp::Equal | MatchOp::Re(_)) && !there.is_empty();
            let part = self.query.is_of_the_part(selector) && self.query.proofs_of_none().iter().all(Option::is_some);
            let grade = if part && may_be_none { Grade::Doubtful } else { Grade::Wrong };
            let help = match there.is_empty() {
                true => format!("it has no label `{}`; it has {}", matcher.name, self.labels(&name).await?),
                false => format!("`{}` is one of {}", matcher.name, there.join(", ")),
            };
            self.say(grade, format!("no series of `{name}` has `{matcher}` now; {help}"));
        }
        if !blamed {
            self.say(Grade::Wrong, format!("`{selector}` finds no series: none has all these labels at once"));
        }
        Ok(())
    }

    /// The values a label has on a metric.
    async fn there(&self, name: &str, label: &str) -> Result<Vec<String>, Gap> {
        let mut values = self.prometheus.ask(&format!("count by ({label}) ({name})")).await?.values(label);
        values.retain(|value| !value.is_empty());
        let more = values.len().saturating_sub(MOST_VALUES);
        values.truncate(MOST_VALUES);
        if more > 0 {
            values.push(format!("{more} more"));
        }
        Ok(values)
    }

    /// The labels a metric has.
    async fn labels(&self, name: &str) -> Result<String, Gap> {
        let labels: BTreeSet<String> = self.prometheus.ask(&format!("topk(5, {name})")).await?.labels();
        let labels: Vec<&str> = labels.iter().map(String::as_str).filter(|l| *l != "__name__").collect();
        Ok(if labels.is_empty() { "none".into() } else { labels.join(", ") })
    }

    /// Whether the label that tells the stacks apart exists, and says `blue` and `green`.
    async fn stacks(&mut self) -> Result<(), Gap> {
        let label = self.gate.label.clone();
        let Some(name) = self.query.selectors().into_iter().find_map(|selector| selector.name) else { return Ok(()) };
        let there = self.there(&name, &label).await?;
        if there.is_empty() {
            let labels = self.labels(&name).await?;
            self.say(Grade::Wrong, format!("`{name}` has no label `{label}`; it has {labels}"));
            return Ok(());
        }
        let missing: Vec<&str> =
            Color::BOTH.iter().map(|color| color.name()).filter(|color| there.iter().all(|v| v != color)).collect();
        let grade = if missing.contains(&"blue") { Grade::Wrong } else { Grade::Doubtful };
        for color in missing {
            self.say(
                grade,
                format!("no series of `{name}` has {label}=\"{color}\" now; there is {}", there.join(", ")),
            );
        }
        Ok(())
    }

    /// A range holds at least four scrapes, or now and then it is empty.
    async fn scrapes(&mut self) -> Result<(), Gap> {
        let Some((scrapes, range)) = self.query.scrapes() else { return Ok(()) };
        if self.query.range().is_zero() {
            return Ok(());
        }
        let most = self.prometheus.ask(&scrapes).await?.highest();
        if let Some(most) = most.filter(|most| *most < 4.0) {
            let line = format!("the range {} holds {most} scrapes; at least four are needed", spoken(range));
            self.say(Grade::Wrong, line);
        }
        Ok(())
    }

    async fn buckets(&mut self) -> Result<(), Gap> {
        let Some(bounds) = self.query.bucket_bounds() else { return Ok(()) };
        let top = self.prometheus.ask(&bounds).await?.highest_bound();
        if let (Some(top), Some(limit)) = (top, &self.gate.max)
            && limit.value >= top
        {
            let line = format!(
                "the limit {limit} is not under the histogram's highest bucket, {}: no quantile is ever above that",
                Unit::Seconds.show(top)
            );
            self.say(Grade::Wrong, line);
        }
        Ok(())
    }
}
