//! Shares: what an expression has to look like so that it is judged by counts, and the counts that follow from it.
//!
//! A quotient is a share only where everything that is counted above the line is counted below it too. That is read from the
//! expression: one counter, or one histogram, and no label below that is not asked for above. Everything else is a number,
//! unless the runbook says otherwise. Nothing is asked here.

use std::time::Duration;

use promql_parser::parser::{Expr, MatrixSelector, VectorSelector, token};

use super::part::{Absence, apart_from, measured, name, within};
use super::{COUNTED, counted};
use crate::gates::expression::{apart, bare, keeps, literal, part_of_call, replace, zero};
use crate::scalar::spoken;

/// `part / all` of two sums of rates, however that is spelled.
pub struct Share {
    /// What is counted above the line, each term of the sum for itself: where one of them is absent, so is their sum.
    part: Vec<Term>,
    all: Vec<Term>,
    /// The value is what the part leaves out: `1 - part / all`.
    pub left_out: bool,
    /// What the value is multiplied by: 1, or 100 where it counts in hundredths.
    pub scale: f64,
}

/// A sum of rates of one counter.
struct Term {
    expr: Expr,
    selector: VectorSelector,
    /// The function that makes a rate of it, and how far that looks back.
    rated: (&'static str, Duration),
}

/// The counted questions of a share.
pub struct Counting {
    /// What is counted above the line, a question for each term.
    pub part: Vec<String>,
    /// All requests, likewise.
    pub all: Vec<String>,
}

impl Share {
    /// Reads the form of an expression. It says nothing of whether the part is one.
    pub fn read(expr: &Expr) -> Option<Share> {
        let Expr::Binary(b) = bare(expr) else { return None };
        match b.op.id() {
            token::T_MUL => {
                let (factor, rest) = literal(&b.lhs).map(|n| (n, &b.rhs)).or(literal(&b.rhs).map(|n| (n, &b.lhs)))?;
                let inner = Share::read(rest).filter(|inner| factor == 100.0 && inner.scale == 1.0)?;
                Some(Share { scale: factor, ..inner })
            }
            token::T_SUB => {
                let inner = Share::read(&b.rhs)?;
                let whole = literal(&b.lhs)? == inner.scale && !inner.left_out;
                whole.then_some(Share { left_out: true, ..inner })
            }
            token::T_DIV => {
                let (above, scale) = hundred(&b.lhs);
                let all = Term::all(&b.rhs)?;
                if let Expr::Binary(rest) = bare(above)
                    && rest.op.id() == token::T_SUB
                    && bare(&rest.lhs).to_string() == bare(&b.rhs).to_string()
                {
                    return Some(Share { part: Term::all(&rest.rhs)?, all, left_out: true, scale });
                }
                Some(Share { part: Term::all(above)?, all, left_out: false, scale })
            }
            _ => None,
        }
    }

    /// Why the form alone does not show that the part is one.
    pub fn doubt(&self) -> Option<String> {
        if let Some(term) = self.part.iter().chain(&self.all).find(|term| term.rated != self.all[0].rated) {
            let (one, other) = (term.rated, self.all[0].rated);
            let said = |(name, range): (&str, Duration)| format!("`{name}` over {}", spoken(range));
            return Some(format!("its sides look back differently, {} and {}", said(one), said(other)));
        }
        if let Some(measured) = self.all.iter().find_map(|all| measured(&all.selector)) {
            return Some(measured);
        }
        if let Some(twice) = [&self.part, &self.all].into_iter().find_map(|terms| overlap(terms)) {
            return Some(twice);
        }
        self.part.iter().find_map(|part| {
            let doubts = self.all.iter().map(|all| within(&part.selector, &all.selector).err());
            doubts.collect::<Option<Vec<String>>>()?.pop()
        })
    }

    /// A sum over a count of one thing: the mean of a histogram or summary.
    pub fn is_mean(&self) -> bool {
        let ([part], [all]) = (&self.part[..], &self.all[..]) else { return false };
        let base = |term: &Term, end: &str| Some(name(&term.selector)?.strip_suffix(end)?.to_string());
        base(part, "_sum").is_some_and(|part| base(all, "_count") == Some(part))
    }

    /// Whether every sum may hold a stack's label.
    pub fn keeps(&self, label: &str) -> bool {
        self.part.iter().chain(&self.all).all(|term| keeps(&term.expr, label) != Some(false))
    }

