//! `command`: run a program, without a shell unless one is asked for, and end all of it when time is up.

use std::collections::BTreeMap;

use super::{Facts, GRACE, Kind, Mistake, Review, settings};
use crate::plan::{Plan, Resume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scalar::Duration;

pub const KIND: Kind = Kind {
    name: "command",
    schema: |generator| generator.subschema_for::<Command>(),
    facts,
    build: |_, _| anyhow::bail!("`command` cannot be run yet"),
};

/// Runs a program. Exactly one of `run` and `shell` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments, passed as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Vec<String>>,
    /// A line for `/bin/sh -c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Environment variables beside those bgctl itself was started with.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs; the working directory of bgctl when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The longest it may run; then it and everything it started is ended.
    #[serde(default = "within")]
    pub within: Duration,
    /// The exit status that means success.
    #[serde(default)]
    pub expect_status: i32,
}

fn within() -> Duration {
    Duration::seconds(300)
}

fn facts(config: &Value, _: &Plan) -> Result<Facts, Vec<Mistake>> {
    let command: Command = settings(config)?;
    let mut review = Review::default();
    let shown = match (&command.run, &command.shell) {
        (Some(argv), None) => {
            if argv.first().is_none_or(String::is_empty) {
                review.wrong("/run", "there is no program to run", Some("write `run: [program, argument]`"));
            }
            argv.join(" ")
        }
        (None, Some(line)) => {
            if line.trim().is_empty() {
                review.wrong("/shell", "there is nothing to run", None);
            }
            line.clone()
        }
        _ => {
            let help = "write `run: [program, argument]`, or `shell: \"…\"` where a shell is needed";
            review.wrong("", "a command takes exactly one of `run` and `shell`", Some(help));
            String::new()
        }
    };
    if command.run.iter().flatten().chain(&command.shell).chain(command.env.values()).any(|s| s.contains('\0')) {
        review.wrong("", "a zero byte cannot be passed to a program", None);
    }
    for name in command.env.keys().filter(|n| n.is_empty() || n.contains(['=', '\0'])) {
        review.wrong("/env", format!("`{name}` is not a name of an environment variable"), None);
    }
    review.longer_than_zero("/within", &command.within);
    review.facts(|| Facts {
        line: format!("run `{}`", shortened(&shown)),
        resume: Resume::AskHuman,
        attempts: 1,
        timeout_s: command.within.whole_seconds() + GRACE,
        expected_s: command.within.whole_seconds().min(10),
        moves: None,
    })
}

/// One line of at most 100 characters.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(99) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
