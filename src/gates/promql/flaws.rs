//! What is wrong with a query and can be seen without a server: every trap of PromQL that once fooled somebody.

use std::time::Duration;

use promql_parser::label::Matcher;
use promql_parser::parser::{BinaryExpr, Expr, LabelModifier, token, value::ValueType};

use super::{COUNTED, Query};
use crate::gates::expression::{aggregated, bare, holds_vector_of_zero, keeps, literal, walk};

/// What is wrong with a query, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub message: String,
    pub help: String,
}

impl Query {
    /// Mistakes that give wrong numbers, and things that are only doubtful. The values of the label are what it says of the
    /// stacks; None where that is known only with a plan.
    pub fn review(&self, label: &str, values: Option<[&str; 2]>) -> (Vec<Flaw>, Vec<Flaw>) {
        let (mut wrong, mut doubtful) = (Vec::new(), Vec::new());
        for selector in self.selectors() {
            let fits = |m: &Matcher| values.is_some_and(|values| values.iter().all(|value| m.is_match(value)));
            let one_sided = |m: &&Matcher| !self.label.is_empty() && m.name == label && !fits(m);
            if let Some(matcher) = selector.matchers.matchers.iter().find(one_sided) {
                wrong.push(Flaw {
                    message: format!("`{matcher}` leaves one of the stacks out, so nothing can be compared with it"),
                    help: format!(
                        "leave it out, since both are asked at once; or ask of each: `{label}=\"{{stack}}\"`"
                    ),
                });
            }
        }
        match self.expr.value_type() {
            ValueType::Vector => {}
            other => wrong.push(Flaw {
                message: format!("the query gives a {other}, not one sample per stack"),
                help: format!("aggregate it by stack: `sum by ({label}) (rate(…[1m]))`"),
            }),
        }
        if !self.label.is_empty() && keeps(&self.expr, label) == Some(false) {
            wrong.push(Flaw {
                message: format!("the query's samples have no label `{label}`, so green and blue are one number"),
                help: format!("a total hides a bad green behind a large blue: write `by ({label})`, or name the label that holds the colour"),
            });
        }
        for other in self.other_labels() {
            wrong.push(Flaw {
                message: format!("the query gives one sample for each `{other}` of a stack, and exactly one is needed"),
                help: match self.label.is_empty() {
                    true => "aggregate it away: `sum (…)`".into(),
                    false => format!("aggregate it away: `by ({label})`"),
                },
            });
        }
        if self.loses_buckets() {
            wrong.push(Flaw {
                message: "a quantile of buckets that have lost their label `le` has no answer".into(),
                help: format!("write `sum by (le, {label}) (rate(…_bucket[1m]))`"),
            });
        }
        walk(&self.expr, &mut |expr| match expr {
            Expr::Binary(b) if b.op.is_comparison_operator() => wrong.push(Flaw {
                message: "a comparison throws samples away, or makes them 0 and 1".into(),
                help: "ask for the value alone: `max` and `min` compare it".into(),
            }),
            Expr::VectorSelector(v) if v.offset.is_some() || v.at.is_some() => wrong.push(elsewhen()),
            Expr::MatrixSelector(m) if m.vs.offset.is_some() || m.vs.at.is_some() => wrong.push(elsewhen()),
            Expr::Aggregate(a) if a.op.id() == token::T_AVG && averages_quantiles(&a.expr) => doubtful.push(Flaw {
                message: "the average of quantiles is no quantile".into(),
                help: format!(
                    "take it of all buckets: `histogram_quantile(0.99, sum by (le, {label}) (rate(…_bucket[1m])))`"
                ),
            }),
            Expr::Binary(b) if b.op.id() == token::T_DIV => {
                let vectors = [&b.lhs, &b.rhs].iter().all(|e| e.value_type() == ValueType::Vector);
                let matched = b.modifier.as_ref().is_some_and(|m| m.matching.is_some());
                if vectors && !matched && !(aggregated(&b.lhs) && aggregated(&b.rhs)) && of_one_metric(b) {
                    wrong.push(Flaw {
                        message: "a division of vectors that are not aggregated pairs each series with itself, so every error rate is 1".into(),
                        help: format!("aggregate both sides: `sum by ({label}) (…) / sum by ({label}) (…)`"),
                    });
                }
                if holds_vector_of_zero(&b.rhs) {
                    wrong.push(Flaw {
                        message: "`or vector(0)` below the line makes an absent service look like a division by zero"
                            .into(),
                        help: "leave it out: no requests means no verdict".into(),
                    });
                }
            }
            Expr::Call(call)
                if call.func.name == "histogram_quantile"
                    && call.args.args.first().and_then(|q| literal(q)).is_some_and(|q| !(0.0..=1.0).contains(&q)) =>
            {
                wrong.push(Flaw {
                    message: "a quantile lies between 0 and 1".into(),
                    help: "write `histogram_quantile(0.99, …)`".into(),
                });
            }
            Expr::Call(call) if ["absent", "absent_over_time"].contains(&call.func.name) => wrong.push(Flaw {
                message: format!("`{}` has no answer while all is well", call.func.name),
                help: "ask for the value itself: a gate without an answer never passes".into(),
            }),
            Expr::Call(call) if COUNTED.contains(&call.func.name) => {
                if call.func.name == "irate" {
                    doubtful.push(Flaw {
                        message: "`irate` looks at the last two scrapes only, whatever its range".into(),
                        help: "write `rate`".into(),
                    });
                }
                if let Some(Expr::Subquery(inner)) = call.args.args.first().map(AsRef::as_ref) {
                    let mut sums = false;
                    walk(&inner.expr, &mut |e| sums |= matches!(e, Expr::Aggregate(_)));
                    if sums {
                        wrong.push(Flaw {
                            message: format!(
                                "`{}` of a sum takes a restart of one process for a jump of all",
                                call.func.name
                            ),
                            help: "first `rate`, then `sum`".into(),
                        });
                    }
                }
            }
            Expr::MatrixSelector(m) if m.range < Duration::from_secs(10) => doubtful.push(Flaw {
                message: format!("a range of {} s holds few scrapes", m.range.as_secs_f64()),
                help: "a range of at least four scrapes never comes out empty".into(),
            }),
            _ => {}
        });
        (wrong, doubtful)
    }

