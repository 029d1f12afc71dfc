//! The step `migrate` against a real PostgreSQL, with `psql` as the team's tool.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use bgctl::child::Children;
use bgctl::clock::SystemClock;
use bgctl::guards::NoGuards;
use bgctl::live::database::LiveDatabase;
use bgctl::migrations::Folder;
use bgctl::plan::{Plan, PlannedMigration, PlannedSchema, Resume};
use bgctl::run::{Cause, Found, Outcome};
use bgctl::secret::{Secret, Secrets};
use bgctl::world::{NoStore, World};
use serde_json::{Value, json};

use crate::common::peer;
use crate::common::postgres::Postgres;
use crate::common::scripted::{Notebook, Stage, built, kind, no_answer, plan};

/// A real world with one database.
fn world(url: &str) -> World {
    let clock = Rc::new(SystemClock);
    let secrets = BTreeMap::from([("${env:DATABASE_URL}".to_string(), Secret::new(url))]);
    World {
        clock: clock.clone(),
        routes: BTreeMap::new(),
        web: Stage::new(|_, _| no_answer()).web,
        processes: Rc::new(Children::new(clock.clone(), None)),
        store: Rc::new(NoStore),
        database: Rc::new(LiveDatabase::new(clock)),
        metrics: Rc::new(bgctl::world::NoMetrics),
        guards: Rc::new(NoGuards),
        overrides: Default::default(),
        beforehand: Default::default(),
        secrets: Secrets::new(secrets),
    }
}

fn planned(folder: &Path) -> Plan {
    let read = Folder::read(folder, None).unwrap();
    let migrations = read.new_ones().map(|m| PlannedMigration {
        name: m.name.clone(),
        version: m.version.clone(),
        sha256: m.sha256.clone(),
    });
    let schema = PlannedSchema {
        postgres: Some("${env:DATABASE_URL}".into()),
        folder: Some(folder.display().to_string()),
        migrations: migrations.collect(),
        ..PlannedSchema::default()
    };
    Plan { schema: Some(schema), ..plan() }
}

