//! The inside of a sentence: what is strong or code, where links lead, and how it is broken into lines.

use super::Lead;
use crate::report::Ink;

/// A part of a sentence in one ink.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub text: String,
    pub strong: bool,
}

/// A sentence without its marks.
pub fn pieces(text: &str, ink: Ink, lead: Lead<'_>) -> Vec<Piece> {
    // ASCII is longer than what it stands for, so it comes before any width is taken.
    let flat = |text: &str| Ink { color: false, ..ink }.text(text);
    let mut found: Vec<Piece> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = match next(rest) {
            Mark::Code(code, after) => (Piece { text: flat(code), strong: true }, after),
            Mark::Strong(inside, after) => {
                let inside: String = pieces(inside, ink, lead).into_iter().map(|piece| piece.text).collect();
                (Piece { text: inside, strong: true }, after)
            }
            Mark::Link(label, target, after) => {
                let label: String = pieces(label, ink, lead).into_iter().map(|piece| piece.text).collect();
                let text = match place(target, lead) {
                    Some(place) => format!("{label} ({})", flat(&place)),
                    None => label,
                };
                (Piece { text, strong: false }, after)
            }
            Mark::Plain(plain, after) => (Piece { text: flat(plain), strong: false }, after),
        };
        found.push(piece);
        rest = after;
    }
    found
}

fn place(target: &str, lead: Lead<'_>) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") { Some(target.into()) } else { lead(target) }
}

enum Mark<'a> {
    Code(&'a str, &'a str),
    Strong(&'a str, &'a str),
    Link(&'a str, &'a str, &'a str),
    Plain(&'a str, &'a str),
}

/// What the text begins with, and what follows.
fn next(text: &str) -> Mark<'_> {
    let marked = code(text).or_else(|| strong(text)).or_else(|| link(text));
    marked.unwrap_or_else(|| {
        // Up to the next character that may begin a mark; the one it begins with was none.
        let end =
            text.char_indices().skip(1).find(|(_, c)| matches!(c, '`' | '*' | '[')).map_or(text.len(), |(at, _)| at);
        let end = if text.starts_with("``") { text.len() - text.trim_start_matches('`').len() } else { end };
        Mark::Plain(&text[..end], &text[end..])
    })
}

fn code(text: &str) -> Option<Mark<'_>> {
    let rest = text.trim_start_matches('`');
    let ticks = &text[..text.len() - rest.len()];
    if ticks.is_empty() {
        return None;
    }
    let (inside, after) = rest.split_once(ticks)?;
    // With two backticks a blank on each side lets the code begin with one.
    Some(Mark::Code(if ticks.len() > 1 { inside.trim() } else { inside }, after))
}

fn strong(text: &str) -> Option<Mark<'_>> {
    let (inside, after) = text.strip_prefix("**")?.split_once("**")?;
    (!inside.starts_with(' ') && !inside.is_empty()).then_some(Mark::Strong(inside, after))
}

fn link(text: &str) -> Option<Mark<'_>> {
    let (label, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (target, after) = rest.split_once(')')?;
    (!label.contains('[')).then_some(Mark::Link(label, target, after))
}

/// Broken at blanks into lines of at most `width`, the first behind `first` and the others behind `rest`.
pub fn lines(pieces: &[Piece], first: &str, rest: &str, width: usize, ink: Ink) -> Vec<String> {
    let mut shown = Vec::new();
    let mut line: Vec<Piece> = Vec::new();
    let mut used = console::measure_text_width(first);
    for word in words(pieces) {
        let room = word.iter().map(|piece| console::measure_text_width(&piece.text)).sum::<usize>();
        if !line.is_empty() && used + 1 + room > width {
            shown.push(std::mem::take(&mut line));
            used = console::measure_text_width(rest);
        }
        if !line.is_empty() {
            used += 1;
            let strong = line.last().is_some_and(|p| p.strong) && word.first().is_some_and(|p| p.strong);
            push(&mut line, Piece { text: " ".into(), strong });
        }
        used += room;
        word.into_iter().for_each(|piece| push(&mut line, piece));
    }
    shown.push(line);
    let inked = |line: &Vec<Piece>| line.iter().map(|piece| paint(piece, ink)).collect::<String>();
    shown.iter().enumerate().map(|(n, line)| format!("{}{}", if n == 0 { first } else { rest }, inked(line))).collect()
}

/// Pieces of one ink are one, so that a strong sentence is painted once.
fn push(line: &mut Vec<Piece>, piece: Piece) {
    match line.last_mut() {
        Some(last) if last.strong == piece.strong => last.text.push_str(&piece.text),
        _ => line.push(piece),
    }
}

fn paint(piece: &Piece, ink: Ink) -> String {
    if piece.strong { ink.bold(&piece.text) } else { ink.text(&piece.text) }
}

/// The words of a sentence; each may be of several inks, as `code`, with its comma.
pub fn words(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut words: Vec<Vec<Piece>> = Vec::new();
    // Whether the next part belongs to the last word.
    let mut glued = false;
    for piece in pieces {
        for (n, part) in piece.text.split(' ').enumerate() {
            glued &= n == 0;
            if part.is_empty() {
                continue;
            }
            let part = Piece { text: part.into(), strong: piece.strong };
            match words.last_mut() {
                Some(word) if glued => word.push(part),
                _ => words.push(vec![part]),
            }
            glued = true;
        }
        glued &= !piece.text.ends_with(' ');
    }
    words
}
