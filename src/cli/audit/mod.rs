//! `bgctl audit`: is a log the one its owner wrote, and what does it say?
//!
//! One file a verb: an `Args` and a `run`, and one line each in [`Verb`] and [`run`].

mod adopt;
mod against;
mod anchor;
mod export;
mod ledger;
mod policy;
mod redact;
mod script;
mod show;
mod sign;
mod verify;
mod withheld;

use std::path::{Path, PathBuf};

use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::LOG;
use crate::session::places;
use crate::shell::{Context, Exit};

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
    Export(export::Args),
    Redact(redact::Args),
    Ledger(ledger::Args),
    Anchor(anchor::Args),
    Sign(sign::Args),
    Adopt(adopt::Args),
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    match &args.verb {
        Verb::Verify(args) => verify::run(args, cx),
        Verb::VerifyScript(args) => script::run(args, cx),
        Verb::Show(args) => show::run(args, cx),
        Verb::Export(args) => export::run(args, cx),
        Verb::Redact(args) => redact::run(args, cx),
        Verb::Ledger(args) => ledger::run(args, cx),
        Verb::Anchor(args) => anchor::run(args, cx),
        Verb::Sign(args) => sign::run(args, cx),
        Verb::Adopt(args) => adopt::run(args, cx),
    }
}

/// A log by the name of its run, or by its path.
fn locate(cx: &Context, name: Option<&str>) -> Result<PathBuf, Refusal> {
    if let Some(name) = name {
        let path = cx.cwd.join(name);
        if file::stands(&path) {
            return Ok(path);
        }
        if file::stands(&path.join(LOG)) {
            return Ok(path.join(LOG));
        }
    }
    let (_, folder) = places::find(cx, name)?;
    Ok(folder.join(LOG))
}

fn unreadable(log: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Usage, Code::LogUnread, "the log cannot be read")
        .place(log.display().to_string())
        .cause(error.to_string())
}

/// Writes a file that is not there yet, whole or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    use std::io::Write;
    let refuse = |error: std::io::Error| {
        Refusal::new(Kind::Usage, Code::Unwritable, "the result cannot be written")
            .place(path.display().to_string())
            .cause(error.to_string())
            .next("name a file that is not there yet")
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(refuse)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half of it is worse than nothing; what cannot be removed either is named.
        let _ = std::fs::remove_file(path);
        refuse(error)
    })
}
