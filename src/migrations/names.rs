//! Names and texts in a tree of SQL, as PostgreSQL reads them.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

/// The bytes of a statement, without what stands around it.
pub fn bytes(node: &SyntaxNode) -> Range<usize> {
    let mut tokens = node.descendants_with_tokens().filter_map(|e| e.into_token()).filter(|t| !is_trivia(t.kind()));
    let Some(first) = tokens.next() else { return node.text_range().into() };
    let last = tokens.last().unwrap_or_else(|| first.clone());
    first.text_range().start().into()..last.text_range().end().into()
}

fn is_trivia(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::WHITESPACE | SyntaxKind::COMMENT)
}

/// The words of a node in one line, comments left out.
pub fn words(node: &SyntaxNode) -> String {
    let mut text = String::new();
    for token in node.descendants_with_tokens().filter_map(|e| e.into_token()) {
        match is_trivia(token.kind()) {
            true if !text.is_empty() && !text.ends_with(' ') => text.push(' '),
            true => {}
            false => text.push_str(token.text()),
        }
    }
    text.trim_end_matches([' ', ';']).to_string()
}

/// A name as the catalog holds it: folded to lower case unless quoted, and without the schema `public`.
pub fn name(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let (mut part, mut quoted) = (String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            c if quoted => part.push(c),
            c if c.is_whitespace() => {}
            c => part.extend(c.to_lowercase()),
        }
    }
    parts.push(part);
    if parts.len() > 1 && parts[0] == "public" {
        parts.remove(0);
    }
    parts.join(".")
}

/// The name of a node, if there is one.
pub fn named<N: AstNode>(node: Option<N>) -> String {
    node.map(|node| name(&words(node.syntax()))).unwrap_or_default()
}

/// The table of an `alter table` or the like: `only users *` is `users`.
pub fn relation(node: Option<&SyntaxNode>) -> String {
    let path = |node: &SyntaxNode| node.descendants().find_map(ast::PathRef::cast);
    named(node.and_then(path))
}

/// A type as it is compared: `character varying ( 20 )` is `varchar(20)`.
pub fn kind(ty: &ast::Type) -> String {
    let text = words(ty.syntax()).to_lowercase().replace(" (", "(").replace("( ", "(").replace(" )", ")");
    let (base, rest) = match text.find('(') {
        Some(at) => (text[..at].trim().to_string(), text[at..].to_string()),
        None => (text.trim().to_string(), String::new()),
    };
    let zoned = rest.contains("with time zone");
    let size: String = rest.split(')').next().map(|s| format!("{s})")).filter(|_| !rest.is_empty()).unwrap_or_default();
    let size = size.replace(' ', "");
    let base = match base.as_str() {
        "character varying" | "char varying" => "varchar",
        "character" => "char",
        "int" | "int4" => "integer",
        "int8" => "bigint",
        "int2" => "smallint",
        "timestamp" if zoned => "timestamptz",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "decimal" => "numeric",
        other => return format!("{other}{size}"),
    };
    format!("{base}{size}")
}

/// Whether anything below is of one of these kinds.
pub fn holds<N: AstNode>(node: &SyntaxNode) -> bool {
    node.descendants().skip(1).any(|below| N::can_cast(below.kind()))
}

/// The functions that are called below a node.
pub fn calls(node: &SyntaxNode) -> Vec<String> {
    let calls = node.descendants().filter_map(ast::CallExpr::cast);
    calls.filter_map(|call| Some(name(&words(call.expr()?.syntax())))).collect()
}
