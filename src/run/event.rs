//! Facts. Every journal record that the machine reads carries exactly one [`Event`]; [`Evidence`](super::Evidence) stands beside them for
//! people and auditors and never changes what happens next.
//!
//! These are a file format from the first release: names and members are only ever added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actor::{Actor, Grant};
use super::evidence::Verdict;
use super::outcome::{Cause, Found, Outcome, Reaction, recorded};
use crate::plan::{Lane, Split, StepRef};

/// A fact the machine acts on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Event {
    /// Preflight passed: the way back is computed, its credentials answered, blue's health is known.
    #[serde(rename = "rollback.armed")]
    Armed {
        /// All approvals are asked for before the first move, because nobody will be there later.
        approvals_ahead: bool,
        /// Automatic rollbacks of this service inside the policy's window so far.
        automatic_used: u32,
        checks: Vec<Value>,
    },
    /// Preflight did not pass; nothing was touched.
    #[serde(rename = "run.refused")]
    Refused { why: String },
    /// The exact text somebody is asked to sign.
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        step: StepRef,
        id: String,
        request: String,
        request_sha256: String,
        /// Unix seconds: a later answer counts no more.
        expires: i64,
        /// Until when it may be used, where other steps come before it; until `expires` otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        use_by: Option<i64>,
    },
    #[serde(rename = "approval.granted")]
    ApprovalGranted { step: StepRef, id: String, request_sha256: String, grant: Grant },
    #[serde(rename = "approval.denied")]
    ApprovalDenied { step: StepRef, id: String, request_sha256: String, grant: Grant },
    /// An agreement that counts no more, before it was used: taken back by whoever gave it (with their signature), or void
    /// because its key is.
    #[serde(rename = "approval.withdrawn")]
    ApprovalWithdrawn {
        step: StepRef,
        id: String,
        request_sha256: String,
        principal: String,
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<Grant>,
    },
    #[serde(rename = "approval.expired")]
    ApprovalExpired { step: StepRef, id: String, why: String },
    /// Durable before the first byte of the effect.
    #[serde(rename = "step.intent")]
    StepIntent {
        step: StepRef,
        id: String,
        attempt: u32,
        line: String,
        /// SHA-256 of the step as planned.
        step_sha256: String,
        /// The approvals this intent uses up.
        approvals: Vec<String>,
    },
    #[serde(rename = "step.outcome")]
    StepOutcome {
        step: StepRef,
        id: String,
        #[serde(deserialize_with = "recorded")]
        outcome: Outcome,
    },
    /// What the world (or a person) says about a step whose outcome was not known.
    #[serde(rename = "step.reconciled")]
    StepReconciled { step: StepRef, id: String, found: Found, line: String },
    /// A guard or a gate tripped while the run was waiting between steps.
    #[serde(rename = "wait.breached")]
    WaitBreached {
        step: StepRef,
        cause: Cause,
        line: String,
        /// What is wanted in place of going back, where going back is known to be wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        then: Option<Reaction>,
    },
    /// Where every route was found, all read at the same moment: when a person asks to go back, and before a run says how
    /// it ended.
    #[serde(rename = "users.seen")]
    UsersSeen {
        /// By the route's name.
        routes: BTreeMap<String, Sighting>,
        /// No write of this run whose answer was lost can land any more.
        settled: bool,
    },
    /// A write of this run whose answer had been lost has landed late: users are not where the run had left them. The newest
    /// move of that route is made again.
    #[serde(rename = "write.landed")]
    WriteLanded { step: StepRef, id: String, found: Split, line: String },
    /// What the run was about to say of its users is not what was read, or could not be read.
    #[serde(rename = "run.unconfirmed")]
    Unconfirmed { why: String },
    /// Somebody asked the run to stop what it is doing.
    #[serde(rename = "run.interrupted")]
    Interrupted { wish: Wish, by: Actor, line: String },
    /// The question after an interruption was answered with "go on".
    #[serde(rename = "run.continued")]
    Continued { by: Actor },
    /// Something forbids going forward while users are split: nobody is shifting, the gates are watched, and the run goes on by
    /// itself once the way is free.
    #[serde(rename = "run.paused")]
    Paused {
        step: StepRef,
        cause: Cause,
        line: String,
        /// Unix seconds: no longer than until then.
        until: i64,
    },
    /// The way is free again.
    #[serde(rename = "run.unpaused")]
    Unpaused { step: StepRef, line: String },
    /// Users stay split on purpose; nobody is shifting.
    #[serde(rename = "run.held")]
    Held { by: Actor, line: String },
    #[serde(rename = "rollback.begun")]
    RollbackBegun { automatic: bool, by: Actor, cause: String },
    #[serde(rename = "rollback.declined")]
    RollbackDeclined { by: Actor, why: String },
    /// A move back was tried for as long as the policy lets it be.
    #[serde(rename = "rollback.overdue")]
    RollbackOverdue { step: StepRef, id: String, line: String },
    /// What the live schema says, read before users are sent on to green and before they come back.
    #[serde(rename = "schema.seen")]
    SchemaSeen {
        step: StepRef,
        /// Whether users may go on to green.
        forward: Verdict,
        /// Whether blue could live with it.
        back: Verdict,
        line: String,
    },
    /// A person goes back although something stands against it that only people may pass over.
    #[serde(rename = "override.used")]
    OverrideUsed { guard: String, by: Actor, reason: String },
    /// A person was called, or every channel failed.
    #[serde(rename = "run.paged")]
    Paged { delivered: bool, line: String },
    /// Another process took the run over after a crash, a hold or a wait.
    #[serde(rename = "run.continues")]
    Resumed { by: Actor },
    #[serde(rename = "run.ended")]
    Ended { outcome: RunOutcome, line: String },
}

