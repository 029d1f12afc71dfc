//! A line as nearly all of them are spelled, read in one pass. What looks otherwise is read closely, and only there a fault gets
//! its words: whatever this takes, the close reading takes for the same.

use std::ops::Range;

use super::json::Reader;
use super::line::{Checked, instant, is_digest, known, longest};
use super::plain::plain;

/// Digits a number may have here: fewer than the greatest that a reader keeps exactly.
const DIGITS: usize = 15;

/// Reads the bytes of one line, its line end included; nothing where it has to be read closely.
pub fn line(bytes: &[u8]) -> Option<Checked> {
    let text = std::str::from_utf8(bytes.strip_suffix(b"\n")?).ok()?;
    let mut parts = Parts { text: text.as_bytes(), at: 0 };
    let seq = parts.behind(b"{\"v\":1,\"seq\":")?.number()?;
    let run = parts.behind(b",\"run\":\"")?.word();
    let run = run.start - 1..run.end + 1;
    let ts = parts.behind(b"\",\"ts\":\"")?.word();
    let mono = parts.behind(b"\",\"mono\":")?.number()?;
    let kind = parts.behind(b",\"type\":\"")?.word();
    let prev = parts.behind(b"\",\"prev\":\"")?.word();
    let begin = parts.behind(b"\",\"data\":")?.at;
    if text.as_bytes().get(begin) != Some(&b'{') || !is_digest(&text[prev.clone()]) {
        return None;
    }
    let mut reader = Reader::behind(text, begin);
    let data = begin..begin + reader.value(1).ok()?.len();
    let kind = known(&text[kind])?;
    let whole = reader.exactly("}") && reader.is_done() && bytes.len() <= longest(kind);
    let time = instant(&text[ts.clone()]).filter(|_| whole)?;
    Some(Checked { seq, time, mono, kind, run, ts, prev, data })
}

struct Parts<'t> {
    text: &'t [u8],
    at: usize,
}

impl Parts<'_> {
    /// Goes over exactly this.
    #[inline]
    fn behind<const N: usize>(&mut self, wanted: &[u8; N]) -> Option<&mut Self> {
        let found = self.text.get(self.at..self.at + N)? == wanted;
        self.at += N;
        found.then_some(self)
    }

    /// The text without escapes that stands here, up to its closing quote if it has none.
    fn word(&mut self) -> Range<usize> {
        let begin = self.at;
        self.at += plain(&self.text[begin..]);
        begin..self.at
    }

    fn number(&mut self) -> Option<u64> {
        let rest = &self.text[self.at..];
        let len = rest.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
        self.at += len;
        let one_way = len == 1 || rest.first() != Some(&b'0');
        let value = rest[..len].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
        ((1..=DIGITS).contains(&len) && one_way).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    /// What may stand in a line, and what may not.
    const PIECES: &[&str] = &[
        "",
        "0",
        "00",
        "1",
        "9",
        "-",
        ".",
        "e",
        " ",
        "\"",
        "\\",
        "\\\"",
        "\\n",
        "\\u001b",
        "\\u0041",
        "ä",
        "\u{202e}",
        "\n",
        "\r",
        "\0",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "a",
        "A",
        "Z",
        "note",
        "seal",
        "plan.loaded",
        "999999999999999",
        "9999999999999999",
        "9007199254740991",
        "9007199254740992",
        "{\"a\":1,\"a\":2}",
        "{\"a\":[1,\"x\"]}",
        "\"data\":",
        ",\"more\":1",
        "2024-02-30",
        "2024-02-29",
        "ff",
    ];

    fn plain_line(seq: u64, run: &str, kind: &str, data: &str) -> String {
        let (ts, prev) = ("2026-11-20T23:40:07.152367Z", "a0".repeat(32));
        format!(
            "{{\"v\":1,\"seq\":{seq},\"run\":\"{run}\",\"ts\":\"{ts}\",\"mono\":{seq},\"type\":\"{kind}\",\"prev\":\"{prev}\",\"data\":{data}}}\n"
        )
    }

    /// Both readings of a line; whether the usual one took it.
    fn taken(bytes: &[u8]) -> bool {
        let usual = line(bytes);
        if usual.is_some() {
            assert_eq!(usual, Checked::closely(bytes).ok(), "{}", String::from_utf8_lossy(bytes));
        }
        usual.is_some()
    }

    #[test]
    fn usual_lines_are_taken() {
        for (seq, kind, data) in
            [(0, "note", "{}"), (70, "seal", "{\"a\":{\"b\":[\"\\n\"]}}"), (999_999_999_999_999, "note", "{}")]
        {
            assert!(taken(plain_line(seq, "20261121-0302-kfx", kind, data).as_bytes()));
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_close_reading_lets_it_be() {
        for kind in ["note", "plan.loaded"] {
            let empty = plain_line(0, "r", kind, "{\"a\":\"\"}").len();
            let of = |len: usize| plain_line(0, "r", kind, &format!("{{\"a\":\"{}\"}}", "x".repeat(len - empty)));
            assert!(taken(of(longest(kind)).as_bytes()));
            assert!(!taken(of(longest(kind) + 1).as_bytes()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn whatever_is_taken_is_what_the_close_reading_takes(
            seq in 0u64..1 << 54,
            run in select(&["r", "ä", "a b", "\\n", "\\u0041", ""][..]),
            kind in select(&["note", "seal", "plan.loaded", "nota", "run.opened"][..]),
            data in select(&["{}", "[]", "{\"a\":\"b\"}", "{\"a\":{\"b\":[1,null]}}", "{\"a\":1,\"a\":2}"][..]),
            changes in proptest::collection::vec((any::<Index>(), 0..4usize, select(PIECES)), 0..3),
        ) {
            let mut bytes = plain_line(seq, run, kind, data).into_bytes();
            for (at, gone, piece) in changes {
                let at = at.index(bytes.len());
                let end = (at + gone).min(bytes.len());
                bytes.splice(at..end, piece.bytes());
            }
            taken(&bytes);
        }

        #[test]
        fn one_byte_may_be_any(at in any::<Index>(), byte in any::<u8>()) {
            let mut bytes = plain_line(12, "r", "note", "{\"a\":\"b\"}").into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            taken(&bytes);
        }
    }
}
