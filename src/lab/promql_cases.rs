//! Queries over a fixed set of samples, against values worked out by hand and confirmed by a real Prometheus.

use super::promql::{Failure, Sample, Value, evaluate};
use super::series::{Labels, Series};

/// The first sample; one follows each second for 20 s.
const START_MS: i64 = 1_700_000_000_000;
/// The moment of the queries: half a second after the last sample, so both ends of a range are extrapolated.
const AT_MS: i64 = START_MS + 20_500;

fn series(name: &str, labels: &[(&str, &str)], value: impl Fn(u32) -> Option<f64>) -> Series {
    let mut all: Labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    all.insert("__name__".into(), name.into());
    let sample = |second: u32| Some((START_MS + i64::from(second) * 1000, value(second)?));
    Series { labels: all, samples: (0..=20).filter_map(sample).collect() }
}

fn fixture() -> Vec<Series> {
    let steady = |per_second: f64| move |second: u32| Some(f64::from(second) * per_second);
    let count = "http_requests_total";
    let bucket = "http_request_duration_seconds_bucket";
    vec![
        series(count, &[("color", "blue"), ("status", "200")], |s| Some(1000.0 + f64::from(s) * 90.0)),
        series(count, &[("color", "blue"), ("status", "500")], |_| Some(0.0)),
        series(count, &[("color", "green"), ("status", "200")], |s| Some(1000.0 + f64::from(s) * 9.0)),
        series(count, &[("color", "green"), ("status", "500")], |s| Some(1000.0 + f64::from(s))),
        // A restart after 15 s: 75, then 3, 8, 13, 18, 23.
        series("restarted_total", &[], |s| {
            Some(if s <= 15 { f64::from(s) * 5.0 } else { f64::from(s - 16) * 5.0 + 3.0 })
        }),
        // Born at zero 5 s ago, so there is nothing to extrapolate before that.
        series("young_total", &[], |s| (s >= 15).then(|| f64::from(s - 15) * 2.0)),
        // The same, and its process began again 2 s ago.
        series("reborn_total", &[], |s| (s >= 10).then(|| f64::from(if s < 18 { s - 10 } else { s - 18 }) * 4.0)),
        // Gone for 8 s.
        series("gone_total", &[], |s| (s <= 12).then(|| 100.0 + f64::from(s))),
        series("once_total", &[], |s| (s == 20).then_some(7.0)),
        series("idle_total", &[("color", "blue")], |_| Some(4.0)),
        series("up", &[("color", "blue")], |_| Some(1.0)),
        series("up", &[("color", "green")], |s| (s <= 18).then_some(1.0)),
        series(bucket, &[("color", "blue"), ("le", "0.1")], steady(50.0)),
        series(bucket, &[("color", "blue"), ("le", "0.5")], steady(80.0)),
        series(bucket, &[("color", "blue"), ("le", "1")], steady(90.0)),
        series(bucket, &[("color", "blue"), ("le", "+Inf")], steady(100.0)),
        series(bucket, &[("color", "green"), ("le", "0.1")], steady(0.0)),
        series(bucket, &[("color", "green"), ("le", "+Inf")], steady(0.0)),
    ]
}

/// What a gate asks to see how much a counter grew in so many seconds.
fn growth(name: &str, seconds: u32) -> String {
    let ms = seconds * 1000;
    let before = format!("last_over_time({name}[900000ms] offset {ms}ms)");
    format!(
        "((({name} unless {before}) or {name} - {before} >= 0) unless resets({name}[{ms}ms]) > 0 or increase({name}[{ms}ms]))"
    )
}

/// `{a="b"} 1, {} 2` in the order of the labels, `scalar 3`, or the failure.
fn told(query: &str) -> String {
    let text = |sample: &Sample| {
        let labels: Vec<_> = sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{{{}}} {}", labels.join(","), rounded(sample.value))
    };
    match evaluate(&fixture(), query, AT_MS) {
        Ok(Value::Scalar(number)) => format!("scalar {}", rounded(number)),
        Ok(Value::Vector(samples)) => {
            let mut lines: Vec<_> = samples.iter().map(text).collect();
            lines.sort();
            lines.join(", ")
        }
        Err(Failure::BadData(message)) => format!("bad: {message}"),
        Err(Failure::Execution(message)) => format!("failed: {message}"),
    }
}

fn rounded(number: f64) -> f64 {
    if number.is_finite() { (number * 1e6).round() / 1e6 } else { number }
}

