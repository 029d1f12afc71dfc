//! An instance of a Socket Mode app: a bot that holds one socket when it is told to, answers what comes over it, and says
//! how it is doing. It does what bgctl's contract asks of real ones.
//!
//! It renews its socket as a good client does: the next one is open before the last is closed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::bot::{Bot, json_answer};
use super::bot_slack::{self, Handled};
use super::meter::Meter;
use super::{locked, server, time};
use crate::plan::Color;

/// Between two attempts to get a socket, and between two looks at one that is to be replaced.
const AGAIN: Duration = Duration::from_millis(200);

/// One instance.
pub struct SocketBot {
    pub bot: Arc<Bot>,
    pub meter: Arc<Meter>,
    pub client: Client,
    /// Slack's Web API.
    pub api: String,
    pub token: String,
    /// Whether it is to hold a socket, kept by whoever started it.
    pub wish: watch::Sender<bool>,
    connected: AtomicU64,
    /// Counts hellos, so that an old socket knows when its successor is there.
    hellos: AtomicU64,
    news: Mutex<News>,
}

/// What it has heard from Slack.
#[derive(Clone, Debug, Default)]
struct News {
    hello: Option<Value>,
    at_ms: i64,
    /// The newest ping, or the hello before the first.
    ping_ms: i64,
    disconnect: Option<String>,
    disconnects: BTreeMap<String, u64>,
}

impl SocketBot {
    pub fn new(
        bot: Arc<Bot>,
        meter: &Arc<Meter>,
        client: &Client,
        api: &str,
        token: &str,
        open: bool,
    ) -> Arc<SocketBot> {
        Arc::new(SocketBot {
            bot,
            meter: Arc::clone(meter),
            client: client.clone(),
            api: api.to_string(),
            token: token.to_string(),
            wish: watch::Sender::new(open),
            connected: AtomicU64::new(0),
            hellos: AtomicU64::new(0),
            news: Mutex::default(),
        })
    }

    /// Answers one HTTP request: what concerns the socket here, everything else as any bot.
    pub async fn answer(self: Arc<Self>, parts: Parts, body: Bytes) -> Response {
        if self.bot.down.load(Ordering::Relaxed) {
            return server::cut();
        }
        match (parts.method.as_str(), parts.uri.path()) {
            ("GET", "/bgctl/socket") => json_answer(200, &self.report()),
            ("POST", "/bgctl/connect") => self.told(true),
            ("POST", "/bgctl/quiesce") => self.told(false),
            _ => Arc::clone(&self.bot).answer(parts, body).await,
        }
    }

    fn told(&self, open: bool) -> Response {
        self.wish.send_replace(open);
        json_answer(200, &self.report())
    }

    pub fn report(&self) -> Value {
        let news = locked(&self.news).clone();
        let hello = news.hello.unwrap_or_default();
        json!({
            "open": *self.wish.borrow(),
            "connected": self.connected.load(Ordering::Relaxed),
            "num_connections": hello["num_connections"],
            "last_hello": (news.at_ms > 0).then_some(news.at_ms as f64 / 1000.0),
            "approximate_connection_time": hello["debug_info"]["approximate_connection_time"],
            "inflight": self.bot.in_flight.load(Ordering::Relaxed),
            "disconnect": news.disconnect,
            "disconnects": news.disconnects,
            "last_ping": (news.ping_ms > 0).then_some(news.ping_ms as f64 / 1000.0),
        })
    }

    pub fn holds(&self) -> bool {
        self.connected.load(Ordering::Relaxed) > 0
    }

    /// Holds a socket whenever it is to, for as long as it lives.
    pub async fn run(self: Arc<Self>) {
        let (mut wish, mut killed) = (self.wish.subscribe(), self.bot.killed.subscribe());
        loop {
            tokio::select! {
                // An error means that nobody can wish any more.
                open = wish.wait_for(|open| *open) => if open.is_err() { return },
                _ = killed.wait_for(|killed| *killed) => return,
            }
            let Some(stream) = self.dial().await else {
                time::sleep(AGAIN).await;
                continue;
            };
            let (ending, mut is_ending) = watch::channel(false);
            tokio::spawn(Arc::clone(&self).line(stream, ending));
            // An error means that the line has ended without a word.
            let _ = is_ending.wait_for(|ending| *ending).await;
        }
    }

