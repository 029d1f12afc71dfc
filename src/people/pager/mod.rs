//! Calling a person. To add a channel: a file here, and two lines (`mod` and a row of [`KINDS`]).
//!
//! The channels of the policy are tried in order until one takes the page. Where the policy wants an acknowledgement and none
//! comes, the next channel is called. Where nobody is declared, that is said and never passed off as a page. A page only tells:
//! nothing is decided here. The same kinds of channels tell the outcome of a run to whoever wants to know (`policy.notify`).
//!
//! `tests/conformance/newcomer/pager.rs` is a channel to copy, with what each member promises.
#![doc = include_str!("paging.md")]

mod acknowledgement;
mod command;
mod page;
mod pagerduty;
mod slack;
mod webhook;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use acknowledgement::{Acknowledgement, acknowledge, acknowledged};
pub use page::{Choice, Message, News, Page, Says, Subject};

use crate::clock::Clock;
use crate::rehearsal::InLab;
use crate::run::{Actor, Evidence};
use crate::scalar::spoken;
use crate::secret::Secrets;
use crate::world::{Processes, Request, Web, WebError};

/// The longest one channel may take: users are waiting.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// So long is waited for one channel before the next is called.
const SHORT: Duration = Duration::from_secs(2);
/// Where no channel took the page, all of them are called again after these times, or as long as they ask for.
const ROUNDS: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)];
/// The longest a channel may ask to be left alone: somebody is waiting for a person.
const LONGEST: Duration = Duration::from_secs(30);
/// How often it is looked for an acknowledgement: in the run's folder, and at a channel that can say so.
const LOOK: Duration = Duration::from_secs(1);
const ASK: u32 = 15;

/// A way to call a person.
#[async_trait(?Send)]
pub trait Channel {
    fn name(&self) -> &'static str;

    /// Hands a page over, or news where nobody is to be woken: [`Message::says`] tells which. What the channel answered, or why it
    /// did not take it.
    async fn call(&self, message: &Message<'_>, outside: &Outside) -> Result<Value, Untaken>;

    /// Who has acknowledged the page at the channel itself, where it can tell.
    async fn acknowledged(&self, _message: &Message<'_>, _outside: &Outside) -> Option<String> {
        None
    }

    /// Somebody has acknowledged elsewhere: the channel need not call anybody else.
    async fn hand_over(&self, _message: &Message<'_>, _by: &str, _outside: &Outside) {}
}

/// Why a channel did not take a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untaken {
    pub why: String,
    /// Where it may take it a moment later: after how long.
    pub again: Option<Duration>,
}

impl From<String> for Untaken {
    /// For good: it would say the same again.
    fn from(why: String) -> Untaken {
        Untaken { why, again: None }
    }
}

/// A kind of channel: its key in YAML, the keys beside it, and how one is made of an entry of `policy.page`.
pub struct Kind {
    pub name: &'static str,
    /// The page that explains it, as Markdown.
    pub page: &'static str,
    /// The reference that is meant where the name stands alone: `- slack`.
    pub usual: Option<&'static str>,
    /// Every key an entry may have, with its JSON Schema; the first is the name.
    pub keys: fn() -> Vec<(&'static str, Value)>,
    /// Where it goes in a rehearsal.
    pub lab: InLab,
    /// Makes a channel of an entry that has the name as a key. Asks nobody.
    pub open: fn(&Value) -> Result<Box<dyn Channel>, String>,
}

/// Every kind of channel.
pub const KINDS: &[Kind] = &[pagerduty::KIND, slack::KIND, webhook::KIND, command::KIND];

/// What `bgctl explain paging` shows: the page of all of them.
const PAGE: &str = include_str!("paging.md");

/// What channels reach people through.
pub struct Outside {
    pub web: Rc<dyn Web>,
    pub processes: Rc<dyn Processes>,
    pub secrets: Secrets,
    pub clock: Rc<dyn Clock>,
}

/// The channels of a policy, in its order.
pub struct Pager {
    channels: Vec<Box<dyn Channel>>,
    outside: Outside,
    subject: Subject,
    /// The last page, when it was sent, and the channel that took it.
    sent: RefCell<Option<(Page, Timestamp)>>,
    taken: Cell<Option<usize>>,
    /// Who has it already and is here: nobody is called.
    here: Option<String>,
    /// Who is told how a run has come to rest.
    told: Vec<Box<dyn Channel>>,
}

impl Pager {
    /// `page` is `policy.page` of the plan, each entry one channel with references to secrets. The error names the entry that
    /// is none.
    pub fn new(page: &[Value], outside: Outside, subject: Subject) -> Result<Self, String> {
        let channels = page.iter().map(channel).collect::<Result<_, _>>()?;
        let (sent, taken) = (RefCell::default(), Cell::default());
        Ok(Pager { channels, outside, subject, sent, taken, here: None, told: Vec::new() })
    }

