//! Questions to a PostgreSQL: one statement that only reads, with a deadline, in a session that cannot write.
//!
//! Errors name neither the address nor a password: the URL is a secret of the runbook. Nothing is judged here.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::clock::Clock;
use crate::https;
use crate::world::{Database, Unanswered, document};

/// The longest a connection may take, and then an answer.
const WITHIN: Duration = Duration::from_secs(5);
/// More rows than this are no answer to a question bgctl asks.
const MOST_ROWS: usize = 10_000;

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
    // Words of the parser can hold parts of the URL, so only the fact is told.
    let mut config: Config = url.parse().map_err(|_| Unanswered::Silent("its URL cannot be read".into()))?;
    let millis = WITHIN.as_millis();
    config
        .connect_timeout(WITHIN)
        .application_name("bgctl")
        .options(format!("-c default_transaction_read_only=on -c statement_timeout={millis} -c lock_timeout={millis}"));
    let (client, connection) = config.connect(tls()?).await.map_err(|e| unanswered(&e))?;
    let work = async {
        // The extended protocol takes one statement only, and in a subquery nothing can write.
        let question = format!("select to_json(q)::text from (\n{}\n) as q", sql.trim().trim_end_matches(';'));
        let statement = client.prepare(&question).await?;
        client.query(&statement, &[]).await
    };
    let rows = tokio::select! {
        rows = work => rows.map_err(|e| unanswered(&e))?,
        ended = connection => return Err(match ended {
            Err(error) => unanswered(&error),
            Ok(()) => Unanswered::Silent("it closed the connection".into()),
        }),
    };
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
fn unanswered(error: &tokio_postgres::Error) -> Unanswered {
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
