//! The router `envoy` against a real Envoy: nights that go wrong by name, live load through whole cutovers, and the program itself.
#![allow(clippy::disallowed_methods, reason = "Envoy, its users and who looks at them keep real time")]

#[path = "../common/mod.rs"]
mod common;

mod load;
mod named;
mod refused;

#[cfg(feature = "aws")]
mod played;
#[cfg(feature = "aws")]
#[path = "../process/rig.rs"]
#[allow(dead_code, reason = "its other parts are for the tests it was made for")]
mod rig;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, Reading, RouterError, TrafficRouter, envoy};
use common::envoy::{Envoy, ROUTES};
use common::haproxy::Origin;
use serde_json::Value;

/// An Envoy with a blue and a green behind it.
pub struct Stage {
    pub origins: [Origin; 2],
    pub envoy: Envoy,
}

impl Stage {
    pub fn start() -> Option<Stage> {
        Stage::with(ROUTES, |config| config)
    }

    pub fn with(routes: &str, change: impl Fn(String) -> String) -> Option<Stage> {
        let origins = Color::BOTH.map(Origin::start);
        let [blue, green] = origins.each_ref().map(|origin| origin.address);
        let envoy = Envoy::with(blue, green, "n1", routes, change)?;
        Some(Stage { origins, envoy })
    }

    pub fn router(&self) -> Rc<dyn TrafficRouter> {
        self.router_with(&[])
    }

    pub fn router_with(&self, change: &[(&str, Value)]) -> Rc<dyn TrafficRouter> {
        let mut settings = self.envoy.settings();
        change.iter().for_each(|(key, value)| settings[*key] = value.clone());
        (envoy::KIND.open)(&settings, &Access::default()).expect("good settings")
    }

    pub async fn read(&self) -> Reading {
        self.router().read().await.expect("it reads")
    }

    pub async fn set(&self, green: u32) -> Result<(), RouterError> {
        let from = self.read().await;
        self.router().set(&from, Split::of_green(green)).await.map(|calls| assert_eq!(calls.len(), 1, "{calls:?}"))
    }

    /// Nothing lies beside the routes.
    pub fn is_tidy(&self) {
        let left: Vec<_> = std::fs::read_dir(self.envoy.path("rds")).expect("a folder").flatten().collect();
        let names: Vec<_> = left.iter().map(std::fs::DirEntry::file_name).filter(|n| *n != "bot.yaml").collect();
        assert!(names.is_empty(), "{names:?}");
    }
}

pub fn said(error: &RouterError) -> String {
    format!("{} | {}", error.what, error.cure.as_deref().unwrap_or_default())
}

/// A wire to the admin interface of an Envoy, on which questions can be held up.
pub struct Wire {
    pub at: String,
    held: Arc<AtomicBool>,
}

impl Wire {
    /// Once `hold` says so no question goes through, and nobody is told.
    pub fn to(envoy: &Envoy, hold: impl Fn() -> bool + Send + Sync + 'static) -> Wire {
        let (listener, admin) = (TcpListener::bind("127.0.0.1:0").expect("a port"), envoy.admin);
        let at = format!("http://{}", listener.local_addr().expect("its address"));
        let (hold, held) = (Arc::new(hold), Arc::new(AtomicBool::new(false)));
        let holds = Arc::clone(&held);
        std::thread::spawn(move || {
            for asking in listener.incoming().flatten() {
                let Ok(answering) = TcpStream::connect(("127.0.0.1", admin)) else { continue };
                let (hold, holds) = (Arc::clone(&hold), Arc::clone(&holds));
                let (mut back, mut from) = (asking.try_clone().expect("it"), answering.try_clone().expect("it"));
                std::thread::spawn(move || std::io::copy(&mut from, &mut back));
                std::thread::spawn(move || carried(asking, answering, &*hold, &holds));
            }
        });
        Wire { at, held }
    }

    /// Waits until a question is held.
    pub fn holds(&self) {
        for _ in 0..2000 {
            if self.held.load(Ordering::SeqCst) {
                return;
            }
            common::bots::pause(5);
        }
        panic!("no question was held within 10 s");
    }
}

fn carried(mut asking: TcpStream, mut answering: TcpStream, hold: &dyn Fn() -> bool, held: &AtomicBool) {
    let mut piece = [0; 4096];
    // An end that goes away has had what it wanted.
    while let Ok(read @ 1..) = asking.read(&mut piece) {
        if hold() {
            held.store(true, Ordering::SeqCst);
            continue;
        }
        if answering.write_all(&piece[..read]).is_err() {
            return;
        }
    }
}

/// A client whose connection is a WebSocket from now on.
pub fn websocket(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let words = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a socket");
    stream.write_all(words.as_bytes()).expect("it asks");
    let mut head = [0; 1024];
    let read = stream.read(&mut head).expect("an answer");
    assert!(head[..read].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head[..read]));
    stream
}

/// A server that takes every connection for a WebSocket, or answers that it is well.
pub fn echo() -> std::net::SocketAddr {
    let bot = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = bot.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in bot.incoming().flatten() {
            std::thread::spawn(move || {
                let mut piece = [0; 1024];
                let asked = stream.read(&mut piece).unwrap_or_default();
                let head = match String::from_utf8_lossy(&piece[..asked]).contains("websocket") {
                    true => "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
                    false => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                };
                let _ = stream.write_all(head.as_bytes());
                if head.contains(" 101 ") {
                    while stream.read(&mut piece).is_ok_and(|n| n > 0 && stream.write_all(&piece[..n]).is_ok()) {}
                }
            });
        }
    });
    address
}

/// The routes with another line in place of one.
pub fn routes(from: &str, to: &str) -> String {
    assert!(ROUTES.contains(from), "{from}");
    ROUTES.replace(from, to)
}
