//! `command`: run a program, without a shell unless one is asked for, and end all of it when time is up.
#![doc = include_str!("command.md")]

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Facts, GRACE, Kind, Mistake, Review, Step, settings};
use crate::plan::{Plan, Resume};
use crate::rehearsal::{InLab, Mark};
use crate::run::{Cause, Evidence, Outcome};
use crate::scalar::Duration;
use crate::world::{Exit, Progress, Scribe, Stream, World};

pub const KIND: Kind = Kind {
    name: "command",
    about: "run a program",
    page: include_str!("command.md"),
    schema: |generator| generator.subschema_for::<Command>(),
    facts,
    lab: InLab::Programs(&[""]),
    build: |step, _| Ok(Box::new(Running { id: step.id.clone(), command: Command::deserialize(&step.config)? })),
};

/// Runs a program. Exactly one of `run` and `shell` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments, passed as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Vec<String>>,
    /// A line for `/bin/sh -c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Environment variables beside those bgctl itself was started with.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs; the working directory of bgctl when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The longest it may run; then it and everything it started is ended.
    #[serde(default = "within")]
    pub within: Duration,
    /// The exit status that means success.
    #[serde(default)]
    pub expect_status: i32,
    /// `safe`: it touches nothing but the lab, so a rehearsal may run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<Mark>,
}

fn within() -> Duration {
    Duration::seconds(300)
}

fn facts(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
    let command: Command = settings(config)?;
    let mut review = Review::default();
    check(&mut review, &command);
    review.passed(|| Facts {
        line: format!("run {}", command.spoken()),
        resume: Resume::AskHuman,
        attempts: 1,
        timeout_s: command.within.whole_seconds() + GRACE,
        expected_s: command.within.whole_seconds().min(10),
        moves: None,
    })
}

impl Command {
    /// The program with its arguments, as it is started.
    pub fn argv(&self) -> Vec<String> {
        argv(self.run.as_deref(), self.shell.as_deref())
    }

    /// It as a line names it.
    pub(super) fn spoken(&self) -> String {
        let shown = shown(self.run.as_deref(), self.shell.as_deref());
        format!("`{}`{}", crate::migrations::shortened(&shown), Mark::shown(self.lab))
    }
}

/// What is wrong with a program that a step starts.
pub(super) fn check(review: &mut Review, command: &Command) {
    self::review(review, command.run.as_deref(), command.shell.as_deref(), &command.env);
    review.longer_than_zero("/within", command.within.time);
}

/// A program as it is shown.
fn shown(run: Option<&[String]>, shell: Option<&str>) -> String {
    run.map(|argv| argv.join(" ")).or(shell.map(String::from)).unwrap_or_default()
}

/// What is wrong with a program and its environment; gives the program as it is shown.
pub(super) fn review(
    review: &mut Review,
    run: Option<&[String]>,
    shell: Option<&str>,
    env: &BTreeMap<String, String>,
) -> String {
    match (run, shell) {
        (Some(argv), None) => review.program("/run", argv),
        (None, Some(line)) => {
            if line.trim().is_empty() {
                review.wrong("/shell", "there is nothing to run", None);
            }
            if line.contains('\0') {
                review.wrong("/shell", "a zero byte cannot be passed to a program", None);
            }
        }
        _ => {
            let help = "write `run: [program, argument]`, or `shell: \"…\"` where a shell is needed";
            review.wrong("", "a command takes exactly one of `run` and `shell`", Some(help));
        }
    }
    review.environment("/env", env);
    shown(run, shell)
}

/// The program with its arguments, as it is started.
pub(super) fn argv(run: Option<&[String]>, shell: Option<&str>) -> Vec<String> {
    match (run, shell) {
        (Some(argv), _) => argv.to_vec(),
        (None, Some(line)) => vec!["/bin/sh".into(), "-c".into(), line.into()],
        (None, None) => panic!("BUG: a command without a program passed its check"),
    }
}

/// The most output that one record holds, and that all records of a step hold together.
const RECORD: usize = 16 * 1024;
const KEPT: usize = 64 * RECORD;

struct Running {
    id: String,
    command: Command,
}

#[async_trait(?Send)]
impl Step for Running {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        perform(&self.id, &self.command, world, scribe).await
    }
}

