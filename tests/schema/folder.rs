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
    assert_eq!(Folder::read(dir.path(), None).unwrap_err(), "there is no file of SQL in it");
    assert!(Folder::read(&dir.path().join("nowhere"), None).is_err());
}
