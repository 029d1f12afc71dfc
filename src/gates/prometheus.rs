//! Prometheus: instant queries as a POST form, pinned to one moment, and answers that are one number per stack or a
//! reason.
//!
//! An answer that is empty, partial, doubled or not finite is never a number here. What it means for users is judged in
//! `gates::judge`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::promql::Absence;
use super::server::Reached;
use crate::plan::Color;
use crate::run::Asked;
use crate::world::{Gap, Request, Web, form};

/// The longest one query may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How far Prometheus' clock may be from ours. Beyond it, "since the shift" means another moment there than here.
const SKEW: i64 = 5;

/// So many samples of an answer are told in a record.
const TOLD: usize = 6;

/// A server that is asked.
pub struct Prometheus<'a> {
    web: &'a dyn Web,
    server: Reached,
    /// All queries are evaluated at this moment.
    at: Timestamp,
    asked: RefCell<Vec<Asked>>,
}

/// How samples say which stack they are of: the label, and what it says for each.
#[derive(Clone, Debug, PartialEq)]
pub struct StackLabel {
    pub name: String,
    /// What it says of blue and of green.
    pub values: [String; 2],
    /// Which stack stands in each place, for sentences.
    pub said: [&'static str; 2],
}

impl StackLabel {
    pub fn value(&self, color: Color) -> &str {
        &self.values[usize::from(color == Color::Green)]
    }

    pub fn said(&self, color: Color) -> &'static str {
        self.said[usize::from(color == Color::Green)]
    }

    /// Samples of this stack, as a matcher says it.
    pub fn of(&self, color: Color) -> String {
        format!("{}=\"{}\"", self.name, self.value(color))
    }
}

/// Samples of an instant vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vector(Vec<Sample>);

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    /// Seconds, and the value as text; absent for native histograms.
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
    /// VictoriaMetrics: a part of the storage did not answer.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: serde_json::Value,
}

impl Answer {
    /// Why the samples may not be all there are. A counter whose name does not end as counters do is only remarked upon.
    fn doubt(&self) -> Option<&str> {
        let info = self.infos.iter().find(|info| !info.contains("might not be a counter"));
        let partial = self.is_partial.then_some("a part of the storage did not answer (isPartial)");
        self.warnings.first().or(info).map(String::as_str).or(partial)
    }
}

