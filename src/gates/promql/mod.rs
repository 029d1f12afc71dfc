//! What can be known of a PromQL query without a server, and the queries that follow from it.
//!
//! A gate's query says more than its value: how many requests stand behind it, which of them were bad, how old the data
//! is and how far back it looks. All of that is taken from the query itself, so a runbook need not say it twice. Nothing
//! here is sent anywhere.

mod flaws;

pub use flaws::Flaw;

use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, MatrixSelector, VectorSelector, token};

use super::expression::{aggregated, apart, bare, keeps, replace, scaled, walk};

/// For how long an instant query shows the last value of a series that has ended.
const LOOKBACK: Duration = Duration::from_secs(300);

/// A query that could be read.
pub struct Query {
    text: String,
    expr: Expr,
    label: String,
}

impl Query {
    /// Reads a query whose samples are told apart by `label`.
    pub fn parse(text: &str, label: &str) -> Result<Self, String> {
        let expr = parser::parse(text).map_err(|e| e.lines().next().unwrap_or_default().trim().to_string())?;
        Ok(Query { text: text.into(), expr, label: label.into() })
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

    /// Bad and all requests per stack, counted since `elapsed` ago, when the query is a share: `sum(…) / sum(…)` of rates. Each
    /// term of a sum of bad requests is asked for itself: where one of them is absent, so is their sum.
    pub fn counts(&self, elapsed: Duration) -> Option<(Vec<String>, String)> {
        self.counted_by(|expr| counted(expr, elapsed))
    }

    /// The same, each stack told apart by a further label. None where the query's sums do not name their labels.
    pub fn counts_apart(&self, elapsed: Duration, by: &str) -> Option<(Vec<String>, String)> {
        self.counted_by(|expr| apart(counted(expr, elapsed)?, by))
    }

    fn counted_by(&self, of: impl Fn(&Expr) -> Option<Expr>) -> Option<(Vec<String>, String)> {
        let (bad, all) = self.share()?;
        let bad: Option<Vec<String>> = terms(bad).into_iter().map(|term| Some(of(term)?.to_string())).collect();
        Some((bad?, of(all)?.to_string()))
    }

    /// The two sides of a share.
    fn share(&self) -> Option<(&Expr, &Expr)> {
        let Expr::Binary(b) = bare(&self.expr) else { return None };
        let labelled = |e: &Expr| self.label.is_empty() || keeps(e, &self.label) == Some(true);
        let summed = |e: &Expr| labelled(e) && !scaled(e) && aggregated(e);
        (b.op.id() == token::T_DIV && summed(&b.lhs) && summed(&b.rhs)).then_some((&*b.lhs, &*b.rhs))
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
                && let Some(Expr::NumberLiteral(q)) = call.args.args.first().map(AsRef::as_ref)
            {
                quantile = Some(q.val);
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

    /// How many scrapes the range held, per stack, and that range; for a query without one the five minutes for which
    /// Prometheus goes on showing a last value.
    pub fn scrapes(&self) -> Option<(String, Duration)> {
        let (selector, range) = self.main()?;
        let range = range.unwrap_or(LOOKBACK);
        let text = format!("max by ({}) (count_over_time({selector}[{}ms]))", self.label, range.as_millis());
        Some((text, range))
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

    /// Whether a selector stands above the line of a share: there it may find nothing.
    pub fn is_of_the_part(&self, selector: &VectorSelector) -> bool {
        let Some((part, _)) = self.share() else { return false };
        let mut found = false;
        walk(part, &mut |expr| found |= matches!(expr, Expr::MatrixSelector(m) if m.vs == *selector));
        found
    }

    /// Bad and all requests of the whole service, as rates over a window in place of the query's own; the bad ones term by term.
    pub fn sides(&self, window: Duration) -> Option<(Vec<String>, String)> {
        let Expr::Binary(b) = bare(&self.expr) else { return None };
        if b.op.id() != token::T_DIV || scaled(&b.lhs) || scaled(&b.rhs) {
            return None;
        }
        let side = |expr: &Expr| {
            let (mut expr, mut ranges) = (expr.clone(), 0);
            replace(&mut expr, &mut |node| match node {
                Expr::MatrixSelector(m) => {
                    ranges += 1;
                    Some(Expr::MatrixSelector(MatrixSelector { vs: m.vs.clone(), range: window }))
                }
                _ => None,
            });
            (ranges > 0).then(|| format!("sum({expr})"))
        };
        let bad: Option<Vec<String>> = terms(&b.lhs).into_iter().map(side).collect();
        Some((bad?, side(&b.rhs)?))
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
        let from = self.share().map_or(&self.expr, |(_, all)| all);
        let mut found = None;
        walk(from, &mut |expr| match expr {
            _ if found.is_some() => {}
            Expr::MatrixSelector(m) => found = Some((m.vs.clone(), Some(m.range))),
            Expr::VectorSelector(v) => found = Some((v.clone(), None)),
            _ => {}
        });
        found
    }

    /// When bad requests have no series at all that means none happened, but only if they are told apart from all
    /// requests by a label that exists. Gives for each term of them the query that proves it, whose answer must not be empty;
    /// none for a term that cannot be proven so.
    pub fn proofs_of_none(&self) -> Vec<Option<String>> {
        let Some((bad, all)) = self.share() else { return Vec::new() };
        terms(bad).into_iter().map(|term| proof_of_none(term, all)).collect()
    }
}

/// The terms of a sum, or the one that there is.
fn terms(expr: &Expr) -> Vec<&Expr> {
    match bare(expr) {
        Expr::Binary(b) if b.op.id() == token::T_ADD => [terms(&b.lhs), terms(&b.rhs)].concat(),
        one => vec![one],
    }
}

fn proof_of_none(bad: &Expr, all: &Expr) -> Option<String> {
    let first = |expr: &Expr| {
        let mut found = None;
        walk(expr, &mut |e| {
            if let Expr::MatrixSelector(m) = e
                && found.is_none()
            {
                found = Some(m.vs.clone());
            }
        });
        found
    };
    let (bad, all) = (first(bad)?, first(all)?);
    if bad.name != all.name {
        return None;
    }
    let mut shared = all.clone();
    for matcher in bad.matchers.matchers.iter().filter(|m| !all.matchers.matchers.contains(m)) {
        shared.matchers.matchers.push(Matcher::new(MatchOp::NotEqual, &matcher.name, ""));
    }
    Some(format!("count({shared})"))
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

/// How much a counter grew. A series that did not exist at the start counts with all it has: `increase` alone is blind to
/// what happened before its first scrape, so a green that fails at once would look clean.
fn growth(selector: &VectorSelector, elapsed: Duration) -> String {
    let millis = elapsed.as_millis().max(1);
    format!("(({selector} unless {selector} offset {millis}ms) or increase({selector}[{millis}ms]))")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: &str = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[1m])) / sum by (color) (rate(http_requests_total[1m]))"#;
    const P99: &str = "histogram_quantile(0.99, sum by (le, color) (rate(http_seconds_bucket{job=\"bot\"}[1m])))";

    #[test]
    fn counts_are_taken_from_a_share() {
        let query = Query::parse(SHARE, "color").unwrap();
        let (bad, all) = query.counts(Duration::from_secs(90)).unwrap();
        assert_eq!(
            all,
            "sum by (color) (((http_requests_total unless http_requests_total offset 1m30s) or increase(http_requests_total[1m30s])))"
        );
        assert!(bad[0].contains(r#"increase(http_requests_total{status=~"5.."}[1m30s])"#), "{bad:?}");
        assert_eq!(bad.len(), 1);
        for derived in [bad[0].clone(), all] {
            parser::parse(&derived).unwrap();
        }
        for text in [P99, "100 * sum by (color) (rate(a[1m])) / sum by (color) (rate(b[1m]))", "max by (color) (depth)"]
        {
            assert_eq!(Query::parse(text, "color").unwrap().counts(Duration::from_secs(1)), None, "{text}");
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
        let (bad, all) = of(SHARE).sides(Duration::from_secs(3600)).unwrap();
        assert_eq!(bad, [r#"sum(sum by (color) (rate(http_requests_total{status=~"5.."}[1h])))"#]);
        assert_eq!(all, "sum(sum by (color) (rate(http_requests_total[1h])))");
        assert_eq!(of("100 * a / b").sides(minute), None);
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
        assert_eq!(query.proofs_of_none(), [Some(r#"count(http_requests_total{status!=""})"#.into())]);
        let other = "sum by (color) (rate(errors_total[1m])) / sum by (color) (rate(requests_total[1m]))";
        assert_eq!(Query::parse(other, "color").unwrap().proofs_of_none(), [None]);
    }
}
