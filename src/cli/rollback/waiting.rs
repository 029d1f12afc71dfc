//! Another process drives the run: it is asked to go back, followed as long as it does, and replaced when it does not.
//!
//! It is waited for fifteen seconds and no longer. Whoever is replaced loses its lease: woken later, it moves nobody and writes
//! nothing.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::{Archive, Entry, Holder, LOG, Lock};
use crate::people::{Board, wish_is_open, wish_rollback, withdraw_wish};
use crate::plan::Plan;
use crate::run::{Actor, Event, RunOutcome};
use crate::session::open;
use crate::shell::Context;

/// How long a process may take to do what it was asked, or to write its next record.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a second person may take to agree, where one has to.
const SECOND_PERSON: Duration = Duration::from_secs(600);
/// How often the lock, the wish and the log are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How much of the end of a log is read for its last records.
const TAIL: u64 = 64 * 1024;

/// What came of asking.
pub enum Met {
    /// It has gone back, or stopped: how its run ended.
    Ended(RunOutcome, String),
    /// Its lock is free: it died, or left the run.
    Gone,
    /// It did not answer, and has lost its lease: what stands in the log of whoever goes back instead.
    Replaced(String),
}

/// What is asked of it.
pub struct Wish<'a> {
    pub by: &'a Actor,
    pub reason: &'a str,
    /// Although the schema stands against it.
    pub overrides: bool,
}

/// Whoever holds one of them now.
pub fn holder(archive: &Archive, plan: &Plan) -> Option<Holder> {
    open::leases(plan).into_iter().find_map(|(scope, what)| Lock::holder(archive, scope, what))
}

/// Whoever drove this run and left it open: the system gave their lock back when they died.
pub fn died(archive: &Archive, plan: &Plan, run: &str) -> Option<Holder> {
    Lock::last(archive, &plan.environment, &plan.service).filter(|last| last.run == run)
}

/// Asks the holder, and follows it until it has gone back, is gone, or is replaced.
pub async fn ask(
    cx: &Context,
    archive: &Archive,
    plan: &Plan,
    wish: &Wish<'_>,
    native: &[String],
) -> Result<Met, Refusal> {
    let Some(held) = holder(archive, plan) else { return Ok(Met::Gone) };
    let folder = archive.run(&held.run);
    let mut log = Tail::of(&folder);
    log.read();
    // What ended before it was asked is no answer.
    log.ended = None;
    cx.err(&format!("  driven   by {}{}", words(&held), log.age(cx.clock.now())));
    let ours = super::source::beside(&folder)
        .is_ok_and(|of| (&of.service, &of.environment) == (&plan.service, &plan.environment));
    if ours {
        match wish_rollback(&folder, wish.by, wish.reason, wish.overrides) {
            Ok(()) => cx.err("asked the process that drives this run to go back"),
            Err(error) => cx.err(&format!("! it cannot be asked: {error}")),
        }
    } else if held.run.is_empty() {
        cx.err("           it is a trial of a route, and no run that could be asked to go back");
    } else {
        // A place that another service's run moves: that run is not asked to end.
        cx.err("           it is the run of another service, which is not asked to go back");
    }
    cx.err(&format!("waits up to {} s for it, and takes over then; without bgctl:", PATIENCE.as_secs()));
    native.iter().for_each(|line| cx.err(&format!("  {line}")));
    let asked = cx.clock.elapsed();
    let mut taken = false;
    // When it was last seen to do anything.
    let mut stirred = asked;
    let mut countdown = Countdown { cx, board: Board::on(cx.screen()), last: None };
    loop {
        cx.clock.sleep(LOOK).await;
        let now = cx.clock.elapsed();
        // Looked at before the log is read: what it wrote last of all is then read too.
        let there = holder(archive, plan);
        let grown = log.read();
        if let Some((outcome, line)) = log.ended.take() {
            countdown.over();
            return Ok(Met::Ended(outcome, line));
        }
        if there.as_ref().map(|now| (now.pid, now.epoch)) != Some((held.pid, held.epoch)) {
            countdown.over();
            withdraw_wish(&folder);
            cx.err("the process that held the run is gone");
            return Ok(Met::Gone);
        }
        if ours && !taken && !wish_is_open(&folder) {
            (taken, stirred) = (true, now);
            countdown.over();
            cx.err(if wish.overrides { "it waits for a second person now: bgctl approve" } else { "it goes back now" });
        }
        if taken && grown {
            stirred = now;
        }
        let patience = match (taken, wish.overrides) {
            (true, true) => SECOND_PERSON,
            (true, false) => PATIENCE + log.expected(plan),
            (false, _) => PATIENCE,
        };
        let quiet = now.saturating_sub(stirred);
        if quiet < patience {
            if !taken {
                countdown.show(patience.saturating_sub(quiet));
            }
            continue;
        }
        countdown.over();
        if taken && wish.overrides {
            return Err(Refusal::new(
                Kind::Later,
                Code::HolderSilent,
                "nobody has approved this rollback in ten minutes",
            )
            .users("as shown above; that process still waits")
            .next(format!("bgctl approve {}", held.run)));
        }
        return replace(cx, archive, plan, &held, &folder, &log, taken);
    }
}

