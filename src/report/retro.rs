//! What a run did to its users, in numbers: computed from its records alone, so it can be computed again by anybody who has
//! them. What the records do not hold is left out or said to be an estimate, never made up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::journal::Entry;
use crate::plan::{Lane, Plan, Split, StepRef};
use crate::run::{Connections, Event, Evidence, Found, Outcome, RunOutcome, Verdict};

/// A run in numbers. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retro {
    pub outcome: Option<RunOutcome>,
    pub began: Option<Timestamp>,
    pub took_ms: u64,
    /// How long users were at each split, in order, for each route.
    pub splits: BTreeMap<String, Vec<Stay>>,
    pub trouble: Option<Trouble>,
    /// Requests that failed on green, as the gate that counted most of them saw them.
    pub failed: Option<Failed>,
    pub drains: Vec<Drain>,
    pub approvals: Vec<Waiting>,
    pub steps: Vec<Took>,
    pub provider: Calls,
    pub pages: Vec<Paged>,
}

/// How long users were at a split. The last one lasts to the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stay {
    pub split: Split,
    pub ms: u64,
}

/// What went wrong while users were on green, and how long it took until they were not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trouble {
    pub line: String,
    /// From the first sign of it, a gate that no longer passed, to the verdict.
    pub sign_to_verdict_ms: Option<u64>,
    /// From the verdict to the first call to a provider on the way back.
    pub verdict_to_call_ms: Option<u64>,
    /// From the verdict until everybody was back, read back and seen.
    pub verdict_to_safe_ms: Option<u64>,
    /// From the first sign until everybody was back: the bad state as far as it was measured. Without an end the run ended in it.
    pub bad_ms: Option<u64>,
}

/// Requests that failed on green.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed {
    pub gate: String,
    /// Of all requests to green that were measured.
    pub requests: u64,
    pub failed: u64,
    /// Beyond what blue failed of as many at the same time.
    pub beyond_blue: u64,
    /// About how many more failed between the verdict and the end of the way back, if they failed at the same rate.
    pub until_safe: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drain {
    pub step: String,
    pub stack: String,
    pub ms: u64,
    /// What was still in flight at its end: long connections and jobs; unknown where nobody counts it.
    pub left: Option<u64>,
    /// What became of the connections that routes held to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
}

/// An approval, from the question to its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waiting {
    pub step: String,
    pub ms: u64,
    /// Who answered, or what became of it.
    pub answer: String,
    /// Users were split meanwhile.
    pub split: bool,
}

