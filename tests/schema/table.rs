//! The table of classes, a row a case.

use bgctl::migrations::{Class, Known, Statement, statements, strictest};

/// What blue's migrations have made.
pub const BEFORE: &str = "
create table users (
    id serial primary key, a int, b varchar(20), c text, d timestamp, e mood default 'a', f char(3), note text not null
);
create table orders (id serial primary key, uid int);
create index ix_a on users (a);
";

fn after(sql: &str) -> Vec<Statement> {
    let mut known = Known::default();
    let before = statements(BEFORE, &mut known, false);
    assert!(before.iter().all(|s| s.judged.class.is_safe()), "{before:#?}");
    statements(sql, &mut known, true)
}

/// Which class, whether the team may declare it compatible, and a word of the hazard.
pub type Row = (&'static str, Class, bool, &'static str);

const NO: bool = false;
const YES: bool = true;

use Class::{Contract as C, Expand as E, Nothing as N, Semantic as S, Tighten as T, Unknown as U};

pub const ROWS: &[Row] = &[
    ("alter table users add column x int", E, NO, ""),
    ("alter table only users add x int null", E, NO, ""),
    ("alter table users add column x int not null default 5", E, NO, ""),
    ("alter table users add column x timestamptz default now()", E, NO, ""),
    ("alter table users add column x timestamptz not null default current_timestamp", E, NO, ""),
    ("alter table users add column x timestamptz default clock_timestamp()", E, NO, "rewrites"),
    ("alter table users add column x uuid not null default gen_random_uuid()", E, NO, "rewrites"),
    ("alter table users add column x int generated always as (a + 1) stored", E, NO, "rewrites"),
    ("alter table users add column x int generated always as identity", E, NO, "rewrites"),
    ("alter table users add column x bigserial", S, YES, "rewrites"),
    ("alter table users add column x int not null", T, NO, ""),
    ("alter table users add column x int unique", E, NO, "index"),
    ("alter table users add column x int default 1 unique", T, NO, ""),
    ("alter table users add column x int check (x > 0)", T, NO, ""),
    ("alter table users add column x int references orders", S, YES, ""),
    ("alter table users add column x int references orders on delete set null", E, NO, ""),
    (
        "create table t (id int primary key, uid int); alter table t add constraint k foreign key (uid) references users (id)",
        S,
        YES,
        "",
    ),
    (
        "create table t (id int primary key, uid int); alter table t add foreign key (uid) references users on delete restrict",
        S,
        YES,
        "",
    ),
    (
        "create table t (id int primary key, uid int); alter table t add foreign key (uid) references users on delete cascade",
        E,
        NO,
        "",
    ),
    ("create table t (id int primary key); alter table t add column uid int references users", S, YES, ""),
    ("create table t (id int primary key); alter table users add column x int references t", E, NO, ""),
    (
        "alter table users add column x int; alter table users add constraint k foreign key (x) references orders (id)",
        S,
        YES,
        "",
    ),
    (
        "alter table users add x int, add constraint k foreign key (x) references orders (id) on delete set null",
        E,
        NO,
        "",
    ),
    (
        "alter table users add x int, add constraint k foreign key (a) references orders (id) on delete set null",
        T,
        NO,
        "both tables",
    ),
    (
        "alter table users add x int default 1, add constraint k foreign key (x) references orders on delete cascade",
        T,
        NO,
        "both tables",
    ),
    ("alter table users add x int; create unique index ix on users (x)", E, NO, "concurrently"),
    ("alter table users add x int; create unique index ix on users (x, \"x\")", E, NO, "concurrently"),
    ("alter table users add x int; create unique index ix on users (x) nulls not distinct", T, NO, "concurrently"),
    ("alter table users add x int; create unique index ix on users (x, a)", T, NO, "concurrently"),
    ("alter table users add x int; create unique index ix on users (coalesce(x, 0))", T, NO, "concurrently"),
    ("alter table users add x int default 7; create unique index ix on users (x)", T, NO, "concurrently"),
    ("alter table users add x int, add constraint k unique (x)", E, NO, "index"),
    ("alter table users add x int, add constraint k unique nulls not distinct (x)", T, NO, "index"),
    // What a delete of blue's reaches, and whether it gets through.
    (
        "create table t (id int primary key, u int references users on delete cascade); create table p (t int references t)",
        S,
        YES,
        "",
    ),
    (
        "create table t (id int primary key, u int references users on delete cascade); create table p (t int references t on delete cascade)",
        E,
        NO,
        "",
    ),
    ("create table t (u int not null references users on delete set null)", S, YES, ""),
    ("create table t (u int, primary key (u), foreign key (u) references users on delete set null)", E, NO, ""),
    ("create table t (u int default 7 references users on delete set default)", S, YES, ""),
    ("create table t (u int references users on delete set null)", E, NO, ""),
    ("alter table users add column o int not null default 1 references orders on delete set null", S, YES, ""),
    ("alter table users add column o int references orders on delete cascade", S, YES, ""),
    // What a computed column cannot hold, and what it needs.
    ("alter table users add column x varchar(3) generated always as (c) stored", T, NO, "rewrites"),
    ("alter table users add column x smallint generated always as (a) stored", T, NO, "rewrites"),
    ("alter table users add column x int generated always as (a * 1000) stored", T, NO, "rewrites"),
    ("alter table users add column x text generated always as (lower(c)) stored", E, NO, "rewrites"),
    ("alter table users add column x bytea generated always as (decode(c, 'hex')) stored", T, NO, "rewrites"),
    ("create index on users ((decode(c, 'hex')))", T, NO, "concurrently"),
    ("alter table users add column x text unique; alter table users alter x set default 'a'", T, NO, "index"),
    (
        "alter table users add x int, add constraint k unique (x); alter table users alter x set default 1",
        T,
        NO,
        "index",
    ),
    (
        "alter table users add x int, add y int; create unique index ix on users (x, y); alter table users alter x set default 1, alter y set default 1",
        T,
        NO,
        "concurrently",
    ),
    ("create function f() returns int language sql as 'select 1'; create table t as select f()", S, YES, ""),
    (
        "create function f() returns int language sql as 'select 1'; create table t (v int default f()); insert into t values (f())",
        S,
        YES,
        "",
    ),
    (
        "begin; set local search_path = n; create table users (id int); commit; alter table users drop column c",
        C,
        NO,
        "",
    ),
    ("create temp table batch (id int); insert into batch values (1)", E, NO, ""),
    // Rows of blue's that go with those of a new table.
    (
        "create table o (id int primary key); alter table users add column o int references o on delete cascade; delete from o",
        C,
        NO,
        "",
    ),
    (
        "create table o (id int primary key); alter table users add column o int references o on delete cascade; truncate o cascade",
        C,
        NO,
        "",
    ),
    ("create schema app; create table app.users (id int)", S, YES, ""),
    (
        "create function log_it() returns trigger language plpgsql as 'begin insert into orders select new.*; return new; end'; create trigger tr after insert on users for each row execute function log_it(); alter table users add column x int",
        S,
        YES,
        "stops writes",
    ),
    ("create domain d1 as int not null; create domain d2 as d1; alter table users add column x d2", T, NO, ""),
    ("alter table users alter note set default ''", S, YES, ""),
    ("alter table users alter id drop default", T, NO, ""),
    ("alter table users alter e drop default", S, YES, ""),
    ("alter table users drop column c", C, NO, ""),
    ("alter table users rename column c to cc", C, NO, ""),
    ("alter table users rename to people", C, NO, ""),
    ("alter table users set schema archive", C, NO, ""),
    ("alter schema public rename to old", C, NO, ""),
    ("alter table users alter b type varchar(40)", S, YES, ""),
    ("alter table users alter column b set data type character varying (40)", S, YES, ""),
    ("alter table users alter b type text", S, YES, ""),
    ("alter table users alter c type text", E, NO, ""),
    ("alter table users alter c type text collate \"C\"", S, YES, ""),
    ("alter table users alter b type varchar(10)", T, NO, "rewrites"),
    ("alter table users alter c type varchar(10)", T, NO, "rewrites"),
    ("alter table users alter a type bigint", S, YES, "rewrites"),
    ("alter table users alter a type smallint", T, NO, "rewrites"),
    ("alter table users alter d type timestamptz", S, YES, "UTC"),
    ("alter table users alter d type timestamp with time zone", S, YES, "UTC"),
    ("alter table users alter a type text using a::text", C, NO, "rewrites"),
    ("alter table users alter a type text", C, NO, "rewrites"),
    ("alter table strange alter b type varchar(40)", T, NO, "rewrites"),
    ("alter table users alter a set not null", T, NO, "reads the whole table"),
    ("alter table users alter note drop not null", S, NO, ""),
    ("alter table users add constraint k check (a > 0)", T, NO, "reads"),
    ("alter table users add constraint k check (a > 0) not valid", T, NO, ""),
    ("alter table users validate constraint k", T, NO, "reads"),
    ("alter table orders add constraint k foreign key (uid) references users (id)", T, NO, "both tables"),
    ("alter table orders add constraint k foreign key (uid) references users (id) not valid", T, NO, ""),
    ("alter table users add constraint k unique (a)", T, NO, "index"),
    ("alter table users add constraint k unique using index ix", T, NO, ""),
    ("alter table users add primary key (id)", T, NO, "index"),
    ("alter table users add constraint k exclude using gist (a with =)", T, NO, "index"),
    ("alter table users drop constraint k", S, YES, ""),
    ("create index on users (c)", E, NO, "concurrently"),
    ("create index concurrently ix on users (c)", E, NO, "invalid"),
    ("create unique index concurrently ix on users (c)", T, NO, "invalid"),
    ("alter table users alter a set default 1", S, YES, ""),
    ("alter table users alter a drop default", S, YES, ""),
    ("alter type mood add value 'zz'", S, YES, ""),
    ("alter type mood rename value 'a' to 'aa'", C, NO, ""),
    ("create trigger t before insert on users for each row execute function f()", S, YES, "writes"),
    ("create rule r as on insert to users do instead nothing", S, YES, "writes"),
    ("alter table users enable row level security", S, YES, ""),
    ("create policy p on users using (true)", S, YES, ""),
    ("alter table users set (fillfactor = 70)", E, NO, ""),
    ("alter table users set unlogged", S, YES, "rewrites"),
    ("drop table users", C, NO, ""),
    ("drop view v", C, NO, ""),
    ("drop function f(int)", C, NO, ""),
    ("drop type mood", C, NO, ""),
    ("drop index ix_a", S, YES, ""),
    ("drop index concurrently ix_a", S, YES, ""),
    ("drop schema x cascade", C, NO, ""),
    ("truncate users", C, NO, ""),
    ("delete from users where a = 1", C, NO, ""),
    ("update users set a = a + 1", S, YES, "batches"),
    ("insert into users (a) values (1)", S, YES, ""),
    ("merge into users u using orders o on o.uid = u.id when matched then delete", U, NO, ""),
    ("create view v as select a from users", E, NO, ""),
    ("create or replace view v as select a from users", S, YES, ""),
    ("create table t (id int primary key, uid int references users on delete cascade)", E, NO, ""),
    ("create table t (id int primary key, uid int references users (id))", S, YES, ""),
    ("create table t (id int, uid int, foreign key (uid) references users)", S, YES, ""),
    ("create type colour as enum ('a')", E, NO, ""),
    ("create extension if not exists pgcrypto", E, NO, ""),
    ("grant select on users to bot", E, NO, ""),
    ("revoke select on users from bot", C, NO, ""),
    ("do $$ begin execute 'drop table users'; end $$", U, NO, ""),
    ("create function f() returns int language sql as 'select 1'", S, YES, ""),
    ("create or replace procedure p() language sql as 'select 1'", S, YES, ""),
    ("call p()", U, NO, ""),
    ("select clean_up()", U, NO, ""),
    ("select pg_catalog.set_config('search_path', '', false)", N, NO, ""),
    ("with gone as (delete from users returning id) select * from gone", U, NO, ""),
    ("with gone as (delete from orders returning id) update users set a = 1", U, NO, ""),
    ("set lock_timeout = '2s'", N, NO, ""),
    ("begin", N, NO, ""),
    ("commit", N, NO, ""),
    ("comment on table users is 'people'", N, NO, ""),
    ("lock table users in exclusive mode", N, NO, "until the transaction ends"),
    ("alter system set fsync = off", U, NO, ""),
    ("ALTER TABLE `users` ADD COLUMN x INT(11) UNSIGNED", U, NO, ""),
    ("alter tabel users drop column c", U, NO, ""),
    ("\\i other.sql", U, NO, ""),
    ("alter table ${schema}.users add column x int", U, NO, ""),
];

