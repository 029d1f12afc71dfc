//! What the driver can be asked to do. Which of it is next is for [`super::decide()`].

use super::event::{Event, RunOutcome};
use super::outcome::Cause;
use crate::plan::StepRef;

/// What the driver has to do; every answer comes back as an [`Event`].
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and it is handed on at once")]
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Write this down; nothing else is needed for it.
    Note(Event),
    /// Preflight, and compute the way back.
    Arm,
    /// Write an approval request for this step.
    Request(StepRef),
    /// Wait for the approvals of this step.
    Await(StepRef),
    Attempt(StepRef, u32),
    /// Read where every route is, all at the same moment. `settle`: first wait until no write of this run can land any more.
    /// `patient`: a route that does not answer is asked again for a while.
    Look {
        settle: bool,
        patient: bool,
    },
    /// Look whether the step's effect is in place.
    Observe(StepRef),
    /// Each of these at the same time: none waits for another.
    Together(Vec<Next>),
    /// Nothing can be looked at: ask a person whether it happened.
    AskInPlace(StepRef),
    /// Automatic rollback is not allowed here: ask a person.
    AskRollback {
        why: String,
    },
    /// After an interruption while users are split: roll back, hold or go on?
    AskInterrupted,
    /// Something forbids going forward: say so, with how long that is waited for.
    Pause {
        cause: Cause,
        line: String,
    },
    /// Wait until the way is free, the gates fail, a person wishes otherwise or the time is over.
    AwaitFree {
        cause: Cause,
        until: i64,
    },
    /// Call a person.
    Page {
        line: String,
    },
    Stop(RunOutcome),
}
