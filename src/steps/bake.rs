//! `bake`: watch users on the split they are on, and judge the gates window by window.

use super::{Facts, GRACE, Kind, Mistake, Review, settings};
use crate::plan::{Plan, Resume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scalar::Duration;

pub const KIND: Kind = Kind {
    name: "bake",
    schema: |generator| generator.subschema_for::<Bake>(),
    facts,
    build: |_, _| anyhow::bail!("`bake` cannot be run yet"),
};

/// Watches after a shift. Only gates that pass let the run go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bake {
    /// How long to watch.
    #[serde(rename = "for")]
    pub time: Duration,
    /// Into how many windows that time is cut; one a minute when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<u32>,
    /// How many windows of one gate must fail before the bake fails. Error rates are tested all the time and can fail
    /// at once. 2 when left out, 1 where there is only one window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<u32>,
    /// Names of gates of this runbook.
    pub gates: Vec<String>,
}

fn facts(config: &Value, plan: &Plan) -> Result<Facts, Vec<Mistake>> {
    let bake: Bake = settings(config)?;
    let mut review = Review::default();
    review.longer_than_zero("/for", &bake.time);
    if bake.gates.is_empty() {
        review.wrong("/gates", "a bake without gates watches nothing", Some("name gates of this runbook"));
    }
    for (n, name) in bake.gates.iter().enumerate() {
        if !plan.gates.contains_key(name) {
            let known: Vec<&str> = plan.gates.keys().map(String::as_str).collect();
            let help = format!("known gates: {}", if known.is_empty() { "none".into() } else { known.join(", ") });
            review.wrong(&format!("/gates/{n}"), format!("there is no gate `{name}`"), Some(&help));
        }
    }
    let (windows, fail) = (bake.windows(), bake.fail());
    review.between("/windows", windows, 1, 1000);
    review.between("/fail", fail, 1, windows.max(1));
    review.facts(|| Facts {
        line: format!("bake {} in {windows} windows, {fail} may not fail: {}", bake.time, bake.gates.join(", ")),
        resume: Resume::Repeat,
        attempts: 1,
        timeout_s: 2 * bake.time.whole_seconds() + 2 * GRACE,
        expected_s: bake.time.whole_seconds(),
        moves: None,
    })
}

impl Bake {
    /// One a minute, at least one, where the runbook does not say.
    fn windows(&self) -> u32 {
        self.windows.unwrap_or_else(|| (self.time.whole_seconds() / 60).clamp(1, 1000) as u32)
    }

    fn fail(&self) -> u32 {
        self.fail.unwrap_or_else(|| self.windows().min(2))
    }
}
