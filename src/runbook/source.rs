//! The file itself: its name, its text and its digest.

use std::io::ErrorKind;
use std::path::Path;

use super::yaml::MOST_BYTES;
use crate::diag::{Code, Kind, Refusal};
use crate::file;

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
        if Path::new(path).is_dir() {
            return Err(refuse(format!("`{path}` is a folder, not a runbook"))
                .next(format!("bgctl check {}/*.yaml", path.trim_end_matches('/'))));
        }
        let text = file::text(Path::new(path), MOST_BYTES).map_err(|e| match e.kind() {
            ErrorKind::FileTooLarge => {
                refuse(format!("`{path}` is longer than 1 MiB")).cause("a runbook is shorter; none of it was used")
            }
            ErrorKind::InvalidData => refuse(format!("`{path}` is not UTF-8 text")).place(e.to_string()),
            _ => unreadable(e),
        })?;
        Ok(Source { path: path.into(), text: text.strip_prefix('\u{feff}').map_or(text.clone(), String::from) })
    }
}
