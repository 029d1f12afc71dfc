//! The operator's wishes of a live run: signals, keys, and a file that `bgctl rollback` in another terminal leaves in the
//! run's folder.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::SignalKind;

use super::back::Back;
use super::board::Board;
use super::control::{Command, Control};
use super::signals::{Signals, stop};
use super::tty::{Key, Keyboard};
use crate::clock::Clock;
use crate::run::{Actor, guard};

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What `bgctl rollback` of another terminal writes.
#[derive(Debug, Serialize, Deserialize)]
struct Wished {
    by: Actor,
    reason: String,
    /// Although the schema stands against it.
    #[serde(default)]
    overrides: bool,
}

fn wish_file(folder: &Path) -> PathBuf {
    folder.join("control").join("rollback.json")
}

/// Asks the process that drives the run in `folder` to go back. Returns once the wish is on the disk.
/// `overrides`: although the schema stands against it.
pub fn wish_rollback(folder: &Path, by: &Actor, reason: &str, overrides: bool) -> io::Result<()> {
    let file = wish_file(folder);
    let parent = file.parent().unwrap_or(folder);
    private(parent)?;
    let text = serde_json::to_string(&Wished { by: by.clone(), reason: reason.into(), overrides })?;
    let draft = parent.join(format!("rollback.{}.tmp", std::process::id()));
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, &file)
}

/// A folder for this user alone, whatever the umask is: whoever writes in it is obeyed.
fn private(folder: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700).create(folder)
}

/// Tells the process that drives the run in `folder` that a person passes over a guard on the way back.
pub fn wish_override(folder: &Path, guard: &str, by: &Actor, reason: &str) -> io::Result<()> {
    let file = override_file(folder, guard);
    private(file.parent().unwrap_or(folder))?;
    let text = serde_json::to_string(&Wished { by: by.clone(), reason: reason.into(), overrides: true })?;
    let draft = file.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, &file)
}

fn override_file(folder: &Path, guard: &str) -> PathBuf {
    folder.join("control").join(format!("override-{guard}.json"))
}

/// Takes what was said of a guard; a file that cannot be understood passes over nothing.
fn take_override(folder: &Path, name: &str) -> Option<Command> {
    let file = override_file(folder, name);
    let taken = file.with_extension("taken.json");
    std::fs::rename(&file, &taken).ok()?;
    let Wished { by, reason, .. } = serde_json::from_str(&std::fs::read_to_string(&taken).ok()?).ok()?;
    Some(Command::Override { guard: name.into(), by, reason })
}

/// Takes a wish back that no process has taken: whoever left it goes back by themselves.
pub fn withdraw_wish(folder: &Path) {
    // Taken this moment, or gone with its folder: either way it is not there any more.
    let _ = std::fs::remove_file(wish_file(folder));
}

/// Whether a wish for a rollback still lies there, not taken by any process.
pub fn wish_is_open(folder: &Path) -> bool {
    wish_file(folder).exists()
}

/// Takes the wish, if there is one. A file that cannot be understood is a wish too: whoever wrote it wanted to go back.
fn take_wish(folder: &Path) -> Option<Command> {
    if let Some(command) = take_override(folder, guard::BLUE_HEALTH) {
        return Some(command);
    }
    let file = wish_file(folder);
    let taken = file.with_file_name("rollback.taken.json");
    std::fs::rename(&file, &taken).ok()?;
    let text = std::fs::read_to_string(&taken).unwrap_or_default();
    let wished = serde_json::from_str(&text).unwrap_or_else(|_| Wished {
        by: Actor { name: "unknown".into(), via: "command".into() },
        reason: "asked for in the run's folder".into(),
        overrides: false,
    });
    let Wished { by, reason, overrides } = wished;
    Some(match overrides {
        true => Command::Override { guard: guard::SCHEMA.into(), by, reason },
        false => Command::RollBack { by, reason },
    })
}

/// Where an operator sits.
pub struct Seat {
    pub keyboard: Option<Rc<Keyboard>>,
    pub clock: Rc<dyn Clock>,
    /// The run's.
    pub folder: PathBuf,
    /// Who presses the keys.
    pub actor: Actor,
    pub board: Board,
    /// A job of a CI system: whatever signal ends it, nobody will come back to it.
    pub ci: bool,
}

/// What an operator can see of the run.
pub trait View {
    /// Shows where users are and what runs.
    fn status(&self);
    /// What is being done at this moment to bring everybody back; nothing while the run goes forward or waits for people.
    fn going_back(&self) -> Option<String>;
}

