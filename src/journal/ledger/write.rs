//! Adding to the ledger: one line, one write, one sync, under a lock that lasts as long as that.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::JournalError;
use super::super::alone::Alone;
use super::super::disk::{self, Disk, LocalDisk};
use super::super::encode::{self, signature_member};
use super::super::line::LONGEST;
use super::super::note::Note;
use super::super::session::Session;
use super::super::spelling::stamp;
use super::{Entry, LEDGER, Tip, What, digest};
use crate::clock::Clock;
use crate::file;
use crate::sign::{Signer, namespace};

/// How long the lock of another process is waited for; it holds it for one write.
const WAIT: Duration = Duration::from_secs(2);

/// Whose key signs a line.
pub enum Hand<'a> {
    Session(&'a Session),
    /// The owner themself, by the name they opened the run under.
    Owner {
        owner: &'a str,
        key: &'a dyn Signer,
    },
}

/// The ledger of a state folder.
#[derive(Clone, Debug)]
pub struct Ledger {
    disk: Rc<dyn Disk>,
    path: PathBuf,
}

impl Ledger {
    pub fn in_folder(state: &Path) -> Self {
        Ledger::on(Rc::new(LocalDisk), state)
    }

    /// The same on this disk.
    pub fn on(disk: Rc<dyn Disk>, state: &Path) -> Self {
        Ledger { disk, path: state.join(LEDGER) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it ends now.
    pub fn tip(&self) -> Result<Tip, JournalError> {
        match file::open_ours(&self.path) {
            Ok(mut file) => self.end(&mut file).map(|(tip, _)| tip),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tip::nothing()),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    /// Adds a line, and returns once it is on the disk.
    pub fn append(&self, what: What, head: &Note, by: &Hand<'_>, clock: &dyn Clock) -> Result<Tip, JournalError> {
        disk::root(self.disk.as_ref(), disk::above(&self.path)).map_err(|e| self.failed("make", &e))?;
        let new = !self.path.exists();
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(file::ours())
            .open(&self.path)
            .map_err(|e| self.failed("open", &e))?;
        let mut file = self.locked(file, clock)?;
        let (tip, whole) = self.end(&mut file)?;
        let time = stamp(clock.now());
        self.cut(&mut file, whole, &time)?;
        let entry = Entry { line: tip.lines, prev: tip.sha256, time, what, head: head.clone() };
        let line = self.line(&entry, by)?;
        let written = file.write(line.as_bytes());
        if written.as_ref().ok() != Some(&line.len()) {
            // A part of a line would look like a crash. Where even that cannot be undone, the next append keeps it apart.
            let _ = file.set_len(whole);
            let why = written.err().unwrap_or_else(|| io::ErrorKind::StorageFull.into());
            return Err(self.failed("write", &why));
        }
        self.disk.file(&file).map_err(|e| self.failed("sync", &e))?;
        if new {
            disk::names(self.disk.as_ref(), disk::above(&self.path)).map_err(|e| self.failed("sync", &e))?;
        }
        Ok(Tip { lines: entry.line + 1, sha256: digest(line.as_bytes()) })
    }

    /// Runs of different services may end at the same moment: each waits for the other's one write, and no longer, since
    /// somebody may be on the way back.
    fn locked(&self, file: File, clock: &dyn Clock) -> Result<Alone, JournalError> {
        let (file, begun) = (Alone::new(file), clock.elapsed());
        while !file.take().map_err(|e| self.failed("lock", &e))? {
            if clock.elapsed().saturating_sub(begun) >= WAIT {
                let why = io::Error::other("another process has held it for two seconds");
                return Err(self.failed("lock", &why));
            }
            std::thread::yield_now();
        }
        Ok(file)
    }

    fn line(&self, entry: &Entry, by: &Hand<'_>) -> Result<String, JournalError> {
        let note = entry.text();
        let mut members = Map::new();
        members.insert("v".into(), json!(1));
        let signed = match by {
            Hand::Session(session) => {
                let member = format!("statement_{}", signature_member(&session.signature));
                members.insert("statement".into(), json!(session.statement));
                members.insert(member, json!(session.signature));
                session.sign(namespace::LEDGER, note.as_bytes())
            }
            Hand::Owner { owner, key } => {
                members.insert("owner".into(), json!(owner));
                members.insert("owner_key".into(), json!(key.public()));
                key.sign(namespace::LEDGER, note.as_bytes())
            }
        };
        let signature = signed.map_err(|e| JournalError { what: e.to_string() })?;
        members.insert("note".into(), Value::String(note));
        members.insert(signature_member(&signature).into(), Value::String(signature));
        let mut line = String::new();
        encode::put(&mut line, &Value::Object(members));
        line.push('\n');
        match line.len() <= LONGEST {
            true => Ok(line),
            false => Err(JournalError { what: format!("a line of the ledger would have {} bytes", line.len()) }),
        }
    }

    /// The tip, and where the last whole line ends. Only the end of the file is read.
    fn end(&self, file: &mut File) -> Result<(Tip, u64), JournalError> {
        let failed = |e: io::Error| self.failed("read", &e);
        let size = file.metadata().map_err(failed)?.len();
        let start = size.saturating_sub(2 * LONGEST as u64);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        file.read_to_end(&mut tail).map_err(failed)?;
        let Some(whole) = tail.iter().rposition(|b| *b == b'\n') else {
            return match start {
                0 => Ok((Tip::nothing(), 0)),
                _ => Err(self.broken("its last line is longer than any line may be")),
            };
        };
        let begin = tail[..whole].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let last = &tail[begin..=whole];
        let value: Value = serde_json::from_slice(last).unwrap_or_default();
        let Some(entry) = value["note"].as_str().and_then(Entry::parse) else {
            return Err(self.broken("its last line is not one of a ledger"));
        };
        Ok((Tip { lines: entry.line + 1, sha256: digest(last) }, start + whole as u64 + 1))
    }

    /// Keeps a copy of what a crash left behind the last whole line, and cuts it off.
    fn cut(&self, file: &mut File, whole: u64, stamp: &str) -> Result<(), JournalError> {
        let failed = |e: io::Error| self.failed("cut", &e);
        let size = file.metadata().map_err(failed)?.len();
        if size == whole {
            return Ok(());
        }
        let mut torn = Vec::new();
        file.seek(SeekFrom::Start(whole)).map_err(failed)?;
        file.read_to_end(&mut torn).map_err(failed)?;
        let kept = self.path.with_file_name(format!("ledger-torn-{}.bin", stamp.replace([':', '.'], "-")));
        disk::put(self.disk.as_ref(), &kept, &torn).map_err(failed)?;
        file.set_len(whole).and_then(|()| self.disk.file(file)).map_err(failed)
    }

    fn failed(&self, verb: &str, error: &io::Error) -> JournalError {
        JournalError { what: format!("cannot {verb} the ledger `{}`: {error}", self.path.display()) }
    }

    fn broken(&self, why: &str) -> JournalError {
        let next = "`bgctl audit ledger` says more";
        JournalError { what: format!("the ledger `{}` cannot be continued: {why}; {next}", self.path.display()) }
    }
}
