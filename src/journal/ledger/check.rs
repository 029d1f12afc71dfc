//! The ledger beside the logs it speaks of: which run is gone, exchanged, or was never written down.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::super::archive::Archive;
use super::super::heads::{Held, compare};
use super::super::input::LOG;
use super::{NOTHING, Reading, Tip, What};

use crate::file;

/// How bad a finding is; the worst decides the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Something is gone.
    Truncated,
    /// Something else stands in its place.
    Forked,
    /// The bytes of the ledger do not hold.
    Broken,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub standing: Standing,
    /// The line of the ledger it is about, from 0.
    pub line: Option<u64>,
    pub what: String,
}

/// Everything found beside what the ledger says itself.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub all: Vec<Finding>,
    pub unchecked: Vec<String>,
}

/// Holds what was read of a ledger against the logs kept beside it, and against tips somebody saw before.
pub fn check(reading: &Reading, archive: &Archive, seen: &[(String, Tip)]) -> Findings {
    let mut found = Findings { unchecked: reading.unchecked.clone(), ..Findings::default() };
    let mut add = |standing, line, what: String| found.all.push(Finding { standing, line, what });
    if let Some((line, offset, why)) = &reading.fault {
        add(
            Standing::Broken,
            Some(*line),
            format!("line {line} of the ledger, at byte {offset}, does not hold: {why}"),
        );
    }
    let mut said = BTreeSet::new();
    for (line, why) in reading.untrusted.iter().filter(|(_, why)| said.insert(why)) {
        add(Standing::Broken, Some(*line), format!("line {line} of the ledger is signed, and not believed: {why}"));
    }
    order(reading, &mut add);
    let mut runs: Vec<&str> = reading.lines.iter().map(|line| line.run()).collect();
    runs.sort_unstable();
    runs.dedup();
    for run in &runs {
        if let Err(error) = logged(reading, archive, run, &mut add) {
            add(Standing::Truncated, None, format!("the log of run {run} cannot be read: {error}"));
        }
    }
    for (who, tip) in seen {
        let line = tip.lines.checked_sub(1).map(|n| reading.lines.get(usize::try_from(n).unwrap_or(usize::MAX)));
        match line {
            None => {}
            Some(Some(line)) if line.sha256 == tip.sha256 => {}
            Some(Some(_)) => {
                let n = tip.lines - 1;
                add(Standing::Forked, Some(n), format!("line {n} of the ledger is another than {who} saw"));
            }
            // Behind a broken line nothing is counted.
            Some(None) if reading.fault.is_some() => {}
            Some(None) => {
                let (now, then) = (reading.lines.len(), tip.lines);
                add(Standing::Truncated, None, format!("the ledger was cut: it has {now} lines, {who} saw {then}"));
            }
        }
    }
    // Where the ledger itself broke, a run may stand behind the break.
    if reading.fault.is_none() {
        let known: BTreeSet<&str> = runs.into_iter().collect();
        for run in archive.runs().iter().filter(|run| !known.contains(run.as_str())) {
            match beginning(&archive.run(run).join(LOG)) {
                Beginning::Bound => found.all.push(Finding {
                    standing: Standing::Truncated,
                    line: None,
                    what: format!("run {run} is kept here, and the ledger has no line of it"),
                }),
                Beginning::Only => {
                    found.unchecked.push(format!("run {run}: its process ended before the ledger had a line of it"));
                }
                Beginning::Unbound => {
                    found.unchecked.push(format!("run {run}: its opening names no ledger (an older bgctl)"));
                }
            }
        }
    }
    found
}

/// What the lines say to each other: every run is opened once, behind a line that is there, and before anything else.
fn order(reading: &Reading, add: &mut impl FnMut(Standing, Option<u64>, String)) {
    let mut opened = BTreeSet::new();
    let mut known = BTreeSet::from([NOTHING]);
    for (n, line) in reading.lines.iter().enumerate() {
        let (n, run) = (Some(n as u64), line.run());
        let begins = matches!(line.entry.what, What::Opened | What::Adopted);
        if begins && !opened.insert(run) {
            add(Standing::Forked, n, format!("run {run} was opened twice: its name was used again"));
        }
        if !begins && !opened.contains(run) {
            add(Standing::Truncated, n, format!("run {run} was {}, and no line opens it", line.entry.what.name()));
            opened.insert(run);
        }
        if let Some(bound) = line.bound.as_deref().filter(|bound| !known.contains(bound)) {
            let short = bound.get(..12).unwrap_or(bound);
            let what = format!("run {run} was opened when the ledger ended in {short}…, a line that is not in it");
            add(Standing::Truncated, n, what);
        }
        known.insert(&line.sha256);
    }
}

/// Every line of a run against its log.
fn logged(
    reading: &Reading,
    archive: &Archive,
    run: &str,
    add: &mut impl FnMut(Standing, Option<u64>, String),
) -> io::Result<()> {
    let of_run = || reading.lines.iter().enumerate().filter(|(_, line)| line.run() == run);
    let heads: Vec<_> = of_run().map(|(_, line)| &line.entry.head).collect();
    let last = of_run().next_back().map(|(n, line)| (Some(n as u64), line.entry.head.state.name()));
    let Some((n, state)) = last else { return Ok(()) };
    let mut log = match file::open(&archive.run(run).join(LOG)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            add(Standing::Truncated, n, format!("run {run} ({state}) was deleted: the ledger has it, its log is gone"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let bytes = log.metadata()?.len();
    let (held, _) = compare(&mut log, bytes, &heads)?;
    for ((n, line), held) in of_run().zip(held) {
        let (what, head) = (line.entry.what.name(), &line.entry.head);
        match held {
            Held::Holds => continue,
            Held::Short => {
                let what = format!("the log of run {run} was cut: {bytes} bytes, {} when it was {what}", head.bytes);
                add(Standing::Truncated, Some(n as u64), what);
            }
            Held::Other => {
                let what = format!("the log of run {run} was replaced: other bytes than when it was {what}");
                add(Standing::Forked, Some(n as u64), what);
            }
        }
        break;
    }
    Ok(())
}

/// What the first lines of a log say about the ledger.
enum Beginning {
    /// Its owner named the ledger's last line.
    Bound,
    /// They did, and nothing but the opening was ever written.
    Only,
    Unbound,
}

fn beginning(log: &Path) -> Beginning {
    let Ok(file) = file::open(log) else { return Beginning::Bound };
    let mut lines = BufReader::new(file).lines();
    let first: Value =
        lines.next().and_then(Result::ok).and_then(|l| serde_json::from_str(&l).ok()).unwrap_or_default();
    let said: Value =
        first["data"]["statement"].as_str().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
    // The plan, the seal, and then anything.
    match (said["ledger_sha256"].is_string(), lines.nth(2).is_some()) {
        (true, true) => Beginning::Bound,
        (true, false) => Beginning::Only,
        (false, _) => Beginning::Unbound,
    }
}
