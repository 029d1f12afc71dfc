//! What a runbook says about the database: the change, what blue lives with, and what is asked of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// What the release does to the data.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaChange {
    /// The kind of migration.
    pub change: Change,
    /// Whether blue can read what green writes. Left out it is unknown, except where nothing changes.
    #[serde(default)]
    pub green_writes: Option<GreenWrites>,
    /// The folder of the migrations, from where bgctl runs. They are read, and the stricter of what they say and `change` counts.
    #[serde(default)]
    pub migrations: Option<String>,
    /// The newest migration that blue was made with, by its number or name. Left out, all of them came with this release.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    pub since: Option<String>,
    /// Statements that blue lives with although what they mean has changed, on the team's word.
    #[serde(default)]
    pub compatible: Vec<Compatible>,
    /// The database, as a reference: `${env:DATABASE_URL}`.
    #[serde(default)]
    #[schemars(extend("format" = "secret"))]
    pub postgres: Option<String>,
    /// A PostgreSQL for trying things, as a reference. The migrations run there in a database of its own, and what they did counts
    /// beside what they say.
    #[serde(default)]
    #[schemars(extend("format" = "secret"))]
    pub shadow: Option<String>,
    /// Columns by table that blue cannot do without. Where one is missing there is no automatic rollback.
    #[serde(default)]
    pub blue_needs: BTreeMap<String, Vec<String>>,
    /// Columns by table that have to be there before green gets users, beside those that the migrations add.
    #[serde(default)]
    pub green_needs: BTreeMap<String, Vec<String>>,
    /// Questions to the database that must have this answer before each shift to green.
    #[serde(default)]
    pub checks: Vec<SqlCheck>,
}

/// A statement that blue lives with, on the team's word.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compatible {
    /// Where it stands: `0043_mood.sql:3`.
    #[schemars(length(min = 1, max = 300))]
    pub at: String,
    /// Why; it stands in the plan.
    #[schemars(length(min = 10, max = 500))]
    pub because: String,
}

/// The kind of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Nothing changes.
    None,
    /// Only additions, which blue does not see.
    Expand,
    /// Something that blue uses is taken away.
    Contract,
    /// Blue cannot work on the changed data.
    Incompatible,
}

/// Whether blue can read what green writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GreenWrites {
    Compatible,
    Incompatible,
    Unknown,
}

/// A question to the database.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlCheck {
    /// One statement that gives one number.
    pub sql: String,
    /// The number it must give.
    pub equals: i64,
}
