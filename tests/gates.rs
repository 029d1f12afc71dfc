//! Gates: what is asked, what the answers mean, and what they do to a bake.
//!
//! The pitfalls of Prometheus are in `tests/prometheus`, against a real one.

mod common;

use std::rc::Rc;
use std::time::Duration;

use bgctl::gates::gate;
use bgctl::gates::watch::Watch;
use bgctl::run::{Breach, Cause, Outcome, Reaction, Verdict};
use bgctl::sim::VirtualClock;
use bgctl::world::{Database, Exit, Request, Response, Stream, Unanswered, WebError};
use common::scripted::{Stage, no_answer, plan, query, response, vector};
use serde_json::{Value, json};

/// A service of 20 requests a second, 10 % on green, that answers every derived query as Prometheus would.
#[derive(Clone, Copy)]
struct Service {
    green: f64,
    blue: f64,
    p99: f64,
}

const HEALTHY: Service = Service { green: 0.002, blue: 0.002, p99: 0.3 };

fn both(green: f64, blue: f64) -> Result<Response, WebError> {
    vector(&[("green", &green.to_string()), ("blue", &blue.to_string())])
}

/// What is asked beside every query: the data is two seconds old, with four scrapes in the range.
fn fresh(text: &str) -> Option<Result<Response, WebError>> {
    let age = text.contains("timestamp(").then(|| both(2.0, 2.0));
    age.or_else(|| text.contains("count_over_time(").then(|| both(4.0, 4.0)))
}

impl Service {
    fn answer(self, request: &Request, now: Duration) -> Result<Response, WebError> {
        let (text, seconds) = (query(request), now.as_secs_f64());
        if let Some(answer) = fresh(&text) {
            return answer;
        }
        match () {
            () if text.contains("count by (le)") => {
                let bucket = |le: &str| json!({ "metric": { "le": le }, "value": [0, "2"] });
                let result = [bucket("0.5"), bucket("2.5"), bucket("+Inf")];
                let data = json!({ "resultType": "vector", "result": result });
                response(200, json!({ "status": "success", "data": data }).to_string())
            }
            () if text.contains("histogram_quantile") => both(self.p99, 0.3),
            () if text.contains("5..") => both(2.0 * seconds * self.green, 18.0 * seconds * self.blue),
            () if text.contains("increase(") => both(2.0 * seconds, 18.0 * seconds),
            () if text.contains("queue_depth") => both(3.0, 3.0),
            () => panic!("an unexpected query: {text}"),
        }
    }
}

fn bake(stage: &Stage, gates: &[&str]) -> Outcome {
    stage.run("bake", json!({ "for": "10m", "windows": 10, "fail": 2, "gates": gates }))
}

