//! The one way to read a file: whoever could put something in its place can neither hold us up nor fill our memory.
//!
//! Only a regular file is read, opened without waiting, up to a length that its reader names. Errors say what stands there
//! instead; which file it is, is said by who asked for it. What is in a file is nothing of this.

use std::fs::{self, DirBuilder, File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// A key, a signature, a token, an answer, a state of a few lines.
pub const SHORT: u64 = 64 * 1024;
/// A plan, a policy, a list of keys or of revoked keys, a request with all it shows.
pub const LONG: u64 = 4 * 1024 * 1024;
/// A log that is read whole, to be shown or copied. One that is only checked is read in pieces, at any length.
pub const LOG: u64 = 64 * 1024 * 1024;

/// Whether a name leads to something that is no folder: reading it then says what it is.
pub fn stands(path: &Path) -> bool {
    path.symlink_metadata().is_ok() && !path.is_dir()
}

/// The bytes of a file that somebody named, directly or through links.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fill(open(path)?, most, &mut bytes)?;
    Ok(bytes)
}

/// The same of a file that has to be UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 text: line {line}, byte {at}"))
    })
}

/// Opens a file to be read in pieces.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path, OFlags::empty())
}

/// Opens a file of our own folders, where nothing of ours is a link.
pub fn open_ours(path: &Path) -> io::Result<File> {
    if path.is_symlink() {
        return Err(refused("it is a link, and bgctl makes none here"));
    }
    opened(path, OFlags::NOFOLLOW)
}

/// Makes a folder that only its owner can look into, whatever the umask, and those above it that are missing.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that only its owner can read, whatever the umask.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(ours());
    options.open(path)?.write_all(bytes.as_ref())
}

/// The flags with which a file of our own folders is opened to be written: never through a link, and never waiting.
pub fn ours() -> i32 {
    int(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)
}

/// What an open file still has, if that is not too long.
pub fn fill(file: File, most: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let too_long = || {
        let size = match most {
            most if most >= 1024 * 1024 => format!("{} MiB", most / 1024 / 1024),
            most => format!("{} KiB", most / 1024),
        };
        Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {size}")))
    };
    if file.metadata()?.len() > most {
        return too_long();
    }
    // A file of the system can say that it is empty and never end.
    file.take(most + 1).read_to_end(into)?;
    if into.len() as u64 > most { too_long() } else { Ok(()) }
}

fn opened(path: &Path, flags: OFlags) -> io::Result<File> {
    let about = fs::metadata(path).map_err(|error| match fs::read_link(path) {
        // A link that leads nowhere is no file that is not there: somebody put it in the place of one.
        Ok(to) if error.kind() == ErrorKind::NotFound => {
            refused(&format!("it is a link to `{}`, which is not there", to.display()))
        }
        _ => error,
    })?;
    // Some devices act on being opened, so they are not even that.
    regular(about.file_type())?;
    let flags = int(flags | OFlags::NONBLOCK | OFlags::NOCTTY);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // Another thing may stand there by now; it was opened without waiting for anybody.
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

fn int(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn regular(kind: FileType) -> io::Result<()> {
    let is = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe (FIFO)",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    };
    Err(refused(&format!("it is {is}, not a file")))
}

fn refused(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a7_only_a_regular_file_is_read_and_only_so_much_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        fs::write(at("latin"), b"ab\nc\xff").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        symlink(at("loop"), at("loop")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        File::create(at("huge")).unwrap().set_len(2 << 30).unwrap();
        fs::create_dir(at("folder")).unwrap();

        assert_eq!((text(&at("file"), SHORT).unwrap(), text(&at("link"), 4).unwrap()), ("text".into(), "text".into()));
        for (name, words) in [
            ("fifo", "it is a pipe (FIFO), not a file"),
            ("socket", "it is a socket, not a file"),
            ("zero", "it is a device, not a file"),
            ("folder", "it is a folder, not a file"),
            ("huge", "it is longer than 64 KiB"),
            ("dangling", "which is not there"),
            ("loop", "symbolic links"),
            ("latin", "it is not UTF-8 text: line 2, byte 4"),
        ] {
            let error = text(&at(name), SHORT).unwrap_err();
            assert!(error.to_string().contains(words), "{name}: {error}");
            assert_ne!(error.kind(), ErrorKind::NotFound, "{name}: something is there");
        }
        assert_eq!(read(&at("none"), SHORT).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(read(&at("file"), 3).is_err(), "one byte too long");
        assert!(open_ours(&at("link")).is_err() && open_ours(&at("file")).is_ok());
    }

    /// Files of the system say that they are empty.
    #[test]
    fn a_file_that_says_it_is_empty_is_measured_by_reading_it() {
        for file in ["/proc/self/maps", "/proc/self/smaps"] {
            if Path::new(file).exists() {
                assert_eq!(read(Path::new(file), 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
            }
        }
    }
}
