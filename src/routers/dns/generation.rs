//! The TXT beside the record: which write was the last, and from which TTL the record was lowered.
//!
//! It is a prerequisite of every update. No two writes leave the same text, so a late one never passes for another one.

use std::time::Duration;

use crate::routers::{RouterError, Trouble};

/// What the TXT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    /// A word no other write has.
    pub by: String,
    pub longer: Option<Longer>,
}

/// The longer TTL the record had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longer {
    pub ttl: u32,
    /// Since when every authoritative server was seen with the shorter one, in seconds of the epoch.
    pub since: Option<u64>,
}

impl Generation {
    /// The name of the TXT is that of the record below this label.
    pub const LABEL: &'static str = "_bgctl";

    /// The one after another; the first, after none.
    pub fn after(before: Option<&Generation>, by: String, longer: Option<Longer>) -> Generation {
        Generation { number: before.map_or(1, |before| before.number.saturating_add(1)), by, longer }
    }

    /// Reads a text of the TXT; one of somebody else is none.
    pub fn read(text: &str) -> Option<Generation> {
        let word = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let longer = word("ttl")
            .and_then(|ttl| ttl.parse().ok())
            .map(|ttl| Longer { ttl, since: word("since").and_then(|since| since.parse().ok()) });
        Some(Generation { number: word("gen")?.parse().ok()?, by: word("by")?.into(), longer })
    }

    pub fn text(&self) -> String {
        let mut text = format!("gen={} by={}", self.number, self.by);
        if let Some(longer) = &self.longer {
            text.push_str(&longer.text());
        }
        text
    }
}

impl Longer {
    pub fn text(&self) -> String {
        format!(" ttl={}{}", self.ttl, self.since.map(|since| format!(" since={since}")).unwrap_or_default())
    }

    /// How long a resolver may still hold what it was told before; nothing, when that is over.
    pub fn left(&self, now: u64) -> Option<Duration> {
        let over = self.since?.saturating_add(self.ttl.into());
        (over > now).then(|| Duration::from_secs(over - now))
    }
}

/// Why nobody may be moved yet, if so: resolvers may hold what `place` was with its longer TTL. `read` is where users are.
pub fn held(place: &str, longer: Option<Longer>, ttl: u32, now: u64, read: &str) -> Result<(), RouterError> {
    let Some((longer, left)) = longer.filter(|longer| longer.ttl > ttl).and_then(|l| Some((l, l.left(now)?))) else {
        return Ok(());
    };
    let (was, more) = (longer.ttl, left.as_secs());
    let what = format!("the TTL of {place} was {was} s: resolvers may hold the answer of before for {more} s more");
    Err(wait(what, left, read))
}

/// Not before this time has passed.
pub fn wait(what: String, left: Duration, read: &str) -> RouterError {
    let error = RouterError::new(Trouble::NotNow, what).cure(format!("wait {} s", left.as_secs()));
    RouterError { after: Some(left), read: Some(read.into()), ..error }
}

/// A word no other write has.
pub fn word() -> Result<String, RouterError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|e| RouterError::new(Trouble::Unreachable, format!("the system gives no random bytes: {e}")))?;
    Ok(base16ct::lower::encode_string(&random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was() {
        let first = Generation::after(None, "a1".into(), None);
        let longer = Longer { ttl: 3600, since: Some(1_790_000_000) };
        let second = Generation::after(Some(&first), "b2".into(), Some(longer));
        assert_eq!(
            (first.text(), second.text()),
            ("gen=1 by=a1".into(), "gen=2 by=b2 ttl=3600 since=1790000000".into())
        );
        let third = Generation { longer: Some(Longer { since: None, ..longer }), ..second.clone() };
        for generation in [first, second, third] {
            assert_eq!(Generation::read(&generation.text()), Some(generation));
        }
        for text in ["", "v=spf1 -all", "gen=x by=y", "gen=1", "gen=99999999999999999999 by=a"] {
            assert_eq!(Generation::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_longer_ttl_is_over_when_it_has_passed_since_every_server_had_the_shorter() {
        let longer = Longer { ttl: 3600, since: Some(1000) };
        assert_eq!(longer.left(1000), Some(Duration::from_secs(3600)));
        assert_eq!(longer.left(4599), Some(Duration::from_secs(1)));
        assert_eq!(longer.left(4600), None);
        assert!(Longer { since: Some(u64::MAX), ..longer }.left(0).is_some(), "a time that is none waits");
    }
}
