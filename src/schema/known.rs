//! What earlier statements of the same migrations have made: a column that is new in this release is none of blue's.

use std::collections::{BTreeMap, BTreeSet};

/// Tables and columns as far as the files tell of them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The type of a column, where the files say it: `users` and `phone` give `varchar(20)`.
    types: BTreeMap<(String, String), String>,
    /// Tables that blue does not know.
    tables: BTreeSet<String>,
    /// Columns of tables that blue does know, which it does not.
    columns: BTreeSet<(String, String)>,
}

impl Known {
    pub fn table(&mut self, table: &str, new: bool) {
        if new {
            self.tables.insert(table.into());
        }
    }

    pub fn column(&mut self, table: &str, column: &str, kind: Option<String>, new: bool) {
        let at = (table.to_string(), column.to_string());
        if let Some(kind) = kind {
            self.types.insert(at.clone(), kind);
        }
        if new {
            self.columns.insert(at);
        }
    }

    pub fn dropped(&mut self, table: &str, column: Option<&str>) {
        match column {
            Some(column) => drop(self.columns.remove(&(table.into(), column.into()))),
            None => {
                self.tables.remove(table);
                self.columns.retain(|(of, _)| of != table);
            }
        }
    }

    pub fn kind(&self, table: &str, column: &str) -> Option<&str> {
        self.types.get(&(table.to_string(), column.to_string())).map(String::as_str)
    }

    pub fn is_new_table(&self, table: &str) -> bool {
        self.tables.contains(table)
    }

    pub fn is_new(&self, table: &str, column: &str) -> bool {
        self.is_new_table(table) || self.columns.contains(&(table.to_string(), column.to_string()))
    }

    /// What green finds only where these migrations have run, by table.
    pub fn new_columns(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for table in &self.tables {
            all.entry(table.clone()).or_default();
        }
        for (table, column) in &self.columns {
            all.entry(table.clone()).or_default().push(column.clone());
        }
        all
    }
}
