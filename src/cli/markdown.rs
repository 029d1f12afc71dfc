//! A page's Markdown as lines for a terminal or a pipe: headings, lists, tables, code and links, fitted to a width.
//!
//! It knows what our pages use and no more. Blue and green ink are left to the words BLUE and GREEN: headings, code and
//! strong words are bold. Without colour a heading has a line under it, so nothing is lost.

mod blocks;
mod spans;
mod table;

use blocks::Block;
use spans::{Piece, lines, pieces};

use crate::report::Ink;

/// Where a link of a page leads, in words: the command that shows it, or the address.
pub type Lead<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The lines of a page, none wider than `width` where it can be broken. Code is never broken: it is copied.
pub fn render(markdown: &str, width: usize, ink: Ink, lead: Lead<'_>) -> Vec<String> {
    let page = Page { width: width.max(20), ink, lead };
    let mut shown = Vec::new();
    for block in blocks::of(markdown) {
        let lines = page.block(&block);
        if !shown.is_empty() && !lines.is_empty() {
            shown.push(String::new());
        }
        shown.extend(lines);
    }
    shown
}

struct Page<'a> {
    width: usize,
    ink: Ink,
    lead: Lead<'a>,
}

impl Page<'_> {
    fn block(&self, block: &Block<'_>) -> Vec<String> {
        match block {
            Block::Heading(level, text) => self.heading(*level, text),
            Block::Text(text) => lines(&self.pieces(text), "", "", self.width, self.ink),
            Block::Code(code) => {
                code.iter().map(|line| self.ink.text(&format!("    {line}")).trim_end().into()).collect()
            }
            Block::Table(rows) => {
                let rows: Vec<Vec<Vec<Piece>>> =
                    rows.iter().map(|row| row.iter().map(|cell| self.pieces(cell)).collect()).collect();
                table::lines(&rows, self.width, self.ink)
            }
            Block::List(items) => items.iter().flat_map(|item| self.item(item)).collect(),
        }
    }

    fn pieces(&self, text: &str) -> Vec<Piece> {
        pieces(text, self.ink, self.lead)
    }

    fn heading(&self, level: usize, text: &str) -> Vec<String> {
        let pieces: Vec<Piece> = self.pieces(text).into_iter().map(|piece| Piece { strong: true, ..piece }).collect();
        let mut shown = lines(&pieces, "", "", self.width, self.ink);
        if !self.ink.color {
            let widest = shown.iter().map(|line| console::measure_text_width(line)).max().unwrap_or(0);
            shown.push((if level == 1 { "=" } else { "-" }).repeat(widest));
        }
        shown
    }

    fn item(&self, item: &blocks::Item<'_>) -> Vec<String> {
        let sign = match item.sign {
            "-" if !self.ink.ascii => "•",
            sign => sign,
        };
        let first = format!("{}{sign} ", " ".repeat(item.indent));
        let rest = " ".repeat(console::measure_text_width(&first));
        lines(&self.pieces(&item.text), &first, &rest, self.width, self.ink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Ink = Ink { color: false, ascii: false };
    const COLOR: Ink = Ink { color: true, ascii: false };

    fn shown(markdown: &str, width: usize, ink: Ink) -> String {
        let lead = |link: &str| (link == "freeze.md").then(|| "bgctl explain freeze".to_string());
        render(markdown, width, ink, &lead).join("\n")
    }

    #[test]
    fn paragraphs_are_filled_anew_and_lists_hang() {
        let page = "one\ntwo three four\nfive six seven\n\n- first of\n  the items\n- second\n  - below it\n\n1. do this now please\n2. then";
        assert_eq!(
            shown(page, 20, PLAIN),
            "one two three four\nfive six seven\n\n• first of the items\n• second\n  • below it\n\n1. do this now\n   please\n2. then"
        );
        assert_eq!(shown("- one", 20, Ink { ascii: true, ..PLAIN }), "- one");
    }

    #[test]
    fn headings_are_bold_or_have_a_line_under_them() {
        assert_eq!(shown("# `a` page\n\n## part", 40, PLAIN), "a page\n======\n\npart\n----");
        assert_eq!(shown("# a page", 40, COLOR), "\u{1b}[1ma page\u{1b}[0m");
    }

    #[test]
    fn marks_are_ink_and_links_say_where_they_lead() {
        assert_eq!(
            shown("a **strong** `word`, [freeze](freeze.md), [x](y.rs) and [us](https://example.com).", 99, PLAIN),
            "a strong word, freeze (bgctl explain freeze), x and us (https://example.com)."
        );
        assert_eq!(shown("**b**, `c`", 99, COLOR), "\u{1b}[1mb\u{1b}[0m, \u{1b}[1mc\u{1b}[0m");
        // What only looks like a mark stays.
        assert_eq!(shown("2 ** 3, [no link], a * b, `` a`b ``", 99, PLAIN), "2 ** 3, [no link], a * b, a`b");
    }

    #[test]
    fn only_the_stacks_are_blue_and_green() {
        assert_eq!(shown("BLUE 90", 40, COLOR), "\u{1b}[34mBLUE\u{1b}[0m 90");
    }

    #[test]
    fn code_is_as_it_is_and_stands_apart() {
        let long = "x".repeat(60);
        assert_eq!(
            shown(&format!("so:\n```sh\n# **a** `b`\n\n{long}\n```\nafter"), 20, PLAIN),
            format!("so:\n\n    # **a** `b`\n\n    {long}\n\nafter")
        );
    }

    #[test]
    fn tables_have_columns_that_fit() {
        let page = "| code | means |\n|---|---|\n| 0 | `ok` |\n| 10 | a \\| b |";
        assert_eq!(shown(page, 40, PLAIN), "code  means\n────  ─────\n0     ok\n10    a | b");
        let page = "| code | means |\n|---|---|\n| 10 | one two three four five |";
        assert_eq!(shown(page, 20, PLAIN), "code  means\n────  ──────────────\n10    one two three\n      four five");
        assert!(shown(page, 20, Ink { ascii: true, ..PLAIN }).is_ascii());
    }

    #[test]
    fn a_table_that_cannot_fit_becomes_a_list_of_its_rows() {
        let page = "| setting | default | means |\n|---|---|---|\n| a_setting_with_a_name | another_long_word | how long |\n| b | | c |";
        assert_eq!(
            shown(page, 30, PLAIN),
            "a_setting_with_a_name\n  default: another_long_word\n  means: how long\n\nb\n  means: c"
        );
    }

    #[test]
    fn what_is_for_other_readers_is_left_out() {
        assert_eq!(shown("<!-- measured -->\na\n<!-- /measured -->", 40, PLAIN), "a");
    }
}
