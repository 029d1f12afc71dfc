//! One question at a terminal: a typed line, a deadline on the screen, and an answer that may also come from elsewhere.
//!
//! It can be dropped at any time: the question disappears and the keys are free again.

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;

use super::board::Board;
use super::tty::{Key, Keyboard, Prompt};
use crate::clock::Clock;

/// What is to become of a typed line.
pub enum Judged<T> {
    Answer(T),
    /// Not an answer: what to say about it. Counts as a try.
    Wrong(String),
    /// An empty line, or one that was passed on: ask again.
    Again,
}

/// How a question ended.
#[derive(Debug, PartialEq)]
pub enum Asked<T> {
    Answered {
        value: T,
        typed: String,
        seconds: u64,
    },
    /// Wrong too often.
    GivenUp,
    Expired,
    /// The terminal is gone.
    Gone,
}

/// A question.
pub struct Question<'a, T> {
    /// The lines above the one that is typed at, for the time that is left.
    pub card: &'a dyn Fn(Option<Duration>) -> Vec<String>,
    /// What stands before the typed text, for the time that is left.
    pub ask: &'a dyn Fn(Option<Duration>) -> String,
    pub judge: &'a dyn Fn(&str) -> Judged<T>,
    /// Keys that answer at once, without Enter.
    pub keys: &'a dyn Fn(char) -> Option<T>,
    pub until: Option<Timestamp>,
    /// How many wrong lines end it.
    pub tries: Option<u32>,
}

impl<T> Question<'_, T> {
    /// Asks. Enter alone never answers anything.
    pub async fn put(&self, keyboard: &Rc<Keyboard>, board: &Board, clock: &dyn Clock) -> Asked<T> {
        let _taken_back = TakenBack(board);
        let began = clock.elapsed();
        let mut typed = String::new();
        let mut note = String::new();
        let mut wrong = 0;
        let prompt = keyboard.prompt();
        self.draw(&prompt, board, clock, &typed, &note);
        loop {
            if self.until.is_some_and(|until| clock.now() >= until) {
                return Asked::Expired;
            }
            let key = tokio::select! { biased;
                key = prompt.key() => key,
                () = clock.sleep(Duration::from_secs(1)) => {
                    self.draw(&prompt, board, clock, &typed, &note);
                    continue;
                }
            };
            let Some(key) = key else { return Asked::Gone };
            let seconds = || clock.elapsed().saturating_sub(began).as_secs();
            if let Key::Pressed(key) = key
                && typed.is_empty()
                && let Some(value) = (self.keys)(key)
            {
                return Asked::Answered { value, typed: key.to_string(), seconds: seconds() };
            }
            let key = match key {
                Key::Pressed(c) | Key::Streamed(c) => c,
                Key::Pasted => {
                    note = "pasted text does not count: type it".into();
                    self.draw(&prompt, board, clock, &typed, &note);
                    continue;
                }
            };
            match key {
                '\n' | '\r' => {
                    let line = std::mem::take(&mut typed);
                    match (self.judge)(line.trim()) {
                        _ if line.trim().is_empty() => {}
                        Judged::Answer(value) => {
                            self.draw(&prompt, board, clock, &line, "");
                            return Asked::Answered { value, typed: line, seconds: seconds() };
                        }
                        Judged::Wrong(said) => {
                            wrong += 1;
                            note = said;
                            if self.tries.is_some_and(|tries| wrong >= tries) {
                                return Asked::GivenUp;
                            }
                        }
                        Judged::Again => note.clear(),
                    }
                }
                '\u{7f}' | '\u{8}' => drop(typed.pop()),
                '\u{15}' => typed.clear(),
                c if c.is_control() => {}
                c if typed.len() < 200 => typed.push(c),
                _ => {}
            }
            self.draw(&prompt, board, clock, &typed, &note);
        }
    }

    /// Draws the question, unless a newer one stands in front of it.
    fn draw(&self, prompt: &Prompt, board: &Board, clock: &dyn Clock, typed: &str, note: &str) {
        if !prompt.in_front() {
            return;
        }
        let left = self
            .until
            .map(|until| Duration::from_secs((until.as_second() - clock.now().as_second()).max(0).unsigned_abs()));
        let mut lines = (self.card)(left);
        let note = if note.is_empty() { String::new() } else { format!("({note}) ") };
        lines.push(format!("{note}{} {typed}_", (self.ask)(left)));
        board.show(&lines);
    }
}

/// Takes the question off the screen, however it ends.
struct TakenBack<'a>(&'a Board);

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}
