//! Guards: what may forbid moving users, whatever the gates say. One file a guard.
//!
//! A guard reads the world and answers; it moves nobody and decides nothing. It is asked again directly before each write, so
//! an answer is never older than that. What cannot be read forbids going forward, and never forbids going back: a way back is
//! blocked only by what would make the move itself unsafe.

use async_trait::async_trait;

use crate::plan::{Lane, Move};
use crate::world::{Blocked, Guards};

/// No guard at all: for worlds in which nobody is moved, and for tests.
pub struct NoGuards;

#[async_trait(?Send)]
impl Guards for NoGuards {
    async fn blocks(&self, _: &Move, _: Lane) -> Option<Blocked> {
        None
    }

    async fn forbids(&self) -> Option<Blocked> {
        None
    }
}
