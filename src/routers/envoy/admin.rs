//! Envoy's admin interface, of which only questions are asked: what it runs, what it refused, how its clusters are.

use std::time::Duration;

use serde_json::Value;

use super::weights::{items, member};
use crate::document;
use crate::routers::{RouterError, Trouble};

/// How long an answer is waited for. The admin interface answers from memory.
const WITHIN: Duration = Duration::from_secs(3);
/// The most that is taken of an answer.
const MOST: usize = 64 * 1024 * 1024;

/// One Envoy.
pub struct Admin {
    pub at: String,
    client: reqwest::Client,
}

/// What an Envoy says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub node: String,
    pub cluster: String,
    /// `1.40.0`.
    pub version: String,
    /// `LIVE`, `DRAINING`, …
    pub state: String,
    /// Where it writes its log, if that is a file.
    pub log: Option<String>,
}

/// What it tells of a route configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The version that each of its listeners took last, each once. A file that means what runs already is taken, too, and
    /// only here: the dump keeps the version of before.
    pub versions: Vec<String>,
    /// How often it refused what it read, or could not read it.
    pub refused: u64,
}

impl Admin {
    pub fn new(at: &str) -> Result<Admin, String> {
        // It stands beside us: no proxy leads there.
        let builder = crate::https::client()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(concat!("bgctl/", env!("CARGO_PKG_VERSION")))
            .timeout(WITHIN);
        let client = builder.build().map_err(|error| error.to_string())?;
        Ok(Admin { at: at.into(), client })
    }

    pub fn error(&self, kind: Trouble, why: impl std::fmt::Display) -> RouterError {
        RouterError::new(kind, format!("envoy at `{}`: {why}", self.at))
    }

    /// One question.
    pub async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, RouterError> {
        let silent = |error: &reqwest::Error| {
            let why =
                if error.is_timeout() { format!("no answer within {} s", WITHIN.as_secs()) } else { deepest(error) };
            self.error(Trouble::Unreachable, why).cure("is Envoy running here, and is this the address of its `admin`?")
        };
        let url = format!("{}{path}", self.at);
        let mut answer = self.client.get(url).query(query).send().await.map_err(|e| silent(&e))?;
        let status = answer.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| silent(&e))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MOST {
                return Err(self.error(Trouble::Unreachable, format!("its answer to `{path}` is too long")));
            }
        }
        match status {
            200 => document::read(&bytes).map_err(|error| {
                self.error(Trouble::Unreachable, format!("its answer to `{path}` is no JSON: {error}"))
            }),
            403 => {
                let cure = format!("let `allow_paths` of its `admin` name `{path}`");
                Err(self.error(Trouble::Denied, format!("it does not let `{path}` be asked")).cure(cure))
            }
            404 => {
                let cure = "give the address behind `admin` in Envoy's configuration, not that of a listener";
                Err(self.error(Trouble::NotFound, format!("it knows no `{path}`")).cure(cure))
            }
            status => {
                let words = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).trim().to_string();
                Err(self.error(Trouble::Unreachable, format!("it answers `{path}` with {status}: {words}")))
            }
        }
    }

    pub async fn about(&self) -> Result<About, RouterError> {
        Ok(about(&self.ask("/server_info", &[]).await?))
    }

    /// The entries of a kind in the dump of its configuration.
    pub async fn dumped(&self, resource: &str) -> Result<Vec<Value>, RouterError> {
        let answer = self.ask("/config_dump", &[("resource", resource)]).await?;
        Ok(items(member(&answer, "configs")).to_vec())
    }

    /// Whatever it runs.
    pub async fn all(&self) -> Result<Value, RouterError> {
        self.ask("/config_dump", &[]).await
    }

    pub async fn told(&self, config: &str) -> Result<Told, RouterError> {
        let filter = r"\.rds\..*\.(update_rejected|update_failure|version_text)$";
        Ok(told(&self.ask("/stats", &[("filter", filter), ("format", "json")]).await?, config))
    }
}

/// The innermost reason, which is the one that says something.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn about(answer: &Value) -> About {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    // `commit/1.40.0/Clean/RELEASE/BoringSSL`
    let version = text("/version");
    let version = version.split('/').nth(1).unwrap_or(&version).to_string();
    About {
        node: text("/node/id"),
        cluster: text("/node/cluster"),
        version,
        state: text("/state"),
        log: Some(text("/command_line_options/log_path")).filter(|path| !path.is_empty()),
    }
}

/// Every listener that takes this route configuration counts for itself.
fn told(answer: &Value, config: &str) -> Told {
    // Names of statistics have no colons.
    let ending = |what: &str| format!(".rds.{}.{what}", config.replace(':', "_"));
    let all = |what: &str| {
        let ending = ending(what);
        let of = move |stat: &&Value| stat["name"].as_str().is_some_and(|name| name.ends_with(&ending));
        items(&answer["stats"]).iter().filter(of).map(|stat| &stat["value"])
    };
    let mut versions: Vec<String> = all("version_text").filter_map(Value::as_str).map(String::from).collect();
    versions.sort();
    versions.dedup();
    let refused = all("update_rejected").chain(all("update_failure")).filter_map(Value::as_u64).sum();
    Told { versions, refused }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As Envoy 1.40 answers.
    #[test]
    fn answers_are_understood() {
        let answer = json!({
            "version": "9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL", "state": "LIVE",
            "command_line_options": { "log_path": "" }, "node": { "id": "n1", "cluster": "bg" },
        });
        let wanted = About {
            node: "n1".into(),
            cluster: "bg".into(),
            version: "1.40.0".into(),
            state: "LIVE".into(),
            log: None,
        };
        assert_eq!(about(&answer), wanted);
        assert_eq!(about(&json!({})), About::default());
        let stat = |name: &str, value: Value| json!({ "name": name, "value": value });
        let answer = json!({ "stats": [
            stat("http.a.rds.bot.version_text", json!("7")), stat("http.b.rds.bot.version_text", json!("7")),
            stat("http.a.rds.robot.version_text", json!("8")), stat("http.a.rds.bot.update_rejected", json!(1)),
            stat("http.b.rds.bot.update_rejected", json!(2)), stat("http.a.rds.bot.update_failure", json!(4)),
            stat("http.a.rds.robot.update_failure", json!(8)), stat("http.a.rds.a_b.update_rejected", json!(16)),
        ] });
        assert_eq!(told(&answer, "bot"), Told { versions: vec!["7".into()], refused: 7 });
        assert_eq!(told(&answer, "a:b"), Told { versions: Vec::new(), refused: 16 });
        assert_eq!(told(&json!({}), "bot"), Told::default());
    }
}
