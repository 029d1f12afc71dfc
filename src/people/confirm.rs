//! The word that has to be typed before a run begins, and the yes or no before a rollback.

use std::rc::Rc;
use std::time::Duration;

use super::Answer;
use super::board::Board;
use super::prompt::{Asked, Judged, Question};
use super::signals::told_to_end;
use super::tty::Keyboard;
use crate::clock::Clock;
use crate::run::{Actor, Evidence};

/// After this time without an answer nothing is begun.
const PATIENCE: Duration = Duration::from_secs(600);

/// A question before a run, with its answer: what stands in the log as soon as there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub yes: bool,
    pub evidence: Evidence,
}

/// What the question before a cutover says, and its possible answers.
fn of_environment(name: &str) -> (String, Vec<String>) {
    let text = "This moves live users. Type the environment's name to start\n(Ctrl-C leaves everything as it is).\nenvironment:";
    (text.into(), vec![name.into()])
}

/// What the question before a rollback says, and its possible answers.
fn of_rollback() -> (String, Vec<String>) {
    ("Roll back now? [y] yes  [n] no ".into(), vec!["yes".into(), "no".into()])
}

fn evidence((text, choices): (String, Vec<String>), answer: &str, seconds: u64, by: &Actor) -> Evidence {
    Evidence::PromptAnswered { text, choices, answer: answer.into(), seconds, by: by.clone() }
}

/// The same answer, given by a flag before anybody was asked.
pub fn environment_by_flag(name: &str, by: &str) -> Evidence {
    evidence(of_environment(name), name, 0, &Actor { name: by.into(), via: "command".into() })
}

/// The same answer, given by a flag before anybody was asked.
pub fn rollback_by_flag(by: &str) -> Evidence {
    evidence(of_rollback(), "yes", 0, &Actor { name: by.into(), via: "command".into() })
}

/// Has the environment's name typed. `Given` with no: Ctrl-C, or wrong three times. `NobodyThere`: no answer in ten minutes.
pub async fn environment(
    keyboard: &Rc<Keyboard>,
    board: &Board,
    clock: &dyn Clock,
    name: &str,
    by: &Actor,
) -> Answer<Answered> {
    let shown = of_environment(name);
    let lines: Vec<String> = shown.0.lines().map(String::from).collect();
    let (ask, card) = lines.split_last().expect("BUG: the question has lines");
    let judge = |typed: &str| match typed {
        typed if typed == name => Judged::Answer(true),
        typed => Judged::Wrong(format!("`{typed}` is not the environment of this runbook")),
    };
    let question = Question {
        card: &|_| card.to_vec(),
        ask: &|_| ask.clone(),
        judge: &judge,
        keys: &|_| None,
        until: until(clock),
        tries: Some(3),
    };
    answered(settle(question, keyboard, board, clock).await, shown, by)
}

/// Has one word typed. `Given(false)`: Ctrl-C, or wrong three times.
pub async fn word(keyboard: &Rc<Keyboard>, board: &Board, clock: &dyn Clock, ask: &str, word: &str) -> Answer<bool> {
    let judge = |typed: &str| match typed {
        typed if typed == word => Judged::Answer(true),
        typed => Judged::Wrong(format!("`{typed}` is not `{word}`")),
    };
    let question = Question {
        card: &|_| vec!["(Ctrl-C leaves everything as it is.)".to_string()],
        ask: &|_| ask.to_string(),
        judge: &judge,
        keys: &|_| None,
        until: until(clock),
        tries: Some(3),
    };
    match settle(question, keyboard, board, clock).await {
        Answer::Given((yes, ..)) => Answer::Given(yes),
        Answer::NobodyThere => Answer::NobodyThere,
    }
}

/// Waits until the next screen is asked for. `Given(false)`: Ctrl-C.
pub async fn next(keyboard: &Rc<Keyboard>, board: &Board, clock: &dyn Clock, ask: &str) -> Answer<bool> {
    let question = Question {
        card: &|_| Vec::new(),
        ask: &|_| ask.to_string(),
        judge: &|_| Judged::Again,
        keys: &|key| matches!(key, '\n' | '\r' | ' ').then_some(true),
        until: until(clock),
        tries: None,
    };
    match settle(question, keyboard, board, clock).await {
        Answer::Given((on, ..)) => Answer::Given(on),
        Answer::NobodyThere => Answer::NobodyThere,
    }
}

/// Asks before a rollback; Enter alone asks again. No also for Ctrl-C.
pub async fn rollback(keyboard: &Rc<Keyboard>, board: &Board, clock: &dyn Clock, by: &Actor) -> Answer<Answered> {
    let judge = |typed: &str| match typed {
        "y" | "yes" => Judged::Answer(true),
        "n" | "no" => Judged::Answer(false),
        _ => Judged::Wrong("y or n".into()),
    };
    let shown = of_rollback();
    let question = Question {
        card: &|_| Vec::new(),
        ask: &|_| shown.0.clone(),
        judge: &judge,
        keys: &|_| None,
        until: until(clock),
        tries: None,
    };
    answered(settle(question, keyboard, board, clock).await, shown, by)
}

fn until(clock: &dyn Clock) -> Option<jiff::Timestamp> {
    clock.now().checked_add(jiff::SignedDuration::from_secs(PATIENCE.as_secs() as i64)).ok()
}

/// The answer, and what stands in the log of it.
fn answered(given: Answer<(bool, String, u64)>, shown: (String, Vec<String>), by: &Actor) -> Answer<Answered> {
    let Answer::Given((yes, typed, seconds)) = given else { return Answer::NobodyThere };
    let word = shown.1.iter().find(|word| word.starts_with(typed.trim())).cloned();
    let word = word.unwrap_or_else(|| typed.trim().to_string());
    Answer::Given(Answered { yes, evidence: evidence(shown, &word, seconds, by) })
}

/// Yes or no, what was typed, and after how many seconds.
async fn settle(
    question: Question<'_, bool>,
    keyboard: &Rc<Keyboard>,
    board: &Board,
    clock: &dyn Clock,
) -> Answer<(bool, String, u64)> {
    // The terminal has to be put back before this process ends. A question cannot be stopped and gone on with.
    tokio::select! { biased;
        name = told_to_end() => Answer::Given((false, name.into(), 0)),
        asked = question.put(keyboard, board, clock) => match asked {
            Asked::Answered { value, typed, seconds } => Answer::Given((value, typed, seconds)),
            Asked::GivenUp => Answer::Given((false, "wrong three times".into(), 0)),
            Asked::Expired | Asked::Gone => Answer::NobodyThere,
        },
    }
}
