//! Views of a run: every renderer is fed the journal's own records, so a log, a terminal and a page cannot disagree.
//!
//! A reporter writes to the writer it is given; it owns neither stdout nor stderr, and never reads argv or environment.

use crate::journal::Entry;
use crate::world::Progress;

/// Shows a run as it goes.
pub trait Reporter {
    /// A record is durable.
    fn record(&mut self, entry: &Entry);
    /// The step at work says how far it is.
    fn progress(&mut self, _progress: &Progress) {}
    /// The split was read again: `users` and its age is for the state line.
    fn users(&mut self, _split: crate::plan::Split) {}
}
