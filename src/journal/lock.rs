//! One cutover of a service at a time on this machine. The operating system gives the lock back when its holder dies, so
//! there is no stale lock and nothing to remove by hand.
//!
//! Each taking has a number, its epoch, one higher than the last. A process that was stopped for an hour does not know that its
//! lock file was removed and taken anew meanwhile, so a holder asks [`Lock::lost`] before whatever it writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::alone::{Alone, is_taken};
use super::archive::Archive;
use super::disk::{self, Disk};
use crate::diag::{Code, Kind, Refusal};
use crate::file;

/// Who holds a lock, as written into its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Nothing where what moves these users is no run, but a trial of their route.
    pub run: String,
    pub who: String,
    pub host: String,
    pub pid: u32,
    pub command: String,
    /// RFC 3339, UTC.
    pub since: String,
    /// Which taking of the lock this is; 0 in files of older versions.
    #[serde(default)]
    pub epoch: u64,
}

/// A service in an environment, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: Alone,
    path: PathBuf,
    what: String,
    epoch: u64,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn take(archive: &Archive, environment: &str, service: &str, holder: &Holder) -> Result<Lock, Refusal> {
        let path = path(archive, environment, service);
        let failed = |e: std::io::Error| {
            Refusal::new(Kind::Environment, Code::NoLock, format!("cannot lock {environment}/{service}"))
                .place(path.display().to_string())
                .cause(e.to_string())
        };
        disk::root(archive.disk().as_ref(), archive.root()).map_err(failed)?;
        disk::private(archive.disk().as_ref(), disk::above(&path)).map_err(failed)?;
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(file::ours())
                .open(&path)
        };
        let mut file = Alone::new(open().map_err(failed)?);
        // One that was removed between opening and locking keeps nobody out.
        if !file.take().map_err(failed)? || !same(&file, &path).map_err(failed)? {
            return Err(held(&mut file, environment, service));
        }
        let epoch = next_epoch(archive.disk().as_ref(), &path).map_err(failed)?;
        let holder = Holder { epoch, ..holder.clone() };
        let text = serde_json::to_string(&holder).expect("BUG: a holder is plain data") + "\n";
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Lock { file, path, what: format!("{environment}/{service}"), epoch })
    }

    /// Gives it up before its end: whoever wants to move these users now may.
    pub fn release(&self) {
        self.file.give_back();
    }

    /// Which taking of this lock this is: it only ever grows.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Why this lock keeps nobody out any more, if it does not: its file was removed or replaced, or it was taken anew.
    pub fn lost(&self) -> Option<String> {
        let what = &self.what;
        match (same(&self.file, &self.path), epoch(&self.path)) {
            (Ok(true), Ok(now)) if now == self.epoch => None,
            (_, Ok(now)) if now > self.epoch => Some(format!(
                "the lease of {what} was taken over: epoch {now} holds it, this process has {}",
                self.epoch
            )),
            (Ok(_), Ok(_)) => Some(format!("the lease of {what} is lost: its file was removed or replaced")),
            (Err(error), _) | (_, Err(error)) => {
                Some(format!("cannot tell whether the lease of {what} is held: {error}"))
            }
        }
    }

    /// Who holds the lock now, by its own word. Takes nothing and makes no file.
    pub fn holder(archive: &Archive, environment: &str, service: &str) -> Option<Holder> {
        let file = file::open_ours(&path(archive, environment, service)).ok()?;
        is_taken(&file).then(|| written(&file)).flatten()
    }

    /// Who took the lock last, whether or not they still have it.
    pub fn last(archive: &Archive, environment: &str, service: &str) -> Option<Holder> {
        written(&file::open_ours(&path(archive, environment, service)).ok()?)
    }

    /// Takes the lock's file away from a holder that does not answer: whoever takes the lock next has a higher epoch, and that
    /// holder finds itself [`Lock::lost`] before whatever it writes. Whether it is still that holder's is looked at first.
    pub fn fence(archive: &Archive, environment: &str, service: &str, seen: &Holder) -> io::Result<bool> {
        if Lock::holder(archive, environment, service).as_ref() != Some(seen) {
            return Ok(false);
        }
        fs::remove_file(path(archive, environment, service)).map(|()| true)
    }

    /// Who holds the lock now, as the refusal that taking it would give. Takes nothing and makes no file.
    pub fn held(archive: &Archive, environment: &str, service: &str) -> Option<Refusal> {
        let mut file = file::open_ours(&path(archive, environment, service)).ok()?;
        is_taken(&file).then(|| held(&mut file, environment, service))
    }
}

/// What a lock's file says.
fn written(file: &File) -> Option<Holder> {
    serde_json::from_reader(file.take(file::SHORT)).ok()
}

fn path(archive: &Archive, environment: &str, service: &str) -> PathBuf {
    let clean = |name: &str| name.replace(['/', '\0'], "_");
    archive.root().join("locks").join(format!("{}-{}.lock", clean(environment), clean(service)))
}

