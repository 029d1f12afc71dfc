//! The rows.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::{Clock, SystemClock};
use bgctl::gates::gate;
use bgctl::run::Verdict::{Fail, Pass, Unknown};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::exporter::{Rig, look, share, world};

/// The first mistake or doubt that is found without a server.
fn lint(settings: Value) -> String {
    let checked = gate::check(&settings);
    let found = checked.mistakes.iter().chain(&checked.warnings);
    found.map(|m| format!("{} {}", m.message, m.help.clone().unwrap_or_default())).collect::<Vec<_>>().join("; ")
}

fn value(query: &str, max: &str) -> Value {
    json!({ "prometheus": query, "max": max })
}

#[tokio::test]
async fn row_01_a_division_series_by_series_is_always_one() {
    let Some(rig) = Rig::shared() else { return };
    let naive =
        r#"rate(http_requests_total{color="green",status=~"5.."}[5s]) / rate(http_requests_total{color="green"}[5s])"#;
    // A true rate of 8 % comes out as four times 1.
    let text = rig.until_raw(naive, |text| text.matches(" 1").count() >= 4).await;
    assert_eq!(text.split(", ").filter(|sample| sample.ends_with(" 1")).count(), 4, "{text}");
    assert!(lint(value(naive, "1%")).contains("every error rate is 1"));
    rig.until(share("http_requests_total"), rig.begun, Fail, "against chance").await;
}

#[tokio::test]
async fn row_02_one_of_several_samples_is_no_answer() {
    let Some(rig) = Rig::shared() else { return };
    let query = "max by (color, pod) (rate(http_requests_total[5s]))";
    rig.until(value(query, "100"), rig.begun, Unknown, "2 samples for green").await;
    assert!(lint(value(query, "100")).contains("one sample for each `pod`"), "{}", lint(value(query, "100")));
}

