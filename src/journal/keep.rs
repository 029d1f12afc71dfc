//! What is kept of a log while it is read: every fact, and of the evidence the newest of each type. A log of any length is
//! read in the same room; who needs every record asks for all of it and gets it.

use std::collections::{BTreeMap, VecDeque};

use super::Entry;
use super::line::{EVIDENCE, Line, Raw};

/// Records of one type of evidence that are kept, and how many bytes they may have together.
pub const RECENT: usize = 64;
const RECENT_BYTES: usize = 256 * 1024;

/// What was kept so far.
#[derive(Clone, Debug)]
pub struct Kept {
    all: bool,
    facts: Vec<Entry>,
    recent: BTreeMap<&'static str, Recent>,
    /// The evidence with the latest time: where a clock was set back, that is not the newest.
    latest: (u64, Vec<u8>, Vec<u8>),
}

/// The newest lines of one type.
#[derive(Clone, Debug, Default)]
struct Recent {
    lines: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, seq: u64, line: &[u8]) {
        self.bytes += line.len();
        let mut room = Vec::new();
        while self.lines.len() >= RECENT || self.bytes > RECENT_BYTES && !self.lines.is_empty() {
            let Some((_, old)) = self.lines.pop_front() else { break };
            self.bytes -= old.len();
            room = old;
        }
        room.clear();
        room.extend_from_slice(line);
        self.lines.push_back((seq, room));
    }
}

impl Kept {
    pub fn new(all: bool) -> Self {
        Kept { all, facts: Vec::new(), recent: BTreeMap::new(), latest: (0, Vec::new(), Vec::new()) }
    }

    /// Takes in a line that was read; `None` where it is not one of this format.
    pub fn take(&mut self, seq: u64, kind: &'static str, ts: &str, bytes: &[u8]) -> Option<()> {
        if kind == "seal" {
            return Some(());
        }
        if self.all || EVIDENCE.binary_search(&kind).is_err() {
            self.facts.push(entry(bytes)?);
            return Some(());
        }
        self.recent.entry(kind).or_default().push(seq, bytes);
        if ts.as_bytes() > self.latest.1.as_slice() {
            let (at, time, line) = &mut self.latest;
            *at = seq;
            time.clear();
            time.extend_from_slice(ts.as_bytes());
            line.clear();
            line.extend_from_slice(bytes);
        }
        Some(())
    }

    /// How many records are kept.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.facts.len() + self.recent.values().map(|recent| recent.lines.len()).sum::<usize>() + 1
    }

    /// The records before a line, in their order; `None` where one is not of this format.
    pub fn before(&self, end: u64) -> Option<Vec<Entry>> {
        let latest = Some((self.latest.0, &self.latest.2)).filter(|(_, line)| !line.is_empty());
        let recent = self.recent.values().flat_map(|recent| recent.lines.iter().map(|(seq, line)| (*seq, line)));
        let lines: BTreeMap<u64, &Vec<u8>> = recent.chain(latest).filter(|(seq, _)| *seq < end).collect();
        let mut entries: Vec<Entry> = self.facts.iter().filter(|fact| fact.seq < end).cloned().collect();
        for line in lines.into_values() {
            entries.push(entry(line)?);
        }
        entries.sort_by_key(|entry| entry.seq);
        Some(entries)
    }
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let Line { seq, ts, kind, data, .. } = Raw::parse(bytes).ok()?.line();
    Some(Entry { seq, ts, kind, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, kind: &str, second: u64) -> (String, String) {
        let ts = format!("2026-11-20T23:40:{second:02}.000000Z");
        let prev = "0".repeat(64);
        let line = format!(
            "{{\"v\":1,\"seq\":{seq},\"run\":\"r\",\"ts\":\"{ts}\",\"mono\":5,\"type\":\"{kind}\",\"prev\":\"{prev}\",\"data\":{{\"line\":\"{seq}\"}}}}\n"
        );
        (ts, line)
    }

    #[test]
    fn r43_a_log_of_any_length_keeps_its_facts_and_a_limited_number_of_the_rest() {
        let mut kept = Kept::new(false);
        for seq in 0..20_000 {
            let kind =
                ["note", "gate.evaluated", "seal", "step.intent"][if seq % 1000 == 0 { 3 } else { seq as usize % 3 }];
            // The clock is set back once: the latest time stands in the middle.
            let (ts, line) = line(seq, kind, if seq == 7_000 { 59 } else { 1 });
            kept.take(seq, kind, &ts, line.as_bytes()).unwrap();
        }
        assert_eq!(kept.count(), 20 + 2 * RECENT + 1);
        let entries = kept.before(19_990).unwrap();
        assert!(entries.is_sorted_by_key(|entry| entry.seq) && entries.iter().all(|entry| entry.seq < 19_990));
        assert_eq!(entries.iter().filter(|entry| entry.kind == "step.intent").count(), 20);
        assert!(entries.iter().any(|entry| entry.ts.contains(":59.")), "the latest time of the log is known");
        let (_, wide) = line(1, "note", 2);
        let wide = wide.replace("\"line\":\"1\"", &format!("\"line\":\"{}\"", "x".repeat(60_000)));
        (0..RECENT).for_each(|_| kept.take(1, "note", "", wide.as_bytes()).unwrap());
        assert!(kept.recent["note"].bytes <= RECENT_BYTES, "also records at their longest");
        let mut all = Kept::new(true);
        (0..3).for_each(|seq| all.take(seq, "note", "", line(seq, "note", 1).1.as_bytes()).unwrap());
        assert_eq!(all.before(2).unwrap().len(), 2);
    }
}
