//! A log in the words of other tools. Each form is made from a log that was read and verified, and says of itself what it
//! proves: an export is a view, and the log stays the evidence.
//!
//! Nothing here signs, reads files or judges; it turns records into documents.

mod cloudevents;
mod ocsf;
mod statement;

pub use cloudevents::cloudevents;
pub use ocsf::ocsf;
pub use statement::{PAYLOAD, envelope, statement};

use crate::journal::{Report, Sound};

/// A log, and what was found about it.
pub struct Source<'a> {
    /// The log as it is stored.
    pub bytes: &'a [u8],
    pub sound: &'a Sound,
    pub report: &'a Report,
    /// The verdict as it is always called.
    pub verdict: &'a str,
}

/// SHA-256 in hex.
fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
