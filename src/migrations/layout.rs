//! How the common tools lay out a folder of migrations: which files are one, what each is called, and in which order they run.
//!
//! Files of SQL at any depth count: `0042_x.sql`, `20260101_x.up.sql`, `V42__x.sql`, `R__x.sql`, folders with an `up.sql` or a
//! `migration.sql`. What takes a migration back, and what is for another database beside a folder for PostgreSQL, is left
//! out. Everything else that a tool might run is given too, so that it is unknown and not overlooked.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::file;

/// More files than this are no folder of migrations.
const MOST: usize = 20_000;
/// Nor are more bytes than this, in all its files together.
const MOST_BYTES: u64 = 64 << 20;
/// Folders in folders, at most so deep.
const DEEPEST: usize = 8;

/// Files of these endings are read by people and package managers, not by tools that migrate.
const BESIDE: &[&str] = &["md", "txt", "toml", "lock", "sum", "pyc"];
const POSTGRES: &[&str] = &["postgres", "postgresql", "pg"];
const OTHER_DATABASES: &[&str] =
    &["mysql", "mariadb", "sqlite", "sqlite3", "mssql", "sqlserver", "oracle", "db2", "h2", "clickhouse"];

/// Names below the folder, with their bytes.
pub(super) fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let (mut found, mut left) = (Vec::new(), MOST_BYTES);
    collect(folder, "", 0, &mut found, &mut left)?;
    Ok(found)
}

fn collect(
    at: &Path,
    above: &str,
    depth: usize,
    found: &mut Vec<(String, Vec<u8>)>,
    left: &mut u64,
) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("`{above}` lies more than {DEEPEST} folders deep"));
    }
    let entries = std::fs::read_dir(at).map_err(|e| e.to_string())?;
    let entries: Vec<PathBuf> =
        entries.map(|entry| Ok(entry.map_err(|e| e.to_string())?.path())).collect::<Result<_, String>>()?;
    let called = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = entries.iter().map(|path| called(path).to_lowercase()).collect();
    let has = |name: &str| names.iter().any(|other| other == name);
    for path in &entries {
        let name = called(path);
        let lower = name.to_lowercase();
        if lower.starts_with('.') {
            continue;
        }
        let below = format!("{above}{name}");
        if path.is_dir() {
            let other = OTHER_DATABASES.contains(&lower.as_str()) && POSTGRES.iter().any(|name| has(name));
            let back = ["down", "undo", "rollback"].contains(&lower.as_str());
            let journal = lower == "meta" && path.join("_journal.json").is_file();
            if !(other || back || journal || lower == "__pycache__") {
                collect(path, &format!("{below}/"), depth + 1, found, left)?;
            }
        } else if !takes_back(&name, &has) && !is_beside(&lower) {
            if found.len() >= MOST {
                return Err(format!("it has more than {MOST} files"));
            }
            let bytes = file::read(path, *left).map_err(|error| match error.kind() {
                ErrorKind::FileTooLarge => "its files hold more than 64 MiB: name the folder of migrations".to_string(),
                _ => format!("`{below}` cannot be read: {error}"),
            })?;
            *left -= bytes.len() as u64;
            found.push((below, bytes));
        }
    }
    Ok(())
}

/// A file that undoes another one: `….down.sql`, Flyway's `U42__x.sql`, and `…_down.sql` where there is an `…_up.sql`.
fn takes_back(name: &str, beside: &dyn Fn(&str) -> bool) -> bool {
    let lower = name.to_lowercase();
    let undo = name
        .strip_prefix('U')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains("__"));
    let stem = lower.rsplit_once('.').map_or("", |(stem, _)| stem);
    lower == "down.sql"
        || stem.ends_with(".down")
        || stem.ends_with(".undo")
        || lower.strip_suffix("_down.sql").is_some_and(|stem| beside(&format!("{stem}_up.sql")))
        || undo
}

/// Languages in which tools write migrations, by the endings of their files.
const LANGUAGES: &[(&[&str], &str)] = &[
    (&["rb"], "Ruby (Rails)"),
    (&["py"], "Python (Django, Alembic)"),
    (&["xml", "yaml", "yml", "json"], "a changelog (Liquibase)"),
    (&["go"], "Go (goose)"),
    (&["java", "kt", "scala"], "Java (Flyway)"),
    (&["js", "mjs", "cjs", "ts"], "JavaScript (Knex, TypeORM)"),
    (&["php"], "PHP (Laravel)"),
    (&["ex", "exs"], "Elixir (Ecto)"),
];

/// The language of most of these files, and how many there are in it.
pub(super) fn language<'a>(names: impl Iterator<Item = &'a str>) -> Option<(usize, &'static str)> {
    let endings: Vec<String> = names.filter_map(|name| Some(name.rsplit_once('.')?.1.to_lowercase())).collect();
    let count = |known: &[&str]| endings.iter().filter(|ending| known.contains(&ending.as_str())).count();
    LANGUAGES.iter().map(|(known, name)| (count(known), *name)).filter(|(n, _)| *n > 0).max_by_key(|(n, _)| *n)
}

/// What lies beside migrations and is none.
fn is_beside(lower: &str) -> bool {
    let ending = lower.rsplit_once('.').map_or("", |(_, ending)| ending);
    BESIDE.contains(&ending) || ["readme", "license", "changelog", "__init__.py", "makefile"].contains(&lower)
}

pub(super) fn is_sql(name: &str) -> bool {
    name.to_lowercase().ends_with(".sql")
}

/// `x/up.sql` and `x/migration.sql` are known by the name of their folder.
pub(super) fn in_a_folder_of_its_own(name: &str) -> bool {
    ["up.sql", "migration.sql"].iter().any(|file| name.strip_suffix(file).is_some_and(|above| above.ends_with('/')))
}

/// The part of a name that a tool knows a migration by.
fn own(name: &str) -> &str {
    let known =
        if in_a_folder_of_its_own(name) { name.rsplit_once('/').map_or(name, |(above, _)| above) } else { name };
    known.rsplit('/').next().unwrap_or(known)
}

/// The number a tool knows a file by: `0042_x.sql` is `0042`, `V1.2__x.sql` is `1.2`, `2026-01-31-120000_x/up.sql` is
/// `20260131120000`.
pub(super) fn version(name: &str) -> Option<String> {
    let name = own(name);
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
pub(super) fn numbers(version: &str) -> Vec<u64> {
    let mut parts: Vec<u64> = version.split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect();
    while parts.len() > 1 && parts.last() == Some(&0) {
        parts.pop();
    }
    parts
}

/// By number, then what has none: Flyway runs that last too. Tools with a folder for each migration compare texts: Prisma the
/// names, Diesel the digits in them.
pub(super) fn order(name: &str) -> (bool, Vec<u64>, String) {
    let version = version(name);
    match version {
        Some(_) if name.ends_with("/migration.sql") => (false, Vec::new(), own(name).into()),
        Some(version) if in_a_folder_of_its_own(name) => (false, Vec::new(), version),
        Some(version) => (false, numbers(&version), String::new()),
        None => (true, Vec::new(), String::new()),
    }
}

pub(super) fn is_named(name: &str, wanted: &str) -> bool {
    let by_number = version(wanted).zip(version(name)).is_some_and(|(a, b)| numbers(&a) == numbers(&b));
    let bare = wanted.chars().all(|c| c.is_ascii_digit() || c == '.');
    name == wanted || own(name) == wanted || bare && by_number
}
