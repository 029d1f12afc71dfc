//! What PostgreSQL's own catalog holds at one moment, and what two such moments mean for whoever was made for the first: the
//! second opinion beside the reader of files. Rows are not looked at, so what a statement does to data is not seen here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::class::Class;
use super::column;

/// One question for everything that decides what a statement of blue's meets. What belongs to an extension is left out, and a
/// name of the schema `public` stands without it.
pub const QUESTION: &str = r#"
with spaces as (
  select oid, case nspname when 'public' then '' else nspname || '.' end as before from pg_namespace
  where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'
), lent as (
  select classid, objid from pg_depend where deptype = 'e'
), relations as (
  select c.oid, c.relkind, s.before || c.relname as name, c.relrowsecurity, c.relforcerowsecurity, c.relacl, c.relowner
  from pg_class c join spaces s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
    and not exists (select from lent where classid = 'pg_class'::regclass and objid = c.oid)
)
select 'relation' as what, r.name as key, jsonb_build_object(
    'kind', r.relkind, 'rows', concat(r.relrowsecurity, r.relforcerowsecurity),
    'view', case when r.relkind in ('v', 'm') then pg_get_viewdef(r.oid) end,
    'parent', (select p.name from pg_inherits i join relations p on p.oid = i.inhparent where i.inhrelid = r.oid limit 1)) as "is"
  from relations r
union all
select 'column', r.name || '.' || a.attname, jsonb_build_object(
    'relation', r.name, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
    'required', a.attnotnull or t.typnotnull, 'filled', a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
    'computed', a.attgenerated <> '', 'only_computed', a.attidentity = 'a', 'value', pg_get_expr(d.adbin, d.adrelid))
  from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where r.relkind <> 'S'
union all
select 'constraint', r.name || '.' || c.conname, jsonb_build_object(
    'relation', r.name, 'kind', c.contype, 'text', pg_get_constraintdef(c.oid), 'valid', c.convalidated,
    'columns', (select jsonb_agg(a.attname) from unnest(c.conkey) k join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k),
    'refers', (select f.name from relations f where f.oid = c.confrelid), 'keeps', c.confdeltype in ('a', 'r'))
  from pg_constraint c join relations r on r.oid = c.conrelid where c.contype in ('c', 'f', 'u', 'p', 'x')
union all
select 'index', x.relname, jsonb_build_object(
    'relation', r.name, 'unique', i.indisunique, 'text', pg_get_indexdef(i.indexrelid),
    'columns', (select jsonb_agg(a.attname) from unnest(i.indkey::int2[]) k join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k),
    'value', concat(pg_get_expr(i.indexprs, i.indrelid), ' ', pg_get_expr(i.indpred, i.indrelid)))
  from pg_index i join relations r on r.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
  where not exists (select from pg_constraint c where c.conindid = i.indexrelid and c.contype in ('u', 'p', 'x'))
union all
select 'trigger', r.name || '.' || t.tgname, jsonb_build_object('relation', r.name, 'text', concat(pg_get_triggerdef(t.oid), t.tgenabled))
  from pg_trigger t join relations r on r.oid = t.tgrelid where not t.tgisinternal
union all
select 'policy', r.name || '.' || p.polname, jsonb_build_object('relation', r.name, 'text',
    concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::text, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)))
  from pg_policy p join relations r on r.oid = p.polrelid
union all
select 'rule', r.name || '.' || w.rulename, jsonb_build_object('relation', r.name, 'text', pg_get_ruledef(w.oid))
  from pg_rewrite w join relations r on r.oid = w.ev_class where w.rulename <> '_RETURN'
union all
select 'right', r.name || ' ' || a.privilege_type || ' ' || coalesce(g.rolname, 'public'), jsonb_build_object('relation', r.name)
  from relations r, aclexplode(r.relacl) a left join pg_roles g on g.oid = a.grantee where a.grantee <> r.relowner
union all
select 'function', s.before || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
    jsonb_build_object('text', case when p.prokind = 'a' then '' else pg_get_functiondef(p.oid) end)
  from pg_proc p join spaces s on s.oid = p.pronamespace
  where not exists (select from lent where classid = 'pg_proc'::regclass and objid = p.oid)
union all
select 'enum', s.before || t.typname, jsonb_build_object('values', (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))
  from pg_type t join spaces s on s.oid = t.typnamespace where t.typtype = 'e'
    and not exists (select from lent where classid = 'pg_type'::regclass and objid = t.oid)
union all
select 'domain', s.before || t.typname, jsonb_build_object('text', concat_ws(' ', format_type(t.typbasetype, t.typtypmod), t.typnotnull,
    (select string_agg(pg_get_constraintdef(c.oid), ' ' order by c.conname) from pg_constraint c where c.contypid = t.oid)))
  from pg_type t join spaces s on s.oid = t.typnamespace where t.typtype = 'd'
    and not exists (select from lent where classid = 'pg_type'::regclass and objid = t.oid)
union all
select 'extension', extname, '{}' from pg_extension"#;

