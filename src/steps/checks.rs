//! The named checks of `smoke`: what each sends and which answer passes.
//!
//! A positive check passes only on content that nobody can guess (a nonce) together with colour and version; a negative one
//! only on a refusal. A static page that answers 200 to everything passes none of them.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::smoke::{Check, Finding, Smoke};
use crate::plan::{Color, Plan};
use crate::probes::prometheus::http_date;
use crate::probes::slack::{self, Body, From};
use crate::probes::{Request, Response, WebError};
use crate::run::Verdict;
use crate::secret::Secret;
use crate::world::World;

/// Slack gives up after 3 s; an answer later than this is too close to it.
const BAR: Duration = Duration::from_secs(2);
/// The most a clock may be off before signatures are in danger. Bolt refuses from 300 s on.
const SKEW: i64 = 30;
/// How old a replayed request is.
const OLD: i64 = 600;
/// So many pairs race for the same event.
const PAIRS: u32 = 40;

/// What the checks need to know, from the plan.
pub struct Suite {
    color: Color,
    /// URL and version of blue and green.
    stacks: [(String, String); 2],
    version_path: String,
    events_path: String,
    secret: String,
    from: From,
    within: Duration,
}

impl Suite {
    pub fn new(smoke: &Smoke, plan: &Plan) -> Self {
        let slack = plan.slack.clone().unwrap_or_default();
        let text = |name: &str, otherwise: &str| slack[name].as_str().unwrap_or(otherwise).to_string();
        let stack = |color: Color| (plan.stack(color).url.clone(), plan.stack(color).version.clone());
        Suite {
            color: smoke.stack,
            stacks: Color::BOTH.map(stack),
            version_path: smoke.version_path.clone(),
            events_path: text("events_path", "/slack/events"),
            secret: text("signing_secret", ""),
            from: From {
                team: text("team_id", "TBGCTL"),
                channel: text("channel_id", "CBGCTL"),
                app: text("app_id", "ABGCTL"),
            },
            within: smoke.within.time,
        }
    }

    /// The URL of the stack under test.
    pub fn url(&self) -> &str {
        &self.stack(self.color).0
    }

    fn stack(&self, color: Color) -> &(String, String) {
        &self.stacks[usize::from(color == Color::Green)]
    }

    pub fn open<'a>(&'a self, world: &'a World) -> Session<'a> {
        let secret = Secret::new(world.secrets.resolve(&self.secret));
        let mut seed = [0; 6];
        // Without randomness a nonce is still unique by its moment; it need not be secret.
        let _ = getrandom::fill(&mut seed);
        let seed: String = seed.iter().map(|b| format!("{b:02x}")).collect();
        Session { suite: self, world, secret, seed, count: Cell::new(0) }
    }
}

/// One pass through the checks.
pub struct Session<'a> {
    suite: &'a Suite,
    world: &'a World,
    secret: Secret,
    seed: String,
    count: Cell<u32>,
}

type Answer = Result<Response, WebError>;

