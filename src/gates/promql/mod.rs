//! What can be known of a PromQL query without a server, and the queries that follow from it.
//!
//! A gate's query says more than its value: how many requests stand behind it, which of them were bad, how old the data
//! is and how far back it looks. All of that is taken from the query itself, so a runbook need not say it twice. Nothing
//! here is sent anywhere.

mod flaws;
mod part;
mod share;
mod unit;

pub use flaws::Flaw;
pub use part::Absence;
pub use share::{Counting, Share};
pub use unit::Measure;

use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector, token};

use super::expression::{bare, literal, quotients, replace, walk, written};
use crate::scalar::{Limit, Unit};

/// For how long an instant query shows the last value of a series that has ended.
const LOOKBACK: Duration = Duration::from_secs(300);

/// A series without any sample for so long before users were shifted is new: all it has counts. One that was there, and was not
/// scraped for a moment, is not.
const NEW_AFTER: Duration = Duration::from_secs(900);

/// A query that could be read.
pub struct Query {
    text: String,
    expr: Expr,
    label: String,
    /// What it is judged by, where it is a share.
    share: Option<Share>,
    /// A sum over a count of one thing.
    mean: bool,
    /// Why a quotient of rates is not taken for a share, where nobody said what it is.
    undecided: Option<String>,
}

impl Query {
    /// Reads a query whose samples are told apart by `label`; without one it is about one stack, or the service.
    pub fn parse(text: &str, label: &str) -> Result<Self, String> {
        Query::declared(text, label, None)
    }

    /// The same, with the runbook's word on whether the query is a share of requests.
    pub fn declared(text: &str, label: &str, said: Option<bool>) -> Result<Self, String> {
        let expr = parser::parse(text).map_err(|e| e.lines().next().unwrap_or_default().trim().to_string())?;
        let form = Share::read(&expr).filter(|form| label.is_empty() || form.keeps(label));
        let mean = form.as_ref().is_some_and(Share::is_mean);
        let (share, undecided) = match (said, form) {
            (Some(false), _) => (None, None),
            (Some(true), form) => (form, None),
            (None, Some(form)) => match form.doubt() {
                None => (Some(form), None),
                Some(_) if mean => (None, None),
                Some(why) => (None, Some(why)),
            },
            (None, None) => {
                let is_mean = |one: &&Expr| Share::read(one).is_some_and(|form| form.is_mean());
                let open = quotients(&expr, &COUNTED).iter().any(|one| !is_mean(one));
                (None, open.then(|| "it is not one sum of rates over another".into()))
            }
        };
        Ok(Query { text: text.into(), expr, label: label.into(), share, mean, undecided })
    }

    /// The share it is, by its form or by the runbook's word.
    pub fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// Why nothing says whether this quotient is a share of requests. None where that is clear.
    pub fn undecided(&self) -> Option<&str> {
        self.undecided.as_deref()
    }

    /// Whether a limit could be one for a share: a percentage, or no more than the whole.
    pub fn may_be_share(&self, limit: &Limit) -> bool {
        let whole = self.factor().filter(|factor| *factor == 100.0).unwrap_or(1.0);
        match limit.unit {
            Unit::Percent => true,
            Unit::Number => limit.value <= whole,
            Unit::Seconds => false,
        }
    }

    /// A factor that makes other units of its values: 100 or 1000.
    pub fn factor(&self) -> Option<f64> {
        let mut found = None;
        walk(&self.expr, &mut |expr| {
            if let Expr::Binary(b) = expr
                && b.op.id() == token::T_MUL
            {
                let factor = literal(&b.lhs).or(literal(&b.rhs));
                found = found.or(factor.filter(|factor| [100.0, 1000.0].contains(factor)));
            }
        });
        found
    }

