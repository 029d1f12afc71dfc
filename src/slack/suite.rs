//! One pass through the checks of a smoke test: whom they are sent to, what they are signed with, and how many may be sent.
//! What a check sends and which answer passes is not known here.

use std::cell::Cell;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::check::Finding;
use super::continuity::Continuity;
use super::deliveries::DedupPlace;
use super::paths::{Door, Paths};
use super::request;
use super::request::{Body, From};
use super::settings::{Public, ResponseUrl, Smoke};
use crate::plan::{Color, Plan, Stack};
use crate::scalar::OneOrMore;
use crate::secret::Secret;
use crate::world::{Request, Response, WebError, World, address};

/// Slack gives up after 3 s; an answer later than this is too close to it.
pub(super) const BAR: Duration = Duration::from_secs(2);

/// What the checks need to know, from the plan.
pub struct Suite {
    pub(super) color: Color,
    /// Blue and green.
    stacks: [Stack; 2],
    pub(super) version_path: String,
    pub(super) paths: Paths,
    secret: String,
    pub(super) from: From,
    /// Every workspace that commands are tried from.
    pub(super) teams: Vec<String>,
    pub(super) within: Duration,
    pub(super) public: Option<Public>,
    pub(super) response_url: Option<ResponseUrl>,
    pub(super) handlers_path: String,
    /// Listeners that are meant to be gone.
    pub(super) retired: Vec<String>,
    budget: u32,
    /// How deliveries are told apart, from the runbook's `slack.dedup`.
    pub(super) dedup: Option<DedupPlace>,
    /// The runbook wants acks to come after the work.
    pub(super) acks_after_work: bool,
    /// What both versions must accept of each other.
    pub(super) continuity: Continuity,
}

impl Suite {
    pub fn new(smoke: &Smoke, plan: &Plan) -> Self {
        let slack = plan.slack.clone().unwrap_or_default();
        let text = |name: &str, otherwise: &str| slack[name].as_str().unwrap_or(otherwise).to_string();
        let teams = OneOrMore::deserialize(&slack["team_id"]).map(|teams| teams.all().to_vec()).unwrap_or_default();
        Suite {
            color: smoke.stack,
            stacks: Color::BOTH.map(|color| plan.stack(color).clone()),
            version_path: smoke.version_path.clone(),
            paths: paths(&slack),
            secret: text("signing_secret", ""),
            teams: teams.clone(),
            from: From {
                team: teams.into_iter().next().unwrap_or_else(|| "TBGCTL".into()),
                enterprise: slack["enterprise_id"].as_str().map(String::from),
                org_wide: slack["org_wide"] == true,
                channel: text("channel_id", "CBGCTL"),
                app: text("app_id", "ABGCTL"),
            },
            within: smoke.within.time,
            public: smoke.public.clone(),
            response_url: smoke.response_url.clone(),
            handlers_path: slack["handlers"]["path"].as_str().unwrap_or("/bgctl/handlers").into(),
            retired: serde_json::from_value(slack["handlers"]["retired"].clone()).unwrap_or_default(),
            budget: smoke.budget,
            dedup: serde_json::from_value(slack["dedup"].clone()).ok(),
            acks_after_work: slack["acks"] == "after-work",
            continuity: Continuity::of(plan),
        }
    }

    /// How many URLs the app has beside that of events, and how many workspaces commands are tried from.
    pub fn size(&self) -> (u32, u32) {
        (self.paths.beside_events().len() as u32, self.teams.len() as u32)
    }

    /// The stack under test.
    pub fn tested(&self) -> &Stack {
        self.stack(self.color)
    }

    pub(super) fn stack(&self, color: Color) -> &Stack {
        &self.stacks[usize::from(color == Color::Green)]
    }

    pub fn open<'a>(&'a self, world: &'a World) -> Session<'a> {
        let secret = Secret::new(world.secrets.resolve(&self.secret));
        let mut seed = [0; 6];
        // Without randomness a nonce is still unique by its moment; it need not be secret.
        let _ = getrandom::fill(&mut seed);
        let seed: String = seed.iter().map(|b| format!("{b:02x}")).collect();
        let (count, spent, skew) = Default::default();
        Session { suite: self, world, secret, seed, count, spent, skew }
    }
}

/// One pass through the checks.
pub struct Session<'a> {
    pub(super) suite: &'a Suite,
    pub(super) world: &'a World,
    pub(super) secret: Secret,
    seed: String,
    count: Cell<u32>,
    spent: Cell<u32>,
    /// How far the stack's clock was seen to be from ours, in seconds.
    pub(super) skew: Cell<Option<i64>>,
}

pub(super) type Answer = Result<Response, WebError>;

