//! Where a question is shown: in the live region of a renderer, or on a terminal without one.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

/// Shows the lines of a question.
type Panel = dyn Fn(&[String]);

/// A place for one open question and for lines that stay. A clone is the same place.
#[derive(Clone)]
pub struct Board {
    panel: Rc<Panel>,
    say: Rc<dyn Fn(&str)>,
}

impl Board {
    /// `panel` shows the lines of a question, again and again as it is typed at; no lines take it away. `say` writes a
    /// line that stays.
    pub fn new(panel: impl Fn(&[String]) + 'static, say: impl Fn(&str) + 'static) -> Self {
        Board { panel: Rc::new(panel), say: Rc::new(say) }
    }

    /// A board on a terminal without a live region: the question is written once, and only its last line is redrawn.
    pub fn on(out: Box<dyn Write>) -> Self {
        let out = Rc::new(RefCell::new(out));
        let (lines, open) = (out.clone(), Cell::new(false));
        let panel = move |panel: &[String]| {
            let mut out = lines.borrow_mut();
            // A terminal that went away is met by whoever waits for its keys.
            let _ = match panel.split_last() {
                None if open.take() => writeln!(out),
                None => Ok(()),
                Some((last, above)) => {
                    let above = if open.replace(true) { &[] } else { above };
                    above
                        .iter()
                        .try_for_each(|line| writeln!(out, "  {line}"))
                        .and_then(|()| write!(out, "\r\u{1b}[2K  {}", end_of(last, width())))
                }
            };
            let _ = out.flush();
        };
        let say = move |line: &str| {
            let mut out = out.borrow_mut();
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        };
        Board::new(panel, say)
    }

    /// Shows a question; see [`Board::new`].
    pub fn show(&self, lines: &[String]) {
        (self.panel)(lines);
    }

    pub fn clear(&self) {
        (self.panel)(&[]);
    }

    pub fn say(&self, line: &str) {
        (self.say)(line);
    }
}

/// The columns for a line that is typed at: one that is broken by the terminal could not be redrawn.
fn width() -> usize {
    match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 4 => usize::from(size.ws_col) - 3,
        _ => 77,
    }
}

/// The end of a line that is too long.
fn end_of(line: &str, width: usize) -> String {
    let over = line.chars().count().saturating_sub(width);
    line.chars().skip(over).collect()
}
