//! In which unit a query answers, as far as the names of its metrics say so: Prometheus' own convention puts the base unit at the
//! end of a name. A limit in another unit compares with nothing.

use promql_parser::parser::{Expr, token};

use super::{COUNTED, Query};
use crate::gates::expression::{literal, walk};
use crate::scalar::{Limit, Unit};

/// What a value is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Seconds,
    Milliseconds,
    Bytes,
}

/// Endings of names that say so, before what histograms and counters put behind them.
const ENDINGS: [(&str, Measure); 5] = [
    ("_seconds", Measure::Seconds),
    ("_milliseconds", Measure::Milliseconds),
    ("_millis", Measure::Milliseconds),
    ("_ms", Measure::Milliseconds),
    ("_bytes", Measure::Bytes),
];

/// A bare number over this is no limit in seconds that anybody means.
const MOST_SECONDS: f64 = 60.0;

/// What a metric is measured in, by its name without what histograms and counters put behind it.
pub(super) fn ending(base: &str) -> Option<Measure> {
    ENDINGS.iter().find(|(end, _)| base.ends_with(end)).map(|(_, measure)| *measure)
}

impl Query {
    /// The metric and its unit, where the value is one of that metric: a quantile, a mean, or a gauge that is not converted.
    pub fn measures(&self) -> Option<(String, Measure)> {
        let (mut counted, mut converted) = (false, false);
        walk(&self.expr, &mut |expr| match expr {
            Expr::Call(call) => counted |= COUNTED.contains(&call.func.name),
            Expr::Binary(b) if [token::T_MUL, token::T_DIV].contains(&b.op.id()) => {
                let by_number = literal(&b.lhs).is_some() || literal(&b.rhs).is_some();
                // What is divided by another of its kind has no unit; of a mean the quotient has the one of its sum.
                converted |= by_number || !self.mean;
            }
            _ => {}
        });
        let of_one = self.quantile().is_some() || self.mean || !counted;
        if converted || !of_one {
            return None;
        }
        let name = self.selectors().into_iter().find_map(|selector| selector.name)?;
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let measure = ending(base)?;
        Some((name, measure))
    }
}

impl Measure {
    /// What is added up, in a word.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Seconds => "seconds",
            Measure::Milliseconds => "milliseconds",
            Measure::Bytes => "bytes",
        }
    }

    /// What is wrong with a limit for values in this unit.
    pub fn against(self, limit: &Limit) -> Option<&'static str> {
        match (self, limit.unit) {
            (Measure::Seconds, Unit::Percent) => Some("is in seconds"),
            (Measure::Seconds, Unit::Number) if limit.value.abs() > MOST_SECONDS => Some("is in seconds"),
            (Measure::Milliseconds, Unit::Seconds | Unit::Percent) => Some("is in milliseconds"),
            (Measure::Bytes, Unit::Seconds | Unit::Percent) => Some("is in bytes"),
            _ => None,
        }
    }

    /// How to write the limit.
    pub fn cure(self) -> &'static str {
        match self {
            Measure::Seconds => "write it with its unit: `2s` or `800ms`",
            Measure::Milliseconds => "write the number of milliseconds: `500`; or divide the query by 1000",
            Measure::Bytes => "write the number of bytes",
        }
    }
}
