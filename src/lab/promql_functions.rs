//! The functions of a query: rates over ranges, quantiles of histograms, time.

use promql_parser::parser::{Call, Expr};

use super::promql::{Failure, Moment, Sample, Value, Window, each, extreme, nameless, unsupported, without};
use super::series::Labels;

/// The value of one call. The parser has checked the number and types of the arguments.
pub fn call(moment: &Moment, call: &Call) -> Result<Value, Failure> {
    let name = call.func.name;
    let argument = |index: usize| -> Result<&Expr, Failure> {
        let missing = || Failure::BadData(format!("too few arguments in call to \"{name}\""));
        call.args.args.get(index).map(|expr| &**expr).ok_or_else(missing)
    };
    let over = |work: fn(&Window) -> Option<f64>| -> Result<Value, Failure> {
        let windows = moment.windows(argument(0)?)?;
        let sample = |window: Window| Some(Sample { value: work(&window)?, labels: nameless(&window.labels) });
        Ok(Value::Vector(windows.into_iter().filter_map(sample).collect()))
    };
    match name {
        "time" => Ok(Value::Scalar(moment.at_ms as f64 / 1000.0)),
        "vector" => Ok(Value::Vector(vec![Sample { labels: Labels::new(), value: moment.scalar(argument(0)?)? }])),
        "scalar" => Ok(Value::Scalar(match moment.vector(argument(0)?)?.as_slice() {
            [only] => only.value,
            _ => f64::NAN,
        })),
        "timestamp" => timestamp(moment, argument(0)?),
        "abs" => Ok(Value::Vector(each(moment.vector(argument(0)?)?, f64::abs))),
        "rate" => over(|window| Some(grown(window)? / seconds(window.end_ms - window.start_ms))),
        "increase" => over(grown),
        "min_over_time" => over(|window| Some(extreme(&values(window), |new, best| new < best))),
        "max_over_time" => over(|window| Some(extreme(&values(window), |new, best| new > best))),
        "sum_over_time" => over(|window| Some(values(window).iter().sum())),
        "avg_over_time" => over(|window| Some(values(window).iter().sum::<f64>() / window.samples.len() as f64)),
        // The one of them that keeps the metric's name.
        "last_over_time" => {
            let last = |window: Window| Some(Sample { value: values(&window).pop()?, labels: window.labels });
            Ok(Value::Vector(moment.windows(argument(0)?)?.into_iter().filter_map(last).collect()))
        }
        "resets" => over(|window| Some(values(window).windows(2).filter(|two| two[1] < two[0]).count() as f64)),
        "count_over_time" => over(|window| Some(window.samples.len() as f64)),
        "histogram_quantile" => {
            let quantile = moment.scalar(argument(0)?)?;
            Ok(Value::Vector(histogram_quantile(quantile, moment.vector(argument(1)?)?)))
        }
        _ => Err(unsupported(&format!("function `{name}`"))),
    }
}

fn values(window: &Window) -> Vec<f64> {
    window.samples.iter().map(|(_, value)| *value).collect()
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// When the sample was taken; of anything but a plain selector, the moment of the query.
fn timestamp(moment: &Moment, expr: &Expr) -> Result<Value, Failure> {
    let Expr::VectorSelector(selector) = expr else {
        let now = moment.at_ms as f64 / 1000.0;
        return Ok(Value::Vector(each(moment.vector(expr)?, |_| now)));
    };
    let sample = |(labels, t, _)| Sample { labels: nameless(&labels), value: seconds(t) };
    Ok(Value::Vector(moment.current(selector)?.into_iter().map(sample).collect()))
}

/// How much a counter grew over the range. What the samples do not cover is extrapolated, but not past zero and not by
/// more than half a sample distance where the series seems to begin or end inside the range. One sample says nothing.
fn grown(window: &Window) -> Option<f64> {
    let [(first_ms, first), .., (last_ms, last)] = window.samples.as_slice() else { return None };
    let resets: f64 = window.samples.windows(2).filter(|two| two[1].1 < two[0].1).map(|two| two[0].1).sum();
    let growth = last - first + resets;
    let covered = seconds(last_ms - first_ms);
    let distance = covered / (window.samples.len() - 1) as f64;
    let mut before = seconds(first_ms - window.start_ms);
    let after = seconds(window.end_ms - last_ms);
    if growth > 0.0 && *first >= 0.0 {
        before = before.min(covered * (first / growth));
    }
    let reach = |gap: f64| if gap < distance * 1.1 { gap } else { distance / 2.0 };
    Some(growth * (covered + reach(before) + reach(after)) / covered)
}

/// The quantile of each histogram, interpolated within its bucket.
fn histogram_quantile(quantile: f64, samples: Vec<Sample>) -> Vec<Sample> {
    let mut histograms: Vec<(Labels, Vec<(f64, f64)>)> = Vec::new();
    for sample in samples {
        let Some(bound) = sample.labels.get("le").and_then(|le| le.parse::<f64>().ok()) else { continue };
        let labels = nameless(&without(&sample.labels, &["le".to_string()]));
        match histograms.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, buckets)) => buckets.push((bound, sample.value)),
            None => histograms.push((labels, vec![(bound, sample.value)])),
        }
    }
    let one = |(labels, buckets)| Sample { labels, value: quantile_of(quantile, buckets) };
    histograms.into_iter().map(one).collect()
}

fn quantile_of(quantile: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if quantile.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&quantile) {
        return f64::INFINITY.copysign(quantile);
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let Some(&(top, total)) = buckets.last() else { return f64::NAN };
    if top != f64::INFINITY || buckets.len() < 2 || total == 0.0 || total.is_nan() {
        return f64::NAN;
    }
    // Each bucket holds all below it; a scrape between two increments can make it look otherwise.
    for index in 1..buckets.len() {
        buckets[index].1 = buckets[index].1.max(buckets[index - 1].1);
    }
    let rank = quantile * buckets[buckets.len() - 1].1;
    let index = buckets.iter().position(|(_, count)| *count >= rank).unwrap_or(buckets.len() - 1);
    if index == buckets.len() - 1 {
        return buckets[index - 1].0;
    }
    let (end, count) = buckets[index];
    let (start, below) = if index == 0 { (0.0, 0.0) } else { buckets[index - 1] };
    if index == 0 && end <= 0.0 {
        return end;
    }
    start + (end - start) * ((rank - below) / (count - below))
}
