//! The note: six lines of text that say what a seal covers. It is what gets signed, so it can be checked with `head`,
//! `sha256sum` and `ssh-keygen` alone.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::line::{instant, is_digest};
use super::spelling::{hex, stamp};

/// What a seal says about the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealState {
    /// The run goes on; signed by the session key.
    Open,
    /// The owner says that the run is over and this is all of it.
    Closed,
    /// The owner lets it rest: it can be resumed.
    Handover,
    /// The process ended in order, but the owner's key could not be reached; signed by the session key.
    Ended,
}

impl SealState {
    pub const ALL: [SealState; 4] = [SealState::Open, SealState::Closed, SealState::Handover, SealState::Ended];

    pub fn name(self) -> &'static str {
        match self {
            SealState::Open => "open",
            SealState::Closed => "closed",
            SealState::Handover => "handover",
            SealState::Ended => "ended",
        }
    }

    /// Whether the owner's own key has to sign it.
    pub fn by_owner(self) -> bool {
        !matches!(self, SealState::Open | SealState::Ended)
    }
}

/// What the first line of a note begins with.
pub(super) const ORIGIN: &str = "bgctl/log/";

/// The first line of a note: which log this is.
pub fn origin(service: &str, run: &str) -> String {
    format!("{ORIGIN}{service}/{run}")
}

/// What the six lines say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub origin: String,
    /// Lines before the seal.
    pub lines: u64,
    /// Bytes before the seal, and their SHA-256.
    pub bytes: u64,
    pub sha256: String,
    pub time: String,
    pub state: SealState,
}

impl Note {
    /// What a whole log comes to: all of its bytes, the last seal included.
    pub fn of_log(log: &[u8], (service, run): (&str, &str), now: Timestamp, state: SealState) -> Note {
        let lines = log.iter().filter(|b| **b == b'\n').count() as u64;
        let sha256 = hex(&Sha256::digest(log));
        Note { origin: origin(service, run), lines, bytes: log.len() as u64, sha256, time: stamp(now), state }
    }

    /// The six lines, each with its line end.
    pub fn text(&self) -> String {
        format!(
            "{}\nlines {}\nbytes {}\nsha256 {}\ntime {}\nstate {}\n",
            self.origin,
            self.lines,
            self.bytes,
            self.sha256,
            self.time,
            self.state.name()
        )
    }

    /// Reads the six lines back; anything else than exactly them is no note.
    pub fn parse(text: &str) -> Option<Note> {
        let SixLines { origin, lines, bytes, sha256, time, state } = SixLines::parse(text)?;
        Some(Note { origin: origin.into(), lines, bytes, sha256: sha256.into(), time: time.into(), state })
    }
}

/// A note as it stands in its text: a verifier reads one in every other line.
pub(super) struct SixLines<'t> {
    pub origin: &'t str,
    pub lines: u64,
    pub bytes: u64,
    pub sha256: &'t str,
    pub time: &'t str,
    pub state: SealState,
}

impl<'t> SixLines<'t> {
    pub fn parse(text: &'t str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next()?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let count = number(field("lines")?)?;
        let bytes = number(field("bytes")?)?;
        let sha256 = field("sha256").filter(|s| is_digest(s))?;
        let time = field("time").filter(|t| instant(t).is_some())?;
        let word = field("state")?;
        let state = SealState::ALL.into_iter().find(|s| s.name() == word)?;
        lines.next().is_none().then_some(SixLines { origin, lines: count, bytes, sha256, time, state })
    }

    /// Whether it is a note of this log.
    pub fn is_of(&self, service: &str, run: &str) -> bool {
        let rest = self.origin.strip_prefix(ORIGIN).and_then(|rest| rest.strip_prefix(service));
        rest.and_then(|rest| rest.strip_prefix('/')) == Some(run)
    }
}

pub(super) fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_six_lines_and_nothing_else() {
        let note = Note {
            origin: origin("slackbot", "20261120-0302-kfx"),
            lines: 9,
            bytes: 6662,
            sha256: "ab".repeat(32),
            time: "2026-11-20T23:40:07.152370Z".into(),
            state: SealState::Open,
        };
        let text = note.text();
        assert_eq!(text.lines().count(), 6);
        assert_eq!(Note::parse(&text), Some(note));
        let of = |service, run| SixLines::parse(&text).unwrap().is_of(service, run);
        assert!(of("slackbot", "20261120-0302-kfx"));
        assert!(!of("slack", "20261120-0302-kfx") && !of("slackbot", "20261120-0302-kf") && !of("", ""));
        for (from, to) in [
            ("lines 9", "lines 09"),
            ("lines 9", "lines +9"),
            ("bytes 6662", "bytes  6662"),
            ("state open", "state opened"),
            ("state open\n", "state open"),
            ("state open\n", "state open\n\n"),
            ("sha256 ab", "sha256 AB"),
            ("time ", "date "),
        ] {
            assert_eq!(Note::parse(&text.replacen(from, to, 1)), None, "{from} -> {to}");
        }
    }
}
