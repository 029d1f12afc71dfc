//! The live database beside what was read and declared. It is only asked, and an answer that cannot be had is `unknown`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::layout::{numbers, version};
use crate::plan::PlannedSchema;
use crate::run::Verdict;
use crate::world::{Database, Unanswered};

/// Why it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before anything, when a step of this run has still to migrate.
    Early,
    /// Before users go to green.
    Forward,
    /// Before users come back to blue.
    Back,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether users may go on to green.
    pub forward: Verdict,
    /// Whether they could come back.
    pub back: Verdict,
    /// What stands against it, or what was found in order.
    pub line: String,
}

/// The tables in which tools keep what has run.
const TABLES: [&str; 6] = [
    "_sqlx_migrations",
    "schema_migrations",
    "flyway_schema_history",
    "goose_db_version",
    "__diesel_schema_migrations",
    "_prisma_migrations",
];

/// What is collected on the way.
#[derive(Default)]
struct Findings {
    against_both: Vec<String>,
    against_forward: Vec<String>,
    unknown: Vec<String>,
    /// What is only asked before users go on.
    unknown_forward: Vec<String>,
    good: Vec<String>,
}

/// Asks the database of a plan. None where the plan has nothing to ask. `closed`: that blue cannot live with it is known, and
/// no reason any more against going on.
pub async fn look(
    schema: &PlannedSchema,
    url: &str,
    database: &dyn Database,
    when: When,
    closed: bool,
) -> Option<Seen> {
    schema.postgres.as_ref()?;
    let mut found = Findings::default();
    match structure(schema, url, database).await {
        Err(silent) => found.unknown.push(silent.to_string()),
        Ok(structure) => {
            needs(schema, &structure, when, &mut found);
            if let Some(table) = &structure.table {
                match applied(table, url, database).await {
                    Ok(applied) => compared(schema, table, &applied, when, &mut found),
                    Err(silent) => found.unknown.push(format!("`{table}`: {silent}")),
                }
            }
            if when == When::Forward {
                for check in &schema.checks {
                    checked(&check.sql, check.equals, url, database, &mut found).await;
                }
            }
        }
    }
    Some(found.seen(closed))
}

impl Findings {
    fn seen(self, closed: bool) -> Seen {
        let verdict = |against: bool, known: bool| match (against, known) {
            (true, _) => Verdict::Fail,
            (false, false) => Verdict::Unknown,
            (false, true) => Verdict::Pass,
        };
        let known = self.unknown.is_empty();
        let back = verdict(!self.against_both.is_empty(), known);
        let against = !closed && !self.against_both.is_empty() || !self.against_forward.is_empty();
        let forward = verdict(against, known && self.unknown_forward.is_empty());
        let against: Vec<String> = [&self.against_both, &self.against_forward, &self.unknown, &self.unknown_forward]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let line = if against.is_empty() { self.good.join(", ") } else { against.join("; ") };
        Seen { forward, back, line }
    }
}

/// What is there.
struct Structure {
    columns: BTreeMap<String, BTreeSet<String>>,
    /// Invalid indexes by table.
    invalid: Vec<(String, String)>,
    /// The table of the migration tool.
    table: Option<String>,
}

/// One question for everything that the catalog knows.
async fn structure(schema: &PlannedSchema, url: &str, database: &dyn Database) -> Result<Structure, Unanswered> {
    let tables: BTreeSet<&String> =
        schema.blue_needs.keys().chain(schema.green_needs.keys()).chain(&schema.indexed).collect();
    let list = |names: &mut dyn Iterator<Item = &str>| {
        let quoted: Vec<String> = names.map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
        format!("array[{}]::text[]", quoted.join(", "))
    };
    let wanted = list(&mut tables.iter().map(|name| name.as_str()));
    let known = list(&mut TABLES.into_iter());
    // A bare name is what the role's search path makes of it, as it is for the service.
    let sql = format!(
        "with relations as (\n\
           select c.oid, case when pg_table_is_visible(c.oid) then c.relname::text else n.nspname || '.' || c.relname end as name,\n\
                  n.nspname || '.' || c.relname as full_name, c.relkind\n\
           from pg_class c join pg_namespace n on n.oid = c.relnamespace\n\
           where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema')\n\
         )\n\
         select 'column' as what, w.name as relation, a.attname::text as item\n\
           from unnest({wanted}) as w(name) join relations r on w.name in (r.name, r.full_name)\n\
           join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped\n\
         union all\n\
         select 'invalid', r.name, i.indexrelid::regclass::text\n\
           from pg_index i join relations r on r.oid = i.indrelid where not i.indisvalid\n\
         union all\n\
         select 'table', r.name, r.full_name from relations r where r.relkind in ('r', 'p') and r.name = any({known})"
    );
    let mut seen = Structure { columns: BTreeMap::new(), invalid: Vec::new(), table: None };
    for row in database.rows(url, &sql).await? {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_string();
        let (relation, item) = (word("relation"), word("item"));
        match row["what"].as_str() {
            Some("column") => drop(seen.columns.entry(relation).or_default().insert(item)),
            Some("invalid") => seen.invalid.push((relation, item)),
            _ => seen.table = Some(relation),
        }
    }
    Ok(seen)
}

