//! One line of a journal as it is read: which members, in which order, of which types. Only grammar; nothing about what
//! may follow what.

use jiff::Timestamp;
use serde_json::Value;

use super::json;

/// The format. Everything another number stands for is unknown here.
pub const VERSION: i64 = 1;
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
    "plan.loaded",
    "prompt.answered",
    "provider.called",
    "recovered",
    "rollback.armed",
    "rollback.begun",
    "rollback.declined",
    "run.continued",
    "run.continues",
    "run.ended",
    "run.held",
    "run.interrupted",
    "run.opened",
    "run.paged",
    "run.refused",
    "run.resumed",
    "seal",
    "sink.degraded",
    "step.intent",
    "step.outcome",
    "step.reconciled",
    "traffic.health",
    "traffic.read",
    "traffic.seen",
    "wait.breached",
];

const MEMBERS: [&str; 8] = ["v", "seq", "run", "ts", "mono", "type", "prev", "data"];

/// A line, read.
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
    pub prev: String,
    pub data: Value,
}

impl Line {
    /// Reads the bytes of one line, its line end included.
    pub fn parse(bytes: &[u8]) -> Result<Line, String> {
        let Some(body) = bytes.strip_suffix(b"\n") else { return Err("it has no line end".into()) };
        let text = std::str::from_utf8(body).map_err(|e| format!("byte {} of it is not UTF-8", e.valid_up_to()))?;
        let value = json::parse(text).map_err(|e| format!("{}, at byte {} of it", e.why, e.at))?;
        let Value::Object(mut map) = value else { return Err("it is not an object".into()) };
        if !map.keys().map(String::as_str).eq(MEMBERS) {
            return Err(format!("its members are not {} in this order", MEMBERS.join(" ")));
        }
        if map["v"] != VERSION {
            return Err(format!("version {} is not known", map["v"]));
        }
        let mut text = |name: &str| match map[name].take() {
            Value::String(text) => Ok(text),
            _ => Err(format!("`{name}` is not a text")),
        };
        let (run, ts, kind, prev) = (text("run")?, text("ts")?, text("type")?, text("prev")?);
        let number = |name: &str| map[name].as_u64().ok_or_else(|| format!("`{name}` is not a number from 0 up"));
        let (seq, mono) = (number("seq")?, number("mono")?);
        let time = instant(&ts).ok_or("`ts` is not a UTC time with six decimals")?;
        if KINDS.binary_search(&kind.as_str()).is_err() {
            return Err(format!("the type `{kind}` is not known"));
        }
        if !is_digest(&prev) {
            return Err("`prev` is not 64 hex digits".into());
        }
        if !map["data"].is_object() {
            return Err("`data` is not an object".into());
        }
        let longest = if kind == "plan.loaded" { LONGEST_PLAN } else { LONGEST };
        if bytes.len() > longest {
            return Err(format!("it has {} bytes; {longest} are allowed", bytes.len()));
        }
        Ok(Line { seq, run, ts, time, mono, kind, prev, data: map["data"].take() })
    }
}

/// Reads `2026-11-20T23:40:07.152367Z` and nothing that looks otherwise.
pub fn instant(text: &str) -> Option<Timestamp> {
    let shape = b"0000-00-00T00:00:00.000000Z";
    let fits = |(byte, wanted): (u8, &u8)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == *wanted };
    let right = text.len() == shape.len() && text.bytes().zip(shape).all(fits);
    right.then(|| text.parse().ok()).flatten()
}

/// 64 lowercase hex digits.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_of_the_machine_has_its_type_here() {
        let source = include_str!("../run/event.rs");
        let named: Vec<&str> =
            source.split("#[serde(rename = \"").skip(1).filter_map(|s| s.split('"').next()).collect();
        assert!(named.len() > 25);
        for name in named {
            assert!(KINDS.contains(&name), "`{name}` is written by the run but is no type of the journal");
        }
        assert!(KINDS.is_sorted());
    }

    #[test]
    fn a_line_has_exactly_its_members() {
        let zeros = "0".repeat(64);
        let good = format!(
            "{{\"v\":1,\"seq\":0,\"run\":\"r\",\"ts\":\"2026-11-20T23:40:07.152367Z\",\"mono\":5,\"type\":\"note\",\"prev\":\"{zeros}\",\"data\":{{}}}}\n"
        );
        assert_eq!(Line::parse(good.as_bytes()).unwrap().mono, 5);
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
            assert!(Line::parse(bad.as_bytes()).is_err(), "{from} -> {to}");
        }
    }
}
