//! A bgctl of its own for each run of a game day: the program that is shipped, with a state folder that is none of the team's, so
//! that its freezes and its automatic rollbacks count for nothing else.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::process::{Child, Command};

use crate::diag::{Code, Kind, Refusal};
use crate::journal::found_in;
use crate::people::signals::Signals;
use crate::rehearsal::few;
use crate::session::participants::GAMEDAY;
use crate::session::places;
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
        if let Some(only) = only(&cx.env, words) {
            command.env_clear().envs(only);
        }
        command.process_group(0).env(GAMEDAY, "1");
        command.env("BGCTL_STATE_DIR", state).env("BGCTL_OUTPUT", "plain").env("BGCTL_NO_INPUT", "1");
        let child = command.spawn().map_err(|error| unstarted(&error))?;
        Ok(Running { child, state: state.into() })
    }

    /// The newest run in its folder, as far as it is written.
    pub fn record(&self) -> Option<RunRecord> {
        let (id, folder) = found_in(&places::below(&self.state), None).ok()?;
        RunRecord::read(id, folder).ok()
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

/// All that a rehearsal finds in its environment; none where this is not to be one.
fn only(env: &BTreeMap<String, String>, words: &[String]) -> Option<BTreeMap<String, String>> {
    let ours = env.iter().filter(|(name, _)| name.starts_with("BGCTL_"));
    let ours = ours.map(|(name, value)| (name.clone(), value.clone()));
    words.iter().any(|word| word == "--lab").then(|| few(env).into_iter().chain(ours).collect())
}

fn unstarted(error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Environment, Code::System, "bgctl cannot start itself for the game day")
        .cause(error.to_string())
        .users("where they were. Nothing was changed.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_a_rehearsed_game_day_hands_nothing_real_on() {
        let env = [("PATH", "/bin"), ("DATABASE_URL", "real"), ("GITHUB_TOKEN", "real"), ("BGCTL_SIGNING_KEY", "key")];
        let env = env.map(|(name, value)| (name.to_string(), value.to_string())).into();
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let names = only(&env, &words("cutover a.yaml --lab")).map(|env| env.into_keys().collect::<Vec<_>>());
        assert_eq!(names, Some(vec!["BGCTL_SIGNING_KEY".to_string(), "PATH".into()]));
        assert_eq!(only(&env, &words("cutover a.yaml")), None);
    }
}
