//! Sources: where numbers come from. One file a source, one row of [`KINDS`].
//!
//! A source answers one question about one stack, or about the service as a whole, with finite numbers or with the reason
//! why there are none. It knows nothing of limits: what a number means is judged in `gates::judge`.
#![doc = include_str!("sources.md")]

mod about;
mod cloudwatch;
mod command;
mod http;
mod prometheus;
mod sql;

pub use about::{About, asks_of_a_stack};
pub use cloudwatch::{CloudWatch, KIND as CLOUDWATCH};
pub use prometheus::quoted;

use std::time::Duration;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::diag::Mistake;
use crate::gates::server::Server;
use crate::rehearsal::InLab;
use crate::world::{Gap, World};

/// Somebody who can be asked for a number.
#[async_trait(?Send)]
pub trait Source {
    /// What is asked, as the runbook says it: references stand for secrets, `{stack}` and its kin are not filled in.
    fn question(&self) -> String;

    /// Bad ones are counted among all requests, so the numbers are a share and not a value.
    fn counts(&self) -> bool {
        false
    }

    /// The requests behind a value come with it.
    fn counts_requests(&self) -> bool {
        self.counts()
    }

    /// The counts begin when users were shifted, without being told.
    fn counts_since(&self) -> bool {
        false
    }

    /// It is asked about each stack for itself.
    fn of_a_stack(&self) -> bool;

    /// How long after the shift its first number is of users on the new split only.
    fn warm_up(&self) -> Duration {
        Duration::ZERO
    }

    /// How long after the shift it has a first number at all.
    fn first_number(&self) -> Duration {
        self.warm_up()
    }

    /// Asks once. Nothing is repeated, and nothing is changed anywhere.
    async fn read(&self, world: &World, about: &About) -> Result<Reading, Gap>;
}

/// What a source said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The value; the number of bad requests where the source counts them.
    pub value: f64,
    pub requests: Option<f64>,
    /// Of a source whose numbers come late and in whole minutes: for how many minutes since the shift it had them.
    pub minutes: Option<Minutes>,
}

/// Minutes that were counted, of those that have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minutes {
    pub counted: u64,
    pub passed: u64,
}

impl Minutes {
    /// Less than half of the time was seen: that it was good says nothing of the rest.
    pub fn too_few(self) -> bool {
        2 * self.counted < self.passed
    }

    pub fn told(self) -> String {
        format!("{} of {} minutes were counted so far", self.counted, self.passed)
    }
}

/// A kind of source: its key in YAML, its settings and what is wrong with them, and how it is opened.
pub struct Kind {
    pub name: &'static str,
    /// The page that explains it, as Markdown.
    pub page: &'static str,
    /// JSON Schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// The settings with every default filled in, for the plan, or why they are none.
    pub whole: fn(&Value) -> Result<Value, String>,
    /// Where it goes in a rehearsal.
    pub lab: InLab,
    /// Everything that is wrong with them and can be seen without asking anybody.
    pub check: fn(&Value) -> Vec<Mistake>,
    /// Opens it with settings that were checked. The second is the address for sources that the runbook names once for all.
    pub open: fn(&Value, &Server) -> Opened,
}

/// A source that can be asked, or why not.
pub type Opened = Result<Box<dyn Source>, String>;

/// Every kind of source.
pub const KINDS: &[Kind] = &[prometheus::KIND, cloudwatch::KIND, http::KIND, sql::KIND, command::KIND];

/// What `bgctl explain sources` shows: the page of all of them.
const PAGE: &str = include_str!("sources.md");

/// The sources that somebody names, each with its settings under its key. One is right; that is said by [`chosen`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Given(Map<String, Value>);

impl Given {
    /// The settings of a kind, if it is named.
    pub fn of(&self, kind: &Kind) -> Option<&Value> {
        self.0.get(kind.name)
    }

    /// PromQL, where Prometheus is asked.
    pub fn promql(&self) -> Option<&str> {
        self.of(&prometheus::KIND)?.as_str()
    }

    /// What CloudWatch is asked, where it is.
    pub fn cloudwatch(&self) -> Option<CloudWatch> {
        typed(self.of(&cloudwatch::KIND)?).ok()
    }

