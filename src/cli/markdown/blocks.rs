//! A page in blocks: what each group of lines is, before anything is said about how it looks.

/// A group of lines that is shown as one.
#[derive(Debug, PartialEq)]
pub enum Block<'a> {
    Heading(usize, &'a str),
    /// A paragraph, its lines joined.
    Text(String),
    /// Lines between two fences, as they are.
    Code(Vec<&'a str>),
    /// Rows of cells, the first with the names of the columns.
    Table(Vec<Vec<String>>),
    List(Vec<Item<'a>>),
}

/// An item of a list.
#[derive(Debug, PartialEq)]
pub struct Item<'a> {
    pub indent: usize,
    /// `-`, or a number with its dot.
    pub sign: &'a str,
    pub text: String,
}

/// The blocks of a page.
pub fn of(markdown: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    // Whether the next line still belongs to the last block.
    let mut open = false;
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if let Some(fence) = fence(trimmed) {
            // Below an item of a list the whole block is indented.
            let indent = &line[..line.len() - line.trim_start().len()];
            let inside = lines.by_ref().take_while(|line| line.trim() != fence);
            blocks.push(Block::Code(inside.map(|line| line.strip_prefix(indent).unwrap_or(line)).collect()));
            open = false;
        } else if trimmed.is_empty() {
            open = false;
        } else if trimmed.starts_with("<!--") {
            // A mark for a test; no reader's business.
        } else if let Some((level, text)) = heading(line) {
            blocks.push(Block::Heading(level, text));
            open = false;
        } else if trimmed.starts_with('|') {
            row(&mut blocks, trimmed, open);
            open = true;
        } else if let Some(item) = item(line) {
            // With a blank line between them items are still of one list, if they are of one sort.
            let same = |items: &[Item<'_>]| items.last().is_some_and(|last| (last.sign == "-") == (item.sign == "-"));
            match blocks.last_mut() {
                Some(Block::List(items)) if open || same(items) => items.push(item),
                _ => blocks.push(Block::List(vec![item])),
            }
            open = true;
        } else {
            text(&mut blocks, line, open);
            open = true;
        }
    }
    blocks
}

/// The backticks that begin a block of code and end it.
fn fence(line: &str) -> Option<&str> {
    let ticks = line.len() - line.trim_start_matches('`').len();
    (ticks >= 3 && !line[ticks..].contains('`')).then(|| &line[..ticks])
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    ((1..=6).contains(&level) && text.starts_with(' ')).then(|| (level, text.trim()))
}

fn item(line: &str) -> Option<Item<'_>> {
    let text = line.trim_start();
    let (sign, rest) = text.split_once(' ')?;
    let number = sign.strip_suffix('.').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    (sign == "-" || number).then(|| Item { indent: line.len() - text.len(), sign, text: rest.trim().into() })
}

fn text<'a>(blocks: &mut Vec<Block<'a>>, line: &'a str, open: bool) {
    match blocks.last_mut() {
        Some(Block::Text(text)) if open => append(text, line),
        // The rest of an item stands below it, indented or not.
        Some(Block::List(items)) if open || line.starts_with(' ') => {
            items.iter_mut().last().into_iter().for_each(|item| append(&mut item.text, line));
        }
        _ => blocks.push(Block::Text(line.trim().into())),
    }
}

fn append(text: &mut String, line: &str) {
    text.push(' ');
    text.push_str(line.trim());
}

fn row(blocks: &mut Vec<Block<'_>>, line: &str, open: bool) {
    let cells = cells(line);
    let rule = cells.iter().all(|cell| cell.len() > 2 && cell.chars().all(|c| c == '-' || c == ':'));
    match blocks.last_mut() {
        Some(Block::Table(_)) if open && rule => {}
        Some(Block::Table(rows)) if open => rows.push(cells),
        _ => blocks.push(Block::Table(vec![cells])),
    }
}

/// The cells between the bars of a line. `\|` is a bar of the text, and so is one inside of code.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut code = false;
    let mut chars = line.trim_start_matches('|').chars().peekable();
    while let Some(c) = chars.next() {
        let cell = cells.len() - 1;
        match c {
            '\\' if chars.peek() == Some(&'|') => cells[cell].extend(chars.next()),
            '|' if !code => cells.push(String::new()),
            c => {
                code ^= c == '`';
                cells[cell].push(c);
            }
        }
    }
    // Behind the last bar there is no cell.
    if cells.len() > 1 && cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    cells.iter().map(|cell| cell.trim().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_inside_a_cell_is_text() {
        assert_eq!(cells("| a \\| b | `c|d` | |"), ["a | b", "`c|d`", ""]);
        assert_eq!(cells("|---|:--|"), ["---", ":--"]);
    }

    #[test]
    fn a_longer_fence_holds_a_shorter_one() {
        assert_eq!(of("````\n```\n````\nx"), [Block::Code(vec!["```"]), Block::Text("x".into())]);
    }
}
