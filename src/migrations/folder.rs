//! A folder of migrations, as the common tools lay it out: which files count, in which order, and which of them came after
//! blue's version.
//!
//! Read are plain files of SQL: `0042_x.sql`, `20260101_x.up.sql`, `V42__x.sql`, `R__x.sql`, and folders with an `up.sql` or a
//! `migration.sql`. What takes a migration back is left out, also behind the mark of a file that holds both directions.

use std::collections::BTreeMap;
use std::path::Path;

use super::known::Known;
use super::statement::{LONGEST, Statement, statements};
use super::{Class, Judged};
use crate::plan::PlannedSchema;

/// More files than this are no folder of migrations.
const MOST: usize = 20_000;

/// A file of migrations.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Below the folder: `0042_phone.sql`.
    pub name: String,
    /// As the tables of migration tools hold it, digits and dots; none for a file that is run again and again.
    pub version: Option<String>,
    /// With everything that takes it back blanked out, so that places stay where they are.
    pub text: String,
    pub sha256: String,
    /// It came after blue's version.
    pub new: bool,
    pub statements: Vec<Statement>,
}

/// All migrations, in the order in which they run.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    pub migrations: Vec<Migration>,
    pub known: Known,
}

impl Folder {
    /// Reads and judges a folder. `since` is the newest migration that blue was made with, by its number or name.
    pub fn read(folder: &Path, since: Option<&str>) -> Result<Folder, String> {
        let mut files = files(folder)?;
        if files.is_empty() {
            return Err("there is no file of SQL in it".into());
        }
        files.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)).then_with(|| a.cmp(b)));
        let mut seen: BTreeMap<Vec<u64>, &str> = BTreeMap::new();
        for (name, _) in &files {
            let Some(key) = version(name).map(|v| numbers(&v)) else { continue };
            if let Some(other) = seen.insert(key, name) {
                return Err(format!(
                    "`{other}` and `{name}` have the same number, so it is not known which runs first"
                ));
            }
        }
        let first_new = match since {
            None => 0,
            Some(since) => {
                let at = files.iter().position(|(name, _)| is_named(name, since));
                1 + at.ok_or_else(|| format!("none of them is `{since}`"))?
            }
        };
        let mut known = Known::default();
        let mut migrations = Vec::new();
        for (n, (name, bytes)) in files.into_iter().enumerate() {
            // What is run again at each change may have changed with this release, wherever it stands.
            let new = n >= first_new || version(&name).is_none() && since.is_some();
            migrations.push(migration(name, &bytes, &mut known, new));
        }
        Ok(Folder { migrations, known })
    }

    /// The migrations that came after blue's version.
    pub fn new_ones(&self) -> impl Iterator<Item = &Migration> {
        self.migrations.iter().filter(|migration| migration.new)
    }
}

fn migration(name: String, bytes: &[u8], known: &mut Known, new: bool) -> Migration {
    let sha256 = crate::plan::sha256(bytes);
    let version = version(&name);
    let unread = |why: &str| {
        let judged = Judged::unknown(why);
        vec![Statement { span: 0..0, text: "the whole file".into(), judged, indexes: None }]
    };
    let (text, statements) = match std::str::from_utf8(bytes) {
        Ok(_) if bytes.len() > LONGEST => (String::new(), unread("it is longer than 1 MiB, and was not read")),
        Ok(text) => {
            let text = forward_only(text.strip_prefix('\u{feff}').unwrap_or(text));
            let found = statements(&text, known, new);
            (text, found)
        }
        Err(_) => (String::new(), unread("it is not UTF-8 text")),
    };
    Migration { name, version, text, sha256, new, statements }
}

impl Migration {
    /// `0042_phone.sql:3`.
    pub fn place(&self, statement: &Statement) -> String {
        let at = statement.span.start.min(self.text.len());
        format!("{}:{}", self.name, self.text[..at].bytes().filter(|b| *b == b'\n').count() + 1)
    }

    /// The strictest class in it.
    pub fn class(&self) -> Class {
        super::strictest(&self.statements)
    }
}

