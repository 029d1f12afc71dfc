//! The live lines at the bottom of a terminal, as a function of the story: at most eight, none wider than the terminal.

use std::time::Duration;

use jiff::Timestamp;

use super::ink::{Ink, spoken_seconds};
use super::words::verdict_mark;
use super::{GateRow, Mark, Story};
use crate::plan::{Color, Lane};
use crate::run::Verdict;
use crate::world::Progress;

/// Lines of the region, all told.
pub const LINES: usize = 8;
/// Nothing is wider than this, also on wide terminals: eyes do not travel that far at 3 am.
const WIDEST: usize = 100;

/// What the region shows beside the story.
#[derive(Debug, Default)]
pub struct Moment<'a> {
    pub now: Timestamp,
    /// Since the step at work began.
    pub spent: Duration,
    pub progress: Option<&'a Progress>,
    /// A question that is open: it takes the place of gates and keys.
    pub panel: &'a [String],
    pub keys: bool,
}

/// The lines, top to bottom.
pub fn lines(story: &Story, moment: &Moment<'_>, width: usize, ink: Ink) -> Vec<String> {
    let width = width.clamp(20, WIDEST);
    let mut lines = vec![users(story, moment, width, ink)];
    if moment.panel.is_empty() {
        step(story, moment, width, ink, &mut lines);
        gates(story, width, ink, &mut lines);
        if moment.keys {
            lines.push(ink.text(keys(story)));
        }
    } else {
        // The answer is typed at the end, so a panel that is too long loses its middle, never its end.
        let mut panel: Vec<String> = moment.panel.iter().map(|line| format!("  {}", ink.text(line))).collect();
        let typed = panel.pop().map(|line| end_of(line, width - 1));
        panel.extend(typed);
        let room = LINES - 1;
        let over = panel.len().saturating_sub(room);
        let from = panel.len().min(1) + over;
        lines.extend(panel.first().cloned());
        lines.extend(panel.into_iter().skip(from));
    }
    lines.truncate(LINES);
    lines.into_iter().map(|line| console::truncate_str(&line, width - 1, "").into_owned()).collect()
}

/// What the keys do at this moment: who goes back already cannot be told to.
fn keys(story: &Story) -> &'static str {
    let back = story.current.as_ref().map_or(story.rollback, |current| current.at.lane == Lane::Rollback);
    match back {
        true => "  [s] status  [?] keys          going back; Ctrl-C says what it waits for",
        false => "  [s] status  [r] roll back now  [?] keys          Ctrl-C stops safely",
    }
}

/// The end of a line that is too long: what is typed at stays to be seen.
fn end_of(line: String, width: usize) -> String {
    let over = console::measure_text_width(&line).saturating_sub(width);
    if over == 0 { line } else { "  ".chars().chain(line.chars().skip(over + 2)).collect() }
}

/// `users: BLUE 90 GREEN 10   ██████░░   read 2s ago`
fn users(story: &Story, moment: &Moment<'_>, width: usize, ink: Ink) -> String {
    let age = match story.read_at() {
        Some(at) => {
            format!("read {} ago", spoken_seconds((moment.now.as_second() - at.as_second()).max(0).unsigned_abs()))
        }
        None => "not read yet".into(),
    };
    let said = format!("  users: {}", story.users_line());
    let taken = console::measure_text_width(&said) + age.len() + 6;
    let one = story.users.values().next().filter(|_| story.about.plan.routes.len() == 1 || story.only().is_some());
    let bar = match one {
        Some(seen) if taken + 10 <= width => {
            ink.users_bar(seen.split.share(Color::Green), (width - taken).min(40)) + "  "
        }
        _ => String::new(),
    };
    format!("{}  {bar}{age}", ink.text(&said))
}

fn step(story: &Story, moment: &Moment<'_>, width: usize, ink: Ink, lines: &mut Vec<String>) {
    let Some(current) = &story.current else { return };
    let steps = story.about.plan.lane(current.at.lane);
    let lane = if current.at.lane == Lane::Rollback { "rollback, step" } else { "step" };
    let place = format!("{lane} {} of {}", current.at.index + 1, steps.len());
    let spent = spoken_seconds(moment.spent.as_secs());
    let Some(progress) = moment.progress.filter(|p| p.of > 0) else {
        let line = moment.progress.map_or(current.line.as_str(), |p| p.line.as_str());
        lines.push(ink.text(&format!("  {:<10} {spent}  {line}   {place}", current.id)));
        return;
    };
    let said = format!("  {:<10} {}", current.id, progress.line);
    let taken = console::measure_text_width(&said) + place.len() + 8;
    let share = progress.done as f64 / progress.of as f64;
    let bar = if taken + 8 <= width { ink.bar(share, (width - taken).min(36)) + "  " } else { String::new() };
    lines.push(format!("{}  {bar}{place}", ink.text(&said)));
}

/// One row a gate; on narrow terminals the columns go from right to left.
fn gates(story: &Story, width: usize, ink: Ink, lines: &mut Vec<String>) {
    if story.gates.is_empty() {
        return;
    }
    let blue = width >= 60;
    let windows = width >= 72;
    let name = story.gates.iter().map(|g| g.gate.chars().count()).max().unwrap_or(0).clamp(4, 16);
    let mut head = format!("    {:<name$}  {:<10} {:<10}", "gate", "green", "limit");
    if blue {
        head += &format!(" {:<10}", "blue");
    }
    if windows {
        head += "windows";
    }
    lines.push(head.trim_end().to_string());
    // The table may use what is left below the users, the step and its own head, above the keys.
    let room = LINES - 4;
    let mut rows: Vec<&GateRow> = story.gates.iter().collect();
    // What is not well comes first, so it cannot fall out of the table.
    rows.sort_by_key(|row| match row.verdict {
        Verdict::Fail => 0,
        Verdict::Unknown => 1,
        Verdict::Pass => 2,
    });
    let hidden = rows.len().saturating_sub(room);
    let shown = if hidden > 0 { room - 1 } else { rows.len() };
    for row in &rows[..shown] {
        let cell = |text: Option<&str>| console::truncate_str(text.unwrap_or("no data"), 10, "").into_owned();
        let mut line = format!(
            "    {:<name$}  {:<10} {:<10}",
            console::truncate_str(&row.gate, name, ""),
            cell(row.green.as_deref()),
            cell(Some(&row.limit)),
        );
        if blue {
            line += &format!(" {:<10}", cell(row.blue.as_deref()));
        }
        if windows {
            let mut marks: Vec<String> = row.windows.iter().map(|v| ink.mark(verdict_mark(*v))).collect();
            let left = (row.of as usize).saturating_sub(marks.len());
            marks.extend(std::iter::repeat_n(if ink.ascii { "." } else { "·" }.to_string(), left));
            line += &marks.join(" ");
        } else {
            line += &format!(" {}", ink.mark(verdict_mark(row.verdict)));
        }
        lines.push(line);
    }
    if hidden > 0 {
        let good = rows[shown..].iter().all(|row| row.verdict == Verdict::Pass);
        let mark = ink.mark(if good { Mark::Done } else { Mark::Warning });
        lines.push(format!("    {mark} and {} more gates", rows.len() - shown));
    }
}
