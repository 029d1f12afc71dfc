//! The gateway, spoken to by a plain WebSocket client: it keeps Slack's documented rules.

use std::time::Duration;

use bgctl::lab::{Delivery, Gateway, Reason, Seen};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

type Socket = WebSocketStream<TcpStream>;

async fn ask(gateway: &Gateway, method: &str, token: &str) -> (Value, Option<String>) {
    let client = bgctl::https::client().no_proxy().build().unwrap();
    let answer = client.post(format!("{}{method}", gateway.api())).bearer_auth(token).send().await.unwrap();
    let scopes = answer.headers().get("x-oauth-scopes").and_then(|v| v.to_str().ok()).map(String::from);
    (answer.json().await.unwrap(), scopes)
}

async fn url(gateway: &Gateway) -> String {
    let (answer, _) = ask(gateway, "apps.connections.open", "xapp-1-lab").await;
    answer["url"].as_str().expect("a url").to_string()
}

async fn connect(url: &str) -> Socket {
    let place = url.trim_start_matches("ws://").split('/').next().unwrap();
    client_async(url, TcpStream::connect(place).await.unwrap()).await.unwrap().0
}

/// The next text, as JSON; none when the socket has ended.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match tokio::time::timeout(Duration::from_secs(5), socket.next()).await.expect("a message in time") {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(text.as_str()).ok(),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

pub async fn open(gateway: &Gateway) -> Socket {
    let mut socket = connect(&url(gateway).await).await;
    assert_eq!(next(&mut socket).await.unwrap()["type"], "hello");
    socket
}

async fn ack(socket: &mut Socket, envelope: &Value) {
    socket.send(Message::text(json!({ "envelope_id": envelope["envelope_id"] }).to_string())).await.unwrap();
}