/// A step, as planned and as it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Took {
    pub step: String,
    pub ms: u64,
    pub planned_s: u64,
    pub attempts: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calls {
    pub calls: u32,
    pub refused: u32,
    pub slowest_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paged {
    pub delivered: bool,
    pub line: String,
    /// How long until somebody had it.
    pub acknowledged_ms: Option<u64>,
    pub by: Option<String>,
    /// How often the next channel was called.
    pub escalated: u32,
}

/// Reads a run's records.
pub fn retro(plan: &Plan, entries: &[Entry]) -> Retro {
    let mut reader = Reader::new(plan);
    for entry in entries {
        let Ok(at) = entry.ts.parse::<Timestamp>() else { continue };
        reader.began = reader.began.or(Some(at));
        reader.last = Some(at);
        if let Some(event) = entry.event() {
            reader.event(&event, at);
        } else if let Some(evidence) = entry.evidence() {
            reader.evidence(&evidence, at);
        }
    }
    reader.done()
}

/// What became of connections, in words.
pub fn became(found: Connections) -> String {
    let Connections { most, asked, cut, left } = found;
    let asked = asked.map_or_else(String::new, |n| format!(", {n} asked to reconnect"));
    let many = if most == 1 { "connection" } else { "connections" };
    format!("{most} {many} held by the route{asked}: {} ended, {cut} cut, {left} left", found.ended())
}

fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

/// One gate within one step: what it counted up to now.
#[derive(Clone, Debug, Default)]
struct Counted {
    requests: f64,
    failed: f64,
    blue: Option<f64>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

struct Reader<'a> {
    plan: &'a Plan,
    began: Option<Timestamp>,
    last: Option<Timestamp>,
    outcome: Option<RunOutcome>,
    /// Each route's splits, with the moment each was first read.
    splits: BTreeMap<String, Vec<(Split, Timestamp)>>,
    /// By gate and step.
    counted: BTreeMap<(String, String), Counted>,
    /// Since when a gate has not passed, within the step at work.
    signs: BTreeMap<String, Timestamp>,
    verdict: Option<(String, Timestamp, Option<Timestamp>)>,
    back: Option<Timestamp>,
    called: Option<Timestamp>,
    safe: Option<Timestamp>,
    begun: BTreeMap<StepRef, (Timestamp, u32)>,
    asked: BTreeMap<StepRef, Timestamp>,
    retro: Retro,
}

impl<'a> Reader<'a> {
    fn new(plan: &'a Plan) -> Self {
        Reader {
            plan,
            began: None,
            last: None,
            outcome: None,
            splits: BTreeMap::new(),
            counted: BTreeMap::new(),
            signs: BTreeMap::new(),
            verdict: None,
            back: None,
            called: None,
            safe: None,
            begun: BTreeMap::new(),
            asked: BTreeMap::new(),
            retro: Retro {
                outcome: None,
                began: None,
                took_ms: 0,
                splits: BTreeMap::new(),
                trouble: None,
                failed: None,
                drains: Vec::new(),
                approvals: Vec::new(),
                steps: Vec::new(),
                provider: Calls::default(),
                pages: Vec::new(),
            },
        }
    }

    fn event(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::StepIntent { step, attempt, .. } => {
                self.signs.clear();
                let first = self.begun.get(step).map_or(at, |(first, _)| *first);
                self.begun.insert(*step, (first, *attempt));
            }
            Event::StepOutcome { step, id, outcome } => {
                if !matches!(outcome, Outcome::Unknown { .. }) {
                    self.ended(*step, id, at);
                }
                match outcome {
                    Outcome::Done { .. } => self.arrived(*step, at),
                    // A freeze, or somebody else's write, stops the run and says nothing against the release.
                    Outcome::Failed { cause, .. } if cause.pauses() => {}
                    Outcome::Failed { line, .. } => self.wrong(&format!("{id}: {line}"), at),
                    Outcome::Unknown { .. } => {}
                }
            }
            Event::StepReconciled { step, id, found: Found::InPlace, .. } => {
                self.ended(*step, id, at);
                self.arrived(*step, at);
            }
            Event::WaitBreached { line, cause, .. } if !cause.pauses() => self.wrong(line, at),
            Event::RollbackBegun { cause, .. } => {
                self.wrong(cause, at);
                self.back = Some(at);
                self.safe = None;
            }
            Event::ApprovalRequested { step, .. } => {
                self.asked.insert(*step, at);
            }
            Event::ApprovalGranted { step, id, grant, .. } => self.answered(*step, id, &grant.principal, at),
            Event::ApprovalDenied { step, id, grant, .. } => {
                self.answered(*step, id, &format!("refused by {}", grant.principal), at);
            }
            Event::ApprovalExpired { step, id, why } => self.answered(*step, id, why, at),
            Event::Paged { delivered, line } => self.retro.pages.push(Paged {
                delivered: *delivered,
                line: line.clone(),
                acknowledged_ms: None,
                by: None,
                escalated: 0,
            }),
            Event::Ended { outcome, .. } => self.outcome = Some(*outcome),
            Event::Refused { .. } => self.outcome = Some(RunOutcome::Refused),
            _ => {}
        }
    }

    fn evidence(&mut self, evidence: &Evidence, at: Timestamp) {
        match evidence {
            Evidence::TrafficRead { route, split, .. } => {
                let splits = self.splits.entry(route.clone()).or_default();
                if splits.last().is_none_or(|(last, _)| last != split) {
                    splits.push((*split, at));
                }
            }
            Evidence::GateEvaluated { step, gate, verdict, green, blue, limit, requests, .. } => {
                match verdict {
                    Verdict::Pass => drop(self.signs.remove(gate)),
                    _ => drop(self.signs.entry(gate.clone()).or_insert(at)),
                }
                let counted =
                    share(green.as_deref(), limit).zip(requests.as_deref().and_then(|n| n.parse::<f64>().ok()));
                if let Some((share_bad, requests)) = counted {
                    // A gate counts from the beginning of its step.
                    let mine = |at: &&StepRef| self.plan.lane(at.lane).get(at.index).is_some_and(|s| s.id == *step);
                    let since = self.begun.keys().find(mine).map_or(at, |step| self.begun[step].0);
                    let entry = self.counted.entry((gate.clone(), step.clone())).or_default();
                    entry.since = entry.since.or(Some(since));
                    entry.until = Some(at);
                    // What a gate counts within a step grows from look to look: the last look holds all of it.
                    entry.requests = requests;
                    entry.failed = requests * share_bad;
                    entry.blue = share(blue.as_deref(), limit);
                }
            }
            Evidence::ProviderCalled { code, ms, .. } => {
                self.retro.provider.calls += 1;
                self.retro.provider.refused += u32::from(code != "ok");
                self.retro.provider.slowest_ms = self.retro.provider.slowest_ms.max(*ms);
                if self.back.is_some() {
                    self.called = self.called.or(Some(at));
                }
            }
            Evidence::DrainMeasured { step, stack, in_flight, after_ms, connections } => {
                self.retro.drains.push(Drain {
                    step: step.clone(),
                    stack: stack.to_uppercase(),
                    ms: *after_ms,
                    left: in_flight.as_ref().and_then(|n| n.parse().ok()),
                    connections: *connections,
                })
            }
            Evidence::PageAcknowledged { by, seconds, .. } => {
                if let Some(page) = self.retro.pages.last_mut() {
                    page.acknowledged_ms = Some(seconds * 1000);
                    page.by = Some(by.name.clone());
                }
            }
            Evidence::PageEscalated { .. } => {
                if let Some(page) = self.retro.pages.last_mut() {
                    page.escalated += 1;
                }
            }
            _ => {}
        }
    }

    fn ended(&mut self, step: StepRef, id: &str, at: Timestamp) {
        let Some((from, attempts)) = self.begun.remove(&step) else { return };
        let planned_s = self.plan.lane(step.lane).get(step.index).map_or(0, |planned| planned.expected_s);
        self.retro.steps.push(Took { step: id.into(), ms: between(from, at), planned_s, attempts });
    }

    /// Everybody is back when the last move of the way back is in place.
    fn arrived(&mut self, step: StepRef, at: Timestamp) {
        let moves = |step: StepRef| self.plan.lane(step.lane).get(step.index).is_some_and(|s| s.moves.is_some());
        let last = self.plan.rollback.iter().rposition(|step| step.moves.is_some());
        if step.lane == Lane::Rollback && moves(step) && Some(step.index) == last {
            self.safe = Some(at);
        }
    }

    fn wrong(&mut self, line: &str, at: Timestamp) {
        if self.verdict.is_none() {
            let sign = self.signs.values().min().copied();
            self.verdict = Some((line.into(), at, sign));
        }
    }

    fn answered(&mut self, step: StepRef, id: &str, answer: &str, at: Timestamp) {
        let Some(from) = self.asked.get(&step).copied() else { return };
        let split = self.splits.values().any(|splits| splits.last().is_some_and(|(split, _)| split.only().is_none()));
        self.retro.approvals.push(Waiting { step: id.into(), ms: between(from, at), answer: answer.into(), split });
    }

    fn done(mut self) -> Retro {
        let end = self.last;
        self.retro.outcome = self.outcome;
        self.retro.began = self.began;
        self.retro.took_ms = self.began.zip(end).map_or(0, |(from, to)| between(from, to));
        for (route, splits) in &self.splits {
            let ends = splits.iter().skip(1).map(|(_, at)| *at).chain(end);
            let stays =
                splits.iter().zip(ends).map(|((split, from), to)| Stay { split: *split, ms: between(*from, to) });
            self.retro.splits.insert(route.clone(), stays.collect());
        }
        self.retro.trouble = self.verdict.as_ref().map(|(line, verdict, sign)| Trouble {
            line: line.clone(),
            sign_to_verdict_ms: sign.map(|sign| between(sign, *verdict)),
            verdict_to_call_ms: self.called.map(|called| between(*verdict, called)),
            verdict_to_safe_ms: self.safe.map(|safe| between(*verdict, safe)),
            bad_ms: self.safe.map(|safe| between(sign.unwrap_or(*verdict), safe)),
        });
        self.retro.failed = self.failed();
        self.retro
    }

    /// By the gate that counted most: gates overlap, so their counts are never added up.
    fn failed(&self) -> Option<Failed> {
        let mut gates: BTreeMap<&String, Vec<&Counted>> = BTreeMap::new();
        for ((gate, _), counted) in &self.counted {
            gates.entry(gate).or_default().push(counted);
        }
        let sum = |of: &[&Counted], what: fn(&Counted) -> f64| of.iter().map(|counted| what(counted)).sum::<f64>();
        let most = gates.into_iter().max_by(|a, b| sum(&a.1, |c| c.failed).total_cmp(&sum(&b.1, |c| c.failed)));
        let (gate, of) = most?;
        let beyond = |c: &Counted| (c.failed - c.requests * c.blue.unwrap_or(0.0)).max(0.0);
        // The rate at the end of the last step that was judged, for the seconds in which nobody counted any more.
        let last = of.iter().max_by_key(|counted| counted.until);
        let rate = last.and_then(|c| {
            let seconds = c.since.zip(c.until).map(|(from, to)| between(from, to) as f64 / 1000.0)?;
            (seconds >= 1.0).then_some(c.failed / seconds)
        });
        let verdict = self.verdict.as_ref().map(|(_, at, _)| *at);
        let until_safe =
            rate.zip(verdict.zip(self.safe)).map(|(rate, (from, to))| rate * between(from, to) as f64 / 1000.0);
        Some(Failed {
            gate: gate.clone(),
            requests: sum(&of, |c| c.requests).round() as u64,
            failed: sum(&of, |c| c.failed).round() as u64,
            beyond_blue: sum(&of, beyond).round() as u64,
            until_safe: until_safe.map(|n| n.round() as u64),
        })
    }
}

/// The share of bad requests that a gate's value stands for: a share of good ones is held against `min`.
fn share(value: Option<&str>, limit: &str) -> Option<f64> {
    let percent: f64 = value?.trim().strip_suffix('%')?.trim().parse().ok()?;
    let share = (percent / 100.0).clamp(0.0, 1.0);
    Some(if limit.starts_with("min") { 1.0 - share } else { share })
}
