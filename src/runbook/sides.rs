//! Which of the two stacks of a file is blue. The tree is turned so that all that follows reads blue and green alone.
//!
//! A file names its stacks `blue` and `green`, or `a` and `b`, of which blue is whichever serves: that is read from the routes,
//! elsewhere, and comes in here as `swap`. Nothing is asked and nothing is judged here but the names.

use super::tree::{Entry, Node, Tree};
use crate::diag::{Code, Diagnostic};

/// How a file names its stacks, and which name plays which part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// They are `a` and `b`, and which is blue is looked up.
    pub found: bool,
    /// What the file calls green, or `b`, is blue here.
    pub swap: bool,
}

/// What stands for the version of a stack that has not been asked.
const UNREAD: &str = "(version not read)";

impl Sides {
    /// What the file calls the stacks that are blue and green here.
    pub fn names(self) -> [&'static str; 2] {
        match (self.found, self.swap) {
            (false, false) => ["blue", "green"],
            (false, true) => ["green", "blue"],
            (true, false) => ["a", "b"],
            (true, true) => ["b", "a"],
        }
    }

    /// Mistakes, with what to know of each that speaks of blue and green where the file does not.
    pub fn said(self, mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let [blue, green] = self.names();
        for mistake in found.iter_mut().filter(|_| self != Sides::default()) {
            if self.in_its_words(mistake) {
                continue;
            }
            let text = [&mistake.headline, &mistake.label].map(|text| text.to_lowercase()).join(" ");
            if text.contains("blue") || text.contains("green") {
                mistake.notes.push(format!("`{blue}` of the file is blue here, and `{green}` is green"));
            }
        }
        found
    }

    /// A field that is missing is named as the file would have it; whether that is all there is to say.
    fn in_its_words(self, mistake: &mut Diagnostic) -> bool {
        let lacks = |part: &&str| mistake.headline.ends_with(&format!("lacks `{part}`"));
        let Some(part) = ["blue", "green"].iter().position(lacks) else { return false };
        let (part, own) = (["blue", "green"][part], self.names()[part]);
        mistake.headline = mistake.headline.replace(&format!("lacks `{part}`"), &format!("lacks `{own}`"));
        mistake.label = match self.found {
            true => format!("add `{own}`: which of `a` and `b` is live is read"),
            false => mistake.label.replace(&format!("`{part}`"), &format!("`{own}`")),
        };
        true
    }
}

/// Turns the tree; what is wrong with the names is given too.
pub fn turn(tree: &mut Node, swap: bool) -> (Sides, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let stacks = tree.get("stacks").map(Node::entries).unwrap_or_default();
    let of = |names: [&str; 2]| stacks.iter().find(|entry| names.contains(&entry.key.as_str()));
    let (letter, color) = (of(["a", "b"]), of(["blue", "green"]));
    let sides = Sides { found: letter.is_some() && color.is_none(), swap };
    if let (Some(letter), Some(color)) = (letter, color) {
        found.push(
            Diagnostic::error(Code::Stacks, "the stacks are `blue` and `green`, or `a` and `b`")
                .at(letter.key_span.clone(), "this one is found by what serves")
                .context(color.key_span.clone(), "this one is fixed"),
        );
    }
    if sides.found {
        complete(tree, sides, &mut found);
    }
    each(tree, &mut |entries, at| {
        for entry in entries {
            if sides.found && matches!(entry.key.as_str(), "blue" | "green") {
                found.push(
                    Diagnostic::error(Code::UnknownField, format!("unknown field `{}` in {at}", entry.key))
                        .at(entry.key_span.clone(), "the stacks of this file are `a` and `b`"),
                );
            }
            let part = sides.names().iter().position(|name| *name == entry.key);
            if let Some(part) = part {
                entry.key = ["blue", "green"][part].into();
            }
        }
    });
    (sides, found)
}