fn envelope(id: &str) -> Value {
    json!({ "envelope_id": id, "type": "slash_commands", "accepts_response_payload": true, "payload": { "command": "/x" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_sockets_and_a_ticket_opens_one() {
    let gateway = Gateway::start(1).unwrap();
    let (answer, scopes) = ask(&gateway, "auth.test", "xapp-1-lab").await;
    assert_eq!((answer["app_id"].as_str(), scopes.as_deref()), (Some("A0LAB"), Some("connections:write")));
    assert_eq!(ask(&gateway, "apps.connections.open", "xoxb-lab").await.0["ok"], false);
    let url = url(&gateway).await;
    let mut socket = connect(&url).await;
    let hello = next(&mut socket).await.unwrap();
    assert_eq!((hello["type"].as_str(), hello["num_connections"].as_u64()), (Some("hello"), Some(1)));
    assert_eq!(hello["debug_info"]["approximate_connection_time"], 18_060);
    let place = url.trim_start_matches("ws://").split('/').next().unwrap();
    let again = client_async(url.as_str(), TcpStream::connect(place).await.unwrap()).await;
    assert!(again.is_err(), "a ticket is good for one socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_sockets_and_no_more() {
    let gateway = Gateway::start(2).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(open(&gateway).await);
    }
    let mut eleventh = connect(&url(&gateway).await).await;
    assert_eq!(next(&mut eleventh).await.unwrap()["reason"], "too_many_websockets");
    assert_eq!(next(&mut eleventh).await, None);
    assert_eq!(gateway.open().len(), 10);
    gateway.count_fewest();
    sockets.pop();
    while gateway.open().len() == 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    open(&gateway).await;
    assert_eq!(gateway.fewest(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_envelope_goes_to_one_socket_and_counts_when_acked_there() {
    let gateway = Gateway::start(3).unwrap();
    let mut sockets = [open(&gateway).await, open(&gateway).await];
    let taken = |id: &'static str, gateway: &Gateway| {
        std::thread::scope(|scope| scope.spawn(|| gateway.deliver(envelope(id))).join().unwrap())
    };
    // One after the other, so that each envelope is delivered while its reader waits.
    let gateway = std::sync::Arc::new(gateway);
    let mut seen = Vec::new();
    for id in ["one", "two", "three", "four"] {
        let sender = gateway.clone();
        let sent = tokio::task::spawn_blocking(move || taken(id, &sender));
        let [left, right] = &mut sockets;
        let got = tokio::select! { e = next(left) => (0, e), e = next(right) => (1, e) };
        let envelope = got.1.unwrap();
        assert_eq!(envelope["envelope_id"], id);
        seen.push(got.0);
        // The last is acked by the wrong socket.
        let by = if id == "four" { 1 - got.0 } else { got.0 };
        ack(&mut sockets[by], &envelope).await;
        let wanted = if id == "four" { Delivery::Unacked } else { Delivery::Acked(Value::Null) };
        assert_eq!(sent.await.unwrap(), wanted);
    }
    assert!(seen == [0, 1, 0, 1] || seen == [1, 0, 1, 0], "in turn: {seen:?}");
    assert!(gateway.seen().iter().any(|(_, seen)| matches!(seen, Seen::AckedElsewhere { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_end_in_every_way_slack_ends_them() {
    let gateway = Gateway::start(4).unwrap();
    for reason in [Reason::Warning, Reason::RefreshRequested, Reason::LinkDisabled, Reason::TooManyWebsockets] {
        let mut socket = open(&gateway).await;
        let id = gateway.open()[0];
        gateway.tell(id, reason);
        let told = next(&mut socket).await.unwrap();
        assert_eq!((told["type"].as_str(), told["reason"].as_str()), (Some("disconnect"), Some(reason.name())));
        assert_eq!(gateway.open(), [id], "a warned socket is still open");
        gateway.close(id);
        assert_eq!(next(&mut socket).await, None);
        assert!(gateway.open().is_empty());
    }
    let mut socket = open(&gateway).await;
    gateway.cut(gateway.open()[0]);
    let end = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.expect("it ends");
    assert!(matches!(end, Some(Err(_))), "a reset is no close: {end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_a_half_open_socket_says_and_answers_nothing_and_does_not_end() {
    let gateway = Gateway::start(6).unwrap();
    let mut socket = open(&gateway).await;
    gateway.half_open(gateway.open()[0]);
    while !gateway.open().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    socket.send(Message::Ping("still there?".into())).await.unwrap();
    // Longer than a ping of Slack's takes to come.
    let heard = tokio::time::timeout(Duration::from_secs(6), socket.next()).await;
    assert!(heard.is_err(), "{heard:?}");
    let gateway = std::sync::Arc::new(gateway);
    let sent = tokio::task::spawn_blocking(move || gateway.deliver(envelope("one"))).await.unwrap();
    assert_eq!(sent, Delivery::NoSocket);
}

/// Work on a socket holds up no ping: its client tells a dead one by them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_a_busy_socket_is_pinged_too() {
    let gateway = Gateway::start(7).unwrap();
    let mut socket = open(&gateway).await;
    gateway.send(10);
    let pinged = async {
        while let Some(Ok(message)) = socket.next().await {
            if matches!(message, Message::Ping(_)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(8), pinged).await.expect("a ping");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_nobody_acks_is_sent_again_as_slack_does() {
    let gateway = Gateway::start(5).unwrap();
    let mut socket = open(&gateway).await;
    gateway.send(1);
    let first = next(&mut socket).await.unwrap();
    assert_eq!(
        (&first["type"], &first["retry_attempt"], &first["retry_reason"]),
        (&json!("events_api"), &json!(0), &json!(""))
    );
    let id = first["payload"]["event_id"].clone();
    let again = loop {
        let envelope = next(&mut socket).await.unwrap();
        if envelope["payload"]["event_id"] == id {
            break envelope;
        }
        ack(&mut socket, &envelope).await;
    };
    assert_eq!((&again["retry_attempt"], &again["retry_reason"]), (&json!(1), &json!("timeout")));
    assert_ne!(again["envelope_id"], first["envelope_id"], "the envelope is new, the event is not");
    ack(&mut socket, &again).await;
    let reading = tokio::spawn(async move {
        while let Some(envelope) = next(&mut socket).await {
            ack(&mut socket, &envelope).await;
        }
    });
    let sent = tokio::task::spawn_blocking(move || gateway.finish(Duration::from_secs(10))).await.unwrap();
    let event = sent.iter().find(|sent| id == sent.id).unwrap();
    assert_eq!((event.deliveries, event.acked, event.settled), (2, true, true));
    reading.abort();
}
