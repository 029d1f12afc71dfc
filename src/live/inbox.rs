//! An address of ours that takes what bots post to a `response_url`. It answers 200 to everything, keeps at most a hundred
//! posts of at most 64 KiB, and is gone when the value is.

use std::net::SocketAddr;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::world::Inbox;

const MOST_POSTS: usize = 100;
const MOST_BYTES: usize = 64 * 1024;

pub struct HttpInbox {
    address: SocketAddr,
    posts: Mutex<mpsc::Receiver<(String, Vec<u8>)>>,
    serving: JoinHandle<()>,
}

impl HttpInbox {
    pub async fn open(address: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, posts) = mpsc::channel(MOST_POSTS);
        let take = move |uri: Uri, body: Bytes| {
            // A flood is dropped: what we wait for came first or comes again.
            let _ = sender.try_send((uri.path().to_string(), body.to_vec()));
            std::future::ready("ok")
        };
        let router = Router::new().fallback(take).layer(DefaultBodyLimit::max(MOST_BYTES));
        let serving = tokio::spawn(async move {
            // It ends with the inbox, never by itself.
            let _ = axum::serve(listener, router).await;
        });
        Ok(HttpInbox { address, posts: Mutex::new(posts), serving })
    }
}

impl Drop for HttpInbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[async_trait(?Send)]
impl Inbox for HttpInbox {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn next(&self) -> Option<(String, Vec<u8>)> {
        self.posts.lock().await.recv().await
    }
}
