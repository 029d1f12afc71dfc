//! What anchors gave for a run, kept beside its log. Convenient, and no proof: who can change the log can change these too.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AnchorError;
use crate::file;
use crate::journal::heads::Head;
use crate::plan::sha256;

/// The folder inside a run's folder.
pub const FOLDER: &str = "anchors";

/// One receipt, as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub kind: String,
    pub place: String,
    pub receipt: String,
    pub at: String,
    pub head: String,
}

impl Receipt {
    pub(super) fn write(&self, folder: &Path, head: &Head) -> Result<(), AnchorError> {
        let path = path(folder, head, &self.kind, &self.place, "json");
        let text = serde_json::to_string_pretty(self).expect("BUG: a receipt is plain data") + "\n";
        file::write(&path, text)
            .map_err(|e| AnchorError(format!("taken, but `{}` cannot be written: {e}", path.display())))
    }

    /// The receipts of a kind, oldest first.
    pub(super) fn of_kind(folder: &Path, kind: &str) -> Vec<Receipt> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.sort();
        let json = files.iter().filter(|path| path.extension().is_some_and(|e| e == "json"));
        let all = json.filter_map(|path| serde_json::from_slice::<Receipt>(&file::read(path, file::LONG).ok()?).ok());
        all.filter(|receipt| receipt.kind == kind).collect()
    }
}

/// The file of a receipt: sorted by how long the log was, apart for each place.
pub(super) fn path(folder: &Path, head: &Head, kind: &str, place: &str, extension: &str) -> PathBuf {
    folder.join(format!("{:08}-{kind}-{}.{extension}", head.log.lines, &sha256(place.as_bytes())[..8]))
}

pub(super) fn folder(folder: &Path) -> Result<(), AnchorError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| AnchorError(format!("cannot make `{}`: {e}", folder.display())))
}
