//! A file that one process at a time may write: the lock of a log, of the ledger, of a service.
//!
//! The operating system ties such a lock to the opened file, and a child that is just being started has a copy of that until
//! its program begins. So the lock is given back in so many words, and not left to the closing of this process's own copy.

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// An open file; what was taken of it is given back with the value, or with the process.
#[derive(Debug)]
pub(super) struct Alone(File);

impl Alone {
    pub(super) fn new(file: File) -> Self {
        Alone(file)
    }

    /// Whether it is ours now; false where somebody else has it. Does not wait.
    pub(super) fn take(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives it back before the end of the value: whoever wants it may.
    pub(super) fn give_back(&self) {
        // A lock that cannot be given back ends with the process, a little later.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Whether somebody has it now. Takes nothing.
pub(super) fn is_taken(file: &File) -> bool {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Deref for Alone {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child between its making and its program's beginning holds the same opened file.
    #[test]
    fn a_child_that_is_being_started_does_not_keep_what_was_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let open = || File::options().create(true).append(true).open(&path).unwrap();
        let first = Alone::new(open());
        let child = first.try_clone().unwrap();
        assert!(first.take().unwrap());
        let second = Alone::new(open());
        assert_eq!((second.take().unwrap(), is_taken(&open())), (false, true));
        drop(first);
        assert_eq!((second.take().unwrap(), is_taken(&open())), (true, true));
        drop((second, child));
        assert!(!is_taken(&open()));
    }
}
