//! Nobody at a keyboard: approvals come as signed files, and every question a person would have to answer is answered with
//! "nobody is there". While users are not all on one stack a missing approval is waited for: a signature may come from
//! another machine at any moment.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;

use super::board::Board;
use super::files::recipe;
use super::inbox::{Found, Inbox};
use super::pager::{Page, Pager};
use super::{AfterInterrupt, Answer, Approve, Decision, People};
use crate::child::quoted;
use crate::clock::Clock;
use crate::run::{Actor, Evidence};

/// How often the folder is looked into while an approval is waited for.
const LOOK: Duration = Duration::from_secs(1);

/// The people of a CI job.
pub struct Ci {
    pub run: String,
    pub actor: Actor,
    pub clock: Rc<dyn Clock>,
    /// The folder of `--approvals DIR`, or the run's own.
    pub inbox: Inbox,
    pub pager: Rc<Pager>,
    /// Where it is said what is missing and how to give it.
    pub board: Board,
    /// What was said of each request, so that it is said once.
    pub said: RefCell<BTreeMap<String, Vec<String>>>,
}

impl Ci {
    /// What to do about an approval that is missing, as lines for people.
    pub fn missing(&self, ask: &Approve<'_>, why: &[String]) -> Vec<String> {
        let have = if ask.grants.is_empty() { String::new() } else { format!("; given by {}", ask.by().join(", ")) };
        let mut lines = vec![format!(
            "approval of {} is missing: {} of {} ({}){have}",
            ask.id,
            ask.rule.quorum,
            ask.rule.role,
            ask.rule.members.join(", "),
        )];
        lines.extend(why.iter().map(|line| format!("  not counted  {line}")));
        lines.push(format!("  sign         {}", recipe(&self.inbox.request_file(ask.id))));
        lines.push("               and put the .sig file beside the request".into());
        let folder = quoted(&self.inbox.folder().display().to_string());
        lines.push(match ask.waits {
            true => "  then         nothing more: it is looked for each second, and the run goes on".into(),
            false => format!("  then         bgctl resume {} --approvals {folder}", self.run),
        });
        lines
    }

    /// Puts a request where it can be signed, takes what lies there, and says once what is missing.
    fn look(&self, ask: &Approve<'_>) -> Option<Decision> {
        let inbox = &self.inbox;
        let why = match inbox.publish(ask) {
            Ok(_) => match inbox.look(ask, self.clock.now()) {
                Found::Decision(decision) => return Some(decision),
                Found::Nothing(remarks) => remarks,
            },
            Err(error) => {
                vec![format!("the request cannot be written to {}: {error}", inbox.request_file(ask.id).display())]
            }
        };
        let mut said = self.said.borrow_mut();
        if said.get(ask.request_sha256) != Some(&why) {
            self.missing(ask, &why).iter().for_each(|line| self.board.say(line));
            said.insert(ask.request_sha256.into(), why);
        }
        None
    }
}

#[async_trait(?Send)]
impl People for Ci {
    async fn asked(&self, ask: &Approve<'_>) {
        self.look(ask);
    }

    async fn approve(&self, ask: &Approve<'_>) -> Answer<Decision> {
        loop {
            if let Some(decision) = self.look(ask) {
                return Answer::Given(decision);
            }
            if !ask.waits {
                return Answer::NobodyThere;
            }
            self.clock.sleep(LOOK).await;
        }
    }

    async fn recheck(&self, ask: &Approve<'_>) -> Option<Decision> {
        self.inbox.recheck(ask, self.clock.now())
    }

    async fn happened(&self, _line: &str) -> Answer<(bool, Evidence)> {
        Answer::NobodyThere
    }

    async fn undone(&self, _line: &str, _users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        Answer::NobodyThere
    }

    async fn roll_back(&self, _why: &str, _users: &str) -> Answer<(bool, Evidence)> {
        Answer::NobodyThere
    }

    async fn interrupted(&self, _users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        Answer::NobodyThere
    }

    async fn page(&self, page: &Page) -> (bool, String) {
        self.pager.page(page).await
    }

    fn actor(&self) -> Actor {
        self.actor.clone()
    }

    fn ahead(&self) -> bool {
        true
    }
}
