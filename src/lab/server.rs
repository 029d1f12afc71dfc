//! A loopback server: one handler that gets every request whole. All servers of the lab are this one.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::response::Response;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::memory::Memory;
use super::time;

/// How often a port that is in use is tried again, a tenth of a second apart.
const TRIES: u32 = 30;
/// The largest body taken.
const BODY: usize = 1 << 20;

/// A port that is open but not served yet.
pub struct Door {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Door {
    /// Opens a free port on loopback, or the one this door had before.
    pub async fn open(memory: &Memory) -> std::io::Result<Door> {
        let place = ("127.0.0.1", memory.next_port());
        // A port from before may be some connection's own for a moment.
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(place).await {
                Err(error) if error.kind() == ErrorKind::AddrInUse && tries < TRIES => tries += 1,
                bound => break bound?,
            }
            time::sleep(time::ms(100)).await;
        };
        let address = listener.local_addr()?;
        memory.opened(address.port());
        Ok(Door { address, listener })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The listener itself, for what is not HTTP alone.
    pub fn listener(self) -> TcpListener {
        self.listener
    }

    /// Serves until the task is aborted. Connections that are open then stay open: the handler has to cut them.
    pub fn serve<H, F>(self, handler: H) -> JoinHandle<()>
    where
        H: Fn(Parts, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send,
    {
        let app = Router::new().fallback(move |request: axum::extract::Request| {
            let handler = handler.clone();
            async move {
                let (parts, body) = request.into_parts();
                match axum::body::to_bytes(body, BODY).await {
                    Ok(body) => handler(parts, body).await,
                    Err(_) => answer(413, "text/plain", "too large"),
                }
            }
        });
        // Without this each small answer waits for the other side's delayed ack, 40 ms on Linux.
        let listener = self.listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        })
    }
}

/// A whole answer.
pub fn answer(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(body.into())
        .expect("BUG: a response of constants")
}

/// Closes the connection instead of answering: what a client sees of a process that died or a reply that was lost.
pub fn cut() -> Response {
    Response::new(Body::new(Torn))
}

/// A body that fails before its first byte, so that not even the headers are sent.
struct Torn;

impl http_body::Body for Torn {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::Error::other("cut"))))
    }
}

/// The value of a header, where it is text.
pub fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}
