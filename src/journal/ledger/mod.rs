//! The ledger of runs: one chained, signed line for every opening, resuming and closing of a run on this machine, so that a
//! run whose folder was deleted or exchanged is missed.
//!
//! A line is signed by the run's session key, and the owner's statement that names this key stands in the same line: the
//! owner touches their key no more often for it. Nothing here looks at the logs themselves; that is for [`check()`].

mod check;
mod entry;
mod read;
mod write;

pub use check::{Finding, Findings, Standing, check};
pub use entry::{Entry, What};
pub(super) use read::order;
pub use read::{Line, Reading, read};
pub use write::{Hand, Ledger};

use super::spelling::hex;
use sha2::{Digest, Sha256};

/// The file of the ledger inside the state folder.
pub const LEDGER: &str = "ledger.jsonl";
/// What stands where there is no line before.
pub const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where a ledger ends: its lines, and the SHA-256 of the last one with its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    pub lines: u64,
    pub sha256: String,
}

impl Tip {
    /// Of a ledger without lines.
    pub fn nothing() -> Self {
        Tip { lines: 0, sha256: NOTHING.into() }
    }
}

/// What a line is known by.
fn digest(line: &[u8]) -> String {
    hex(&Sha256::digest(line))
}
