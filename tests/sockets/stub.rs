//! Instances of a Socket Mode app of our own making: they do as they are told and write down what that was.
#![allow(dead_code, reason = "each test binary uses its part of this")]
#![allow(clippy::disallowed_methods, reason = "a report tells the wall clock")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Everything instances were told, in the order in which they were.
pub type Book = Arc<Mutex<Vec<String>>>;

/// An instance that does as it is told; `script` says what differs.
#[derive(Clone)]
pub struct Stub {
    name: String,
    pub url: String,
    book: Book,
    state: Arc<Mutex<Value>>,
    serving: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Stub {
    pub async fn start(name: &str, open: bool, book: &Book) -> Stub {
        let state = json!({
            "open": open, "connected": u32::from(open), "num_connections": 1, "last_hello": now(),
            "approximate_connection_time": 18_060, "inflight": 0, "disconnect": null,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (state, serving) = (Arc::new(Mutex::new(state)), Arc::default());
        let stub = Stub { name: name.into(), url, book: book.clone(), state, serving };
        let app = Router::new().fallback(answer).with_state(stub.clone());
        let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        *stub.serving.lock().unwrap() = Some(task);
        stub
    }

    /// Whether it holds a socket.
    pub fn holds(&self) -> bool {
        self.state.lock().unwrap()["connected"] == 1
    }

    /// Nobody listens there any more.
    pub fn end(&self) {
        if let Some(task) = self.serving.lock().unwrap().take() {
            task.abort();
        }
    }

    pub fn set(&self, name: &str, value: Value) {
        self.state.lock().unwrap()[name] = value;
    }
}

async fn answer(State(stub): State<Stub>, method: Method, uri: Uri) -> (StatusCode, HeaderMap, String) {
    // A connection that is kept would outlive the end of its instance.
    let mut close = HeaderMap::from_iter([(header::CONNECTION, HeaderValue::from_static("close"))]);
    let mut state = stub.state.lock().unwrap();
    // `clock` is the time that the instance believes it is.
    if let Some(clock) = state["clock"].as_f64() {
        let at = jiff::Timestamp::from_second(clock as i64).unwrap();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
        close.insert(header::DATE, HeaderValue::from_str(&date).unwrap());
    }
    if state["broken"] == true {
        return (StatusCode::INTERNAL_SERVER_ERROR, close, "no".into());
    }
    let note = |words: &str| stub.book.lock().unwrap().push(format!("{words} {}", stub.name));
    match (method.as_str(), uri.path()) {
        ("POST", "/bgctl/connect") => {
            note("connect");
            state["open"] = json!(true);
            // `refused` is a reason that Slack gives in place of a hello.
            match state["refused"].as_str() {
                Some(reason) => state["disconnect"] = json!(reason),
                None => state["late"] = json!(2),
            }
        }
        ("POST", "/bgctl/quiesce") => {
            note("quiesce");
            state["open"] = json!(false);
            // `stays` keeps what it has.
            if state["stays"] != true {
                state["connected"] = json!(0);
            }
            state["inflight"] = json!(3);
        }
        // The hello comes after some looks, and work ends piece by piece.
        _ => match state["late"].as_u64() {
            Some(1) => {
                note("hello");
                state["connected"] = json!(1);
                state["late"] = json!(0);
            }
            Some(looks) if looks > 1 => state["late"] = json!(looks - 1),
            _ => {
                let left = state["inflight"].as_u64().unwrap_or(0);
                if left == 1 {
                    note("at rest");
                }
                state["inflight"] = json!(left.saturating_sub(1));
            }
        },
    }
    (StatusCode::OK, close, state.to_string())
}

/// The wall clock in Unix seconds.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}
