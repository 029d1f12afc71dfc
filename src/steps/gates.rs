//! Gates at work: a gate of the plan, measured by its probe and judged by its rule. Shared by `bake` and `watch`.
//!
//! It looks once and says what it saw. How often to look and what follows is for its callers.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use serde::Deserialize;

use crate::plan::Plan;
use crate::probes::gate::{Gate, Measured, OnUnknown, Probe};
use crate::probes::prometheus::Gap;
use crate::run::course::Course;
use crate::run::judge::{Bound, Control, Counts, Judgement, Rule};
use crate::run::{Evidence, Verdict};
use crate::scalar::Unit;
use crate::world::World;

/// How often error rates are looked at. Their test may be looked at as often as one likes.
pub const POLL: Duration = Duration::from_secs(15);
/// So many looks in a row without any answer of Prometheus end the waiting: users are not kept where nobody can see them.
pub const SILENT: u32 = 5;

/// A gate by name.
pub struct NamedGate {
    pub name: String,
    gate: Gate,
}

/// One look at a gate.
pub struct Look {
    pub judgement: Judgement,
    /// Prometheus could not be asked.
    pub silent: bool,
}

/// The gates of these names, as the plan has them.
pub fn named<'a>(plan: &Plan, names: impl Iterator<Item = &'a String>) -> Result<Vec<NamedGate>> {
    names
        .map(|name| {
            let config = plan.gates.get(name).ok_or_else(|| anyhow!("the plan has no gate `{name}`"))?;
            let gate = Gate::deserialize(config).with_context(|| format!("gate `{name}` of the plan"))?;
            Ok(NamedGate { name: name.clone(), gate })
        })
        .collect()
}

impl NamedGate {
    /// Ready to be measured in this world.
    pub fn open(&self, world: &World) -> Result<OpenGate<'_>, String> {
        let probe = Probe::new(self.gate.clone(), world.secrets.resolve(&self.gate.url))?;
        let rule = rule(&probe);
        Ok(OpenGate { named: self, probe, rule, course: RefCell::default() })
    }

    /// What the gate wants when there is no verdict.
    pub fn on_unknown(&self) -> OnUnknown {
        self.gate.unknown
    }

    /// How long after the shift its first value is of users on the new split only.
    pub fn warm_up(&self) -> Option<Duration> {
        Some(Probe::new(self.gate.clone(), String::new()).ok()?.warm_up())
    }
}

/// A gate that can be looked at.
pub struct OpenGate<'a> {
    pub named: &'a NamedGate,
    probe: Probe,
    rule: Rule,
    /// What was counted so far: an error rate is judged by the course it took.
    course: RefCell<Course>,
}

impl OpenGate<'_> {
    pub fn name(&self) -> &str {
        &self.named.name
    }

    /// Error rates fail at once, on proof; values fail by the window.
    pub fn is_share(&self) -> bool {
        self.probe.is_share()
    }

    pub async fn look(&self, world: &World, since: Timestamp) -> Look {
        let at = world.clock.now();
        let judgement = match self.probe.measure(world.web.as_ref(), since, at).await {
            Ok(Measured::Counts { green, blue }) => {
                let counts = |t: crate::probes::gate::Tally| Counts { requests: t.requests, bad: t.bad };
                let elapsed = Duration::try_from(at.duration_since(since)).unwrap_or_default();
                let mut course = self.course.borrow_mut();
                course.look(elapsed, counts(green), counts(blue), Vec::new());
                self.rule.judge_course(&course)
            }
            Ok(Measured::Value { green, blue, blue_idle, requests }) => {
                let control = match (blue, blue_idle) {
                    (_, true) => Control::Idle,
                    (Some(blue), false) => Control::Value(blue),
                    (None, false) => Control::Absent,
                };
                self.rule.judge_value(green, control, requests)
            }
            Err(gap) => {
                let silent = matches!(gap, Gap::Silent(_));
                return Look { judgement: self.rule.unknown(world.secrets.mask(gap.line())), silent };
            }
        };
        Look { judgement, silent: false }
    }

    pub fn evidence(&self, step: &str, judgement: &Judgement, window: u32, windows: u32) -> Evidence {
        let Judgement { verdict, green, blue, limit, requests, line } = judgement.clone();
        Evidence::GateEvaluated {
            step: step.into(),
            gate: self.name().into(),
            verdict,
            green,
            blue,
            limit,
            requests,
            line,
            window,
            windows,
        }
    }
}

/// `pass`, `fail` or `unknown`, for live lines.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Unknown => "unknown",
    }
}

fn rule(probe: &Probe) -> Rule {
    let gate = &probe.gate;
    let (bound, unit) = match (&gate.max, &gate.min) {
        (Some(max), _) => (Bound::Max(max.value), max.unit),
        (None, Some(min)) => (Bound::Min(min.value), min.unit),
        (None, None) => panic!("BUG: a gate without a limit passed its check"),
    };
    let unit = gate.unit.unwrap_or(if probe.is_share() { Unit::Percent } else { unit });
    let min_requests = gate.min_requests.unwrap_or_else(|| fewest(probe, bound));
    Rule { bound, unit, margin: gate.versus_blue.clone(), min_requests }
}

/// The fewest requests a pass can rest on, where the runbook does not say. No bad request among n shows a rate under
/// 3 / n; a quantile of fewer than 30 jumps with every one of them.
fn fewest(probe: &Probe, bound: Bound) -> u64 {
    let needed = match (probe.is_share(), probe.quantile(), bound) {
        (true, _, Bound::Max(limit)) if limit > 0.0 => 3.0 / limit,
        (true, _, Bound::Min(limit)) if limit < 1.0 => 3.0 / (1.0 - limit),
        (true, ..) => 100.0,
        (false, Some(_), _) => 30.0,
        (false, None, _) => 0.0,
    };
    if probe.counts_requests() { needed.clamp(0.0, 10_000.0).round() as u64 } else { 0 }
}
