//! One line of a journal as it is read: which members, in which order, of which types. Only grammar; nothing about what
//! may follow what.

use std::borrow::Cow;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde_json::Value;

use super::{json, usual};

/// The format. Everything another number stands for is unknown here.
const VERSION: &str = "1";
/// Bytes a line may have, its line end included.
pub const LONGEST: usize = 64 * 1024;
/// Bytes the one line may have that carries the plan.
pub const LONGEST_PLAN: usize = 8 * 1024 * 1024;

/// Every type of record of version 1. A type that is not here makes a log invalid: new types need a new version.
pub const KINDS: &[&str] = &[
    "anchor.receipt",
    "approval.denied",
    "approval.expired",
    "approval.granted",
    "approval.requested",
    "approval.withdrawn",
    "check.done",
    "clock.anomaly",
    "command.output",
    "drain.measured",
    "freeze.changed",
    "gate.evaluated",
    "note",
    "override.used",
    "page.acknowledged",
    "page.escalated",
    "plan.loaded",
    "prompt.answered",
    "provider.called",
    "recovered",
    "rollback.armed",
    "rollback.begun",
    "rollback.declined",
    "rollback.overdue",
    "run.continued",
    "run.continues",
    "run.ended",
    "run.held",
    "run.interrupted",
    "run.opened",
    "run.paged",
    "run.paused",
    "run.refused",
    "run.resumed",
    "run.unconfirmed",
    "run.unpaused",
    "schema.seen",
    "seal",
    "sink.degraded",
    "step.intent",
    "step.outcome",
    "step.reconciled",
    "traffic.health",
    "traffic.read",
    "traffic.seen",
    "users.seen",
    "wait.breached",
    "write.landed",
];

/// Bytes that may stand between two seals: what a reader has to keep before it may believe any of it.
pub const LONGEST_GROUP: usize = 16 * 1024 * 1024;

/// Types of which a log has many and that only people read: nothing is decided by what they say.
pub const EVIDENCE: &[&str] = &[
    "check.done",
    "clock.anomaly",
    "command.output",
    "drain.measured",
    "gate.evaluated",
    "note",
    "provider.called",
    "seal",
    "traffic.health",
    "traffic.read",
    "traffic.seen",
];

/// What stands before the value of each member.
const MEMBERS: [&str; 8] =
    ["{\"v\":", ",\"seq\":", ",\"run\":", ",\"ts\":", ",\"mono\":", ",\"type\":", ",\"prev\":", ",\"data\":"];

/// A line, checked, and still the bytes it is: nothing is copied out of it that is not asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw<'b> {
    pub seq: u64,
    pub run: Cow<'b, str>,
    pub ts: &'b str,
    /// `ts` as a time.
    pub time: Timestamp,
    /// Microseconds since the process opened the log.
    pub mono: u64,
    pub kind: &'static str,
    pub prev: &'b str,
    /// The object, as it is spelled.
    pub data: &'b str,
}

/// What was found of a line, and where in it: for whom its bytes are elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub(super) seq: u64,
    pub(super) time: Timestamp,
    pub(super) mono: u64,
    pub(super) kind: &'static str,
    /// With its quotes, and the others without theirs.
    pub(super) run: Range<usize>,
    pub(super) ts: Range<usize>,
    pub(super) prev: Range<usize>,
    pub(super) data: Range<usize>,
}

impl Checked {
    /// Reads the bytes of one line, its line end included.
    pub fn of(bytes: &[u8]) -> Result<Checked, String> {
        usual::line(bytes).map_or_else(|| Checked::closely(bytes), Ok)
    }

    /// Member by member, with words for what is wrong.
    pub(super) fn closely(bytes: &[u8]) -> Result<Checked, String> {
        let Some(body) = bytes.strip_suffix(b"\n") else { return Err("it has no line end".into()) };
        let text = std::str::from_utf8(body).map_err(|e| format!("byte {} of it is not UTF-8", e.valid_up_to()))?;
        let places = members(text)?;
        let [v, seq, run, ts, mono, kind, prev, data] = places.each_ref().map(|place| &text[place.clone()]);
        if v != VERSION {
            return Err(format!("version {v} is not known"));
        }
        let word = |name: &str, raw| json::text(raw).ok_or_else(|| format!("`{name}` is not a text"));
        let (_, ts, kind, prev) = (word("run", run)?, word("ts", ts)?, word("type", kind)?, word("prev", prev)?);
        let number = |name: &str, raw| json::number(raw).ok_or_else(|| format!("`{name}` is not a number from 0 up"));
        let (seq, mono) = (number("seq", seq)?, number("mono", mono)?);
        // Neither a time nor a digest needs an escape, so what is right is always borrowed.
        let Some(time) = borrowed(&ts).and_then(instant) else {
            return Err("`ts` is not a UTC time with six decimals".into());
        };
        let Some(kind) = known(&kind) else { return Err(format!("the type `{kind}` is not known")) };
        if !borrowed(&prev).is_some_and(is_digest) {
            return Err("`prev` is not 64 hex digits".into());
        }
        if !data.starts_with('{') {
            return Err("`data` is not an object".into());
        }
        let longest = longest(kind);
        if bytes.len() > longest {
            return Err(format!("it has {} bytes; {longest} are allowed", bytes.len()));
        }
        let [_, _, run, ts, _, _, prev, data] = places;
        let inside = |text: Range<usize>| text.start + 1..text.end - 1;
        Ok(Checked { seq, time, mono, kind, run, ts: inside(ts), prev: inside(prev), data })
    }