/// Runs a program of a runbook for the step of this name.
pub(super) async fn perform(id: &str, settings: &Command, world: &World, scribe: &dyn Scribe) -> Outcome {
    let command = crate::world::Command {
        argv: settings.argv().iter().map(|word| world.secrets.resolve(word)).collect(),
        env: settings.env.iter().map(|(name, value)| (name.clone(), world.secrets.resolve(value))).collect(),
        directory: settings.directory.clone(),
        input: Vec::new(),
        timeout: settings.within.time,
    };
    let Ended { exit, line, dropped, .. } = capture(id, &command, world, scribe, &|_| false).await;
    let facts = json!({ "output_not_kept_bytes": dropped.to_string() });
    match exit {
        Ok(Exit::Status(status)) if status == settings.expect_status => Outcome::done(line).with(facts),
        Ok(Exit::Status(_)) => {
            let line = format!("{line}, not {}", settings.expect_status);
            Outcome::failed(Cause::Action, line).with(facts)
        }
        Ok(Exit::TimedOut) => Outcome::failed(Cause::Timeout, line).with(facts),
        Ok(Exit::Signal(_)) | Err(_) => Outcome::failed(Cause::Action, line).with(facts),
    }
}

/// How a program ended.
pub(super) struct Ended {
    pub exit: std::io::Result<Exit>,
    /// The same in words.
    pub line: String,
    /// Bytes of output that were not kept.
    pub dropped: usize,
    /// A line of its output was looked for, and came.
    pub marked: bool,
}

/// Runs a program to its end, with its output in records, without secrets.
pub(super) async fn capture(
    id: &str,
    command: &crate::world::Command,
    world: &World,
    scribe: &dyn Scribe,
    mark: &dyn Fn(&str) -> bool,
) -> Ended {
    let mut pages = Pages { step: id, scribe, pages: Default::default(), kept: 0, dropped: 0 };
    let mut streams = [world.secrets.output(), world.secrets.output()];
    let mut marked = false;
    let mut line = |stream, line: &str| {
        marked |= mark(line);
        scribe.progress(Progress { done: 0, of: 0, line: line.into() });
        pages.line(stream, line);
    };
    let exit = world
        .processes
        .run(command, &mut |stream, piece| {
            let output = &mut streams[usize::from(stream == Stream::Stderr)];
            output.push(piece, &mut |text| line(stream, text));
        })
        .await;
    let [out, err] = &mut streams;
    out.finish(&mut |text| line(Stream::Stdout, text));
    err.finish(&mut |text| line(Stream::Stderr, text));
    let dropped = pages.finish();
    let program = world.secrets.mask(command.argv.first().map_or("", String::as_str));
    let line = match &exit {
        Ok(Exit::Status(status)) => format!("`{program}` ended with status {status}"),
        Ok(Exit::Signal(signal)) => format!("`{program}` was ended by signal {signal}"),
        Ok(Exit::TimedOut) => {
            let within = crate::scalar::spoken(command.timeout);
            format!("`{program}` did not end within {within} and was ended with all it had started")
        }
        Err(e) => format!("`{program}` cannot be run: {e}"),
    };
    Ended { exit, line, dropped, marked }
}

/// Collects lines into records.
struct Pages<'a> {
    step: &'a str,
    scribe: &'a dyn Scribe,
    /// Of stdout and stderr.
    pages: [String; 2],
    kept: usize,
    dropped: usize,
}

impl Pages<'_> {
    fn line(&mut self, stream: Stream, line: &str) {
        if self.kept + line.len() > KEPT {
            self.dropped += line.len() + 1;
            return;
        }
        self.kept += line.len() + 1;
        let page = usize::from(stream == Stream::Stderr);
        if self.pages[page].len() + line.len() >= RECORD {
            self.flush(page);
        }
        self.pages[page].push_str(line);
        self.pages[page].push('\n');
    }

    fn flush(&mut self, page: usize) {
        let text = std::mem::take(&mut self.pages[page]);
        if !text.is_empty() {
            let stream = if page == 0 { "stdout" } else { "stderr" }.into();
            self.scribe.observed(Evidence::CommandOutput { step: self.step.into(), stream, text });
        }
    }

    /// How many bytes were not kept.
    fn finish(&mut self) -> usize {
        self.flush(0);
        self.flush(1);
        self.dropped
    }
}
