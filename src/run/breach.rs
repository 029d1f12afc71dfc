//! What ends a wait: a gate or a guard that tripped, a side that is not well. The fact it becomes is an [`Event`] or an [`Outcome`].

use super::event::Event;
use super::outcome::{Cause, Outcome, Reaction};
use crate::plan::StepRef;

/// Why a wait may not go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    pub cause: Cause,
    pub line: String,
    /// What is wanted in place of going back, where going back is known to be wrong.
    pub then: Option<Reaction>,
}

impl Breach {
    pub fn new(cause: Cause, line: impl Into<String>) -> Self {
        Breach { cause, line: line.into(), then: None }
    }

    /// Nobody may be sent back for it.
    pub fn halting(self) -> Self {
        Breach { then: Some(Reaction::Halt), ..self }
    }

    /// The wait at a step ends so.
    pub fn at(self, step: StepRef) -> Event {
        Event::WaitBreached { step, cause: self.cause, line: self.line, then: self.then }
    }

    /// The step that only waits ends so.
    pub fn outcome(self) -> Outcome {
        let outcome = Outcome::failed(self.cause, self.line);
        match self.then {
            Some(then) => outcome.wanting(then),
            None => outcome,
        }
    }
}
