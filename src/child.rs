//! Child processes: each in a process group of its own, so that nothing it started outlives it.
//!
//! At the deadline, and when the future is dropped (Ctrl-C, a lost lease), the whole group is asked to end and then made to.
//! What the output means is not looked at here.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

use crate::clock::Clock;

/// How long a group has between SIGTERM and SIGKILL.
const MERCY: Duration = Duration::from_secs(5);
/// The most that is read from a pipe at once.
const PIECE: usize = 8 * 1024;

/// A program to run, without a shell.
#[derive(Clone, Debug, Default)]
pub struct Command {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub directory: Option<String>,
    /// What it reads on its standard input, which is closed behind that.
    pub input: Vec<u8>,
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Status(i32),
    Signal(i32),
    TimedOut,
}

/// A word for a POSIX shell, whatever is in it.
pub fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Programs as the machine runs them.
pub struct Children {
    clock: Rc<dyn Clock>,
    /// What they find in their environment, where that is not this process's own.
    only: Option<BTreeMap<String, String>>,
}

impl Children {
    /// `only`: what they find in their environment, in place of this process's own.
    pub fn new(clock: Rc<dyn Clock>, only: Option<BTreeMap<String, String>>) -> Self {
        Children { clock, only }
    }

    /// Runs a program to its end or to the deadline, then ends its whole process group. `output` sees what it prints in the
    /// pieces in which it comes: a secret can lie across two of them, so the caller masks before it looks for lines.
    pub async fn run(&self, command: &Command, output: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> io::Result<Exit> {
        let [program, arguments @ ..] = command.argv.as_slice() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no program to run"));
        };
        let mut builder = tokio::process::Command::new(program);
        if let Some(only) = &self.only {
            builder.env_clear().envs(only);
        }
        builder
            .args(arguments)
            .envs(&command.env)
            .stdin(if command.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        builder.process_group(0).kill_on_drop(true);
        if let Some(directory) = &command.directory {
            builder.current_dir(directory);
        }
        let mut running = Running::new(builder.spawn()?, &command.input);
        let id = running.child.id().and_then(|id| Pid::from_raw(id as i32));
        let mut group = Group { id: id.expect("BUG: a child that just began has an id"), over: false };
        let ended = tokio::select! { biased;
            status = running.follow(self.clock.as_ref(), output) => Some(status?),
            () = self.clock.sleep(command.timeout) => None,
        };
        let exit = match ended {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Status(code),
                (None, signal) => Exit::Signal(signal.unwrap_or_default()),
            },
            None => {
                group.signal(Signal::TERM);
                tokio::select! { biased;
                    _ = running.follow(self.clock.as_ref(), output) => {}
                    () = self.clock.sleep(MERCY) => {}
                }
                Exit::TimedOut
            }
        };
        // Also after a good end: a program that left something running in the background has not really ended.
        group.signal(Signal::KILL);
        let _ = running.child.wait().await;
        group.over = true;
        Ok(exit)
    }
}

/// The process group of a child. Ends all of it when dropped, whatever became of the child itself.
struct Group {
    id: Pid,
    over: bool,
}

impl Group {
    /// A group that is gone already is no error.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.signal(Signal::TERM);
            self.signal(Signal::KILL);
        }
    }
}

/// A child and its pipes.
struct Running<'c> {
    child: Child,
    /// What is still to be written to it.
    input: Option<(ChildStdin, &'c [u8])>,
    pipes: [Option<Pipe>; 2],
}

impl<'c> Running<'c> {
    fn new(mut child: Child, input: &'c [u8]) -> Self {
        let input = child.stdin.take().map(|pipe| (pipe, input));
        let out = child.stdout.take().map(|o| Pipe::new(Box::new(o)));
        let err = child.stderr.take().map(|e| Pipe::new(Box::new(e)));
        Running { child, input, pipes: [out, err] }
    }

    /// Hands on output until the child ends, and what is left in the pipes then. It does not wait long for the pipes to close:
    /// a grandchild that holds them open would keep it for ever.
    async fn follow<F: FnMut(Stream, &[u8]) + ?Sized>(
        &mut self,
        clock: &dyn Clock,
        output: &mut F,
    ) -> io::Result<ExitStatus> {
        let [out, err] = &mut self.pipes;
        let status = loop {
            tokio::select! { biased;
                () = feed(&mut self.input) => {}
                piece = next(out) => match piece {
                    Some(piece) => output(Stream::Stdout, &piece),
                    None => *out = None,
                },
                piece = next(err) => match piece {
                    Some(piece) => output(Stream::Stderr, &piece),
                    None => *err = None,
                },
                status = self.child.wait() => break status?,
            }
        };
        for (stream, pipe) in [(Stream::Stdout, out), (Stream::Stderr, err)] {
            let Some(pipe) = pipe else { continue };
            while let Some(piece) = soon(clock, pipe.next()).await.flatten() {
                output(stream, &piece);
            }
        }
        Ok(status)
    }
}

/// Writes on; one that reads no further, or has ended, has what it wanted. The pipe is closed behind the last byte.
async fn feed(input: &mut Option<(ChildStdin, &[u8])>) {
    let Some((pipe, left)) = input else { return std::future::pending().await };
    match pipe.write(left).await {
        Ok(written) if written > 0 && written < left.len() => *left = &left[written..],
        _ => *input = None,
    }
}

async fn next(pipe: &mut Option<Pipe>) -> Option<Vec<u8>> {
    match pipe {
        Some(pipe) => pipe.next().await,
        None => std::future::pending().await,
    }
}

/// The end of a child may be known before the system has told of what it printed last.
const LAST: Duration = Duration::from_millis(50);

/// The answer if it is there, or comes at once.
async fn soon<T>(clock: &dyn Clock, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! { biased;
        value = future => Some(value),
        () = clock.sleep(LAST) => None,
    }
}

/// One pipe of a child.
struct Pipe {
    pipe: Box<dyn AsyncRead + Unpin>,
}

impl Pipe {
    fn new(pipe: Box<dyn AsyncRead + Unpin>) -> Self {
        Pipe { pipe }
    }

    /// The next piece; None when the pipe is closed. Nothing is lost when this is dropped: a read either took bytes, and then
    /// it is ready at once, or it took none.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = vec![0; PIECE];
        let read = self.pipe.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        piece.truncate(read);
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_program_is_fed_as_much_as_it_reads_and_one_that_reads_nothing_ends_all_the_same() {
        let children = Children::new(Rc::new(SystemClock), None);
        for (program, given, wanted) in [("cat", 1 << 20, 1 << 20), ("true", 1 << 20, 0), ("cat", 0, 0)] {
            let command = Command {
                argv: vec![program.into()],
                input: vec![b'x'; given],
                timeout: Duration::from_secs(20),
                ..Command::default()
            };
            let mut printed = 0;
            let exit = children.run(&command, &mut |_, piece| printed += piece.len()).await.unwrap();
            assert_eq!((exit, printed), (Exit::Status(0), wanted), "{program}, {given} bytes");
        }
    }

    #[test]
    fn a_word_for_a_shell_is_one_word() {
        for (word, wanted) in
            [("a-b/c.d", "a-b/c.d"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$x", "'$x'")]
        {
            assert_eq!(quoted(word), wanted);
        }
    }
}
