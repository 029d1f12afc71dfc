//! Folders as the common tools lay them out.

use bgctl::migrations::{Class, Folder};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn names(files: &[(&str, &str)], since: Option<&str>) -> Vec<String> {
    let dir = folder(files);
    let read = Folder::read(dir.path(), since).unwrap();
    read.new_ones().map(|migration| migration.name.clone()).collect()
}

const ADD: &str = "alter table users add column x int;";
const DROP: &str = "drop table users;";

#[test]
fn the_layouts_of_the_common_tools() {
    let sqlx = [("2_b.up.sql", ADD), ("2_b.down.sql", DROP), ("10_c.sql", ADD), ("1_a.sql", ADD), ("README.md", "no")];
    assert_eq!(names(&sqlx, None), ["1_a.sql", "2_b.up.sql", "10_c.sql"]);
    let flyway =
        [("V2__b.sql", ADD), ("V1.10__c.sql", ADD), ("V1_9__a.sql", ADD), ("U2__b.sql", DROP), ("R__view.sql", ADD)];
    assert_eq!(names(&flyway, None), ["V1_9__a.sql", "V1.10__c.sql", "V2__b.sql", "R__view.sql"]);
    let prisma = [("20260101120000_a/migration.sql", ADD), ("migration_lock.toml", "x")];
    assert_eq!(names(&prisma, None), ["20260101120000_a/migration.sql"]);
    let diesel = [("2026-01-01-120000_a/up.sql", ADD), ("2026-01-01-120000_a/down.sql", DROP)];
    assert_eq!(names(&diesel, None), ["2026-01-01-120000_a/up.sql"]);
}

/// A name may be cut short, and is still compared as its tool does: Prisma by the whole text, Diesel by the text of the digits.
#[test]
fn folders_run_in_the_order_of_their_tool() {
    let prisma = ["20240101120000_a", "20250625_b", "20250625110000_c", "20260101000000_d"];
    let files: Vec<String> = prisma.iter().map(|name| format!("{name}/migration.sql")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|name| (name.as_str(), ADD)).collect();
    let order = ["20240101120000_a", "20250625110000_c", "20250625_b", "20260101000000_d"];
    assert_eq!(names(&files, None), order.map(|name| format!("{name}/migration.sql")));
    let diesel =
        [("2017-09-23-182408_b/up.sql", ADD), ("20170102131034_a/up.sql", ADD), ("00000000000000_setup/up.sql", ADD)];
    let order = ["00000000000000_setup/up.sql", "20170102131034_a/up.sql", "2017-09-23-182408_b/up.sql"];
    assert_eq!(names(&diesel, None), order);
}

/// A temporary table is gone when its file has run: the same name is blue's then.
#[test]
fn a_temporary_table_ends_with_its_file() {
    let dir =
        folder(&[("1_a.sql", "create temp table users (id int);"), ("2_b.sql", "alter table users drop column name;")]);
    let read = Folder::read(dir.path(), None).unwrap();
    assert_eq!(read.migrations[1].class(), Class::Contract);
}

/// Only what the tool of a file itself leaves out is left out: everything else it runs.
#[test]
fn what_goes_back_is_marked_to_the_letter() {
    let class = |text: &str| {
        let dir = folder(&[("1_a.sql", text)]);
        Folder::read(dir.path(), None).unwrap().migrations[0].class()
    };
    let both = |up: &str, down: &str| class(&format!("{up}\ncreate table zz (id int);\n{down}\ndrop table users;\n"));
    for (up, down) in [
        ("-- +goose Up", "-- +goose Down"),
        ("--+goose Up", "--   +goose Down"),
        ("-- migrate:up", "-- migrate:down"),
        ("--migrate:up transaction:false", "-- migrate:down transaction:false"),
        ("-- +migrate Up", "-- +migrate Down notransaction"),
    ] {
        assert_eq!(both(up, down), Class::Expand, "{up} {down}");
    }
    for (up, down) in [
        ("-- migrate:up", "  -- migrate:down"),
        ("-- migrate:up", "-- Migrate:Down"),
        ("-- migrate:up", "-- migrate:downward"),
        ("-- +goose Up", "  -- +goose Down"),
        ("-- +goose Up", "-- +goose down"),
        ("", "-- +goose Down"),
        ("-- migrate:up", "-- +goose Down"),
    ] {
        assert_eq!(both(up, down), Class::Contract, "{up} {down}");
    }
}

