//! Where a freeze holds: one service, an environment, or everything.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a freeze holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    All,
    Environment(String),
    Service(String, String),
}

impl Scope {
    /// `all`, `production`, or `production/slackbot`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = |name: &str| !name.trim().is_empty();
        match text.split_once('/') {
            _ if text == "all" => Ok(Scope::All),
            None if named(text) => Ok(Scope::Environment(text.into())),
            Some((environment, service)) if named(environment) && named(service) => {
                Ok(Scope::Service(environment.into(), service.into()))
            }
            _ => Err(format!("`{text}` is not a scope: write `all`, an environment, or `ENVIRONMENT/SERVICE`")),
        }
    }

    pub fn covers(&self, environment: &str, service: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Environment(of) => of == environment,
            Scope::Service(of, name) => of == environment && name == service,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("all"),
            Scope::Environment(environment) => f.write_str(environment),
            Scope::Service(environment, service) => write!(f, "{environment}/{service}"),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Scope::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}
