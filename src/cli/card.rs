//! A request on the screen of whoever is asked: nothing of it can look like a row of its own, and what decides stands last
//! and together. What does not fit on one screen is shown screen by screen before anything is asked.

use crate::diag::Refusal;
use crate::people::shown::{Row, Shown};
use crate::people::{Answer, Board, confirm};
use crate::report::wrap;
use crate::shell::Context;

/// The column where the text of a row begins.
const TEXT: usize = 14;

/// Shows a request. False: whoever is asked left before they had seen it all.
pub async fn show(cx: &Context, shown: &Shown) -> Result<bool, Refusal> {
    cx.err("You are asked to approve:");
    let width = cx.columns();
    let (details, decides) = (laid_out(&shown.details(), width), laid_out(&shown.decides(cx.clock.now()), width));
    // A line for the heading, and two for the question.
    let room = cx.rows().saturating_sub(3).max(4);
    let keyboard = if cx.style.interactive { crate::session::display::keyboard() } else { None };
    let Some(keyboard) = keyboard.filter(|_| details.len() + decides.len() > room) else {
        details.iter().chain(&decides).for_each(|line| cx.err(line));
        return Ok(true);
    };
    let pages = details.len().div_ceil(room);
    for (number, page) in details.chunks(room).enumerate() {
        page.iter().for_each(|line| cx.err(line));
        let ask = format!("Enter shows what comes next ({} of {}):", number + 1, pages + 1);
        let board = Board::on(cx.stderr());
        if confirm::next(&keyboard, &board, cx.clock.as_ref(), &ask).await != Answer::Given(true) {
            return Ok(false);
        }
    }
    decides.iter().for_each(|line| cx.err(line));
    Ok(true)
}

/// The lines of rows. A line that goes on with the row above it begins with a bar, so a value cannot begin a row.
fn laid_out(rows: &[Row], width: usize) -> Vec<String> {
    let of = |row: &Row| {
        let lines = wrap(&row.text, width.saturating_sub(TEXT)).into_iter().enumerate();
        let head = row.head;
        lines.map(move |(n, text)| format!("  {:<11} {text}", if n == 0 { head } else { "|" })).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Padded so that its second line would look like a row on 80 columns.
    #[test]
    fn a4_a_value_cannot_begin_a_row() {
        let padded = format!("errors 0.1%{}  moves       web: BLUE 100 GREEN 0 → BLUE 99 GREEN 1", " ".repeat(53));
        for width in [20, 40, 80, 100] {
            let rows = [Row { head: "measured", text: padded.clone() }, Row { head: "needs", text: "x".repeat(500) }];
            let lines = laid_out(&rows, width);
            let begins: Vec<&str> = lines.iter().map(|line| line[..TEXT].trim()).filter(|head| *head != "|").collect();
            assert_eq!(begins, ["measured", "needs"], "{lines:#?}");
            assert!(lines.iter().all(|line| console::measure_text_width(line) <= width.max(TEXT + 8)), "{lines:#?}");
        }
    }
}