fn failed(outcome: &Outcome, wanted: Cause) -> String {
    match outcome {
        Outcome::Failed { cause, line, moved: false, .. } if *cause == wanted => line.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_healthy_green_passes_on_time() {
    let stage = Stage::new(move |r, t| HEALTHY.answer(r, t));
    let outcome = bake(&stage, &["errors", "p99", "depth"]);
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    assert_eq!(stage.clock.time().as_secs() / 10, 60, "{:?}", stage.clock.time());
    let verdicts: Vec<Verdict> = stage.notes.judged("errors").into_iter().map(|(_, v, _)| v).collect();
    // 600 requests of green are needed to pass: they are there after five minutes.
    assert_eq!(verdicts[..4], [Verdict::Unknown; 4]);
    assert_eq!(verdicts[5..], [Verdict::Pass; 5]);
    assert!(stage.notes.progress.get() >= 600, "a live line each second");
}

#[test]
fn a_bad_green_fails_between_windows() {
    let stage = Stage::new(move |r, t| Service { green: 0.1, ..HEALTHY }.answer(r, t));
    let line = failed(&bake(&stage, &["errors", "p99"]), Cause::Gate);
    assert!(line.starts_with("gate `errors` failed: green 10"), "{line}");
    assert!(stage.clock.time() <= Duration::from_secs(46), "{:?}", stage.clock.time());
    assert_eq!(stage.notes.judged("errors").last().unwrap().1, Verdict::Fail);
}

#[test]
fn a_slow_green_fails_by_windows() {
    let stage = Stage::new(move |r, t| Service { p99: 0.9, ..HEALTHY }.answer(r, t));
    let line = failed(&bake(&stage, &["p99"]), Cause::Gate);
    assert!(line.contains("900ms is over the limit"), "{line}");
    let judged = stage.notes.judged("p99");
    assert_eq!(judged.iter().filter(|j| j.1 == Verdict::Fail).count(), 2, "{judged:?}");
}

/// One slow window of ten is no failure, and the bake still has to end well.
#[test]
fn one_bad_window_is_forgiven_unless_it_is_the_last() {
    let slow_at = |minute: u64| {
        Stage::new(move |r, t| {
            let p99 = if t.as_secs() / 60 == minute { 0.9 } else { 0.3 };
            Service { p99, ..HEALTHY }.answer(r, t)
        })
    };
    let stage = slow_at(5);
    assert!(matches!(bake(&stage, &["p99"]), Outcome::Done { .. }));
    assert_eq!(stage.clock.time().as_secs() / 60, 10);
    let stage = slow_at(10);
    assert!(matches!(bake(&stage, &["p99"]), Outcome::Done { .. }));
    assert_eq!(stage.clock.time().as_secs() / 60, 11, "one more window had to pass");
}

/// Each row: what is wrong with Prometheus, and the word that has to stand in the reason. None of them may pass, and none
/// of them may be taken for a bad green.
#[test]
fn answers_that_are_no_measurement_are_unknown() {
    type Twist = fn(&str) -> Option<Result<Response, WebError>>;
    let rows: Vec<(&str, &str, Twist)> = vec![
        ("2: two series of one colour", "2 samples for green", |q| {
            q.contains("histogram_quantile").then(|| vector(&[("green", "1"), ("green", "2"), ("blue", "1")]))
        }),
        ("4: an idle service", "NaN", |q| {
            q.contains("histogram_quantile").then(|| vector(&[("green", "NaN"), ("blue", "1")]))
        }),
        ("6: an infinite value", "+Inf", |q| {
            q.contains("histogram_quantile").then(|| vector(&[("green", "+Inf"), ("blue", "1")]))
        }),
        ("5: no data at all", "no data of green", |_| Some(vector(&[]))),
        ("5: only blue has data", "no data of green", |_| Some(vector(&[("blue", "1")]))),
        ("7: the target died", "180 s old", |q| {
            q.contains("timestamp(").then(|| vector(&[("green", "180"), ("blue", "2")]))
        }),
        ("13: a range of two scrapes", "holds 2 scrapes", |q| {
            q.contains("count_over_time").then(|| vector(&[("green", "2"), ("blue", "2")]))
        }),
        ("11: no requests yet", "no request", |q| q.contains("+Inf").then(|| vector(&[("green", "0"), ("blue", "9")]))),
        ("11: hardly any requests", "30 are needed", |q| {
            q.contains("+Inf").then(|| vector(&[("green", "12"), ("blue", "9")]))
        }),
        ("15: buckets end below the limit", "highest bucket", |q| {
            let result = json!([{ "metric": { "le": "0.5" }, "value": [0, "2"] }, { "metric": { "le": "+Inf" }, "value": [0, "2"] }]);
            let data = json!({ "resultType": "vector", "result": result });
            q.contains("count by (le)").then(|| response(200, json!({ "status": "success", "data": data }).to_string()))
        }),
        ("17: a partial answer", "partial: a store is away", |_| {
            let data = json!({ "resultType": "vector", "result": [] });
            Some(response(
                200,
                json!({ "status": "success", "warnings": ["a store is away"], "data": data }).to_string(),
            ))
        }),
        ("g08: a part of the storage is away", "partial: a part of the storage", |_| {
            let data = json!({ "resultType": "vector", "result": [] });
            Some(response(200, json!({ "status": "success", "isPartial": true, "data": data }).to_string()))
        }),
        ("g08: a remark on what was left out", "partial: PromQL info: ignored", |_| {
            let data = json!({ "resultType": "vector", "result": [] });
            let infos = ["PromQL info: ignored histograms in a range of mixed samples"];
            Some(response(200, json!({ "status": "success", "infos": infos, "data": data }).to_string()))
        }),
        ("17: 422", "refused the query (422): many-to-many", |_| {
            Some(response(
                422,
                json!({ "status": "error", "errorType": "execution", "error": "many-to-many" }).to_string(),
            ))
        }),
        ("17: 503", "answered 503: query timed out", |_| {
            Some(response(
                503,
                json!({ "status": "error", "errorType": "timeout", "error": "query timed out" }).to_string(),
            ))
        }),
        ("a login page", "no answer of Prometheus", |_| Some(response(200, "<html>sign in</html>"))),
        ("a scalar", "a scalar", |_| {
            Some(response(
                200,
                json!({ "status": "success", "data": { "resultType": "scalar", "result": [0, "1"] } }).to_string(),
            ))
        }),
        ("18: a clock 60 s ahead", "s from ours", |_| {
            let mut answer = vector(&[("green", "1")]).ok()?;
            answer.headers.push(("date".into(), "Thu, 01 Jan 2026 00:11:00 GMT".into()));
            Some(Ok(answer))
        }),
        ("unreachable", "no answer of Prometheus", |_| Some(no_answer())),
    ];
    for (what, word, twist) in rows {
        let stage = Stage::new(move |r, t| twist(&query(r)).unwrap_or_else(|| HEALTHY.answer(r, t)));
        let line = failed(&bake(&stage, &["p99"]), Cause::NoVerdict);
        assert!(line.contains(word), "{what}: {line}");
        assert!(stage.notes.judged("p99").iter().all(|j| j.1 == Verdict::Unknown), "{what}");
    }
}

/// 14: the first value is looked at only when its whole range lies after the shift.
#[test]
fn no_value_reaches_back_over_the_shift() {
    let stage = Stage::new(move |r, t| HEALTHY.answer(r, t));
    stage.run("bake", json!({ "for": "2m", "windows": 8, "fail": 1, "gates": ["p99"] }));
    let judged = stage.notes.judged("p99");
    assert!(judged[0].1 == Verdict::Unknown && judged[0].2.contains("since users were shifted"), "{judged:?}");
    assert_eq!(judged[3].1, Verdict::Pass, "{judged:?}");
    let facts = (common::scripted::kind("bake").facts)(&json!({ "for": "30s", "gates": ["p99"] }), &plan());
    assert!(facts.unwrap_err()[0].message.contains("looks back over 1m"));
}

/// 16: the query goes as a form, and both stacks are asked at one pinned moment.
#[test]
fn a_query_is_a_form_pinned_to_one_moment() {
    let stage = Stage::new(move |r, t| HEALTHY.answer(r, t));
    stage.run("bake", json!({ "for": "2m", "windows": 1, "gates": ["errors"] }));
    let sent = stage.web.sent.borrow();
    let first: Vec<&Request> = sent.iter().take(4).collect();
    for request in &first {
        assert_eq!((request.method, request.url.as_str()), ("POST", "http://prometheus.test:9090/api/v1/query"));
        assert_eq!(request.headers, [("content-type".to_string(), "application/x-www-form-urlencoded".to_string())]);
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert!(body.contains("&time=1767225615.000&"), "{body}");
    }
    let asked = query(first[0]) + &query(first[1]);
    assert!(asked.contains("[15s]") && asked.contains("offset 15s"), "{asked}");
}

/// 3 and 5: no series of bad requests is good news only when the label that tells them apart exists.
#[test]
fn no_bad_request_at_all_has_to_be_proven() {
    let service = |values: &'static [&'static str]| {
        Stage::new(move |r, t| {
            let text = query(r);
            match () {
                () if text.starts_with("count by (status) (http_requests_total{status!=") => match values {
                    [] => vector(&[]),
                    values => {
                        let of = |value: &&str| json!({ "metric": { "status": value }, "value": [0, "4"] });
                        let result: Vec<Value> = values.iter().map(of).collect();
                        let data = json!({ "resultType": "vector", "result": result });
                        response(200, json!({ "status": "success", "data": data }).to_string())
                    }
                },
                () if text.contains("5..") => vector(&[]),
                () => HEALTHY.answer(r, t),
            }
        })
    };
    assert!(matches!(bake(&service(&["200", "404"]), &["errors"]), Outcome::Done { .. }));
    let line = failed(&bake(&service(&[]), &["errors"]), Cause::NoVerdict);
    assert!(line.contains("cannot be told apart"), "{line}");
}

/// Everybody on green: blue has nothing to compare with, and its silence must not stand in the way.
#[test]
fn an_idle_blue_does_not_stop_the_last_bake() {
    let stage = Stage::new(move |r, t| {
        let text = query(r);
        let seconds = t.as_secs_f64();
        match () {
            () if text.contains("5..") => vector(&[("green", &(20.0 * seconds * 0.002).to_string())]),
            () if text.contains("+Inf") || text.contains("increase(") => {
                vector(&[("green", &(20.0 * seconds).to_string())])
            }
            () if text.contains("histogram_quantile") => vector(&[("green", "0.3"), ("blue", "NaN")]),
            () => HEALTHY.answer(r, t),
        }
    });
    let outcome = bake(&stage, &["errors", "p99"]);
    assert!(outcome.line().contains("blue serves nobody"), "{outcome:?}");
    assert!(matches!(outcome, Outcome::Done { .. }));
}

#[test]
fn a_silent_prometheus_ends_the_waiting_early() {
    let stage = Stage::new(|_, _| no_answer());
    let line = failed(&bake(&stage, &["errors"]), Cause::NoVerdict);
    assert!(line.contains("nobody answers"), "{line}");
    assert!(stage.clock.time() < Duration::from_secs(180), "{:?}", stage.clock.time());
}

/// Without a verdict the bake takes one more of its own length, then says what each gate wants.
#[test]
fn no_verdict_waits_once_more_and_names_the_wish() {
    let stage = Stage::new(|_, _| vector(&[]));
    let outcome = stage.run("bake", json!({ "for": "10m", "gates": ["depth"] }));
    failed(&outcome, Cause::NoVerdict);
    assert_eq!(stage.clock.time().as_secs() / 60, 20);
    assert_eq!(serde_json::to_value(&outcome).unwrap()["then"], "hold");
    let outcome = Stage::new(|_, _| vector(&[])).run("bake", json!({ "for": "10m", "gates": ["depth", "p99"] }));
    assert_eq!(serde_json::to_value(&outcome).unwrap()["then"], "roll-back");
}

#[test]
fn a_watch_comes_back_only_on_a_breach() {
    let turn = Duration::from_secs(600);
    let stage = Stage::new(move |r, t| {
        let ill = t > turn;
        // Errors from then on only; the counts before it stay as they were.
        let seconds = t.as_secs_f64();
        let bad = if ill { 2.0 * (seconds - turn.as_secs_f64()) * 0.5 } else { 0.0 };
        match () {
            () if query(r).contains("5..") => vector(&[("green", &bad.to_string()), ("blue", "2")]),
            () => HEALTHY.answer(r, t),
        }
    });
    let watch = Watch::new(&plan()).unwrap();
    let Breach { cause, line, then } = stage.clock.run(watch.breach("approval", &stage.world, &stage.notes)).unwrap();
    assert_eq!((cause, then), (Cause::Gate, None));
    assert!(line.starts_with("gate `errors` failed while waiting"), "{line}");
    assert!(
        stage.clock.time() > turn && stage.clock.time() < turn + Duration::from_secs(90),
        "{:?}",
        stage.clock.time()
    );
    assert_eq!(stage.notes.judged("errors").len(), 1);
}

#[test]
fn mistakes_in_a_gate_are_found_without_a_server() {
    let share = r#"sum by (color) (rate(all{code="500"}[1m])) / sum by (color) (rate(all[1m]))"#;
    let table: [(Value, &str, &str); 10] = [
        (json!({ "prometheus": share }), "", "exactly one of `max` and `min`"),
        (json!({ "prometheus": share, "max": "1%", "min": "0%" }), "", "exactly one of `max` and `min`"),
        (json!({ "prometheus": share, "max": "1%", "versus_blue": "+5ms" }), "/versus_blue", "not of one unit"),
        (json!({ "prometheus": "sum(", "max": 1 }), "/prometheus", "read as PromQL"),
        (json!({ "prometheus": "sum(rate(x[1m]))", "max": 1 }), "/prometheus", "no label `color`"),
        (
            json!({ "prometheus": "rate(a{b='1'}[1m]) / rate(a[1m])", "max": "1%" }),
            "/prometheus",
            "every error rate is 1",
        ),
        (
            json!({ "prometheus": "max by (color) (x)", "max": 1, "min_requests": 5 }),
            "/min_requests",
            "nothing to count",
        ),
        (json!({ "prometheus": share, "max": "1%", "requests": "sum by (color) (all)" }), "/requests", "rate"),
        (json!({ "prometheus": share, "max": "1%", "wait": 3 }), "", "unknown field `wait`"),
        (json!({ "prometheus": share, "max": "fast" }), "", "not a limit"),
    ];
    for (settings, at, word) in table {
        let checked = gate::check(&settings);
        assert!(checked.config.is_none());
        let found = checked.mistakes.iter().any(|m| m.at == at && m.message.contains(word));
        assert!(found, "{settings}: {:?}", checked.mistakes);
    }
    let short = gate::check(&json!({ "prometheus": "sum by (color) (rate(x[5s]))", "max": 1 }));
    assert!(short.mistakes.is_empty() && short.warnings.len() == 1);
    let config = short.config.unwrap();
    assert_eq!((&config["label"], &config["url"]), (&json!("color"), &json!("${env:PROMETHEUS_URL}")));
}

/// Bad requests in two terms: that one of them never happened says nothing of the other.
#[test]
fn g05_a_sum_of_bad_requests_is_counted_term_by_term() {
    let bakes = |other: &'static str, said: Value| {
        let stage = Stage::new(move |r, t| {
            let (text, seconds) = (query(r), t.as_secs_f64());
            if let Some(answer) = fresh(&text) {
                return answer;
            }
            match () {
                // As Prometheus adds: nothing and something are nothing.
                () if text.contains(other) && !text.starts_with("count by") => vector(&[]),
                () if text.contains("5..") => both(20.0 * seconds * 0.5, 180.0 * seconds * 0.002),
                () => both(20.0 * seconds, 180.0 * seconds),
            }
        });
        let mut plan = plan();
        let bad = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[1m]))"#;
        let share =
            format!("({bad} + sum by (color) (rate({other}[1m]))) / sum by (color) (rate(http_requests_total[1m]))");
        let mut gate = json!({ "prometheus": share, "max": "1%" });
        gate.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        plan.gates.insert("sum".into(), gate);
        stage.run_in("bake", json!({ "for": "5m", "gates": ["sum"] }), &plan)
    };
    let line = failed(&bakes(r#"http_requests_total{status="429"}"#, json!({})), Cause::Gate);
    assert!(line.contains("green 50%"), "{line}");
    // Of a counter by another name nobody knows whether it is there, unless the runbook says so.
    let line = failed(&bakes("http_timeouts_total", json!({ "share": true })), Cause::NoVerdict);
    assert!(line.contains("write `absent: 0`"), "{line}");
    let line = failed(&bakes("http_timeouts_total", json!({ "share": true, "absent": 0 })), Cause::Gate);
    assert!(line.contains("green 50%"), "{line}");
}

/// All requests in two terms, of which one stack has only one: their sum would be of a part, and is not "serves nobody".
#[test]
fn g05_all_requests_are_counted_term_by_term_too() {
    let bakes = |other: &'static [(&'static str, &'static str)]| {
        let stage = Stage::new(move |r, t| match query(r) {
            text if text.contains("http_requests_total") => HEALTHY.answer(r, t),
            text if text.contains("timestamp(") || text.contains("count_over_time(") => HEALTHY.answer(r, t),
            text if text.contains("5..") => vector(&[("green", "0"), ("blue", "0")]),
            _ => vector(other),
        });
        let sum = |status: &str| {
            let of = |name: &str| format!("sum by (color) (rate({name}{{{status}}}[1m]))");
            format!("({} + {})", of("http_requests_total"), of("rpc_requests_total"))
        };
        let mut plan = plan();
        let share = format!("{} / {}", sum(r#"status=~"5..""#), sum(""));
        plan.gates.insert("sum".into(), json!({ "prometheus": share, "max": "1%", "versus_blue": "+0.3%" }));
        stage.run_in("bake", json!({ "for": "5m", "gates": ["sum"] }), &plan)
    };
    assert!(matches!(bakes(&[("green", "50"), ("blue", "500")]), Outcome::Done { .. }));
    let line = failed(&bakes(&[("green", "50")]), Cause::NoVerdict);
    assert!(line.contains("blue has only some of the series that count all requests"), "{line}");
}

/// G20: while users are on both sides, a green that nobody can see is left after as many windows as one that fails.
#[test]
fn g20_a_blind_gate_ends_a_split_bake_as_soon_as_a_failing_one_would() {
    let bakes = |green: u32, blind_from: u64, blind_until: u64| {
        let stage = Stage::new(move |r, t| match t.as_secs() {
            now if now >= blind_from && now < blind_until => vector(&[]),
            _ => HEALTHY.answer(r, t),
        });
        let mut plan = plan();
        let share = json!({ "id": "shift", "kind": "shift", "line": "", "config": {}, "resume": "repeat", "attempts": 1,
            "timeout_s": 1, "expected_s": 1, "approval": null, "on_failure": "halt", "place": "",
            "moves": { "route": "web", "before": { "blue": 100, "green": 0 }, "after": { "blue": 100 - green, "green": green } } });
        plan.forward.push(serde_json::from_value(share).unwrap());
        let outcome = stage.run_in("bake", json!({ "for": "10m", "gates": ["errors"] }), &plan);
        (outcome, stage.clock.time().as_secs())
    };
    let (outcome, ended) = bakes(10, 0, u64::MAX);
    assert!(failed(&outcome, Cause::NoVerdict).contains("nothing to judge by"), "{outcome:?}");
    assert_eq!(ended, 120, "two windows of a minute");
    // A minute without an answer is a restart, and what came before it counts.
    let (outcome, ended) = bakes(10, 200, 290);
    assert!(matches!(outcome, Outcome::Done { .. }) && ended == 600, "{outcome:?} after {ended} s");
    // Where nobody is left on blue, the whole time is waited as before.
    let (outcome, ended) = bakes(100, 0, u64::MAX);
    assert!(failed(&outcome, Cause::NoVerdict).contains("the time is up") && ended == 1200, "{outcome:?} {ended}");
}

/// G5, G6: a status that no answer can have proves nothing, and what counts more than all is no share.
#[test]
fn g05_g06_a_share_is_refuted_by_its_own_numbers() {
    let bakes = |part: &'static str, share: Value, bad: f64| {
        let stage = Stage::new(move |r, t| {
            let (text, seconds) = (query(r), t.as_secs_f64());
            if let Some(answer) = fresh(&text) {
                return answer;
            }
            match () {
                () if text.starts_with("count by (status)") => {
                    let of = |value: &str| json!({ "metric": { "status": value }, "value": [0, "4"] });
                    let data = json!({ "resultType": "vector", "result": [of("200"), of("404")] });
                    response(200, json!({ "status": "success", "data": data }).to_string())
                }
                () if text.contains("5xx") => vector(&[]),
                () if text.contains("bytes") => both(20.0 * seconds * bad, 1.0),
                () => both(20.0 * seconds, 180.0 * seconds),
            }
        });
        let mut plan = plan();
        let query = format!("sum by (color) (rate({part}[1m])) / sum by (color) (rate(http_requests_total[1m]))");
        let mut gate = json!({ "prometheus": query, "max": "1%" });
        gate.as_object_mut().unwrap().extend(share.as_object().unwrap().clone());
        plan.gates.insert("it".into(), gate);
        stage.run_in("bake", json!({ "for": "5m", "gates": ["it"] }), &plan)
    };
    let line = failed(&bakes(r#"http_requests_total{status="5xx"}"#, json!({}), 0.0), Cause::NoVerdict);
    assert!(line.contains("fits no status code") && line.contains("200, 404"), "{line}");
    let line = failed(&bakes("bytes_total", json!({ "share": true }), 800.0), Cause::NoVerdict);
    assert!(line.contains("the query is no share of requests"), "{line}");
}

/// A share of good requests has its limit below: the numerator counts what is good.
#[test]
fn a_healthy_share_of_good_requests_passes_and_a_bad_one_fails() {
    let bakes = |good: f64| {
        let stage = Stage::new(move |r, t| {
            let seconds = t.as_secs_f64();
            let both = |green: f64, blue: f64| vector(&[("green", &green.to_string()), ("blue", &blue.to_string())]);
            match () {
                () if query(r).contains("timestamp(") => both(2.0, 2.0),
                () if query(r).contains("count_over_time(") => both(4.0, 4.0),
                () if query(r).contains("2.5") => both(20.0 * seconds * good, 180.0 * seconds * 0.999),
                () => both(20.0 * seconds, 180.0 * seconds),
            }
        });
        let mut plan = plan();
        let share = r#"sum by (color) (rate(http_seconds_bucket{le="2.5"}[1m])) / sum by (color) (rate(http_seconds_count[1m]))"#;
        plan.gates.insert("fast".into(), json!({ "prometheus": share, "min": "99%" }));
        stage.run_in("bake", json!({ "for": "5m", "gates": ["fast"] }), &plan)
    };
    let healthy = bakes(0.998);
    assert!(matches!(&healthy, Outcome::Done { line, .. } if line.contains("green 99.8%")), "{healthy:?}");
    assert!(failed(&bakes(0.9), Cause::Gate).contains("green 90%"), "one in ten is slow");
}

/// Gates with weights: what each bake does when these of them are over their limit.
#[test]
fn light_gates_fail_a_bake_only_together() {
    let bakes = |over: &'static [&'static str]| {
        let stage = Stage::new(move |r, _| {
            let text = query(r);
            let value = if over.iter().any(|name| text.contains(name)) { "20" } else { "3" };
            match () {
                () if text.contains("timestamp(") => vector(&[("green", "2"), ("blue", "2")]),
                () if text.contains("count_over_time(") => vector(&[("green", "4"), ("blue", "4")]),
                () if text.contains("gone") && over.contains(&"gone") => vector(&[]),
                () => vector(&[("green", value), ("blue", "3")]),
            }
        });
        let mut plan = plan();
        plan.gates.clear();
        for (name, weight) in [("latency", 50), ("queue", 50), ("noise", 30), ("depth", 100), ("gone", 50)] {
            let gate = json!({ "prometheus": format!("max by (color) ({name})"), "max": 10, "weight": weight });
            plan.gates.insert(name.into(), gate);
        }
        let gates: Vec<&String> = plan.gates.keys().collect();
        let settings = json!({ "for": "5m", "windows": 5, "fail": 2, "gates": gates });
        stage.run_in("bake", settings, &plan)
    };
    for (over, done) in
        [(&[][..], true), (&["noise"], true), (&["latency"], true), (&["latency", "noise"], true), (&["gone"], true)]
    {
        let outcome = bakes(over);
        assert_eq!(matches!(outcome, Outcome::Done { .. }), done, "{over:?}: {outcome:?}");
        for name in over.iter() {
            assert!(outcome.line().contains(&format!("`{name}` (")), "what did not pass is named: {}", outcome.line());
        }
    }
    assert!(failed(&bakes(&["depth"]), Cause::Gate).starts_with("gate `depth` failed: green 20"));
    let line = failed(&bakes(&["latency", "queue"]), Cause::Gate);
    assert!(line.starts_with("gates failed together: `latency` (50 of 100, fail): green 20"), "{line}");
    assert!(line.contains("`queue` (50 of 100, fail)"), "{line}");
    // One fails and one cannot be judged: that is enough not to pass, and not enough to send users back.
    let line = failed(&bakes(&["latency", "gone"]), Cause::NoVerdict);
    assert!(line.contains("`latency`") && line.contains("`gone`"), "{line}");
}

#[test]
fn gates_too_light_to_fail_a_bake_are_a_mistake() {
    let mut plan = plan();
    plan.gates.get_mut("depth").unwrap()["weight"] = json!(60);
    let facts = (common::scripted::kind("bake").facts)(&json!({ "for": "5m", "gates": ["depth"] }), &plan);
    assert!(facts.unwrap_err()[0].message.contains("together weigh 60 of 100"));
    for (settings, at, word) in [
        (json!({ "prometheus": "max by (color) (x)", "max": 1, "weight": 0 }), "/weight", "1 to 100"),
        (
            json!({ "prometheus": "max by (color) (x)", "max": 1, "weight": 50, "critical": true }),
            "/weight",
            "weighs 100",
        ),
        (json!({ "prometheus": "max by (color) (x)", "max": 1, "critical": false }), "/critical", "needs its `weight`"),
    ] {
        let found = gate::check(&settings).mistakes;
        assert!(found.iter().any(|m| m.at == at && m.message.contains(word)), "{found:?}");
    }
}

/// A counter that must not move fails at the first look that sees it move, however small the step.
#[test]
fn a_counter_that_must_not_move() {
    let stage = Stage::new(|r, t| {
        let text = query(r);
        match () {
            () if text.contains("timestamp(") => vector(&[("green", "2"), ("blue", "2")]),
            () if text.contains("count_over_time(") => vector(&[("green", "20"), ("blue", "20")]),
            () => {
                assert!(text.contains("offset") && text.contains("increase(handled_twice_total["), "{text}");
                vector(&[("green", if t.as_secs() > 70 { "1" } else { "0" }), ("blue", "0")])
            }
        }
    });
    let mut plan = plan();
    let gate = json!({ "prometheus": "sum by (color) (handled_twice_total)", "delta": true, "max": 0 });
    plan.gates.insert("twice".into(), gate);
    let line = failed(&stage.run_in("bake", json!({ "for": "5m", "gates": ["twice"] }), &plan), Cause::Gate);
    assert!(line.contains("green 1 is over the limit"), "{line}");
    assert!(stage.clock.time() < Duration::from_secs(80), "{:?}", stage.clock.time());
    let range = json!({ "prometheus": "sum by (color) (rate(x[1m]))", "delta": true, "max": 0 });
    assert!(gate::check(&range).mistakes[0].message.contains("no counter"));
}

/// Business signals of a service that has no Prometheus: each stack says for itself, from process start on.
#[test]
fn counters_of_a_document_are_counted_from_the_shift_on() {
    let bakes = |bad: f64, restart: bool| {
        let stage = Stage::new(move |request, t| {
            let green = request.url.starts_with("http://green.test/");
            let seconds = t.as_secs_f64() - if restart && green && t.as_secs() > 60 { 60.0 } else { 0.0 };
            let before = if restart && green && t.as_secs() > 60 { 0.0 } else { 10_000.0 };
            // What came before the shift is worse than anything after it.
            let (per_second, share) = if green { (20.0, bad) } else { (180.0, 0.002) };
            let document = json!({
                "failed": (before * 0.5 + per_second * seconds * share).floor(),
                "asked": (before + per_second * seconds).floor(),
            });
            response(200, document.to_string())
        });
        let mut plan = plan();
        let http = json!({ "url": "{url}/signals", "bad": "/failed", "requests": "/asked" });
        plan.gates
            .insert("checkout".into(), json!({ "http": http, "delta": true, "max": "0.5%", "versus_blue": "+0.3%" }));
        let outcome = stage.run_in("bake", json!({ "for": "5m", "gates": ["checkout"] }), &plan);
        (outcome, stage)
    };
    for restart in [false, true] {
        let (outcome, _) = bakes(0.002, restart);
        assert!(matches!(outcome, Outcome::Done { .. }), "{restart}: {outcome:?}");
    }
    let (outcome, stage) = bakes(0.05, false);
    let line = failed(&outcome, Cause::Gate);
    assert!(line.contains("checkout` failed: green 5") && stage.clock.time() < Duration::from_secs(100), "{line}");
    // The record holds what was asked of whom, and the answers.
    let text = stage.notes.text();
    assert!(text.contains(r#""question":"green: GET {url}/signals","answer":"#), "{text}");
}

/// A database in which every tenth order of green is broken.
struct Orders(Rc<VirtualClock>, std::cell::RefCell<Vec<String>>);

#[async_trait::async_trait(?Send)]
impl Database for Orders {
    async fn rows(&self, url: &str, sql: &str) -> Result<Vec<serde_json::Map<String, Value>>, Unanswered> {
        assert_eq!(url, "correct-horse");
        self.1.borrow_mut().push(sql.into());
        let (seconds, green) = (self.0.time().as_secs(), sql.contains("'v2'"));
        let row = json!({ "all": seconds * 20, "broken": if green { seconds * 2 } else { 0 } });
        Ok(vec![row.as_object().unwrap().clone()])
    }
}

/// A database is asked since the shift, of each version; a program for each stack.
#[test]
fn databases_and_programs_are_asked_of_each_stack() {
    let mut stage = Stage::with(|_, _| no_answer(), vec![(Stream::Stdout, "12".into())], Exit::Status(0));
    let orders = Rc::new(Orders(stage.clock.clone(), Default::default()));
    stage.world.database = orders.clone();
    let mut plan = plan();
    let query = r#"select count(*) as all, count(*) filter (where broken) as broken from orders where version = '{version}' and at >= '{since}'"#;
    let sql = json!({ "postgres": "${env:PASSWORD}", "query": query, "bad": "broken", "requests": "all" });
    plan.gates.insert("orders".into(), json!({ "sql": sql, "max": "1%" }));
    plan.gates.insert("lag".into(), json!({ "command": { "run": ["lag", "{stack}"] }, "max": 5, "weight": 50 }));
    let line = failed(&stage.run_in("bake", json!({ "for": "5m", "gates": ["orders", "lag"] }), &plan), Cause::Gate);
    assert!(line.contains("gate `orders` failed: green 10%"), "{line}");
    assert!(orders.1.borrow()[0].ends_with("version = 'v2' and at >= '2026-01-01T00:00:00Z'"), "{:?}", orders.1);
    // The program alone says that green lags, and is too light to turn the release back.
    let light = json!({ "command": { "run": ["lag", "{stack}"] }, "max": 5, "weight": 50, "versus_blue": "x2" });
    plan.gates.insert("lag".into(), light);
    plan.gates.insert("depth".into(), json!({ "command": { "run": ["depth"] }, "max": 20 }));
    let outcome = stage.run_in("bake", json!({ "for": "2m", "gates": ["lag", "depth"] }), &plan);
    assert!(outcome.line().contains("too light to stop it: `lag` (50 of 100, fail): green 12"), "{outcome:?}");
    let ran: Vec<Vec<String>> = stage.processes.ran.borrow().iter().map(|c| c.argv.clone()).collect();
    assert_eq!(ran[0], ["lag", "green"]);
    assert_eq!((&ran[1], &ran[2]), (&vec!["lag".to_string(), "blue".into()], &vec!["depth".to_string()]));
    // Counts that do not say since when they count are a mistake.
    let sql = json!({ "postgres": "${env:PASSWORD}", "query": "select 1 as a, 2 as b", "bad": "a", "requests": "b" });
    assert!(gate::check(&json!({ "sql": sql, "max": "1%" })).mistakes[0].message.contains("since when"));
}

/// What a shop sells on green must not fall behind what it sells on blue, for each request it has.
#[test]
fn a_business_metric_has_a_least_value_and_a_comparison() {
    let bakes = |green: f64, answers: bool| {
        let stage = Stage::new(move |request, _| match request.url.starts_with("http://green.test/") {
            true if !answers => no_answer(),
            true => response(200, json!({ "sold": green, "asked": 400 }).to_string()),
            false => response(200, json!({ "sold": 0.1, "asked": 4000 }).to_string()),
        });
        let mut plan = plan();
        let http = json!({ "url": "{url}/signals", "value": "/sold", "requests": "/asked" });
        let gate = json!({ "http": http, "min": 0.01, "versus_blue": "x1.5", "min_requests": 100 });
        plan.gates.insert("sold".into(), gate);
        let outcome = stage.run_in("bake", json!({ "for": "5m", "gates": ["sold"] }), &plan);
        (outcome, stage)
    };
    assert!(matches!(bakes(0.09, true).0, Outcome::Done { .. }));
    assert!(failed(&bakes(0.05, true).0, Cause::Gate).contains("beyond blue"));
    assert!(failed(&bakes(0.001, true).0, Cause::Gate).contains("under the limit"));
    // Silence is counted apart, and ends the waiting by a limit of its own.
    let (outcome, stage) = bakes(0.09, false);
    assert!(failed(&outcome, Cause::NoVerdict).contains("nobody answers"));
    assert_eq!(stage.clock.time().as_secs() / 60, 5);
    assert!(stage.notes.text().contains(r#""silent":5"#));
}

/// Nobody is moved while the budget of the service burns, and nobody knows is no reason to start either.
#[test]
fn a_burning_budget_is_a_precondition() {
    use bgctl::gates::burn;
    let judged = |hour: f64, five: f64, all: &'static str| {
        let stage = Stage::new(move |r, _| {
            let text = query(r);
            let rate = if text.contains("[1h]") || text.contains("[6h]") { hour } else { five };
            match () {
                () if !text.contains("5..") => vector(&[("", all)]),
                () => vector(&[("", &(rate * 0.001 * 100.0).to_string())]),
            }
        });
        let mut plan = plan();
        let share = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[5m])) / sum by (color) (rate(http_requests_total[5m]))"#;
        let gate = json!({ "prometheus": share, "objective": "99.9%" });
        assert_eq!(gate::check(&gate).mistakes, vec![]);
        plan.gates.insert("budget".into(), gate);
        let checks = stage.clock.run(burn::preconditions(&plan, &stage.world)).unwrap();
        // It is no gate of a bake.
        let facts = (common::scripted::kind("bake").facts)(&json!({ "for": "5m", "gates": ["budget"] }), &plan);
        assert!(facts.unwrap_err().iter().any(|m| m.message.contains("before the first step")));
        checks
    };
    let checks = judged(2.0, 30.0, "100").unwrap();
    assert!(checks[0]["line"].as_str().unwrap().contains("the budget does not burn: 2.0 in 1 h"), "{checks:?}");
    let refusal = judged(20.0, 16.0, "100").unwrap_err();
    assert_eq!(refusal.code.number(), "BG0150");
    assert!(refusal.cause[0].contains("20.0 times what the objective allows in the last 1 h"), "{refusal:?}");
    assert_eq!(judged(20.0, 16.0, "0").unwrap_err().code.number(), "BG0151");
    for (settings, at) in [
        (json!({ "prometheus": "sum(rate(a[5m])) / sum(rate(b[5m]))", "objective": "99.9%", "max": 1 }), "/objective"),
        (json!({ "prometheus": "sum(rate(a[5m])) / sum(rate(b[5m]))", "objective": "100%" }), "/objective"),
        (json!({ "prometheus": "sum(rate(a[5m]))", "objective": "99.9%" }), "/prometheus"),
    ] {
        assert!(gate::check(&settings).mistakes.iter().any(|m| m.at == at), "{settings}");
    }
}

/// The budget burns by one kind of bad request, and the other has no series: their sum has none.
#[test]
fn g05_a_budget_of_two_terms_is_counted_term_by_term() {
    use bgctl::gates::burn;
    let judged = |other: &'static str| {
        let stage = Stage::new(move |r, _| {
            let text = query(r);
            match () {
                () if text.contains(other) && !text.contains("count(") => vector(&[]),
                () if text.contains("5..") => vector(&[("", "2")]),
                () => vector(&[("", "100")]),
            }
        });
        let mut plan = plan();
        let bad = r#"sum(rate(http_requests_total{status=~"5.."}[5m]))"#;
        let share = format!("({bad} + sum(rate({other}[5m]))) / sum(rate(http_requests_total[5m]))");
        plan.gates.insert("budget".into(), json!({ "prometheus": share, "objective": "99.9%" }));
        stage.clock.run(burn::preconditions(&plan, &stage.world)).unwrap().unwrap_err()
    };
    assert_eq!(judged(r#"http_requests_total{status="429"}"#).code.number(), "BG0150", "it burns");
    assert_eq!(judged("http_timeouts_total").code.number(), "BG0151", "nobody knows whether there are any");
}

/// The page shows gates people copy.
#[test]
fn the_gates_of_the_page_are_sound() {
    let page = include_str!("../src/gates/gates.md");
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let document: Value = serde_yaml::from_str(yaml).unwrap();
    let gates = document["gates"].as_object().unwrap();
    assert_eq!(gates.len(), 8);
    for (name, settings) in gates {
        let checked = gate::check(settings);
        assert_eq!((checked.mistakes, checked.warnings), (vec![], vec![]), "{name}");
    }
    let mut plan = plan();
    plan.gates = gates.iter().map(|(name, settings)| (name.clone(), settings.clone())).collect();
    let names: Vec<&String> = gates.keys().filter(|name| *name != "budget").collect();
    let facts = (common::scripted::kind("bake").facts)(&json!({ "for": "5m", "gates": names }), &plan);
    assert!(facts.is_ok(), "{:?}", facts.err());
}

/// The ledger of a bake: events go in through the public address, and the store says who handled each.
mod ledger {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use bgctl::clock::Clock;
    use bgctl::world::{Held, Server, Store};

    use super::*;

    /// What the store answers by then.
    #[derive(Clone, Copy, PartialEq)]
    enum Now {
        Answers,
        Away,
        /// It has been started anew, without what it held.
        Empty,
    }

    /// Lists by key, as the bots would have written them.
    struct Handled {
        clock: Rc<bgctl::sim::VirtualClock>,
        lists: RefCell<BTreeMap<String, Vec<String>>>,
        at: fn(u64) -> Now,
    }

    impl Handled {
        fn state(&self) -> Now {
            (self.at)(self.clock.elapsed().as_secs())
        }
    }

    #[async_trait(?Send)]
    impl Store for Handled {
        async fn held(&self, _: &str, _: &str) -> Result<Option<Held>, String> {
            panic!("the ledger looks into no claim")
        }

        async fn lists(&self, url: &str, keys: &[String]) -> Result<Vec<Vec<String>>, String> {
            assert_eq!(url, "correct-horse", "the reference is resolved");
            match self.state() {
                Now::Away => return Err("Redis gives no answer: correct-horse refused".into()),
                Now::Empty => self.lists.borrow_mut().clear(),
                Now::Answers => {}
            }
            Ok(keys.iter().map(|key| self.lists.borrow().get(key).cloned().unwrap_or_default()).collect())
        }

        async fn server(&self, _: &str) -> Result<Server, String> {
            panic!("the ledger asks for no server")
        }
    }

    /// Bakes with a ledger. `bots` says what becomes of the nth delivery of an event: its answer and who noted it.
    fn baked(
        bots: impl Fn(usize, usize) -> (u16, &'static [&'static str]) + 'static,
        at: fn(u64) -> Now,
    ) -> (Outcome, Stage, Vec<usize>) {
        let notes: Rc<std::cell::OnceCell<Rc<Handled>>> = Rc::default();
        let of_bots = Rc::clone(&notes);
        let seen: Rc<RefCell<Vec<(String, usize)>>> = Rc::default();
        let of_web = Rc::clone(&seen);
        let mut stage = Stage::new(move |request, now| {
            if !request.url.ends_with("/slack/events") {
                return HEALTHY.answer(request, now);
            }
            assert_eq!(request.url, "https://bot.test/slack/events");
            assert!(request.fresh, "the load balancer chooses for each");
            let event: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(event["event"]["type"], "bgctl_smoke");
            let id = event["event_id"].as_str().unwrap().to_string();
            let mut seen = of_web.borrow_mut();
            let at = seen.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                seen.push((id.clone(), 0));
                seen.len() - 1
            });
            let number = request.headers.iter().find(|(name, _)| name == "x-slack-retry-num").map(|(_, n)| n.clone());
            assert_eq!(number.unwrap_or("0".into()), seen[at].1.to_string(), "Slack's own numbers");
            seen[at].1 += 1;
            let store = of_bots.get().unwrap();
            // Bots that cannot claim refuse.
            let (status, by) = if store.state() == Now::Away { (503, &[][..]) } else { bots(at, seen[at].1) };
            let mut lists = store.lists.borrow_mut();
            lists.entry(format!("bgctl:handled:{id}")).or_default().extend(by.iter().map(|name| name.to_string()));
            response(status, "")
        });
        let store = Rc::new(Handled { clock: Rc::clone(&stage.clock), lists: RefCell::default(), at });
        assert!(notes.set(Rc::clone(&store)).is_ok());
        stage.world.store = store;
        let mut plan = plan();
        let slack = plan.slack.as_mut().unwrap();
        slack["dedup"] = json!({ "redis": "${env:PASSWORD}", "key": "dedup:evt:{team_id}:{event_id}" });
        let settings = json!({
            "for": "2m", "windows": 2, "gates": ["depth"], "ledger": { "url": "https://bot.test/", "per_second": 2 },
        });
        let outcome = stage.run_in("bake", settings, &plan);
        let deliveries = seen.borrow().iter().map(|(_, n)| *n).collect();
        (outcome, stage, deliveries)
    }

    fn line(stage: &Stage) -> (Verdict, String) {
        let all = stage.notes.checks();
        let ledger: Vec<_> = all.into_iter().filter(|(check, ..)| check == "ledger").collect();
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        (ledger[0].1, ledger[0].2.clone())
    }

    #[test]
    fn every_event_handled_once_passes_and_is_counted_by_stack() {
        let (outcome, stage, deliveries) =
            baked(|n, _| (200, if n % 4 == 0 { &["green"] } else { &["blue"] }), |_| Now::Answers);
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
        let (verdict, said) = line(&stage);
        let sent = deliveries.len();
        assert!((235..=245).contains(&sent), "two a second for two minutes: {sent}");
        assert_eq!(verdict, Verdict::Pass);
        assert!(said.contains(&format!("{sent} events = handled once {sent} · lost 0 · twice 0")), "{said}");
        assert!(outcome.line().contains("lost 0 · twice 0") && outcome.line().contains("every gate passed"));
    }

    #[test]
    fn a_failed_delivery_is_repeated_as_slack_does_and_only_then_lost() {
        // The third comes through at its second retry, the fifth never.
        let bots = |n, times| match (n, times) {
            (2, 1 | 2) | (4, _) => (503, &[][..]),
            _ => (200, &["blue"][..]),
        };
        let (outcome, stage, deliveries) = baked(bots, |_| Now::Answers);
        assert_eq!((deliveries[2], deliveries[4]), (3, 4));
        let said = failed(&outcome, Cause::Gate);
        assert!(said.contains("lost 1 · twice 0") && said.contains("lost first: EvBGCTL"), "{said}");
        assert_eq!(line(&stage).0, Verdict::Fail);
    }

    #[test]
    fn an_event_handled_twice_or_acked_and_never_handled_fails_the_bake() {
        let (outcome, ..) = baked(|n, _| (200, if n == 7 { &["blue", "green"] } else { &["green"] }), |_| Now::Answers);
        let said = failed(&outcome, Cause::Gate);
        assert!(said.contains("lost 0 · twice 1") && said.contains("by blue and green"), "{said}");
        let (outcome, ..) = baked(|n, _| (200, if n == 7 { &[] } else { &["green"] }), |_| Now::Answers);
        assert!(failed(&outcome, Cause::Gate).contains("lost 1 · twice 0"));
    }

    /// Users stay where they are, and somebody is asked.
    #[track_caller]
    fn held(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Failed { line, cause: Cause::NoVerdict, then: Some(Reaction::Hold), .. } => line,
            other => panic!("not held: {other:?}"),
        }
    }

    #[test]
    fn s05_a_store_that_cannot_be_read_holds_users_and_its_secret_stays_one() {
        let (outcome, stage, _) = baked(|_, _| (200, &["blue"]), |_| Now::Away);
        let said = held(&outcome);
        assert!(said.contains("cannot be counted") && said.contains("none came for 1m"), "{said}");
        assert!(!said.contains("correct-horse"), "{said}");
        assert_eq!(line(&stage).0, Verdict::Unknown);
        // It answers again before it is given up.
        let (outcome, ..) =
            baked(|_, _| (200, &["blue"]), |now| if now > 121 && now < 150 { Now::Away } else { Now::Answers });
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }

    #[test]
    fn s05_what_is_refused_while_the_store_is_away_is_not_known_to_be_lost() {
        // For longer than the retries last.
        let away = |now| if (40..70).contains(&now) { Now::Away } else { Now::Answers };
        let (outcome, stage, _) = baked(|_, _| (200, &["green"]), away);
        let said = held(&outcome).to_string();
        assert!(
            said.contains("lost 0 · twice 0 · not known") && said.contains("the store gave no answer for 31s"),
            "{said}"
        );
        assert_eq!(line(&stage), (Verdict::Unknown, said));
        // An event that is lost long before it is lost all the same, and so is one long after.
        for n in [10, 200] {
            let (outcome, ..) = baked(move |at, _| (200, if at == n { &[] } else { &["green"] }), away);
            assert!(failed(&outcome, Cause::Gate).contains("lost 1 · "), "{n}: {outcome:?}");
        }
        // Short enough for the retries: all of it is counted.
        let blink = |now| if (40..42).contains(&now) { Now::Away } else { Now::Answers };
        let (outcome, ..) = baked(|_, _| (200, &["green"]), blink);
        assert!(
            outcome.line().contains("lost 0 · twice 0 (") && matches!(outcome, Outcome::Done { .. }),
            "{outcome:?}"
        );
    }

    #[test]
    fn s05_a_store_that_comes_back_empty_is_named_and_nothing_counts_as_lost() {
        let (outcome, ..) = baked(|_, _| (200, &["green"]), |now| if now == 60 { Now::Empty } else { Now::Answers });
        let said = held(&outcome);
        assert!(said.contains("lost 0 · ") && said.contains("the store has lost its notes of 1"), "{said}");
        // What was handled twice is known all the same.
        let (outcome, ..) = baked(
            |n, _| (200, if n == 7 { &["blue", "green"] } else { &["green"] }),
            |now| if now == 60 { Now::Empty } else { Now::Answers },
        );
        assert!(failed(&outcome, Cause::Gate).contains("twice 1"), "{outcome:?}");
    }
}

