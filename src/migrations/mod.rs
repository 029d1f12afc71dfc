//! The schema: what migrations mean for the version that is left behind, read by PostgreSQL's own grammar.
//!
//! The question is always the same: can blue live with it? What cannot be read is a question for a person, never a yes.
//! Nothing is run and nothing decided here.
#![doc = include_str!("schema.md")]

mod alter;
pub mod catalogue;
mod class;
mod column;
mod data;
pub mod difference;
mod folder;
mod known;
mod layout;
pub mod live;
mod names;
pub mod shadow;
mod statement;

pub use class::{Class, Judged};
pub use folder::{Folder, Migration, changed};
pub use known::Known;
pub use statement::{LONGEST, Statement, statements, strictest};

/// One line of at most 100 characters.
pub fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(99) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
