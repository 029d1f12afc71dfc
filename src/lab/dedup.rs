//! The store both bots share, as two real bots would share a Redis: each event is claimed under a lease, then done.
//!
//! A claim alone is not enough: a bot that claims and dies would make the other drop Slack's retry, and the event is lost.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{locked, time};

/// How long a claim keeps others away. Longer than any work here, shorter than Slack's second retry.
const LEASE: Duration = Duration::from_secs(4);
/// How long a key is remembered as done: many times what Slack's last retry needs on the lab's clock.
const MEMORY: Duration = Duration::from_secs(300);
/// Keys between two clearings.
const CLEARING: usize = 4096;

/// Keys that are claimed or done.
#[derive(Debug, Default)]
pub struct Store(Mutex<HashMap<String, Entry>>);

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
    /// Claims a key, unless somebody has it or had it.
    pub fn claim(&self, key: &str) -> Claim {
        let (mut entries, now) = (locked(&self.0), time::now());
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
                entries.insert(key.to_string(), Entry::Claimed(now));
                Claim::Taken
            }
        }
    }

    /// The work of the key has ended.
    pub fn done(&self, key: &str) {
        locked(&self.0).insert(key.to_string(), Entry::Done(time::now()));
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
}
