//! The lab's Slack over sockets: puts events, commands and clicks into envelopes, hands each to one socket, and sends an
//! event again when nobody acked it, on the same schedule as over HTTP.
//!
//! Commands and clicks are not sent again: that Slack would do so is not documented, so the lab assumes the worse.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::dice::Dice;
use super::ledger::Book;
use super::slack::{PATIENCE, RETRIES};
use super::sockets::{Delivery, Sockets};
use super::{locked, time};

/// One in so many is a slash command, and one in so many a click on a button.
const COMMAND_EVERY: u64 = 20;
const CLICK_EVERY: u64 = 25;

/// What kind of thing a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Event,
    Command,
    Click,
}

/// One thing that was sent, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The `event_id` of an event, the `trigger_id` of anything else: what a bot must key on.
    pub id: String,
    pub doing: Doing,
    pub deliveries: u32,
    pub acked: bool,
    /// A socket ended with it in hand, at least once.
    pub cut_off: bool,
    /// Slack is through with it.
    pub settled: bool,
}

/// The sender.
pub struct Envelopes {
    pub sockets: Arc<Sockets>,
    pub book: Arc<Book>,
    pub dice: Arc<Dice>,
    /// Set to end the sending of new things.
    pub quiet: AtomicBool,
    pub sequence: AtomicU64,
    pub sent: Mutex<Vec<Sent>>,
}

impl Envelopes {
    pub fn new(sockets: Arc<Sockets>, book: Arc<Book>, dice: Arc<Dice>) -> Arc<Envelopes> {
        let (quiet, sequence, sent) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::default());
        Arc::new(Envelopes { sockets, book, dice, quiet, sequence, sent })
    }

    /// Sends about this many things a second until told to be quiet. Retries go on after that.
    pub async fn send_all(self: Arc<Self>, per_second: u32) {
        let mean = 1_000_000 / u64::from(per_second);
        let mut due = time::now();
        while !self.quiet.load(Ordering::Relaxed) {
            let number = self.sequence.fetch_add(1, Ordering::Relaxed);
            let (doing, id) = match number {
                n if n % COMMAND_EVERY == COMMAND_EVERY - 1 => (Doing::Command, format!("{n}.cmd.lab")),
                n if n % CLICK_EVERY == CLICK_EVERY - 1 => (Doing::Click, format!("{n}.click.lab")),
                n => (Doing::Event, format!("Ev0LAB{n:08}")),
            };
            if doing == Doing::Event {
                self.book.sent(&id);
            }
            let place = {
                let mut sent = locked(&self.sent);
                sent.push(Sent { id, doing, deliveries: 0, acked: false, cut_off: false, settled: false });
                sent.len() - 1
            };
            tokio::spawn(Arc::clone(&self).carry(place));
            due += Duration::from_micros(self.dice.between(mean / 2, mean + mean / 2));
            time::sleep(due.saturating_duration_since(time::now())).await;
        }
    }

    /// Delivers one thing, with retries where Slack makes them.
    async fn carry(self: Arc<Self>, place: usize) {
        let Sent { id, doing, .. } = locked(&self.sent)[place].clone();
        let mut acked = self.once(place, envelope(doing, &id, &self.dice.uuid(), 0)).await;
        if doing == Doing::Event {
            for (number, wait) in (1..).zip(RETRIES) {
                if acked {
                    break;
                }
                time::sleep(wait).await;
                self.book.retried();
                acked = self.once(place, envelope(doing, &id, &self.dice.uuid(), number)).await;
            }
            self.book.settled(&id, acked);
        } else {
            self.book.command(acked);
        }
        let mut sent = locked(&self.sent);
        (sent[place].acked, sent[place].settled) = (acked, true);
    }

    async fn once(&self, place: usize, envelope: Value) -> bool {
        locked(&self.sent)[place].deliveries += 1;
        let delivery = self.sockets.deliver(envelope, PATIENCE).await;
        locked(&self.sent)[place].cut_off |= delivery == Delivery::CutOff;
        matches!(delivery, Delivery::Acked(_))
    }

    /// Whether nothing is under way.
    pub fn settled(&self) -> bool {
        locked(&self.sent).iter().all(|sent| sent.settled)
    }
}

fn envelope(doing: Doing, id: &str, envelope_id: &str, attempt: u32) -> Value {
    let kind = match doing {
        Doing::Event => "events_api",
        Doing::Command => "slash_commands",
        Doing::Click => "interactive",
    };
    let payload = match doing {
        Doing::Event => json!({
            "token": "lab", "team_id": "T0LAB", "api_app_id": "A0LAB", "type": "event_callback",
            "event_id": id, "event_time": time::wall_ms() / 1000,
            "authorizations": [{ "team_id": "T0LAB", "user_id": "U0BOT", "is_bot": true, "is_enterprise_install": false }],
            "event": { "type": "app_mention", "user": "U0LAB", "channel": "C0LAB", "text": "<@U0BOT> hello", "ts": "1.0" },
        }),
        Doing::Command => json!({
            "token": "lab", "team_id": "T0LAB", "team_domain": "lab", "channel_id": "C0LAB", "channel_name": "lab",
            "user_id": "U0LAB", "user_name": "lab", "command": "/standup", "text": "all well", "api_app_id": "A0LAB",
            "trigger_id": id, "is_enterprise_install": "false",
        }),
        Doing::Click => json!({
            "type": "block_actions", "token": "lab", "team": { "id": "T0LAB", "domain": "lab" },
            "user": { "id": "U0LAB", "name": "lab", "team_id": "T0LAB" }, "api_app_id": "A0LAB", "trigger_id": id,
            "channel": { "id": "C0LAB", "name": "lab" }, "container": { "type": "message" },
            "actions": [{ "type": "button", "action_id": "approve", "block_id": "b", "value": "1", "action_ts": "1.0" }],
        }),
    };
    let mut envelope = json!({
        "envelope_id": envelope_id, "type": kind, "payload": payload,
        "accepts_response_payload": doing != Doing::Event,
    });
    if doing == Doing::Event {
        envelope["retry_attempt"] = json!(attempt);
        envelope["retry_reason"] = json!(if attempt == 0 { "" } else { "timeout" });
    }
    envelope
}
