//! Counting by event id: what Slack sent against what the bots did. Neither side knows the other's count.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use super::locked;
use crate::plan::Color;

/// The counts at one moment. `sent == handled_once + twice + lost + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Events of different ids that Slack has sent.
    pub sent: u64,
    /// Events that got a 2xx answer in the end.
    pub delivered: u64,
    /// Events whose work was done exactly once.
    pub handled_once: u64,
    /// Events whose work was done more than once.
    pub twice: u64,
    /// Events that Slack gave up or thinks delivered, and whose work nobody did.
    pub lost: u64,
    /// Events still under way: in delivery, waiting for a retry, or in work.
    pub pending: u64,
    /// Deliveries beyond the first of their event.
    pub retries: u64,
    /// Pieces of work done by blue, and by green.
    pub blue: u64,
    pub green: u64,
    /// Slash commands typed, and those whose user saw an error.
    pub commands: u64,
    pub commands_failed: u64,
}

/// `events sent 2950 = handled once 2950 · lost 0 · twice 0`, and what made it so.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger { sent, handled_once, twice, lost, retries, blue, green, .. } = self;
        let sign = if sent == handled_once { "=" } else { "≠" };
        write!(f, "events sent {sent} {sign} handled once {handled_once} · lost {lost} · twice {twice}")?;
        write!(f, " (by BLUE {blue}, by GREEN {green}, {retries} retries by Slack)")
    }
}

/// Where the counts come from.
#[derive(Debug, Default)]
pub struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    events: HashMap<String, Event>,
    by_color: [u64; 2],
    retries: u64,
    commands: u64,
    commands_failed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Event {
    sent: bool,
    delivered: bool,
    /// Slack will not send it again.
    settled: bool,
    /// A bot has taken it and not ended its work yet.
    working: u32,
    effects: u32,
}

impl Book {
    /// Slack sends an event for the first time.
    pub fn sent(&self, id: &str) {
        locked(&self.0).events.entry(id.to_string()).or_default().sent = true;
    }

    /// Slack sends an event again.
    pub fn retried(&self) {
        locked(&self.0).retries += 1;
    }

    /// Slack is through with an event: it was answered with 2xx, or given up.
    pub fn settled(&self, id: &str, delivered: bool) {
        let mut pages = locked(&self.0);
        let event = pages.events.entry(id.to_string()).or_default();
        event.settled = true;
        event.delivered = delivered;
    }

    /// A bot starts the work of an event.
    pub fn taken(&self, id: &str) {
        locked(&self.0).events.entry(id.to_string()).or_default().working += 1;
    }

    /// A bot died over an event: its work will not be done there.
    pub fn dropped(&self, id: &str) {
        let mut pages = locked(&self.0);
        let event = pages.events.entry(id.to_string()).or_default();
        event.working = event.working.saturating_sub(1);
    }

    /// A bot has done the work of an event.
    pub fn effect(&self, id: &str, color: Color) {
        let mut pages = locked(&self.0);
        let event = pages.events.entry(id.to_string()).or_default();
        event.working = event.working.saturating_sub(1);
        event.effects += 1;
        if event.sent {
            pages.by_color[color as usize] += 1;
        }
    }

    /// A user has typed a slash command, and saw an answer or an error.
    pub fn command(&self, answered: bool) {
        let mut pages = locked(&self.0);
        pages.commands += 1;
        pages.commands_failed += u64::from(!answered);
    }

    /// The counts now. Events of strangers (smoke tests) are not counted.
    pub fn read(&self) -> Ledger {
        let pages = locked(&self.0);
        let mut ledger = Ledger {
            retries: pages.retries,
            blue: pages.by_color[Color::Blue as usize],
            green: pages.by_color[Color::Green as usize],
            commands: pages.commands,
            commands_failed: pages.commands_failed,
            ..Ledger::default()
        };
        for event in pages.events.values().filter(|event| event.sent) {
            ledger.sent += 1;
            ledger.delivered += u64::from(event.delivered);
            let under_way = !event.settled || event.working > 0;
            match event.effects {
                0 if under_way => ledger.pending += 1,
                0 => ledger.lost += 1,
                1 => ledger.handled_once += 1,
                _ => ledger.twice += 1,
            }
        }
        ledger
    }

    /// Whether no event is under way: none in delivery, none waiting for a retry, none in work.
    pub fn quiet(&self) -> bool {
        locked(&self.0).events.values().all(|event| event.working == 0 && (event.settled || !event.sent))
    }

    /// The counts with everything still under way taken for what it is by now: an event without effect is lost.
    pub fn close(&self) -> Ledger {
        let ledger = self.read();
        Ledger { lost: ledger.lost + ledger.pending, pending: 0, ..ledger }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_in_exactly_one_count() {
        let book = Book::default();
        for id in ["once", "twice", "lost", "working", "waiting", "acked-lost"] {
            book.sent(id);
        }
        for (id, color) in
            [("once", Color::Blue), ("twice", Color::Blue), ("twice", Color::Green), ("smoke", Color::Green)]
        {
            book.taken(id);
            book.effect(id, color);
        }
        book.taken("working");
        for (id, delivered) in
            [("once", true), ("twice", true), ("lost", false), ("working", true), ("acked-lost", true)]
        {
            book.settled(id, delivered);
        }
        book.retried();
        let ledger = book.read();
        let wanted = Ledger {
            sent: 6,
            delivered: 4,
            handled_once: 1,
            twice: 1,
            lost: 2,
            pending: 2,
            retries: 1,
            blue: 2,
            green: 1,
            ..Ledger::default()
        };
        assert_eq!(ledger, wanted);
        assert!(!book.quiet());
        assert_eq!((book.close().lost, book.close().pending), (4, 0));
    }
}
