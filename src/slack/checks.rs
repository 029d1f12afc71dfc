//! The named checks of `smoke`: what each sends and which answer passes.
//!
//! A positive check passes only on content that nobody can guess (a nonce) together with colour and version; a negative one
//! only on a refusal. A static page that answers 200 to everything passes none of them.

use serde_json::Value;

use super::check::{Check, Finding};
use super::paths::Door;
use super::request::{Body, From};
use super::suite::{Answer, BAR, Session, in_time, json, silent};
use crate::plan::Color;
use crate::run::Verdict;
use crate::secret::Secret;
use crate::world::Response;

/// The most a clock may be off before signatures are in danger. Bolt refuses from 300 s on.
const SKEW: i64 = 30;
/// How old a replayed request is.
const OLD: i64 = 600;

impl Session<'_> {
    pub async fn run(&self, check: Check) -> Vec<Finding> {
        match check {
            Check::Version => self.version().await,
            Check::Signature => self.signatures().await,
            Check::Replay => self.replay().await,
            Check::UrlVerification => vec![self.url_verification("P1").await],
            Check::Button => self.button().await,
            Check::Modal => vec![self.modal("P6", self.suite.color).await, self.accepted().await],
            Check::ModalFromBlue => self.modals_from(Color::Blue).await,
            Check::ModalFromGreen => self.modals_from(Color::Green).await,
            Check::StaleButton => self.stale_button().await,
            Check::PrivateMetadata => self.private_metadata().await,
            Check::HashConflict => self.hash_conflict().await,
            Check::ExactlyOnce => self.exactly_once().await,
            Check::SslCheck => vec![self.ssl_check().await],
            Check::SlashCommand => self.slash_command().await,
            Check::Dedup => self.dedup().await,
            Check::Handlers => vec![self.handlers().await],
            Check::Public => vec![self.public().await],
            Check::ResponseUrl => vec![self.response_url().await],
        }
    }

    /// V1 and K1: the build under test is the one the runbook names, and its clock is right.
    async fn version(&self) -> Vec<Finding> {
        let version = &self.suite.tested().version;
        let answer = match self.send(self.page(self.suite.color, &self.suite.version_path)).await {
            Ok(answer) => answer,
            Err(e) => return vec![silent("V1", &e)],
        };
        let ms = answer.time.as_millis() as u64;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        self.skew.set(answer.date().map(|date| date.as_second() - self.now()));
        let (found, color) = (body["version"].as_str(), body["color"].as_str());
        let (pass, line) = match (answer.status, found, color) {
            (200, Some(found), _) if found != version => (false, format!("version {found} answers, not {version}")),
            (200, Some(_), Some(color)) if color != self.suite.color.name() => {
                (false, format!("{color} answers, not {}", self.suite.color.name()))
            }
            (200, Some(_), _) => (true, format!("{version} answers")),
            (200, None, _) => (false, format!("`{}` gives no JSON with `version`", self.suite.version_path)),
            (status, ..) => (false, format!("`{}` answers {status}", self.suite.version_path)),
        };
        let clock = match answer.date() {
            // A server need not say its time; then it is not known, and that stands in the log.
            None => Finding::new("K1", true, ms, "the clock is not known: no `Date` in the answer"),
            Some(_) => {
                let skew = self.skew.get().unwrap_or_default();
                let line = format!("clock {skew} s from ours, at most {SKEW} s are safe for signatures");
                Finding::new("K1", skew.abs() < SKEW, ms, line)
            }
        };
        let first = Finding { status: answer.status, ..Finding::new("V1", pass, ms, line) };
        if !pass || answer.time <= BAR {
            return vec![first, clock];
        }
        vec![self.cold(first, &answer).await, clock]
    }

    /// A first answer that came too late, beside a second one: a stack that is quick from then on was cold.
    async fn cold(&self, first: Finding, answer: &Response) -> Finding {
        let again = self.send(self.page(self.suite.color, &self.suite.version_path)).await;
        let late = in_time("V1", true, answer, &first.line);
        match again {
            Ok(again) if again.time <= BAR => {
                let line = format!(
                    "{}; the next answer took {} ms: a cold start. Put a `warm` before this step, or users meet it",
                    late.line,
                    again.time.as_millis()
                );
                Finding { line, ..late }
            }
            _ => late,
        }
    }

    /// P1, the control, and N1, N3, N4. They are built on `url_verification`, so that they reach no handler even where
    /// verification is switched off.
    async fn signatures(&self) -> Vec<Finding> {
        let color = self.suite.color;
        let mut findings = vec![self.url_verification("P1").await];
        let other = Secret::new(format!("{}x", self.secret.expose()));
        for door in std::iter::once(Door::Events).chain(self.suite.paths.beside_events()) {
            let nonce = self.nonce();
            let body = self.harmless(door, &nonce);
            let wrong_key = self.signed_with(&other, color, &body, self.now());
            let mut changed = self.signed(color, &body, self.now());
            // A byte where none was: read as JSON or as a form it says the same, the bytes do not.
            changed.body.push(if door == Door::Events { b' ' } else { b'&' });
            let at = self.at(door);
            for (check, what, request) in [
                ("N1", "signed with another key", wrong_key),
                ("N3", "without signature", self.unsigned(color, door, &body)),
                ("N4", "changed after signing", changed),
            ] {
                findings.push(refused(check, &format!("{what}{at}"), &self.send(request).await, &nonce));
            }
        }
        findings
    }

    /// What is sent to a URL to be refused: at that of events it reaches no handler even where verification is switched off, at the
    /// others only one of a reserved name.
    fn harmless(&self, door: Door, nonce: &str) -> Body {
        match door {
            Door::Events => self.suite.from.url_verification(nonce),
            Door::Commands => self.suite.from.slash_command(nonce, nonce, None),
            Door::Interactivity => self.suite.from.button(nonce),
            Door::Options => self.suite.from.choices(nonce),
        }
    }

    /// Which URL a finding is about, where the app has several.
    fn at(&self, door: Door) -> String {
        let several = !self.suite.paths.beside_events().is_empty();
        if several { format!(" at {}", self.suite.paths.of(door)) } else { String::new() }
    }

    /// N2: an old request is refused. One from the future is only reported, since one Bolt framework takes it.
    async fn replay(&self) -> Vec<Finding> {
        let nonce = self.nonce();
        let body = self.suite.from.url_verification(&nonce);
        let old = self.send(self.signed(self.suite.color, &body, self.now() - OLD)).await;
        let ahead = self.send(self.signed(self.suite.color, &body, self.now() + OLD)).await;
        let ahead = refused("A1", "signed 10 minutes ahead", &ahead, &nonce);
        let line = format!("advice only: {}", ahead.line);
        let mut findings = vec![
            refused("N2", &format!("signed 10 minutes ago{}", self.at(Door::Events)), &old, &nonce),
            Finding { line, verdict: Verdict::Pass, silent: false, ..ahead },
        ];
        for door in self.suite.paths.beside_events() {
            let nonce = self.nonce();
            let body = self.harmless(door, &nonce);
            let old = self.send(self.signed(self.suite.color, &body, self.now() - OLD)).await;
            findings.push(refused("N2", &format!("signed 10 minutes ago{}", self.at(door)), &old, &nonce));
        }
        findings
    }

    async fn url_verification(&self, check: &str) -> Finding {
        let nonce = self.nonce();
        let body = self.suite.from.url_verification(&nonce);
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return silent(check, &e),
        };
        let echoed = answer.text().contains(&nonce);
        let what = if echoed { "the challenge came back" } else { "the challenge did not come back" };
        in_time(check, answer.status == 200 && echoed, &answer, what)
    }

    /// P3 and P4: the handler answers with nonce, colour and version, and in time; from each workspace that is named.
    async fn slash_command(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for n in 0..self.suite.teams.len().max(1) {
            let team = self.suite.teams.get(n).unwrap_or(&self.suite.from.team);
            let from = From { team: team.clone(), ..self.suite.from.clone() };
            let workspace = if self.suite.teams.len() > 1 { format!(" from {team}") } else { String::new() };
            findings.extend(self.one_command(&from, &workspace).await);
        }
        findings
    }

    async fn one_command(&self, from: &From, workspace: &str) -> Vec<Finding> {
        let nonce = self.nonce();
        let body = from.slash_command(&nonce, &nonce, None);
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return vec![silent("P3", &e)],
        };
        let ms = answer.time.as_millis() as u64;
        let (pass, line) = match self.pong(&answer, &nonce, self.suite.color) {
            Ok(()) => (true, format!("`/bgctl-smoke`{workspace} answered with nonce, colour and version")),
            Err(why) => (false, format!("`/bgctl-smoke`{workspace}: {why}")),
        };
        let what = if pass { "`/bgctl-smoke` answered" } else { "no right answer of `/bgctl-smoke`" };
        let first = Finding { status: answer.status, ..Finding::new("P3", pass, ms, line) };
        vec![first, in_time("P4", pass, &answer, &format!("{what}{workspace}"))]
    }

    /// P5: a press is acknowledged empty. The same press with a changed byte must not be, or the acknowledgement is that of
    /// a page that says yes to everything.
    async fn button(&self) -> Vec<Finding> {
        let nonce = self.nonce();
        let body = self.suite.from.button(&nonce);
        let request = self.signed(self.suite.color, &body, self.now());
        let mut changed = request.clone();
        changed.body.push(b'+');
        let (pressed, changed) = (self.send(request).await, self.send(changed).await);
        let first = match pressed {
            Ok(answer) => {
                let acknowledged = answer.status == 200 && answer.body.is_empty();
                let what = if acknowledged { "acknowledged, empty" } else { "not acknowledged with an empty 200" };
                in_time("P5", acknowledged, &answer, what)
            }
            Err(e) => silent("P5", &e),
        };
        vec![first, refused("P5-changed", "a press changed after signing", &changed, &nonce)]
    }

    /// P6: the modal's own errors come back. Nothing is changed by it.
    async fn modal(&self, check: &str, opened_on: Color) -> Finding {
        let nonce = self.nonce();
        let body = self.suite.from.modal(&nonce, opened_on.name(), "invalid");
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return silent(check, &e),
        };
        let opened = opened_on.name();
        let (pass, what) = match json(&answer) {
            Ok(body) if answer.status == 200 && body["response_action"] == "errors" => {
                (true, "answered with its errors".to_string())
            }
            Ok(_) => (false, "not answered with `response_action: errors`".into()),
            Err(why) => (false, why),
        };
        in_time(check, pass, &answer, &format!("a modal opened on {opened}: {what}"))
    }

    /// P7: the same modal with a value that will do. Slack closes it on an empty answer, or does what a `response_action` says;
    /// anything else it shows the user as a failure.
    async fn accepted(&self) -> Finding {
        let nonce = self.nonce();
        let body = self.suite.from.modal(&nonce, self.suite.color.name(), "valid");
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return silent("P7", &e),
        };
        let known = ["update", "push", "clear"];
        let (pass, what) = match json(&answer) {
            _ if answer.status != 200 => (false, "not accepted".to_string()),
            _ if answer.body.is_empty() => (true, "accepted, empty".into()),
            Ok(body) if known.iter().any(|action| body["response_action"] == *action) => (true, "accepted".into()),
            Ok(body) if body["response_action"] == "errors" => (
                true,
                "advice only: the bot refuses every value, as an older contract does; copy its files anew".into(),
            ),
            Ok(_) => (false, "answered with something that Slack shows as a failure: it takes an empty 200".into()),
            Err(why) => (false, why),
        };
        in_time("P7", pass, &answer, &format!("a modal that will do: {what}"))
    }

    /// P2: answered without a signature and by the framework itself.
    async fn ssl_check(&self) -> Finding {
        let request = self.unsigned(self.suite.color, Door::Commands, &From::ssl_check());
        match self.send(request).await {
            Ok(answer) => {
                let pass = answer.status == 200;
                in_time("P2", pass, &answer, if pass { "`ssl_check` answered" } else { "`ssl_check` not answered" })
            }
            Err(e) => silent("P2", &e),
        }
    }
}

/// Passes when the request was refused, and quietly: a crash is no refusal, and an answer with the nonce is a handler's.
fn refused(check: &str, what: &str, answer: &Answer, nonce: &str) -> Finding {
    let answer = match answer {
        Ok(answer) => answer,
        Err(e) => return silent(check, e),
    };
    let ms = answer.time.as_millis() as u64;
    let pass = matches!(answer.status, 400 | 401 | 403) && !answer.text().contains(nonce);
    let (word, why) = match answer.status {
        _ if pass => ("refused", ""),
        200..=299 => ("not refused", ": signatures are not verified, or not this part of them"),
        500..=599 => ("not refused", ": its verification crashes"),
        _ => ("not refused", ""),
    };
    let line = format!("a request {what} is {word} (status {}{why})", answer.status);
    Finding { status: answer.status, ..Finding::new(check, pass, ms, line) }
}
