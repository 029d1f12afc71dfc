//! Which key ran which run on this machine: what `audit verify` rests on here where no list of signers names that key.
//!
//! One file a run, in a folder of its own and not in the run's: who sends a log cannot send this with it. A line of it counts
//! for that run alone, for opening, closing and publishing it, and gives nobody a say in an approval. The list that
//! earlier versions kept in its place, one for all runs with names taken from runbooks, is never read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::journal::Archive;
use crate::plan::Principal;
use crate::sign::{AllowedSigners, PublicKey, Signer};

/// What the key of a run may sign for it.
const PURPOSES: &str = "bgctl-open-v1,bgctl-close-v1,bgctl-ledger-v1,bgctl-redact-v1";

/// The longest file that is read: a line for each process of the run.
const LONGEST: u64 = 64 * 1024;

/// The file of a run; none for a name that is none of a run.
pub fn file(archive: &Archive, run: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let named = (1..=64).contains(&run.len()) && run.chars().all(plain);
    named.then(|| archive.root().join("ran").join(run))
}

/// Writes down that this key ran a run, under this name.
///
/// # Errors
///
/// The file cannot be written. No run depends on it: `audit verify` then asks for `--allowed-signers`.
pub fn remember(archive: &Archive, run: &str, name: &Principal, signer: &dyn Signer) -> io::Result<()> {
    // A shared key is nobody's; its authority speaks for a certificate, for as long as that says.
    let Some(key) = PublicKey::from_line(&signer.public()).ok().filter(|key| key.certificate().is_none()) else {
        return Ok(());
    };
    let Some(path) = file(archive, run) else { return Ok(()) };
    let line = format!("{name} namespaces=\"{PURPOSES}\" {}\n", key.line());
    if fs::read_to_string(&path).is_ok_and(|text| text.contains(&line)) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(archive.root().join("ran"))?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Who ran a run here. A file that cannot be read names nobody.
pub fn of(archive: &Archive, run: &str) -> AllowedSigners {
    let path = file(archive, run)
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|about| about.is_file() && about.len() <= LONGEST));
    let text = path.and_then(|path| fs::read_to_string(path).ok());
    text.and_then(|text| AllowedSigners::parse(&text).ok()).unwrap_or_default()
}

/// The run that the first line of a log names; whether all of it is of that run is for the verifier.
pub fn named_by(log: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(log).ok()?.take(LONGEST)).read_line(&mut line).ok()?;
    let first: serde_json::Value = serde_json::from_str(&line).ok()?;
    first["run"].as_str().map(String::from)
}

/// The list that earlier versions kept, where it is still there.
pub fn former(archive: &Archive) -> Option<PathBuf> {
    Some(archive.root().join("allowed_signers")).filter(|path| path.symlink_metadata().is_ok())
}
