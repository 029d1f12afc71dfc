//! Live child processes: each in a process group of its own, so that nothing it started outlives it.
//!
//! At the deadline, and when the future is dropped (Ctrl-C, a lost lease), the whole group is asked to end and then made to.
//! What the output means is not looked at here.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use crate::clock::Clock;
use crate::world::{Command, Exit, Processes, Stream};

/// How long a group has between SIGTERM and SIGKILL.
const MERCY: Duration = Duration::from_secs(5);
/// The most that is read from a pipe at once.
const PIECE: usize = 8 * 1024;

/// Programs as the machine runs them.
pub struct LiveProcesses {
    clock: Rc<dyn Clock>,
    /// What they find in their environment, where that is not this process's own.
    only: Option<BTreeMap<String, String>>,
}

impl LiveProcesses {
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        LiveProcesses { clock, only: None }
    }

    /// They find this in their environment, and nothing of this process's own.
    pub fn with_nothing_but(self, env: BTreeMap<String, String>) -> Self {
        LiveProcesses { only: Some(env), ..self }
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
    async fn run(&self, command: &Command, output: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> io::Result<Exit> {
        let [program, arguments @ ..] = command.argv.as_slice() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no program to run"));
        };
        let mut builder = tokio::process::Command::new(program);
        if let Some(only) = &self.only {
            builder.env_clear().envs(only);
        }
        builder.args(arguments).envs(&command.env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        builder.process_group(0).kill_on_drop(true);
        if let Some(directory) = &command.directory {
            builder.current_dir(directory);
        }
        let mut running = Running::new(builder.spawn()?);
        let id = running.child.id().and_then(|id| Pid::from_raw(id as i32));
        let mut group = Group { id: id.expect("BUG: a child that just began has an id"), over: false };
        let ended = tokio::select! { biased;
            status = running.follow(output) => Some(status?),
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
                    _ = running.follow(output) => {}
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
    pipes: [Option<Pipe>; 2],
}

impl Running {
    fn new(mut child: Child) -> Self {
        let out = child.stdout.take().map(|o| Pipe::new(Box::new(o)));
        let err = child.stderr.take().map(|e| Pipe::new(Box::new(e)));
        Running { child, pipes: [out, err] }
    }

    /// Hands on output until the child ends, and what is left in the pipes then. It does not wait for the pipes to close:
    /// a grandchild that holds them open would keep it for ever.
    async fn follow<F: FnMut(Stream, &[u8]) + ?Sized>(&mut self, output: &mut F) -> io::Result<ExitStatus> {
        let [out, err] = &mut self.pipes;
        let status = loop {
            tokio::select! { biased;
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
            while let Some(piece) = at_once(pipe.next()).await.flatten() {
                output(stream, &piece);
            }
        }
        Ok(status)
    }
}

async fn next(pipe: &mut Option<Pipe>) -> Option<Vec<u8>> {
    match pipe {
        Some(pipe) => pipe.next().await,
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
