//! The disk as far as it matters whether something outlasts a power cut: the bytes of a file, and the names in a folder. The
//! one is no promise of the other, and neither is kept before it was asked for.
//!
//! Whoever says "it is on the disk" asks here. A test stands a disk in that place which loses whatever nobody asked to be kept.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Returns once something outlasts a power cut.
pub trait Disk: Debug {
    /// The bytes of this file, and how many they are.
    fn file(&self, file: &File) -> io::Result<()>;

    /// The names in this folder.
    fn folder(&self, folder: &File) -> io::Result<()>;

    /// Sets space aside for what will be written behind the end of this file.
    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            // Some file systems keep nothing aside; they can still say that there is nothing left.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let about = rustix::fs::fstatvfs(file)?;
                let free = about.f_bavail.saturating_mul(about.f_frsize);
                if free < bytes { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
            }
            reserved => reserved.map_err(io::Error::from),
        }
    }
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
    if folder.symlink_metadata().is_ok() {
        return sound(folder);
    }
    if !above(folder).is_dir() {
        private(disk, above(folder))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => names(disk, above(folder)),
        // Somebody was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => sound(folder),
        Err(error) => Err(error),
    }
}

/// The same of the folder that somebody named for all of it, which may be a link.
pub(super) fn root(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    match folder.canonicalize() {
        Ok(folder) => sound(&folder),
        Err(_) => private(disk, folder),
    }
}

/// A folder of ours that somebody else can put things into, or that is none, is not used.
fn sound(folder: &Path) -> io::Result<()> {
    let refuse = |why: String| Err(io::Error::new(ErrorKind::PermissionDenied, why));
    let (about, name) = (folder.symlink_metadata()?, folder.display());
    if about.is_symlink() {
        return refuse(format!("`{name}` is a link, and bgctl makes none there: rm '{name}'"));
    }
    if !about.is_dir() {
        return Err(io::Error::new(ErrorKind::NotADirectory, format!("`{name}` is not a folder")));
    }
    if about.mode() & 0o002 != 0 {
        return refuse(format!("everybody can write in `{name}`: chmod 700 '{name}'"));
    }
    Ok(())
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

    /// A disk without room: what has to be kept aside cannot be.
    #[derive(Debug)]
    struct Full;

    impl Disk for Full {
        fn file(&self, file: &File) -> io::Result<()> {
            LocalDisk.file(file)
        }

        fn folder(&self, folder: &File) -> io::Result<()> {
            LocalDisk.folder(folder)
        }

        fn reserve(&self, _: &File, _: u64) -> io::Result<()> {
            Err(ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn t19_a_run_begins_only_where_its_way_back_can_be_recorded() {
        use crate::journal::{DirStore, LOG};
        let dir = tempfile::tempdir().unwrap();
        let error = DirStore::create_on(std::rc::Rc::new(Full), &dir.path().join("run")).err().unwrap();
        assert!(error.what.contains("set aside 1 MiB") && error.what.contains("the disk is full"), "{error}");
        assert!(!dir.path().join("run").join(LOG).exists(), "nothing that looks like a run is left");
        drop(DirStore::create(&dir.path().join("other")).unwrap());
        let about = std::fs::metadata(dir.path().join("other").join(LOG)).unwrap();
        assert_eq!(about.len(), 0);
        // What a file system keeps aside shows in its blocks; one that keeps nothing was asked for its room.
        assert!(about.blocks() == 0 || about.blocks() * 512 >= 1024 * 1024, "{} blocks", about.blocks());
    }

    #[test]
    fn a19_a_folder_that_others_can_fill_or_that_is_a_link_is_not_used() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        private(&LocalDisk, &at("state/locks")).unwrap();
        let mode = |name: &str| std::fs::metadata(at(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("state"), mode("state/locks")), (0o700, 0o700));
        std::fs::set_permissions(at("state/locks"), PermissionsExt::from_mode(0o777)).unwrap();
        let why = private(&LocalDisk, &at("state/locks")).unwrap_err().to_string();
        assert!(why.contains("chmod 700"), "{why}");
        assert!(root(&LocalDisk, &at("state/locks")).unwrap_err().to_string().contains("chmod 700"));
        symlink(at("state"), at("link")).unwrap();
        assert!(private(&LocalDisk, &at("link")).unwrap_err().to_string().contains("is a link"));
        root(&LocalDisk, &at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        assert!(private(&LocalDisk, &at("file")).unwrap_err().to_string().contains("is not a folder"));
    }
}
