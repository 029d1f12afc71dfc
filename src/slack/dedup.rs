//! D4 to D11: is a delivery neither lost nor handled twice when a stack dies with it in hand?
//!
//! A reserved event whose work takes a second and a half is given to one stack; while that is at it, and again when it is
//! done, the other one gets the same bytes. What the stacks answer is seen from outside; with the store named, the claim's
//! owner, lease and time are read too. The store is never written.

use std::time::Duration;

use super::check::Finding;
use super::deliveries::{DedupPlace, handled_key};
use super::request;
use super::request::Body;
use super::suite::{Session, silent};
use crate::plan::Color;
use crate::run::Verdict;
use crate::scalar::spoken;
use crate::world::{Held, Response};

/// How long the work of the event takes; a second under Slack's limit, since some stacks ack after their work.
const WORK: Duration = Duration::from_millis(1_500);
/// After this the claim stands, and after the rest of the work and as much again it is done.
const BEGUN: Duration = Duration::from_millis(500);
/// Slack's second retry comes a minute after the first: a claim that lasts longer makes it fail too.
const LONGEST_LEASE: Duration = Duration::from_secs(60);
/// Below this an event that Slack delivers late, as it does for up to two hours, is handled again.
const SAFE: Duration = Duration::from_secs(3 * 3600);

/// What was seen of one event that was given to both stacks.
struct Seen {
    first: Color,
    second: Color,
    /// The first stack's answer.
    acked: Response,
    /// The other stack's answer while the first was at it, and when it was done.
    meanwhile: Response,
    afterwards: Response,
    /// What stood under the event's key at the same two moments.
    claim: Option<Held>,
    done: Option<Held>,
    /// Who noted that they handled it.
    handled: Vec<String>,
}

