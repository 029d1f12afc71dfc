//! What a real PostgreSQL says came of the migrations, beside what the reader of files takes them for.

use std::collections::BTreeSet;

use bgctl::clock::{Clock, SystemClock};
use bgctl::live::scratch::LiveScratch;
use bgctl::migrations::catalogue::{Catalogue, QUESTION};
use bgctl::migrations::difference::Difference;
use bgctl::migrations::shadow::{Shadow, run};
use bgctl::migrations::{Class, Folder};
use bgctl::world::Unanswered;

use crate::common::postgres::Postgres;
use crate::table::{BEFORE, ROWS};

/// The table of classes needs a little more where it is run.
const MORE: &str = "create function ev() returns event_trigger language plpgsql as 'begin end'; create type mood as enum ('a', 'b'); create function f() returns trigger language plpgsql as 'begin return new; end';";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn tried(url: &str, blue: &str, files: &[&str]) -> Result<Shadow, Unanswered> {
    let dir = tempfile::tempdir().unwrap();
    let write = |n: usize, sql: &str| std::fs::write(dir.path().join(format!("{n:03}_x.sql")), sql).unwrap();
    write(1, blue);
    files.iter().enumerate().for_each(|(n, sql)| write(n + 2, sql));
    let folder = Folder::read(dir.path(), Some("1")).unwrap();
    runtime().block_on(async {
        let mut scratch = LiveScratch::open(url, std::rc::Rc::new(SystemClock)).await?;
        let found = run(&folder, &mut scratch).await;
        scratch.close().await?;
        found
    })
}

/// What blue meets after a statement, in a transaction that is taken back; none where PostgreSQL does not take it.
fn met(server: &Postgres, before: &Catalogue, sql: &str) -> Option<BTreeSet<Difference>> {
    let now = server
        .tries(&format!("begin; {sql}; reset all; select jsonb_agg(to_jsonb(q)) from ({QUESTION}) q; rollback"))
        .ok()?;
    Some(before.met_in(&catalogue(now.lines().last()?)))
}

fn catalogue(json: &str) -> Catalogue {
    Catalogue::read(serde_json::from_str(json).unwrap()).unwrap()
}

fn worst(met: &BTreeSet<Difference>) -> Class {
    met.iter().map(|one| one.class).max().unwrap_or(Class::Expand)
}

/// The reader of files never takes a statement for less than what PostgreSQL's catalog shows of it.
#[test]
fn each_row_of_the_table_is_at_least_as_strict_as_the_catalog() {
    let Some(server) = Postgres::start() else { return };
    server.run(&format!("{MORE}{BEFORE}"));
    let before = catalogue(&server.run(&format!("select jsonb_agg(to_jsonb(q)) from ({QUESTION}) q")));
    let (mut ran, mut loose) = (0, Vec::new());
    for (sql, class, ..) in ROWS {
        let Some(met) = met(&server, &before, sql) else { continue };
        ran += 1;
        if worst(&met) > *class && worst(&met) > Class::Expand {
            loose.push(format!("{sql}: {class:?}, {met:?}"));
        }
    }
    assert!(loose.is_empty() && ran > 70, "{ran} ran: {loose:#?}");
}

