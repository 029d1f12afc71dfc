//! The journal of a run: the audit log, the resume state and the source of every report, in one append-only file.
//!
//! No record, no effect: whoever wants to change the world appends first, and stops when that fails.

mod alone;
mod archive;
mod beside;
pub(crate) mod blocks;
mod countersign;
mod disk;
pub(crate) mod encode;
mod fault;
pub mod heads;
pub(crate) mod input;
pub(crate) mod json;
mod keep;
pub mod ledger;
pub(crate) mod line;
mod lock;
mod note;
mod order;
mod plain;
mod reading;
mod recover;
pub(crate) mod scan;
mod session;
mod spelling;
mod store;
mod usual;
mod withheld;
mod writer;

pub use archive::{Archive, found_in, own};
pub use beside::{PLAN, WHOLE, keep_plan, keep_way_back};
pub use countersign::{Countersigned, countersign};
pub use disk::{Disk, LocalDisk};
pub use fault::{Fault, What};
pub use input::{Input, LOG, read_log};
pub use line::EVIDENCE;
pub use lock::{Holder, Lock};
pub use note::{Note, SealState, origin};
pub use order::Opened;
pub use reading::{Sound, Unread, mentions, read, read_copy, read_on};
pub use scan::Seals;
pub use session::Session;
pub use store::{DirStore, Fault as StoreFault, MemoryStore, Store, Torn};
pub use withheld::{COMPARED, Withheld, Withholding, can_be_withheld};
pub use writer::{Closed, Journal, Opening, SESSION, Who};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::run::{Event, Evidence};
use crate::sign::SignError;

/// A record to be written: its type and its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub kind: String,
    pub data: Value,
}

impl From<&Event> for Record {
    fn from(event: &Event) -> Self {
        tagged(serde_json::to_value(event))
    }
}

impl From<&Evidence> for Record {
    fn from(evidence: &Evidence) -> Self {
        tagged(serde_json::to_value(evidence))
    }
}

impl Record {
    /// The fact in it, if it is one the run machine reads.
    pub fn event(&self) -> Option<Event> {
        untagged(&self.kind, &self.data)
    }
}

fn untagged<T: DeserializeOwned>(kind: &str, data: &Value) -> Option<T> {
    serde_json::from_value(serde_json::json!({ "type": kind, "data": data })).ok()
}

fn tagged(value: serde_json::Result<Value>) -> Record {
    let mut value = value.expect("BUG: facts are plain data");
    let kind = value["type"].as_str().expect("BUG: facts are tagged").to_string();
    Record { kind, data: value["data"].take() }
}

/// A record as written: what every reader and every view is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: u64,
    /// RFC 3339, UTC, microseconds.
    pub ts: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub data: Value,
}

impl Entry {
    /// The fact in it, if it is one the run machine reads.
    pub fn event(&self) -> Option<Event> {
        untagged(&self.kind, &self.data)
    }

    /// The evidence in it, if it is that.
    pub fn evidence(&self) -> Option<Evidence> {
        untagged(&self.kind, &self.data)
    }
}

/// The writing end, as the driver sees it.
pub trait Append {
    /// Writes the records and a seal over everything so far in one write, and returns once they are on the disk. After an
    /// error nothing more can be appended.
    fn append(&mut self, records: &[Record]) -> Result<Vec<Entry>, JournalError>;
}

/// The journal cannot be written: nothing may move.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct JournalError {
    /// Names the file and the system's words.
    pub what: String,
}

/// A journal that cannot be begun or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("`{place}`: {fault}")]
    Broken { place: String, fault: Fault },
    #[error("run `{run}` is closed; a closed run is over")]
    Over { run: String },
    #[error(
        "run `{run}` did not end in order, so there is nothing to sign: it is resumed, or taken up by another owner"
    )]
    NotEnded { run: String },
    #[error("run `{run}` was opened with {wanted}, and only that key closes it; this one is {found}")]
    OtherKey { run: String, wanted: String, found: String },
    #[error("`{0}` cannot name a service or a run: it is empty or has blanks, control characters or a `/`")]
    Name(String),
}
