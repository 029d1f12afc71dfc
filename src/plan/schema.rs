//! What is known of the schema when a plan is made, and what has to be seen of it in the live database.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ApprovalRule;

/// The schema as the plan has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannedSchema {
    /// The database, as a reference to its URL; nothing is asked without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// The folder of the migrations, as the runbook names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The migrations that came after blue's version, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<PlannedMigration>,
    /// The numbers of those that blue was made with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// How many statements there are of each class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statements: BTreeMap<String, u32>,
    /// Every statement that users cannot simply come back across.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Columns by table that blue cannot do without.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blue_needs: BTreeMap<String, Vec<String>>,
    /// Columns by table that have to be there before green gets users.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub green_needs: BTreeMap<String, Vec<String>>,
    /// Tables that these migrations put an index on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexed: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PlannedCheck>,
    /// The step of this run that migrates, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<String>,
    /// Who may send users back all the same when the live schema says no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overriding: Option<ApprovalRule>,
}

/// A file of migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMigration {
    pub name: String,
    /// As the tables of migration tools hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub sha256: String,
}

/// A statement that users cannot simply come back across.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `0043_phone.sql:2`.
    pub place: String,
    pub class: String,
    pub why: String,
    /// Why the team says that blue lives with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
}

/// A question to the database with the one answer that lets users go forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCheck {
    pub sql: String,
    pub equals: i64,
}