impl Session<'_> {
    /// Both directions: each stack has to keep away from what the other has in hand.
    pub(super) async fn dedup(&self) -> Vec<Finding> {
        let (this, other) = (self.suite.color, self.suite.color.other());
        let (one, two) = tokio::join!(self.watched(other, this), self.watched(this, other));
        let mut findings = Vec::new();
        for seen in [one, two] {
            match seen {
                Ok(seen) => findings.extend(self.judged(&seen)),
                Err(finding) => findings.push(finding),
            }
        }
        if let Some(place) = &self.suite.dedup {
            findings.push(self.retry().await);
            findings.push(self.server(place).await);
        }
        findings
    }

    /// D11: a retry of an event that nobody has handled is work like any other. A bot that drops whatever Slack repeats loses what
    /// the other stack died with.
    async fn retry(&self) -> Finding {
        let event = self.event_id();
        let body = self.suite.from.event(&event, self.now(), 0);
        let request = request::retried(&self.signed(self.suite.color, &body, self.now()), 1, "http_timeout");
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(e) => return silent("D11", &e),
        };
        // Some bots ack before their work.
        self.world.clock.sleep(BEGUN).await;
        let ms = answer.time.as_millis() as u64;
        let (pass, line) = match self.noted("D11", &event).await {
            Err(finding) => return finding,
            Ok(by) if by.len() == 1 => {
                (true, "an event that comes for the first time as a retry is handled".to_string())
            }
            Ok(by) if by.is_empty() => (
                false,
                format!(
                    "an event that comes for the first time as a retry is answered {} and not handled: what has `X-Slack-Retry-Num` is dropped",
                    answer.status
                ),
            ),
            Ok(by) => (false, format!("it was handled {} times", by.len())),
        };
        Finding { status: answer.status, ..Finding::new("D11", pass, ms, line) }
    }

    /// Gives one event to both stacks and looks on.
    async fn watched(&self, first: Color, second: Color) -> Result<Seen, Finding> {
        let event = self.event_id();
        let body = self.suite.from.event(&event, self.now(), WORK.as_millis() as u64);
        let timestamp = self.now();
        let request = |color, body: &Body| self.signed(color, body, timestamp);
        let again = |number| request::retried(&request(second, &body), number, "http_timeout");
        let (acked, (meanwhile, claim)) = tokio::join!(self.send(request(first, &body)), async {
            self.world.clock.sleep(BEGUN).await;
            // The key first: an answer of the other stack may change it.
            let claim = self.held(&event).await;
            (self.send(again(1)).await, claim)
        });
        let acked = acked.map_err(|e| silent("D4", &e))?;
        // Counted from the ack: where that comes first, the work has only begun.
        let rest = if acked.time < WORK { WORK } else { Duration::ZERO };
        self.world.clock.sleep(rest + BEGUN).await;
        let done = self.held(&event).await;
        let afterwards = self.send(again(2)).await.map_err(|e| silent("D4", &e))?;
        let handled = self.noted("D4", &event).await?;
        let meanwhile = meanwhile.map_err(|e| silent("D4", &e))?;
        Ok(Seen { first, second, acked, meanwhile, afterwards, claim: claim?, done: done?, handled })
    }

    async fn held(&self, event: &str) -> Result<Option<Held>, Finding> {
        let Some(place) = &self.suite.dedup else { return Ok(None) };
        let url = self.world.secrets.resolve(&place.redis);
        let held = self.world.store.held(&url, &place.key_of(&self.suite.from.team, event)).await;
        held.map_err(|what| unread("D4", what))
    }

    async fn noted(&self, check: &str, event: &str) -> Result<Vec<String>, Finding> {
        let Some(place) = &self.suite.dedup else { return Ok(Vec::new()) };
        let url = self.world.secrets.resolve(&place.redis);
        let lists = self.world.store.lists(&url, &[handled_key(event)]).await;
        lists.map(|lists| lists.into_iter().flatten().collect()).map_err(|what| unread(check, what))
    }

    fn judged(&self, seen: &Seen) -> Vec<Finding> {
        let Seen { first, second, .. } = seen;
        let ms = seen.acked.time.as_millis() as u64;
        let finding = |check, (pass, line): (bool, String)| Finding::new(check, pass, ms, line);
        if !(200..300).contains(&seen.acked.status) {
            let line = format!(
                "{first} answers {} to an event of the type `bgctl_smoke`, which `bgctl explain bot-contract` shows",
                seen.acked.status
            );
            return vec![finding("D4", (false, line))];
        }
        let mut findings = Vec::new();
        if let Some(place) = &self.suite.dedup {
            findings.push(finding("D4", claimed(*first, seen.claim.as_ref(), place)));
            findings.push(finding("D6", completed(*first, seen)));
            findings.push(finding("D7", remembered(seen.done.as_ref(), place)));
        }
        findings.push(finding("D5", kept_away(*first, *second, seen)));
        findings.push(finding("D8", once(*first, *second, seen, self.suite.dedup.is_some())));
        let after = seen.acked.time >= WORK;
        let line = match after {
            true => format!("{first} acks after its work: killed before that, Slack sends again"),
            false => format!(
                "{first} acks before its work is done ({ms} ms of {} ms): killed with work in hand, the event is lost",
                WORK.as_millis()
            ),
        };
        let advice = !after && !self.suite.acks_after_work;
        let line = if advice { format!("advice only: {line}") } else { line };
        findings.push(Finding {
            verdict: if after || advice { Verdict::Pass } else { Verdict::Fail },
            ..Finding::new("D10", after, ms, line)
        });
        findings
    }

    /// D9: the store forgets nothing by itself.
    async fn server(&self, place: &DedupPlace) -> Finding {
        let begun = self.world.clock.elapsed();
        let url = self.world.secrets.resolve(&place.redis);
        let server = self.world.store.server(&url).await;
        let ms = self.world.clock.elapsed().saturating_sub(begun).as_millis() as u64;
        match server {
            Err(what) => unread("D9", what),
            Ok(server) if server.eviction != "noeviction" => {
                let line = format!(
                    "the store drops keys when its memory is full (`maxmemory-policy {}`, not `noeviction`): what it \
                     drops is handled again",
                    server.eviction
                );
                Finding::new("D9", false, ms, line)
            }
            Ok(server) if server.role != "master" => {
                let line =
                    format!("this is a copy of the store (`role:{}`): a claim there may come too late", server.role);
                Finding::new("D9", false, ms, line)
            }
            Ok(_) => Finding::new("D9", true, ms, "the store evicts nothing and is the primary"),
        }
    }
}

