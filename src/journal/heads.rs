//! Heads: what was once seen of a log or of the ledger, kept where the log's owner cannot change it. A log is held against
//! them; only so do a cut tail, an exchanged log and a lost ledger show.
//!
//! A head proves nothing about who wrote it. That it disagrees with a log says that one of the two was changed.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::ledger::Tip;
use super::line::is_digest;
use super::note::{Note, number};
use super::spelling::hex;

/// A log at one moment, and the ledger at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the whole log, its last seal included.
    pub log: Note,
    pub ledger: Option<Tip>,
}

impl Head {
    /// Six lines about the log and one about the ledger: what anchors keep.
    pub fn text(&self) -> String {
        let ledger = self.ledger.as_ref().map(|tip| format!("ledger {} {}\n", tip.lines, tip.sha256));
        self.log.text() + &ledger.unwrap_or_default()
    }

    /// Reads it back. What a git note or a chat message adds around it is the reader's to take away.
    pub fn parse(text: &str) -> Option<Head> {
        let (log, last) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let Some(tip) = last.strip_prefix("ledger ") else {
            return Some(Head { log: Note::parse(text)?, ledger: None });
        };
        let (lines, sha256) = tip.split_once(' ')?;
        let tip = Tip { lines: number(lines)?, sha256: sha256.to_string() };
        is_digest(sha256).then_some(Head { log: Note::parse(&format!("{log}\n"))?, ledger: Some(tip) })
    }

    /// Every head in a text that may hold other things too, one behind the other.
    pub fn all(text: &str) -> Vec<Head> {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let begins = (0..lines.len()).filter(|at| lines[*at].starts_with("bgctl/log/"));
        let taken = |at: usize, count: usize| Some(lines.get(at..at + count)?.join("\n") + "\n");
        begins.filter_map(|at| [7, 6].iter().find_map(|count| Head::parse(&taken(at, *count)?))).collect()
    }
}

/// What a log says to a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The log begins with exactly the bytes the head is of.
    Holds,
    /// The log is shorter.
    Short,
    /// The log has other bytes there.
    Other,
}

/// Holds a log against heads of it, in their order, reading at most `bytes` of it; also gives the SHA-256 of what was read.
pub fn compare(log: &mut dyn Read, bytes: u64, heads: &[&Note]) -> std::io::Result<(Vec<Held>, String)> {
    let mut order: Vec<usize> = (0..heads.len()).collect();
    order.sort_by_key(|at| heads[*at].bytes);
    let mut held = vec![Held::Short; heads.len()];
    let (mut hash, mut done, mut buffer) = (Sha256::new(), 0u64, vec![0; 64 * 1024]);
    let mut read_to = |to: u64, hash: &mut Sha256, done: &mut u64| -> std::io::Result<bool> {
        while *done < to {
            let room = usize::try_from(to - *done).unwrap_or(usize::MAX).min(buffer.len());
            match log.read(&mut buffer[..room])? {
                0 => return Ok(false),
                len => {
                    hash.update(&buffer[..len]);
                    *done += len as u64;
                }
            }
        }
        Ok(true)
    };
    for at in order {
        let head = heads[at];
        if head.bytes > bytes || !read_to(head.bytes, &mut hash, &mut done)? {
            break;
        }
        held[at] = if hex(&hash.clone().finalize()) == head.sha256 { Held::Holds } else { Held::Other };
    }
    read_to(bytes, &mut hash, &mut done)?;
    Ok((held, hex(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::SealState;

    fn head(bytes: u64, of: &[u8]) -> Note {
        let sha256 = hex(&Sha256::digest(&of[..usize::try_from(bytes).unwrap().min(of.len())]));
        let (origin, time) = ("bgctl/log/bot/x".into(), "2026-11-20T23:40:07.152370Z".into());
        Note { origin, lines: 3, bytes, sha256, time, state: SealState::Open }
    }

    #[test]
    fn a_log_is_held_against_heads_in_any_order() {
        let log = vec![7; 200_000];
        let (long, whole, some, none) = (head(300_000, &log), head(200_000, &log), head(70_001, &log), head(0, &log));
        let other = head(70_001, &vec![8; 80_000]);
        let heads = [&whole, &long, &other, &some, &none];
        let (held, sha256) = compare(&mut &log[..], 200_000, &heads).unwrap();
        assert_eq!(held, [Held::Holds, Held::Short, Held::Other, Held::Holds, Held::Holds]);
        assert_eq!(sha256, whole.sha256);
        let (held, _) = compare(&mut &log[..100_000], 200_000, &[&some, &whole]).unwrap();
        assert_eq!(held, [Held::Holds, Held::Short]);
    }

    #[test]
    fn heads_are_found_in_what_surrounds_them() {
        let one = Head { log: head(5, b"abcde"), ledger: Some(Tip { lines: 2, sha256: "ab".repeat(32) }) };
        let two = Head { ledger: None, ..one.clone() };
        assert_eq!(Head::parse(&one.text()), Some(one.clone()));
        assert_eq!(Head::parse(&two.text()), Some(two.clone()));
        let text = format!("Notes (bgctl):\n{}\n\n{}more\n", one.text(), two.text());
        assert_eq!(Head::all(&text), [one.clone(), two]);
        assert_eq!(Head::parse(&one.text().replace("ledger 2", "ledger 02")), None);
        assert_eq!(Head::all("bgctl/log/bot/x\nlines 3\n"), []);
    }
}
