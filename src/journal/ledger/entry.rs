//! The text of a line of the ledger: ten lines that say what happened to which log and how long that log was. It is what
//! gets signed, so `ssh-keygen` alone can check it.

use super::super::line::{instant, is_digest};
use super::super::note::{Note, number};

const TITLE: &str = "bgctl/ledger/v1";

/// What happened to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Opened,
    Resumed,
    /// The process ended in order: closed, handed over, or ended without the owner's key, as the log's state says.
    Closed,
    /// The owner signed, later, a log that had ended without their key.
    Signed,
    /// A rollback that could not be written down when it was made was brought here later, whole.
    Adopted,
}

impl What {
    const ALL: [What; 5] = [What::Opened, What::Resumed, What::Closed, What::Signed, What::Adopted];

    pub fn name(self) -> &'static str {
        match self {
            What::Opened => "opened",
            What::Resumed => "resumed",
            What::Closed => "closed",
            What::Signed => "signed",
            What::Adopted => "adopted",
        }
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 0.
    pub line: u64,
    /// SHA-256 of the line before it, with its line end.
    pub prev: String,
    pub time: String,
    pub what: What,
    /// The log then, all of it.
    pub head: Note,
}

impl Entry {
    pub fn text(&self) -> String {
        let (line, prev, time, what) = (self.line, &self.prev, &self.time, self.what.name());
        format!("{TITLE}\nline {line}\nprev {prev}\nat {time}\nevent {what}\n{}", self.head.text())
    }

    /// Reads the lines back; anything else than exactly them is no entry.
    pub fn parse(text: &str) -> Option<Entry> {
        let mut rest = text.strip_prefix(TITLE)?.strip_prefix('\n')?;
        let mut field = |name: &str| {
            let (line, after) = rest.split_once('\n')?;
            rest = after;
            line.strip_prefix(name)?.strip_prefix(' ')
        };
        let line = number(field("line")?)?;
        let prev = field("prev").filter(|p| is_digest(p))?.to_string();
        let time = field("at").filter(|t| instant(t).is_some())?.to_string();
        let word = field("event")?;
        let what = What::ALL.into_iter().find(|w| w.name() == word)?;
        Some(Entry { line, prev, time, what, head: Note::parse(rest)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::NOTHING;
    use super::*;
    use crate::journal::SealState;

    #[test]
    fn an_entry_is_eleven_lines_and_nothing_else() {
        let head = Note {
            origin: "bgctl/log/bot/20261120-0302-kfx".into(),
            lines: 3,
            bytes: 6662,
            sha256: "ab".repeat(32),
            time: "2026-11-20T23:40:07.152370Z".into(),
            state: SealState::Open,
        };
        let time = head.time.clone();
        let entry = Entry { line: 0, prev: NOTHING.into(), time, what: What::Opened, head };
        let text = entry.text();
        assert_eq!(text.lines().count(), 11);
        assert_eq!(Entry::parse(&text), Some(entry));
        for (from, to) in
            [("line 0", "line 00"), ("event opened", "event open"), ("at ", "on "), ("state open\n", "state open\n\n")]
        {
            assert_eq!(Entry::parse(&text.replacen(from, to, 1)), None, "{from} -> {to}");
        }
    }
}
