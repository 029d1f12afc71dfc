//! Questions to a PostgreSQL: one statement that only reads, with a deadline, in a transaction that cannot write.
//!
//! Errors name neither the address nor a password: the URL is a secret of the runbook. Whoever answers there may be anybody, so
//! what may come back is bounded. Nothing is judged here.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, pin_mut};
use serde_json::{Map, Value};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::postgres::{self, Session};
use super::postgres_url::{self, Address};
use crate::clock::Clock;
use crate::document;
use crate::world::{Database, Unanswered};

/// The longest a connection may take, and then an answer.
const WITHIN: Duration = Duration::from_secs(5);
/// More rows than this are no answer to a question bgctl asks.
const MOST_ROWS: usize = 50_000;
/// Nor are more values, in all rows together: each takes many times its byte.
const MOST_VALUES: usize = 500_000;
/// The most words of a server that are repeated.
const MOST_WORDS: usize = 500;

/// PostgreSQL over the network. Each question has a connection of its own: they are rare, and none is left behind.
pub struct LiveDatabase {
    clock: Rc<dyn Clock>,
}

impl LiveDatabase {
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        LiveDatabase { clock }
    }
}

#[async_trait(?Send)]
impl Database for LiveDatabase {
    async fn rows(&self, url: &str, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
        postgres::within(self.clock.as_ref(), 2 * WITHIN, ask(self.clock.as_ref(), url, sql)).await
    }
}

async fn ask(clock: &dyn Clock, url: &str, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
    let mut address = postgres_url::read(url).map_err(Unanswered::Silent)?;
    if address.config.get_application_name().is_none() {
        address.config.application_name("bgctl");
    }
    let Session { client, connection, .. } = postgres::connect(&address, clock, WITHIN).await?;
    tokio::select! {
        rows = read(&client, &address, sql) => rows,
        ended = connection => Err(postgres::closed(ended)),
    }
}

/// In one transaction, so that a pool between us and the server has nothing to remember.
async fn read(client: &Client, address: &Address, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
    let millis = WITHIN.as_millis();
    let mut begin =
        format!("begin read only; set local statement_timeout = {millis}; set local lock_timeout = {millis}");
    if let Some(schema) = &address.schema {
        begin += &format!("; set local search_path = \"{}\"", schema.replace('"', "\"\""));
    }
    client.batch_execute(&begin).await.map_err(|e| unanswered(&e))?;
    select(client, sql).await
}

/// The extended protocol takes one statement only, and in a subquery nothing can write.
pub(super) async fn select(client: &Client, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
    let question = format!("select to_json(q)::text from (\n{}\n) as q", sql.trim().trim_end_matches(';'));
    let none: [(&str, Type); 0] = [];
    let rows = client.query_typed_raw(&question, none).await.map_err(|e| unanswered(&e))?;
    pin_mut!(rows);
    let (mut found, mut values) = (Vec::new(), 0);
    while let Some(row) = rows.next().await {
        let text: String = row.and_then(|row| row.try_get(0)).map_err(|e| unanswered(&e))?;
        values += text.matches([',', '[', '{']).count();
        if found.len() >= MOST_ROWS || values > MOST_VALUES {
            return Err(Unanswered::Refused(format!(
                "more than {MOST_ROWS} rows, or {MOST_VALUES} values, are too many"
            )));
        }
        match document::read(text.as_bytes()) {
            Ok(Value::Object(row)) => found.push(row),
            Ok(_) => return Err(Unanswered::Silent("a row is no row".into())),
            Err(e) => return Err(Unanswered::Refused(format!("a row cannot be read: {e}"))),
        }
    }
    Ok(found)
}

/// The server's own words where it spoke; of everything else the kind of trouble, which names no address.
pub(super) fn unanswered(error: &tokio_postgres::Error) -> Unanswered {
    match error.as_db_error() {
        // Class 57 is the server going down or giving up, 53 its want of memory or connections, 08 the connection itself,
        // 55P03 a lock that was not had in time.
        Some(db) if ["57", "53", "08", "55P03"].iter().any(|class| db.code().code().starts_with(class)) => {
            Unanswered::Silent(some(db.message()))
        }
        Some(db) => Unanswered::Refused(some(db.message())),
        None => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            Unanswered::Silent(cause.unwrap_or_else(|| error.to_string()))
        }
    }
}

fn some(words: &str) -> String {
    match words.char_indices().nth(MOST_WORDS) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words.into(),
    }
}