/// What a bake and a wait find of a service whose sides fail so often.
fn baked_and_waited(service: Service) -> (Outcome, Breach) {
    let stage = || Stage::new(move |r, t| service.answer(r, t));
    let (baked, waited) = (stage(), stage());
    let watch = Watch::new(&plan()).unwrap();
    let breach = waited.clock.run(watch.breach("approval", &waited.world, &waited.notes)).unwrap();
    (bake(&baked, &["errors", "p99"]), breach)
}

fn wants(outcome: &Outcome) -> Option<Reaction> {
    let Outcome::Failed { then, .. } = outcome else { panic!("{outcome:?}") };
    *then
}

/// Green limps, blue is dead: its targets may be healthy, and still nobody is sent there by rule.
#[test]
fn g02_nobody_is_sent_back_to_a_blue_that_is_worse() {
    let (baked, waited) = baked_and_waited(Service { green: 0.05, blue: 1.0, ..HEALTHY });
    let line = failed(&baked, Cause::Gate);
    assert_eq!((wants(&baked), waited.then), (Some(Reaction::Halt), Some(Reaction::Halt)));
    for line in [line, waited.line] {
        assert!(line.contains("green 5") && line.contains("blue 100%"), "both numbers: {line}");
        assert!(line.ends_with("BLUE is worse, so no users are sent back to it"), "{line}");
    }
}

