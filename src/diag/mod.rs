//! What goes wrong, said so that a person at 3 am can act on it.
//!
//! A [`Diagnostic`] is a mistake in a file, with its exact place. A [`Refusal`] is everything else: five parts, headline,
//! place, cause, where the users are, and what to do next. Neither knows an exit code; [`Kind`] says which family a
//! refusal belongs to, and `cli` maps that.

mod code;
mod places;
mod review;
mod values;

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

pub use code::Code;
pub use places::Places;
pub use review::{Review, settings};
pub use values::{is_host, is_region, is_thing, is_whole_name, server};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Explained by `bgctl explain BG0102`.
    pub code: Code,
    /// Lowercase, names in backticks, no full stop.
    pub headline: String,
    /// Bytes of the file the caret stands under.
    pub span: Option<Range<usize>>,
    /// What stands beside the caret: `did you mean …?`
    pub label: String,
    /// A second place that belongs to it: the step, the first of two duplicates.
    pub context: Option<(Range<usize>, String)>,
    pub notes: Vec<String>,
}

impl Diagnostic {
    pub fn error(code: Code, headline: impl Into<String>) -> Self {
        let (label, notes) = (String::new(), Vec::new());
        Diagnostic {
            severity: Severity::Error,
            code,
            headline: headline.into(),
            span: None,
            label,
            context: None,
            notes,
        }
    }

    pub fn warning(code: Code, headline: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, headline) }
    }

    /// The bytes the caret stands under, and what stands beside it.
    pub fn at(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = label.into();
        self
    }

    pub fn context(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.context = Some((span, label.into()));
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Line and column of the caret, both from 1, columns in characters.
    pub fn line_column(&self, text: &str) -> Option<(usize, usize)> {
        Some(Places::new(text).of(self.span.as_ref()?.start))
    }

    /// The mistake with its source line and caret, as a block of lines. `path` and `text` are those of the file.
    pub fn render(&self, path: &str, text: &str, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.headline.as_str()).id(self.code.number());
        let mut group = match &self.span {
            None => title.element(Origin::path(path)),
            Some(span) => {
                // Only the lines that are shown are handed over: a long file costs no more than a short one.
                let spans = [Some(span), self.context.as_ref().map(|(span, _)| span)].into_iter().flatten();
                let (first, last) = spans.fold((text.len(), 0), |(a, b), s| (a.min(s.start), b.max(s.end)));
                let from = text[..first].rfind('\n').map_or(0, |n| n + 1);
                let to = text[last..].find('\n').map_or(text.len(), |n| last + n);
                let line = text[..from].bytes().filter(|b| *b == b'\n').count() + 1;
                let below = |span: &Range<usize>| span.start - from..span.end.max(span.start) - from;
                let mut snippet = Snippet::source(&text[from..to]).line_start(line).path(path).fold(true);
                snippet = snippet.annotation(AnnotationKind::Primary.span(below(span)).label(self.label.as_str()));
                if let Some((span, label)) = &self.context {
                    snippet = snippet.annotation(AnnotationKind::Context.span(below(span)).label(label.as_str()));
                }
                title.element(snippet)
            }
        };
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Unicode).render(&[group])
    }
}

/// A mistake in the settings of a step, a route or a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// JSON pointer below the settings, `/checks/0`; empty for the whole.
    pub at: String,
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The families of refusals; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line cannot be understood, or lacks a word it needs.
    Usage,
    /// A runbook, plan or configuration file is wrong.
    Invalid,
    /// A needed service does not answer, and nothing was changed.
    Unreachable,
    /// A bug of bgctl.
    Bug,
    /// Locked or frozen: later.
    Later,
    /// Credentials, permission, signer or approver.
    Denied,
    /// A variable or setting of this environment is missing.
    Environment,
    /// The world is not what the plan saw.
    Drift,
    /// Stopped before any user moved.
    Stopped,
    /// Users are split and a person must act.
    Halted,
    /// An audit log did not pass.
    Audit,
    Other,
}

/// Why bgctl does not do what it was asked for.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub kind: Kind,
    pub code: Code,
    pub headline: String,
    pub place: Vec<String>,
    pub cause: Vec<String>,
    /// Where the users are, with the age of that knowledge; left out only where no live system was asked.
    pub users: Option<String>,
    /// Commands, best first.
    pub next: Vec<String>,
}

impl Refusal {
    pub fn new(kind: Kind, code: Code, headline: impl Into<String>) -> Self {
        let (place, cause, next) = (Vec::new(), Vec::new(), Vec::new());
        Refusal { kind, code, headline: headline.into(), place, cause, users: None, next }
    }

    /// The same words for another family.
    pub fn kind(self, kind: Kind) -> Self {
        Refusal { kind, ..self }
    }

    pub fn place(mut self, line: impl Into<String>) -> Self {
        self.place.push(line.into());
        self
    }

    pub fn cause(mut self, line: impl Into<String>) -> Self {
        self.cause.push(line.into());
        self
    }

    pub fn users(mut self, line: impl Into<String>) -> Self {
        self.users = Some(line.into());
        self
    }

    pub fn next(mut self, line: impl Into<String>) -> Self {
        self.next.push(line.into());
        self
    }
}

impl std::error::Error for Refusal {}

/// The five parts, one block, without colour.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code, self.headline)?;
        let users: Vec<String> = self.users.iter().cloned().collect();
        for (name, lines) in [("place", &self.place), ("cause", &self.cause), ("users", &users), ("next", &self.next)] {
            for (n, line) in lines.iter().enumerate() {
                writeln!(f, "  {:<7} {line}", if n == 0 { name } else { "" })?;
            }
        }
        Ok(())
    }
}
