//! Real migrations of other projects, as the reader of files takes them and as a real PostgreSQL's catalog shows them.
//!
//! `cargo bench --features full --bench corpus -- FOLDER…` takes folders that each hold one project's migrations, beginning with
//! an empty database; nothing is fetched. Each file is judged as a release of its own, and so are eight files in a row, whose
//! states between count too. A file is loose where it reads as safe and is not: the exit code is 1 if there is one.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench takes arguments and prints a table")]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use bgctl::clock::SystemClock;
use bgctl::live::scratch::LiveScratch;
use bgctl::migrations::catalogue::Catalogue;
use bgctl::migrations::difference::Difference;
use bgctl::migrations::shadow::{pieces, read};
use bgctl::migrations::{Class, Folder, Known, Migration, Statement, statements, strictest};
use bgctl::world::Scratch;

/// Files of one release.
const TOGETHER: usize = 8;

#[derive(Default)]
struct Tally {
    judged: usize,
    exact: usize,
    same_decision: usize,
    /// The reader's own words, and how often they were all there was.
    strict: BTreeMap<String, usize>,
    loose: Vec<String>,
    milder: Vec<String>,
}

impl Tally {
    fn count(&mut self, name: &str, statements: &[Statement], shown: Option<&Difference>) {
        let read = strictest(statements);
        let class = shown.map_or(Class::Expand, |shown| shown.class);
        let said =
            || format!("{name}: reads as {}, is {}: {}", read.name(), class.name(), shown.map_or("", |s| &s.line));
        self.judged += 1;
        self.exact += usize::from(read == class || read.is_safe() && class.is_safe());
        self.same_decision += usize::from(read.is_safe() == class.is_safe());
        match (read.is_safe(), class.is_safe()) {
            (true, false) => self.loose.push(said()),
            (false, true) => {
                let why = statements.iter().find(|one| one.judged.class == read).map_or("", |one| &one.judged.why);
                let plain: String = why.split('`').step_by(2).collect::<Vec<_>>().join("…");
                *self.strict.entry(format!("{}: {plain}", read.name())).or_default() += 1;
            }
            (false, false) if read < class => self.milder.push(said()),
            _ => {}
        }
    }
}

fn worst(before: &Catalogue, after: &[Catalogue]) -> Option<Difference> {
    after.iter().flat_map(|after| before.met_in(after)).max()
}

/// As a release that begins with the first of them.
fn reads_as(migrations: &[Migration], mut known: Known) -> Vec<Statement> {
    let found = migrations.iter().flat_map(|migration| match migration.text.is_empty() {
        true => migration.statements.clone(),
        false => statements(&migration.text, &mut known, true),
    });
    found.collect()
}

async fn project(url: &str, folder: &Path) -> Result<[Tally; 2], String> {
    let all = Folder::read(folder, None)?;
    let mut scratch = LiveScratch::open(url, std::rc::Rc::new(SystemClock)).await.map_err(|e| e.to_string())?;
    let (mut known, mut before) = (vec![Known::default()], vec![read(&mut scratch).await.map_err(|e| e.to_string())?]);
    let mut ran = Vec::new();
    for migration in &all.migrations {
        let done = scratch.run(&migration.text, &pieces(migration)).await;
        if let Err(why) = &done {
            println!("  {} does not run: {why}", migration.name);
        }
        ran.push(done.is_ok() && !migration.text.is_empty());
        let mut next = known.last().cloned().unwrap_or_default();
        statements(&migration.text, &mut next, false);
        known.push(next);
        before.push(read(&mut scratch).await.map_err(|e| e.to_string())?);
    }
    scratch.close().await.map_err(|e| e.to_string())?;
    let mut tallies = [Tally::default(), Tally::default()];
    for (tally, length) in tallies.iter_mut().zip([1, TOGETHER]) {
        for from in 0..(all.migrations.len() + 1).saturating_sub(length) {
            let to = from + length;
            if ran[from..to].iter().all(|ran| *ran) {
                let read = reads_as(&all.migrations[from..to], known[from].clone());
                let name = format!("{}/{}", folder.display(), all.migrations[from].name);
                tally.count(&name, &read, worst(&before[from], &before[from + 1..=to]).as_ref());
            }
        }
    }
    Ok(tallies)
}

fn main() -> ExitCode {
    let folders: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let Some(server) = common::postgres::Postgres::start().filter(|_| !folders.is_empty()) else {
        println!("skipped: name folders of migrations, and have PostgreSQL's programs");
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut loose = 0;
    for folder in &folders {
        match runtime.block_on(project(&server.url, Path::new(folder))) {
            Err(why) => println!("{folder}: {why}"),
            Ok(tallies) => {
                for (tally, what) in tallies.iter().zip(["one file", "eight files"]) {
                    let Tally { judged, exact, same_decision, strict, .. } = tally;
                    println!(
                        "{folder} · {what}: {judged} judged, {exact} of the same class, {same_decision} of the same decision, {} stricter, {} milder, {} loose",
                        strict.values().sum::<usize>(),
                        tally.milder.len(),
                        tally.loose.len()
                    );
                    tally.loose.iter().for_each(|line| println!("  LOOSE {line}"));
                    tally.milder.iter().for_each(|line| println!("  milder {line}"));
                    strict.iter().for_each(|(why, times)| println!("  {times} × {why}"));
                    loose += tally.loose.len();
                }
            }
        }
    }
    println!("{loose} loose in all");
    ExitCode::from(u8::from(loose > 0))
}
