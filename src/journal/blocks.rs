//! The lines of a log in blocks, each line with what can be said of it before anything is judged: whether it is a line, and its
//! hashes. Every byte goes through SHA-256 twice, once for the log and once for its line, and most of a verification needs no
//! judgement: two more threads do it for the blocks behind while one is judged.
//!
//! There are no more blocks than [`BLOCKS`], whatever the log has. A log of one block is read by one thread.

use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

use super::input::{append, next};
use super::line::Checked;

/// Bytes after which a block ends with its line.
const BLOCK: usize = 128 * 1024;
/// Lines a block has at most: more is found of a line than the shortest ones have bytes.
const LINES: usize = 1024;
/// Enough for the other threads to go on while the plan is judged, which takes as long as thousands of lines.
const BLOCKS: usize = 16;

/// A line, read and hashed.
pub struct Hashed {
    pub checked: Result<Checked, String>,
    /// In hex, as the next line has it.
    pub sha256: [u8; 64],
    /// Of every byte of the log up to here, this line included.
    pub log: Sha256,
}

impl Hashed {
    /// `before`: of every byte before the line.
    pub fn of(line: &[u8], before: &Sha256) -> Self {
        Self::within(line, before.clone().chain_update(line))
    }

    fn within(line: &[u8], log: Sha256) -> Self {
        Hashed { checked: Checked::of(line), sha256: hex(&Sha256::digest(line)), log }
    }
}

pub(super) fn hex(sha256: &[u8]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 64];
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(sha256) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    hex
}

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where its lines end.
    ends: Vec<usize>,
    /// Of each line: the hash of the log up to it, and what else was found.
    logs: Vec<Sha256>,
    read: Vec<Hashed>,
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
        block.read();
        return block.judge(&mut take);
    }
    thread::scope(|scope| {
        let (to_hash, filled) = sync_channel::<Block>(BLOCKS);
        let (to_read, hashed) = sync_channel::<Block>(BLOCKS);
        let (to_judge, read) = sync_channel::<Block>(BLOCKS);
        // Where the system gives no more threads, nothing is judged, and that is said.
        let thread = || thread::Builder::new().name("hash".into());
        thread().spawn_scoped(scope, move || work(filled, to_read, |block| block.hash(&mut log)))?;
        thread().spawn_scoped(scope, move || work(hashed, to_judge, Block::read))?;
        let hash = |block| to_hash.send(block).unwrap_or_else(|_| panic!("BUG: nobody hashes any more"));
        let mut over = false;
        hash(block);
        let mut spare: Vec<Block> = (1..BLOCKS).map(|_| Block::default()).collect();
        loop {
            while !over && let Some(mut block) = spare.pop() {
                block.fill(&mut ahead, input);
                over = block.last;
                hash(block);
            }
            let mut block = read.recv().unwrap_or_else(|_| panic!("BUG: nobody reads any more"));
            match block.judge(&mut take) {
                Ok(Ok(())) if !block.last => spare.push(block),
                found => return found,
            }
        }
    })
}

/// Does one thing for every block, until there are no more or nobody wants them.
fn work(from: Receiver<Block>, to: SyncSender<Block>, mut done: impl FnMut(&mut Block)) {
    for mut block in from {
        done(&mut block);
        if to.send(block).is_err() {
            break;
        }
    }
}

impl Block {
    /// Takes in lines from the one ahead on, and leaves the one behind them there.
    fn fill(&mut self, ahead: &mut Vec<u8>, input: &mut dyn BufRead) {
        std::mem::swap(&mut self.bytes, ahead);
        ahead.clear();
        self.ends.clear();
        let mut begin = 0;
        while ahead.is_empty() && begin < self.bytes.len() {
            let end = self.bytes.len();
            let full = end >= BLOCK || self.ends.len() + 1 == LINES;
            if let Err(error) = append(input, if full { ahead } else { &mut self.bytes }) {
                // No line is judged without a look at the one behind it.
                self.bytes.truncate(end);
                self.ahead = self.bytes.split_off(begin);
                (self.last, self.failed) = (true, Some(error));
                return;
            }
            self.ends.push(end);
            begin = end;
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
        let mut logs = std::mem::take(&mut self.logs);
        logs.extend(self.lines().map(|line| {
            log.update(line);
            log.clone()
        }));
        self.logs = logs;
    }

    fn read(&mut self) {
        let (mut logs, mut read) = (std::mem::take(&mut self.logs), std::mem::take(&mut self.read));
        read.clear();
        read.extend(self.lines().zip(logs.drain(..)).map(|(line, log)| Hashed::within(line, log)));
        (self.logs, self.read) = (logs, read);
    }

    fn judge<E>(&mut self, mut take: impl FnMut(&[u8], &[u8], &Hashed) -> Result<(), E>) -> io::Result<Result<(), E>> {
        let ahead = self.lines().skip(1).chain([&self.ahead[..]]);
        for ((line, ahead), hashed) in self.lines().zip(ahead).zip(&self.read) {
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

    use super::*;

    /// What it gives of a text, in blocks of any number.
    fn given(input: &mut dyn BufRead) -> io::Result<Vec<(String, String, [u8; 32])>> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = each(input, |line, ahead, hashed| {
            assert_eq!(hashed.sha256, base16ct::lower::encode_string(&Sha256::digest(line)).as_bytes());
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
