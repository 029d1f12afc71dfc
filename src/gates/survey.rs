//! What the question of a gate finds right now, tried before anybody is moved: names that do not exist, labels that are
//! spelled another way, ranges that are too short for the scrapes, histograms that end too early.
//!
//! It asks and never judges green: there may be no green yet.

use std::collections::BTreeSet;

use promql_parser::label::MatchOp;
use promql_parser::parser::VectorSelector;

use super::burn;
use super::by_label::ByLabel;
use super::by_stack::Sides;
use super::gate::Gate;
use super::prometheus::Prometheus;
use super::promql::{Query, Share};
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
    /// It has an answer, and the limit does not fit it: blue breaks it, or green will have too few requests.
    Contradicted,
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
            let prometheus = Prometheus::new(world.web.as_ref(), gate.url.reached(&world.secrets), world.clock.now());
            match ByLabel::new(gate, text, sides) {
                Ok(by) => Survey { gate, by: &by, prometheus, found: Vec::new() }.run().await,
                Err(e) => vec![Finding { grade: Grade::Wrong, line: format!("this is no PromQL: {e}") }],
            }
        }
        // What another source answers is seen when it is measured.
        None => Vec::new(),
    };
    if gate.is_precondition() && found.iter().all(|f| f.grade < Grade::Wrong) {
        let burn = burn::judge(gate, world).await;
        let grade = if burn.verdict == Verdict::Pass { Grade::Sound } else { Grade::Wrong };
        found.push(Finding { grade, line: burn.line });
    }
    found
}

struct Survey<'a> {
    gate: &'a Gate,
    by: &'a ByLabel,
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
        for (stack, query) in self.by.queries() {
            let known = self.found.len();
            for selector in query.selectors() {
                self.series(query, &selector).await?;
            }
            // A green that does not run yet has no series of its own.
            if stack == Some(Color::Green) {
                self.found[known..].iter_mut().for_each(|finding| finding.grade = finding.grade.min(Grade::Doubtful));
            }
        }
        if self.found.iter().any(|f| f.grade >= Grade::Wrong) {
            return Ok(());
        }
        for (stack, query) in self.by.queries() {
            if stack.is_none() && !self.gate.is_precondition() {
                self.stacks(query).await?;
            }
            self.scrapes(query).await?;
            self.buckets(query).await?;
            // What Prometheus refuses, it refuses in a bake too.
            let now = self.prometheus.ask(query.text()).await?;
            if self.gate.is_precondition() {
                self.say(Grade::Sound, format!("now: {}", now.told()));
            }
        }
        Ok(())
    }

    /// Whether a selector finds anything, and if not, which of its matchers is to blame and what there is in its place.
    async fn series(&mut self, query: &Query, selector: &VectorSelector) -> Result<(), Gap> {
        if !self.prometheus.ask(&format!("count({selector})")).await?.is_empty() {
            return Ok(());
        }
        let Some(name) = selector.name.clone() else {
            self.say(Grade::Wrong, format!("`{selector}` finds no series"));
            return Ok(());
        };
        if self.prometheus.ask(&format!("count({name})")).await?.is_empty() {
            let names = self.prometheus.values("__name__").await?;
            if names.contains(&name) {
                self.say(Grade::Wrong, format!("`{name}` has no series now, and had some before"));
                return Ok(());
            }
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
            let none = |share: &Share| share.absences().iter().all(Option::is_some);
            let said = self.gate.absent.is_some();
            let part = query.share().is_some_and(|share| share.is_of_the_part(selector) && (said || none(share)));
            let never = query.share().is_some_and(|share| {
                share
                    .absences()
                    .iter()
                    .flatten()
                    .any(|absence| absence.asks(matcher) && absence.doubt(|_| there.clone()).is_some())
            });
            let grade = if part && may_be_none && !never { Grade::Doubtful } else { Grade::Wrong };
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
    async fn stacks(&mut self, query: &Query) -> Result<(), Gap> {
        let label = self.by.label().clone();
        let Some(name) = query.selectors().into_iter().find_map(|selector| selector.name) else { return Ok(()) };
        // A label that the query writes itself is on no series.
        if query.relabels(&label.name) {
            return Ok(());
        }
        let there = self.there(&name, &label.name).await?;
        if there.is_empty() {
            let labels = self.labels(&name).await?;
            self.say(Grade::Wrong, format!("`{name}` has no label `{}`; it has {labels}", label.name));
            return Ok(());
        }
        let missing = |color: &Color| there.iter().all(|value| value != label.value(*color));
        let grade = if missing(&Color::Blue) { Grade::Wrong } else { Grade::Doubtful };
        for color in Color::BOTH.into_iter().filter(missing) {
            let line = format!("no series of `{name}` has {} now; there is {}", label.of(color), there.join(", "));
            self.say(grade, line);
        }
        Ok(())
    }

    /// A range holds at least four scrapes, or now and then it is empty.
    async fn scrapes(&mut self, query: &Query) -> Result<(), Gap> {
        let Some((scrapes, range)) = query.scrapes() else { return Ok(()) };
        if query.range().is_zero() {
            return Ok(());
        }
        let most = self.prometheus.ask(&scrapes).await?.highest();
        if let Some(most) = most.filter(|most| *most < 4.0) {
            let line = format!("the range {} holds {most} scrapes; at least four are needed", spoken(range));
            // A series that has just begun has few in any range.
            let before = self.prometheus.ask(&query.scraped_in(4 * range).unwrap_or(scrapes)).await?.highest();
            let young = before.is_some_and(|all| all < 2.0 * most.max(1.0));
            self.say(if young { Grade::Doubtful } else { Grade::Wrong }, line);
        }
        Ok(())
    }

    async fn buckets(&mut self, query: &Query) -> Result<(), Gap> {
        let Some(bounds) = query.bucket_bounds() else { return Ok(()) };
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
