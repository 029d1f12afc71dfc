//! Line ends inside a value: encoders and terminals break long words, at 64, 76 or whatever columns. A text without its line ends
//! shows such a value whole; this view of it knows where each byte stood.

/// A text without line ends and without what pads the line behind one. A line end may also be written out (`\n`), as in JSON.
pub struct Unwrapped {
    pub bytes: Vec<u8>,
    /// Where each piece begins: here, and in the text.
    pieces: Vec<(usize, usize)>,
}

impl Unwrapped {
    pub fn of(text: &[u8]) -> Self {
        let (mut bytes, mut pieces) = (Vec::with_capacity(text.len()), Vec::new());
        let (mut from, mut at) = (0, 0);
        let mut piece = |span: std::ops::Range<usize>| {
            if !span.is_empty() {
                pieces.push((bytes.len(), span.start));
                bytes.extend_from_slice(&text[span]);
            }
        };
        while let Some(end) = text[at..].iter().position(|b| b"\n\r\\".contains(b)).map(|found| at + found) {
            let behind = line_end(text, end);
            if behind == end {
                at = end + 1;
                continue;
            }
            piece(from..end);
            at = behind + text[behind..].iter().take_while(|b| b" \t".contains(b)).count();
            from = at;
        }
        piece(from..text.len());
        Unwrapped { bytes, pieces }
    }

    /// Where a byte stands in the text.
    pub fn place(&self, at: usize) -> usize {
        let (here, there) = self.pieces[self.pieces.partition_point(|(here, _)| *here <= at) - 1];
        there + at - here
    }
}

/// Whether a text has any line end inside.
pub fn wrapped(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, b)| b"\n\r\\".contains(b) && line_end(text, at) > at)
}

/// The byte behind the line end that begins here; the same where none does. Backslashes at the end of a text may become one.
fn line_end(text: &[u8], at: usize) -> usize {
    match text[at] {
        b'\n' | b'\r' => at + 1,
        b'\\' => {
            let letter = at + text[at..].iter().take_while(|b| **b == b'\\').count();
            match text.get(letter) {
                None => text.len(),
                Some(b'n' | b'r') => letter + 1,
                Some(_) => at,
            }
        }
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_go_and_the_places_stay() {
        for (text, wanted) in [
            ("abc", "abc"),
            ("ab\ncd", "abcd"),
            ("ab\r\n   cd", "abcd"),
            ("ab\\ncd", "abcd"),
            ("ab\\\\r\\\\n\tcd", "abcd"),
            ("ab\\tcd", "ab\\tcd"),
            ("ab\\", "ab"),
            ("ab cd\n", "ab cd"),
        ] {
            let whole = Unwrapped::of(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&whole.bytes), wanted, "{text:?}");
            assert!(whole.bytes.iter().enumerate().all(|(at, b)| text.as_bytes()[whole.place(at)] == *b));
            assert_eq!(wrapped(text.as_bytes()), text != wanted, "{text:?}");
        }
    }
}
