//! What an operator wants of a run under way, merged from signals, keys and other terminals.

use async_trait::async_trait;

use crate::run::Actor;

/// A wish of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ctrl-C: finish the call, read back, ask.
    Interrupt,
    /// SIGTERM: nobody will answer a question any more.
    Terminate,
    /// Back to blue now.
    RollBack { by: Actor, reason: String },
    /// Back to blue although this guard stands against it.
    Override { guard: String, by: Actor, reason: String },
    /// A second Ctrl-C: leave at once and say what is left behind.
    Leave,
}

/// Where wishes come from. Cancelled by dropping: a wish that was not handed out is handed out next time.
#[async_trait(?Send)]
pub trait Control {
    async fn next(&self) -> Command;

    /// Whether somebody is being asked at this moment if users shall go back. [`Control::next`] takes the answer.
    fn asks(&self) -> bool {
        false
    }
}
