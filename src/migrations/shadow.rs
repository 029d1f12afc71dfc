//! The migrations of a folder run in a scratch database, and PostgreSQL's catalog read after each: what blue would meet in every
//! state between its own schema and the last one. The reader of files judges what is written, this what came of it.
//!
//! The scratch database is empty, so what a statement does to rows is not seen.

use std::collections::BTreeSet;

use super::catalogue::{Catalogue, QUESTION};
use super::difference::Difference;
use super::{Class, Folder, Migration};
use crate::scalar::counted;
use crate::world::{Scratch, Unanswered};

/// What became of one migration that is new to blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub name: String,
    /// What blue meets after it and did not before it.
    pub met: BTreeSet<Difference>,
    /// As the reader of files has it.
    pub read: Class,
    /// How many of its statements blue does not simply live with, as the files say: each accounts for one of what was met.
    pub unsafe_statements: usize,
}

/// What the scratch database said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shadow {
    /// Every migration ran.
    Ran { shown: Vec<Shown>, tables: usize, columns: usize },
    /// A migration does not run there, or cannot be run by bgctl, so what follows it is not known.
    Broke(String),
}

impl Shown {
    /// What blue meets is stricter than what the files were read as.
    pub fn contradicts(&self) -> Option<&Difference> {
        let worst = self.met.iter().next_back().filter(|worst| !worst.class.is_safe())?;
        let more = self.met.iter().filter(|one| !one.class.is_safe()).count() > self.unsafe_statements;
        (worst.class > self.read || self.read <= Class::Semantic && more).then_some(worst)
    }
}

impl Shadow {
    /// What stands against users coming back that the files did not say, or why that is not known.
    pub fn against(&self) -> Option<String> {
        match self {
            Shadow::Broke(why) => Some(format!("what they do is not known: {why}")),
            Shadow::Ran { shown, .. } => {
                let contradicting = shown.iter().filter_map(|shown| Some((shown, shown.contradicts()?)));
                let lines: Vec<String> = contradicting
                    .map(|(shown, worst)| {
                        let (name, read, is) = (&shown.name, shown.read.name(), worst.class.name());
                        match worst.class > shown.read {
                            true => format!("`{name}` reads as `{read}` and is `{is}`: {}", worst.line),
                            false => format!("`{name}` does more than its statements say: {} (`{is}`)", worst.line),
                        }
                    })
                    .collect();
                (!lines.is_empty()).then(|| lines.join("; "))
            }
        }
    }

    /// All of it in one line.
    pub fn line(&self) -> String {
        match (self.against(), self) {
            (None, Shadow::Ran { shown, tables, columns }) => {
                let ran = counted(shown.len(), "migration");
                let (tables, columns) = (counted(*tables, "table"), counted(*columns, "column"));
                format!("{ran} ran; the catalog ({tables}, {columns}) says no more against BLUE than the files do")
            }
            (against, _) => against.unwrap_or_default(),
        }
    }
}

/// Runs all migrations, blue's first. `Err`: the database does not answer.
pub async fn run(folder: &Folder, scratch: &mut dyn Scratch) -> Result<Shadow, Unanswered> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut before = None;
    let mut now = Catalogue::default();
    for migration in &folder.migrations {
        if migration.new && before.is_none() {
            before = Some(read(scratch).await?);
        }
        if migration.text.is_empty() {
            return Ok(Shadow::Broke(format!("`{}` is not a file of SQL that could be run there", migration.name)));
        }
        if let Some(statement) = migration.statements.iter().find(|statement| is_of_the_server(&statement.text)) {
            let place = migration.place(statement);
            return Ok(Shadow::Broke(format!(
                "`{place}` changes the server and not only a database, so it is not run there"
            )));
        }
        if let Err(why) = scratch.run(&migration.text, &pieces(migration)).await {
            return match why {
                Unanswered::Silent(_) => Err(why),
                Unanswered::Refused(why) => {
                    Ok(Shadow::Broke(format!("`{}` does not run there: {why}", migration.name)))
                }
            };
        }
        if let Some(before) = before.as_ref().filter(|_| migration.new) {
            now = read(scratch).await?;
            let all = before.met_in(&now);
            let met = all.into_iter().filter(|one| !shown.iter().any(|earlier| earlier.met.contains(one))).collect();
            let unsafe_statements = migration.statements.iter().filter(|one| !one.judged.class.is_safe()).count();
            shown.push(Shown { name: migration.name.clone(), met, read: migration.class(), unsafe_statements });
        }
    }
    let (tables, columns) = now.size();
    Ok(Shadow::Ran { shown, tables, columns })
}

/// It would outlive the scratch database.
fn is_of_the_server(statement: &str) -> bool {
    let text = statement.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let what = ["role", "user", "group", "database", "tablespace", "system", "subscription"];
    match words[..] {
        ["create" | "alter" | "drop", word, ..] | ["comment", "on", word, ..] => what.contains(&word),
        ["grant" | "revoke", ref rest @ ..] => {
            let of = rest.iter().position(|word| *word == "on").and_then(|at| rest.get(at + 1));
            of.is_none_or(|of| ["database", "tablespace"].contains(of))
        }
        _ => false,
    }
}

/// What is there now.
pub async fn read(scratch: &mut dyn Scratch) -> Result<Catalogue, Unanswered> {
    Catalogue::read(scratch.rows(QUESTION).await?).map_err(Unanswered::Silent)
}

/// The statements one by one, with what stands between them.
pub fn pieces(migration: &Migration) -> Vec<&str> {
    let starts: Vec<usize> = migration.statements.iter().map(|s| s.span.start.min(migration.text.len())).collect();
    let ends = starts.iter().skip(1).copied().chain([migration.text.len()]);
    starts.iter().zip(ends).map(|(from, to)| &migration.text[*from..to.max(*from)]).collect()
}
