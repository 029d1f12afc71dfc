//! Exit codes. The table in README is printed from here.

use crate::diag::Kind;
use crate::run::RunOutcome;

/// How a process of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success,
    Failed,
    Differences,
    RolledBack,
    Stopped,
    Holding,
    Halted,
    Waiting,
    Drift,
    AuditBroken,
    AuditInterrupted,
    AuditTruncated,
    AuditPolicy,
    Usage,
    Invalid,
    Unreachable,
    Bug,
    Later,
    Denied,
    Environment,
}

impl Exit {
    /// Every code with what it means and what a CI job should do.
    pub const TABLE: &[(Exit, u8, &str, &str)] = &[
        (Exit::Success, 0, "completed, check passed, nothing to do, or `rollback` succeeded", "go on"),
        (Exit::Failed, 1, "failed, and no other code says it better", "fail"),
        (Exit::Differences, 2, "only with `--detailed-exitcode`: there are changes to make", "branch"),
        (Exit::RolledBack, 10, "rolled back and read back: all users are on the previous version", "fail, no page"),
        (Exit::Stopped, 11, "stopped before any user moved", "fail"),
        (Exit::Holding, 12, "holding: nobody is shifting; users stay where they are", "fail and alert"),
        (Exit::Halted, 20, "halted: a person must act; `policy.page` says who was paged", "fail and page"),
        (Exit::Waiting, 30, "waits for an approval, all users on one stack; `bgctl resume` later", "pending"),
        (Exit::Drift, 31, "the world is not what the plan saw", "plan again"),
        (Exit::AuditBroken, 40, "`audit verify`: BROKEN", "fail and look"),
        (
            Exit::AuditInterrupted,
            43,
            "`audit verify`: INTERRUPTED or ENDED: sound so far, not closed by its owner",
            "resume or sign",
        ),
        (Exit::AuditTruncated, 44, "`audit verify`: TRUNCATED or FORKED against an anchor", "fail and look"),
        (
            Exit::AuditPolicy,
            46,
            "`audit verify`: POLICY: the bytes are sound, the rules were not kept",
            "fail and look",
        ),
        (Exit::Usage, 64, "the command line cannot be understood or lacks a word, `--confirm` for one", "fix"),
        (Exit::Invalid, 65, "a runbook, plan or configuration file is wrong", "fix"),
        (Exit::Unreachable, 69, "a needed service cannot be reached; nothing was changed", "retry"),
        (Exit::Bug, 70, "a bug of bgctl", "report"),
        (Exit::Later, 75, "locked by another run, frozen, or not at this moment", "retry"),
        (Exit::Denied, 77, "credentials, permission, signing key or approver", "fix access"),
        (Exit::Environment, 78, "a variable or setting is missing", "fix"),
    ];

    pub fn code(self) -> u8 {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(70, |row| row.1)
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Usage => Exit::Usage,
            Kind::Invalid => Exit::Invalid,
            Kind::Unreachable => Exit::Unreachable,
            Kind::Bug => Exit::Bug,
            Kind::Later => Exit::Later,
            Kind::Denied => Exit::Denied,
            Kind::Environment => Exit::Environment,
            Kind::Drift => Exit::Drift,
            Kind::Stopped => Exit::Stopped,
            Kind::Halted => Exit::Halted,
            Kind::Audit => Exit::AuditBroken,
            Kind::Other => Exit::Failed,
        }
    }
}

impl From<RunOutcome> for Exit {
    fn from(outcome: RunOutcome) -> Self {
        match outcome {
            RunOutcome::Completed | RunOutcome::NoChanges => Exit::Success,
            RunOutcome::RolledBack => Exit::RolledBack,
            RunOutcome::Stopped | RunOutcome::Refused => Exit::Stopped,
            RunOutcome::Holding => Exit::Holding,
            RunOutcome::Halted => Exit::Halted,
            RunOutcome::Waiting => Exit::Waiting,
        }
    }
}
