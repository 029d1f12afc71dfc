//! The file where it lies: read, and put in its place by a move, which is what Envoy watches for.
//!
//! Nothing here knows what is in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{Access, Gid, Uid};

use crate::clock::{Clock, SystemClock};
use crate::file;
use crate::routers::{RouterError, Trouble};
use crate::scalar::spoken;

/// The file of a route.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
}

/// Why a file was not put there.
pub enum Unwritten {
    /// It is not the file that was expected there.
    Changed,
    Failed(RouterError),
    /// It is there, and a power cut may take it away.
    Unsynced(RouterError),
}

impl Place {
    pub fn new(path: &str) -> Place {
        Place { path: PathBuf::from(path) }
    }

    fn error(&self, kind: Trouble, why: impl std::fmt::Display) -> RouterError {
        RouterError::new(kind, format!("`{}` {why}", self.path.display()))
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> RouterError {
        let kind = match error.kind() {
            ErrorKind::NotFound => Trouble::NotFound,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Trouble::Denied,
            _ => Trouble::Unreachable,
        };
        self.error(kind, format!("cannot be {doing}: {error}"))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// What lies there.
    pub fn text(&self) -> Result<String, RouterError> {
        if self.path.is_symlink() {
            let cure = "give the file itself: a link is moved by whoever made it, such as the kubelet for a ConfigMap";
            return Err(self.error(Trouble::Invalid, "is a link, and bgctl moves files only").cure(cure));
        }
        let cure = "bgctl runs on the machine where Envoy's file lies; put the file there that Envoy runs, by `mv`";
        file::text(&self.path, file::LONG).map_err(|error| self.failed("read", &error).cure(cure))
    }

    /// Whether we may put a file there, before anybody moves.
    pub fn writable(&self) -> Result<(), RouterError> {
        rustix::fs::access(self.folder(), Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            let what = format!("lies in a folder that this user cannot write: {error}");
            self.error(Trouble::Denied, what).cure("run bgctl as the user who owns the folder of the file")
        })
    }

    /// Puts a text there in one move, if that of `expected` still lies there.
    pub fn replace(&self, expected: &str, text: &str, version: &str) -> Result<(), Unwritten> {
        let failed = |doing: &str, error: &std::io::Error| Unwritten::Failed(self.failed(doing, error));
        let about = fs::metadata(&self.path).map_err(|error| failed("read", &error))?;
        // Of its own name: two at once never write into one another's file. Envoy reads one name only.
        let stem = self.path.file_name().unwrap_or_default().to_string_lossy();
        let new = self.folder().join(format!(".{stem}.{version}"));
        let written = self.write(&new, text, &about).map_err(|error| failed("written", &error));
        let moved = written.and_then(|()| match self.text() {
            Ok(found) if found == expected => fs::rename(&new, &self.path).map_err(|error| failed("moved", &error)),
            Ok(_) => Err(Unwritten::Changed),
            Err(error) => Err(Unwritten::Failed(error)),
        });
        if moved.is_err() {
            // What is left of it is a file that nobody reads.
            let _ = fs::remove_file(&new);
        }
        moved?;
        let synced = File::open(self.folder()).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Unwritten::Unsynced(self.failed("made sure of", &error)))
    }

    /// As readable for Envoy as the one before.
    fn write(&self, new: &Path, text: &str, before: &fs::Metadata) -> std::io::Result<()> {
        let mode = before.mode() & 0o7777;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(new)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        let mine = file.metadata()?;
        if (mine.uid(), mine.gid()) != (before.uid(), before.gid()) {
            let owner = (Uid::from_raw(before.uid()), Gid::from_raw(before.gid()));
            let given = rustix::fs::fchown(&file, Some(owner.0), Some(owner.1));
            // Where everybody may read it, its owner is nothing that Envoy needs.
            if mode & 0o004 == 0 {
                given?;
            }
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Who wrote what lies there, as far as a file tells.
    pub fn writer(&self) -> Option<String> {
        let about = fs::metadata(&self.path).ok()?;
        let age = SystemClock.now().duration_since(Timestamp::try_from(about.modified().ok()?).ok()?);
        let age = Duration::from_secs(age.as_secs().max(0).unsigned_abs());
        Some(format!("`{}` was written {} ago and belongs to user {}", self.path.display(), spoken(age), about.uid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_moved_over_the_one_that_was_expected_and_over_no_other() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rds.yaml");
        fs::write(&path, "one").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode");
        let place = Place::new(&path.display().to_string());
        place.writable().expect("it may");
        let before = fs::metadata(&path).expect("it is there").ino();
        assert!(place.replace("one", "two", "v2").is_ok());
        let after = fs::metadata(&path).expect("it is there");
        assert_eq!((place.text().expect("a text").as_str(), after.mode() & 0o777), ("two", 0o640));
        assert_ne!(after.ino(), before, "it was moved there");
        assert!(matches!(place.replace("one", "three", "v3"), Err(Unwritten::Changed)));
        assert_eq!(place.text().expect("a text"), "two");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing is left lying there");
        assert!(place.writer().is_some_and(|line| line.contains("was written 0")), "{:?}", place.writer());

        let link = dir.path().join("link.yaml");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let linked = Place::new(&link.display().to_string());
        assert!(linked.text().expect_err("a link").what.contains("is a link"));
        let none = Place::new(&dir.path().join("none.yaml").display().to_string());
        assert_eq!(none.text().expect_err("nothing there").kind, Trouble::NotFound);
    }
}
