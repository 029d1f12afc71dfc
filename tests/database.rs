//! Questions to a real PostgreSQL: what comes back, and that nothing but questions is taken.

mod common;

use std::rc::Rc;

use bgctl::clock::SystemClock;
use bgctl::live::database::LiveDatabase;
use bgctl::world::{Database, Unanswered};
use common::postgres::Postgres;
use serde_json::{Map, Value, json};

fn rows(url: &str, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = LiveDatabase::new(Rc::new(SystemClock));
    runtime.block_on(database.rows(url, sql))
}

#[test]
fn rows_come_back_by_name_and_nothing_can_be_written() {
    let Some(server) = Postgres::start() else { return };
    server.run("create table users (id int, phone text); insert into users values (1, '7'), (2, null)");
    let found = rows(&server.url, "select count(*) as n, sum(id) * 1.5 as s from users where phone is null;").unwrap();
    assert_eq!(Value::from(found), json!([{ "n": 1, "s": 3.0 }]));
    assert_eq!(rows(&server.url, "select id from users where id > 9 -- none").unwrap().len(), 0);
    let refused = |sql: &str| match rows(&server.url, sql) {
        Err(Unanswered::Refused(why)) => why,
        other => panic!("{sql}: {other:?}"),
    };
    assert!(refused("select nothing from users").contains("nothing"));
    refused("delete from users");
    refused("with gone as (delete from users returning id) select * from gone");
    refused("select 1) as q; delete from users; select * from (select 1");
    refused("select 1; commit; delete from users");
    assert!(refused("select set_config('default_transaction_read_only', 'off', false), nextval('s')").contains("s"));
    server.run("create sequence s");
    assert!(refused("select nextval('s')").contains("read-only"));
    assert_eq!(server.run("select count(*) from users"), "2");
    // Silence is another thing than a refusal, and names no address.
    match rows("postgres://bgctl:hunter2@127.0.0.1:1/postgres", "select 1") {
        Err(Unanswered::Silent(why)) => assert!(!why.contains("hunter2") && !why.contains("127.0.0.1"), "{why}"),
        other => panic!("{other:?}"),
    }
    match rows(&server.url, "select pg_sleep(30)") {
        Err(Unanswered::Silent(why)) => assert!(why.contains("timeout"), "{why}"),
        other => panic!("{other:?}"),
    }
}
