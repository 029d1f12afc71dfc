//! ASCII that stands for itself in a text of JSON, eight bytes at a time: this is where most of the time of a verification would
//! go otherwise.

/// How many bytes from the beginning are ASCII that stands for itself in a text.
pub fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The lowest byte that is marked has really the value asked for; a borrow can mark wrongly only above it.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (n, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        let is = |byte: u8| zero(word ^ (ONES * u64::from(byte)));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (word | control | is(b'"') | is(b'\\') | is(0x7f)) & HIGH;
        if found != 0 {
            return n * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let stops = |b: &u8| !matches!(b, b' '..=b'~') || *b == b'"' || *b == b'\\';
    bytes.len() - rest.len() + rest.iter().position(stops).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_at_a_time_see_what_one_at_a_time_sees() {
        let slow = |bytes: &[u8]| {
            let own = |b: &u8| matches!(b, b' '..=b'~') && *b != b'"' && *b != b'\\';
            bytes.iter().position(|b| !own(b)).unwrap_or(bytes.len())
        };
        for first in 0..=255u8 {
            for second in [first, b'a', b'"', b'\\', 0, 0x1f, 0x20, 0x21, 0x7e, 0x7f, 0x80, 0xff] {
                for at in 0..10 {
                    let mut bytes = [b'x'; 20];
                    (bytes[at], bytes[at + 1]) = (first, second);
                    assert_eq!(plain(&bytes), slow(&bytes), "{bytes:?}");
                }
            }
        }
    }
}
