//! Source `sql`: a number that PostgreSQL counts, in a session that cannot write.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{About, Document, Kind, Picks, shortened};
use crate::diag::Mistake;
use crate::rehearsal::InLab;
use crate::world::{Gap, Unanswered, World};

/// A question to PostgreSQL that gives one row. `{stack}`, `{version}` and `{since}` are filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// The database, as a reference: `${env:DATABASE_URL}`.
    #[schemars(extend("format" = "secret"))]
    pub postgres: String,
    /// One `select`: `select count(*) from orders where version = '{version}' and created_at >= '{since}'`.
    pub query: String,
    /// The column of the number; left out, there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The column of the number of bad requests, in place of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// The column of the number of all requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
}

pub const KIND: Kind = Kind {
    name: "sql",
    page: super::PAGE,
    schema: super::schema::<Sql>,
    whole: super::whole::<Sql>,
    lab: InLab::Missing("PostgreSQL"),
    check: super::check::<Sql>,
    open: super::open::<Sql>,
};

#[async_trait(?Send)]
impl Document for Sql {
    /// Columns as places in the row.
    fn picks(&self) -> Picks {
        let place = |column: &Option<String>| {
            column.as_ref().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
        };
        Picks { value: place(&self.value), bad: place(&self.bad), requests: place(&self.requests) }
    }

    fn question(&self) -> String {
        self.query.clone()
    }

    fn review(&self, found: &mut Vec<Mistake>) {
        if self.query.trim().is_empty() {
            let help = "write one `select` that gives one row".to_string();
            found.push(Mistake { at: "/query".into(), message: "there is nothing to ask".into(), help: Some(help) });
        }
    }

    async fn ask(&self, world: &World, about: &About) -> Result<Value, Gap> {
        // A version is text of the runbook: a quote in it must not end the text it is put into.
        let query = about.fill_as(&self.query, &world.secrets, |word| word.replace('\'', "''"))?;
        let url = world.secrets.resolve(&self.postgres);
        let rows = world.database.rows(&url, &query).await.map_err(|e| match e {
            Unanswered::Silent(_) => Gap::Silent(e.to_string()),
            Unanswered::Refused(_) => Gap::Unknown(e.to_string()),
        })?;
        match <[_; 1]>::try_from(rows) {
            Ok([row]) => Ok(Value::Object(row)),
            Err(rows) => {
                let asked = shortened(&self.query);
                Err(Gap::Unknown(format!("`{asked}` gives {} rows; exactly one is needed", rows.len())))
            }
        }
    }
}
