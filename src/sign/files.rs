//! The files that trust comes from, as they were read, and whether they are still the same. A key that was given up while a
//! run goes on must stop it, so a run looks again before each step; what to do about a change is not decided here.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{AllowedSigners, Revoked};

use crate::file;

/// The list of revoked keys beside an allowed-signers file.
pub const REVOKED: &str = "revoked_keys";

/// Allowed signers and revoked keys, and where each was found.
#[derive(Clone, Debug, Default)]
pub struct TrustFiles {
    files: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    name: String,
    path: PathBuf,
    /// Of its bytes; nothing where no file is, which is a state as good as any.
    sha256: Option<String>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Signers(AllowedSigners),
    Revoked(Revoked),
}

/// A file that is there and cannot be taken as it is, or is not there and must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` cannot be read: {why}")]
pub struct Unreadable {
    pub path: String,
    pub why: String,
}

impl TrustFiles {
    /// Takes in an allowed-signers file, and the list of revoked keys beside it. Says whether the file is there.
    pub fn add_signers(&mut self, path: &Path, name: impl Into<String>, must: bool) -> Result<bool, Unreadable> {
        let name = name.into();
        // Named as its neighbour was, where that was named by its path.
        let list = match path.ends_with(&name) {
            true => Path::new(&name).with_file_name(REVOKED),
            false => path.with_file_name(REVOKED),
        };
        let file = File::signers(path, name, must)?;
        let there = file.sha256.is_some();
        self.files.push(file);
        let beside = path.with_file_name(REVOKED);
        // Two allowed-signers files of one folder share its list.
        if !self.files.iter().any(|file| file.path == beside) {
            self.add_revoked(&beside, list.display().to_string(), false)?;
        }
        Ok(there)
    }

    /// Takes in a list of revoked keys. It counts for every allowed-signers file.
    pub fn add_revoked(&mut self, path: &Path, name: impl Into<String>, must: bool) -> Result<(), Unreadable> {
        self.files.push(File::revoked(path, name.into(), must)?);
        Ok(())
    }

    /// All of them together.
    pub fn signers(&self) -> AllowedSigners {
        self.files.iter().fold(AllowedSigners::default(), |all, file| match &file.content {
            Content::Signers(signers) => all.join(signers.clone()),
            Content::Revoked(revoked) => all.without(revoked.clone()),
        })
    }

    /// The allowed-signers file in which a key, or the authority of a certificate, stands.
    pub fn place(&self, fingerprint: &str) -> Option<&str> {
        let knows = |file: &&File| matches!(&file.content, Content::Signers(signers) if signers.knows(fingerprint));
        self.files.iter().find(knows).map(|file| file.name.as_str())
    }

    /// The names of the files that are there.
    pub fn names(&self) -> Vec<&str> {
        self.files.iter().filter(|file| file.sha256.is_some()).map(|file| file.name.as_str()).collect()
    }

    /// The digest of what was read: that of `sha256sum allowed_signers revoked_keys`, of those that are there.
    pub fn sha256(&self) -> String {
        let mut list = String::new();
        for file in &self.files {
            if let Some(sha256) = &file.sha256 {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                let _ = writeln!(list, "{sha256}  {name}");
            }
        }
        sha256(list.as_bytes())
    }

    /// What is no longer as it was read, one line a file. Nothing: all is as it was.
    pub fn changes(&self) -> Vec<String> {
        let change = |file: &File| {
            let name = &file.name;
            let now = match read(&file.path, false) {
                Ok(bytes) => bytes.as_deref().map(sha256),
                Err(error) => return Some(format!("{name} can no longer be read: {}", error.why)),
            };
            match (&file.sha256, now) {
                (before, now) if *before == now => None,
                (None, _) => Some(format!("{name} was not there before")),
                (_, None) => Some(format!("{name} is gone")),
                _ => Some(format!("{name} was changed")),
            }
        };
        self.files.iter().filter_map(change).collect()
    }

