//! A lab in a process of its own, as a provider is: it goes on while the bgctl that started it is stopped or killed, and other
//! terminals reach it.
//!
//! Whoever uses it holds a shared lock on the file that says how it is reached; the system gives that back when they die. It
//! ends when nobody is there any more and the rehearsal is over, or after a while alone. It acts on nobody: it is asked.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Lab, Mode, Options, time};

/// How the binary is told to be a lab; no command of people.
pub const WORD: &str = "lab-apart";
/// Says how the newest lab of a state folder is reached.
const REACH: &str = "reach.json";
/// What a lab remembers of itself.
const MEMORY: &str = "world.json";
/// How often it looks whether somebody is there.
const LOOK: Duration = Duration::from_millis(200);
/// How long it waits alone for whoever takes up a killed run.
const ALONE: Duration = Duration::from_secs(600);

/// What a lab is started with: one line on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub folder: PathBuf,
    pub faults: Vec<String>,
    pub mode: Mode,
}

/// How a lab is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reach {
    pub variables: std::collections::BTreeMap<String, String>,
    pub environment: Vec<(String, String)>,
    pub control: SocketAddr,
    pub pid: u32,
}

/// What it says once, on its standard output: how it is reached, or why it does not start.
pub(super) type Said = Result<Reach, String>;

pub(super) fn reach_file(folder: &Path) -> PathBuf {
    folder.join(REACH)
}

/// Is a lab until nobody needs it. True when it could be one.
pub fn serve() -> bool {
    let mut line = String::new();
    let started = std::io::stdin().lock().read_line(&mut line).map_err(anyhow::Error::from).and_then(|_| begin(&line));
    let said: Said = match &started {
        Ok((_, reach, ..)) => Ok(reach.clone()),
        Err(error) => Err(format!("{error:#}")),
    };
    let mut text = serde_json::to_string(&said).expect("BUG: what a lab says is plain data");
    text.push('\n');
    let told = std::io::stdout().write_all(text.as_bytes()).is_ok();
    match started {
        Ok((lab, _, file, folder, door)) if told => {
            attend(Arc::new(lab), &file, &reach_file(&folder), door);
            true
        }
        _ => false,
    }
}

type Begun = (Lab, Reach, File, PathBuf, std::net::TcpListener);

fn begin(line: &str) -> anyhow::Result<Begun> {
    let Wanted { folder, faults, mode } = serde_json::from_str(line)?;
    let faults = faults.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>()?;
    let lab = Lab::start(Options { faults, memory: Some(folder.join(MEMORY)), mode, ..Options::default() })?;
    let door = std::net::TcpListener::bind("127.0.0.1:0").context("no free port to be asked at")?;
    door.set_nonblocking(true)?;
    let reach = Reach {
        variables: lab.variables(),
        environment: lab.environment(),
        control: door.local_addr()?,
        pid: std::process::id(),
    };
    let file = publish(&folder, &reach).context("nobody can be told how the lab is reached")?;
    Ok((lab, reach, file, folder, door))
}

/// Leaves word how this lab is reached; only the owner of the folder can read it.
fn publish(folder: &Path, reach: &Reach) -> anyhow::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let draft = folder.join(format!("reach.{}.tmp", std::process::id()));
    let mut file = File::options().create(true).truncate(true).read(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(serde_json::to_string(reach)?.as_bytes())?;
    std::fs::rename(&draft, reach_file(folder))?;
    Ok(file)
}

/// Answers whoever asks, until nobody needs this lab any more.
fn attend(lab: Arc<Lab>, file: &File, path: &Path, door: std::net::TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(door) = TcpListener::from_std(door) else { return };
        let over = Arc::new(AtomicBool::new(false));
        let mut alone = Duration::ZERO;
        loop {
            tokio::select! {
                Ok((stream, _)) = door.accept() => {
                    tokio::spawn(answer(stream, lab.clone(), over.clone()));
                    continue;
                }
                () = time::sleep(LOOK) => {}
            }
            alone = if somebody(file) { Duration::ZERO } else { alone + LOOK };
            let needless = over.load(Ordering::Relaxed) || alone >= ALONE || !stands(file, path);
            if alone > Duration::ZERO && needless {
                return;
            }
        }
    });
    runtime.shutdown_background();
    // The word stays only if it is another lab's.
    if stands(file, path) {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether anybody holds the lock of those who use this lab.
fn somebody(file: &File) -> bool {
    let alone = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
    if alone {
        let _ = rustix::fs::flock(file, FlockOperation::Unlock);
    }
    !alone
}

/// Whether the word at `path` is still this lab's: a newer lab leaves its own, and a folder that is gone needs none.
fn stands(file: &File, path: &Path) -> bool {
    let of = |file: &std::fs::Metadata| (file.dev(), file.ino());
    matches!((file.metadata(), std::fs::metadata(path)), (Ok(ours), Ok(there)) if of(&ours) == of(&there))
}

/// One question, one answer, each a line.
async fn answer(stream: TcpStream, lab: Arc<Lab>, over: Arc<AtomicBool>) {
    let (from, mut to) = stream.into_split();
    let mut asked = String::new();
    let read = time::within(Duration::from_secs(2), BufReader::new(from).read_line(&mut asked)).await;
    if !matches!(read, Some(Ok(_))) {
        return;
    }
    let said = match asked.trim() {
        "finish" => {
            let counted = tokio::task::spawn_blocking(move || lab.finish().to_string()).await;
            over.store(true, Ordering::Relaxed);
            counted.unwrap_or_else(|_| "its counts are not known".into())
        }
        "end" => {
            over.store(true, Ordering::Relaxed);
            "ends".into()
        }
        // Its Slack sends nothing any more: whoever comes now needs a new one.
        _ if over.load(Ordering::Relaxed) => "over".into(),
        _ => "here".into(),
    };
    // Whoever asked may have gone.
    let _ = to.write_all(format!("{said}\n").as_bytes()).await;
}

/// Asks the lab at `control`. `None`: nobody is there; an error: somebody is and does not answer.
pub(super) fn ask(control: SocketAddr, question: &str, patience: Duration) -> std::io::Result<Option<String>> {
    let mut stream = match std::net::TcpStream::connect_timeout(&control, Duration::from_secs(2)) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Ok(None),
        stream => stream?,
    };
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    let said = said.trim();
    Ok((!said.is_empty()).then(|| said.to_string()))
}
