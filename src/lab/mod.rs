//! The lab: a rehearsal stack on loopback with real sockets and real protocols. A load balancer with the provider's API and
//! rules, a proxy that follows its weights, blue and green bots, a Slack that sends events the whole time, a Prometheus.
//!
//! It runs on threads of its own, or in a process of its own that other terminals can join, and stands for the outside world:
//! bgctl reaches it over the wire with the drivers it uses in production. It knows nothing of runs, steps or routers, and
//! there is no back door.

mod apart;
mod bot;
mod bot_slack;
mod dedup;
mod dice;
mod door;
mod elb;
mod elb_answers;
mod elb_model;
mod elb_rules;
mod envelopes;
mod fault;
mod fleets;
mod gateway;
mod ledger;
mod living;
mod memory;
mod meter;
mod prometheus;
pub mod promql;
#[cfg(test)]
mod promql_cases;
mod promql_functions;
mod proxy;
mod query;
pub mod series;
mod server;
mod signature;
mod sigv4;
mod slack;
mod slack_api;
mod socket_bot;
mod sockets;
mod stack;
mod targets;
mod time;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::oneshot;

pub use crate::rehearsal::Mode;
pub use door::Labs;
pub use envelopes::{Doing, Sent};
pub use fault::{Fault, UnknownFault};
pub use gateway::Gateway;
pub use ledger::Ledger;
pub use sockets::{Delivery, Reason, Seen};

use stack::Stack;

/// How a lab is set up.
#[derive(Clone, Debug)]
pub struct Options {
    pub faults: Vec<Fault>,
    /// Events and commands Slack sends, 1 to 1000 a second.
    pub events_per_second: u32,
    /// The same seed draws the same delays.
    pub seed: u64,
    /// Where the lab remembers its ports and weights. A file that is there already is gone on from.
    pub memory: Option<PathBuf>,
    pub mode: Mode,
}

impl Default for Options {
    fn default() -> Self {
        Options { faults: Vec::new(), events_per_second: 50, seed: 1, memory: None, mode: Mode::Http }
    }
}

/// A running lab. Dropping it ends everything in it.
pub struct Lab {
    stack: Arc<Stack>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How long [`Lab::finish`] waits for what is under way.
const LAST: Duration = Duration::from_secs(5);

impl Lab {
    /// Starts everything and returns when the bots are healthy, events flow and Prometheus has two scrapes (1 to 2 s).
    ///
    /// Blocks the calling thread; it may be called where an async runtime is at work.
    pub fn start(options: Options) -> anyhow::Result<Lab> {
        anyhow::ensure!(
            (1..=1000).contains(&options.events_per_second),
            "the lab sends 1 to 1000 events a second, not {}",
            options.events_per_second
        );
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let body = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(anyhow!(error).context("no threads for the lab")))),
            };
            runtime.block_on(async move {
                let started = match options.mode {
                    Mode::Http => Stack::start(&options).await,
                    Mode::Sockets => fleets::start(&options).await,
                };
                let serves = started.is_ok();
                if ready.send(started).is_ok() && serves {
                    // An error means that the lab was dropped, which is the same wish.
                    let _ = stopped.await;
                }
            });
            runtime.shutdown_background();
        };
        let thread =
            std::thread::Builder::new().name("bgctl-lab".into()).spawn(body).context("no thread for the lab")?;
        let stack = is_ready.recv().context("the lab's thread ended before it was ready")??;
        Ok(Lab { stack, stop: Some(stop), thread: Some(thread) })
    }

    /// The runbook variables that lead to the lab.
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.stack.variables.clone()
    }

    /// What the AWS SDK and the runbook's secrets have to find in the environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.stack.environment.clone()
    }

    /// Where messages can be sent: `{url}/api/` takes Web API calls, `{url}/services/…` is an incoming webhook.
    pub fn slack_url(&self) -> String {
        self.stack.slack_url.clone()
    }

    /// The messages that arrived at [`Lab::slack_url`], as they came.
    pub fn messages(&self) -> Vec<serde_json::Value> {
        self.stack.api.messages()
    }

    /// The counts now.
    pub fn ledger(&self) -> Ledger {
        self.stack.book.read()
    }

    /// Ends the sending, lets the last deliveries, retries and pieces of work end (at most 5 s), and counts. An event
    /// without effect by then is lost. Blocks the calling thread.
    pub fn finish(&self) -> Ledger {
        let (done, is_done) = mpsc::channel();
        let stack = Arc::clone(&self.stack);
        self.stack.runtime.spawn(async move {
            stack.fall_quiet(LAST).await;
            // The receiver is gone only if the wait below has run out.
            let _ = done.send(());
        });
        let _ = is_done.recv_timeout(LAST + Duration::from_secs(1));
        self.stack.book.close()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The guarded value. A lab's lock is never held over anything that can panic halfway, so a poisoned one is sound.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
