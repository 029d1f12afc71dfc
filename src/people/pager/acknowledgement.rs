//! "I have it": a file in the run's folder that `bgctl ack` writes and the waiting process reads.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::file;
use crate::run::Actor;

const FILE: &str = "acknowledged.json";

/// Somebody has the incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub by: Actor,
    pub at: Timestamp,
    /// What they said about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
}

/// Leaves it in the run's folder; a later one takes the place of an earlier one.
pub fn acknowledge(folder: &Path, given: &Acknowledgement) -> io::Result<()> {
    let file = folder.join(FILE);
    let text = serde_json::to_string(given).expect("BUG: an acknowledgement is plain data");
    // Written whole under another name, so that nobody reads half of it.
    let part = folder.join(format!("{FILE}.{}", std::process::id()));
    file::write(&part, text)?;
    std::fs::rename(part, file)
}

/// What lies in the run's folder.
pub fn acknowledged(folder: &Path) -> Option<Acknowledgement> {
    let text = file::text(&folder.join(FILE), file::SHORT).ok()?;
    serde_json::from_str(&text).ok()
}