/// A folder in another language is named as not read, with what to say in its place.
#[test]
fn a_folder_without_sql_is_named_by_its_language() {
    for (file, language) in [
        ("20240101_create_users.rb", "1 file of Ruby (Rails): not read; leave `migrations` out"),
        ("0001_initial.py", "Python (Django, Alembic)"),
        ("changelog/001.xml", "a changelog (Liquibase)"),
        ("db.changelog.yaml", "a changelog (Liquibase)"),
        ("V1__A.java", "Java (Flyway)"),
        ("00001_a.go", "Go (goose)"),
        ("notes.weird", "there is no file of SQL in it; leave `migrations` out"),
    ] {
        let dir = folder(&[(file, "x")]);
        let why = Folder::read(dir.path(), None).unwrap_err();
        assert!(why.contains(language), "{file}: {why}");
    }
}

/// A migration that is not read is never one that is not there.
#[test]
fn m1_whatever_may_be_a_migration_is_read_or_unknown() {
    // A name that only ends like one that takes back.
    assert_eq!(names(&[("V1__a.sql", ADD), ("V2__shut_down.sql", DROP)], None), ["V1__a.sql", "V2__shut_down.sql"]);
    assert_eq!(names(&[("1_a_up.sql", ADD), ("1_a_down.sql", DROP)], None), ["1_a_up.sql"]);
    // What takes back in another language is no second migration of its number.
    assert_eq!(
        names(&[("1_a.up.sql", ADD), ("2_b.up.go", ADD), ("2_b.down.go", DROP)], None),
        ["1_a.up.sql", "2_b.up.go"]
    );
    // Folders in folders.
    let nested = [("2025/V1__a.sql", ADD), ("2026/q1/V10__c.sql", DROP), ("2026/q1/V9__b.sql", ADD)];
    assert_eq!(names(&nested, None), ["2025/V1__a.sql", "2026/q1/V9__b.sql", "2026/q1/V10__c.sql"]);
    assert_eq!(names(&nested, Some("9")), ["2026/q1/V10__c.sql"]);
    assert_eq!(
        names(&[("up/0001.sql", ADD), ("up/0002.sql", DROP), ("down/0002.sql", ADD)], None),
        ["up/0001.sql", "up/0002.sql"]
    );
    // Programs, and other languages: each is new, and each is unknown.
    for other in [
        "00002_b.go",
        "20260102_b.rb",
        "V2__B.java",
        "0002_b.py",
        "2_b.js",
        "2_b.ts",
        "2-changes.xml",
        "2.yaml",
        "2_b.php",
        "2/change.exs",
        "2_b.sql.gz",
    ] {
        let dir = folder(&[("1_a.sql", ADD), (other, "what it does nobody here reads")]);
        let read = Folder::read(dir.path(), Some("1_a.sql")).unwrap();
        let told: Vec<_> = read.new_ones().map(|m| (m.name.as_str(), m.class())).collect();
        assert_eq!(told, [(other, Class::Unknown)]);
    }
    // What no tool runs.
    let beside = [
        ("1_a.sql", ADD),
        ("README.md", "x"),
        (".gitkeep", ""),
        ("atlas.sum", "x"),
        ("__init__.py", ""),
        ("__pycache__/x.pyc", ""),
        ("meta/_journal.json", "{}"),
        ("meta/0001_snapshot.json", "{}"),
    ];
    assert_eq!(names(&beside, None), ["1_a.sql"]);
}

