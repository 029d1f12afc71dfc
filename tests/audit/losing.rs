//! A disk that loses what nobody asked to be kept, and everything that is said to be on the disk.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::mutate::Dice;
use crate::rig::*;
use bgctl::audit::{Verdict, verify};
use bgctl::journal::ledger::{Hand, Ledger, What};
use bgctl::journal::{
    Append, Archive, DirStore, Disk, Holder, Journal, LOG, Lock, Opening, PLAN, Record, SealState, Seals, Store,
    keep_plan, keep_way_back, read_log, read_on,
};
use bgctl::run::Evidence;
use bgctl::sign::Trust;

/// Writes as usual, and remembers beside it what would be left after a power cut.
#[derive(Debug, Default)]
pub struct LosingDisk {
    inside: RefCell<Inside>,
    /// How often it was asked, and the one time it did not listen.
    asked: Cell<usize>,
    deaf: Option<usize>,
}

#[derive(Debug, Default)]
struct Inside {
    files: BTreeMap<u64, Vec<u8>>,
    folders: BTreeMap<u64, BTreeMap<OsString, u64>>,
    /// Open, so that no number is given out twice. Opened anew, since a copy would share the locks.
    held: Vec<File>,
}

fn again(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

impl LosingDisk {
    fn listens(&self) -> bool {
        let asked = self.asked.replace(self.asked.get() + 1);
        self.deaf != Some(asked)
    }
}

impl Disk for LosingDisk {
    fn file(&self, file: &File) -> io::Result<()> {
        if !self.listens() {
            return Ok(());
        }
        let mut inside = self.inside.borrow_mut();
        inside.files.insert(file.metadata()?.ino(), fs::read(again(file))?);
        inside.held.push(File::open(again(file))?);
        Ok(())
    }

    fn folder(&self, folder: &File) -> io::Result<()> {
        if !self.listens() {
            return Ok(());
        }
        let names = fs::read_dir(again(folder))?.map(|entry| entry.map(|e| (e.file_name(), e.ino())));
        let names = names.collect::<io::Result<BTreeMap<_, _>>>()?;
        let mut inside = self.inside.borrow_mut();
        inside.folders.insert(folder.metadata()?.ino(), names);
        inside.held.push(File::open(again(folder))?);
        Ok(())
    }
}

impl LosingDisk {
    /// With a state folder that is there for good.
    fn new() -> (tempfile::TempDir, Rc<LosingDisk>) {
        LosingDisk::deaf_at(None)
    }

    /// The same, and one time it is asked it does nothing: as if the code there had not asked.
    fn deaf_at(time: Option<usize>) -> (tempfile::TempDir, Rc<LosingDisk>) {
        let (dir, mut disk) = (tempfile::tempdir().unwrap(), LosingDisk::default());
        disk.folder(&File::open(dir.path()).unwrap()).unwrap();
        disk.asked.set(0);
        disk.deaf = time;
        (dir, Rc::new(disk))
    }

    /// The power goes: what was asked to be kept is left, and of the rest what the dice leave.
    fn crash(&self, folder: &Path, dice: &mut Option<Dice>) {
        let luck = |dice: &mut Option<Dice>| dice.as_mut().is_some_and(|dice| dice.below(2) == 0);
        let inside = self.inside.borrow();
        let ino = fs::metadata(folder).unwrap().ino();
        let kept = inside.folders.get(&ino).cloned().unwrap_or_default();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if kept.get(&entry.file_name()) == Some(&entry.ino()) || luck(dice) {
                continue;
            }
            match entry.file_type().unwrap().is_dir() {
                true => fs::remove_dir_all(entry.path()).unwrap(),
                false => fs::remove_file(entry.path()).unwrap(),
            }
        }
        let old = kept.iter().filter(|(name, _)| !folder.join(name).exists());
        for (name, ino) in old.filter_map(|(name, ino)| Some((name, inside.files.get(ino)?))) {
            fs::write(folder.join(name), ino).unwrap();
        }
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                self.crash(&entry.path(), dice);
                continue;
            }
            let now = fs::read(entry.path()).unwrap();
            let kept = inside.files.get(&entry.ino()).cloned();
            // A file that was put back is as it was kept.
            let Some(kept) = kept.or_else(|| (!inside.files.values().any(|file| *file == now)).then(Vec::new)) else {
                continue;
            };
            let left = match dice.as_mut() {
                Some(dice) if now.starts_with(&kept) => &now[..kept.len() + dice.below(now.len() - kept.len() + 1)],
                _ => &kept[..],
            };
            fs::write(entry.path(), left).unwrap();
        }
    }
}