    /// Labels beside the stack's that the outermost aggregation keeps: each value of them is a sample of its own.
    fn other_labels(&self) -> Vec<&str> {
        let mut expr = bare(&self.expr);
        if let Expr::Binary(b) = expr {
            expr = bare(if b.lhs.value_type() == ValueType::Vector { &b.lhs } else { &b.rhs });
        }
        match expr {
            Expr::Aggregate(a) => match &a.modifier {
                Some(LabelModifier::Include(by)) if ![token::T_TOPK, token::T_BOTTOMK].contains(&a.op.id()) => {
                    by.labels.iter().map(String::as_str).filter(|l| *l != self.label).collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// A `histogram_quantile` of something that has no `le`.
    fn loses_buckets(&self) -> bool {
        let mut lost = false;
        walk(&self.expr, &mut |expr| {
            if let Expr::Call(call) = expr
                && call.func.name == "histogram_quantile"
                && let Some(buckets) = call.args.args.get(1)
            {
                // Native histograms have no buckets by name, and need no `le`.
                let mut named = false;
                walk(buckets, &mut |e| {
                    if let Expr::MatrixSelector(m) = e {
                        named |= m.vs.name.as_ref().is_some_and(|n| n.ends_with("_bucket"));
                    }
                });
                lost |= named && keeps(buckets, "le") == Some(false);
            }
        });
        lost
    }
}

/// Both sides are series of the same metric.
fn of_one_metric(b: &BinaryExpr) -> bool {
    let names = |expr: &Expr| {
        let mut names = Vec::new();
        walk(expr, &mut |e| match e {
            Expr::VectorSelector(v) => names.extend(v.name.clone()),
            Expr::MatrixSelector(m) => names.extend(m.vs.name.clone()),
            _ => {}
        });
        names
    };
    let right = names(&b.rhs);
    names(&b.lhs).iter().any(|name| right.contains(name))
}

fn elsewhen() -> Flaw {
    Flaw {
        message: "`offset` and `@` look at another time than the one users are judged in".into(),
        help: "leave it out: bgctl pins the moment itself".into(),
    }
}

/// A quantile that was taken before, by a function or by the service itself.
fn averages_quantiles(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |e| match e {
        Expr::Call(call) => found |= call.func.name == "histogram_quantile",
        Expr::VectorSelector(v) => found |= v.matchers.matchers.iter().any(|m| m.name == "quantile"),
        _ => {}
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: &str = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[1m])) / sum by (color) (rate(http_requests_total[1m]))"#;
    const P99: &str = "histogram_quantile(0.99, sum by (le, color) (rate(http_seconds_bucket{job=\"bot\"}[1m])))";

    fn flaws(text: &str) -> (Vec<Flaw>, Vec<Flaw>) {
        Query::parse(text, "color").unwrap().review("color", Some(["blue", "green"]))
    }

    #[test]
    fn good_queries_have_no_flaw() {
        for text in [SHARE, P99, "max by (color) (queue_depth)", "http_up{job=\"bot\"}"] {
            assert_eq!(flaws(text), (vec![], vec![]), "{text}");
        }
    }

    #[test]
    fn queries_that_give_wrong_numbers() {
        let table = [
            // 1: a division series by series
            (r#"rate(http_requests_total{status=~"5.."}[1m]) / rate(http_requests_total[1m])"#, "is 1"),
            // 12: the mixture of both stacks
            (
                r#"sum(rate(http_requests_total{status=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))"#,
                "no label `color`",
            ),
            ("sum without (color) (rate(x[1m]))", "no label `color`"),
            ("histogram_quantile(0.99, sum by (le) (rate(x_bucket[1m])))", "no label `color`"),
            // 3, 5: an absent denominator
            ("sum by (color) (rate(a[1m])) / (sum by (color) (rate(b[1m])) or vector(0))", "below the line"),
            // 10: rate of a sum
            ("sum by (color) (rate(sum by (color) (x)[1m:15s]))", "first `rate`"),
            ("rate(x[1m])[5m:1m]", "not one sample per stack"),
            ("1 + 1", "not one sample per stack"),
            // 2: several samples of one stack
            ("max by (color, pod) (x)", "for each `pod`"),
            ("sum by (color, status) (rate(a[1m])) / sum by (color, status) (rate(b[1m]))", "for each `status`"),
            // 6: a filter
            ("max by (color) (x) > 5", "a comparison"),
            // 14: another time
            ("max by (color) (x offset 5m)", "another time"),
            // One stack of two
            (r#"sum by (color) (rate(a{color="green"}[1m]))"#, "leaves one of the stacks out"),
            ("absent(up{color=~\"blue|green\"})", "while all is well"),
            // 15: lost buckets
            ("histogram_quantile(0.99, sum by (color) (rate(x_bucket[1m])))", "lost their label `le`"),
        ];
        for (text, word) in table {
            let wrong = flaws(text).0;
            let said: String = wrong.iter().map(|f| format!("{} {} ", f.message, f.help)).collect();
            assert!(said.contains(word), "{text}: {said}");
        }
        assert_eq!(flaws("sum by (color) (rate(x[5s]))").1.len(), 1);
        for text in [
            "sum by (color) (irate(x[1m]))",
            "avg by (color) (x_seconds{quantile=\"0.99\"})",
            "avg by (color) (histogram_quantile(0.99, sum by (le, color, pod) (rate(x_bucket[1m]))))",
        ] {
            assert_eq!((flaws(text).0.len(), flaws(text).1.len()), (0, 1), "{text}");
        }
        assert!(Query::parse("sum by (color", "color").is_err());
    }
}
