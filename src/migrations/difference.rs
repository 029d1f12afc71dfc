//! What two moments of PostgreSQL's catalog mean for whoever was made for the first: the second opinion beside the reader of
//! files. What a statement does to rows is not seen here.

use std::collections::BTreeSet;

use super::catalogue::{Catalogue, Column, Index};
use super::class::Class;
use super::column;

/// One difference and what it means for whoever was made for the state before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub class: Class,
    pub line: String,
}

impl Catalogue {
    /// What a version made for `self` meets in `now`.
    pub fn met_in(&self, now: &Catalogue) -> BTreeSet<Difference> {
        let mut found = Found { before: self, all: BTreeSet::new() };
        found.relations(now);
        found.columns(now);
        found.constraints(now);
        found.indexes(now);
        found.others(now);
        found.all
    }
}

struct Found<'a> {
    before: &'a Catalogue,
    all: BTreeSet<Difference>,
}

impl Found<'_> {
    fn add(&mut self, class: Class, line: String) {
        self.all.insert(Difference { class, line });
    }

    fn knows(&self, relation: &str) -> bool {
        self.before.relations.contains_key(relation)
    }

    /// All columns came later: what is asked of them is asked of no row of blue's that leaves them out.
    fn are_new(&self, relation: &str, columns: Option<&Vec<String>>) -> bool {
        let new = |column: &String| !self.before.columns.contains_key(&format!("{relation}.{column}"));
        columns.is_some_and(|columns| !columns.is_empty() && columns.iter().all(new))
    }

    /// They are new, and hold a null in a row that leaves them out.
    fn are_null(&self, now: &Catalogue, relation: &str, columns: Option<&Vec<String>>) -> bool {
        let filled = |column: &String| now.columns.get(&format!("{relation}.{column}")).is_some_and(|c| c.filled);
        self.are_new(relation, columns) && !columns.is_some_and(|columns| columns.iter().any(filled))
    }

    fn relations(&mut self, now: &Catalogue) {
        for (name, was) in &self.before.relations {
            let Some(is) = now.relations.get(name) else {
                self.add(Class::Contract, format!("`{name}` is gone"));
                continue;
            };
            if is.id != was.id && "rp".contains(&was.kind) {
                self.add(Class::Contract, format!("`{name}` was dropped and made again, without its rows"));
            }
            if is.kind != was.kind {
                self.add(Class::Semantic, format!("`{name}` is another kind of thing"));
            }
            if is.rows != was.rows {
                self.add(Class::Semantic, format!("which rows of `{name}` are seen changes"));
            }
            if is.view != was.view && is.kind == was.kind {
                self.add(Class::Semantic, format!("`{name}` shows something else"));
            }
            match (&was.parent, &is.parent) {
                (one, other) if one == other => {}
                (Some(parent), _) if self.knows(parent) => {
                    self.add(Class::Contract, format!("`{parent}` does not hold the rows of `{name}` any more"));
                }
                _ => self.add(Class::Tighten, format!("`{name}` became a part of another table")),
            }
        }
        // A partition that is new takes in rows of a table that blue knows.
        let new = now.relations.iter().filter(|(name, is)| !self.knows(name) && is.kind != "v");
        let parts: Vec<(&String, &String)> = new.filter_map(|(name, is)| Some((name, is.parent.as_ref()?))).collect();
        for (name, parent) in parts {
            if self.knows(parent) && self.before.relations[parent].kind != "p" {
                self.add(Class::Semantic, format!("`{parent}` shows the rows of `{name}` too"));
            }
        }
    }

    fn columns(&mut self, now: &Catalogue) {
        for (key, was) in &self.before.columns {
            let Some(is) = now.columns.get(key) else {
                if now.relations.contains_key(&was.relation) {
                    self.add(Class::Contract, format!("`{key}` is gone"));
                }
                continue;
            };
            let same_table = now.relations.get(&was.relation).map(|is| &is.id)
                == self.before.relations.get(&was.relation).map(|was| &was.id);
            if is.place != was.place && same_table && self.writes(&was.relation) {
                self.add(Class::Contract, format!("`{key}` was dropped and added again, without its values"));
            }
            if is.collation != was.collation {
                self.add(Class::Semantic, format!("`{key}` is compared in another way"));
            }
            if is.r#type != was.r#type {
                let judged = column::retyped(Some(&kind(&was.r#type)), &kind(&is.r#type), false);
                self.add(judged.class, format!("`{key}` was `{}` and is `{}`", was.r#type, is.r#type));
            }
            if is.computed != was.computed || is.computed && is.value != was.value {
                let class = if is.computed && !was.computed { Class::Contract } else { Class::Semantic };
                self.add(class, format!("`{key}` is computed in another way"));
            } else if is.only_computed && !was.only_computed {
                self.add(Class::Tighten, format!("a value of `{key}` that is written is refused"));
            } else if is.required && !is.filled && (was.filled || !was.required) {
                self.add(Class::Tighten, format!("an insert that leaves `{key}` out fails"));
            } else if is.required && !was.required {
                self.add(Class::Tighten, format!("a null in `{key}` is refused"));
            } else if is.value != was.value || is.filled != was.filled {
                self.add(Class::Semantic, format!("an insert that leaves `{key}` out writes something else"));
            }
            if was.required && !is.required {
                self.add(Class::Semantic, format!("`{key}` may be null"));
            }
        }
        let new = now.columns.iter().filter(|(key, _)| !self.before.columns.contains_key(*key));
        let new: Vec<(&String, &Column)> = new.filter(|(_, is)| self.writes(&is.relation)).collect();
        for (key, is) in new {
            if is.required && !is.filled {
                self.add(Class::Tighten, format!("an insert that leaves `{key}` out fails"));
            }
            if is.computed && is.value.as_deref().is_some_and(column::may_fail) {
                self.add(Class::Tighten, format!("a row is refused where `{key}` cannot be computed"));
            }
        }
    }

    /// A table that blue knows; what is shown by a view is not written by it.
    fn writes(&self, relation: &str) -> bool {
        self.before.relations.get(relation).is_some_and(|relation| "rpf".contains(&relation.kind))
    }

    fn constraints(&mut self, now: &Catalogue) {
        for (key, was) in &self.before.constraints {
            match now.constraints.get(key) {
                None if !now.relations.contains_key(&was.relation) => {}
                None => self.add(Class::Semantic, format!("constraint `{key}` is gone")),
                Some(is) if is.text.replace(" NOT VALID", "") != was.text.replace(" NOT VALID", "") => {
                    self.add(Class::Tighten, format!("constraint `{key}` is another one"));
                }
                Some(is) if is.valid && !was.valid => {
                    self.add(Class::Tighten, format!("constraint `{key}` holds for every row"));
                }
                Some(_) => {}
            }
        }
        let new = now.constraints.iter().filter(|(key, _)| !self.before.constraints.contains_key(*key));
        for (key, is) in new.collect::<Vec<_>>() {
            let known = self.knows(&is.relation);
            let refers = is.refers.as_ref().filter(|to| is.keeps && self.knows(to) && **to != is.relation);
            if let Some(to) = refers {
                self.add(Class::Semantic, format!("`{key}` keeps rows of `{to}` from being deleted"));
            }
            let same = self.before.constraints.values().any(|was| was.relation == is.relation && was.text == is.text);
            if !known || same {
                continue;
            }
            // A null passes a check and a reference, and is equal to no other.
            let nulls = self.are_null(now, &is.relation, is.columns.as_ref())
                && is.kind != "p"
                && !is.text.to_lowercase().contains("null");
            let filled_once = is.kind == "f" && self.are_new(&is.relation, is.columns.as_ref());
            if !nulls && !filled_once {
                self.add(Class::Tighten, format!("constraint `{key}` is new: {}", super::shortened(&is.text)));
            }
        }
    }

    fn indexes(&mut self, now: &Catalogue) {
        let there = |all: &Catalogue, index: &Index| {
            all.indexes.values().any(|other| other.relation == index.relation && other.shape() == index.shape())
        };
        for (key, was) in &self.before.indexes {
            let is = now.indexes.get(key);
            if !there(now, was) && now.relations.contains_key(&was.relation) {
                let what = if is.is_some() { "another one" } else { "gone" };
                self.add(Class::Semantic, format!("index `{key}` is {what}"));
            }
        }
        for (key, is) in &now.indexes {
            if !self.writes(&is.relation) || there(self.before, is) {
                continue;
            }
            let nulls =
                self.are_null(now, &is.relation, is.columns.as_ref()) && !is.text.contains("NULLS NOT DISTINCT");
            if is.unique && !nulls {
                self.add(Class::Tighten, format!("`{key}` refuses a second row: {}", super::shortened(&is.text)));
            } else if column::may_fail(&is.value) {
                self.add(Class::Tighten, format!("a row is refused where `{key}` cannot be computed"));
            }
        }
    }

    fn others(&mut self, now: &Catalogue) {
        for (name, was) in &self.before.enums {
            let none = Vec::new();
            let values = was.values.as_ref().unwrap_or(&none);
            let Some(is) = now.enums.get(name) else {
                self.add(Class::Contract, format!("type `{name}` is gone"));
                continue;
            };
            let is = is.values.as_ref().unwrap_or(&none);
            if let Some(gone) = values.iter().find(|value| !is.contains(value)) {
                self.add(Class::Contract, format!("`{name}` has no `{gone}` any more"));
            }
            if let Some(new) = is.iter().find(|value| !values.contains(value)) {
                self.add(Class::Semantic, format!("`{name}` has the new value `{new}`"));
            }
        }
        for ((what, name), was) in &self.before.others {
            if was.relation.as_ref().is_some_and(|relation| !now.relations.contains_key(relation)) {
                continue;
            }
            match now.others.get(&(what.clone(), name.clone())) {
                // That a sequence is gone is said of the relation.
                None if what == "sequence" => {}
                None if matches!(what.as_str(), "trigger" | "policy" | "rule" | "event trigger") => {
                    self.add(Class::Semantic, format!("{what} `{name}` is gone"));
                }
                None => self.add(Class::Contract, format!("{what} `{name}` is gone")),
                Some(is) if is.text != was.text && what == "domain" => {
                    self.add(Class::Tighten, format!("domain `{name}` is another one"));
                }
                Some(is) if is.text != was.text => self.add(Class::Semantic, format!("{what} `{name}` is another one")),
                Some(_) => {}
            }
        }
        for ((what, name), is) in &now.others {
            let known = is.relation.as_ref().is_some_and(|relation| self.knows(relation));
            let acts = matches!(what.as_str(), "trigger" | "policy" | "rule") && known || what == "event trigger";
            if acts && !self.before.others.contains_key(&(what.clone(), name.clone())) {
                self.add(Class::Semantic, format!("{what} `{name}` is new"));
            }
        }
    }
}

/// A type as the reader of files writes it: `timestamp(3) without time zone` is `timestamp`.
fn kind(of: &str) -> String {
    match (of.starts_with("timestamp"), of.ends_with("with time zone")) {
        (true, true) => "timestamptz".into(),
        (true, false) => "timestamp".into(),
        _ => of.replace("character varying", "varchar"),
    }
}
