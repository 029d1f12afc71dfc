//! Which key ran which run on this machine: what `audit verify` rests on here where no list of signers names that key.
//!
//! One file a run, in a folder of its own and not in the run's: who sends a log cannot send this with it. A line of it counts
//! for that run alone, for opening, closing and publishing it, and gives nobody a say in an approval. The list that
//! earlier versions kept in its place, one for all runs with names taken from runbooks, is never read.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::file as files;
use crate::journal::Archive;
use crate::plan::Principal;
use crate::sign::{AllowedSigners, PublicKey, Signer};

/// What the key of a run may sign for it.
const PURPOSES: &str = "bgctl-open-v1,bgctl-close-v1,bgctl-ledger-v1,bgctl-redact-v1";

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
    if kept(&path).is_some_and(|text| text.contains(&line)) {
        return Ok(());
    }
    files::folder(&archive.root().join("ran"))?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(files::ours()).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Who ran a run here. A file that cannot be read names nobody.
pub fn of(archive: &Archive, run: &str) -> AllowedSigners {
    file(archive, run)
        .and_then(|path| kept(&path))
        .and_then(|text| AllowedSigners::parse(&text).ok())
        .unwrap_or_default()
}

/// What stands in a file of ours, which is never a link.
fn kept(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    files::fill(files::open_ours(path).ok()?, files::SHORT, &mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

/// The run that the first line of a log names; whether all of it is of that run is for the verifier.
pub fn named_by(log: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(files::open(log).ok()?.take(files::SHORT)).read_line(&mut line).ok()?;
    let first: serde_json::Value = serde_json::from_str(&line).ok()?;
    first["run"].as_str().map(String::from)
}

/// The list that earlier versions kept, where it is still there.
pub fn former(archive: &Archive) -> Option<PathBuf> {
    Some(archive.root().join("allowed_signers")).filter(|path| path.symlink_metadata().is_ok())
}
