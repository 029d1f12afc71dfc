//! Slack's side of Socket Mode: the WebSockets of one app. It says hello, hands each envelope to one socket in turn, takes
//! acks, and ends sockets in every way Slack does: with a warning, without a word, by a cut line, or so that only its own side
//! knows.
//!
//! At most ten sockets are open; the eleventh is told `too_many_websockets`. An ack counts only on the socket its envelope
//! was sent on: whether Slack takes it elsewhere is not known, so the lab assumes the worse.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::{locked, time};

/// The most sockets of one app.
pub const MOST: usize = 10;
/// How long Slack says a socket will live, in seconds, as real logs show it.
const LIFE_S: u64 = 18_060;
/// How often Slack pings a client.
const PING: Duration = Duration::from_secs(5);
/// How long a closing handshake may take before the line is cut.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why Slack ends a socket; the words are those of `disconnect.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Warning,
    RefreshRequested,
    LinkDisabled,
    TooManyWebsockets,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Warning => "warning",
            Reason::RefreshRequested => "refresh_requested",
            Reason::LinkDisabled => "link_disabled",
            Reason::TooManyWebsockets => "too_many_websockets",
        }
    }
}

/// What became of one envelope on one socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// Acked on the socket it was sent on, with this payload.
    Acked(Value),
    /// Not acked in time.
    Unacked,
    /// Its socket ended while the ack was owed.
    CutOff,
    /// There was no socket to send it on.
    NoSocket,
}

/// Something that happened, as Slack saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Opened { socket: u64, open: usize },
    Refused { open: usize },
    Told { socket: u64, reason: Reason },
    Closed { socket: u64, open: usize },
    AckedElsewhere { socket: u64 },
}

/// All sockets of the app.
#[derive(Debug)]
pub struct Sockets {
    address: SocketAddr,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    tickets: HashSet<String>,
    open: BTreeMap<u64, Open>,
    next: u64,
    turn: usize,
    waiting: HashMap<String, Waiting>,
    fewest: usize,
    life_s: u64,
    seen: Vec<(Instant, Seen)>,
}

