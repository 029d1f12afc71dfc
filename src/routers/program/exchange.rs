//! One call of the program: a line of JSON in, a JSON object out. Whatever is no answer by the contract is none, and then nobody
//! knows whether it did something.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::child::{Children, Command, Exit, Stream, quoted};
use crate::clock::{Clock, SystemClock};
use crate::routers::{Access, RouterError, Trouble};
use crate::secret::visible;

use super::answer::{Answer, answer};
use super::contract::{Call, Nothing, Refused, Request, VERSION, Why};
use super::settings::Settings;

/// The most a program may print, on each stream. Of what it complains about the last line is shown.
const MOST: usize = 1024 * 1024;
/// The longest part of a complaint that is shown, in characters.
const SHOWN: usize = 200;

/// A program that can be called.
pub struct Exchange {
    pub settings: Settings,
    access: Access,
}

/// An answer, and how long it took.
pub struct Answered<A> {
    pub answer: A,
    pub took: Duration,
}

/// There is no answer.
pub struct Unanswered {
    /// Lowercase fragment: what became of the call.
    pub why: String,
    /// It was never started, so it has done nothing.
    pub unstarted: bool,
    /// The same call by hand, as a shell takes it. Of a call that changes nothing it changes nothing either.
    pub again: String,
    pub took: Duration,
}

impl Exchange {
    pub fn new(settings: Settings, access: &Access) -> Self {
        Exchange { settings, access: access.clone() }
    }

    /// Calls the program. An error: it did not answer.
    pub async fn call<A: Answer>(&self, call: Call<'_>) -> Result<Answered<Result<A, Refused>>, Unanswered> {
        let Settings { run, within, .. } = &self.settings;
        let secrets = &self.access.secrets;
        let request = Request {
            bgctl_route: VERSION,
            call,
            blue: &self.settings.blue,
            green: &self.settings.green,
            settings: &self.settings.settings,
            within_s: within.whole_seconds(),
        };
        let mut input = serde_json::to_vec(&request).expect("BUG: a request is JSON");
        input.push(b'\n');
        let command = Command {
            argv: run.iter().map(|word| secrets.resolve(word)).collect(),
            env: self.environment(),
            directory: None,
            input,
            timeout: within.time,
        };
        let (mut printed, mut complained, mut too_much) = (Vec::new(), Vec::new(), false);
        let mut take = |stream, piece: &[u8]| {
            let kept = if stream == Stream::Stdout { &mut printed } else { &mut complained };
            let room = MOST - kept.len();
            too_much |= piece.len() > room;
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
        };
        let clock = Rc::new(SystemClock);
        let begun = clock.elapsed();
        let ended = Children::new(clock.clone(), self.access.only.clone()).run(&command, &mut take).await;
        let took = clock.elapsed() - begun;
        let again = self.by_hand(&command.input);
        let silent = |why: String, unstarted| Err(Unanswered { why, unstarted, again, took });
        match ended {
            Ok(Exit::Status(0)) if too_much => silent(format!("it printed more than {MOST} bytes"), false),
            Ok(Exit::Status(0)) => {
                // Without secrets before it is read: whatever is made of it may be written anywhere.
                let printed = secrets.mask(&String::from_utf8_lossy(&printed));
                match answer(printed.as_bytes()) {
                    Ok(answer) => Ok(Answered { answer, took }),
                    Err(why) => silent(format!("{why}{}", self.complaint(&complained)), false),
                }
            }
            Ok(Exit::Status(status)) => {
                silent(format!("it ended with status {status}{}", self.complaint(&complained)), false)
            }
            Ok(Exit::Signal(signal)) => silent(format!("it was ended by signal {signal}"), false),
            Ok(Exit::TimedOut) => silent(format!("it did not end within {within}"), false),
            Err(e) => silent(format!("it cannot be run: {e}"), true),
        }
    }

    /// A call as a person makes it. References stay references, so no secret is in it.
    fn by_hand(&self, input: &[u8]) -> String {
        let request = String::from_utf8_lossy(input);
        let program = self.settings.run.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let with = if self.settings.env.is_empty() { "" } else { ", with the `env` of the route" };
        format!("echo {} | {program}        makes this call by hand{with}", quoted(request.trim_end()))
    }

    /// The same place with the two sides exchanged.
    pub fn exchanged(&self) -> Exchange {
        let Settings { blue, green, .. } = self.settings.clone();
        Exchange {
            settings: Settings { blue: green, green: blue, ..self.settings.clone() },
            access: self.access.clone(),
        }
    }

    /// Asks for what no version of the contract has. The refusal, or why it is none.
    pub async fn unknown(&self) -> Result<Refused, String> {
        match self.call::<Nothing>(Call::NoSuchCall).await {
            Ok(Answered { answer: Err(refused), .. }) => Ok(refused),
            Ok(_) => Err("it is answered".into()),
            Err(unanswered) => Err(unanswered.why),
        }
    }

    /// What the program finds in its environment beside this process's own.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let resolved = |(name, value): (&String, &String)| (name.clone(), self.access.secrets.resolve(value));
        self.settings.env.iter().map(resolved).collect()
    }

    pub fn only(&self) -> Option<BTreeMap<String, String>> {
        self.access.only.clone()
    }

    /// The last line it complained with, as a terminal may be shown it.
    pub fn complaint(&self, complained: &[u8]) -> String {
        let text = String::from_utf8_lossy(complained);
        let Some(last) = text.lines().map(str::trim).rfind(|line| !line.is_empty()) else { return String::new() };
        let masked = self.access.secrets.mask(last);
        let shown: String = masked.chars().take(SHOWN).collect();
        format!(": {}", visible(&shown))
    }
}

/// A call that was not done, in the terms of a route.
pub fn refused(place: &str, refused: Refused) -> RouterError {
    let kind = match (refused.kind, refused.found) {
        (Why::Drift, Some(found)) => Trouble::Drift { found: found.into() },
        (Why::Drift, None) | (Why::Invalid, _) => Trouble::Invalid,
        (Why::NotFound, _) => Trouble::NotFound,
        (Why::NoCredentials, _) => Trouble::NoCredentials,
        (Why::Denied, _) => Trouble::Denied,
        (Why::Throttled, _) => Trouble::Throttled,
        (Why::NotNow, _) => Trouble::NotNow,
        (Why::Unreachable, _) => Trouble::Unreachable,
    };
    let mut error = RouterError::new(kind, format!("{place}: {}", refused.why));
    error.cure = refused.cure;
    error.after = refused.after_s.map(Duration::from_secs);
    error
}
