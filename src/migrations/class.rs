//! What one statement means for the version that is left behind, and what it does while it runs.

use serde::{Deserialize, Serialize};

/// What a change of the schema means for blue. Later ones are stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It changes no table: settings of the session, a comment, a transaction.
    Nothing,
    /// An addition that blue does not see.
    Expand,
    /// The same words mean something else: blue may live with it or not, which no reader of SQL can know.
    Semantic,
    /// Something that blue writes is refused now.
    Tighten,
    /// Something that blue reads is gone, or data is.
    Contract,
    /// What it does cannot be read off the statement.
    Unknown,
}

impl Class {
    pub const ALL: [Class; 6] =
        [Class::Nothing, Class::Expand, Class::Semantic, Class::Tighten, Class::Contract, Class::Unknown];

    /// The word in lines, records and on the page.
    pub fn name(self) -> &'static str {
        match self {
            Class::Nothing => "nothing",
            Class::Expand => "expand",
            Class::Semantic => "semantic",
            Class::Tighten => "tighten",
            Class::Contract => "contract",
            Class::Unknown => "unknown",
        }
    }

    /// Users may come back to blue across this change without a person.
    pub fn is_safe(self) -> bool {
        self <= Class::Expand
    }
}

/// A statement judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub class: Class,
    /// Why, in one sentence about blue.
    pub why: String,
    /// What it does to whoever uses the table while it runs; another thing than its class.
    pub hazard: Option<String>,
    /// The team may say in the runbook that blue lives with it.
    pub declarable: bool,
}

impl Judged {
    fn new(class: Class, why: impl Into<String>) -> Self {
        Judged { class, why: why.into(), hazard: None, declarable: class == Class::Semantic }
    }

    pub fn nothing() -> Self {
        Judged::new(Class::Nothing, "it changes no table")
    }

    pub fn expand(why: impl Into<String>) -> Self {
        Judged::new(Class::Expand, why)
    }

    pub fn semantic(why: impl Into<String>) -> Self {
        Judged::new(Class::Semantic, why)
    }

    pub fn tighten(why: impl Into<String>) -> Self {
        Judged::new(Class::Tighten, why)
    }

    pub fn contract(why: impl Into<String>) -> Self {
        Judged::new(Class::Contract, why)
    }

    pub fn unknown(why: impl Into<String>) -> Self {
        Judged::new(Class::Unknown, why)
    }

    pub fn hazard(self, hazard: impl Into<String>) -> Self {
        Judged { hazard: Some(hazard.into()), ..self }
    }

    /// The team knows what no reader of the files can know.
    pub fn declarable_as(self, why: String) -> Self {
        Judged { declarable: true, why: format!("{}; {why}", self.why), ..self }
    }

    pub fn never_declarable(self) -> Self {
        Judged { declarable: false, ..self }
    }

    /// The stricter of two; the hazards of both.
    pub fn and(self, other: Judged) -> Judged {
        let hazard = match (&self.hazard, &other.hazard) {
            (Some(one), Some(two)) if one != two => Some(format!("{one}; {two}")),
            (one, two) => one.clone().or_else(|| two.clone()),
        };
        let declarable = [&self, &other].iter().filter(|j| !j.class.is_safe()).all(|j| j.declarable);
        let strict = if other.class > self.class { other } else { self };
        Judged { hazard, declarable: declarable && strict.class == Class::Semantic, ..strict }
    }
}
