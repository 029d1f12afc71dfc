//! A session: one process's part of a run. Its key signs what is written in between, because the owner's statement names it.
//!
//! The key is never stored. It may seal the run's log and add to the ledger; it can neither open nor close anything.

use crate::sign::session::SessionKey;
use crate::sign::{SignError, Signer};

/// The key in memory, and the statement by which the owner let it sign.
pub struct Session {
    key: SessionKey,
    /// The exact text the owner signed.
    pub(super) statement: String,
    /// The owner's signature, or MAC, over it.
    pub(super) signature: String,
}

impl Session {
    pub(super) fn new(key: SessionKey, statement: String, signature: String) -> Self {
        Session { key, statement, signature }
    }

    pub(super) fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        self.key.sign(namespace, message)
    }
}

/// A key is shown to nobody.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}
