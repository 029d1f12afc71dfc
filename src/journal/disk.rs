//! The disk as far as it matters whether something outlasts a power cut: the bytes of a file, and the names in a folder. The
//! one is no promise of the other, and neither is kept before it was asked for.
//!
//! Whoever says "it is on the disk" asks here. A test stands a disk in that place which loses whatever nobody asked to be kept.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Returns once something outlasts a power cut.
pub trait Disk: Debug {
    /// The bytes of this file, and how many they are.
    fn file(&self, file: &File) -> io::Result<()>;

    /// The names in this folder.
    fn folder(&self, folder: &File) -> io::Result<()>;
}

/// The disks of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn file(&self, file: &File) -> io::Result<()> {
        rustix::fs::fdatasync(file).map_err(io::Error::from)
    }

    fn folder(&self, folder: &File) -> io::Result<()> {
        rustix::fs::fsync(folder).map_err(io::Error::from)
    }
}

/// The folder that holds this path.
pub(super) fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Keeps the names in a folder.
pub(super) fn names(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    disk.folder(&File::open(folder)?)
}

/// Makes a folder only its owner can look into, and those above it that are missing, each kept where it stands.
/// One that leads elsewhere, or that others may write in, is not taken: what lies in it would be theirs.
pub(super) fn private(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(folder) {
        Ok(found) if found.is_symlink() => return Err(io::Error::other("it is a link to somewhere else: remove it")),
        Ok(found) if found.is_dir() && found.permissions().mode() & 0o002 != 0 => {
            return Err(io::Error::other("everybody may write in it: chmod 700"));
        }
        Ok(found) if found.is_dir() => return Ok(()),
        _ => {}
    }
    if !above(folder).is_dir() {
        private(disk, above(folder))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => names(disk, above(folder)),
        // Somebody was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes a whole file in the place of what stood there: after a power cut it is the old one or the new one.
pub fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_os_string();
    new.push(".new");
    let new = Path::new(&new);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new)?;
    file.write_all(bytes)?;
    disk.file(&file)?;
    std::fs::rename(new, path)?;
    names(disk, above(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r30_the_system_is_really_asked() {
        // Neither call says anything when it is left out, but nothing can be synced that is no file of a disk.
        let (read, write) = rustix::pipe::pipe().unwrap();
        assert!(LocalDisk.file(&File::from(write)).is_err());
        assert!(LocalDisk.folder(&File::from(read)).is_err());
        let dir = tempfile::tempdir().unwrap();
        put(&LocalDisk, &dir.path().join("a"), b"a").unwrap();
        assert!(!dir.path().join("a.new").exists());
        private(&LocalDisk, &dir.path().join("x/y/z")).unwrap();
        private(&LocalDisk, &dir.path().join("x/y/z")).unwrap();
        assert!(private(&LocalDisk, &dir.path().join("a/b")).is_err());
    }

    #[test]
    fn a19_a_folder_that_leads_elsewhere_or_that_everybody_may_write_in_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        private(&LocalDisk, &path("state/locks")).unwrap();
        for made in ["state", "state/locks"] {
            assert_eq!(path(made).metadata().unwrap().permissions().mode() & 0o777, 0o700, "{made}");
        }
        std::fs::create_dir(path("elsewhere")).unwrap();
        std::os::unix::fs::symlink(path("elsewhere"), path("state/linked")).unwrap();
        assert!(private(&LocalDisk, &path("state/linked")).unwrap_err().to_string().contains("a link"));
        std::fs::create_dir(path("state/open")).unwrap();
        std::fs::set_permissions(path("state/open"), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(private(&LocalDisk, &path("state/open")).unwrap_err().to_string().contains("chmod 700"));
    }
}
