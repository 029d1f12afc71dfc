//! Questions to a PostgreSQL: one statement that only reads, with a deadline, in a session that cannot write.
//!
//! Errors name neither the address nor a password: the URL is a secret of the runbook. Nothing is judged here.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::clock::Clock;
use crate::https;
use crate::world::{Database, Unanswered, document};

/// The longest a connection may take, and then an answer.
const WITHIN: Duration = Duration::from_secs(5);
/// More rows than this are no answer to a question bgctl asks.
const MOST_ROWS: usize = 50_000;

/// The part of a connection that carries what is asked.
pub(super) type Polled = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>>>>;

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
        let within = 2 * WITHIN;
        tokio::select! {
            rows = ask(url, sql) => rows,
            () = self.clock.sleep(within) => Err(Unanswered::Silent(format!("nothing after {} s", within.as_secs()))),
        }
    }
}

async fn ask(url: &str, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
    let (client, connection) = connect(config(url, WITHIN)?.options(options(true, WITHIN))).await?;
    tokio::select! {
        rows = select(&client, sql) => rows.map_err(|e| unanswered(&e)).and_then(|rows| objects(&rows)),
        ended = connection => Err(closed(ended)),
    }
}

/// What is known of a URL. Words of its parser can hold parts of it, so only the fact is told.
pub(super) fn config(url: &str, within: Duration) -> Result<Config, Unanswered> {
    let mut config: Config = url.parse().map_err(|_| Unanswered::Silent("its URL cannot be read".into()))?;
    config.connect_timeout(within).application_name("bgctl");
    Ok(config)
}

pub(super) fn options(read_only: bool, within: Duration) -> String {
    let (only, millis) = (if read_only { "on" } else { "off" }, within.as_millis());
    format!("-c default_transaction_read_only={only} -c statement_timeout={millis} -c lock_timeout={millis}")
}

/// The connection has to be polled beside whatever is asked.
pub(super) async fn connect(config: &Config) -> Result<(Client, Polled), Unanswered> {
    let (client, connection) = config.connect(tls()?).await.map_err(|e| unanswered(&e))?;
    Ok((client, Box::pin(connection)))
}

pub(super) fn closed(ended: Result<(), tokio_postgres::Error>) -> Unanswered {
    match ended {
        Err(error) => unanswered(&error),
        Ok(()) => Unanswered::Silent("it closed the connection".into()),
    }
}

/// The extended protocol takes one statement only, and in a subquery nothing can write.
pub(super) async fn select(client: &Client, sql: &str) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    let question = format!("select to_json(q)::text from (\n{}\n) as q", sql.trim().trim_end_matches(';'));
    let statement = client.prepare(&question).await?;
    client.query(&statement, &[]).await
}

pub(super) fn objects(rows: &[tokio_postgres::Row]) -> Result<Vec<Map<String, Value>>, Unanswered> {
    if rows.len() > MOST_ROWS {
        return Err(Unanswered::Refused(format!("{} rows are too many", rows.len())));
    }
    let object = |row: &tokio_postgres::Row| {
        let text: String = row.try_get(0).map_err(|e| unanswered(&e))?;
        match document::read(text.as_bytes()) {
            Ok(Value::Object(row)) => Ok(row),
            Ok(_) => Err(Unanswered::Silent("a row is no row".into())),
            Err(e) => Err(Unanswered::Refused(format!("a row cannot be read: {e}"))),
        }
    };
    rows.iter().map(object).collect()
}

fn tls() -> Result<MakeRustlsConnect, Unanswered> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let versions = ClientConfig::builder_with_provider(https::provider()).with_safe_default_protocol_versions();
    let config = versions.map_err(|e| Unanswered::Silent(format!("TLS: {e}")))?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The server's own words where it spoke; of everything else the kind of trouble, which names no address.
pub(super) fn unanswered(error: &tokio_postgres::Error) -> Unanswered {
    match error.as_db_error() {
        // Class 57 is the server going down or giving up, 53 its want of memory or connections, 08 the connection itself,
        // 55P03 a lock that was not had in time.
        Some(db) if ["57", "53", "08", "55P03"].iter().any(|class| db.code().code().starts_with(class)) => {
            Unanswered::Silent(db.message().into())
        }
        Some(db) => Unanswered::Refused(db.message().into()),
        None => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            Unanswered::Silent(cause.unwrap_or_else(|| error.to_string()))
        }
    }
}
