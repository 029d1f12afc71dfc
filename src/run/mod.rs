//! The run as a fold over its journal. Pure: no I/O, no clock, no randomness, no async.
//!
//! [`decide`] says what is to be done next, from the state alone; [`evolve`] takes in one fact. What is to be done is
//! derived, never remembered, so a crash cannot lose it: reading the journal again leads to the same next action.
//! Approvals, retries, rollback, caps and halting are decided here and nowhere else; a step may not decide any of them,
//! and nothing here knows a vendor.
//!
//! Other shapes were weighed: a saga that undoes steps in reverse walks users 100 → 50 → 10 → 0 through a bad side and
//! leaves a lost reply undone; a full effect enum makes every feature edit one type; a plain loop with a list of finished
//! steps ends in a false success when killed between a rollback and its record.

mod actor;
mod breach;
mod decide;
mod ends;
mod event;
mod evidence;
mod evolve;
mod follows;
mod legal;
mod legs;
mod next;
mod outcome;
mod patience;
mod seen;
mod state;
mod together;
mod tried;

pub use actor::{Actor, Grant, NOBODY};
pub use breach::Breach;
pub use decide::decide;
pub use event::{Event, RunOutcome, Sighting, Wish, guard};
pub use evidence::{Asked, Connections, Evidence, Verdict};
pub use evolve::{Illegal, evolve, replay};
pub use next::Next;
pub use outcome::{Cause, Found, Outcome, Reaction};
pub use state::{Approval, Doing, Pause, Righting, State};
pub use tried::Tried;
