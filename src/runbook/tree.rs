//! The file as a tree that knows where every key and value stands. It judges nothing.

use std::ops::Range;

/// A value with its bytes in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Range<usize>,
    pub value: Tree,
}

/// What a value is before anybody knows what it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    /// The source text, so `no` and `1.20` stay what was written. A plain scalar may be read as a number or a truth
    /// value where one is wanted; a quoted one is always text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    pub node: Node,
}

impl Node {
    /// The entry of a map by its key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Tree::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Tree::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Follows a JSON pointer as far as it leads: the last part that exists is the nearest place to point at.
    pub fn nearest(&self, pointer: &str) -> &Node {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Tree::List(items) => part.parse::<usize>().ok().and_then(|n| items.get(n)),
                _ => node.get(&part),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// Every scalar below, with its place.
    pub fn scalars(&self) -> Vec<(&str, Range<usize>)> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(node) = open.pop() {
            match &node.value {
                Tree::Null => {}
                Tree::Scalar { text, .. } => found.push((text.as_str(), node.span.clone())),
                Tree::List(items) => open.extend(items.iter().rev()),
                Tree::Map(entries) => open.extend(entries.iter().rev().map(|entry| &entry.node)),
            }
        }
        found
    }
}