#[test]
fn queries_have_the_values_worked_out_by_hand() {
    let ratio = |range: &str| {
        format!(
            "sum by (color) (rate(http_requests_total{{status=~\"5..\"}}[{range}])) \
             / sum by (color) (rate(http_requests_total[{range}]))"
        )
    };
    let quantile = |q: &str| {
        format!("histogram_quantile({q}, sum by (color, le) (rate(http_request_duration_seconds_bucket[10s])))")
    };
    let cases: Vec<(String, &str)> = vec![
        (ratio("10s"), "{color=blue} 0, {color=green} 0.1"),
        // Too short for two samples: empty, not zero.
        (ratio("1s"), ""),
        ("sum(rate(nothing[10s])) or vector(0)".into(), "{} 0"),
        ("sum(rate(nothing[10s])) / sum(rate(http_requests_total[10s]))".into(), ""),
        ("rate(idle_total[10s]) / rate(idle_total[10s])".into(), "{color=blue} NaN"),
        // The mistake of dividing unaggregated series: each meets only itself.
        (
            "rate(http_requests_total{status=\"500\"}[10s]) / rate(http_requests_total[10s])".into(),
            "{color=blue,status=500} NaN, {color=green,status=500} 1",
        ),
        ("sum by (color) (increase(http_requests_total[10s]))".into(), "{color=blue} 900, {color=green} 100"),
        ("sum without (status) (increase(http_requests_total[10s]))".into(), "{color=blue} 900, {color=green} 100"),
        // Blue: the 99th of 100 lies beyond the last bound; half way up the second bucket: 0.1 + 0.4 × 15/30.
        (quantile("0.99"), "{color=blue} 1, {color=green} NaN"),
        (quantile("0.65"), "{color=blue} 0.3, {color=green} NaN"),
        (quantile("0.25"), "{color=blue} 0.05, {color=green} NaN"),
        (quantile("2"), "{color=blue} Infinity, {color=green} Infinity"),
        // 11..20 s: 55 to 75, then 3 to 23: 20 + 3 + 20 over 9 s, extrapolated to 10 s: 43 × 10/9.
        ("increase(restarted_total[10s])".into(), "{} 47.777778"),
        // 15..20 s: 10 over 5 s, nothing before since it began at zero, half a second after: 10 × 5.5/5.
        ("increase(young_total[10s])".into(), "{} 11"),
        // 11 and 12 s: 1 over 1 s, 0.5 s before, and half a distance after it ended: 1 × 2/1.
        ("increase(gone_total[10s])".into(), "{} 2"),
        ("rate(once_total[10s])".into(), ""),
        ("time() - timestamp(up)".into(), "{color=blue} 0.5, {color=green} 2.5"),
        ("max(time() - timestamp(up))".into(), "{} 2.5"),
        ("min by (color) (time() - timestamp(up))".into(), "{color=blue} 0.5, {color=green} 2.5"),
        ("count(up == 1)".into(), "{} 2"),
        ("up > bool 1".into(), "{color=blue} 0, {color=green} 0"),
        ("up{color!=\"blue\"} == 1".into(), "{__name__=up,color=green} 1"),
        ("up{color=~\"gre\"}".into(), ""),
        ("avg(up) + 2 * 3 - 1".into(), "{} 6"),
        ("2 ^ 3 % 5".into(), "scalar 3"),
        ("1 > bool 2".into(), "scalar 0"),
        ("-up{color=\"blue\"}".into(), "{color=blue} -1"),
        ("scalar(sum(up)) / 4".into(), "scalar 0.5"),
        ("scalar(up)".into(), "scalar NaN"),
        (
            "up * on (color) group_left idle_total".into(),
            "failed: group_left and group_right: not supported by the lab's Prometheus",
        ),
        ("up * on (color) idle_total".into(), "{color=blue} 4"),
        (
            "up * ignoring (color) vector(3)".into(),
            "failed: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "vector(3) * ignoring (color) up".into(),
            "failed: found duplicate series for the match group on the right hand-side of the operation; \
             many-to-many matching not allowed: matching labels must be unique on one side",
        ),
        ("up and on (color) idle_total".into(), "{__name__=up,color=blue} 1"),
        ("up unless on (color) idle_total".into(), "{__name__=up,color=green} 1"),
        ("max_over_time(young_total[10s]) - min_over_time(young_total[10s])".into(), "{} 10"),
        ("count_over_time(gone_total[10s])".into(), "{} 2"),
        ("rate(young_total[10s] offset 2s)".into(), "{} 0.7"),
        // What bgctl itself asks beside a gate's query: growth with newborn series counted whole, and proof of absence.
        (format!("sum by (color) ({})", growth("http_requests_total", 10)), "{color=blue} 900, {color=green} 100"),
        (growth("young_total", 8), "{__name__=young_total} 10"),
        // No more than was seen: `increase` alone says 5.7 of a growth of 5, and knows nothing of one sample.
        (growth("young_total", 2), "{} 4"),
        (growth("once_total", 8), "{__name__=once_total} 7"),
        // New, and what it counted before it began again is not forgotten: 28, then 8.
        (growth("reborn_total", 12), "{} 37.8"),
        // Lower than before, so it began again.
        (growth("restarted_total", 8), "{} 37.714286"),
        (growth("gone_total", 10), "{} 2"),
        ("resets(restarted_total[10s])".into(), "{} 1"),
        ("last_over_time(gone_total[5s] offset 4s)".into(), "{__name__=gone_total} 112"),
        ("count by (status) (http_requests_total{status!=\"\"})".into(), "{status=200} 2, {status=500} 2"),
        ("topk(1, up)".into(), "failed: aggregation `topk`: not supported by the lab's Prometheus"),
        ("deriv(up[10s])".into(), "failed: function `deriv`: not supported by the lab's Prometheus"),
        ("up[10s]".into(), "failed: invalid expression type \"range vector\""),
    ];
    for (query, wanted) in cases {
        assert_eq!(told(&query), wanted.replace("Infinity", "inf"), "{query}");
    }
    for broken in ["", "sum(", "rate(up)", "up{", "1 > 2"] {
        assert!(told(broken).starts_with("bad: "), "{broken}: {}", told(broken));
    }
}
