//! A page by a program of the team's own: the facts are in its environment, and status 0 means that somebody is called.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Channel, Kind, Message, Outside, PATIENCE, Says, Untaken};
use crate::rehearsal::InLab;
use crate::world::{Command, Exit};

pub const KIND: Kind =
    Kind { name: "command", page: super::PAGE, usual: None, keys, lab: InLab::Programs(&[""]), open };

struct Program {
    argv: Vec<String>,
}

fn keys() -> Vec<(&'static str, Value)> {
    let text = "A program of your own and its arguments; it finds the page in `BGCTL_PAGE` (or the outcome in `BGCTL_NEWS`) and ends with 0 when that is delivered.";
    let words = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "description": text });
    let mark =
        json!({ "const": "safe", "description": "`safe`: it reaches nobody but the lab, so a rehearsal may run it." });
    vec![("command", words), ("lab", mark)]
}

fn open(entry: &Value) -> Result<Box<dyn Channel>, String> {
    let words = entry["command"].as_array().into_iter().flatten();
    let argv: Vec<String> = words.filter_map(Value::as_str).map(String::from).collect();
    match argv.first().is_some_and(|program| !program.is_empty()) {
        true => Ok(Box::new(Program { argv })),
        false => Err("policy.page: `command` is a list: the program and its arguments".into()),
    }
}

#[async_trait(?Send)]
impl Channel for Program {
    fn name(&self) -> &'static str {
        "command"
    }

    async fn call(&self, message: &Message<'_>, outside: &Outside) -> Result<Value, Untaken> {
        let (text, json) = (message.text(), message.json().to_string());
        let mut facts = vec![("BGCTL_RUN", message.subject.run.clone())];
        facts.extend(match message.says {
            Says::Page(page) => [
                ("BGCTL_PAGE", text),
                ("BGCTL_PAGE_JSON", json),
                ("BGCTL_USERS", page.users.clone()),
                ("BGCTL_HAPPENED", page.happened.clone()),
            ],
            Says::News(news) => [
                ("BGCTL_NEWS", text),
                ("BGCTL_NEWS_JSON", json),
                ("BGCTL_USERS", news.users.clone()),
                ("BGCTL_OUTCOME", news.outcome.to_string()),
            ],
        });
        let plain = |(name, value): (&str, String)| (name.to_string(), value.replace('\0', " "));
        let env: BTreeMap<String, String> = facts.into_iter().map(plain).collect();
        let argv = self.argv.iter().map(|word| outside.secrets.resolve(word)).collect();
        let command = Command { argv, env, directory: None, input: Vec::new(), timeout: PATIENCE };
        let mut said = Vec::new();
        let exit = outside.processes.run(&command, &mut |_, bytes| said.extend_from_slice(bytes)).await;
        // Masked before it is cut: half of a secret is found by nobody.
        let said = outside.secrets.mask(String::from_utf8_lossy(&said).trim());
        let said: String = said.chars().take(120).collect();
        match exit {
            Ok(Exit::Status(0)) => Ok(Value::Null),
            Ok(Exit::Status(status)) => Err(format!("ended with status {status}: {said}").into()),
            Ok(Exit::Signal(signal)) => Err(format!("was ended by signal {signal}").into()),
            Ok(Exit::TimedOut) => Err(format!("did not end within {}s", PATIENCE.as_secs()).into()),
            Err(error) => Err(format!("cannot be started: {error}").into()),
        }
    }
}