    /// The questions that count since `elapsed` ago, one number for each value of `label`.
    pub fn counting(&self, label: &str, elapsed: Duration) -> Option<Counting> {
        // One number for each value of the label, whatever else the sum keeps.
        let of = |term: &Term| match counted(&term.expr, elapsed)? {
            Expr::Aggregate(sum) => Some(format!("sum by ({label}) ({})", sum.expr)),
            other => Some(format!("sum by ({label}) ({other})")),
        };
        self.questions(of)
    }

    /// The same, each stack told apart by a further label. None where the sums have dropped it.
    pub fn counting_apart(&self, label: &str, elapsed: Duration, by: &str) -> Option<Counting> {
        let labels = if label.is_empty() { by.to_string() } else { format!("{label}, {by}") };
        let of = |term: &Term| {
            // The outermost sum is ours: what is inside of it has to keep the label.
            let inner = match counted(&term.expr, elapsed)? {
                Expr::Aggregate(sum) => *sum.expr,
                other => other,
            };
            Some(format!("sum by ({labels}) ({})", apart(inner, by)?))
        };
        self.questions(of)
    }

    /// Both sides for the whole service, as rates over a window in place of their own.
    pub fn over(&self, window: Duration) -> Option<Counting> {
        let of = |term: &Term| {
            let mut expr = term.expr.clone();
            replace(&mut expr, &mut |node| match node {
                Expr::MatrixSelector(m) => {
                    Some(Expr::MatrixSelector(MatrixSelector { vs: m.vs.clone(), range: window }))
                }
                _ => None,
            });
            Some(format!("sum({expr})"))
        };
        self.questions(of)
    }

    fn questions(&self, of: impl Fn(&Term) -> Option<String>) -> Option<Counting> {
        let part: Option<Vec<String>> = self.part.iter().map(&of).collect();
        let all: Option<Vec<String>> = self.all.iter().map(of).collect();
        Some(Counting { part: part?, all: all? })
    }

    /// The selector and range of all requests: the bad ones may be none at all.
    pub fn main(&self) -> &Expr {
        &self.all[0].expr
    }

    /// Whether a selector stands above the line: there it may find nothing.
    pub fn is_of_the_part(&self, selector: &VectorSelector) -> bool {
        self.part.iter().any(|term| term.selector == *selector)
    }

