//! Where the bytes of a journal go: a directory on a disk, or memory for worlds that are only played.
//!
//! A store knows nothing of records. Its one promise: after `append` returns without an error the bytes are on the disk
//! behind everything before them, and after an error nothing is ever appended again by this process.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use sha2::{Digest, Sha256};

use super::JournalError;
use super::alone::Alone;
use super::disk::{self, Disk, LocalDisk};
use super::input::{BLOCK, Identity, Input, LOG};
use super::spelling::hex;

/// Space that is set aside before a run begins, so that its way back can be recorded on a disk that others fill.
const RESERVE: u64 = 1024 * 1024;

/// The bytes of one journal, append-only, with one writer.
pub trait Store {
    /// Appends in one write and returns when it is on the disk.
    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError>;

    /// Everything there is, from its beginning, and which file it is where it is one.
    fn reader(&mut self) -> Result<(Box<dyn Input + '_>, Option<Identity>), JournalError>;

    /// Copies what lies behind `end` into `torn-<stamp>.bin` and cuts it off. Used only when a run is resumed.
    fn cut(&mut self, end: u64, stamp: &str) -> Result<Torn, JournalError>;

    /// Where it is, for people.
    fn place(&self) -> String;
}

/// What was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file it was kept in.
    pub kept_as: String,
    pub bytes: u64,
    pub sha256: String,
}

/// A run's folder on a local disk.
pub struct DirStore {
    disk: Rc<dyn Disk>,
    dir: File,
    log: Alone,
    path: PathBuf,
    /// Where our last append ended: anything else means that somebody else writes.
    end: u64,
    broken: bool,
}

impl DirStore {
    /// Makes the log of a new run. The folder may exist (0700), a log in it may not.
    pub fn create(folder: &Path) -> Result<Self, JournalError> {
        DirStore::create_on(Rc::new(LocalDisk), folder)
    }

    /// The same on this disk.
    pub fn create_on(disk: Rc<dyn Disk>, folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(LOG);
        let failed = |e: std::io::Error| words(&path, "make", &e);
        disk::private(disk.as_ref(), folder).map_err(failed)?;
        let dir = open_dir(folder)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let log = rustix::fs::openat(&dir, LOG, flags, Mode::from_raw_mode(0o600))
            .map_err(|e| words(&path, "make", &e.into()))?;
        let store = DirStore { disk, dir, log: Alone::new(log.into()), path, end: 0, broken: false }.lock()?;
        // Where there is no room for the way back, nobody moves forward.
        if let Err(error) = store.disk.reserve(&store.log, RESERVE) {
            let what = words(&store.path, "set aside 1 MiB for", &error);
            // An empty log is no run; one that cannot be removed is none either.
            let _ = rustix::fs::unlinkat(&store.dir, LOG, AtFlags::empty());
            return Err(what);
        }
        let failed = |e: std::io::Error| words(&store.path, "make", &e);
        store.disk.file(&store.log).map_err(failed)?;
        store.disk.folder(&store.dir).map_err(failed)?;
        Ok(store)
    }

    /// Opens the log of a run that exists, for resuming it.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        DirStore::open_on(Rc::new(LocalDisk), folder)
    }

    /// The same on this disk.
    pub fn open_on(disk: Rc<dyn Disk>, folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(LOG);
        let dir = open_dir(folder)?;
        let flags = OFlags::APPEND | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let log = rustix::fs::openat(&dir, LOG, flags, Mode::empty()).map_err(|e| words(&path, "open", &e.into()))?;
        let mut store = DirStore { disk, dir, log: Alone::new(log.into()), path, end: 0, broken: false }.lock()?;
        let stat = rustix::fs::fstat(store.log.as_fd()).map_err(|e| words(&store.path, "read", &e.into()))?;
        store.end = stat.st_size.unsigned_abs();
        store.check()?;
        Ok(store)
    }

    /// One writer: the lock lasts as long as the process, or this value.
    fn lock(self) -> Result<Self, JournalError> {
        match self.log.take().map_err(|e| words(&self.path, "lock", &e))? {
            true => Ok(self),
            false => Err(JournalError { what: format!("`{}` is being written by another bgctl", self.path.display()) }),
        }
    }

    /// The file is still the one we opened, ours alone, and ends where we left it.
    fn check(&self) -> Result<(), JournalError> {
        let ours = rustix::fs::fstat(self.log.as_fd()).map_err(|e| words(&self.path, "look at", &e.into()))?;
        let named = rustix::fs::statat(&self.dir, LOG, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| words(&self.path, "look at", &e.into()))?;
        match self.foreign(&ours, &named) {
            None => Ok(()),
            Some(why) => {
                Err(JournalError { what: format!("`{}` was changed by somebody else: {why}", self.path.display()) })
            }
        }
    }

    fn foreign(&self, ours: &Stat, named: &Stat) -> Option<String> {
        if (ours.st_dev, ours.st_ino) != (named.st_dev, named.st_ino) {
            return Some("another file stands in its place".into());
        }
        if rustix::fs::FileType::from_raw_mode(ours.st_mode) != rustix::fs::FileType::RegularFile {
            return Some("it is not a plain file".into());
        }
        if ours.st_nlink != 1 {
            return Some(format!("it has {} names", ours.st_nlink));
        }
        if ours.st_uid != rustix::process::geteuid().as_raw() {
            return Some("it belongs to another user".into());
        }
        if ours.st_mode & 0o077 != 0 {
            return Some(format!("others may read or write it (mode {:o})", ours.st_mode & 0o777));
        }
        let size = ours.st_size.unsigned_abs();
        (size != self.end).then(|| format!("it has {size} bytes where {} were written", self.end))
    }

    fn try_append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.check()?;
        let written = rustix::io::write(self.log.as_fd(), bytes).map_err(|e| words(&self.path, "write", &e.into()))?;
        if written != bytes.len() {
            let what = format!(
                "cannot write `{}`: only {written} of {} bytes were taken; the disk is full or a limit is reached",
                self.path.display(),
                bytes.len()
            );
            return Err(JournalError { what });
        }
        self.end += written as u64;
        // A sync that failed once may succeed the next time although the data are lost, so it is never tried again.
        self.disk.file(&self.log).map_err(|e| words(&self.path, "sync", &e))
    }
}