fn note(line: &str) -> Record {
    Record::from(&Evidence::Note { line: line.into() })
}

fn judge(folder: &Path) -> Verdict {
    let trust = Trust { signers: signers(), shared: None };
    verify(&mut io::Cursor::new(read_log(folder).unwrap_or_default()), &trust, Seals::All).unwrap().verdict
}

fn holder() -> Holder {
    let (run, who, host) = (RUN.into(), "engineer".into(), "laptop".into());
    Holder { run, who, host, pid: 7, command: "bgctl cutover".into(), since: String::new(), epoch: 0 }
}

fn opened(disk: &Rc<LosingDisk>, folder: &Path, clock: &Rc<HandClock>) -> Journal {
    let plan = plan();
    let opening = Opening { run: RUN.into(), plan: &plan, who: who(), bound: Default::default() };
    let store = DirStore::create_on(disk.clone(), folder).unwrap();
    Journal::create(Box::new(store), opening, &owner(), clock.clone()).unwrap()
}

/// What is said to be on the disk, in the order of a run: each is done, and then looked for.
type Claim<'a> = (&'static str, Box<dyn FnOnce() + 'a>, Box<dyn Fn() -> bool + 'a>);

/// Does all of it up to a claim, cuts the power, and looks for everything up to there. Gives what was lost, how many claims there
/// are, and how often the disk was asked to keep something.
fn cut_after(count: usize, deaf: Option<usize>) -> (Vec<&'static str>, usize, usize) {
    let (dir, disk) = LosingDisk::deaf_at(deaf);
    let (root, clock) = (dir.path(), HandClock::new());
    let archive = Archive::on(disk.clone(), root);
    let folder = archive.run(RUN);
    let ledger = Ledger::on(disk.clone(), root);
    let journal: RefCell<Option<Journal>> = RefCell::new(None);
    let tip = RefCell::new(None);
    let reserved = RefCell::new(None);
    let files = [("web.json".to_string(), "[1]\n".to_string())];
    let ledger_line = || {
        let journal = journal.borrow();
        let journal = journal.as_ref().unwrap();
        let hand = Hand::Session(&journal.session());
        *tip.borrow_mut() = Some(ledger.append(What::Opened, &journal.head(), &hand, clock.as_ref()).unwrap());
    };
    let reserve =
        || *reserved.borrow_mut() = Some(archive.reserve(bgctl::clock::Clock::now(clock.as_ref())).unwrap().1);
    let lock = || drop(Lock::take(&archive, "production", "bot", &holder()).unwrap());
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let epoch = || text(&root.join("locks/production-bot.epoch"));
    let append = |words: &str| journal.borrow_mut().as_mut().unwrap().append(&[note(words)]).map(drop).unwrap();
    let has = |words: &str| String::from_utf8(read_log(&folder).unwrap_or_default()).unwrap().contains(words);
    let claims: Vec<Claim<'_>> = vec![
        ("a reserved folder", Box::new(reserve), Box::new(|| reserved.borrow().as_ref().is_some_and(|f| f.is_dir()))),
        ("the first epoch", Box::new(lock), Box::new(|| !epoch().is_empty())),
        ("the next epoch", Box::new(lock), Box::new(|| epoch() == "2\n")),
        (
            "the opening",
            Box::new(|| *journal.borrow_mut() = Some(opened(&disk, &folder, &clock))),
            Box::new(|| judge(&folder) == Verdict::Interrupted),
        ),
        (
            "the plan",
            Box::new(|| keep_plan(disk.as_ref(), &folder, &plan()).unwrap()),
            Box::new(|| text(&folder.join(PLAN)) == plan().canonical() + "\n"),
        ),
        ("the ledger's first line", Box::new(ledger_line), Box::new(|| ledger.tip().ok() == *tip.borrow())),
        ("the ledger's next line", Box::new(ledger_line), Box::new(|| ledger.tip().ok() == *tip.borrow())),
        (
            "the way back",
            Box::new(|| keep_way_back(disk.as_ref(), &folder, "web", &files, "aws it").unwrap()),
            Box::new(|| {
                text(&folder.join("undo/web.json")) == "[1]\n" && text(&folder.join("undo/web.sh")).contains("aws it")
            }),
        ),
        ("a record", Box::new(|| append("the intent")), Box::new(|| has("the intent"))),
        ("another record", Box::new(|| append("the outcome")), Box::new(|| has("the outcome"))),
    ];
    let all = claims.len();
    let mut looks = Vec::new();
    for (name, act, look) in claims.into_iter().take(count) {
        act();
        looks.push((name, look));
    }
    let asked = disk.asked.get();
    disk.crash(root, &mut None);
    let lost = looks.into_iter().filter(|(_, look)| !look()).map(|(name, _)| name).collect();
    (lost, all, asked)
}

