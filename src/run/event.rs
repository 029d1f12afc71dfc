//! Facts. Every journal record that the machine reads carries exactly one [`Event`]; [`Evidence`](super::Evidence) stands beside them for
//! people and auditors and never changes what happens next.
//!
//! These are a file format from the first release: names and members are only ever added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evidence::Verdict;
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
    ApprovalRequested { step: StepRef, id: String, request: String, request_sha256: String, expires: i64 },
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
    StepOutcome { step: StepRef, id: String, outcome: Outcome },
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

/// How one attempt of a step ended. A lost reply is [`Outcome::Unknown`]: it is looked up, never guessed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Outcome {
    Done {
        line: String,
        #[serde(default)]
        facts: Value,
    },
    Failed {
        line: String,
        cause: Cause,
        /// Whether this attempt may have moved users all the same.
        moved: bool,
        /// Whether trying again can help; decided where it is known.
        retry: bool,
        /// What the step's own declaration wants instead of the runbook's `on_failure`, once users have moved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        then: Option<Reaction>,
        #[serde(default)]
        facts: Value,
    },
    Unknown {
        line: String,
        #[serde(default)]
        facts: Value,
    },
}

impl Outcome {
    pub fn done(line: impl Into<String>) -> Self {
        Outcome::Done { line: line.into(), facts: Value::Null }
    }

    /// A failure that moved nobody and that a second try would not mend.
    pub fn failed(cause: Cause, line: impl Into<String>) -> Self {
        Outcome::Failed { line: line.into(), cause, moved: false, retry: false, then: None, facts: Value::Null }
    }

    /// A failure after which the step itself wants this, whatever the runbook says of failures.
    pub fn wanting(self, reaction: Reaction) -> Self {
        match self {
            Outcome::Failed { line, cause, moved, retry, facts, .. } => {
                Outcome::Failed { line, cause, moved, retry, then: Some(reaction), facts }
            }
            other => other,
        }
    }

    pub fn unknown(line: impl Into<String>) -> Self {
        Outcome::Unknown { line: line.into(), facts: Value::Null }
    }

    pub fn with(self, facts: Value) -> Self {
        match self {
            Outcome::Done { line, .. } => Outcome::Done { line, facts },
            Outcome::Failed { line, cause, moved, retry, then, .. } => {
                Outcome::Failed { line, cause, moved, retry, then, facts }
            }
            Outcome::Unknown { line, .. } => Outcome::Unknown { line, facts },
        }
    }

    pub fn line(&self) -> &str {
        match self {
            Outcome::Done { line, .. } | Outcome::Failed { line, .. } | Outcome::Unknown { line, .. } => line,
        }
    }
}

/// What is wanted once users have moved and a step has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    RollBack,
    /// Users stay where they are.
    Hold,
    /// Nothing moves by itself any more, because going back is known to be wrong: a person decides.
    Halt,
}

/// Why a step failed, as far as it changes what the machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A gate or check judged `fail`.
    Gate,
    /// Nothing could be judged until the deadline: `unknown`.
    NoVerdict,
    /// The side users would go to is unhealthy, empty, too small or unknown.
    Destination,
    /// The live split is not what bgctl last wrote or planned.
    Drift,
    /// The provider refused or failed.
    Provider,
    Timeout,
    /// A command or message failed.
    Action,
    /// The policy or the list of trusted keys is another than the run was opened under.
    Rules,
    /// The live schema is not what the step needs.
    Schema,
    /// Forward moves are frozen, or whether they are cannot be known.
    Frozen,
    /// Another guard forbids the move: the lease, the signing key, the credentials, the schema.
    Guard,
}

impl Cause {
    /// What is no failure of the release: with users split the run pauses, and goes on once it is over.
    pub fn pauses(self) -> bool {
        matches!(self, Cause::Drift | Cause::Frozen | Cause::Guard)
    }
}

/// What was found when looking for the effect of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    InPlace,
    NotInPlace,
    /// Neither what was there before nor what was wanted.
    Other,
    /// The world could not be seen.
    CannotSee,
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

/// Who did something: a person by name, or bgctl by rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub name: String,
    /// `prompt`, `signature`, `signal`, `key`, `rule`, `command`.
    pub via: String,
}

impl Actor {
    pub fn rule() -> Self {
        Actor { name: "bgctl".into(), via: "rule".into() }
    }
}

/// One person's signed or typed agreement (or refusal).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub principal: String,
    /// `signed-hw`, `signed` or `prompt`.
    pub evidence: String,
    /// `SHA256:…` of the key, for a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The armored SSHSIG over the request, for a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// The text shown and what was typed, for a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Value>,
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
            | Event::WaitBreached { step, .. } => Some(*step),
            _ => None,
        }
    }

    pub fn in_rollback(&self) -> bool {
        self.step().is_some_and(|s| s.lane == Lane::Rollback)
    }
}