fn irreplaceable(held: &Holder, error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Environment, Code::HolderSilent, "the process that drives this run cannot be replaced")
        .cause(error.to_string())
        .users("as shown above")
        .next(format!("kill {}        end that process, then the same command again", held.pid))
}

/// Takes its lease away. Somebody else who was faster is somebody to be asked anew.
fn replace(
    cx: &Context,
    archive: &Archive,
    plan: &Plan,
    held: &Holder,
    folder: &Path,
    log: &Tail,
    taken: bool,
) -> Result<Met, Refusal> {
    withdraw_wish(folder);
    for (scope, what) in open::leases(plan) {
        let Some(there) = Lock::holder(archive, scope, what).filter(|there| there.pid == held.pid) else { continue };
        Lock::fence(archive, scope, what, &there).map_err(|error| irreplaceable(held, &error))?;
    }
    let did = if taken { "took the request and then wrote nothing more" } else { "did not answer" };
    let line = format!(
        "took over from {}, epoch {}{}: it {did} in {} s",
        words(held),
        held.epoch,
        log.age(cx.clock.now()),
        PATIENCE.as_secs()
    );
    cx.err(&line);
    Ok(Met::Replaced(line))
}

/// `rm@host, process 7 (`bgctl cutover`), run …, since …`, and whether the system says that it is stopped.
fn words(holder: &Holder) -> String {
    let Holder { run, who, host, pid, command, since, .. } = holder;
    let stopped = if is_stopped(holder) { ", which is stopped" } else { "" };
    let run = if run.is_empty() { String::new() } else { format!(", run {run}") };
    format!("{who}@{host}, process {pid} (`{command}`){stopped}{run}, since {since}")
}

/// It is a process of this machine, and the system has stopped it.
pub fn is_stopped(holder: &Holder) -> bool {
    holder.host == open::host() && stopped(holder.pid)
}

fn stopped(pid: u32) -> bool {
    let stat = file::text(Path::new(&format!("/proc/{pid}/stat")), file::SHORT).unwrap_or_default();
    // The name of the program stands in parentheses and may hold anything.
    stat.rsplit(')').next().is_some_and(|rest| matches!(rest.trim_start().chars().next(), Some('T' | 't')))
}

/// Says how long is still waited: in place on a terminal, every five seconds elsewhere.
struct Countdown<'a> {
    cx: &'a Context,
    board: Board,
    last: Option<u64>,
}

impl Countdown<'_> {
    fn show(&mut self, left: Duration) {
        let left = left.as_secs_f64().ceil() as u64;
        if self.last == Some(left) {
            return;
        }
        self.last = Some(left);
        if self.cx.style.live {
            self.board.show(&[format!("takes over in {left} s")]);
        } else if left.is_multiple_of(5) {
            self.cx.err(&format!("takes over in {left} s"));
        }
    }

    fn over(&mut self) {
        if self.last.take().is_some() && self.cx.style.live {
            self.board.clear();
        }
    }
}