    /// Bad and all requests of the whole service as rates over a window, for an objective: what it is a share of it says itself.
    pub fn burning(&self) -> Option<Share> {
        Share::read(&self.expr)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The longest range the query looks back over.
    pub fn range(&self) -> Duration {
        let mut longest = Duration::ZERO;
        walk(&self.expr, &mut |expr| match expr {
            Expr::MatrixSelector(m) => longest = longest.max(m.range),
            Expr::Subquery(s) => longest = longest.max(s.range),
            _ => {}
        });
        longest
    }

    /// Bad and all requests per stack, counted since `elapsed` ago, when the query is a share.
    pub fn counts(&self, elapsed: Duration) -> Option<Counting> {
        self.share()?.counting(&self.label, elapsed)
    }

    /// The same, each stack told apart by a further label. None where the query's sums have dropped it.
    pub fn counts_apart(&self, elapsed: Duration, by: &str) -> Option<Counting> {
        self.share()?.counting_apart(&self.label, elapsed, by)
    }

    /// The number of requests behind a quantile of a histogram, per stack, since `elapsed` ago.
    pub fn observations(&self, elapsed: Duration) -> Option<String> {
        let mut bucket = self.buckets()?;
        bucket.matchers.matchers.retain(|m| m.name != "le");
        bucket.matchers.matchers.push(Matcher::new(MatchOp::Equal, "le", "+Inf"));
        Some(format!("sum by ({}) {}", self.label, growth(&bucket, elapsed)))
    }

    /// The buckets of a histogram, to see up to where it can tell values apart.
    pub fn bucket_bounds(&self) -> Option<String> {
        Some(format!("count by (le) ({})", self.buckets()?))
    }

    /// `0.99` of a `histogram_quantile(0.99, …)`.
    pub fn quantile(&self) -> Option<f64> {
        let mut quantile = None;
        walk(&self.expr, &mut |expr| {
            if let Expr::Call(call) = expr
                && call.func.name == "histogram_quantile"
                && let Some(q) = call.args.args.first().and_then(|q| literal(q))
            {
                quantile = Some(q);
            }
        });
        quantile.filter(|q| (0.0..1.0).contains(q))
    }

    fn buckets(&self) -> Option<VectorSelector> {
        self.quantile()?;
        let mut found = None;
        walk(&self.expr, &mut |expr| {
            if let Expr::MatrixSelector(m) = expr
                && m.vs.name.as_ref().is_some_and(|n| n.ends_with("_bucket"))
            {
                found = Some(m.vs.clone());
            }
        });
        found
    }

    /// Seconds since the newest sample the query rests on, per stack. For a share that is the side of all requests, since
    /// the bad ones may be none at all.
    pub fn age(&self) -> Option<String> {
        let (selector, _) = self.main()?;
        Some(format!("min by ({}) (time() - timestamp({selector}))", self.label))
    }

    /// Seconds since the newest sample the query rests on, whatever its labels.
    pub fn newest(&self) -> Option<String> {
        let (selector, _) = self.main()?;
        Some(format!("min(time() - timestamp({selector}))"))
    }

    /// How many seconds ago the oldest of its samples of the last `back` was taken.
    pub fn first_sample(&self, back: Duration) -> Option<String> {
        let (selector, _) = self.main()?;
        Some(format!("time() - min(min_over_time(timestamp({selector})[{}s:5s]))", back.as_secs()))
    }

    /// How many scrapes the range held, per stack, and that range; for a query without one the five minutes for which
    /// Prometheus goes on showing a last value.
    pub fn scrapes(&self) -> Option<(String, Duration)> {
        let range = self.main()?.1.unwrap_or(LOOKBACK);
        Some((self.scraped_in(range)?, range))
    }

    /// How many scrapes another range held, per stack.
    pub fn scraped_in(&self, range: Duration) -> Option<String> {
        let (selector, _) = self.main()?;
        Some(format!("max by ({}) (count_over_time({selector}[{}ms]))", self.label, range.as_millis()))
    }

    /// How far the counters of the query have grown since `elapsed` ago. None where there is a range in it: then it is no
    /// counter any more.
    pub fn grown(&self, elapsed: Duration) -> Option<String> {
        let mut expr = self.expr.clone();
        let (mut counters, mut ranges) = (0, 0);
        replace(&mut expr, &mut |node| match node {
            Expr::VectorSelector(selector) => {
                counters += 1;
                parser::parse(&growth(selector, elapsed)).ok()
            }
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                ranges += 1;
                None
            }
            _ => None,
        });
        (counters > 0 && ranges == 0).then(|| expr.to_string())
    }