impl Prometheus<'_> {
    /// One question after the other, or all at once: every query is evaluated at the same moment.
    pub fn new<'a>(web: &'a dyn Web, server: Reached, at: Timestamp) -> Prometheus<'a> {
        Prometheus { web, server, at, asked: RefCell::default() }
    }

    /// Everything that was asked so far, with what came back.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// Asks one query.
    pub async fn ask(&self, query: &str) -> Result<Vector, Gap> {
        let answer = self.exchange(query).await;
        let told = match &answer {
            Ok(vector) => vector.told(),
            Err(gap) => gap.line().to_string(),
        };
        self.asked.borrow_mut().push(Asked { question: query.into(), answer: told });
        answer
    }

    /// How many there are of a part that has no series: none, where that is shown or the runbook says so.
    pub async fn none(&self, absence: Option<&Absence>, said: bool) -> Result<f64, Gap> {
        if said {
            return Ok(0.0);
        }
        let Some(absence) = absence else {
            let line = "there is no series of what is counted above the line, and nothing shows that this means none; let the \
                service begin it at 0, or write `absent: 0`";
            return Err(Gap::Unknown(line.into()));
        };
        let there = self.ask(&absence.question).await?;
        if there.is_empty() {
            let line = format!("what counts above the line cannot be told apart: `{}` has no answer", absence.question);
            return Err(Gap::Unknown(line));
        }
        match absence.doubt(|label| there.values(label)) {
            Some(why) => Err(Gap::Never(format!("what counts above the line cannot be told apart: {why}"))),
            None => Ok(0.0),
        }
    }

    /// Every value a label has, over all metrics.
    pub async fn values(&self, label: &str) -> Result<Vec<String>, Gap> {
        #[derive(Deserialize)]
        struct Values {
            data: Vec<String>,
        }
        let request = self.request(&format!("label/{label}/values"));
        let response = self.web.exchange(request).await;
        let response = response.map_err(|e| Gap::Silent(format!("no answer of Prometheus: {e}")))?;
        let values: Result<Values, _> = serde_json::from_slice(&response.body);
        match values {
            Ok(values) => Ok(values.data),
            Err(_) => Err(Gap::Unknown(format!("the values of `{label}` cannot be read ({})", response.status))),
        }
    }

    /// A question at a place of the API, with what lets us in.
    fn request(&self, place: &str) -> Request {
        let Reached { url, headers, login } = &self.server;
        let url = format!("{}/api/v1/{place}", url.trim_end_matches('/'));
        Request { headers: headers.clone(), login: login.clone(), ..Request::get(url, TIMEOUT) }
    }

    async fn exchange(&self, query: &str) -> Result<Vector, Gap> {
        let mut body = form(&[("query", query), ("time", &moment(self.at)), ("timeout", "10s")]);
        body.shrink_to_fit();
        let mut request = Request { method: "POST", body: body.into_bytes(), ..self.request("query") };
        request.headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
        let response =
            self.web.exchange(request).await.map_err(|e| Gap::Silent(format!("no answer of Prometheus: {e}")))?;
        if let Some(skew) = response.date().map(|date| date.as_second() - self.at.as_second())
            && skew.abs() > SKEW + response.time.as_secs() as i64 + 1
        {
            return Err(Gap::Unknown(format!("Prometheus' clock is {skew} s from ours; at most {SKEW} s are trusted")));
        }
        let answer: Result<Answer, _> = serde_json::from_slice(&response.body);
        let said = |a: &Answer| a.error.as_deref().unwrap_or("no reason given").to_string();
        let answer = match (response.status, answer) {
            (200, Ok(answer)) if answer.status == "success" => answer,
            (200 | 400 | 422, Ok(answer)) => {
                return Err(Gap::Unknown(format!(
                    "Prometheus refused the query ({}): {}",
                    response.status,
                    said(&answer)
                )));
            }
            (200, Err(_)) if response.text().trim_start().starts_with('<') => {
                return Err(Gap::Unknown(
                    "this is a web page and no answer of Prometheus: a login, or another path".into(),
                ));
            }
            (200, Err(e)) => return Err(Gap::Unknown(format!("this is no answer of Prometheus: {e}"))),
            (407, _) => {
                let what = "a proxy on the way to Prometheus answered 407: it wants a login (HTTPS_PROXY, NO_PROXY)";
                return Err(Gap::Silent(what.into()));
            }
            (status @ 300..400, _) => {
                // What follows the path may be somebody's session.
                let to = response.header("location").and_then(|to| to.split('?').next());
                let to = to.map_or(String::new(), |to| format!(" to {to}"));
                return Err(Gap::Silent(format!("Prometheus answered {status}: it leads{to}, and is not followed")));
            }
            (status, Ok(answer)) => {
                return Err(Gap::Silent(format!("Prometheus answered {status}: {}", said(&answer))));
            }
            (status, Err(_)) => return Err(Gap::Silent(format!("Prometheus answered {status}"))),
        };
        if let Some(why) = answer.doubt() {
            return Err(Gap::Unknown(format!("the answer is partial: {why}")));
        }
        let data = answer.data.ok_or_else(|| Gap::Unknown("the answer holds no data".into()))?;
        if data.result_type != "vector" {
            return Err(Gap::Unknown(format!("the query gives a {}, not one sample per stack", data.result_type)));
        }
        let samples = serde_json::from_value(data.result);
        Ok(Vector(samples.map_err(|e| Gap::Unknown(format!("this is no answer of Prometheus: {e}")))?))
    }
}