/// What is named by mistake is not read whole, and a pipe is waited for by nobody.
#[test]
fn what_is_no_folder_of_migrations_is_refused_by_name() {
    let dir = folder(&[("1_a.sql", ADD), ("2_dump.bin", "")]);
    let large = std::fs::File::options().write(true).open(dir.path().join("2_dump.bin")).unwrap();
    large.set_len(64 << 20).unwrap();
    assert!(Folder::read(dir.path(), None).unwrap_err().contains("more than 64 MiB"));
    let dir = folder(&[("1_a.sql", ADD)]);
    let pipe = std::process::Command::new("mkfifo").arg(dir.path().join("2_b.sql")).status().unwrap();
    assert!(pipe.success());
    let why = Folder::read(dir.path(), None).unwrap_err();
    assert_eq!(why, "`2_b.sql` cannot be read: it is a pipe (FIFO), not a file");
}

#[test]
fn m2_folders_of_one_moment_and_of_other_databases_are_not_refused() {
    let prisma = [("20260101120000_b/migration.sql", ADD), ("20260101120000_a/migration.sql", ADD)];
    assert_eq!(names(&prisma, None), ["20260101120000_a/migration.sql", "20260101120000_b/migration.sql"]);
    let dialects =
        [("postgres/1_a.sql", ADD), ("mysql/1_a.sql", "ALTER TABLE t ENGINE=InnoDB"), ("sqlite/1_a.sql", DROP)];
    assert_eq!(names(&dialects, None), ["postgres/1_a.sql"]);
    // Alone it is what there is, and what it says is not understood.
    let dir = folder(&[("mysql/1_a.sql", "ALTER TABLE t ENGINE=InnoDB;")]);
    assert_eq!(Folder::read(dir.path(), None).unwrap().migrations[0].class(), Class::Unknown);
}

#[test]
fn only_what_came_after_blue_counts() {
    let files = [
        ("0001_a.sql", "create table users (id int, old text);"),
        ("0002_b.sql", DROP),
        ("0003_c.sql", ADD),
        ("R__v.sql", ADD),
    ];
    for since in ["2", "0002", "0002_b.sql"] {
        assert_eq!(names(&files, Some(since)), ["0003_c.sql", "R__v.sql"], "{since}");
    }
    let dir = folder(&files);
    assert_eq!(Folder::read(dir.path(), Some("7")).unwrap_err(), "none of them is `7`");
    // What blue knows is not new, although the file that made it stands here.
    let dir = folder(&[
        ("1_a.sql", "create table t (a varchar(9));"),
        ("2_b.sql", "alter table t alter a type varchar(20);"),
    ]);
    let read = Folder::read(dir.path(), Some("1")).unwrap();
    assert_eq!(read.migrations[1].class(), Class::Semantic, "the type before is known from the older file");
    assert_eq!(Folder::read(dir.path(), None).unwrap().migrations[1].class(), Class::Expand, "and all of it is new");
}

#[test]
fn what_takes_back_is_left_out_of_files_of_both_directions() {
    for (up, down) in [
        ("-- +goose Up", "-- +goose Down"),
        ("-- migrate:up", "-- migrate:down"),
        ("-- +migrate Up", "-- +migrate Down"),
    ] {
        let text = format!("{up}\n{ADD}\n\n{down}\n{DROP}\n");
        let dir = folder(&[("1_a.sql", &text)]);
        let read = Folder::read(dir.path(), None).unwrap();
        let all = &read.migrations[0].statements;
        assert_eq!((all.len(), read.migrations[0].class()), (1, Class::Expand), "{up}: {all:?}");
        assert_eq!(read.migrations[0].place(&all[0]), "1_a.sql:2");
    }
}

#[test]
fn what_cannot_be_read_is_a_question() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1_a.sql"), [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(Folder::read(dir.path(), None).unwrap().migrations[0].class(), Class::Unknown);
    let long = "-- x\n".repeat(250_000);
    let dir = folder(&[("1_a.sql", &long)]);
    assert_eq!(Folder::read(dir.path(), None).unwrap().migrations[0].class(), Class::Unknown);
    let dir = folder(&[("1_a.sql", ADD), ("01_b.sql", ADD)]);
    assert!(Folder::read(dir.path(), None).unwrap_err().contains("the same number"));
    let dir = folder(&[("notes.txt", "x")]);
    assert!(Folder::read(dir.path(), None).unwrap_err().starts_with("there is no file of SQL in it"));
    assert!(Folder::read(&dir.path().join("nowhere"), None).is_err());
}
