//! Gates at work: a gate of the plan, measured by its probe and judged by its rule. Shared by `bake` and `watch`.
//!
//! It looks once and says what it saw. How often to look and what follows is for its callers.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use serde::Deserialize;

use super::by_stack::Sides;
use super::gate::{Gate, OnInstance, OnUnknown, WHOLE};
use super::judge::counts::Counts;
use super::judge::rate_history::RateHistory;
use super::judge::{Back, Judgement, Rule};
use super::present::present;
use super::probe::{Measured, Measurement, Probe};
use super::source::Minutes;
use super::survey::{Finding, Grade, survey};
use crate::plan::Plan;
use crate::run::{Asked, Evidence, Verdict};
use crate::world::{Gap, World};

/// How often error rates are looked at. Their test may be looked at as often as one likes.
pub const POLL: Duration = Duration::from_secs(15);
/// So many looks in a row without any answer of a gate's source end the waiting: users are not kept where nobody can see them.
pub const SILENT: u32 = 5;

/// So many failing looks in a row have to find blue as bad before that keeps users from it: until then the next look may still
/// show that green is worse. Users on two sides that are equally bad lose nothing by it.
const ALIKE: u32 = 3;

/// Why nobody is sent back where not the last value alone says so.
pub const NO_BETTER: &str = "BLUE did no better over the same time, so no users are sent back to it";

/// Failures of one gate so far, and what they say of going back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Windows that failed; of an error rate, looks in a row.
    pub all: u32,
    /// Those of them in which blue did no better.
    alike: u32,
    back: Back,
}

/// What a failing gate says of going back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    GoBack,
    /// Blue does no better, or worse.
    Stay,
    /// That is not proven yet.
    Wait,
}

impl Failures {
    pub fn add(&mut self, back: Back) {
        self.back = back;
        self.all += 1;
        self.alike += u32::from(back != Back::Fit);
    }

    pub fn says(&self, at_once: bool) -> Says {
        match self.back {
            Back::Fit if at_once => Says::GoBack,
            Back::Worse if at_once => Says::Stay,
            Back::AsBad if at_once && self.alike < ALIKE => Says::Wait,
            Back::AsBad if at_once => Says::Stay,
            _ if self.alike < self.all => Says::GoBack,
            _ => Says::Stay,
        }
    }
}

/// A gate by name.
pub struct NamedGate {
    pub name: String,
    gate: Gate,
    sides: Sides,
}

/// One look at a gate.
pub struct Look {
    pub judgement: Judgement,
    /// Its source gave no answer.
    pub silent: bool,
    /// There was nothing to judge by, at a time at which there should be.
    pub blind: bool,
    /// What was asked, and what came back.
    pub asked: Vec<Asked>,
}

/// Out of [`WHOLE`], what gates weigh together. One of a failing hundred is enough; several lighter ones have to agree.
pub fn weight<'a, 'b: 'a>(gates: impl Iterator<Item = &'a OpenGate<'b>>) -> u32 {
    gates.map(|gate| gate.named.weighs()).sum::<u32>().min(WHOLE)
}

/// Whether these gates together decide.
pub fn decisive<'a, 'b: 'a>(gates: impl Iterator<Item = &'a OpenGate<'b>>) -> bool {
    weight(gates) == WHOLE
}

/// The gates of these names, as the plan has them.
pub fn named<'a>(plan: &Plan, names: impl Iterator<Item = &'a String>) -> Result<Vec<NamedGate>> {
    names
        .map(|name| {
            let config = plan.gates.get(name).ok_or_else(|| anyhow!("the plan has no gate `{name}`"))?;
            let gate = Gate::deserialize(config).with_context(|| format!("gate `{name}` of the plan"))?;
            Ok(NamedGate { name: name.clone(), gate, sides: Sides::of(plan) })
        })
        .collect()
}

impl NamedGate {
    /// Ready to be measured in this world.
    pub fn open(&self) -> Result<OpenGate<'_>, String> {
        let probe = Probe::new(self.gate.clone(), &self.sides)?;
        let rule = probe.rule();
        Ok(OpenGate { named: self, probe, rule, history: RefCell::default() })
    }

    /// Out of [`WHOLE`], what its failure weighs.
    pub fn weighs(&self) -> u32 {
        self.gate.weighs()
    }

    /// Judged before anything moves, and at no other time.
    pub fn is_precondition(&self) -> bool {
        self.gate.is_precondition()
    }

    /// What its question finds right now, and what of both stacks.
    pub async fn survey(&self, plan: &Plan, world: &World) -> Vec<Finding> {
        let mut found = survey(&self.gate, &self.sides, world).await;
        if !self.is_precondition() && found.iter().all(|finding| finding.grade < Grade::Wrong) {
            found.extend(present(&self.name, &self.gate, &self.sides, plan, world).await);
        }
        for finding in &mut found {
            finding.line = world.secrets.mask(&finding.line);
        }
        found
    }

    /// What its numbers are judged as, in a line; the second is what the windows of its bakes say.
    pub fn judged_as(&self, windows: &str) -> Result<String, String> {
        if self.is_precondition() {
            return Ok("error budget, judged once before the first step".into());
        }
        let probe = Probe::new(self.gate.clone(), &self.sides)?;
        let what = if self.gate.min.is_some() { "good" } else { "bad" };
        let said = if self.gate.share == Some(true) { " (`share: true`)" } else { "" };
        Ok(match (self.gate.delta, probe.is_share()) {
            (true, _) => "growth since users were shifted, fails at the first look".into(),
            (false, true) => format!("share of {what} requests{said}, sequential test"),
            (false, false) => format!("{}{windows}", probe.rule().unit.name()),
        })
    }

    /// What the gate wants when there is no verdict.
    pub fn on_unknown(&self) -> OnUnknown {
        self.gate.unknown
    }

    /// What the gate wants when one instance of green is bad.
    pub fn on_instance(&self) -> OnInstance {
        self.gate.bad_instance
    }

    /// How long after the shift its first value is of users on the new split only.
    pub fn warm_up(&self) -> Option<Duration> {
        Some(Probe::new(self.gate.clone(), &self.sides).ok()?.warm_up())
    }
}

