//! What a person wishes while a run goes on: keys, signals, and the answers to them, as events of the run.
//!
//! What follows from a wish is for `run`.

use std::time::Duration;

use super::{Broken, Driver};
use crate::journal::Record;
use crate::people::Command;
use crate::plan::Lane;
use crate::run::{Actor, Event, Evidence, RunOutcome, Wish};

/// How often it is seen whether a question about going back was answered.
const ASKED: Duration = Duration::from_millis(100);

impl Driver<'_> {
    /// A wish that changes something in the lane the run is in. Going back is not interrupted: it is what an interruption would
    /// ask for.
    pub(super) async fn wish(&self) -> Event {
        loop {
            let command = self.run.control.next().await;
            let back = matches!(command, Command::RollBack { .. } | Command::Override { .. });
            if self.state.lane == Lane::Forward || back {
                return self.interrupted(command);
            }
        }
    }

    /// Nobody is moved forward while a person is asked whether users shall go back: the answer first, where one was wished for.
    pub(super) async fn answered(&self) -> Option<Event> {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! { biased;
                command = self.run.control.next() => return Some(self.interrupted(command)),
                () = self.run.world.clock.sleep(wait) => {}
            }
            if !self.run.control.asks() {
                return None;
            }
            wait = ASKED;
        }
    }

    pub(super) fn interrupted(&self, command: Command) -> Event {
        let (wish, by, line) = match command {
            Command::Interrupt => (Wish::Ask, self.run.people.actor(), "Ctrl-C".to_string()),
            Command::Leave => (Wish::Ask, self.run.people.actor(), "Ctrl-C twice".to_string()),
            Command::Terminate => {
                (Wish::RollBack, Actor { name: "the system".into(), via: "signal".into() }, "SIGTERM".to_string())
            }
            Command::RollBack { by, reason } => (Wish::RollBack, by, reason),
            Command::Override { guard, by, reason } => return Event::OverrideUsed { guard, by, reason },
        };
        Event::Interrupted { wish, by, line }
    }

    /// The operator left at once: nothing is decided, the run stays open, and whoever looks next sees it.
    pub(super) fn left(&self) -> Result<RunOutcome, Broken> {
        self.desk.write(&[Record::from(&Evidence::Note {
            line: "left at once, because the operator asked for it".into(),
        })])?;
        let split = self.state.may_have_moved(self.run.plan);
        Ok(if split { RunOutcome::Holding } else { RunOutcome::Stopped })
    }
}
