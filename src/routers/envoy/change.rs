//! One change: the file is compared, put in its place by one move, and believed only when every Envoy says that it runs it.
//!
//! What Envoy refuses or does not notice is taken back in the same step: a file that nobody runs would move users at the next
//! restart. What an Envoy that keeps silent has taken is not known, so nothing is taken back from it.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;

use super::Envoy;
use super::admin::Admin;
use super::discovery::Wanted;
use super::fleet::{Exact, Fleet, Running};
use super::place::Unwritten;
use super::weights::hundredths;
use crate::clock::{Clock, SystemClock};
use crate::file;
use crate::plan::Split;
use crate::routers::{Call, Reading, RouterError, Trouble};

/// How long Envoy may take to take a file; it is a few milliseconds.
const TAKES: Duration = Duration::from_secs(5);
/// How long a move may land after nobody has seen it land: twice as long as it is waited for.
pub const LANDS_WITHIN: Duration = Duration::from_secs(2 * TAKES.as_secs());
/// After how long an Envoy is asked again.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a log is waited for that says why.
const LOGS: Duration = Duration::from_secs(1);
/// The most that is read of a log.
const WORDS: u64 = 64 * 1024;

/// What an Envoy made of a file.
enum End {
    Taken,
    /// In its own words, where they can be had.
    Refused(String),
    Unnoticed,
    Silent(RouterError),
}

/// How an Envoy stood before the move.
struct Before<'e> {
    admin: &'e Admin,
    refused: u64,
    log: Option<(String, u64)>,
}

impl Envoy {
    pub async fn write(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        if to == (Split { blue: 0, green: 0 }) {
            return Err(self.error(Trouble::Invalid, "is not set to 0/0: Envoy refuses weights that are all 0"));
        }
        self.can_have(to).map_err(|why| RouterError::new(Trouble::Invalid, why))?;
        let (fleet, told) = (self.fleet().await?, Exact::read(from));
        if let Some((_, error)) = fleet.silent.iter().find(|(at, _)| !told.silent.contains(at)) {
            return Err(error.clone());
        }
        let found = fleet.split();
        if found != from.split && found != to {
            return Err(self.drift(found, from.split));
        }
        if told.file.is_some_and(|text| text != fleet.text) {
            return Err(self.error(Trouble::NotNow, "was changed since it was read: nothing was written"));
        }
        if found == to && fleet.silent.is_empty() && fleet.in_step() {
            return Ok(Vec::new());
        }
        // Only a way back to blue writes over what somebody has put there and nobody runs.
        if fleet.pending() && to.green > 0 {
            let what = format!("holds a change of somebody else that Envoy does not run: {}", fleet.apart().join("; "));
            let cure = "put it there again by `mv` so that Envoy takes it, or put the file there that Envoy runs";
            return Err(self.error(Trouble::NotNow, &what).cure(cure));
        }
        self.change(fleet, to).await
    }

    fn error(&self, kind: Trouble, what: &str) -> RouterError {
        RouterError::new(kind, format!("`{}` of `{}` {what}", self.settings.inside(), self.settings.file))
    }

    fn drift(&self, found: Split, expected: Split) -> RouterError {
        let what = format!("is at {found}, not at {expected}: nothing was written");
        self.error(Trouble::Drift { found }, &what)
    }

    /// Why Envoy cannot have a split, if it cannot.
    pub fn can_have(&self, to: Split) -> Result<(), String> {
        match hundredths(to) {
            Some(_) => Ok(()),
            None => Err(format!("bgctl writes weights in hundredths of a per cent, and {to} is none")),
        }
    }

    async fn change(&self, fleet: Fleet, to: Split) -> Result<Vec<Call>, RouterError> {
        let mut chance = [0; 8];
        getrandom::fill(&mut chance).map_err(|e| RouterError::new(Trouble::Unreachable, e.to_string()))?;
        let wanted = fleet.file.at(&fleet.text, to, &chance).map_err(|lost| self.of_file(lost))?;
        let before = self.before(&fleet);
        let begun = SystemClock.elapsed();
        let unsynced = match self.place.replace(&fleet.text, &wanted.text, &wanted.version) {
            Ok(()) => None,
            Err(Unwritten::Unsynced(error)) => Some(error),
            Err(Unwritten::Failed(error)) => return Err(error),
            Err(Unwritten::Changed) => {
                // Somebody was there between the reading and the write.
                let found = self.fleet().await?.split();
                let same = found == fleet.split();
                let changed =
                    || self.error(Trouble::NotNow, "was changed by somebody else just now: nothing was written");
                return Err(if same { changed() } else { self.drift(found, fleet.split()) });
            }
        };
        let ends = join_all(before.iter().map(|before| self.taken(before, &wanted, to))).await;
        let call = |code: &str| Call {
            action: format!("move {}", self.settings.file),
            request_id: Some(wanted.version.clone()),
            code: code.into(),
            time: SystemClock.elapsed().saturating_sub(begun),
        };
        let failed = self.failed(&fleet, &wanted, &before, ends, to).await;
        match failed.or(unsynced.map(|error| ("unsynced", RouterError { moved: true, ..error }))) {
            None => Ok(vec![call("ok")]),
            Some((code, error)) => Err(RouterError { calls: vec![call(code)], ..error }),
        }
    }