/// A gate that can be looked at.
pub struct OpenGate<'a> {
    pub named: &'a NamedGate,
    probe: Probe,
    rule: Rule,
    /// What was counted so far: an error rate is judged by all looks.
    history: RefCell<RateHistory>,
}

impl OpenGate<'_> {
    pub fn name(&self) -> &str {
        &self.named.name
    }

    /// Error rates and counters fail at once, on proof; values fail by the window.
    pub fn fails_at_once(&self) -> bool {
        self.probe.fails_at_once()
    }

    /// Takes a first look at what is counted from now on.
    pub async fn begin(&self, world: &World, since: Timestamp) {
        self.probe.begin(world, since).await;
    }

    pub async fn look(&self, world: &World, since: Timestamp) -> Look {
        let at = world.clock.now();
        let Measurement { measured, mut asked } = self.probe.measure(world, since, at).await;
        let silent = matches!(measured, Err(Gap::Silent(_)));
        let elapsed = Duration::try_from(at.duration_since(since)).unwrap_or_default();
        let blind = measured.is_err() && elapsed >= self.probe.first_number();
        let judgement = match measured {
            Ok(Measured::Counts { green, blue, minutes }) => {
                let judgement = self.judge(world, (since, at), (green, blue), &mut asked).await;
                match minutes {
                    Some(minutes) => seen(judgement, minutes),
                    None => judgement,
                }
            }
            Ok(Measured::Value { green, blue, requests }) => self.rule.judge_value(green, blue, requests),
            Err(gap) => self.rule.unknown(world.secrets.mask(gap.line())),
        };
        Look { judgement, silent, blind, asked }
    }

    /// Judges counts by all looks so far. Instances are told apart only where green is about to fail.
    async fn judge(
        &self,
        world: &World,
        (since, at): (Timestamp, Timestamp),
        (green, blue): (Counts, Counts),
        asked: &mut Vec<Asked>,
    ) -> Judgement {
        let elapsed = Duration::try_from(at.duration_since(since)).unwrap_or_default();
        self.history.borrow_mut().look(elapsed, green, blue);
        let judgement = self.rule.judge_history(&self.history.borrow());
        if judgement.verdict != Verdict::Fail {
            return judgement;
        }
        let (instances, questions) = self.probe.instances(world, since, at).await;
        asked.extend(questions);
        self.history.borrow_mut().tell_apart(instances);
        self.rule.judge_history(&self.history.borrow())
    }

    pub fn evidence(&self, step: &str, look: &Look, silent: u32, (window, windows): (u32, u32)) -> Evidence {
        let Judgement { verdict, green, blue, limit, requests, line, .. } = look.judgement.clone();
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
            asked: look.asked.clone(),
            silent,
        }
    }
}

/// One gate for as long as it is looked at again and again.
pub struct Watched<'a> {
    pub gate: OpenGate<'a>,
    pub failures: Failures,
    /// Looks in a row without an answer.
    pub silent: u32,
    /// Windows in a row without anything to judge by.
    pub blind: u32,
    pub last: Judgement,
}

impl<'a> Watched<'a> {
    pub fn new(gate: OpenGate<'a>) -> Self {
        let last = gate.rule.unknown("not judged yet");
        Watched { gate, failures: Failures::default(), silent: 0, blind: 0, last }
    }

    pub fn says(&self) -> Says {
        self.failures.says(self.gate.fails_at_once())
    }

    /// Looks once more. What follows from it is for the caller, who also keeps the judgement.
    pub async fn look(&mut self, world: &World, since: Timestamp) -> Look {
        let look = self.gate.look(world, since).await;
        self.silent = if look.silent { self.silent + 1 } else { 0 };
        look
    }
}

/// What was judged, of a source that is late: for how much of the time, and no pass on a small part of it.
fn seen(judgement: Judgement, minutes: Minutes) -> Judgement {
    let line = format!("{}; {}", judgement.line, minutes.told());
    let verdict = match judgement.verdict {
        Verdict::Pass if minutes.too_few() => Verdict::Unknown,
        other => other,
    };
    Judgement { verdict, line, ..judgement }
}

/// `pass`, `fail` or `unknown`, for live lines.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Unknown => "unknown",
    }
}
