//! A database of its own on a server that the team has for that: made empty, used, and dropped. The database that the URL names
//! is only the door to it: nothing of a migration runs there.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

use super::database::{Polled, closed, config, connect, objects, options, select, unanswered};
use crate::clock::Clock;
use crate::world::{Scratch, Unanswered};

/// The longest one statement of a migration may take in an empty database.
const WITHIN: Duration = Duration::from_secs(20);
/// What a killed bgctl has left is dropped after this.
const STALE_S: i64 = 3600;
const PREFIX: &str = "bgctl_scratch_";

/// A new, empty database.
pub struct LiveScratch {
    door: Config,
    name: String,
    client: Client,
    connection: Polled,
}

impl LiveScratch {
    /// Makes it. Refused where the role may not create databases.
    pub async fn open(url: &str, clock: &dyn Clock) -> Result<LiveScratch, Unanswered> {
        let mut door = config(url, WITHIN)?;
        door.options(options(false, WITHIN));
        let now = clock.now().as_second();
        let name = format!("{PREFIX}{now}_{}", std::process::id());
        let (client, mut connection) = connect(&door).await?;
        for old in stale(&client, &mut connection, now).await? {
            // Whatever a killed bgctl has left running there is ended. Where that is not allowed it stays, and holds nobody up.
            let _ = command(&client, &mut connection, &format!("drop database if exists \"{old}\" with (force)")).await;
        }
        // What was added to the template of this server is none of the service's.
        command(&client, &mut connection, &format!("create database \"{name}\" template template0")).await?;
        let (client, connection) = connect(door.clone().dbname(&name)).await?;
        Ok(LiveScratch { door, name, client, connection })
    }

    /// Drops it.
    pub async fn close(self) -> Result<(), Unanswered> {
        let LiveScratch { door, name, client, connection } = self;
        drop((client, connection));
        let (client, mut connection) = connect(&door).await?;
        command(&client, &mut connection, &format!("drop database \"{name}\" with (force)")).await
    }

    /// Settings of a migration (its path, its role) are none of the next one's.
    async fn fresh(&mut self) -> Result<(), Unanswered> {
        self.batch("rollback; reset all; reset role").await.map_err(|e| unanswered(&e))
    }

    async fn batch(&mut self, sql: &str) -> Result<(), tokio_postgres::Error> {
        tokio::select! { biased;
            done = self.client.batch_execute(sql) => done,
            ended = &mut self.connection => match ended {
                Err(error) => Err(error),
                // The client says that it is closed.
                Ok(()) => self.client.batch_execute("").await,
            },
        }
    }
}

async fn command(client: &Client, connection: &mut Polled, sql: &str) -> Result<(), Unanswered> {
    tokio::select! {
        done = client.batch_execute(sql) => done.map_err(|e| unanswered(&e)),
        ended = connection => Err(closed(ended)),
    }
}

/// Databases of runs that were killed.
async fn stale(client: &Client, connection: &mut Polled, now: i64) -> Result<Vec<String>, Unanswered> {
    let sql = format!(
        "select datname::text as name from pg_database join pg_roles on rolname = current_user where datdba = pg_roles.oid \
           and datname ~ '^{PREFIX}[0-9]+_[0-9]+$' and split_part(datname, '_', 3)::bigint < {}",
        now - STALE_S
    );
    let rows = tokio::select! {
        rows = select(client, &sql) => rows.map_err(|e| unanswered(&e))?,
        ended = connection => return Err(closed(ended)),
    };
    Ok(objects(&rows)?.iter().filter_map(|row| Some(row["name"].as_str()?.to_string())).collect())
}

/// What a statement does wrong is said of the migration, also that it takes too long.
fn of_the_file(error: &tokio_postgres::Error) -> Unanswered {
    match error.as_db_error() {
        Some(db) if *db.code() == SqlState::QUERY_CANCELED => Unanswered::Refused(db.message().into()),
        Some(_) => unanswered(error),
        // `copy … from stdin` wants what nobody sends: the connection stands, and the file is not for us.
        None if !error.is_closed() => Unanswered::Refused(error.to_string()),
        None => unanswered(error),
    }
}

#[async_trait(?Send)]
impl Scratch for LiveScratch {
    async fn run(&mut self, file: &str, statements: &[&str]) -> Result<(), Unanswered> {
        self.fresh().await?;
        let Err(error) = self.batch(file).await else { return Ok(()) };
        // It cannot run in a transaction, or a new value of an enum is used where it was made: nothing of the file was kept.
        let alone = [SqlState::ACTIVE_SQL_TRANSACTION, SqlState::UNSAFE_NEW_ENUM_VALUE_USAGE];
        if !error.code().is_some_and(|code| alone.contains(code)) {
            return Err(of_the_file(&error));
        }
        for statement in statements {
            self.batch(statement).await.map_err(|e| of_the_file(&e))?;
        }
        Ok(())
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
        self.fresh().await?;
        let rows = tokio::select! {
            rows = select(&self.client, sql) => rows.map_err(|e| unanswered(&e))?,
            ended = &mut self.connection => return Err(closed(ended)),
        };
        objects(&rows)
    }
}
