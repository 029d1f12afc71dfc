//! The runbook: from the bytes of a file to typed values, or to every mistake in it at once.
//!
//! [`yaml`] makes a tree that knows where everything stands; [`variables`] puts values in; [`walk`] holds the tree against
//! the [`schema`], which is made from the [`types`]; [`names`] looks names up. [`clear`] refuses
//! secrets that stand in a file. Nothing here asks a system or the environment.

mod clear;
mod format;
mod gameday;
mod misread;
mod names;
mod nearest;
mod page;
mod references;
mod scalars;
mod schema;
mod schema_section;
mod sides;
mod slack;
mod source;
mod tree;
mod types;
mod variables;
mod walk;
mod yaml;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use clear::{Clear, in_plan};
pub use format::named;
pub use gameday::GameDay;
pub use nearest::meant;
pub use references::{resolve, resolve_known, resolve_plan};
pub use schema::{Kinds, for_editors};
pub use schema_section::{Change, GreenWrites, SchemaChange};
pub use sides::Sides;
pub use slack::{Acks, SlackMode};
pub use source::Source;
pub use tree::Node;
pub use types::{Approval, Covers, Document, Role, Route, Step};
pub use variables::{Inputs, Reference};

use page::Page;

use crate::diag::{Code, Diagnostic, Severity};

/// The language: the schema and the tables it was made from. Made once, used for every file.
pub struct Language {
    pub schema: Value,
    pub kinds: Kinds,
}

impl Default for Language {
    fn default() -> Self {
        Language::new(Kinds::default())
    }
}

/// A runbook whose shape is right. What it means is judged by `compile`.
pub struct Runbook {
    pub document: Document,
    pub tree: Node,
    pub kinds: Kinds,
    /// Which stack of the file is blue in all of this.
    pub sides: Sides,
    /// `${env:…}` and `${file:…}`, with their places.
    pub references: Vec<Reference>,
    /// Variables that are used and have no value yet.
    pub missing: BTreeMap<String, Range<usize>>,
    /// Secrets that stand in the file in clear.
    pub clear: Clear,
    /// Mistakes and warnings that do not stop the rest from being judged: names, variables, clear secrets.
    pub found: Vec<Diagnostic>,
}

impl Language {
    pub fn new(kinds: Kinds) -> Self {
        Language { schema: schema::schema(&kinds), kinds }
    }

    /// Reads a runbook, or says everything that is wrong with its shape.
    pub fn parse(&self, source: &Source, inputs: &Inputs) -> Result<Runbook, Vec<Diagnostic>> {
        let mut tree = yaml::read(&source.text)?;
        let (sides, mut found) = sides::turn(&mut tree, inputs.swap);
        let variables = variables::substitute(&source.text, &mut tree, inputs);
        found.extend(variables.mistakes);
        let clear = Clear::of(&source.text, &tree, inputs);
        found.extend(names::check(&tree));
        let (mut value, wrong) = walk::walk(&tree, &self.schema, "the runbook");
        let broken = !wrong.is_empty();
        found.extend(wrong);
        let found = with(&clear, found);
        if broken {
            return Err(sides.said(sorted(found)));
        }
        self.settle(&mut value);
        if let (Some(environment), Some(document)) = (&inputs.environment, value.as_object_mut()) {
            document.insert("environment".into(), environment.clone().into());
        }
        match Document::deserialize(value) {
            Ok(document) => Ok(Runbook {
                references: implied(variables.references, &document, &tree),
                document,
                tree,
                kinds: self.kinds,
                sides,
                missing: variables.missing,
                clear,
                found,
            }),
            Err(error) => Err(sorted(with(&clear, vec![Diagnostic::error(Code::Value, error.to_string())]))),
        }
    }

