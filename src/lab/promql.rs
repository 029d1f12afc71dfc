//! Evaluates a query at one moment with Prometheus's own meaning: what is not there is no sample, 0/0 is NaN, labels decide
//! who meets whom.
//!
//! It covers what gates are written with. Anything else is refused, never answered with a guess.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use promql_parser::label::Matchers;
use promql_parser::parser::token::{
    T_ADD, T_AVG, T_COUNT, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MAX, T_MIN, T_MOD,
    T_MUL, T_NEQ, T_POW, T_SUB, T_SUM, TokenId,
};
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinModifier, BinaryExpr, Expr, LabelModifier, Offset, VectorMatchCardinality,
    VectorSelector,
};

use super::promql_functions;
use super::series::{Labels, Series};

/// How far back a sample still counts as current, in milliseconds.
const LOOKBACK_MS: i64 = 5 * 60 * 1000;

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(f64),
    Vector(Vec<Sample>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Labels,
    pub value: f64,
}

/// A query that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is no query: HTTP 400.
    BadData(String),
    /// It has no value: HTTP 422.
    Execution(String),
}

/// The samples of one series in a range, with the range's ends in milliseconds.
pub struct Window {
    pub labels: Labels,
    pub samples: Vec<(i64, f64)>,
    pub start_ms: i64,
    pub end_ms: i64,
}

/// Evaluates `query` at `at_ms` over these series.
pub fn evaluate(series: &[Series], query: &str, at_ms: i64) -> Result<Value, Failure> {
    let expr = promql_parser::parser::parse(query)
        .map_err(|error| Failure::BadData(format!("invalid parameter \"query\": parse error: {error}")))?;
    Moment { series, at_ms }.value(&expr)
}

/// The series and the time of one evaluation.
pub struct Moment<'a> {
    series: &'a [Series],
    pub at_ms: i64,
}

