//! What the records so far add up to, for eyes: where users are, which step is at work, what the gates last said.
//!
//! It never decides anything: the run machine has its own state. A record it does not know leaves it as it was.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;

use crate::journal::Entry;
use crate::plan::{Color, Lane, Plan, Split, StepRef};
use crate::run::{Event, Evidence, Outcome, RunOutcome, Verdict};

/// What every view of a run begins with.
#[derive(Clone, Debug)]
pub struct About {
    pub run: String,
    pub plan: Rc<Plan>,
    /// Who runs it.
    pub by: String,
}

impl About {
    /// `slackbot · production · v1.4.1 (BLUE) → v1.4.2 (GREEN)`.
    pub fn headline(&self) -> String {
        let p = &self.plan;
        format!("{} · {} · {} (BLUE) → {} (GREEN)", p.service, p.environment, p.blue.named(), p.green.named())
    }

    /// The shortest name of the run that still reads well: the part after its last dash.
    pub fn short(&self) -> &str {
        self.run.rsplit('-').next().unwrap_or(&self.run)
    }
}

/// A split that was read, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub split: Split,
    pub at: Option<Timestamp>,
}

/// The step at work.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    pub at: StepRef,
    pub id: String,
    pub line: String,
    pub since: Option<Timestamp>,
    /// Set while it waits for people rather than for the world.
    pub waiting: bool,
}

/// The last word of a gate.
#[derive(Clone, Debug, PartialEq)]
pub struct GateRow {
    pub gate: String,
    pub verdict: Verdict,
    pub green: Option<String>,
    pub blue: Option<String>,
    pub limit: String,
    pub line: String,
    /// One verdict a window, oldest first.
    pub windows: Vec<Verdict>,
    pub of: u32,
}

/// Whether what was set down as the cause is one, or gives way to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Passing {
    No,
    /// Something only holds the run up.
    Pause,
    /// This step failed; it may be tried again, or passed over.
    Step(StepRef),
}

/// A run as told so far.
#[derive(Clone, Debug)]
pub struct Story {
    pub about: About,
    pub began: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub users: BTreeMap<String, Seen>,
    pub current: Option<Current>,
    pub done: Vec<StepRef>,
    pub gates: Vec<GateRow>,
    /// The first cause of what came of the run so far; while it only waits, what it waits for.
    pub why: Option<String>,
    /// What was set down as the cause may pass: a pause that ends, a step that succeeds when tried again.
    passing: Passing,
    /// A write whose answer was lost may still land, as said when every route was last read.
    pub late: bool,
    pub rollback: bool,
    /// Delivered or not, and the words of the channel.
    pub paged: Option<(bool, String)>,
    /// Who has it, or how nobody did.
    pub acknowledged: Option<String>,
    pub outcome: Option<(RunOutcome, String)>,
    /// The schema stands against going back.
    pub closed: bool,
}

impl Story {
    pub fn new(about: About) -> Self {
        Story {
            closed: about.plan.waits_by_hand(),
            about,
            began: None,
            last: None,
            users: BTreeMap::new(),
            current: None,
            done: Vec::new(),
            gates: Vec::new(),
            why: None,
            passing: Passing::No,
            late: false,
            rollback: false,
            paged: None,
            acknowledged: None,
            outcome: None,
        }
    }

    /// Takes in one record.
    pub fn take(&mut self, entry: &Entry) {
        let at: Option<Timestamp> = entry.ts.parse().ok();
        self.began = self.began.or(at);
        self.last = at.or(self.last);
        if let Some(event) = entry.event() {
            self.event(&event, at);
        } else if let Some(evidence) = entry.evidence() {
            self.evidence(&evidence, at);
        }
    }

