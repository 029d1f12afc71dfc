//! `bgctl schema`: the JSON Schema of runbooks, for editors.

use std::io::Write;

use super::Exit;
use crate::runbook::Language;

/// Print the JSON Schema of runbooks. Editors that know YAML check and complete with it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

pub fn run(_: &Args, out: &mut dyn Write) -> std::io::Result<Exit> {
    serde_json::to_writer_pretty(&mut *out, &Language::default().schema)?;
    writeln!(out)?;
    Ok(Exit::Success)
}
