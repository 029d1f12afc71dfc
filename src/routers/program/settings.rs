//! The settings of a `program` route: what is started, and what it is told of the two sides.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::diag::{self, Mistake, Review};
use crate::rehearsal::Mark;
use crate::scalar::Duration;

/// A program of your own that reads and sets the split of a place, by a small contract of JSON.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The program and its arguments, passed as they are: an absolute path, or a name that is found in `PATH`.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// What the program knows the live side by: `bot-v1`.
    pub blue: String,
    /// What it knows the candidate by: `bot-v2`.
    pub green: String,
    /// What else it is told with every call, as JSON. No references: secrets go by `env`.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Environment variables beside those bgctl itself was started with.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The longest a call may take, up to 10m; 30s when left out. Then the program and everything it started is ended.
    #[serde(default = "within")]
    pub within: Duration,
    /// Fewest healthy targets a side must have before users may be sent to it; 1 when left out.
    #[serde(default = "min_healthy")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_healthy: u32,
    /// `safe`: it touches nothing but the lab, so a rehearsal may run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<Mark>,
}

fn within() -> Duration {
    Duration::seconds(30)
}

fn min_healthy() -> u32 {
    1
}

/// The longest a call may be given. A rollback waits for it.
const LONGEST: u64 = 600;

impl Settings {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let settings: Settings = diag::settings(value)?;
        let mut review = Review::default();
        review.program("/run", &settings.run);
        review.environment("/env", &settings.env);
        if let Some(program) = settings.run.first().filter(|p| p.contains('/') && !p.starts_with(['/', '$'])) {
            let help =
                "a run may be resumed in another folder: write an absolute path, or a name that is found in PATH";
            review.wrong("/run/0", format!("`{program}` is not an absolute path"), Some(help));
        }
        for (at, name) in [("/blue", &settings.blue), ("/green", &settings.green)] {
            if name.trim().is_empty() {
                review.wrong(at, "a side has a name", Some("write what the program knows it by, such as `bot-v1`"));
            }
        }
        if settings.blue == settings.green {
            review.wrong("/green", "`green` is the same as `blue`", None);
        }
        if Value::from(settings.settings.clone()).to_string().contains("${") {
            let help = "a secret goes by `env`, where only the program sees it: `env: { TOKEN: \"${env:TOKEN}\" }`";
            review.wrong("/settings", "`settings` takes no references", Some(help));
        }
        review.longer_than_zero("/within", settings.within.time);
        if settings.within.whole_seconds() > LONGEST {
            review.wrong("/within", "a call has up to 10m, since a rollback waits for it", Some("write `within: 30s`"));
        }
        review.between("/min_healthy", settings.min_healthy, 1, 1000);
        review.passed(|| settings)
    }

    /// The program with its arguments, as people write it.
    pub fn shown(&self) -> String {
        self.run.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({ "run": ["/opt/route.py", "--flag", "new-bot"], "blue": "off", "green": "on" })
    }

    #[test]
    fn every_mistake_has_its_place() {
        assert_eq!(Settings::read(&good()).unwrap().within.whole_seconds(), 30);
        let table: [(&str, Value, &str, &str); 12] = [
            ("run", json!([]), "/run", "no program"),
            ("run", json!([""]), "/run", "no program"),
            ("run", json!(["./route.py"]), "/run/0", "not an absolute path"),
            ("run", json!(["route", "a\0b"]), "/run", "zero byte"),
            ("run", json!("route"), "", "invalid type"),
            ("green", json!("off"), "/green", "the same as"),
            ("blue", json!(" "), "/blue", "a side has a name"),
            ("env", json!({ "A=B": "x" }), "/env", "not a name"),
            ("settings", json!({ "token": "${env:TOKEN}" }), "/settings", "no references"),
            ("within", json!("0s"), "/within", "deadline of zero"),
            ("within", json!("11m"), "/within", "up to 10m"),
            ("min_healthy", json!(0), "/min_healthy", "not between"),
        ];
        for (key, value, at, words) in table {
            let mut settings = good();
            settings[key] = value;
            let found = Settings::read(&settings).unwrap_err();
            assert!(found.iter().any(|m| m.at == at && m.message.contains(words)), "{key}: {found:?}");
        }
        for name in ["route", "${env:HOME}/route.py", "/opt/route"] {
            let mut settings = good();
            settings["run"] = json!([name]);
            assert!(Settings::read(&settings).is_ok(), "{name}");
        }
    }
}
