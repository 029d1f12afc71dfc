//! What every command is given: environment, folders, streams and how to talk. Read once, at the start.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::json;

use super::Global;
use super::style::{Output, Style, Terminals, Wanted};
use crate::clock::{Clock, SystemClock};
use crate::diag::{Code, Kind, Refusal};
use crate::rehearsal::Rehearsals;
use crate::secret::{Known, Steers};

/// The surroundings of a command.
pub struct Context {
    pub env: BTreeMap<String, String>,
    /// Where relative paths start, after `--chdir`.
    pub cwd: PathBuf,
    pub style: Style,
    pub output: Output,
    pub quiet: bool,
    pub verbose: u8,
    pub clock: Rc<dyn Clock>,
    /// Where rehearsals come from.
    pub rehearsals: Rc<dyn Rehearsals>,
    /// What no stream of this process may show.
    pub known: Known,
    state_dir: Option<PathBuf>,
    /// Settings of git that were asked for: each is a process, and asked for once.
    git: RefCell<BTreeMap<String, Option<String>>>,
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
}

impl Context {
    /// The process's own surroundings; changes into `--chdir`.
    pub fn of_process(
        global: &Global,
        env: BTreeMap<String, String>,
        known: Known,
        rehearsals: Rc<dyn Rehearsals>,
    ) -> Result<Self, Refusal> {
        if let Some(folder) = &global.chdir {
            std::env::set_current_dir(folder).map_err(|e| {
                Refusal::new(Kind::Usage, Code::Folder, format!("cannot change to the folder `{}`", folder.display()))
                    .cause(e.to_string())
                    .next("name an existing folder after -C")
            })?;
        }
        let cwd = std::env::current_dir().map_err(|e| {
            Refusal::new(Kind::Environment, Code::Folder, "the current folder cannot be read").cause(e.to_string())
        })?;
        let terminals = Terminals {
            stdin: std::io::stdin().is_terminal(),
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
        };
        let output = global.output(&env);
        let wanted = Wanted { color: global.color, ascii: global.ascii, no_input: global.no_input, output };
        let style = Style::decide(wanted, &env, terminals);
        console::set_colors_enabled(style.out.color);
        console::set_colors_enabled_stderr(style.err.color);
        Ok(Context {
            env,
            cwd,
            style,
            output,
            quiet: global.quiet,
            verbose: global.verbose,
            clock: Rc::new(SystemClock),
            rehearsals,
            state_dir: global.state_dir.clone(),
            git: RefCell::default(),
            out: RefCell::new(Box::new(
                known.masked(std::io::stdout(), Steers { ink: style.out.color, cursor: false }),
            )),
            err: RefCell::new(Box::new(
                known.masked(std::io::stderr(), Steers { ink: style.err.color, cursor: false }),
            )),
            known,
        })
    }

    /// A variable that is set to something.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A setting of git, looked up by `ask` the first time.
    pub fn git(&self, setting: &str, ask: impl FnOnce() -> Option<String>) -> Option<String> {
        if let Some(known) = self.git.borrow().get(setting) {
            return known.clone();
        }
        let value = ask();
        self.git.borrow_mut().insert(setting.into(), value.clone());
        value
    }

    /// A line of the result, on stdout, in the ink of that stream.
    pub fn out(&self, line: &str) {
        let line = self.style.out.text(line);
        self.raw_out(&line);
    }

    /// A line of the result as it is.
    pub fn raw_out(&self, line: &str) {
        // A reader who closed the pipe has what they wanted.
        let _ = writeln!(self.out.borrow_mut(), "{line}");
    }

    /// A line of the conversation, on stderr.
    pub fn err(&self, line: &str) {
        let line = self.style.err.text(line);
        self.raw_err(&line);
    }

    /// A line of the conversation as it is.
    pub fn raw_err(&self, line: &str) {
        let _ = writeln!(self.err.borrow_mut(), "{line}");
    }

    /// The one JSON document of `-o json`.
    pub fn json(&self, value: &serde_json::Value) {
        self.raw_out(&format!("{value:#}"));
    }

    pub fn machine(&self) -> bool {
        matches!(self.output, Output::Json | Output::Jsonl)
    }

    /// A second handle of stdout, for a reporter.
    pub fn stdout(&self) -> Box<dyn Write + Send> {
        Box::new(self.known.masked(std::io::stdout(), Steers { ink: self.style.out.color, cursor: false }))
    }

