//! What a shift is told: its settings, the moves that one with a ramp stands for, and what is wrong with them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::plan::{Plan, Resume, Split};
use crate::scalar::Percent;
use crate::steps::{Facts, Mistake, Review};

/// Change the share of users on a route, to an absolute value. Give exactly one of `green` and `blue`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
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
    pub(super) every: Option<crate::scalar::Duration>,
}

/// How long a stop of a ramp lasts when nothing is said about it.
const EVERY: &str = "30s";
/// How often a move forward is tried when the provider is busy or silent: with the pauses between, for about 45 seconds.
const ATTEMPTS: u32 = 8;
/// The moves that one shift with a ramp stands for: what each is called behind the step's own name, and its settings. A
/// shift without one is itself. The settings of a stop have an empty ramp, which no runbook can write.
pub fn stages(config: &Value) -> Vec<(String, Value)> {
    let Some(stops) = config["ramp"].as_array().filter(|stops| !stops.is_empty()) else {
        return vec![(String::new(), config.clone())];
    };
    let every = config.get("every").filter(|every| !every.is_null()).cloned().unwrap_or_else(|| EVERY.into());
    let stop = |share: &Value| {
        let settings = json!({ "route": config["route"], "blue": share, "ramp": [], "every": every });
        (format!("@{}", share.as_str().unwrap_or_default()), settings)
    };
    let last = json!({ "route": config["route"], "blue": config["blue"] });
    stops.iter().map(stop).chain([(String::new(), last)]).collect()
}

pub(super) fn facts(config: &Value, plan: &Plan) -> Result<Facts, Vec<Mistake>> {
    let settings: Settings = crate::steps::settings(config)?;
    let mut review = Review::default();
    let green = match (&settings.green, &settings.blue) {
        (Some(green), None) => green.per_mille(),
        (None, Some(blue)) => 1000 - blue.per_mille(),
        _ => {
            let help = "write `green: 10%`, or `blue: 100%` for the rollback";
            review.wrong("", "a `shift` takes exactly one of `green` and `blue`", Some(help));
            0
        }
    };
    if !plan.routes.contains_key(&settings.route) {
        let known = plan.routes.keys().map(|r| format!("`{r}`")).collect::<Vec<_>>().join(", ");
        review.wrong("/route", format!("there is no route `{}`", settings.route), Some(&format!("known: {known}")));
    }
    ramp(&settings, &mut review);
    let stop = settings.ramp.as_ref().is_some_and(Vec::is_empty);
    let every = settings.every.as_ref().filter(|_| stop);
    let stays = every.map_or(0, crate::scalar::Duration::whole_seconds);
    review.facts(|| Facts {
        line: match every {
            Some(every) => {
                format!("shift {} to {}, and let BLUE warm up for {every}", settings.route, Split::of_green(green))
            }
            None => format!("shift {} to {}", settings.route, Split::of_green(green)),
        },
        resume: Resume::Observe,
        attempts: ATTEMPTS,
        timeout_s: 180 + stays,
        expected_s: 3 + stays,
        moves: Some((settings.route, green)),
    })
}

/// A ramp rises to all users on blue, and to nothing else.
fn ramp(settings: &Settings, review: &mut Review) {
    let Some(stops) = &settings.ramp else {
        if settings.every.is_some() {
            review.wrong("/every", "`every` is the pause of a `ramp`", Some("add `ramp: [25%, 50%]`, or leave it out"));
        }
        return;
    };
    if settings.blue.as_ref().is_none_or(|blue| blue.per_mille() != 1000) && !stops.is_empty() {
        let help = "write `blue: 100%`: a ramp is for the rollback, and ends with everybody on blue";
        review.wrong("/ramp", "this ramp does not end with all users on blue", Some(help));
    }
    let shares: Vec<u32> = stops.iter().map(|share| share.per_mille()).collect();
    for (n, share) in shares.iter().enumerate() {
        let at = format!("/ramp/{n}");
        if !(1..1000).contains(share) {
            review.wrong(&at, "a stop lies between nobody and everybody", Some("`blue: 100%` is the end of it anyway"));
        } else if n > 0 && shares[n - 1] >= *share {
            review.wrong(&at, "blue's share never falls in a rollback", Some("write the stops in rising order"));
        }
    }
    if settings.every.as_ref().is_some_and(|every| every.whole_seconds() > 3600) {
        let help = "green keeps the other users for as long";
        review.wrong("/every", "a stop of more than an hour is no rollback", Some(help));
    }
}
