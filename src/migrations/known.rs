//! What earlier statements of the same migrations have made: a column that is new in this release is none of blue's.

use std::collections::{BTreeMap, BTreeSet};

/// Tables and columns as far as the files tell of them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The type of a column, where the files say it: `users` and `phone` give `varchar(20)`.
    types: BTreeMap<(String, String), String>,
    /// Tables that blue does not know.
    tables: BTreeSet<String>,
    /// Tables of `if not exists`, which blue may know.
    perhaps: BTreeSet<String>,
    /// Columns of tables that blue does know, which it does not.
    columns: BTreeSet<(String, String)>,
    /// Of those, the ones that a row without them gets a value in, and the ones that must have one.
    filled: BTreeSet<(String, String)>,
    required: BTreeSet<(String, String)>,
    /// Domains that no value is missing in.
    domains: BTreeSet<String>,
    /// Everything that has to be there once these migrations have run, also what may have been there before.
    needed: BTreeMap<String, BTreeSet<String>>,
}

/// Whether blue knows what a statement makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The statement belongs to blue's own migrations.
    Before,
    /// It would have failed had it been there.
    New,
    /// `if not exists`: it may be blue's.
    Perhaps,
}

impl Made {
    pub fn of(new: bool, if_not_exists: bool) -> Self {
        match (new, if_not_exists) {
            (false, _) => Made::Before,
            (true, false) => Made::New,
            (true, true) => Made::Perhaps,
        }
    }
}

impl Known {
    pub fn table(&mut self, table: &str, made: Made) {
        match made {
            Made::New => drop(self.tables.insert(table.into())),
            Made::Perhaps => drop(self.perhaps.insert(table.into())),
            Made::Before => {}
        }
        if made != Made::Before {
            self.needed.entry(table.into()).or_default();
        }
    }

    /// From here on the same names may mean other tables.
    pub fn forget(&mut self) {
        self.tables.clear();
        self.perhaps.clear();
        self.columns.clear();
        self.types.clear();
        self.filled.clear();
        self.required.clear();
    }

    pub fn domain(&mut self, name: &str) {
        self.domains.insert(name.into());
    }

    /// Whether a value of this type is never null.
    pub fn is_required(&self, kind: &str) -> bool {
        self.domains.contains(kind)
    }

    /// Whether a row gets a value where it names none.
    pub fn fill(&mut self, table: &str, column: &str, filled: bool) {
        set(&mut self.filled, table, column, filled);
    }

    /// Whether each row needs a value.
    pub fn require(&mut self, table: &str, column: &str, required: bool) {
        set(&mut self.required, table, column, required);
    }

    /// Each row needs a value in it, and one that does not name the column gets none.
    pub fn is_missed(&self, table: &str, column: &str) -> bool {
        let at = (table.to_string(), column.to_string());
        self.required.contains(&at) && !self.filled.contains(&at)
    }

    /// All of them came with this release, and a row that does not name them holds nulls there.
    pub fn are_empty(&self, table: &str, columns: &[String]) -> bool {
        let empty =
            |column: &String| self.is_new(table, column) && !self.filled.contains(&(table.into(), column.clone()));
        !columns.is_empty() && columns.iter().all(empty)
    }

    pub fn column(&mut self, table: &str, column: &str, kind: Option<String>, made: Made) {
        let at = (table.to_string(), column.to_string());
        if let Some(kind) = kind {
            self.types.insert(at.clone(), kind);
        }
        if made != Made::Before {
            self.needed.entry(table.into()).or_default().insert(column.into());
        }
        if made == Made::New {
            self.columns.insert(at);
        }
    }

    pub fn dropped(&mut self, table: &str, column: Option<&str>) {
        match column {
            Some(column) => {
                self.columns.remove(&(table.to_string(), column.to_string()));
                if let Some(needed) = self.needed.get_mut(table) {
                    needed.remove(column);
                }
            }
            None => {
                self.tables.remove(table);
                self.perhaps.remove(table);
                self.needed.remove(table);
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

    /// A statement of this release makes it, unless it was there.
    pub fn is_perhaps_new(&self, table: &str) -> bool {
        self.perhaps.contains(table)
    }

    pub fn is_new(&self, table: &str, column: &str) -> bool {
        self.is_new_table(table) || self.columns.contains(&(table.to_string(), column.to_string()))
    }

    /// What green finds only where these migrations have run, by table.
    pub fn new_columns(&self) -> BTreeMap<String, Vec<String>> {
        self.needed.iter().map(|(table, columns)| (table.clone(), columns.iter().cloned().collect())).collect()
    }
}

fn set(of: &mut BTreeSet<(String, String)>, table: &str, column: &str, is: bool) {
    let at = (table.to_string(), column.to_string());
    if is {
        of.insert(at);
    } else {
        of.remove(&at);
    }
}
