//! Line numbers of bytes, found once for a whole file.

/// Where each line begins.
pub struct Lines(Vec<usize>);

impl Lines {
    pub fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(n, _)| n + 1);
        Lines(std::iter::once(0).chain(ends).collect())
    }

    /// The line of a byte, from 1.
    pub fn line(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one() {
        let lines = Lines::new("ab\nc\n\nd");
        for (byte, line) in [(0, 1), (2, 1), (3, 2), (5, 3), (6, 4), (99, 4)] {
            assert_eq!(lines.line(byte), line, "{byte}");
        }
    }
}
