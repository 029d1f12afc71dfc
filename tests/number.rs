//! One number from any source: what is asked, and that nothing but a finite number ever is one.

mod common;

use std::rc::Rc;

use bgctl::clock::{Clock, SystemClock};
use bgctl::gates::number::Number;
use bgctl::gates::source::About;
use bgctl::live::database::LiveDatabase;
use bgctl::plan::Color;
use bgctl::world::{Exit, Gap, Stream};
use common::postgres::Postgres;
use common::scripted::{Stage, no_answer, plan, query, response, vector};
use serde_json::{Value, json};

fn number(settings: Value) -> Number {
    let number: Number = serde_json::from_value(settings).unwrap();
    assert_eq!(number.check(), vec![]);
    number
}

fn green() -> About {
    About::stack(&plan(), Color::Green)
}

fn read(stage: &Stage, settings: Value) -> Result<f64, Gap> {
    stage.clock.run(number(settings).read(&stage.world, &green())).unwrap()
}

#[test]
fn a_document_of_a_stack_holds_the_number() {
    let stage = Stage::new(|request, _| match request.url.as_str() {
        "http://green.test/signals?of=v2" => response(200, r#"{ "checkout": { "per_minute": 12.5 }, "queue": null }"#),
        "http://green.test/plain" => response(200, "7\n"),
        "http://green.test/busy" => response(503, "later"),
        "http://green.test/gone" => response(404, "no"),
        "http://green.test/page" => response(200, "<html>sign in</html>"),
        _ => no_answer(),
    });
    let at = |url: &str, place: Option<&str>| read(&stage, json!({ "http": { "url": url, "value": place } }));
    assert_eq!(at("{url}/signals?of={version}", Some("/checkout/per_minute")), Ok(12.5));
    assert_eq!(at("{url}/plain", None), Ok(7.0));
    for (url, place, silent, word) in [
        ("{url}/signals?of={version}", Some("/queue"), false, "null"),
        ("{url}/signals?of={version}", Some("/other"), false, "has nothing at"),
        ("{url}/busy", None, true, "503"),
        ("{url}/gone", None, false, "404"),
        ("{url}/page", None, false, "no JSON"),
        ("http://nowhere.test", None, true, "connection refused"),
    ] {
        let gap = at(url, place).unwrap_err();
        assert_eq!((matches!(gap, Gap::Silent(_)), gap.line().contains(word)), (silent, true), "{url}: {gap:?}");
    }
}

#[test]
fn a_secret_of_a_question_is_sent_and_never_said() {
    let stage = Stage::new(|request, _| {
        assert!(request.headers.contains(&("authorization".into(), "Bearer correct-horse".into())));
        response(200, r#""correct-horse is wrong""#)
    });
    let http = json!({ "url": "{url}/x", "headers": { "authorization": "Bearer ${env:PASSWORD}" } });
    let gap = read(&stage, json!({ "http": http })).unwrap_err();
    assert!(!gap.line().contains("correct-horse") && gap.line().contains("[secret]"), "{gap:?}");
}

#[test]
fn a_program_prints_the_number() {
    let run = |printed: &str, exit: Exit, value: Option<&str>| {
        let stage = Stage::with(|_, _| no_answer(), vec![(Stream::Stdout, printed.into())], exit);
        let read = read(&stage, json!({ "command": { "run": ["lag", "{stack}"], "value": value } }));
        assert_eq!(stage.processes.ran.borrow()[0].argv, ["lag", "green"]);
        read
    };
    assert_eq!(run("12", Exit::Status(0), None), Ok(12.0));
    assert_eq!(run(r#"{ "lag": 3 }"#, Exit::Status(0), Some("/lag")), Ok(3.0));
    for (printed, exit, silent) in [
        ("", Exit::Status(0), false),
        ("12 messages", Exit::Status(0), false),
        ("12", Exit::Status(1), false),
        ("12", Exit::Signal(9), true),
        ("12", Exit::TimedOut, true),
    ] {
        let gap = run(printed, exit, None).unwrap_err();
        assert_eq!(matches!(gap, Gap::Silent(_)), silent, "{printed} {exit:?}: {gap:?}");
    }
}

#[test]
fn an_expression_gives_one_sample_that_is_new() {
    let asked = |settings: Value, value: &'static str, age: &'static str| {
        let stage = Stage::new(move |request, _| {
            let text = query(request);
            if text.contains("timestamp(") {
                return vector(&[("", age)]);
            }
            assert_eq!(text, r#"max(queue_lag{color="green"})"#);
            vector(&value.split(' ').filter(|v| !v.is_empty()).map(|v| ("", v)).collect::<Vec<_>>())
        });
        read(&stage, settings)
    };
    let lag = || json!({ "prometheus": r#"max(queue_lag{color="{stack}"})"# });
    assert_eq!(asked(lag(), "3.5", "2"), Ok(3.5));
    for (value, age, word) in
        [("", "2", "no sample"), ("1 2", "2", "2 samples"), ("NaN", "2", "NaN"), ("3", "200", "200 s old")]
    {
        let gap = asked(lag(), value, age).unwrap_err();
        assert!(matches!(&gap, Gap::Unknown(line) if line.contains(word)), "{gap:?}");
    }
}

#[test]
fn a_row_of_a_real_database_holds_the_number() {
    let Some(server) = Postgres::start() else { return };
    server.run(
        "create table orders (version text, total int); insert into orders values ('v1', 5), ('v2', 7), ('v2', 8)",
    );
    let mut stage = Stage::new(|_, _| no_answer());
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    stage.world.database = Rc::new(LiveDatabase::new(clock));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |query: &str, value: Option<&str>| {
        let mut sql = json!({ "sql": { "postgres": server.url, "query": query } });
        sql["sql"]["value"] = json!(value);
        runtime.block_on(number(sql).read(&stage.world, &green()))
    };
    assert_eq!(ask("select count(*) from orders where version = '{version}'", None), Ok(2.0));
    assert_eq!(
        ask("select sum(total) as s, count(*) as n from orders where version = '{version}'", Some("s")),
        Ok(15.0)
    );
    for (query, word) in [
        ("select total from orders", "3 rows"),
        ("select total from orders where false", "0 rows"),
        ("select avg(total) from orders where false", "null"),
        ("select nothing from orders", "nothing"),
        ("delete from orders", "refuses"),
        ("select 'NaN'::float8", "NaN"),
    ] {
        let gap = ask(query, None).unwrap_err();
        assert!(matches!(&gap, Gap::Unknown(line) if line.contains(word)), "{query}: {gap:?}");
    }
    // A version that holds a quote stays inside its text.
    let mut plan = plan();
    plan.green.version = "v2' or 'a' = 'a".into();
    let about = About::stack(&plan, Color::Green);
    let sql = json!({ "postgres": server.url, "query": "select count(*) from orders where version = '{version}'" });
    assert_eq!(runtime.block_on(number(json!({ "sql": sql })).read(&stage.world, &about)), Ok(0.0));
}

#[test]
fn mistakes_are_found_without_asking() {
    for (settings, at, word) in [
        (json!({}), "", "exactly one source"),
        (json!({ "prometheus": "sum(" }), "/prometheus", "no PromQL"),
        (json!({ "http": { "url": "signals" } }), "/http/url", "no URL"),
        (json!({ "http": { "url": "{url}", "value": "a" } }), "/http/value", "no place"),
        (json!({ "http": { "url": "{url}", "bad": "/a" } }), "/http/bad", "share of"),
        (json!({ "sql": { "postgres": "${env:A}", "query": " " } }), "/sql/query", "nothing to ask"),
        (json!({ "command": { "run": [] } }), "/command/run", "no program"),
        (json!({ "command": { "run": ["a"], "within": "5m" } }), "/command/within", "a minute"),
    ] {
        let number: Number = serde_json::from_value(settings.clone()).unwrap();
        let found = number.check();
        assert!(found.iter().any(|m| m.at == at && m.message.contains(word)), "{settings}: {found:?}");
    }
}
