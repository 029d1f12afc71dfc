//! `bgctl audit verify-script`: the verifier for those who do not want to believe bgctl.

use crate::audit::SCRIPT;
use crate::diag::Refusal;
use crate::shell::{Context, Exit};

/// Print a script that verifies a log with standard tools only: jq, ssh-keygen, sha256sum.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
bgctl audit verify-script > verify.sh
sh verify.sh log.jsonl allowed_signers

It reaches the verdicts of `bgctl audit verify`, with the same exit codes, and shares no code with it.")]
pub struct Args {}

pub fn run(_: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.raw_out(SCRIPT.trim_end());
    Ok(Exit::Success)
}