/// What is there, each thing by its kind and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    relations: BTreeMap<String, Relation>,
    columns: BTreeMap<String, Column>,
    constraints: BTreeMap<String, Constraint>,
    indexes: BTreeMap<String, Index>,
    enums: BTreeMap<String, Enum>,
    /// Kind and name, and how it is defined: triggers, policies, rules, rights, functions, domains, extensions.
    others: BTreeMap<(String, String), Other>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Relation {
    kind: String,
    /// Whether and how rows are hidden from roles.
    rows: String,
    view: Option<String>,
    /// The table of which it is a partition, or from which it inherits.
    parent: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Column {
    relation: String,
    name: String,
    r#type: String,
    /// No row may lack a value.
    required: bool,
    /// A row that names no value gets one.
    filled: bool,
    /// Nobody can write it.
    computed: bool,
    /// A value that is written is refused: `generated always as identity`.
    only_computed: bool,
    value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Constraint {
    relation: String,
    kind: String,
    text: String,
    valid: bool,
    columns: Option<Vec<String>>,
    refers: Option<String>,
    /// The row it refers to cannot be deleted.
    keeps: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Index {
    relation: String,
    unique: bool,
    text: String,
    columns: Option<Vec<String>>,
    /// What is computed for each row.
    value: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Enum {
    values: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Other {
    relation: Option<String>,
    #[serde(default)]
    text: String,
}

/// One difference and what it means for whoever was made for the state before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub class: Class,
    pub line: String,
}

impl Catalogue {
    /// Reads the rows of [`QUESTION`]. An error is a row of another shape.
    pub fn read(rows: Vec<Map<String, Value>>) -> Result<Catalogue, String> {
        fn is<T: for<'a> Deserialize<'a>>(value: Value) -> Result<T, String> {
            serde_json::from_value(value).map_err(|e| format!("a row of the catalog cannot be read: {e}"))
        }
        let mut all = Catalogue::default();
        for mut row in rows {
            let [what, key] = ["what", "key"].map(|name| row[name].as_str().unwrap_or_default().to_string());
            let value = row.remove("is").unwrap_or_default();
            match what.as_str() {
                "relation" => drop(all.relations.insert(key, is(value)?)),
                "column" => drop(all.columns.insert(key, is(value)?)),
                "constraint" => drop(all.constraints.insert(key, is(value)?)),
                "index" => drop(all.indexes.insert(key, is(value)?)),
                "enum" => drop(all.enums.insert(key, is(value)?)),
                _ => drop(all.others.insert((what, key), is(value)?)),
            }
        }
        Ok(all)
    }

    /// How many tables and columns it holds.
    pub fn size(&self) -> (usize, usize) {
        (self.relations.values().filter(|relation| "rpf".contains(&relation.kind)).count(), self.columns.len())
    }

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

    fn relations(&mut self, now: &Catalogue) {
        for (name, was) in &self.before.relations {
            let Some(is) = now.relations.get(name) else {
                self.add(Class::Contract, format!("`{name}` is gone"));
                continue;
            };
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
            let filled =
                |column: &String| now.columns.get(&format!("{}.{column}", is.relation)).is_some_and(|c| c.filled);
            // A null passes a check and a reference, and is equal to no other.
            let nulls = self.are_new(&is.relation, is.columns.as_ref())
                && !is.columns.as_ref().is_some_and(|columns| columns.iter().any(filled))
                && is.kind != "p"
                && !is.text.to_lowercase().contains("null");
            let filled_once = self.are_new(&is.relation, is.columns.as_ref()) && is.kind == "f";
            if !nulls && !filled_once {
                self.add(Class::Tighten, format!("constraint `{key}` is new: {}", super::shortened(&is.text)));
            }
        }
    }

    fn indexes(&mut self, now: &Catalogue) {
        for (key, was) in &self.before.indexes {
            match now.indexes.get(key) {
                None if now
                    .indexes
                    .values()
                    .any(|is| is.relation == was.relation && is.unique == was.unique && shape(is) == shape(was)) => {}
                None if !now.relations.contains_key(&was.relation) => {}
                None => self.add(Class::Semantic, format!("index `{key}` is gone")),
                Some(is) if is.text != was.text => self.add(Class::Semantic, format!("index `{key}` is another one")),
                Some(_) => {}
            }
        }
        for (key, is) in &now.indexes {
            let was = self.before.indexes.get(key);
            if !self.writes(&is.relation) || was.is_some_and(|was| was.text == is.text) {
                continue;
            }
            let filled =
                |column: &String| now.columns.get(&format!("{}.{column}", is.relation)).is_some_and(|c| c.filled);
            let nulls = self.are_new(&is.relation, is.columns.as_ref())
                && !is.columns.as_ref().is_some_and(|columns| columns.iter().any(filled));
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
                None if matches!(what.as_str(), "trigger" | "policy" | "rule") => {
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
            let acts = matches!(what.as_str(), "trigger" | "policy" | "rule");
            if acts && known && !self.before.others.contains_key(&(what.clone(), name.clone())) {
                self.add(Class::Semantic, format!("{what} `{name}` is new"));
            }
        }
    }
}

/// What an index is, whatever it is called.
fn shape(index: &Index) -> &str {
    index.text.split_once(" ON ").map_or("", |(_, shape)| shape)
}

/// A type as the reader of files writes it: `timestamp(3) without time zone` is `timestamp`.
fn kind(of: &str) -> String {
    match (of.starts_with("timestamp"), of.ends_with("with time zone")) {
        (true, true) => "timestamptz".into(),
        (true, false) => "timestamp".into(),
        _ => of.replace("character varying", "varchar"),
    }
}
