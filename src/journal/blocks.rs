//! The lines of a log in blocks, each line with its hashes. Every byte goes through SHA-256 twice, once for its line and once
//! for the log, and that is half of a verification: so a second thread hashes the next block while this one is judged.
//!
//! There are two blocks at most, whatever the log has. A log of one block is hashed where it is read.

use std::io::{self, BufRead};
use std::sync::mpsc::sync_channel;
use std::thread;

use base16ct::lower::encode;
use sha2::{Digest, Sha256};

use super::input::{BLOCK, next};

/// What the bytes of a line come to.
pub struct Hashed {
    /// In hex, as the next line has it.
    pub line: [u8; 64],
    /// Of every byte of the log up to here, this line included.
    pub log: Sha256,
}

impl Hashed {
    /// `before`: of every byte before the line.
    pub fn of(line: &[u8], before: &Sha256) -> Self {
        let log = before.clone().chain_update(line);
        let mut hex = [0; 64];
        encode(&Sha256::digest(line), &mut hex).expect("BUG: a SHA-256 has 32 bytes");
        Hashed { line: hex, log }
    }
}

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where its lines end.
    ends: Vec<usize>,
    hashes: Vec<Hashed>,
    /// The line behind it, if there is one.
    ahead: Vec<u8>,
    /// Nothing follows, or nothing more could be read.
    last: bool,
    failed: Option<io::Error>,
}

/// Gives every line of a log with the line behind it, until one is refused.
pub fn each<E>(
    input: &mut dyn BufRead,
    mut take: impl FnMut(&[u8], &[u8], &Hashed) -> Result<(), E>,
) -> io::Result<Result<(), E>> {
    let (mut ahead, mut log, mut block) = (Vec::new(), Sha256::new(), Block::default());
    next(input, &mut ahead)?;
    block.fill(&mut ahead, input);
    if block.last {
        block.hash(&mut log);
        return block.judge(&mut take);
    }
    thread::scope(|scope| {
        let (to_hash, filled) = sync_channel::<Block>(2);
        let (to_judge, hashed) = sync_channel(2);
        scope.spawn(move || {
            for mut block in filled {
                block.hash(&mut log);
                if to_judge.send(block).is_err() {
                    break;
                }
            }
        });
        let hash = |block| to_hash.send(block).unwrap_or_else(|_| panic!("BUG: nobody hashes any more"));
        hash(block);
        let mut spare = Block::default();
        let mut over = false;
        loop {
            if !over {
                spare.fill(&mut ahead, input);
                over = spare.last;
                hash(spare);
            }
            let mut block: Block = hashed.recv().unwrap_or_else(|_| panic!("BUG: nobody hashes any more"));
            match block.judge(&mut take) {
                Ok(Ok(())) if !block.last => spare = block,
                found => return found,
            }
        }
    })
}

impl Block {
    /// Takes in lines from the one ahead on, and leaves the one behind them there.
    fn fill(&mut self, ahead: &mut Vec<u8>, input: &mut dyn BufRead) {
        self.bytes.clear();
        self.ends.clear();
        while !ahead.is_empty() && self.bytes.len() < BLOCK {
            let begin = self.bytes.len();
            self.bytes.extend_from_slice(ahead);
            if let Err(error) = next(input, ahead) {
                // No line is judged without a look at the one behind it.
                self.ahead = self.bytes.split_off(begin);
                (self.last, self.failed) = (true, Some(error));
                return;
            }
            self.ends.push(self.bytes.len());
        }
        self.ahead.clone_from(ahead);
        self.last = ahead.is_empty();
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }

    /// `log`: of every byte before the block.
    fn hash(&mut self, log: &mut Sha256) {
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        for line in self.lines() {
            let hashed = Hashed::of(line, log);
            log.clone_from(&hashed.log);
            hashes.push(hashed);
        }
        self.hashes = hashes;
    }

    fn judge<E>(&mut self, mut take: impl FnMut(&[u8], &[u8], &Hashed) -> Result<(), E>) -> io::Result<Result<(), E>> {
        let ahead = self.lines().skip(1).chain([&self.ahead[..]]);
        for ((line, ahead), hashed) in self.lines().zip(ahead).zip(&self.hashes) {
            if let Err(refused) = take(line, ahead, hashed) {
                return Ok(Err(refused));
            }
        }
        self.failed.take().map_or(Ok(Ok(())), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Read};

    use base16ct::lower::encode_string as hex;

    use super::*;

    /// What it gives of a text, in blocks of any number.
    fn given(input: &mut dyn BufRead) -> io::Result<Vec<(String, String, [u8; 32])>> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = each(input, |line, ahead, hashed| {
            assert_eq!(hashed.line, hex(&Sha256::digest(line)).as_bytes());
            all.push((text(line), text(ahead), hashed.log.clone().finalize().into()));
            if line == b"refused\n" { Err(()) } else { Ok(()) }
        });
        found.map(|_| all)
    }

    #[test]
    fn every_line_comes_once_with_the_one_behind_it_and_the_hash_of_all_so_far() {
        let long = |n: usize| format!("{n} {}\n", "x".repeat(n % 3_000));
        for lines in [0, 1, 2, 200, 2_000] {
            let mut lines: Vec<String> = (0..lines).map(long).collect();
            lines.push("torn".into());
            let text = lines.concat();
            let given = given(&mut Cursor::new(text.as_bytes())).unwrap();
            assert_eq!(given.len(), lines.len());
            let mut end = 0;
            for (n, (line, ahead, log)) in given.into_iter().enumerate() {
                end += line.len();
                assert_eq!(line, lines[n]);
                assert_eq!(ahead, lines.get(n + 1).cloned().unwrap_or_default());
                assert_eq!(log, <[u8; 32]>::from(Sha256::digest(&text[..end])));
            }
        }
        assert!(given(&mut Cursor::new(b"")).unwrap().is_empty());
    }

    #[test]
    fn nothing_is_given_behind_a_line_that_was_refused() {
        for before in [0, 100_000] {
            let text = "line\n".repeat(before) + "refused\n" + &"line\n".repeat(200_000);
            assert_eq!(given(&mut Cursor::new(text)).unwrap().len(), before + 1);
        }
    }

    /// What breaks off after so many bytes.
    struct Breaks(usize);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("gone"));
            }
            let more = buffer.len().min(self.0);
            buffer[..more].fill(b'\n');
            self.0 -= more;
            Ok(more)
        }
    }

    #[test]
    fn what_could_be_read_is_judged_before_the_error_is_said() {
        for readable in [0, 1, 10, 3 * BLOCK] {
            let mut judged = 0;
            let error = each(&mut BufReader::new(Breaks(readable)), |_, _, _| {
                judged += 1;
                Ok::<(), ()>(())
            });
            assert_eq!(error.unwrap_err().to_string(), "gone");
            assert_eq!(judged, readable.saturating_sub(1));
        }
    }
}
