//! Programs on this machine, as a step may run them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

/// Child processes.
#[async_trait(?Send)]
pub trait Processes {
    /// Runs a program to its end or to the deadline, then ends its whole process group. `output` sees what it prints in the
    /// pieces in which it comes: a secret can lie across two of them, so the caller masks before it looks for lines.
    async fn run(&self, command: &Command, output: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> std::io::Result<Exit>;
}

/// A program to run, without a shell.
#[derive(Clone, Debug)]
pub struct Command {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub directory: Option<String>,
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Status(i32),
    Signal(i32),
    TimedOut,
}