fn needs(schema: &PlannedSchema, there: &Structure, when: When, found: &mut Findings) {
    let lacking = |needs: &BTreeMap<String, Vec<String>>| -> Vec<String> {
        let mut lacking = Vec::new();
        for (table, columns) in needs {
            match there.columns.get(table) {
                None => lacking.push(format!("`{table}`")),
                Some(there) => {
                    let missing = columns.iter().filter(|column| !there.contains(*column));
                    lacking.extend(missing.map(|column| format!("`{table}.{column}`")));
                }
            }
        }
        lacking
    };
    let columns = |needs: &BTreeMap<String, Vec<String>>| needs.values().map(Vec::len).sum::<usize>();
    match lacking(&schema.blue_needs) {
        missing if !missing.is_empty() => {
            found.against_both.push(format!("BLUE needs {}, which is not there (any more)", missing.join(", ")));
        }
        _ if !schema.blue_needs.is_empty() => {
            found.good.push(format!("{} columns that BLUE needs are there", columns(&schema.blue_needs)));
        }
        _ => {}
    }
    if when != When::Forward {
        return;
    }
    match lacking(&schema.green_needs) {
        missing if !missing.is_empty() => {
            found.against_forward.push(format!("GREEN needs {}, which is not there (yet)", missing.join(", ")));
        }
        _ if !schema.green_needs.is_empty() => {
            found.good.push(format!("{} columns that GREEN needs are there", columns(&schema.green_needs)));
        }
        _ => {}
    }
    for (table, index) in &there.invalid {
        let ours = schema.indexed.contains(table) || schema.green_needs.contains_key(table);
        if ours {
            found.against_forward.push(format!("index `{index}` on `{table}` is invalid: drop it and build it again"));
        }
    }
}

/// What a migration tool says has run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Applied {
    versions: Vec<String>,
    /// Everything up to the newest has run: the tool keeps nothing else.
    only_newest: bool,
    /// Begun and not ended, or failed.
    broken: Vec<String>,
}

async fn applied(table: &str, url: &str, database: &dyn Database) -> Result<Applied, Unanswered> {
    let quoted = table.replace('"', "\"\"");
    let rows = database.rows(url, &format!("select * from \"{quoted}\"")).await?;
    Ok(read(&rows))
}

/// The rows of any of the tables: the names of the columns tell whose it is.
fn read(rows: &[Map<String, Value>]) -> Applied {
    let mut applied = Applied::default();
    let mut undone: BTreeSet<String> = BTreeSet::new();
    for row in rows {
        let text = |name: &str| match row.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let truth = |name: &str| row.get(name).and_then(Value::as_bool);
        let named = text("migration_name").and_then(|name| version(&name));
        let Some(of) = text("version").or(text("version_id")).or(named) else { continue };
        // Goose begins with a row for nothing at all.
        if row.contains_key("version_id") && of == "0" {
            continue;
        }
        applied.only_newest |= row.contains_key("dirty");
        let rolled_back = row.get("rolled_back_at").is_some_and(|at| !at.is_null());
        let unfinished = row.contains_key("finished_at") && row["finished_at"].is_null() && !rolled_back;
        if truth("dirty") == Some(true) || truth("success") == Some(false) || unfinished {
            applied.broken.push(of);
        } else if rolled_back || truth("is_applied") == Some(false) {
            undone.insert(of);
        } else {
            applied.versions.push(of);
        }
    }
    applied.versions.retain(|version| !undone.contains(version));
    applied
}

