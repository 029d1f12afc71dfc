//! Reading a log back, for going on with it or for showing it: in one pass, in the same room whatever its length.
//!
//! A log is gone over on the word of its seals first. Where anything there is not as expected it is read line by line, every
//! seal checked, so that a fault is found at its place. Whom to believe is for the verifier.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Entry;
use super::fault::{Fault, What};
use super::input::{BLOCK, Identity, Input, LOG, next};
use super::keep::Kept;
use super::note::SealState;
use super::scan::{Look, Pass, Scan, Seals};
use super::withheld::Withheld;
use crate::file;
use crate::plan::Plan;

/// The sealed part of a log, read for going on with it or for showing it.
#[derive(Clone)]
pub struct Sound {
    /// Every record except seals; or every fact, and the newest of the rest.
    pub entries: Vec<Entry>,
    pub run: String,
    pub service: String,
    pub environment: String,
    pub plan: Plan,
    /// What the last seal says.
    pub state: SealState,
    /// Bytes behind the last seal: what a crash left unfinished.
    pub torn: u64,
    /// From where a later reading of the same file goes on.
    mark: Option<Box<Mark>>,
}

/// Where a reading ended, and in which file.
#[derive(Clone)]
struct Mark {
    file: Identity,
    pass: Pass,
    kept: Kept,
}

/// Why a log cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Fault(Fault),
}

/// What a reading comes to.
pub(super) struct Done {
    pub scan: Scan<'static>,
    pub entries: Vec<Entry>,
    pub torn: u64,
    mark: Option<Box<Mark>>,
}

/// Reads and checks the sealed part of a log, and keeps every record. Bytes behind the last seal are left out if a crash can
/// have left them there; anything else wrong with the log is a fault.
pub fn read(bytes: &[u8]) -> Result<Sound, Fault> {
    memory(closely(&mut Cursor::new(bytes), None, true)).and_then(sound)
}

/// The same of a copy with something withheld. Whether the owner's statement is to be believed is the verifier's business.
pub fn read_copy(bytes: &[u8], withheld: &BTreeMap<u64, Withheld>) -> Result<Sound, Fault> {
    memory(closely(&mut Cursor::new(bytes), Some(withheld), true)).and_then(sound)
}

/// Reads the log of a run's folder, and keeps its facts and the newest of its evidence. Where the same log was read before,
/// only what was added since is read.
pub fn read_on(folder: &Path, known: Option<&Sound>) -> Result<Sound, Unread> {
    let file = file::open(&folder.join(LOG))?;
    let meta = file.metadata()?;
    let identity = Some((meta.dev(), meta.ino()));
    let done = through(&mut BufReader::with_capacity(BLOCK, file), identity, known)?;
    sound(done).map_err(Unread::Fault)
}

fn memory(done: Result<Done, Unread>) -> Result<Done, Fault> {
    done.map_err(|error| match error {
        Unread::Fault(fault) => fault,
        Unread::Io(error) => panic!("BUG: memory that cannot be read: {error}"),
    })
}

fn sound(done: Done) -> Result<Sound, Fault> {
    let Done { scan, entries, torn, mark } = done;
    let (Some(head), Some(state)) = (scan.head(), scan.state) else { return Err(scan.fault(What::Empty)) };
    let plan = entries.iter().find(|e| e.kind == "plan.loaded").and_then(|e| e.data["text"].as_str());
    let plan = plan.and_then(|text| serde_json::from_str(text).ok());
    let unreadable = Fault { record: 1, offset: 0, what: What::Unreadable("its plan is of another version".into()) };
    let head = head.clone();
    let plan = plan.ok_or(unreadable)?;
    let (run, service, environment) = (head.run, head.service, head.environment);
    Ok(Sound { run, service, environment, plan, state, torn, entries, mark })
}

/// Reads a log that is written to its end: facts, and the newest evidence.
pub(super) fn through(input: &mut dyn Input, file: Option<Identity>, known: Option<&Sound>) -> Result<Done, Unread> {
    let size = input.seek(SeekFrom::End(0))?;
    let fits = |mark: &&Mark| Some(mark.file) == file && mark.pass.scan().bytes() <= size;
    if let Some(mark) = known.and_then(|known| known.mark.as_deref()).filter(fits)
        && let Some(done) = passed(input, Some(mark), file)?
    {
        return Ok(done);
    }
    match passed(input, None, file)? {
        Some(done) => Ok(done),
        None => closely(input, None, false),
    }
}

