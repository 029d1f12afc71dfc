//! Collects what is wrong with settings, so that all of it is said at once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Mistake;

const ZERO: &str = "a zero byte cannot be passed to a program";

/// Settings of one kind; what serde says against them is a mistake of the whole.
pub fn settings<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<Mistake>> {
    T::deserialize(value).map_err(|e| vec![Mistake { at: String::new(), message: e.to_string(), help: None }])
}

/// The mistakes found so far.
#[derive(Default)]
pub struct Review(pub Vec<Mistake>);

impl Review {
    pub fn wrong(&mut self, at: &str, message: impl Into<String>, help: Option<&str>) {
        self.0.push(Mistake { at: at.into(), message: message.into(), help: help.map(String::from) });
    }

    pub fn path(&mut self, at: &str, path: &str) {
        if !path.starts_with('/') {
            self.wrong(at, format!("`{path}` is not a path"), Some("begin it with a slash, such as `/healthz`"));
        }
    }

    /// A program with its arguments, to be started without a shell.
    pub fn program(&mut self, at: &str, argv: &[String]) {
        if argv.first().is_none_or(String::is_empty) {
            self.wrong(at, "there is no program to run", Some("write `run: [program, argument]`"));
        }
        if argv.iter().any(|word| word.contains('\0')) {
            self.wrong(at, ZERO, None);
        }
    }

    /// Variables that a program is given.
    pub fn environment(&mut self, at: &str, env: &BTreeMap<String, String>) {
        if env.values().any(|value| value.contains('\0')) {
            self.wrong(at, ZERO, None);
        }
        for name in env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
            self.wrong(at, format!("`{name}` is not a name of an environment variable"), None);
        }
    }

    pub fn between(&mut self, at: &str, value: u32, least: u32, most: u32) {
        if !(least..=most).contains(&value) {
            self.wrong(at, format!("`{value}` is not between {least} and {most}"), None);
        }
    }

    pub fn longer_than_zero(&mut self, at: &str, time: Duration) {
        if time.is_zero() {
            self.wrong(at, "a deadline of zero lets nothing finish", None);
        }
    }

    /// What was reviewed, or everything that is wrong with it.
    pub fn passed<T>(self, reviewed: impl FnOnce() -> T) -> Result<T, Vec<Mistake>> {
        if self.0.is_empty() { Ok(reviewed()) } else { Err(self.0) }
    }
}