#[test]
fn each_row_of_the_table_has_its_class() {
    let mut wrong = Vec::new();
    for (sql, class, declarable, hazard) in ROWS {
        let found = after(&format!("{sql};\n"));
        let is = strictest(&found);
        let may = found.iter().filter(|s| !s.judged.class.is_safe()).all(|s| s.judged.declarable) && !is.is_safe();
        let said: String = found.iter().filter_map(|s| s.judged.hazard.clone()).collect();
        let hazardous = if hazard.is_empty() { said.is_empty() } else { said.contains(hazard) };
        if is != *class || may != *declarable || !hazardous {
            wrong.push(format!("{sql}: {} declarable {may} hazard `{said}` not {}", is.name(), class.name()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What this very release has made is none of blue's: it may be filled, changed and dropped.
#[test]
fn what_came_with_the_release_may_be_changed() {
    let made = "alter table users add column phone text; create table t (id int);";
    for sql in [
        "update users set phone = normalize(c) where phone is null",
        "update users u set phone = o.id::text from orders o where o.uid = u.id",
        "alter table users drop column phone",
        "alter table users alter column phone set default '', alter column phone set not null",
        "alter table users alter column phone drop default",
        "alter table t add column x int not null",
        "alter table t alter column id type bigint",
        "create unique index on t (id)",
        "insert into t values (1)",
        "delete from t",
        "truncate t",
        "drop table t",
    ] {
        let found = after(&format!("{made}\n{sql};"));
        assert_eq!(strictest(&found), E, "{sql}: {found:#?}");
    }
    // And what blue knows is not made new by being named beside it.
    for (sql, class) in [
        ("update users set phone = c, c = ''", S),
        ("truncate t, users", C),
        ("drop table t, users", C),
        ("alter table users drop column phone, drop column c", C),
    ] {
        assert_eq!(strictest(&after(&format!("{made}\n{sql};"))), class, "{sql}");
    }
}

/// A column blue does not know is still part of every row that blue writes.
#[test]
fn g01_what_blue_leaves_out_may_be_asked_of_it_all_the_same() {
    for (sql, class) in [
        (
            "alter table users add column x text; update users set x = 'en'; alter table users alter column x set not null",
            T,
        ),
        ("alter table users add column x text not null default 'x'; alter table users alter x drop default", T),
        ("alter table users add column x text default 'x'; alter table users alter x drop default", E),
        ("alter table users add column x text not null default null", T),
        ("alter table users add column x text default 'x'; alter table users alter x set not null", E),
        (
            "alter table users add column x text default 'x'; alter table users alter x set default null, alter x set not null",
            T,
        ),
        ("alter table users add column x int generated always as identity; alter table users alter x drop identity", T),
        ("alter table users add column x text, alter x set not null", T),
        ("create domain phone as text not null; alter table users add column x phone", T),
        ("create domain phone as text check (value is not null); alter table users add column x phone", T),
        ("create domain phone as text check (length(value) < 20); alter table users add column x phone", E),
        ("create domain phone as text not null; alter table users add column x phone default ''", E),
        ("alter table users add column x int generated always as (c::int) stored", T),
        ("alter table users add column x int generated always as (cast(c as int)) stored", T),
        ("alter table users add column x text generated always as (a::text) stored", E),
        ("alter table users add column x int generated always as (100 / a) stored", T),
        ("create index on users ((c::int))", T),
        ("create index on users (a) where b = 'x'::text", E),
        ("create index on users (lower(c))", E),
        ("create index on users (c) where c like '/a::b/%'", E),
        (
            "create table parts (id int) partition by range (id); alter table parts attach partition orders for values from (0) to (9)",
            T,
        ),
        ("create temp table orders on commit drop as select 1; drop table orders", C),
        ("create temp table orders (id int) on commit drop; drop table orders", C),
        ("create temp table batch (id int); drop table batch", E),
        ("create table t (id int, uid int references users on delete restrict)", S),
    ] {
        let found = after(&format!("{sql};"));
        assert_eq!(strictest(&found), class, "{sql}: {found:#?}");
    }
}

#[test]
fn the_strictest_action_of_a_statement_counts() {
    let found = after("alter table users add column x int, alter a set default 1, drop column c;");
    assert_eq!((found.len(), strictest(&found)), (1, C));
    // One that may be declared beside one that may not: a person has to look.
    let found = after("alter table users alter note drop not null, alter a set default 1;");
    assert!(strictest(&found) == S && !found[0].judged.declarable, "{found:#?}");
}

/// After a mistake a parser can take two statements for one, so nothing behind it counts as read.
#[test]
fn behind_a_mistake_nothing_counts_as_read() {
    let sql =
        "alter table users add column x int;\nalter tabel users drop column c;\nalter table users add column y int;\n";
    let found = after(sql);
    assert_eq!(found[0].judged.class, E);
    assert!(found.len() > 1 && found[1..].iter().all(|s| s.judged.class == U), "{found:#?}");
    assert!(found[1].span.start >= sql.find("alter tabel").unwrap(), "{found:#?}");
}

#[test]
fn places_are_those_of_the_statement() {
    let sql = "-- adds\n\n  alter table users add column x int;   -- done\n/* then */ drop table users;\n";
    let texts: Vec<&str> = after(sql).iter().map(|s| &sql[s.span.clone()]).map(str::trim).collect();
    assert_eq!(texts, ["alter table users add column x int;", "drop table users;"]);
    assert_eq!(after("drop -- all\n  table   users ;")[0].text, "drop table users");
}

#[test]
fn names_are_folded_as_postgresql_folds_them() {
    for sql in ["alter table PUBLIC.Users drop column C", "alter table \"users\" drop column \"c\""] {
        assert_eq!(strictest(&after(&format!("{sql};"))), C, "{sql}");
    }
    let quoted = "alter table users add column \"Phone\" text; update users set phone = 'x';";
    assert_eq!(strictest(&after(quoted)), S, "another column than the new one");
    let same = "alter table users add column Phone text; update Public.USERS set PHONE = 'x';";
    assert_eq!(strictest(&after(same)), E);
}

/// What may have been blue's before is not new, and neither is what a name meant in another schema.
#[test]
fn what_may_be_blues_is_not_new() {
    for sql in [
        "create table if not exists users (id int); alter table users drop column c;",
        "create table if not exists users (id int); drop table users;",
        "alter table users add column if not exists c text; alter table users drop column c;",
        "set search_path = app; create table users (id int); set search_path to public; drop table users;",
    ] {
        assert_eq!(strictest(&after(sql)), C, "{sql}");
    }
}

/// M3: a table of `if not exists` and its own unique index. Nobody but the team knows whether the table was there, and it may say so.
#[test]
fn m3_an_index_of_a_table_that_may_be_new_can_be_declared() {
    let found = |sql: &str| after(sql).pop().unwrap().judged;
    let own = found("create table if not exists t (id int, k text); create unique index if not exists t_k on t (k);");
    assert!(own.class == T && own.declarable && own.why.contains("may have been there before"), "{own:?}");
    let plain = found("create table if not exists t (id int); create index on t (id);");
    assert_eq!((plain.class, plain.declarable), (E, false));
    let blues = found("create unique index u_k on users (k);");
    assert!(blues.class == T && !blues.declarable, "{blues:?}");
}

/// Half a statement, a statement with a hole, deep nesting: a class each time, and never a crash. What lacks a part is never
/// taken for less than it was.
#[test]
fn no_text_is_too_strange_to_be_judged() {
    let judge = |sql: &str| drop(statements(sql, &mut Known::default(), true));
    for (sql, ..) in ROWS {
        let ends: Vec<usize> = sql.char_indices().map(|(at, _)| at).step_by(4).collect();
        for at in ends {
            let (head, tail) = sql.split_at(at);
            judge(head);
            judge(&format!("{tail};{head}\u{0}\u{202e};"));
        }
    }
    judge("create trigger İİİ after insert on İtable for each row execute function İf()");
    for open in ["(", "[", "select (", "not "] {
        after(&open.repeat(2_000));
    }
    assert_eq!(strictest(&after(&format!("select {}1{};", "(".repeat(300), ")".repeat(300)))), U);
}