/// A tool of three lines: runs what has not run, and keeps books as dbmate does.
const TOOL: &str = r#"
set -e
for file in "$FOLDER"/*.sql; do
  version=$(basename "$file" | cut -d_ -f1)
  psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -c "create table if not exists schema_migrations (version varchar primary key)" 2>/dev/null
  if [ "$(psql -X -A -t -d "$DATABASE_URL" -c "select 1 from schema_migrations where version = '$version'")" != 1 ]; then
    psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -1 -f "$file" -c "insert into schema_migrations values ('$version')"
  fi
done
psql -X -A -t -d "$DATABASE_URL" -c "select 'lock_timeout ' || current_setting('lock_timeout') || ', statement_timeout ' || current_setting('statement_timeout')"
"#;

fn settings(folder: &Path, psql: &Path) -> Value {
    let path = format!("{}:/usr/bin:/bin", psql.parent().unwrap().display());
    json!({
        "shell": TOOL, "within": "60s", "lock_timeout": "300ms", "statement_timeout": "5s", "attempts": 3,
        "env": { "DATABASE_URL": "${env:DATABASE_URL}", "FOLDER": folder.display().to_string(), "PATH": path, "PGOPTIONS": "-c application_name=team" },
    })
}

fn run(settings: &Value, plan: &Plan, world: &World) -> (Outcome, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (step, notes) = (built("migrate", settings.clone(), plan), Notebook::default());
    let outcome = runtime.block_on(step.execute(world, &notes));
    (outcome, notes.text())
}

fn found(settings: &Value, plan: &Plan, world: &World) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (step, notes) = (built("migrate", settings.clone(), plan), Notebook::default());
    runtime.block_on(step.in_place(world, &notes)).0
}

#[track_caller]
fn failed(outcome: &Outcome, cause: Cause, words: &str) {
    match outcome {
        Outcome::Failed { line, cause: is, moved: false, .. } if *is == cause && line.contains(words) => {}
        other => panic!("`{words}`: {other:?}"),
    }
}

#[test]
fn it_runs_what_was_read_and_holds_the_tools_books_against_it() {
    let (Some(server), Some(psql)) = (Postgres::start(), peer("psql")) else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1_a.sql"), "create table users (id int, phone text);").unwrap();
    std::fs::write(dir.path().join("2_b.sql"), "alter table users add column phone_normalized text;").unwrap();
    let (plan, world) = (planned(dir.path()), world(&server.url));
    let settings = settings(dir.path(), &psql);
    let facts = (kind("migrate").facts)(&settings, &plan).unwrap();
    assert_eq!(facts.resume, Resume::Observe, "the tool's table tells");
    assert_eq!((kind("migrate").facts)(&settings, &self::plan()).unwrap().resume, Resume::AskHuman);
    assert_eq!(found(&settings, &plan, &world), Found::CannotSee, "no table yet");

    let (outcome, text) = run(&settings, &plan, &world);
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    // Both timeouts hold inside the tool, beside what it had set itself.
    assert!(text.contains("lock_timeout 300ms, statement_timeout 5s"), "{text}");
    assert!(!text.contains(&server.url), "{text}");
    assert_eq!(server.run("select count(*) from schema_migrations"), "2");
    assert_eq!(found(&settings, &plan, &world), Found::InPlace);

    // Again: nothing is left to run.
    let (outcome, _) = run(&settings, &plan, &world);
    assert!(outcome.line().starts_with("nothing was left to run"), "{outcome:?}");

    // A third one that nobody had read when the plan was made, and one that was changed since.
    std::fs::write(dir.path().join("3_c.sql"), "drop table users;").unwrap();
    failed(&run(&settings, &plan, &world).0, Cause::Drift, "3_c.sql is new");
    std::fs::remove_file(dir.path().join("3_c.sql")).unwrap();
    std::fs::write(dir.path().join("2_b.sql"), "alter table users drop column phone;").unwrap();
    failed(&run(&settings, &plan, &world).0, Cause::Drift, "2_b.sql was changed");
    assert_eq!(server.run("select count(*) from users"), "0", "nothing ran");

    // Named before it runs, and what the table says beats the exit status.
    std::fs::write(dir.path().join("2_b.sql"), "alter table users add column phone_normalized text;").unwrap();
    std::fs::write(dir.path().join("3_c.sql"), "alter table users add column z int;").unwrap();
    let plan = planned(dir.path());
    assert_eq!(found(&settings, &plan, &world), Found::NotInPlace);
    let lazy = json!({ "run": ["true"] });
    let (outcome, text) = run(&lazy, &plan, &world);
    failed(&outcome, Cause::Action, "3_c.sql has not run");
    assert!(text.contains("3_c.sql has to run"), "{text}");
}

/// A reader that sits in its transaction: the migration gives up its turn instead of stopping everybody, and comes again.
#[test]
fn without_a_lock_it_gives_way_and_tries_again() {
    let (Some(server), Some(psql)) = (Postgres::start(), peer("psql")) else { return };
    server.run("create table users (id int)");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1_a.sql"), "alter table users add column phone text;").unwrap();
    let (plan, world) = (planned(dir.path()), world(&server.url));
    let holder = |seconds: u32| {
        let script = format!("begin; select * from users; select pg_sleep({seconds}); commit;");
        let mut command = std::process::Command::new(&psql);
        let child = command
            .args(["-X", "-q", "-d", &server.url, "-c", &script])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while server
            .run("select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()")
            != "1"
        {}
        child
    };
    let mut child = holder(3);
    let (outcome, text) = run(&settings(dir.path(), &psql), &plan, &world);
    assert!(matches!(&outcome, Outcome::Done { facts, .. } if facts["tries"] == 2), "{outcome:?}");
    assert!(text.contains("no lock within"), "{text}");
    assert!(child.wait().unwrap().success());

    // With no try left it fails, and nothing is half done.
    std::fs::write(dir.path().join("2_b.sql"), "alter table users add column y int;").unwrap();
    let plan = planned(dir.path());
    let mut child = holder(4);
    let mut once = settings(dir.path(), &psql);
    once["attempts"] = json!(1);
    failed(&run(&once, &plan, &world).0, Cause::Action, "ended with status");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found(&once, &plan, &world), Found::NotInPlace);
}

#[test]
fn a_migration_that_broke_off_is_a_persons() {
    let Some(server) = Postgres::start() else { return };
    server.run("create table schema_migrations (version bigint, dirty boolean); insert into schema_migrations values (1, true)");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1_a.sql"), "create table t (id int);").unwrap();
    let (plan, world) = (planned(dir.path()), world(&server.url));
    let settings = json!({ "run": ["true"] });
    failed(&run(&settings, &plan, &world).0, Cause::Action, "migration 1 did not end well earlier");
    assert_eq!(found(&settings, &plan, &world), Found::Other);
    let silent = self::world("postgres://bgctl@127.0.0.1:1/postgres");
    failed(&run(&settings, &plan, &silent).0, Cause::Action, "so nothing is migrated");
    assert_eq!(found(&settings, &plan, &silent), Found::CannotSee);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let wrong = |settings: Value| {
        let mistakes = (kind("migrate").facts)(&settings, &plan()).unwrap_err();
        mistakes.into_iter().map(|m| m.message).collect::<Vec<_>>().join("; ")
    };
    assert!(wrong(json!({})).contains("exactly one of"));
    assert!(wrong(json!({ "run": ["x"], "lock_timeout": "0s" })).contains("zero means no limit"));
    assert!(wrong(json!({ "run": [""] })).contains("no program"));
    assert!(wrong(json!({ "run": ["x"], "attempts": 0 })).contains("between 1 and 50"));
}