impl Store for DirStore {
    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError { what: format!("`{}` could not be written before", self.path.display()) });
        }
        let done = self.try_append(bytes);
        self.broken = done.is_err();
        done
    }

    fn reader(&mut self) -> Result<(Box<dyn Input + '_>, Option<Identity>), JournalError> {
        let failed = |e: std::io::Error| words(&self.path, "read", &e);
        self.log.seek(SeekFrom::Start(0)).map_err(failed)?;
        let meta = self.log.metadata().map_err(failed)?;
        Ok((Box::new(BufReader::with_capacity(BLOCK, &*self.log)), Some((meta.dev(), meta.ino()))))
    }

    fn cut(&mut self, end: u64, stamp: &str) -> Result<Torn, JournalError> {
        self.check()?;
        let kept_as = format!("torn-{stamp}.bin");
        let kept = self.path.with_file_name(&kept_as);
        let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
        self.log.seek(SeekFrom::Start(end)).map_err(|e| words(&self.path, "read", &e))?;
        let failed = |e: std::io::Error| words(&kept, "write", &e);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&kept).map_err(failed)?;
        loop {
            let len = self.log.read(&mut block).map_err(|e| words(&self.path, "read", &e))?;
            if len == 0 {
                break;
            }
            hash.update(&block[..len]);
            bytes += len as u64;
            file.write_all(&block[..len]).map_err(failed)?;
        }
        self.disk.file(&file).and_then(|()| self.disk.folder(&self.dir)).map_err(failed)?;
        let cut = self.log.set_len(end).and_then(|()| self.disk.file(&self.log));
        cut.map_err(|e| words(&self.path, "cut", &e))?;
        self.end = end;
        Ok(Torn { kept_as, bytes, sha256: hex(&hash.finalize()) })
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

fn open_dir(folder: &Path) -> Result<File, JournalError> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty()).map(File::from).map_err(|e| words(folder, "open", &e.into()))
}

fn words(path: &Path, verb: &str, error: &std::io::Error) -> JournalError {
    let why = match error.kind() {
        ErrorKind::StorageFull => "the disk is full".to_string(),
        ErrorKind::FileTooLarge => "a limit on file sizes is reached".to_string(),
        ErrorKind::AlreadyExists => "it exists already; a run is written once".to_string(),
        _ => error.to_string(),
    };
    JournalError { what: format!("cannot {verb} `{}`: {why}", path.display()) }
}

/// A journal in memory. Clones share their bytes, so what was written survives the death of the writer, as on a disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    inside: Rc<RefCell<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    bytes: Vec<u8>,
    appends: u64,
    fault: Option<Fault>,
    broken: bool,
    torn: Vec<u8>,
}

/// What goes wrong at which append (the first is number 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing of it is written.
    Refuse { at: u64 },
    /// Only the first bytes of it are written: a full disk, or a power cut.
    Tear { at: u64, bytes: usize },
    /// All of it is written, but the answer is an error: a failed sync.
    Unsure { at: u64 },
}

impl MemoryStore {
    pub fn new() -> Self {
        MemoryStore::default()
    }

    pub fn of(bytes: Vec<u8>) -> Self {
        let store = MemoryStore::new();
        store.inside.borrow_mut().bytes = bytes;
        store
    }

    pub fn fault(&self, fault: Option<Fault>) {
        let mut inside = self.inside.borrow_mut();
        inside.fault = fault;
        inside.broken = false;
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.inside.borrow().bytes.clone()
    }

    /// How many appends were asked for.
    pub fn appends(&self) -> u64 {
        self.inside.borrow().appends
    }

    /// What was cut off when the run was resumed.
    pub fn torn(&self) -> Vec<u8> {
        self.inside.borrow().torn.clone()
    }
}

impl Store for MemoryStore {
    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let mut inside = self.inside.borrow_mut();
        inside.appends += 1;
        let now = inside.appends;
        let failed = || Err(JournalError { what: "cannot write the journal in memory: a fault was asked for".into() });
        let taken = match inside.fault {
            _ if inside.broken => return failed(),
            Some(Fault::Refuse { at }) if at == now => 0,
            Some(Fault::Tear { at, bytes: some }) if at == now => some.min(bytes.len()),
            Some(Fault::Unsure { at }) if at == now => bytes.len(),
            _ => {
                inside.bytes.extend_from_slice(bytes);
                return Ok(());
            }
        };
        inside.bytes.extend_from_slice(&bytes[..taken]);
        inside.broken = true;
        failed()
    }

    fn reader(&mut self) -> Result<(Box<dyn Input + '_>, Option<Identity>), JournalError> {
        Ok((Box::new(Cursor::new(self.bytes())), None))
    }

    fn cut(&mut self, end: u64, stamp: &str) -> Result<Torn, JournalError> {
        let mut inside = self.inside.borrow_mut();
        inside.torn = inside.bytes.split_off(usize::try_from(end).unwrap_or(0));
        inside.broken = false;
        let (bytes, sha256) = (inside.torn.len() as u64, hex(&Sha256::digest(&inside.torn)));
        Ok(Torn { kept_as: format!("torn-{stamp}.bin"), bytes, sha256 })
    }

    fn place(&self) -> String {
        "memory".into()
    }
}
