//! What keeps a process from moving users or writing their log when it may not: its guards, and a journal that only the holder
//! of the leases writes.

use std::rc::Rc;

use super::launch::Launch;
use super::open::Open;
use super::run_rules;
use crate::arm;
use crate::diag::Refusal;
use crate::guards;
use crate::guards::freeze::{self, Freezes};
use crate::journal::{Append, Entry, Journal, JournalError, Lock, Record};
use crate::plan::Plan;
use crate::run::Cause;
use crate::shell::Context;
use crate::sign::PublicKey;
use crate::world::{Blocked, World};

impl Launch<'_> {
    /// Everything that may forbid a move of this run.
    pub(super) fn guards(&self, open: &Open, world: &World) -> Result<guards::RunGuards, Refusal> {
        let leases = open.leases.clone();
        let epochs = leases.iter().map(Lock::epoch).collect();
        let key: guards::Question = match PublicKey::from_line(&open.signer.public()) {
            Ok(key) => run_rules::key(open.rules.trust().clone(), key, self.cx.clock.clone()),
            // A shared key stands in no list, so none can say anything about it.
            Err(_) => Box::new(|| None),
        };
        Ok(guards::RunGuards {
            run: open.id.clone(),
            plan: self.plan.clone(),
            clock: open.deadlines.clone(),
            lease: Box::new(move || lost(&leases)),
            epochs,
            key,
            freezes: freezes(self.cx)?,
            // A lab's routes live and die with the process that plays it.
            freezes_after_rollback: self.outside.lab.is_none(),
            credentials: guards::Credentials::new(self.cx.clock.clone(), world.routes.clone()),
            more: Vec::new(),
        })
    }
}

/// Why this process may not go on, if somebody has taken one of its leases.
pub(super) fn lost(leases: &[Lock]) -> Option<String> {
    leases.iter().find_map(Lock::lost)
}

/// The freezes as this process finds them.
pub fn freezes(cx: &Context) -> Result<Freezes, Refusal> {
    Ok(Freezes::new(&cx.state_dir()?, &cx.cwd, cx.var(freeze::VARIABLE)))
}

/// Before anybody is asked anything; preflight looks again.
pub fn unfrozen(cx: &Context, plan: &Plan) -> Result<(), Refusal> {
    match guards::frozen(&freezes(cx)?, plan, cx.clock.now()).first() {
        Some(found) => Err(arm::forbidden(&Blocked { cause: Cause::Frozen, line: found.line() })),
        None => Ok(()),
    }
}

/// A journal that only the holder of its leases writes: whoever was stopped while another took over must not append to a log
/// that is the other's now.
pub(super) struct Fenced<'a> {
    pub(super) journal: &'a mut Journal,
    pub(super) leases: Rc<Vec<Lock>>,
}

impl Append for Fenced<'_> {
    fn append(&mut self, records: &[Record]) -> Result<Vec<Entry>, JournalError> {
        match lost(&self.leases) {
            Some(what) => Err(JournalError { what }),
            None => self.journal.append(records),
        }
    }
}