impl Session<'_> {
    /// A value nobody has seen before.
    pub(super) fn nonce(&self) -> String {
        self.count.set(self.count.get() + 1);
        format!("bgctl.{}.{}.{}", self.world.clock.now().as_second(), self.seed, self.count.get())
    }

    /// The id of an event nobody has seen before, in the shape of Slack's own.
    pub(super) fn event_id(&self) -> String {
        format!("EvBGCTL{}", self.nonce().trim_start_matches("bgctl").replace('.', ""))
    }

    pub(super) fn now(&self) -> i64 {
        self.world.clock.now().as_second()
    }

    pub(super) async fn send(&self, request: Request) -> Answer {
        self.spend()?;
        self.world.web.exchange(request).await
    }

    /// One request less: a test in production never sends more than it was allowed to.
    pub(super) fn spend(&self) -> Result<(), WebError> {
        self.spent.set(self.spent.get() + 1);
        let (spent, budget) = (self.spent.get(), self.suite.budget);
        match spent > budget {
            true => Err(WebError {
                what: format!("not sent: the budget of {budget} requests is used up"),
                timed_out: false,
            }),
            false => Ok(()),
        }
    }

    /// A page of a stack.
    pub(super) fn page(&self, color: Color, path: &str) -> Request {
        Request::to_stack(self.suite.stack(color), path, self.suite.within, &self.world.secrets)
    }

    /// Where a stack takes what Slack sends there.
    fn url(&self, color: Color, door: Door) -> String {
        address(&self.world.secrets.resolve(&self.suite.stack(color).url), self.suite.paths.of(door))
    }

    pub(super) fn signed(&self, color: Color, body: &Body, timestamp: i64) -> Request {
        self.signed_with(&self.secret, color, body, timestamp)
    }

    pub(super) fn signed_with(&self, secret: &Secret, color: Color, body: &Body, timestamp: i64) -> Request {
        let request = request::signed(&self.url(color, body.door), body, secret, timestamp, self.suite.within);
        request.with(&self.suite.stack(color).headers, &self.world.secrets)
    }

    pub(super) fn unsigned(&self, color: Color, door: Door, body: &Body) -> Request {
        let request = request::unsigned(&self.url(color, door), body, self.suite.within);
        request.with(&self.suite.stack(color).headers, &self.world.secrets)
    }

    /// Whether this is the one right answer of `/bgctl-smoke`.
    pub(super) fn pong(&self, answer: &Response, nonce: &str, color: Color) -> Result<(), String> {
        if answer.status != 200 {
            return Err(format!("status {}{}", answer.status, reason(answer)));
        }
        let body = json(answer)?;
        let pong: Value = serde_json::from_str(body["text"].as_str().unwrap_or_default()).unwrap_or_default();
        let version = &self.suite.stack(color).version;
        for (name, wanted) in [("pong", nonce), ("color", color.name()), ("version", version)] {
            match pong[name].as_str() {
                Some(found) if found == wanted => {}
                Some(found) => return Err(format!("`{name}` is `{found}`, not `{wanted}`")),
                None => return Err(format!("there is no `{name}` in the answer")),
            }
        }
        Ok(())
    }

    pub(super) fn command(&self) -> (String, Body) {
        let nonce = self.nonce();
        let body = self.suite.from.slash_command(&nonce, &nonce, None);
        (nonce, body)
    }
}

/// The JSON of an answer, as Slack takes it: under its own content type.
pub(super) fn json(answer: &Response) -> Result<Value, String> {
    let Ok(value) = serde_json::from_slice::<Value>(&answer.body) else { return Ok(Value::Null) };
    let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => Ok(value),
        "" => Err("JSON without a content type, which Slack takes for text".into()),
        kind => Err(format!("JSON as `{kind}`, which Slack takes for text")),
    }
}

/// Where Slack posts, as the plan has it. Plans of earlier versions had one path for everything.
fn paths(slack: &Value) -> Paths {
    let earlier = || {
        let events = slack["events_path"].as_str();
        events.map_or_else(Paths::default, |events| Paths { events: events.into(), ..Paths::default() })
    };
    Paths::deserialize(&slack["paths"]).unwrap_or_else(|_| earlier())
}

pub(super) fn silent(check: &str, error: &WebError) -> Finding {
    Finding { silent: true, ..Finding::new(check, false, 0, error.what.clone()) }
}

/// The verdict on an answer that also has to come in time.
pub(super) fn in_time(check: &str, pass: bool, answer: &Response, what: &str) -> Finding {
    let ms = answer.time.as_millis() as u64;
    if pass && answer.time > BAR {
        let bar = BAR.as_millis();
        let line = format!("{what}, but after {ms} ms; {bar} ms is the bar, 3000 ms Slack's end");
        return Finding { status: answer.status, ..Finding::new(check, false, ms, line) };
    }
    let status = if pass { String::new() } else { format!(" (status {}{})", answer.status, reason(answer)) };
    Finding { status: answer.status, ..Finding::new(check, pass, ms, format!("{what}{status}, in {ms} ms")) }
}

/// What an answer that is not the wanted one most likely means by itself. What several of them mean together, the causes say.
fn reason(answer: &Response) -> &'static str {
    match answer.status {
        200 => ": a yes without the content, as from a static page or a workspace the app is not installed in",
        401 | 403 => ": refused",
        404 if answer.time > BAR => ": no listener acked it within 3 s",
        404 => ": no listener for it, or nothing at this path",
        429 => ": it is being limited",
        503 => ": it is busy, or claimed by the other stack",
        500..=599 => ": its handler failed",
        _ => "",
    }
}