    fn event(&mut self, event: &Event, at: Option<Timestamp>) {
        match event {
            Event::Armed { checks, .. } => {
                for check in checks {
                    let split = check.get("users").and_then(|u| serde_json::from_value::<Split>(u.clone()).ok());
                    if let (Some(route), Some(split)) = (check["route"].as_str(), split) {
                        self.users.insert(route.to_string(), Seen { split, at });
                    }
                }
            }
            Event::Refused { why } => self.wrong(why),
            Event::ApprovalRequested { step, id, .. } => {
                self.goes_on(*step);
                let line = self.about.plan.lane(step.lane).get(step.index).map_or(id.clone(), |s| s.line.clone());
                self.current = Some(Current { at: *step, id: id.clone(), line, since: at, waiting: true });
            }
            Event::ApprovalGranted { .. } => self.current = None,
            // The request is open again; how it ends tells the rest.
            Event::ApprovalWithdrawn { .. } => {}
            Event::ApprovalDenied { id, grant, .. } => {
                self.current = None;
                self.wrong(&format!("{id} was refused by {}", grant.principal));
            }
            Event::ApprovalExpired { id, why, .. } => {
                self.current = None;
                self.wrong(&format!("no approval of {id}: {why}"));
            }
            Event::StepIntent { step, id, line, .. } => {
                self.goes_on(*step);
                self.gates.clear();
                let current = Current { at: *step, id: id.clone(), line: line.clone(), since: at, waiting: false };
                self.current = Some(current);
            }
            Event::StepOutcome { step, id, outcome } => match outcome {
                Outcome::Done { .. } => self.finished(*step),
                Outcome::Failed { line, cause, .. } => {
                    self.current = None;
                    let passing = if cause.pauses() { Passing::Pause } else { Passing::Step(*step) };
                    self.set_down(&format!("{id}: {line}"), passing);
                }
                Outcome::Unknown { .. } => {}
            },
            Event::StepReconciled { step, found: crate::run::Found::InPlace, .. } => self.finished(*step),
            Event::WaitBreached { line, cause, .. } if cause.pauses() => self.set_down(line, Passing::Pause),
            Event::WaitBreached { line, .. } => self.wrong(line),
            Event::UsersSeen { routes, settled } => {
                self.late = !settled;
                for (route, split) in routes.iter().filter_map(|(route, seen)| Some((route, seen.split?))) {
                    self.users.insert(route.clone(), Seen { split, at });
                }
            }
            Event::SchemaSeen { forward, back, line, .. } => {
                self.closed |= *back == Verdict::Fail;
                if *forward != Verdict::Pass {
                    self.wrong(line);
                }
            }
            Event::OverrideUsed { by, reason, .. } => self.wrong(&format!("{reason}, by {}", by.name)),
            Event::Paused { line, .. } => {
                self.current = None;
                self.set_down(line, Passing::Pause);
            }
            Event::RollbackBegun { cause, .. } => {
                self.rollback = true;
                self.current = None;
                self.wrong(cause);
            }
            Event::RollbackDeclined { why, .. } | Event::Unconfirmed { why } => self.stays(why),
            Event::RollbackOverdue { id, line, .. } => {
                self.current = None;
                self.wrong(&format!("{id}: {line}"));
            }
            Event::WriteLanded { .. } => self.current = None,
            Event::Paged { delivered, line } => self.paged = Some((*delivered, line.clone())),
            Event::Ended { outcome, line } => {
                self.current = None;
                self.outcome = Some((*outcome, line.clone()));
            }
            Event::Interrupted { by, line, .. } => self.wrong(&format!("{line}, by {}", by.name)),
            // Going on after an interruption: what stopped it is no longer the reason of anything.
            Event::Resumed { .. } if self.rollback => {}
            Event::Continued { .. } | Event::Resumed { .. } | Event::Unpaused { .. } => self.why = None,
            Event::StepReconciled { .. } => self.current = None,
            Event::Held { line, .. } => {
                self.current = None;
                self.stays(line);
            }
        }
    }

