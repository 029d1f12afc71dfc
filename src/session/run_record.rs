//! A run as its records tell it, for the commands that look back.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;

use super::places;
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::{self, Entry, Fault, LOG, Sound, Unread, What};
use crate::plan::{Plan, StepRef};
use crate::report::{About, Story};
use crate::run::{Doing, Event, RunOutcome, State};
use crate::secret::visible;
use crate::shell::Context;

/// A run that was read back.
pub struct RunRecord {
    pub id: String,
    pub folder: PathBuf,
    pub plan: Rc<Plan>,
    pub entries: Vec<Entry>,
    pub story: Story,
    pub state: State,
    /// A process is writing its log now.
    pub alive: bool,
}

impl RunRecord {
    /// The run of that name, the end of a name, or the newest: its facts, and the newest of its evidence.
    pub fn find(cx: &Context, name: Option<&str>) -> Result<Self, Refusal> {
        let (id, folder) = places::find(cx, name)?;
        RunRecord::read(id, folder)
    }

    /// The same with every record.
    pub fn whole(cx: &Context, name: Option<&str>) -> Result<Self, Refusal> {
        let (id, folder) = places::find(cx, name)?;
        let sound = journal::read_log(&folder).map_err(Unread::Io);
        let sound = sound.and_then(|bytes| journal::read(&bytes).map_err(Unread::Fault));
        RunRecord::of(sound, id, folder)
    }

    /// Reads and checks the log in a run's folder.
    pub fn read(id: String, folder: PathBuf) -> Result<Self, Refusal> {
        RunRecord::of(journal::read_on(&folder, None), id, folder)
    }

    fn of(sound: Result<Sound, Unread>, id: String, folder: PathBuf) -> Result<Self, Refusal> {
        let log = folder.join(LOG);
        let sound = sound.and_then(|sound| match sound.run == id {
            true => Ok(sound),
            false => Err(Unread::Fault(Fault { record: 0, offset: 0, what: What::OtherRun { found: sound.run } })),
        });
        let sound = sound.map_err(|unread| unreadable(&id, &folder, unread))?;
        let plan = Rc::new(sound.plan);
        let events: Vec<Event> = sound.entries.iter().filter_map(Entry::event).collect();
        let state = crate::run::replay(&plan, &events).map_err(|illegal| {
            Refusal::new(Kind::Audit, Code::Machine, format!("the record of run {id} does not follow its plan"))
                .place(log.display().to_string())
                .cause(illegal.to_string())
                .next(format!("bgctl audit verify {id}"))
        })?;
        let mut story = Story::new(About { run: id.clone(), plan: plan.clone(), by: opened_by(&sound.entries) });
        sound.entries.iter().for_each(|entry| story.take(entry));
        let alive = written_now(&log);
        Ok(RunRecord { id, folder, plan, entries: sound.entries, story, state, alive })
    }

    /// The last outcome, or where an open run rests.
    pub fn outcome(&self) -> Option<RunOutcome> {
        match &self.state.doing {
            Doing::Ended(outcome) => Some(*outcome),
            Doing::Held => Some(RunOutcome::Holding),
            Doing::Stuck { paged: true, .. } => Some(RunOutcome::Halted),
            _ if self.alive => None,
            // Nobody drives it: what it is depends on where its users were last seen.
            _ if self.state.may_have_moved(&self.plan) => Some(RunOutcome::Holding),
            Doing::Ready { .. } if !self.state.approvals.is_empty() => Some(RunOutcome::Waiting),
            _ => Some(RunOutcome::Stopped),
        }
    }

    /// The run is neither ended nor driven by anybody.
    pub fn abandoned(&self) -> bool {
        !self.alive && !matches!(self.state.doing, Doing::Ended(_))
    }

    /// Its process is gone in the middle of its work: nobody decided that it should stay so.
    pub fn interrupted(&self) -> bool {
        self.abandoned() && self.outcome() == Some(RunOutcome::Holding) && self.state.doing != Doing::Held
    }

    /// The step whose call was under way at the last record.
    pub fn working(&self) -> Option<&str> {
        let at = StepRef { lane: self.state.lane, index: self.state.index };
        matches!(self.state.doing, Doing::Uncertain { .. }).then(|| self.plan.step(at).id.as_str())
    }

    /// `running`, `completed`, …
    pub fn word(&self) -> &'static str {
        self.outcome().map_or("running", RunOutcome::name)
    }

    /// The same for people: a run that nobody decided to leave so is told apart from one that holds.
    pub fn rests(&self) -> &'static str {
        if self.interrupted() { "interrupted: its process is gone" } else { self.word() }
    }

    /// How long ago the last record was written, in seconds.
    pub fn silent(&self, now: Timestamp) -> u64 {
        self.story.last.map_or(0, |last| (now.as_second() - last.as_second()).max(0).unsigned_abs())
    }
}

/// How a log comes to be empty.
pub const EMPTY: &str =
    "its process ended before the first record, and so before any move; or somebody emptied the file afterwards";

/// The records of a run that cannot be used, and what can be done without them.
pub fn unreadable(id: &str, folder: &Path, unread: Unread) -> Refusal {
    let log = folder.join(LOG);
    let refusal = |kind, code, headline| Refusal::new(kind, code, headline).place(log.display().to_string());
    let refusal = match unread {
        Unread::Io(error) => refusal(Kind::Other, Code::LogUnread, format!("the record of run {id} cannot be read"))
            .cause(error.to_string()),
        Unread::Fault(Fault { what: What::Empty, .. }) => {
            refusal(Kind::Audit, Code::LogUnread, format!("the log of run {id} is empty"))
                .cause(EMPTY)
                .next("bgctl audit ledger        whether this machine knows of records that were here")
        }
        Unread::Fault(fault) => refusal(Kind::Audit, fault.what.code(), visible(&fault.to_string()).into_owned())
            .next(format!("bgctl audit verify {id}        what is wrong, and what is still intact")),
    };
    refusal
        .users("not checked; nothing was changed by this command")
        .next(format!("bgctl rollback {id}        everyone back to BLUE anyway"))
}

/// Who opened the run, as its opening statement says.
fn opened_by(entries: &[Entry]) -> String {
    let statement = entries.iter().find(|entry| entry.kind == "run.opened").and_then(|e| e.data["statement"].as_str());
    let statement: serde_json::Value = statement.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    statement["owner"].as_str().unwrap_or("unknown").to_string()
}

/// The writer of a log holds a lock on it, which the system gives back when it dies.
fn written_now(log: &std::path::Path) -> bool {
    let Ok(file) = file::open(log) else { return false };
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}