/// Who may be listening to while a run is driven.
pub struct Operator {
    seat: Seat,
    view: Box<dyn View>,
    back: Back,
    signals: Signals,
    interrupts: Cell<u32>,
    looked: Cell<Option<Duration>>,
}

impl Operator {
    /// Takes the signals over; needs the runtime.
    pub fn new(seat: Seat, view: impl View + 'static) -> io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            stop(),
        ];
        Ok(Operator {
            back: Back::new(seat.clock.clone(), seat.board.clone()),
            seat,
            view: Box::new(view),
            signals: Signals::of(&kinds)?,
            interrupts: Cell::new(0),
            looked: Cell::new(None),
        })
    }

    fn on_signal(&self, kind: SignalKind) -> Option<Command> {
        if kind == SignalKind::user_defined1() {
            self.view.status();
            return None;
        }
        if kind == SignalKind::terminate() {
            return Some(Command::Terminate);
        }
        if kind == SignalKind::interrupt() {
            if self.goes_on("Ctrl-C") {
                return None;
            }
            let before = self.interrupts_cell().replace(self.interrupts_cell().get() + 1);
            return Some(if before == 0 { Command::Interrupt } else { Command::Leave });
        }
        if kind == SignalKind::quit() {
            return match self.seat.ci {
                true => Some(end_of_job("SIGQUIT")),
                false if self.goes_on("Ctrl-\\") => None,
                false => Some(Command::Leave),
            };
        }
        if kind == SignalKind::hangup() {
            if self.seat.ci {
                return Some(end_of_job("SIGHUP"));
            }
            // The terminal went away; the run does not. Nobody is there to be asked any more, and nobody is sent back for that.
            if let Some(keyboard) = &self.seat.keyboard {
                keyboard.hang_up();
            }
            self.say("SIGHUP: the terminal is gone, so nobody is asked here any more. The run goes on.");
            return None;
        }
        self.say("not suspended: a person has to watch while users move (Ctrl-C stops safely)");
        None
    }

    /// Going back is not interrupted. Says what it is doing, where it is under way.
    fn goes_on(&self, key: &str) -> bool {
        let Some(doing) = self.view.going_back() else { return false };
        self.say(&format!("{key}: going back already, and it goes on. {doing}"));
        true
    }

    /// Counted at the keyboard, which forgets them when a question was answered.
    fn interrupts_cell(&self) -> &Cell<u32> {
        self.seat.keyboard.as_ref().map_or(&self.interrupts, |keyboard| &keyboard.interrupts)
    }

    fn say(&self, line: &str) {
        self.seat.board.say(line);
    }

    async fn key(&self) -> Key {
        match &self.seat.keyboard {
            Some(keyboard) => keyboard.command().await,
            None => std::future::pending().await,
        }
    }

    fn on_key(&self, key: Key) {
        match key {
            Key::Pressed('r') if self.goes_on("r") => {}
            Key::Pressed('r') => self.seat.keyboard.iter().for_each(|keyboard| self.back.ask(keyboard)),
            Key::Pressed('s') => self.view.status(),
            Key::Pressed('?') => {
                self.say("keys: s where users are · r then y (or Enter) roll back · Ctrl-C finish the call, then ask");
                self.say("      Ctrl-C twice, or Ctrl-\\: leave at once, users stay where they are");
            }
            Key::Pasted => self.say("what was pasted is no key here; nothing was done"),
            Key::Pressed(_) | Key::Streamed(_) => {}
        }
    }
}

/// A CI system ends its job, and kills it soon: the same as SIGTERM, under its own name.
fn end_of_job(signal: &str) -> Command {
    Command::RollBack { by: Actor { name: "the system".into(), via: "signal".into() }, reason: signal.into() }
}

#[async_trait(?Send)]
impl Control for Operator {
    fn asks(&self) -> bool {
        self.back.is_open()
    }

    async fn next(&self) -> Command {
        loop {
            let now = self.seat.clock.elapsed();
            if self.looked.get().is_none_or(|looked| now.saturating_sub(looked) >= LOOK) {
                self.looked.set(Some(now));
                if let Some(command) = take_wish(&self.seat.folder) {
                    return command;
                }
            }
            let command = tokio::select! { biased;
                kind = self.signals.next() => self.on_signal(kind),
                answer = self.back.answer() => answer.map(|answer| {
                    let by = Actor { via: "key".into(), ..self.seat.actor.clone() };
                    Command::RollBack { by, reason: format!("the r key, then {answer}") }
                }),
                key = self.key() => {
                    self.on_key(key);
                    None
                }
                () = self.seat.clock.sleep(LOOK) => None,
            };
            if let Some(command) = command {
                return command;
            }
        }
    }
}
