//! Lines and columns of bytes, for as many as there are: each is counted on from the one before it.

/// A text, and how far it was counted.
pub struct Places<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'t> Places<'t> {
    pub fn new(text: &'t str) -> Self {
        Places { text, at: 0, line: 1, column: 1 }
    }

    /// Line and column of a byte, both from 1, columns in characters. Asked in their order, all bytes together take one pass.
    pub fn of(&mut self, byte: usize) -> (usize, usize) {
        let byte = byte.min(self.text.len());
        if byte < self.at {
            *self = Places::new(self.text);
        }
        let between = &self.text[self.at..byte];
        match between.rfind('\n') {
            Some(end) => {
                self.line += between.bytes().filter(|b| *b == b'\n').count();
                self.column = between[end + 1..].chars().count() + 1;
            }
            None => self.column += between.chars().count(),
        }
        self.at = byte;
        (self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_same_in_any_order() {
        let mut places = Places::new("ab\nä€c\n\nd");
        for (byte, place) in [
            (0, (1, 1)),
            (2, (1, 3)),
            (3, (2, 1)),
            (5, (2, 2)),
            (8, (2, 3)),
            (10, (3, 1)),
            (11, (4, 1)),
            (99, (4, 2)),
            (5, (2, 2)),
        ] {
            assert_eq!(places.of(byte), place, "{byte}");
        }
    }
}
