//! What every source of numbers must do, in a world where it is answered as it should be, not as it should be, and not at all.

use std::rc::Rc;

use async_trait::async_trait;
use bgctl::gates::server::Server;
use bgctl::gates::source::{About, Kind};
use bgctl::plan::Color;
use bgctl::world::{Database, Gap, Metrics, Point, Question, Unanswered};
use bgctl::world::{Exit, Stream};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::common::scripted::{Stage, no_answer, plan, response, vector};

/// A database with this in its only row, and a CloudWatch with it at every point.
struct Holds(Value);

#[async_trait(?Send)]
impl Database for Holds {
    async fn rows(&self, _: &str, _: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
        Ok(vec![Map::from_iter([("count".to_string(), self.0.clone())])])
    }
}

#[async_trait(?Send)]
impl Metrics for Holds {
    async fn series(
        &self,
        _: Option<&str>,
        asked: &[Question],
        at: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<Vec<Point>>, Gap> {
        let points = || self.0.as_f64().map(|value| Point { at, value }).into_iter().collect();
        Ok(asked.iter().map(|_| points()).collect())
    }
}

/// A world in which whatever is asked answers this. Prometheus says each value as text, and of an age no more than that it is new.
fn answering(value: &Value) -> Stage {
    let (body, text) = (json!({ "count": value }).to_string(), value.as_f64().map_or("NaN".into(), |n| n.to_string()));
    let lines = vec![(Stream::Stdout, body.clone())];
    let script = move |request: &bgctl::world::Request, _| match request.url.contains("prometheus.test") {
        true => vector(&[("green", &text)]),
        false => response(200, body.clone()),
    };
    let mut stage = Stage::with(script, lines, Exit::Status(0));
    stage.world.database = Rc::new(Holds(value.clone()));
    stage.world.metrics = Rc::new(Holds(value.clone()));
    stage
}

/// What every source must do. `settings` ask about one stack for one number, and have `${env:PASSWORD}` where they can.
pub fn suite(kind: &Kind, settings: &Value) {
    assert_eq!((kind.check)(settings).into_iter().map(|m| m.message).collect::<Vec<_>>(), [""; 0]);
    for nothing in [json!({}), json!({ "no-such-key": 1 }), json!(7)] {
        let opened = (kind.open)(&nothing, &Server::none());
        assert!(!(kind.check)(&nothing).is_empty() || opened.is_err(), "{nothing} asks nothing");
    }
    let server: Server = serde_json::from_value(json!("http://prometheus.test:9090")).expect("an address");
    let source = (kind.open)(settings, &server).expect("good settings");
    assert!(!source.question().is_empty() && !source.question().contains("correct-horse"), "{}", source.question());
    assert!(source.of_a_stack(), "it tells the stacks apart");
    assert!(source.counts_requests() || !source.counts());

    let ask = |stage: &Stage| {
        let about = About::stack(&plan(), Color::Green);
        stage.clock.run(source.read(&stage.world, &about)).expect("it ends")
    };
    // A number is a number.
    assert_eq!(ask(&answering(&json!(7))).map(|reading| reading.value), Ok(7.0));
    // What is no number is unknown, and nobody's failure to answer.
    assert!(matches!(ask(&answering(&Value::Null)), Err(Gap::Unknown(why)) if !why.is_empty()));
    // Nobody there says nothing of the service.
    let silent = ask(&Stage::with(|_, _| no_answer(), Vec::new(), Exit::Signal(9)));
    assert!(matches!(&silent, Err(Gap::Silent(why)) if !why.is_empty()), "{silent:?}");
}
