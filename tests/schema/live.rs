//! A real PostgreSQL beside what was read and declared.

use std::collections::BTreeMap;
use std::rc::Rc;

use bgctl::clock::SystemClock;
use bgctl::live::database::LiveDatabase;
use bgctl::migrations::live::{Ran, Seen, When, has_run, look};
use bgctl::plan::{PlannedCheck, PlannedMigration, PlannedSchema};
use bgctl::run::Verdict::{self, Fail, Pass, Unknown};

use crate::common::postgres::Postgres;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn seen(schema: &PlannedSchema, url: &str, when: When) -> Seen {
    let database = LiveDatabase::new(Rc::new(SystemClock));
    runtime().block_on(look(schema, url, &database, when, false)).expect("there is something to ask")
}

fn ran(schema: &PlannedSchema, url: &str) -> Ran {
    let database = LiveDatabase::new(Rc::new(SystemClock));
    runtime().block_on(has_run(schema, url, &database)).unwrap()
}

fn needs(table: &str, columns: &[&str]) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(table.to_string(), columns.iter().map(|c| c.to_string()).collect())])
}

fn schema() -> PlannedSchema {
    PlannedSchema { postgres: Some("${env:DATABASE_URL}".into()), ..PlannedSchema::default() }
}

fn migrations(names: &[&str]) -> Vec<PlannedMigration> {
    let one = |name: &&str| PlannedMigration {
        name: name.to_string(),
        version: name.split('_').next().map(String::from),
        sha256: String::new(),
    };
    names.iter().map(one).collect()
}

#[track_caller]
fn says(seen: &Seen, forward: Verdict, back: Verdict, words: &str) {
    assert!((seen.forward, seen.back) == (forward, back) && seen.line.contains(words), "`{words}`: {seen:?}");
}

#[test]
fn columns_indexes_and_checks() {
    let Some(server) = Postgres::start() else { return };
    server.run("create table users (id int, phone text)");
    let schema = PlannedSchema {
        blue_needs: needs("users", &["id", "phone"]),
        green_needs: needs("users", &["phone_normalized"]),
        indexed: vec!["users".into()],
        checks: vec![PlannedCheck {
            sql: "select count(*) from users where phone is not null and phone_normalized is null".into(),
            equals: 0,
        }],
        ..schema()
    };
    // Before the migration green cannot come, and blue can.
    says(
        &seen(&schema, &server.url, When::Forward),
        Fail,
        Pass,
        "GREEN needs `users.phone_normalized`, which is not there (yet)",
    );
    says(&seen(&schema, &server.url, When::Early), Pass, Pass, "2 columns that BLUE needs are there");
    server.run("alter table users add column phone_normalized text");
    says(&seen(&schema, &server.url, When::Forward), Pass, Pass, "is 0");
    // A backfill that was complete and is not any more, because blue goes on writing.
    server.run("insert into users values (1, '0815')");
    let not_zero = seen(&schema, &server.url, When::Forward);
    says(&not_zero, Fail, Pass, "is 1, not 0: as long as BLUE writes");
    server.run("update users set phone_normalized = phone");
    says(&seen(&schema, &server.url, When::Forward), Pass, Pass, "is 0");
    // An index whose concurrent build failed.
    server.run("insert into users values (1, '0815', '0815')");
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.run("create unique index concurrently ix_phone on users (phone_normalized)")
    }));
    assert!(failed.is_err(), "two rows have the same number");
    says(&seen(&schema, &server.url, When::Forward), Fail, Pass, "index `ix_phone` on `users` is invalid");
    server.run("drop index ix_phone");
    // A contract step seen live: nobody can come back, and nobody goes on.
    server.run("alter table users drop column phone");
    let gone = seen(&schema, &server.url, When::Back);
    says(&gone, Fail, Fail, "BLUE needs `users.phone`, which is not there (any more)");
    server.run("drop table users");
    says(&seen(&schema, &server.url, When::Back), Fail, Fail, "BLUE needs `users`");
}

#[test]
fn a_database_that_does_not_answer_is_unknown() {
    let Some(server) = Postgres::start() else { return };
    let schema = PlannedSchema { blue_needs: needs("pg_nothing", &["id"]), ..schema() };
    let silent = seen(&schema, "postgres://bgctl:hunter2@127.0.0.1:1/postgres", When::Back);
    says(&silent, Unknown, Unknown, "PostgreSQL gives no answer");
    assert!(!silent.line.contains("hunter2"), "{silent:?}");
    // A check that is no number, or names what is not there, says nothing; it is no zero.
    server.run("create table users (id int)");
    for sql in [
        "select 'x'",
        "select id from users",
        "select 1 as a, 2 as b",
        "select count(*) from nowhere",
        "delete from users returning 0",
    ] {
        let check = PlannedCheck { sql: sql.into(), equals: 0 };
        let schema = PlannedSchema { blue_needs: needs("users", &["id"]), checks: vec![check], ..self::schema() };
        says(&seen(&schema, &server.url, When::Forward), Unknown, Pass, sql);
    }
}

