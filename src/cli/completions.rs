//! `bgctl completions`: what a shell needs to complete our command lines, made from the tree that parses them.

use std::io::Write;

use clap::CommandFactory;

use super::Cli;
use crate::shell::Exit;

/// Print the completions of a shell, for example into `/etc/bash_completion.d/bgctl`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

pub fn run(args: &Args, out: &mut dyn Write) -> std::io::Result<Exit> {
    // Made in memory: the generator panics where its stream is closed.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bgctl", &mut text);
    out.write_all(&text)?;
    Ok(Exit::Success)
}
