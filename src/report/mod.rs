//! Views of a run: every renderer is fed the journal's own records, so a log, a terminal and a page cannot disagree.
//!
//! A reporter writes to the writer it is given; it owns neither stdout nor stderr, and never reads argv or environment. An
//! error of that writer is never an error of the run: a closed terminal or pipe does not stop a cutover.

pub mod ci;
mod closing;
mod findings;
mod going_back;
mod ink;
mod jsonl;
mod live;
mod plain;
mod region;
mod retro;
mod story;
mod timeline;
pub mod words;

pub use closing::{Closing, Rest, close};
pub use findings::{Findings, Place};
pub use going_back::GoingBack;
pub use ink::{Ink, Mark, spoken, spoken_seconds, wrap};
pub use jsonl::Jsonl;
pub use live::{Live, Width};
pub use plain::Plain;
pub use retro::{Calls, Drain, Failed, Paged, Retro, Stay, Took, Trouble as Impaired, Waiting, became, retro};
pub use story::{About, Current, GateRow, Seen, Story};
pub use timeline::{Moment, Who, timeline};

use crate::journal::Entry;
use crate::plan::Split;
use crate::world::Progress;

/// Shows a run as it goes.
pub trait Reporter {
    /// A record is durable.
    fn record(&mut self, entry: &Entry);
    /// The step at work says how far it is.
    fn progress(&mut self, _progress: &Progress) {}
    /// The split of a route was read again beside the records: for the state line and its age.
    fn users(&mut self, _route: &str, _split: Split) {}
    /// The run came to rest: the last block.
    fn closing(&mut self, _closing: &Closing) {}
}

/// Several reporters as one, and the story for the closing block.
pub struct Chorus {
    pub story: Story,
    voices: Vec<Box<dyn Reporter>>,
}

impl Chorus {
    pub fn new(about: About, voices: Vec<Box<dyn Reporter>>) -> Self {
        Chorus { story: Story::new(about), voices }
    }

    /// Says how the run came to rest, once, at its very end.
    pub fn close(&mut self, rest: &Rest) -> Closing {
        let closing = close(&self.story, rest);
        self.closing(&closing);
        closing
    }
}

impl Reporter for Chorus {
    fn record(&mut self, entry: &Entry) {
        self.story.take(entry);
        self.voices.iter_mut().for_each(|voice| voice.record(entry));
    }

    fn progress(&mut self, progress: &Progress) {
        self.voices.iter_mut().for_each(|voice| voice.progress(progress));
    }

    fn users(&mut self, route: &str, split: Split) {
        self.voices.iter_mut().for_each(|voice| voice.users(route, split));
    }

    fn closing(&mut self, closing: &Closing) {
        self.voices.iter_mut().for_each(|voice| voice.closing(closing));
    }
}