/// Names are what the service's own search path makes of them, and a quoted name stays as it is.
#[test]
fn tables_are_found_as_the_service_finds_them() {
    let Some(server) = Postgres::start() else { return };
    server.run("create schema app; create table app.users (\"Phone\" text); create schema other; create table other.users (id int)");
    let with = |table: &str, column: &str| PlannedSchema { blue_needs: needs(table, &[column]), ..schema() };
    says(&seen(&with("app.users", "Phone"), &server.url, When::Back), Pass, Pass, "");
    says(&seen(&with("app.users", "phone"), &server.url, When::Back), Fail, Fail, "`app.users.phone`");
    says(&seen(&with("users", "Phone"), &server.url, When::Back), Fail, Fail, "`users`");
    server.run("alter role bgctl set search_path = app");
    says(&seen(&with("users", "Phone"), &server.url, When::Back), Pass, Pass, "");
    says(&seen(&with("o'users", "x"), &server.url, When::Back), Fail, Fail, "`o'users`");
}

/// Each tool keeps its own books; the same three answers come out of all of them.
#[test]
fn the_tables_of_migration_tools() {
    let Some(server) = Postgres::start() else { return };
    let schema =
        PlannedSchema { migrations: migrations(&["2_b.sql", "3_c.sql"]), before: vec!["1".into()], ..schema() };
    assert_eq!(ran(&schema, &server.url), Ran::NoTable);
    // How it is made, what says that two of three have run, that the last one broke off, and that somebody else's ran too.
    let tools = [
        (
            "create table _sqlx_migrations (version bigint, success boolean)",
            "insert into _sqlx_migrations values (1, true), (2, true)",
            "insert into _sqlx_migrations values (3, false)",
            "insert into _sqlx_migrations values (3, true), (4, true)",
            "_sqlx_migrations",
        ),
        (
            "create table schema_migrations (version bigint, dirty boolean)",
            "insert into schema_migrations values (2, false)",
            "update schema_migrations set version = 3, dirty = true",
            "update schema_migrations set version = 4",
            "schema_migrations",
        ),
        (
            "create table schema_migrations (version varchar)",
            "insert into schema_migrations values ('1'), ('2')",
            "",
            "insert into schema_migrations values ('3'), ('4')",
            "schema_migrations",
        ),
        (
            "create table flyway_schema_history (installed_rank int, version varchar, success boolean)",
            "insert into flyway_schema_history values (1, '1', true), (2, '2', true), (3, null, true)",
            "insert into flyway_schema_history values (4, '3', false)",
            "insert into flyway_schema_history values (4, '3', true), (5, '4', true)",
            "flyway_schema_history",
        ),
        (
            "create table goose_db_version (id int, version_id bigint, is_applied boolean)",
            "insert into goose_db_version values (1, 0, true), (2, 1, true), (3, 2, true)",
            "",
            "insert into goose_db_version values (4, 3, true), (5, 4, true)",
            "goose_db_version",
        ),
        (
            "create table _prisma_migrations (migration_name varchar, finished_at timestamptz, rolled_back_at timestamptz)",
            "insert into _prisma_migrations values ('1_a', now(), null), ('2_b', now(), null), ('3_c', null, now())",
            "insert into _prisma_migrations values ('3_c', null, null)",
            "insert into _prisma_migrations values ('3_c', now(), null), ('4_d', now(), null)",
            "_prisma_migrations",
        ),
    ];
    for (make, two, broken, strange, table) in tools {
        server.run(&format!("{make}; {two}"));
        assert_eq!(ran(&schema, &server.url), Ran::Pending(vec!["3_c.sql".into()]), "{make}");
        says(&seen(&schema, &server.url, When::Forward), Fail, Pass, "3_c.sql has not run yet");
        says(&seen(&schema, &server.url, When::Back), Pass, Pass, "");
        if !broken.is_empty() {
            server.run(broken);
            assert_eq!(ran(&schema, &server.url), Ran::Broken(vec!["3".into()]), "{make}");
            says(&seen(&schema, &server.url, When::Forward), Fail, Unknown, "migration 3 did not end well");
        }
        server.run(&format!("drop table {table}; {make}; {two}; {strange}"));
        says(&seen(&schema, &server.url, When::Back), Fail, Fail, "migration 4 has run and was never read here");
        server.run(&format!("drop table {table}"));
    }
}
