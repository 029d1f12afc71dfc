//! Ink and marks: how a sentence looks, decided once by the command line and handed to every renderer.
//!
//! Blue and green ink mean the two stacks and nothing else. Every colour has a word or a mark beside it, so nothing is
//! lost without colour.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::plan::Color;
use crate::secret::hidden;

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Done,
    Failed,
    Warning,
    /// At work, or waiting for somebody.
    Working,
    /// On the way back, or taken up again.
    Back,
    /// Not begun.
    Later,
    Plain,
}

impl Mark {
    /// The word that stands for it in plain logs and in ASCII.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Done => "ok",
            Mark::Failed => "FAIL",
            Mark::Warning => "warn",
            Mark::Working => "wait",
            Mark::Back => "back",
            Mark::Later => "later",
            Mark::Plain => "note",
        }
    }
}

/// Whether there is colour, and whether only ASCII may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ink {
    pub color: bool,
    pub ascii: bool,
}

const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const BLUE: Style = AnsiColor::Blue.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

impl Ink {
    fn paint(self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    pub fn red(self, text: &str) -> String {
        self.paint(RED, text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.paint(YELLOW, text)
    }

    pub fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    /// Text in the colour of a stack.
    pub fn stack(self, stack: Color, text: &str) -> String {
        self.paint(if stack == Color::Blue { BLUE } else { GREEN }, text)
    }

    /// One character (or a word of up to four letters in ASCII). Success has no colour: green is a stack.
    pub fn mark(self, mark: Mark) -> String {
        let sign = match mark {
            _ if self.ascii => mark.word(),
            Mark::Done => "✓",
            Mark::Failed => "✗",
            Mark::Warning => "!",
            Mark::Working => "●",
            Mark::Back => "↺",
            Mark::Later => "○",
            Mark::Plain => "·",
        };
        match mark {
            Mark::Failed => self.red(sign),
            Mark::Warning => self.yellow(sign),
            _ => sign.to_string(),
        }
    }

    /// A sentence: the words BLUE and GREEN in their ink, and everything in ASCII if it has to be. Control characters
    /// that came from outside are made visible, so no answer of a server can steer the terminal.
    pub fn text(self, sentence: &str) -> String {
        let mut plain = String::with_capacity(sentence.len());
        for c in sentence.chars() {
            match c {
                '\t' => plain.push(' '),
                c if hidden(c) => write!(plain, "{}", c.escape_default()).expect("BUG: a String takes everything"),
                c if !self.ascii || c.is_ascii() => plain.push(c),
                '·' | '–' | '—' => plain.push('-'),
                '→' => plain.push_str("->"),
                '…' => plain.push_str("..."),
                '≤' => plain.push_str("<="),
                '≥' => plain.push_str(">="),
                '×' => plain.push('x'),
                '✓' => plain.push_str("ok"),
                '✗' => plain.push_str("FAIL"),
                _ => plain.push('?'),
            }
        }
        if !self.color {
            return plain;
        }
        let mut inked = String::with_capacity(plain.len() + 32);
        for part in plain.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            match word {
                "BLUE" => inked.push_str(&self.stack(Color::Blue, word)),
                "GREEN" => inked.push_str(&self.stack(Color::Green, word)),
                _ => inked.push_str(word),
            }
            inked.push_str(&part[word.len()..]);
        }
        inked
    }

    /// A bar of the given width, filled to `share` (0 to 1).
    pub fn bar(self, share: f64, width: usize) -> String {
        let filled = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
        let (full, empty) = if self.ascii { ("#", "-") } else { ("━", "─") };
        full.repeat(filled) + &empty.repeat(width - filled)
    }

    /// The bar of all users: blue's part, then green's.
    pub fn users_bar(self, green: f64, width: usize) -> String {
        let right = ((green.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
        let (blue, gone) = if self.ascii { ("#", ".") } else { ("█", "░") };
        self.stack(Color::Blue, &blue.repeat(width - right)) + &self.stack(Color::Green, &gone.repeat(right))
    }
}

/// Breaks a text without escapes into lines of at most `width` columns, at blanks where it can.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let room = console::measure_text_width(&line) + 1 + console::measure_text_width(word);
        if !line.is_empty() && room > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if console::measure_text_width(&line) >= width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

/// `2m41s`, `1.4s`, `84ms`.
pub fn spoken(time: std::time::Duration) -> String {
    let s = time.as_secs();
    match s {
        0 => format!("{}ms", time.as_millis()),
        1..=9 => format!("{:.1}s", time.as_secs_f64()),
        _ => spoken_seconds(s),
    }
}

/// `5m`, `2m41s`, `1h02m`, `45s`.
pub fn spoken_seconds(s: u64) -> String {
    match s {
        0..=59 => format!("{s}s"),
        60..=3599 if s.is_multiple_of(60) => format!("{}m", s / 60),
        60..=3599 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stacks_are_blue_and_green() {
        let ink = Ink { color: true, ascii: false };
        assert_eq!(ink.text("BLUE 90 GREEN 10"), "\u{1b}[34mBLUE\u{1b}[0m 90 \u{1b}[32mGREEN\u{1b}[0m 10");
        assert_eq!(ink.text("a green light, EVERGREEN"), "a green light, EVERGREEN");
        assert_eq!(ink.mark(Mark::Done), "✓");
        assert_eq!(Ink::default().text("BLUE"), "BLUE");
    }

    #[test]
    fn ascii_is_ascii_and_a_server_cannot_steer_the_terminal() {
        let ink = Ink { color: false, ascii: true };
        assert!(ink.text("a · b → c … ≤ 5 ✓ ✗ – ü").is_ascii());
        for mark in [Mark::Done, Mark::Failed, Mark::Warning, Mark::Working, Mark::Back, Mark::Later, Mark::Plain] {
            assert!(ink.mark(mark).is_ascii());
        }
        assert!(ink.users_bar(0.3, 40).is_ascii());
        assert_eq!(Ink::default().text("x\u{1b}[2Jy\n"), "x\\u{1b}[2Jy\\n");
    }

    #[test]
    fn lines_break_at_blanks_and_never_exceed() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-name", 8), ["a-very-l", "ong-name"]);
        assert_eq!(wrap("", 8), [""]);
        for line in wrap("BLUE 90 GREEN 10 · sent · read back 1.4s · seen 9.6% of 500 arn:aws:elasticloadbalancing", 20)
        {
            assert!(console::measure_text_width(&line) <= 20, "{line}");
        }
    }

    #[test]
    fn times_are_spoken() {
        let said: Vec<String> = [0, 59, 60, 161, 300, 3600, 3720].map(spoken_seconds).into();
        assert_eq!(said, ["0s", "59s", "1m", "2m41s", "5m", "1h00m", "1h02m"]);
        assert_eq!(spoken(std::time::Duration::from_millis(1449)), "1.4s");
    }
}
