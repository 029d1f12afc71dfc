//! A rollback that nothing on the disk keeps: its records stay in memory until its end, and are then written wherever that
//! can be done. It says so; it moves nobody.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::launch::Launch;
use crate::journal::ledger::{Hand, Ledger, What};
use crate::journal::{Archive, Closed, LOG, MemoryStore};

/// How the record of such a run begins.
pub const UNRECORDED: &str = "made without a record on the disk";

/// What is kept of a run until its end.
pub struct Unrecorded {
    pub store: MemoryStore,
    /// Where its records are wanted.
    pub file: Option<PathBuf>,
}

impl Unrecorded {
    /// Writes the records: into the file that was named, else where runs are kept if that can be written by now, else on
    /// stderr. What a person has to know of it.
    pub fn keep(&self, launch: &Launch<'_>, id: &str, closed: &Closed) -> Vec<String> {
        let bytes = self.store.bytes();
        let mut told = Vec::new();
        if let Some(file) = &self.file {
            match write(file, &bytes) {
                Ok(()) => {
                    told.push(format!("  record     {} (this run is in no ledger yet)", file.display()));
                    told.push(format!(
                        "             bgctl audit adopt {}    as soon as runs can be kept",
                        file.display()
                    ));
                    return told;
                }
                Err(error) => told.push(format!("! the record cannot be written to {}: {error}", file.display())),
            }
        }
        match launch.archive().map_err(|e| e.headline).and_then(|archive| filed(&archive, id, &bytes, closed, launch)) {
            Ok(folder) => told.push(format!("  record     {} (it could be written at the end)", folder.display())),
            Err(_) => {
                launch.cx.raw_err(BEGIN);
                String::from_utf8_lossy(&bytes).lines().for_each(|line| launch.cx.raw_err(line));
                launch.cx.raw_err(END);
                told.push("  record     the JSON lines above, and nowhere else: keep them in a FILE".into());
                told.push("             bgctl audit adopt FILE    as soon as runs can be kept".into());
            }
        }
        told
    }
}

const BEGIN: &str = "-- the record of this rollback, which could not be written --";
const END: &str = "-- end of the record --";

/// The run takes its place among the others after all, and the ledger has it.
fn filed(archive: &Archive, id: &str, bytes: &[u8], closed: &Closed, launch: &Launch<'_>) -> Result<PathBuf, String> {
    let folder = place(archive, id, bytes, &launch.plan.canonical())?;
    let hand = Hand::Session(&closed.session);
    let ledger = Ledger::in_folder(archive.root());
    for what in [What::Opened, What::Closed] {
        ledger.append(what, &closed.head, &hand, launch.cx.clock.as_ref()).map_err(|e| e.what)?;
    }
    Ok(folder)
}

/// Puts a whole log where runs are kept: its folder appears with everything in it, or not at all.
pub fn place(archive: &Archive, id: &str, bytes: &[u8], plan: &str) -> Result<PathBuf, String> {
    let folder = archive.run(id);
    let draft = folder.with_extension("draft");
    let made = (|| {
        DirBuilder::new().recursive(true).mode(0o700).create(folder.parent().unwrap_or(&folder))?;
        DirBuilder::new().mode(0o700).create(&draft)?;
        write(&draft.join("plan.json"), format!("{plan}\n").as_bytes())?;
        write(&draft.join(LOG), bytes)?;
        std::fs::rename(&draft, &folder)
    })();
    made.map(|()| folder).map_err(|error: std::io::Error| {
        // What is half made is no run; what cannot be removed either has no name of one.
        let _ = std::fs::remove_dir_all(&draft);
        format!("{}: {error}", archive.run(id).display())
    })
}

/// A file that is not there yet, on the disk when this returns.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}
