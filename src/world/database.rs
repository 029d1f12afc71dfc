//! A database, as a step may ask it: it is only ever read.

use async_trait::async_trait;
use serde_json::{Map, Value};

/// A database that can be asked.
#[async_trait(?Send)]
pub trait Database {
    /// The rows of one `select`, each with its columns by name.
    async fn rows(&self, url: &str, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered>;
}

/// A database of its own for trying migrations, empty at first and gone with the value.
#[async_trait(?Send)]
pub trait Scratch {
    /// Runs a file of statements as one transaction, or one statement after another where PostgreSQL takes them only so.
    async fn run(&mut self, file: &str, statements: &[&str]) -> Result<(), Unanswered>;
    /// The rows of one `select`.
    async fn rows(&mut self, sql: &str) -> Result<Vec<Map<String, Value>>, Unanswered>;
}

/// No rows were had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nobody was reached, or no answer came in time. Says nothing about the data.
    #[error("PostgreSQL gives no answer: {0}")]
    Silent(String),
    /// It does not take the question: a name that is not there, a right that is missing, more than one statement.
    #[error("PostgreSQL refuses the question: {0}")]
    Refused(String),
}

/// A world without a database.
pub struct NoDatabase;

#[async_trait(?Send)]
impl Database for NoDatabase {
    async fn rows(&self, _: &str, _: &str) -> Result<Vec<Map<String, Value>>, Unanswered> {
        Err(Unanswered::Silent("there is none in this world".into()))
    }
}