    fn evidence(&mut self, evidence: &Evidence, at: Option<Timestamp>) {
        match evidence {
            Evidence::TrafficRead { route, split, .. } => {
                self.users.insert(route.clone(), Seen { split: *split, at });
            }
            Evidence::GateEvaluated { gate, verdict, green, blue, limit, line, window, windows, .. } => {
                let known = self.gates.iter().position(|row| row.gate == *gate);
                let mut judged = known.map(|n| self.gates.remove(n).windows).unwrap_or_default();
                judged.truncate((*window as usize).saturating_sub(1));
                judged.push(*verdict);
                let row = GateRow {
                    gate: gate.clone(),
                    verdict: *verdict,
                    green: green.clone(),
                    blue: blue.clone(),
                    limit: limit.clone(),
                    line: line.clone(),
                    windows: judged,
                    of: *windows,
                };
                self.gates.insert(known.unwrap_or(self.gates.len()), row);
            }
            Evidence::PageAcknowledged { line, .. } | Evidence::PageEscalated { line, .. } => {
                self.acknowledged = Some(line.clone());
            }
            _ => {}
        }
    }

    fn finished(&mut self, step: StepRef) {
        self.current = None;
        if self.passing == Passing::Step(step) {
            self.why = None;
        }
        if !self.done.contains(&step) {
            self.done.push(step);
        }
    }

    /// Another step forward begins: whatever failed before was passed over.
    fn goes_on(&mut self, step: StepRef) {
        if let Passing::Step(failed) = self.passing
            && failed != step
            && step.lane == Lane::Forward
        {
            self.why = None;
        }
    }

    fn wrong(&mut self, why: &str) {
        self.set_down(why, Passing::No);
    }

    /// The first cause stays; what was only waited for gives way to whatever ended the waiting. A step's failure is the cause
    /// of what follows on it, until the step succeeds or another one begins.
    fn set_down(&mut self, why: &str, passing: Passing) {
        if self.why.is_none() || self.passing == Passing::Pause && passing != Passing::Pause {
            self.why = Some(why.to_string());
            self.passing = passing;
        }
    }

    /// Nobody is moved any more: what the run was waiting for is the reason, if it was.
    fn stays(&mut self, why: &str) {
        if self.why.is_none() {
            self.why = Some(why.to_string());
        }
        self.passing = Passing::No;
    }

    /// Somebody read the split of a route beside the records.
    pub fn read(&mut self, route: &str, split: Split, at: Timestamp) {
        self.users.insert(route.to_string(), Seen { split, at: Some(at) });
    }

    /// `BLUE 90 GREEN 10`; with the routes' names where they differ, or not all of them have been read.
    pub fn users_line(&self) -> String {
        let routes = self.about.plan.routes.keys();
        let mut splits = self.users.values().map(|seen| seen.split);
        match splits.next() {
            None => "unknown".into(),
            Some(first) if self.all_read() && splits.all(|other| other == first) => first.to_string(),
            Some(_) => {
                let said = |name: &String| self.users.get(name).map_or("unknown".into(), |seen| seen.split.to_string());
                routes.map(|name| format!("{name} {}", said(name))).collect::<Vec<_>>().join(" · ")
            }
        }
    }

    fn all_read(&self) -> bool {
        self.about.plan.routes.keys().all(|name| self.users.contains_key(name))
    }

    /// The side all users of all routes were last read on.
    pub fn only(&self) -> Option<Color> {
        let mut sides = self.users.values().map(|seen| seen.split.only());
        let first = sides.next()??;
        (self.all_read() && sides.all(|side| side == Some(first))).then_some(first)
    }

    /// When the oldest of the readings was made.
    pub fn read_at(&self) -> Option<Timestamp> {
        self.users.values().map(|seen| seen.at).min().flatten()
    }

    /// `BLUE v1.4.1`.
    pub fn version(&self, stack: Color) -> String {
        format!("{stack} {}", self.about.plan.stack(stack).version)
    }
}
