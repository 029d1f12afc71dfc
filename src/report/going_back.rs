//! What a rollback under way is doing, for whoever presses a key meanwhile. It only listens and keeps the last words.

use std::cell::RefCell;
use std::rc::Rc;

use super::Reporter;
use crate::journal::Entry;
use crate::plan::Lane;
use crate::run::{Event, Outcome};
use crate::world::Progress;

/// The rollback as it goes. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct GoingBack(Rc<RefCell<Now>>);

#[derive(Debug, Default)]
struct Now {
    /// Between the first word of a rollback and its end, unless it waits for people.
    under_way: bool,
    step: String,
    /// What it waits for, or what went wrong with the last attempt.
    last: String,
}

impl GoingBack {
    /// What is done at this moment to bring everybody back; nothing while the run goes forward, waits for people, or has ended.
    pub fn words(&self) -> Option<String> {
        let now = self.0.borrow();
        let Now { step, last, .. } = &*now;
        now.under_way.then(|| match (step.as_str(), last.as_str()) {
            ("", "") => "users are being sent back to BLUE".into(),
            ("", last) => format!("users are being sent back to BLUE ({last})"),
            (step, "") => format!("{step}, waits for the provider"),
            (step, last) => format!("{step}, {last}"),
        })
    }
}

impl Reporter for GoingBack {
    fn record(&mut self, entry: &Entry) {
        let Some(event) = entry.event() else { return };
        let mut now = self.0.borrow_mut();
        match event {
            Event::RollbackBegun { .. } => *now = Now { under_way: true, ..Now::default() },
            Event::StepIntent { step, id, line, .. } if step.lane == Lane::Rollback => {
                now.under_way = true;
                now.step = format!("{id}: {line}");
            }
            Event::StepOutcome { step, outcome, .. } if step.lane == Lane::Rollback => match outcome {
                Outcome::Done { .. } => *now = Now { under_way: true, ..Now::default() },
                Outcome::Failed { line, .. } | Outcome::Unknown { line, .. } => now.last = format!("again: {line}"),
            },
            Event::ApprovalRequested { step, .. } if step.lane == Lane::Rollback => now.under_way = false,
            Event::RollbackDeclined { .. } | Event::Held { .. } | Event::Ended { .. } | Event::Refused { .. } => {
                *now = Now::default();
            }
            _ => {}
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let mut now = self.0.borrow_mut();
        if now.under_way {
            now.last = progress.line.clone();
        }
    }
}