#[test]
fn r30_whatever_is_said_to_be_on_the_disk_outlasts_a_power_cut() {
    let (_, all, _) = cut_after(0, None);
    assert_eq!(all, 10);
    for count in 1..=all {
        assert_eq!(cut_after(count, None).0, Vec::<&str>::new(), "lost by a power cut after claim {count}");
    }
}

/// Each place that asks is needed: where one of them is left out, something that was said to be kept is lost.
#[test]
fn r30_leaving_out_any_one_sync_loses_something() {
    let (_, all, asked) = cut_after(10, None);
    let noticed = |time: usize| (1..=all).any(|count| !cut_after(count, Some(time)).0.is_empty());
    let unneeded: Vec<usize> = (0..asked).filter(|time| !noticed(*time)).collect();
    assert!(asked > 20, "{asked}");
    // A name that the next sync of the same folder keeps too, and a log that is still empty.
    assert!(unneeded.len() <= 4, "of {asked} syncs, leaving out these is not noticed: {unneeded:?}");
}

#[test]
fn r30_a_torn_end_is_kept_before_it_is_cut_off() {
    let (dir, disk) = LosingDisk::new();
    let folder = Archive::on(disk.clone(), dir.path()).run(RUN);
    let clock = HandClock::new();
    let mut journal = opened(&disk, &folder, &clock);
    journal.append(&[note("sealed")]).unwrap();
    drop(journal);
    let mut torn = fs::OpenOptions::new().append(true).open(folder.join(LOG)).unwrap();
    io::Write::write_all(&mut torn, b"{\"v\":1,\"half a line").unwrap();
    disk.file(&torn).unwrap();
    let mut store = DirStore::open_on(disk.clone(), &folder).unwrap();
    let end = fs::metadata(folder.join(LOG)).unwrap().len() - 19;
    let cut = store.cut(end, "now").unwrap();
    drop(store);
    disk.crash(dir.path(), &mut None);
    assert_eq!(fs::read(folder.join(&cut.kept_as)).unwrap(), b"{\"v\":1,\"half a line");
    assert_eq!((cut.bytes, cut.sha256), (19, sha256(b"{\"v\":1,\"half a line")));
    assert_eq!(judge(&folder), Verdict::Interrupted);
}

/// Power cuts at any moment, several in one run, with any part of what nobody asked to be kept: no acknowledged record is lost,
/// no log is destroyed, and the run can be gone on with.
#[test]
fn r30_a_run_whose_power_is_cut_again_and_again_loses_no_record_it_was_told_of() {
    for seed in 0..60 {
        let (dir, disk) = LosingDisk::new();
        let archive = Archive::on(disk.clone(), dir.path());
        let (folder, clock) = (archive.run(RUN), HandClock::new());
        let mut dice = Some(Dice::new(seed));
        let mut roll = Dice::new(seed + 1000);
        let mut journal = opened(&disk, &folder, &clock);
        let mut told = Vec::new();
        for cut in 0..4 {
            for n in 0..roll.below(5) {
                let words = format!("record {cut}.{n}");
                journal.append(&[note(&words)]).unwrap();
                told.push(words);
            }
            drop(journal);
            // The next group was on its way: in the file, and nobody was told that it is kept.
            let mut file = fs::OpenOptions::new().append(true).open(folder.join(LOG)).unwrap();
            let half = "{\"v\":1,\"seq\":".repeat(roll.below(30));
            io::Write::write_all(&mut file, half.as_bytes()).unwrap();
            disk.crash(dir.path(), &mut dice);
            clock.pass(Duration::from_secs(60));
            let known = read_on(&folder, None).ok();
            let store = DirStore::open_on(disk.clone(), &folder).unwrap();
            let resumed = Journal::resume_under(
                Box::new(store),
                &who(),
                Default::default(),
                known.as_ref(),
                &owner(),
                clock.clone(),
            );
            journal = resumed.unwrap().0;
        }
        journal.close(SealState::Handover, Some(&owner())).unwrap();
        disk.crash(dir.path(), &mut dice);
        assert_eq!(judge(&folder), Verdict::Handover, "seed {seed}");
        let log = String::from_utf8(read_log(&folder).unwrap()).unwrap();
        assert!(told.iter().all(|words| log.contains(&format!("\"{words}\""))), "seed {seed}");
    }
}