#[derive(Debug)]
struct Open {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
struct Waiting {
    socket: u64,
    acked: oneshot::Sender<Value>,
}

#[derive(Debug)]
enum Order {
    Say(Value),
    /// The closing handshake.
    Close,
    /// A reset of the connection, without a word.
    Cut,
    /// Slack's end is gone and the client's does not know: nothing is read, sent or answered any more.
    HalfOpen,
}

impl Sockets {
    /// Takes sockets on this listener for as long as the runtime lives.
    pub fn serve(listener: TcpListener) -> std::io::Result<(Arc<Sockets>, JoinHandle<()>)> {
        let table = Table { life_s: LIFE_S, ..Table::default() };
        let sockets = Arc::new(Sockets { address: listener.local_addr()?, table: Mutex::new(table) });
        let accepting = Arc::clone(&sockets);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(Arc::clone(&accepting).socket(stream));
            }
        });
        Ok((sockets, task))
    }

    /// What `apps.connections.open` gives: an address that opens one socket.
    pub fn url(&self, ticket: String) -> String {
        let url = format!("ws://{}/link/?ticket={ticket}&app_id=A0LAB", self.address);
        locked(&self.table).tickets.insert(ticket);
        url
    }

    /// The sockets that are open, oldest first.
    pub fn open(&self) -> Vec<u64> {
        locked(&self.table).open.keys().copied().collect()
    }

    /// The fewest sockets that were open at once since [`Sockets::count_fewest`].
    pub fn fewest(&self) -> usize {
        locked(&self.table).fewest
    }

    /// Starts counting the fewest anew, from those open now.
    pub fn count_fewest(&self) {
        let mut table = locked(&self.table);
        table.fewest = table.open.len();
    }

    /// How long the hello of each further socket says it will live.
    pub fn live_for(&self, seconds: u64) {
        locked(&self.table).life_s = seconds;
    }

    /// Everything so far, in order.
    pub fn seen(&self) -> Vec<(Instant, Seen)> {
        locked(&self.table).seen.clone()
    }

    /// Tells a client that its socket will end. Closing it is another matter: see [`Sockets::close`].
    pub fn tell(&self, socket: u64, reason: Reason) {
        let mut table = locked(&self.table);
        table.note(Seen::Told { socket, reason });
        table.order(socket, Order::Say(disconnect(reason)));
    }

    /// Ends a socket by the closing handshake.
    pub fn close(&self, socket: u64) {
        locked(&self.table).order(socket, Order::Close);
    }

    /// Resets the connection of a socket.
    pub fn cut(&self, socket: u64) {
        locked(&self.table).order(socket, Order::Cut);
    }

    /// Slack has a socket no more, and its client is told nothing.
    pub fn half_open(&self, socket: u64) {
        locked(&self.table).order(socket, Order::HalfOpen);
    }

    /// Sends an envelope on the next socket in turn and waits for its ack.
    pub async fn deliver(&self, envelope: Value, patience: Duration) -> Delivery {
        let id = envelope["envelope_id"].as_str().unwrap_or_default().to_string();
        let acked = {
            let mut table = locked(&self.table);
            let open: Vec<u64> = table.open.keys().copied().collect();
            if open.is_empty() {
                return Delivery::NoSocket;
            }
            table.turn += 1;
            let socket = open[table.turn % open.len()];
            let (acked, is_acked) = oneshot::channel();
            table.waiting.insert(id.clone(), Waiting { socket, acked });
            table.order(socket, Order::Say(envelope));
            is_acked
        };
        let answer = time::within(patience, acked).await;
        locked(&self.table).waiting.remove(&id);
        match answer {
            Some(Ok(payload)) => Delivery::Acked(payload),
            Some(Err(_)) => Delivery::CutOff,
            None => Delivery::Unacked,
        }
    }

    async fn socket(self: Arc<Self>, stream: TcpStream) {
        let tickets = Arc::clone(&self);
        let check = move |request: &Request, response: Response| tickets.admit(request, response);
        let Ok(mut stream) = tokio_tungstenite::accept_hdr_async(stream, check).await else { return };
        let (orders, taken) = mpsc::unbounded_channel();
        let (socket, hello) = {
            let mut table = locked(&self.table);
            let open = table.open.len();
            if open >= MOST {
                table.note(Seen::Refused { open });
                (None, disconnect(Reason::TooManyWebsockets))
            } else {
                table.next += 1;
                let socket = table.next;
                table.open.insert(socket, Open { orders });
                table.note(Seen::Opened { socket, open: open + 1 });
                (Some(socket), hello(open + 1, table.life_s))
            }
        };
        let Some(socket) = socket else {
            let _ = stream.send(Message::text(hello.to_string())).await;
            return part(stream).await;
        };
        // Nothing may be sent before the hello, so it goes out before the orders are looked at.
        if stream.send(Message::text(hello.to_string())).await.is_ok() {
            self.talk(socket, stream, taken).await;
        }
        self.gone(socket);
    }

    async fn talk(
        &self,
        socket: u64,
        mut stream: WebSocketStream<TcpStream>,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let mut ping = time::now() + PING;
        loop {
            let sent = tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.acked(socket, text.as_str());
                        Ok(())
                    }
                    // No further envelope may be handed to this socket. The answer is sent by reading on.
                    Some(Ok(Message::Close(_))) => {
                        self.gone(socket);
                        return ended(stream).await;
                    }
                    Some(Ok(_)) => Ok(()),
                    Some(Err(_)) | None => return,
                },
                order = orders.recv() => match order {
                    Some(Order::Say(value)) => stream.send(Message::text(value.to_string())).await,
                    Some(Order::Close) | None => {
                        self.gone(socket);
                        return part(stream).await;
                    }
                    Some(Order::Cut) => {
                        let _ = stream.get_ref().set_zero_linger();
                        return;
                    }
                    Some(Order::HalfOpen) => {
                        self.gone(socket);
                        return std::future::pending().await;
                    }
                },
                () = time::sleep(ping.saturating_duration_since(time::now())) => {
                    ping = time::now() + PING;
                    stream.send(Message::Ping("Ping from the lab".into())).await
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn admit(&self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let query = request.uri().query().unwrap_or_default();
        let ticket =
            form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket").map(|(_, value)| value);
        if ticket.is_some_and(|ticket| locked(&self.table).tickets.remove(ticket.as_ref())) {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("no such ticket".into()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        Err(refusal)
    }

    fn acked(&self, socket: u64, text: &str) {
        let Ok(ack) = serde_json::from_str::<Value>(text) else { return };
        let Some(id) = ack["envelope_id"].as_str() else { return };
        let mut table = locked(&self.table);
        match table.waiting.get(id).map(|waiting| waiting.socket) {
            Some(sent_on) if sent_on == socket => {
                let waiting = table.waiting.remove(id).expect("BUG: it was there a moment ago");
                // An error means that nobody waits any more: the ack was late.
                let _ = waiting.acked.send(ack["payload"].clone());
            }
            Some(_) => table.note(Seen::AckedElsewhere { socket }),
            None => {}
        }
    }

    fn gone(&self, socket: u64) {
        let mut table = locked(&self.table);
        if table.open.remove(&socket).is_some() {
            // Whoever waits for an ack on it learns so by the end of its channel.
            table.waiting.retain(|_, waiting| waiting.socket != socket);
            let open = table.open.len();
            table.fewest = table.fewest.min(open);
            table.note(Seen::Closed { socket, open });
        }
    }
}

impl Table {
    fn note(&mut self, seen: Seen) {
        self.seen.push((time::now(), seen));
    }

    /// A socket that is gone takes no orders.
    fn order(&self, socket: u64, order: Order) {
        if let Some(open) = self.open.get(&socket) {
            let _ = open.orders.send(order);
        }
    }
}

/// The closing handshake from our side.
async fn part(mut stream: WebSocketStream<TcpStream>) {
    if stream.close(None).await.is_ok() {
        ended(stream).await;
    }
}

/// Reads a closing socket to its end; what arrives during that is no ack any more.
async fn ended(mut stream: WebSocketStream<TcpStream>) {
    let farewell = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = time::within(FAREWELL, farewell).await;
}

fn hello(open: usize, life_s: u64) -> Value {
    json!({
        "type": "hello", "num_connections": open, "connection_info": { "app_id": "A0LAB" },
        "debug_info": { "host": "applink-lab", "build_number": 10, "approximate_connection_time": life_s },
    })
}

fn disconnect(reason: Reason) -> Value {
    json!({ "type": "disconnect", "reason": reason.name(), "debug_info": { "host": "applink-lab" } })
}
