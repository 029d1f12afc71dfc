//! Live child processes: each in a process group of its own, so that nothing it started outlives it.
//!
//! At the deadline, and when the future is dropped (Ctrl-C, a lost lease), the whole group is asked to end and then made to.
//! What the lines mean is not looked at here.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;

use crate::clock::Clock;
use crate::world::{Command, Exit, Processes, Stream};

/// How long a group has between SIGTERM and SIGKILL.
const MERCY: Duration = Duration::from_secs(5);
/// A line longer than this is handed on in pieces.
const LINE: u64 = 8 * 1024;

/// Programs as the machine runs them.
pub struct LiveProcesses {
    clock: Rc<dyn Clock>,
}

impl LiveProcesses {
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        LiveProcesses { clock }
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

#[async_trait(?Send)]
impl Processes for LiveProcesses {
    async fn run(&self, command: &Command, line: &mut dyn for<'a> FnMut(Stream, &'a str)) -> io::Result<Exit> {
        let [program, arguments @ ..] = command.argv.as_slice() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no program to run"));
        };
        let mut builder = tokio::process::Command::new(program);
        builder.args(arguments).envs(&command.env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        builder.process_group(0).kill_on_drop(true);
        if let Some(directory) = &command.directory {
            builder.current_dir(directory);
        }
        let mut running = Running::new(builder.spawn()?);
        let id = running.child.id().and_then(|id| Pid::from_raw(id as i32));
        let mut group = Group { id: id.expect("BUG: a child that just began has an id"), over: false };
        let ended = tokio::select! { biased;
            status = running.follow(line) => Some(status?),
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
                    _ = running.follow(line) => {}
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

/// A child and its pipes.
struct Running {
    child: Child,
    pipes: [Option<Lines>; 2],
}

impl Running {
    fn new(mut child: Child) -> Self {
        let out = child.stdout.take().map(|o| Lines::new(Box::new(o)));
        let err = child.stderr.take().map(|e| Lines::new(Box::new(e)));
        Running { child, pipes: [out, err] }
    }

    /// Hands on output until the child ends, and what is left in the pipes then. It does not wait for the pipes to close:
    /// a grandchild that holds them open would keep it for ever.
    async fn follow<F: FnMut(Stream, &str) + ?Sized>(&mut self, line: &mut F) -> io::Result<ExitStatus> {
        let [out, err] = &mut self.pipes;
        let status = loop {
            tokio::select! { biased;
                text = next(out) => match text {
                    Some(text) => line(Stream::Stdout, &text),
                    None => *out = None,
                },
                text = next(err) => match text {
                    Some(text) => line(Stream::Stderr, &text),
                    None => *err = None,
                },
                status = self.child.wait() => break status?,
            }
        };
        for (stream, lines) in [(Stream::Stdout, out), (Stream::Stderr, err)] {
            let Some(lines) = lines else { continue };
            while let Some(text) = at_once(lines.next()).await.flatten() {
                line(stream, &text);
            }
        }
        Ok(status)
    }
}

async fn next(lines: &mut Option<Lines>) -> Option<String> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}

/// The answer if it is there already.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! { biased;
        value = future => Some(value),
        () = tokio::task::yield_now() => None,
    }
}

/// Lines of one pipe; bytes that are no UTF-8 are shown as such.
struct Lines {
    pipe: BufReader<Box<dyn AsyncRead + Unpin>>,
    part: Vec<u8>,
}

impl Lines {
    fn new(pipe: Box<dyn AsyncRead + Unpin>) -> Self {
        Lines { pipe: BufReader::new(pipe), part: Vec::new() }
    }

    /// The next line without its end; None when the pipe is closed. What was read so far survives being dropped.
    async fn next(&mut self) -> Option<String> {
        let room = LINE - self.part.len() as u64;
        let read = (&mut self.pipe).take(room).read_until(b'\n', &mut self.part).await;
        if read.is_err() || self.part.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.part).trim_end_matches(['\n', '\r']).to_string();
        self.part.clear();
        Some(text)
    }
}
