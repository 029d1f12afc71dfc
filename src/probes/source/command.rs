//! Source `command`: a number that a program prints, alone or in a JSON document.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{About, Gap, Kind, Picks, Reading, Source, asks_of_a_stack, shortened, typed};
use crate::diag::Mistake;
use crate::scalar::Duration;
use crate::world::{self, Exit, Stream, World};

/// The most of its output that is read.
const MOST: usize = 64 * 1024;

/// A program that prints a number. `{stack}`, `{version}`, `{url}` and `{since}` are filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments, passed as they are, without a shell.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// Where the number stands in the JSON document it prints; left out, it prints the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the number of bad requests stands, in place of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// Where the number of all requests stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// Environment variables beside those bgctl itself was started with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The longest it may run.
    #[serde(default = "within")]
    pub within: Duration,
}

fn within() -> Duration {
    Duration::seconds(10)
}

pub const KIND: Kind = Kind {
    name: "command",
    check,
    open: |settings, _| {
        let command: Command = typed(settings).map_err(|m| m.message)?;
        Ok(Box::new(Asked { picks: picks(&command), command }))
    },
};

fn check(settings: &Value) -> Vec<Mistake> {
    let command: Command = match typed(settings) {
        Ok(command) => command,
        Err(mistake) => return vec![mistake],
    };
    let mut found = picks(&command).check();
    let mut wrong = |at: &str, message: &str, help: &str| {
        found.push(Mistake { at: at.into(), message: message.into(), help: Some(help.into()) });
    };
    if command.run.first().is_none_or(String::is_empty) {
        wrong("/run", "there is no program to run", "write `run: [program, argument]`");
    }
    if command.run.iter().chain(command.env.values()).any(|text| text.contains('\0')) {
        wrong("", "a zero byte cannot be passed to a program", "leave it out");
    }
    if command.within.time.is_zero() || command.within.whole_seconds() > 60 {
        wrong("/within", "a program that is asked for a number has up to a minute", "write `within: 10s`");
    }
    found
}

fn picks(command: &Command) -> Picks {
    Picks { value: command.value.clone(), bad: command.bad.clone(), requests: command.requests.clone() }
}

struct Asked {
    command: Command,
    picks: Picks,
}

#[async_trait(?Send)]
impl Source for Asked {
    fn question(&self) -> String {
        self.command.run.join(" ")
    }

    fn counts(&self) -> bool {
        self.picks.bad.is_some()
    }

    fn counts_requests(&self) -> bool {
        self.picks.requests.is_some()
    }

    fn of_a_stack(&self) -> bool {
        asks_of_a_stack(&json!(self.command).to_string())
    }

    async fn read(&self, world: &World, about: &About) -> Result<Reading, Gap> {
        let fill = |text: &String| about.fill(text, &world.secrets);
        let env = self.command.env.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
        let command = world::Command {
            argv: self.command.run.iter().map(fill).collect::<Result<_, _>>()?,
            env: env.collect::<Result<_, Gap>>()?,
            directory: None,
            timeout: self.command.within.time,
        };
        let (mut printed, mut complained) = (Vec::new(), Vec::new());
        let mut take = |stream, piece: &[u8]| {
            let kept = if stream == Stream::Stdout { &mut printed } else { &mut complained };
            let room = MOST - kept.len();
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
        };
        let ended = world.processes.run(&command, &mut take).await;
        let program = self.command.run.first().map_or("", String::as_str);
        let said = |bytes: &[u8]| shortened(&String::from_utf8_lossy(bytes));
        match ended {
            Ok(Exit::Status(0)) => {}
            Ok(Exit::Status(status)) => {
                let line = format!("`{program}` ended with status {status}: {}", said(&complained));
                return Err(Gap::Unknown(line));
            }
            Ok(Exit::Signal(signal)) => return Err(Gap::Silent(format!("`{program}` was ended by signal {signal}"))),
            Ok(Exit::TimedOut) => {
                return Err(Gap::Silent(format!("`{program}` did not end within {}", self.command.within)));
            }
            Err(e) => return Err(Gap::Silent(format!("`{program}` cannot be run: {e}"))),
        }
        let document = serde_json::from_slice(&printed)
            .map_err(|_| Gap::Unknown(format!("`{program}` printed no number and no JSON: `{}`", said(&printed))))?;
        self.picks.read(&document)
    }
}
