//! A step whose end nobody knows but a person, and nobody there to say: users stay where they are. An absent person is no
//! reason to send anybody anywhere.

use super::Driver;
use crate::people::{AfterInterrupt, Answer};
use crate::plan::{Lane, StepRef};
use crate::run::{Actor, Doing, Event, Evidence, Found};
use crate::world::Scribe;

impl Driver<'_> {
    /// What follows for a step that only waits: begun anew after a crash; and when its own time was up, what a person says.
    /// `None`: this step does more than wait.
    pub(super) async fn undone(&self, at: StepRef, asked: impl Future<Output = Event>) -> Option<Event> {
        if !self.run.steps.get(at).only_waits() {
            return None;
        }
        if !matches!(self.state.doing, Doing::Uncertain { lost: true, .. }) {
            let line = "it only waits, so it starts again".into();
            return Some(self.reconciled(at, Found::NotInPlace, line));
        }
        let users = self.users().await;
        let answer = tokio::select! { biased;
            answer = self.run.people.undone(&self.because, &users) => answer,
            event = asked => return Some(event),
        };
        Some(match answer {
            Answer::Given((choice, evidence)) => self.chosen(at, choice, evidence),
            Answer::NobodyThere => self.unanswered(at, &format!("{}; nobody answered", self.because)),
        })
    }

    /// Nobody says what became of a step: users stay where they are, and the question is asked again by who resumes the run.
    pub(super) fn unanswered(&self, at: StepRef, line: &str) -> Event {
        match at.lane {
            Lane::Forward if self.state.moved => Event::Held { by: Actor::rule(), line: line.into() },
            // Everybody is back: what is still to end on green is kept there and holds up nobody.
            Lane::Rollback if self.run.steps.get(at).only_waits() => {
                self.reconciled(at, Found::InPlace, format!("{line}, and users are back, so the run goes on"))
            }
            _ => self.reconciled(at, Found::CannotSee, line.into()),
        }
    }

    fn chosen(&self, at: StepRef, choice: AfterInterrupt, evidence: Evidence) -> Event {
        let by = self.run.people.actor();
        self.desk.observed(evidence);
        let split = self.state.moved && at.lane == Lane::Forward;
        match choice {
            AfterInterrupt::Continue => self.reconciled(at, Found::InPlace, format!("{} says go on", by.name)),
            AfterInterrupt::Hold if split => Event::Held { by, line: format!("{}; held by a person", self.because) },
            AfterInterrupt::RollBack if split => self.back(by, self.because.clone()),
            _ => self.reconciled(at, Found::NotInPlace, format!("{} says stop", by.name)),
        }
    }

    fn reconciled(&self, at: StepRef, found: Found, line: String) -> Event {
        Event::StepReconciled { step: at, id: self.id_of(at), found, line }
    }
}
