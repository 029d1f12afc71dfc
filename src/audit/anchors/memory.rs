//! The verifier's own memory: the longest head it has found good of every log and ledger it was shown. What it saw once
//! cannot be taken back, at no cost to anybody.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file;
use crate::journal::heads::Head;
use crate::journal::ledger::Tip;

/// The file inside the state folder.
const HEADS: &str = "heads.json";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    bgctl_heads: u32,
    /// By the first line of the head.
    logs: BTreeMap<String, String>,
    /// Lines and SHA-256, by the path of the ledger.
    ledgers: BTreeMap<String, (u64, String)>,
}

/// What was seen before.
pub struct Memory {
    path: PathBuf,
    seen: Seen,
}

impl Memory {
    /// Reads it; nothing was seen where there is no file.
    pub fn read(state: &Path) -> io::Result<Memory> {
        let path = state.join(HEADS);
        let seen = match file::read(&path, file::LOG) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seen { bgctl_heads: 1, ..Seen::default() },
            Err(error) => return Err(error),
        };
        Ok(Memory { path, seen })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn log(&self, origin: &str) -> Option<Head> {
        self.seen.logs.get(origin).and_then(|text| Head::parse(text))
    }

    pub fn ledger(&self, path: &str) -> Option<Tip> {
        self.seen.ledgers.get(path).map(|(lines, sha256)| Tip { lines: *lines, sha256: sha256.clone() })
    }

    /// Keeps a head that was found good, if it is longer than the one before.
    pub fn remember_log(&mut self, head: &Head) -> io::Result<()> {
        if self.log(&head.log.origin).is_some_and(|before| before.log.bytes >= head.log.bytes) {
            return Ok(());
        }
        self.seen.logs.insert(head.log.origin.clone(), head.text());
        self.write()
    }

    pub fn remember_ledger(&mut self, path: &str, tip: &Tip) -> io::Result<()> {
        if self.ledger(path).is_some_and(|before| before.lines >= tip.lines) {
            return Ok(());
        }
        self.seen.ledgers.insert(path.into(), (tip.lines, tip.sha256.clone()));
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&self.seen).expect("BUG: heads are plain data") + "\n";
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let new = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
        fs::rename(new, &self.path)
    }
}