    /// When bad requests have no series at all that means none happened, but only if they are told apart from all
    /// requests by a label that exists. For each term what shows that; None where nothing does.
    pub fn absences(&self) -> Vec<Option<Absence>> {
        self.part
            .iter()
            .map(|part| self.all.iter().find_map(|all| Absence::of(&part.selector, &all.selector)))
            .collect()
    }
}

impl Term {
    /// The terms of a sum, or the one that there is.
    fn all(expr: &Expr) -> Option<Vec<Term>> {
        match bare(expr) {
            Expr::Binary(b) if b.op.id() == token::T_ADD => {
                let (mut terms, more) = (Term::all(&b.lhs)?, Term::all(&b.rhs)?);
                terms.extend(more);
                Some(terms)
            }
            // What stands in for an absent term is left out: that it is none is shown, not said.
            Expr::Binary(b) if b.op.id() == token::T_LOR && zero(&b.rhs) => Term::all(&b.lhs),
            one => {
                let (selector, rated) = summed(one)?;
                Some(vec![Term { expr: one.clone(), selector, rated }])
            }
        }
    }
}

/// Two terms that may count the same request.
fn overlap(terms: &[Term]) -> Option<String> {
    let twice = |one: &Term, other: &Term| !apart_from(&one.selector, &other.selector);
    let (n, one) = terms.iter().enumerate().find(|(n, one)| terms[n + 1..].iter().any(|other| twice(one, other)))?;
    let other = terms[n + 1..].iter().find(|other| twice(one, other))?;
    Some(format!("`{}` and `{}` may count the same request", one.selector, other.selector))
}

/// Without a factor of 100.
fn hundred(expr: &Expr) -> (&Expr, f64) {
    if let Expr::Binary(b) = bare(expr)
        && b.op.id() == token::T_MUL
    {
        for (factor, rest) in [(&b.lhs, &b.rhs), (&b.rhs, &b.lhs)] {
            if literal(factor) == Some(100.0) {
                return (rest, 100.0);
            }
        }
    }
    (expr, 1.0)
}

/// What a sum of rates sums up, where it is that.
fn summed(expr: &Expr) -> Option<(VectorSelector, (&'static str, Duration))> {
    match bare(expr) {
        Expr::Aggregate(sum) if sum.op.id() == token::T_SUM => rated(&sum.expr),
        Expr::Call(call) => summed(part_of_call(call)?),
        _ => None,
    }
}

fn rated(expr: &Expr) -> Option<(VectorSelector, (&'static str, Duration))> {
    match bare(expr) {
        Expr::Aggregate(sum) if sum.op.id() == token::T_SUM => rated(&sum.expr),
        Expr::Call(call) if COUNTED.contains(&call.func.name) => match call.args.args.first().map(AsRef::as_ref) {
            Some(Expr::MatrixSelector(m)) => Some((m.vs.clone(), (call.func.name, m.range))),
            _ => None,
        },
        Expr::Call(call) => rated(part_of_call(call)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::*;

    const ALL: &str = "sum by (color) (rate(http_requests_total[1m]))";

    fn over_all(part: &str) -> Query {
        Query::parse(&format!("sum by (color) (rate({part}[1m])) / {ALL}"), "color").unwrap()
    }

    #[test]
    fn a_part_of_one_counter_is_a_share_and_nothing_else() {
        let shares = [r#"http_requests_total{status=~"5.."}"#, r#"{__name__="http_requests_total",status="500"}"#];
        for part in shares {
            assert!(over_all(part).share().is_some(), "{part}");
        }
        for (part, why) in [
            ("http_errors_total", "counts a part of"),
            (r#"http_requests_bucket{le="1"}"#, "counts a part of"),
            (r#"{job="x"}"#, "without a name"),
        ] {
            let query = over_all(part);
            assert!(query.share().is_none() && query.undecided().unwrap().contains(why), "{part}");
        }
        let of = |text: &str| Query::parse(text, "color").unwrap();
        let buckets = |part: &str, all: &str| {
            of(&format!("sum by (color) (rate({part}[1m])) / sum by (color) (rate({all}[1m]))"))
        };
        for (part, all) in [
            (r#"s_bucket{le="2.5"}"#, "s_count"),
            (r#"s_bucket{le="2.5"}"#, r#"s_bucket{le="+Inf"}"#),
            (r#"s_total{job="a",code="1"}"#, r#"s_total{job=~"a|b"}"#),
        ] {
            assert!(buckets(part, all).share().is_some(), "{part} / {all}");
        }
        for (part, all, why) in [
            ("s_total", "s_total", "always 1"),
            (r#"s_bucket{le="+Inf"}"#, "s_count", "always 1"),
            (r#"s_sum{code="1"}"#, "s_sum", "counts no requests"),
            (r#"s_bytes_total{code="1"}"#, "s_bytes_total", "adds up bytes"),
            ("s_bucket", "s_count", "several times"),
            (r#"s_bucket{le="2.5"}"#, "s_bucket", "counts a part of"),
            (r#"s_total{code="1"}"#, r#"s_total{job="a"}"#, "also elsewhere"),
            (r#"s_total{job="c",code="1"}"#, r#"s_total{job=~"a|b"}"#, "also elsewhere"),
        ] {
            let query = buckets(part, all);
            assert!(query.share().is_none() && query.undecided().unwrap().contains(why), "{part} / {all}");
        }
        // Two terms that both count a request would count it twice.
        let sum = |one: &str, other: &str| {
            let rate = |of: &str| format!("sum by (color) (rate(s_total{{{of}}}[1m]))");
            of(&format!("({} + {}) / sum by (color) (rate(s_total[1m]))", rate(one), rate(other))).share().is_some()
        };
        for (one, other) in [
            (r#"code=~"5..""#, r#"code="429""#),
            (r#"code=~"5..""#, r#"code=~"4..""#),
            (r#"code=~"5..",a="1""#, r#"code=~"5..",a="2""#),
            (r#"code=~"a|b""#, r#"code!~"a|b",x="1""#),
        ] {
            assert!(sum(one, other), "{one} + {other}");
        }
        for (one, other) in [
            (r#"code="404""#, r#"code=~"4..""#),
            (r#"code="500""#, r#"method="GET""#),
            (r#"code=~"2..""#, r#"code!~"5..""#),
            (r#"code=~"a.*""#, r#"code=~"b.*""#),
        ] {
            assert!(!sum(one, other), "{one} + {other}");
        }
        let both = "sum by (color) (rate(s_total[1m]))";
        let halves = of(&format!(r#"sum by (color) (rate(s_total{{c="1"}}[1m])) / ({both} + {both})"#));
        assert!(halves.undecided().unwrap().contains("the same request"));
        let back = of(&format!(r#"sum by (color) (rate(s_total{{c="1"}}[5m])) / {both}"#));
        assert!(back.undecided().unwrap().contains("look back differently"));
        // A mean is a number of its own, and nobody has to say so.
        let mean = buckets("s_sum", "s_count");
        assert!(mean.share().is_none() && mean.undecided().is_none());
        assert!(buckets("s_sum", "other_count").undecided().is_some());
    }

    #[test]
    fn other_spellings_are_the_same_share() {
        let bad = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[1m]))"#;
        let good = r#"sum by (color) (rate(http_requests_total{status!~"5.."}[1m]))"#;
        let table = [
            (format!("{bad} / {ALL}"), false, 1.0),
            (format!("100 * {bad} / {ALL}"), false, 100.0),
            (format!("({bad} / {ALL}) * 100"), false, 100.0),
            (format!("1 - {good} / {ALL}"), true, 1.0),
            (format!("100 - 100 * {good} / {ALL}"), true, 100.0),
            (format!("100 * (1 - {good} / {ALL})"), true, 100.0),
            (format!("({ALL} - {good}) / {ALL}"), true, 1.0),
            (format!("({bad} or vector(0)) / {ALL}"), false, 1.0),
            (format!("({bad} or 0 * {ALL}) / {ALL}"), false, 1.0),
            (format!("{bad} / on (color) {ALL}"), false, 1.0),
            (format!("{} / {ALL}", bad.replace("by (color)", "without (status, pod)")), false, 1.0),
            (format!(r#"label_replace({bad}, "color", "$1", "x", "(.*)") / {ALL}"#), false, 1.0),
        ];
        for (text, left_out, scale) in table {
            let query = Query::parse(&text, "color").unwrap();
            let share = query.share().unwrap_or_else(|| panic!("{text}: {:?}", query.undecided()));
            assert_eq!((share.left_out, share.scale), (left_out, scale), "{text}");
            let Counting { part, all } = query.counts(Duration::from_secs(60)).unwrap();
            for question in part.iter().chain(&all) {
                assert!(question.starts_with("sum by (color) ("), "{question}");
                promql_parser::parser::parse(question).unwrap();
            }
            assert!(query.counts_apart(Duration::from_secs(60), "pod").is_some(), "{text}");
        }
        // A question for each stack names no label, and its instances are told apart all the same.
        let each =
            Query::parse(r#"sum(rate(s_total{v="2",code="5"}[1m])) / sum(rate(s_total{v="2"}[1m]))"#, "").unwrap();
        let Counting { part, all } = each.counts_apart(Duration::from_secs(60), "pod").unwrap();
        for question in part.iter().chain(&all) {
            assert!(question.starts_with("sum by (pod) ("), "{question}");
            promql_parser::parser::parse(question).unwrap();
        }
        let lost = "sum by (color) (sum by (color) (rate(s_total{code=\"5\"}[1m]))) / sum(sum(rate(s_total[1m])))";
        assert!(Query::declared(lost, "", Some(true)).unwrap().counts_apart(Duration::from_secs(60), "pod").is_none());
        for text in [format!("60 * {bad} / {ALL}"), format!("2 - {good} / {ALL}"), format!("{bad} / {ALL} / 2")] {
            assert!(Query::parse(&text, "color").unwrap().share().is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_absent_is_none_only_where_its_label_could_say_so() {
        let absence = |part: &str| over_all(part).share().and_then(|share| share.absences().remove(0));
        let codes = |code: &'static str| move |_: &str| vec![code.to_string()];
        let five = absence(r#"http_requests_total{status=~"5.."}"#).unwrap();
        assert_eq!(five.question, r#"count by (status) (http_requests_total{status!=""})"#);
        assert_eq!(five.doubt(codes("200")), None);
        assert_eq!(five.doubt(codes("2xx")), None);
        let class = absence(r#"http_requests_total{status="5xx"}"#).unwrap();
        assert!(class.doubt(codes("200")).unwrap().contains("one of 200"));
        assert_eq!(class.doubt(codes("2xx")), None);
        // What is no code may be spelled in any way.
        assert_eq!(absence(r#"http_requests_total{status="error"}"#).unwrap().doubt(codes("ok")), None);
    }
}
