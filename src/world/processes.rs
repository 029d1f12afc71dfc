//! Programs on this machine, as a step may run them.

use async_trait::async_trait;

pub use crate::child::{Command, Exit, Stream};

/// Child processes.
#[async_trait(?Send)]
pub trait Processes {
    /// Runs a program to its end or to the deadline, then ends its whole process group. `output` sees what it prints in the
    /// pieces in which it comes: a secret can lie across two of them, so the caller masks before it looks for lines.
    async fn run(&self, command: &Command, output: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> std::io::Result<Exit>;
}