    /// The line itself, of the very bytes that were checked.
    pub fn line<'b>(&self, bytes: &'b [u8]) -> Raw<'b> {
        let text = std::str::from_utf8(bytes).expect("BUG: a checked line is text");
        let part = |place: &Range<usize>| &text[place.clone()];
        Raw {
            seq: self.seq,
            run: json::text(part(&self.run)).expect("BUG: the name of a run was a text"),
            ts: part(&self.ts),
            time: self.time,
            mono: self.mono,
            kind: self.kind,
            prev: part(&self.prev),
            data: part(&self.data),
        }
    }
}

impl<'b> Raw<'b> {
    /// Reads the bytes of one line, its line end included.
    pub fn parse(bytes: &'b [u8]) -> Result<Raw<'b>, String> {
        Checked::of(bytes).map(|checked| checked.line(bytes))
    }

    /// What the line says, as values.
    pub fn data(&self) -> Value {
        serde_json::from_str(self.data).expect("BUG: a checked line is JSON")
    }

    pub fn line(&self) -> Line {
        let (run, ts, kind) = (self.run.to_string(), self.ts.to_string(), self.kind.to_string());
        Line { seq: self.seq, run, ts, time: self.time, mono: self.mono, kind, data: self.data() }
    }
}

/// Bytes a line of this type may have.
pub(super) fn longest(kind: &str) -> usize {
    if kind == "plan.loaded" { LONGEST_PLAN } else { LONGEST }
}

/// The type of this name.
pub(super) fn known(kind: &str) -> Option<&'static str> {
    match kind {
        // A third of a log, or half of it.
        "seal" => Some("seal"),
        _ => KINDS.binary_search(&kind).ok().map(|at| KINDS[at]),
    }
}

fn borrowed<'b>(text: &Cow<'b, str>) -> Option<&'b str> {
    match text {
        Cow::Borrowed(text) => Some(text),
        Cow::Owned(_) => None,
    }
}

/// Where the values of the eight members are.
fn members(text: &str) -> Result<[Range<usize>; 8], String> {
    let misspelled = |e: json::Misspelled| format!("{}, at byte {} of it", e.why, e.at);
    // What is not this object may still be JSON; the words for the one and the other differ.
    let other = || match json::check(text) {
        Err(error) => misspelled(error),
        Ok(()) if !text.starts_with('{') => "it is not an object".into(),
        Ok(()) => "its members are not v seq run ts mono type prev data in this order".into(),
    };
    let mut reader = json::Reader::new(text);
    let mut places = [const { 0..0 }; 8];
    let mut end = 0;
    for (before, place) in MEMBERS.iter().zip(&mut places) {
        if !reader.exactly(before) {
            return Err(other());
        }
        let begin = end + before.len();
        end = begin + reader.value(1).map_err(misspelled)?.len();
        *place = begin..end;
    }
    if reader.exactly("}") && reader.is_done() { Ok(places) } else { Err(other()) }
}

/// A line, read, with what it says as values.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub seq: u64,
    pub run: String,
    pub ts: String,
    /// `ts` as a time.
    pub time: Timestamp,
    /// Microseconds since the process opened the log.
    pub mono: u64,
    pub kind: String,
    pub data: Value,
}

