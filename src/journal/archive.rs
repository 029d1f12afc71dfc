//! Where the runs of this machine are kept: one folder a run, found by its name or the end of it.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;

use super::disk::{self, Disk, LocalDisk};
use super::order::{self, Opened};
use super::{LOG, ledger};
use crate::diag::{Code, Kind, Refusal};

/// Letters that are read out and typed without doubt.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz";
/// How often another name is tried when one is taken.
const TRIES: usize = 100;

/// The folder of bgctl's state.
#[derive(Clone, Debug)]
pub struct Archive {
    root: PathBuf,
    disk: Rc<dyn Disk>,
}

impl Archive {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Archive::on(Rc::new(LocalDisk), root)
    }

    /// The same on this disk.
    pub fn on(disk: Rc<dyn Disk>, root: impl Into<PathBuf>) -> Self {
        Archive { root: root.into(), disk }
    }

    pub fn disk(&self) -> &Rc<dyn Disk> {
        &self.disk
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a run: `log.jsonl`, `plan.json`, `undo/`.
    pub fn run(&self, id: &str) -> PathBuf {
        self.root.join("runs").join(id)
    }

    /// Makes the folder (0700) of a new run and gives its name: `YYYYMMDD-HHMM-xyz`, UTC.
    pub fn reserve(&self, now: Timestamp) -> io::Result<(String, PathBuf)> {
        let minute = now.strftime("%Y%m%d-%H%M").to_string();
        let runs = self.root.join("runs");
        disk::root(self.disk.as_ref(), &self.root)?;
        disk::private(self.disk.as_ref(), &runs)?;
        for _ in 0..TRIES {
            let mut random = [0u8; 8];
            getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
            let id = name(&minute, u64::from_le_bytes(random));
            match DirBuilder::new().mode(0o700).create(self.run(&id)) {
                Ok(()) => {
                    disk::names(self.disk.as_ref(), &runs)?;
                    return Ok((id.clone(), self.run(&id)));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many runs in one minute"))
    }

    /// A name for a run that has no folder.
    pub fn unreserved(&self, now: Timestamp) -> io::Result<String> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(name(&now.strftime("%Y%m%d-%H%M").to_string(), u64::from_le_bytes(random)))
    }

    /// The runs that have a log, oldest first: as the ledger has them, whatever the clocks said.
    pub fn runs(&self) -> Vec<String> {
        self.opened().into_iter().map(|opened| opened.run).collect()
    }

    /// The newest run of each service, the service of the newest run last.
    pub fn newest(&self) -> Vec<Opened> {
        let mut newest: Vec<Opened> = Vec::new();
        for opened in self.opened() {
            newest.retain(|other| !other.same_service(&opened));
            newest.push(opened);
        }
        newest
    }

    /// What the logs here say of their opening, oldest first.
    pub fn opened(&self) -> Vec<Opened> {
        let Ok(entries) = fs::read_dir(self.root.join("runs")) else { return Vec::new() };
        let ids = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        let runs = ids.filter_map(|id| Opened::of(&self.run(&id).join(LOG), id)).collect();
        order::sorted(runs, &ledger::order(&self.root.join(ledger::LEDGER)))
    }

    /// The run of that name, of the end of a name, or the newest, with its folder: its log is its own.
    pub fn find(&self, name: Option<&str>) -> Result<(String, PathBuf), Refusal> {
        let (id, folder) = found_in(std::slice::from_ref(self), name)?;
        own(&id, folder).map(|folder| (id, folder))
    }
}

/// The folder of a run, whose log is its own.
pub fn own(id: &str, folder: PathBuf) -> Result<PathBuf, Refusal> {
    let log = folder.join(LOG);
    match Opened::of(&log, id.into()).and_then(|opened| opened.says).filter(|said| said != id) {
        None => Ok(folder),
        Some(said) => {
            let headline = format!("the folder of run {id} holds the log of another run, `{}`", said.escape_debug());
            Err(Refusal::new(Kind::Audit, Code::RecordMissing, headline)
                .place(log.display().to_string())
                .cause("somebody put it there: what it tells is not the story of this run")
                .users("not checked; nothing was changed by this command")
                .next(format!("bgctl audit verify {}        what that log is", log.display()))
                .next("bgctl audit ledger        what this machine knows of both runs")
                .next(format!("bgctl rollback {id}        everyone back to BLUE anyway")))
        }
    }
}

/// The run of that name in several folders; the newest is that of the first one that has any. Whose log lies there is not
/// looked at.
pub fn found_in(archives: &[Archive], name: Option<&str>) -> Result<(String, PathBuf), Refusal> {
    let of = |archive: &Archive| archive.runs().into_iter().map(|id| (archive.run(&id), id)).collect::<Vec<_>>();
    let runs: Vec<Vec<(PathBuf, String)>> = archives.iter().map(of).collect();
    let place = archives.first().map_or(String::new(), |first| first.root.join("runs").display().to_string());
    let all = || runs.iter().flatten();
    let found: Vec<&(PathBuf, String)> = match name {
        None => runs.iter().find_map(|runs| runs.last()).into_iter().collect(),
        Some(name) => match all().filter(|(_, id)| id == name).collect::<Vec<_>>() {
            exact if !exact.is_empty() => exact,
            _ => all().filter(|(_, id)| !name.is_empty() && id.ends_with(name)).collect(),
        },
    };
    match (&found[..], name) {
        ([(folder, id)], _) => Ok((id.clone(), folder.clone())),
        ([], None) => Err(Refusal::new(Kind::Usage, Code::NoRun, "there is no run on this machine yet")
            .place(place)
            .next("name a log file: bgctl audit verify path/to/log.jsonl")),
        ([], Some(name)) => {
            let refusal = Refusal::new(Kind::Usage, Code::NoRun, format!("no run is called `{name}`")).place(place);
            let names: Vec<&str> = all().map(|(_, id)| id.as_str()).collect();
            match names.len() {
                0 => Err(refusal.cause("there is no run on this machine yet")),
                n => Err(refusal.cause(format!("the newest are: {}", names[n.saturating_sub(5)..].join(", ")))),
            }
        }
        (several, name) => {
            let all: Vec<&str> = several.iter().map(|(_, id)| id.as_str()).collect();
            let headline = format!("`{}` is the end of {} runs", name.unwrap_or_default(), all.len());
            Err(Refusal::new(Kind::Usage, Code::NoRun, headline)
                .place(place)
                .cause(all.join(", "))
                .next("name more of it"))
        }
    }
}

fn name(minute: &str, mut random: u64) -> String {
    let mut letters = String::new();
    for _ in 0..3 {
        let count = LETTERS.len() as u64;
        letters.push(char::from(LETTERS[usize::try_from(random % count).unwrap_or(0)]));
        random /= count;
    }
    format!("{minute}-{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive_of(runs: &[(&str, &str)]) -> (tempfile::TempDir, Archive) {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path());
        for (id, ts) in runs {
            fs::create_dir_all(archive.run(id)).unwrap();
            fs::write(archive.run(id).join(LOG), format!("{{\"v\":1,\"seq\":0,\"run\":\"{id}\",\"ts\":\"{ts}\""))
                .unwrap();
        }
        (dir, archive)
    }

    #[test]
    fn a_run_is_found_by_name_by_the_end_of_it_or_as_the_newest() {
        let (_dir, archive) = archive_of(&[
            ("20261120-0302-zzz", "2026-11-20T03:02:01.000000Z"),
            ("20261121-0302-kfx", "2026-11-21T03:02:09.000000Z"),
            ("20261121-0302-abc", "2026-11-21T03:02:44.000000Z"),
            ("20261119-0302-abc", "2026-11-19T03:02:44.000000Z"),
        ]);
        let find = |name| archive.find(name).map(|(id, _)| id);
        assert_eq!(find(None).unwrap(), "20261121-0302-abc");
        assert_eq!(find(Some("kfx")).unwrap(), "20261121-0302-kfx");
        assert_eq!(find(Some("20261119-0302-abc")).unwrap(), "20261119-0302-abc");
        assert!(find(Some("abc")).unwrap_err().headline.contains("is the end of 2 runs"));
        assert!(find(Some("xyz")).unwrap_err().cause[0].contains("20261121-0302-abc"));
        assert!(find(Some("")).is_err());
        assert_eq!(archive.newest().len(), 1, "logs that do not say of what they are may be of one service");
        assert!(Archive::new("/nowhere").find(None).is_err());
    }

    #[test]
    fn a_reserved_name_has_the_minute_and_three_clear_letters() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path().join("state"));
        let (id, path) = archive.reserve("2026-11-21T03:02:41Z".parse().unwrap()).unwrap();
        assert!(id.starts_with("20261121-0302-") && id.len() == 17, "{id}");
        assert!(path.is_dir());
        assert_eq!(name("m", 0), "m-aaa");
        assert_eq!(name("m", 22 + 23 * 22), "m-zza");
    }
}
