//! What people write as PromQL, each with what it is judged as; and a real Prometheus that answers for a service that is ill and
//! for one that is well: none of the shapes passes the one or fails the other.

use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::gates::gate;
use bgctl::run::Verdict::{self, Fail, Pass, Unknown};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::exporter::{Rig, named, world};

/// The query, with `F_` for the family of metrics; the other settings; what it is judged as or refused with.
type Shape = (&'static str, Value, &'static str);

const BAD: &str = r#"sum by (color) (rate(F_requests_total{status=~"5.."}[5s]))"#;
const GOOD: &str = r#"sum by (color) (rate(F_requests_total{status!~"5.."}[5s]))"#;
const ALL: &str = "sum by (color) (rate(F_requests_total[5s]))";

const BAD_SHARE: &str = "share of bad requests, sequential test";
const GOOD_SHARE: &str = "share of good requests, sequential test";

/// Replaces `$BAD`, `$GOOD` and `$ALL`.
fn written(query: &str, family: &str) -> String {
    let query = query.replace("$BAD", BAD).replace("$GOOD", GOOD).replace("$ALL", ALL);
    query.replace("F_", &format!("{family}_")).replace("F:", &format!("{family}:"))
}

fn shapes() -> Vec<Shape> {
    let max = || json!({ "max": "1%" });
    let min = || json!({ "min": "99%" });
    vec![
        // The same share, however it is spelled.
        ("$BAD / $ALL", max(), BAD_SHARE),
        ("$GOOD / $ALL", min(), GOOD_SHARE),
        ("1 - $GOOD / $ALL", max(), BAD_SHARE),
        ("1 - ($GOOD / $ALL)", max(), BAD_SHARE),
        ("1 - $BAD / $ALL", min(), GOOD_SHARE),
        ("($ALL - $GOOD) / $ALL", max(), BAD_SHARE),
        ("100 * $BAD / $ALL", json!({ "max": 1 }), BAD_SHARE),
        ("100 * $BAD / $ALL", max(), BAD_SHARE),
        ("($BAD / $ALL) * 100", json!({ "max": 1, "versus_blue": "+1" }), BAD_SHARE),
        ("100 - 100 * $GOOD / $ALL", json!({ "max": 1 }), BAD_SHARE),
        ("100 * (1 - $GOOD / $ALL)", json!({ "max": 1 }), BAD_SHARE),
        ("($BAD or vector(0)) / $ALL", max(), BAD_SHARE),
        ("($BAD or 0 * $ALL) / $ALL", max(), BAD_SHARE),
        ("($BAD or $ALL * 0) / $ALL", max(), BAD_SHARE),
        ("$BAD / on (color) $ALL", max(), BAD_SHARE),
        ("$BAD / on (color) group_left $ALL", max(), BAD_SHARE),
        ("$BAD / ignoring (status) $ALL", max(), BAD_SHARE),
        (
            r#"sum without (status, pod, job, instance, release) (rate(F_requests_total{status=~"5.."}[5s])) / $ALL"#,
            max(),
            BAD_SHARE,
        ),
        (
            r#"sum by (color) (sum by (color, pod) (rate(F_requests_total{status=~"5.."}[5s]))) / $ALL"#,
            max(),
            BAD_SHARE,
        ),
        (
            r#"sum by (color) (increase(F_requests_total{status=~"5.."}[5s])) / sum by (color) (increase(F_requests_total[5s]))"#,
            max(),
            BAD_SHARE,
        ),
        (
            r#"sum by (color) (irate(F_requests_total{status=~"5.."}[5s])) / sum by (color) (irate(F_requests_total[5s]))"#,
            max(),
            BAD_SHARE,
        ),
        (r#"($BAD + sum by (color) (rate(F_requests_total{status="429"}[5s]))) / $ALL"#, max(), BAD_SHARE),
        (r#"sum by (color) (rate(F_requests_total{status=~"5..|429"}[5s])) / $ALL"#, max(), BAD_SHARE),
        (r#"sum by (color) (rate({__name__="F_requests_total",status=~"5.."}[5s])) / $ALL"#, max(), BAD_SHARE),
        (
            r#"sum(rate(F_requests_total{color="{stack}",status=~"5.."}[5s])) / sum(rate(F_requests_total{color="{stack}"}[5s]))"#,
            max(),
            BAD_SHARE,
        ),
        (
            r#"sum(rate(F_requests_total{release="{version}",status=~"5.."}[5s])) / sum(rate(F_requests_total{release="{version}"}[5s]))"#,
            max(),
            BAD_SHARE,
        ),
        (
            r#"sum by (release) (rate(F_requests_total{status=~"5.."}[5s])) / sum by (release) (rate(F_requests_total[5s]))"#,
            json!({ "max": "1%", "label": "release", "label_value": "{version}" }),
            BAD_SHARE,
        ),
        (
            r#"label_replace(sum by (pod) (rate(F_requests_total{status=~"5.."}[5s])), "color", "$1", "pod", "(blue|green).*")
               / label_replace(sum by (pod) (rate(F_requests_total[5s])), "color", "$1", "pod", "(blue|green).*")"#,
            max(),
            BAD_SHARE,
        ),
        // Histograms.
        (
            r#"sum by (color) (rate(F_seconds_bucket{le="2.5"}[5s])) / sum by (color) (rate(F_seconds_count[5s]))"#,
            min(),
            GOOD_SHARE,
        ),
        (
            r#"1 - sum by (color) (rate(F_seconds_bucket{le="2.5"}[5s])) / sum by (color) (rate(F_seconds_count[5s]))"#,
            max(),
            BAD_SHARE,
        ),
        (
            r#"sum by (color) (rate(F_seconds_bucket{le="2.5"}[5s])) / sum by (color) (rate(F_seconds_bucket{le="+Inf"}[5s]))"#,
            min(),
            GOOD_SHARE,
        ),
        (
            "sum by (color) (rate(F_seconds_bucket[5s])) / sum by (color) (rate(F_seconds_count[5s]))",
            min(),
            "several times",
        ),
        (
            "histogram_quantile(0.9, sum by (le, color) (rate(F_seconds_bucket[5s])))",
            json!({ "max": "1s" }),
            "seconds, 5 windows",
        ),
        (
            "histogram_quantile(0.9, sum by (le, color) (rate(F_seconds_bucket[5s])))",
            json!({ "max": 1 }),
            "seconds, 5 windows",
        ),
        (
            "histogram_quantile(0.9, sum by (le, color) (rate(F_seconds_bucket[5s])))",
            json!({ "max": 2000 }),
            "is in seconds",
        ),
        (
            "histogram_quantile(0.9, sum by (le, color) (rate(F_milliseconds_bucket[5s])))",
            json!({ "max": "500ms" }),
            "is in milliseconds",
        ),
        ("histogram_quantile(0.9, sum by (color) (rate(F_seconds[5s])))", json!({ "max": "1s" }), "seconds, 5 windows"),
        ("histogram_fraction(0, 2.5, sum by (color) (rate(F_seconds[5s])))", min(), "percent, 5 windows"),
        (
            "sum by (color) (rate(F_seconds_sum[5s])) / sum by (color) (rate(F_seconds_count[5s]))",
            json!({ "max": "1s" }),
            "seconds, 5 windows",
        ),
        (
            "sum by (color) (rate(F_seconds_sum[5s])) / sum by (color) (rate(F_seconds_count[5s]))",
            max(),
            "is in seconds",
        ),
        (
            "1000 * sum by (color) (rate(F_seconds_sum[5s])) / sum by (color) (rate(F_seconds_count[5s]))",
            json!({ "max": 1000 }),
            "a number, 5 windows",
        ),
        // Two counters: nothing shows that one counts a part of the other.
        (
            "sum by (color) (rate(F_errors_total[5s])) / sum by (color) (rate(F_all_total[5s]))",
            max(),
            "not clear whether",
        ),
        (
            "sum by (color) (rate(F_errors_total[5s])) / sum by (color) (rate(F_all_total[5s]))",
            json!({ "max": "1%", "share": true }),
            "share of bad requests (`share: true`), sequential test",
        ),
        (
            "sum by (color) (rate(F_errors_total[5s])) / sum by (color) (rate(F_all_total[5s]))",
            json!({ "max": "1%", "share": false }),
            "percent, 5 windows",
        ),
        ("clamp_max($BAD / $ALL, 1)", max(), "not clear whether"),
        ("60 * $BAD / $ALL", max(), "not clear whether"),
        // Numbers.
        ("max by (color) (F_ratio)", max(), "percent, 5 windows"),
        ("max by (color) (F:errors:ratio)", max(), "percent, 5 windows"),
        ("sum by (color) (F:errors:rate) / sum by (color) (F:requests:rate)", max(), "percent, 5 windows"),
        ("avg by (color) (quantile_over_time(0.9, F_depth[5s]))", json!({ "max": 5 }), "a number, 5 windows"),
        ("sum by (color) (F_twice_total)", json!({ "max": 0, "delta": true }), "growth since"),
        (
            "max by (color) (F_used_bytes) / max by (color) (F_limit_bytes)",
            json!({ "max": "80%" }),
            "percent, 5 windows",
        ),
        // What is said to be a share and is none.
        (
            r#"sum(rate(F_requests_total{color="{stack}",status=~"5.."}[5s])) / sum(rate(F_requests_total[5s]))"#,
            max(),
            "does not tell the stacks apart",
        ),
        (
            r#"sum(rate(F_requests_total{release!="{version}",status=~"5.."}[5s])) / sum(rate(F_requests_total{release!="{version}"}[5s]))"#,
            max(),
            "does not tell the stacks apart",
        ),
        (
            r#"sum(rate(F_requests_total{color=~"{stack}|blue",status=~"5.."}[5s])) / sum(rate(F_requests_total{color=~"{stack}|blue"}[5s]))"#,
            max(),
            "does not tell the stacks apart",
        ),
        ("$BAD / $ALL", json!({ "max": "1%", "label_value": "blue" }), "the same for both stacks"),
        ("$BAD / $ALL", json!({ "max": "1%", "unit": "seconds" }), "a share of requests is a percentage"),
        (
            r#"(sum by (color) (rate(F_requests_total{status="404"}[5s])) + sum by (color) (rate(F_requests_total{status=~"4.."}[5s]))) / $ALL"#,
            max(),
            "may count the same request",
        ),
        (r#"$BAD / ($ALL + $ALL)"#, max(), "may count the same request"),
        (
            r#"sum by (color) (rate(F_seconds_sum{pod="a"}[5s])) / sum by (color) (rate(F_seconds_sum[5s]))"#,
            max(),
            "counts no requests",
        ),
        (
            r#"sum by (color) (rate(F_sent_bytes_total{pod="a"}[5s])) / sum by (color) (rate(F_sent_bytes_total[5s]))"#,
            max(),
            "adds up bytes",
        ),
        ("$ALL / $ALL", min(), "always 1"),
        (r#"sum by (color) (increase(F_requests_total{status=~"5.."}[5m])) / $ALL"#, max(), "look back differently"),
        ("100 * max by (color) (F_ratio)", json!({ "max": "5%" }), "counts in hundredths"),
        (
            "histogram_quantile(99, sum by (le, color) (rate(F_seconds_bucket[5s])))",
            json!({ "max": "1s" }),
            "between 0 and 1",
        ),
        (
            "rate(F_depth_total[5s]) / rate(F_limit_total[5s])",
            json!({ "max": 1, "share": false }),
            "a number, 5 windows",
        ),
        ("max by (color) (F_depth)", json!({ "max": 1, "bad_instance": "roll-back" }), "told apart only in a share"),
        // What can never give a verdict.
        (r#"absent(F_requests_total{status="200"})"#, json!({ "max": 0 }), "while all is well"),
        (r#"$BAD / $ALL > 0.01"#, max(), "a comparison"),
        (
            r#"sum by (color) (rate(F_requests_total{color="green",status=~"5.."}[5s])) / $ALL"#,
            max(),
            "leaves one of the stacks out",
        ),
        (r#"rate(F_requests_total{status=~"5.."}[5s]) / rate(F_requests_total[5s])"#, max(), "every error rate is 1"),
        (
            r#"sum(rate(F_requests_total{status=~"5.."}[5s])) / sum(rate(F_requests_total[5s]))"#,
            max(),
            "no label `color`",
        ),
        ("$BAD / ($ALL or vector(0))", max(), "below the line"),
        ("sum by (color) (rate(F_requests_total[5s] offset 5m))", json!({ "max": 1 }), "another time"),
        ("$BAD / $ALL", json!({ "max": 2 }), "on the wrong side of 2"),
        ("$BAD / $ALL", json!({ "max": "800ms" }), "has no seconds"),
    ]
}

fn settings((query, more, _): &Shape, family: &str) -> Value {
    let mut settings = json!({ "prometheus": written(query, family) });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

#[test]
fn g06_g10_every_shape_is_judged_as_said_or_refused_by_name() {
    let mut wrong = Vec::new();
    for shape in shapes() {
        let settings = settings(&shape, "well");
        let checked = gate::check(&settings);
        let said = match checked.mistakes.is_empty() {
            true => named("http://127.0.0.1:9", &settings).judged_as(", 5 windows").unwrap(),
            false => checked.mistakes.iter().map(|m| format!("{} ", m.message)).collect(),
        };
        if !said.contains(shape.2) {
            wrong.push(format!("{settings}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n"));
}

/// What a gate says at last, after looks enough for an error rate to be confirmed.
async fn verdict(rig: &Rig, settings: &Value) -> (Verdict, String) {
    let (world, gate) = (world(std::rc::Rc::new(SystemClock)), named(&rig.url, settings));
    let open = gate.open().unwrap();
    let mut line = (Unknown, String::new());
    for _ in 0..4 {
        let look = open.look(&world, rig.begun).await;
        line = (look.judgement.verdict, look.judgement.line);
        SystemClock.sleep(Duration::from_secs(2)).await;
    }
    line
}

#[tokio::test]
async fn g06_g10_g17_no_shape_passes_an_ill_green_or_fails_one_that_is_well() {
    let Some(rig) = Rig::shared() else { return };
    rig.until_raw("min(count_over_time(well_depth[15s]))", |text| text.parse::<f64>().is_ok_and(|n| n >= 12.0)).await;
    let usable: Vec<Shape> =
        shapes().into_iter().filter(|shape| gate::check(&settings(shape, "well")).mistakes.is_empty()).collect();
    // Series by series there is a sample for each pod, and that is refused when it is asked.
    let usable: Vec<Shape> = usable.into_iter().filter(|shape| !shape.0.contains("F_limit_total")).collect();
    let judged = usable.iter().map(|shape| async {
        let (ill, well) = (settings(shape, "ill"), settings(shape, "well"));
        (shape.0, verdict(&rig, &ill).await, verdict(&rig, &well).await)
    });
    let (mut wrong, mut told) = (Vec::new(), (0, 0));
    for (query, ill, well) in join_all(judged).await {
        if ill.0 == Pass || well.0 == Fail {
            wrong.push(format!("{query}\n  ill  {ill:?}\n  well {well:?}"));
        }
        told.0 += usize::from(ill.0 == Fail);
        told.1 += usize::from(well.0 == Pass);
        if ill.0 != Fail || well.0 != Pass {
            // Native histograms are not scraped here, so they have no number; everything else has a verdict.
            assert!(query.contains("_seconds[5s]"), "{query}\n  ill  {ill:?}\n  well {well:?}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(told.0 >= 38 && told.1 >= 38, "{told:?} of {}", usable.len());
}