    /// How those stand that answer, so that what they refuse is known by what they count.
    fn before(&self, fleet: &Fleet) -> Vec<Before<'_>> {
        let one = |running: &Running| {
            let log = running.about.log.clone().and_then(|path| {
                let length = std::fs::metadata(&path).ok()?.len();
                Some((path, length))
            });
            let admin = self.admins.iter().find(|admin| admin.at == running.at)?;
            Some(Before { admin, refused: running.refused, log })
        };
        fleet.found.iter().filter_map(one).collect()
    }

    /// Waits until an Envoy says that it runs these weights under this version.
    async fn taken(&self, before: &Before<'_>, wanted: &Wanted, to: Split) -> End {
        let begun = SystemClock.elapsed();
        loop {
            let silent = match self.looked(before, wanted, to).await {
                Ok(Some(end)) => return end,
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if SystemClock.elapsed().saturating_sub(begun) > TAKES {
                return silent.map_or(End::Unnoticed, End::Silent);
            }
            SystemClock.sleep(PAUSE).await;
        }
    }

    async fn looked(&self, before: &Before<'_>, wanted: &Wanted, to: Split) -> Result<Option<End>, RouterError> {
        let runs = self.runs(before.admin).await?;
        Ok(match runs.version == wanted.version && runs.found.split() == to {
            true => Some(End::Taken),
            false if runs.refused != before.refused => Some(End::Refused(said(before).await)),
            false => None,
        })
    }

    /// What is to be said where not every Envoy has taken the file; it is taken back from those that have.
    async fn failed(
        &self,
        fleet: &Fleet,
        wanted: &Wanted,
        before: &[Before<'_>],
        ends: Vec<End>,
        to: Split,
    ) -> Option<(&'static str, RouterError)> {
        let some_took = ends.iter().any(|end| matches!(end, End::Taken));
        let mut silent = fleet.silent.first().map(|(_, error)| error.clone());
        for (before, end) in before.iter().zip(ends) {
            let (code, kind, what, moved) = match end {
                End::Taken => continue,
                End::Silent(error) => {
                    silent = silent.or(Some(error));
                    continue;
                }
                End::Refused(words) => {
                    ("refused", Trouble::Invalid, format!("it refuses the file: {words}"), some_took)
                }
                End::Unnoticed => {
                    let what = format!("it has not taken the file within {} s", TAKES.as_secs());
                    ("unnoticed", Trouble::NotNow, what, true)
                }
            };
            let back = self.put_back(fleet, wanted, before.admin).await;
            let cure = match code {
                "refused" => "cure what Envoy names, and put the file there by `mv`",
                _ => "see that its `path_config_source` is this very file and that its folder is what Envoy watches",
            };
            let error = before.admin.error(kind, format!("{what}; {back}")).cure(cure);
            return Some((code, RouterError { moved, ..error }));
        }
        let error = silent?;
        let what = match some_took {
            true => format!("the other Envoys are at {to}, but {}", error.what),
            false => format!("`{}` says {to} now, but nobody says what Envoy runs: {}", self.settings.file, error.what),
        };
        Some(("no-answer", RouterError { what, moved: true, kind: Trouble::Unreachable, ..error }))
    }

    /// Puts the file of before back, and says what became of that.
    async fn put_back(&self, fleet: &Fleet, wanted: &Wanted, admin: &Admin) -> String {
        // A move makes Envoy take a file: one that it did not run before is not given to it now.
        if !fleet.in_step() {
            return "the file stays, since Envoy did not run the one before it either".into();
        }
        let version = format!("{}-back", wanted.version);
        match self.place.replace(&wanted.text, &fleet.text, &version) {
            Ok(()) | Err(Unwritten::Unsynced(_)) => {}
            Err(Unwritten::Changed) => return "somebody else has changed the file since".into(),
            Err(Unwritten::Failed(error)) => {
                return format!("and the file of before cannot be put back: {}", error.what);
            }
        }
        let begun = SystemClock.elapsed();
        while SystemClock.elapsed().saturating_sub(begun) < TAKES {
            match join_all(self.admins.iter().map(|admin| self.runs(admin)))
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
            {
                Ok(all) if all.iter().all(|runs| runs.version == fleet.file.version) => {
                    return "the file is as it was".into();
                }
                Ok(_) => SystemClock.sleep(PAUSE).await,
                Err(error) => return format!("the file is as it was, and {}", error.what),
            }
        }
        format!("the file is as it was, and {} has not taken that either", admin.at)
    }
}

/// Why an Envoy refused a file, as its log has it. The admin interface only counts, and a log is written a moment later.
async fn said(before: &Before<'_>) -> String {
    let begun = SystemClock.elapsed();
    while let Some((path, from)) = &before.log {
        if let Some(words) = logged(path, *from) {
            return words;
        }
        if SystemClock.elapsed().saturating_sub(begun) > LOGS {
            break;
        }
        SystemClock.sleep(PAUSE).await;
    }
    "its log says why, behind `Filesystem config update`".into()
}

fn logged(path: &str, from: u64) -> Option<String> {
    let mut log = file::open(Path::new(path)).ok()?;
    log.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    log.take(WORDS).read_to_end(&mut bytes).ok()?;
    refusal(&String::from_utf8_lossy(&bytes))
}

/// The words behind the last refusal in a log.
fn refusal(log: &str) -> Option<String> {
    let of = |line: &str| {
        let rest = line.split_once("Filesystem config update ")?.1;
        let words = rest.strip_prefix("rejected: ").or_else(|| rest.strip_prefix("failure: "))?;
        Some(words.trim().to_string())
    };
    log.lines().rev().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_out_of_a_log() {
        let log = "[2026-12-01 02:25:36.240][1][warning][config] [a.cc:81] Filesystem config update rejected: Sum of weights in \
the weighted_cluster must be greater than 0.\n[2026-12-01 02:25:37][1][info][main] other\n";
        assert_eq!(refusal(log).as_deref(), Some("Sum of weights in the weighted_cluster must be greater than 0."));
        assert_eq!(refusal("x Filesystem config update failure: in /a, line 2\n").as_deref(), Some("in /a, line 2"));
        assert_eq!(refusal("nothing of it\n"), None);
    }
}