impl Moment<'_> {
    pub fn value(&self, expr: &Expr) -> Result<Value, Failure> {
        match expr {
            Expr::NumberLiteral(number) => Ok(Value::Scalar(number.val)),
            Expr::Paren(paren) => self.value(&paren.expr),
            Expr::Unary(unary) => Ok(match self.value(&unary.expr)? {
                Value::Scalar(number) => Value::Scalar(-number),
                Value::Vector(samples) => Value::Vector(each(samples, |value| -value)),
            }),
            Expr::VectorSelector(selector) => Ok(Value::Vector(
                self.current(selector)?.into_iter().map(|(labels, _, value)| Sample { labels, value }).collect(),
            )),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Call(call) => promql_functions::call(self, call),
            Expr::MatrixSelector(_) => Err(Failure::Execution("invalid expression type \"range vector\"".into())),
            Expr::StringLiteral(_) => Err(Failure::Execution("a string has no value here".into())),
            Expr::Subquery(_) => Err(unsupported("subqueries")),
            Expr::Extension(_) => Err(unsupported("extensions")),
        }
    }

    pub fn vector(&self, expr: &Expr) -> Result<Vec<Sample>, Failure> {
        match self.value(expr)? {
            Value::Vector(samples) => Ok(samples),
            Value::Scalar(_) => Err(Failure::Execution("expected an instant vector, got a scalar".into())),
        }
    }

    pub fn scalar(&self, expr: &Expr) -> Result<f64, Failure> {
        match self.value(expr)? {
            Value::Scalar(number) => Ok(number),
            Value::Vector(_) => Err(Failure::Execution("expected a scalar, got an instant vector".into())),
        }
    }

    /// The newest sample of each series that is not older than the lookback.
    pub fn current(&self, selector: &VectorSelector) -> Result<Vec<(Labels, i64, f64)>, Failure> {
        let at_ms = self.moment_of(selector)?;
        let newest = |series: &&Series| {
            let index = series.samples.partition_point(|(t, _)| *t <= at_ms);
            let (t, value) = *series.samples.get(index.checked_sub(1)?)?;
            (t > at_ms - LOOKBACK_MS).then(|| (series.labels.clone(), t, value))
        };
        Ok(self.matching(selector)?.iter().filter_map(newest).collect())
    }

    /// The samples of each series in a range that is open at its start, as from Prometheus 3 on.
    pub fn windows(&self, expr: &Expr) -> Result<Vec<Window>, Failure> {
        let Expr::MatrixSelector(matrix) = expr else {
            return Err(Failure::Execution("expected a range vector".into()));
        };
        let end_ms = self.moment_of(&matrix.vs)?;
        let start_ms = end_ms - millis(matrix.range);
        let window = |series: &Series| {
            let samples: Vec<_> =
                series.samples.iter().copied().filter(|(t, _)| *t > start_ms && *t <= end_ms).collect();
            (!samples.is_empty()).then(|| Window { labels: series.labels.clone(), samples, start_ms, end_ms })
        };
        Ok(self.matching(&matrix.vs)?.into_iter().filter_map(window).collect())
    }

    fn moment_of(&self, selector: &VectorSelector) -> Result<i64, Failure> {
        let at_ms = match &selector.at {
            None => self.at_ms,
            Some(AtModifier::At(time)) => millis(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
            Some(AtModifier::Start | AtModifier::End) => return Err(unsupported("`@ start()` and `@ end()`")),
        };
        Ok(match &selector.offset {
            None => at_ms,
            Some(Offset::Pos(back)) => at_ms - millis(*back),
            Some(Offset::Neg(ahead)) => at_ms + millis(*ahead),
        })
    }

    fn matching(&self, selector: &VectorSelector) -> Result<Vec<&Series>, Failure> {
        let Matchers { matchers, or_matchers } = &selector.matchers;
        if !or_matchers.is_empty() {
            return Err(unsupported("`or` between matchers"));
        }
        let fits = |series: &&Series| {
            let label = |name: &str| series.labels.get(name).map_or("", String::as_str);
            selector.name.as_deref().is_none_or(|name| label("__name__") == name)
                && matchers.iter().all(|matcher| matcher.is_match(label(&matcher.name)))
        };
        Ok(self.series.iter().filter(fits).collect())
    }

    fn aggregate(&self, aggregate: &AggregateExpr) -> Result<Value, Failure> {
        let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
        for sample in self.vector(&aggregate.expr)? {
            let labels = match &aggregate.modifier {
                None => Labels::new(),
                Some(LabelModifier::Include(kept)) => only(&sample.labels, &kept.labels),
                Some(LabelModifier::Exclude(gone)) => nameless(&without(&sample.labels, &gone.labels)),
            };
            groups.entry(labels).or_default().push(sample.value);
        }
        let id = aggregate.op.id();
        let fold: fn(&[f64]) -> f64 = match id {
            T_SUM => |values| values.iter().sum(),
            T_AVG => |values| values.iter().sum::<f64>() / values.len() as f64,
            T_COUNT => |values| values.len() as f64,
            T_MIN => |values| extreme(values, |new, best| new < best),
            T_MAX => |values| extreme(values, |new, best| new > best),
            _ => return Err(unsupported(&format!("aggregation `{}`", aggregate.op))),
        };
        let sample = |(labels, values): (Labels, Vec<f64>)| Sample { labels, value: fold(&values) };
        Ok(Value::Vector(groups.into_iter().map(sample).collect()))
    }

    fn binary(&self, binary: &BinaryExpr) -> Result<Value, Failure> {
        let id = binary.op.id();
        let returns_bool = binary.modifier.as_ref().is_some_and(|modifier| modifier.return_bool);
        let (left, right) = (self.value(&binary.lhs)?, self.value(&binary.rhs)?);
        if matches!(id, T_LAND | T_LOR | T_LUNLESS) {
            let (Value::Vector(left), Value::Vector(right)) = (left, right) else {
                return Err(Failure::Execution("set operator on a scalar".into()));
            };
            return Ok(Value::Vector(set(id, left, right, binary.modifier.as_ref())));
        }
        let work = |l: f64, r: f64| operate(id, l, r);
        match (left, right) {
            (Value::Scalar(l), Value::Scalar(r)) => Ok(Value::Scalar(match work(l, r)? {
                Outcome::Number(number) => number,
                Outcome::Holds(holds) => f64::from(holds),
            })),
            (Value::Vector(samples), Value::Scalar(r)) => {
                let value = samples.into_iter().map(|sample| {
                    let outcome = work(sample.value, r)?;
                    Ok(settle(sample.labels, sample.value, outcome, returns_bool))
                });
                collect(value)
            }
            (Value::Scalar(l), Value::Vector(samples)) => {
                let value = samples.into_iter().map(|sample| {
                    let outcome = work(l, sample.value)?;
                    Ok(settle(sample.labels, sample.value, outcome, returns_bool))
                });
                collect(value)
            }
            (Value::Vector(left), Value::Vector(right)) => {
                pairs(left, right, binary.modifier.as_ref(), |labels, l, r| {
                    Ok(settle(labels, l, work(l, r)?, returns_bool))
                })
            }
        }
    }
}

/// What an operator makes of two numbers.
enum Outcome {
    Number(f64),
    Holds(bool),
}

fn operate(id: TokenId, l: f64, r: f64) -> Result<Outcome, Failure> {
    Ok(match id {
        T_ADD => Outcome::Number(l + r),
        T_SUB => Outcome::Number(l - r),
        T_MUL => Outcome::Number(l * r),
        T_DIV => Outcome::Number(l / r),
        T_MOD => Outcome::Number(l % r),
        T_POW => Outcome::Number(l.powf(r)),
        T_EQLC => Outcome::Holds(l == r),
        T_NEQ => Outcome::Holds(l != r),
        T_GTR => Outcome::Holds(l > r),
        T_LSS => Outcome::Holds(l < r),
        T_GTE => Outcome::Holds(l >= r),
        T_LTE => Outcome::Holds(l <= r),
        _ => return Err(unsupported("this operator")),
    })
}

