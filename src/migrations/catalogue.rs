//! What PostgreSQL's own catalog holds at one moment. Rows of tables are not looked at. What two such moments mean is for
//! [`super::difference`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

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
    'id', r.oid::text, 'kind', r.relkind, 'rows', concat(r.relrowsecurity, r.relforcerowsecurity),
    'view', case when r.relkind in ('v', 'm') then pg_get_viewdef(r.oid) end,
    'parent', (select p.name from pg_inherits i join relations p on p.oid = i.inhparent where i.inhrelid = r.oid limit 1)) as "is"
  from relations r
union all
select 'column', r.name || '.' || a.attname, jsonb_build_object(
    'relation', r.name, 'name', a.attname, 'place', a.attnum, 'type', format_type(a.atttypid, a.atttypmod),
    'collation', (select l.collname from pg_collation l where l.oid = a.attcollation),
    'required', a.attnotnull or t.typnotnull or coalesce(b.typnotnull, false), 'filled', a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
    'computed', a.attgenerated <> '', 'only_computed', a.attidentity = 'a', 'value', pg_get_expr(d.adbin, d.adrelid))
  from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = t.typbasetype left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
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
select 'domain', s.before || t.typname, jsonb_build_object('text', concat_ws(' ', format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
    (select string_agg(pg_get_constraintdef(c.oid), ' ' order by c.conname) from pg_constraint c where c.contypid = t.oid)))
  from pg_type t join spaces s on s.oid = t.typnamespace where t.typtype = 'd'
    and not exists (select from lent where classid = 'pg_type'::regclass and objid = t.oid)
union all
select 'sequence', r.name, jsonb_build_object('text', concat_ws(' ', q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcycle))
  from pg_sequence q join relations r on r.oid = q.seqrelid
union all
select 'right', 'schema ' || n.nspname || ' ' || a.privilege_type || ' ' || coalesce(g.rolname, 'public'), '{}'
  from pg_namespace n join spaces s on s.oid = n.oid, aclexplode(n.nspacl) a left join pg_roles g on g.oid = a.grantee where a.grantee <> n.nspowner
union all
select 'event trigger', evtname, jsonb_build_object('text', concat_ws(' ', evtevent, evtfoid::regproc::text, evtenabled, evttags::text)) from pg_event_trigger
union all
select 'extension', extname, '{}' from pg_extension"#;

/// What is there, each thing by its kind and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    pub(super) relations: BTreeMap<String, Relation>,
    pub(super) columns: BTreeMap<String, Column>,
    pub(super) constraints: BTreeMap<String, Constraint>,
    pub(super) indexes: BTreeMap<String, Index>,
    pub(super) enums: BTreeMap<String, Enum>,
    /// Kind and name, and how it is defined: triggers, policies, rules, rights, functions, domains, extensions.
    pub(super) others: BTreeMap<(String, String), Other>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Relation {
    /// Another one: it was made anew.
    pub(super) id: String,
    pub(super) kind: String,
    /// Whether and how rows are hidden from roles.
    pub(super) rows: String,
    pub(super) view: Option<String>,
    /// The table of which it is a partition, or from which it inherits.
    pub(super) parent: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Column {
    pub(super) relation: String,
    pub(super) name: String,
    /// Another one: it was made anew.
    pub(super) place: i64,
    pub(super) r#type: String,
    pub(super) collation: Option<String>,
    /// No row may lack a value.
    pub(super) required: bool,
    /// A row that names no value gets one.
    pub(super) filled: bool,
    /// Nobody can write it.
    pub(super) computed: bool,
    /// A value that is written is refused: `generated always as identity`.
    pub(super) only_computed: bool,
    pub(super) value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Constraint {
    pub(super) relation: String,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) valid: bool,
    pub(super) columns: Option<Vec<String>>,
    pub(super) refers: Option<String>,
    /// The row it refers to cannot be deleted.
    pub(super) keeps: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Index {
    pub(super) relation: String,
    pub(super) unique: bool,
    pub(super) text: String,
    pub(super) columns: Option<Vec<String>>,
    /// What is computed for each row.
    pub(super) value: String,
}

impl Index {
    /// What it is, whatever it is called.
    pub(super) fn shape(&self) -> (bool, &str) {
        (self.unique, self.text.split_once(" ON ").map_or("", |(_, shape)| shape))
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Enum {
    pub(super) values: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Other {
    pub(super) relation: Option<String>,
    #[serde(default)]
    pub(super) text: String,
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
}
