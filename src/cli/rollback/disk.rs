//! Whether a run can be written down here, found out by writing.

use std::io::ErrorKind;
use std::path::Path;

use super::action::Disk;
use crate::file;

/// As much as the first records of a run take.
const SOME: usize = 32 * 1024;

/// Writes a file as a run would, and takes it away again. The second is the system's own word where that failed.
pub fn probe(state: &Path, folder: Option<&Path>) -> (Disk, Option<String>) {
    let place = folder.map_or_else(|| state.join("runs"), Path::to_path_buf);
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return (Disk::Gone, Some(format!("{} is gone", place.display())));
    }
    let file = place.join(format!(".probe.{}", std::process::id()));
    let written = file::folder(&place).and_then(|()| {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&file)?;
        file.write_all(&[0; SOME])?;
        file.sync_data()
    });
    // Where it was not written there is nothing to take away.
    let _ = std::fs::remove_file(&file);
    let Err(error) = written else { return (Disk::Well, None) };
    let disk = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Disk::Full,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Disk::ReadOnly,
        _ => Disk::Gone,
    };
    (disk, Some(format!("{}: {error}", place.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_a_disk_is_found_out_by_writing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(probe(&dir.path().join("new"), None), (Disk::Well, None));
        assert_eq!(std::fs::read_dir(dir.path().join("new/runs")).unwrap().count(), 0, "nothing is left behind");
        let gone = dir.path().join("runs").join("a-run");
        assert_eq!(probe(dir.path(), Some(&gone)).0, Disk::Gone);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (disk, why) = probe(&file, None);
        assert_eq!(disk, Disk::Gone);
        assert!(why.unwrap().contains("file"));
    }
}