/// One route, looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// None: it could not be read.
    pub split: Option<Split>,
    /// What was read and where, or why nothing was.
    pub line: String,
}

/// What an interruption asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Ctrl-C at a terminal: finish the call, read back, ask.
    Ask,
    /// SIGTERM in CI, the `r` key, `bgctl rollback` from elsewhere.
    RollBack,
}

/// The guards that a person may pass over on the way back, as records name them.
pub mod guard {
    /// The schema stands against going back: it takes a second person.
    pub const SCHEMA: &str = "schema";
    /// Blue is not well, or how it is cannot be known. An emergency: it takes a reason, and nobody else.
    pub const BLUE_HEALTH: &str = "blue-health";
}

/// How a run ended (or where it rests).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    Completed,
    NoChanges,
    RolledBack,
    /// Nobody had moved, or everybody is back on one side, and the run went no further.
    Stopped,
    /// Split, on purpose.
    Holding,
    /// A person must act; nothing moves any more by itself.
    Halted,
    /// Before anything.
    Refused,
    /// Waiting for an approval with all users on one side.
    Waiting,
}

impl RunOutcome {
    pub fn name(self) -> &'static str {
        match self {
            RunOutcome::Completed => "completed",
            RunOutcome::NoChanges => "no-changes",
            RunOutcome::RolledBack => "rolled-back",
            RunOutcome::Stopped => "stopped",
            RunOutcome::Holding => "holding",
            RunOutcome::Halted => "halted",
            RunOutcome::Refused => "refused",
            RunOutcome::Waiting => "waiting",
        }
    }
}

/// The lane a rollback runs in, for readers of the log.
impl Event {
    pub fn step(&self) -> Option<StepRef> {
        match self {
            Event::ApprovalRequested { step, .. }
            | Event::ApprovalGranted { step, .. }
            | Event::ApprovalDenied { step, .. }
            | Event::ApprovalWithdrawn { step, .. }
            | Event::ApprovalExpired { step, .. }
            | Event::StepIntent { step, .. }
            | Event::StepOutcome { step, .. }
            | Event::StepReconciled { step, .. }
            | Event::SchemaSeen { step, .. }
            | Event::Paused { step, .. }
            | Event::Unpaused { step, .. }
            | Event::WriteLanded { step, .. }
            | Event::RollbackOverdue { step, .. }
            | Event::WaitBreached { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// The step's name, where the fact has it.
    pub fn id(&self) -> Option<&str> {
        match self {
            Event::ApprovalRequested { id, .. }
            | Event::ApprovalGranted { id, .. }
            | Event::ApprovalDenied { id, .. }
            | Event::ApprovalWithdrawn { id, .. }
            | Event::ApprovalExpired { id, .. }
            | Event::StepIntent { id, .. }
            | Event::StepOutcome { id, .. }
            | Event::StepReconciled { id, .. }
            | Event::WriteLanded { id, .. }
            | Event::RollbackOverdue { id, .. } => Some(id),
            _ => None,
        }
    }

    pub fn in_rollback(&self) -> bool {
        self.step().is_some_and(|s| s.lane == Lane::Rollback)
    }
}
