//! The output of a program, masked as it comes: in whatever pieces the pipe hands it on, whole lines come out without secrets.

use super::lines::Lines;
use super::mask::Mask;

/// A line longer than this is handed on in pieces.
const LINE: usize = 8 * 1024;
/// How far back a blank is looked for where such a line is cut, so that a credential is not.
const BACK: usize = 1024;

/// Takes bytes, gives masked lines without their ends.
pub struct Output {
    mask: Mask,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
    /// The line so far, without known secrets.
    line: Vec<u8>,
    lines: Lines,
}

impl Output {
    pub(super) fn new(mask: Mask) -> Self {
        Output { mask, held: Vec::new(), line: Vec::new(), lines: Lines::default() }
    }

    /// Takes the next piece and gives every line that is whole by now.
    pub fn push(&mut self, piece: &[u8], each: &mut dyn FnMut(&str)) {
        self.held.extend_from_slice(piece);
        let masked = self.mask.front(&mut self.held);
        self.take(&masked, each);
    }

    /// Gives what is left.
    pub fn finish(&mut self, each: &mut dyn FnMut(&str)) {
        let held = std::mem::take(&mut self.held);
        let masked = self.mask.bytes(&held);
        self.take(&masked, each);
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.give(&line, each);
        }
    }

    fn take(&mut self, masked: &[u8], each: &mut dyn FnMut(&str)) {
        for part in masked.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                self.give(&line[..line.len() - 1], each);
            }
            while self.line.len() > LINE {
                let blank = self.line[LINE - BACK..LINE].iter().rposition(u8::is_ascii_whitespace);
                let mut end = blank.map_or(LINE, |at| LINE - BACK + at + 1);
                // Not inside a character.
                while end > 0 && (self.line[end] & 0xc0) == 0x80 {
                    end -= 1;
                }
                let rest = self.line.split_off(if end == 0 { LINE } else { end });
                let line = std::mem::replace(&mut self.line, rest);
                self.give(&line, each);
            }
        }
    }

    fn give(&mut self, line: &[u8], each: &mut dyn FnMut(&str)) {
        let text = String::from_utf8_lossy(line);
        each(&self.lines.masked(&self.mask, text.trim_end_matches('\r')));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Secret, Secrets};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const KEY: &str = "p/ss w\u{f6}rd+\"x\"&y=7";
    const LINES: &str = "first-line\nsecond-line\nx";

    fn secrets() -> Secrets {
        let of = |(name, value): (&str, &str)| (name.to_string(), Secret::new(value));
        Secrets::new([("${env:A}", KEY), ("${env:B}", "xoxb-1234567890-abcdef"), ("${env:C}", LINES)].map(of).into())
    }

    fn lines(text: &[u8], size: usize) -> Vec<String> {
        static SECRETS: LazyLock<Secrets> = LazyLock::new(secrets);
        let secrets = &*SECRETS;
        let mut output = secrets.output();
        let mut lines = Vec::new();
        text.chunks(size).for_each(|piece| output.push(piece, &mut |line| lines.push(line.to_string())));
        output.finish(&mut |line| lines.push(line.to_string()));
        lines
    }

    #[test]
    fn lines_come_out_the_same_in_whatever_pieces_they_came() {
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("ab{KEY}"));
        let text = format!("a {KEY} b\r\nxoxb-1234567890-abcdef{KEY}\n{LINES}\n{base64}\nlast {KEY}");
        let whole = lines(text.as_bytes(), text.len());
        assert_eq!(whole[0], "a [secret] b");
        assert!(!whole.concat().contains("second-line") && !whole.concat().contains("w\u{f6}rd"), "{whole:?}");
        for size in 1..=text.len() {
            assert_eq!(lines(text.as_bytes(), size), whole, "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_line_is_handed_on_as_soon_as_it_is_whole() {
        let secrets = secrets();
        let mut output = secrets.output();
        let mut lines = Vec::new();
        output.push(b"one\ntwo\npart", &mut |line| lines.push(line.to_string()));
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn the_lines_of_a_private_key_are_masked_each() {
        let text = "x\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\nQyNTUx\n-----END OPENSSH PRIVATE KEY-----\ny\n";
        let found = lines(text.as_bytes(), 7);
        let [begin, end] = ["-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"];
        assert_eq!(found, ["x", begin, "[secret]", "[secret]", end, "y"]);
        // One that is cut off hides nothing of what follows.
        let found = lines(format!("{begin}\nb3BlbnNza\nall is well, and so on\nthe end\n").as_bytes(), 5);
        assert_eq!(found, [begin, "[secret]", "all is well, and so on", "the end"]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_and_a_token_in_it_stays_whole() {
        let token = "xoxp-0123456789-0123456789";
        for at in (super::LINE - 40)..(super::LINE + 10) {
            let text = format!("{} {token} {}", "y".repeat(at - 1), "z".repeat(super::LINE));
            let found = lines(text.as_bytes(), 4096).concat();
            assert!(!found.contains("xoxp-0123"), "at {at}");
        }
        let wide = "\u{e4}".repeat(3 * super::LINE);
        assert_eq!(lines(wide.as_bytes(), 1000).concat(), wide);
    }

    proptest! {
        #[test]
        fn pieces_are_masked_like_the_whole(
            parts in prop::collection::vec(prop_oneof![
                Just(KEY.to_string()), Just("xoxb-1234567890-abcdef".into()), Just("first-line\nsec".into()), "[a-z/ x\n-]{0,12}",
            ], 0..8),
            size in 1usize..40,
        ) {
            let text = parts.concat();
            prop_assert_eq!(lines(text.as_bytes(), size), lines(text.as_bytes(), text.len().max(1)));
        }
    }
}