/// How the folder of a plan differs from what the plan has read; each difference in words.
pub fn changed(schema: &PlannedSchema) -> Vec<String> {
    let Some(folder) = &schema.folder else { return Vec::new() };
    let now = match files(Path::new(folder)) {
        Ok(files) => files,
        Err(why) => return vec![format!("`{folder}` cannot be read: {why}")],
    };
    let now: BTreeMap<String, String> =
        now.into_iter().map(|(name, bytes)| (name, crate::plan::sha256(&bytes))).collect();
    let mut changes = Vec::new();
    for migration in &schema.migrations {
        match now.get(&migration.name) {
            None => changes.push(format!("{} is gone", migration.name)),
            Some(sha256) if *sha256 != migration.sha256 => changes.push(format!("{} was changed", migration.name)),
            Some(_) => {}
        }
    }
    let read = |name: &String| {
        let before = version(name).is_some_and(|v| schema.before.iter().any(|b| numbers(b) == numbers(&v)));
        before || schema.migrations.iter().any(|migration| migration.name == *name)
    };
    changes.extend(now.keys().filter(|name| !read(name)).map(|name| format!("{name} is new")));
    changes
}

/// Names below the folder, with their bytes.
fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let list = |at: &Path| -> Result<Vec<std::path::PathBuf>, String> {
        let entries = std::fs::read_dir(at).map_err(|e| e.to_string())?;
        entries.map(|entry| Ok(entry.map_err(|e| e.to_string())?.path())).collect()
    };
    let mut found = Vec::new();
    let mut add = |path: &Path, name: String| -> Result<(), String> {
        if found.len() >= MOST {
            return Err(format!("it has more than {MOST} files"));
        }
        let bytes = std::fs::read(path).map_err(|e| format!("`{name}` cannot be read: {e}"))?;
        found.push((name, bytes));
        Ok(())
    };
    for path in list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            for inner in ["up.sql", "migration.sql"] {
                let file = path.join(inner);
                if file.is_file() {
                    add(&file, format!("{name}/{inner}"))?;
                }
            }
        } else if name.to_lowercase().ends_with(".sql") && !takes_back(&name) {
            add(&path, name)?;
        }
    }
    Ok(found)
}

/// A file that undoes another one: `….down.sql`, Flyway's `U42__x.sql`.
fn takes_back(name: &str) -> bool {
    let lower = name.to_lowercase();
    let undo = name
        .strip_prefix('U')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains("__"));
    lower.ends_with(".down.sql")
        || lower.ends_with("_down.sql")
        || lower == "down.sql"
        || lower.ends_with(".undo.sql")
        || undo
}

/// The number a tool knows a file by: `0042_x.sql` is `0042`, `V1.2__x.sql` is `1.2`, `2026-01-31-120000_x/up.sql` is
/// `20260131120000`.
pub fn version(name: &str) -> Option<String> {
    let flyway = name.strip_prefix(['V', 'v', 'B']).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if let Some(rest) = flyway {
        let number: String =
            rest.split("__").next()?.chars().take_while(|c| c.is_ascii_digit() || "._".contains(*c)).collect();
        return Some(number.replace('_', ".").trim_end_matches('.').to_string());
    }
    let digits: String = name.chars().take_while(|c| c.is_ascii_digit() || *c == '-').filter(|c| *c != '-').collect();
    (!digits.is_empty()).then_some(digits)
}

/// A version as it is compared: `0042` is `42`.
pub fn numbers(version: &str) -> Vec<u64> {
    let mut parts: Vec<u64> = version.split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect();
    while parts.len() > 1 && parts.last() == Some(&0) {
        parts.pop();
    }
    parts
}

/// By number, then what has none: Flyway runs that last too.
fn order(name: &str) -> (bool, Vec<u64>) {
    match version(name) {
        Some(version) => (false, numbers(&version)),
        None => (true, Vec::new()),
    }
}

fn is_named(name: &str, wanted: &str) -> bool {
    let by_number = version(wanted).zip(version(name)).is_some_and(|(a, b)| numbers(&a) == numbers(&b));
    let bare = wanted.chars().all(|c| c.is_ascii_digit() || c == '.');
    name == wanted || name.split('/').next() == Some(wanted) || bare && by_number
}

/// Blanks out what goes back in a file of both directions: goose, dbmate and sql-migrate mark it with a comment.
fn forward_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut back = false;
    for line in text.split_inclusive('\n') {
        let mark: String = line.trim().to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let says = |marks: [&str; 4]| marks.iter().any(|m| mark == *m || mark.starts_with(&format!("{m} ")));
        if says(["-- +goose down", "-- migrate:down", "-- +migrate down", "--migrate:down"]) {
            back = true;
        } else if says(["-- +goose up", "-- migrate:up", "-- +migrate up", "--migrate:up"]) {
            back = false;
        }
        match back {
            // Byte for byte, so that every place behind it stays the same.
            true => out.extend(line.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' })),
            false => out.push_str(line),
        }
    }
    out
}
