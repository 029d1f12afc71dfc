//! The migrations of a folder in the order in which they run, and which of them came after blue's version. Of a file that
//! holds both directions, what takes the migration back is left out. Which files there are stands in [`super::layout`].

use std::collections::BTreeMap;
use std::path::Path;

use super::known::Known;
use super::layout::{files, in_a_folder_of_its_own, is_named, is_sql, language, numbers, order, version};
use super::statement::{LONGEST, Statement, statements};
use super::{Class, Judged};
use crate::plan::PlannedSchema;
use crate::scalar::counted;

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
        if !files.iter().any(|(name, _)| is_sql(name)) {
            return Err(unread(&files));
        }
        files.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)).then_with(|| a.cmp(b)));
        let mut seen: BTreeMap<Vec<u64>, &str> = BTreeMap::new();
        for (name, _) in &files {
            // Tools that give each migration a folder run them by the whole name of it.
            let Some(key) = version(name).filter(|_| !in_a_folder_of_its_own(name)).map(|v| numbers(&v)) else {
                continue;
            };
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

/// Why a folder without SQL says nothing, and what is said in its place.
fn unread(files: &[(String, Vec<u8>)]) -> String {
    let instead = "leave `migrations` out and say what the release does with `change`";
    match language(files.iter().map(|(name, _)| name.as_str())) {
        Some((count, language)) => format!("{} of {language}: not read; {instead}", counted(count, "file")),
        None => format!("there is no file of SQL in it; {instead}"),
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
        _ if !is_sql(&name) => (String::new(), unread("it is not a file of SQL, so what it does is not known")),
        Ok(_) if bytes.len() > LONGEST => (String::new(), unread("it is longer than 1 MiB, and was not read")),
        Ok(text) => {
            let text = forward_only(text.strip_prefix('\u{feff}').unwrap_or(text));
            known.next_file();
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

/// A tool that keeps both directions in one file, and how it tells them apart: to the letter, as its own parser does.
struct Marked {
    up: fn(&str) -> bool,
    down: fn(&str) -> bool,
}

const MARKED: [Marked; 3] = [
    // pressly/goose, internal/sqlparser: the line begins with `--`, what follows is trimmed.
    Marked {
        up: |line| line.strip_prefix("--").is_some_and(|rest| rest.trim() == "+goose Up"),
        down: |line| line.strip_prefix("--").is_some_and(|rest| rest.trim() == "+goose Down"),
    },
    // dbmate: `^--\s*migrate:down(\s*$|\s+\S+)`.
    Marked { up: |line| dbmate(line, "migrate:up"), down: |line| dbmate(line, "migrate:down") },
    // sql-migrate: `-- +migrate Down`, then options.
    Marked {
        up: |line| line.strip_prefix("-- +migrate ").is_some_and(|rest| rest.split_whitespace().next() == Some("Up")),
        down: |line| {
            line.strip_prefix("-- +migrate ").is_some_and(|rest| rest.split_whitespace().next() == Some("Down"))
        },
    },
];

fn dbmate(line: &str, mark: &str) -> bool {
    let rest = line.strip_prefix("--").and_then(|rest| rest.trim_start().strip_prefix(mark));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// Blanks out what goes back in a file of both directions. Only the marks of the tool whose way up stands in the file count: any
/// other tool runs all of it.
fn forward_only(text: &str) -> String {
    let lines = || text.split_inclusive('\n');
    let bare = |line: &str| line.trim_end_matches(['\n', '\r']).to_string();
    let Some(tool) = MARKED.iter().find(|tool| lines().any(|line| (tool.up)(&bare(line)))) else { return text.into() };
    let mut out = String::with_capacity(text.len());
    let mut back = false;
    for line in lines() {
        back = !(tool.up)(&bare(line)) && (back || (tool.down)(&bare(line)));
        match back {
            // Byte for byte, so that every place behind it stays the same.
            true => out.extend(line.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' })),
            false => out.push_str(line),
        }
    }
    out
}
