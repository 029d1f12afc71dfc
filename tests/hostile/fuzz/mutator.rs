//! Changes by chance: from seeds that are sound, and a number, to bytes that nobody has thought of. The same number always
//! gives the same bytes.

/// Numbers from a seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap()
    }

    /// Most often small, now and then up to `end`.
    fn short(&mut self, end: usize) -> usize {
        let most = [4, 16, 64, 1024, end][self.below(5)];
        1 + self.below(most.min(end))
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// What has meant trouble to readers of any kind: ends of ranges, halves of letters, what steers, what opens and never closes.
const TROUBLE: &[&str] = &[
    "0",
    "-1",
    "1e999",
    "-0.0",
    "NaN",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "4294967295",
    "2147483648",
    "-9223372036854775808",
    "0.1e-400",
    "99999999999999999999999999",
    "\0",
    "\r\n",
    "\n",
    "\t",
    "\u{feff}",
    "\u{202e}",
    "\u{2028}",
    "\u{85}",
    "😀",
    "ä",
    "e\u{301}",
    "İ",
    "\\u0000",
    "\\ud800",
    "\\",
    "\"",
    "'",
    "`",
    "%s",
    "%00",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "[[[[[[[[",
    "{{{{{{{{",
    "((((((((",
    "${",
    "${env:",
    "${var.",
    "null",
    "true",
    "~",
    "- ",
    ": ",
    ", ",
    "#",
    "&a ",
    "*a",
    "!!",
    "|",
    ">",
    "---\n",
    "...\n",
    "-----BEGIN ",
    "==",
    "/*",
    "--",
    "$$",
];

/// A case: one seed, changed a few times.
pub fn case(dice: &mut Dice, seeds: &[Vec<u8>], words: &[&str], longest: usize) -> Vec<u8> {
    let mut bytes = dice.pick(seeds).clone();
    for _ in 0..[1, 1, 2, 3, 8, 32][dice.below(6)] {
        change(dice, &mut bytes, seeds, words);
        bytes.truncate(longest);
    }
    // What takes more time the longer it is shows only in what is long.
    if dice.below(200) == 0 && !bytes.is_empty() {
        let (from, to) = span(dice, &bytes);
        let block = bytes[from..to].to_vec();
        let times = (longest - bytes.len()) / block.len();
        bytes.splice(from..from, block.repeat(times));
    }
    bytes
}

/// A part that is not empty, of bytes that are not.
fn span(dice: &mut Dice, bytes: &[u8]) -> (usize, usize) {
    let from = dice.below(bytes.len());
    (from, from + dice.short(bytes.len() - from))
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
    if bytes.is_empty() {
        return bytes.extend_from_slice(dice.pick(words).as_bytes());
    }
    let at = dice.below(bytes.len());
    match dice.below(14) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.roll() as u8,
        2 => bytes.insert(at, dice.roll() as u8),
        3 => {
            let (from, to) = span(dice, bytes);
            bytes.drain(from..to);
        }
        4 | 5 => {
            let list = if dice.below(2) == 0 { TROUBLE } else { words };
            let word = dice.pick(list).bytes().collect::<Vec<u8>>();
            bytes.splice(at..at, word);
        }
        6 | 7 => swap(dice, bytes, words),
        8 => number(dice, bytes),
        9 => {
            let (from, to) = span(dice, bytes);
            let block = bytes[from..to].to_vec();
            let times = 1 + dice.below(4);
            bytes.splice(at..at, block.repeat(times));
        }
        10 => {
            let (from, to) = span(dice, bytes);
            let block: Vec<u8> = bytes.drain(from..to).collect();
            let at = dice.below(bytes.len() + 1);
            bytes.splice(at..at, block);
        }
        11 => bytes.truncate(at),
        12 => {
            let other = dice.pick(seeds);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[dice.below(other.len())..]);
        }
        _ => {
            // Four bytes that are a length in what servers say.
            let length = *dice.pick(&[0_u32, 1, 3, 4, 5, 255, 65_535, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]);
            let to = (at + 4).min(bytes.len());
            bytes.splice(at..to, length.to_be_bytes());
        }
    }
}

/// One word in place of another.
fn swap(dice: &mut Dice, bytes: &mut Vec<u8>, words: &[&str]) {
    let (from, to) = (dice.pick(words).as_bytes(), dice.pick(words).as_bytes());
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, there)| *there == from).map(|(at, _)| at).collect();
    match places.is_empty() {
        true => bytes.extend_from_slice(to),
        false => {
            let at = *dice.pick(&places);
            bytes.splice(at..at + from.len(), to.iter().copied());
        }
    }
}

/// Another number in place of one.
fn number(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    let Some(from) = (at..bytes.len()).find(|at| bytes[*at].is_ascii_digit()) else { return };
    let to = (from..bytes.len()).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(bytes.len());
    let number = match dice.below(3) {
        0 => dice.roll().to_string(),
        1 => dice.below(200).to_string(),
        _ => (*dice.pick(&TROUBLE[..13])).to_string(),
    };
    bytes.splice(from..to, number.into_bytes());
}

#[test]
fn a_case_is_the_same_each_time_and_never_longer_than_it_may_be() {
    let (seeds, words) = (vec![b"one: [1, 2]\n".to_vec(), b"two: {}\n".to_vec()], ["one", "two", "three"]);
    let all: Vec<Vec<u8>> = (0..3000).map(|n| case(&mut Dice::new(n), &seeds, &words, 300)).collect();
    assert!((0..3000).all(|n| all[n as usize] == case(&mut Dice::new(n), &seeds, &words, 300)));
    let different: std::collections::BTreeSet<&Vec<u8>> = all.iter().collect();
    assert!(different.len() > 2000 && all.iter().all(|case| case.len() <= 300));
    assert!(all.iter().any(|case| case.len() > 280), "some are as long as they may be");
}
