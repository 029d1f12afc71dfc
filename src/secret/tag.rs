//! Tags: what stands in a log for a secret, so that a reader sees where the same one was used, and nothing else about it.
//!
//! The tag is an HMAC under a key of one run. A plain hash would not do: short values are found by trying.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::file;

/// The key of this machine that the keys of its runs come from: 32 random bytes in a file nobody else can read, made when it
/// is first needed.
pub fn root(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let read = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).ok().map(Zeroizing::new);
    match file::read(path, file::SHORT) {
        Ok(bytes) => {
            return read(bytes).ok_or_else(|| io::Error::other(format!("`{}` is no key of 32 bytes", path.display())));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    getrandom::fill(&mut key[..]).map_err(|e| io::Error::other(e.to_string()))?;
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Written whole under another name first: a second process sees either no key or all of it.
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&key[..])?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(file::read(path, file::SHORT)?)
            .ok_or_else(|| io::Error::other(format!("`{}` is no key of 32 bytes", path.display()))),
        Err(error) => Err(error),
    }
}

/// The key of one run's tags.
#[derive(Clone)]
pub struct TagKey(Zeroizing<[u8; 32]>);

impl TagKey {
    /// Derived from a key this machine keeps: equal in every process of a run, unrelated between runs.
    pub fn of_run(root: &[u8; 32], service: &str, run: &str) -> Self {
        let purpose = format!("bgctl/redact/v1\0{service}\0{run}");
        TagKey(Zeroizing::new(mac(root, purpose.as_bytes())))
    }

    /// `[secret:16 hex digits]`.
    pub fn tag(&self, value: &[u8]) -> String {
        let digits: String = mac(&self.0, value)[..8].iter().map(|b| format!("{b:02x}")).collect();
        format!("[secret:{digits}]")
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("BUG: HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/redaction");
        let first = root(&path).unwrap();
        assert_eq!(*root(&path).unwrap(), *first);
        assert_eq!(std::fs::read_dir(dir.path().join("keys")).unwrap().count(), 1);
        std::fs::write(&path, "short").unwrap();
        assert!(root(&path).is_err());
    }

    #[test]
    fn a_tag_is_the_same_in_its_run_and_another_in_the_next() {
        let root = [7; 32];
        let key = TagKey::of_run(&root, "bot", "r1");
        assert_eq!(key.tag(b"hunter22"), TagKey::of_run(&root, "bot", "r1").tag(b"hunter22"));
        assert_ne!(key.tag(b"hunter22"), key.tag(b"hunter23"));
        for other in [
            TagKey::of_run(&root, "bot", "r2"),
            TagKey::of_run(&root, "bo", "tr1"),
            TagKey::of_run(&[8; 32], "bot", "r1"),
        ] {
            assert_ne!(key.tag(b"hunter22"), other.tag(b"hunter22"));
        }
        assert_eq!(key.tag(b"hunter22").len(), "[secret:0123456789abcdef]".len());
    }
}
