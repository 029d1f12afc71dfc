//! What goes wrong at a route: in whose words, of what kind, and whether users may have moved all the same.

use std::time::Duration;

use super::{Call, Reading};
use crate::plan::Split;

/// What went wrong at a route.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct RouterError {
    /// Lowercase fragment that names the place and the provider's words.
    pub what: String,
    pub kind: Trouble,
    /// Whether users may have moved all the same.
    pub moved: bool,
    /// A command or an edit that cures it, if one is known.
    pub cure: Option<String>,
    /// How long the provider asks to wait before it is asked again, in its own words.
    pub after: Option<Duration>,
    /// What was read of users before it went wrong, if anything was.
    pub read: Option<String>,
    /// A reading with a gap: the split as if whatever keeps silent were as it was told last. It says nothing about users, but
    /// a way back may start from it, since the side that it leads to answers.
    pub partly: Option<Box<Reading>>,
    pub calls: Vec<Call>,
}

/// The kinds of trouble that lead to different actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The split is not the expected one; nothing was written.
    Drift {
        found: Split,
    },
    /// The place or one of its parts does not exist.
    NotFound,
    /// The provider does not take what the runbook wants.
    Invalid,
    NoCredentials,
    Denied,
    Throttled,
    /// Possible, but not at this moment.
    NotNow,
    /// No answer, or one that cannot be understood.
    Unreachable,
}

impl RouterError {
    pub fn new(kind: Trouble, what: impl Into<String>) -> Self {
        RouterError {
            what: what.into(),
            kind,
            moved: false,
            cure: None,
            after: None,
            read: None,
            partly: None,
            calls: Vec::new(),
        }
    }

    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    /// Trying again can help. Credentials are among it: they are looked up anew each time, and a person or a timer may have
    /// renewed them meanwhile.
    pub fn passing(&self) -> bool {
        matches!(self.kind, Trouble::Throttled | Trouble::Unreachable | Trouble::NotNow | Trouble::NoCredentials)
    }
}
