//! One cutover of a service at a time on this machine. The operating system gives the lock back when its holder dies, so
//! there is no stale lock and nothing to remove by hand.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::archive::{Archive, private};
use crate::diag::{Kind, Refusal};

/// Who holds a lock, as written into its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub run: String,
    pub who: String,
    pub host: String,
    pub pid: u32,
    pub command: String,
    /// RFC 3339, UTC.
    pub since: String,
}

/// A service in an environment, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn take(archive: &Archive, environment: &str, service: &str, holder: &Holder) -> Result<Lock, Refusal> {
        let path = path(archive, environment, service);
        let failed = |e: std::io::Error| {
            Refusal::new(Kind::Environment, "BG0403", format!("cannot lock {environment}/{service}"))
                .place(path.display().to_string())
                .cause(e.to_string())
        };
        private(path.parent().unwrap_or(archive.root())).map_err(failed)?;
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held(&mut file, environment, service)),
            Err(error) => return Err(failed(error.into())),
        }
        let text = serde_json::to_string(holder).expect("BUG: a holder is plain data") + "\n";
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Lock { _file: file })
    }

    /// Who holds the lock now, as the refusal that taking it would give. Takes nothing and makes no file.
    pub fn held(archive: &Archive, environment: &str, service: &str) -> Option<Refusal> {
        let mut file = File::open(path(archive, environment, service)).ok()?;
        let taken = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
        taken.then(|| held(&mut file, environment, service))
    }
}

fn path(archive: &Archive, environment: &str, service: &str) -> PathBuf {
    let clean = |name: &str| name.replace(['/', '\0'], "_");
    archive.root().join("locks").join(format!("{}-{}.lock", clean(environment), clean(service)))
}

fn held(file: &mut File, environment: &str, service: &str) -> Refusal {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match serde_json::from_str::<Holder>(&text) {
        Ok(holder) => {
            let Holder { run, who, host, pid, command, since } = holder;
            Refusal::new(Kind::Later, "BG0401", format!("{environment}/{service} is locked by run {run}"))
                .cause(format!("{who}@{host}, `{command}`, since {since}, process {pid}, alive"))
                .next(format!("bgctl status {run}"))
                .next(format!("bgctl rollback {run}    users back, by stopping that run first"))
        }
        // The holder has taken the lock and not yet written its name.
        Err(_) => Refusal::new(Kind::Later, "BG0401", format!("{environment}/{service} is locked by another bgctl"))
            .cause("it has only just started and has not said yet which run it is")
            .next("try again in a moment"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path());
        let holder = |run: &str| Holder {
            run: run.into(),
            who: "rm-two".into(),
            host: "build-3".into(),
            pid: 7,
            command: "bgctl cutover".into(),
            since: "2026-11-21T02:58:10Z".into(),
        };
        let first = Lock::take(&archive, "production", "bot", &holder("m2c")).unwrap();
        let refusal = Lock::take(&archive, "production", "bot", &holder("kfx")).unwrap_err();
        assert_eq!((refusal.kind, refusal.code), (Kind::Later, "BG0401"));
        assert_eq!(refusal.headline, "production/bot is locked by run m2c");
        assert!(refusal.cause[0].starts_with("rm-two@build-3"));
        assert_eq!(Lock::held(&archive, "production", "bot").map(|r| r.headline), Some(refusal.headline));
        assert!(Lock::take(&archive, "staging", "bot", &holder("kfx")).is_ok());
        assert!(Lock::held(&archive, "staging", "bot").is_none());
        drop(first);
        assert!(Lock::held(&archive, "production", "bot").is_none());
        let again = Lock::take(&archive, "production", "bot", &holder("kfx"));
        assert!(again.is_ok());
        assert!(Lock::take(&archive, "production", "bot", &holder("x")).unwrap_err().headline.contains("run kfx"));
    }
}
