//! The word that has to be typed before a run begins, and the yes or no before a rollback.

use std::rc::Rc;
use std::time::Duration;

use super::Answer;
use super::board::Board;
use super::prompt::{Asked, Judged, Question};
use super::tty::Keyboard;
use crate::clock::Clock;

/// After this time without an answer nothing is begun.
const PATIENCE: Duration = Duration::from_secs(600);

/// Has the environment's name typed. `Given(false)`: Ctrl-C, or wrong three times. `NobodyThere`: no answer in ten minutes.
pub async fn environment(keyboard: &Rc<Keyboard>, board: &Board, clock: &dyn Clock, name: &str) -> Answer<bool> {
    let card = |_| {
        let what = "This moves live users. Type the environment's name to start";
        vec![what.to_string(), "(Ctrl-C leaves everything as it is).".to_string()]
    };
    let judge = |typed: &str| match typed {
        typed if typed == name => Judged::Answer(true),
        typed => Judged::Wrong(format!("`{typed}` is not the environment of this runbook")),
    };
    let question = Question {
        card: &card,
        ask: "environment:".into(),
        judge: &judge,
        keys: &|_| None,
        until: until(clock),
        tries: Some(3),
    };
    settle(question, keyboard, board, clock).await
}

/// Has one word typed. `Given(false)`: Ctrl-C, or wrong three times.
pub async fn word(keyboard: &Rc<Keyboard>, board: &Board, clock: &dyn Clock, ask: &str, word: &str) -> Answer<bool> {
    let judge = |typed: &str| match typed {
        typed if typed == word => Judged::Answer(true),
        typed => Judged::Wrong(format!("`{typed}` is not `{word}`")),
    };
    let question = Question {
        card: &|_| vec!["(Ctrl-C leaves everything as it is.)".to_string()],
        ask: ask.into(),
        judge: &judge,
        keys: &|_| None,
        until: until(clock),
        tries: Some(3),
    };
    settle(question, keyboard, board, clock).await
}

/// Asks before a rollback; Enter alone asks again. `Given(false)` also for Ctrl-C.
pub async fn rollback(keyboard: &Rc<Keyboard>, board: &Board, clock: &dyn Clock) -> Answer<bool> {
    let judge = |typed: &str| match typed {
        "y" | "yes" => Judged::Answer(true),
        "n" | "no" => Judged::Answer(false),
        _ => Judged::Wrong("y or n".into()),
    };
    let question = Question {
        card: &|_| Vec::new(),
        ask: "Roll back now? [y] yes  [n] no ".into(),
        judge: &judge,
        keys: &|_| None,
        until: until(clock),
        tries: None,
    };
    settle(question, keyboard, board, clock).await
}

fn until(clock: &dyn Clock) -> Option<jiff::Timestamp> {
    clock.now().checked_add(jiff::SignedDuration::from_secs(PATIENCE.as_secs() as i64)).ok()
}

async fn settle(
    question: Question<'_, bool>,
    keyboard: &Rc<Keyboard>,
    board: &Board,
    clock: &dyn Clock,
) -> Answer<bool> {
    tokio::select! { biased;
        // Where no handler can be set the signal does what it always did: it ends the process.
        Ok(()) = tokio::signal::ctrl_c() => Answer::Given(false),
        asked = question.put(keyboard, board, clock) => match asked {
            Asked::Answered { value, .. } => Answer::Given(value),
            Asked::GivenUp => Answer::Given(false),
            Asked::Expired | Asked::Gone => Answer::NobodyThere,
        },
    }
}
