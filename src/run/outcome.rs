//! How an attempt of a step ended, why, and what is wanted then.
//!
//! A file format from the first release, as the facts are: names and members are only ever added.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

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

/// As a record has it. Before `then` was a member of its own, the wish of gates that could not be judged stood among the facts:
/// logs of then are still read.
pub(super) fn recorded<'de, D: Deserializer<'de>>(record: D) -> Result<Outcome, D::Error> {
    let outcome = Outcome::deserialize(record)?;
    Ok(match &outcome {
        Outcome::Failed { cause: Cause::NoVerdict, then: None, facts, .. } if facts["unknown"] == "hold" => {
            outcome.wanting(Reaction::Hold)
        }
        _ => outcome,
    })
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
    /// The provider is throttled, cannot be reached or does not know us any more, and that was so again and again.
    Away,
}

impl Cause {
    /// What is no failure of the release: with users split the run pauses, and goes on once it is over.
    pub fn pauses(self) -> bool {
        matches!(self, Cause::Drift | Cause::Frozen | Cause::Guard | Cause::Away)
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
