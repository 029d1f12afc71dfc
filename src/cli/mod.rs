//! The command line: the only code that reads argv and the environment, exits, or owns stdout and stderr.
//!
//! One file a command: an `Args` struct and a `run` function.

pub mod check;
mod exit;
pub mod schema;

pub use exit::Exit;
