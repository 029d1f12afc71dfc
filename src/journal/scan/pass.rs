//! Going over a log on the word of its seals: every byte is hashed once, and the last seal of each session says whether these
//! are the bytes that were written. Only what decides something is read closely.
//!
//! Whatever does not look as expected ends the passing, and the log is read line by line: here no fault gets its words.

use base16ct::lower::encode_string as hex;
use sha2::{Digest, Sha256};

use super::{Scan, Sealed, Seals};
use crate::journal::SealState;
use crate::journal::line::{KINDS, Raw, longest};

/// The reading so far. A copy of it goes on later from where this one was.
#[derive(Clone)]
pub struct Pass {
    scan: Scan<'static>,
    look: Look,
    seal: Option<Seal>,
}

/// The newest seal, not judged yet.
#[derive(Clone)]
struct Seal {
    line: Vec<u8>,
    /// Before it.
    lines: u64,
    bytes: u64,
    hash: Sha256,
    /// It seals something.
    covers: bool,
}

/// How the lines of one run begin.
#[derive(Clone, Default)]
pub struct Look {
    /// What stands between a line's number and its time.
    run: String,
    /// The type of the newest record: the next one is mostly of the same, and the table of them is long.
    kind: &'static str,
}

/// A line, glanced at.
pub struct Glance<'b> {
    pub seq: u64,
    pub ts: &'b str,
    pub kind: &'static str,
}

impl Default for Pass {
    fn default() -> Self {
        Pass { scan: Scan::new(Seals::All, None), look: Look::default(), seal: None }
    }
}

impl Pass {
    /// Takes in the next line; `None` where it has to be looked at closely.
    pub fn take<'b>(&mut self, bytes: &'b [u8]) -> Option<Glance<'b>> {
        if self.scan.at == 0 {
            self.look = Look::of(bytes)?;
        }
        let glance = self.look.at(bytes).filter(|glance| glance.seq == self.scan.at)?;
        let expected = match self.scan.at {
            0 => glance.kind == "run.opened",
            1 => glance.kind == "plan.loaded",
            _ => !matches!(glance.kind, "run.opened" | "plan.loaded"),
        };
        if !expected || bytes.len() > longest(glance.kind) {
            return None;
        }
        let sealed = self.seal.as_ref().map_or(self.scan.sealed.lines, |seal| seal.lines + 1);
        let behind_seal = self.scan.at > 0 && sealed == self.scan.at;
        match glance.kind {
            "seal" => {
                if behind_seal {
                    self.judge()?;
                }
                let seal = self.seal.get_or_insert_with(|| Seal {
                    line: Vec::new(),
                    lines: 0,
                    bytes: 0,
                    hash: Sha256::new(),
                    covers: true,
                });
                seal.line.clear();
                seal.line.extend_from_slice(bytes);
                seal.hash.clone_from(&self.scan.hash);
                (seal.lines, seal.bytes, seal.covers) = (self.scan.at, self.scan.bytes, !behind_seal);
            }
            "run.opened" | "run.resumed" => {
                if glance.kind == "run.resumed" {
                    self.judge()?;
                    let over = matches!(self.scan.state, Some(SealState::Closed));
                    (behind_seal && !over).then_some(())?;
                }
                let line = Raw::parse(bytes).ok()?;
                self.scan.statement(&line).ok()?;
            }
            "clock.anomaly" => self.scan.session.as_mut()?.jumped = true,
            _ => {}
        }
        self.scan.hash.update(bytes);
        self.scan.bytes += bytes.len() as u64;
        self.scan.at += 1;
        Some(glance)
    }

    /// Judges the newest seal, unless that was done.
    fn judge(&mut self) -> Option<()> {
        let Some(Seal { line, lines, bytes, hash, covers }) = self.seal.take() else { return Some(()) };
        let raw = Raw::parse(&line).ok()?;
        let scan = &mut self.scan;
        let (at, end) = (scan.at, scan.bytes);
        let here = std::mem::replace(&mut scan.hash, hash);
        (scan.at, scan.bytes, scan.mono, scan.group) = (lines, bytes, raw.mono, u64::from(covers));
        let state = scan.read_seal(&raw).ok()?;
        let mut hash = std::mem::replace(&mut scan.hash, here);
        (scan.at, scan.bytes, scan.state, scan.last) = (at, end, Some(state), Some(raw.time));
        hash.update(&line);
        let prev = hex(&Sha256::digest(&line));
        scan.sealed = Sealed { lines: lines + 1, bytes: bytes + line.len() as u64, prev, hash };
        Some(())
    }

    /// The scan as it stands behind the newest seal, if that one holds.
    pub fn sealed(mut self) -> Option<Pass> {
        self.judge()?;
        let sealed = self.scan.sealed.clone();
        (sealed.lines > 0).then_some(())?;
        (self.scan.at, self.scan.bytes, self.scan.hash) = (sealed.lines, sealed.bytes, sealed.hash);
        Some(self)
    }

    pub fn scan(&self) -> &Scan<'static> {
        &self.scan
    }
}