/// Each difference has its class, whoever made it and by which words: all of these stand in a block that no reader can read.
#[test]
fn the_catalog_knows_what_a_block_did() {
    let Some(server) = Postgres::start() else { return };
    let blue = format!("{MORE}{BEFORE}
        create table parts (id int primary key) partition by range (id); create table parts_1 partition of parts for values from (0) to (9);
        create view names as select id, c from users; create index ix_c on users (c); create unique index ix_u on orders (uid); create sequence numbers;
        create domain phone as text; alter table users add column g phone; create rule r as on insert to orders do also nothing;
        grant select on users to public; create trigger tr before insert on users for each row execute function f();
        alter table users add constraint a_sane check (a > 0);");
    server.run(&blue);
    let before = catalogue(&server.run(&format!("select jsonb_agg(to_jsonb(q)) from ({QUESTION}) q")));
    use Class::{Contract as C, Expand as E, Semantic as S, Tighten as T};
    for (sql, class, words) in [
        ("create table t (id int primary key)", E, ""),
        ("alter table users add column x int", E, ""),
        ("alter table users add column x int not null default 1", E, ""),
        ("alter table users add column x int unique", E, ""),
        ("alter table users add column x int references orders on delete cascade", E, ""),
        ("create index on users (a, c)", E, ""),
        ("alter index ix_c rename to ix_d", E, ""),
        ("alter table users add column x int not null", T, "an insert that leaves `users.x` out fails"),
        ("alter table users add column x int generated always as (c::int) stored", T, "`users.x` cannot be computed"),
        ("alter table users add column x int default 1 unique", T, "users_x_key"),
        ("alter table users add column x int check (x is not null)", T, "users_x_check"),
        ("alter table users add column x int references orders", S, "keeps rows of `orders`"),
        ("create table t (u int references users)", S, "keeps rows of `users` from being deleted"),
        ("create table t (u int references users on delete cascade)", E, ""),
        ("alter table users drop column c cascade", C, "`users.c` is gone"),
        ("drop table orders", C, "`orders` is gone"),
        ("alter table users rename column c to cc", C, "`users.c` is gone"),
        ("alter table orders rename to bills", C, "`orders` is gone"),
        ("drop view names", C, "`names` is gone"),
        ("create or replace view names as select id, lower(c) as c from users", S, "`names` shows something else"),
        ("alter table users alter b type varchar(40)", S, "was `character varying(20)`"),
        ("alter table users alter b type varchar(10)", T, ""),
        ("alter table users alter f type int using 1", C, ""),
        ("alter table users alter a set not null", T, "leaves `users.a` out fails"),
        ("alter table users alter e set not null", T, "a null in `users.e` is refused"),
        ("alter table users alter note drop not null", S, "`users.note` may be null"),
        ("alter table users alter a set default 1", S, "writes something else"),
        ("alter table users alter id drop default", T, "leaves `users.id` out fails"),
        ("alter table users add constraint k check (a > 1)", T, "constraint `users.k` is new"),
        ("alter table users drop constraint a_sane", S, "constraint `users.a_sane` is gone"),
        ("create unique index on users (a)", T, "refuses a second row"),
        ("create index on users ((c::int))", T, "cannot be computed"),
        ("create unique index on users (a); drop index users_a_idx", E, ""),
        ("alter index ix_u rename to ix_v", E, ""),
        ("alter table users add x int; create unique index on users (x) nulls not distinct", T, "refuses a second row"),
        ("drop index ix_u; create unique index ix_u on orders (id)", T, "`ix_u` refuses a second row"),
        ("drop index ix_c; create index ix_c on users (a)", S, "index `ix_c` is another one"),
        ("drop index ix_c", S, "index `ix_c` is gone"),
        ("alter type mood add value 'c'", S, "new value `c`"),
        ("alter type mood rename value 'b' to 'z'", C, "no `b` any more"),
        ("alter domain phone add check (length(value) < 9)", T, "domain `phone`"),
        (
            "drop table orders; create table orders (id serial primary key, uid int)",
            C,
            "`orders` was dropped and made again",
        ),
        (
            "alter table users drop column a cascade; alter table users add column a int",
            C,
            "`users.a` was dropped and added again",
        ),
        ("alter table users alter note type text collate \"C\"", S, "`users.note` is compared in another way"),
        ("alter domain phone set default 'x'", T, "domain `phone`"),
        ("alter sequence numbers increment -1", S, "sequence `numbers` is another one"),
        ("create event trigger ev on ddl_command_end execute function ev()", S, "event trigger `ev` is new"),
        ("drop sequence numbers", C, "`numbers` is gone"),
        ("drop function f() cascade", C, "function `f()` is gone"),
        (
            "create or replace function f() returns trigger language plpgsql as 'begin return null; end'",
            S,
            "function `f()` is another one",
        ),
        (
            "create trigger tr2 before insert on orders for each row execute function f()",
            S,
            "trigger `orders.tr2` is new",
        ),
        ("alter table users disable trigger tr", S, "trigger `users.tr` is another one"),
        ("drop trigger tr on users", S, "trigger `users.tr` is gone"),
        ("drop rule r on orders", S, "rule `orders.r` is gone"),
        ("alter table users enable row level security", S, "which rows of `users`"),
        ("create policy p on users using (true)", S, "policy `users.p` is new"),
        ("revoke select on users from public", C, "right `users SELECT public` is gone"),
        ("alter table parts detach partition parts_1", C, "does not hold the rows of `parts_1`"),
        ("create table parts_2 partition of parts for values from (9) to (19)", E, ""),
        (
            "create table old (id int not null, uid int) partition by range (id); alter table old attach partition orders for values from (0) to (9)",
            T,
            "part of another table",
        ),
        ("create table more () inherits (orders)", S, "`orders` shows the rows of `more` too"),
    ] {
        let met = met(&server, &before, &format!("do $x$ begin {sql}; end $x$"));
        let met = met.unwrap_or_else(|| panic!("{sql} does not run"));
        let text = format!("{met:?}");
        assert!(worst(&met) == class && text.contains(words), "{sql}: {class:?} `{words}`: {text}");
    }
}

/// What is gone for a while is gone, also where a later file brings it back.
#[test]
fn every_state_between_is_one_that_blue_lives_in() {
    let Some(server) = Postgres::start() else { return };
    let blue = "create table users (id int, phone text); create function f() returns int language plpgsql as 'begin alter table users drop column phone; return 1; end'; create view w as select f() as x;";
    let files = ["create table seen as select x from w;", "alter table users add column phone text;"];
    let shadow = tried(&server.url, blue, &files).unwrap();
    let Shadow::Ran { shown, tables, columns } = &shadow else { panic!("{shadow:?}") };
    assert_eq!((shown.len(), *tables, *columns), (2, 2, 4));
    // What a file brings back is not what was there.
    let against = shadow.against().expect("a select that drops a column reads as harmless");
    let lines = [
        "`002_x.sql` reads as `expand` and is `contract`: `users.phone` is gone",
        "`003_x.sql` reads as `expand` and is `contract`: `users.phone` was dropped and added again, without its values",
    ];
    assert_eq!(against, lines.join("; "));
    assert_eq!(shadow.line(), against);
    let harmless = tried(&server.url, blue, &["alter table users add column mail text;"]).unwrap();
    assert_eq!(
        harmless.line(),
        "1 migration ran; the catalog (1 table, 4 columns) says no more against BLUE than the files do"
    );
}

/// One declared statement in a file accounts for one thing that happened, and hides no second.
#[test]
fn a_declared_statement_hides_nothing_else() {
    let Some(server) = Postgres::start() else { return };
    let blue = "create table users (id int, name text); create function f() returns int language plpgsql as 'begin create trigger tr before insert on users for each row execute function g(); return 1; end'; \
                create function g() returns trigger language plpgsql as 'begin return new; end'; create view w as select f() as x;";
    let file = "alter table users alter name set default 'x'; create table seen as select x from w;";
    let shadow = tried(&server.url, blue, &[file]).unwrap();
    let against = shadow.against().expect("the trigger is not what the file says");
    assert!(against.starts_with("`002_x.sql` does more than its statements say: "), "{against}");
    assert_eq!(tried(&server.url, blue, &["alter table users alter name set default 'x';"]).unwrap().against(), None);
}

/// What PostgreSQL takes only outside of a transaction, and settings that one file leaves behind.
#[test]
fn files_run_as_the_tools_run_them() {
    let Some(server) = Postgres::start() else { return };
    let blue = "create type mood as enum ('a'); create table users (id int, m mood);";
    for file in [
        "create index concurrently ix on users (id);\n-- then\nreindex index concurrently ix;",
        "alter type mood add value 'b';\nupdate users set m = 'b';\ninsert into users values (1, 'b');",
        "begin; alter table users add column x int; commit;",
        "select pg_catalog.set_config('search_path', '', false); create table public.t (id int);",
    ] {
        let shadow = tried(&server.url, blue, &[file, "alter table users add column later int;"]).unwrap();
        assert!(matches!(&shadow, Shadow::Ran { shown, .. } if shown.len() == 2), "{file}: {shadow:?}");
    }
}

/// What cannot be run is not known, and says so; a server that cannot be asked is another thing.
#[test]
fn what_does_not_run_is_unknown() {
    let Some(server) = Postgres::start() else { return };
    for (file, words) in [
        (
            "alter table nowhere add column x int;",
            "`002_x.sql` does not run there: relation \"nowhere\" does not exist",
        ),
        ("select 1;\ncreate role app;", "`002_x.sql:2` changes the server and not only a database"),
        ("comment on database postgres is 'x';", "changes the server"),
        ("grant pg_read_all_data to public;", "changes the server"),
        ("grant connect on database postgres to public;", "changes the server"),
        ("copy users from stdin;", "does not run there"),
        ("DROP  DATABASE postgres;", "`002_x.sql:1` changes the server"),
        ("alter system set fsync = off;", "changes the server"),
        ("\\connect other\nselect 1;", "does not run there"),
    ] {
        let shadow = tried(&server.url, "create table users (id int);", &[file]).unwrap();
        let Shadow::Broke(why) = &shadow else { panic!("{file}: {shadow:?}") };
        assert!(why.contains(words), "{file}: {why}");
        assert!(shadow.against().unwrap().starts_with("what they do is not known: "), "{file}");
    }
    server.run("create role weak login nosuperuser nocreatedb");
    let weak = server.url.replace("bgctl@", "weak@");
    assert!(matches!(tried(&weak, "select 1;", &[]), Err(Unanswered::Refused(why)) if why.contains("create database")));
    let silent = "postgres://bgctl:hunter2@127.0.0.1:1/postgres";
    assert!(matches!(tried(silent, "select 1;", &[]), Err(Unanswered::Silent(why)) if !why.contains("hunter2")));
}

/// The database behind the URL is a door: nothing stays on the server, not even of a bgctl that was killed.
#[test]
fn nothing_is_left_on_the_server() {
    let Some(server) = Postgres::start() else { return };
    server.run("create table users (id int)");
    server.run("create database bgctl_scratch_1000000000_1");
    server.run("create database bgctl_scratch_mine");
    let young = format!("bgctl_scratch_{}_1", SystemClock.now().as_second());
    server.run(&format!("create database {young}"));
    for files in [["drop table users;"].as_slice(), &["nonsense"], &["create table users (id int);"]] {
        tried(&server.url, "create table users (id int);", files).unwrap();
    }
    assert_eq!(server.run("select count(*) from users"), "0", "the database of the URL is as it was");
    let left = server.run("select datname from pg_database where datname like 'bgctl%' order by 1");
    assert_eq!(left, format!("{young}\nbgctl_scratch_mine"), "another run may be at work in a young one");
}
