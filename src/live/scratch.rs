//! A database of its own on a server that the team has for that: made empty, used, and dropped. The database that the URL names
//! is only the door to it: nothing of a migration runs there.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::database::{select, unanswered};
use super::postgres::{Session, closed, connect, within};
use super::postgres_url::{self, Address};
use crate::clock::Clock;
use crate::world::{Scratch, Unanswered};

/// The longest one statement of a migration may take in an empty database.
const WITHIN: Duration = Duration::from_secs(20);
/// What a killed bgctl has left is dropped after this.
const STALE_S: i64 = 3600;
const PREFIX: &str = "bgctl_scratch_";

/// A new, empty database.
pub struct LiveScratch {
    clock: Rc<dyn Clock>,
    door: Address,
    name: String,
    session: Session,
}

impl LiveScratch {
    /// Makes it. Refused where the role may not create databases.
    pub async fn open(url: &str, clock: Rc<dyn Clock>) -> Result<LiveScratch, Unanswered> {
        let mut door = postgres_url::read(url).map_err(Unanswered::Silent)?;
        let millis = WITHIN.as_millis();
        door.config.application_name("bgctl");
        door.config.options(format!(
            "-c default_transaction_read_only=off -c statement_timeout={millis} -c lock_timeout={millis}"
        ));
        let opened = LiveScratch::made(clock.clone(), door);
        within(clock.as_ref(), 2 * WITHIN, opened).await
    }

    async fn made(clock: Rc<dyn Clock>, door: Address) -> Result<LiveScratch, Unanswered> {
        let now = clock.now().as_second();
        let name = format!("{PREFIX}{now}_{}", std::process::id());
        let mut at_door = connect(&door, clock.as_ref(), WITHIN).await?;
        for old in stale(&mut at_door, now).await? {
            // Whatever a killed bgctl has left running there is ended. Where that is not allowed it stays, and holds nobody up.
            let _ = command(&mut at_door, &format!("drop database if exists \"{old}\" with (force)")).await;
        }
        // What was added to the template of this server is none of the service's.
        command(&mut at_door, &format!("create database \"{name}\" template template0")).await?;
        let mut inside = door.clone();
        inside.config.dbname(&name);
        let session = connect(&inside, clock.as_ref(), WITHIN).await?;
        Ok(LiveScratch { clock, door, name, session })
    }

    /// Drops it.
    pub async fn close(self) -> Result<(), Unanswered> {
        let LiveScratch { clock, door, name, session } = self;
        drop(session);
        let dropped = async {
            let mut at_door = connect(&door, clock.as_ref(), WITHIN).await?;
            command(&mut at_door, &format!("drop database \"{name}\" with (force)")).await
        };
        within(clock.as_ref(), 2 * WITHIN, dropped).await
    }

    /// Settings of a migration (its path, its role) are none of the next one's.
    async fn fresh(&mut self) -> Result<(), Unanswered> {
        self.batch("rollback; reset all; reset role").await.map_err(|e| unanswered(&e))
    }

    async fn batch(&mut self, sql: &str) -> Result<(), tokio_postgres::Error> {
        let Session { client, connection, allowance } = &mut self.session;
        allowance.again();
        tokio::select! { biased;
            done = client.batch_execute(sql) => done,
            ended = connection => match ended {
                Err(error) => Err(error),
                // The client says that it is closed.
                Ok(()) => client.batch_execute("").await,
            },
        }
    }

    async fn ran(&mut self, file: &str, statements: &[&str]) -> Result<(), Unanswered> {
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

    async fn asked(&mut self, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
        self.fresh().await?;
        one(&mut self.session, |client| select(client, sql)).await
    }
}

/// One question over a connection.
async fn one<'a, T, F: Future<Output = Result<T, Unanswered>>>(
    session: &'a mut Session,
    ask: impl FnOnce(&'a Client) -> F,
) -> Result<T, Unanswered> {
    let Session { client, connection, allowance } = session;
    allowance.again();
    tokio::select! {
        done = ask(client) => done,
        ended = connection => Err(closed(ended)),
    }
}

async fn command(session: &mut Session, sql: &str) -> Result<(), Unanswered> {
    one(session, async |client: &Client| client.batch_execute(sql).await.map_err(|e| unanswered(&e))).await
}

/// Databases of runs that were killed.
async fn stale(session: &mut Session, now: i64) -> Result<Vec<String>, Unanswered> {
    let sql = format!(
        "select datname::text as name from pg_database join pg_roles on rolname = current_user where datdba = pg_roles.oid \
           and datname ~ '^{PREFIX}[0-9]+_[0-9]+$' and split_part(datname, '_', 3)::bigint < {}",
        now - STALE_S
    );
    let rows = one(session, |client| select(client, &sql)).await?;
    Ok(rows.iter().filter_map(|row| Some(row["name"].as_str()?.to_string())).collect())
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
        let (clock, time) =
            (self.clock.clone(), WITHIN.saturating_mul(u32::try_from(statements.len() + 1).unwrap_or(u32::MAX)));
        within(clock.as_ref(), time, self.ran(file, statements)).await
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
        let clock = self.clock.clone();
        within(clock.as_ref(), 2 * WITHIN, self.asked(sql)).await
    }
}
