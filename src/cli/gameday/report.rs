//! The report of a game day, signed, and how old the ones before it are.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::proofs::Proof;
use crate::file;
use crate::plan::Plan;
use crate::scalar::spoken;
use crate::sign::{Signer, namespace, sshsig};

const REPORT: &str = "report.json";

/// What a game day has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub bgctl_gameday: u32,
    pub service: String,
    pub environment: String,
    pub runbook: String,
    pub runbook_sha256: String,
    /// BLUE and GREEN.
    pub versions: [String; 2],
    pub at: Timestamp,
    pub by: String,
    pub passed: bool,
    pub proofs: Vec<Proof>,
    /// Everybody is on BLUE again, and how that was seen.
    pub home: String,
    /// Whether GREEN was made good again, as the team's program says.
    pub green: String,
    /// The bgctl that was tried.
    pub version: String,
    /// When each proof was last shown before this day; none: never here.
    pub before: Vec<(String, Option<Timestamp>)>,
}

/// The folder of all game days.
pub fn folder(state: &Path) -> PathBuf {
    state.join("gameday")
}

/// When a game day of this service last showed this, by the reports that lie here.
pub fn last(state: &Path, plan: &Plan, proof: &str) -> Option<Timestamp> {
    let days = std::fs::read_dir(folder(state)).ok()?.filter_map(|day| Some(day.ok()?.path().join(REPORT)));
    let reports = days.filter_map(|file| signed(&file));
    let ours = reports.filter(|report| report.service == plan.service && report.environment == plan.environment);
    ours.filter(|report| report.proofs.iter().any(|shown| shown.name == proof && shown.shown))
        .map(|report| report.at)
        .max()
}

/// A report whose signature is of its bytes. Whose key that is stands in it, and is for whoever reads it.
fn signed(path: &Path) -> Option<Report> {
    let text = file::read(path, file::LONG).ok()?;
    let signature = file::text(&path.with_extension("json.sig"), file::SHORT).ok()?;
    sshsig::verify(namespace::GAMEDAY, &text, &signature).ok()?;
    serde_json::from_slice(&text).ok()
}

/// `31d ago`, or that it was never shown here.
pub fn age(last: Option<Timestamp>, now: Timestamp) -> String {
    let Some(last) = last.filter(|last| *last <= now) else { return "never shown on this machine".into() };
    let seconds = (now.as_second() - last.as_second()).max(0).unsigned_abs();
    format!("last shown {} ago", spoken(std::time::Duration::from_secs(seconds)))
}

impl Report {
    /// Writes it with its signature; where it lies.
    pub fn keep(&self, day: &Path, signer: &dyn Signer) -> io::Result<PathBuf> {
        let file = day.join(REPORT);
        let text = serde_json::to_string_pretty(self).expect("BUG: a report is plain data") + "\n";
        file::write(&file, &text)?;
        let signature = signer.sign(namespace::GAMEDAY, text.as_bytes()).map_err(io::Error::other)?;
        file::write(&day.join(format!("{REPORT}.sig")), signature)?;
        Ok(file)
    }
}