    /// A second handle of stderr, for a reporter.
    pub fn stderr(&self) -> Box<dyn Write + Send> {
        Box::new(self.known.masked(std::io::stderr(), Steers { ink: self.style.err.color, cursor: false }))
    }

    /// A handle of stderr for who draws lines anew, or folds them for a log viewer.
    pub fn screen(&self) -> Box<dyn Write + Send> {
        Box::new(self.known.masked(std::io::stderr(), Steers { ink: self.style.err.color, cursor: true }))
    }

    /// The width of the terminal behind stderr, asked anew each time; 80 where there is none.
    pub fn width(&self) -> crate::report::Width {
        Arc::new(|| match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
            Ok(size) if size.ws_col > 0 => size.ws_col,
            _ => 80,
        })
    }

    /// Columns for a page: those of the terminal, and at most 100.
    pub fn columns(&self) -> usize {
        usize::from((self.width())()).min(100)
    }

    /// Lines of the terminal behind stderr; 24 where there is none.
    pub fn rows(&self) -> usize {
        match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
            Ok(size) if size.ws_row > 0 => usize::from(size.ws_row),
            _ => 24,
        }
    }

    /// The folder everything that has to be kept lies in: `--state-dir`, `BGCTL_STATE_DIR`, or the user's data folder.
    pub fn state_dir(&self) -> Result<PathBuf, Refusal> {
        if let Some(folder) = &self.state_dir {
            return Ok(self.cwd.join(folder));
        }
        if let Some(folder) = self.var("BGCTL_STATE_DIR") {
            return Ok(self.cwd.join(folder));
        }
        if let Some(data) = self.var("XDG_DATA_HOME").filter(|path| path.starts_with('/')) {
            return Ok(PathBuf::from(data).join("bgctl"));
        }
        match self.var("HOME") {
            Some(home) => Ok(PathBuf::from(home).join(".local/share/bgctl")),
            None => Err(Refusal::new(Kind::Environment, Code::NoState, "there is no folder to keep runs in")
                .cause("neither --state-dir nor BGCTL_STATE_DIR, XDG_DATA_HOME or HOME is set")
                .next("export BGCTL_STATE_DIR=FOLDER        the folder of earlier runs, if there were any")
                .next("export BGCTL_STATE_DIR=\"$(mktemp -d)\"        `bgctl rollback RUNBOOK` needs no earlier run")),
        }
    }

    /// Who started the CI job this runs in, as the CI system says.
    pub fn trigger(&self) -> Option<&str> {
        ["GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR", "BUILD_USER_ID"]
            .iter()
            .find_map(|name| self.var(name))
    }

    /// Runs a command's asynchronous part, on this thread alone.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T, Refusal> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
            Refusal::new(Kind::Environment, Code::System, "the system gives no resources to start").cause(e.to_string())
        })?;
        Ok(runtime.block_on(work))
    }

    /// A refusal without secrets: causes quote servers, programs and files.
    fn masked(&self, refusal: &Refusal) -> Refusal {
        let secrets = self.known.secrets();
        // On one line each: what stands in a cause must not look like a line of ours.
        let text = |text: &String| secrets.mask(text).replace('\n', "\\n");
        let texts = |texts: &[String]| texts.iter().map(text).collect();
        Refusal {
            kind: refusal.kind,
            code: refusal.code,
            headline: text(&refusal.headline),
            place: texts(&refusal.place),
            cause: texts(&refusal.cause),
            users: refusal.users.as_ref().map(text),
            next: texts(&refusal.next),
        }
    }

    /// Shows a refusal: on stdout as JSON where that was asked for, on stderr otherwise.
    pub fn refuse(&self, refusal: &Refusal) {
        let refusal = &self.masked(refusal);
        if self.machine() {
            let error = refusal_json(refusal);
            match self.output {
                Output::Json => self.json(&error),
                _ => self.raw_out(&error.to_string()),
            }
        }
        let ink = self.style.err;
        let text = refusal.to_string();
        for (n, line) in text.lines().enumerate() {
            match line.split_once("]: ") {
                Some((head, headline)) if n == 0 => {
                    let head = ink.red(&format!("{head}]"));
                    self.raw_err(&format!("{head}: {}", ink.bold(&ink.text(headline))));
                }
                _ => self.err(line),
            }
        }
    }
}

/// A refusal for machines: the same five parts.
pub fn refusal_json(refusal: &Refusal) -> serde_json::Value {
    json!({ "error": {
        "code": refusal.code,
        "headline": refusal.headline,
        "place": refusal.place,
        "cause": refusal.cause,
        "users": refusal.users,
        "next": refusal.next,
    }})
}