    pub fn set_cloudwatch(&mut self, metrics: &CloudWatch) {
        self.0.insert(cloudwatch::KIND.name.into(), json!(metrics));
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut given = Map::deserialize(deserializer)?;
        given.retain(|_, own| !own.is_null());
        for (name, own) in &mut given {
            let kind = KINDS.iter().find(|kind| kind.name == name);
            let kind = kind.ok_or_else(|| D::Error::custom(format!("unknown field `{name}`")))?;
            *own = (kind.whole)(own).map_err(D::Error::custom)?;
        }
        Ok(Given(given))
    }
}

/// The one source that settings name, with its own settings.
pub fn chosen(settings: &Value) -> Result<(&'static Kind, &Value), Mistake> {
    let given: Vec<_> =
        KINDS.iter().filter_map(|kind| Some((kind, settings.get(kind.name).filter(|own| !own.is_null())?))).collect();
    match given[..] {
        [one] => Ok(one),
        _ => {
            let all: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            Err(Mistake {
                at: String::new(),
                message: "exactly one source of numbers is needed".into(),
                help: Some(format!("one of: {}", all.join(", "))),
            })
        }
    }
}

/// Where in an answer the numbers stand: JSON pointers, or names of columns.
#[derive(Clone, Debug, Default, PartialEq)]
struct Picks {
    value: Option<String>,
    bad: Option<String>,
    requests: Option<String>,
}

impl Picks {
    /// What is wrong with the combination.
    fn check(&self) -> Vec<Mistake> {
        let mistake = |at: &str, message: &str, help: &str| Mistake {
            at: at.into(),
            message: message.into(),
            help: Some(help.into()),
        };
        let mut found = Vec::new();
        if self.value.is_some() && self.bad.is_some() {
            found.push(mistake("/bad", "`value` and `bad` exclude each other", "`bad` is counted among `requests`"));
        }
        if self.bad.is_some() && self.requests.is_none() {
            found.push(mistake("/bad", "`bad` has nothing to be a share of", "add `requests`: all of them"));
        }
        found
    }

    /// The numbers of an answer.
    fn read(&self, answer: &Value) -> Result<Reading, Gap> {
        let value = number(answer, self.bad.as_deref().or(self.value.as_deref()))?;
        let requests = self.requests.as_deref().map(|at| number(answer, Some(at))).transpose()?;
        Ok(Reading { value, requests, minutes: None })
    }
}

/// A source whose answer is a document with the numbers in it.
#[async_trait(?Send)]
trait Document: DeserializeOwned + Serialize {
    /// Where in the document the numbers stand.
    fn picks(&self) -> Picks;

    fn question(&self) -> String;

    /// Asks once.
    async fn ask(&self, world: &World, about: &About) -> Result<Value, Gap>;

    /// Everything that can be seen without asking, beside the numbers' places.
    fn review(&self, found: &mut Vec<Mistake>);
}

/// `schema` of a kind whose settings are a type.
fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// `whole` of a kind whose settings are a type.
fn whole<T: DeserializeOwned + Serialize>(settings: &Value) -> Result<Value, String> {
    let settings: T = typed(settings).map_err(|mistake| mistake.message)?;
    serde_json::to_value(settings).map_err(|error| error.to_string())
}

/// `check` of a kind whose answer is a document.
fn check<T: Document>(settings: &Value) -> Vec<Mistake> {
    let document: T = match typed(settings) {
        Ok(document) => document,
        Err(mistake) => return vec![mistake],
    };
    let mut found = document.picks().check();
    document.review(&mut found);
    found
}

/// `open` of a kind whose answer is a document.
fn open<T: Document + 'static>(settings: &Value, _: &Server) -> Opened {
    let document: T = typed(settings).map_err(|m| m.message)?;
    Ok(Box::new(Picked { picks: document.picks(), document }))
}

struct Picked<T> {
    document: T,
    picks: Picks,
}

#[async_trait(?Send)]
impl<T: Document> Source for Picked<T> {
    fn question(&self) -> String {
        self.document.question()
    }

    fn counts(&self) -> bool {
        self.picks.bad.is_some()
    }