    /// The same files, as they are now. One that was there and is gone is an error: a lost list revokes nothing.
    pub fn again(&self) -> Result<TrustFiles, Unreadable> {
        let again = |file: &File| {
            let (name, must) = (file.name.clone(), file.sha256.is_some());
            match &file.content {
                Content::Signers(_) => File::signers(&file.path, name, must),
                Content::Revoked(_) => File::revoked(&file.path, name, must),
            }
        };
        Ok(TrustFiles { files: self.files.iter().map(again).collect::<Result<_, _>>()? })
    }
}

impl File {
    fn signers(path: &Path, name: String, must: bool) -> Result<Self, Unreadable> {
        let bytes = read(path, must)?;
        let text = std::str::from_utf8(bytes.as_deref().unwrap_or_default()).map_err(|e| unreadable(path, e))?;
        let signers = AllowedSigners::parse(text).map_err(|bad| unreadable(path, bad))?;
        Ok(File::of(path, name, bytes.as_deref(), Content::Signers(signers)))
    }

    fn revoked(path: &Path, name: String, must: bool) -> Result<Self, Unreadable> {
        let bytes = read(path, must)?;
        let revoked = match &bytes {
            None => Revoked::default(),
            Some(bytes) => Revoked::parse(bytes, path, &name).map_err(|bad| unreadable(path, bad))?,
        };
        Ok(File::of(path, name, bytes.as_deref(), Content::Revoked(revoked)))
    }

    fn of(path: &Path, name: String, bytes: Option<&[u8]>, content: Content) -> Self {
        File { name, path: path.to_path_buf(), sha256: bytes.map(sha256), content }
    }
}

fn read(path: &Path, must: bool) -> Result<Option<Vec<u8>>, Unreadable> {
    match file::read(path, file::LONG) {
        Ok(bytes) => Ok(Some(bytes)),
        // A file where a folder should be means that the one below is not there either.
        Err(error) if !must && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, why: impl std::fmt::Display) -> Unreadable {
    Unreadable { path: path.display().to_string(), why: why.to_string() }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sign::session::SessionKey;
    use crate::sign::{Signer as _, TrustError, namespace, trust};

    #[test]
    fn a_file_that_comes_goes_or_changes_is_seen_and_a_revoked_key_stops_counting() {
        let dir = tempfile::tempdir().unwrap();
        let (signers, revoked) = (dir.path().join("allowed_signers"), dir.path().join(REVOKED));
        let alice = SessionKey::from_seed([1; 32]);
        fs::write(&signers, trust::line("alice@example.com", &alice.public())).unwrap();
        let mut files = TrustFiles::default();
        assert!(files.add_signers(&signers, "team", true).unwrap());
        let time = "2026-11-21T00:00:00Z".parse().unwrap();
        let standing =
            |files: &TrustFiles| files.signers().check_key(None, namespace::APPROVE, alice.public_key(), time);
        assert!(standing(&files).is_ok() && files.changes().is_empty());
        assert_eq!((files.place(&alice.fingerprint()), files.names()), (Some("team"), vec!["team"]));

        fs::write(&revoked, format!("{}\n", alice.fingerprint())).unwrap();
        assert!(files.changes()[0].contains("was not there before"), "{:?}", files.changes());
        let now = files.again().unwrap();
        assert!(matches!(standing(&now), Err(TrustError::Revoked { .. })));
        assert!(now.changes().is_empty() && now.sha256() != files.sha256());
        assert!(now.signers().join(files.signers()).check_key(None, "x", alice.public_key(), time).is_err());

        fs::remove_file(&revoked).unwrap();
        assert!(now.changes()[0].contains("is gone"));
        assert!(now.again().is_err(), "a list that was there is not lost without a word");
        fs::write(&signers, "\n").unwrap();
        assert_eq!(files.changes(), ["team was changed"]);
        fs::write(&revoked, "SHA256:nonsense\n").unwrap();
        assert!(files.again().unwrap_err().why.contains("line 1"));
        assert!(TrustFiles::default().add_signers(&dir.path().join("none"), "x", true).is_err());
    }
}
