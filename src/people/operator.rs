//! The operator's wishes of a live run: signals, keys, and a file that `bgctl rollback` in another terminal leaves in the
//! run's folder.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::board::Board;
use super::control::{Command, Control};
use super::tty::Keyboard;
use crate::clock::Clock;
use crate::run::Actor;

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
    std::fs::create_dir_all(parent)?;
    let text = serde_json::to_string(&Wished { by: by.clone(), reason: reason.into(), overrides })?;
    let draft = parent.join(format!("rollback.{}.tmp", std::process::id()));
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, &file)
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
    Some(if overrides { Command::Override { by, reason } } else { Command::RollBack { by, reason } })
}

/// Who may be listening to while a run is driven.
pub struct Operator {
    keyboard: Option<Rc<Keyboard>>,
    clock: Rc<dyn Clock>,
    folder: PathBuf,
    actor: Actor,
    board: Board,
    status: Box<dyn Fn()>,
    signals: RefCell<Vec<(SignalKind, Signal)>>,
    interrupts: Cell<u32>,
    looked: Cell<Option<Duration>>,
}

impl Operator {
    /// Takes the signals over; needs the runtime. `status` is what the `s` key does.
    pub fn new(
        keyboard: Option<Rc<Keyboard>>,
        clock: Rc<dyn Clock>,
        folder: PathBuf,
        actor: Actor,
        board: Board,
        status: impl Fn() + 'static,
    ) -> io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()),
        ];
        let signals = kinds.into_iter().map(|kind| Ok((kind, signal(kind)?))).collect::<io::Result<_>>()?;
        Ok(Operator {
            keyboard,
            clock,
            folder,
            actor,
            board,
            status: Box::new(status),
            signals: RefCell::new(signals),
            interrupts: Cell::new(0),
            looked: Cell::new(None),
        })
    }

    async fn signal(&self) -> SignalKind {
        poll_fn(|cx| {
            for (kind, signal) in self.signals.borrow_mut().iter_mut() {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn on_signal(&self, kind: SignalKind) -> Option<Command> {
        if kind == SignalKind::interrupt() {
            let before = self.interrupts_cell().replace(self.interrupts_cell().get() + 1);
            return Some(if before == 0 { Command::Interrupt } else { Command::Leave });
        }
        if kind == SignalKind::terminate() {
            return Some(Command::Terminate);
        }
        if kind == SignalKind::hangup() {
            // The terminal went away; the run does not: its journal tells the rest.
            return None;
        }
        if kind == SignalKind::user_defined1() {
            (self.status)();
            return None;
        }
        self.board.say("not stopped: somebody has to watch while users move (Ctrl-C stops safely)");
        None
    }

    /// Counted at the keyboard, which forgets them when a question was answered.
    fn interrupts_cell(&self) -> &Cell<u32> {
        self.keyboard.as_ref().map_or(&self.interrupts, |keyboard| &keyboard.interrupts)
    }

    async fn key(&self) -> char {
        match &self.keyboard {
            Some(keyboard) => keyboard.command().await,
            None => std::future::pending().await,
        }
    }

    fn on_key(&self, key: char) -> Option<Command> {
        match key {
            'r' => {
                let by = Actor { via: "key".into(), ..self.actor.clone() };
                Some(Command::RollBack { by, reason: "the r key".into() })
            }
            's' => {
                (self.status)();
                None
            }
            '?' => {
                self.board.say("keys: s where users are · r roll back now · Ctrl-C finish the call, then ask");
                self.board.say("      Ctrl-C twice: leave at once, users stay where they are");
                None
            }
            _ => None,
        }
    }
}

#[async_trait(?Send)]
impl Control for Operator {
    async fn next(&self) -> Command {
        loop {
            let now = self.clock.elapsed();
            if self.looked.get().is_none_or(|looked| now.saturating_sub(looked) >= LOOK) {
                self.looked.set(Some(now));
                if let Some(command) = take_wish(&self.folder) {
                    return command;
                }
            }
            let command = tokio::select! { biased;
                kind = self.signal() => self.on_signal(kind),
                key = self.key() => self.on_key(key),
                () = self.clock.sleep(LOOK) => None,
            };
            if let Some(command) = command {
                return command;
            }
        }
    }
}