    /// Puts the key that says the kind under one name, and what stands below it under another.
    fn settle(&self, value: &mut Value) {
        let steps: Vec<&str> = self.kinds.steps.iter().map(|kind| kind.name).collect();
        let routers: Vec<&str> = self.kinds.routers.iter().map(|kind| kind.name).collect();
        for lane in ["/steps", "/rollback/steps"] {
            let lane = value.pointer_mut(lane).and_then(Value::as_array_mut);
            lane.into_iter().flatten().for_each(|step| settle(step, &steps));
        }
        let routes = value.get_mut("routes").and_then(Value::as_object_mut);
        routes.into_iter().flat_map(|routes| routes.values_mut()).for_each(|route| settle(route, &routers));
    }
}

/// Reads another file of ours by the schema of its type: the same places, the same sentences. Files without variables only.
pub fn read_as<T: DeserializeOwned>(text: &str, schema: &Value, what: &str) -> Result<(T, Node), Vec<Diagnostic>> {
    let tree = yaml::read(text)?;
    let clear = Clear::of(text, &tree, &Inputs::default());
    let (value, found) = walk::walk(&tree, schema, what);
    let found = with(&clear, found);
    if !found.is_empty() {
        return Err(sorted(found));
    }
    match T::deserialize(value) {
        Ok(read) => Ok((read, tree)),
        Err(error) => Err(vec![Diagnostic::error(Code::Value, error.to_string())]),
    }
}

/// The mistakes of a file and the secrets that stand in it, each place once, and no value in any of the sentences.
fn with(clear: &Clear, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let over = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    let said = |secret: &Diagnostic| {
        let here = |d: &&Diagnostic| d.code == secret.code;
        found.iter().filter(here).any(|d| d.span.iter().zip(&secret.span).any(|(a, b)| over(a, b)))
    };
    let secrets: Vec<Diagnostic> = clear.mistakes.iter().filter(|secret| !said(secret)).cloned().collect();
    clear.masked(found.into_iter().chain(secrets).collect())
}

/// The references that are written out, and those that a word or a default stands for.
fn implied(mut references: Vec<Reference>, document: &Document, tree: &Node) -> Vec<Reference> {
    for node in ["/policy/page", "/policy/notify"].iter().flat_map(|list| tree.nearest(list).items()) {
        if let Some(text) = node.text().and_then(Page::reference) {
            references.push(Reference { text: text.into(), span: node.span.clone() });
        }
    }
    for entry in tree.get("gates").map(Node::entries).unwrap_or_default() {
        let asked = entry.node.get("prometheus").is_some();
        if document.prometheus.is_none() && asked && entry.node.get("url").is_none() {
            references.push(Reference { text: "${env:PROMETHEUS_URL}".into(), span: entry.key_span.clone() });
        }
    }
    for entry in tree.nearest("/compare/checks").entries() {
        let number = entry.node.nearest("/number");
        if document.prometheus.is_none() && number.get("prometheus").is_some() && number.get("url").is_none() {
            references.push(Reference { text: "${env:PROMETHEUS_URL}".into(), span: entry.key_span.clone() });
        }
    }
    references
}

fn settle(value: &mut Value, kinds: &[&str]) {
    let Some(fields) = value.as_object_mut() else { return };
    let Some(kind) = kinds.iter().find(|kind| fields.contains_key(**kind)) else { return };
    let settings = fields.shift_remove(*kind).unwrap_or_default();
    fields.insert("(kind)".into(), Value::String((*kind).into()));
    fields.insert("(settings)".into(), settings);
}

/// By place, errors before warnings at the same place, and one sentence for each place.
pub fn sorted(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let start = |d: &Diagnostic| d.span.as_ref().map_or(0, |span| span.start);
    found.sort_by(|a, b| start(a).cmp(&start(b)).then(b_first(a).cmp(&b_first(b))));
    found.dedup_by(|b, a| a.span.is_some() && a.span == b.span && a.severity == Severity::Error && a.code != b.code);
    found
}

fn b_first(diagnostic: &Diagnostic) -> u8 {
    u8::from(diagnostic.severity == Severity::Warning)
}
