//! The bytes of a log as they are read: in which file they are, in which pieces they come, line by line. What a line says is
//! not looked at.

use std::io::{self, BufRead, Read, Seek};
use std::path::Path;

use super::line::LONGEST_PLAN;

use crate::file;

/// The file of a journal inside its run's folder.
pub const LOG: &str = "log.jsonl";

/// Bytes that are asked of a file at once.
pub const BLOCK: usize = 256 * 1024;

/// Bytes that can be gone over more than once.
pub trait Input: BufRead + Seek {}

impl<I: BufRead + Seek> Input for I {}

/// Device and number of a file.
pub type Identity = (u64, u64);

/// Reads the next line with its line end into the buffer; shorter than that at the end of the input, and never longer than
/// any line may be.
pub fn next(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    append(input, line)
}

/// The same, behind what is in the buffer.
pub(super) fn append(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    input.take(LONGEST_PLAN as u64 + 1).read_until(b'\n', line)?;
    Ok(())
}

/// Reads a log in full, without locking or changing it.
pub fn read_log(folder: &Path) -> io::Result<Vec<u8>> {
    file::read(&folder.join(LOG), file::LOG)
}