/// The sample an operator leaves, if any: a comparison filters, unless it is to say 0 or 1.
fn settle(labels: Labels, kept: f64, outcome: Outcome, returns_bool: bool) -> Option<Sample> {
    match outcome {
        Outcome::Number(value) => Some(Sample { labels: nameless(&labels), value }),
        Outcome::Holds(holds) if returns_bool => Some(Sample { labels: nameless(&labels), value: f64::from(holds) }),
        Outcome::Holds(true) => Some(Sample { labels, value: kept }),
        Outcome::Holds(false) => None,
    }
}

fn collect(samples: impl Iterator<Item = Result<Option<Sample>, Failure>>) -> Result<Value, Failure> {
    Ok(Value::Vector(samples.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()))
}

/// The labels two samples must share to meet.
fn meeting(labels: &Labels, modifier: Option<&BinModifier>) -> Labels {
    match modifier.and_then(|modifier| modifier.matching.as_ref()) {
        Some(LabelModifier::Include(on)) => only(labels, &on.labels),
        Some(LabelModifier::Exclude(ignored)) => nameless(&without(labels, &ignored.labels)),
        None => nameless(labels),
    }
}

/// Works on each pair of samples that meet; only one on each side may.
fn pairs(
    left: Vec<Sample>,
    right: Vec<Sample>,
    modifier: Option<&BinModifier>,
    work: impl Fn(Labels, f64, f64) -> Result<Option<Sample>, Failure>,
) -> Result<Value, Failure> {
    if modifier.is_some_and(|modifier| modifier.card != VectorMatchCardinality::OneToOne) {
        return Err(unsupported("group_left and group_right"));
    }
    let mut rights = HashMap::new();
    for sample in right {
        if rights.insert(key(&meeting(&sample.labels, modifier)), sample.value).is_some() {
            return Err(Failure::Execution(
                "found duplicate series for the match group on the right hand-side of the operation; \
                 many-to-many matching not allowed: matching labels must be unique on one side"
                    .into(),
            ));
        }
    }
    let (mut met, mut out) = (HashMap::new(), Vec::new());
    for sample in left {
        let shared = meeting(&sample.labels, modifier);
        let Some(value) = rights.get(&key(&shared)) else { continue };
        if met.insert(key(&shared), ()).is_some() {
            return Err(Failure::Execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)".into(),
            ));
        }
        // Without `on` the metric's name survives a comparison that filters; `settle` takes it from everything else.
        let labels = match modifier.and_then(|modifier| modifier.matching.as_ref()) {
            Some(LabelModifier::Include(_)) => shared,
            Some(LabelModifier::Exclude(ignored)) => without(&sample.labels, &ignored.labels),
            None => sample.labels,
        };
        out.extend(work(labels, sample.value, *value)?);
    }
    Ok(Value::Vector(out))
}

fn set(id: TokenId, left: Vec<Sample>, right: Vec<Sample>, modifier: Option<&BinModifier>) -> Vec<Sample> {
    let keys = |side: &[Sample]| -> Vec<String> {
        side.iter().map(|sample| key(&meeting(&sample.labels, modifier))).collect()
    };
    let (lefts, rights) = (keys(&left), keys(&right));
    match id {
        T_LOR => {
            let more = right.into_iter().zip(rights).filter(|(_, key)| !lefts.contains(key));
            let more: Vec<_> = more.map(|(sample, _)| sample).collect();
            left.into_iter().chain(more).collect()
        }
        _ => {
            let wanted = id == T_LAND;
            let kept = left.into_iter().zip(lefts).filter(|(_, key)| rights.contains(key) == wanted);
            kept.map(|(sample, _)| sample).collect()
        }
    }
}

fn key(labels: &Labels) -> String {
    labels.iter().fold(String::new(), |text, (name, value)| text + name + "\u{1}" + value + "\u{2}")
}

/// The labels without the metric's name.
pub fn nameless(labels: &Labels) -> Labels {
    without(labels, &["__name__".to_string()])
}

pub fn without(labels: &Labels, names: &[String]) -> Labels {
    labels.iter().filter(|(name, _)| !names.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn only(labels: &Labels, names: &[String]) -> Labels {
    labels.iter().filter(|(name, _)| names.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Works on each value; the result no longer bears the metric's name.
pub fn each(samples: Vec<Sample>, work: impl Fn(f64) -> f64) -> Vec<Sample> {
    samples.into_iter().map(|s| Sample { labels: nameless(&s.labels), value: work(s.value) }).collect()
}

/// The best value; NaN only where there is nothing else.
pub fn extreme(values: &[f64], better: fn(f64, f64) -> bool) -> f64 {
    let pick = |best: f64, new: f64| if best.is_nan() || better(new, best) { new } else { best };
    values.iter().copied().reduce(pick).unwrap_or(f64::NAN)
}

pub fn unsupported(what: &str) -> Failure {
    Failure::Execution(format!("{what}: not supported by the lab's Prometheus"))
}

pub fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