#[tokio::test]
async fn row_03_a_service_that_never_failed_has_no_series_of_errors() {
    let Some(rig) = Rig::shared() else { return };
    assert_eq!(rig.raw(r#"sum(rate(ok_requests_total{status=~"5.."}[5s]))"#).await.unwrap().told(), "no sample");
    rig.until(share("ok_requests_total"), rig.begun, Pass, "(0 of ").await;
    // That is only known because the label exists that would tell.
    let query =
        r#"sum by (color) (rate(ok_requests_total{code=~"5.."}[5s])) / sum by (color) (rate(ok_requests_total[5s]))"#;
    rig.until(value(query, "1%"), rig.begun, Unknown, "cannot be told apart").await;
    let zero = "sum by (color) (rate(a[1m])) / (sum by (color) (rate(b[1m])) or vector(0))";
    assert!(lint(value(zero, "1%")).contains("below the line"));
}

#[tokio::test]
async fn row_04_an_idle_service_is_not_a_healthy_one() {
    let Some(rig) = Rig::shared() else { return };
    let query = r#"sum by (color) (rate(idle_requests_total{status=~"5.."}[5s])) / sum by (color) (rate(idle_requests_total[5s]))"#;
    rig.until_raw(query, |text| text.contains("NaN")).await;
    rig.until(share("idle_requests_total"), SystemClock.now(), Unknown, "50 requests are needed to pass").await;
}

#[tokio::test]
async fn row_05_a_name_that_is_spelled_wrong_is_no_pass() {
    let Some(rig) = Rig::shared() else { return };
    rig.until(share("http_request_total"), rig.begun, Unknown, "no data of green").await;
    let both =
        r#"(sum(rate(nothing_total{status=~"5.."}[5s])) or vector(0)) / (sum(rate(nothing_total[5s])) or vector(0))"#;
    assert!(rig.until_raw(both, |text| !text.contains("did not")).await.contains("NaN"));
    assert!(lint(value(both, "1%")).contains("below the line"));
}

#[tokio::test]
async fn row_06_what_is_not_a_number_is_neither_over_nor_under() {
    let Some(rig) = Rig::shared() else { return };
    rig.until(value("max by (color) (broken_gauge)", "5"), rig.begun, Unknown, "NaN").await;
    // A comparison inside the query throws the sample away, or makes it 0.
    assert_eq!(rig.raw("max by (color) (broken_gauge) > 5").await.unwrap().told(), "no sample");
    assert!(rig.raw("max by (color) (broken_gauge) > bool 5").await.unwrap().told().ends_with(" 0"));
    assert!(lint(value("max by (color) (queue_depth) > 5", "5")).contains("a comparison"));
}

#[tokio::test]
async fn row_07_a_rate_goes_on_after_its_target_has_died() {
    let Some(rig) = Rig::shared() else { return };
    let rate = "sum by (color) (rate(dead_requests_total[5m]))";
    rig.until_raw(rate, |text| text.contains("green")).await;
    rig.until(value(rate, "100"), rig.begun - SignedDuration::from_mins(10), Unknown, "s old").await;
    // A gauge goes on for five minutes.
    rig.until_raw("max by (color) (dead_depth)", |text| text.contains("green")).await;
    rig.until(value("max by (color) (dead_depth)", "5"), rig.begun, Unknown, "s old").await;
}

#[tokio::test]
async fn row_08_after_five_minutes_there_is_nothing() {
    let Some(rig) = Rig::shared() else { return };
    // The samples are there; only nobody shows them any more.
    rig.until_raw("count(count_over_time(gone_depth[10m]))", |text| text == "2").await;
    assert_eq!(rig.raw("gone_depth").await.unwrap().told(), "no sample");
    rig.until(value("max by (color) (gone_depth)", "5"), rig.begun, Unknown, "no data of green").await;
    rig.until(share("gone_requests_total"), rig.begun, Unknown, "no data of green").await;
}

#[tokio::test]
async fn row_09_errors_before_the_first_scrape_are_counted() {
    let Some(rig) = Rig::shared() else { return };
    let sudden = r#"sum(increase(late_requests_total{color="green",status="500"}[10s]))"#;
    rig.until_raw(sudden, |text| text == "0").await;
    // All at once, so they may be a burst: they are counted and named, and are no pass.
    rig.until(share("late_requests_total"), rig.begun, Unknown, "green 40% (40 of 100 bad)").await;
}

#[tokio::test]
async fn row_10_a_restart_is_no_jump() {
    let Some(rig) = Rig::shared() else { return };
    let look = rig.until(share("reset_total"), rig.begun, Pass, "(0 of ").await;
    let requests: f64 = look.judgement.requests.unwrap().parse().unwrap();
    let seconds = SystemClock.now().duration_since(rig.begun).as_secs_f64();
    assert!(requests < 30.0 * seconds, "{requests} requests in {seconds} s; 20 a second is the truth");
    // The rate of a sum takes the restart of one for a restart of all; bgctl refuses to ask it.
    assert!(lint(value("sum by (color) (rate(sum by (color) (reset_total)[10s:1s]))", "1")).contains("first `rate`"));
}

#[tokio::test]
async fn row_11_one_failed_of_one_proves_nothing() {
    let Some(rig) = Rig::shared() else { return };
    let one = r#"sum(rate(rare_requests_total{color="green",status="500"}[10m])) / sum(rate(rare_requests_total{color="green"}[10m]))"#;
    rig.until_raw(one, |text| text == "1").await;
    rig.until(share("rare_requests_total"), rig.begun, Unknown, "of 1 bad").await;
}

#[tokio::test]
async fn row_12_a_bad_green_hides_behind_a_large_blue() {
    let Some(rig) = Rig::shared() else { return };
    let mixed = r#"sum(rate(http_requests_total{status=~"5.."}[5s])) / sum(rate(http_requests_total[5s]))"#;
    rig.until_raw(mixed, |text| text.parse::<f64>().is_ok_and(|rate| (0.003..0.01).contains(&rate))).await;
    assert!(lint(value(mixed, "1%")).contains("no label `color`"));
    rig.until(share("http_requests_total"), rig.begun, Fail, "against chance").await;
}

#[tokio::test]
async fn row_13_a_range_of_hardly_a_scrape() {
    let Some(rig) = Rig::shared() else { return };
    let query = "sum by (color) (rate(http_requests_total[1s]))";
    rig.until(value(query, "1000"), rig.begun, Unknown, "scrapes of green; 3 are needed").await;
    assert!(lint(value(query, "1000")).contains("few scrapes"));
}

#[tokio::test]
async fn row_14_nothing_from_before_the_shift_counts() {
    let Some(rig) = Rig::shared() else { return };
    // Users are shifted now; before, four seconds long, everything had failed.
    rig.until_raw(r#"sum(healed_requests_total{color="green",status="200"})"#, |text| {
        text.parse::<f64>().is_ok_and(|n| n > 40.0)
    })
    .await;
    let shifted = SystemClock.now();
    let all = rig.look(&share("healed_requests_total"), rig.begun).await.judgement;
    assert!(all.verdict == Unknown && !all.line.contains("(0 of "), "{all:?}");
    rig.until(share("healed_requests_total"), shifted, Pass, "(0 of ").await;
    // A value is judged when its whole range lies behind the shift.
    let rate = value("sum by (color) (rate(ok_requests_total[10s]))", "100");
    let early = rig.look(&rate, SystemClock.now() - SignedDuration::from_secs(3)).await.judgement;
    assert!(early.verdict == Unknown && early.line.contains("10s are looked at"), "{early:?}");
    for moved in ["sum by (color) (rate(x[1m] offset 5m))", "sum by (color) (rate(x[1m] @ 1609746000))"] {
        assert!(lint(value(moved, "1")).contains("another time"), "{moved}");
    }
}

#[tokio::test]
async fn row_15_a_quantile_cannot_be_above_the_highest_bucket() {
    let Some(rig) = Rig::shared() else { return };
    let p99 = "histogram_quantile(0.99, sum by (le, color) (rate(http_seconds_bucket[5s])))";
    // 2 % take longer than a second, and the answer is a second.
    rig.until_raw(p99, |text| text.contains("green 1,") || text.ends_with("green 1")).await;
    rig.until(value(p99, "2s"), rig.begun, Unknown, "highest bucket, 1000ms").await;
    rig.until(value(p99, "800ms"), rig.begun, Fail, "over the limit").await;
    let lost = "histogram_quantile(0.99, sum by (color) (rate(http_seconds_bucket[5s])))";
    assert_eq!(rig.raw(lost).await.unwrap().told(), "no sample");
    assert!(lint(value(lost, "800ms")).contains("`le`"), "{}", lint(value(lost, "800ms")));
}

#[tokio::test]
async fn row_16_a_query_arrives_as_it_was_written() {
    let Some(rig) = Rig::shared() else { return };
    let query = r#"sum by (color) (rate(odd_total{path="/a?b=1&c=%2B+d[5m]"}[5s]))"#;
    rig.until(value(query, "100"), rig.begun, Pass, "green").await;
}

#[tokio::test]
async fn row_17_partial_refused_and_missing_answers_are_told_apart() {
    let Some(rig) = Rig::shared() else { return };
    // 422 is the query's fault, not the service's.
    let many = value("max by (color) (http_requests_total * on (color) http_requests_total)", "1");
    let refused = rig.until(many, rig.begun, Unknown, "refused the query (422)").await;
    assert!(!refused.silent);
    // A Prometheus that cannot ask its long-term store answers all the same, with a warning.
    let far = "remote_read: [{ url: 'http://127.0.0.1:1/read', read_recent: true }]\n";
    let Some(partial) = Rig::start(far) else { return };
    let look = partial.until(value("max by (color) (queue_depth)", "5"), partial.begun, Unknown, "partial").await;
    assert!(!look.silent);
    // Nobody there: counted apart.
    let nobody = look_at("http://127.0.0.1:1", Rc::new(SystemClock), rig.begun).await;
    assert!(nobody.silent && nobody.judgement.verdict == Unknown, "{:?}", nobody.judgement);
}

async fn look_at(url: &str, clock: Rc<dyn Clock>, since: Timestamp) -> bgctl::gates::watched::Look {
    look(&world(clock), url, &value("max by (color) (queue_depth)", "5"), since).await
}

/// A clock that is a minute ahead of everybody else's.
struct Ahead;

#[async_trait(?Send)]
impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(60)
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        SystemClock.sleep(time).await;
    }
}