/// One pass on the word of the seals; nothing where something has to be looked at closely.
fn passed(input: &mut dyn Input, mark: Option<&Mark>, file: Option<Identity>) -> Result<Option<Done>, Unread> {
    let (mut pass, mut kept) = match mark {
        Some(mark) => (mark.pass.clone(), mark.kept.clone()),
        None => (Pass::default(), Kept::new(false)),
    };
    input.seek(SeekFrom::Start(pass.scan().bytes()))?;
    let mut line = Vec::new();
    let mut torn = 0;
    loop {
        next(input, &mut line)?;
        if line.last() != Some(&b'\n') {
            torn += line.len() as u64;
            break;
        }
        let taken = pass.take(&line).and_then(|seen| kept.take(seen.seq, seen.kind, seen.ts, &line));
        if taken.is_none() {
            return Ok(None);
        }
    }
    let end = pass.scan().bytes() + torn;
    let Some(pass) = pass.sealed() else { return Ok(None) };
    let scan = pass.scan().clone();
    let torn = end - scan.sealed.bytes;
    if torn > 0 && sealed_again(input, scan.sealed.bytes)? {
        return Ok(None);
    }
    let Some(entries) = kept.before(scan.sealed.lines) else { return Ok(None) };
    let mark = match torn {
        0 => file.map(|file| Box::new(Mark { file, pass, kept })),
        // What a crash tore off, or somebody is just writing, is read again.
        _ => mark.cloned().map(Box::new),
    };
    Ok(Some(Done { scan, entries, torn, mark }))
}

/// Line by line, every seal checked.
fn closely(input: &mut dyn Input, withheld: Option<&BTreeMap<u64, Withheld>>, all: bool) -> Result<Done, Unread> {
    input.seek(SeekFrom::Start(0))?;
    let mut scan = Scan::new(Seals::All, None);
    if let Some(withheld) = withheld {
        scan = scan.of_copy(withheld);
    }
    let mut kept = Kept::new(all);
    let (mut line, mut ahead) = (Vec::new(), Vec::new());
    next(input, &mut line)?;
    while !line.is_empty() {
        next(input, &mut ahead)?;
        match scan.take(&line, (!ahead.is_empty()).then_some(&ahead[..])) {
            Ok(read) => {
                let (seq, kind, ts) = (read.seq, read.kind, read.ts);
                kept.take(seq, kind, ts, &line).unwrap_or_else(|| panic!("BUG: a line that was read before"));
            }
            // A crash leaves the beginning of one group, and a group ends with its seal: where a whole seal stands behind
            // the fault, somebody changed the log.
            Err(fault) if withheld.is_some() || scan.sealed.lines == 0 => return Err(Unread::Fault(fault)),
            Err(fault) => match sealed_again(input, scan.sealed.bytes)? {
                true => return Err(Unread::Fault(fault)),
                false => break,
            },
        }
        std::mem::swap(&mut line, &mut ahead);
    }
    let end = input.seek(SeekFrom::End(0))?;
    let entries = kept.before(scan.sealed.lines).unwrap_or_default();
    Ok(Done { torn: end.saturating_sub(scan.sealed.bytes), entries, scan: scan.owned(), mark: None })
}

/// Whether a whole line behind this place says that it is a seal.
fn sealed_again(input: &mut dyn Input, start: u64) -> io::Result<bool> {
    input.seek(SeekFrom::Start(start))?;
    let mark = b"\"type\":\"seal\"";
    let mut line = Vec::new();
    loop {
        next(input, &mut line)?;
        if line.is_empty() {
            return Ok(false);
        }
        if line.ends_with(b"\n") && line.windows(mark.len()).any(|window| window == mark) {
            return Ok(true);
        }
    }
}

/// Whether a log may have a record of a type, by the look of its lines: nothing is checked, so where the answer is no there is
/// none, and where it is yes the log has to be read.
pub fn mentions(folder: &Path, kind: &str) -> io::Result<bool> {
    let mut input = BufReader::with_capacity(BLOCK, file::open(&folder.join(LOG))?);
    let mut line = Vec::new();
    next(&mut input, &mut line)?;
    let Some(mut look) = Look::of(&line) else { return Ok(true) };
    while !line.is_empty() {
        if look.at(&line).is_none_or(|seen| seen.kind == kind) {
            return Ok(true);
        }
        next(&mut input, &mut line)?;
    }
    Ok(false)
}
