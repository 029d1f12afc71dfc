//! Lines on their way out, one at a time: what looks like a credential goes, and a private key is known from its first line to
//! its last.

use super::mask::Mask;
use super::patterns::{KEY_BEGINS, KEY_ENDS, KEY_WORD};

/// What the lines so far have begun.
#[derive(Debug, Default)]
pub struct Lines {
    /// Between the first and the last line of a private key.
    in_key: bool,
}

impl Lines {
    /// The line, which has no known secrets any more, without what looks like one.
    pub fn masked(&mut self, mask: &Mask, line: &str) -> String {
        if self.in_key {
            if let Some(end) = line.find(KEY_ENDS).filter(|end| line[*end..].contains(KEY_WORD)) {
                self.in_key = false;
                let before = if end == 0 { String::new() } else { mask.label(&line[..end]) };
                return before + &line[end..];
            }
            if line.trim_start().starts_with("[secret") {
                return line.into();
            }
            if body(line) {
                return mask.label(line);
            }
            // The key was cut off: what follows it is to be read.
            self.in_key = false;
        }
        let begins = line.rfind(KEY_BEGINS).filter(|at| line[*at..].contains(KEY_WORD));
        self.in_key = begins.is_some_and(|at| !line[at..].contains(KEY_ENDS));
        mask.unknown(line)
    }
}

/// Whether a line is of the inside of a key.
fn body(line: &str) -> bool {
    let line = line.trim();
    let header = ["Proc-Type:", "DEK-Info:", "Comment:", "Version:"].iter().any(|name| line.starts_with(name));
    header || line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
}