/// Whether the open file is the one that stands at its path.
fn same(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The number of the newest taking. It stands beside the lock, so that removing the one does not begin the other anew.
fn epoch(lock: &Path) -> io::Result<u64> {
    match file::text(&lock.with_extension("epoch"), file::SHORT) {
        Ok(text) => text.trim().parse().map_err(|_| io::Error::other(format!("`{}` is no epoch", text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Takes the next number; only whoever holds the lock may.
fn next_epoch(disk: &dyn Disk, lock: &Path) -> io::Result<u64> {
    let next = epoch(lock)? + 1;
    disk::put(disk, &lock.with_extension("epoch"), format!("{next}\n").as_bytes())?;
    Ok(next)
}

fn held(file: &mut File, environment: &str, service: &str) -> Refusal {
    match file.rewind().ok().and_then(|()| written(file)) {
        Some(holder) => {
            let Holder { run, who, host, pid, command, since, .. } = holder;
            let by = if run.is_empty() { format!("`{command}`") } else { format!("run {run}") };
            let refusal = Refusal::new(Kind::Later, Code::Locked, format!("{environment}/{service} is locked by {by}"))
                .cause(format!("{who}@{host}, `{command}`, since {since}, process {pid}, alive"));
            match run.is_empty() {
                true => refusal
                    .next("wait until it has ended, or end it with Ctrl-C where it runs")
                    .next("bgctl rollback RUNBOOK.yaml    users back; whoever holds the lock moves nobody after that"),
                false => refusal
                    .next(format!("bgctl status {run}"))
                    .next(format!("bgctl rollback {run}    users back, by stopping that run first")),
            }
        }
        // The holder has taken the lock and not yet written its name.
        None => Refusal::new(Kind::Later, Code::Locked, format!("{environment}/{service} is locked by another bgctl"))
            .cause("it has only just started and has not said yet which run it is")
            .next("try again in a moment"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(run: &str) -> Holder {
        Holder {
            run: run.into(),
            who: "rm-two".into(),
            host: "build-3".into(),
            pid: 7,
            command: "bgctl cutover".into(),
            since: "2026-11-21T02:58:10Z".into(),
            epoch: 0,
        }
    }

    #[test]
    fn the_second_one_is_told_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path());
        let first = Lock::take(&archive, "production", "bot", &holder("m2c")).unwrap();
        let refusal = Lock::take(&archive, "production", "bot", &holder("kfx")).unwrap_err();
        assert_eq!((refusal.kind, refusal.code), (Kind::Later, Code::Locked));
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
        assert_eq!(again.unwrap().epoch(), 2);
    }

    #[test]
    fn r08_a_holder_that_does_not_answer_is_fenced_and_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path());
        let first = Lock::take(&archive, "production", "bot", &holder("m2c")).unwrap();
        let seen = Lock::holder(&archive, "production", "bot").unwrap();
        assert!(!Lock::fence(&archive, "production", "bot", &Holder { epoch: 9, ..seen.clone() }).unwrap());
        assert_eq!(first.lost(), None, "it is another's lock that was to be taken away");
        assert!(Lock::fence(&archive, "production", "bot", &seen).unwrap());
        assert!(first.lost().unwrap().contains("removed or replaced"), "at once, before anybody has taken it");
        let second = Lock::take(&archive, "production", "bot", &holder("kfx")).unwrap();
        assert_eq!((second.lost(), second.epoch()), (None, 2));
        assert!(!Lock::fence(&archive, "production", "bot", &seen).unwrap(), "the one who was faster keeps it");
        assert_eq!(second.lost(), None);
    }

    /// Its file is the same one as before; only the number says that it is another's now.
    #[test]
    fn whoever_gave_a_lock_up_does_not_take_it_for_their_own_again() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path());
        let first = Lock::take(&archive, "production", "bot", &holder("m2c")).unwrap();
        first.release();
        let second = Lock::take(&archive, "production", "bot", &holder("kfx")).unwrap();
        assert_eq!((second.lost(), second.epoch()), (None, 2));
        assert!(first.lost().unwrap().contains("epoch 2 holds it, this process has 1"));
        drop(second);
        assert!(first.lost().is_some(), "nor when the other is through");
    }

    #[test]
    fn whoever_slept_through_a_take_over_knows_it_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path());
        let first = Lock::take(&archive, "production", "bot", &holder("m2c")).unwrap();
        assert_eq!((first.lost(), first.epoch()), (None, 1));
        assert_eq!(Lock::holder(&archive, "production", "bot"), Some(Holder { epoch: 1, ..holder("m2c") }));
        let file = path(&archive, "production", "bot");
        fs::remove_file(&file).unwrap();
        assert!(first.lost().unwrap().contains("removed or replaced"));
        let second = Lock::take(&archive, "production", "bot", &holder("kfx")).unwrap();
        assert_eq!((second.lost(), second.epoch()), (None, 2), "the number goes on although the file was removed");
        assert!(first.lost().unwrap().contains("epoch 2 holds it, this process has 1"));
        fs::write(file.with_extension("epoch"), "many").unwrap();
        assert!(second.lost().unwrap().contains("cannot tell whether"));
        assert!(Lock::take(&archive, "staging", "bot", &holder("x")).is_ok());
    }
}