    fn counts_requests(&self) -> bool {
        self.picks.requests.is_some()
    }

    fn of_a_stack(&self) -> bool {
        asks_of_a_stack(&json!(self.document).to_string())
    }

    async fn read(&self, world: &World, about: &About) -> Result<Reading, Gap> {
        self.picks.read(&self.document.ask(world, about).await?)
    }
}

/// The number at a place of an answer; without a place the answer itself, or the only member it has.
fn number(answer: &Value, at: Option<&str>) -> Result<f64, Gap> {
    let found = match at {
        Some(at) => answer.pointer(at).ok_or_else(|| Gap::Unknown(format!("the answer has nothing at `{at}`")))?,
        None => match answer.as_object() {
            Some(members) if members.len() == 1 => members.values().next().unwrap_or(answer),
            _ => answer,
        },
    };
    let read = match found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    // A text can say `NaN` or `inf`, and a comparison with either is an accident.
    read.filter(|n: &f64| n.is_finite()).ok_or_else(|| {
        let what = match found {
            Value::Null => "nothing (null)".into(),
            Value::Array(_) => "a list".into(),
            Value::Object(_) => "an object".into(),
            other => format!("`{}`", shortened(&other.to_string())),
        };
        Gap::Unknown(format!(
            "{} is {what}, not a finite number",
            at.map_or("the answer".into(), |at| format!("`{at}`"))
        ))
    })
}

/// Enough of a text to recognise it by.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Settings as their type, or the mistake that keeps them from it.
fn typed<T: DeserializeOwned>(settings: &Value) -> Result<T, Mistake> {
    serde_json::from_value(settings.clone()).map_err(|e| Mistake {
        at: String::new(),
        message: e.to_string(),
        help: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_are_numbers() {
        let answer = json!({ "a": 1, "b": "2.5", "c": "NaN", "d": "inf", "e": null, "f": true, "g": [1], "h": "many" });
        for (at, wanted) in [("/a", 1.0), ("/b", 2.5)] {
            assert_eq!(number(&answer, Some(at)), Ok(wanted));
        }
        for (at, word) in [
            ("/c", "NaN"),
            ("/d", "inf"),
            ("/e", "null"),
            ("/f", "true"),
            ("/g", "a list"),
            ("/h", "many"),
            ("/z", "has nothing at `/z`"),
        ] {
            let Err(Gap::Unknown(line)) = number(&answer, Some(at)) else { panic!("{at}") };
            assert!(line.contains(word), "{line}");
        }
        assert_eq!(number(&json!({ "count": 7 }), None), Ok(7.0));
        assert_eq!(number(&json!(7), None), Ok(7.0));
        assert!(number(&answer, None).is_err());
    }

    /// The digest of a plan is of these bytes.
    #[test]
    fn a_plan_keeps_the_source_first_and_with_every_default() {
        use crate::gates::gate;
        let kept = |settings: Value| gate::check(&settings).config.expect("good settings").to_string();
        let rest =
            r#""max":"3","label":"color","instance":"instance","unknown":"roll-back","url":"${env:PROMETHEUS_URL}"}"#;
        let (command, within) = (json!({ "max": 3, "command": { "run": ["n", "{stack}"] } }), r#""within":"10s""#);
        assert_eq!(kept(command), format!(r#"{{"command":{{"run":["n","{{stack}}"],{within}}},{rest}"#));
        let promql = json!({ "max": 3, "http": null, "prometheus": "max by (color) (depth)" });
        assert_eq!(kept(promql), format!(r#"{{"prometheus":"max by (color) (depth)",{rest}"#));
        assert!(gate::check(&json!({ "max": 3, "htpp": {} })).mistakes[0].message.contains("unknown field `htpp`"));
    }

    #[test]
    fn exactly_one_source_is_named() {
        assert_eq!(chosen(&json!({ "sql": {}, "http": null, "max": 1 })).map(|c| c.0.name).unwrap(), "sql");
        for wrong in [json!({ "max": 1 }), json!({ "sql": {}, "http": {} })] {
            assert!(chosen(&wrong).is_err_and(|m| m.help.unwrap().contains("prometheus")));
        }
    }
}
