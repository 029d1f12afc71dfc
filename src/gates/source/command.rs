//! Source `command`: a number that a program prints, alone or in a JSON document.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{About, Document, Kind, Picks, shortened};
use crate::diag::Mistake;
use crate::document;
use crate::rehearsal::{InLab, Mark};
use crate::scalar::Duration;
use crate::world;
use crate::world::{Exit, Gap, Stream, World};

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
    /// `safe`: it touches nothing but the lab, so a rehearsal may run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<Mark>,
}

fn within() -> Duration {
    Duration::seconds(10)
}

pub const KIND: Kind = Kind {
    name: "command",
    page: super::PAGE,
    schema: super::schema::<Command>,
    whole: super::whole::<Command>,
    lab: InLab::Programs(&[""]),
    check: super::check::<Command>,
    open: super::open::<Command>,
};

#[async_trait(?Send)]
impl Document for Command {
    fn picks(&self) -> Picks {
        Picks { value: self.value.clone(), bad: self.bad.clone(), requests: self.requests.clone() }
    }

    fn question(&self) -> String {
        self.run.join(" ")
    }

    fn review(&self, found: &mut Vec<Mistake>) {
        let mut wrong = |at: &str, message: &str, help: &str| {
            found.push(Mistake { at: at.into(), message: message.into(), help: Some(help.into()) });
        };
        if self.run.first().is_none_or(String::is_empty) {
            wrong("/run", "there is no program to run", "write `run: [program, argument]`");
        }
        if self.run.iter().chain(self.env.values()).any(|text| text.contains('\0')) {
            wrong("", "a zero byte cannot be passed to a program", "leave it out");
        }
        if self.within.time.is_zero() || self.within.whole_seconds() > 60 {
            wrong("/within", "a program that is asked for a number has up to a minute", "write `within: 10s`");
        }
    }

    async fn ask(&self, world: &World, about: &About) -> Result<Value, Gap> {
        let fill = |text: &String| about.fill(text, &world.secrets);
        let env = self.env.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
        let command = world::Command {
            argv: self.run.iter().map(fill).collect::<Result<_, _>>()?,
            env: env.collect::<Result<_, Gap>>()?,
            directory: None,
            input: Vec::new(),
            timeout: self.within.time,
        };
        let (mut printed, mut complained) = (Vec::new(), Vec::new());
        let mut take = |stream, piece: &[u8]| {
            let kept = if stream == Stream::Stdout { &mut printed } else { &mut complained };
            let room = MOST - kept.len();
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
        };
        let ended = world.processes.run(&command, &mut take).await;
        let program = self.run.first().map_or("", String::as_str);
        let said = |bytes: &[u8]| shortened(&String::from_utf8_lossy(bytes));
        match ended {
            Ok(Exit::Status(0)) => {}
            Ok(Exit::Status(status)) => {
                let line = format!("`{program}` ended with status {status}: {}", said(&complained));
                return Err(Gap::Unknown(line));
            }
            Ok(Exit::Signal(signal)) => return Err(Gap::Silent(format!("`{program}` was ended by signal {signal}"))),
            Ok(Exit::TimedOut) => {
                return Err(Gap::Silent(format!("`{program}` did not end within {}", self.within)));
            }
            Err(e) => return Err(Gap::Silent(format!("`{program}` cannot be run: {e}"))),
        }
        let document = document::read(&printed).map_err(|e| {
            Gap::Unknown(format!("`{program}` printed no number and no JSON ({e}): `{}`", said(&printed)))
        })?;
        Ok(document)
    }
}