/// A store that gives no answer says nothing about the stacks.
fn unread(check: &str, what: String) -> Finding {
    Finding { silent: true, verdict: Verdict::Unknown, ..Finding::new(check, false, 0, what) }
}

/// D4: the event is claimed while it is worked on, and not for long.
fn claimed(first: Color, claim: Option<&Held>, place: &DedupPlace) -> (bool, String) {
    match claim {
        None => {
            let key = &place.key;
            (false, format!("no key `{key}` while {first} works: another store, another key, or no dedup at all"))
        }
        Some(Held { value, left: None }) => {
            (false, format!("`{}` stands there for ever: no lease, no time to live", short(value)))
        }
        Some(Held { value, left: Some(left) }) => {
            let (value, left_s) = (short(value), spoken(*left));
            match *left <= LONGEST_LEASE {
                true => (true, format!("claimed by `{value}`, under a lease with {left_s} left")),
                false => (
                    false,
                    format!(
                        "claimed by `{value}` for another {left_s}: if its owner dies, Slack's retries after 0 and 60 s \
                         meet a claim that no process works on"
                    ),
                ),
            }
        }
    }
}

/// D6: the end of the work leaves another mark than its beginning.
fn completed(first: Color, seen: &Seen) -> (bool, String) {
    match (&seen.claim, &seen.done) {
        (Some(claim), Some(done)) if claim.value == done.value => (
            false,
            format!(
                "at most once only: `{}` stands there before and after the work of {first}. A stack that claims and dies \
                 makes the other drop Slack's retry, and the event is lost",
                short(&done.value)
            ),
        ),
        (_, Some(done)) => (true, format!("done, as `{}`", short(&done.value))),
        (_, None) => {
            (false, format!("nothing is left of the event after the work of {first}: a retry is handled again"))
        }
    }
}

/// D7: what is done stays known for as long as Slack may repeat it.
fn remembered(done: Option<&Held>, place: &DedupPlace) -> (bool, String) {
    let horizon = place.horizon();
    let why = match place.delayed_events {
        true => "with Delayed Events Slack repeats each hour for a day",
        false => "Slack's last retry comes after about 6 minutes",
    };
    match done {
        None => (false, "the event is forgotten at once".into()),
        Some(Held { left: None, .. }) => (true, "remembered for ever: the store will grow".into()),
        Some(Held { left: Some(left), .. }) if *left + Duration::from_secs(5) < horizon => {
            (false, format!("remembered for {} only: {why}, so {} is the least", spoken(*left), spoken(horizon)))
        }
        Some(Held { left: Some(left), .. }) if *left + Duration::from_secs(5) < SAFE => {
            let left = spoken(*left);
            (true, format!("remembered for {left}; 3h are better, since Slack may deliver up to 2h late"))
        }
        Some(Held { left: Some(left), .. }) => (true, format!("remembered for {}", spoken(*left))),
    }
}

/// D5: whoever did not get the event leaves it to Slack to come again.
fn kept_away(first: Color, second: Color, seen: &Seen) -> (bool, String) {
    match seen.meanwhile.status {
        500..=599 => (true, format!("{second} answers {} while {first} is at it", seen.meanwhile.status)),
        status => (
            false,
            format!(
                "{second} answers {status} while {first} is still at it: if {first} dies now, Slack does not send again \
                 (at most once, or no shared dedup)"
            ),
        ),
    }
}

/// D8: when it is done, a retry is taken and changes nothing.
fn once(first: Color, second: Color, seen: &Seen, counted: bool) -> (bool, String) {
    let status = seen.afterwards.status;
    if !(200..300).contains(&status) {
        return (false, format!("{second} answers {status} to an event that {first} has done: Slack would go on"));
    }
    match (counted, seen.handled.len()) {
        (false, _) => (true, format!("{second} takes a retry of what {first} has done")),
        (true, 1) => (true, format!("handled once, by {}; the retry changed nothing", seen.handled[0])),
        (true, 0) => (false, "no bot noted that it was handled".into()),
        (true, n) => (false, format!("handled {n} times, by {}", seen.handled.join(" and "))),
    }
}

/// Enough of a value to recognise it.
fn short(value: &str) -> String {
    let short: String = value.chars().take(40).collect();
    if short.len() < value.len() { format!("{short}…") } else { short }
}
