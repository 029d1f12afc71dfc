//! What the log viewer of a CI system understands beside plain lines: folds, and failures at their line of the runbook. To add a
//! system: a file here, and two lines (`mod` and a row of [`KINDS`]).
//!
//! A system without a row gets plain lines, and none of the marks of another.

mod github;
mod gitlab;

/// A fold of details.
pub struct Fold {
    /// What stands on its closed lid.
    pub title: String,
    /// A name that has only letters, digits and `_`.
    pub name: String,
    /// When it was opened, in seconds since 1970.
    pub began: i64,
}

/// Something that failed, and the place of the runbook that wanted it.
pub struct Failure {
    pub file: String,
    pub line: String,
    /// `shift-10 failed`
    pub title: String,
    pub text: String,
}

/// A kind of log viewer: how it is told by, and the lines it reads as marks.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The variable that the system sets for each of its jobs.
    pub variable: &'static str,
    /// The page that explains it, as Markdown.
    pub page: &'static str,
    /// The line that opens a fold.
    pub open: fn(&Fold) -> String,
    /// The line that closes it at a time.
    pub close: fn(&Fold, i64) -> String,
    /// The line that shows a failure beside its file, where the viewer does such a thing.
    pub failed: fn(&Failure) -> Option<String>,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

/// Every kind of log viewer. Each of them shows colours although it is no terminal.
pub const KINDS: &[Kind] = &[github::KIND, gitlab::KIND];

/// What `bgctl explain output` shows: the page of all of them.
const PAGE: &str = include_str!("../output.md");
