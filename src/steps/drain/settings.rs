//! What a drain is told: whose work, how it is counted, what is done for it to end, and what an unfinished one means.

use std::time::Duration as Time;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::{Color, Plan, Resume};
use crate::rehearsal::{Place, at};
use crate::scalar::Duration;
use crate::steps::{Command, Facts, GRACE, Mistake, Review, command, settings};

/// Waits until the stack that users left has no work in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Which stack: `blue` or `green`.
    pub stack: Color,
    /// When it is drained. There is one condition: `in_flight == 0`.
    #[serde(default = "until")]
    pub until: String,
    /// The path on that stack that tells its work in flight, as `{"inflight": 0}`.
    #[serde(default = "gauge")]
    pub gauge: String,
    /// The address of each process of that stack, where a request to the stack's own reaches only one of several. Their
    /// work is added up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
    /// For a bot without a gauge: how long its longest piece of work can take. That long is waited, and nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_job: Option<Duration>,
    /// The longest to wait for a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// A program that has the stack fail its readiness, or takes it from its load balancer. A step `ready` of the rollback undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready: Option<Command>,
    /// Asks each process of the stack to have its long connections reconnect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect: Option<Reconnect>,
    /// What happens when the time is up and work remains.
    #[serde(default)]
    pub at_timeout: AtTimeout,
}

/// How clients are asked to connect anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconnect {
    /// The path on that stack that takes `POST {"over_s": 30}` and answers 2xx, best with `{"asked": 12}`.
    #[serde(default = "reconnect")]
    pub path: String,
    /// Over how long the process spreads them, so that not all of them reach the other side at once.
    pub over: Duration,
}

/// What an unfinished drain means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtTimeout {
    /// A person decides; where nobody answers users stay where they are.
    #[default]
    Ask,
    /// Users stay where they are, and the run waits to be resumed.
    Hold,
    /// The run goes on; the residue is recorded.
    Continue,
    /// The route cuts the connections that it still has to that side. Where work remains even so, users stay where they are, and
    /// the run waits to be resumed.
    Cut,
    /// The step fails, so users go back.
    RollBack,
}

fn until() -> String {
    "in_flight == 0".into()
}

fn gauge() -> String {
    "/bgctl/inflight".into()
}

fn reconnect() -> String {
    "/bgctl/reconnect".into()
}

/// What a plan needs to know of a drain, or all that is wrong with it.
pub fn plan(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
    let drain: Drain = settings(config)?;
    let mut review = Review::default();
    if drain.until.split_whitespace().collect::<String>() != "in_flight==0" {
        let help = "write `until: \"in_flight == 0\"`";
        review.wrong("/until", format!("`{}` is not a condition of a drain", drain.until), Some(help));
    }
    review.path("/gauge", &drain.gauge);
    for (n, url) in drain.instances.iter().enumerate() {
        if !url.starts_with("http") && !url.contains("${") {
            let help = "write it as `http://10.0.0.7:8080`";
            review.wrong(&format!("/instances/{n}"), format!("`{url}` is not the address of a process"), Some(help));
        }
    }
    let longest = match (&drain.within, &drain.longest_job) {
        (Some(within), None) => within,
        (None, Some(longest)) => longest,
        (None, None) => {
            let help = "add `within: 2m` for a bot with a gauge, or `longest_job: 90s` for one without";
            review.wrong("", "a drain needs `within` or `longest_job`", Some(help));
            return Err(review.0);
        }
        (Some(_), Some(_)) => {
            let help = "`within` waits for the gauge; `longest_job` is for a bot without one";
            review.wrong("/longest_job", "a drain has either `within` or `longest_job`", Some(help));
            return Err(review.0);
        }
    };
    review.longer_than_zero(if drain.within.is_some() { "/within" } else { "/longest_job" }, longest.time);
    drain.acts(&mut review, longest);
    let then = match drain.at_timeout {
        AtTimeout::Ask => "ask",
        AtTimeout::Hold => "hold",
        AtTimeout::Continue => "go on",
        AtTimeout::Cut => "cut what the route still holds",
        AtTimeout::RollBack => "roll back",
    };
    let cut = if drain.at_timeout == AtTimeout::Cut { CUT } else { Time::ZERO };
    let hook = drain.unready.as_ref().map_or(Time::ZERO, |unready| unready.within.time);
    review.passed(|| Facts {
        line: match &drain.longest_job {
            None => format!(
                "drain {} {}until no work is in flight, at most {longest}, then {then}",
                drain.stack,
                drain.spoken()
            ),
            Some(_) => {
                format!("drain {}: {}wait {longest}, as long as its longest work takes", drain.stack, drain.spoken())
            }
        },
        resume: match drain.at_timeout {
            AtTimeout::Ask if drain.longest_job.is_none() => Resume::AskHuman,
            _ => Resume::Repeat,
        },
        attempts: 1,
        timeout_s: longest.whole_seconds() + hook.as_secs() + cut.as_secs() + GRACE,
        expected_s: if drain.longest_job.is_some() { longest.whole_seconds() } else { longest.whole_seconds().min(10) },
        moves: None,
    })
}

/// How long work may take to end behind connections that were cut.
pub const CUT: Time = Time::from_secs(15);

impl Drain {
    fn acts(&self, review: &mut Review, longest: &Duration) {
        if let Some(unready) = &self.unready {
            let mut own = Review::default();
            command::check(&mut own, unready);
            review.0.extend(own.0.into_iter().map(|m| Mistake { at: format!("/unready{}", m.at), ..m }));
        }
        if let Some(reconnect) = &self.reconnect {
            review.path("/reconnect/path", &reconnect.path);
            if reconnect.over.time >= longest.time {
                let what = format!("connections are asked over {}, and the drain ends after {longest}", reconnect.over);
                review.wrong("/reconnect/over", what, Some("let the drain take longer than the spread"));
            }
        }
        if self.at_timeout == AtTimeout::Cut && self.longest_job.is_some() {
            let help = "`within` counts what is left; `longest_job` waits, and nothing is asked";
            review.wrong("/at_timeout", "only what was counted can be cut", Some(help));
        }
    }

    /// What is done beside waiting, as it stands in the line.
    fn spoken(&self) -> String {
        let unready = self.unready.as_ref().map(|unready| format!("by {}", unready.spoken()));
        let ask = self.reconnect.as_ref().map(|ask| format!("asking its clients to reconnect over {}", ask.over));
        let said: Vec<String> = [unready, ask].into_iter().flatten().collect();
        if said.is_empty() { String::new() } else { format!("{}, ", said.join(", ")) }
    }
}

/// Where a drain goes in a rehearsal.
pub fn addresses(settings: &Value) -> Vec<Place> {
    at(settings, &["/instances/*"])
}

/// The longest that a drain with these settings waits.
pub fn longest(config: &Value) -> Option<Time> {
    let drain = Drain::deserialize(config).ok()?;
    drain.within.or(drain.longest_job).map(|longest| longest.time)
}

/// Whether a drain with these settings asks a person when its time is up.
pub fn asks(config: &Value) -> bool {
    Drain::deserialize(config).is_ok_and(|drain| drain.at_timeout == AtTimeout::Ask && drain.longest_job.is_none())
}

/// The side that a drain with these settings takes from its load balancer.
pub fn unready(config: &Value) -> Option<Color> {
    Drain::deserialize(config).ok().filter(|drain| drain.unready.is_some()).map(|drain| drain.stack)
}

/// Whether a drain with these settings cuts what is left.
pub fn cuts(config: &Value) -> bool {
    Drain::deserialize(config).is_ok_and(|drain| drain.at_timeout == AtTimeout::Cut)
}
