//! The terminal as a keyboard: keys one by one while Ctrl-C stays a signal, and the terminal as it was before, whatever
//! happens in between.
//!
//! dialoguer is not used here on purpose: a prompt of its that is given up (a deadline, an answer given elsewhere) keeps a
//! thread reading and leaves the shell without echo. Here one thread reads for the whole run and can be woken to end.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios};
use tokio::sync::Notify;

/// The terminal's settings before we changed them; there is one terminal to a process.
static BEFORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the terminal back as it was and shows the cursor. Does nothing where nothing was changed; called by the guard's
/// drop, by the panic hook, and before any exit that runs no drops.
pub fn restore() {
    if let Some((tty, before)) = locked(&BEFORE).take() {
        // A terminal that is gone cannot be put back, and needs not be.
        let _ = rustix::termios::tcsetattr(&tty, OptionalActions::Now, &before);
        let _ = rustix::io::write(&tty, b"\x1b[?25h");
    }
}

/// Keeps the terminal in key-by-key mode; dropping it puts everything back.
#[derive(Debug)]
struct Guard;

impl Guard {
    fn cbreak(tty: &OwnedFd) -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(tty)?;
        let mut keys = before.clone();
        // ISIG stays on: Ctrl-C and Ctrl-Z remain signals.
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        *locked(&BEFORE) = Some((tty.try_clone()?, before));
        rustix::termios::tcsetattr(tty, OptionalActions::Now, &keys)?;
        let _ = rustix::io::write(tty, b"\x1b[?25l");
        Ok(Guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

#[derive(Debug, Default)]
struct Shared {
    typed: Mutex<VecDeque<char>>,
    /// The terminal is gone or at its end: nobody will type any more.
    closed: AtomicBool,
    notify: Notify,
}

/// The keyboard of a run. Keys go to the prompt that is open, and otherwise to whoever listens for commands.
#[derive(Debug)]
pub struct Keyboard {
    tty: OwnedFd,
    shared: Arc<Shared>,
    prompting: Cell<bool>,
    /// Commands that were typed into a prompt.
    handed: Cell<Option<char>>,
    /// Ctrl-C that nobody has answered yet.
    pub interrupts: Cell<u32>,
    wake: Option<OwnedFd>,
    reader: Option<JoinHandle<()>>,
    _guard: Guard,
}

impl Keyboard {
    /// Takes the terminal over. Fails where `tty` is none.
    pub fn open(tty: OwnedFd) -> io::Result<Rc<Self>> {
        let guard = Guard::cbreak(&tty)?;
        let shared = Arc::new(Shared::default());
        let (asleep, wake) = rustix::pipe::pipe()?;
        let (from, keys) = (tty.try_clone()?, shared.clone());
        let reader = std::thread::Builder::new().name("keyboard".into()).spawn(move || read(&from, &asleep, &keys))?;
        Ok(Rc::new(Keyboard {
            tty,
            shared,
            prompting: Cell::new(false),
            handed: Cell::new(None),
            interrupts: Cell::new(0),
            wake: Some(wake),
            reader: Some(reader),
            _guard: guard,
        }))
    }

    /// Nobody will type any more.
    pub fn closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Opens the prompt. What was typed before it was drawn is thrown away: it cannot have been meant as its answer.
    pub fn prompt(self: &Rc<Self>) -> Prompt {
        let _ = rustix::termios::tcflush(&self.tty, QueueSelector::IFlush);
        locked(&self.shared.typed).clear();
        self.prompting.set(true);
        Prompt(self.clone())
    }

    /// The next key that no prompt is waiting for. Cancelled by dropping; never comes back once the terminal is gone.
    pub async fn command(&self) -> char {
        loop {
            let more = self.shared.notify.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(key) = self.handed.take() {
                return key;
            }
            if !self.prompting.get()
                && let Some(key) = locked(&self.shared.typed).pop_front()
            {
                return key;
            }
            more.await;
        }
    }

    /// Gives a key that was typed into a prompt to the commands.
    pub fn hand_over(&self, key: char) {
        self.handed.set(Some(key));
        self.shared.notify.notify_waiters();
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // Closing the pipe wakes the reader; only then is the terminal put back (by the guard, which drops after this).
        self.wake.take();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// An open prompt: all keys are its own until it is dropped.
pub struct Prompt(Rc<Keyboard>);

impl Prompt {
    /// The next key; `None` once the terminal is gone.
    pub async fn key(&self) -> Option<char> {
        loop {
            let more = self.0.shared.notify.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(key) = locked(&self.0.shared.typed).pop_front() {
                return Some(key);
            }
            if self.0.closed() {
                return None;
            }
            more.await;
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        locked(&self.0.shared.typed).clear();
        self.0.prompting.set(false);
    }
}

/// Reads until the terminal or the pipe ends.
fn read(tty: &OwnedFd, asleep: &OwnedFd, shared: &Shared) {
    let mut bytes = Vec::new();
    let mut buffer = [0u8; 256];
    loop {
        let mut ends = [PollFd::new(tty, PollFlags::IN), PollFd::new(asleep, PollFlags::IN)];
        match poll(&mut ends, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => break,
        }
        if !ends[1].revents().is_empty() {
            return;
        }
        match rustix::io::read(tty.as_fd(), &mut buffer) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
            Err(_) => break,
        }
        let keys = decode(&mut bytes);
        locked(&shared.typed).extend(keys);
        shared.notify.notify_waiters();
    }
    shared.closed.store(true, Ordering::Release);
    shared.notify.notify_waiters();
}

/// The whole characters at the front of `bytes`; a cut one stays for the next read. Escape sequences (arrows, paste marks)
/// are no keys of ours and are left out.
fn decode(bytes: &mut Vec<u8>) -> Vec<char> {
    let whole = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(e) if e.error_len().is_none() => e.valid_up_to(),
        Err(_) => bytes.len(),
    };
    let text = String::from_utf8_lossy(&bytes.drain(..whole).collect::<Vec<u8>>()).into_owned();
    let mut keys = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            keys.push(c);
            continue;
        }
        if rest.next_if(|c| *c == '[' || *c == 'O').is_some() {
            while rest.next_if(|c| c.is_ascii_digit() || *c == ';').is_some() {}
            rest.next();
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escape_sequences_are_no_keys_and_cut_characters_wait() {
        let mut bytes = b"a\x1b[Ab\x1b[200~c\x1b[201~\x1bOPd".to_vec();
        assert_eq!(decode(&mut bytes), ['a', 'b', 'c', 'd']);
        let mut bytes = b"x\xc3".to_vec();
        assert_eq!(decode(&mut bytes), ['x']);
        bytes.push(0xbc);
        assert_eq!(decode(&mut bytes), ['ü']);
        assert!(bytes.is_empty());
    }
}