#[tokio::test]
async fn row_18_pairs_and_clocks_that_disagree() {
    let Some(rig) = Rig::shared() else { return };
    rig.until(value("pair_depth", "5"), rig.begun, Unknown, "2 samples for green").await;
    rig.until(value("max by (color) (pair_depth)", "5"), rig.begun, Pass, "green 3").await;
    let skewed = look_at(&rig.url, Rc::new(Ahead), rig.begun).await;
    assert!(skewed.judgement.line.contains("s from ours"), "{:?}", skewed.judgement);
}

#[tokio::test]
async fn row_19_errors_of_the_edge_are_in_no_counter_of_the_service() {
    let Some(rig) = Rig::shared() else { return };
    rig.until(share("app_requests_total"), rig.begun, Pass, "(0 of ").await;
    let edge = r#"sum by (color) (rate(edge_requests_total{code=~"5.."}[5s])) / sum by (color) (rate(edge_requests_total[5s]))"#;
    rig.until(value(edge, "1%"), rig.begun, Fail, "against chance").await;
}

#[tokio::test]
async fn row_20_a_reply_after_three_seconds_is_a_200_and_too_late() {
    let Some(rig) = Rig::shared() else { return };
    let status = r#"sum by (color) (rate(slack_seconds_count{status=~"5.."}[5s])) / sum by (color) (rate(slack_seconds_count[5s]))"#;
    rig.until(json!({ "prometheus": status, "max": "1%", "min_requests": 50 }), rig.begun, Pass, "(0 of ").await;
    let fast =
        r#"sum by (color) (rate(slack_seconds_bucket{le="2.5"}[5s])) / sum by (color) (rate(slack_seconds_count[5s]))"#;
    let gate = json!({ "prometheus": fast, "min": "99%", "min_requests": 50 });
    rig.until(gate, rig.begun, Fail, "against chance").await;
}

#[test]
fn every_row_has_a_test() {
    let text = include_str!("rows.rs");
    for row in 1..=20 {
        let name = format!("async fn row_{row:02}_");
        assert_eq!(text.matches(&name).count(), 1, "row {row}");
    }
}

/// What a counter had before a gap in its scrapes is not what happened since the shift.
#[tokio::test]
async fn g07_a_gap_in_the_scrapes_around_the_shift_counts_nothing_twice() {
    let Some(rig) = Rig::shared() else { return };
    let shift = rig.begun + SignedDuration::from_secs(14);
    rig.until_raw("count(gap_requests_total unless gap_requests_total offset 6s)", |text| text == "4").await;
    // No sample at the moment of the shift, and one now.
    rig.until_raw("sum(gap_requests_total)", |text| text.parse::<f64>().is_ok_and(|all| all > 200_000.0)).await;
    let look = rig.until(share("gap_requests_total"), shift, Pass, "(0 of ").await;
    let requests: u64 = look.judgement.requests.unwrap().parse().unwrap();
    let seconds = SystemClock.now().duration_since(shift).as_secs_f64() + 6.0;
    assert!(requests as f64 <= 20.0 * seconds, "{requests} requests in {seconds} s, 20 a second");
}