/// The end of a log that another process writes. However long the log is, only its end is read.
struct Tail {
    path: PathBuf,
    at: u64,
    part: Vec<u8>,
    last: Option<Timestamp>,
    step: Option<(crate::plan::StepRef, bool)>,
    ended: Option<(RunOutcome, String)>,
}

impl Tail {
    fn of(folder: &Path) -> Tail {
        let path = folder.join(LOG);
        let size = std::fs::metadata(&path).map_or(0, |m| m.len());
        Tail { path, at: size.saturating_sub(TAIL), part: Vec::new(), last: None, step: None, ended: None }
    }

    /// Takes in what was written since. False where nothing was.
    fn read(&mut self) -> bool {
        let mut new = Vec::new();
        let read = file::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.at))?;
            file.read_to_end(&mut new)
        });
        if read.is_err() || new.is_empty() {
            return false;
        }
        self.at += new.len() as u64;
        self.part.append(&mut new);
        let whole = self.part.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.part.drain(..whole).collect();
        lines.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).for_each(|e| self.take(&e));
        true
    }

    fn take(&mut self, entry: &Entry) {
        self.last = entry.ts.parse().ok().or(self.last);
        match entry.event() {
            Some(Event::StepIntent { step, .. }) => self.step = Some((step, true)),
            Some(Event::StepOutcome { step, .. }) => self.step = Some((step, false)),
            Some(Event::Ended { outcome, line }) => self.ended = Some((outcome, line)),
            _ => {}
        }
    }

    /// How long the step at work takes when nothing is wrong: a ramp and a drain are silent for that long.
    fn expected(&self, plan: &Plan) -> Duration {
        let at_work = self.step.filter(|(_, begun)| *begun).map(|(at, _)| at);
        let step = at_work.and_then(|at| plan.lane(at.lane).get(at.index));
        Duration::from_secs(step.map_or(0, |step| step.expected_s))
    }

    fn age(&self, now: Timestamp) -> String {
        match self.last {
            Some(last) => format!(", last record {} s ago", (now.as_second() - last.as_second()).max(0)),
            None => ", no record of it can be read".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r08_the_end_of_a_log_is_followed_without_reading_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let line = |ts: &str, kind: &str, data: &str| {
            format!(
                "{{\"v\":1,\"seq\":1,\"run\":\"r\",\"ts\":\"{ts}\",\"mono\":1,\"type\":\"{kind}\",\"prev\":\"\",\"data\":{data}}}\n"
            )
        };
        let log = dir.path().join(LOG);
        let long = format!("{}\n", "x".repeat(100)).repeat(2000);
        std::fs::write(&log, &long).unwrap();
        let mut tail = Tail::of(dir.path());
        assert!(tail.at > 0 && tail.read() && !tail.read());
        let ended = line("2026-11-20T03:02:01.000000Z", "run.ended", r#"{"outcome":"rolled-back","line":"back"}"#);
        let (first, second) = ended.split_at(40);
        std::fs::write(&log, format!("{long}{first}")).unwrap();
        assert!(tail.read() && tail.ended.is_none(), "half a line says nothing");
        std::fs::write(&log, format!("{long}{first}{second}")).unwrap();
        assert!(tail.read());
        assert_eq!(tail.ended, Some((RunOutcome::RolledBack, "back".into())));
        assert_eq!(tail.age("2026-11-20T03:02:11Z".parse().unwrap()), ", last record 10 s ago");
    }

    #[test]
    fn a_holder_that_cannot_be_replaced_is_named_with_what_ends_it() {
        let text = |text: &str| text.to_string();
        let (who, host, command) = (text("rm-two"), text("build-3"), text("bgctl cutover"));
        let held = Holder { run: text("m2c"), who, host, pid: 4711, command, since: text("now"), epoch: 3 };
        let refusal = irreplaceable(&held, &std::io::ErrorKind::PermissionDenied.into());
        assert_eq!((refusal.code, refusal.kind), (Code::HolderSilent, Kind::Environment));
        assert!(refusal.next[0].starts_with("kill 4711 "), "{refusal}");
    }
}
