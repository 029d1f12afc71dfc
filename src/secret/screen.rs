//! The last gate of whatever is written to a stream of this process: characters that a terminal acts on or hides are written
//! out, whoever printed them. What bgctl itself steers a terminal with is known by its exact form, and let pass only where the
//! stream was opened for it.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::visible::hidden;

/// What of bgctl's own a stream may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steers {
    /// Colours and bold.
    pub ink: bool,
    /// Lines that are drawn anew.
    pub cursor: bool,
}

/// The text as it may leave. What is written out has JSON's form, so a document stays one, with the same meaning.
pub fn screened(text: &str, steers: Steers) -> Cow<'_, str> {
    let acts = |c: char| hidden(c) && !matches!(c, '\n' | '\t');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let own = if c == '\u{1b}' { sequence(rest, steers) } else { usize::from(c == '\r' && steers.cursor) };
        if own > 0 {
            out.push_str(&rest[..own]);
            rest = &rest[own..];
            continue;
        }
        match c {
            c if !acts(c) => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                write!(out, "\\u{unit:04x}").expect("BUG: a String takes everything");
            }),
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

/// The length of a sequence of ours at the beginning of a text; 0 where there is none.
fn sequence(text: &str, steers: Steers) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let body = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ';' | '?'));
    let (numbers, Some(last)) = (&rest[..rest.len() - body.len()], body.chars().next()) else { return 0 };
    // Text that is there and cannot be seen is none of ours.
    let plain = !numbers.contains('?') && numbers.split(';').all(|number| number != "8");
    let own = match last {
        'm' => steers.ink && plain,
        'A' | 'B' | 'C' | 'D' | 'K' | 'J' => steers.cursor && plain,
        'h' | 'l' => steers.cursor && matches!(numbers, "?25" | "?2004"),
        _ => false,
    };
    if own { text.len() - body.len() + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a17_what_steers_a_terminal_is_written_out_but_for_the_very_forms_of_ours() {
        let ink = Steers { ink: true, cursor: false };
        let all = Steers { ink: true, cursor: true };
        for (text, none, inked, drawn) in [
            ("plain \t text\n", "plain \t text\n", "plain \t text\n", "plain \t text\n"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u001b[31mred\\u001b[0m", "\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
            ("\r\u{1b}[2Kx", "\\u000d\\u001b[2Kx", "\\u000d\\u001b[2Kx", "\r\u{1b}[2Kx"),
            ("\u{1b}[?25l", "\\u001b[?25l", "\\u001b[?25l", "\u{1b}[?25l"),
            ("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007", "\\u001b]0;title\\u0007", "\\u001b]0;title\\u0007"),
            ("\u{1b}[8mx", "\\u001b[8mx", "\\u001b[8mx", "\\u001b[8mx"),
            ("\u{1b}[5;5Hx", "\\u001b[5;5Hx", "\\u001b[5;5Hx", "\\u001b[5;5Hx"),
            (
                "\u{9b}2J\u{202e}x\u{2066}",
                "\\u009b2J\\u202ex\\u2066",
                "\\u009b2J\\u202ex\\u2066",
                "\\u009b2J\\u202ex\\u2066",
            ),
            ("\u{e0041}", "\\udb40\\udc41", "\\udb40\\udc41", "\\udb40\\udc41"),
            ("\u{1b}", "\\u001b", "\\u001b", "\\u001b"),
            ("\u{1b}[", "\\u001b[", "\\u001b[", "\\u001b["),
        ] {
            let found = [Steers::default(), ink, all].map(|steers| screened(text, steers).into_owned());
            assert_eq!(found, [none, inked, drawn], "{text:?}");
        }
        let document = serde_json::json!({ "name": "a\u{202e}b\u{e0041}" });
        let screened = screened(&document.to_string(), all).into_owned();
        assert!(!screened.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&screened).unwrap(), document, "JSON means what it meant");
    }
}
