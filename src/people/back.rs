//! The question of the `r` key: going back takes one deliberate act, and that is the key and an answer to this, given by hand
//! and in time. What was pasted, or came in a burst, answers with no.
//!
//! It stands until it is answered or its time is over, whoever stops listening in between.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use super::board::Board;
use super::tty::{Key, Keyboard, Prompt};
use crate::clock::Clock;

/// How long it stands.
const PATIENCE: Duration = Duration::from_secs(5);

/// The question, open or not.
pub(super) struct Back {
    clock: Rc<dyn Clock>,
    board: Board,
    open: RefCell<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    prompt: Rc<Prompt>,
    /// By the clock that cannot be set back.
    until: Duration,
    /// The seconds that stand on the screen.
    shown: Rc<Cell<u64>>,
}

impl Back {
    pub fn new(clock: Rc<dyn Clock>, board: Board) -> Self {
        Back { clock, board, open: RefCell::default() }
    }

    /// Asks. Keys from before the question are no answer to it.
    pub fn ask(&self, keyboard: &Rc<Keyboard>) {
        let until = self.clock.elapsed() + PATIENCE;
        *self.open.borrow_mut() = Some(Open { prompt: Rc::new(keyboard.prompt()), until, shown: Rc::default() });
    }

    /// Whether it stands now.
    pub fn is_open(&self) -> bool {
        self.open.borrow().is_some()
    }

    /// The key that said yes; nothing when it is to go on. Comes back only where a question was open, and may be dropped meanwhile.
    pub async fn answer(&self) -> Option<&'static str> {
        loop {
            let open = self.open.borrow().clone();
            let Some(Open { prompt, until, shown }) = open else { return pending().await };
            let left = until.saturating_sub(self.clock.elapsed());
            if left.is_zero() {
                return self.no(&format!("no answer in {} s", PATIENCE.as_secs()));
            }
            // Rounded up: the last second shown is the last there is.
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            if shown.replace(seconds) != seconds {
                let line = format!("Roll back now? y / Enter goes back, any other key goes on ({seconds} s)");
                self.board.show(&[line]);
            }
            let step = left.saturating_sub(Duration::from_secs(seconds - 1));
            let key = tokio::select! { biased;
                key = prompt.key() => key,
                () = self.clock.sleep(step) => continue,
            };
            return match key {
                Some(Key::Pressed('y' | 'Y')) => self.yes("y"),
                Some(Key::Pressed('\n' | '\r')) => self.yes("Enter"),
                Some(Key::Pressed(_)) => self.no("another key"),
                Some(Key::Streamed(_)) => self.no("many keys at once do not count"),
                Some(Key::Pasted) => self.no("pasted text does not count"),
                None => self.no("the terminal is gone"),
            };
        }
    }

    fn yes(&self, key: &'static str) -> Option<&'static str> {
        self.close();
        Some(key)
    }

    fn no(&self, why: &str) -> Option<&'static str> {
        self.close();
        self.board.say(&format!("not rolled back: {why}. The run goes on."));
        None
    }

    fn close(&self) {
        self.board.clear();
        self.open.borrow_mut().take();
    }
}
