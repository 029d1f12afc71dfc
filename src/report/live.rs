//! The live terminal: finished steps scroll up as permanent lines, the state stays at the bottom. No alternate screen, so
//! what is left in the scrollback afterwards is the record.
//!
//! indicatif only paints and takes away the region; what is written is decided here, and a terminal that went away is no
//! error of the run.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::region::{self, Moment};
use super::words::{self, Sentence};
use super::{About, Closing, Ink, Mark, Reporter, Story, wrap};
use crate::clock::Clock;
use crate::journal::Entry;
use crate::plan::Split;
use crate::run::Event;
use crate::world::Progress;

/// How often the ages and bars move.
const TICK: Duration = Duration::from_millis(250);

/// How a command without bgctl is indented in the closing block, and where the texts of its rows begin.
const NATIVE: &str = "     ";
const COLUMN: usize = 13;

/// The width of the terminal at this moment, in columns.
pub type Width = Arc<dyn Fn() -> u16 + Send + Sync>;

/// The live renderer. A clone is the same renderer, so that prompts can be shown in it while a run reports to it.
#[derive(Clone)]
pub struct Live(Rc<RefCell<Inner>>);

struct Inner {
    ink: Ink,
    clock: Rc<dyn Clock>,
    width: Width,
    bar: ProgressBar,
    screen: Screen,
    story: Story,
    /// When the step at work began.
    since: Duration,
    progress: Option<Progress>,
    panel: Vec<String>,
    keys: bool,
    closed: bool,
}

impl Live {
    /// `keys`: whether somebody can press one.
    pub fn new(
        out: Box<dyn Write + Send>,
        about: About,
        ink: Ink,
        width: Width,
        clock: Rc<dyn Clock>,
        keys: bool,
    ) -> Self {
        let screen = Screen { out: Arc::new(Mutex::new(Out { out, pending: Vec::new() })), width: width.clone() };
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.set_style(ProgressStyle::with_template("{msg}").expect("BUG: a fixed template"));
        let inner = Inner {
            ink,
            since: clock.elapsed(),
            clock,
            width,
            bar,
            screen,
            story: Story::new(about),
            progress: None,
            panel: Vec::new(),
            keys,
            closed: false,
        };
        let live = Live(Rc::new(RefCell::new(inner)));
        {
            let inner = live.0.borrow();
            let about = &inner.story.about;
            inner.permanent(&ink.text(&about.headline()));
            inner.permanent(&ink.text(&format!("run {} by {} · times UTC", about.run, about.by)));
        }
        live
    }

    /// Shows an open question in the region; no lines take it away.
    pub fn panel(&self, lines: &[String]) {
        let mut inner = self.0.borrow_mut();
        inner.panel = lines.to_vec();
        inner.paint();
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        let inner = self.0.borrow();
        inner.permanent(&inner.ink.text(line));
    }

    /// What the `s` key shows: where users are and what runs, as lines that stay.
    pub fn status(&self) {
        let inner = self.0.borrow();
        for line in inner.region(&[]) {
            inner.permanent(&line);
        }
    }

    /// Repaints four times a second, for ever: to be raced against the run.
    pub async fn ticking(&self) {
        let clock = self.0.borrow().clock.clone();
        loop {
            clock.sleep(TICK).await;
            self.0.borrow().paint();
        }
    }

    /// The lines of the region as they are now.
    pub fn region(&self) -> Vec<String> {
        let inner = self.0.borrow();
        inner.region(&inner.panel)
    }
}

impl Inner {
    fn region(&self, panel: &[String]) -> Vec<String> {
        let moment = Moment {
            now: self.clock.now(),
            spent: self.clock.elapsed().saturating_sub(self.since),
            progress: self.progress.as_ref(),
            panel,
            keys: self.keys,
        };
        region::lines(&self.story, &moment, usize::from((self.width)()), self.ink)
    }

    fn paint(&self) {
        if !self.closed && self.story.began.is_some() {
            self.bar.set_message(self.region(&self.panel).join("\n"));
        }
    }

    fn permanent(&self, line: &str) {
        if self.closed {
            self.screen.plain(line);
        } else {
            self.bar.suspend(|| self.screen.plain(line));
        }
    }