impl Look {
    /// By the first line of a log.
    pub fn of(bytes: &[u8]) -> Option<Look> {
        let run = serde_json::to_string(Raw::parse(bytes).ok()?.run.as_ref()).ok()?;
        Some(Look { run: format!(",\"run\":{run},\"ts\":\""), kind: "" })
    }

    /// Number, time and type of a line of this run, from where they stand in it.
    pub fn at<'b>(&mut self, bytes: &'b [u8]) -> Option<Glance<'b>> {
        let rest = bytes.strip_suffix(b"\n")?.strip_prefix(b"{\"v\":1,\"seq\":")?;
        let (seq, rest) = digits(rest)?;
        let rest = rest.strip_prefix(self.run.as_bytes())?;
        let (ts, rest) = rest.split_at_checked("0000-00-00T00:00:00.000000Z".len())?;
        let (_, rest) = digits(rest.strip_prefix(b"\",\"mono\":")?)?;
        let rest = rest.strip_prefix(b",\"type\":\"")?;
        let kind = rest.get(..rest.iter().take(24).position(|b| *b == b'"')?)?;
        let kind = if kind == b"seal" {
            "seal"
        } else {
            if kind != self.kind.as_bytes() {
                self.kind = KINDS[KINDS.binary_search_by(|known| known.as_bytes().cmp(kind)).ok()?];
            }
            self.kind
        };
        Some(Glance { seq, ts: std::str::from_utf8(ts).ok()?, kind })
    }
}

fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = bytes;
    let mut number = 0_u64;
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = behind;
    }
    (rest.len() < bytes.len()).then_some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_reads_numbers_that_fit_and_the_type_of_each_line() {
        assert_eq!(digits(b"42,x"), Some((42, &b",x"[..])));
        assert_eq!(digits(b"18446744073709551615"), Some((u64::MAX, &b""[..])));
        // One more than fits would look like another line's number.
        for none in [&b"18446744073709551616,"[..], b",", b"-1", b""] {
            assert_eq!(digits(none), None, "{none:?}");
        }
        let mut look = Look { run: ",\"run\":\"r\",\"ts\":\"".into(), kind: "" };
        for kind in ["note", "note", "seal", "step.intent", "seal", "note"] {
            let line = format!(
                "{{\"v\":1,\"seq\":7,\"run\":\"r\",\"ts\":\"2026-11-20T23:40:00.000000Z\",\"mono\":5,\"type\":\"{kind}\",\"data\":{{}}}}\n"
            );
            assert_eq!(look.at(line.as_bytes()).map(|glance| (glance.seq, glance.kind)), Some((7, kind)));
        }
        assert!(look.at(b"{\"v\":1,\"seq\":7,\"run\":\"other\"}\n").is_none());
    }
}
