//! The store both bots share, as two real bots would share a Redis: each event is claimed under a lease, then done.
//!
//! A claim alone is not enough: a bot that claims and dies would make the other drop Slack's retry, and the event is lost.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{locked, time};

/// How long a claim keeps others away after its last renewal. Shorter than the minute until Slack's second retry, which
/// is 0.6 s on the lab's clock: were it longer, the last retry would find a dead bot's claim still alive.
const LEASE: Duration = Duration::from_millis(400);
/// How long a key is remembered as done: many times what Slack's last retry needs on the lab's clock.
const MEMORY: Duration = Duration::from_secs(300);
/// Keys between two clearings.
const CLEARING: usize = 4096;

/// How the bots remember, right or wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Claimed under a lease, then done.
    #[default]
    ClaimThenDone,
    /// Claimed for good: at most once.
    ClaimOnly,
    /// Not at all.
    Off,
}

/// Keys that are claimed or done.
#[derive(Debug, Default)]
pub struct Store {
    way: Way,
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Claimed(Instant),
    Done(Instant),
}

/// What a claim came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is yours to handle.
    Taken,
    /// Somebody else is at it now.
    Busy,
    /// It has been handled.
    Done,
}

impl Store {
    pub fn new(way: Way) -> Store {
        Store { way, ..Store::default() }
    }

    /// Claims a key, unless somebody has it or had it.
    pub fn claim(&self, key: &str) -> Claim {
        if self.way == Way::Off {
            return Claim::Taken;
        }
        let (mut entries, now) = (locked(&self.entries), time::now());
        match entries.get(key) {
            Some(Entry::Done(_)) => Claim::Done,
            Some(Entry::Claimed(since)) if now.duration_since(*since) < LEASE => Claim::Busy,
            _ => {
                if entries.len() % CLEARING == CLEARING - 1 {
                    entries.retain(|_, entry| {
                        let (Entry::Claimed(since) | Entry::Done(since)) = entry;
                        now.duration_since(*since) < MEMORY
                    });
                }
                let entry = if self.way == Way::ClaimOnly { Entry::Done(now) } else { Entry::Claimed(now) };
                entries.insert(key.to_string(), entry);
                Claim::Taken
            }
        }
    }

    /// Whoever is at it still is.
    pub fn renew(&self, key: &str) {
        if let Some(Entry::Claimed(since)) = locked(&self.entries).get_mut(key) {
            *since = time::now();
        }
    }

    /// The work of the key has ended.
    pub fn done(&self, key: &str) {
        locked(&self.entries).insert(key.to_string(), Entry::Done(time::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_by_one_and_done_for_all() {
        let store = Store::default();
        assert_eq!(store.claim("a"), Claim::Taken);
        assert_eq!(store.claim("a"), Claim::Busy);
        store.done("a");
        assert_eq!((store.claim("a"), store.claim("b")), (Claim::Done, Claim::Taken));
    }

    #[test]
    fn the_wrong_ways_lose_or_repeat() {
        let claim_only = Store::new(Way::ClaimOnly);
        assert_eq!((claim_only.claim("a"), claim_only.claim("a")), (Claim::Taken, Claim::Done));
        let off = Store::new(Way::Off);
        off.claim("a");
        off.done("a");
        assert_eq!(off.claim("a"), Claim::Taken);
    }
}
