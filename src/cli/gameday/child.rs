//! A bgctl of its own for each run of a game day: the program that is shipped, with a state folder that is none of the team's, so
//! that its freezes and its automatic rollbacks count for nothing else.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::process::{Child, Command};

use crate::diag::{Code, Kind, Refusal};
use crate::journal::Archive;
use crate::people::signals::Signals;
use crate::session::participants::GAMEDAY;
use crate::session::run_record::RunRecord;
use crate::shell::Context;

/// How often its log is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// A bgctl that was started.
pub struct Running {
    child: Child,
    state: PathBuf,
}

impl Running {
    /// Starts this very program in a state folder of its own. What it says goes to our standard error.
    pub fn start(cx: &Context, state: &Path, words: &[String]) -> Result<Running, Refusal> {
        let program = std::env::current_exe().map_err(|error| unstarted(&error))?;
        let mut command = Command::new(program);
        // The result of the day is the report.
        command.args(words).current_dir(&cx.cwd).stdin(std::process::Stdio::null()).stdout(std::io::stderr());
        command.process_group(0).env(GAMEDAY, "1");
        command.env("BGCTL_STATE_DIR", state).env("BGCTL_OUTPUT", "plain").env("BGCTL_NO_INPUT", "1");
        let child = command.spawn().map_err(|error| unstarted(&error))?;
        Ok(Running { child, state: state.into() })
    }

    /// The newest run in its folder, as far as it is written.
    pub fn record(&self) -> Option<RunRecord> {
        let archive = Archive::new(&self.state);
        let id = archive.newest().into_iter().next()?.run;
        RunRecord::read(id.clone(), archive.run(&id)).ok()
    }

    /// Waits until the run is at a point, or the program has ended. True: it is there.
    pub async fn until(&mut self, cx: &Context, there: impl Fn(&RunRecord) -> bool) -> bool {
        loop {
            if self.record().is_some_and(|record| there(&record)) {
                return true;
            }
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return false;
            }
            cx.clock.sleep(LOOK).await;
        }
    }

    /// Its exit status. Where the run is not settled after this time it is told to end, and does what it does on Ctrl-C.
    pub async fn end(
        &mut self,
        cx: &Context,
        within: Duration,
        settled: impl Fn(&RunRecord) -> bool,
        ending: Option<&Ending>,
    ) -> Option<i32> {
        let late = cx.clock.sleep(within);
        tokio::pin!(late);
        let mut told = false;
        loop {
            tokio::select! {
                ended = self.child.wait() => return ended.ok()?.code(),
                // It has a group of its own, so that it is told once, whoever ends the day.
                () = asked(ending) => self.interrupt(),
                () = &mut late, if !told => {
                    told = true;
                    if !self.record().is_some_and(|record| settled(&record)) {
                        self.interrupt();
                    }
                }
            }
        }
    }

    fn interrupt(&self) {
        let pid = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        // It may have ended this moment.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT));
    }
}

/// What would end or stop this process does not: what was made bad has to be made good again.
pub struct Ending {
    signals: Signals,
    told: Cell<bool>,
}

impl Ending {
    pub fn asked_by(signals: Signals) -> Ending {
        Ending { signals, told: Cell::new(false) }
    }

    async fn next(&self) {
        self.signals.end().await;
        self.told.set(true);
    }

    /// Somebody has asked for an end by now.
    pub fn told(&self) -> bool {
        self.next().now_or_never();
        self.told.get()
    }
}

/// Never, where nobody may ask.
async fn asked(ending: Option<&Ending>) {
    match ending {
        Some(ending) => ending.next().await,
        None => std::future::pending().await,
    }
}

fn unstarted(error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Environment, Code::System, "bgctl cannot start itself for the game day")
        .cause(error.to_string())
        .users("where they were. Nothing was changed.")
}
