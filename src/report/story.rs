//! What the records so far add up to, for eyes: where users are, which step is at work, what the gates last said.
//!
//! It never decides anything: the run machine has its own state. A record it does not know leaves it as it was.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;

use crate::journal::Entry;
use crate::plan::{Color, Plan, Split, StepRef};
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
        format!("{} · {} · {} (BLUE) → {} (GREEN)", p.service, p.environment, p.blue.version, p.green.version)
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
    /// The first thing that went wrong.
    pub why: Option<String>,
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
        let users = about
            .plan
            .routes
            .iter()
            .map(|(name, route)| (name.clone(), Seen { split: route.before, at: None }))
            .collect();
        Story {
            closed: about.plan.waits_by_hand(),
            about,
            began: None,
            last: None,
            users,
            current: None,
            done: Vec::new(),
            gates: Vec::new(),
            why: None,
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
                self.gates.clear();
                let current = Current { at: *step, id: id.clone(), line: line.clone(), since: at, waiting: false };
                self.current = Some(current);
            }
            Event::StepOutcome { step, id, outcome } => match outcome {
                Outcome::Done { .. } => self.finished(*step),
                Outcome::Failed { line, .. } => {
                    self.current = None;
                    self.wrong(&format!("{id}: {line}"));
                }
                Outcome::Unknown { .. } => {}
            },
            Event::StepReconciled { step, found: crate::run::Found::InPlace, .. } => self.finished(*step),
            Event::WaitBreached { line, .. } => self.wrong(line),
            Event::UsersSeen { routes, .. } => {
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
                self.wrong(line);
            }
            Event::RollbackBegun { cause, .. } => {
                self.rollback = true;
                self.current = None;
                self.wrong(cause);
            }
            Event::RollbackDeclined { why, .. } | Event::Unconfirmed { why } => self.wrong(why),
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
            Event::Continued { .. } | Event::Resumed { .. } | Event::Unpaused { .. } => self.why = None,
            Event::StepReconciled { .. } | Event::Held { .. } => self.current = None,
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
        if !self.done.contains(&step) {
            self.done.push(step);
        }
    }

    fn wrong(&mut self, why: &str) {
        self.why.get_or_insert_with(|| why.to_string());
    }

    /// Somebody read the split beside the records.
    pub fn read(&mut self, split: Split, at: Timestamp) {
        for seen in self.users.values_mut() {
            *seen = Seen { split, at: Some(at) };
        }
    }

    /// `BLUE 90 GREEN 10`; with the routes' names where they differ.
    pub fn users_line(&self) -> String {
        let mut splits = self.users.values().map(|seen| seen.split);
        match splits.next() {
            None => "unknown".into(),
            Some(first) if splits.all(|other| other == first) => first.to_string(),
            Some(_) => {
                let lines: Vec<String> = self.users.iter().map(|(name, s)| format!("{name} {}", s.split)).collect();
                lines.join(" · ")
            }
        }
    }

    /// The side all users of all routes were last read on.
    pub fn only(&self) -> Option<Color> {
        let mut sides = self.users.values().map(|seen| seen.split.only());
        let first = sides.next()??;
        sides.all(|side| side == Some(first)).then_some(first)
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