/// One shared dependency fails for both. Going back would help nobody, and would be called a cure.
#[test]
fn g02_a_cause_that_both_sides_share_sends_nobody_back() {
    for rate in [0.02, 0.3, 1.0] {
        let (baked, waited) = baked_and_waited(Service { green: rate, blue: rate, ..HEALTHY });
        let line = failed(&baked, Cause::Gate);
        assert_eq!((wants(&baked), waited.then), (Some(Reaction::Halt), Some(Reaction::Halt)), "{rate}: {line}");
        assert!(line.ends_with("BLUE is as bad, so no users are sent back to it"), "{line}");
    }
}

/// What stands against blue has to be proven: a blue that is a little over the limit itself is still the better side.
#[test]
fn g02_a_green_that_is_worse_goes_back_all_the_same() {
    for (green, blue) in [(0.1, 0.002), (0.3, 0.03), (1.0, 0.3)] {
        let (baked, waited) = baked_and_waited(Service { green, blue, ..HEALTHY });
        failed(&baked, Cause::Gate);
        assert_eq!((wants(&baked), waited.then), (None, None), "{green} {blue}: {baked:?}");
    }
    // Green is slow, and blue is the side that loses every request.
    let (baked, _) = baked_and_waited(Service { green: 0.0, blue: 1.0, p99: 9.0 });
    assert_eq!(wants(&baked), Some(Reaction::Halt), "{baked:?}");
    assert!(failed(&baked, Cause::Gate).contains("(gate `errors`: green 0%"), "{baked:?}");
}
