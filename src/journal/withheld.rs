//! What is withheld of a log in a copy of it: which records can be, and what stands for one that is not there.

use crate::sign::Signed;

/// Members that hold no text of the outside: names of the plan and of this format, digests, keys, and texts whose bytes are
/// signed. A record in which one of them is another is another fact.
pub const COMPARED: &[&str] = &[
    "type",
    "step",
    "lane",
    "id",
    "is",
    "cause",
    "then",
    "found",
    "wish",
    "outcome",
    "verdict",
    "via",
    "evidence",
    "principal",
    "key",
    "sig",
    "request",
    "request_sha256",
    "step_sha256",
    "approvals",
    "gate",
    "route",
    "stack",
    "stream",
    "split",
];

/// Whether a type of record can be withheld. What carries signatures cannot: without its exact text nothing of the log holds.
pub fn can_be_withheld(kind: &str) -> bool {
    !matches!(kind, "seal" | "run.opened" | "run.resumed" | "plan.loaded") && !kind.starts_with("approval.")
}

/// One record whose data are not in the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    pub kind: String,
    /// SHA-256 of the original line with its line end, and its length.
    pub sha256: String,
    pub bytes: u64,
}

/// What a copy withholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withholding {
    pub records: Vec<u64>,
    pub reason: String,
    pub time: String,
    /// Who signed the statement.
    pub by: Signed,
    /// What the owner says that the original was.
    pub original_sha256: String,
}