/// The versions of `a` and `b` are read; what says where and which is to be there.
fn complete(tree: &mut Node, sides: Sides, found: &mut Vec<Diagnostic>) {
    let Some(entry) = tree.entries().iter().position(|entry| entry.key == "stacks") else { return };
    let Tree::Map(entries) = &mut tree.value else { return };
    let Entry { key_span, node, .. } = &mut entries[entry];
    for (key, words) in [
        ("version", "where each says what it runs, as `{ path: /version, header: x-bot-version }`"),
        ("release", "the version that is to be live: the one that serves it already is left alone"),
    ] {
        if node.get(key).is_none() {
            let wrong = Diagnostic::error(Code::MissingField, format!("`stacks` lacks `{key}`"));
            found.push(wrong.at(key_span.clone(), format!("add `{key}`: {words}")));
        }
    }
    let Tree::Map(stacks) = &mut node.value else { return };
    for stack in stacks.iter_mut().filter(|entry| sides.names().contains(&entry.key.as_str())) {
        if let Some(version) = stack.node.entry("version") {
            found.push(
                Diagnostic::error(Code::UnknownField, format!("unknown field `version` in `{}`", stack.key))
                    .at(version.key_span.clone(), "the version of a stack that is found is read there"),
            );
        }
        let Tree::Map(fields) = &mut stack.node.value else { continue };
        let text = format!("{} {UNREAD}", stack.key);
        let node = Node { span: stack.key_span.clone(), value: Tree::Scalar { text, plain: false } };
        fields.push(Entry { key: "version".into(), key_span: stack.key_span.clone(), node });
    }
}

/// Every mapping of the file that says something for each stack, and what it is.
fn each(tree: &mut Node, turn: &mut dyn FnMut(&mut Vec<Entry>, &str)) {
    let mut map = |node: &mut Node, at: &str| {
        if let Tree::Map(entries) = &mut node.value {
            turn(entries, at);
        }
    };
    below(tree, &["stacks"], &mut |node| map(node, "`stacks`"));
    below(tree, &["routes", "*", "*"], &mut |node| map(node, "a route's settings"));
    for path in [&["gates", "*", "cloudwatch"][..], &["compare", "checks", "*", "number", "cloudwatch"]] {
        below(tree, path, &mut |node| map(node, "`cloudwatch`"));
    }
    for (list, field) in [("modals", "private_metadata"), ("buttons", "value")] {
        below(tree, &["slack", "continuity", list, "*", field], &mut |node| map(node, "`continuity`"));
    }
}

/// What lies at the end of a path, where `*` is every entry and every item.
fn below(node: &mut Node, path: &[&str], act: &mut dyn FnMut(&mut Node)) {
    let Some((first, rest)) = path.split_first() else { return act(node) };
    match &mut node.value {
        Tree::Map(entries) => {
            let chosen = entries.iter_mut().filter(|entry| *first == "*" || entry.key == *first);
            chosen.for_each(|entry| below(&mut entry.node, rest, act));
        }
        Tree::List(items) if *first == "*" => items.iter_mut().for_each(|item| below(item, rest, act)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_stack_is_named_as_the_file_would_have_it() {
        let said = |found, swap, part: &str| {
            let missing = Diagnostic::error(Code::MissingField, format!("`stacks` lacks `{part}`"));
            let found = Sides { found, swap }.said(vec![missing.at(0..1, format!("add `{part}`: The candidate"))]);
            format!("{} · {} · {}", found[0].headline, found[0].label, found[0].notes.len())
        };
        let read = "which of `a` and `b` is live is read · 0";
        assert_eq!(said(true, false, "green"), format!("`stacks` lacks `b` · add `b`: {read}"));
        assert_eq!(said(true, false, "blue"), format!("`stacks` lacks `a` · add `a`: {read}"));
        assert_eq!(said(true, true, "blue"), format!("`stacks` lacks `b` · add `b`: {read}"));
        assert_eq!(said(false, true, "green"), "`stacks` lacks `blue` · add `blue`: The candidate · 0");
        assert_eq!(said(false, false, "green"), "`stacks` lacks `green` · add `green`: The candidate · 0");
    }
}
