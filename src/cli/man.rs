//! `bgctl man`: the pages `man` shows, one for each command, made from the tree that parses command lines.

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use crate::diag::{Code, Kind, Refusal};
use crate::shell::{Context, Exit};

/// Write man pages into a folder, one for each command, for example into `/usr/local/share/man/man1`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder; it is made where it is missing.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let folder = cx.cwd.join(&args.folder);
    let written = std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(Cli::command(), &folder));
    written.map_err(|error| {
        Refusal::new(Kind::Other, Code::Unwritable, "the man pages cannot be written")
            .place(folder.display().to_string())
            .cause(error.to_string())
            .next("give another folder, or free space, then the same command again")
    })?;
    cx.out(&format!("man pages of bgctl and its commands are in {}", folder.display()));
    Ok(Exit::Success)
}