    /// Everything it selects, each once.
    pub fn selectors(&self) -> Vec<VectorSelector> {
        let mut found: Vec<VectorSelector> = Vec::new();
        walk(&self.expr, &mut |expr| {
            let selector = match expr {
                Expr::VectorSelector(v) => v,
                Expr::MatrixSelector(m) => &m.vs,
                _ => return,
            };
            if !found.contains(selector) {
                found.push(selector.clone());
            }
        });
        found
    }

    /// Whether the query writes this label itself.
    pub fn relabels(&self, label: &str) -> bool {
        let mut found = false;
        walk(&self.expr, &mut |expr| found |= matches!(expr, Expr::Call(call) if written(call) == Some(label)));
        found
    }

    /// A sum of rates: its value follows the share of users a stack has.
    pub fn grows_with_traffic(&self) -> bool {
        let Expr::Aggregate(sum) = bare(&self.expr) else { return false };
        let (mut rates, mut relative) = (false, false);
        walk(&sum.expr, &mut |e| match e {
            Expr::Call(call) => rates |= COUNTED.contains(&call.func.name),
            Expr::Binary(b) => relative |= b.op.id() == token::T_DIV,
            _ => {}
        });
        [token::T_SUM, token::T_COUNT].contains(&sum.op.id()) && rates && !relative
    }

    fn main(&self) -> Option<(VectorSelector, Option<Duration>)> {
        let from = self.share().map_or(&self.expr, Share::main);
        let mut found = None;
        walk(from, &mut |expr| match expr {
            _ if found.is_some() => {}
            Expr::MatrixSelector(m) => found = Some((m.vs.clone(), Some(m.range))),
            Expr::VectorSelector(v) => found = Some((v.clone(), None)),
            _ => {}
        });
        found
    }
}

/// The number of requests a query of rates stands for, since `elapsed` ago. None where there is no rate in it.
pub fn count_of(text: &str, elapsed: Duration) -> Result<String, String> {
    let expr = parser::parse(text).map_err(|e| e.lines().next().unwrap_or_default().trim().to_string())?;
    counted(&expr, elapsed)
        .map(|e| e.to_string())
        .ok_or_else(|| "there is no `rate(…[range])` in it to count by".to_string())
}

const COUNTED: [&str; 3] = ["rate", "irate", "increase"];

/// The expression with every rate replaced by the growth of its counter since `elapsed` ago.
fn counted(expr: &Expr, elapsed: Duration) -> Option<Expr> {
    let mut expr = expr.clone();
    let mut replaced = 0;
    replace(&mut expr, &mut |node| {
        let Expr::Call(call) = node else { return None };
        if !COUNTED.contains(&call.func.name) {
            return None;
        }
        let Some(Expr::MatrixSelector(m)) = call.args.args.first().map(AsRef::as_ref) else { return None };
        replaced += 1;
        parser::parse(&growth(&m.vs, elapsed)).ok()
    });
    (replaced > 0).then_some(expr)
}