    /// For a person's own rollback: they are here, and whoever had been called before knows of it.
    pub fn for_whom_it_is(who: &str, outside: Outside, subject: Subject) -> Self {
        let (sent, taken, here) = (RefCell::default(), Cell::default(), Some(who.to_string()));
        Pager { channels: Vec::new(), outside, subject, sent, taken, here, told: Vec::new() }
    }

    /// With `policy.notify` of the plan. The error names the entry that is none.
    pub fn telling(self, notify: &[Value]) -> Result<Self, String> {
        let told = notify.iter().map(channel).collect::<Result<_, _>>()?;
        Ok(Pager { told, ..self })
    }

    /// Tells everybody who wants to know, all at once. One line on who was told and who was not; none where nobody wants to.
    pub async fn tell(&self, news: &News) -> Option<String> {
        let message = Message { subject: &self.subject, says: Says::News(news) };
        let told = self.told.iter().map(|channel| self.called(channel.as_ref(), &message));
        let answers = futures_util::future::join_all(told).await;
        let lines = self.told.iter().zip(answers).map(|(channel, answer)| match answer {
            Ok(_) => format!("{} was told", channel.name()),
            Err(untaken) => format!("{} was NOT told: {}", channel.name(), untaken.why),
        });
        let lines: Vec<String> = lines.collect();
        (!lines.is_empty()).then(|| self.outside.secrets.mask(&format!("notify: {}", lines.join("; "))))
    }

    /// Whether anybody would be called: not where who asked is here.
    pub fn calls(&self) -> bool {
        self.here.is_none()
    }

    /// Whether a page that nobody has acknowledged is to be waited for.
    pub fn is_out(&self) -> bool {
        self.taken.get().is_some()
    }

    /// Tries one channel after the other; those that may take the page a moment later once more, before anybody else is called.
    /// Where none takes it, all of them again. True when one took the page; the words name it, or why each did not.
    pub async fn page(&self, page: &Page) -> (bool, String) {
        *self.sent.borrow_mut() = Some((page.clone(), self.outside.clock.now()));
        self.taken.set(None);
        if let Some(who) = &self.here {
            return (true, format!("nobody else was called: {who} asked for this rollback and is here"));
        }
        if self.channels.is_empty() {
            return (false, "the runbook declares nobody to page (policy.page is empty)".into());
        }
        self.call_from(0, page).await
    }

    /// The channels from this one on.
    async fn call_from(&self, first: usize, page: &Page) -> (bool, String) {
        let message = Message { subject: &self.subject, says: Says::Page(page) };
        let mut failed: Vec<String> = Vec::new();
        let mut rounds = ROUNDS.iter();
        loop {
            let mut again: Option<Duration> = None;
            for (n, channel) in self.channels.iter().enumerate().skip(first) {
                let name = channel.name();
                match self.called(channel.as_ref(), &message).await {
                    Ok(answer) => {
                        self.taken.set(Some(n));
                        let key = answer["dedup_key"].as_str().map_or(String::new(), |key| format!(" ({key})"));
                        let after =
                            if failed.is_empty() { String::new() } else { format!(", after {}", failed.join("; ")) };
                        return (true, self.outside.secrets.mask(&format!("{name} took the page{key}{after}")));
                    }
                    Err(untaken) => {
                        again = [again, untaken.again].into_iter().flatten().min();
                        let line = self.outside.secrets.mask(&format!("{name}: {}", untaken.why));
                        if !failed.contains(&line) {
                            failed.push(line);
                        }
                    }
                }
            }
            // What refuses for good refuses the next time too.
            let (Some(asked), Some(pause)) = (again, rounds.next()) else { return (false, failed.join("; ")) };
            self.outside.clock.sleep(asked.clamp(*pause, LONGEST)).await;
        }
    }

    /// Calls one channel, and once more where it says that it may take the page a moment later.
    async fn called(&self, channel: &dyn Channel, message: &Message<'_>) -> Result<Value, Untaken> {
        match channel.call(message, &self.outside).await {
            Err(Untaken { again: Some(pause), .. }) if pause <= SHORT => {
                self.outside.clock.sleep(pause.max(SHORT / 2)).await;
                channel.call(message, &self.outside).await
            }
            other => other,
        }
    }

