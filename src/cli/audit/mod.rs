//! `bgctl audit`: is a log the one its owner wrote, and what does it say?
//!
//! One file a verb: an `Args` and a `run`, and one line each in [`Verb`] and [`run`].

mod against;
mod anchor;
mod ledger;
mod script;
mod show;
mod sign;
mod verify;

use std::path::{Path, PathBuf};

use super::{Context, Exit};
use crate::diag::{Kind, Refusal};
use crate::journal::{Archive, LOG};

/// Verify and read signed logs.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    Verify(verify::Args),
    VerifyScript(script::Args),
    Show(show::Args),
    Ledger(ledger::Args),
    Anchor(anchor::Args),
    Sign(sign::Args),
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    match &args.verb {
        Verb::Verify(args) => verify::run(args, cx),
        Verb::VerifyScript(args) => script::run(args, cx),
        Verb::Show(args) => show::run(args, cx),
        Verb::Ledger(args) => ledger::run(args, cx),
        Verb::Anchor(args) => anchor::run(args, cx),
        Verb::Sign(args) => sign::run(args, cx),
    }
}

/// A log by the name of its run, or by its path.
fn locate(cx: &Context, name: Option<&str>) -> Result<PathBuf, Refusal> {
    if let Some(name) = name {
        let path = cx.cwd.join(name);
        if path.is_file() {
            return Ok(path);
        }
        if path.join(LOG).is_file() {
            return Ok(path.join(LOG));
        }
    }
    let (_, folder) = Archive::new(cx.state_dir()?).find(name)?;
    Ok(folder.join(LOG))
}

fn unreadable(log: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Usage, "BG0604", "the log cannot be read")
        .place(log.display().to_string())
        .cause(error.to_string())
}
