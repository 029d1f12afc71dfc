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
    /// New tables whose rows are deleted with blue's.
    reached: BTreeSet<String>,
    /// New tables to which rows of blue's refer.
    referred: BTreeSet<String>,
    /// Functions that take whole rows as they are, and tables whose triggers call one.
    whole: BTreeSet<String>,
    taken_whole: BTreeSet<String>,
    /// New tables that end with the session of their file.
    passing: BTreeSet<String>,
    /// New columns of which no two rows may have the same value.
    single: BTreeSet<(String, String)>,
    /// Functions that the files make: what they do is not read.
    functions: BTreeSet<String>,
    /// A file of this release sets the path by which names are found: what a bare name means from there on is not known.
    lost: bool,
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
            Made::New if self.lost => drop(self.perhaps.insert(table.into())),
            Made::New => drop(self.tables.insert(table.into())),
            Made::Perhaps => drop(self.perhaps.insert(table.into())),
            Made::Before => {}
        }
        if made != Made::Before {
            self.needed.entry(table.into()).or_default();
        }
    }

    /// Another file is another session.
    pub fn next_file(&mut self) {
        for table in std::mem::take(&mut self.passing) {
            self.dropped(&table, None);
        }
    }

    /// It is gone when its file has run.
    pub fn pass(&mut self, table: &str) {
        self.passing.insert(table.into());
    }

    pub fn function(&mut self, name: &str) {
        self.functions.insert(name.into());
    }

    /// The first of these that the files have made.
    pub fn own<'a>(&self, calls: &'a [String]) -> Option<&'a String> {
        calls.iter().find(|call| self.functions.contains(*call))
    }

    /// No two rows may have the same value there.
    pub fn single(&mut self, table: &str, columns: &[String]) {
        self.single.extend(columns.iter().map(|column| (table.to_string(), column.clone())));
    }

    /// Every row that leaves it out gets the same value, and no two may have it.
    pub fn is_doubled(&self, table: &str, column: &str) -> bool {
        let at = (table.to_string(), column.to_string());
        self.single.contains(&at) && self.filled.contains(&at)
    }

    /// From here on the same names may mean other tables; for the rest of a release that does so.
    pub fn forget(&mut self, new: bool) {
        self.lost |= new;
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

    /// Rows of blue's refer to it.
    pub fn refer(&mut self, table: &str) {
        self.referred.insert(table.into());
    }

    pub fn is_referred(&self, table: &str) -> bool {
        self.referred.contains(table)
    }

    /// A function of a trigger uses rows as a whole.
    pub fn takes_whole(&mut self, function: &str) {
        self.whole.insert(function.into());
    }

    pub fn triggers(&mut self, table: &str, function: &str) {
        if self.whole.contains(function) {
            self.taken_whole.insert(table.into());
        }
    }

    pub fn is_taken_whole(&self, table: &str) -> bool {
        self.taken_whole.contains(table)
    }

    /// A table of this name in another schema.
    pub fn namesake(&self, table: &str) -> Option<&str> {
        let bare = table.rsplit('.').next().unwrap_or(table);
        let other = |(of, _): &&(String, String)| of.rsplit('.').next() == Some(bare) && of != table;
        self.types.keys().find(other).map(|(of, _)| of.as_str()).filter(|of| !self.is_new_table(of))
    }

    /// Rows here go with those of blue's that are deleted.
    pub fn reach(&mut self, table: &str) {
        self.reached.insert(table.into());
    }

    pub fn is_reached(&self, table: &str) -> bool {
        self.reached.contains(table)
    }

    /// Each row needs a value in it.
    pub fn needs(&self, table: &str, column: &str) -> bool {
        self.required.contains(&(table.to_string(), column.to_string()))
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
