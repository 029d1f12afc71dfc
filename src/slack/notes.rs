//! What the shared store has said of events, look by look: who noted that they handled each, when the store gave no answer, and
//! which notes it has lost since.
//!
//! The store is a witness. While it is away nobody can note anything, and bots that share it refuse what they are sent: what
//! is missing then says nothing about them. A note that was read once is not forgotten here when the store forgets it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The notes of one bake. Times are those of the clock's `elapsed`.
#[derive(Debug)]
pub struct Notes {
    by: BTreeMap<String, Vec<String>>,
    forgotten: BTreeSet<String>,
    answered: Duration,
    /// From the last answer before the store fell silent to the first one after.
    away: Vec<(Duration, Duration)>,
    silent: bool,
}

impl Notes {
    pub fn new(now: Duration) -> Notes {
        Notes { by: BTreeMap::new(), forgotten: BTreeSet::new(), answered: now, away: Vec::new(), silent: false }
    }

    /// The store gave no usable answer.
    pub fn silent(&mut self) {
        self.silent = true;
    }

    /// The store was asked at `asked`, and these are its lists.
    pub fn read<'a>(&mut self, asked: Duration, lists: impl IntoIterator<Item = (&'a str, Vec<String>)>) {
        if std::mem::take(&mut self.silent) {
            self.away.push((self.answered, asked));
        }
        self.answered = asked;
        for (event, mut now) in lists {
            let known = self.by.entry(event.into()).or_default();
            if !holds(&now, known) {
                self.forgotten.insert(event.into());
                // What the store says instead came later, and counts besides.
                if holds(known, &now) {
                    now.clear();
                }
                now.splice(0..0, known.drain(..));
            }
            *known = now;
        }
    }

    pub fn by(&self, event: &str) -> &[String] {
        self.by.get(event).map_or(&[], Vec::as_slice)
    }

    /// How many events the store listed once and does not any more.
    pub fn forgotten(&self) -> usize {
        self.forgotten.len()
    }

    /// Whether the store can be held against nobody for what lies between: it was away, or has lost notes.
    pub fn in_doubt(&self, from: Duration, to: Duration) -> bool {
        let away = self.away.iter().any(|(left, back)| from <= *back && *left <= to);
        away || self.silent && self.answered <= to || !self.forgotten.is_empty()
    }

    /// For how long it gave no answer, all in all.
    pub fn away(&self) -> Duration {
        self.away.iter().map(|(left, back)| *back - *left).sum()
    }
}

/// Every name of `some` stands in `all`, as often.
fn holds(all: &[String], some: &[String]) -> bool {
    let count = |list: &[String], name: &String| list.iter().filter(|n| *n == name).count();
    some.iter().all(|name| count(all, name) >= count(some, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn what_was_read_once_stays_known_when_the_store_forgets_it() {
        type Row = (&'static [&'static str], &'static [&'static str], &'static [&'static str], usize);
        let table: [Row; 6] = [
            (&[], &["blue"], &["blue"], 0),
            (&["blue"], &["blue"], &["blue"], 0),
            (&["blue"], &["green", "blue"], &["green", "blue"], 0),
            (&["blue"], &[], &["blue"], 1),
            (&["blue", "blue"], &["blue"], &["blue", "blue"], 1),
            (&["blue"], &["green"], &["blue", "green"], 1),
        ];
        for (first, then, by, forgotten) in table {
            let mut notes = Notes::new(at(0));
            notes.read(at(1), [("a", names(first))]);
            notes.read(at(2), [("a", names(then))]);
            assert_eq!((notes.by("a"), notes.forgotten()), (&names(by)[..], forgotten), "{first:?}, then {then:?}");
        }
    }

    #[test]
    fn the_time_without_an_answer_is_in_doubt_and_no_other() {
        let mut notes = Notes::new(at(0));
        notes.read(at(10), []);
        notes.silent();
        assert!(notes.in_doubt(at(5), at(30)) && !notes.in_doubt(at(5), at(9)), "it is away still");
        notes.read(at(14), []);
        notes.read(at(20), []);
        for (from, to, doubt) in [(0, 9, false), (0, 10, true), (12, 13, true), (14, 40, true), (15, 40, false)] {
            assert_eq!(notes.in_doubt(at(from), at(to)), doubt, "{from} to {to}");
        }
        assert_eq!(notes.away(), at(4));
    }
}
