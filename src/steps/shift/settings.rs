//! What a shift is told: its settings, the moves that one with a ramp stands for, and what is wrong with them.
//!
//! A runbook writes a [`Written`]; a plan holds that, or a [`Stop`] of its ramp, and nothing else reads the settings of either.

use std::time::Duration as Time;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::{Plan, Resume, Split};
use crate::scalar::{Duration, Percent};
use crate::steps::{Facts, Mistake, Review};

/// Change the share of users on a route, to an absolute value. Give exactly one of `green` and `blue`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// The route, by its name under `routes`.
    route: String,
    /// The share of users on green afterwards, `10%`.
    green: Option<Percent>,
    /// The share of users on blue afterwards, `100%`.
    blue: Option<Percent>,
    /// In a rollback to a blue that has gone cold: the shares of blue to stop at, rising, before all of it. Each is a move
    /// of its own, with its guard and its witnesses, and none ever takes users from blue.
    #[serde(default)]
    #[schemars(length(min = 1, max = 10))]
    ramp: Option<Vec<Percent>>,
    /// How long each stop of the ramp lasts, while blue is looked at; 30s when left out.
    #[serde(default)]
    every: Option<Duration>,
}

/// A stop of a ramp, as a plan holds it. Its own ramp is empty, and a runbook that writes that is refused: so the two are told
/// apart.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    route: String,
    blue: Percent,
    ramp: [Percent; 0],
    every: Duration,
}

impl Stop {
    /// The stop that these settings are of, if they are of one.
    fn read(config: &Value) -> serde_json::Result<Option<Stop>> {
        match config["ramp"].as_array() {
            Some(stops) if stops.is_empty() => Stop::deserialize(config).map(Some),
            _ => Ok(None),
        }
    }
}

/// How long users stay at a stop of a ramp while blue warms up: no time at every other shift.
pub(super) fn stays(config: &Value) -> serde_json::Result<Time> {
    Ok(Stop::read(config)?.map_or(Time::ZERO, |stop| stop.every.time))
}

/// Whether a step of a plan is a stop of a ramp, which the shift behind it leads on from.
pub fn is_stop(config: &Value) -> bool {
    matches!(Stop::read(config), Ok(Some(_)))
}

/// How long a stop of a ramp lasts when nothing is said about it.
const EVERY: Time = Time::from_secs(30);
/// How often a move forward is tried when the provider is busy or silent: with the pauses between, for about 45 seconds.
const ATTEMPTS: u32 = 8;

/// The moves that one shift with a ramp stands for: what each is called behind the step's own name, and its settings. A shift
/// without one is itself, and so is what `facts` has something against.
pub fn stages(config: &Value) -> Vec<(String, Value)> {
    let Ok(Written { route, ramp: Some(stops), every, .. }) = Written::deserialize(config) else {
        return vec![(String::new(), config.clone())];
    };
    let every = every.unwrap_or_else(|| Duration::seconds(EVERY.as_secs()));
    let stop = |share: &Percent| {
        let stop = Stop { route: route.clone(), blue: *share, ramp: [], every: every.clone() };
        (format!("@{share}"), serde_json::to_value(stop).expect("BUG: a stop is plain data"))
    };
    let last = json!({ "route": route, "blue": config["blue"] });
    stops.iter().map(stop).chain([(String::new(), last)]).collect()
}

pub(super) fn facts(config: &Value, plan: &Plan) -> Result<Facts, Vec<Mistake>> {
    let mut review = Review::default();
    let (route, green, every) = match Stop::read(config) {
        Ok(Some(Stop { route, blue, every, .. })) => (route, 1000 - blue.per_mille(), Some(every)),
        _ => {
            let written: Written = crate::steps::settings(config)?;
            ramp(&written, &mut review);
            let green = match (&written.green, &written.blue) {
                (Some(green), None) => green.per_mille(),
                (None, Some(blue)) => 1000 - blue.per_mille(),
                _ => {
                    let help = "write `green: 10%`, or `blue: 100%` for the rollback";
                    review.wrong("", "a `shift` takes exactly one of `green` and `blue`", Some(help));
                    0
                }
            };
            (written.route, green, None)
        }
    };
    if !plan.routes.contains_key(&route) {
        let known = plan.routes.keys().map(|r| format!("`{r}`")).collect::<Vec<_>>().join(", ");
        review.wrong("/route", format!("there is no route `{route}`"), Some(&format!("known: {known}")));
    }
    let stays = every.as_ref().map_or(0, Duration::whole_seconds);
    review.passed(|| Facts {
        line: match every {
            Some(every) => format!("shift {route} to {}, and let BLUE warm up for {every}", Split::of_green(green)),
            None => format!("shift {route} to {}", Split::of_green(green)),
        },
        resume: Resume::Observe,
        attempts: ATTEMPTS,
        timeout_s: 180 + stays,
        expected_s: 3 + stays,
        moves: Some((route, green)),
    })
}

/// A ramp rises to all users on blue, and to nothing else.
fn ramp(settings: &Written, review: &mut Review) {
    let Some(stops) = &settings.ramp else {
        if settings.every.is_some() {
            review.wrong("/every", "`every` is the pause of a `ramp`", Some("add `ramp: [25%, 50%]`, or leave it out"));
        }
        return;
    };
    if settings.blue.as_ref().is_none_or(|blue| blue.per_mille() != 1000) {
        let help = "write `blue: 100%`: a ramp is for the rollback, and ends with all users on blue";
        review.wrong("/ramp", "this ramp does not end with all users on blue", Some(help));
    }
    let shares: Vec<u32> = stops.iter().map(|share| share.per_mille()).collect();
    for (n, share) in shares.iter().enumerate() {
        let at = format!("/ramp/{n}");
        if !(1..1000).contains(share) {
            review.wrong(&at, "a stop is more than 0% and less than 100%", Some("`blue: 100%` ends the ramp anyway"));
        } else if n > 0 && shares[n - 1] >= *share {
            review.wrong(&at, "blue's share never falls in a rollback", Some("write the stops in rising order"));
        }
    }
    if settings.every.as_ref().is_some_and(|every| every.whole_seconds() > 3600) {
        let help = "green keeps the other users for as long";
        review.wrong("/every", "a stop of more than an hour is no rollback", Some(help));
    }
}