    /// The page as it was sent last, for whoever sits at the terminal.
    pub fn last(&self) -> Option<String> {
        let sent = self.sent.borrow();
        sent.as_ref().map(|(page, _)| Message { subject: &self.subject, says: Says::Page(page) }.text())
    }

    /// Waits until somebody says that they have it, and calls the next channel each time nobody does within the time. Ends when
    /// somebody does or no channel is left. `looked` gives what lies in the run's folder; `note` writes evidence.
    pub async fn until_acknowledged(
        &self,
        within: Duration,
        looked: &dyn Fn() -> Option<Acknowledgement>,
        note: &mut dyn FnMut(Evidence),
    ) {
        let Some((page, since)) = self.sent.borrow().clone() else { return };
        while let Some(at) = self.taken.get() {
            if let Some(by) = self.waited(at, &page, since, within, looked).await {
                let seconds = (self.outside.clock.now().as_second() - since.as_second()).max(0).unsigned_abs();
                let line = format!("{} has it, {} after the page", by.name, spoken(Duration::from_secs(seconds)));
                note(Evidence::PageAcknowledged { by, seconds, line });
                return;
            }
            let name = self.channels[at].name();
            let nobody = format!("nobody acknowledged at {name} within {}", spoken(within));
            self.taken.set(None);
            let (delivered, how) = self.call_from(at + 1, &page).await;
            let line = match (delivered, how.is_empty()) {
                (_, true) => format!("{nobody}, and no channel is left"),
                (_, false) => format!("{nobody}; {how}"),
            };
            note(Evidence::PageEscalated { delivered, line });
        }
    }

    async fn waited(
        &self,
        at: usize,
        page: &Page,
        since: Timestamp,
        within: Duration,
        looked: &dyn Fn() -> Option<Acknowledgement>,
    ) -> Option<Actor> {
        let message = Message { subject: &self.subject, says: Says::Page(page) };
        let clock = &self.outside.clock;
        let until = clock.elapsed() + within;
        for look in 0u32.. {
            // What was acknowledged before the page is no answer to it.
            if let Some(given) = looked().filter(|given| given.at >= since) {
                for channel in &self.channels[..=at] {
                    channel.hand_over(&message, &given.by.name, &self.outside).await;
                }
                return Some(given.by);
            }
            let asked =
                if look % ASK == 0 { self.channels[at].acknowledged(&message, &self.outside).await } else { None };
            if let Some(name) = asked {
                return Some(Actor { name, via: self.channels[at].name().into() });
            }
            let left = until.saturating_sub(clock.elapsed());
            if left.is_zero() {
                return None;
            }
            clock.sleep(LOOK.min(left)).await;
        }
        unreachable!("BUG: a wait of a hundred years")
    }
}

fn channel(entry: &Value) -> Result<Box<dyn Channel>, String> {
    let mut kinds = KINDS.iter().filter(|kind| entry.get(kind.name).is_some());
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => (kind.open)(entry),
        _ => {
            let known = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect::<Vec<_>>().join(", ");
            Err(format!("an entry of policy.page or policy.notify has exactly one of {known}, not {entry}"))
        }
    }
}

/// The schema of a key whose value is a secret, so that only a reference may stand there.
pub fn secret(text: &str) -> Value {
    json!({ "type": "string", "format": "secret", "description": text })
}

/// The text under a key of an entry.
pub fn text(entry: &Value, key: &str) -> Result<String, String> {
    entry[key].as_str().map(String::from).ok_or_else(|| format!("policy.page: `{key}` is a text"))
}

/// Posts JSON. A 2xx is a yes, unless what it says is a no: some answer 200 to everything. References in the address are filled
/// in, and what comes back is masked.
pub async fn post(outside: &Outside, url: &str, body: &Value) -> Result<Value, Untaken> {
    let request = Request {
        method: "POST",
        url: outside.secrets.resolve(url),
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.to_string().into_bytes(),
        timeout: PATIENCE,
        ..Request::default()
    };
    let response = outside.web.exchange(request).await;
    // Whoever took all of their time is not waited for once more before the next is called.
    let pause = |error: &WebError| if error.timed_out { 2 * SHORT } else { SHORT / 2 };
    let response = response.map_err(|error| Untaken { why: error.to_string(), again: Some(pause(&error)) })?;
    let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    match response.status {
        200..300 if !response.says_no() => Ok(answer),
        status => {
            // Masked before it is cut: half of a secret is found by nobody.
            let said: String = outside.secrets.mask(response.text().trim()).chars().take(120).collect();
            let busy = status == 429 || status >= 500;
            let again = busy.then(|| response.retry_after().unwrap_or(SHORT / 2));
            Err(Untaken { why: format!("answered {status} {said}"), again })
        }
    }
}
