//! The terminal as a keyboard: keys one by one while Ctrl-C stays a signal, and the terminal as it was before, whatever
//! happens in between.
//!
//! dialoguer is not used here on purpose: a prompt of its that is given up (a deadline, an answer given elsewhere) keeps a
//! thread reading and leaves the shell without echo. Here one thread reads for the whole run and can be woken to end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios};
use tokio::sync::Notify;

/// The cursor away and pastes between marks, and both as they were.
const BEGIN: &[u8] = b"\x1b[?25l\x1b[?2004h";
const END: &[u8] = b"\x1b[?2004l\x1b[?25h";

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
        let _ = rustix::io::write(&tty, END);
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
        let _ = rustix::io::write(tty, BEGIN);
        Ok(Guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// What came from the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Pressed by a hand.
    Pressed(char),
    /// One of many that came at once: a program's, a paste without marks, or typed ahead. Part of a line, and no key of its own.
    Streamed(char),
    /// Something was pasted. What, is nobody's business: it was meant for another window.
    Pasted,
}

#[derive(Debug, Default)]
struct Shared {
    typed: Mutex<VecDeque<Key>>,
    /// The terminal is gone or at its end: nobody will type any more.
    closed: AtomicBool,
    notify: Notify,
}

/// The keyboard of a run. Keys go to the prompt that is open, and otherwise to whoever listens for commands.
#[derive(Debug)]
pub struct Keyboard {
    tty: OwnedFd,
    shared: Arc<Shared>,
    /// The open prompts; the newest has the keys.
    prompts: RefCell<Vec<u64>>,
    opened: Cell<u64>,
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
            prompts: RefCell::default(),
            opened: Cell::new(0),
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

    /// Nobody is there to type any more, whatever comes from the terminal.
    pub fn hang_up(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.notify.notify_waiters();
    }

    /// Whether a prompt has the keys.
    pub fn asks(&self) -> bool {
        !self.prompts.borrow().is_empty()
    }

    /// Opens a prompt, in front of one that is open already. What was typed before it was drawn is thrown away: it cannot have been meant as its answer.
    pub fn prompt(self: &Rc<Self>) -> Prompt {
        let _ = rustix::termios::tcflush(&self.tty, QueueSelector::IFlush);
        locked(&self.shared.typed).clear();
        let number = self.opened.get() + 1;
        self.opened.set(number);
        self.prompts.borrow_mut().push(number);
        Prompt { keyboard: self.clone(), number }
    }

