//! A log in the words of other tools. Each form is made from a log that was read and verified, and says of itself what it
//! proves: an export is a view, and the log stays the evidence.
//!
//! To add a form: a file here, and two lines (`mod` and a row of [`KINDS`]). Nothing here signs, reads files or judges; it turns records into documents.

mod cloudevents;
mod ocsf;
mod statement;

pub use statement::envelope;

use serde_json::Value;

use super::Report;
use crate::journal::Sound;

/// A log, and what was found about it.
pub struct Source<'a> {
    /// The log as it is stored.
    pub bytes: &'a [u8],
    pub sound: &'a Sound,
    pub report: &'a Report,
    /// The verdict as it is always called.
    pub verdict: &'a str,
}

/// A form a log can be exported in.
#[derive(Debug)]
pub struct Kind {
    /// As `--format` takes it.
    pub name: &'static str,
    /// One line about it, for `--help`.
    pub about: &'static str,
    /// The page that explains it, as Markdown.
    pub page: &'static str,
    pub write: fn(&Source<'_>) -> String,
    /// The type of payload that the run's owner may sign it as; nothing, where it is never signed.
    pub signed_as: Option<&'static str>,
}

/// Every form.
pub const KINDS: &[Kind] = &[cloudevents::KIND, ocsf::KIND, statement::KIND];

/// What `bgctl explain audit` shows: the page of all of them.
const PAGE: &str = include_str!("../audit.md");

/// One document a line.
fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// SHA-256 in hex.
fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