/// How much a counter grew: from its last sample before, to its last one. A series that did not exist then counts with all it
/// has, or a green that fails at once would look clean; one that was only not scraped for a moment does not. `increase` is for
/// series that began again or have ended: it counts more than there was, since it adds what it expects at the ends.
fn growth(selector: &VectorSelector, elapsed: Duration) -> String {
    let (range, new) = (elapsed.as_millis().max(1), NEW_AFTER.as_millis());
    let before = format!("last_over_time({selector}[{new}ms] offset {range}ms)");
    format!(
        "((({selector} unless {before}) or {selector} - {before} >= 0) unless resets({selector}[{range}ms]) > 0 \
         or increase({selector}[{range}ms]))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: &str = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[1m])) / sum by (color) (rate(http_requests_total[1m]))"#;
    const P99: &str = "histogram_quantile(0.99, sum by (le, color) (rate(http_seconds_bucket{job=\"bot\"}[1m])))";

    #[test]
    fn counts_are_taken_from_a_share() {
        let query = Query::parse(SHARE, "color").unwrap();
        let Counting { part, all } = query.counts(Duration::from_secs(90)).unwrap();
        let before = "last_over_time(http_requests_total[15m] offset 1m30s)";
        assert_eq!(
            all,
            [format!(
                "sum by (color) ((((http_requests_total unless {before}) or http_requests_total - {before} >= 0) \
                 unless resets(http_requests_total[1m30s]) > 0 or increase(http_requests_total[1m30s])))"
            )]
        );
        assert!(part[0].contains(r#"increase(http_requests_total{status=~"5.."}[1m30s])"#), "{part:?}");
        assert_eq!(part.len(), 1);
        for derived in [&part[0], &all[0]] {
            parser::parse(derived).unwrap();
        }
        for text in [P99, "sum by (color) (rate(a[1m])) / sum by (color) (rate(b[1m]))", "max by (color) (depth)"] {
            assert!(Query::parse(text, "color").unwrap().counts(Duration::from_secs(1)).is_none(), "{text}");
        }
    }

    #[test]
    fn what_follows_from_counters_and_objectives() {
        let of = |text: &str| Query::parse(text, "color").unwrap();
        let minute = Duration::from_secs(60);
        let grown = of("sum by (color) (a_total) + sum by (color) (b_total)").grown(minute).unwrap();
        assert!(grown.contains("increase(a_total[1m])") && grown.contains("increase(b_total[1m])"), "{grown}");
        parser::parse(&grown).unwrap();
        assert_eq!(of(SHARE).grown(minute), None);
        let Counting { part, all } = of(SHARE).burning().unwrap().over(Duration::from_secs(3600)).unwrap();
        assert_eq!(part, [r#"sum(sum by (color) (rate(http_requests_total{status=~"5.."}[1h])))"#]);
        assert_eq!(all, ["sum(sum by (color) (rate(http_requests_total[1h])))"]);
        assert!(of("100 * a / b").burning().is_none());
        assert!(of("sum by (color) (rate(a[1m]))").grows_with_traffic());
        for relative in [SHARE, P99, "avg by (color) (rate(a[1m]))", "max by (color) (depth)"] {
            assert!(!of(relative).grows_with_traffic(), "{relative}");
        }
    }

    #[test]
    fn what_follows_from_a_quantile() {
        let query = Query::parse(P99, "color").unwrap();
        assert_eq!(query.quantile(), Some(0.99));
        assert_eq!(query.bucket_bounds().unwrap(), r#"count by (le) (http_seconds_bucket{job="bot"})"#);
        let requests = query.observations(Duration::from_secs(60)).unwrap();
        assert!(requests.contains(r#"increase(http_seconds_bucket{job="bot",le="+Inf"}[60000ms])"#), "{requests}");
        parser::parse(&requests).unwrap();
        assert_eq!(query.range(), Duration::from_secs(60));
    }

    #[test]
    fn age_and_scrapes_follow_the_side_of_all_requests() {
        let query = Query::parse(SHARE, "color").unwrap();
        assert_eq!(query.age().unwrap(), "min by (color) (time() - timestamp(http_requests_total))");
        assert_eq!(query.scrapes().unwrap().0, "max by (color) (count_over_time(http_requests_total[60000ms]))");
    }
}
