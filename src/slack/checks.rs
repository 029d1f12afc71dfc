//! The named checks of `smoke`: what each sends and which answer passes.
//!
//! A positive check passes only on content that nobody can guess (a nonce) together with colour and version; a negative one
//! only on a refusal. A static page that answers 200 to everything passes none of them.

use serde_json::Value;

use super::check::{Check, Finding};
use super::request;
use super::request::From;
use super::suite::{Answer, Session, in_time, silent};
use crate::plan::Color;
use crate::run::Verdict;
use crate::secret::Secret;
use crate::world::{Request, address};

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
            Check::Modal => vec![self.modal("P6", self.suite.color).await],
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
        let (url, version) = self.suite.stack(self.suite.color);
        let url = address(&self.world.secrets.resolve(url), &self.suite.version_path);
        let answer = match self.send(Request::get(url, self.suite.within)).await {
            Ok(answer) => answer,
            Err(e) => return vec![silent("V1", &e)],
        };
        let ms = answer.time.as_millis() as u64;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
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
            Some(date) => {
                let skew = date.as_second() - self.now();
                let line = format!("clock {skew} s from ours, at most {SKEW} s are safe for signatures");
                Finding::new("K1", skew.abs() < SKEW, ms, line)
            }
        };
        vec![Finding::new("V1", pass, ms, line), clock]
    }

    /// P1, the control, and N1, N3, N4. They are built on `url_verification`, so that they reach no handler even where
    /// verification is switched off.
    async fn signatures(&self) -> Vec<Finding> {
        let color = self.suite.color;
        let control = self.url_verification("P1").await;
        let nonce = self.nonce();
        let body = self.suite.from.url_verification(&nonce);
        let url = self.events(color);
        let other = Secret::new(format!("{}x", self.secret.expose()));
        let wrong_key = request::signed(&url, &body, &other, self.now(), self.suite.within);
        let mut changed = self.signed(color, &body, self.now());
        // A blank where none was: the JSON says the same, the bytes do not.
        changed.body.push(b' ');
        let mut findings = vec![control];
        for (check, what, request) in [
            ("N1", "signed with another key", wrong_key),
            ("N3", "without signature", request::unsigned(&url, &body, self.suite.within)),
            ("N4", "changed after signing", changed),
        ] {
            findings.push(refused(check, what, &self.send(request).await, &nonce));
        }
        findings
    }

    /// N2: an old request is refused. One from the future is only reported, since one Bolt framework takes it.
    async fn replay(&self) -> Vec<Finding> {
        let nonce = self.nonce();
        let body = self.suite.from.url_verification(&nonce);
        let old = self.send(self.signed(self.suite.color, &body, self.now() - OLD)).await;
        let ahead = self.send(self.signed(self.suite.color, &body, self.now() + OLD)).await;
        let ahead = refused("A1", "signed 10 minutes ahead", &ahead, &nonce);
        let line = format!("advice only: {}", ahead.line);
        vec![
            refused("N2", "signed 10 minutes ago", &old, &nonce),
            Finding { line, verdict: Verdict::Pass, silent: false, ..ahead },
        ]
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

    /// P3 and P4: the handler answers with nonce, colour and version, and in time.
    async fn slash_command(&self) -> Vec<Finding> {
        let (nonce, body) = self.command();
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return vec![silent("P3", &e)],
        };
        let ms = answer.time.as_millis() as u64;
        let (pass, line) = match self.pong(&answer, &nonce, self.suite.color) {
            Ok(()) => (true, "`/bgctl-smoke` answered with nonce, colour and version".to_string()),
            Err(why) => (false, format!("`/bgctl-smoke`: {why}")),
        };
        let what = if pass { "`/bgctl-smoke` answered" } else { "no right answer of `/bgctl-smoke`" };
        vec![Finding::new("P3", pass, ms, line), in_time("P4", pass, &answer, what)]
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
        let body = self.suite.from.modal(&nonce, opened_on.name());
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return silent(check, &e),
        };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let pass = answer.status == 200 && body["response_action"] == "errors";
        let opened = opened_on.name();
        let what = if pass { "answered with its errors" } else { "not answered with `response_action: errors`" };
        in_time(check, pass, &answer, &format!("a modal opened on {opened}: {what}"))
    }

    /// P2: answered without a signature and by the framework itself.
    async fn ssl_check(&self) -> Finding {
        let request = request::unsigned(&self.events(self.suite.color), &From::ssl_check(), self.suite.within);
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
    Finding::new(check, pass, ms, format!("a request {what} is {word} (status {}{why})", answer.status))
}