    async fn dial(&self) -> Option<WebSocketStream<TcpStream>> {
        let request = self.client.post(format!("{}apps.connections.open", self.api)).bearer_auth(&self.token);
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        let url = answer["url"].as_str()?;
        let place = url.strip_prefix("ws://")?.split('/').next()?;
        let stream = TcpStream::connect(place).await.ok()?;
        let _ = stream.set_nodelay(true);
        Some(tokio_tungstenite::client_async(url, stream).await.ok()?.0)
    }

    /// One socket from its hello to its end. `ending` turns true, or is dropped, when a next one is wanted.
    async fn line(self: Arc<Self>, mut stream: WebSocketStream<TcpStream>, ending: watch::Sender<bool>) {
        let (mut wish, mut killed) = (self.wish.subscribe(), self.bot.killed.subscribe());
        let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel::<Option<Value>>();
        let (said_hello, mine) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut in_hand = 0u64;
        let parting = loop {
            // It is given up when nothing is in hand, so that no ack is owed on it.
            let replaced = *ending.borrow() && self.hellos.load(Ordering::Relaxed) > mine.load(Ordering::Relaxed);
            if in_hand == 0 && (replaced || !*wish.borrow()) {
                break true;
            }
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let Ok(value) = serde_json::from_str::<Value>(text.as_str()) else { continue };
                        match value["type"].as_str() {
                            Some("hello") => {
                                mine.store(self.hello(value), Ordering::Relaxed);
                                said_hello.store(true, Ordering::Relaxed);
                            }
                            Some("disconnect") => {
                                let reason = value["reason"].as_str().unwrap_or("no reason").to_string();
                                let mut news = locked(&self.news);
                                *news.disconnects.entry(reason.clone()).or_default() += 1;
                                news.disconnect = Some(reason);
                                drop(news);
                                ending.send_replace(true);
                            }
                            _ => {
                                in_hand += 1;
                                let (bot, answers) = (Arc::clone(&self), answers.clone());
                                tokio::spawn(async move { answers.send(bot.envelope(value).await) });
                            }
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break false,
                    Some(Ok(Message::Ping(_))) => locked(&self.news).ping_ms = time::wall_ms(),
                    Some(Ok(_)) => {}
                },
                Some(answer) = answered.recv() => {
                    in_hand -= 1;
                    if let Some(answer) = answer
                        && stream.send(Message::text(answer.to_string())).await.is_err()
                    {
                        break false;
                    }
                }
                _ = wish.changed() => {}
                () = async { drop(killed.wait_for(|killed| *killed).await) } => {
                    let _ = stream.get_ref().set_zero_linger();
                    break false;
                }
                () = time::sleep(AGAIN), if *ending.borrow() => {}
            }
        };
        if parting && stream.close(None).await.is_ok() {
            // What arrives now cannot be acked any more, so it is left to Slack's retry.
            while let Some(Ok(_)) = stream.next().await {}
        }
        if said_hello.load(Ordering::Relaxed) {
            self.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn hello(&self, hello: Value) -> u64 {
        {
            let mut news = locked(&self.news);
            (news.hello, news.at_ms, news.disconnect) = (Some(hello), time::wall_ms(), None);
            news.ping_ms = news.at_ms;
        }
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.hellos.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Does what an envelope asks, and gives the ack; none where Slack shall send it again.
    async fn envelope(&self, envelope: Value) -> Option<Value> {
        let (payload, begun) = (&envelope["payload"], time::now());
        if self.bot.color == Color::Green {
            self.bot.faults.user_on_green();
        }
        let retry = envelope["retry_attempt"].as_u64().unwrap_or(0);
        let name = payload["event_id"].as_str().or(payload["trigger_id"].as_str()).unwrap_or_default();
        let failed = bot_slack::fails(&self.bot, name, retry as u32).await;
        let answer = match envelope["type"].as_str() {
            _ if failed => None,
            Some("events_api") => (bot_slack::handle(&self.bot, payload).await == Handled::Yes).then(|| json!({})),
            Some("slash_commands") => Some(json!({ "text": format!("noted by {}", self.bot.version) })),
            Some("interactive") => Some(json!({})),
            _ => None,
        };
        let status = if answer.is_some() { 200 } else { 500 };
        self.meter.note(self.bot.color, status, time::now().duration_since(begun), retry > 0);
        Some(json!({ "envelope_id": envelope["envelope_id"], "payload": answer? }))
    }
}
