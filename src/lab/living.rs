//! A lab that lives in a process of its own, as a command holds it: started, or found in the state folder and joined.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rustix::fs::FlockOperation;

use super::apart::{Reach, Said, WORD, Wanted, ask, reach_file};
use super::{Fault, Mode};
use crate::rehearsal::Rehearsal;

/// How long a lab may take to answer that it is there, and to let its last events end.
const HERE: Duration = Duration::from_secs(2);
const FINISH: Duration = Duration::from_secs(10);

/// A lab that others can join.
#[derive(Debug)]
pub struct Living {
    reach: Reach,
    /// Its lock says that this process uses the lab.
    _present: File,
    /// It is this process's rehearsal, and ends with it when it ends in order.
    started: bool,
}

impl Living {
    /// Starts a lab by running `program` as one. What an earlier one remembered in `folder` is gone on from.
    pub fn start(program: &Path, folder: &Path, faults: &[Fault], mode: Mode) -> anyhow::Result<Living> {
        // Whatever the umask is: nobody else has anything to do with it.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let faults = faults.iter().map(|fault| fault.name().to_string()).collect();
        let wanted = serde_json::to_string(&Wanted { folder: folder.to_path_buf(), faults, mode })?;
        let mut command = Command::new(program);
        // A group of its own: a Ctrl-C is meant for the run. No environment: the lab reaches nothing.
        command.arg(WORD).env_clear().process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (mut stdin, stdout) = stdin.zip(stdout).ok_or_else(|| anyhow!("the lab cannot be spoken to"))?;
        stdin.write_all(format!("{wanted}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the lab ended before it was ready");
        let said: Said = serde_json::from_str(&line)?;
        let reach = said.map_err(|why| anyhow!(why))?;
        Ok(Living { _present: present(folder)?, reach, started: true })
    }

    /// The lab that lives in `folder`, if one does. An error: one does and gives no answer.
    pub fn join(folder: &Path) -> anyhow::Result<Option<Living>> {
        let Ok(present) = present(folder) else { return Ok(None) };
        let reach: Reach = match serde_json::from_reader(&present) {
            Ok(reach) => reach,
            Err(_) => return Ok(None),
        };
        let pid = reach.pid;
        let said = ask(reach.control, "here", HERE);
        let said = said.with_context(|| format!("the lab in process {pid} does not answer: is it stopped?"))?;
        Ok((said.as_deref() == Some("here")).then_some(Living { reach, _present: present, started: false }))
    }

    /// Whether a plan was made in this lab: it names one of its addresses.
    pub fn knows(&self, plan: &str) -> bool {
        self.reach.variables.values().any(|value| value.starts_with("http://") && plan.contains(value.as_str()))
    }
}

impl Rehearsal for Living {
    fn variables(&self) -> BTreeMap<String, String> {
        self.reach.variables.clone()
    }

    fn environment(&self) -> Vec<(String, String)> {
        self.reach.environment.clone()
    }

    fn finish(&self) -> String {
        match ask(self.reach.control, "finish", FINISH) {
            Ok(Some(counts)) => counts,
            _ => "it is gone, and its counts with it".into(),
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        if self.started {
            // One that is gone needs not be told.
            let _ = ask(self.reach.control, "end", HERE);
        }
    }
}

/// Says that this process uses the lab of `folder`.
fn present(folder: &Path) -> anyhow::Result<File> {
    let file = File::open(reach_file(folder))?;
    rustix::fs::flock(&file, FlockOperation::LockShared)?;
    Ok(file)
}