fn compared(schema: &PlannedSchema, table: &str, applied: &Applied, when: When, found: &mut Findings) {
    if !applied.broken.is_empty() {
        let which = applied.broken.join(", ");
        found.against_forward.push(format!("migration {which} did not end well, says `{table}`"));
        found.unknown.push("a migration that broke off may have done a part of its work".into());
    }
    if schema.migrations.is_empty() && schema.before.is_empty() {
        return;
    }
    let live: BTreeSet<Vec<u64>> = applied.versions.iter().map(|version| numbers(version)).collect();
    let newest = live.last().cloned().unwrap_or_default();
    let ours = schema.migrations.iter().filter_map(|migration| migration.version.as_ref());
    let read: BTreeSet<Vec<u64>> = schema.before.iter().chain(ours).map(|version| numbers(version)).collect();
    // Versions older than the oldest file have been thrown together, as teams do; anything else was never read.
    let oldest = read.first().cloned().unwrap_or_default();
    let strange: Vec<&String> = applied
        .versions
        .iter()
        .filter(|version| {
            let number = numbers(version);
            number > oldest && !read.contains(&number)
        })
        .collect();
    if !strange.is_empty() {
        let which: Vec<&str> = strange.iter().map(|version| version.as_str()).collect();
        found
            .against_both
            .push(format!("migration {} has run and was never read here, says `{table}`", which.join(", ")));
    }
    if when == When::Back || when == When::Early {
        return;
    }
    let has_run = |version: &String| {
        let number = numbers(version);
        live.contains(&number) || applied.only_newest && number <= newest
    };
    let pending: Vec<&str> = schema
        .migrations
        .iter()
        .filter(|migration| migration.version.as_ref().is_some_and(|version| !has_run(version)))
        .map(|migration| migration.name.as_str())
        .collect();
    match pending.as_slice() {
        [] => found.good.push(format!("all migrations have run, says `{table}`")),
        pending => found.against_forward.push(format!("{} has not run yet, says `{table}`", pending.join(", "))),
    }
}

/// A check is one number. Anything else says nothing.
async fn checked(sql: &str, equals: i64, url: &str, database: &dyn Database, found: &mut Findings) {
    let shown = super::shortened(sql);
    match database.rows(url, sql).await {
        Err(silent) => found.unknown_forward.push(format!("`{shown}`: {silent}")),
        Ok(rows) => {
            let number = match rows.as_slice() {
                [row] if row.len() == 1 => row.values().next().and_then(Value::as_i64),
                _ => None,
            };
            match number {
                Some(number) if number == equals => found.good.push(format!("`{shown}` is {equals}")),
                Some(number) => {
                    let why =
                        "as long as BLUE writes, what it leaves out has to be filled by a trigger, or by writing twice";
                    found.against_forward.push(format!("`{shown}` is {number}, not {equals}: {why}"));
                }
                None => found.unknown_forward.push(format!("`{shown}` does not give one whole number")),
            }
        }
    }
}

/// Which migrations of a plan have run, as the tool's table says; none where there is no table, or no answer.
pub async fn has_run(schema: &PlannedSchema, url: &str, database: &dyn Database) -> Result<Ran, String> {
    let structure = structure(schema, url, database).await.map_err(|e| e.to_string())?;
    let Some(table) = structure.table else { return Ok(Ran::NoTable) };
    let applied = applied(&table, url, database).await.map_err(|e| e.to_string())?;
    if !applied.broken.is_empty() {
        return Ok(Ran::Broken(applied.broken));
    }
    let live: BTreeSet<Vec<u64>> = applied.versions.iter().map(|version| numbers(version)).collect();
    let newest = live.last().cloned().unwrap_or_default();
    let pending = schema.migrations.iter().filter(|migration| {
        let number = migration.version.as_ref().map(|version| numbers(version));
        number.is_some_and(|number| !(live.contains(&number) || applied.only_newest && number <= newest))
    });
    Ok(Ran::Pending(pending.map(|migration| migration.name.clone()).collect()))
}

/// What the table of a migration tool says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// No table of a tool that this version knows.
    NoTable,
    /// These did not end well.
    Broken(Vec<String>),
    /// These have not run; all others have.
    Pending(Vec<String>),
}
