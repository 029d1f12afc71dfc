//! The command line: the only code that reads argv and the environment, exits, or owns stdout and stderr.
//!
//! One file a command: an `Args` struct and a `run` function.

mod exit;

pub use exit::Exit;
