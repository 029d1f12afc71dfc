//! Anchors: places outside of a log that keep its head, so that its own owner cannot rewrite it unseen.
//!
//! To add a kind: a file here, and two lines (`mod` and a row of [`KINDS`]). An anchor takes a [`Head`] and gives it back; whether a log agrees with it is
//! for [`crate::journal::heads`], and whether a run may go on without it is for `session`. Every anchor may hang: whoever asks
//! one does so through [`keep`] or [`heads`], which wait only so long.
#![doc = include_str!("anchors.md")]

mod file;
mod git;
mod memory;
mod place;
mod receipts;
mod rfc3161;
mod slack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Clock;
use crate::journal::heads::Head;
use crate::rehearsal::InLab;
use crate::secret::Secrets;
use crate::world::{Command, Exit, Processes, Stream, Web};

pub use memory::Memory;
pub use place::{Named, parse};
pub use receipts::{FOLDER, Receipt};

/// How long one anchor may take while nothing waits but a run that has not begun, or a person who asked for it.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take behind the end of a run: a CI job that is being cancelled is killed soon after.
pub const PATIENCE_AT_END: Duration = Duration::from_secs(5);

/// The doors to the outside that anchors need.
pub struct Reach {
    pub clock: Rc<dyn Clock>,
    pub web: Rc<dyn Web>,
    pub processes: Rc<dyn Processes>,
    pub secrets: Secrets,
    /// Where relative paths of folders and repositories start.
    pub folder: PathBuf,
    /// The policy's own folder: certificates lie beside it.
    pub beside_policy: PathBuf,
}

impl Reach {
    /// Runs a program to its end: how it ended, and the lines it wrote to either stream.
    async fn run(
        &self,
        argv: Vec<String>,
        directory: Option<String>,
    ) -> std::io::Result<(Exit, Vec<String>, Vec<String>)> {
        let command = Command { argv, env: BTreeMap::new(), directory, input: Vec::new(), timeout: PATIENCE };
        let (mut out, mut error) = (Vec::new(), Vec::new());
        let mut take = |stream, piece: &[u8]| match stream {
            Stream::Stdout => out.extend_from_slice(piece),
            Stream::Stderr => error.extend_from_slice(piece),
        };
        let exit = self.processes.run(&command, &mut take).await?;
        let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(String::from).collect();
        Ok((exit, lines(&out), lines(&error)))
    }
}

/// A head that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What finds it again: a path, a commit, a message's time stamp, the answer of an authority.
    pub receipt: String,
    /// In words, for people.
    pub line: String,
    /// What makes this anchor worth less than it seems.
    pub warning: Option<String>,
}

/// Why an anchor did not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AnchorError(pub String);

/// A place that keeps heads.
#[async_trait(?Send)]
pub trait Anchor {
    /// `file`, `git`, …
    fn kind(&self) -> &'static str;

    /// Where it is, for people and for the log; without secrets.
    fn place(&self) -> String;

    /// Keeps a head. `receipts` is the folder of what this run got from anchors before; one may add to it.
    async fn keep(&self, head: &Head, receipts: &Path) -> Result<Kept, AnchorError>;

    /// The heads it keeps of a log, or of all whose origin begins so, where `origin` ends in `/`. `receipts` is that run's
    /// folder, where there is one.
    async fn heads(&self, origin: &str, receipts: Option<&Path>) -> Result<Vec<Head>, AnchorError>;
}

/// A kind of anchor: its key in a policy, its settings, how it is named on a command line and opened.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The page that explains it, as Markdown.
    pub page: &'static str,
    /// JSON Schema of the settings in a policy.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// The settings with every default filled in, or why they are none.
    pub whole: fn(&Value) -> Result<Value, String>,
    /// The settings that `NAME:…` on a command line stands for; the second is the file of `--ca`.
    pub named: fn(&str, Option<&str>) -> Result<Value, String>,
    /// Its name alone says enough on a command line.
    pub alone: bool,
    /// Where it is, as it is named on a command line.
    pub place: fn(&Value) -> String,
    /// Where it goes in a rehearsal.
    pub lab: InLab,
    /// Opens it with whole settings. Asks nobody.
    pub open: fn(&Value, Rc<Reach>) -> Box<dyn Anchor>,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Every kind of anchor.
pub const KINDS: &[Kind] = &[file::KIND, git::KIND, slack::KIND, rfc3161::KIND];

/// What `bgctl explain anchors` shows: the page of all of them.
const PAGE: &str = include_str!("anchors.md");

/// `whole` of a kind whose settings are a type.
fn whole<T: DeserializeOwned + Serialize>(settings: &Value) -> Result<Value, String> {
    let settings = T::deserialize(settings).map_err(|error| error.to_string())?;
    serde_json::to_value(settings).map_err(|error| error.to_string())
}

/// Whole settings as their type.
fn typed<T: DeserializeOwned>(settings: &Value) -> T {
    T::deserialize(settings).expect("BUG: `whole` has read these settings")
}

/// The anchor that a policy, or a person, names.
pub fn open(named: &Named, reach: &Rc<Reach>) -> Box<dyn Anchor> {
    (named.kind.open)(&named.settings, reach.clone())
}

/// Lets an anchor keep a head, and keeps the receipt beside the log.
pub async fn keep(
    anchor: &dyn Anchor,
    head: &Head,
    receipts: &Path,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<Kept, AnchorError> {
    receipts::folder(receipts)?;
    let kept = within(clock, patience, anchor.keep(head, receipts)).await?;
    let (kind, place) = (anchor.kind().to_string(), anchor.place());
    let receipt =
        Receipt { kind, place, receipt: kept.receipt.clone(), at: clock.now().to_string(), head: head.text() };
    receipt.write(receipts, head)?;
    Ok(kept)
}

/// What an anchor keeps of a log.
pub async fn heads(
    anchor: &dyn Anchor,
    origin: &str,
    receipts: Option<&Path>,
    clock: &dyn Clock,
) -> Result<Vec<Head>, AnchorError> {
    let mut found = within(clock, PATIENCE, anchor.heads(origin, receipts)).await?;
    // Whatever a place gives back: of another log it says nothing here.
    found.retain(|head| is_of(head, origin));
    Ok(found)
}

/// Whether a head is of this log, or of one of these.
fn is_of(head: &Head, origin: &str) -> bool {
    head.log.origin == origin || origin.ends_with('/') && head.log.origin.starts_with(origin)
}

async fn within<T>(
    clock: &dyn Clock,
    patience: Duration,
    work: impl Future<Output = Result<T, AnchorError>>,
) -> Result<T, AnchorError> {
    tokio::select! { biased;
        done = work => done,
        () = clock.sleep(patience) => Err(AnchorError(format!("no answer within {} s", patience.as_secs()))),
    }
}
