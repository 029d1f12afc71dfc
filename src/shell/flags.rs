//! The flags that every command takes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Output, When};

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// Change to this folder first.
    #[arg(short = 'C', long, value_name = "DIR", global = true, help_heading = "Global")]
    pub(super) chdir: Option<PathBuf>,
    /// What to write: live or plain text, one JSON document, or one JSON object an event.
    #[arg(short, long, value_name = "FORM", global = true, help_heading = "Global")]
    pub(super) output: Option<Output>,
    /// When to use colour.
    #[arg(long, value_name = "WHEN", global = true, help_heading = "Global")]
    pub(super) color: Option<When>,
    /// Write ASCII only.
    #[arg(long, global = true, help_heading = "Global")]
    pub(super) ascii: bool,
    /// Never ask: what a question would have answered must be a flag.
    #[arg(long, visible_alias = "non-interactive", global = true, help_heading = "Global")]
    pub(super) no_input: bool,
    /// Say only the result.
    #[arg(short, long, global = true, help_heading = "Global")]
    pub(super) quiet: bool,
    /// Say more; twice for every call to a provider.
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Global")]
    pub(super) verbose: u8,
    /// Where runs and their signed logs are kept.
    #[arg(long, value_name = "DIR", global = true, help_heading = "Global")]
    pub(super) state_dir: Option<PathBuf>,
}

impl Global {
    pub(super) fn output(&self, env: &BTreeMap<String, String>) -> Output {
        let ours = env.get("BGCTL_OUTPUT").and_then(|text| clap::ValueEnum::from_str(text, true).ok());
        self.output.or(ours).unwrap_or_default()
    }
}
