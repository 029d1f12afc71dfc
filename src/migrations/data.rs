//! Statements that read and write rows.

use std::collections::BTreeSet;

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode, Stmt};

use super::class::Judged;
use super::known::Known;
use super::names::{calls, holds, name, named, relation, words};

/// Functions that do nothing but answer, or set the session, and stand in migrations now and then.
const HARMLESS: [&str; 16] = [
    "set_config",
    "pg_catalog.set_config",
    "current_setting",
    "now",
    "count",
    "min",
    "max",
    "sum",
    "coalesce",
    "exists",
    "lower",
    "upper",
    "length",
    "pg_advisory_lock",
    "pg_advisory_xact_lock",
    "pg_advisory_unlock",
];

/// `update`, `delete`, `insert`, `merge`, `copy`.
pub fn written(statement: &Stmt, known: &Known) -> Judged {
    let node = statement.syntax();
    // A `with` that writes hides a second statement in the first.
    if holds::<ast::Update>(node)
        || holds::<ast::Delete>(node)
        || holds::<ast::Insert>(node)
        || holds::<ast::Merge>(node)
    {
        return Judged::unknown("it writes in more than one place");
    }
    let new = |table: &str| known.is_new_table(table);
    match statement {
        Stmt::Update(update) => {
            let table = relation(update.relation_name().as_ref().map(AstNode::syntax));
            let lock = "locks every row it writes until its transaction ends: write in batches";
            if new(&table) {
                return Judged::expand(format!("`{table}` is new in this release"));
            }
            let columns = targets(update);
            if !columns.is_empty() && columns.iter().all(|column| known.is_new(&table, column)) {
                return Judged::expand("it fills what blue does not know").hazard(lock);
            }
            Judged::semantic("rows that blue reads hold other values").hazard(lock)
        }
        Stmt::Insert(insert) => {
            let table = named(insert.relation_name_ref().and_then(|r| r.path_ref()));
            match new(&table) {
                true => Judged::expand(format!("`{table}` is new in this release")),
                false => Judged::semantic("blue reads rows that it did not write"),
            }
        }
        Stmt::Delete(delete) => {
            let table = relation(delete.relation_name().as_ref().map(AstNode::syntax));
            match new(&table) && !known.is_referred(&table) {
                true => Judged::expand(format!("`{table}` is new in this release")),
                false => Judged::contract("rows that blue reads are gone"),
            }
        }
        Stmt::Copy(_) => Judged::semantic("blue may read rows that it did not write"),
        _ => Judged::unknown("what it writes cannot be read off the statement"),
    }
}

/// The columns that an `update` sets.
fn targets(update: &ast::Update) -> BTreeSet<String> {
    let Some(set) = update.set_clause() else { return BTreeSet::new() };
    let targets = set.syntax().descendants().filter_map(ast::ColumnTarget::cast);
    targets
        .map(|target| {
            let text = words(target.syntax());
            // `tags[1]` and `address.city` set a part of the column.
            let column = text.split(['[', '.']).next().unwrap_or_default().trim().to_string();
            name(&column)
        })
        .collect()
}

/// `select` and its like: harmless, unless it calls what may write.
pub fn read(node: &SyntaxNode) -> Judged {
    if holds::<ast::Update>(node)
        || holds::<ast::Delete>(node)
        || holds::<ast::Insert>(node)
        || holds::<ast::Merge>(node)
    {
        return Judged::unknown("it writes in a `with`");
    }
    match calls(node).into_iter().find(|called| !HARMLESS.contains(&called.as_str())) {
        Some(called) => Judged::unknown(format!("what `{called}` does cannot be read off the statement")),
        None => Judged::nothing(),
    }
}