impl Vector {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The samples in one line; of many only the first.
    pub fn told(&self) -> String {
        let one = |sample: &Sample| {
            let labels: Vec<String> = sample.metric.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let value = sample.value.as_ref().map_or("histogram", |(_, value)| value);
            if labels.is_empty() { value.to_string() } else { format!("{} {value}", labels.join(" ")) }
        };
        match &self.0[..] {
            [] => "no sample".into(),
            all if all.len() <= TOLD => all.iter().map(one).collect::<Vec<_>>().join(", "),
            all => {
                let first: Vec<String> = all[..TOLD].iter().map(one).collect();
                format!("{}, and {} more", first.join(", "), all.len() - TOLD)
            }
        }
    }

    /// The one sample of a stack. None where it has none; a reason where it has several, or one that is no number.
    pub fn of(&self, color: Color, label: &StackLabel) -> Result<Option<f64>, Gap> {
        let mine: Vec<&Sample> = self.mine(color, label).collect();
        let sample = match mine[..] {
            [] => return Ok(None),
            [one] => one,
            _ => {
                let count = mine.len();
                return Err(Gap::Unknown(format!("{count} samples for {}; exactly one is needed", label.said(color))));
            }
        };
        sample.number(label.said(color)).map(Some)
    }

    fn mine(&self, color: Color, label: &StackLabel) -> impl Iterator<Item = &Sample> {
        let value = label.value(color).to_string();
        self.0.iter().filter(move |s| s.metric.get(&label.name) == Some(&value))
    }

    /// Answers of one stack each, as if one query had told them apart.
    pub fn told_apart(answers: [(Color, Vector); 2], label: &StackLabel) -> Vector {
        let labelled = |(color, vector): (Color, Vector)| {
            vector.0.into_iter().map(move |mut sample| {
                sample.metric.insert(label.name.clone(), label.value(color).into());
                sample
            })
        };
        Vector(answers.into_iter().flat_map(labelled).collect())
    }

    /// The one sample there is, whatever its labels. None where there is none; a reason where there are several, or it is no
    /// number.
    pub fn only(&self) -> Result<Option<f64>, Gap> {
        match &self.0[..] {
            [] => Ok(None),
            [one] => one.number("the query").map(Some),
            many => Err(Gap::Unknown(format!("{} samples; exactly one is needed", many.len()))),
        }
    }

    /// The values a label has among the samples.
    pub fn values(&self, label: &str) -> Vec<String> {
        let values: BTreeSet<&String> = self.0.iter().filter_map(|s| s.metric.get(label)).collect();
        values.into_iter().cloned().collect()
    }

    /// The names of all labels of the samples.
    pub fn labels(&self) -> BTreeSet<String> {
        self.0.iter().flat_map(|s| s.metric.keys().cloned()).collect()
    }

    /// The highest of the samples' values.
    pub fn highest(&self) -> Option<f64> {
        self.0.iter().filter_map(|s| s.number("").ok()).reduce(f64::max)
    }

    /// The samples of a stack by a further label; those without it, and those that are no number, are left out.
    pub fn apart(&self, color: Color, label: &StackLabel, by: &str) -> Vec<(String, f64)> {
        self.mine(color, label)
            .filter_map(|s| Some((s.metric.get(by)?.clone(), s.value.as_ref()?.1.parse().ok()?)))
            .filter(|(_, value): &(String, f64)| value.is_finite())
            .collect()
    }

    /// The highest finite bucket bound among the samples' `le` labels.
    pub fn highest_bound(&self) -> Option<f64> {
        let bounds = self.0.iter().filter_map(|s| s.metric.get("le")?.parse::<f64>().ok());
        bounds.filter(|b| b.is_finite()).reduce(f64::max)
    }
}

impl Sample {
    /// Its value, as long as that is a finite number.
    fn number(&self, of: &str) -> Result<f64, Gap> {
        let Some((_, text)) = &self.value else {
            return Err(Gap::Unknown(format!("{of} has a histogram where a number is needed")));
        };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(Gap::Unknown(format!("the value of {of} is {text}"))),
        }
    }
}

/// Unix seconds with milliseconds.
fn moment(at: Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_milliseconds() {
        assert_eq!(moment(Timestamp::from_millisecond(1_700_000_000_042).unwrap()), "1700000000.042");
    }
}