    /// The next key that no prompt is waiting for. Cancelled by dropping; never comes back once the terminal is gone.
    pub async fn command(&self) -> Key {
        loop {
            let more = self.shared.notify.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(key) = self.handed.take() {
                return Key::Pressed(key);
            }
            if !self.asks()
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

/// An open prompt: all keys are its own until it is dropped, or until a newer one opens.
pub struct Prompt {
    keyboard: Rc<Keyboard>,
    number: u64,
}

impl Prompt {
    /// The next key; `None` once the terminal is gone.
    pub async fn key(&self) -> Option<Key> {
        let shared = &self.keyboard.shared;
        loop {
            let more = shared.notify.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if self.in_front()
                && let Some(key) = locked(&shared.typed).pop_front()
            {
                return Some(key);
            }
            if self.keyboard.closed() {
                return None;
            }
            more.await;
        }
    }

    /// Whether this is the newest prompt.
    pub fn in_front(&self) -> bool {
        self.keyboard.prompts.borrow().last() == Some(&self.number)
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if self.in_front() {
            locked(&self.keyboard.shared.typed).clear();
        }
        self.keyboard.prompts.borrow_mut().retain(|number| *number != self.number);
    }
}

/// More characters than this that come at once were pressed by no hand.
const FEW: usize = 2;
/// How long after a character another one still comes at once: a fast typist needs four times as long.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
/// A paste that has been silent for so long has lost its end.
const SILENT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// What is looked at together, at most.
const LONGEST: usize = 1 << 16;

/// Reads until the terminal or the pipe ends.
fn read(tty: &OwnedFd, asleep: &OwnedFd, shared: &Shared) {
    let mut decoder = Decoder::default();
    let mut buffer = [0u8; 256];
    'open: loop {
        let mut ends = [PollFd::new(tty, PollFlags::IN), PollFd::new(asleep, PollFlags::IN)];
        match poll(&mut ends, decoder.pasting.then_some(&SILENT)) {
            Ok(0) => {
                decoder.pasting = false;
                continue;
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => break,
        }
        if !ends[1].revents().is_empty() {
            return;
        }
        loop {
            match rustix::io::read(tty.as_fd(), &mut buffer) {
                Ok(0) => break 'open,
                Ok(n) => decoder.bytes.extend_from_slice(&buffer[..n]),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(_) => break 'open,
            }
            // A paste comes in pieces where the line is slow.
            let mut more = [PollFd::new(tty, PollFlags::IN)];
            if decoder.bytes.len() > LONGEST || poll(&mut more, Some(&AT_ONCE)).unwrap_or(0) == 0 {
                break;
            }
        }
        let keys = decoder.keys();
        locked(&shared.typed).extend(keys);
        shared.notify.notify_waiters();
    }
    shared.closed.store(true, Ordering::Release);
    shared.notify.notify_waiters();
}

/// Bytes of a terminal on their way to keys.
#[derive(Debug, Default)]
struct Decoder {
    /// What came at once, after a cut character or escape sequence from before.
    bytes: Vec<u8>,
    /// Between the marks of a paste.
    pasting: bool,
}

impl Decoder {
    /// The keys in what came at once. Escape sequences (arrows and the like) are no keys of ours and are left out.
    fn keys(&mut self) -> Vec<Key> {
        let (mut typed, mut pasted) = (Vec::new(), self.pasting);
        let text = self.whole();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            if c != '\u{1b}' {
                if !self.pasting {
                    typed.push(c);
                }
                continue;
            }
            if rest.next_if(|c| *c == '[' || *c == 'O').is_some() {
                let mut number = String::new();
                while let Some(c) = rest.next_if(|c| c.is_ascii_digit() || *c == ';') {
                    number.push(c);
                }
                match (number.as_str(), rest.next()) {
                    ("200", Some('~')) => (self.pasting, pasted) = (true, true),
                    ("201", Some('~')) => self.pasting = false,
                    _ => {}
                }
            }
        }
        // What came together with a paste is as little a key as the paste.
        let key = if pasted || typed.len() > FEW { Key::Streamed } else { Key::Pressed };
        pasted.then_some(Key::Pasted).into_iter().chain(typed.into_iter().map(key)).collect()
    }

    /// The text up to the last whole character and escape sequence.
    fn whole(&mut self) -> String {
        let mut whole = match std::str::from_utf8(&self.bytes) {
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            _ => self.bytes.len(),
        };
        let escape = self.bytes[..whole].iter().rposition(|b| *b == 0x1b);
        if let Some(at) = escape.filter(|at| whole - at < 16 && cut(&self.bytes[*at..whole])) {
            whole = at;
        }
        String::from_utf8_lossy(&self.bytes.drain(..whole).collect::<Vec<u8>>()).into_owned()
    }
}

/// Whether an escape sequence may go on.
fn cut(sequence: &[u8]) -> bool {
    match sequence {
        [_] => true,
        [_, b'[' | b'O', number @ ..] => number.iter().all(|b| b.is_ascii_digit() || *b == b';'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Key};

    fn keys(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Key> {
        decoder.bytes.extend_from_slice(bytes);
        decoder.keys()
    }

    #[test]
    fn escape_sequences_are_no_keys_and_cut_characters_wait() {
        let mut decoder = Decoder::default();
        assert_eq!(keys(&mut decoder, b"a\x1b[A\x1bOPd"), [Key::Pressed('a'), Key::Pressed('d')]);
        assert_eq!(keys(&mut decoder, b"x\xc3"), [Key::Pressed('x')]);
        assert_eq!(keys(&mut decoder, b"\xbc"), [Key::Pressed('\u{fc}')]);
        assert!(decoder.bytes.is_empty());
        assert_eq!(keys(&mut decoder, b"\x1b"), []);
        assert_eq!(keys(&mut decoder, b"r"), [Key::Pressed('r')]);
    }

    #[test]
    fn r16_what_is_pasted_is_no_key_however_it_is_cut() {
        let whole = b"\x1b[200~one r two\ny\n\x1b[201~";
        for at in 1..whole.len() {
            let mut decoder = Decoder::default();
            let mut found = keys(&mut decoder, &whole[..at]);
            found.extend(keys(&mut decoder, &whole[at..]));
            assert!(found.iter().all(|key| *key == Key::Pasted) && !found.is_empty(), "{at}: {found:?}");
            assert!(!decoder.pasting, "{at}");
            assert_eq!(keys(&mut decoder, b"r"), [Key::Pressed('r')], "{at}");
        }
    }

    #[test]
    fn r16_what_comes_together_with_a_paste_is_no_key_either() {
        for bytes in [&b"\x1b[200~one\x1b[201~y"[..], b"r\x1b[200~one\x1b[201~", b"r\x1b[200~\x1b[201~y"] {
            let found = keys(&mut Decoder::default(), bytes);
            assert!(!found.iter().any(|key| matches!(key, Key::Pressed(_))), "{found:?}");
        }
    }

    #[test]
    fn r16_many_characters_at_once_are_no_keys() {
        let mut decoder = Decoder::default();
        let burst = keys(&mut decoder, b"for r in y");
        assert!(burst.len() == 10 && burst.iter().all(|key| matches!(key, Key::Streamed(_))), "{burst:?}");
        assert_eq!(keys(&mut decoder, b"r\n"), [Key::Pressed('r'), Key::Pressed('\n')]);
    }
}