/// Reads `2026-11-20T23:40:07.152367Z` and nothing that looks otherwise.
pub fn instant(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    // By the digits' places: the usual parser knows many forms, and there is one time in every line.
    let bytes: &[u8; 27] = text.as_bytes().try_into().ok()?;
    let fits = |at: usize| if SHAPE[at] == b'0' { bytes[at].is_ascii_digit() } else { bytes[at] == SHAPE[at] };
    if !(0..SHAPE.len()).fold(true, |all, at| all & fits(at)) {
        return None;
    }
    let part = |at: Range<usize>| bytes[at].iter().fold(0, |n: i32, digit| n * 10 + i32::from(digit - b'0'));
    let [month, day, hour, minute, second] = [5, 8, 11, 14, 17].map(|at| part(at..at + 2) as i8);
    // The years that every reader has.
    let (year, micros) = (i16::try_from(part(0..4)).ok().filter(|year| (1..9999).contains(year))?, part(20..26));
    let civil = DateTime::new(year, month, day, hour, minute, second, micros * 1_000).ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

/// 64 lowercase hex digits.
pub fn is_digest(text: &str) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // Eight bytes at a time: there is a digest in every line.
    let digits = |eight: &[u8; 8]| {
        let word = u64::from_ne_bytes(*eight);
        // The highest bit of each byte says whether that, if it is ASCII, is at least this.
        let least = |byte: u8| (word | HIGH) - ONES * u64::from(byte);
        let digit = least(b'0') & !least(b'9' + 1) | least(b'a') & !least(b'f' + 1);
        digit & !word & HIGH == HIGH
    };
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    eights.len() == 8 && rest.is_empty() && eights.iter().all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_of_the_machine_has_its_type_here() {
        let source = concat!(include_str!("../run/event.rs"), include_str!("../run/evidence.rs"));
        let named: Vec<&str> =
            source.split("#[serde(rename = \"").skip(1).filter_map(|s| s.split('"').next()).collect();
        assert!(named.len() > 25);
        for name in named {
            assert!(KINDS.contains(&name), "`{name}` is written by the run but is no type of the journal");
        }
        assert!(KINDS.is_sorted());
        assert!(EVIDENCE.iter().all(|kind| KINDS.contains(kind)));
        let script = crate::audit::SCRIPT;
        let known = script.split("def kinds: [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
        let known: Vec<&str> = known.split(',').map(|kind| kind.trim().trim_matches('"')).collect();
        assert_eq!(known, KINDS, "the script of standard tools knows the same types");
    }

    #[test]
    fn a_time_is_what_every_other_reader_reads() {
        for text in ["2026-11-20T23:40:07.152367Z", "1970-01-01T00:00:00.000000Z", "2024-02-29T23:59:59.999999Z"] {
            assert_eq!(instant(text), Some(text.parse().unwrap()), "{text}");
        }
        for text in [
            "0000-01-01T00:00:00.000000Z",
            "9999-01-01T00:00:00.000000Z",
            "2023-02-29T00:00:00.000000Z",
            "2026-00-01T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-01-01T00:60:00.000000Z",
            "2016-12-31T23:59:60.000000Z",
            "2026-01-01t00:00:00.000000Z",
            "2026-01-01T00:00:00.00000Z",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn a_digest_has_lowercase_hex_digits_only() {
        for c in (0..=255u8).map(char::from).chain(['\u{ffff}']) {
            for at in [0, 7, 8, 63] {
                let text = format!("{}{c}{}", "0".repeat(at), "f".repeat(63 - at));
                assert_eq!(is_digest(&text), matches!(c, '0'..='9' | 'a'..='f'), "{c:?} at {at}");
            }
        }
        // Its bytes are digits but for their highest bits.
        assert!(!is_digest(&format!("\u{1c30}{}", "0".repeat(61))));
        let lengths = [0, 56, 63, 65, 72, 128];
        assert!(lengths.iter().all(|len| !is_digest(&"a".repeat(*len))));
    }

    #[test]
    fn a_line_has_exactly_its_members() {
        let zeros = "0".repeat(64);
        let good = format!(
            "{{\"v\":1,\"seq\":0,\"run\":\"r\",\"ts\":\"2026-11-20T23:40:07.152367Z\",\"mono\":5,\"type\":\"note\",\"prev\":\"{zeros}\",\"data\":{{}}}}\n"
        );
        assert_eq!(Raw::parse(good.as_bytes()).unwrap().mono, 5);
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("\"seq\":0", "\"seq\":-1"),
            ("\"v\":1,\"seq\":0", "\"seq\":0,\"v\":1"),
            ("\"mono\":5,", ""),
            ("\"mono\":5", "\"mono\":5,\"more\":1"),
            (".152367Z", "Z"),
            (".152367Z", ".152367+"),
            ("11-20T", "13-20T"),
            ("\"note\"", "\"nota\""),
            ("\"data\":{}", "\"data\":[]"),
            ("000\",\"data", "00A\",\"data"),
            ("}\n", "}\r\n"),
            ("}\n", "}"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(Raw::parse(bad.as_bytes()).is_err(), "{from} -> {to}");
        }
    }
}
