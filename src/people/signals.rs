//! Signals as they come to this process. What one of them means is for whoever listens.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that do nothing by themselves any more, from here to the end of the process.
pub struct Signals(RefCell<Vec<(SignalKind, Signal)>>);

impl Signals {
    /// Needs the runtime.
    pub fn of(kinds: &[SignalKind]) -> io::Result<Signals> {
        let streams = kinds.iter().map(|kind| Ok((*kind, signal(*kind)?)));
        Ok(Signals(RefCell::new(streams.collect::<io::Result<_>>()?)))
    }

    /// Those that would end this process, and the one that would stop it where it must not be left standing.
    pub fn that_end() -> io::Result<Signals> {
        let ends = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()];
        Signals::of(&[&ends[..], &[stop()]].concat())
    }

    /// The next one. Cut off in the middle it loses none.
    pub async fn next(&self) -> SignalKind {
        poll_fn(|cx| {
            let mut streams = self.0.borrow_mut();
            let ready = streams.iter_mut().find_map(|(kind, signal)| signal.poll_recv(cx).is_ready().then_some(*kind));
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The next one that asks for an end, by the name a person knows. Ctrl-Z does nothing.
    pub async fn end(&self) -> &'static str {
        loop {
            return match self.next().await {
                kind if kind == stop() => continue,
                kind if kind == SignalKind::interrupt() => "Ctrl-C",
                kind if kind == SignalKind::quit() => "Ctrl-\\",
                kind if kind == SignalKind::terminate() => "SIGTERM",
                _ => "SIGHUP",
            };
        }
    }
}

/// Ctrl-Z.
pub fn stop() -> SignalKind {
    SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw())
}

/// The signal that ends what is waited for. Where no handler can be set it does what it always did: it ends the process.
pub async fn told_to_end() -> &'static str {
    match Signals::that_end() {
        Ok(signals) => signals.end().await,
        Err(_) => std::future::pending().await,
    }
}
