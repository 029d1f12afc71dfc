//! The plain log: one line an event with its UTC time, for CI jobs and files. Nothing is redrawn and nothing repeats but a
//! heartbeat every half minute, so a job that waits does not look hung.

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use super::ci::{self, Failure, Fold};
use super::words::{self, Sentence};
use super::{About, Closing, Ink, Mark, Reporter, spoken_seconds};
use crate::clock::Clock;
use crate::journal::Entry;
use crate::run::Event;
use crate::world::Progress;

const HEARTBEAT: Duration = Duration::from_secs(30);

/// The plain renderer.
pub struct Plain {
    out: Box<dyn Write>,
    about: About,
    ink: Ink,
    viewer: Option<&'static ci::Kind>,
    clock: Rc<dyn Clock>,
    /// When something was last written.
    last: Duration,
    /// The step at work and when it began.
    step: Option<(String, Duration)>,
    /// The fold of details that is open.
    fold: Option<Fold>,
}

impl Plain {
    /// `viewer` is whose log viewer reads this, where it reads marks. `with` is what the head says beside the run's name: who runs
    /// it, whether anybody can be asked.
    pub fn new(
        mut out: Box<dyn Write>,
        about: About,
        ink: Ink,
        viewer: Option<&'static ci::Kind>,
        clock: Rc<dyn Clock>,
        with: &str,
    ) -> Self {
        let _ = writeln!(out, "{}", ink.text(&format!("{} · run {} · times UTC", about.headline(), about.run)));
        let _ = writeln!(out, "{}", ink.text(&format!("by {} · {with}", about.by)));
        let last = clock.elapsed();
        Plain { out, about, ink, viewer, clock, last, step: None, fold: None }
    }

    fn raw(&mut self, line: &str) {
        // A closed pipe does not stop a cutover.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        self.last = self.clock.elapsed();
    }

    fn say(&mut self, ts: &str, sentence: &Sentence) {
        let word = sentence.mark.word();
        let word = match sentence.mark {
            Mark::Failed => self.ink.red(&format!("{word:<6}")),
            Mark::Warning => self.ink.yellow(&format!("{word:<6}")),
            _ => format!("{word:<6}"),
        };
        let line = format!(
            "{}Z {:<12} {word} {}",
            words::time_of_day(ts),
            self.ink.text(&sentence.subject),
            self.ink.text(&sentence.text)
        );
        self.raw(&line);
    }

    fn unfold(&mut self) {
        let (Some(fold), Some(viewer)) = (self.fold.take(), self.viewer) else { return };
        self.raw(&(viewer.close)(&fold, self.clock.now().as_second()));
    }

    /// Opens a fold for the details of what is at work, where none is open.
    fn fold(&mut self, viewer: &ci::Kind, subject: &str) {
        if self.fold.is_some() {
            return;
        }
        let name = subject.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let fold = Fold { title: self.ink.text(subject), name, began: self.clock.now().as_second() };
        self.raw(&(viewer.open)(&fold));
        self.fold = Some(fold);
    }

    /// The mark that some viewers show beside the line of the runbook.
    fn annotate(&mut self, event: &Event, sentence: &Sentence) {
        let Some(viewer) = self.viewer.filter(|_| sentence.mark == Mark::Failed) else { return };
        let place = event.step().and_then(|at| self.about.plan.lane(at.lane).get(at.index)).map(|s| s.place.clone());
        let (file, line) = match place.as_deref().and_then(|p| p.rsplit_once(':')) {
            Some((file, line)) => (file.to_string(), line.to_string()),
            None => (self.about.plan.runbook.clone(), "1".into()),
        };
        let (title, text) = (format!("{} failed", sentence.subject), self.ink.text(&sentence.text));
        if let Some(mark) = (viewer.failed)(&Failure { file, line, title, text }) {
            self.raw(&mark);
        }
    }
}

impl Reporter for Plain {
    fn record(&mut self, entry: &Entry) {
        let Some(sentence) = words::sentence(entry) else { return };
        let event = entry.event();
        match &event {
            Some(Event::StepIntent { id, .. }) => self.step = Some((id.clone(), self.clock.elapsed())),
            Some(_) => self.step = None,
            None => {}
        }
        if event.is_none() && sentence.detail {
            if let Some(viewer) = self.viewer {
                self.fold(viewer, &sentence.subject);
                self.say(&entry.ts, &sentence);
            } else if matches!(sentence.mark, Mark::Failed | Mark::Warning) {
                self.say(&entry.ts, &sentence);
            }
            return;
        }
        if sentence.detail {
            return;
        }
        self.unfold();
        self.say(&entry.ts, &sentence);
        if let Some(event) = &event {
            self.annotate(event, &sentence);
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if self.clock.elapsed().saturating_sub(self.last) < HEARTBEAT {
            return;
        }
        let Some((id, began)) = self.step.clone() else { return };
        let spent = spoken_seconds(self.clock.elapsed().saturating_sub(began).as_secs());
        let text = format!("{spent}, {}", progress.line);
        let sentence = Sentence { mark: Mark::Working, subject: id, text, detail: false };
        let ts = self.clock.now().to_string();
        self.say(&ts, &sentence);
    }

    fn closing(&mut self, closing: &Closing) {
        self.unfold();
        for line in &closing.lines {
            let line = self.ink.text(line);
            self.raw(&line);
        }
    }
}
