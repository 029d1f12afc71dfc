//! `bgctl version`: which bgctl this is, and what was built into it.

use serde_json::json;

use crate::diag::Refusal;
use crate::shell::{Context, Exit, Output};

#[derive(Debug, clap::Args)]
pub struct Args {}

/// The routers and steps this build knows.
pub fn run(_args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let routers: Vec<&str> = crate::routers::KINDS.iter().map(|kind| kind.name).collect();
    let steps: Vec<&str> = crate::steps::KINDS.iter().map(|kind| kind.name).collect();
    let version = env!("CARGO_PKG_VERSION");
    match cx.output {
        Output::Json | Output::Jsonl => {
            cx.json(&json!({ "version": version, "routers": routers, "steps": steps, "plan": 1, "log": 1 }));
        }
        Output::Human | Output::Plain => {
            cx.out(&format!("bgctl {version}"));
            if !cx.quiet {
                cx.out(&format!("  routers  {}", routers.join(" ")));
                cx.out(&format!("  steps    {}", steps.join(" ")));
            }
        }
    }
    Ok(Exit::Success)
}
