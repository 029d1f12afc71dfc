//! The file itself: its name, its text and its digest.

use std::io::Read;

use super::yaml::MOST_BYTES;
use crate::diag::{Code, Kind, Refusal};

/// A runbook file as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as given.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Source { path: path.into(), text: text.into() }
    }

    /// Reads a file of at most 1 MiB. A longer one is refused without reading it all.
    pub fn read(path: &str) -> Result<Self, Refusal> {
        let refuse = |headline: String| Refusal::new(Kind::Invalid, Code::File, headline).place(path);
        let unreadable = |e: std::io::Error| {
            refuse(format!("`{path}` cannot be read")).cause(e.to_string()).next("name a runbook file that can be read")
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        if file.metadata().is_ok_and(|about| about.is_dir()) {
            return Err(refuse(format!("`{path}` is a folder, not a runbook"))
                .next(format!("bgctl check {}/*.yaml", path.trim_end_matches('/'))));
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(
                refuse(format!("`{path}` is longer than 1 MiB")).cause("a runbook is shorter; none of it was used")
            );
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
            refuse(format!("`{path}` is not UTF-8 text")).place(format!("line {line}, byte {at}"))
        })?;
        Ok(Source { path: path.into(), text: text.strip_prefix('\u{feff}').map_or(text.clone(), String::from) })
    }
}
