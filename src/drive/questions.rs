//! Questions that only a person can answer, asked while the gates, the splits and the sides go on being watched. What an answer
//! leads to is for the run machine.

use std::time::Duration;

use super::Driver;
use crate::people::{AfterInterrupt, Answer, Command};
use crate::plan::{Lane, StepRef};
use crate::run::{Actor, Event, Found};
use crate::world::Scribe;

impl Driver<'_> {
    pub(super) async fn ask_in_place(&self, at: StepRef) -> Event {
        let step = self.run.plan.step(at);
        let split = self.state.moved && at.lane == Lane::Forward;
        let breach = async {
            match split {
                true => self.run.watch.breach(self.run.world, self.desk).await,
                false => std::future::pending().await,
            }
        };
        let drifts = async { if split { self.drifts().await } else { std::future::pending().await } };
        let breached = async {
            tokio::select! { biased;
                breach = drifts => breach.at(at),
                breach = breach => breach.at(at),
            }
        };
        let mut breached = Box::pin(breached);
        if let Some(event) = self.undone(at, &mut breached).await {
            return event;
        }
        let answer = tokio::select! { biased;
            wish = self.wish() => return wish,
            answer = self.run.people.happened(&step.line) => answer,
            event = breached => return event,
        };
        let (found, line) = match answer {
            Answer::Given((yes, evidence)) => {
                self.desk.observed(evidence);
                (if yes { Found::InPlace } else { Found::NotInPlace }, "a person says so".into())
            }
            Answer::NobodyThere => {
                let line = format!("not known whether `{}` happened; nobody answered", step.id);
                return self.unanswered(at, &line);
            }
        };
        Event::StepReconciled { step: at, id: step.id.clone(), found, line }
    }

    /// Back to blue by hand, where that is open.
    pub(super) fn back(&self, by: Actor, cause: String) -> Event {
        match self.state.closed(self.run.plan) {
            None => Event::RollbackBegun { automatic: false, by, cause },
            Some(why) => Event::RollbackDeclined { by, why: format!("{cause}; forward or page: {why}") },
        }
    }

    /// `None`: a second Ctrl-C.
    pub(super) async fn ask_rollback(&self, why: String) -> Option<Event> {
        let by = self.run.people.actor();
        let users = self.users().await;
        let answer = tokio::select! { biased;
            command = self.run.control.next() => match command {
                Command::Leave => return None,
                command => return Some(self.interrupted(command)),
            },
            answer = self.run.people.roll_back(&why, &users) => answer,
            blue = self.blue_ails() => {
                let why = format!("{why}; {blue}");
                return Some(Event::RollbackDeclined { by: Actor::rule(), why });
            }
        };
        Some(match answer {
            Answer::Given((yes, evidence)) => {
                self.desk.observed(evidence);
                match yes {
                    true => self.back(by, why),
                    false => Event::RollbackDeclined { by, why: format!("{why}; a person declined the rollback") },
                }
            }
            Answer::NobodyThere => {
                Event::RollbackDeclined { by: Actor::rule(), why: format!("{why}; nobody is there to decide") }
            }
        })
    }

    /// `None`: a second Ctrl-C.
    pub(super) async fn ask_interrupted(&self) -> Option<Event> {
        let by = self.run.people.actor();
        let users = self.users().await;
        let answer = tokio::select! { biased;
            command = self.run.control.next() => match command {
                Command::Interrupt | Command::Leave => return None,
                // Whoever wants users back meanwhile has answered, and stands in the log by name.
                command => return Some(self.interrupted(command)),
            },
            answer = self.run.people.interrupted(&users) => answer,
            breach = self.side_fails() => return Some(breach.at(self.state.at())),
            // Nobody decides for a minute while users are split: the safe side.
            () = self.run.world.clock.sleep(Duration::from_secs(60)) => Answer::NobodyThere,
        };
        let begun = |by| self.back(by, "interrupted".into());
        let Answer::Given((choice, evidence)) = answer else { return Some(begun(Actor::rule())) };
        self.desk.observed(evidence);
        Some(match choice {
            AfterInterrupt::RollBack => begun(by),
            AfterInterrupt::Hold => Event::Held { by, line: "held after an interruption".into() },
            AfterInterrupt::Continue => Event::Continued { by },
        })
    }
}
