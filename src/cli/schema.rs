//! `bgctl schema`: the JSON Schema of runbooks, or of the policy, for editors.

use std::io::Write;

use crate::policy;
use crate::runbook::{self, Language};
use crate::shell::Exit;

/// Print the JSON Schema of runbooks. Editors that know YAML check and complete with it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The file whose schema is printed.
    #[arg(value_enum, default_value_t = Of::Runbook)]
    pub of: Of,
}

/// The files that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Of {
    Runbook,
    /// `.bgctl/policy.yaml`.
    Policy,
}

pub fn run(args: &Args, out: &mut dyn Write) -> std::io::Result<Exit> {
    let schema = match args.of {
        Of::Runbook => runbook::for_editors(&Language::default().schema),
        Of::Policy => policy::schema(),
    };
    serde_json::to_writer_pretty(&mut *out, &schema)?;
    writeln!(out)?;
    Ok(Exit::Success)
}
