//! Simulated people: they answer after a minute, or nobody is there.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;

use super::Sim;
use crate::clock::Clock;
use crate::drive::Rules;
use crate::people::{AfterInterrupt, Answer, Approve, Command, Control, Decision, Page, People};
use crate::run::{Actor, Evidence, Grant};

impl Sim {
    async fn think<T>(&self, answer: Option<T>) -> Answer<T> {
        self.clock.boundary().await;
        match answer {
            Some(answer) => {
                self.clock.sleep(Duration::from_secs(60)).await;
                Answer::Given(answer)
            }
            None => Answer::NobodyThere,
        }
    }
}

fn said() -> Evidence {
    Evidence::Note { line: "a simulated person answered".into() }
}

#[async_trait(?Send)]
impl People for Rc<Sim> {
    async fn approve(&self, ask: &Approve<'_>) -> Answer<Decision> {
        let principal = format!("person-{}", ask.grants.len() + 1);
        let grant = Grant { principal, evidence: "prompt".into(), key: None, sig: None, prompt: None };
        self.think(self.scenario.approval.map(|yes| match yes {
            true => Decision::Granted(grant),
            false => Decision::Denied(grant),
        }))
        .await
    }

    async fn recheck(&self, _ask: &Approve<'_>) -> Option<Decision> {
        None
    }

    async fn happened(&self, line: &str) -> Answer<(bool, Evidence)> {
        let happened = self.effects.borrow().iter().any(|e| line.contains(e.as_str()));
        self.think(self.scenario.person.map(|_| (happened, said()))).await
    }

    async fn undone(&self, _line: &str, _users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        let choice = self.scenario.person.map(|yes| if yes { AfterInterrupt::Continue } else { AfterInterrupt::Hold });
        match self.think(choice).await {
            Answer::Given(choice) => Answer::Given((choice, said())),
            Answer::NobodyThere => Answer::NobodyThere,
        }
    }

    async fn roll_back(&self, _why: &str, _users: &str) -> Answer<(bool, Evidence)> {
        self.think(self.scenario.person.map(|yes| (yes, said()))).await
    }

    async fn interrupted(&self, _users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        let choice = self.scenario.person.map(|yes| if yes { AfterInterrupt::RollBack } else { AfterInterrupt::Hold });
        match self.think(choice).await {
            Answer::Given(choice) => Answer::Given((choice, said())),
            Answer::NobodyThere => Answer::NobodyThere,
        }
    }

    async fn page(&self, page: &Page) -> (bool, String) {
        self.clock.boundary().await;
        let choices =
            page.choices.iter().map(|choice| format!("\n{}    {}", choice.command, choice.what)).collect::<String>();
        self.pages.borrow_mut().push(format!("{}. Users: {}. {}{choices}", page.happened, page.users, page.bgctl));
        (!self.scenario.pager_down, "simulated pager".into())
    }

    fn actor(&self) -> Actor {
        Actor { name: "the simulated operator".into(), via: "prompt".into() }
    }

    fn ahead(&self) -> bool {
        self.scenario.ahead
    }
}

impl Rules for Rc<Sim> {
    fn changed(&self) -> Option<String> {
        let changed = self.scenario.other_rules.is_some_and(|at| self.clock.time() >= at);
        changed.then(|| "the policy changed during the run".into())
    }
}

#[async_trait(?Send)]
impl Control for Rc<Sim> {
    async fn next(&self) -> Command {
        match self.scenario.wishes.get(self.wishes.get()) {
            Some((at, command)) => {
                self.clock.sleep(at.saturating_sub(self.clock.time())).await;
                self.wishes.set(self.wishes.get() + 1);
                command.clone()
            }
            None => std::future::pending().await,
        }
    }

    fn asks(&self) -> bool {
        let now = self.clock.time();
        self.scenario.question.is_some_and(|(from, until)| now >= from && now < until)
    }
}
