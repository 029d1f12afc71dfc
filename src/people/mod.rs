//! People: those who answer, and those who are called.
//!
//! Nobody being there is an answer of its own, never a default. Which questions are asked is the run machine's business.

mod back;
mod board;
mod ci;
pub mod confirm;
mod control;
mod difference;
mod files;
mod inbox;
mod operator;
pub mod pager;
mod prompt;
pub mod request;
pub mod shown;
pub mod signals;
mod signer;
mod terminal;
pub mod tty;

pub use board::Board;
pub use ci::Ci;
pub use control::{Command, Control};
pub use files::{recipe, safe};
pub use inbox::{Found, Inbox, Known};
pub use operator::{Operator, Seat, View, wish_is_open, wish_override, wish_rollback, withdraw_wish};
pub use pager::{
    Acknowledgement, Choice, News, Outside as PagedThrough, Page, Pager, Subject, acknowledge, acknowledged,
};
pub use signer::{Barred, Part, Signed, Signer, Verify, trusting};
pub use terminal::Terminal;

use async_trait::async_trait;

use self::shown::percent;
use crate::plan::{ApprovalRule, Plan, StepRef, Team};

use crate::run::{Actor, Approval, Evidence, Grant};

/// Somebody, or something that carries questions to somebody.
#[async_trait(?Send)]
pub trait People {
    /// A request was written: whoever may answer it later can find it, before any of them is waited for.
    async fn asked(&self, _ask: &Approve<'_>) {}

    /// Waits for one more approval (or a refusal) of a request. Cancelled by dropping: the question is taken back.
    async fn approve(&self, ask: &Approve<'_>) -> Answer<Decision>;

    /// Directly before an approval is used: whether it was taken back meanwhile, or is void because its key is.
    async fn recheck(&self, ask: &Approve<'_>) -> Option<Decision>;

    /// Did this step, which leaves no trace, happen?
    async fn happened(&self, line: &str) -> Answer<(bool, Evidence)>;

    /// A step that only waits did not get what it waited for, and its runbook wants a person to say what is next.
    async fn undone(&self, line: &str, users: &str) -> Answer<(AfterInterrupt, Evidence)>;

    /// May users be sent back, although it may not be done automatically?
    async fn roll_back(&self, why: &str, users: &str) -> Answer<(bool, Evidence)>;

    /// After an interruption while users are split.
    async fn interrupted(&self, users: &str) -> Answer<(AfterInterrupt, Evidence)>;

    /// Calls a person. True when at least one channel took the page.
    async fn page(&self, page: &Page) -> (bool, String);

    /// Who answers the prompts here.
    fn actor(&self) -> Actor;

    /// Approvals have to be collected before the first move, since nobody will be there to ask later.
    fn ahead(&self) -> bool;
}

/// Everything an approver has to see.
pub struct Approve<'a> {
    pub step: StepRef,
    pub id: &'a str,
    pub line: &'a str,
    pub rule: &'a ApprovalRule,
    /// The exact bytes to sign.
    pub request: &'a str,
    pub request_sha256: &'a str,
    /// Unix seconds.
    pub expires: i64,
    /// What has to be typed to agree: the percentage, or the step's id.
    pub word: String,
    pub users: String,
    pub evidence: Vec<String>,
    /// How users come back, in words.
    pub way_back: String,
    /// Who has granted already.
    pub grants: &'a [Grant],
    /// Who took theirs back.
    pub void: &'a [String],
    /// It is waited for until its time is over, also where nobody can be asked: users are not all on one stack.
    pub waits: bool,
    /// Who is which person.
    pub team: &'a Team,
}

impl<'a> Approve<'a> {
    /// The approval of a step as people are asked for it; none where the step needs none.
    pub fn of(plan: &'a Plan, at: StepRef, asked: &'a Approval) -> Option<Self> {
        let step = plan.step(at);
        Some(Approve {
            step: at,
            id: &step.id,
            line: &step.line,
            rule: step.approval.as_ref()?,
            request: &asked.request,
            request_sha256: &asked.request_sha256,
            expires: asked.expires,
            word: step.moves.as_ref().map_or_else(|| step.id.clone(), |change| percent(change.after)),
            users: String::new(),
            evidence: Vec::new(),
            way_back: String::new(),
            grants: &asked.grants,
            void: &asked.void,
            waits: false,
            team: &plan.team,
        })
    }

    /// The names of those who have granted already.
    pub fn by(&self) -> Vec<&str> {
        self.grants.iter().map(|grant| grant.principal.as_str()).collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    Given(T),
    NobodyThere,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Granted(Grant),
    Denied(Grant),
    /// An agreement that counts no more: taken back (with the signature), or void because its key is.
    Withdrawn {
        principal: String,
        why: String,
        grant: Option<Grant>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterInterrupt {
    RollBack,
    Hold,
    Continue,
}
