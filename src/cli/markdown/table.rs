//! A table in columns where they fit, and as a list of its rows where they do not.

use super::spans::{Piece, lines as broken, words};
use crate::report::Ink;

/// Between two columns.
const GAP: usize = 2;

type Row = Vec<Vec<Piece>>;

pub fn lines(rows: &[Row], width: usize, ink: Ink) -> Vec<String> {
    match fitted(rows, width) {
        Some(columns) => aligned(rows, &columns, ink),
        None => listed(rows, width, ink),
    }
}

fn room(pieces: &[Piece]) -> usize {
    console::measure_text_width(&pieces.iter().map(|piece| piece.text.as_str()).collect::<String>())
}

/// The width of each column: as wide as its widest cell, or less, and never less than its longest word. None where even
/// that is too wide.
fn fitted(rows: &[Row], width: usize) -> Option<Vec<usize>> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let of = |n: usize, measure: &dyn Fn(&[Piece]) -> usize| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| measure(cell)).max().unwrap_or(0)
    };
    let longest = |cell: &[Piece]| words(cell).iter().map(|word| room(word)).max().unwrap_or(0);
    let least: Vec<usize> = (0..count).map(|n| of(n, &longest)).collect();
    let mut columns: Vec<usize> = (0..count).map(|n| of(n, &room)).collect();
    let available = width.checked_sub(GAP * count.saturating_sub(1))?;
    // The widest gives first.
    while columns.iter().sum::<usize>() > available {
        let widest = (0..count).filter(|n| columns[*n] > least[*n]).max_by_key(|n| columns[*n])?;
        columns[widest] -= 1;
    }
    Some(columns)
}

fn aligned(rows: &[Row], columns: &[usize], ink: Ink) -> Vec<String> {
    let mut shown = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<Vec<String>> =
            row.iter()
                .zip(columns)
                .map(|(cell, width)| {
                    if n == 0 { broken(&strong(cell), "", "", *width, ink) } else { broken(cell, "", "", *width, ink) }
                })
                .collect();
        for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let mut text = String::new();
            for (cell, width) in cells.iter().zip(columns) {
                let part = cell.get(line).map_or("", String::as_str);
                let fill = width.saturating_sub(console::measure_text_width(part)) + GAP;
                text += &format!("{part}{}", " ".repeat(fill));
            }
            shown.push(text.trim_end().to_string());
        }
        if n == 0 {
            let rule = if ink.ascii { "-" } else { "─" };
            let rules: Vec<String> = columns.iter().map(|width| rule.repeat(*width)).collect();
            shown.push(rules.join(&" ".repeat(GAP)));
        }
    }
    shown
}

fn strong(cell: &[Piece]) -> Vec<Piece> {
    cell.iter().map(|piece| Piece { strong: true, ..piece.clone() }).collect()
}

/// Each row as its first cell with the others below it, under the names of their columns.
fn listed(rows: &[Row], width: usize, ink: Ink) -> Vec<String> {
    let Some((names, rows)) = rows.split_first() else { return Vec::new() };
    let mut shown = Vec::new();
    for row in rows {
        if !shown.is_empty() {
            shown.push(String::new());
        }
        for (n, cell) in row.iter().enumerate().filter(|(_, cell)| room(cell) > 0) {
            if n == 0 {
                shown.extend(broken(&strong(cell), "", "", width, ink));
                continue;
            }
            let name = names.get(n).filter(|name| room(name) > 0);
            let mut text = name.map_or_else(Vec::new, |name| name.clone());
            if name.is_some() {
                text.push(Piece { text: ": ".into(), strong: false });
            }
            text.extend(cell.iter().cloned());
            shown.extend(broken(&text, "  ", "    ", width, ink));
        }
    }
    shown
}