    fn sentence(&self, ts: &str, sentence: &Sentence) {
        let mark = self.ink.mark(sentence.mark);
        let pad = if self.ink.ascii { 4 } else { 1 };
        let fill = " ".repeat(pad - console::measure_text_width(&mark).min(pad));
        let subject = format!("{:<12}", sentence.subject);
        let head = 8 + 1 + pad + 1 + console::measure_text_width(&subject) + 1;
        let width = usize::from((self.width)()).clamp(20, 100);
        // Broken after what ASCII makes longer, and before colour, which has no width.
        let flat = Ink { color: false, ..self.ink }.text(&sentence.text);
        for (n, part) in wrap(&flat, width.saturating_sub(head + 1)).iter().enumerate() {
            let part = self.ink.text(part);
            self.permanent(&match n {
                0 => format!("{} {mark}{fill} {} {part}", words::time_of_day(ts), self.ink.text(&subject)),
                _ => format!("{}{part}", " ".repeat(head)),
            });
        }
    }
}

impl Reporter for Live {
    fn record(&mut self, entry: &Entry) {
        let mut inner = self.0.borrow_mut();
        inner.story.take(entry);
        if matches!(entry.event(), Some(Event::StepIntent { .. } | Event::ApprovalRequested { .. })) {
            inner.since = inner.clock.elapsed();
            inner.progress = None;
        }
        if let Some(sentence) = words::sentence(entry) {
            let loud = !sentence.detail || sentence.mark == Mark::Failed && entry.event().is_none();
            if loud {
                inner.sentence(&entry.ts, &sentence);
            }
        }
        inner.paint();
    }

    fn progress(&mut self, progress: &Progress) {
        let mut inner = self.0.borrow_mut();
        inner.progress = Some(progress.clone());
        inner.paint();
    }

    fn users(&mut self, route: &str, split: Split) {
        let mut inner = self.0.borrow_mut();
        let now = inner.clock.now();
        inner.story.read(route, split, now);
        inner.paint();
    }

    fn closing(&mut self, closing: &Closing) {
        let mut inner = self.0.borrow_mut();
        inner.bar.finish_and_clear();
        inner.closed = true;
        let width = usize::from((inner.width)()).clamp(20, 100) - 1;
        for (n, line) in closing.lines.iter().enumerate() {
            let flat = Ink { color: false, ..inner.ink }.text(line);
            // A command is copied as one line, however long it is; the terminal breaks it without harm.
            let parts = if flat.starts_with(NATIVE) { vec![flat] } else { hanging(&flat, width) };
            for part in parts {
                let part = inner.ink.text(&part);
                inner.screen.plain(&if n == 1 { inner.ink.bold(&part) } else { part });
            }
        }
    }
}

/// A row of the closing block in lines that fit, with its text kept in its column.
fn hanging(line: &str, width: usize) -> Vec<String> {
    if console::measure_text_width(line) <= width {
        return vec![line.to_string()];
    }
    let (head, text) = match line.char_indices().nth(COLUMN) {
        Some((at, _)) if line.starts_with("  ") => line.split_at(at),
        _ => return wrap(line, width),
    };
    let parts = wrap(text, width.saturating_sub(COLUMN));
    let indent = " ".repeat(COLUMN);
    parts.iter().enumerate().map(|(n, part)| format!("{}{part}", if n == 0 { head } else { &indent })).collect()
}

/// The terminal as indicatif draws on it: cursor movements collected, and written in one go, so nothing flickers.
#[derive(Clone)]
struct Screen {
    out: Arc<Mutex<Out>>,
    width: Width,
}

struct Out {
    out: Box<dyn Write + Send>,
    pending: Vec<u8>,
}

impl Screen {
    fn push(&self, text: &str) -> std::io::Result<()> {
        self.lock().pending.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn plain(&self, line: &str) {
        let _ = self.push(&format!("{line}\r\n")).and_then(|()| self.flush());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        (self.width)()
    }

    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        if n > 0 { self.push(&format!("\u{1b}[{n}A")) } else { Ok(()) }
    }

    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        if n > 0 { self.push(&format!("\u{1b}[{n}B")) } else { Ok(()) }
    }

    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        if n > 0 { self.push(&format!("\u{1b}[{n}C")) } else { Ok(()) }
    }

    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        if n > 0 { self.push(&format!("\u{1b}[{n}D")) } else { Ok(()) }
    }

    fn write_line(&self, s: &str) -> std::io::Result<()> {
        self.push(&format!("{s}\r\n"))
    }

    fn write_str(&self, s: &str) -> std::io::Result<()> {
        self.push(s)
    }

    fn clear_line(&self) -> std::io::Result<()> {
        self.push("\r\u{1b}[2K")
    }

    fn flush(&self) -> std::io::Result<()> {
        let mut out = self.lock();
        let pending = std::mem::take(&mut out.pending);
        // Said to nobody if the terminal is gone.
        let _ = out.out.write_all(&pending).and_then(|()| out.out.flush());
        Ok(())
    }
}