impl Session<'_> {
    pub async fn run(&self, check: Check) -> Vec<Finding> {
        match check {
            Check::Version => self.version().await,
            Check::Signature => self.signatures().await,
            Check::Replay => self.replay().await,
            Check::UrlVerification => vec![self.url_verification("P1").await],
            Check::SlashCommand => vec![self.slash_command().await],
            Check::Button => self.button().await,
            Check::Modal => vec![self.modal("P6", self.suite.color).await],
            Check::ModalFromBlue => vec![self.modal("modal-from-other", self.suite.color.other()).await],
            Check::ExactlyOnce => self.exactly_once().await,
        }
    }

    /// A value nobody has seen before.
    fn nonce(&self) -> String {
        self.count.set(self.count.get() + 1);
        format!("bgctl.{}.{}.{}", self.world.clock.now().as_second(), self.seed, self.count.get())
    }

    fn now(&self) -> i64 {
        self.world.clock.now().as_second()
    }

    async fn send(&self, request: Request) -> Answer {
        self.world.web.exchange(request).await
    }

    fn events(&self, color: Color) -> String {
        super::address(&self.world.secrets.resolve(&self.suite.stack(color).0), &self.suite.events_path)
    }

    fn signed(&self, color: Color, body: &Body, timestamp: i64) -> Request {
        slack::signed(&self.events(color), body, &self.secret, timestamp, self.suite.within)
    }

    /// V1 and K1: the build under test is the one the runbook names, and its clock is right.
    async fn version(&self) -> Vec<Finding> {
        let (url, version) = self.suite.stack(self.suite.color);
        let url = super::address(&self.world.secrets.resolve(url), &self.suite.version_path);
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
        let clock = match answer.header("date").and_then(http_date) {
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
        let wrong_key = slack::signed(&url, &body, &other, self.now(), self.suite.within);
        let mut changed = self.signed(color, &body, self.now());
        // A blank where none was: the JSON says the same, the bytes do not.
        changed.body.push(b' ');
        let mut findings = vec![control];
        for (check, what, request) in [
            ("N1", "signed with another key", wrong_key),
            ("N3", "without signature", slack::unsigned(&url, &body, self.suite.within)),
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

    /// P3 and P4: the handler answers with nonce, colour and version, in time.
    async fn slash_command(&self) -> Finding {
        let nonce = self.nonce();
        let body = self.suite.from.slash_command(&nonce, &nonce);
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return silent("P3", &e),
        };
        match self.pong(&answer, &nonce, self.suite.color) {
            Ok(()) => in_time("P3", true, &answer, "`/bgctl-smoke` answered with nonce, colour and version"),
            Err(why) => in_time("P3", false, &answer, &format!("`/bgctl-smoke`: {why}")),
        }
    }

    /// Whether this is the one right answer of `/bgctl-smoke`.
    fn pong(&self, answer: &Response, nonce: &str, color: Color) -> Result<(), String> {
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let pong: Value = serde_json::from_str(body["text"].as_str().unwrap_or_default()).unwrap_or_default();
        let version = &self.suite.stack(color).1;
        for (name, wanted) in [("pong", nonce), ("color", color.name()), ("version", version)] {
            match pong[name].as_str() {
                Some(found) if found == wanted => {}
                Some(found) => return Err(format!("`{name}` is `{found}`, not `{wanted}`")),
                None => return Err(format!("there is no `{name}` in the answer")),
            }
        }
        Ok(())
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

    /// D1, D2 and D3. One direction alone proves nothing: a stack that never answers passes it.
    async fn exactly_once(&self) -> Vec<Finding> {
        let (this, other) = (self.suite.color, self.suite.color.other());
        let mut findings = vec![self.pair("D1", other, this).await, self.pair("D2", this, other).await];
        let races = join_all((0..PAIRS).map(|_| async {
            let (nonce, body) = self.command();
            let timestamp = self.now();
            let (one, two) = tokio::join!(
                self.send(self.signed(other, &body, timestamp)),
                self.send(self.signed(this, &body, timestamp))
            );
            let answered = |answer: &Answer, color| answer.as_ref().is_ok_and(|a| self.pong(a, &nonce, color).is_ok());
            u32::from(answered(&one, other)) + u32::from(answered(&two, this))
        }));
        let begun = self.world.clock.elapsed();
        let answers = races.await;
        let ms = self.world.clock.elapsed().saturating_sub(begun).as_millis() as u64;
        let count = |n: u32| answers.iter().filter(|a| **a == n).count();
        let (never, once, twice) = (count(0), count(1), count(2));
        let line = format!("{PAIRS} pairs at once: {once} handled once, {twice} twice, {never} never");
        findings.push(Finding::new("D3", once == answers.len(), ms, line));
        findings
    }

    fn command(&self) -> (String, Body) {
        let nonce = self.nonce();
        let body = self.suite.from.slash_command(&nonce, &nonce);
        (nonce, body)
    }

    /// The same bytes to one stack, then to the other: the first handles them, the second only says that it has them.
    async fn pair(&self, check: &str, first: Color, second: Color) -> Finding {
        let (nonce, body) = self.command();
        let timestamp = self.now();
        let (one, two) = match (
            self.send(self.signed(first, &body, timestamp)).await,
            self.send(self.signed(second, &body, timestamp)).await,
        ) {
            (Ok(one), Ok(two)) => (one, two),
            (Err(e), _) | (_, Err(e)) => return silent(check, &e),
        };
        let ms = (one.time + two.time).as_millis() as u64;
        let (first_name, second_name) = (first.name(), second.name());
        if let Err(why) = self.pong(&one, &nonce, first) {
            return Finding::new(check, false, ms, format!("{first_name}, asked first, did not handle it: {why}"));
        }
        let (pass, line) = match (two.status, two.body.is_empty()) {
            (200, true) => (true, format!("{first_name} handled it, {second_name} did not repeat it")),
            (200, false) => (false, format!("{first_name} and {second_name} both handled the same request")),
            (status, _) => (false, format!("{second_name} answers {status} to a request {first_name} has handled")),
        };
        Finding::new(check, pass, ms, line)
    }
}

fn silent(check: &str, error: &WebError) -> Finding {
    Finding { silent: true, ..Finding::new(check, false, 0, error.what.clone()) }
}

/// The verdict on an answer that also has to come in time.
fn in_time(check: &str, pass: bool, answer: &Response, what: &str) -> Finding {
    let ms = answer.time.as_millis() as u64;
    if pass && answer.time > BAR {
        let bar = BAR.as_millis();
        return Finding::new(
            check,
            false,
            ms,
            format!("{what}, but after {ms} ms; {bar} ms is the bar, 3000 ms Slack's end"),
        );
    }
    let status = if pass { String::new() } else { format!(" (status {})", answer.status) };
    Finding::new(check, pass, ms, format!("{what}{status}, in {ms} ms"))
}

/// Passes when the request was refused, and quietly: a crash is no refusal, and an answer with the nonce is a handler's.
fn refused(check: &str, what: &str, answer: &Answer, nonce: &str) -> Finding {
    let answer = match answer {
        Ok(answer) => answer,
        Err(e) => return silent(check, e),
    };
    let ms = answer.time.as_millis() as u64;
    let pass = matches!(answer.status, 400 | 401 | 403) && !answer.text().contains(nonce);
    let word = if pass { "refused" } else { "not refused" };
    Finding::new(check, pass, ms, format!("a request {what} is {word} (status {})", answer.status))
}
