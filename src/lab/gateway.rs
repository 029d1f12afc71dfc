//! Slack's Socket Mode gateway and Web API alone, for whoever brings bots of their own: real Bolt apps are tried against it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::dice::Dice;
use super::envelopes::{Envelopes, Sent};
use super::ledger::Book;
use super::memory::Memory;
use super::server::Door;
use super::slack_api::SlackApi;
use super::sockets::{Delivery, Reason, Seen, Sockets};
use super::{locked, time};

/// A running gateway. Dropping it cuts every socket.
pub struct Gateway {
    inside: Inside,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Inside {
    runtime: Handle,
    url: String,
    sockets: Arc<Sockets>,
    envelopes: Arc<Envelopes>,
}

impl Gateway {
    /// Starts on ports of the system's choice.
    pub fn start(seed: u64) -> anyhow::Result<Gateway> {
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(anyhow!(error).context("no threads for the gateway")))),
            };
            runtime.block_on(async move {
                let started = open(seed).await;
                let serves = started.is_ok();
                if ready.send(started).is_ok() && serves {
                    // An error means that the gateway was dropped, which is the same wish.
                    let _ = stopped.await;
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("bgctl-gateway".into()).spawn(body).context("no thread")?;
        let inside = is_ready.recv().context("the gateway's thread ended before it was ready")??;
        Ok(Gateway { inside, stop: Some(stop), thread: Some(thread) })
    }

    /// What a bot has to know as the base of Slack's Web API: `http://127.0.0.1:…/api/`.
    pub fn api(&self) -> String {
        format!("{}/api/", self.inside.url)
    }

    /// The sockets that are open, oldest first.
    pub fn open(&self) -> Vec<u64> {
        self.inside.sockets.open()
    }

    /// The fewest sockets open at once since [`Gateway::count_fewest`].
    pub fn fewest(&self) -> usize {
        self.inside.sockets.fewest()
    }

    pub fn count_fewest(&self) {
        self.inside.sockets.count_fewest();
    }

    /// How long the hello of each further socket says it will live.
    pub fn live_for(&self, seconds: u64) {
        self.inside.sockets.live_for(seconds);
    }

    /// Everything that happened to sockets, with how long ago the gateway saw it.
    pub fn seen(&self) -> Vec<(Instant, Seen)> {
        self.inside.sockets.seen()
    }

    /// Tells a client that its socket will end.
    pub fn tell(&self, socket: u64, reason: Reason) {
        self.inside.sockets.tell(socket, reason);
    }

    pub fn close(&self, socket: u64) {
        self.inside.sockets.close(socket);
    }

    pub fn cut(&self, socket: u64) {
        self.inside.sockets.cut(socket);
    }

    /// The gateway forgets a socket, and lets its client believe that it is open.
    pub fn half_open(&self, socket: u64) {
        self.inside.sockets.half_open(socket);
    }

    /// Sends one envelope of the caller's own on the next socket, and waits up to three seconds for its ack.
    pub fn deliver(&self, envelope: Value) -> Delivery {
        let (done, is_done) = mpsc::channel();
        let sockets = Arc::clone(&self.inside.sockets);
        self.inside.runtime.spawn(async move {
            // The receiver is gone only if its thread is.
            let _ = done.send(sockets.deliver(envelope, super::slack::PATIENCE).await);
        });
        is_done.recv().unwrap_or(Delivery::Unacked)
    }

    /// Starts sending this many events, commands and clicks a second.
    pub fn send(&self, per_second: u32) {
        self.inside.envelopes.quiet.store(false, Ordering::Relaxed);
        self.inside.runtime.spawn(Arc::clone(&self.inside.envelopes).send_all(per_second));
    }

    /// Ends the sending, waits until Slack is through with everything (at most `limit`), and says what was sent.
    pub fn finish(&self, limit: Duration) -> Vec<Sent> {
        let (done, is_done) = mpsc::channel();
        let envelopes = Arc::clone(&self.inside.envelopes);
        envelopes.quiet.store(true, Ordering::Relaxed);
        self.inside.runtime.spawn(async move {
            let _ = time::within(limit, async {
                // The sender may have one more thing in hand when it is told.
                time::sleep(time::ms(200)).await;
                while !envelopes.settled() {
                    time::sleep(time::ms(20)).await;
                }
            })
            .await;
            // The receiver is gone only if its thread is.
            let _ = done.send(());
        });
        let _ = is_done.recv();
        locked(&self.inside.envelopes.sent).clone()
    }
}

async fn open(seed: u64) -> anyhow::Result<Inside> {
    let memory = Memory::default();
    let door = Door::open(&memory).await.context("no free port for Slack")?;
    let line = Door::open(&memory).await.context("no free port for sockets")?;
    let dice = Arc::new(Dice::new(seed));
    let (sockets, _) = Sockets::serve(line.listener())?;
    let envelopes = Envelopes::new(Arc::clone(&sockets), Arc::new(Book::default()), Arc::clone(&dice));
    let api = Arc::new(SlackApi::with_sockets(Arc::clone(&sockets), dice));
    let url = door.url();
    door.serve(move |parts, body| Arc::clone(&api).answer(parts, body));
    Ok(Inside { runtime: Handle::current(), url, sockets, envelopes })
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
