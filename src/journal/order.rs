//! Which run came after which, by numbers that only grow: the line of the ledger that a run was opened in, and the epoch of its
//! service's lease. A clock may have been wrong, so it is asked only where neither number is there.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use serde_json::Value;

use super::input::next;
use super::line::LONGEST;

use crate::file;

/// What the first line of a log says. Nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub run: String,
    /// Nothing where the first line cannot be read.
    pub service: String,
    pub environment: String,
    /// The run it says it is of, where that can be read.
    pub(super) says: Option<String>,
    ts: String,
    /// Which taking of its service's lease it was; 0 where it does not say.
    epoch: u64,
}

impl Opened {
    /// None where there is no log.
    pub(super) fn of(log: &Path, run: String) -> Option<Opened> {
        let mut line = Vec::new();
        next(&mut BufReader::new(file::open(log).ok()?.take(LONGEST as u64)), &mut line).ok()?;
        let said: Value = serde_json::from_slice(&line).unwrap_or_default();
        let text = said["data"]["statement"].as_str().unwrap_or_default();
        let statement: Value = serde_json::from_str(text).unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
        // A first line that is not whole still has its time.
        let cut = || String::from_utf8_lossy(&line).split("\"ts\":\"").nth(1)?.split('"').next().map(String::from);
        let ts = said["ts"].as_str().map(String::from).or_else(cut).unwrap_or_default();
        let epoch = statement["epochs"][0].as_str().and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        Some(Opened {
            run,
            says: said["run"].as_str().map(String::from),
            service: word(&statement["service"]),
            environment: word(&statement["environment"]),
            ts,
            epoch,
        })
    }

    pub fn same_service(&self, other: &Opened) -> bool {
        (&self.service, &self.environment) == (&other.service, &other.environment)
    }

    /// Certainly later: the lease of the same service was taken later.
    fn follows(&self, other: &Opened) -> bool {
        match self.same_service(other) && self.epoch > 0 && other.epoch > 0 {
            true => self.epoch > other.epoch,
            false => (&self.ts, &self.run) > (&other.ts, &other.run),
        }
    }
}

/// Oldest first. A run that the ledger does not know stands behind the last one that it certainly follows.
pub(super) fn sorted(runs: Vec<Opened>, ledger: &[String]) -> Vec<Opened> {
    let place: BTreeMap<&str, usize> = ledger.iter().enumerate().map(|(n, run)| (run.as_str(), n)).collect();
    let (mut known, mut others): (Vec<Opened>, Vec<Opened>) =
        runs.into_iter().partition(|opened| place.contains_key(opened.run.as_str()));
    known.sort_by_key(|opened| place[opened.run.as_str()]);
    others.sort_by(|a, b| (&a.ts, &a.run).cmp(&(&b.ts, &b.run)));
    for other in others {
        let behind = known.iter().rposition(|opened| other.follows(opened)).map_or(0, |at| at + 1);
        known.insert(behind, other);
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(run: &str, service: &str, hour: u32, epoch: u64) -> Opened {
        let ts = format!("2026-11-21T{hour:02}:00:00.000000Z");
        Opened { run: run.into(), service: service.into(), environment: "production".into(), says: None, ts, epoch }
    }

    #[test]
    fn r13_the_newest_run_is_the_one_opened_last_whatever_its_clock_said() {
        // Opened under a clock two hours ahead, and then two more under one that is right.
        let runs = vec![opened("a", "bot", 5, 1), opened("b", "bot", 3, 2), opened("c", "web", 4, 1)];
        let names = |runs: Vec<Opened>| runs.into_iter().map(|opened| opened.run).collect::<Vec<_>>().concat();
        let ledger = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        assert_eq!(names(sorted(runs.clone(), &ledger("abc"))), "abc");
        assert_eq!(names(sorted(runs.clone(), &ledger("cab"))), "cab");
        // Without a ledger the leases tell, and between services the clock.
        assert_eq!(names(sorted(runs[..2].to_vec(), &[])), "ab");
        // A run that the ledger missed stands by its lease.
        assert_eq!(names(sorted(runs.clone(), &ledger("ac"))), "abc");
        // Of old logs there is nothing but the time.
        let old = vec![opened("x", "bot", 2, 0), opened("y", "bot", 1, 0)];
        assert_eq!(names(sorted(old, &[])), "yx");
    }
}
