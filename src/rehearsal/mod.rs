//! A rehearsal stack as a session reaches it: the environment and the variables that lead to it, and its end. Who plays it is
//! handed in by whoever starts the process, so nothing that moves users knows of the lab.
//!
//! A rehearsal reaches nothing but its own endpoints: [`Own`] knows them, and each row of each table of kinds says with an
//! [`InLab`] what its kind would reach.

mod in_lab;
mod own;

use std::collections::BTreeMap;
use std::path::Path;

pub use in_lab::{InLab, Mark, Place, at};
pub use own::{Own, few};

/// How the rehearsal's Slack app gets its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Mode {
    /// Slack posts them to the load balancer.
    #[default]
    Http,
    /// The bots hold sockets that Slack sends them down.
    Sockets,
}

/// One that runs.
pub trait Rehearsal {
    /// The runbook variables that lead to it.
    fn variables(&self) -> BTreeMap<String, String>;

    /// What the AWS SDK and the runbook's secrets have to find in the environment.
    fn environment(&self) -> Vec<(String, String)>;

    /// Ends the sending, lets the last events end, and says the counts. Blocks the calling thread.
    fn finish(&self) -> String;
}

/// Why a rehearsal did not start.
#[derive(Debug)]
pub enum NotStarted {
    /// There is no fault of that name.
    Fault(String),
    /// It did not start, or does not answer.
    Lab(anyhow::Error),
}

/// Where rehearsals come from.
pub trait Rehearsals {
    /// Starts one with these faults: one that remembers itself in a folder, where other processes can join it, or one that is
    /// gone with this process.
    fn start(&self, folder: Option<&Path>, faults: &[String], mode: Mode) -> Result<Box<dyn Rehearsal>, NotStarted>;

    /// The one that lives in this folder, if one does and the plan was made in it.
    ///
    /// # Errors
    /// One lives there and gives no answer.
    fn join(&self, folder: &Path, plan: &str) -> anyhow::Result<Option<Box<dyn Rehearsal>>>;

    /// Whether this process is to be a rehearsal itself, by its only argument; then it is one until nobody needs it, and this
    /// says whether it could be.
    fn serve(&self, word: &str) -> Option<bool>;
}
