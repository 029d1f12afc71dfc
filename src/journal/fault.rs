//! What can be wrong with the bytes of a journal, and where.

use std::fmt;

use crate::diag::Code;

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The record it is about, counted from 0 as `seq` is; its line in the file is one more.
    pub record: u64,
    /// Where that record begins in the file.
    pub offset: u64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The line is not one of this format.
    Unreadable(String),
    /// The line was changed after the one behind it was written.
    Changed,
    /// Lines are gone: the next one has this number.
    Missing { found: u64 },
    /// The line stands in the wrong place, or for a second time; it has this number.
    Moved { found: u64 },
    /// The line belongs to another run.
    OtherRun { found: String },
    /// An opening or resuming statement does not hold.
    Statement(String),
    /// A seal does not hold.
    Seal(String),
    /// The line may not stand where it stands.
    Order(String),
    /// Times contradict each other.
    Time(String),
    /// Bytes at the end are covered by no seal.
    Unsealed { bytes: u64 },
    /// There is nothing.
    Empty,
    /// The owner's statement about what this copy withholds does not hold.
    Redaction(String),
}

impl What {
    pub fn code(&self) -> Code {
        match self {
            What::Unreadable(_) | What::Empty => Code::LogUnread,
            What::Changed => Code::RecordChanged,
            What::Missing { .. } | What::Moved { .. } | What::OtherRun { .. } => Code::RecordMissing,
            What::Unsealed { .. } => Code::Unsealed,
            What::Statement(_) | What::Seal(_) | What::Order(_) | What::Time(_) => Code::SealBroken,
            What::Redaction(_) => Code::Withheld,
        }
    }
}

/// The headline, without a full stop.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record;
        match &self.what {
            What::Unreadable(why) => write!(f, "record {record} cannot be read: {why}"),
            What::Changed => write!(f, "record {record} was changed after it was written"),
            What::Missing { found } if record == 0 => write!(f, "record 0 is missing: the log begins with {found}"),
            What::Missing { found } => write!(f, "record {record} is missing: {} is followed by {found}", record - 1),
            What::Moved { found } => write!(f, "record {found} stands where record {record} belongs"),
            What::OtherRun { found } => write!(f, "record {record} belongs to another run, `{found}`"),
            What::Statement(why) => write!(f, "the owner's statement in record {record} does not hold: {why}"),
            What::Seal(why) => write!(f, "the seal in record {record} does not hold: {why}"),
            What::Order(why) => write!(f, "record {record} may not stand there: {why}"),
            What::Time(why) => write!(f, "the time of record {record} cannot be right: {why}"),
            What::Unsealed { bytes } => write!(f, "the last {bytes} bytes are covered by no seal"),
            What::Empty => write!(f, "the log is empty"),
            What::Redaction(why) => write!(f, "the owner's word on what this copy withholds does not hold: {why}"),
        }
    }
}
